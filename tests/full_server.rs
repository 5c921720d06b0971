//! A full server: scans wait for a connection or fail over, and the server is not suspended.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use icap_client::error::{Phase, TimeLimit};
use icap_client::stats::CloseReason;
use icap_client::testing::{CLEAN, ManualClock, OPTIONS_RESPONSE, Script, Server};
use icap_client::transport::TcpConnector;
use icap_client::{Connect, Content, Error, Scanner, ServiceUri, Stream};

mod support;

use support::content::{Holds, holding};
use support::stream::{Calls, wrapped};

const FULL: &str = "ICAP/1.0 503 Service overloaded\r\n\r\n";

const SLOTS: usize = 4;

/// The time that the server takes for a scan.
const TAKES: Duration = Duration::from_millis(10);

fn hello() -> Content<'static> {
    Content::bytes(b"hello")
}

/// A server that scans `SLOTS` requests at a time, and responds to more with 503.
fn with_request_slots() -> (Server, Arc<AtomicUsize>) {
    let (running, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&refused);
    let server = Server::answering(move |request| {
        if request.method() == "OPTIONS" {
            return Script::new().send(OPTIONS_RESPONSE);
        }
        let is_full = running.fetch_add(1, SeqCst) >= SLOTS;
        if is_full {
            count.fetch_add(1, SeqCst);
        } else {
            // The server scans.
            thread::sleep(TAKES);
        }
        running.fetch_sub(1, SeqCst);
        Script::new().send(if is_full { FULL } else { CLEAN })
    });
    (server.unwrap(), refused)
}

/// A server with `SLOTS` connections at a time, idle ones included. On more connections, it responds with 503
/// and closes them.
struct ConnectionSlots {
    uri: String,
    open: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl ConnectionSlots {
    /// A `hasty` server sends its 503 before the request.
    fn start(hasty: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            uri: format!("icap://{}/scan", listener.local_addr().unwrap()),
            open: Arc::default(),
            refused: Arc::default(),
            is_over: Arc::default(),
        };
        let (refused, is_over) = (Arc::clone(&server.refused), Arc::clone(&server.is_over));
        let open = Arc::clone(&server.open);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(SeqCst) {
                    return;
                }
                let is_full = open.fetch_add(1, SeqCst) >= SLOTS;
                refused.fetch_add(usize::from(is_full), SeqCst);
                let open = Arc::clone(&open);
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    if is_full && hasty {
                        let _ = stream.write_all(FULL.as_bytes());
                        // Closing with unread bytes would send a reset.
                        let _ = stream.shutdown(Shutdown::Write);
                        let _ = stream.read_to_end(&mut Vec::new());
                    } else {
                        serve(stream, is_full, &Mutex::default());
                    }
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        server
    }
}

impl Drop for ConnectionSlots {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        let address = self.uri.trim_start_matches("icap://");
        let _ = TcpStream::connect(address.trim_end_matches("/scan"));
    }
}

/// A server with one thread for each open connection, idle ones included. The kernel accepts more connections
/// than there are threads.
struct Threads {
    address: SocketAddr,
    /// While it is locked, no scan gets a response.
    responses: Arc<Mutex<()>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(threads: usize) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let responses = Arc::new(Mutex::new(()));
        let spawn = |_| {
            let (listener, is_over) = (Arc::clone(&listener), Arc::clone(&is_over));
            let responses = Arc::clone(&responses);
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    if is_over.load(SeqCst) {
                        return;
                    }
                    serve(stream, false, &responses);
                }
            })
        };
        let threads = (0..threads).map(spawn).collect();
        Self {
            address,
            responses,
            is_over,
            threads,
        }
    }

    fn uri(&self) -> String {
        format!("icap://{}/scan", self.address)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        // Each thread accepts one more connection, and ends.
        let _wakers: Vec<_> = self
            .threads
            .iter()
            .map(|_| TcpStream::connect(self.address))
            .collect();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Responds to the small requests of these tests, on one connection. A scan gets no response while `responses` is locked.
fn serve(mut stream: TcpStream, is_full: bool, responses: &Mutex<()>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        request.push(byte[0]);
        let is_options = request.starts_with(b"OPTIONS");
        let end: &[u8] = if is_options {
            b"\r\n\r\n"
        } else {
            b"\r\n0\r\n\r\n"
        };
        if !request.ends_with(end) {
            continue;
        }
        if is_full {
            let _ = stream.write_all(FULL.as_bytes());
            return;
        }
        if !is_options {
            thread::sleep(TAKES);
            drop(responses.lock());
        }
        let response = if is_options { OPTIONS_RESPONSE } else { CLEAN };
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
        request.clear();
    }
}

