//! Exchanges over TLS keep the same promises as over TCP.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::error::{Phase, TimeLimit, Violation};
use icap_client::stats::CloseReason;
use icap_client::testing::{CLEAN, Script, Server, eicar, infected};
use icap_client::tls::TlsConnector;
use icap_client::tls::rustls::SupportedProtocolVersion;
use icap_client::transport::Readiness;
use icap_client::{
    Connect, Content, Error, NotScanned, Preview, Report, Scanner, ScannerBuilder, ServiceUri,
    Stream, Verdict,
};

use super::front::{Ending, Front, Session};
use super::pki::{Authority, TLS12, TLS13};
use super::support::stream::{Calls, wrapped};

const LARGE: u64 = 20_000_000;
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(60);

/// A server with TLS, and a scanner for it that sends no OPTIONS.
struct Setting {
    // Dropped in this order, because the front waits for its connections.
    scanner: Scanner,
    front: Front,
    server: Server,
}

fn setting(server: Server, version: &'static SupportedProtocolVersion) -> Setting {
    with(server, version, Ending::Notified, |builder| builder)
}

fn with(
    server: Server,
    version: &'static SupportedProtocolVersion,
    ending: Ending,
    set: impl FnOnce(ScannerBuilder) -> ScannerBuilder,
) -> Setting {
    let authority = Authority::new();
    let config = authority.local().server(version);
    let front = Front::new(config, server.address(), ending);
    let builder = Scanner::builder(front.uri())
        .negotiate(false)
        .connector(authority.connector());
    let scanner = set(builder).build().unwrap();
    Setting {
        scanner,
        front,
        server,
    }
}

fn scripted(script: Script) -> Setting {
    setting(Server::scripted([script]).unwrap(), TLS13)
}

impl Setting {
    fn scan_hello(&self) -> Result<Report, Error> {
        self.scanner.scan(Content::bytes(b"hello"))
    }

    fn scan_large(&self) -> Result<Report, Error> {
        self.scan_repeated(LARGE)
    }

    fn scan_repeated(&self, len: u64) -> Result<Report, Error> {
        let content = io::repeat(7).take(len);
        self.scanner.scan(Content::reader(content).len(len))
    }
}

fn assert_clean(result: Result<Report, Error>) {
    let report = result.unwrap();
    assert!(report.verdict().is_clean(), "{}", report.verdict());
}

#[test]
fn clean_and_infected_files_are_distinguished() {
    for (version, preview) in [
        (TLS12, Preview::Off),
        (TLS13, Preview::Off),
        (TLS13, Preview::Limit(4)),
    ] {
        let it = with(Server::start().unwrap(), version, Ending::Notified, |b| {
            b.negotiate(true).preview(preview)
        });
        assert_clean(it.scan_hello());
        let report = it.scanner.scan(Content::bytes(&eicar())).unwrap();
        assert!(report.verdict().is_infected(), "{}", report.verdict());
    }
}

#[test]
fn request_line_has_the_icaps_uri() {
    let script = Script::new().read_request().send(CLEAN).read_to_end();
    let it = scripted(script);
    assert_clean(it.scan_hello());
    let port = it.front.port();
    drop(it.scanner);
    let conversations = it.server.finish();
    let received = String::from_utf8_lossy(conversations[0].received()).into_owned();
    let line = format!("RESPMOD icaps://127.0.0.1:{port}/scan ICAP/1.0\r\n");
    assert!(received.starts_with(&line), "{received}");
    assert!(
        received.contains(&format!("\r\nHost: 127.0.0.1:{port}\r\n")),
        "{received}"
    );
}

#[test]
fn session_tickets_and_new_keys_are_no_stray_bytes() {
    // A TLS 1.3 server of rustls sends two tickets after the handshake.
    for version in [TLS12, TLS13] {
        let it = setting(Server::start().unwrap(), version);
        for _ in 0..20 {
            assert_clean(it.scan_hello());
            if version == TLS13 {
                it.front.session(0).change_keys();
            }
        }
        assert_eq!(it.front.connections(), 1);
        let stats = it.scanner.stats();
        assert_eq!(
            (stats.connections_opened, stats.connections_reused),
            (1, 19)
        );
    }
}

/// Scans, lets the server send bytes on the idle connection, and scans again.
fn after_a_word_on_an_idle_connection(word: impl Fn(&Session)) {
    let authority = Authority::new();
    let server = Server::start().unwrap();
    let config = authority.local().server(TLS13);
    let front = Front::new(config, server.address(), Ending::Notified);
    let waits = Waits::default();
    let connector = Waiting {
        connector: authority.connector(),
        waits: waits.clone(),
    };
    let scanner = Scanner::builder(front.uri())
        .negotiate(false)
        .connector(connector)
        .build()
        .unwrap();
    assert_clean(scanner.scan(Content::bytes(b"hello")));
    word(&front.session(0));
    waits.0.store(true, SeqCst);
    let report = scanner.scan(Content::bytes(&eicar())).unwrap();
    assert!(report.verdict().is_infected(), "{}", report.verdict());
    let stats = scanner.stats();
    let closed = stats.closed_by_reason.get(&CloseReason::IdleBytes);
    assert_eq!((stats.connections_opened, closed), (2, Some(&1)));
}

