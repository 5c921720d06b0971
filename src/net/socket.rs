//! A TCP socket that changes its mode only where it must.
//!
//! A look and most writes need no waiting, so the socket stays non-blocking for them. It is made blocking for a read
//! that waits for the server, and for writes while the server takes less than is sent. Each change is a system call, and
//! so is each change of a timeout. A small request and its response take six calls: look, write, change, read, change, look.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::transport::{Readiness, Stream, is_nothing_yet};

/// A connected TCP socket, and its modes as the system has them.
pub(super) struct Socket {
    tcp: TcpStream,
    is_nonblocking: bool,
    read_timeout: Timeout,
    write_timeout: Timeout,
    /// The last look found something, so the next read need not wait.
    is_readable: bool,
    /// A write was cut short, so the next ones wait. A read that waits ends this.
    is_full: bool,
}

/// A timeout that is wanted, and the one that the system has.
#[derive(Default)]
struct Timeout {
    wanted: Option<Duration>,
    set: Option<Duration>,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            is_nonblocking: false,
            read_timeout: Timeout::default(),
            write_timeout: Timeout::default(),
            is_readable: false,
            is_full: false,
        }
    }

    /// Reads without waiting.
    pub(super) fn read_at_once(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.is_readable = false;
        self.set_nonblocking(true)?;
        self.tcp.read(buf)
    }

    /// Writes without waiting.
    pub(super) fn write_at_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.set_nonblocking(true)?;
        self.tcp.write(bytes)
    }

    /// Waits for bytes within the read timeout, and takes none.
    #[cfg(all(test, feature = "rustls"))]
    pub(super) fn await_bytes(&mut self) -> io::Result<()> {
        self.set_nonblocking(false)?;
        let timeout = self.read_timeout.change().or(self.read_timeout.set);
        self.tcp.set_read_timeout(timeout)?;
        self.tcp.peek(&mut [0]).map(drop)
    }

    fn set_nonblocking(&mut self, is_nonblocking: bool) -> io::Result<()> {
        if self.is_nonblocking != is_nonblocking {
            self.tcp.set_nonblocking(is_nonblocking)?;
            self.is_nonblocking = is_nonblocking;
        }
        Ok(())
    }
}

impl Timeout {
    /// It is set only before a call that waits, and only if it is another one.
    fn want(&mut self, timeout: Duration) {
        self.wanted = Some(whole_milliseconds(timeout));
    }

    /// The timeout that the system must be given.
    fn change(&mut self) -> Option<Duration> {
        let is_changed = self.set != self.wanted;
        self.set = self.wanted;
        self.wanted.filter(|_| is_changed)
    }
}

