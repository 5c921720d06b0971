//! The server of `icap_client::testing` does what its documentation says.
#![cfg(feature = "testing")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use icap_client::testing::{
    self, CLEAN, CONTINUE, Conversation, OPTIONS_RESPONSE, Received, Script, Server,
};
use icap_client::{Body, Client, Content, Error, Method, Request, Response, Scanner};

const OPTIONS: &str = "OPTIONS icap://h/scan ICAP/1.0\r\nHost: h\r\n\r\n";
const HOUR: Duration = Duration::from_secs(3600);

fn connect(server: &Server) -> TcpStream {
    connect_to(server.address()).unwrap()
}

/// No test waits for longer than 20 seconds.
fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn send(stream: &TcpStream, bytes: impl AsRef<[u8]>) {
    (&*stream).write_all(bytes.as_ref()).unwrap();
}

/// Reads exactly what is expected.
fn expect(mut stream: &TcpStream, expected: impl AsRef<[u8]>) {
    let expected = expected.as_ref();
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&read),
        String::from_utf8_lossy(expected)
    );
}

/// Reads to the end of the stream, which must not be a reset.
fn rest(mut stream: &TcpStream) -> String {
    let mut read = String::new();
    stream.read_to_string(&mut read).unwrap();
    read
}

/// Reads a refusal, and the end of the connection.
fn assert_refused(stream: &TcpStream, status: &str, request: impl AsRef<[u8]>) {
    let _ = stream.shutdown(Shutdown::Write);
    let response = rest(stream);
    let request = String::from_utf8_lossy(request.as_ref()).into_owned();
    let line = format!("ICAP/1.0 {status}\r\n");
    assert!(response.starts_with(&line), "{request}: {response}");
    assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
}

/// A healthy service that offers every preview these tests send.
fn previewing() -> Server {
    Server::with_preview(4096).unwrap()
}

/// [`OPTIONS_RESPONSE`] with `other` in place of `line`.
fn options_but(line: &str, other: &str) -> String {
    assert!(OPTIONS_RESPONSE.contains(line));
    OPTIONS_RESPONSE.replace(line, other)
}

/// A request with a body in these chunks.
fn request_with(method: &str, fields: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let (http, list) = match method {
        "REQMOD" => ("POST /u HTTP/1.1\r\n\r\n", "req-hdr=0, req-body=20"),
        _ => ("HTTP/1.1 200 OK\r\n\r\n", "res-hdr=0, res-body=19"),
    };
    let head = format!("{method} icap://h/scan ICAP/1.0\r\n{fields}Encapsulated: {list}\r\n\r\n");
    let mut request = [head, http.to_owned()].concat().into_bytes();
    request.extend_from_slice(&chunked(chunks, ""));
    request
}

/// The last chunk has this `extension`.
fn chunked(chunks: &[&[u8]], extension: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks {
        body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("0{extension}\r\n\r\n").as_bytes());
    body
}

/// A request with these bytes in a preview of the announced length.
fn preview(method: &str, announced: usize, preview: &[u8], extension: &str) -> Vec<u8> {
    let fields = format!("Preview: {announced}\r\n");
    let mut request = request_with(method, &fields, &[]);
    let last_chunk = b"0\r\n\r\n";
    request.truncate(request.len() - last_chunk.len());
    let chunks: &[&[u8]] = if preview.is_empty() { &[] } else { &[preview] };
    request.extend_from_slice(&chunked(chunks, extension));
    request
}

fn respmod(chunks: &[&[u8]]) -> Vec<u8> {
    request_with("RESPMOD", "Allow: 204\r\n", chunks)
}

fn infected() -> Vec<u8> {
    testing::infected("Eicar-Test-Signature")
}

/// Sends content through [`Client`], which checks the response's framing strictly.
fn exchange(server: &Server, allow_204: bool, content: &[u8]) -> (Response, Vec<u8>) {
    let client = Client::new(server.uri()).unwrap();
    let http_head = b"HTTP/1.1 200 OK\r\nX-Mine: yes\r\n\r\n";
    let request = Request::respmod().http_response(http_head).unwrap();
    let mut body = Vec::new();
    let request = request.allow_204(allow_204);
    let response = client
        .send(&request, Body::from(content), &mut body)
        .unwrap();
    (response, body)
}

fn only(conversations: Vec<Conversation>) -> Conversation {
    let [conversation] = <[_; 1]>::try_from(conversations).unwrap();
    conversation
}

mod healthy_service {
    use super::*;

    #[test]
    fn finds_eicar_and_nothing_else() {
        let server = Server::start().unwrap();
        let scanner = Scanner::new(server.uri()).unwrap();
        let eicar = testing::eicar();
        let mut almost = eicar.clone();
        almost[67] = b'+';
        for clean in [&b""[..], b"hello", &eicar[..67], &eicar[1..], &almost] {
            let report = scanner.scan(Content::bytes(clean)).unwrap();
            assert!(report.verdict().is_clean(), "{:?}", report.verdict());
            assert_eq!(report.istag(), Some("icap-client-testing"));
        }
        let report = scanner.scan(Content::bytes(&eicar)).unwrap();
        assert_eq!(
            report.verdict().to_string(),
            "infected: Eicar-Test-Signature"
        );
    }

    #[test]
    fn offers_both_methods_and_204_and_no_preview() {
        let server = Server::start().unwrap();
        let options = Client::new(server.uri()).unwrap().options().unwrap();
        assert_eq!(options.methods(), [Method::Respmod, Method::Reqmod]);
        assert!(options.allows_204());
        assert_eq!(options.preview(), None);
        assert_eq!(options.istag(), Some("icap-client-testing"));
        assert_eq!(options.options_ttl(), Some(HOUR));
        assert_eq!(options.max_connections(), Some(100));
        assert_eq!(options.warnings(), [""; 0]);
    }

