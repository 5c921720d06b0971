//! Early responses: the server responds during the upload.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use icap_client::error::Violation;
use icap_client::testing::{CLEAN, Script, Server, infected};
use icap_client::transport::Readiness;
use icap_client::{
    Body, Client, Connect, Content, Error, NotScanned, Report, Request, Scanner, ScannerBuilder,
    ServiceUri, Stream, Verdict,
};

mod support;

use support::stream::{Calls, wrapped};
use support::tap::Tap;

const LARGE: u64 = 50 * 1024 * 1024;

fn large() -> io::Take<io::Repeat> {
    io::repeat(7).take(LARGE)
}

fn scan(server: &Server) -> Result<Report, Error> {
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    scanner.scan(Content::reader(large()).len(LARGE))
}

fn violation(result: Result<Report, Error>) -> Violation {
    match result {
        Err(Error::Protocol(error)) => error.violation(),
        other => panic!("no protocol error but {other:?}"),
    }
}

#[test]
fn early_404_is_reported_instead_of_a_broken_pipe() {
    let not_found = "ICAP/1.0 404 Service not found\r\nConnection: close\r\n\r\n";
    for script in [
        Script::new().read_bytes(64 * 1024).send(not_found).reset(),
        Script::new().read_bytes(64 * 1024).send(not_found).close(),
        Script::new().read_bytes(1).send(not_found).reset(),
        Script::new()
            .read_bytes(64 * 1024)
            .send(not_found)
            .read_to_end(),
    ] {
        let server = Server::scripted([script]).unwrap();
        let error = scan(&server).unwrap_err();
        assert_eq!(error.status(), Some(404), "{error:?}");
        assert!(
            error.to_string().contains("404 Service not found"),
            "{error}"
        );
    }
}

/// Finds a threat in a part of the content.
fn finds_early() -> Server {
    let script = Script::new().read_bytes(64 * 1024);
    Server::scripted([script.send(infected("Eicar")).read_to_end()]).unwrap()
}

#[test]
fn early_infection_stops_the_upload() {
    let server = finds_early();
    let report = scan(&server).unwrap();
    assert_eq!(report.verdict().to_string(), "infected: Eicar");
    assert!(report.bytes_sent() < LARGE);
    let conversations = server.finish();
    assert!(
        conversations[0].received_len() < LARGE,
        "the upload went on to its end"
    );
    assert!(!conversations[0].received().ends_with(b"0\r\n\r\n"));
}

const EARLY: Verdict = Verdict::NotScanned(NotScanned::EarlyResponse);

#[test]
fn early_204_is_not_clean_and_stops_the_upload() {
    let begin = || Script::new().read_bytes(64 * 1024).send(CLEAN);
    for script in [
        begin().read_to_end(),
        begin().reset(),
        begin().close(),
        begin().half_close().read_to_end(),
        begin().send(CLEAN).read_to_end(),
    ] {
        let server = Server::scripted([script]).unwrap();
        let report = scan(&server).unwrap();
        assert_eq!(*report.verdict(), EARLY);
        assert!(report.bytes_sent() < LARGE);
        assert_eq!(report.status(), Some(204));
        let conversation = server.finish().remove(0);
        assert!(conversation.received_len() < LARGE);
        assert!(!conversation.received().ends_with(b"0\r\n\r\n"));
    }
}

#[test]
fn early_204_on_a_used_connection_is_retried() {
    let script = || {
        Script::new()
            .read_bytes(64 * 1024)
            .send(CLEAN)
            .read_to_end()
    };
    let first = Script::new().read_request().send(CLEAN);
    let used = first.read_bytes(64 * 1024).send(CLEAN).read_to_end();
    let server = Server::scripted([used, script()]).unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let scanner = builder.build().unwrap();
    let content = vec![7; 20_000_000];
    assert!(
        scanner
            .scan(Content::bytes(b"a"))
            .unwrap()
            .verdict()
            .is_clean()
    );
    let report = scanner.scan(Content::bytes(&content)).unwrap();
    assert_eq!(*report.verdict(), EARLY);
    assert_eq!((server.connections(), scanner.stats().retries), (2, 1));
}

