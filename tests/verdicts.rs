//! Responses on the wire and their verdicts. The verdict table is tested beside its function.

use icap_client::error::Violation;
use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server, echo, eicar, infected};
use icap_client::{Content, Error, NotScanned, Report, Scanner, Verdict};

const PAGE_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

/// Scans `hello` with this response, without OPTIONS.
fn scan(response: impl AsRef<[u8]>) -> Result<Report, Error> {
    let server = Server::scripted([Script::new().read_request().send(response)]).unwrap();
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    scanner.scan(Content::bytes(b"hello"))
}

fn violation(result: Result<Report, Error>) -> Violation {
    match result {
        Err(Error::Protocol(error)) => error.violation(),
        other => panic!("no protocol error but {other:?}"),
    }
}

#[test]
fn eicar_is_found_and_hello_is_clean() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let clean = scanner
        .scan(Content::bytes(b"hello").name("hello.txt"))
        .unwrap();
    assert!(clean.verdict().is_clean());
    assert_eq!((clean.status(), clean.bytes_sent()), (Some(204), 5));
    assert_eq!(clean.service(), server.uri());
    assert!(clean.istag().is_some());

    let infected = scanner.scan(Content::bytes(&eicar())).unwrap();
    let Verdict::Infected(threats) = infected.verdict() else {
        panic!("{}", infected.verdict())
    };
    assert_eq!(
        threats.names().collect::<Vec<_>>(),
        ["Eicar-Test-Signature"]
    );
    assert!(
        scanner
            .scan(Content::bytes(b""))
            .unwrap()
            .verdict()
            .is_clean()
    );
    // One OPTIONS and three scans, all on one connection.
    assert_eq!((server.requests(), server.connections()), (4, 1));
}

#[test]
fn response_204_is_clean_whatever_its_reason() {
    for response in [
        CLEAN,
        "ICAP/1.0 204 Unmodified\r\n\r\n",
        "ICAP/1.0 204\r\nConnection: close\r\n\r\n",
    ] {
        assert!(scan(response).unwrap().verdict().is_clean(), "{response}");
    }
}

#[test]
fn response_truncated_at_any_byte_is_no_verdict() {
    let responses = [CLEAN.as_bytes().to_vec(), echo(PAGE_HEAD, b"hello")];
    for response in &responses {
        for len in 0..response.len() {
            let error = scan(&response[..len]).expect_err("a part of a response");
            let expected = len == 0 && matches!(error, Error::Disconnected(_))
                || matches!(&error, Error::Protocol(e) if e.violation() == Violation::Truncated);
            assert!(expected, "{len}: {error:?}");
        }
    }
}

#[test]
fn bytes_after_a_204_are_an_error() {
    assert_eq!(
        violation(scan(format!("{CLEAN}X"))),
        Violation::TrailingBytes
    );
    assert_eq!(
        violation(scan(format!("{CLEAN}{CLEAN}"))),
        Violation::TrailingBytes
    );
    let hidden_body = "ICAP/1.0 204 No Content\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(violation(scan(hidden_body)), Violation::TrailingBytes);
    // A single line end after a response means nothing, but the connection is not reused.
    assert!(scan(format!("{CLEAN}\r\n")).unwrap().verdict().is_clean());
}

#[test]
fn infection_header_counts_in_a_broken_response() {
    let whole = infected("Eicar");
    let head_end = whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    for len in head_end..whole.len() {
        let report = scan(&whole[..len]).unwrap();
        assert_eq!(report.verdict().to_string(), "infected: Eicar", "{len}");
    }
    let headers = "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n";
    for rest in [
        "\r\n".to_owned(),                                         // no Encapsulated
        "Encapsulated: res-hdr=0, res-body=19\r\n\r\njunk".into(), // no head
        "Encapsulated: res-body=0\r\n\r\nzz".into(),               // no chunk
        format!("Encapsulated: null-body=0\r\n\r\n{CLEAN}"),       // stray bytes
    ] {
        let report = scan(format!("ICAP/1.0 200 OK\r\n{headers}{rest}")).unwrap();
        assert_eq!(report.verdict().to_string(), "infected: Eicar", "{rest}");
    }
}

#[test]
fn infection_header_counts_in_every_head() {
    let found = "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n";
    for response in [
        // In an interim response, in an invalid head, in a truncated head.
        format!("ICAP/1.0 100 Continue\r\n{found}\r\n{CLEAN}"),
        format!("ICAP/1.0 100 Continue\r\n{found}\r\n"),
        format!("ICAP/1.0 204 OK\r\n{found}no colon\r\n\r\n"),
        format!("ICAP/1.0 204 OK\r\n{found}X: bare\n\r\n"),
        format!("ICAP/1.0 200 OK\r\n{found}X: cut"),
        format!(
            "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=99\r\n\r\nHTTP/1.1 200 OK\r\n{found}"
        ),
        // In trailers, also of an invalid response.
        format!("ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\n0\r\n{found}\r\n"),
        format!("ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\n0\r\n{found}broken\r\n\r\n"),
        format!(
            "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\n0; use-original-body=5\r\n{found}\r\n"
        ),
    ] {
        let report = scan(&response).unwrap();
        assert_eq!(
            report.verdict().to_string(),
            "infected: Eicar",
            "{response}"
        );
    }
}

