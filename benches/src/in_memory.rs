//! An ICAP server in this process, without a socket: what is left is the time of the client's own code.

use std::io::{self, Read, Write};
use std::time::Duration;

use icap_client::transport::Readiness;
use icap_client::{Connect, ServiceUri, Stream};

const OPTIONS: &[u8] = b"ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nISTag: \"sink\"\r\nAllow: 204\r\n\
    Options-TTL: 3600\r\nEncapsulated: null-body=0\r\n\r\n";
const NO_CONTENT: &[u8] =
    b"ICAP/1.0 204 No Content\r\nISTag: \"sink\"\r\nEncapsulated: null-body=0\r\n\r\n";
const CONTENT: &[u8] = b"ICAP/1.0 200 OK\r\nISTag: \"sink\"\r\n\
    Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
/// One byte, in a chunk of its own.
const CHUNK: &[u8] = b"1\r\nx\r\n";

/// Connects to servers that respond as soon as a request is complete.
#[derive(Clone, Copy)]
pub(crate) struct InMemory {
    /// Bytes that are sent back to a scan, each in a chunk of its own; `None`: the response is 204.
    pub(crate) sent_back: Option<u64>,
}

impl Connect for InMemory {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Server {
            sent_back: self.sent_back,
            response: b"",
            chunks: Vec::new(),
            chunks_left: 0,
        }))
    }
}

struct Server {
    sent_back: Option<u64>,
    /// What of the response is not yet read, and the number of chunks that follow it.
    response: &'static [u8],
    /// Many chunks, to be copied at once.
    chunks: Vec<u8>,
    chunks_left: u64,
}

impl Write for Server {
    /// No content of the benchmarks ends as a request does.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.starts_with(b"OPTIONS ") {
            self.response = OPTIONS;
        } else if bytes.ends_with(b"\r\n0\r\n\r\n") {
            self.response = match self.sent_back {
                None => NO_CONTENT,
                Some(len) => {
                    self.chunks = CHUNK.repeat(10_000);
                    self.chunks_left = len;
                    CONTENT
                }
            };
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Server {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.response.is_empty() {
            return self.response.read(buffer);
        }
        let room = (buffer.len() / CHUNK.len()) as u64;
        let count = self.chunks_left.min(room).min(10_000);
        if count > 0 {
            let len = count as usize * CHUNK.len();
            buffer[..len].copy_from_slice(&self.chunks[..len]);
            self.chunks_left -= count;
            if self.chunks_left == 0 {
                self.response = b"0\r\n\r\n";
            }
            return Ok(len);
        }
        if self.chunks_left > 0 {
            // There is no room for a chunk: the client has asked for a part of one.
            self.chunks_left -= 1;
            self.response = if self.chunks_left == 0 {
                b"1\r\nx\r\n0\r\n\r\n"
            } else {
                CHUNK
            };
            return self.response.read(buffer);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Stream for Server {
    fn set_read_timeout(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        let is_idle = self.response.is_empty() && self.chunks_left == 0;
        Ok(if is_idle {
            Readiness::Idle
        } else {
            Readiness::Readable
        })
    }
}