/// Scans 800 times on `threads` threads. Returns the scans per second, and the errors.
fn scan_on(scanner: &Scanner, threads: usize) -> (f64, Vec<Error>) {
    let began = Instant::now();
    let errors = thread::scope(|scope| {
        let scan = |_| scanner.scan(hello()).err();
        let scan_all = move || (0..800 / threads).filter_map(scan).collect::<Vec<_>>();
        let scans: Vec<_> = (0..threads).map(|_| scope.spawn(scan_all)).collect();
        let errors = scans.into_iter().flat_map(|scan| scan.join().unwrap());
        errors.collect()
    });
    (800.0 / began.elapsed().as_secs_f64(), errors)
}

/// Scans on as many threads as there are slots, and on twice as many after `between`.
///
/// A machine with other work can spoil one measurement, and not each of several.
fn assert_serves_twice_as_many_threads_as_slots(
    uri: &str,
    refused: &AtomicUsize,
    between: impl Fn(),
) {
    let is_as_fast = |_| {
        let (expected, errors) = scan_on(&Scanner::new(uri).unwrap(), SLOTS);
        assert!(errors.is_empty(), "{:?}", errors[0]);
        between();
        let before = refused.load(SeqCst);

        let scanner = Scanner::new(uri).unwrap();
        let (rate, errors) = scan_on(&scanner, 2 * SLOTS);
        let refused = refused.load(SeqCst) - before;
        println!("4 threads: {expected:.0}/s, 8: {rate:.0}/s, {refused} times 503");
        assert!(errors.is_empty(), "{}, {:?}", errors.len(), errors[0]);
        assert!(scanner.stats().suspended.is_empty());
        assert!(refused > 0);
        drop(scanner);
        between();
        rate >= 0.9 * expected
    };
    assert!((0..5).any(is_as_fast), "slower in each measurement");
}

#[test]
fn full_of_requests_serves_more_threads_than_slots() {
    let (server, refused) = with_request_slots();
    assert_serves_twice_as_many_threads_as_slots(&server.uri(), &refused, || {});
}

#[test]
fn full_of_connections_serves_more_threads_than_slots() {
    for hasty in [false, true] {
        let server = ConnectionSlots::start(hasty);
        assert_serves_twice_as_many_threads_as_slots(&server.uri, &server.refused, || {
            while server.open.load(SeqCst) > 0 {
                thread::yield_now();
            }
        });
    }
}

#[test]
fn overload_among_long_scans_suspends_no_server() {
    let scans = AtomicUsize::new(0);
    let server = Server::answering(move |request| {
        if request.method() == "OPTIONS" {
            return Script::new().send(OPTIONS_RESPONSE);
        }
        let number = scans.fetch_add(1, SeqCst);
        if number == 0 {
            while scans.load(SeqCst) < 2 * SLOTS {
                thread::yield_now();
            }
            return Script::new().send(FULL);
        }
        // The first ones are long enough to run when the client reads the 503.
        let is_beside = number < 2 * SLOTS;
        let takes = if is_beside { 50 * TAKES } else { 2 * TAKES };
        Script::new().wait(takes).send(CLEAN)
    });
    let server = server.unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let (_, errors) = scan_on(&scanner, 2 * SLOTS);
    assert!(errors.is_empty(), "{}, {:?}", errors.len(), errors[0]);
}

#[test]
fn overload_of_a_lone_scan_suspends_for_a_moment() {
    let is_full = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&is_full);
    let server = Server::answering(move |request| {
        let is_full = request.method() != "OPTIONS" && switch.load(SeqCst);
        match request.method() {
            _ if is_full => Script::new().send(FULL),
            "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
            _ => Script::new().wait(10 * TAKES).send(CLEAN),
        }
    });
    let server = server.unwrap();
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri()).clock(clock.clone());
    let scanner = builder.build().unwrap();
    assert_eq!(scanner.scan(hello()).unwrap_err().status(), Some(503));
    let suspended = &scanner.stats().suspended[0];
    assert_eq!(suspended.retry_in, Duration::from_millis(500));
    assert!(matches!(scanner.scan(hello()), Err(Error::Suspended(_))));
    is_full.store(false, SeqCst);
    clock.advance(Duration::from_millis(500));
    // Each trial takes longer than the interval, so that others overlap it.
    let began = Instant::now();
    thread::scope(|scope| {
        let scan = || while scanner.scan(hello()).is_err() {};
        let threads: Vec<_> = (0..2 * SLOTS).map(|_| scope.spawn(scan)).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            clock.advance(Duration::from_millis(1));
            thread::yield_now();
        }
    });
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert!(scanner.stats().suspended.is_empty());
}

