//! How long a cancelled scan takes to return, in each phase, and that the next scan is healthy.

use std::net::TcpListener;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Instant;

use icap_client::limits::CANCEL_INTERVAL;
use icap_client::testing::Script;
#[cfg(feature = "rustls")]
use icap_client::tls::TlsConnector;
use icap_client::transport::TcpConnector;
use icap_client::{Cache, ScannerBuilder};

use super::support::stream::{self, wrapped};
use super::*;

const CANCELS: u32 = 100;

/// What is promised: nine in ten cancels end a scan sooner, also on a busy machine.
const PROMISED: Duration = Duration::from_millis(200);

/// What a busy machine needs for the slowest of them. A thread may have to wait until it runs.
const BUSY: Duration = Duration::from_secs(20);

/// The time from each cancel to the return of its scan, sorted.
type Times = Vec<Duration>;

/// Cancels scans, each when its event has happened. `after` undoes what one leaves in the test's server.
fn cancel_each(
    cancels: u32,
    happened: &Receiver<()>,
    scan: impl Fn(&Cancel) -> Result<Report, Error> + Sync,
    after: impl Fn(),
) -> Times {
    let time = |number: u32| {
        let cancel = Cancel::new();
        thread::scope(|scope| {
            let scanning = scope.spawn(|| (scan(&cancel), Instant::now()));
            await_event(happened);
            // The person who cancels is no machine: by then, the scan waits, in any part of a slice.
            thread::sleep(Duration::from_millis(10) + CANCEL_INTERVAL * (number % 10) / 10);
            let cancelled = Instant::now();
            cancel.cancel();
            let (result, ended) = scanning.join().unwrap();
            assert_cancelled(&result);
            while happened.try_recv().is_ok() {}
            after();
            ended.saturating_duration_since(cancelled)
        })
    };
    let mut times: Times = (0..cancels).map(time).collect();
    times.sort_unstable();
    times
}

/// A scanner that nothing ends but a cancel, and whose connections can be repaired.
struct Subject {
    scanner: Scanner,
    connector: Repairable,
    /// A connection is about to be made.
    connects: Receiver<()>,
    _good: Server,
}

impl Subject {
    fn new(
        uri: &str,
        bad: impl Connect + 'static,
        setup: impl Fn(ScannerBuilder) -> ScannerBuilder,
    ) -> Self {
        let (good, connector, connects) = repairable(bad);
        let builder = Scanner::builder(uri)
            .connector(connector.clone())
            .negotiate(false)
            .connect_timeout(LONG)
            .read_timeout(LONG)
            .write_timeout(LONG)
            .deadline(None);
        Self {
            scanner: setup(builder).build().unwrap(),
            connector,
            connects,
            _good: good,
        }
    }

    fn of_server(bad: &Server, setup: impl Fn(ScannerBuilder) -> ScannerBuilder) -> Self {
        Self::new(&bad.uri(), TcpConnector, setup)
    }

    fn repair(&self, cancelled: u32) {
        self.connector.is_repaired.store(true, SeqCst);
        assert_healthy(&self.scanner, cancelled.into());
    }
}

/// A call of a stream that waits.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Write,
    Read,
}

/// Connects over TCP. Each wait of this kind is an event: a write that stalled, or a read that begins.
struct Watched(Wait, Mutex<Event>);

struct Calls(Wait, Event);

impl Connect for Watched {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let stream = TcpConnector.connect(service, timeout)?;
        let event = self.1.lock().unwrap().clone();
        Ok(wrapped(stream, Calls(self.0, event)))
    }
}

impl stream::Calls for Calls {
    fn read(&mut self, stream: &mut dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
        if self.0 == Wait::Read {
            self.1.happens();
        }
        stream.read(buf)
    }

    fn write(&mut self, stream: &mut dyn Stream, bytes: &[u8]) -> io::Result<usize> {
        let written = stream.write(bytes);
        if written.is_err() && self.0 == Wait::Write {
            self.1.happens();
        }
        written
    }
}

