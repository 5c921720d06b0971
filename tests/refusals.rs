//! A refusal counts as soon as its status line is legible, whatever follows. No other server makes it better.

use std::thread;
use std::time::Duration;

use icap_client::testing::{CLEAN, Script, Server, echo};
use icap_client::{Content, Error, Method, NotScanned, Report, Scanner, ScannerBuilder, Verdict};

/// A server that calls everything clean.
fn clean() -> Server {
    Server::answering(|_| Script::new().send(CLEAN)).unwrap()
}

fn answering(response: impl AsRef<[u8]>) -> Server {
    let response = response.as_ref().to_vec();
    Server::answering(move |_| Script::new().send(&response)).unwrap()
}

fn respmod(server: &Server) -> ScannerBuilder {
    Scanner::builder(server.uri()).negotiate(false)
}

fn reqmod(server: &Server) -> ScannerBuilder {
    respmod(server).method(Method::Reqmod)
}

fn page(icap: &str, fields: &str, http: &str) -> String {
    let head = format!("HTTP/1.1 {http}\r\n\r\n");
    let len = head.len();
    format!(
        "ICAP/1.0 {icap}\r\n{fields}Encapsulated: res-hdr=0, res-body={len}\r\n\r\n{head}4\r\npage\r\n0\r\n\r\n"
    )
}

/// Scans with this server, and a fallback server that calls everything clean.
fn scan(server: &Server, method: fn(&Server) -> ScannerBuilder) -> (Result<Report, Error>, usize) {
    let fallback = clean();
    let builder = method(server).endpoint(fallback.uri());
    let builder = builder.read_timeout(Duration::from_secs(2));
    let result = builder.build().unwrap().scan(Content::bytes(b"hello"));
    (result, fallback.requests())
}