    #[test]
    fn finds_eicar_at_every_split_of_chunks_and_packets() {
        let server = Server::start().unwrap();
        let stream = connect(&server);
        let eicar = testing::eicar();
        for at in 1..eicar.len() {
            let (one, two) = eicar.split_at(at);
            let request = respmod(&[b"before", one, two, b"after"]);
            let (head, tail) = request.split_at(request.len() - 2 * at);
            send(&stream, head);
            send(&stream, tail);
            expect(&stream, infected());
            send(&stream, respmod(&[b"before", one, b"-", two]));
            expect(&stream, CLEAN);
        }
        let bytes: Vec<&[u8]> = eicar.chunks(1).collect();
        send(&stream, respmod(&bytes));
        expect(&stream, infected());
        assert_eq!(server.requests(), 2 * 67 + 1);
    }

    #[test]
    fn finds_eicar_anywhere_in_a_long_body() {
        let server = Server::start().unwrap();
        let scanner = Scanner::new(server.uri()).unwrap();
        let eicar = testing::eicar();
        for after in [0, 65_500, 262_100, 262_143, 1 << 20, 3_000_001] {
            let content = [&vec![b'.'; after], &*eicar, &vec![b'.'; 300_000]].concat();
            let report = scanner.scan(Content::bytes(&content)).unwrap();
            assert!(report.verdict().is_infected(), "after {after}");
        }
    }

    #[test]
    fn takes_several_requests_on_a_connection() {
        let server = Server::start().unwrap();
        let stream = connect(&server);
        let requests = [
            OPTIONS.as_bytes(),
            &respmod(&[b"hello"]),
            &request_with("REQMOD", "Allow: 204\r\n", &[&testing::eicar()]),
            &request_with("REQMOD", "allow: 206, 204\r\n", &[]),
        ];
        send(&stream, requests.concat());
        expect(&stream, OPTIONS_RESPONSE);
        expect(&stream, CLEAN);
        expect(&stream, infected());
        expect(&stream, CLEAN);
        assert_eq!((server.connections(), server.requests()), (1, 4));
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&stream), "");
    }

    #[test]
    fn closes_when_asked_to() {
        let server = Server::start().unwrap();
        let stream = connect(&server);
        send(
            &stream,
            request_with("RESPMOD", "Allow: 204\r\nConnection: close\r\n", &[b"x"]),
        );
        assert_eq!(rest(&stream), CLEAN);
    }

    #[test]
    fn echoes_where_204_is_not_allowed() {
        let server = Server::start().unwrap();
        for len in [0, 1, 70_000, 1 << 20] {
            let content = vec![b'x'; len];
            let (response, body) = exchange(&server, false, &content);
            assert_eq!(response.status(), 200);
            let http_head = b"HTTP/1.1 200 OK\r\nX-Mine: yes\r\n\r\n";
            assert_eq!(response.http_response(), Some(&http_head[..]));
            assert!(body == content, "{len}");
        }
        let (response, _) = exchange(&server, false, &vec![b'x'; (1 << 20) + 1]);
        assert_eq!(response.status(), 500);
        let (response, _) = exchange(&server, false, &testing::eicar());
        assert_eq!(response.http_status(), Some(403));
    }

    #[test]
    fn echoes_a_request_as_a_request() {
        let server = Server::start().unwrap();
        let stream = connect(&server);
        send(
            &stream,
            request_with("REQMOD", "Connection: close\r\n", &[b"hello"]),
        );
        let response = rest(&stream);
        assert!(
            response.contains("\r\nEncapsulated: req-hdr=0, req-body=20\r\n"),
            "{response}"
        );
        let message = "\r\n\r\nPOST /u HTTP/1.1\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert!(response.ends_with(message), "{response}");
    }

    #[test]
    fn returns_the_http_response_alone() {
        let server = Server::start().unwrap();
        let stream = connect(&server);
        send(
            &stream,
            "RESPMOD icap://h/scan ICAP/1.0\r\nConnection: close\r\n\
             Encapsulated: req-hdr=0, res-hdr=18, null-body=37\r\n\r\n\
             GET / HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        );
        let response = rest(&stream);
        assert!(
            response.contains("\r\nEncapsulated: res-hdr=0, null-body=19\r\n"),
            "{response}"
        );
        assert!(
            response.ends_with("\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            "{response}"
        );
    }

    #[test]
    fn refuses_invalid_requests_and_closes() {
        for bad in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\n",
            "OPTIONS icap://h/scan ICAP/1.0\n\n",
            "OPTIONS  ICAP/1.0\r\n\r\n",
            "OPTIONS icap://h/a b ICAP/1.0\r\n\r\n",
            "OPTIONS icap://h/scan ICAP/1.0\r\nno field\r\n\r\n",
            "RESPMOD icap://h/scan ICAP/1.0\r\n\r\n",
            "RESPMOD icap://h/scan ICAP/1.0\r\nEncapsulated: res-body=7\r\n\r\n",
            "RESPMOD icap://h/scan ICAP/1.0\r\nEncapsulated: null-body=0\r\n\
             Encapsulated: null-body=0\r\n\r\n",
            "RESPMOD icap://h/scan ICAP/1.0\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
             HTTP/1.1 200 OK\r\n\r\nxyz\r\n",
            &"x".repeat(64 * 1024),
        ] {
            let server = Server::start().unwrap();
            let stream = connect(&server);
            send(&stream, bad);
            assert_refused(&stream, "400 Bad Request: malformed request", bad);
        }
    }

    #[test]
    fn refuses_requests_in_an_invalid_form() {
        let http = "HTTP/1.1 200 OK\r\n\r\n";
        let body = "1\r\nx\r\n0\r\n\r\n";
        let (both, none) = ([http, body].concat(), "");
        let method = "unknown method";
        let options = "OPTIONS with a body";
        let heads = "no encapsulated HTTP head";
        let parts = "encapsulated parts of another method";
        let malformed = "malformed encapsulated HTTP head";
        for (words, list, rest, why) in [
            ("LOGMOD", "null-body=0", none, method),
            ("respmod", "null-body=0", none, method),
            ("OPTIONS", "opt-body=0", body, options),
            ("OPTIONS", "res-hdr=0, null-body=19", http, options),
            ("RESPMOD", "res-body=0", body, heads),
            ("RESPMOD", "null-body=0", none, heads),
            ("REQMOD", "req-body=0", body, heads),
            ("REQMOD", "null-body=0", none, heads),
            ("RESPMOD", "res-hdr=0, req-body=19", &both, parts),
            ("RESPMOD", "res-hdr=0, opt-body=19", &both, parts),
            ("REQMOD", "res-hdr=0, req-body=19", &both, parts),
            ("REQMOD", "req-hdr=0, res-body=19", &both, parts),
            ("RESPMOD", "req-hdr=0, res-body=19", &both, malformed),
            ("RESPMOD", "res-hdr=0, res-body=17", &both, malformed),
            ("RESPMOD", "res-hdr=0, res-body=21", &both, malformed),
        ] {
            let head = format!("{words} icap://h/scan ICAP/1.0\r\nEncapsulated: {list}\r\n\r\n");
            let request = head + rest;
            let answering = || Server::answering(|request| panic!("it got {request:?}"));
            for server in [Server::start(), answering()] {
                let server = server.unwrap();
                let stream = connect(&server);
                send(&stream, &request);
                assert_refused(&stream, &format!("400 Bad Request: {why}"), &request);
            }
        }
    }

    #[test]
    fn serves_many_clients_at_once() {
        let server = Server::start().unwrap();
        let scanner = Scanner::new(server.uri()).unwrap();
        let scan = |number: usize| {
            let content = if number % 2 == 0 {
                testing::eicar()
            } else {
                vec![b'x'; 100_000]
            };
            let report = scanner.scan(Content::bytes(&content)).unwrap();
            assert_eq!(report.verdict().is_infected(), number % 2 == 0);
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..20).for_each(scan));
            }
        });
        assert!(server.requests() >= 160);
    }

    #[test]
    fn counts_received_bytes_without_recording_them() {
        let server = Server::start().unwrap();
        let stream = connect(&server);
        send(&stream, OPTIONS);
        expect(&stream, OPTIONS_RESPONSE);
        drop(stream);
        let conversation = only(server.finish());
        assert_eq!(conversation.received(), b"");
        assert_eq!(conversation.received_len(), OPTIONS.len() as u64);
        assert!(conversation.closed_by_client());
    }
}