/// Content that may go over a used connection, and holds after its first 64 KiB.
struct HoldsLate(Cursor<Vec<u8>>, Holds);

impl Read for HoldsLate {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let first = (64 * 1024_u64).saturating_sub(self.0.position());
        if first > 0 {
            return (&mut self.0).take(first).read(buf);
        }
        self.1.read(buf)?;
        self.0.read(buf)
    }
}

impl Seek for HoldsLate {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

/// Calls `then` while another scan has the only connection.
fn while_full(scanner: &Scanner, then: impl FnOnce()) {
    let (holds, hold) = holding();
    thread::scope(|scope| {
        // More than the first buffer, which is read before a connection is taken.
        let holds = io::repeat(7).take(70_000).chain(holds);
        scope.spawn(|| scanner.scan(Content::reader(holds)));
        hold.await_read();
        then();
        drop(hold);
    });
}

#[test]
fn wait_timeout_fails_over_to_the_next_server() {
    let (full, idle) = (Server::start().unwrap(), Server::start().unwrap());
    let builder = Scanner::builder(full.uri())
        .endpoint(idle.uri())
        .max_connections(1)
        .suspend_after(1);
    let scanner = builder.wait_timeout(10 * TAKES).build().unwrap();
    while_full(&scanner, || {
        let report = scanner.scan(hello()).unwrap();
        assert_eq!(report.service(), idle.uri());
    });
    let stats = scanner.stats();
    assert!(stats.suspended.is_empty());
    assert_eq!((stats.failovers, stats.errors), (1, 0));
    assert_eq!(scanner.scan(hello()).unwrap().service(), full.uri());
}

#[test]
fn wait_timeout_without_another_server_is_an_error() {
    let full = Server::start().unwrap();
    let builder = Scanner::builder(full.uri()).max_connections(1);
    let scanner = builder.wait_timeout(10 * TAKES).build().unwrap();
    while_full(&scanner, || {
        let Err(Error::Timeout(error)) = scanner.scan(hello()) else {
            panic!("no timeout");
        };
        assert_eq!(error.phase(), Phase::Checkout);
        assert_eq!(
            (error.limit(), error.after()),
            (TimeLimit::WaitTimeout, 10 * TAKES)
        );
    });
    assert!(scanner.stats().suspended.is_empty());
}

#[test]
fn wait_timeout_defaults_to_the_connect_timeout() {
    let full = Server::start().unwrap();
    let builder = Scanner::builder(full.uri()).max_connections(1);
    let scanner = builder.connect_timeout(10 * TAKES).build().unwrap();
    while_full(&scanner, || {
        let error = scanner.scan(hello()).unwrap_err();
        assert!(
            error.to_string().contains("wait timeout of 100 ms"),
            "{error}"
        );
    });
}

#[test]
fn scan_refused_for_long_fails_over() {
    let (slow, idle) = (
        Server::answering(|request| {
            let is_long = request.body().len() > 5;
            match request.method() {
                "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
                _ if is_long => Script::new().hold(),
                _ => Script::new().wait(TAKES).send(FULL),
            }
        }),
        Server::start().unwrap(),
    );
    let slow = slow.unwrap();
    let builder = Scanner::builder(slow.uri())
        .endpoint(idle.uri())
        .read_timeout(200 * TAKES)
        .suspend_after(1);
    let scanner = builder.wait_timeout(10 * TAKES).build().unwrap();
    thread::scope(|scope| {
        let long = scope.spawn(|| scanner.scan(Content::bytes(b"this one is long")));
        while slow.requests() < 2 {
            thread::yield_now();
        }
        for _ in 0..3 {
            let report = scanner.scan(hello()).unwrap();
            assert_eq!(report.service(), idle.uri());
        }
        assert!(scanner.stats().suspended.is_empty());
        assert_eq!(long.join().unwrap().unwrap().service(), idle.uri());
    });
}

#[test]
fn idle_connections_make_room_for_an_unserved_one() {
    let server = Threads::start(SLOTS);
    let scanner = Scanner::new(server.uri()).unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        let held = server.responses.lock().unwrap();
        // One scan more than the server has threads. When all others have ended, their connections are idle.
        for _ in 0..=SLOTS {
            scope.spawn(|| assert!(scanner.scan(hello()).unwrap().verdict().is_clean()));
        }
        // Until then, none can use the connection of another one.
        while scanner.stats().connections_opened <= SLOTS as u64 {
            thread::yield_now();
        }
        drop(held);
    });
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let stats = scanner.stats();
    assert_eq!((stats.errors, stats.connections_opened), (0, 5));
    let made_room = stats.closed_by_reason.get(&CloseReason::MadeRoom);
    assert_eq!(made_room, Some(&1), "{stats:?}");
}