fn watched(wait: Wait) -> (Watched, Receiver<()>) {
    let (waits, waiting) = event();
    (Watched(wait, Mutex::new(waits)), waiting)
}

fn holding(script: Script) -> Server {
    Server::scripted([script.hold()]).unwrap()
}

/// A connector that std cannot interrupt.
fn connector() -> Times {
    struct Hangs(Mutex<Receiver<()>>);
    impl Connect for Hangs {
        fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
            await_event(&self.0.lock().unwrap());
            Err(io::ErrorKind::TimedOut.into())
        }
    }
    let (release, released) = event();
    let hangs = Hangs(Mutex::new(released));
    let subject = Subject::new("icap://av.invalid/scan", hangs, |builder| builder);
    let scan = |cancel: &Cancel| subject.scanner.scan(hello(cancel));
    let times = cancel_each(CANCELS, &subject.connects, scan, || release.happens());
    subject.repair(CANCELS);
    times
}

/// Connects over TCP again and again, until its scan is over: a scan never runs into the timeout, and its helper
/// thread is soon free for another one.
#[derive(Clone, Default)]
struct Persistent {
    /// The number of the present scan.
    scan: Arc<AtomicUsize>,
}

impl Connect for Persistent {
    fn connect(&self, service: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        let scan = self.scan.load(SeqCst);
        loop {
            let connected = TcpConnector.connect(service, Duration::from_millis(100));
            if connected.is_ok() || self.scan.load(SeqCst) != scan {
                return connected;
            }
        }
    }
}

/// A listener with a full backlog: the system does not reply.
fn connect() -> Times {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
    let _backlog: Vec<_> = (0..5000).map_while(connect).collect();
    let connector = Persistent::default();
    let uri = format!("icap://{address}/scan");
    let subject = Subject::new(&uri, connector.clone(), |builder| builder);
    let scan = |cancel: &Cancel| subject.scanner.scan(hello(cancel));
    let after = || _ = connector.scan.fetch_add(1, SeqCst);
    let times = cancel_each(CANCELS, &subject.connects, scan, after);
    subject.repair(CANCELS);
    times
}

/// A server that does not respond to the TLS handshake.
#[cfg(feature = "rustls")]
fn handshake() -> Times {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("icaps://{}/scan", listener.local_addr().unwrap());
    let subject = Subject::new(&uri, TlsConnector::default(), |builder| builder);
    let scan = |cancel: &Cancel| subject.scanner.scan(hello(cancel));
    let close = || drop(listener.accept().unwrap());
    let times = cancel_each(CANCELS, &subject.connects, scan, close);
    subject.repair(CANCELS);
    times
}

/// Cancels scans that wait for another caller, who is cancelled at the end. The event of each is that its content was
/// looked at, just before it waits. They begin when the other caller has sent this many requests.
fn after_another(
    script: Script,
    requests: usize,
    setup: impl Fn(ScannerBuilder) -> ScannerBuilder,
) -> Times {
    let server = holding(script);
    let subject = Subject::of_server(&server, setup);
    let (looks, looked) = event();
    let scan = |cancel: &Cancel, event: &Event| {
        let content = Content::seekable(Bytes::new(5, event.clone())).id("five bytes");
        subject.scanner.scan(content.cancel(cancel))
    };
    let (first, (ends, _ended)) = (Cancel::new(), event());
    let times = thread::scope(|scope| {
        let holder = scope.spawn(|| scan(&first, &ends));
        while server.requests() < requests {
            thread::yield_now();
        }
        let scan = |cancel: &Cancel| scan(cancel, &looks);
        let times = cancel_each(CANCELS, &looked, scan, || {});
        first.cancel();
        assert_cancelled(&holder.join().unwrap());
        times
    });
    // The others have opened no connection.
    assert_eq!(subject.scanner.stats().connections_opened, 1);
    subject.repair(CANCELS + 1);
    times
}

fn line() -> Times {
    let script = Script::new().read_request();
    after_another(script, 1, |builder| builder.max_connections(1))
}

fn options_of_another() -> Times {
    let script = Script::new().read_request();
    after_another(script, 1, |builder| builder.negotiate(true))
}