mod healthy_service_with_a_preview {
    use super::*;

    #[test]
    fn asks_for_the_rest_and_scans_all_of_it() {
        let server = previewing();
        let stream = connect(&server);
        let eicar = testing::eicar();
        for at in 0..eicar.len() {
            let (one, two) = eicar.split_at(at);
            send(&stream, preview("RESPMOD", at, one, ""));
            expect(&stream, CONTINUE);
            send(&stream, chunked(&[two], ""));
            expect(&stream, infected());
        }
        assert_eq!((server.connections(), server.requests()), (1, 68));
    }

    #[test]
    fn responds_at_once_to_a_complete_preview() {
        let server = previewing();
        let stream = connect(&server);
        for method in ["RESPMOD", "REQMOD"] {
            // A 204 to a preview needs no `Allow: 204`.
            for (announced, content) in [(0, &b""[..]), (5, b""), (5, b"hell"), (5, b"hello")] {
                send(&stream, preview(method, announced, content, "; ieof"));
                expect(&stream, CLEAN);
            }
            send(&stream, preview(method, 4096, &testing::eicar(), "; ieof"));
            expect(&stream, infected());
        }
    }

    #[test]
    fn responds_at_once_to_an_infected_preview() {
        let server = previewing();
        let stream = connect(&server);
        for method in ["RESPMOD", "REQMOD"] {
            send(&stream, preview(method, 68, &testing::eicar(), ""));
            expect(&stream, infected());
        }
        send(&stream, OPTIONS);
        expect(&stream, testing::options_with_preview(4096));
    }

    #[test]
    fn responds_204_after_a_preview_only_if_allowed() {
        let server = previewing();
        let stream = connect(&server);
        let allowed = request_with("REQMOD", "Allow: 204\r\nPreview: 0\r\n", &[]);
        send(&stream, allowed);
        expect(&stream, CONTINUE);
        send(&stream, chunked(&[b"hel", b"lo"], ""));
        expect(&stream, CLEAN);
        for (method, message) in [
            (
                "REQMOD",
                "POST /u HTTP/1.1\r\n\r\n7\r\nhe, llo\r\n0\r\n\r\n",
            ),
            (
                "RESPMOD",
                "HTTP/1.1 200 OK\r\n\r\n7\r\nhe, llo\r\n0\r\n\r\n",
            ),
        ] {
            let stream = connect(&server);
            send(&stream, preview(method, 2, b"he", ""));
            expect(&stream, CONTINUE);
            send(&stream, chunked(&[b", llo"], ""));
            stream.shutdown(Shutdown::Write).unwrap();
            let response = rest(&stream);
            assert!(response.starts_with("ICAP/1.0 200 OK\r\n"), "{response}");
            assert!(
                response.ends_with(&format!("\r\n\r\n{message}")),
                "{response}"
            );
        }
    }