#[test]
fn refusal_that_breaks_off_is_blocked() {
    let report = scan("ICAP/1.0 200 OK\r\nX-Response-Info: blocked\r\n\r\n").unwrap();
    assert!(
        matches!(report.verdict(), Verdict::Blocked(_)),
        "{}",
        report.verdict()
    );
    let report = scan("ICAP/1.0 200 OK\r\nX-Error-Code: password_protected\r\n").unwrap();
    assert!(
        matches!(report.verdict(), Verdict::NotScanned(_)),
        "{}",
        report.verdict()
    );
}

#[test]
fn response_204_announcing_a_body_is_refused() {
    let head = "ICAP/1.0 204 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(violation(scan(head)), Violation::TrailingBytes);
}

#[test]
fn error_shows_no_bytes_of_a_body_or_uri() {
    let content = "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\nthe content itself";
    let echoed = "RESPMOD icap://av/s?key=hunter2 ICAP/1.0\r\n\r\n";
    for response in [content, echoed] {
        let error = scan(response).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("content itself") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn echo_is_clean_only_if_204_is_not_offered() {
    let no_204 = OPTIONS_RESPONSE.replace("Allow: 204\r\n", "");
    assert_ne!(no_204, OPTIONS_RESPONSE);
    let verdict = |options: &str, back: &[u8]| {
        let response = Script::new().read_request().send(echo(PAGE_HEAD, back));
        let scripts = [Script::new().read_request().send(options), response];
        let server = Server::scripted(scripts).unwrap();
        let scanner = Scanner::new(server.uri()).unwrap();
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        report.verdict().clone()
    };
    assert!(verdict(&no_204, b"hello").is_clean());
    assert_eq!(
        verdict(OPTIONS_RESPONSE, b"hello"),
        Verdict::NotScanned(NotScanned::Echoed)
    );
    assert!(matches!(verdict(&no_204, b"hellO"), Verdict::Modified(_)));
    let truncated = Verdict::NotScanned(NotScanned::Truncated);
    assert_eq!(verdict(&no_204, b"hell"), truncated);
}

#[test]
fn service_without_options_is_taken_to_offer_204() {
    let report = scan(echo(PAGE_HEAD, b"hello")).unwrap();
    assert_eq!(*report.verdict(), Verdict::NotScanned(NotScanned::Echoed));
}

#[test]
fn error_status_is_an_error_with_its_reason() {
    for (line, unavailable) in [
        ("404 Service not found", false),
        ("503 Overloaded", true),
        ("558 No license", true),
    ] {
        let error = scan(format!("ICAP/1.0 {line}\r\nConnection: close\r\n\r\n")).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(&format!("responded with {line}")),
            "{error}"
        );
        assert_eq!(error.is_unavailable(), unavailable);
    }
}

#[test]
fn options_status_other_than_200_stops_the_scan() {
    let script = Script::new()
        .read_request()
        .send("ICAP/1.0 404 Service not found\r\n\r\n");
    let server = Server::scripted([script]).unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    assert_eq!(
        scanner.scan(Content::bytes(b"hello")).unwrap_err().status(),
        Some(404)
    );
    assert_eq!(server.connections(), 1, "nothing was sent after that");
}

#[test]
fn options_that_have_expired_are_asked_for_again() {
    let expired = OPTIONS_RESPONSE.replace("Options-TTL: 3600", "Options-TTL: 0");
    assert_ne!(expired, OPTIONS_RESPONSE);
    for (options, asked) in [(expired.as_str(), 3), (OPTIONS_RESPONSE, 1)] {
        let options = options.to_owned();
        let server = Server::answering(move |request| match request.method() {
            "OPTIONS" => Script::new().send(&options),
            _ => Script::new().send(CLEAN),
        });
        let server = server.unwrap();
        let scanner = Scanner::new(server.uri()).unwrap();
        for _ in 0..3 {
            assert!(
                scanner
                    .scan(Content::bytes(b"hello"))
                    .unwrap()
                    .verdict()
                    .is_clean()
            );
        }
        assert_eq!(server.requests(), 3 + asked);
    }
}

#[test]
fn hostile_threat_name_is_escaped_wherever_shown() {
    let report = scan(infected("a\x1b[2J\u{202e}b")).unwrap();
    let (display, debug) = (report.verdict().to_string(), format!("{report:?}"));
    for shown in [display, debug] {
        assert!(
            !shown.contains('\x1b') && !shown.contains('\u{202e}'),
            "{shown}"
        );
    }
}

#[test]
fn one_scanner_serves_many_threads() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let eicar = eicar();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (scanner, eicar) = (scanner.clone(), &eicar);
            scope.spawn(move || {
                for round in 0..20 {
                    let is_eicar = (thread + round) % 2 == 0;
                    let content = if is_eicar {
                        Content::bytes(eicar)
                    } else {
                        Content::bytes(b"hello")
                    };
                    let report = scanner.scan(content).unwrap();
                    assert_eq!(report.verdict().is_infected(), is_eicar);
                    assert_eq!(report.verdict().is_clean(), !is_eicar);
                }
            });
        }
    });
}