#[test]
fn stray_response_on_an_idle_connection_is_discarded() {
    after_a_word_on_an_idle_connection(|session| session.say(CLEAN.as_bytes()));
    after_a_word_on_an_idle_connection(|session| session.say(b"I"));
}

#[test]
fn part_of_a_record_on_an_idle_connection_discards_it() {
    let part = [0x17, 3, 3, 0, 99, 1, 2, 3];
    after_a_word_on_an_idle_connection(|session| session.say_raw(&part));
    after_a_word_on_an_idle_connection(|session| session.say_raw(&part[..1]));
}

/// Connects over TLS. When it is told to, its streams wait in `readiness` until something is there.
struct Waiting {
    connector: TlsConnector,
    waits: Waits,
}

#[derive(Clone, Default)]
struct Waits(Arc<AtomicBool>);

impl Connect for Waiting {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let stream = self.connector.connect(service, timeout)?;
        Ok(wrapped(stream, self.waits.clone()))
    }
}

impl Calls for Waits {
    fn readiness(&mut self, stream: &mut dyn Stream) -> io::Result<Readiness> {
        let began = Instant::now();
        loop {
            let readiness = stream.readiness()?;
            if !self.0.load(SeqCst) {
                return Ok(readiness);
            }
            if readiness != Readiness::Idle || began.elapsed() > LONG {
                self.0.store(false, SeqCst);
                return Ok(readiness);
            }
            thread::yield_now();
        }
    }
}

#[test]
fn second_response_is_not_clean() {
    let twice = [CLEAN, CLEAN].concat();
    let it = scripted(Script::new().read_request().send(twice).read_to_end());
    let error = it.scan_hello().unwrap_err();
    assert_eq!(violation(&error), Some(Violation::TrailingBytes));
}

fn violation(error: &Error) -> Option<Violation> {
    match error {
        Error::Protocol(error) => Some(error.violation()),
        _ => None,
    }
}

#[test]
fn large_file_is_scanned_by_a_late_server() {
    for version in [TLS12, TLS13] {
        let it = setting(Server::start().unwrap(), version);
        let large = vec![7; 20_000_000];
        for _ in 0..2 {
            let report = it.scanner.scan(Content::bytes(&large)).unwrap();
            assert!(report.verdict().is_clean());
            assert_eq!(report.bytes_sent(), LARGE);
        }
        assert_eq!(it.front.connections(), 1);
    }
}

#[test]
fn early_infection_stops_the_upload() {
    let begin = Script::new().read_bytes(64 * 1024).send(infected("Eicar"));
    let it = scripted(begin.read_to_end());
    let report = it.scan_large().unwrap();
    assert_eq!(report.verdict().to_string(), "infected: Eicar");
    assert!(report.bytes_sent() < LARGE);
    drop(it.scanner);
    let conversations = it.server.finish();
    assert!(!conversations[0].received().ends_with(b"0\r\n\r\n"));
}

#[test]
fn early_204_is_not_clean_and_stops_the_upload() {
    let begin = Script::new().read_bytes(64 * 1024).send(CLEAN);
    for script in [
        begin.clone().read_to_end(),
        begin.clone().reset(),
        begin.close(),
    ] {
        let it = scripted(script);
        let report = it.scan_large().unwrap();
        let early = Verdict::NotScanned(NotScanned::EarlyResponse);
        assert_eq!(*report.verdict(), early);
        assert!(report.bytes_sent() < LARGE);
    }
}

#[test]
fn server_sending_while_it_reads_does_not_deadlock() {
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let head =
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let step = |script: Script, _| script.read_bytes(0x1_0000).send(&chunk);
    let chunks = LARGE / 0x1_0000;
    let script = (0..chunks).fold(Script::new().read_bytes(500).send(head), step);
    let it = scripted(script.send("0\r\n\r\n").read_to_end());
    let report = it.scan_large().unwrap();
    let Verdict::Modified(modified) = report.verdict() else {
        panic!("{}", report.verdict())
    };
    assert_eq!(modified.body_len(), Some(chunks * 0x1_0000));
}

#[test]
fn upload_to_a_slow_server_arrives_whole_and_once() {
    // It reads a little at a time, so that writes stall within records.
    let pause = Duration::from_millis(1);
    let step = |script: Script, _| script.read_bytes(30_000).wait(pause);
    let script = (0..200).fold(Script::new(), step);
    let server = Server::scripted([script.read_to_end()]).unwrap();
    let it = with(server, TLS13, Ending::Notified, |builder| {
        builder.read_timeout(SHORT)
    });
    let content: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_be_bytes).collect();
    // The server never responds. The test compares what arrives.
    let error = it.scanner.scan(Content::bytes(&content)).unwrap_err();
    assert!(
        matches!(&error, Error::Timeout(e) if e.phase() == Phase::Read),
        "{error:?}"
    );
    drop(it.scanner);
    let received = it.server.finish();
    let body = unchunked(received[0].received());
    assert!(body == content, "{} of {} bytes", body.len(), content.len());
}

