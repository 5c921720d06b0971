//! What a response says about the content: one table, one function.

use super::verdict::{Blocked, Modified, NotScanned, Verdict};
use crate::error::Violation;
use crate::evidence::{Evidence, Findings, Hindrance, Received, ServiceFailure};
use crate::proto::header::{Field, Headers};
use crate::proto::number::decimal;
use crate::proto::response::Response;
use crate::proto::response_reader::Fragments;

/// What a response is judged against: what was sent, and what was agreed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Every byte of the content was sent.
    pub(crate) is_complete: bool,
    /// The response is one to a preview.
    pub(crate) responds_to_preview: bool,
    /// A 204 to a preview counts for all of the content.
    pub(crate) trusts_preview: bool,
    /// The request allowed a 204.
    pub(crate) allowed_204: bool,
    /// The request allowed a 206.
    pub(crate) allowed_206: bool,
    /// Bytes of the content, where that is known; otherwise those that were sent.
    pub(crate) length: u64,
    /// The service says it can respond with 204; assumed where it was not asked.
    pub(crate) offers_204: bool,
    /// What came back is what was sent: byte for byte the content, in a message of the same kind.
    pub(crate) is_echoed: bool,
    /// What came back is the beginning of the content, byte for byte, and there is more of that.
    pub(crate) is_beginning: bool,
    /// The response began before all of the content was written.
    pub(crate) is_early: bool,
    /// What is known of the server says that it has no engine.
    pub(crate) lacks_engine: bool,
    /// Bytes came after the response.
    pub(crate) has_trailing: bool,
}

/// Why a response is no verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoVerdict {
    /// Its status says nothing about the content. The code is the service's for its own failure.
    Status {
        failure: Option<String>,
    },
    Violation(Violation),
}

/// The verdict table. Evidence comes first, on every status; after that only a 204 to everything
/// that was sent is clean, or the same content back from a service that has no other way to say so.
pub(crate) fn decide(response: &Response, sent: &Sent) -> Result<Verdict, NoVerdict> {
    let findings = Findings::of(Received {
        response: Some(response),
        fragments: &Fragments::default(),
        is_echo: is_echo(response, sent),
    });
    if let Some(evidence) = findings.evidence {
        return Ok(from_evidence(evidence));
    }
    if sent.has_trailing {
        return Err(NoVerdict::Violation(Violation::TrailingBytes));
    }
    let own_failure = findings.failure.as_ref().filter(|failure| failure.is_own);
    let own_failure = own_failure.map(|failure| failure.code.clone());
    let verdict = from_status(response, sent, own_failure)?;
    let verdict = unless_hindered(verdict, findings.hindered);
    Ok(unless_failed(verdict, findings.failure, response.status()))
}

pub(crate) fn from_evidence(evidence: Evidence) -> Verdict {
    match evidence {
        Evidence::Infected(threats) => Verdict::Infected(threats),
        Evidence::Hindered(hindrance, detail) => hindered(hindrance, detail),
        Evidence::Blocked {
            status,
            words,
            is_by_status,
        } => Verdict::Blocked(Blocked {
            status,
            reason: words,
            is_by_status,
        }),
    }
}

fn hindered(hindrance: Hindrance, detail: String) -> Verdict {
    Verdict::NotScanned(match hindrance {
        Hindrance::Limit => NotScanned::ServiceLimit { detail },
        Hindrance::Unscannable => NotScanned::Unscannable { detail },
    })
}

/// Words for a limit that need not be the service's own count only against a better verdict.
fn unless_hindered(verdict: Verdict, words: Option<(Hindrance, String)>) -> Verdict {
    match (words, &verdict) {
        (Some((hindrance, detail)), Verdict::Clean | Verdict::Modified(_)) => {
            hindered(hindrance, detail)
        }
        _ => verdict,
    }
}

/// A service that failed has not scanned, whatever else it says; words that need not be its own take
/// nothing from another reason.
fn unless_failed(verdict: Verdict, failure: Option<ServiceFailure>, status: u16) -> Verdict {
    let Some(failure) = failure else {
        return verdict;
    };
    let is_replaced = match &verdict {
        Verdict::Clean | Verdict::Modified(_) | Verdict::NotScanned(NotScanned::Echoed) => true,
        Verdict::NotScanned(NotScanned::ServiceLimit { .. } | NotScanned::Unscannable { .. }) => {
            false
        }
        Verdict::NotScanned(_) => failure.is_own,
        Verdict::Infected(_) | Verdict::Blocked(_) => false,
    };
    if is_replaced {
        let detail = failure.code;
        return Verdict::NotScanned(NotScanned::ServiceError { status, detail });
    }
    verdict
}

