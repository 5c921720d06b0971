//! What a cancel does to the result, the connections, the other callers and the blame.

use std::sync::atomic::AtomicUsize;
use std::thread::{self, ThreadId};

use icap_client::Verdict;
use icap_client::error::Phase;
use icap_client::limits::CANCEL_INTERVAL;
use icap_client::testing::{CLEAN, ManualClock, OPTIONS_RESPONSE, Script, infected};
use icap_client::transport::{Readiness, TcpConnector};

use super::support::stream::{self, wrapped};
use super::*;

fn phase_of(result: &Result<Report, Error>) -> Option<Phase> {
    match result {
        Err(Error::Cancelled(error)) => error.phase(),
        other => panic!("not cancelled: {other:?}"),
    }
}

#[test]
fn cancel_before_the_scan_ends_it_at_once() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri()).max_size(1).build().unwrap();
    let cancel = Cancel::new();
    let clone = cancel.clone();
    assert!(!cancel.is_cancelled());
    clone.cancel();
    assert!(cancel.is_cancelled());
    let (reads, read) = event();
    for content in [
        hello(&cancel),
        Content::reader(Bytes::new(5, reads)).cancel(&cancel),
    ] {
        let result = scanner.scan(content.name("a.txt"));
        assert_cancelled(&result);
        assert_eq!(phase_of(&result), None);
        let error = result.unwrap_err();
        assert_eq!(error.name(), Some("a.txt"));
        assert_eq!(error.to_string(), "the scan was cancelled by its caller");
    }
    assert!(read.try_recv().is_err(), "the content was read");
    assert_eq!(server.connections(), 0);
}

#[test]
fn evidence_that_has_arrived_is_the_verdict() {
    let response = infected("Test");
    let part = &response[..response.len() - 20];
    let script = Script::new().read_request().send(part).hold();
    let server = Server::scripted([script]).unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let scanner = builder.read_timeout(LONG).build().unwrap();
    let ((writes, written), cancel) = (event(), Cancel::new());
    let report = thread::scope(|scope| {
        let scan = scope.spawn(|| scanner.scan_replace(hello(&cancel), Notes(writes)));
        // The page is written after the head was read.
        await_event(&written);
        cancel.cancel();
        scan.join().unwrap()
    });
    assert!(report.unwrap().verdict().is_infected());
    assert_eq!(closed_by_cancel(&scanner), 1);
}

/// Cancels at one of the calls of a stream, before the call is passed on.
#[derive(Clone)]
struct CancelAt {
    left: Arc<AtomicUsize>,
    cancel: Cancel,
}

impl CancelAt {
    fn count(&self) {
        let one_less = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(SeqCst, SeqCst, one_less) == Ok(1) {
            self.cancel.cancel();
        }
    }
}

impl stream::Calls for CancelAt {
    fn read(&mut self, stream: &mut dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
        self.count();
        stream.read(buf)
    }

    fn write(&mut self, stream: &mut dyn Stream, bytes: &[u8]) -> io::Result<usize> {
        self.count();
        stream.write(bytes)
    }

    fn readiness(&mut self, stream: &mut dyn Stream) -> io::Result<Readiness> {
        self.count();
        stream.readiness()
    }
}

impl Connect for CancelAt {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(wrapped(
            TcpConnector.connect(service, timeout)?,
            self.clone(),
        ))
    }
}

/// Scans with a cancel at one of the calls. Returns the verdict if the scan was over before that.
fn verdict_with_cancel_at(call: usize, content: &[u8]) -> Option<Verdict> {
    let server = Server::start().unwrap();
    let connector = CancelAt {
        left: Arc::new(AtomicUsize::new(call)),
        cancel: Cancel::new(),
    };
    let cancel = &connector.cancel;
    let scanner = Scanner::builder(server.uri()).connector(connector.clone());
    let scanner = scanner.build().unwrap();
    let result = scanner.scan(Content::bytes(content).cancel(cancel));
    let is_cancelled = cancel.is_cancelled();
    if is_cancelled {
        let is_found = matches!(&result, Ok(report) if report.verdict().is_infected());
        if !is_found {
            assert_cancelled(&result);
        }
        // It is idle only if a complete exchange came before the cancel.
        let idle = scanner.stats().connections_idle;
        let is_between = matches!(&result, Err(Error::Cancelled(error))
            if matches!(error.phase(), None | Some(Phase::Checkout)));
        assert_eq!(closed_by_cancel(&scanner) + idle, 1, "{call}: {result:?}");
        assert!(idle == 0 || is_between || is_found, "{call}: {result:?}");
    }
    assert!(scanner.scan("hello").unwrap().verdict().is_clean());
    assert!(scanner.stats().suspended.is_empty());
    match is_cancelled {
        true => None,
        false => Some(result.unwrap().verdict().clone()),
    }
}

#[test]
fn cancel_at_each_call_of_the_stream_is_never_clean() {
    let mut calls = 1..;
    let verdict = calls.find_map(|call| verdict_with_cancel_at(call, b"hello"));
    assert_eq!(verdict, Some(Verdict::Clean));
    assert!(calls.start > 8, "{calls:?}");
    let verdict = (1..).find_map(|call| verdict_with_cancel_at(call, &eicar()));
    assert!(verdict.unwrap().is_infected());
}