    #[test]
    fn takes_a_message_without_a_body() {
        let server = previewing();
        let stream = connect(&server);
        send(
            &stream,
            "REQMOD icap://h/scan ICAP/1.0\r\nAllow: 204\r\nPreview: 10\r\n\
             Encapsulated: req-hdr=0, null-body=18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        );
        expect(&stream, CLEAN);
    }

    #[test]
    fn refuses_a_preview_of_another_length() {
        for bad in [
            preview("RESPMOD", 5, b"hell", ""),
            preview("RESPMOD", 5, b"hello!", ""),
            preview("REQMOD", 5, b"hello!", "; ieof"),
            preview("REQMOD", 0, b"h", ""),
            request_with("RESPMOD", "Preview: +0\r\n", &[]),
            request_with("RESPMOD", "Preview:\r\n", &[]),
            request_with("RESPMOD", "Preview: 0\r\nPreview: 0\r\n", &[]),
        ] {
            let server = previewing();
            let stream = connect(&server);
            send(&stream, &bad);
            stream.shutdown(Shutdown::Write).unwrap();
            let response = rest(&stream);
            let bad = String::from_utf8_lossy(&bad);
            assert!(response.starts_with("ICAP/1.0 400 "), "{bad}: {response}");
        }
    }

    #[test]
    fn refuses_a_malformed_rest() {
        let server = previewing();
        let stream = connect(&server);
        send(&stream, preview("RESPMOD", 2, b"he", ""));
        expect(&stream, CONTINUE);
        send(&stream, "xyz\r\n");
        assert!(rest(&stream).starts_with("ICAP/1.0 400 "));
    }

    #[test]
    fn offers_the_given_preview() {
        let server = Server::with_preview(4).unwrap();
        let options = Client::new(server.uri()).unwrap().options().unwrap();
        assert_eq!(options.preview(), Some(4));
        assert_eq!(options.transfer_preview(), ["*"]);
        assert!(options.allows_204());
        assert_eq!(options.warnings(), [""; 0]);
        let stream = connect(&server);
        for announced in [4, 3] {
            send(&stream, preview("RESPMOD", announced, b"hel", "; ieof"));
            expect(&stream, CLEAN);
        }
    }
}

mod unoffered {
    use super::*;

    fn trailers(content: &str, fields: &str) -> Vec<u8> {
        let mut request = request_with("RESPMOD", fields, &[content.as_bytes()]);
        request.truncate(request.len() - 2);
        request.extend_from_slice(b"X-Sum: 42\r\n\r\n");
        request
    }

    #[test]
    fn previews_are_refused() {
        let why = "400 Bad Request: preview not offered";
        for request in [
            preview("RESPMOD", 0, b"", ""),
            preview("REQMOD", 5, b"hello", "; ieof"),
        ] {
            let server = Server::start().unwrap();
            let stream = connect(&server);
            send(&stream, &request);
            assert_refused(&stream, why, &request);
        }
    }

    #[test]
    fn larger_previews_are_refused() {
        let server = Server::with_preview(4).unwrap();
        let stream = connect(&server);
        let request = preview("RESPMOD", 5, b"hel", "; ieof");
        send(&stream, &request);
        let why = "400 Bad Request: preview larger than offered";
        assert_refused(&stream, why, &request);
    }

    #[test]
    fn trailers_are_refused() {
        let why = "400 Bad Request: trailers not offered";
        let server = Server::start().unwrap();
        let stream = connect(&server);
        let request = trailers("hello", "Allow: 204, trailers\r\nTrailer: X-Sum\r\n");
        send(&stream, &request);
        assert_refused(&stream, why, &request);
        // Also trailers after the rest of a preview.
        let server = previewing();
        let stream = connect(&server);
        send(&stream, preview("RESPMOD", 2, b"he", ""));
        expect(&stream, CONTINUE);
        send(&stream, "3\r\nllo\r\n0\r\nX-Sum: 42\r\n\r\n");
        assert_refused(&stream, why, "the rest");
    }

    #[test]
    fn methods_are_refused() {
        let options = options_but("Methods: RESPMOD, REQMOD", "Methods: RESPMOD");
        let server = Server::start().unwrap().offering(options).unwrap();
        let stream = connect(&server);
        send(&stream, respmod(&[b"hello"]));
        expect(&stream, CLEAN);
        let request = request_with("REQMOD", "Allow: 204\r\n", &[b"hello"]);
        send(&stream, &request);
        let why = "405 Method Not Allowed: method not offered";
        assert_refused(&stream, why, &request);
    }

    #[test]
    fn offered_trailers_are_taken() {
        let options = options_but("Allow: 204", "Allow: 204, trailers");
        let server = Server::start().unwrap().offering(&options).unwrap();
        let stream = connect(&server);
        send(&stream, OPTIONS);
        expect(&stream, &options);
        send(&stream, trailers("hello", "Allow: 204, trailers\r\n"));
        expect(&stream, CLEAN);
    }

    #[test]
    fn content_is_echoed_where_204_is_not_offered() {
        let options = options_but("Allow: 204\r\n", "");
        let server = Server::start().unwrap().offering(options).unwrap();
        let (response, body) = exchange(&server, true, b"hello");
        assert_eq!((response.status(), &*body), (200, &b"hello"[..]));
    }