/// The body after the heads, as far as complete chunks were recorded.
fn unchunked(message: &[u8]) -> Vec<u8> {
    let heads = message.windows(4).enumerate();
    let mut ends = heads.filter(|(_, window)| *window == b"\r\n\r\n");
    // The ICAP head, and the heads of an HTTP request and response.
    let (end, _) = ends.nth(2).unwrap();
    let mut rest = &message[end + 4..];
    let mut body = Vec::new();
    while let Some(at) = rest.iter().position(|&byte| byte == b'\r') {
        let size = std::str::from_utf8(&rest[..at]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let Some(chunk) = rest[at + 2..].get(..size) else {
            break;
        };
        body.extend_from_slice(chunk);
        let Some(next) = rest.get(at + 2 + size + 2..) else {
            break;
        };
        rest = next;
    }
    body
}

#[test]
fn connection_closed_within_a_response_is_an_error() {
    for ending in [Ending::Notified, Ending::Silent] {
        for len in [0, 10, CLEAN.len() - 1] {
            let script = Script::new().read_request().send(&CLEAN[..len]).close();
            let server = Server::scripted([script]).unwrap();
            let it = with(server, TLS13, ending, |builder| builder);
            let error = it.scan_hello().unwrap_err();
            assert!(
                matches!(error, Error::Disconnected(_) | Error::Protocol(_)),
                "{error:?}"
            );
            if ending == Ending::Silent {
                let text = error.to_string();
                assert!(text.contains("without ending the TLS session"), "{text}");
            }
        }
    }
}

#[test]
fn altered_record_is_an_error() {
    let it = scripted(
        Script::new()
            .read_request()
            .send(&CLEAN[..10])
            .read_to_end(),
    );
    let front = &it.front;
    let error = thread::scope(|scope| {
        let scan = scope.spawn(|| it.scan_hello());
        while it.server.requests() == 0 {
            thread::yield_now();
        }
        let mut record = vec![0x17, 3, 3, 0, 20];
        record.extend([7; 20]);
        front.session(0).say_raw(&record);
        scan.join().unwrap().unwrap_err()
    });
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("were changed on the way"), "{text}");
}

#[test]
fn idle_connection_closed_by_the_server_costs_no_scan() {
    for ending in [Ending::Notified, Ending::Silent] {
        let script = Script::new().read_request().send(CLEAN).close();
        let server = Server::scripted([script]).unwrap();
        let it = with(server, TLS13, ending, |builder| builder);
        for _ in 0..5 {
            assert_clean(it.scan_hello());
        }
        assert_eq!(it.front.connections(), 5);
    }
}

#[test]
fn timeouts_and_the_deadline_hold() {
    let says_nothing = Script::new().read_to_end();
    let reads_nothing = Script::new().hold();
    let dribbles = Script::new().read_request().dribble(
        format!("ICAP/1.0 204 No Content\r\nX: {}", "y".repeat(10_000)),
        Duration::from_millis(20),
    );
    type Set = fn(ScannerBuilder) -> ScannerBuilder;
    let cases: [(Script, Set, Phase, TimeLimit); 3] = [
        (
            says_nothing,
            |builder| builder.read_timeout(SHORT),
            Phase::Read,
            TimeLimit::ReadTimeout,
        ),
        (
            reads_nothing,
            |builder| builder.write_timeout(SHORT).max_size(None),
            Phase::Write,
            TimeLimit::WriteTimeout,
        ),
        (
            dribbles,
            |builder| builder.deadline(SHORT),
            Phase::Read,
            TimeLimit::Deadline,
        ),
    ];
    for (script, set, phase, limit) in cases {
        let server = Server::scripted([script]).unwrap();
        let it = with(server, TLS13, Ending::Notified, set);
        let began = Instant::now();
        let result = match phase {
            // More than all buffers on the way can hold.
            Phase::Write => it.scan_repeated(1 << 40),
            _ => it.scan_hello(),
        };
        let Err(Error::Timeout(error)) = result else {
            panic!("{result:?}")
        };
        assert_eq!((error.phase(), error.limit()), (phase, limit));
        assert!(began.elapsed() >= SHORT && began.elapsed() < LONG);
    }
}

#[test]
fn response_in_torn_records_counts() {
    // One byte of plaintext in each record.
    let dribbled = Script::new()
        .read_request()
        .dribble(CLEAN, Duration::from_millis(1));
    assert_clean(scripted(dribbled.read_to_end()).scan_hello());
}
