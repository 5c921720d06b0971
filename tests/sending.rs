//! The calls on a connection during the upload, one by one.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use icap_client::error::{TimeLimit, Violation};
use icap_client::testing::CLEAN;
use icap_client::transport::{Clock, Readiness};
use icap_client::{
    Connect, Content, Error, NotScanned, Preview, Report, Scanner, ScannerBuilder, ServiceUri,
    Stream, Verdict,
};

/// The results of the calls, each kind in its order, and the write timeouts that were set.
#[derive(Default)]
struct Calls {
    /// The number of bytes that each write takes; after the last result, all.
    writes: VecDeque<Result<usize, ErrorKind>>,
    /// After the last result, nothing is there.
    looks: VecDeque<Result<Readiness, ErrorKind>>,
    /// After the last result, nothing comes.
    reads: VecDeque<Result<&'static str, ErrorKind>>,
    write_timeouts: Vec<Duration>,
    log: Vec<Call>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Look,
    /// With the number of bytes that were to be written.
    Write(usize),
}

#[derive(Clone, Default)]
struct Played(Arc<Mutex<Calls>>);

impl Played {
    fn new<const W: usize, const L: usize, const R: usize>(
        writes: [Result<usize, ErrorKind>; W],
        looks: [Readiness; L],
        reads: [Result<&'static str, ErrorKind>; R],
    ) -> Self {
        Self(Arc::new(Mutex::new(Calls {
            writes: writes.into(),
            looks: looks.map(Ok).into(),
            reads: reads.into(),
            ..Calls::default()
        })))
    }

    /// The last call of `readiness` fails.
    fn then_look_fails(self, kind: ErrorKind) -> Self {
        self.0.lock().unwrap().looks.push_back(Err(kind));
        self
    }

    fn scanner(&self) -> ScannerBuilder {
        let builder = Scanner::builder("icap://server.invalid/s").negotiate(false);
        builder.connector(self.clone())
    }

    fn scan(&self) -> Result<Report, Error> {
        let scanner = self.scanner().build().unwrap();
        scanner.scan(Content::bytes(b"hello"))
    }

    fn violation(&self) -> Violation {
        match self.scan() {
            Err(Error::Protocol(error)) => error.violation(),
            other => panic!("no protocol error but {other:?}"),
        }
    }
}

impl Connect for Played {
    fn connect(&self, _service: &ServiceUri, _timeout: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.clone()))
    }
}

impl Read for Played {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut calls = self.0.lock().unwrap();
        let next = calls.reads.pop_front();
        let text = next.unwrap_or(Err(ErrorKind::WouldBlock))?;
        let (now, rest) = text.split_at(text.len().min(buf.len()));
        if !rest.is_empty() {
            calls.reads.push_front(Ok(rest));
        }
        buf[..now.len()].copy_from_slice(now.as_bytes());
        Ok(now.len())
    }
}

