//! A custom transport: ICAP over a Unix socket.
//!
//! ```text
//! cargo run --example unix_socket
//! ```
//!
//! It starts a test server at a socket and scans two files through it.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::run()
}

#[cfg(not(unix))]
fn main() {
    println!("this system has no Unix sockets");
}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::thread;
    use std::time::Duration;

    use icap_client::testing::{self, Server};
    use icap_client::transport::Readiness;
    use icap_client::{Connect, Content, Scanner, ServiceUri, Stream};

    /// Connects to the socket at `path`. The host of the URI is only the name that the server is told.
    struct UnixConnector {
        path: PathBuf,
    }

    impl Connect for UnixConnector {
        fn connect(&self, service: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
            // An `icaps://` URI must never be sent in plain.
            if service.is_tls() {
                let why = format!("{service} needs TLS, and this connector has none");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            // A Unix socket connects or fails at once, so it needs no timeout.
            let stream = UnixStream::connect(&self.path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
            })?;
            Ok(Box::new(UnixSocket { stream, seen: None }))
        }
    }

    /// std has no stable `peek` for Unix sockets. So `readiness` reads one byte and keeps it for the next
    /// `read`.
    struct UnixSocket {
        stream: UnixStream,
        seen: Option<u8>,
    }

    impl Read for UnixSocket {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match (self.seen, buf.first_mut()) {
                (Some(byte), Some(first)) => {
                    *first = byte;
                    self.seen = None;
                    Ok(1)
                }
                _ => self.stream.read(buf),
            }
        }
    }

    impl Write for UnixSocket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.stream.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.stream.flush()
        }
    }

    impl Stream for UnixSocket {
        fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
            self.stream.set_read_timeout(Some(timeout))
        }

        fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
            self.stream.set_write_timeout(Some(timeout))
        }

        fn readiness(&mut self) -> io::Result<Readiness> {
            if self.seen.is_some() {
                return Ok(Readiness::Readable);
            }
            let mut byte = [0];
            self.stream.set_nonblocking(true)?;
            let read = self.stream.read(&mut byte);
            self.stream.set_nonblocking(false)?;
            match read {
                Ok(0) => Ok(Readiness::Closed),
                Ok(_) => {
                    self.seen = Some(byte[0]);
                    Ok(Readiness::Readable)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Readiness::Idle),
                Err(error) => Err(error),
            }
        }
    }

    pub(super) fn run() -> Result<(), Box<dyn Error>> {
        let server = Server::start()?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("icap.sock");
        let listener = UnixListener::bind(&path)?;
        let address = server.address();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // The test server listens on TCP only, so this thread joins the two.
                if let Ok(to) = TcpStream::connect(address) {
                    join(stream, to);
                }
            }
        });

        let builder = Scanner::builder("icap://localhost/SERVICE");
        let scanner = builder.connector(UnixConnector { path }).build()?;
        for content in [b"hello".to_vec(), testing::eicar()] {
            let report = scanner.scan(Content::bytes(&content))?;
            println!("{} bytes: {}", content.len(), report.verdict());
        }
        Ok(())
    }

    /// Copies in both directions, until both sides close.
    fn join(unix: UnixStream, tcp: TcpStream) {
        let copies = [
            (
                unix.try_clone()
                    .map(|s| Box::new(s) as Box<dyn Read + Send>),
                tcp.try_clone()
                    .map(|s| Box::new(s) as Box<dyn Write + Send>),
            ),
            (
                tcp.try_clone().map(|s| Box::new(s) as Box<dyn Read + Send>),
                unix.try_clone()
                    .map(|s| Box::new(s) as Box<dyn Write + Send>),
            ),
        ];
        for (from, to) in copies {
            if let (Ok(mut from), Ok(mut to)) = (from, to) {
                thread::spawn(move || io::copy(&mut from, &mut to));
            }
        }
    }
}
