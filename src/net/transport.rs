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
    /// The beginning of a unit, for example of a TLS record. Until the rest is there, it is not known whether the unit
    /// has bytes of a response. A TLS session ticket, for example, has none. A read waits for the rest.
    Partial,
    /// The end of the stream: the peer has closed its side, and all that it sent was read.
    Closed,
}

/// A connected, blocking byte stream with a timeout for every wait.
///
/// Implement it to scan through another transport. [`Read`] and [`Write`] promise most of what is needed.
/// Beyond that:
///
/// - A read or write without progress within its timeout fails with
///   [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut). This crate may then call it
///   again. It repeats a write with the same bytes.
/// - A write with *some* progress returns how much, also if the rest timed out. It counts only bytes that it has given to
///   the transport, for example to the socket, and none that a buffer of its own keeps until a flush.
/// - A read or write that returns more than the length of its buffer fails the exchange.
/// - [`Interrupted`](io::ErrorKind::Interrupted) and `WouldBlock` without waiting are allowed. If a stream
///   does this again and again, this crate pauses between the calls, and the exchange fails when the timeout is over.
/// - Dropping the stream closes it.
///
/// A stream that wraps another one and passes its bytes on unchanged forwards *all* methods, also those with a default.
/// A stream that changes the bytes, as TLS does, has its own `readiness` and `written_at_arrival`.
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::time::Duration;
///
/// use icap_client::transport::{Readiness, TcpConnector};
/// use icap_client::{Connect, Content, Scanner, ServiceUri, Stream};
///
/// /// Shows what is sent.
/// struct Traced(Box<dyn Stream>);
///
/// impl Read for Traced {
///     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
///         self.0.read(buffer)
///     }
/// }
///
/// impl Write for Traced {
///     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         let len = self.0.write(bytes)?;
///         eprintln!("{}", bytes[..len].escape_ascii());
///         Ok(len)
///     }
///     fn flush(&mut self) -> io::Result<()> {
///         self.0.flush()
///     }
/// }
///
/// impl Stream for Traced {
///     fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
///         self.0.set_read_timeout(timeout)
///     }
///     fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
///         self.0.set_write_timeout(timeout)
///     }
///     fn readiness(&mut self) -> io::Result<Readiness> {
///         self.0.readiness()
///     }
///     fn written_at_arrival(&self) -> Option<u64> {
///         self.0.written_at_arrival()
///     }
///     fn is_reusable(&self) -> bool {
///         self.0.is_reusable()
///     }
/// }
///
/// struct Tracing;
///
/// impl Connect for Tracing {
///     fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
///         Ok(Box::new(Traced(TcpConnector.connect(service, timeout)?)))
///     }
/// }
///
/// # let server = icap_client::testing::Server::start()?;
/// # let uri = server.uri();
/// let scanner = Scanner::builder(&uri).connector(Tracing).build()?;
/// assert!(scanner.scan(Content::bytes(b"hello"))?.verdict().is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Stream: Read + Write + Send {
    /// Sets the timeout of each following read. It is never zero.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports. The exchange then fails.
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// Sets the timeout of each following write. It is never zero.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports. The exchange then fails.
    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()>;

    /// Returns what a read would find, without waiting and without taking a byte of the response.
    ///
    /// It is about the decoded stream: bytes that only keep a TLS session going are not a response.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports, for example a reset. The exchange then fails.
    fn readiness(&mut self) -> io::Result<Readiness>;

    /// Returns how many bytes had been written to this stream when the unit of the last read began to arrive. The
    /// default is `None`: this is not known.
    ///
    /// Implement it if the transport delivers bytes in units, such as TLS records. One read must then not return bytes
    /// of two units. With units, a read returns only after the whole unit has arrived, and this crate must know when it
    /// began to arrive: a response is early if that was before all content was written. For a plain byte stream, keep the
    /// default.
    fn written_at_arrival(&self) -> Option<u64> {
        None
    }

    /// Returns whether the transport allows another exchange. The default is `true`.
    ///
    /// It is called after each exchange, and before the next one begins.
    fn is_reusable(&self) -> bool {
        true
    }
}

/// Makes connections to a service.
///
/// Implement it to reach a service through a tunnel, a Unix socket or a TLS library of your own. Every thread
/// that scans calls it; a scan that can be [cancelled](crate::Content::cancel) calls it in a helper thread. A connector over TCP connects to
/// [`ServiceUri::address`], unless it has an address of its own as in the example. If [`ServiceUri::is_tls`], what is sent must be encrypted; a connector
/// that cannot do that has to fail.
///
/// ```
/// use std::io;
/// use std::net::{SocketAddr, TcpStream};
/// use std::time::Duration;
///
/// use icap_client::{Connect, Content, Scanner, ServiceUri, Stream};
///
/// /// Reaches every service at one address, for example the end of a tunnel.
/// struct Tunnel(SocketAddr);
///
/// impl Connect for Tunnel {
///     fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
///         if service.is_tls() {
///             return Err(io::Error::new(io::ErrorKind::InvalidInput, "this tunnel has no TLS"));
///         }
///         let stream = TcpStream::connect_timeout(&self.0, timeout)?;
///         stream.set_nodelay(true)?;
///         Ok(Box::new(stream))
///     }
/// }
///
/// # let server = icap_client::testing::Server::start()?;
/// # let tunnel = server.address();
/// let builder = Scanner::builder("icap://av.example/SERVICE").connector(Tunnel(tunnel));
/// let scanner = builder.build()?;
/// assert!(scanner.scan(Content::bytes(b"hello"))?.verdict().is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Connect: Send + Sync {
    /// Connects within `timeout`, which is never zero.
    ///
    /// # Errors
    ///
    /// Whatever kept it from connecting; an operator wants to read the address in its text. If the time ran out, it is of kind
    /// [`TimedOut`](io::ErrorKind::TimedOut).
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>>;
}

/// A look makes the socket non-blocking and blocking again, because std's type does not know its mode. The streams of
/// [`TcpConnector`](super::tcp::TcpConnector) save these calls.
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

/// Whether a peek that does not wait found nothing. `TimedOut` is not among these: there it means that the
/// connection is dead.
pub(crate) fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

/// Whether an error only means that nothing has happened so far. `Interrupted` is among these, so that a
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
    fn peek_distinguishes_idle_readable_and_closed() {
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
    fn peek_leaves_the_stream_blocking() {
        let (mut client, _server) = pair();
        client.readiness().unwrap();
        Stream::set_read_timeout(&mut client, Duration::from_millis(30)).unwrap();
        let before = std::time::Instant::now();
        assert!(is_stall(&client.read(&mut [0]).unwrap_err()));
        assert!(before.elapsed() >= Duration::from_millis(25));
    }
}
