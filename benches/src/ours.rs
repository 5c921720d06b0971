//! This crate as a contender, and the head that it sends.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use icap_client::transport::{Readiness, TcpConnector};
use icap_client::{Connect, Content, Scanner, ServiceUri, Stream};

use crate::Result;
use crate::work::Kind;

/// With the default settings, but for the limit on the size.
pub(crate) fn scanner(uri: &str) -> Result<Scanner> {
    Ok(Scanner::builder(uri).max_size(None).build()?)
}

pub(crate) fn scan(scanner: &Scanner, kind: Kind, path: &Path, content: &[u8]) -> Result<()> {
    let content = match kind {
        Kind::Bytes => Content::bytes(content),
        Kind::File => Content::file(path)?,
        Kind::Reader => Content::reader(content),
    };
    let report = scanner.scan(content)?;
    match report.verdict().is_clean() {
        true => Ok(()),
        false => Err(format!("the verdict is {:?}", report.verdict()).into()),
    }
}

/// The head that this crate sends for such content: all bytes before the first chunk.
pub(crate) fn recorded_head(uri: &str, kind: Kind, path: &Path, content: &[u8]) -> Result<Vec<u8>> {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let recording = Recording(Arc::clone(&sent));
    let scanner = Scanner::builder(uri)
        .max_size(None)
        .connector(recording)
        .build()?;
    scan(&scanner, kind, path, content)?;
    let sent = sent.lock().map_err(|_| "poisoned")?;
    let request = position(&sent, b"RESPMOD ").ok_or("no request was recorded")?;
    let head = &sent[request..];
    let icap_len = position(head, b"\r\n\r\n").ok_or("no head was recorded")? + 4;
    let at = position(head, b"-body=").ok_or("no body was recorded")? + "-body=".len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let digits: String = digits.map(|&byte| char::from(byte)).collect();
    let body_at: usize = digits.parse()?;
    Ok(head[..icap_len + body_at].to_vec())
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// Keeps the first bytes that are written, of all connections.
struct Recording(Arc<Mutex<Vec<u8>>>);

struct RecordedStream {
    inner: Box<dyn Stream>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Connect for Recording {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let inner = TcpConnector.connect(service, timeout)?;
        let sent = Arc::clone(&self.0);
        Ok(Box::new(RecordedStream { inner, sent }))
    }
}

impl Read for RecordedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl Write for RecordedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        if let Ok(mut sent) = self.sent.lock() {
            let room = (16 * 1024_usize).saturating_sub(sent.len());
            sent.extend_from_slice(&bytes[..len.min(room)]);
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Stream for RecordedStream {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.inner.set_read_timeout(timeout)
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.inner.set_write_timeout(timeout)
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.inner.readiness()
    }

    fn written_at_arrival(&self) -> Option<u64> {
        self.inner.written_at_arrival()
    }

    fn is_reusable(&self) -> bool {
        self.inner.is_reusable()
    }
}
