//! Credentials are sent to a service that requests them, and to no other (RFC 3507 §7.1).

use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Received, Script, Server};
use icap_client::{Client, Content, Endpoint, Error, Scanner};

/// `joe:hunter2`
const JOE: &str = "Basic am9lOmh1bnRlcjI=";

const ASKS: &str = "ICAP/1.0 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Basic realm=\"av, files\"\r\nEncapsulated: null-body=0\r\n\r\n";

fn has_credentials(request: &Received) -> bool {
    let field = request.headers().get("Proxy-Authorization");
    field.is_some_and(|field| *field.value() == *JOE.as_bytes())
}

fn response(request: &Received) -> Script {
    match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    }
}

/// A service that accepts only the user joe.
fn closed() -> Server {
    Server::answering(|request| match has_credentials(request) {
        true => response(request),
        false => Script::new().send(ASKS),
    })
    .unwrap()
}

#[test]
fn credentials_are_sent_once_asked_and_then_always() {
    let server = closed();
    let scanner = Scanner::builder(server.uri()).credentials("joe", "hunter2");
    let scanner = scanner.build().unwrap();
    // Content that can be read only once is not sent before the 407: OPTIONS got it.
    for _ in 0..3 {
        let content = Content::reader(&b"hello"[..]);
        assert!(scanner.scan(content).unwrap().verdict().is_clean());
    }
    assert_eq!((server.requests(), server.connections()), (5, 1));
}

#[test]
fn credentials_are_not_sent_unasked() {
    let server = Server::answering(|request| {
        assert!(request.headers().get("Proxy-Authorization").is_none());
        response(request)
    })
    .unwrap();
    let scanner = Scanner::builder(server.uri()).credentials("joe", "hunter2");
    let scanner = scanner.build().unwrap();
    assert!(
        scanner
            .scan(Content::bytes(b"hello"))
            .unwrap()
            .verdict()
            .is_clean()
    );
}

#[test]
fn missing_or_wrong_credentials_return_the_407() {
    let server = closed();
    let unknown = Scanner::new(server.uri()).unwrap();
    let wrong = Scanner::builder(server.uri()).credentials("joe", "swordfish");
    for scanner in [unknown, wrong.build().unwrap()] {
        for _ in 0..2 {
            let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
            assert_eq!(error.status(), Some(407));
            let shown = format!("{error} {error:?} {scanner:?}");
            assert!(
                !shown.contains("swordfish") && !shown.contains("Basic"),
                "{shown}"
            );
        }
    }
}

#[test]
fn credentials_are_sent_only_to_basic() {
    let digest = ASKS.replace("Basic realm", "Digest realm");
    let server = Server::answering(move |request| {
        assert!(!has_credentials(request));
        Script::new().send(&digest)
    })
    .unwrap();
    let scanner = Scanner::builder(server.uri()).credentials("joe", "hunter2");
    let error = scanner.build().unwrap().scan(Content::bytes(b"hello"));
    assert_eq!(error.unwrap_err().status(), Some(407));
}

#[test]
fn credentials_are_not_sent_to_another_server() {
    let first = Server::answering(|request| match has_credentials(request) {
        true => Script::new().send("ICAP/1.0 503 Busy\r\n\r\n"),
        false => Script::new().send(ASKS),
    })
    .unwrap();
    let second = Server::answering(|request| {
        assert!(request.headers().get("Proxy-Authorization").is_none());
        Script::new().send(ASKS)
    })
    .unwrap();
    let scanner = Scanner::builder(first.uri())
        .credentials("joe", "hunter2")
        .endpoint(second.uri())
        .build()
        .unwrap();
    // Neither server accepts. The error is the one of the first server.
    let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert_eq!(second.requests(), 1);
}