fn assert_blocked(server: &Server, method: fn(&Server) -> ScannerBuilder, status: u16, what: &str) {
    let (result, asked) = scan(server, method);
    match result.as_ref().map(Report::verdict) {
        Ok(Verdict::Blocked(blocked)) => assert_eq!(blocked.status(), status, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    assert_eq!(asked, 0, "{what}: another server was asked");
}

#[test]
fn refusal_that_breaks_off_anywhere_is_blocked() {
    let virus_found = "HTTP/1.1 403 VirusFound\r\n";
    type Setting = fn(&Server) -> ScannerBuilder;
    let cases: [(String, &str, u16, Setting); 5] = [
        (
            page("200 OK", "", "403 VirusFound"),
            virus_found,
            403,
            respmod,
        ),
        (
            page("200 OK", "", "307 Moved"),
            "HTTP/1.1 307 Moved\r\n",
            307,
            respmod,
        ),
        (
            page("403 Forbidden", "ISTag: \"T\"\r\n", "200 OK"),
            "ICAP/1.0 403 Forbidden\r\n",
            403,
            respmod,
        ),
        (
            page("200 OK", "", "403 VirusFound"),
            virus_found,
            403,
            reqmod,
        ),
        (
            page("200 OK", "", "200 OK"),
            "HTTP/1.1 200 OK\r\n",
            200,
            reqmod,
        ),
    ];
    // Those that stall take their read timeout, all at the same time.
    thread::scope(|scope| {
        for (response, line, status, method) in &cases {
            let legible = response.find(line).unwrap() + line.len();
            for cut in legible..response.len() {
                let what = format!("cut at {cut} of {response}");
                let script = Script::new().read_request().send(&response[..cut]);
                if [legible, legible + 3, response.len() - 1].contains(&cut) {
                    let server = Server::scripted([script.clone().hold()]).unwrap();
                    let what = format!("stalls, {what}");
                    scope.spawn(move || assert_blocked(&server, *method, *status, &what));
                }
                let server = Server::scripted([script.close()]).unwrap();
                assert_blocked(&server, *method, *status, &what);
            }
        }
    });
}

#[test]
fn refusing_page_counts_under_every_icap_status() {
    for icap in [
        200, 201, 202, 203, 204, 206, 299, 404, 407, 408, 500, 501, 503,
    ] {
        for (http, status) in [("403 No", 403), ("307 Moved", 307), ("451 Law", 451)] {
            let whole = page(&format!("{icap} x"), "", http);
            let broken = whole.replace("\r\n4\r\n", "\r\nzz\r\n");
            for (response, what) in [
                (whole.clone(), "whole"),
                (whole.clone() + "X", "with a stray byte"),
                (broken, "with a bad chunk"),
                (
                    whole.replace("ICAP/1.0", "ICAP/1.0 100 Continue\r\n\r\nICAP/1.0"),
                    "after 100",
                ),
            ] {
                let what = format!("{what}: {icap} around {http}");
                assert_blocked(&answering(response), respmod, status, &what);
            }
        }
    }
}

#[test]
fn refusing_page_counts_under_an_invalid_icap_head() {
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "Connection: close,\r\n x\r\n",
    ] {
        let response = page("200 OK", fields, "403 Forbidden");
        assert_blocked(&answering(response), respmod, 403, fields);
    }
    for rest in [
        "no colon\r\n\r\n",
        "X: \0\r\n\r\n",
        "Encapsulated: a\r\n\r\n",
    ] {
        let response = format!("ICAP/1.0 403 Forbidden\r\n{rest}");
        assert_blocked(&answering(response), respmod, 403, rest);
    }
}

#[test]
fn report_of_a_broken_refusal_has_its_status() {
    let script = Script::new().read_request().send("ICAP/1.0 403 No\r\nX: ");
    let server = Server::scripted([script.close()]).unwrap();
    let scanner = respmod(&server).build().unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert_eq!(report.status(), Some(403));
    assert_eq!(
        report.verdict().to_string(),
        "blocked: the service responded with 403 No"
    );
}

#[test]
fn refusals_that_break_off_suspend_no_server() {
    let whole = page("200 OK", "", "403 VirusFound");
    let cut = Script::new()
        .read_request()
        .send(&whole[..whole.len() - 5])
        .close();
    let server = Server::scripted(vec![cut; 12]).unwrap();
    let scanner = respmod(&server).build().unwrap();
    for _ in 0..12 {
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        assert!(
            matches!(report.verdict(), Verdict::Blocked(_)),
            "{report:?}"
        );
    }
    assert!(scanner.stats().suspended.is_empty());
}

#[test]
fn sent_error_page_is_an_echo_whole_and_blocked_in_part() {
    let page = b"HTTP/1.1 403 Forbidden\r\n\r\n";
    let whole = echo("HTTP/1.1 403 Forbidden\r\n\r\n", b"hello");
    let verdict = |response: &[u8]| {
        let server = Server::scripted([Script::new().read_request().send(response).close()]);
        let scanner = respmod(server.as_ref().unwrap()).build().unwrap();
        let content = Content::bytes(b"hello").http_response(page);
        scanner.scan(content).unwrap().verdict().clone()
    };
    assert_eq!(verdict(&whole), Verdict::NotScanned(NotScanned::Echoed));
    let cut = verdict(&whole[..whole.len() - 1]);
    assert!(matches!(cut, Verdict::Blocked(_)), "{cut}");
}

#[test]
fn words_of_another_do_not_soften_a_refusal() {
    let limit = "X-Infection-Found: Type=2; Threat=Eicar\r\n";
    let code = "X-Error-Code: password_protected\r\n";
    let failure = "X-Error-Code: internal_error\r\n";
    for words in [limit, code, failure] {
        for icap in ["403 Forbidden", "202 Accepted", "200 OK"] {
            let in_head = page(icap, "", &format!("403 No\r\n{}", words.trim_end()));
            let in_trailer = page(icap, "", "403 No");
            let in_trailer = in_trailer.replace("\r\n0\r\n", &format!("\r\n0\r\n{words}"));
            for response in [in_head, in_trailer] {
                assert_blocked(&answering(&response), respmod, 403, &response);
            }
        }
        // The refusal comes with the request of the upload.
        let head = format!("POST / HTTP/1.1\r\n{words}\r\n");
        let response = format!(
            "ICAP/1.0 403 Forbidden\r\nEncapsulated: req-hdr=0, null-body={}\r\n\r\n{head}",
            head.len()
        );
        let (result, asked) = scan(&answering(&response), reqmod);
        let report = result.unwrap();
        assert!(
            matches!(report.verdict(), Verdict::Blocked(_)),
            "{report:?}"
        );
        assert_eq!(asked, 0);
    }
    let both = format!("403 No\r\nX-Virus-ID: Eicar\r\n{}", limit.trim_end());
    let (result, _) = scan(&answering(page("200 OK", "", &both)), respmod);
    assert!(result.unwrap().verdict().is_infected());
}

#[test]
fn failed_service_is_not_clean_and_fails_over() {
    for code in [
        "antivirus_load_failure",
        "antivirus_license_expired",
        "antivirus_engine_error",
        "connection_failure",
        "internal_error",
        "server_error",
        "server_unavailable",
        "insufficient_space",
        "request_timeout",
        "scan_timeout",
    ] {
        let field = format!("X-Error-Code: {code}\r\n");
        let unmodified = format!("ICAP/1.0 204 OK\r\n{field}\r\n");
        let echoed = String::from_utf8(echo("HTTP/1.1 200 OK\r\n\r\n", b"hello")).unwrap();
        let echoed = echoed.replacen("\r\n", &format!("\r\n{field}"), 1);
        let modified = page("200 OK", &field, "200 OK");
        let pending = format!("ICAP/1.0 202 Accepted\r\n{field}\r\n");
        for response in [unmodified, echoed, modified, pending] {
            let server = answering(&response);
            let alone = respmod(&server).build().unwrap();
            let report = alone.scan(Content::bytes(b"hello")).unwrap();
            let status = report.status().unwrap();
            let detail = code.to_owned();
            let expected = NotScanned::ServiceError { status, detail };
            assert_eq!(report.verdict(), &Verdict::NotScanned(expected));
            let (result, asked) = scan(&answering(&response), respmod);
            assert!(
                result.unwrap().verdict().is_clean() && asked == 1,
                "{response}"
            );
        }
        for status in [404, 418, 500] {
            let response = format!("ICAP/1.0 {status} x\r\n{field}\r\n");
            let server = answering(&response);
            let alone = respmod(&server).build().unwrap();
            let error = alone.scan(Content::bytes(b"hello")).unwrap_err();
            assert_eq!(error.status(), Some(status));
            assert!(
                error.is_unavailable() && error.to_string().contains(code),
                "{error}"
            );
            let (result, asked) = scan(&answering(&response), respmod);
            assert!(
                result.unwrap().verdict().is_clean() && asked == 1,
                "{response}"
            );
        }
    }
}

#[test]
fn error_page_is_withheld_and_fails_over() {
    for status in ["400 Bad Request", "401 Unauthorized", "502 Bad Gateway"] {
        let first = answering(page("200 OK", "", status));
        let second = answering(echo("HTTP/1.1 200 OK\r\n\r\n", b"disarmed"));
        let scanner = respmod(&first).endpoint(second.uri()).build().unwrap();
        let mut output = Vec::new();
        let report = scanner.scan_replace(Content::bytes(b"hello"), &mut output);
        let report = report.unwrap();
        assert!(
            matches!(report.verdict(), Verdict::Modified(_)),
            "{report:?}"
        );
        assert_eq!(
            (output.as_slice(), report.service()),
            (&b"disarmed"[..], &*second.uri())
        );
    }
}

/// An invalid head is an error and fails over, unless it has evidence or a refusal.
#[test]
fn legible_evidence_in_an_odd_head_is_kept() {
    for line in [
        "\r\nICAP/1.0 200 OK",
        "\r\n\r\nICAP/1.0 204 No Content",
        "ICAP/1.1 200 OK",
        "icap/1.0 200 OK",
        "HTTP/1.1 200 OK",
        "ICAP/1.0  200 OK",
        "X-Stray: 1",
    ] {
        let response = format!("{line}\r\nX-Infection-Found: Type=0; Threat=Eicar;\r\n\r\n");
        for close in [false, true] {
            let script = Script::new().read_request().send(&response);
            let script = if close { script.close() } else { script.hold() };
            let server = Server::scripted([script]).unwrap();
            let (result, asked) = scan(&server, respmod);
            let verdict = result.unwrap().verdict().to_string();
            assert_eq!((verdict.as_str(), asked), ("infected: Eicar", 0), "{line}");
        }
    }
    for line in [
        "ICAP/1.1 403 Forbidden",
        "icap/1.0 403 Forbidden",
        "ICAP/1.0  403 Forbidden",
        "ICAP/1.0\t403 Forbidden",
        "\r\nICAP/1.0 403 Forbidden",
    ] {
        for end in ["\r\n\r\n", "\r\nServer: x\r\n"] {
            let script = Script::new().read_request().send(format!("{line}{end}"));
            let server = Server::scripted([script.close()]).unwrap();
            assert_blocked(&server, respmod, 403, line);
        }
    }
    for response in ["ICAP/1.1 204 No Content\r\n\r\n", "220 mail\r\n", "\r\n"] {
        let script = Script::new().read_request().send(response);
        let (result, asked) = scan(&Server::scripted([script.close()]).unwrap(), respmod);
        assert!(
            result.unwrap().verdict().is_clean() && asked == 1,
            "{response}"
        );
    }
}

#[test]
fn trailer_of_an_illegal_204_body_counts() {
    let body = "5\r\nhello\r\n0\r\nX-Infection-Found: Type=0; Threat=Eicar;\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let with_head = format!("res-hdr=0, res-body={}", head.len());
    for (list, rest) in [
        ("res-body=0", body.to_owned()),
        (with_head.as_str(), format!("{head}{body}")),
    ] {
        let response = format!("ICAP/1.0 204 OK\r\nEncapsulated: {list}\r\n\r\n{rest}");
        let (result, asked) = scan(&answering(&response), respmod);
        let verdict = result.unwrap().verdict().to_string();
        assert_eq!((verdict.as_str(), asked), ("infected: Eicar", 0), "{list}");
        let without = response.replace("X-Infection-Found", "X-Other");
        let (result, asked) = scan(&answering(&without), respmod);
        let error = result.unwrap_err().to_string();
        assert!(error.contains("a 204 encapsulates something"), "{error}");
        assert_eq!(asked, 0);
    }
}
