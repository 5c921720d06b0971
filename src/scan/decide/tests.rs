use super::*;
use crate::proto::method::Method;
use crate::proto::response_reader::ResponseReader;

const SENT: Sent = Sent {
    is_complete: true,
    responds_to_preview: false,
    trusts_preview: false,
    allowed_204: true,
    allowed_206: false,
    length: 5,
    offers_204: true,
    is_echoed: false,
    is_beginning: false,
    is_early: false,
    lacks_engine: false,
    has_trailing: false,
};

fn decide(response: &Response, sent: &Sent) -> Result<Verdict, NoVerdict> {
    super::decide(response, sent, &CustomHeaders::default())
}

fn response(status: &str, fields: &str, http: &str, body: Option<&str>) -> Response {
    match body {
        None => encoded(status, fields, http, "null-body", ""),
        Some("") => encoded(status, fields, http, "res-body", "0\r\n\r\n"),
        Some(body) => {
            let body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            encoded(status, fields, http, "res-body", &body)
        }
    }
}

fn encoded(status: &str, fields: &str, http: &str, kind: &str, body: &str) -> Response {
    let list = match http.len() {
        0 => format!("{kind}=0"),
        len => format!("res-hdr=0, {kind}={len}"),
    };
    let input = format!("ICAP/1.0 {status}\r\n{fields}Encapsulated: {list}\r\n\r\n{http}{body}");
    let mut reader = ResponseReader::new(Method::Respmod, u64::MAX);
    let mut used = 0;
    while !reader.has_ended() {
        used += reader.feed(&input.as_bytes()[used..]).expect(&input).0;
    }
    reader.into_remains().response.unwrap()
}

fn http(status: &str, length: Option<u64>) -> String {
    let length = length.map_or(String::new(), |len| format!("Content-Length: {len}\r\n"));
    format!("HTTP/1.1 {status}\r\n{length}\r\n")
}

fn kind(verdict: &Result<Verdict, NoVerdict>) -> String {
    match verdict {
        Ok(Verdict::NotScanned(why)) => format!("NotScanned({why:?})"),
        Ok(verdict) => {
            let debug = format!("{verdict:?}");
            debug.split('(').next().unwrap_or_default().to_owned()
        }
        Err(error) => format!("{error:?}"),
    }
}

fn but(sent: &Sent, change: fn(&mut Sent)) -> Sent {
    let mut sent = Sent { ..*sent };
    change(&mut sent);
    sent
}

#[test]
fn full_204_is_clean_if_allowed_and_nothing_follows() {
    let unmodified = response("204 No Content", "", "", None);
    let but = |change| but(&SENT, change);
    let unallowed_and_early = Sent {
        allowed_204: false,
        is_early: true,
        ..SENT
    };
    for (sent, expected) in [
        (SENT, "Clean"),
        (but(|sent| sent.offers_204 = false), "Clean"),
        (
            but(|sent| sent.is_complete = false),
            "Violation(IncompleteUpload)",
        ),
        (
            but(|sent| sent.allowed_204 = false),
            "Violation(Unexpected204)",
        ),
        (unallowed_and_early, "NotScanned(EarlyResponse)"),
        (
            but(|sent| sent.has_trailing = true),
            "Violation(TrailingBytes)",
        ),
    ] {
        assert_eq!(kind(&decide(&unmodified, &sent)), expected, "{sent:?}");
    }
}

#[test]
fn preview_204_is_clean_only_if_complete_or_trusted() {
    let unmodified = response("204 No Content", "", "", None);
    let preview = Sent {
        responds_to_preview: true,
        allowed_204: false,
        ..SENT
    };
    let part = but(&preview, |sent| sent.is_complete = false);
    let trusting = but(&part, |sent| sent.trusts_preview = true);
    assert_eq!(kind(&decide(&unmodified, &preview)), "Clean");
    assert_eq!(kind(&decide(&unmodified, &part)), "NotScanned(PreviewOnly)");
    assert_eq!(kind(&decide(&unmodified, &trusting)), "Clean");
    let no_preview = Sent {
        responds_to_preview: false,
        allowed_204: true,
        ..trusting
    };
    let expected = "Violation(IncompleteUpload)";
    assert_eq!(kind(&decide(&unmodified, &no_preview)), expected);
}

#[test]
fn partial_206_is_modified_if_allowed_and_in_range() {
    let allowed = Sent {
        allowed_206: true,
        is_echoed: true,
        offers_204: false,
        ..SENT
    };
    let http = http("200 OK", Some(5));
    for (extension, sent, expected) in [
        ("", allowed, "Modified"),
        ("; use-original-body=0", allowed, "Modified"),
        ("; use-original-body=4", allowed, "Modified"),
        ("; use-original-body=5", allowed, "Modified"),
        (
            "; use-original-body=6",
            allowed,
            "Violation(BadUseOriginalBody)",
        ),
        ("", SENT, "Violation(Unexpected206)"),
    ] {
        let body = format!("5\r\nhello\r\n0{extension}\r\n\r\n");
        let partial = encoded("206 Partial Content", "", &http, "res-body", &body);
        assert_eq!(kind(&decide(&partial, &sent)), expected, "{extension}");
    }
}

