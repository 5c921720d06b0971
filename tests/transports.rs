//! Every transport that keeps the contract of `Stream` works, also one that moves one byte at a time.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use icap_client::testing::{Server, eicar};
use icap_client::transport::{Readiness, TcpConnector};
use icap_client::{Connect, Content, Error, Scanner, ServiceUri, Stream};

mod support;

use support::stream::{Calls, wrapped};

/// Moves one byte a call, and lets every other call fail.
struct Reluctant {
    calls: usize,
}

impl Reluctant {
    fn refuses(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.calls % 6 {
            1 => Err(io::ErrorKind::Interrupted.into()),
            3 => Err(io::ErrorKind::WouldBlock.into()),
            5 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl Calls for Reluctant {
    fn read(&mut self, stream: &mut dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
        self.refuses()?;
        stream.read(&mut buf[..1])
    }

    fn write(&mut self, stream: &mut dyn Stream, bytes: &[u8]) -> io::Result<usize> {
        self.refuses()?;
        stream.write(&bytes[..1])
    }
}

struct ReluctantConnector;

impl Connect for ReluctantConnector {
    fn connect(&self, service: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((service.host(), service.port()))?;
        stream.set_nodelay(true)?;
        Ok(wrapped(Box::new(stream), Reluctant { calls: 0 }))
    }
}

#[test]
fn single_bytes_and_interruptions_change_no_verdict() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri())
        .connector(ReluctantConnector)
        .build()
        .unwrap();
    assert!(
        scanner
            .scan(Content::bytes(&[7; 10_000]))
            .unwrap()
            .verdict()
            .is_clean()
    );
    assert!(
        scanner
            .scan(Content::bytes(&eicar()))
            .unwrap()
            .verdict()
            .is_infected()
    );
}

/// A stream with the same result at each call.
#[derive(Clone)]
struct Always {
    read: fn(&mut [u8]) -> io::Result<usize>,
    write: fn(&[u8]) -> io::Result<usize>,
    readiness: fn() -> io::Result<Readiness>,
    calls: Arc<AtomicUsize>,
}

/// A valid stream on which nothing ever comes.
fn always() -> Always {
    Always {
        read: |_| Err(io::ErrorKind::WouldBlock.into()),
        write: |bytes| Ok(bytes.len()),
        readiness: || Ok(Readiness::Idle),
        calls: Arc::default(),
    }
}

impl Read for Always {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.calls.fetch_add(1, Relaxed);
        (self.read)(buf)
    }
}

impl Write for Always {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.fetch_add(1, Relaxed);
        (self.write)(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Always {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero());
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero());
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        (self.readiness)()
    }
}

impl Connect for Always {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.clone()))
    }
}

impl Always {
    fn scan(&self) -> Error {
        let timeout = Duration::from_millis(50);
        let scanner = Scanner::builder("icap://av.invalid/s")
            .negotiate(false)
            .connector(self.clone())
            .read_timeout(timeout)
            .write_timeout(timeout);
        let scanner = scanner.build().unwrap();
        scanner.scan(Content::bytes(b"hello")).unwrap_err()
    }
}

#[test]
fn nonblocking_stream_meets_its_timeout_in_few_calls() {
    for kind in [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock] {
        let stall: fn(&[u8]) -> io::Result<usize> = match kind {
            io::ErrorKind::Interrupted => |_| Err(io::ErrorKind::Interrupted.into()),
            _ => |_| Err(io::ErrorKind::WouldBlock.into()),
        };
        let writes = Always {
            write: stall,
            ..always()
        };
        let reads = Always {
            read: match kind {
                io::ErrorKind::Interrupted => |_| Err(io::ErrorKind::Interrupted.into()),
                _ => |_| Err(io::ErrorKind::WouldBlock.into()),
            },
            ..always()
        };
        for stream in [writes, reads] {
            let error = stream.scan();
            assert!(matches!(error, Error::Timeout(_)), "{error:?}");
            // One in each of the 50 milliseconds of the timeout, and some before.
            let calls = stream.calls.load(Relaxed);
            assert!(calls < 200, "{calls} calls");
        }
    }
}