impl Write for Played {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut calls = self.0.lock().unwrap();
        calls.log.push(Call::Write(bytes.len()));
        let next = calls.writes.pop_front();
        Ok(next.unwrap_or(Ok(usize::MAX))?.min(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Played {
    fn set_read_timeout(&mut self, _timeout: Duration) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.0.lock().unwrap().write_timeouts.push(timeout);
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        let mut calls = self.0.lock().unwrap();
        calls.log.push(Call::Look);
        let next = calls.looks.pop_front();
        Ok(next.unwrap_or(Ok(Readiness::Idle))?)
    }
}

use Readiness::{Closed, Idle, Partial, Readable};

const STALL: Result<usize, ErrorKind> = Err(ErrorKind::WouldBlock);

#[test]
fn unasked_bytes_are_no_response_after_a_failed_write() {
    let infected = "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Other;\r\n\
                    Encapsulated: res-hdr=0, null-body=26\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n";
    let played = Played::new([Err(ErrorKind::BrokenPipe)], [], [Ok(infected)]);
    let error = played.scan().unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
}

#[test]
fn connection_closed_before_the_request_is_lost() {
    let error = Played::new([], [Closed], []).scan().unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    let said = Played::new([], [Readable], [Ok(CLEAN)]);
    assert_eq!(said.violation(), Violation::Unsolicited);
}

#[test]
fn failed_write_without_a_response_is_a_lost_connection() {
    for end in [Ok(""), Err(ErrorKind::ConnectionReset)] {
        let played = Played::new([Ok(10), Err(ErrorKind::BrokenPipe)], [], [end]);
        let error = played.scan().unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
        let kind = error.io_error().map(io::Error::kind);
        assert_eq!(kind, Some(ErrorKind::BrokenPipe));
    }
}

const EARLY: Verdict = Verdict::NotScanned(NotScanned::EarlyResponse);

#[test]
fn early_204_found_after_a_failed_write_is_not_clean() {
    let played = Played::new([Ok(10), Err(ErrorKind::BrokenPipe)], [], [Ok(CLEAN)]);
    assert_eq!(*played.scan().unwrap().verdict(), EARLY);
}

#[test]
fn early_204_ends_the_upload_whatever_follows_it() {
    for next in [Idle, Readable, Closed] {
        let played = Played::new([Ok(10), Ok(10)], [Idle, Readable, next], [Ok(CLEAN)]);
        assert_eq!(*played.scan().unwrap().verdict(), EARLY);
        let left = played.0.lock().unwrap().writes.len();
        assert_eq!(left, 1, "the second write");
    }
}

#[test]
fn early_204_that_ends_late_is_not_clean() {
    for at in [1, 12, CLEAN.len() - 1] {
        let (begin, end) = CLEAN.split_at(at);
        let played = Played::new([Ok(10)], [Idle, Readable], [Ok(begin), Ok(end)]);
        assert_eq!(*played.scan().unwrap().verdict(), EARLY, "{at}");
    }
}

#[test]
fn early_echo_is_not_clean() {
    const ECHO: &str = "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
                        HTTP/1.1 200 OK\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for at in [1, 20, 80, ECHO.len() - 1] {
        let (begin, end) = ECHO.split_at(at);
        for (look, is_clean) in [(Idle, true), (Readable, false)] {
            let played = Played::new([Ok(10)], [Idle, look], [Ok(begin), Ok(end)]);
            let scanner = played.scanner().allow_204(false).build().unwrap();
            let report = scanner.scan(Content::bytes(b"hello")).unwrap();
            let expected = if is_clean { Verdict::Clean } else { EARLY };
            assert_eq!(*report.verdict(), expected, "{at}");
        }
    }
}

#[test]
fn early_interim_response_makes_nothing_else_early() {
    for interim in [
        "ICAP/1.0 100 Continue\r\n\r\n",
        "ICAP/1.0 102 Processing\r\n\r\n",
    ] {
        for at in 1..interim.len() {
            let (begin, end) = interim.split_at(at);
            let reads = [Ok(begin), Ok(end), Ok(CLEAN)];
            let played = Played::new([Ok(10)], [Idle, Readable], reads);
            assert_eq!(*played.scan().unwrap().verdict(), Verdict::Clean, "{at}");
        }
        // An early response after it is early.
        let both = [interim, CLEAN].concat().leak();
        let played = Played::new([Ok(10)], [Idle, Readable], [Ok(&*both)]);
        assert_eq!(*played.scan().unwrap().verdict(), EARLY);
    }
}

#[test]
fn early_part_of_a_record_does_not_stop_the_upload() {
    let played = Played::new(
        [Ok(10)],
        [Idle, Readable, Idle, Readable],
        [STALL.map(|_| ""), Ok(CLEAN)],
    );
    assert_eq!(*played.scan().unwrap().verdict(), EARLY);
    assert!(played.0.lock().unwrap().writes.is_empty());
}

/// A second scan on the same connection, and the number of its retries on a new one.
fn second(
    preview: Preview,
    looks: &[Readiness],
    reads: &[Result<&'static str, ErrorKind>],
) -> (Result<Report, Error>, u64) {
    let played = Played::new([], [], [Ok(CLEAN)]);
    let scanner = played.scanner().preview(preview).build().unwrap();
    let first = scanner.scan(Content::bytes(b"one")).unwrap();
    assert!(first.verdict().is_clean());
    {
        let mut calls = played.0.lock().unwrap();
        calls.writes.push_back(Ok(10));
        // At check-out.
        let looks = [&[Idle][..], looks].concat();
        calls.looks.extend(looks.into_iter().map(Ok));
        calls.reads.extend(reads);
    }
    let report = scanner.scan(Content::reader(&b"hello"[..]));
    (report, scanner.stats().retries)
}

#[test]
fn response_begun_before_the_request_is_early() {
    let continued = "ICAP/1.0 100 Continue\r\n\r\n";
    for (preview, due, expected) in [
        (Preview::Off, &[Ok(CLEAN)][..], EARLY),
        (
            Preview::Limit(3),
            &[Ok(continued), Ok(CLEAN)],
            Verdict::Clean,
        ),
    ] {
        let (report, retries) = second(preview, &[], due);
        assert!(report.unwrap().verdict().is_clean(), "{preview:?}");
        assert_eq!(retries, 0);
        let torn = [&[STALL.map(|_| "")][..], due].concat();
        for reads in [due, &torn] {
            // Early bytes may be the response to the scan before, so the request is sent again.
            let early = &reads[..=reads.len() - due.len()];
            let (report, retries) = second(preview, &[Readable], &[early, due].concat());
            // A server that responds early has not scanned the content. A 100 is no response to it.
            assert_eq!(*report.unwrap().verdict(), expected, "{preview:?}");
            assert_eq!(retries, 1, "{preview:?}");
        }
    }
}

#[test]
fn trust_in_a_preview_needs_a_preview_that_was_seen() {
    for reads in [[Ok(CLEAN), Ok(CLEAN)], [STALL.map(|_| ""), Ok(CLEAN)]] {
        for (looks, expected) in [(&[Idle, Readable][..], false), (&[Idle, Idle], true)] {
            let played = Played::new([Ok(10)], [], []);
            played
                .0
                .lock()
                .unwrap()
                .looks
                .extend(looks.iter().copied().map(Ok));
            played.0.lock().unwrap().reads.extend(reads);
            let builder = played.scanner().preview(Preview::Limit(3));
            let scanner = builder.trust_preview(true).build().unwrap();
            let report = scanner.scan(Content::bytes(b"hello")).unwrap();
            assert_eq!(report.verdict().is_clean(), expected, "{looks:?}");
            assert!(expected || *report.verdict() == EARLY, "{looks:?}");
        }
    }
}

#[test]
fn record_begun_before_a_100_does_not_make_a_204_early() {
    let continued = "ICAP/1.0 100 Continue\r\n\r\n";
    let reads = [STALL.map(|_| ""), Ok(continued), Ok(CLEAN)];
    let played = Played::new([Ok(10)], [Idle, Readable], reads);
    let scanner = played.scanner().preview(Preview::Limit(3)).build().unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(report.verdict().is_clean());
}

#[test]
fn content_of_which_nothing_comes_meets_the_deadline() {
    struct Nothing;
    impl Read for Nothing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::Interrupted.into())
        }
    }
    let builder = Played::default().scanner();
    let scanner = builder
        .deadline(Duration::from_millis(200))
        .build()
        .unwrap();
    let error = scanner.scan(Content::reader(Nothing)).unwrap_err();
    assert!(matches!(&error, Error::Timeout(e) if e.limit() == TimeLimit::Deadline));
}

