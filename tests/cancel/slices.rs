//! How often a scan that waits looks at its token, on a clock that moves only where it waits.

use std::time::Instant;

use icap_client::limits::CANCEL_INTERVAL;
use icap_client::transport::{Clock, Readiness};

use super::*;

/// The wait in which the scan is cancelled.
const CANCELLED_IN: u32 = 7;

/// A server that is silent, and that takes either every byte or none. It cancels the scan.
#[derive(Clone)]
struct Silent {
    takes_bytes: bool,
    cancel: Cancel,
    time: Arc<Mutex<Time>>,
}

struct Time {
    now: Instant,
    waits: u32,
}

impl Silent {
    fn wait(&self, timeout: Duration) -> io::Error {
        let mut time = self.time.lock().unwrap();
        time.now += timeout;
        time.waits += 1;
        if time.waits == CANCELLED_IN {
            self.cancel.cancel();
        }
        io::ErrorKind::TimedOut.into()
    }
}

impl Clock for Silent {
    fn now(&self) -> Instant {
        self.time.lock().unwrap().now
    }

    fn now_for_waits(&self) -> Instant {
        self.now()
    }
}

impl Connect for Silent {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(SilentStream {
            server: self.clone(),
            read_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
        }))
    }
}

struct SilentStream {
    server: Silent,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Read for SilentStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.server.wait(self.read_timeout))
    }
}

impl Write for SilentStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.server.takes_bytes {
            true => Ok(bytes.len()),
            false => Err(self.server.wait(self.write_timeout)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for SilentStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.read_timeout = timeout;
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

#[test]
fn waiting_scan_looks_at_its_token_every_25_ms() {
    for takes_bytes in [true, false] {
        let time = Time {
            now: Instant::now(),
            waits: 0,
        };
        let server = Silent {
            takes_bytes,
            cancel: Cancel::new(),
            time: Arc::new(Mutex::new(time)),
        };
        let began = server.now();
        let scanner = Scanner::builder("icap://av.invalid/scan")
            .connector(server.clone())
            .clock(server.clone())
            .negotiate(false)
            .build()
            .unwrap();
        assert_cancelled(&scanner.scan(hello(&server.cancel)));
        let time = server.time.lock().unwrap();
        assert_eq!(time.waits, CANCELLED_IN, "no wait after the cancel");
        assert!(time.now - began <= CANCEL_INTERVAL * CANCELLED_IN);
    }
}
