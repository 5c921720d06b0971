//! Scans that another thread cancels: how soon they end, and what is left after them.

mod effects;
mod phases;
mod random;
mod slices;
#[path = "../support/mod.rs"]
mod support;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use icap_client::error::ErrorKind;
use icap_client::stats::CloseReason;
use icap_client::testing::{Server, eicar};
use icap_client::{Cancel, Connect, Content, Error, Report, Scanner, ServiceUri, Stream};

/// Every timeout, so that nothing but a cancel ends a scan.
const LONG: Duration = Duration::from_secs(300);

/// An event in a scan, which the test waits for.
#[derive(Clone)]
struct Event(Sender<()>);

fn event() -> (Event, Receiver<()>) {
    let (happens, happened) = mpsc::channel();
    (Event(happens), happened)
}

impl Event {
    fn happens(&self) {
        // It may happen more often than it is waited for.
        let _ = self.0.send(());
    }
}

fn await_event(happened: &Receiver<()>) {
    happened.recv_timeout(LONG).expect("the event happens");
}

/// `len` bytes of content. Each call is an event.
struct Bytes {
    len: u64,
    at: u64,
    event: Event,
}

impl Bytes {
    fn new(len: u64, event: Event) -> Self {
        Self { len, at: 0, event }
    }
}

impl Read for Bytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = io::repeat(b'x').take(self.len - self.at).read(buf)?;
        self.at += len as u64;
        self.event.happens();
        Ok(len)
    }
}

impl Seek for Bytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(_) => self.len,
            SeekFrom::Current(_) => self.at,
        };
        self.event.happens();
        Ok(self.at)
    }
}

/// A writer. Each write is an event.
struct Notes(Event);

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.happens();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connects with `bad`, and to a healthy server after it was repaired. Each connect is an event.
#[derive(Clone)]
struct Repairable {
    bad: Arc<dyn Connect>,
    good: SocketAddr,
    is_repaired: Arc<AtomicBool>,
    event: Arc<Mutex<Event>>,
}

impl Connect for Repairable {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        self.event.lock().unwrap().happens();
        match self.is_repaired.load(SeqCst) {
            true => Ok(Box::new(TcpStream::connect(self.good)?)),
            false => self.bad.connect(service, timeout),
        }
    }
}

/// A healthy server, and a connector that reaches it after the repair.
fn repairable(bad: impl Connect + 'static) -> (Server, Repairable, Receiver<()>) {
    let (server, (event, happened)) = (Server::start().unwrap(), event());
    let connector = Repairable {
        bad: Arc::new(bad),
        good: server.address(),
        is_repaired: Arc::default(),
        event: Arc::new(Mutex::new(event)),
    };
    (server, connector, happened)
}

fn hello(cancel: &Cancel) -> Content<'static> {
    Content::bytes(b"hello").cancel(cancel)
}

/// The next scans have the right verdicts, and what the scanner has counted adds up.
fn assert_healthy(scanner: &Scanner, cancelled: u64) {
    for _ in 0..3 {
        let clean = scanner.scan(hello(&Cancel::new())).unwrap();
        assert!(clean.verdict().is_clean(), "{clean:?}");
        let found = scanner.scan(Content::bytes(&eicar()).cancel(&Cancel::new()));
        assert!(found.unwrap().verdict().is_infected());
    }
    let stats = scanner.stats();
    let errors: Vec<_> = stats.errors_by_kind.into_iter().collect();
    assert_eq!(errors, [(ErrorKind::Cancelled, cancelled)]);
    let open = stats.connections_opened - stats.connections_closed;
    assert_eq!(open, stats.connections_idle);
    assert!(stats.suspended.is_empty());
}

fn assert_cancelled(result: &Result<Report, Error>) {
    let error = result.as_ref().unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    assert!(!error.is_retryable() && !error.is_unavailable() && !error.is_timeout());
}

fn closed_by_cancel(scanner: &Scanner) -> u64 {
    let closed = scanner.stats().closed_by_reason;
    closed.get(&CloseReason::Cancelled).copied().unwrap_or(0)
}