#[test]
fn stream_that_overstates_a_write_fails() {
    let more = [
        Always {
            read: |buf| Ok(buf.len() + 1),
            ..always()
        },
        Always {
            read: |_| Ok(usize::MAX),
            ..always()
        },
        Always {
            write: |bytes| Ok(bytes.len() + 1),
            ..always()
        },
        Always {
            write: |_| Ok(usize::MAX),
            ..always()
        },
    ];
    for stream in more {
        let error = stream.scan();
        assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
        let said = error.io_error().unwrap().to_string();
        assert!(said.contains("claims to have"), "{said}");
    }
}

#[test]
fn stream_with_odd_results_fails_in_time() {
    let odd = [
        Always {
            write: |_| Ok(0),
            ..always()
        },
        Always {
            read: |_| Ok(0),
            ..always()
        },
        Always {
            readiness: || Ok(Readiness::Readable),
            ..always()
        },
        Always {
            readiness: || Ok(Readiness::Closed),
            ..always()
        },
        Always {
            readiness: || Ok(Readiness::Partial),
            ..always()
        },
        Always {
            readiness: || Err(io::ErrorKind::Other.into()),
            ..always()
        },
        Always {
            readiness: || Err(io::ErrorKind::Interrupted.into()),
            ..always()
        },
        Always {
            read: |_| Err(io::ErrorKind::InvalidInput.into()),
            ..always()
        },
    ];
    for (case, stream) in odd.into_iter().enumerate() {
        let began = Instant::now();
        let error = stream.scan();
        let is_its = matches!(
            error,
            Error::Disconnected(_) | Error::Timeout(_) | Error::Protocol(_)
        );
        assert!(is_its, "{case}: {error:?}");
        assert!(began.elapsed() < Duration::from_secs(8), "{case}");
    }
}

#[test]
fn error_of_a_connector_is_kept() {
    struct Refuses(io::ErrorKind);
    impl Connect for Refuses {
        fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
            Err(io::Error::new(self.0, "the tunnel is closed"))
        }
    }
    for (kind, is_timeout) in [
        (io::ErrorKind::TimedOut, true),
        (io::ErrorKind::NotConnected, false),
    ] {
        let scanner = Scanner::builder("icap://av.invalid/s")
            .connector(Refuses(kind))
            .build()
            .unwrap();
        let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
        assert_eq!(error.is_timeout(), is_timeout, "{error:?}");
        let source = error.io_error().unwrap();
        assert_eq!(source.to_string(), "the tunnel is closed");
    }
}

#[test]
fn icaps_never_goes_over_plain_tcp() {
    let server = Server::start().unwrap();
    let uri = server.uri().replace("icap://", "icaps://");
    let builder = Scanner::builder(&uri).connector(TcpConnector);
    let error = builder.build().unwrap().scan(Content::bytes(b"hello"));
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
    let source = error.io_error().unwrap().to_string();
    assert!(source.contains("needs TLS"), "{source}");
    assert_eq!(server.connections(), 0);
}

#[cfg(not(feature = "rustls"))]
#[test]
fn without_the_feature_an_icaps_uri_needs_a_connector() {
    use icap_client::Client;
    let refused = [
        Client::new("icaps://av/s").map(drop),
        Scanner::new("icaps://av/s").map(drop),
        Scanner::builder("icap://av/s")
            .endpoint("icaps://av/s")
            .build()
            .map(drop),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Input(_)), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains("needs the feature `rustls` or a `connector` of your own"),
            "{said}"
        );
    }
}

#[test]
fn custom_connector_sees_that_tls_is_requested() {
    struct Sees;
    impl Connect for Sees {
        fn connect(&self, service: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
            let what = format!("{} {}", service.is_tls(), service.port());
            Err(io::Error::other(what))
        }
    }
    for (uri, seen) in [
        ("icap://av/s", "false 1344"),
        ("icaps://av/s", "true 11344"),
    ] {
        let scanner = Scanner::builder(uri).connector(Sees).build().unwrap();
        let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
        let source = error.io_error().unwrap();
        assert_eq!(source.to_string(), seen);
    }
}