#[test]
fn write_timeouts_grow_while_nothing_moves() {
    let interim = "ICAP/1.0 102 Processing\r\n\r\n";
    let milliseconds = |played: &Played| {
        let timeouts = played.0.lock().unwrap().write_timeouts.clone();
        Vec::from_iter(timeouts.iter().map(Duration::as_millis))
    };
    let stalls = [STALL; 8];
    let played = Played::new(stalls, [], [Ok(CLEAN)]);
    assert!(played.scan().unwrap().verdict().is_clean());
    assert_eq!(milliseconds(&played), [4, 8, 16, 32, 64, 128]);

    let written = Played::new([STALL, STALL, Ok(10), STALL], [], [Ok(CLEAN)]);
    assert!(written.scan().unwrap().verdict().is_clean());
    assert_eq!(milliseconds(&written), [4, 8, 16, 4, 8]);

    let looks = [Idle, Idle, Idle, Readable];
    let read = Played::new(
        [Ok(10), STALL, STALL, STALL],
        looks,
        [Ok(interim), Ok(CLEAN)],
    );
    assert!(read.scan().unwrap().verdict().is_clean());
    assert_eq!(milliseconds(&read), [4, 8, 4, 8]);
}

#[test]
fn small_scan_looks_before_writing_and_at_the_end() {
    let played = Played::new([], [], [Ok(CLEAN), Ok(CLEAN)]);
    let scanner = played.scanner().build().unwrap();
    for _ in ["new", "used before"] {
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        assert!(report.verdict().is_clean());
        let log = std::mem::take(&mut played.0.lock().unwrap().log);
        assert!(matches!(log[..], [Call::Look, Call::Write(_), Call::Look]));
    }
}

