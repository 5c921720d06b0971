//! The caller's writer may be slow, faulty or full: the scan keeps its bounds, and failover still works.

use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use icap_client::error::TimeLimit;
use icap_client::testing::{CLEAN, Script, Server, echo};
use icap_client::{Content, Error, Report, Scanner, Verdict};

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// A writer with the result of a function for each call.
struct Writer<F>(F);

impl<F: FnMut(&[u8]) -> io::Result<usize>> Write for Writer<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn answering(response: impl Into<Vec<u8>>) -> Server {
    let response = response.into();
    Server::answering(move |_| Script::new().send(&response)).unwrap()
}

fn replace(
    server: &Server,
    writer: impl FnMut(&[u8]) -> io::Result<usize>,
) -> Result<Report, Error> {
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let scanner = builder.allow_206(true).build().unwrap();
    scanner.scan_replace(Content::bytes(b"hello"), &mut Writer(writer))
}

/// Other content, and a 206 that refers to all of the original.
fn responses() -> [Vec<u8>; 2] {
    let partial = format!(
        "ICAP/1.0 206 Partial\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n{OK}\
         0; use-original-body=0\r\n\r\n",
        OK.len()
    );
    [echo(OK, b"disarmed"), partial.into_bytes()]
}

#[test]
fn writer_that_claims_too_much_is_its_own_error() {
    for response in responses() {
        let server = answering(response);
        for claimed in [1, 1000, usize::MAX] {
            let result = replace(&server, |bytes| Ok(bytes.len().saturating_add(claimed)));
            assert!(matches!(result, Err(Error::Output(_))), "{result:?}");
        }
    }
}

#[test]
fn writer_that_is_always_interrupted_is_its_own_error() {
    for response in responses() {
        let server = answering(response);
        let result = replace(&server, |_| Err(ErrorKind::Interrupted.into()));
        assert!(matches!(result, Err(Error::Output(_))), "{result:?}");
    }
}

#[test]
fn writer_of_single_bytes_gets_all() {
    for (response, expected) in responses().into_iter().zip(["disarmed", "hello"]) {
        let mut got = Vec::new();
        let result = replace(&answering(response), |bytes| {
            got.push(bytes[0]);
            Ok(1)
        });
        assert!(matches!(result.unwrap().verdict(), Verdict::Modified(_)));
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }
}

#[test]
fn writer_that_is_slow_meets_the_deadline() {
    let chunks = "1\r\nx\r\n".repeat(5000);
    let head = "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n";
    let single_bytes = format!("{head}{OK}{chunks}0\r\n\r\n");
    let pause = Duration::from_millis(2);
    for (response, content) in [
        (single_bytes.into_bytes(), vec![7; 5]),
        (responses()[1].clone(), vec![7; 5000]),
    ] {
        let server = answering(response);
        let builder = Scanner::builder(server.uri()).negotiate(false);
        let builder = builder.allow_206(true).suspend_after(1);
        let deadline = Duration::from_millis(300);
        let scanner = builder.deadline(deadline).build().unwrap();
        let mut slow = Writer(|_: &[u8]| {
            // The slow caller.
            std::thread::sleep(pause);
            Ok(1)
        });
        let began = Instant::now();
        let result = scanner.scan_replace(Content::bytes(&content), &mut slow);
        let took = began.elapsed();
        match result {
            Err(Error::Timeout(error)) => assert_eq!(error.limit(), TimeLimit::Deadline),
            other => panic!("{other:?}"),
        }
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(scanner.stats().suspended.is_empty(), "it was the caller");
    }
}

#[test]
fn error_page_is_withheld_and_fails_over() {
    let page = |icap: &str, http: &str| {
        let head = format!("HTTP/1.1 {http}\r\n\r\n");
        let response = String::from_utf8(echo(&head, b"page")).unwrap();
        response.replacen("200 OK", icap, 1)
    };
    let good = Server::start().unwrap();
    for (icap, http) in [
        ("503 Busy", "200 OK"),
        ("500 Error", "200 OK"),
        ("503 Busy", "503 Busy"),
        ("200 OK", "502 Bad Gateway"),
        ("200 OK", "400 Bad Request"),
        ("201 Created", "500 Error"),
    ] {
        let failing = answering(page(icap, http));
        let builder = Scanner::builder(failing.uri()).negotiate(false);
        let scanner = builder.endpoint(good.uri()).build().unwrap();
        let mut output = Vec::new();
        let report = scanner.scan_replace(Content::bytes(b"hello"), &mut output);
        let report = report.unwrap();
        assert!(report.verdict().is_clean(), "{icap} {http}");
        assert_eq!((report.service(), &*output), (&*good.uri(), &b""[..]));
    }
}

#[test]
fn without_204_only_the_exact_bytes_back_are_clean() {
    let options = "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nAllow: 204\r\nPreview: 1024\r\n\
                   Transfer-Preview: *\r\nISTag: \"T\"\r\nEncapsulated: null-body=0\r\n\r\n";
    for (response, expected) in [
        (echo(OK, b"hello"), "clean"),
        (echo(OK, b"hellO"), "modified"),
        (echo(OK, b"hello!"), "modified"),
        (
            CLEAN.as_bytes().to_vec(),
            "it is a 204, which the request did not allow",
        ),
    ] {
        let (sender, heads) = std::sync::mpsc::channel();
        let server = Server::answering(move |request| {
            if request.method() == "OPTIONS" {
                return Script::new().send(options);
            }
            sender.send(request.head().to_vec()).unwrap();
            Script::new().send(&response)
        });
        let server = server.unwrap();
        let builder = Scanner::builder(server.uri()).allow_204(false);
        let scanner = builder
            .preview(icap_client::Preview::Negotiated)
            .build()
            .unwrap();
        let said = match scanner.scan(Content::bytes(b"hello")) {
            Ok(report) => report.verdict().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(said.contains(expected), "{expected}: {said}");
        let head = String::from_utf8(heads.recv().unwrap()).unwrap();
        assert!(
            !head.contains("Allow:") && !head.contains("Preview:"),
            "{head}"
        );
    }
}