/// Rounds up. What is left of a timeout differs from call to call by nanoseconds, and the system does not measure
/// these.
fn whole_milliseconds(time: Duration) -> Duration {
    const MILLISECOND: u32 = 1_000_000;
    match time.subsec_nanos() % MILLISECOND {
        0 => time,
        over => time.saturating_add(Duration::from_nanos(u64::from(MILLISECOND - over))),
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.is_readable {
            // If nothing is there after all, that is a stall, and the next read waits.
            return self.read_at_once(buf);
        }
        self.is_full = false;
        self.set_nonblocking(false)?;
        if let Some(timeout) = self.read_timeout.change() {
            self.tcp.set_read_timeout(Some(timeout))?;
        }
        self.tcp.read(buf)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_full {
            match self.write_at_once(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_full = true,
                written => {
                    self.is_full = matches!(written, Ok(len) if len < bytes.len());
                    return written;
                }
            }
        }
        self.set_nonblocking(false)?;
        if let Some(timeout) = self.write_timeout.change() {
            self.tcp.set_write_timeout(Some(timeout))?;
        }
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.read_timeout.want(timeout);
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.write_timeout.want(timeout);
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.set_nonblocking(true)?;
        let peeked = self.tcp.peek(&mut [0]);
        self.is_readable = peeked.is_ok();
        match peeked {
            Ok(0) => Ok(Readiness::Closed),
            Ok(_) => Ok(Readiness::Readable),
            Err(error) if is_nothing_yet(&error) => Ok(Readiness::Idle),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::transport::is_stall;
    use std::net::TcpListener;
    use std::time::Instant;

    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Socket::new(client), listener.accept().unwrap().0)
    }

    const SHORT: Duration = Duration::from_millis(30);

    /// The time that a read of nothing takes.
    fn time_of_a_read(socket: &mut Socket) -> Duration {
        let began = Instant::now();
        assert!(is_stall(&socket.read(&mut [0]).unwrap_err()));
        began.elapsed()
    }

    /// Writes until the peer, which reads nothing, has no room; returns the time that the last write took.
    fn fill(socket: &mut Socket) -> Duration {
        let bytes = vec![b'x'; 1 << 20];
        loop {
            let began = Instant::now();
            if socket.write(&bytes).is_err_and(|error| is_stall(&error)) {
                return began.elapsed();
            }
        }
    }

    #[test]
    fn read_waits_unless_a_look_found_something() {
        let (mut socket, mut peer) = pair();
        Stream::set_read_timeout(&mut socket, SHORT).unwrap();
        for _ in 0..2 {
            assert_eq!(socket.readiness().unwrap(), Readiness::Idle);
            assert!(time_of_a_read(&mut socket) >= SHORT - SHORT / 5);
        }
        peer.write_all(b"x").unwrap();
        // A read that waits finds it without a look.
        assert_eq!(socket.read(&mut [0]).unwrap(), 1);
        peer.write_all(b"y").unwrap();
        while socket.readiness().unwrap() == Readiness::Idle {}
        assert_eq!(socket.readiness().unwrap(), Readiness::Readable);
        assert_eq!(socket.read(&mut [0]).unwrap(), 1);
        assert!(time_of_a_read(&mut socket) >= SHORT - SHORT / 5);
        drop(peer);
        while socket.readiness().unwrap() == Readiness::Idle {}
        assert_eq!(socket.readiness().unwrap(), Readiness::Closed);
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn look_that_found_something_gone_costs_one_stall() {
        let (mut socket, _peer) = pair();
        Stream::set_read_timeout(&mut socket, SHORT).unwrap();
        socket.is_readable = true;
        time_of_a_read(&mut socket);
        assert!(time_of_a_read(&mut socket) >= SHORT - SHORT / 5);
    }

    #[test]
    fn write_without_room_waits_and_so_do_the_next_ones() {
        let (mut socket, _peer) = pair();
        Stream::set_write_timeout(&mut socket, SHORT).unwrap();
        for _ in 0..2 {
            assert!(fill(&mut socket) >= SHORT - SHORT / 5);
            assert_eq!(socket.readiness().unwrap(), Readiness::Idle);
        }
        const LONG: Duration = Duration::from_secs(30);
        Stream::set_write_timeout(&mut socket, LONG).unwrap();
        let began = Instant::now();
        while socket.write_at_once(&[0; 4096]).is_ok() {}
        assert!(began.elapsed() < LONG);
    }

    #[test]
    fn timeouts_are_rounded_up_to_milliseconds() {
        for (nanos, expected) in [
            (1, 1),
            (1_000_000, 1),
            (1_000_001, 2),
            (1_999_999_999, 2000),
        ] {
            let rounded = whole_milliseconds(Duration::from_nanos(nanos));
            assert_eq!(rounded, Duration::from_millis(expected), "{nanos}");
        }
        assert_eq!(whole_milliseconds(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn timeout_is_set_only_if_it_is_another_one() {
        let mut timeout = Timeout::default();
        assert_eq!(timeout.change(), None);
        let tenth = Duration::from_millis(100);
        timeout.want(tenth);
        assert_eq!(timeout.change(), Some(tenth));
        timeout.want(tenth - Duration::from_nanos(7));
        assert_eq!(timeout.change(), None);
        timeout.want(SHORT);
        timeout.want(tenth);
        assert_eq!(timeout.change(), None);
    }
}