    #[test]
    fn computed_options_response_sets_the_offer() {
        let server = Server::answering(|request| match request.uri() {
            "icap://h/scan" if request.method() == "OPTIONS" => {
                Script::new().send(OPTIONS_RESPONSE)
            }
            "icap://h/broken" => Script::new()
                .send("ICAP/1.0 200 OK\r\nPreview: 9\r\n")
                .close(),
            "icap://h/busy" => Script::new().send("ICAP/1.0 503 Busy\r\nPreview: 9\r\n\r\n"),
            _ if request.method() == "OPTIONS" => {
                Script::new().send(testing::options_with_preview(4))
            }
            _ => Script::new().send(CLEAN),
        });
        let server = server.unwrap();
        let takes = |len| {
            let stream = connect(&server);
            send(&stream, preview("RESPMOD", len, b"", "; ieof"));
            stream.shutdown(Shutdown::Write).unwrap();
            rest(&stream) == CLEAN
        };
        let ask = |service: &str| {
            let stream = connect(&server);
            send(&stream, OPTIONS.replace("/scan", service));
            stream.shutdown(Shutdown::Write).unwrap();
            rest(&stream)
        };
        assert!(!takes(0), "it was not asked yet");
        ask("/with_preview");
        assert!(takes(4) && !takes(5));
        ask("/broken");
        ask("/busy");
        assert!(takes(4) && !takes(5), "these offer nothing");
        ask("/scan");
        assert!(!takes(0));
    }

