//! Connects over TCP: tries every address of the host, all within one timeout.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::deadline::Deadline;
use super::resolver::look_up;
use super::shortage::{is_shortage, shortage};
use super::socket::Socket;
use super::transport::{Connect, Stream};
use crate::error::words_of;
use crate::proto::uri::ServiceUri;

/// Connects over plain TCP. This is what `icap://` URIs use.
///
/// The addresses of the host are tried in order. Each has an equal share of the time that is left, so that an
/// address without a response leaves time for the next one.
///
/// The system's resolver takes no timeout, so helper threads call it:
/// [`MAX_LOOK_UP_THREADS`](crate::limits::MAX_LOOK_UP_THREADS) at most in the whole process. Connections that are made to one
/// host at the same time share one look-up, and its result is not kept. A helper thread ends after 10 s without work.
///
/// `TCP_NODELAY` is set. A request leaves in few writes, and waiting for an acknowledgement between them would
/// cost 40 ms a scan.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpConnector;

impl Connect for TcpConnector {
    /// Refuses an `icaps://` URI: nothing for it is sent in plain.
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        if service.is_tls() {
            let what = format!("{service:?} needs TLS, and this connector has none");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let tcp = connect_any(service, timeout, connect_one)?;
        Ok(Box::new(Socket::new(tcp)))
    }
}

/// Connects to the first address of the service with which `connect_one` succeeds. Each has an equal share of
/// the time that is left.
pub(super) fn connect_any<S>(
    service: &ServiceUri,
    timeout: Duration,
    connect_one: impl Fn(SocketAddr, Duration) -> io::Result<S>,
) -> io::Result<S> {
    let deadline = Deadline::by_system(timeout);
    let addresses = resolve(service, timeout)?;
    let mut failed = Vec::new();
    for (tried, &address) in addresses.iter().enumerate() {
        let left = deadline.cap(timeout).unwrap_or_default();
        if left.is_zero() && tried > 0 {
            break;
        }
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        // Never zero, which `connect_timeout` refuses as invalid.
        match connect_one(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed.push((address, error)),
        }
    }
    let is_elsewhere = service.is_elsewhere();
    let unreachable = Unreachable {
        failed,
        is_elsewhere,
    };
    Err(unreachable.into())
}

pub(super) fn connect_one(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    // The system may give a free loopback port to the connecting socket itself, which is then connected to
    // itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn resolve(service: &ServiceUri, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = service.address();
    if let Ok(ip) = host.parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let mut addresses = look_up(host, timeout)?;
    for address in &mut addresses {
        address.set_port(port);
    }
    Ok(addresses)
}

/// No address could be reached. Shows the cause; of several addresses, or one that is not in the URI, each with its
/// cause.
#[derive(Debug)]
struct Unreachable {
    failed: Vec<(SocketAddr, io::Error)>,
    /// The address is not that of the URI.
    is_elsewhere: bool,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([(_, error)], false) = (&self.failed[..], self.is_elsewhere) {
            return f.write_str(&words_of(error));
        }
        for (tried, (address, error)) in self.failed.iter().enumerate() {
            let separator = if tried == 0 { "" } else { ", " };
            write!(f, "{separator}{address}: {}", words_of(error))?;
        }
        Ok(())
    }
}

impl std::error::Error for Unreachable {}

impl From<Unreachable> for io::Error {
    /// The kind is that of the first failure which is not a timeout: only if all timed out, time ran out. It is
    /// a shortage only if each failure is one: this machine may have no address of one family at all.
    fn from(unreachable: Unreachable) -> Self {
        let kinds = unreachable.failed.iter().map(|(_, error)| error.kind());
        let kind = kinds
            .into_iter()
            .find(|&kind| kind != io::ErrorKind::TimedOut);
        let kind = kind.unwrap_or(io::ErrorKind::TimedOut);
        if unreachable
            .failed
            .iter()
            .all(|(_, error)| is_shortage(error))
        {
            return shortage(kind, unreachable);
        }
        Self::new(kind, unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn closed_port() -> u16 {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    }

    fn unreachable(failed: Vec<(SocketAddr, io::Error)>) -> Unreachable {
        Unreachable {
            failed,
            is_elsewhere: false,
        }
    }

    fn connect(uri: &str) -> io::Result<Box<dyn Stream>> {
        let uri = uri.parse().unwrap();
        TcpConnector.connect(&uri, Duration::from_secs(5))
    }

    #[test]
    fn refused_connection_shows_the_cause() {
        let port = closed_port();
        let error = connect(&format!("icap://127.0.0.1:{port}/s"))
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.to_string(), "connection refused");
    }

    #[test]
    fn address_beside_the_uri_is_named_with_the_cause() {
        let address = format!("127.0.0.1:{}", closed_port());
        let uri: ServiceUri = "icap://av.example/s".parse().unwrap();
        let uri = uri.with_address(&address).unwrap();
        let error = TcpConnector.connect(&uri, Duration::from_secs(5)).err();
        let expected = format!("{address}: connection refused");
        assert_eq!(error.unwrap().to_string(), expected);
    }

    #[test]
    fn each_of_several_addresses_is_named_with_its_cause() {
        let kinds = [io::ErrorKind::TimedOut, io::ErrorKind::ConnectionRefused];
        let address = |at| SocketAddr::from(([127, 0, 0, 1], at));
        let failed = (0..).zip(kinds);
        let failed = failed.map(|(at, kind)| (address(at), kind.into()));
        let error = unreachable(failed.collect());
        let text = "127.0.0.1:0: timed out, 127.0.0.1:1: connection refused";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn second_address_is_tried_after_the_first_refuses() {
        // `localhost` may be ::1 and 127.0.0.1, in this order; only the latter listens.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(connect(&format!("icap://localhost:{port}/s")).is_ok());
    }

    #[test]
    fn host_without_an_address_is_named() {
        let error = connect("icap://no-such-host.invalid/s").err().unwrap();
        assert!(
            error.to_string().contains("no-such-host.invalid"),
            "{error}"
        );
    }

    #[test]
    fn timeout_of_all_addresses_is_a_timeout() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let failed = |kinds: &[io::ErrorKind]| {
            let failed = kinds.iter().map(|&kind| (address, kind.into())).collect();
            io::Error::from(unreachable(failed)).kind()
        };
        use io::ErrorKind::{ConnectionRefused, TimedOut};
        assert_eq!(failed(&[TimedOut, ConnectionRefused]), ConnectionRefused);
        assert_eq!(failed(&[TimedOut, TimedOut]), TimedOut);
    }

    #[test]
    fn shortage_needs_every_address_to_lack_something() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let lacks = |codes: &[i32]| {
            let fail = |&code| (address, io::Error::from_raw_os_error(code));
            let failed = codes.iter().map(fail).collect();
            is_shortage(&unreachable(failed).into())
        };
        #[cfg(target_os = "linux")]
        {
            const TOO_MANY_FILES: i32 = 24;
            const REFUSED: i32 = 111;
            const NO_SUCH_ADDRESS: i32 = 99;
            assert!(lacks(&[TOO_MANY_FILES, TOO_MANY_FILES]));
            assert!(!lacks(&[NO_SUCH_ADDRESS, REFUSED]));
            assert!(!lacks(&[REFUSED]));
        }
    }
}
