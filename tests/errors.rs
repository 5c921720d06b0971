//! The text of an error alone says what happened, to which service, and what to do.

use std::error::Error as _;
use std::io::{self, Read, Write};
use std::net::TcpListener;

use icap_client::testing::{Script, Server};
use icap_client::{Content, Error, Scanner};

fn hello() -> Content<'static> {
    Content::bytes(b"hello")
}

/// The text of an error that has no other source than its text.
fn text(error: &Error) -> String {
    assert!(error.source().is_none(), "{error:?}");
    error.to_string()
}

/// The error of a scan without OPTIONS, and the URI of the service.
fn scan(script: Script) -> (Error, String) {
    let server = Server::scripted([script]).unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let error = builder.build().unwrap().scan(hello()).unwrap_err();
    (error, server.uri())
}

fn options_error(response: &str) -> (String, String) {
    let server = Server::scripted([Script::new().read_request().send(response)]).unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    (text(&scanner.scan(hello()).unwrap_err()), server.uri())
}

#[test]
fn http_server_is_named() {
    let script = Script::new().read_request();
    let (error, uri) = scan(script.send("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let expected = format!(
        "{uri} sent a response that cannot be trusted: it does not begin with an ICAP/1.0 status line, \
         saw \"HTTP/1.1 400 Bad Request\" (this is an HTTP server: check the port)"
    );
    assert_eq!(text(&error), expected);
}

#[test]
fn ssh_server_is_named() {
    // It may greet before the request is sent, or only after that.
    for script in [Script::new(), Script::new().read_request()] {
        let (error, _) = scan(script.send("SSH-2.0-OpenSSH_9.2p1\r\n"));
        let text = text(&error);
        assert!(error.is_protocol(), "{error:?}");
        let hint = "saw \"SSH-2.0-OpenSSH_9.2p1\" (this is an SSH server: check the port)";
        assert!(text.ends_with(hint), "{text}");
    }
}

#[test]
fn refused_options_names_the_setting_without_it() {
    let (text, uri) = options_error("ICAP/1.0 404 Not Found\r\n\r\n");
    let expected = "responded to OPTIONS with 404 Not Found; check the service's path";
    assert_eq!(text, format!("{uri} {expected}"));
    for status in ["405 Method Not Allowed", "501 Not Implemented"] {
        let (text, uri) = options_error(&format!("ICAP/1.0 {status}\r\n\r\n"));
        let expected = format!(
            "{uri} responded to OPTIONS with {status}; check the service's path, or scan without OPTIONS: \
             negotiate(false)"
        );
        assert_eq!(text, expected);
    }
    let (text, uri) = options_error("ICAP/1.0 500 Server error\r\n\r\n");
    assert_eq!(
        text,
        format!("{uri} responded to OPTIONS with 500 Server error")
    );
}

#[test]
fn invalid_response_to_options_names_options() {
    let (text, _) = options_error("ICAP/1.0 200 OK\r\nno colon\r\n\r\n");
    let expected = "sent a response to OPTIONS that cannot be trusted: its ICAP head has a malformed field, \
                    saw \"no colon\"";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn error_of_a_reader_is_shown_and_returned() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let error = scanner.scan(Content::reader(Broken)).unwrap_err();
    assert_eq!(
        text(&error),
        "cannot read the content after 0 bytes: the disk is gone"
    );
    assert_eq!(error.io_error().unwrap().to_string(), "the disk is gone");
}

#[test]
fn error_of_an_output_is_shown_and_returned() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let response = "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
                    HTTP/1.1 200 OK\r\n\r\n5\r\nother\r\n0\r\n\r\n";
    let script = Script::new().read_request().send(response);
    let server = Server::scripted([script]).unwrap();
    let scanner = Scanner::builder(server.uri()).negotiate(false);
    let scanner = scanner.build().unwrap();
    let error = scanner.scan_replace(hello(), &mut Full).unwrap_err();
    assert_eq!(
        text(&error),
        "cannot write the response body to the output: the disk is full"
    );
    assert_eq!(error.io_error().unwrap().to_string(), "the disk is full");
}

#[test]
fn suspension_names_the_last_failure_with_its_cause() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("icap://{}/scan", closed.local_addr().unwrap());
    drop(closed);
    let scanner = Scanner::builder(&uri).suspend_after(1).build().unwrap();
    let refused = text(&scanner.scan(hello()).unwrap_err());
    assert_eq!(
        refused,
        format!("cannot connect to {uri}: connection refused")
    );
    assert_eq!(scanner.stats().suspended[0].why, refused);
    let suspended = text(&scanner.scan(hello()).unwrap_err());
    assert!(
        suspended.starts_with(&format!("{uri} is suspended: it has failed for ")),
        "{suspended}"
    );
    assert!(
        suspended.ends_with(&format!("last failure: {refused}")),
        "{suspended}"
    );
}