    #[test]
    fn invalid_options_response_cannot_be_offered() {
        for bad in ["", "OPTIONS", CONTINUE, CLEAN, &OPTIONS_RESPONSE[..40]] {
            let error = Server::start().unwrap().offering(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }

    #[test]
    fn script_takes_everything() {
        let options = options_but("Methods: RESPMOD, REQMOD", "Methods: RESPMOD");
        let without_heads =
            "RESPMOD icap://h/scan ICAP/1.0\r\nEncapsulated: res-body=0\r\n\r\n0\r\n\r\n";
        for request in [
            trailers("hello", ""),
            preview("REQMOD", 70_000, b"hello", "; ieof"),
            without_heads.into(),
            "LOGMOD icap://h/scan ICAP/1.0\r\n\r\n".into(),
        ] {
            let server = Server::scripted([Script::new().read_request().send("taken")]).unwrap();
            let server = server.offering(&options).unwrap();
            let stream = connect(&server);
            send(&stream, &request);
            assert_eq!(rest(&stream), "taken");
        }
    }
}

mod responses {
    use super::*;

    #[test]
    fn infected_carries_the_threat_and_a_block_page() {
        let server = Server::answering(|_| Script::new().send(testing::infected("A.B-1"))).unwrap();
        let (response, body) = exchange(&server, true, b"hello");
        assert_eq!(
            (response.status(), response.http_status()),
            (200, Some(403))
        );
        let found = response.headers().get("X-Infection-Found").unwrap().text();
        assert_eq!(found, "Type=0; Resolution=2; Threat=A.B-1;");
        let length = response
            .http_headers()
            .unwrap()
            .get("Content-Length")
            .unwrap()
            .text();
        assert_eq!(length, body.len().to_string());
    }

    #[test]
    fn echo_carries_its_arguments() {
        let head = "HTTP/1.1 307 Elsewhere\r\nLocation: /a\r\n\r\n";
        let server = Server::answering(move |request| {
            Script::new().send(testing::echo(head, request.body()))
        });
        let server = server.unwrap();
        for content in [&b""[..], b"hello"] {
            let (response, body) = exchange(&server, true, content);
            assert_eq!(response.http_response(), Some(head.as_bytes()));
            assert_eq!(
                (response.body_len(), &*body),
                (Some(content.len() as u64), content)
            );
        }
    }

    #[test]
    fn clean_is_a_204() {
        let server = Server::answering(|_| Script::new().send(CLEAN)).unwrap();
        let (response, _) = exchange(&server, true, b"hello");
        assert_eq!(response.status(), 204);
        assert_eq!(response.istag().as_deref(), Some("icap-client-testing"));
    }

    #[test]
    fn eicar_is_in_no_source_and_no_program() {
        let sources = ["src/testing/mod.rs", "tests/testing_server.rs"];
        let sources = sources.map(|path| format!("{}/{path}", env!("CARGO_MANIFEST_DIR")).into());
        let program = std::env::current_exe().unwrap();
        let eicar = testing::eicar();
        assert_eq!(eicar.len(), 68);
        for file in [&sources[..], &[program]].concat() {
            let bytes = std::fs::read(&file).unwrap();
            assert!(
                memchr::memmem::find(&bytes, &eicar).is_none(),
                "{}",
                file.display()
            );
            assert!(
                memchr::memmem::find(&bytes, &eicar[27..62]).is_none(),
                "{}",
                file.display()
            );
        }
    }
}

mod answering_server {
    use super::*;

    fn describe(request: &Received) -> String {
        format!(
            "{} {} {:?} {} {} {} {} {}",
            request.method(),
            request.uri(),
            request.headers().get("x-note").map(|field| field.text()),
            String::from_utf8_lossy(request.http_heads()).escape_debug(),
            String::from_utf8_lossy(&request.body()[..request.body().len().min(4)]),
            request.body_len(),
            request.has_eicar(),
            request.allows_204(),
        )
    }

    #[test]
    fn shows_each_request() {
        let server = Server::answering(|request| {
            assert!(request.head().ends_with(b"\r\n\r\n"));
            Script::new().send(describe(request)).send("\n")
        });
        let server = server.unwrap();
        let stream = connect(&server);
        send(&stream, OPTIONS);
        expect(&stream, "OPTIONS icap://h/scan None   0 false false\n");
        send(
            &stream,
            request_with("REQMOD", "X-Note: a\r\n b\r\n", &[b"he", b"llo"]),
        );
        expect(
            &stream,
            "REQMOD icap://h/scan Some(\"a b\") POST /u HTTP/1.1\\r\\n\\r\\n hell 5 false false\n",
        );
        send(&stream, respmod(&[b"--", &testing::eicar()]));
        expect(
            &stream,
            "RESPMOD icap://h/scan None HTTP/1.1 200 OK\\r\\n\\r\\n --X5 70 true true\n",
        );
    }

    #[test]
    fn shows_previews_without_reading_on() {
        let server = Server::answering(|request| {
            let (preview, whole) = (request.preview(), request.is_whole());
            let seen = format!("{preview:?} {whole} {}\n", request.body_len());
            let script = Script::new().send(seen);
            if request.body() == b"no" {
                return script;
            }
            script.send(CONTINUE).read_rest().send("all")
        });
        let options = testing::options_with_preview(4096);
        let server = server.unwrap().offering(options).unwrap();
        let stream = connect(&server);
        send(&stream, respmod(&[b"no"]));
        expect(&stream, "None true 2\n");
        send(&stream, preview("RESPMOD", 2, b"no", ""));
        expect(&stream, "Some(2) false 2\n");
        send(&stream, preview("RESPMOD", 7, b"no", "; ieof"));
        expect(&stream, "Some(7) true 2\n");
        send(&stream, preview("REQMOD", 0, b"", ""));
        expect(&stream, format!("Some(0) false 0\n{CONTINUE}"));
        send(
            &stream,
            [&chunked(&[b"hello"], ""), OPTIONS.as_bytes()].concat(),
        );
        expect(&stream, "allNone true 0\n");
    }

    #[test]
    fn keeps_the_beginning_of_a_long_body_and_counts_all() {
        let server = Server::answering(|request| {
            let (kept, len) = (request.body().len(), request.body_len());
            Script::new()
                .send(format!("{kept} {len} {}\n", request.has_eicar()))
                .close()
        });
        let server = server.unwrap();
        let stream = connect(&server);
        send(&stream, respmod(&[&vec![b'x'; 1 << 20], &testing::eicar()]));
        assert_eq!(rest(&stream), "65536 1048644 true\n");
    }

    #[test]
    fn keeps_the_connection_until_a_script_closes_it() {
        let server = Server::answering(|request| match request.method() {
            "OPTIONS" => Script::new().send("1"),
            _ => Script::new().send("2").close().send("never"),
        });
        let server = server.unwrap();
        let stream = connect(&server);
        send(&stream, [OPTIONS, OPTIONS].concat());
        expect(&stream, "11");
        send(&stream, respmod(&[]));
        assert_eq!(rest(&stream), "2");
        assert_eq!((server.connections(), server.requests()), (1, 3));
        assert!(!only(server.finish()).closed_by_client());
    }

    #[test]
    fn panic_closes_only_its_own_connection() {
        let server = Server::answering(|request| match request.method() {
            "OPTIONS" => Script::new().send("fine"),
            method => panic!("this panic is part of the test: {method}"),
        });
        let server = server.unwrap();
        let (healthy, broken) = (connect(&server), connect(&server));
        send(&broken, respmod(&[b"x"]));
        assert_eq!(rest(&broken), "");
        send(&healthy, OPTIONS);
        expect(&healthy, "fine");
        drop((healthy, broken));
        assert_eq!(server.finish().len(), 2);
    }

    #[test]
    fn can_reset_after_a_request_was_read_to_its_end() {
        let server = Server::answering(|_| Script::new().reset()).unwrap();
        let client = Client::new(server.uri()).unwrap();
        let request = Request::respmod()
            .http_response(b"HTTP/1.1 200 OK\r\n\r\n")
            .unwrap();
        let error = client
            .send(&request, Body::from(&b"hello"[..]), &mut io::sink())
            .unwrap_err();
        let Error::Disconnected(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.io_error().kind(), ErrorKind::ConnectionReset);
        assert_eq!(server.requests(), 1);
    }
}

mod script {
    use super::*;

    fn playing(script: Script) -> (Server, TcpStream) {
        let server = Server::scripted([script]).unwrap();
        let stream = connect(&server);
        (server, stream)
    }

    fn assert_reset(mut stream: &TcpStream) {
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn plays_the_last_script_on_all_further_connections() {
        let scripts = ["one", "two", "three"].map(|word| Script::new().send(word));
        let server = Server::scripted(scripts).unwrap();
        for expected in ["one", "two", "three", "three", "three"] {
            assert_eq!(rest(&connect(&server)), expected);
        }
        assert_eq!(server.connections(), 5);
    }

    #[test]
    fn missing_or_empty_script_closes() {
        for server in [Server::scripted([]), Server::scripted([Script::new()])] {
            assert_eq!(rest(&connect(&server.unwrap())), "");
        }
    }

    #[test]
    fn works_for_a_scanner() {
        let server = Server::scripted([
            Script::new().answer_options().read_request().send(CLEAN),
            Script::new().read_request().send(CLEAN),
        ]);
        let server = server.unwrap();
        let scanner = Scanner::builder(server.uri())
            .negotiate(false)
            .build()
            .unwrap();
        assert!(
            scanner.scan(Content::bytes(b"x")).is_err(),
            "an OPTIONS response is no verdict"
        );
        assert!(
            scanner
                .scan(Content::bytes(b"x"))
                .unwrap()
                .verdict()
                .is_clean()
        );
        assert_eq!(server.requests(), 2);
    }

    #[test]
    fn reads_requests_one_at_a_time() {
        let script = Script::new()
            .read_request()
            .send("a")
            .read_request()
            .send("b");
        let (server, stream) = playing(script);
        let (one, two) = (respmod(&[b"hello"]), respmod(&[]));
        send(&stream, [&one[..], &two].concat());
        assert_eq!(rest(&stream), "ab");
        assert_eq!(server.requests(), 2);
        assert_eq!(only(server.finish()).received(), [&one[..], &two].concat());
    }

    #[test]
    fn reads_the_rest_up_to_its_last_chunk() {
        let script = Script::new()
            .read_request()
            .send(CONTINUE)
            .read_rest()
            .send("a")
            .read_request()
            .send("b");
        let (server, stream) = playing(script);
        send(&stream, preview("RESPMOD", 5, b"hello", ""));
        expect(&stream, CONTINUE);
        let all = [
            &chunked(&[b", ", b"world"], "; ieof"),
            OPTIONS.as_bytes(),
            b"!",
        ];
        send(&stream, all.concat());
        assert_eq!(rest(&stream), "ab");
        assert_eq!(server.requests(), 2);
        let received = [&preview("RESPMOD", 5, b"hello", "")[..], &all[..2].concat()].concat();
        assert!(only(server.finish()).received().starts_with(&received));
    }

    #[test]
    fn reads_no_rest_where_there_is_none() {
        let script = || Script::new().read_request().read_rest().read_rest();
        for whole in [
            respmod(&[b"hello"]),
            preview("RESPMOD", 9, b"hello", "; ieof"),
            OPTIONS.into(),
        ] {
            let (_server, stream) = playing(script().send("a"));
            send(&stream, whole);
            assert_eq!(rest(&stream), "a");
        }
    }

    #[test]
    fn ends_when_the_rest_is_malformed() {
        let script = Script::new().read_request().send("a").read_rest();
        let (_server, stream) = playing(script.send("never"));
        send(&stream, preview("RESPMOD", 0, b"", ""));
        expect(&stream, "a");
        send(&stream, "what?\r\n");
        assert_eq!(rest(&stream), "");
    }

    #[test]
    fn ends_when_the_request_is_malformed() {
        let (server, stream) = playing(Script::new().read_request().send("never"));
        send(&stream, "what?\r\n\r\n");
        assert_eq!(rest(&stream), "");
        assert!(!only(server.finish()).closed_by_client());
    }

    #[test]
    fn reads_exactly_the_given_number_of_bytes() {
        let script = Script::new()
            .read_bytes(3)
            .send("a")
            .read_bytes(4)
            .send("b")
            .half_close();
        let (server, stream) = playing(script.read_bytes(1));
        send(&stream, "0123456789");
        assert_eq!(rest(&stream), "ab");
        let conversation = only(server.finish());
        assert_eq!(
            (conversation.received(), conversation.received_len()),
            (&b"01234567"[..], 8)
        );
        assert!(!conversation.closed_by_client());
    }

    #[test]
    fn ends_when_the_client_closes_too_soon() {
        let (server, stream) = playing(Script::new().read_bytes(3).send("never"));
        send(&stream, "01");
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&stream), "");
        let conversation = only(server.finish());
        assert_eq!(conversation.received(), b"01");
        assert!(conversation.closed_by_client());
    }

    #[test]
    fn reads_to_the_end_and_goes_on() {
        let (server, stream) = playing(Script::new().read_to_end().send("thanks"));
        send(&stream, "0123");
        send(&stream, "4567");
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&stream), "thanks");
        let conversation = only(server.finish());
        assert_eq!(conversation.received(), b"01234567");
        assert!(conversation.closed_by_client());
    }

