//! The bytes decide, and not their records: the outcome is the same at every split of records and of their bytes.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::testing::{CLEAN, Script, Server, infected};
use icap_client::tls::rustls::SupportedProtocolVersion;
use icap_client::{Content, Error, Report, Scanner};

use super::front::{Ending, Front, Session};
use super::pki::{Authority, TLS12, TLS13};
use super::watched::{Partials, Watched};

/// A server with TLS that only reads. The test sends its bytes.
struct Stage {
    scanner: Scanner,
    partials: Partials,
    is_over: AtomicBool,
    // Dropped in this order, because the front waits for its connections.
    front: Front,
    server: Server,
}

impl Stage {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let authority = Authority::new();
        let listens = Script::new().read_request().read_request().read_to_end();
        let server = Server::scripted([listens]).unwrap();
        let config = authority.local().server(version);
        let front = Front::new(config, server.address(), Ending::Silent);
        let partials = Partials::default();
        let connector = Watched {
            connector: authority.connector(),
            partials: partials.clone(),
        };
        let scanner = Scanner::builder(front.uri())
            .negotiate(false)
            .connector(connector)
            .build()
            .unwrap();
        Self {
            scanner,
            partials,
            is_over: AtomicBool::new(false),
            front,
            server,
        }
    }

    /// Scans, and runs `part` after the server has read one more request.
    fn scan(&self, content: Content<'_>, part: impl FnOnce(&Session) + Send) -> String {
        self.is_over.store(false, SeqCst);
        let requests = self.server.requests();
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                if self.await_that(|| self.server.requests() > requests) {
                    part(&self.front.last_session());
                }
            });
            let _over = Over(&self.is_over);
            self.scanner.scan(content)
        });
        outcome(&result)
    }

    /// `false` if the scan ended before that.
    fn await_that(&self, is_so: impl Fn() -> bool) -> bool {
        while !is_so() {
            if self.is_over.load(SeqCst) {
                return false;
            }
            thread::yield_now();
        }
        true
    }

    /// Sends the first piece, and the second one after the client has read the first.
    fn say_split(&self, session: &Session, bytes: &[u8], at: usize) {
        let (begin, end) = bytes.split_at(at);
        let seen = self.partials.count();
        session.say_raw(begin);
        self.await_that(|| self.partials.count() > seen);
        session.say_raw(end);
    }
}

/// Marks the scan as over, also when it panics.
struct Over<'s>(&'s AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// The verdict or the error, as text.
fn outcome(result: &Result<Report, Error>) -> String {
    match result {
        Ok(report) => report.verdict().to_string(),
        Err(Error::Protocol(error)) => format!("{:?}", error.violation()),
        Err(Error::Disconnected(_)) => "disconnected".to_owned(),
        Err(error) => panic!("{error:?}"),
    }
}

fn hello() -> Content<'static> {
    Content::bytes(b"hello")
}

/// A record that cannot be decrypted.
const BAD: &[u8] = b"\x17\x03\x03\x00\x14twenty bytes of it..";