/// What the status says where there is no evidence.
fn from_status(
    response: &Response,
    sent: &Sent,
    own_failure: Option<String>,
) -> Result<Verdict, NoVerdict> {
    let not_scanned = |why| Ok(Verdict::NotScanned(why));
    let violation = |violation| Err(NoVerdict::Violation(violation));
    match response.status() {
        204 if sent.lacks_engine => not_scanned(NotScanned::NoEngine),
        // Also where no 204 was allowed: another server may scan.
        204 if sent.is_early => not_scanned(NotScanned::EarlyResponse),
        204 if !sent.allowed_204 && !sent.responds_to_preview => match own_failure {
            Some(detail) => not_scanned(NotScanned::ServiceError {
                status: 204,
                detail,
            }),
            None => violation(Violation::Unexpected204),
        },
        204 if sent.responds_to_preview && !sent.is_complete => Ok(if sent.trusts_preview {
            Verdict::Clean
        } else {
            Verdict::NotScanned(NotScanned::PreviewOnly)
        }),
        204 if !sent.is_complete => violation(Violation::IncompleteUpload),
        204 => Ok(Verdict::Clean),
        200 | 201 if !response.encapsulates_something() => violation(Violation::EmptyResponse),
        200 | 201 => Ok(from_http(response, sent)),
        202 => not_scanned(NotScanned::Pending),
        206 if !sent.allowed_206 => violation(Violation::Unexpected206),
        206 if response.use_original_body() > Some(sent.length) => {
            violation(Violation::BadUseOriginalBody)
        }
        206 => Ok(from_http(response, sent)),
        _ => Err(NoVerdict::Status {
            failure: own_failure,
        }),
    }
}

/// A 200, 201 or 206 without evidence: the encapsulated HTTP response decides.
fn from_http(response: &Response, sent: &Sent) -> Verdict {
    let is_echo = is_echo(response, sent);
    match response.http_status() {
        _ if is_echo && sent.lacks_engine => Verdict::NotScanned(NotScanned::NoEngine),
        _ if is_echo && sent.is_early => Verdict::NotScanned(NotScanned::EarlyResponse),
        // Without a status it is a request that came back (REQMOD).
        None | Some(200..=299) if is_echo && !sent.offers_204 => Verdict::Clean,
        // Also under the status of an error page that was sent.
        _ if is_echo => Verdict::NotScanned(NotScanned::Echoed),
        Some(status @ (400 | 401 | 500..)) => Verdict::NotScanned(NotScanned::ServiceError {
            status,
            detail: response.http_reason(),
        }),
        // One that refuses is evidence.
        _ if is_truncated(response, sent) => Verdict::NotScanned(NotScanned::Truncated),
        _ => Verdict::Modified(Modified {
            body_len: response.body_len(),
            original_from: response.use_original_body(),
        }),
    }
}

/// What came back, with the part of the original that a 206 puts after it, is shorter than its own head
/// says, or is a beginning of what was sent: with the usual defaults of c-icap the first 5% of an infected
/// file come back like this, and no infection field.
fn is_truncated(response: &Response, sent: &Sent) -> bool {
    let Some(body_len) = response.body_len() else {
        return false;
    };
    let from = response.use_original_body();
    let appended = from.map_or(0, |from| sent.length.saturating_sub(from));
    let len = body_len.saturating_add(appended);
    let is_longer = |field: Field<'_>| decimal(&field.value()).is_some_and(|said| said > len);
    let is_shorter_than_said = message_headers(response)
        .is_some_and(|headers| headers.get_all("Content-Length").any(is_longer));
    is_shorter_than_said || sent.is_beginning && appended == 0
}

/// The fields of the message that came back.
fn message_headers(response: &Response) -> Option<Headers<'_>> {
    let request = || response.http_request_headers();
    response.http_headers().or_else(request)
}

