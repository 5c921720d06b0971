//! `Client` returns the response of the service and does not judge it.

use std::io;

use icap_client::error::Violation;
use icap_client::testing::{OPTIONS_RESPONSE, Script, Server, echo};
use icap_client::{Body, Client, Content, Error, Method, Request, Scanner};

const HEAD: &str = "HTTP/1.1 200 OK\r\nX-Made-By: test\r\n\r\n";

fn client(script: Script) -> (Client, Server) {
    let server = Server::scripted([script]).unwrap();
    (Client::new(server.uri()).unwrap(), server)
}

fn respmod() -> Request {
    Request::respmod()
        .http_response(b"HTTP/1.1 200 OK\r\n\r\n")
        .unwrap()
}

#[test]
fn response_body_goes_to_the_callers_writer() {
    let (client, _server) = client(Script::new().read_request().send(echo(HEAD, b"other")));
    let mut output = Vec::new();
    let response = client.send(&respmod(), &b"hello"[..], &mut output).unwrap();
    assert_eq!(
        (response.status(), response.http_status()),
        (200, Some(200))
    );
    assert_eq!(response.http_response(), Some(HEAD.as_bytes()));
    assert_eq!(
        (output.as_slice(), response.body_len()),
        (&b"other"[..], Some(5))
    );
}

#[test]
fn complete_response_is_returned_whatever_its_status() {
    for status in [204, 404, 500, 599] {
        let (client, _server) = client(
            Script::new()
                .read_request()
                .send(format!("ICAP/1.0 {status}\r\n\r\n")),
        );
        let response = client
            .send(&respmod(), Body::none(), &mut io::sink())
            .unwrap();
        assert_eq!((response.status(), response.body_len()), (status, None));
    }
}