    #[test]
    fn sends_bytes_one_by_one_with_pauses() {
        let (began, pause) = (Instant::now(), Duration::from_millis(5));
        let (_server, stream) = playing(Script::new().dribble("0123456789", pause));
        assert_eq!(rest(&stream), "0123456789");
        assert!(began.elapsed() >= 10 * pause, "{:?}", began.elapsed());
    }

    #[test]
    fn waits_for_the_given_time() {
        let pause = Duration::from_millis(30);
        let (_server, stream) =
            playing(Script::new().send("a").read_bytes(1).wait(pause).send("b"));
        expect(&stream, "a");
        let began = Instant::now();
        send(&stream, "x");
        expect(&stream, "b");
        assert!(began.elapsed() >= pause);
    }

    #[test]
    fn holds_until_the_server_is_finished() {
        let (server, mut stream) = playing(Script::new().send("a").hold().send("never"));
        expect(&stream, "a");
        send(&stream, "held");
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        let conversation = only(server.finish());
        assert_eq!(rest(&stream), "");
        assert_eq!(conversation.received(), b"held");
        assert!(!conversation.closed_by_client());
    }

    #[test]
    fn holding_ends_with_a_client_that_keeps_sending() {
        let (server, mut stream) = playing(Script::new().hold());
        stream
            .set_write_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let stalled = (0..1000).find_map(|_| stream.write(&[0; 1 << 16]).err());
        assert!(stalled.is_some(), "64 MiB fit into the buffers");
        drop(stream);
        let conversation = only(server.finish());
        assert!(conversation.received_len() > 0);
    }

    #[test]
    fn holding_records_whether_the_client_closed() {
        let (server, stream) = playing(Script::new().read_request().send("a").hold());
        send(&stream, OPTIONS);
        expect(&stream, "a");
        drop(stream);
        assert!(only(server.finish()).closed_by_client());
    }

    #[test]
    fn closes_orderly() {
        let (server, stream) = playing(
            Script::new()
                .read_bytes(2)
                .send("bye")
                .close()
                .send("never"),
        );
        send(&stream, "hi");
        assert_eq!(rest(&stream), "bye");
        assert!(!only(server.finish()).closed_by_client());
    }