/// Bytes after a 204, and the outcome of the scan.
type After = (fn(&Session) -> Vec<u8>, &'static str);

const AFTER: &[After] = &[
    (|_| BAD.to_vec(), "disconnected"),
    (|session| session.encrypt(CLEAN.as_bytes()), "TrailingBytes"),
    (|session| session.encrypt(b"\r\n"), "clean"),
    (|session| session.encrypt(b"\rX"), "TrailingBytes"),
    (Session::encrypt_end, "clean"),
];

#[test]
fn bytes_after_a_204_count_at_every_split() {
    for version in [TLS12, TLS13] {
        for &(after, expected) in AFTER {
            let mut at = 1;
            loop {
                let stage = Stage::new(version);
                let len = Mutex::new(0);
                let outcome = stage.scan(hello(), |session| {
                    let clean = session.encrypt(CLEAN.as_bytes());
                    let all = [&clean[..], &after(session)].concat();
                    *len.lock().unwrap() = all.len();
                    // At the end of the response, nothing else has begun to come.
                    let at = if at == clean.len() { at + 1 } else { at };
                    stage.say_split(session, &all, at);
                });
                assert_eq!(outcome, expected, "split at {at}");
                at += if at < 8 { 1 } else { 3 };
                if at >= *len.lock().unwrap() {
                    break;
                }
            }
        }
    }
}

/// How a response is split into records.
type Packaging = fn(&[u8], usize) -> Vec<&[u8]>;

const PACKAGINGS: &[Packaging] = &[
    |bytes, _| vec![bytes],
    |bytes, _| bytes.chunks(1).collect(),
    |bytes, at| vec![&bytes[..at], &bytes[at..]],
    |bytes, at| vec![&bytes[..at], b"", &bytes[at..]],
];

#[test]
fn response_counts_the_same_in_all_records() {
    let http = "HTTP/1.1 200 OK\r\n\r\n";
    let page = "HTTP/1.1 403 Forbidden\r\n\r\n";
    let encapsulating = |head: &str, body: &str| {
        let list = format!("res-hdr=0, res-body={}", head.len());
        format!("ICAP/1.0 200 OK\r\nISTag: \"T\"\r\nEncapsulated: {list}\r\n\r\n{head}{body}")
    };
    let responses = [
        (CLEAN.to_owned(), "clean"),
        (
            String::from_utf8(infected("Eicar")).unwrap(),
            "infected: Eicar",
        ),
        (
            encapsulating(http, "5\r\nhello\r\n0\r\n\r\n"),
            "not scanned: ",
        ),
        (encapsulating(http, "5\r\njello\r\n0\r\n\r\n"), "modified"),
        (encapsulating(page, "4\r\npage\r\n0\r\n\r\n"), "blocked"),
        (
            format!("{}x", encapsulating(http, "5\r\nhello\r\n0\r\n\r\n")),
            "TrailingBytes",
        ),
    ];
    for (response, expected) in &responses {
        for packaging in PACKAGINGS {
            for at in (1..response.len()).step_by(9) {
                let stage = Stage::new(TLS13);
                let outcome = stage.scan(hello(), |session| {
                    let records = packaging(response.as_bytes(), at);
                    let records = records.iter().map(|record| match record.is_empty() {
                        true => session.encrypt_new_keys(),
                        false => session.encrypt(record),
                    });
                    let all = records.collect::<Vec<_>>().concat();
                    // In two pieces. The first ends within a record.
                    stage.say_split(session, &all, 3);
                });
                assert!(outcome.starts_with(expected), "{at}: {outcome}");
            }
        }
    }
}

#[test]
fn new_keys_after_a_204_are_nothing_at_every_split() {
    for at in 0.. {
        let stage = Stage::new(TLS13);
        let len = Mutex::new(0);
        for _ in 0..2 {
            let outcome = stage.scan(hello(), |session| {
                let clean = session.encrypt(CLEAN.as_bytes());
                let all = [&clean[..], &session.encrypt_new_keys()].concat();
                stage.say_split(session, &all, clean.len() + at);
                *len.lock().unwrap() = all.len() - clean.len();
            });
            assert_eq!(outcome, "clean", "split at {at}");
        }
        // At the end of the response, nothing else has begun to come. The pool sees a part of it later.
        assert!(at == 0 || stage.front.connections() == 1, "{at}");
        if at + 1 >= *len.lock().unwrap() {
            break;
        }
    }
}

#[test]
fn part_of_a_record_after_a_204_is_not_clean() {
    for len in [1, 5, 20] {
        for ends in [false, true] {
            let stage = Stage::new(TLS13);
            let began = Instant::now();
            let outcome = stage.scan(hello(), |session| {
                let clean = session.encrypt(CLEAN.as_bytes());
                session.say_raw(&[&clean[..], &BAD[..len]].concat());
                if ends {
                    session.half_close();
                }
            });
            assert_eq!(outcome, "TrailingBytes");
            // The read timeout is 10 seconds.
            assert!(began.elapsed() < Duration::from_secs(8));
        }
    }
}

#[test]
fn infection_counts_whatever_follows_it() {
    let page = infected("Eicar");
    for after in [BAD, &BAD[..3]] {
        let stage = Stage::new(TLS13);
        let outcome = stage.scan(hello(), |session| {
            session.say_raw(&[&session.encrypt(&page)[..], after].concat());
        });
        assert_eq!(outcome, "infected: Eicar");
    }
}

/// Content with a part of a record in its middle. It goes on until the client has read that part.
struct Upload<'s> {
    stage: &'s Stage,
    part: &'s (dyn Fn(&Session) + Sync),
    reads: usize,
    seen: usize,
}

impl<'s> Upload<'s> {
    fn new(stage: &'s Stage, part: &'s (dyn Fn(&Session) + Sync)) -> Self {
        Self {
            stage,
            part,
            reads: 0,
            seen: 0,
        }
    }
}

