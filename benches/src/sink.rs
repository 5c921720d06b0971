//! A fast ICAP server that decides nothing: what is left of a scan's time is the client's and the kernel's.
//!
//! | service | what it does |
//! | --- | --- |
//! | `/204` | reads the request to its end, and responds 204 at once |
//! | `/preview` | offers a preview of 4096 bytes, asks for the rest, and then responds 204 |
//! | `/echo` | responds 200 and sends the content back while it comes |
//!
//! It looks at heads and at the lines of chunks, and at no byte of the content. Each connection has a thread.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::thread;

#[cfg(feature = "tls")]
use icap_client::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
#[cfg(feature = "tls")]
use icap_client::tls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::Result;

const BUFFER: usize = 256 * 1024;
pub(crate) const PREVIEW: usize = 4096;

const NO_CONTENT: &[u8] =
    b"ICAP/1.0 204 No Content\r\nISTag: \"sink\"\r\nEncapsulated: null-body=0\r\n\r\n";
const CONTINUE: &[u8] = b"ICAP/1.0 100 Continue\r\n\r\n";
const ECHO: &[u8] =
    b"ICAP/1.0 200 OK\r\nISTag: \"sink\"\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\n\
    HTTP/1.1 200 OK\r\n\r\n";

/// Prints the port, and serves until its input ends, so that it cannot outlive the runner. The arguments are the
/// files with a certificate and its key, if it is to speak TLS.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let acceptor = Acceptor::new(arguments)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(move || accept(&listener, &acceptor));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn accept(listener: &TcpListener, acceptor: &Acceptor) {
    for stream in listener.incoming().flatten() {
        let acceptor = acceptor.clone();
        // The client ends a connection when it likes.
        thread::spawn(move || {
            let _ = acceptor.serve(stream);
        });
    }
}

#[derive(Clone)]
enum Acceptor {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Arc<ServerConfig>),
}

impl Acceptor {
    fn new(arguments: &[String]) -> Result<Self> {
        match arguments {
            [] => Ok(Self::Plain),
            #[cfg(feature = "tls")]
            [certificate, key] => {
                let certificate = CertificateDer::from_pem_file(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)?;
                let config = ServerConfig::builder().with_no_client_auth();
                let config = config.with_single_cert(vec![certificate], key)?;
                Ok(Self::Tls(Arc::new(config)))
            }
            _ => Err("sink [CERTIFICATE KEY]".into()),
        }
    }

    fn serve(self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        match self {
            Self::Plain => Connection::new(stream).serve()?,
            #[cfg(feature = "tls")]
            Self::Tls(config) => {
                let tls = ServerConnection::new(config)?;
                Connection::new(StreamOwned::new(tls, stream)).serve()?;
            }
        }
        Ok(())
    }
}

struct Connection<S> {
    stream: S,
    buffer: Box<[u8]>,
    /// What has been received and not yet used is `buffer[start..end]`.
    start: usize,
    end: usize,
    /// While the content is sent back: what has been used and not yet sent begins here.
    unsent: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    NoContent,
    Preview,
    Echo,
}

/// What the server looks at in a head.
struct Head {
    service: Service,
    is_options: bool,
    has_preview: bool,
    /// The length of the encapsulated HTTP heads, if a body follows them.
    body_at: Option<usize>,
}

impl<S: Read + Write> Connection<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
            unsent: None,
        }
    }

    fn serve(mut self) -> io::Result<()> {
        loop {
            let len = self.find(b"\r\n\r\n")?;
            let head = Head::parse(&self.buffer[self.start..self.start + len])?;
            self.start += len;
            if head.is_options {
                self.send(options(head.service).as_bytes())?;
                continue;
            }
            let body_at = head.body_at.ok_or_else(|| invalid("no body"))?;
            self.skip(body_at as u64)?;
            self.respond(&head)?;
        }
    }

    fn respond(&mut self, head: &Head) -> io::Result<()> {
        if head.service == Service::Echo {
            self.send(ECHO)?;
            self.unsent = Some(self.start);
            self.skip_body()?;
            self.send_back()?;
            self.unsent = None;
            return Ok(());
        }
        let is_whole = self.skip_body()?;
        if head.has_preview && !is_whole {
            self.send(CONTINUE)?;
            self.skip_body()?;
        }
        self.send(NO_CONTENT)
    }

    /// Skips chunks and the last chunk. Returns whether that says `ieof`.
    fn skip_body(&mut self) -> io::Result<bool> {
        loop {
            let len = self.find(b"\r\n")?;
            let line = &self.buffer[self.start..self.start + len - 2];
            let is_whole = line.ends_with(b"ieof");
            let size = chunk_size(line)?;
            self.start += len;
            if size > 0 {
                self.skip(size + 2)?;
                continue;
            }
            while self.take_line()? > 2 {}
            return Ok(is_whole);
        }
    }

    fn take_line(&mut self) -> io::Result<usize> {
        let len = self.find(b"\r\n")?;
        self.start += len;
        Ok(len)
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        let mut left = len;
        loop {
            let here = left.min((self.end - self.start) as u64);
            self.start += here as usize;
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.receive()?;
        }
    }

    /// Returns the number of bytes up to and with the first `end`.
    fn find(&mut self, end: &[u8]) -> io::Result<usize> {
        loop {
            let unused = &self.buffer[self.start..self.end];
            if let Some(at) = unused.windows(end.len()).position(|bytes| bytes == end) {
                return Ok(at + end.len());
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        self.send_back()?;
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.unsent = self.unsent.map(|_| 0);
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.end += len;
                Ok(())
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    fn send_back(&mut self) -> io::Result<()> {
        if let Some(unsent) = self.unsent {
            self.stream.write_all(&self.buffer[unsent..self.start])?;
            self.unsent = Some(self.start);
        }
        Ok(())
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| invalid("head"))?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut head = Self {
            service: service(first),
            is_options: first.starts_with("OPTIONS "),
            has_preview: false,
            body_at: None,
        };
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            if name.eq_ignore_ascii_case("Preview") {
                head.has_preview = true;
            } else if name.eq_ignore_ascii_case("Encapsulated") {
                head.body_at = value
                    .split_once("-body=")
                    .and_then(|(_, at)| at.trim().parse().ok());
            }
        }
        Ok(head)
    }
}

fn service(line: &str) -> Service {
    if line.contains("/preview") {
        Service::Preview
    } else if line.contains("/echo") {
        Service::Echo
    } else {
        Service::NoContent
    }
}

fn options(service: Service) -> String {
    let more = match service {
        Service::NoContent => "Allow: 204\r\n".to_owned(),
        Service::Preview => format!("Allow: 204\r\nPreview: {PREVIEW}\r\n"),
        Service::Echo => String::new(),
    };
    format!(
        "ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nService: sink\r\nISTag: \"sink\"\r\n\
         Options-TTL: 3600\r\n{more}Encapsulated: null-body=0\r\n\r\n"
    )
}

fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let digits: String = digits.map(|&byte| char::from(byte)).collect();
    u64::from_str_radix(&digits, 16).map_err(|_| invalid("chunk size"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