    #[test]
    fn closes_readably_with_client_bytes_unread() {
        let (server, stream) = playing(Script::new().read_bytes(1).send("bye").close());
        send(&stream, "hi, how are you?");
        assert_eq!(only(server.finish()).received(), b"h");
        assert_eq!(rest(&stream), "bye");
    }

    #[test]
    fn closes_one_direction_and_reads_on() {
        let (server, stream) = playing(Script::new().send("bye").half_close().read_bytes(4));
        assert_eq!(rest(&stream), "bye");
        send(&stream, "but");
        send(&stream, "!");
        assert_eq!(only(server.finish()).received(), b"but!");
    }

    #[test]
    fn resets_after_any_amount_read() {
        let read_all = OPTIONS.len() as u64;
        for (script, response) in [
            (Script::new().read_request(), ""),
            (Script::new().read_bytes(read_all), ""),
            (Script::new().read_bytes(1), ""),
            (Script::new().read_bytes(1).send("ICAP/1.0 2"), "ICAP/1.0 2"),
            (
                Script::new()
                    .read_request()
                    .send("x")
                    .wait(Duration::from_millis(1)),
                "x",
            ),
            (Script::new(), ""),
        ] {
            let (server, stream) = playing(script.clone().reset());
            send(&stream, OPTIONS);
            expect(&stream, response);
            assert_reset(&stream);
            assert!(!only(server.finish()).closed_by_client(), "{script:?}");
        }
    }

    #[test]
    fn ends_when_a_send_finds_the_client_gone() {
        let flood = Script::new()
            .send("a")
            .read_bytes(1)
            .send(vec![b'x'; 64 << 20]);
        let (server, stream) = playing(flood);
        expect(&stream, "a");
        send(&stream, "b");
        // With unread bytes, closing sends a reset.
        expect(&stream, "x");
        drop(stream);
        assert!(only(server.finish()).closed_by_client());
    }
}

mod server_end {
    use super::*;

    /// Dropping a server must be fast, however long its scripts are.
    fn assert_prompt(ends: impl FnOnce()) {
        let began = Instant::now();
        ends();
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn ends_promptly_whatever_it_is_doing() {
        let begun = || Script::new().send("begun");
        for (doing, script) in [
            ("hold", begun().hold()),
            ("wait", begun().wait(HOUR)),
            ("dribble", begun().dribble("abc", HOUR)),
            ("send", begun().send(vec![b'x'; 16 << 20])),
            ("read_request", begun().read_request()),
            ("read_bytes", begun().read_bytes(100)),
            ("read_to_end", begun().read_to_end().wait(HOUR)),
            ("reset", begun().reset()),
            ("half_close", begun().half_close().read_to_end()),
        ] {
            let server = Server::scripted([script]).unwrap();
            let stream = connect(&server);
            expect(&stream, "begun");
            assert_prompt(|| drop(server));
            // Bytes that were sent before may still come. Then the stream must end.
            let ended = io::copy(&mut &stream, &mut io::sink());
            let is_timeout = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
            assert!(!ended.is_err_and(is_timeout), "{doing}");
        }
    }

    #[test]
    fn cuts_off_idle_clients_and_half_requests() {
        for server in [Server::start(), Server::answering(|_| Script::new())] {
            let server = server.unwrap();
            let clients = [connect(&server), connect(&server), connect(&server)];
            send(&clients[1], &OPTIONS[..20]);
            send(&clients[2], &respmod(&[b"hello"])[..110]);
            assert_prompt(|| drop(server));
            for client in &clients {
                let mut read = Vec::new();
                // A reset, if the server had unread bytes.
                let _ = (&*client).read_to_end(&mut read);
                assert_eq!(read, b"");
            }
        }
    }

    #[test]
    fn stops_listening() {
        let server = Server::start().unwrap();
        let address = server.address();
        drop(connect(&server));
        drop(server);
        assert_eq!(
            connect_to(address).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    }

    #[test]
    fn reports_conversations_in_connection_order() {
        let server = Server::scripted([Script::new().read_to_end()]).unwrap();
        let clients: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
        for (number, client) in clients.iter().enumerate().rev() {
            send(client, number.to_string());
        }
        drop(clients);
        let conversations = server.finish();
        assert_eq!(conversations.len(), 20);
        for (number, conversation) in conversations.iter().enumerate() {
            assert_eq!(conversation.received(), number.to_string().as_bytes());
            assert!(conversation.closed_by_client());
        }
    }

    #[test]
    fn reports_nothing_without_connections() {
        let server = Server::start().unwrap();
        assert_eq!((server.connections(), server.requests()), (0, 0));
        assert!(server.finish().is_empty());
    }

    #[test]
    fn records_no_more_than_its_limit_and_counts_on() {
        let server = Server::scripted([Script::new().read_to_end()]).unwrap();
        let stream = connect(&server);
        let piece = vec![b'x'; 1 << 20];
        (0..17).for_each(|_| send(&stream, &piece));
        drop(stream);
        let conversation = only(server.finish());
        assert_eq!(conversation.received().len(), 16 << 20);
        assert_eq!(conversation.received_len(), 17 << 20);
    }

    #[test]
    fn waits_for_conversations_that_go_on() {
        let server = Server::scripted([Script::new().send("a").read_to_end()]).unwrap();
        let address = server.address();
        let (sender, receiver) = mpsc::channel();
        let client = thread::spawn(move || {
            let stream = connect_to(address).unwrap();
            expect(&stream, "a");
            sender.send(()).unwrap();
            // Until `finish` is called.
            while connect_to(address).is_ok() {
                thread::yield_now();
            }
            send(&stream, "the end");
        });
        receiver.recv().unwrap();
        let conversations = server.finish();
        assert_eq!(conversations[0].received(), b"the end");
        client.join().unwrap();
    }
}