impl Read for Upload<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        let session = || self.stage.front.last_session();
        match self.reads {
            1 => {}
            2 => {
                self.seen = self.stage.partials.count();
                (self.part)(&session());
            }
            _ if self.stage.partials.count() > self.seen => return Ok(0),
            _ => {}
        }
        buf.fill(7);
        thread::yield_now();
        Ok(buf.len())
    }
}

/// It is never sent again, and cannot seek to its end.
impl Seek for Upload<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::End(_) => Err(io::ErrorKind::Unsupported.into()),
            SeekFrom::Start(_) | SeekFrom::Current(_) => Ok(0),
        }
    }
}

impl Stage {
    /// Scans. `at` bytes of `bytes` come during the upload; the other bytes, and `after`, come after it.
    fn scan_split(
        &self,
        bytes: impl Fn(&Session) -> Vec<u8> + Sync,
        at: usize,
        after: impl FnOnce(&Session) -> Vec<u8> + Send,
    ) -> String {
        let rest = Mutex::new(Vec::new());
        let begin = |session: &Session| {
            let bytes = bytes(session);
            *rest.lock().unwrap() = bytes[at..].to_vec();
            session.say_raw(&bytes[..at]);
        };
        // Content that can be read only once would not go over a used connection.
        let content = Content::seekable(Upload::new(self, &begin));
        self.scan(content, |session| {
            let rest = rest.lock().unwrap();
            session.say_raw(&[&rest[..], &after(session)].concat());
        })
    }
}

#[test]
fn new_keys_split_by_the_upload_leave_the_204_on_time() {
    let stage = Stage::new(TLS13);
    for at in [3, 10] {
        let clean = |session: &Session| session.encrypt(CLEAN.as_bytes());
        let outcome = stage.scan_split(Session::encrypt_new_keys, at, clean);
        assert_eq!(outcome, "clean", "{at}");
    }
    assert_eq!(stage.front.connections(), 1, "it is used again");
}

#[test]
fn response_record_begun_in_the_upload_is_early() {
    for at in [1, 10] {
        let clean = |session: &Session| session.encrypt(CLEAN.as_bytes());
        let outcome = Stage::new(TLS13).scan_split(clean, at, |_| Vec::new());
        assert!(outcome.starts_with("not scanned: "), "{at}: {outcome}");
    }
}

#[test]
fn bad_record_in_the_upload_is_always_an_error() {
    for at in [1, 7, BAD.len()] {
        let outcome = Stage::new(TLS13).scan_split(|_| BAD.to_vec(), at, |_| Vec::new());
        assert_eq!(outcome, "disconnected", "{at}");
    }
}

#[test]
fn end_of_session_in_the_segment_of_a_204_is_seen() {
    for version in [TLS12, TLS13] {
        let stage = Stage::new(version);
        let outcome = stage.scan(hello(), |session| {
            let clean = session.encrypt(CLEAN.as_bytes());
            session.say_raw(&[clean, session.encrypt_end()].concat());
        });
        assert_eq!(outcome, "clean");
        assert_eq!(stage.scanner.stats().connections_idle, 0);
    }
}

#[test]
fn end_of_session_in_a_response_waits_for_nothing() {
    for version in [TLS12, TLS13] {
        for packaging in PACKAGINGS {
            let stage = Stage::new(version);
            let began = Instant::now();
            let outcome = stage.scan(hello(), |session| {
                let records = packaging(b"ICAP/1.0 204 No", 9);
                let records = records.iter().filter(|record| !record.is_empty());
                let all: Vec<_> = records.map(|record| session.encrypt(record)).collect();
                // The socket stays open.
                session.say_raw(&[all.concat(), session.encrypt_end()].concat());
            });
            assert_eq!(outcome, "Truncated");
            // The read timeout is 10 seconds.
            assert!(began.elapsed() < Duration::from_secs(8));
        }
    }
}

#[test]
fn early_interim_then_204_then_end_is_not_clean() {
    for version in [TLS12, TLS13] {
        let interim = |session: &Session| session.encrypt(b"ICAP/1.0 100 Continue\r\n\r\n");
        let outcome = Stage::new(version).scan_split(interim, 10, |session| {
            let clean = session.encrypt(CLEAN.as_bytes());
            [clean, session.encrypt_end()].concat()
        });
        assert_eq!(outcome, "IncompleteUpload", "as over TCP");
    }
}
