//! What this crate asks of a transport, so that others than TCP fit.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::proto::uri::ServiceUri;

/// What a read would find.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing yet.
    Idle,
    /// At least one byte.
    Readable,
    /// A part of something that may turn out to be bytes to read, or nothing: a TLS record whose rest is
    /// still to come can hold a part of a response or a session ticket. A read waits for the rest.
    Partial,
    /// The peer has ended its side.
    Closed,
}

/// A connected, blocking byte stream whose waits are bounded.
///
/// Implement it to scan through another transport. Beyond what [`Read`] and [`Write`] promise:
///
/// - A read or write that makes no progress within its timeout fails with
///   [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut) and may be
///   tried again, a write with the same bytes. A write that made *some* progress returns how much; it
///   must not lose the count. Bytes count as written when they have left for the peer, not while they
///   wait for a flush.
/// - A read or write that returns more than it was given fails the exchange. One that fails with
///   [`Interrupted`](io::ErrorKind::Interrupted) or `WouldBlock` again and again, without waiting, is
///   slowed down and meets the timeout.
/// - Dropping the stream closes it.
///
/// A stream that wraps another one forwards *all* methods, also those with a default.
pub trait Stream: Read + Write + Send {
    /// Bounds each following read; `timeout` is never zero.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports; the exchange then fails.
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// Bounds each following write; `timeout` is never zero.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports; the exchange then fails.
    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// Says what a read would find, without waiting and without taking a byte of the response.
    ///
    /// It speaks of the decoded stream: bytes that only keep a session going are not a response.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports, for example a reset; the exchange then fails.
    fn readiness(&mut self) -> io::Result<Readiness>;

    /// How many bytes had been written to this stream when the first byte of what the last read returned
    /// came; `None`, the default, if that is not known apart from the time of the read.
    ///
    /// A transport that delivers bytes in units (TLS records) says here when the unit began to arrive
    /// that those bytes were in: a response that began before the content was written is early, also
    /// where its first record was complete only later. One read must then not return bytes of two units.
    fn written_at_arrival(&self) -> Option<u64> {
        None
    }

    /// Whether another request may follow on this stream, as far as the transport itself knows: asked
    /// once an exchange is over, and before the next one begins. The default is `true`.
    fn is_reusable(&self) -> bool {
        true
    }
}

/// Makes connections to a service.
///
/// Implement it to reach a service through a tunnel, a Unix socket or TLS of your own. It is called
/// from every thread that scans. Where [`ServiceUri::is_tls`] says so, what is sent must be encrypted; a
/// connector that cannot do that has to fail.
pub trait Connect: Send + Sync {
    /// Connects within `timeout`, which is never zero.
    ///
    /// # Errors
    ///
    /// An error whose text names the address; of kind [`TimedOut`](io::ErrorKind::TimedOut) if the
    /// time ran out.
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>>;
}

impl Stream for TcpStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        TcpStream::set_read_timeout(self, Some(timeout))
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        TcpStream::set_write_timeout(self, Some(timeout))
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.set_nonblocking(true)?;
        let peeked = self.peek(&mut [0]);
        self.set_nonblocking(false)?;
        match peeked {
            Ok(0) => Ok(Readiness::Closed),
            Ok(_) => Ok(Readiness::Readable),
            Err(error) if is_nothing_yet(&error) => Ok(Readiness::Idle),
            Err(error) => Err(error),
        }
    }
}

/// Whether a look that does not wait found nothing. A `TimedOut` there is a dead connection.
pub(crate) fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

/// Whether an error only says that nothing happened so far. `Interrupted` is among them, so that a
/// stream that is interrupted for ever still meets its timeout.
pub(crate) fn is_stall(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Waits for what is on its way; loopback delivers it, but not at once.
    fn settled(stream: &mut TcpStream, expected: Readiness) -> bool {
        let arrives = |stream: &TcpStream| stream.peek(&mut [0]).is_ok();
        arrives(stream) && stream.readiness().unwrap() == expected
    }

    #[test]
    fn a_peek_tells_idle_readable_and_closed_apart_and_takes_nothing() {
        let (mut client, mut server) = pair();
        assert_eq!(client.readiness().unwrap(), Readiness::Idle);
        server.write_all(b"x").unwrap();
        assert!(settled(&mut client, Readiness::Readable));
        assert!(settled(&mut client, Readiness::Readable));
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        assert_eq!(
            (&byte, client.readiness().unwrap()),
            (b"x", Readiness::Idle)
        );
        drop(server);
        assert!(settled(&mut client, Readiness::Closed));
    }

    #[test]
    fn a_peek_leaves_the_stream_blocking() {
        let (mut client, _server) = pair();
        client.readiness().unwrap();
        Stream::set_read_timeout(&mut client, Duration::from_millis(30)).unwrap();
        let before = std::time::Instant::now();
        assert!(is_stall(&client.read(&mut [0]).unwrap_err()));
        assert!(before.elapsed() >= Duration::from_millis(25));
    }
}