#[test]
fn more_callers_than_server_threads_are_all_served() {
    let server = Threads::start(SLOTS);
    let scanner = Scanner::new(server.uri()).unwrap();
    thread::scope(|scope| {
        for _ in 0..=SLOTS {
            scope.spawn(|| {
                let began = Instant::now();
                while began.elapsed() < Duration::from_secs(3) {
                    assert!(scanner.scan(hello()).unwrap().verdict().is_clean());
                }
            });
        }
    });
    let stats = scanner.stats();
    assert!(stats.suspended.is_empty());
    // A connection is closed for this now and then, and not for each scan.
    assert!(stats.connections_opened * 20 < stats.scans, "{stats:?}");
}

/// A server that serves its first connection only.
fn serves_first_connection_only() -> Server {
    let serves = (0..10_000).fold(Script::new(), |script, _| script.read_request().send(CLEAN));
    Server::scripted([serves, Script::new().hold()]).unwrap()
}

#[test]
fn silence_beside_served_connections_suspends_nothing() {
    let server = serves_first_connection_only();
    let builder = Scanner::builder(server.uri())
        .negotiate(false)
        .suspend_after(1)
        .read_timeout(Duration::from_secs(1));
    let scanner = builder.build().unwrap();
    assert!(scanner.scan(hello()).is_ok());
    thread::scope(|scope| {
        // This scan keeps the first connection in use.
        let (holds, hold) = holding();
        let (scanner, server) = (&scanner, &server);
        scope.spawn(move || {
            let holds = HoldsLate(Cursor::new(vec![7; 70_000]), holds);
            let report = scanner.scan(Content::seekable(holds)).unwrap();
            assert!(report.verdict().is_clean());
        });
        hold.await_read();
        let late = scope.spawn(|| scanner.scan(hello()));
        while server.connections() < 2 {
            thread::yield_now();
        }
        drop(hold);
        let Err(Error::Timeout(error)) = late.join().unwrap() else {
            panic!("no timeout");
        };
        let said = error.to_string();
        assert!(said.contains("max_connections"), "{said}");
    });
    assert!(scanner.stats().suspended.is_empty());
}

/// A connector to a server that allows `most` open connections: a further handshake waits.
#[derive(Clone)]
struct Handshakes {
    open: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    most: usize,
}

impl Connect for Handshakes {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        self.begun.fetch_add(1, SeqCst);
        let began = Instant::now();
        let has_room = |open: usize| (open < self.most).then_some(open + 1);
        while self.open.fetch_update(SeqCst, SeqCst, has_room).is_err() {
            if began.elapsed() >= timeout {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::yield_now();
        }
        let open = Open(Arc::clone(&self.open));
        Ok(wrapped(TcpConnector.connect(service, timeout)?, open))
    }
}

/// Gives its place back when its connection is dropped.
struct Open(Arc<AtomicUsize>);

impl Calls for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn idle_connections_make_room_for_a_handshake() {
    let server = Server::start().unwrap();
    let connector = Handshakes {
        open: Arc::default(),
        begun: Arc::default(),
        most: 1,
    };
    let builder = Scanner::builder(server.uri()).connector(connector.clone());
    let scanner = builder
        .connect_timeout(Duration::from_secs(4))
        .build()
        .unwrap();
    thread::scope(|scope| {
        let mut late = None;
        while_full(&scanner, || {
            let before = connector.begun.load(SeqCst);
            late = Some(scope.spawn(|| scanner.scan(hello())));
            while connector.begun.load(SeqCst) == before {
                thread::yield_now();
            }
        });
        // The other connection is idle now, or soon.
        let report = late.unwrap().join().unwrap().unwrap();
        assert!(report.verdict().is_clean());
    });
    let stats = scanner.stats();
    assert_eq!(stats.errors, 0);
    let made_room = stats.closed_by_reason.get(&CloseReason::MadeRoom);
    assert_eq!(made_room, Some(&1), "{stats:?}");
}
