//! REQMOD presents content as an upload (RFC 3507 §4.8).

use icap_client::error::InvalidInput;
use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Received, Script, Server, eicar, infected};
use icap_client::{Content, Error, Method, NotScanned, Scanner, ScannerBuilder, Verdict};

fn reqmod(server: &Server) -> ScannerBuilder {
    Scanner::builder(server.uri()).method(Method::Reqmod)
}

/// A response that encapsulates a request with this line and body.
fn request_back(line: &str, fields: &str, body: &str) -> String {
    let head = format!("{line}\r\n{fields}\r\n");
    let list = format!("req-hdr=0, req-body={}", head.len());
    let chunk = match body.len() {
        0 => String::new(),
        len => format!("{len:x}\r\n{body}\r\n"),
    };
    format!(
        "ICAP/1.0 200 OK\r\nISTag: \"icap-client-testing\"\r\n\
         Encapsulated: {list}\r\n\r\n{head}{chunk}0\r\n\r\n"
    )
}

fn response_back(status: &str, body: &str) -> String {
    let head = format!("HTTP/1.1 {status}\r\n\r\n");
    format!(
        "ICAP/1.0 200 OK\r\nISTag: \"icap-client-testing\"\r\n\
         Encapsulated: res-hdr=0, res-body={}\r\n\r\n{head}{:x}\r\n{body}\r\n0\r\n\r\n",
        head.len(),
        body.len()
    )
}

/// The verdict on `hello`, from a service that offers 204 or does not.
fn verdict_on(response: String, offers_204: bool) -> Verdict {
    let options = match offers_204 {
        true => OPTIONS_RESPONSE.to_owned(),
        false => OPTIONS_RESPONSE.replace("Allow: 204\r\n", ""),
    };
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(&options),
        _ => Script::new().send(&response),
    })
    .unwrap();
    let scanner = reqmod(&server).build().unwrap();
    let content = Content::bytes(b"hello").name("a");
    scanner.scan(content).unwrap().verdict().clone()
}

const LINE: &str = "POST http://content.invalid/a HTTP/1.1";

#[test]
fn upload_is_sent_as_a_request_with_a_body() {
    let server = Server::start().unwrap();
    let scanner = reqmod(&server).build().unwrap();
    let clean = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(clean.verdict().is_clean());
    let found = scanner.scan(Content::bytes(&eicar())).unwrap();
    assert!(found.verdict().is_infected());
}

#[test]
fn service_with_reqmod_only_gets_reqmod() {
    let only = |methods: &str| OPTIONS_RESPONSE.replace("RESPMOD, REQMOD", methods);
    for (methods, expected) in [
        ("REQMOD", "REQMOD"),
        ("RESPMOD", "RESPMOD"),
        ("REQMOD, RESPMOD", "RESPMOD"),
        ("FOO", "RESPMOD"),
    ] {
        let options = only(methods);
        let server = Server::answering(move |request: &Received| match request.method() {
            "OPTIONS" => Script::new().send(&options),
            method if method == expected => Script::new().send(CLEAN),
            _ => Script::new().send("ICAP/1.0 405 Method Not Allowed\r\n\r\n"),
        })
        .unwrap();
        let scanner = Scanner::new(server.uri()).unwrap();
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        assert!(report.verdict().is_clean(), "{methods}");
    }
}

#[test]
fn returned_request_is_clean_only_without_204() {
    let back = || request_back(LINE, "Content-Length: 5\r\nVia: 1.0 av\r\n", "hello");
    assert_eq!(verdict_on(back(), false), Verdict::Clean);
    let echoed = Verdict::NotScanned(NotScanned::Echoed);
    assert_eq!(verdict_on(back(), true), echoed);
}

#[test]
fn any_other_returned_request_is_not_clean() {
    for response in [
        request_back("GET http://content.invalid/a HTTP/1.1", "", "hello"),
        request_back("POST http://blocked.invalid/ HTTP/1.1", "", "hello"),
        request_back(LINE, "", "hellO"),
        request_back(LINE, "Content-Length: 4\r\n", "hello"),
    ] {
        let verdict = verdict_on(response, false);
        assert!(matches!(verdict, Verdict::Modified(_)), "{verdict}");
    }
}

#[test]
fn upload_of_which_a_part_comes_back_is_truncated() {
    for response in [
        request_back(LINE, "", "hell"),
        request_back(LINE, "", ""),
        request_back(LINE, "Content-Length: 6\r\n", "hello"),
        request_back(LINE, "Content-Length: 6\r\n", "jello"),
    ] {
        let verdict = verdict_on(response, false);
        assert_eq!(verdict, Verdict::NotScanned(NotScanned::Truncated));
    }
}