#[test]
fn cancelled_scan_asks_no_further_server() {
    /// Is cancelled while the first server refuses.
    struct Refuses(Cancel);
    impl Connect for Refuses {
        fn connect(&self, service: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
            assert_eq!(service.host(), "first.invalid");
            self.0.cancel();
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }
    let cancel = Cancel::new();
    let scanner = Scanner::builder("icap://first.invalid/scan")
        .endpoint("icap://second.invalid/scan")
        .connector(Refuses(cancel.clone()))
        .suspend_after(1)
        .build()
        .unwrap();
    let result = scanner.scan(hello(&cancel));
    assert_cancelled(&result);
    let stats = scanner.stats();
    assert_eq!(stats.failovers, 0);
    assert!(stats.suspended.is_empty());
}

#[test]
fn cancelled_fetch_of_options_fails_no_other_caller() {
    const OTHERS: usize = 8;
    let asked = AtomicUsize::new(0);
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" if asked.fetch_add(1, SeqCst) == 0 => Script::new().hold(),
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    let builder = Scanner::builder(server.uri()).read_timeout(LONG);
    let scanner = builder.connect_timeout(LONG).build().unwrap();
    let (cancel, (looks, looked)) = (Cancel::new(), event());
    thread::scope(|scope| {
        let first = scope.spawn(|| scanner.scan(hello(&cancel)));
        while server.requests() == 0 {
            thread::yield_now();
        }
        let other = |_| {
            let content = Content::seekable(Bytes::new(5, looks.clone()));
            scope.spawn(|| scanner.scan(content))
        };
        let others: Vec<_> = (0..OTHERS).map(other).collect();
        (0..OTHERS).for_each(|_| await_event(&looked));
        cancel.cancel();
        assert_cancelled(&first.join().unwrap());
        for other in others {
            assert!(other.join().unwrap().unwrap().verdict().is_clean());
        }
    });
    assert_eq!(scanner.stats().options_sent, 2);
    assert_eq!(closed_by_cancel(&scanner), 1);
}

#[test]
fn cancelled_trial_is_given_back() {
    let (_server, connector, _connects) = repairable(CancelAt {
        left: Arc::default(),
        cancel: Cancel::new(),
    });
    // Nothing listens there any more.
    let uri = format!("icap://{}/scan", super::support::refusing_address());
    let clock = ManualClock::new();
    let scanner = Scanner::builder(uri)
        .connector(connector.clone())
        .negotiate(false)
        .suspend_after(1)
        .clock(clock.clone())
        .build()
        .unwrap();
    assert!(matches!(scanner.scan("hello"), Err(Error::Connect(_))));
    assert!(matches!(scanner.scan("hello"), Err(Error::Suspended(_))));
    clock.advance(Duration::from_secs(2));
    let cancel = Cancel::new();
    // The trial is cancelled when its content is read, before it connects.
    let content = Content::reader(Cancels(cancel.clone())).cancel(&cancel);
    assert_cancelled(&scanner.scan(content));
    connector.is_repaired.store(true, SeqCst);
    assert!(scanner.scan("hello").unwrap().verdict().is_clean());
}

/// Content that is cancelled when it is read.
struct Cancels(Cancel);

impl Read for Cancels {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.cancel();
        Ok(0)
    }
}

/// The timeouts that are set on a stream, and the thread that connects.
#[derive(Clone, Default)]
struct Observed {
    timeouts: Arc<Mutex<Vec<Duration>>>,
    thread: Arc<Mutex<Option<ThreadId>>>,
    address: Option<SocketAddr>,
}

struct ObservedStream(TcpStream, Observed);

impl Connect for Observed {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        *self.thread.lock().unwrap() = Some(thread::current().id());
        let stream = TcpStream::connect(self.address.unwrap())?;
        Ok(Box::new(ObservedStream(stream, self.clone())))
    }
}

impl Read for ObservedStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for ObservedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for ObservedStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.1.timeouts.lock().unwrap().push(timeout);
        Stream::set_read_timeout(&mut self.0, timeout)
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        Stream::set_write_timeout(&mut self.0, timeout)
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.0.readiness()
    }
}

#[test]
fn only_a_scan_with_a_token_has_slices_and_a_helper_thread() {
    for with_token in [false, true] {
        let server = Server::start().unwrap();
        let observed = Observed {
            address: Some(server.address()),
            ..Observed::default()
        };
        let scanner = Scanner::builder(server.uri())
            .connector(observed.clone())
            .max_idle(0)
            .negotiate(false)
            .read_timeout(Duration::from_secs(3))
            .build()
            .unwrap();
        let content = match with_token {
            true => hello(&Cancel::new()),
            false => Content::bytes(b"hello"),
        };
        assert!(scanner.scan(content).unwrap().verdict().is_clean());
        let is_slice = |timeout: &Duration| *timeout <= CANCEL_INTERVAL;
        let timeouts = observed.timeouts.lock().unwrap();
        assert!(!timeouts.is_empty());
        assert_eq!(timeouts.iter().all(is_slice), with_token, "{timeouts:?}");
        assert_eq!(timeouts.iter().any(is_slice), with_token, "{timeouts:?}");
        let thread = *observed.thread.lock().unwrap();
        assert_eq!(thread == Some(thread::current().id()), !with_token);
    }
}