#[test]
fn evidence_counts_on_every_status() {
    let threat = "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n";
    let sent = Sent {
        has_trailing: true,
        is_complete: false,
        ..SENT
    };
    for status in [
        "200 OK",
        "201 Created",
        "202 Accepted",
        "204 OK",
        "403 No",
        "404 No",
        "500 No",
        "599 No",
    ] {
        let verdict = decide(&response(status, threat, "", None), &sent).unwrap();
        assert!(verdict.is_infected(), "{status}: {verdict}");
    }
    let in_http = "HTTP/1.1 200 OK\r\nX-Virus-ID: Eicar\r\n\r\n";
    assert!(
        decide(&response("200 OK", "", in_http, None), &SENT)
            .unwrap()
            .is_infected()
    );
    let blocked = response("204 OK", "X-Response-Info: blocked\r\n", "", None);
    assert_eq!(kind(&decide(&blocked, &SENT)), "Blocked");
    let limit = response("500 No", "X-Error-Code: decode_error\r\n", "", None);
    assert!(kind(&decide(&limit, &SENT)).starts_with("NotScanned(Unscannable"));
}

const ECHOED: Sent = Sent {
    is_echoed: true,
    ..SENT
};

const ECHOED_WITHOUT_204: Sent = Sent {
    offers_204: false,
    ..ECHOED
};

fn kind_of_200(sent: &Sent, http: &str, body: Option<&str>) -> String {
    kind(&decide(&response("200 OK", "", http, body), sent))
}

#[test]
fn echo_is_clean_only_without_204() {
    let ok = http("200 OK", Some(5));
    let kind = kind_of_200(&ECHOED, &ok, Some("hello"));
    assert_eq!(kind, "NotScanned(Echoed)");
    for (http, body) in [
        (ok, "hello"),
        (http("206 Partial", None), "hello"),
        (http("200 OK", Some(0)), ""),
    ] {
        let kind = kind_of_200(&ECHOED_WITHOUT_204, &http, Some(body));
        assert_eq!(kind, "Clean", "{http}");
    }
}

#[test]
fn echo_with_another_http_head_is_not_clean() {
    let two_lengths = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
    for (http, expected) in [
        (http("200 OK", Some(9)), "NotScanned(Truncated)"),
        (two_lengths.to_owned(), "NotScanned(Truncated)"),
        // Echoed means that the same status was sent.
        (http("304 Not Modified", Some(5)), "NotScanned(Echoed)"),
        (http("100 Continue", Some(5)), "NotScanned(Echoed)"),
        (http("403 Forbidden", Some(5)), "NotScanned(Echoed)"),
        (String::new(), "Modified"),
    ] {
        let kind = kind_of_200(&ECHOED_WITHOUT_204, &http, Some("hello"));
        assert_eq!(kind, expected, "{http}");
    }
}

#[test]
fn incomplete_or_other_content_is_no_echo() {
    let incomplete = Sent {
        is_complete: false,
        ..ECHOED_WITHOUT_204
    };
    let other = Sent {
        is_echoed: false,
        is_beginning: false,
        ..ECHOED_WITHOUT_204
    };
    for (sent, body) in [
        (ECHOED_WITHOUT_204, None),
        (incomplete, Some("hello")),
        (other, Some("hello")),
    ] {
        let kind = kind_of_200(&sent, &http("200 OK", Some(5)), body);
        assert_eq!(kind, "Modified", "{sent:?}");
    }
}

#[test]
fn evidence_counts_whatever_was_sent_or_came_back() {
    let page = http("200 OK", Some(5));
    for (fields, expected) in [
        ("X-Virus-ID: Eicar\r\n", "Infected"),
        ("X-Blocked: yes\r\n", "Blocked"),
        (
            "X-Error-Code: x\r\n",
            "NotScanned(Unscannable { detail: \"x\" })",
        ),
    ] {
        for flags in 0u8..64 {
            let is = |flag: u8| flags & 1 << flag != 0;
            let sent = Sent {
                is_complete: is(0),
                responds_to_preview: is(1),
                trusts_preview: is(2),
                allowed_204: is(3),
                offers_204: is(4),
                is_echoed: is(5),
                ..SENT
            };
            let echo = response("200 OK", fields, &page, Some("hello"));
            let unmodified = response("204 No Content", fields, "", None);
            let failed = response("500 Error", fields, "", None);
            for response in [echo, unmodified, failed] {
                let verdict = decide(&response, &sent);
                assert_eq!(kind(&verdict), expected, "{sent:?} {response:?}");
            }
        }
    }
}