#[test]
fn bytes_after_the_response_are_an_error() {
    let (client, _server) = client(
        Script::new()
            .read_request()
            .send("ICAP/1.0 204 OK\r\n\r\nX"),
    );
    match client.send(&respmod(), &b"hello"[..], &mut io::sink()) {
        Err(Error::Protocol(error)) => {
            assert_eq!(
                (error.violation(), error.seen()),
                (Violation::TrailingBytes, "X")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn unallowed_204_is_an_error() {
    let (client, _server) = client(Script::new().read_request().send("ICAP/1.0 204 OK\r\n\r\n"));
    match client.send(&respmod().allow_204(false), &b"hello"[..], &mut io::sink()) {
        Err(Error::Protocol(error)) => assert_eq!(error.violation(), Violation::Unexpected204),
        other => panic!("{other:?}"),
    }
}

#[test]
fn failing_writer_is_blamed_on_the_caller() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (client, server) = client(
        Script::new()
            .read_request()
            .send(echo(HEAD, b"other"))
            .read_to_end(),
    );
    let error = client
        .send(&respmod(), &b"hello"[..], &mut Full)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Output(e) if e.io_error().kind() == io::ErrorKind::StorageFull),
        "{error:?}"
    );
    assert!(!error.is_unavailable());
    assert!(server.finish()[0].closed_by_client());
}

#[test]
fn request_is_sent_as_built() {
    let (client, server) = client(Script::new().read_request().send("ICAP/1.0 204 OK\r\n\r\n"));
    let request = respmod().header("X-Client-IP", "192.0.2.7").unwrap();
    client
        .send(&request, &b"hello"[..], &mut io::sink())
        .unwrap();
    let authority = client
        .uri()
        .to_string()
        .replace("icap://", "")
        .replace("/scan", "");
    let expected = format!(
        "RESPMOD icap://{authority}/scan ICAP/1.0\r\nHost: {authority}\r\nUser-Agent: icap-client/{}\r\n\
         Allow: 204\r\nX-Client-IP: 192.0.2.7\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
         HTTP/1.1 200 OK\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let conversation = server.finish().remove(0);
    assert_eq!(String::from_utf8_lossy(conversation.received()), expected);
}

#[test]
fn missing_body_is_not_an_empty_body() {
    for (body, list, end) in [
        (Body::none(), "res-hdr=0, null-body=19", "OK\r\n\r\n"),
        (
            Body::from(&b""[..]),
            "res-hdr=0, res-body=19",
            "OK\r\n\r\n0\r\n\r\n",
        ),
    ] {
        let (client, server) = client(Script::new().read_request().send("ICAP/1.0 204 OK\r\n\r\n"));
        client.send(&respmod(), body, &mut io::sink()).unwrap();
        let conversation = server.finish().remove(0);
        let sent = String::from_utf8_lossy(conversation.received()).into_owned();
        assert!(
            sent.contains(&format!("Encapsulated: {list}\r\n")) && sent.ends_with(end),
            "{sent}"
        );
    }
}

#[test]
fn options_body_is_read_and_dropped() {
    let with_body = OPTIONS_RESPONSE.replace(
        "Encapsulated: null-body=0",
        "Opt-body-type: Table\r\nEncapsulated: opt-body=0",
    );
    let (client, _server) = client(
        Script::new()
            .read_request()
            .send(with_body + "5\r\nhello\r\n0\r\n\r\n"),
    );
    let options = client.options().unwrap();
    assert!(options.allows_204());
    assert!(options.methods().contains(&Method::Respmod));
}

#[test]
fn endless_options_body_is_cut_off() {
    let head = "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nEncapsulated: opt-body=0\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let (client, _server) = client(
        Script::new()
            .read_request()
            .send(head)
            .send(chunk.repeat(17))
            .read_to_end(),
    );
    match client.options() {
        Err(Error::Protocol(error)) => assert_eq!(
            error.violation(),
            Violation::LimitExceeded(icap_client::error::Limit::ResponseBody)
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn headers_of_the_client_go_into_every_request() {
    let (_, server) = client(Script::answer_options(Script::new()));
    let client = Client::builder(server.uri())
        .header("User-Agent", "mine/1")
        .build()
        .unwrap();
    client.options().unwrap();
    let conversation = server.finish().remove(0);
    let sent = String::from_utf8_lossy(conversation.received()).into_owned();
    assert_eq!(sent.matches("User-Agent: ").count(), 1, "{sent}");
    assert!(sent.contains("\r\nUser-Agent: mine/1\r\n"), "{sent}");
    let reserved = Client::builder("icap://av.example/s")
        .header("Host", "x")
        .build();
    assert!(matches!(reserved, Err(Error::Input(_))));
}

#[test]
fn debug_shows_nothing_of_a_returned_request_head() {
    let head = "POST /up HTTP/1.1\r\nCookie: SECRET\r\n\r\n";
    let response = |head: &str| {
        let len = head.len();
        format!("ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, null-body={len}\r\n\r\n{head}")
    };
    for response in [
        response(head),
        response(&head.replace("HTTP/1.1", "HTTP/9")),
    ] {
        let (client, _server) = client(Script::new().read_request().send(response));
        let request = Request::reqmod().http_request(head.as_bytes()).unwrap();
        let result = client.send(&request, Body::none(), &mut io::sink());
        let shown = match &result {
            Ok(response) => format!("{response:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(
            !shown.contains("SECRET") && !shown.contains("/up"),
            "{shown}"
        );
    }
}

#[test]
fn writer_may_be_owned_borrowed_or_dyn() {
    let server = Server::start().unwrap();
    let client = Client::new(server.uri()).unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let request = Request::respmod().http_response(b"HTTP/1.1 200 OK\r\n\r\n");
    let request = request.unwrap();
    let mut output = Vec::new();
    let borrowed: &mut dyn std::io::Write = &mut output;
    client.send(&request, "hello", borrowed).unwrap();
    client.send(&request, b"hello", &mut output).unwrap();
    client.send(&request, vec![0; 5], std::io::sink()).unwrap();
    let borrowed: &mut dyn std::io::Write = &mut output;
    for report in [
        scanner.scan_replace("hello", borrowed),
        scanner.scan_replace(b"hello", std::io::sink()),
        scanner.scan(vec![0; 5]),
    ] {
        assert!(report.unwrap().verdict().is_clean());
    }
}

#[test]
fn report_has_the_icap_fields_and_the_name() {
    let response = "ICAP/1.0 204 OK\r\nX-Note: a\r\nEncapsulated: null-body=0\r\n\r\n";
    let server = Server::answering(move |_| Script::new().send(response)).unwrap();
    let scanner = Scanner::builder(server.uri()).negotiate(false).max_size(9);
    let scanner = scanner.build().unwrap();
    let report = scanner.scan(Content::from("hello").name("a.txt")).unwrap();
    assert_eq!(report.headers().get("x-note").unwrap().text(), "a");
    assert_eq!(report.name(), Some("a.txt"));
    assert_eq!(report, report.clone());
    let too_large = scanner.scan(vec![0; 10]).unwrap();
    assert!(too_large.headers().is_empty());
    assert_eq!(too_large.name(), None);
    assert_ne!(report, too_large);
}