#[test]
fn early_204_on_a_used_connection_worsens_the_retry() {
    let first = Script::new().read_request().send(CLEAN);
    let used = first.read_bytes(64 * 1024).send(CLEAN).read_to_end();
    for (last, expected) in [
        (CLEAN.into(), "not scanned"),
        (infected("Eicar"), "infected"),
    ] {
        let last = Script::new().read_request().send(last).hold();
        let server = Server::scripted([used.clone(), last]).unwrap();
        let builder = Scanner::builder(server.uri()).negotiate(false);
        let scanner = builder.build().unwrap();
        assert!(
            scanner
                .scan(Content::bytes(b"a"))
                .unwrap()
                .verdict()
                .is_clean()
        );
        let report = scanner.scan(Content::bytes(&[7; 20_000_000])).unwrap();
        let verdict = report.verdict().to_string();
        assert!(verdict.starts_with(expected), "{verdict}");
        assert_eq!(scanner.stats().retries, 1);
    }
}

#[test]
fn early_response_fails_over_to_the_next_server() {
    let early = || {
        Script::new()
            .read_bytes(64 * 1024)
            .send(CLEAN)
            .read_to_end()
    };
    let content = vec![7; 20_000_000];
    let blind = Server::scripted(std::iter::repeat_with(early).take(12)).unwrap();
    let good = Server::start().unwrap();
    let builder = Scanner::builder(blind.uri()).negotiate(false);
    let builder = builder.endpoint(good.uri()).suspend_after(1);
    let scanner = builder.build().unwrap();
    for _ in 0..3 {
        let report = scanner.scan(Content::bytes(&content)).unwrap();
        assert!(report.verdict().is_clean(), "{}", report.verdict());
        assert_eq!(report.service(), good.uri());
    }
    let stats = scanner.stats();
    assert_eq!((stats.failovers, stats.suspended.len()), (3, 0));

    // If no server scans, or the content cannot be sent again, the early response is the verdict.
    let other = Server::scripted([early()]).unwrap();
    let builder = Scanner::builder(blind.uri()).negotiate(false);
    let scanner = builder.endpoint(other.uri()).build().unwrap();
    let report = scanner.scan(Content::bytes(&content)).unwrap();
    assert_eq!(*report.verdict(), EARLY);
    assert_eq!(report.service(), blind.uri());
    let report = scanner.scan(Content::reader(&content[..])).unwrap();
    assert_eq!(*report.verdict(), EARLY);
}

#[test]
fn client_does_not_return_an_early_204() {
    let server = Server::scripted([Script::new()
        .read_bytes(64 * 1024)
        .send(CLEAN)
        .read_to_end()]);
    let server = server.unwrap();
    let client = Client::new(server.uri()).unwrap();
    let sent = client.send(&Request::respmod(), Body::reader(large()), &mut io::sink());
    match sent {
        Err(Error::Protocol(error)) => assert_eq!(error.violation(), Violation::EarlyResponse),
        other => panic!("{other:?}"),
    }
}

/// Scans `size` bytes with a server that responds `delay` after the first byte.
fn scan_blind(size: usize, delay: Duration) -> (Verdict, u64) {
    let script = Script::new().read_bytes(1).wait(delay).send(CLEAN);
    let server = Server::scripted([script.read_to_end()]).unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let scanner = builder.build().unwrap();
    let content = vec![7; size];
    let report = scanner.scan(Content::bytes(&content)).unwrap();
    (report.verdict().clone(), report.bytes_sent())
}

/// The kernel takes megabytes ahead, so all of a small upload may be written before the response. A response
/// that was seen early is never clean, and with an upload larger than the buffers it is always seen.
#[test]
fn early_204_is_seen_once_the_buffers_are_full() {
    for (size, delay) in [4 << 10, 200 << 10, 1 << 20, 20 << 20]
        .into_iter()
        .flat_map(|size| [0, 1, 20].map(|delay| (size, Duration::from_millis(delay))))
    {
        let (verdict, sent) = scan_blind(size, delay);
        assert!(verdict.is_clean() || verdict == EARLY, "{size}: {verdict}");
        assert!(!verdict.is_clean() || sent == size as u64);
        assert!(size < 20 << 20 || verdict == EARLY, "{delay:?}: {verdict}");
    }
}

#[test]
fn connection_reset_within_a_response_is_an_error() {
    let script = Script::new()
        .read_bytes(64 * 1024)
        .send(&CLEAN[..20])
        .reset();
    let server = Server::scripted([script]).unwrap();
    let error = scan(&server).unwrap_err();
    assert!(
        matches!(error, Error::Disconnected(_) | Error::Protocol(_)),
        "{error:?}"
    );
}