#[test]
fn http_refusal_is_blocked_and_error_is_not_scanned() {
    for (status, expected) in [
        ("403 Forbidden", "Blocked"),
        ("307 Temporary Redirect", "Blocked"),
        ("302 Found", "Blocked"),
        ("404 Not Found", "Blocked"),
        (
            "400 Bad Request",
            "NotScanned(ServiceError { status: 400, detail",
        ),
        (
            "401 Unauthorized",
            "NotScanned(ServiceError { status: 401, detail",
        ),
        ("500 Error", "NotScanned(ServiceError { status: 500, detail"),
        ("599 Error", "NotScanned(ServiceError { status: 599, detail"),
    ] {
        for icap in ["200 OK", "201 Created"] {
            let response = response(icap, "", &http(status, None), Some("page"));
            let verdict = kind(&decide(&response, &SENT));
            assert!(verdict.starts_with(expected), "{status}: {verdict}");
        }
    }
    let response = response("200 OK", "", &http("403 VirusFound", None), None);
    assert_eq!(
        decide(&response, &SENT).unwrap().to_string(),
        "blocked: the service responded with 403 VirusFound"
    );
}

#[test]
fn foreign_words_count_only_against_better_verdicts() {
    let error = "Status { failure: None }";
    for (icap, http, expected, of_a_failure) in [
        (
            "200 OK",
            "200 OK",
            "NotScanned(Unscannable",
            "NotScanned(ServiceError { status: 200",
        ),
        ("200 OK", "403 No", "Blocked", "Blocked"),
        (
            "200 OK",
            "502 Bad",
            "NotScanned(ServiceError { status: 502",
            "NotScanned(ServiceError { status: 502",
        ),
        (
            "202 Accepted",
            "200 OK",
            "NotScanned(Pending",
            "NotScanned(Pending",
        ),
        ("202 Accepted", "403 No", "Blocked", "Blocked"),
        ("403 Forbidden", "200 OK", "Blocked", "Blocked"),
        ("500 Error", "200 OK", error, error),
    ] {
        for (code, expected) in [("decode_error", expected), ("scan_timeout", of_a_failure)] {
            let head = format!("HTTP/1.1 {http}\r\nX-Error-Code: {code}\r\n\r\n");
            let verdict = kind(&decide(&response(icap, "", &head, Some("page")), &SENT));
            assert!(
                verdict.starts_with(expected),
                "{code} in {icap} {http}: {verdict}"
            );
        }
    }
    let echoed = Sent {
        is_echoed: true,
        ..SENT
    };
    for (code, expected) in [
        ("decode_error", "NotScanned(Echoed"),
        ("scan_timeout", "NotScanned(ServiceError { status: 200"),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nX-Error-Code: {code}\r\n\r\n");
        let verdict = kind(&decide(
            &response("200 OK", "", &head, Some("hello")),
            &echoed,
        ));
        assert!(verdict.starts_with(expected), "{code}: {verdict}");
    }
}

#[test]
fn failure_with_a_204_not_allowed_is_not_scanned() {
    let not_allowed = Sent {
        allowed_204: false,
        ..SENT
    };
    let fields = "X-Error-Code: antivirus_license_expired\r\n";
    let failed = response("204 No Content", fields, "", None);
    let expected = Verdict::NotScanned(NotScanned::ServiceError {
        status: 204,
        detail: "antivirus_license_expired".to_owned(),
    });
    assert_eq!(decide(&failed, &not_allowed), Ok(expected));
}

#[test]
fn service_failure_does_not_replace_a_limit() {
    let fields = "X-Error-Code: scan_timeout\r\n";
    let limit = "X-Error-Code: max_size\r\n";
    for fields in [format!("{fields}{limit}"), format!("{limit}{fields}")] {
        for status in ["204 OK", "500 Error"] {
            let verdict = decide(&response(status, &fields, "", None), &SENT);
            assert!(
                kind(&verdict).starts_with("NotScanned(ServiceLimit"),
                "{fields}"
            );
        }
    }
    let failed = decide(&response("500 Error", fields, "", None), &SENT);
    assert_eq!(kind(&failed), "Status { failure: Some(\"scan_timeout\") }");
}

#[test]
fn other_status_is_no_verdict() {
    for code in 200..=599 {
        let verdict = decide(&response_without_list(code), &SENT);
        let expected = match code {
            200 | 201 => "Violation(EmptyResponse)",
            206 => continue, // must have a body, below
            202 => "NotScanned(Pending)",
            204 => "Clean",
            403 => "Blocked",
            _ => "Status { failure: None }",
        };
        assert_eq!(kind(&verdict), expected, "{code}");
    }
    let partial = response("206 Partial", "", &http("200 OK", Some(5)), Some("hello"));
    assert_eq!(kind(&decide(&partial, &SENT)), "Violation(Unexpected206)");
}

fn response_without_list(code: u16) -> Response {
    if code == 206 {
        return response("206 x", "", "", Some(""));
    }
    response(&format!("{code} x"), "", "", None)
}
