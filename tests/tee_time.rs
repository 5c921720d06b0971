//! Copies that run out of time, slow writers, and cancelled scans, by the clock of the scanner.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use icap_client::error::TimeLimit;
use icap_client::testing::{CLEAN, Script, Server, eicar, options_with_preview};
use icap_client::transport::{Clock, Readiness};
use icap_client::{
    Cancel, Connect, Content, Error, IncompleteCopy, NotScanned, Preview, Scanner, ScannerBuilder,
    ServiceUri, Stream, Teed, Verdict,
};

mod support;

use support::content::pattern;
use support::refusing_address;

const SECOND: Duration = Duration::from_secs(1);
const LEN: usize = 300_000;

/// Time that passes only where a test lets it pass.
#[derive(Clone)]
struct Simulated(Arc<Mutex<Instant>>);

impl Simulated {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn pass(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for Simulated {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn now_for_waits(&self) -> Instant {
        self.now()
    }
}

/// A writer that takes a time for each call.
struct Slow<'c> {
    clock: &'c Simulated,
    time: Duration,
    copy: Vec<u8>,
}

impl Write for Slow<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.clock.pass(self.time);
        self.copy.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The result of a scanner with this clock, with a writer that takes `time` for each call, and the copy. Nothing may
/// count against a server.
fn tee_slowly(builder: ScannerBuilder, clock: &Simulated, time: Duration) -> (Teed, Vec<u8>) {
    tee_content_slowly(&pattern(LEN), builder, clock, time)
}

fn tee_content_slowly(
    content: &[u8],
    builder: ScannerBuilder,
    clock: &Simulated,
    time: Duration,
) -> (Teed, Vec<u8>) {
    let builder = builder.clock(clock.clone()).suspend_after(1);
    let scanner = builder.build().unwrap();
    let copy = Vec::new();
    let mut writer = Slow { clock, time, copy };
    let teed = scanner.scan_tee(Content::reader(content), &mut writer);
    let teed = teed.unwrap();
    assert_eq!(scanner.stats().suspended, []);
    assert_eq!(teed.copied, writer.copy.len() as u64);
    assert!(content.starts_with(&writer.copy));
    assert_eq!(teed.is_complete(), writer.copy.len() == content.len());
    (teed, writer.copy)
}

#[track_caller]
fn assert_out_of_time(teed: &Teed, deadline: Duration) {
    match teed.incomplete {
        Some(IncompleteCopy::Deadline { after }) => assert_eq!(after, deadline),
        ref other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_timeout(teed: &Teed, limit: TimeLimit) {
    match &teed.outcome {
        Err(Error::Timeout(error)) => assert_eq!(error.limit(), limit),
        other => panic!("{other:?}"),
    }
}

#[test]
fn slow_writer_is_no_fault_of_the_server() {
    let server = Server::start().unwrap();
    let clock = Simulated::new();
    // Each call takes longer than every timeout.
    let builder = Scanner::builder(server.uri()).deadline(None);
    let (teed, _) = tee_slowly(builder, &clock, 20 * SECOND);
    assert!(teed.is_complete());
    assert!(teed.outcome.unwrap().verdict().is_clean());
}

#[test]
fn slow_writer_excuses_a_server_that_closes() {
    let server = Server::scripted([Script::new().read_bytes(100_000).close()]).unwrap();
    let clock = Simulated::new();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    // A call takes less than a timeout, and long enough for a server to give up.
    let builder = builder.deadline(None);
    // More than the buffers of the connection hold.
    let content = pattern(20_000_000);
    let (teed, _) = tee_content_slowly(&content, builder, &clock, SECOND);
    assert!(teed.is_complete());
    assert!(
        matches!(teed.outcome, Err(Error::Disconnected(_))),
        "{teed:?}"
    );
}

#[test]
fn slow_writer_meets_the_deadline() {
    let server = Server::start().unwrap();
    let clock = Simulated::new();
    let builder = Scanner::builder(server.uri()).deadline(30 * SECOND);
    let (teed, copy) = tee_slowly(builder, &clock, 20 * SECOND);
    assert_out_of_time(&teed, 30 * SECOND);
    assert_timeout(&teed, TimeLimit::Deadline);
    assert!(!copy.is_empty());
}

#[test]
fn rest_of_a_copy_meets_the_deadline() {
    let server = Server::start().unwrap();
    let clock = Simulated::new();
    let builder = Scanner::builder(server.uri()).max_size(1000).max_copy(None);
    let (teed, _) = tee_slowly(builder.deadline(30 * SECOND), &clock, 20 * SECOND);
    assert_out_of_time(&teed, 30 * SECOND);
    let too_large = NotScanned::TooLarge { limit: 1000 };
    let report = teed.outcome.unwrap();
    assert_eq!(*report.verdict(), Verdict::NotScanned(too_large));
}

#[test]
fn trusted_preview_is_not_clean_after_the_deadline() {
    let server = Server::answering(|_| Script::new().send(CLEAN)).unwrap();
    let server = server.offering(options_with_preview(4096)).unwrap();
    let preview = |deadline| {
        let builder = Scanner::builder(server.uri()).negotiate(false);
        let builder = builder.preview(Preview::Limit(10)).trust_preview(true);
        tee_slowly(builder.deadline(deadline), &Simulated::new(), 20 * SECOND).0
    };
    let teed = preview(None);
    assert!(teed.is_complete() && teed.outcome.unwrap().verdict().is_clean());
    let teed = preview(Some(30 * SECOND));
    assert_out_of_time(&teed, 30 * SECOND);
    assert_timeout(&teed, TimeLimit::Deadline);
}

/// A server that stops to read after a few bytes. Time passes while a write waits for it.
struct Stalled {
    clock: Simulated,
    room: usize,
    write_timeout: Duration,
}

impl Read for Stalled {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Write for Stalled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.room);
        self.room -= len;
        if len == 0 {
            self.clock.pass(self.write_timeout);
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Stalled {
    fn set_read_timeout(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.write_timeout = timeout;
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        Ok(Readiness::Idle)
    }
}

impl Connect for Simulated {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Stalled {
            clock: self.clone(),
            room: 100_000,
            write_timeout: Duration::ZERO,
        }))
    }
}

fn tee_to_a_stalled_server(write_timeout: Duration, deadline: Duration) -> Teed {
    let clock = Simulated::new();
    let scanner = Scanner::builder("icap://127.0.0.1/scan")
        .connector(clock.clone())
        .clock(clock)
        .negotiate(false)
        .write_timeout(write_timeout)
        .deadline(deadline)
        .build()
        .unwrap();
    let (content, mut copy) = (pattern(LEN), Vec::new());
    let teed = scanner.scan_tee(Content::reader(&content[..]), &mut copy);
    assert!(content.starts_with(&copy));
    teed.unwrap()
}

#[test]
fn stalled_upload_leaves_time_for_the_copy() {
    let teed = tee_to_a_stalled_server(10 * SECOND, 60 * SECOND);
    assert!(teed.is_complete());
    assert_timeout(&teed, TimeLimit::WriteTimeout);
}

#[test]
fn stalled_upload_until_the_deadline_leaves_a_part() {
    let teed = tee_to_a_stalled_server(100 * SECOND, 60 * SECOND);
    assert_out_of_time(&teed, 60 * SECOND);
    assert_timeout(&teed, TimeLimit::Deadline);
    // One buffer at most was copied and not sent.
    assert!((100_000..200_000).contains(&teed.copied), "{}", teed.copied);
}

/// A writer that cancels the scan with its call of this number.
struct Cancelling {
    cancel: Cancel,
    calls: u32,
}

impl Write for Cancelling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls -= 1;
        if self.calls == 0 {
            self.cancel.cancel();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn cancelled_scan_ends_the_copy() {
    let server = Server::start().unwrap();
    let refused = format!("icap://{}/scan", refusing_address());
    // During the upload, and while the rest is copied.
    for uri in [server.uri(), refused] {
        let scanner = Scanner::new(uri).unwrap();
        let cancel = Cancel::new();
        let content = pattern(LEN);
        let content = Content::reader(&content[..]).cancel(&cancel);
        let writer = Cancelling { cancel, calls: 2 };
        let teed = scanner.scan_tee(content, writer).unwrap();
        assert!(teed.copied < LEN as u64);
        assert!(matches!(teed.incomplete, Some(IncompleteCopy::Cancelled)));
        assert!(teed.outcome.unwrap_err().is_cancelled());
    }
}

/// A writer that cancels the scan when it is flushed, after it took the whole copy.
struct CancellingFlush(Cancel);

impl Write for CancellingFlush {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.cancel();
        Ok(())
    }
}

#[test]
fn scan_cancelled_by_the_flush_keeps_evidence() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let tee = |content: &[u8]| {
        let cancel = Cancel::new();
        let content = Content::bytes(content).cancel(&cancel);
        let teed = scanner.scan_tee(content, CancellingFlush(cancel.clone()));
        teed.unwrap()
    };
    let teed = tee(b"hello");
    assert!(teed.is_complete());
    assert!(teed.outcome.unwrap_err().is_cancelled());
    let teed = tee(&eicar());
    assert!(teed.outcome.unwrap().verdict().is_infected());
    assert_eq!(scanner.stats().clean, 0);
}

#[test]
fn scan_cancelled_before_it_begins_copies_nothing() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let mut copy = Vec::new();
    let content = Content::bytes(b"hello").cancel(&cancel);
    let teed = scanner.scan_tee(content, &mut copy).unwrap();
    assert!(matches!(teed.incomplete, Some(IncompleteCopy::Cancelled)));
    assert!(copy.is_empty() && teed.outcome.unwrap_err().is_cancelled());
}