/// Counts how often it is asked.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Clock for Counting {
    fn now(&self) -> Instant {
        self.0.fetch_add(1, SeqCst);
        Instant::now()
    }

    fn now_for_waits(&self) -> Instant {
        self.now()
    }
}

#[test]
fn small_scan_asks_the_clock_few_times() {
    let played = Played::new([], [], [Ok(CLEAN), Ok(CLEAN)]);
    let clock = Counting::default();
    let scanner = played.scanner().clock(clock.clone()).build().unwrap();
    assert!(scanner.scan(Content::bytes(b"one")).is_ok());
    let before = clock.0.load(SeqCst);
    assert!(scanner.scan(Content::bytes(b"two")).is_ok());
    let asked = clock.0.load(SeqCst) - before;
    assert!(asked <= 9, "{asked} times");
}

#[test]
fn wait_for_a_stream_that_only_stalls_ends() {
    const SHORT: Duration = Duration::from_millis(100);
    // The time moves on while writes stall, and while reads do.
    for (writes, limit) in [
        (vec![STALL; 10_000], TimeLimit::WriteTimeout),
        (vec![], TimeLimit::ReadTimeout),
    ] {
        let played = Played::default();
        played.0.lock().unwrap().writes.extend(writes);
        let builder = played.scanner().read_timeout(SHORT).write_timeout(SHORT);
        let error = builder.build().unwrap().scan(Content::bytes(b"hello"));
        let error = error.unwrap_err();
        assert!(matches!(&error, Error::Timeout(e) if e.limit() == limit));
    }
}

#[test]
fn stalled_write_on_a_used_connection_follows_a_look() {
    let played = Played::new([], [], [Ok(CLEAN)]);
    let scanner = played.scanner().build().unwrap();
    assert!(scanner.scan(Content::bytes(b"one")).is_ok());
    let mut calls = played.0.lock().unwrap();
    calls.writes.extend([STALL]);
    calls.looks.extend([Idle, Readable].map(Ok));
    calls.reads.extend([Ok(CLEAN), Ok(CLEAN)]);
    drop(calls);
    // What came before the first byte was taken is no response.
    assert!(scanner.scan(Content::bytes(b"two")).is_ok());
    let stats = scanner.stats();
    assert_eq!((stats.retries, stats.connections_opened), (1, 2));
}

#[test]
fn look_precedes_each_64_kib_of_the_first_mib_and_the_end() {
    const MIB: usize = 1 << 20;
    // A chunk of 64 KiB may be written with its lines and the head.
    const PIECE: usize = 72 << 10;
    for len in [65_536, MIB, 3 * MIB, 3 * MIB + 5] {
        let played = Played::new([], [], [Ok(CLEAN)]);
        let scanner = played.scanner().build().unwrap();
        let content = vec![b'x'; len];
        assert!(scanner.scan(Content::bytes(&content)).is_ok());
        let log = played.0.lock().unwrap().log.clone();
        let (mut sent, mut writes) = (0, Vec::new());
        for calls in log.windows(2) {
            if let Call::Write(len) = calls[1] {
                assert_eq!(calls[0], Call::Look, "{sent}");
                assert!(sent >= MIB || len <= PIECE, "{sent} {len}");
                sent += len;
                writes.push(len);
            }
        }
        assert!(sent > len && writes.last().is_some_and(|&last| last <= PIECE));
    }
}

const PAGE: &str = "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=26\r\n\r\n\
                    HTTP/1.1 403 Forbidden\r\n\r\n4\r\npage\r\n4\r\npage\r\n0\r\n\r\n";

#[test]
fn bytes_after_a_response_are_seen() {
    let played = Played::new([], [Idle, Readable], [Ok(CLEAN), Ok("x")]);
    assert_eq!(played.violation(), Violation::TrailingBytes);
}

