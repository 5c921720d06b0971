//! A failure counts against a server only if the server caused it: not for a slow caller, and not for what this
//! machine lacks.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server};
use icap_client::transport::TcpConnector;
use icap_client::{Connect, Content, Error, Scanner, ScannerBuilder, ServiceUri, Stream};

mod support;

use support::tap::Tap;

const PAUSE: Duration = Duration::from_millis(300);

fn hello() -> Content<'static> {
    Content::bytes(b"hello")
}

/// A scanner that suspends a server after the first failure.
fn strict(server: &Server) -> ScannerBuilder {
    let builder = Scanner::builder(server.uri()).negotiate(false);
    builder.suspend_after(1)
}

/// Returns what is read before a connection is taken, pauses until the server has ended that, and returns 128 KiB more.
struct Pauses(usize, Tap);

impl Read for Pauses {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        const AHEAD: usize = 64 * 1024 + 1;
        if self.0 == AHEAD {
            // The client knows the pause only by its length.
            thread::sleep(PAUSE);
            self.1.await_end(0);
        }
        let end = if self.0 < AHEAD { AHEAD } else { 3 * AHEAD };
        let len = buf.len().min(end - self.0);
        buf[..len].fill(7);
        self.0 += len;
        Ok(len)
    }
}

#[test]
fn slow_reader_that_the_server_drops_suspends_nothing() {
    for script in [
        Script::new().read_bytes(1000).wait(PAUSE / 10).close(),
        Script::new().read_bytes(1000).wait(PAUSE / 10).reset(),
        // It waits for the end of the content, and closes without it.
        Script::new()
            .read_bytes(65_000)
            .wait(PAUSE / 10)
            .half_close(),
    ] {
        let server = Server::scripted([script]).unwrap();
        let tap = Tap::default();
        let scanner = strict(&server).connector(tap.clone()).build().unwrap();
        let error = scanner.scan(Content::reader(Pauses(0, tap))).unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
        assert!(error.to_string().contains("had paused for"), "{error}");
        assert!(scanner.stats().suspended.is_empty(), "{error}");
    }
}

#[test]
fn server_breaking_off_without_a_pause_is_suspended() {
    let server = Server::scripted([Script::new().read_bytes(1000).close()]).unwrap();
    let scanner = strict(&server).build().unwrap();
    let content = vec![7; 10_000_000];
    let error = scanner.scan(Content::bytes(&content)).unwrap_err();
    assert!(!error.to_string().contains("paused"), "{error}");
    assert_eq!(scanner.stats().suspended.len(), 1);
}

#[test]
fn server_closing_idle_connections_is_not_suspended() {
    // It responds once, and resets the connection at the next request.
    let script = Script::new()
        .read_request()
        .send(CLEAN)
        .read_bytes(1)
        .reset();
    let server = Server::scripted([script]).unwrap();
    let scanner = strict(&server).build().unwrap();
    for _ in 0..4 {
        // Too long to be kept, so it cannot be sent again.
        let content = Content::reader(io::repeat(7).take(100_000));
        let _ = scanner.scan(content);
        assert!(scanner.stats().suspended.is_empty());
    }
    assert!(scanner.stats().clean > 0);
}

/// Takes each piece late, after the server has ended the connection.
struct SlowWriter(Tap);

impl Write for SlowWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The client knows the pause only by its length.
        thread::sleep(PAUSE);
        self.0.await_end(0);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn slow_writer_that_the_server_drops_suspends_nothing() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let page = format!(
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n{head}5\r\nother\r\n",
        head.len()
    );
    let gives_up = Script::new().read_request().send(page).wait(PAUSE / 10);
    let server = Server::scripted([gives_up.close()]).unwrap();
    let tap = Tap::default();
    let scanner = strict(&server).connector(tap.clone()).build().unwrap();
    let error = scanner.scan_replace(hello(), &mut SlowWriter(tap));
    let error = error.unwrap_err();
    assert!(error.is_protocol(), "{error:?}");
    assert!(scanner.stats().suspended.is_empty(), "{error}");
    // Without the pause, the same is the server's failure.
    assert!(scanner.scan(hello()).is_err());
    assert_eq!(scanner.stats().suspended.len(), 1);
}

/// Every connect fails with this error of the system.
struct Fails(i32);

impl Connect for Fails {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        Err(io::Error::from_raw_os_error(self.0))
    }
}

#[test]
#[cfg(target_os = "linux")]
fn shortage_on_this_machine_suspends_no_server() {
    let scanner_of = |code| {
        let builder = Scanner::builder("icap://av.invalid/s").suspend_after(1);
        builder.connector(Fails(code)).build().unwrap()
    };
    // EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL
    for code in [24, 23, 105, 12, 99] {
        let scanner = scanner_of(code);
        let error = scanner.scan(hello()).unwrap_err();
        assert!(matches!(error, Error::Connect(_)), "{error:?}");
        assert!(scanner.stats().suspended.is_empty(), "{code}");
    }
    // ECONNREFUSED, EHOSTUNREACH
    for code in [111, 113] {
        let scanner = scanner_of(code);
        assert!(scanner.scan(hello()).is_err());
        assert_eq!(scanner.stats().suspended.len(), 1, "{code}");
    }
}

/// Every connect times out, because this machine lacks something or because the server is silent.
struct TimesOut {
    is_shortage: bool,
}

impl Connect for TimesOut {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        const EMFILE: i32 = 24;
        let kind = io::ErrorKind::TimedOut;
        Err(match self.is_shortage {
            true => io::Error::new(kind, io::Error::from_raw_os_error(EMFILE)),
            false => kind.into(),
        })
    }
}