#[test]
fn request_to_another_target_is_modified() {
    for (host, is_clean) in [("files.example", true), ("blocked.invalid", false)] {
        let back = request_back("POST /up HTTP/1.1", &format!("Host: {host}\r\n"), "hello");
        let options = OPTIONS_RESPONSE.replace("Allow: 204\r\n", "");
        let server = Server::answering(move |request| match request.method() {
            "OPTIONS" => Script::new().send(&options),
            _ => Script::new().send(&back),
        })
        .unwrap();
        let scanner = reqmod(&server).build().unwrap();
        let head = b"POST /up HTTP/1.1\r\nHost: files.example\r\n\r\n";
        let report = scanner.scan(Content::bytes(b"hello").http_request(head));
        assert_eq!(report.unwrap().verdict().is_clean(), is_clean, "{host}");
    }
}

#[test]
fn request_without_host_is_same_if_its_target_has_it() {
    for (target, is_clean) in [("http://intranet/up", true), ("/proxy/http://x", false)] {
        let line = format!("POST {target} HTTP/1.1");
        let back = request_back(&line, "", "hello");
        let options = OPTIONS_RESPONSE.replace("Allow: 204\r\n", "");
        let server = Server::answering(move |request| match request.method() {
            "OPTIONS" => Script::new().send(&options),
            _ => Script::new().send(&back),
        })
        .unwrap();
        let scanner = reqmod(&server).build().unwrap();
        let head = format!("{line}\r\nHost: intranet\r\n\r\n");
        let content = Content::bytes(b"hello").http_request(head.as_bytes());
        let report = scanner.scan(content).unwrap();
        assert_eq!(report.verdict().is_clean(), is_clean, "{target}");
    }
}

#[test]
fn infection_field_in_a_returned_request_counts() {
    let back = request_back(LINE, "X-Virus-ID: Eicar\r\n", "hello");
    assert!(verdict_on(back, false).is_infected());
}

#[test]
fn response_in_place_of_the_upload_is_a_refusal() {
    // Even the same bytes: an HTTP response means that the request does not go on.
    for status in [
        "403 Forbidden",
        "200 OK",
        "204 No Content",
        "304 Not Modified",
    ] {
        for body in ["no", "hello"] {
            let verdict = verdict_on(response_back(status, body), false);
            let code = &status[..3];
            let is_blocked = matches!(&verdict, Verdict::Blocked(blocked) if blocked.status().to_string() == code);
            assert!(is_blocked, "{status}: {verdict}");
        }
    }
    let bare = "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\n2\r\nno\r\n0\r\n\r\n";
    let verdict = verdict_on(bare.to_owned(), false);
    assert!(matches!(verdict, Verdict::Blocked(_)), "{verdict}");
    for status in [400, 401, 500, 502] {
        let verdict = verdict_on(response_back(&format!("{status} x"), "no"), false);
        let failed = matches!(&verdict, Verdict::NotScanned(NotScanned::ServiceError { status: s, .. }) if *s == status);
        assert!(failed, "{status}: {verdict}");
    }
    let found = String::from_utf8(infected("Eicar")).unwrap();
    assert!(verdict_on(found, false).is_infected());
}

#[test]
fn http_request_of_the_caller_is_scanned() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    let scanner = reqmod(&server).build().unwrap();
    let head =
        b"PUT /up/a.bin?token=1 HTTP/1.1\r\nHost: h\r\nCookie: c\r\nContent-Length: 9\r\n\r\n";
    let content = Content::bytes(b"hello").http_request(head);
    assert!(scanner.scan(content).unwrap().verdict().is_clean());
    let bad = Content::bytes(b"hello").http_request(b"PUT /up/a.bin HTTP/1.1\r\n");
    match scanner.scan(bad) {
        Err(Error::Input(error)) => assert_eq!(error.kind(), InvalidInput::HttpHead),
        other => panic!("{other:?}"),
    }
    drop(scanner);
    let received = server.finish().remove(0);
    let text = String::from_utf8_lossy(received.received()).into_owned();
    let kept =
        "PUT /up/a.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert!(text.ends_with(kept), "{text}");
    assert_eq!(server_requests(&text), 2, "what is malformed is not sent");
}

fn server_requests(text: &str) -> usize {
    text.matches(" ICAP/1.0\r\n").count()
}

#[test]
fn options_is_no_method_to_scan_with() {
    let built = Scanner::builder("icap://av/s")
        .method(Method::Options)
        .build();
    match built {
        Err(Error::Input(error)) => assert_eq!(error.kind(), InvalidInput::Method),
        other => panic!("{other:?}"),
    }
}
