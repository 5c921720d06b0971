//! Timeouts and deadlines ask the clock of the scanner, so hours of waiting pass in no time.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use icap_client::error::TimeLimit;
use icap_client::transport::{Clock, Readiness};
use icap_client::{Connect, Content, Error, Scanner, ServiceUri, Stream};

const HOUR: Duration = Duration::from_secs(3600);

/// Time that passes only where somebody waits.
#[derive(Clone)]
struct Simulated(Arc<Mutex<Instant>>);

impl Clock for Simulated {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn now_for_waits(&self) -> Instant {
        self.now()
    }
}

/// A server that takes everything. It responds only if it is slow, and then at the second read.
struct Silent {
    clock: Simulated,
    read_timeout: Duration,
    is_slow: bool,
    reads: u32,
}

impl Read for Silent {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.is_slow {
            return match self.reads {
                1 => Err(io::ErrorKind::TimedOut.into()),
                _ => (&b"ICAP/1.0 204 No Content\r\n\r\n"[..]).read(buf),
            };
        }
        *self.clock.0.lock().unwrap() += self.read_timeout;
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Write for Silent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Silent {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.read_timeout = timeout;
        Ok(())
    }
    fn set_write_timeout(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }
    fn readiness(&mut self) -> io::Result<Readiness> {
        Ok(Readiness::Idle)
    }
}

impl Connect for Simulated {
    fn connect(&self, service: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Silent {
            clock: self.clone(),
            read_timeout: Duration::ZERO,
            is_slow: service.to_string().ends_with("/slow"),
            reads: 0,
        }))
    }
}

/// The limit that ends a scan, how long it was, and how long the scan took by the clock.
fn limit_of_a_scan(
    read_timeout: Duration,
    deadline: Option<Duration>,
) -> (TimeLimit, Duration, Duration) {
    let clock = Simulated(Arc::new(Mutex::new(Instant::now())));
    let (began, began_really) = (clock.now(), Instant::now());
    let scanner = Scanner::builder("icap://127.0.0.1/scan")
        .connector(clock.clone())
        .clock(clock.clone())
        .negotiate(false)
        .read_timeout(read_timeout)
        .deadline(deadline)
        .build()
        .unwrap();
    let Err(Error::Timeout(error)) = scanner.scan(Content::bytes(b"hello")) else {
        panic!("no timeout");
    };
    assert!(began_really.elapsed() < Duration::from_secs(60));
    (error.limit(), error.after(), clock.now() - began)
}

#[test]
fn read_timeout_passes_in_simulated_time() {
    let (limit, after, took) = limit_of_a_scan(10 * HOUR, None);
    assert_eq!((limit, after), (TimeLimit::ReadTimeout, 10 * HOUR));
    assert_eq!(took, 10 * HOUR);
}

#[test]
fn deadline_passes_in_simulated_time() {
    let (limit, after, took) = limit_of_a_scan(10 * HOUR, Some(HOUR));
    assert_eq!((limit, after), (TimeLimit::Deadline, HOUR));
    assert_eq!(took, HOUR);
}

#[test]
fn time_of_the_last_progress_call_is_not_the_servers() {
    let clock = Simulated(Arc::new(Mutex::new(Instant::now())));
    let scanner = Scanner::builder("icap://127.0.0.1/slow")
        .connector(clock.clone())
        .clock(clock.clone())
        .negotiate(false)
        .deadline(None);
    let content = Content::bytes(b"hello").progress(|sent, _| {
        if sent == 5 {
            *clock.0.lock().unwrap() += HOUR;
        }
    });
    let report = scanner.build().unwrap().scan(content).unwrap();
    assert!(report.verdict().is_clean());
    assert!(report.elapsed() >= HOUR);
}