/// The outcome of a scan with a 204 and then `reads`, which `looks` announce.
fn after_204(
    looks: &[Readiness],
    reads: &[Result<&'static str, ErrorKind>],
) -> Result<Verdict, String> {
    let played = Played::new([], [Idle], [Ok(CLEAN)]);
    {
        let mut calls = played.0.lock().unwrap();
        calls.looks.extend(looks.iter().copied().map(Ok));
        calls.reads.extend(reads);
    }
    match played.scan() {
        Ok(report) => Ok(report.verdict().clone()),
        Err(Error::Protocol(error)) => Err(format!("{:?}", error.violation())),
        Err(error @ Error::Disconnected(_)) => {
            Err(format!("{:?}", error.io_error().unwrap().kind()))
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn part_of_a_record_after_a_204_is_read_to_its_end() {
    let stall = STALL.map(|_| "");
    for begun in [Partial, Readable] {
        for (end, expected) in [
            (Ok("x"), "TrailingBytes"),
            (Err(ErrorKind::InvalidData), "InvalidData"),
            (Err(ErrorKind::ConnectionReset), "TrailingBytes"),
            (Err(ErrorKind::UnexpectedEof), "TrailingBytes"),
        ] {
            let torn = after_204(&[begun, begun, begun], &[stall, stall, end]);
            assert_eq!(torn, Err(expected.to_owned()));
        }
        // The record held nothing.
        let nothing = after_204(&[begun, begun, Idle], &[stall, stall]);
        assert_eq!(nothing, Ok(Verdict::Clean));
        let ended = after_204(&[begun, Closed], &[stall]);
        assert_eq!(ended, Ok(Verdict::Clean));
    }
}

#[test]
fn part_of_an_endless_record_is_not_waited_for() {
    let began = Instant::now();
    let never = after_204(&[Partial; 10_000], &[]);
    assert_eq!(never, Err("TrailingBytes".to_owned()));
    // The read timeout is 10 seconds.
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[test]
fn line_end_after_a_204_counts_at_every_split() {
    let trailing = || Err("TrailingBytes".to_owned());
    for (reads, expected) in [
        (&["\r\n"][..], Ok(Verdict::Clean)),
        (&["\r", "\n"], Ok(Verdict::Clean)),
        (&["\rx"], trailing()),
        (&["\r", "x"], trailing()),
        (&["\r\nx"], trailing()),
        (&["\r", "\n", "x"], trailing()),
        (&["\r\n", "x"], trailing()),
        (&["\r", ""], trailing()),
    ] {
        let looks = vec![Readable; reads.len()];
        let reads: Vec<_> = reads.iter().copied().map(Ok).collect();
        assert_eq!(after_204(&looks, &reads), expected, "{reads:?}");
    }
}

#[test]
fn line_end_across_two_buffers_counts_at_every_split() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let response = |len: usize| {
        let list = format!("res-hdr=0, res-body={}", head.len());
        let body = format!("{len:08x}\r\n{}\r\n0\r\n\r\n", "y".repeat(len));
        format!("ICAP/1.0 200 OK\r\nEncapsulated: {list}\r\n\r\n{head}{body}")
    };
    let empty = response(0).len();
    let ends = [("\r\n", None), ("\rx", Some(Violation::TrailingBytes))];
    // The first buffers of the connection end after so many bytes: 2, 16 and 64 KiB.
    for full in [2 << 10, 18 << 10, 82 << 10] {
        for (after, expected) in ends {
            let all = &*[&response(full - 1 - empty), after].concat().leak();
            for splits in [&[full][..], &[full - 1], &[100, full], &[100, 1900, full]] {
                let mut parts = Vec::new();
                let mut at = 0;
                for &end in splits.iter().chain([&all.len()]) {
                    parts.push(Ok(&all[at..end]));
                    at = end;
                }
                let played = Played::new([], [Idle, Readable, Readable], []);
                played.0.lock().unwrap().reads.extend(parts);
                match expected {
                    None => assert!(matches!(
                        played.scan().unwrap().verdict(),
                        Verdict::Modified(_)
                    )),
                    Some(violation) => assert_eq!(played.violation(), violation, "{splits:?}"),
                }
            }
        }
    }
}

#[test]
fn unasked_503_counts_the_same_at_every_split() {
    const FULL: &str = "ICAP/1.0 503 Service overloaded\r\n\r\n";
    // Seen before the request, or at the beginning of its record.
    for looks in [&[Readable][..], &[Partial, Partial]] {
        for at in 1..FULL.len() {
            let (begin, end) = FULL.split_at(at);
            let stall = STALL.map(|_| "");
            for reads in [vec![Ok(begin), Ok(end)], vec![Ok(begin), stall, Ok(end)]] {
                let played = Played::new([Ok(10)], [], []);
                {
                    let mut calls = played.0.lock().unwrap();
                    calls.looks.extend(looks.iter().copied().map(Ok));
                    calls.reads.extend(reads);
                }
                let error = played.scan().unwrap_err();
                assert_eq!(error.status(), Some(503), "{at}: {error:?}");
                let text = error.to_string();
                let expected = "refused the connection before anything was asked, with 503";
                assert!(text.ends_with(expected), "{text}");
            }
        }
    }
}

#[test]
fn unasked_bytes_that_are_no_503_are_not_waited_for() {
    let looks = [Readable];
    for (reads, most) in [([Ok("I")], 8), ([Ok("ICAP/1.0 2")], 1), ([Ok("")], 1)] {
        let began = Instant::now();
        let played = Played::new([], looks, reads);
        assert_eq!(played.violation(), Violation::Unsolicited);
        // The read timeout is 10 seconds.
        assert!(began.elapsed() < Duration::from_secs(most));
    }
}

#[test]
fn early_interim_then_204_then_end_is_not_clean() {
    let interim = Ok("ICAP/1.0 100 Continue\r\n\r\n");
    let looks = [Idle, Readable, Idle, Closed];
    let played = Played::new([Ok(10)], looks, [interim, Ok(CLEAN)]);
    assert_eq!(played.violation(), Violation::IncompleteUpload);
}

#[test]
fn part_of_a_record_before_the_request_may_be_nothing() {
    let nothing = Played::new([], [Partial, Idle], [Ok(CLEAN)]);
    assert!(nothing.scan().is_err(), "it was never seen to be nothing");
    let nothing = Played::new([Ok(10)], [Partial, Idle], [Ok(CLEAN)]);
    assert!(nothing.scan().unwrap().verdict().is_clean());
    let response = Played::new([Ok(10)], [Partial, Partial], [Ok(CLEAN)]);
    assert_eq!(response.violation(), Violation::Unsolicited);
}

#[test]
fn reset_after_a_response_spoils_only_a_204() {
    let clean = Played::new([], [Idle], [Ok(CLEAN)]);
    let clean = clean.then_look_fails(ErrorKind::ConnectionReset);
    assert_eq!(clean.violation(), Violation::IncompleteUpload);
    let page = Played::new([], [Idle], [Ok(PAGE)]);
    let page = page.then_look_fails(ErrorKind::ConnectionReset);
    let verdict = page.scan().unwrap().verdict().to_string();
    assert_eq!(verdict, "blocked: the service responded with 403 Forbidden");
}

#[test]
fn response_204_before_a_close_is_clean_unless_early() {
    let early = [Idle, Readable, Idle, Closed];
    let played = Played::new([Ok(10)], early, [Ok(CLEAN)]);
    assert_eq!(*played.scan().unwrap().verdict(), EARLY);
    let due = Played::new([Ok(10)], [Idle, Idle, Closed], [Ok(CLEAN)]);
    assert!(due.scan().unwrap().verdict().is_clean());
}

#[test]
fn unawaited_100_is_ignored() {
    let twice = "ICAP/1.0 100 Continue\r\n\r\nICAP/1.0 100 Continue\r\n\r\n";
    let early = Played::new([Ok(10)], [Idle, Readable], [Ok(twice), Ok(CLEAN)]);
    assert!(early.scan().unwrap().verdict().is_clean());
    // The preview is the whole content.
    let played = Played::new([], [], [Ok(twice), Ok(CLEAN)]);
    let scanner = played
        .scanner()
        .preview(Preview::Limit(10))
        .build()
        .unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(report.verdict().is_clean());
}

#[test]
fn failed_writer_is_not_written_to_again() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            Err(io::Error::other("the disk is full"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let other = "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
                 HTTP/1.1 200 OK\r\n\r\n4\r\npage\r\n4\r\npage\r\n0\r\n\r\n";
    let played = Played::new([], [], [Ok(other)]);
    let mut full = Full(0);
    let scanner = played.scanner().build().unwrap();
    let error = scanner.scan_replace(Content::bytes(b"hello"), &mut full);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Output(_)), "{error:?}");
    assert_eq!(full.0, 1);
}