#[test]
fn server_sending_while_it_reads_does_not_deadlock() {
    // The response is as large as the request and the server reads nothing while it sends, so both
    // sides' buffers fill up.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let head =
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let step = |script: Script, _| script.read_bytes(0x1_0000).send(&chunk);
    let script = (0..LARGE / 0x1_0000).fold(Script::new().read_bytes(500).send(head), step);
    let server = Server::scripted([script.send("0\r\n\r\n").read_to_end()]).unwrap();
    let report = scan(&server).unwrap();
    let Verdict::Modified(modified) = report.verdict() else {
        panic!("{}", report.verdict())
    };
    assert_eq!(modified.body_len(), Some(LARGE));
}

#[test]
fn response_before_the_upload_is_read_cannot_deadlock() {
    let page = vec![b'x'; 20 * 1024 * 1024];
    let response = icap_client::testing::echo("HTTP/1.1 200 OK\r\n\r\n", &page);
    let server =
        Server::scripted([Script::new().read_bytes(100).send(response).read_to_end()]).unwrap();
    let mut body = Vec::new();
    let request = Request::respmod()
        .http_response(b"HTTP/1.1 200 OK\r\n\r\n")
        .unwrap();
    let client = Client::new(server.uri()).unwrap();
    let response = client
        .send(&request, Body::reader(large()), &mut body)
        .unwrap();
    assert_eq!(response.status(), 200);
    assert!(body == page, "{} bytes came back", body.len());
}

/// Connects to this address, so that the length of a request does not depend on the port.
struct To(SocketAddr);

impl Connect for To {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(TcpStream::connect(self.0)?))
    }
}

#[test]
fn interim_responses_do_not_stop_the_upload() {
    let scan = |server: &Server| {
        let builder = Scanner::builder("icap://server.invalid/scan").negotiate(false);
        let scanner = builder.connector(To(server.address())).build().unwrap();
        scanner.scan(Content::reader(large()).len(LARGE)).unwrap()
    };
    let server = Server::answering(|_| Script::new().send(CLEAN)).unwrap();
    assert!(scan(&server).verdict().is_clean());
    let request_len = server.finish()[0].received_len();

    let interim = "ICAP/1.0 102 Processing\r\n\r\n";
    let script = Script::new()
        .read_bytes(64 * 1024)
        .send(interim)
        .read_bytes(request_len - 64 * 1024)
        .send(interim);
    let server = Server::scripted([script.send(CLEAN).read_to_end()]).unwrap();
    assert!(scan(&server).verdict().is_clean());
}

/// Waits at its first read for bytes of the server, then reads from the inner reader.
struct After<R>(Option<Tap>, R);

impl<R: Read> Read for After<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(tap) = self.0.take() {
            tap.await_bytes(0);
        }
        self.1.read(buf)
    }
}

#[test]
fn bytes_before_the_request_are_never_its_response() {
    // Returns the connection when bytes of the server are there.
    struct Late(Tap);
    impl Connect for Late {
        fn connect(&self, service: &ServiceUri, time: Duration) -> io::Result<Box<dyn Stream>> {
            let stream = self.0.connect(service, time)?;
            self.0.await_bytes(0);
            Ok(stream)
        }
    }
    let server = Server::scripted([Script::new().send(CLEAN).read_to_end()]).unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let scanner = builder.connector(Late(Tap::default())).build().unwrap();
    assert_eq!(
        violation(scanner.scan(Content::bytes(b"hello"))),
        Violation::Unsolicited
    );
    assert_eq!(server.finish()[0].received_len(), 0, "nothing was sent");
}

/// Returns from a read only when the reset after it has come, so that the order is always the same.
struct ResetAfter {
    handle: TcpStream,
    reset: Option<io::Error>,
}

impl Calls for ResetAfter {
    fn read(&mut self, stream: &mut dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
        let len = stream.read(buf)?;
        stream.set_read_timeout(Duration::from_secs(10))?;
        self.reset = self.handle.peek(&mut [0]).err();
        Ok(len)
    }

    fn readiness(&mut self, stream: &mut dyn Stream) -> io::Result<Readiness> {
        self.reset.take().map_or_else(|| stream.readiness(), Err)
    }
}

