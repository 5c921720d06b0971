//! What the same bytes cost without a library: one loop over a connection that stays open.
//!
//! The head is made once. Content comes in chunks of 256 KiB, each with its framing in one write. Of a response, the
//! status is compared and nothing is parsed.
//!
//! With obligations, the loop also does what no client can leave out that keeps this crate's promises: it sends
//! the head that the crate sends, makes sure that a path is no pipe and no device before it opens it, asks for the
//! metadata of the open file and for one byte more than it should have, looks for an early response before a request and
//! for excess bytes after a response, and waits with a timeout.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};

use crate::Result;

pub(crate) const CHUNK: usize = 256 * 1024;
/// The crate's default.
const TIMEOUT: Duration = Duration::from_secs(10);
const PAGE: usize = 4096;
/// The end of the last chunk, and the end of the body.
const END: &[u8] = b"\r\n0\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obligations {
    None,
    AsOurs,
}

pub(crate) struct Floor {
    stream: TcpStream,
    head: Vec<u8>,
    obligations: Obligations,
    /// Content is at `at`, which is the beginning of a page: memory that begins a few bytes before its source,
    /// modulo a page, is slow to copy to. Framing is before and after it.
    buffer: Vec<u8>,
    at: usize,
    response: Box<[u8]>,
}

/// A head of the least length that servers accept.
pub(crate) fn least_head(address: SocketAddr, service: &str) -> Vec<u8> {
    let http = "HTTP/1.1 200 OK\r\n\r\n";
    let at = http.len();
    format!(
        "RESPMOD icap://{address}/{service} ICAP/1.0\r\nHost: {address}\r\nAllow: 204\r\n\
         Encapsulated: res-hdr=0, res-body={at}\r\n\r\n{http}"
    )
    .into_bytes()
}

impl Floor {
    pub(crate) fn connect(
        address: SocketAddr,
        head: Vec<u8>,
        obligations: Obligations,
    ) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        if obligations == Obligations::AsOurs {
            stream.set_read_timeout(Some(TIMEOUT))?;
        }
        let buffer = vec![0; head.len() + CHUNK + 3 * PAGE];
        let first = buffer.as_ptr().align_offset(PAGE);
        let at = first + (head.len() + 64).next_multiple_of(PAGE);
        Ok(Self {
            stream,
            head,
            obligations,
            buffer,
            at,
            response: vec![0; 4096].into(),
        })
    }

    pub(crate) fn scan_file(&mut self, path: &Path, size: usize) -> io::Result<()> {
        if self.obligations == Obligations::None {
            return self.scan_reader(&mut File::open(path)?, size, 0);
        }
        assert!(path.metadata()?.is_file());
        let mut file = File::open(path)?;
        assert_eq!(file.metadata()?.len(), size as u64);
        self.scan_reader(&mut file, size, 1)
    }

    /// Reads `size` bytes; with the last of them, asks for `spare` bytes more.
    pub(crate) fn scan_reader(
        &mut self,
        reader: &mut impl Read,
        size: usize,
        spare: usize,
    ) -> io::Result<()> {
        self.look()?;
        let mut left = size;
        while left > 0 {
            let len = left.min(CHUNK);
            let is_first = left == size;
            left -= len;
            let asked = if left == 0 { len + spare } else { len };
            let content = &mut self.buffer[self.at..self.at + asked];
            let mut filled = 0;
            while filled < len {
                filled += reader.read(&mut content[filled..])?;
            }
            assert_eq!(filled, len, "the content has another length");
            self.send_chunk(len, is_first, left == 0)?;
        }
        self.receive()
    }

    /// Without a copy of the content, where it does not fit one chunk.
    pub(crate) fn scan_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() <= CHUNK {
            return self.scan_reader(&mut &*bytes, bytes.len(), 0);
        }
        self.look()?;
        let chunks = bytes.len().div_ceil(CHUNK);
        for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
            let begin = self.begin_chunk(chunk.len(), number == 0);
            let end: &[u8] = if number + 1 == chunks { END } else { b"" };
            let before = &self.buffer[begin..self.at];
            write_all(&mut self.stream, [before, chunk, end])?;
        }
        self.receive()
    }

    fn send_chunk(&mut self, len: usize, is_first: bool, is_last: bool) -> io::Result<()> {
        let begin = self.begin_chunk(len, is_first);
        let mut end = self.at + len;
        if is_last {
            self.buffer[end..end + END.len()].copy_from_slice(END);
            end += END.len();
        }
        self.stream.write_all(&self.buffer[begin..end])
    }

    /// Writes what comes before a chunk's content: the head, or the end of the chunk before. Returns where it begins.
    fn begin_chunk(&mut self, len: usize, is_first: bool) -> usize {
        let line = format!("{len:x}\r\n");
        let before: &[u8] = if is_first { &self.head } else { b"\r\n" };
        let middle = self.at - line.len();
        let begin = middle - before.len();
        self.buffer[begin..middle].copy_from_slice(before);
        self.buffer[middle..self.at].copy_from_slice(line.as_bytes());
        begin
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut filled = 0;
        while !self.response[..filled].ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut self.response[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => filled += len,
            }
        }
        assert!(self.response.starts_with(b"ICAP/1.0 204 "));
        self.look()
    }

    /// Nothing must have arrived.
    fn look(&self) -> io::Result<()> {
        if self.obligations == Obligations::None {
            return Ok(());
        }
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match recv(&self.stream, &mut [0_u8; 1], flags) {
            Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(io::Error::other("an unexpected byte")),
        }
    }
}

fn write_all(stream: &mut TcpStream, parts: [&[u8]; 3]) -> io::Result<()> {
    let mut slices = parts.map(IoSlice::new);
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let written = stream.write_vectored(left)?;
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}