#[test]
fn each_server_has_its_own() {
    let first = Server::answering(|_| Script::new().send("ICAP/1.0 503 Busy\r\n\r\n")).unwrap();
    let second = closed();
    let scanner = Scanner::builder(first.uri())
        .credentials("ann", "swordfish")
        .endpoint(
            Endpoint::new(second.uri())
                .unwrap()
                .credentials("joe", "hunter2"),
        )
        .build()
        .unwrap();
    assert!(
        scanner
            .scan(Content::bytes(b"hello"))
            .unwrap()
            .verdict()
            .is_clean()
    );
}

#[test]
fn refusal_that_names_a_threat_is_kept() {
    let infected = ASKS.replace("Encapsulated", "X-Virus-ID: Early\r\nEncapsulated");
    let server = Server::answering(move |request| match has_credentials(request) {
        true => Script::new().send(CLEAN),
        false => Script::new().send(&infected),
    })
    .unwrap();
    let scanner = Scanner::builder(server.uri()).negotiate(false);
    let scanner = scanner.credentials("joe", "hunter2").build().unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(report.verdict().is_infected(), "{report:?}");
}

#[test]
fn page_of_a_407_does_not_reach_the_output() {
    let page = "ICAP/1.0 407 Who\r\nProxy-Authenticate: Basic realm=\"av\"\r\n\
        Encapsulated: res-hdr=0, res-body=20\r\n\r\nHTTP/1.1 407 Who\r\n\r\n";
    let page = format!("{page}4\r\nwho?\r\n0\r\n\r\n");
    let server = Server::answering(move |request| match has_credentials(request) {
        true => Script::new().send(icap_client::testing::echo(
            "HTTP/1.1 200 OK\r\n\r\n",
            b"new",
        )),
        false => Script::new().send(&page),
    })
    .unwrap();
    let client = Client::builder(server.uri()).credentials("joe", "hunter2");
    let mut output = Vec::new();
    let http_head = b"HTTP/1.1 200 OK\r\n\r\n";
    let request = icap_client::Request::respmod().http_response(http_head);
    let request = request.unwrap();
    let sent = client
        .build()
        .unwrap()
        .send(&request, &b"hello"[..], &mut output);
    assert_eq!(sent.unwrap().status(), 200);
    assert_eq!(output, b"new");
}

#[test]
fn credentials_unfit_for_basic_are_refused_unsent() {
    for (user, password) in [("a:b", "x"), ("a\r\nX: y", "x"), ("a", "x\r\n")] {
        let scanner = Scanner::builder("icap://av/s").credentials(user, password);
        assert!(matches!(scanner.build(), Err(Error::Input(_))), "{user:?}");
        let client = Client::builder("icap://av/s").credentials(user, password);
        assert!(matches!(client.build(), Err(Error::Input(_))), "{user:?}");
    }
}

#[test]
fn page_of_a_407_reaches_no_writer_and_no_verdict() {
    let page = "HTTP/1.1 407 Who\r\n\r\n";
    let asks = format!(
        "ICAP/1.0 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
         Encapsulated: res-hdr=0, res-body={}\r\n\r\n{page}4\r\nwho?\r\n0\r\n\r\n",
        page.len()
    );
    for (back, expected) in [
        ("hello", "clean"),
        ("new", "modified"),
        ("hel", "not scanned"),
    ] {
        let (asks, back) = (asks.clone(), back.to_owned());
        let echo = icap_client::testing::echo("HTTP/1.1 200 OK\r\n\r\n", back.as_bytes());
        let server = Server::answering(move |request| {
            Script::new().send(match has_credentials(request) {
                true => &*echo,
                false => asks.as_bytes(),
            })
        });
        let server = server.unwrap();
        let scanner = || {
            let builder = Scanner::builder(server.uri()).credentials("joe", "hunter2");
            builder.negotiate(false).allow_204(false).build().unwrap()
        };
        let report = scanner().scan(Content::bytes(b"hello")).unwrap();
        assert!(report.verdict().to_string().starts_with(expected), "{back}");
        let mut output = Vec::new();
        let report = scanner().scan_replace(Content::bytes(b"hello"), &mut output);
        assert!(report.unwrap().verdict().to_string().starts_with(expected));
        assert_eq!(output, back.as_bytes());
    }
}