/// Waits for the scan of the same content, for the sake of its verdict.
fn scan_of_another() -> Times {
    let script = Script::new().answer_options().read_request();
    after_another(script, 2, |builder| {
        builder.negotiate(true).cache(Cache::new())
    })
}

/// The canary before the content. Its last byte is held back for a while, so there are several scanners at once.
fn canary() -> Times {
    const SCANNERS: u32 = 4;
    let mut times: Times = thread::scope(|scope| {
        let some = || canary_of_one_scanner(CANCELS / SCANNERS);
        let scanners: Vec<_> = (0..SCANNERS).map(|_| scope.spawn(some)).collect();
        let times = scanners.into_iter().flat_map(|some| some.join().unwrap());
        times.collect()
    });
    times.sort_unstable();
    times
}

fn canary_of_one_scanner(cancels: u32) -> Times {
    let server = holding(Script::new().read_request());
    let subject = Subject::of_server(&server, |builder| builder.canary(LONG));
    let scan = |cancel: &Cancel| subject.scanner.scan(hello(cancel));
    let times = cancel_each(cancels, &subject.connects, scan, || {});
    subject.repair(cancels);
    times
}

fn upload() -> Times {
    let server = holding(Script::new());
    let (connector, stalls) = watched(Wait::Write);
    let subject = Subject::new(&server.uri(), connector, |builder| builder);
    let scan = |cancel: &Cancel| {
        // More than the buffers of the system take.
        let content = Content::reader(io::repeat(b'x').take(64 << 20));
        subject.scanner.scan(content.cancel(cancel))
    };
    let times = cancel_each(CANCELS, &stalls, scan, || {});
    subject.repair(CANCELS);
    times
}

fn response() -> Times {
    let server = holding(Script::new().read_request());
    let (connector, waits) = watched(Wait::Read);
    let subject = Subject::new(&server.uri(), connector, |builder| builder);
    let scan = |cancel: &Cancel| subject.scanner.scan(hello(cancel));
    let times = cancel_each(CANCELS, &waits, scan, || {});
    subject.repair(CANCELS);
    times
}

fn body() -> Times {
    let begins = "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
                  HTTP/1.1 200 OK\r\n\r\n5\r\nhello\r\n";
    let server = holding(Script::new().read_request().send(begins));
    let subject = Subject::of_server(&server, |builder| builder);
    let (writes, written) = event();
    let scan = |cancel: &Cancel| {
        let notes = Notes(writes.clone());
        subject.scanner.scan_replace(hello(cancel), notes)
    };
    let times = cancel_each(CANCELS, &written, scan, || {});
    subject.repair(CANCELS);
    times
}

#[test]
fn cancel_ends_a_scan_in_each_phase() {
    type Phase = (&'static str, fn() -> Times);
    let phases: &[Phase] = &[
        ("connector", connector),
        ("connect", connect),
        #[cfg(feature = "rustls")]
        ("TLS handshake", handshake),
        ("line", line),
        ("OPTIONS of another", options_of_another),
        ("scan of another", scan_of_another),
        ("canary", canary),
        ("upload", upload),
        ("response", response),
        ("response's body", body),
    ];
    let measured: Vec<_> = thread::scope(|scope| {
        let measuring: Vec<_> = phases.iter().map(|(_, run)| scope.spawn(run)).collect();
        let measured = measuring.into_iter().map(|phase| phase.join().unwrap());
        measured.collect()
    });
    for ((phase, run), mut times) in phases.iter().zip(measured) {
        // The phases disturb each other.
        if times[90] >= PROMISED {
            times = run();
        }
        let [median, ninetieth, longest] = [50, 90, 99].map(|at| times[at].as_millis());
        println!(
            "{phase:<20} median {median:>3} ms, 90 of {CANCELS} within {ninetieth:>3} ms, longest {longest:>3} ms"
        );
        assert!(times[90] < PROMISED, "{phase}");
        assert!(times[99] < PROMISED + BUSY, "{phase}");
    }
}