#[test]
#[cfg(target_os = "linux")]
fn connect_timeout_for_a_shortage_suspends_no_server() {
    for (is_shortage, suspended) in [(true, 0), (false, 1)] {
        let builder = Scanner::builder("icap://av.invalid/s").suspend_after(1);
        let connector = TimesOut { is_shortage };
        let scanner = builder.connector(connector).build().unwrap();
        assert!(scanner.scan(hello()).unwrap_err().is_timeout());
        assert_eq!(scanner.stats().suspended.len(), suspended);
    }
}

/// Set in the process that uses up its file descriptors.
const CHILD: &str = "ICAP_TEST_WITHOUT_FILES";

#[test]
#[cfg(unix)]
fn lack_of_file_descriptors_suspends_no_server() {
    if std::env::var_os(CHILD).is_some() {
        return scan_without_files();
    }
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "lack_of_file_descriptors_suspends_no_server"])
        .args(["--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("scanned without files"), "{said}");
}

#[cfg(unix)]
fn scan_without_files() {
    let server = Server::start().unwrap();
    let names = ["127.0.0.1", "localhost", "no-such-host.invalid"];
    let scanners = names.map(|name| {
        let uri = server.uri().replace("127.0.0.1", name);
        Scanner::builder(&uri).suspend_after(1).build().unwrap()
    });
    let open = || std::fs::File::open("/dev/null").ok();
    let files: Vec<_> = std::iter::from_fn(open).collect();
    for scanner in &scanners {
        let error = scanner.scan(hello()).unwrap_err();
        assert!(matches!(error, Error::Connect(_)), "{error:?}");
        assert!(scanner.stats().suspended.is_empty(), "{error:?}");
    }
    drop(files);
    assert!(scanners[0].scan(hello()).unwrap().verdict().is_clean());
    // This host is unknown, with file descriptors or without.
    assert!(scanners[2].scan(hello()).is_err());
    assert_eq!(scanners[2].stats().suspended.len(), 1);
    println!("scanned without files");
}

#[test]
fn hung_options_is_not_counted_for_later_scans() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let asked = AtomicUsize::new(0);
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" if asked.fetch_add(1, SeqCst) == 0 => Script::new().hold(),
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    });
    let server = server.unwrap();
    let builder = Scanner::builder(server.uri()).suspend_after(2);
    let scanner = builder.read_timeout(TIMEOUT).build().unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| scanner.scan(hello()));
        while server.requests() == 0 {
            thread::yield_now();
        }
        // The others begin when half of the first one's timeout has passed.
        thread::sleep(TIMEOUT / 2);
        let others = [(); 9].map(|()| scope.spawn(|| scanner.scan(hello())));
        for other in others {
            assert!(other.join().unwrap().unwrap().verdict().is_clean());
        }
        let error = first.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("response to OPTIONS of icap://"), "{error}");
    });
    assert!(scanner.stats().suspended.is_empty());
}

#[test]
fn line_after_a_lost_connection_keeps_its_place() {
    let (sender, receiver) = mpsc::channel();
    let (sender, receiver) = (Mutex::new(sender), Mutex::new(receiver));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let server = Server::answering(move |request| {
        let mut bodies = seen.lock().unwrap();
        bodies.push(String::from_utf8_lossy(request.body()).into_owned());
        if bodies.len() != 2 {
            return Script::new().send(CLEAN);
        }
        sender.lock().unwrap().send(()).unwrap();
        // Longer than the wait timeout, with the time in line before.
        Script::new().wait(PAUSE).close()
    });
    let server = server.unwrap();
    let builder = strict(&server).max_connections(1);
    let scanner = builder.wait_timeout(PAUSE * 2).build().unwrap();
    let scan = |content: &'static [u8]| scanner.scan(Content::bytes(content));
    assert!(scan(b"first").is_ok());
    thread::scope(|scope| {
        let lined_up = scope.spawn(|| {
            receiver.lock().unwrap().recv().unwrap();
            scan(b"after")
        });
        assert!(scan(b"lost").unwrap().verdict().is_clean());
        assert!(lined_up.join().unwrap().unwrap().verdict().is_clean());
    });
    assert_eq!(*bodies.lock().unwrap(), ["first", "lost", "lost", "after"]);
    assert!(scanner.stats().suspended.is_empty());
}

/// Takes most of the connect timeout, except for the first connection.
struct Far(AtomicUsize);

const CONNECT_TIMEOUT: Duration = Duration::from_millis(800);

impl Connect for Far {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        if self.0.fetch_add(1, SeqCst) > 0 {
            let takes = CONNECT_TIMEOUT * 4 / 5;
            thread::sleep(timeout.min(takes));
            if timeout < takes {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        TcpConnector.connect(service, timeout)
    }
}

#[test]
fn distant_server_is_not_blamed_beside_a_connection() {
    let server = Server::answering(|request| match request.body() {
        b"hello" => Script::new().send(CLEAN),
        _ => Script::new().hold(),
    });
    let server = server.unwrap();
    let builder = strict(&server).connect_timeout(CONNECT_TIMEOUT);
    let builder = builder.read_timeout(3 * CONNECT_TIMEOUT);
    let scanner = builder.connector(Far(AtomicUsize::new(0))).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| scanner.scan(Content::bytes(b"held")));
        while server.requests() == 0 {
            thread::yield_now();
        }
        assert!(scanner.scan(hello()).unwrap().verdict().is_clean());
        assert!(scanner.stats().suspended.is_empty());
    });
}