/// All of the content came back, and the head that came with it says the same of its length. A part of
/// a 206's content is not in it, so that is none.
fn is_echo(response: &Response, sent: &Sent) -> bool {
    let lengths_agree = message_headers(response).is_some_and(|headers| {
        headers
            .get_all("Content-Length")
            .all(|field| decimal(&field.value()) == response.body_len())
    });
    let is_whole = matches!(response.status(), 200 | 201) && response.body_len().is_some();
    sent.is_complete && sent.is_echoed && is_whole && lengths_agree
}

#[cfg(test)]
mod tests {
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
        let input =
            format!("ICAP/1.0 {status}\r\n{fields}Encapsulated: {list}\r\n\r\n{http}{body}");
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

    #[test]
    fn a_204_is_clean_only_if_allowed_to_everything_and_with_nothing_behind_it() {
        let unmodified = response("204 No Content", "", "", None);
        for (sent, expected) in [
            (SENT, "Clean"),
            (
                Sent {
                    offers_204: false,
                    ..SENT
                },
                "Clean",
            ),
            (
                Sent {
                    is_complete: false,
                    ..SENT
                },
                "Violation(IncompleteUpload)",
            ),
            (
                Sent {
                    allowed_204: false,
                    ..SENT
                },
                "Violation(Unexpected204)",
            ),
            (
                Sent {
                    allowed_204: false,
                    is_early: true,
                    ..SENT
                },
                "NotScanned(EarlyResponse)",
            ),
            (
                Sent {
                    has_trailing: true,
                    ..SENT
                },
                "Violation(TrailingBytes)",
            ),
        ] {
            assert_eq!(kind(&decide(&unmodified, &sent)), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_204_to_a_preview_speaks_of_all_only_if_that_was_all_or_it_is_trusted() {
        let unmodified = response("204 No Content", "", "", None);
        let preview = Sent {
            responds_to_preview: true,
            allowed_204: false,
            ..SENT
        };
        let part = Sent {
            is_complete: false,
            ..preview
        };
        let trusting = Sent {
            trusts_preview: true,
            ..part
        };
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
    fn a_part_of_the_content_is_modified_if_it_was_allowed_and_there_is_such_a_part() {
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

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn the_content_back_is_clean_only_from_a_service_that_cannot_say_204() {
        let echoed = Sent {
            is_echoed: true,
            ..SENT
        };
        let no_204 = Sent {
            offers_204: false,
            ..echoed
        };
        for (sent, http, body, expected) in [
            (
                echoed,
                http("200 OK", Some(5)),
                Some("hello"),
                "NotScanned(Echoed)",
            ),
            (no_204, http("200 OK", Some(5)), Some("hello"), "Clean"),
            (no_204, http("206 Partial", None), Some("hello"), "Clean"),
            (no_204, http("200 OK", Some(0)), Some(""), "Clean"),
            (
                no_204,
                http("200 OK", Some(9)),
                Some("hello"),
                "NotScanned(Truncated)",
            ),
            (
                no_204,
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".into(),
                Some("hello"),
                "NotScanned(Truncated)",
            ),
            (no_204, http("200 OK", Some(5)), None, "Modified"),
            (no_204, String::new(), Some("hello"), "Modified"),
            // Echoed means that the same status was sent.
            (
                no_204,
                http("304 Not Modified", Some(5)),
                Some("hello"),
                "NotScanned(Echoed)",
            ),
            (
                no_204,
                http("100 Continue", Some(5)),
                Some("hello"),
                "NotScanned(Echoed)",
            ),
            (
                no_204,
                http("403 Forbidden", Some(5)),
                Some("hello"),
                "NotScanned(Echoed)",
            ),
            (
                Sent {
                    is_complete: false,
                    ..no_204
                },
                http("200 OK", Some(5)),
                Some("hello"),
                "Modified",
            ),
            (
                Sent {
                    is_echoed: false,
                    is_beginning: false,
                    ..no_204
                },
                http("200 OK", Some(5)),
                Some("hello"),
                "Modified",
            ),
        ] {
            let response = response("200 OK", "", &http, body);
            assert_eq!(kind(&decide(&response, &sent)), expected, "{sent:?} {http}");
        }
    }

    #[test]
    fn what_is_said_of_the_content_counts_whatever_was_sent_and_whatever_came_back() {
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
    fn an_http_head_that_refuses_is_blocked_and_one_that_fails_is_not_scanned() {
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
    fn words_of_another_count_only_against_a_better_verdict() {
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
    fn failure_of_the_service_takes_nothing_from_a_limit() {
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
    fn every_other_status_is_no_verdict() {
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
}