#[test]
fn response_204_followed_by_a_reset_is_not_clean() {
    struct Connector;
    impl Connect for Connector {
        fn connect(&self, service: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
            let stream = TcpStream::connect((service.host(), service.port()))?;
            let handle = stream.try_clone()?;
            let reset = None;
            Ok(wrapped(Box::new(stream), ResetAfter { handle, reset }))
        }
    }
    // A reset means that the server had not read everything.
    let server = Server::scripted([Script::new().read_bytes(100).send(CLEAN).reset()]).unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let scanner = builder.connector(Connector).build().unwrap();
    let result = scanner.scan(Content::bytes(&[7; 10_000]));
    assert_eq!(violation(result), Violation::IncompleteUpload);
}

struct Fails;

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

#[test]
fn evidence_before_the_content_failed_counts() {
    let sent = || io::repeat(7).take(100_000);
    let too_long = || io::repeat(7);
    for endings in [
        Box::new(Fails) as Box<dyn Read + Send>,
        Box::new(too_long()),
    ] {
        let server = finds_early();
        let tap = Tap::default();
        let builder = Scanner::builder(server.uri())
            .negotiate(false)
            .max_size(100_000);
        let scanner = builder.connector(tap.clone()).build().unwrap();
        let content = sent().chain(After(Some(tap), endings));
        let report = scanner.scan(Content::reader(content)).unwrap();
        assert_eq!(report.verdict().to_string(), "infected: Eicar");
    }
}

/// A slow caller: pauses once, for longer than the timeouts of the test.
struct Slow<R>(Option<Duration>, R);

impl<R: Read> Read for Slow<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(pause) = self.0.take() {
            std::thread::sleep(pause);
        }
        self.1.read(buf)
    }
}

#[test]
fn slow_content_does_not_hide_evidence() {
    let (short, long) = (Duration::from_millis(100), Duration::from_millis(1200));
    let fails = || io::Cursor::new(b"more").chain(Fails);
    let limited = |builder: ScannerBuilder| builder.max_size(100_000);
    let slow_to_read = |builder: ScannerBuilder| builder.read_timeout(short);
    let out_of_time = |builder: ScannerBuilder| builder.deadline(10 * short);
    type Setting<'s> = &'s dyn Fn(ScannerBuilder) -> ScannerBuilder;
    let cases: [(Setting<'_>, Box<dyn Read + Send>); 4] = [
        (&|b| slow_to_read(limited(b)), Box::new(large())),
        (&slow_to_read, Box::new(fails())),
        (&out_of_time, Box::new(large())),
        (&out_of_time, Box::new(fails())),
    ];
    for (setting, rest) in cases {
        let server = finds_early();
        let tap = Tap::default();
        let builder = setting(Scanner::builder(server.uri()).negotiate(false));
        let scanner = builder.connector(tap.clone()).build().unwrap();
        let late = After(Some(tap), Slow(Some(long), rest));
        let content = io::repeat(7).take(100_000).chain(late);
        let report = scanner.scan(Content::reader(content)).unwrap();
        assert_eq!(report.verdict().to_string(), "infected: Eicar");
    }
}

#[test]
fn response_after_a_long_stall_is_read() {
    let not_found = "ICAP/1.0 404 Service not found\r\nConnection: close\r\n\r\n";
    let stops_reading = || {
        let script = Script::new().read_bytes(64 * 1024);
        script.wait(Duration::from_millis(300))
    };
    for (script, expected) in [
        (
            stops_reading().send(infected("Eicar")).hold(),
            "infected: Eicar",
        ),
        (
            stops_reading().send(not_found).reset(),
            "404 Service not found",
        ),
    ] {
        let server = Server::scripted([script]).unwrap();
        let builder = Scanner::builder(server.uri()).negotiate(false);
        let scanner = builder
            .read_timeout(Duration::from_millis(100))
            .build()
            .unwrap();
        let said = match scanner.scan(Content::reader(large()).len(LARGE)) {
            Ok(report) => report.verdict().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn size_limit_reached_in_the_upload_abandons_it() {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .max_size(1_000_000)
        .build()
        .unwrap();
    let report = scanner.scan(Content::reader(large())).unwrap();
    let limit = 1_000_000;
    assert_eq!(
        *report.verdict(),
        Verdict::NotScanned(NotScanned::TooLarge { limit })
    );
    assert!(report.bytes_sent() <= limit);
    let conversation = &server.finish()[0];
    assert!(conversation.closed_by_client());
    assert!(
        !conversation.received().ends_with(b"0\r\n\r\n"),
        "no last-chunk"
    );
}
