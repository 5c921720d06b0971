//! A transport without sockets. Its responses are given, and each becomes readable after its request.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;

use icap_client::transport::Readiness;
use icap_client::{Connect, ServiceUri, Stream};

/// Connects to a recording of a server, which closes after its last response.
pub(crate) struct Recording {
    pub(crate) responses: Vec<Vec<u8>>,
    /// The most bytes of one read.
    pub(crate) step: usize,
}

impl Connect for Recording {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Playing {
            responses: self.responses.clone().into(),
            step: self.step,
            sent: Vec::new(),
            readable: VecDeque::new(),
        }))
    }
}

struct Playing {
    responses: VecDeque<Vec<u8>>,
    step: usize,
    /// What the client has sent since the last response.
    sent: Vec<u8>,
    readable: VecDeque<u8>,
}

impl Playing {
    /// Whether the client waits for a response: after a head without a body, and after a body or a preview. No
    /// content in the transcripts looks like such an end.
    fn is_awaited(&self) -> bool {
        let ends: &[&[u8]] = match self.sent.starts_with(b"OPTIONS ") {
            true => &[b"\r\n\r\n"],
            false => &[b"\r\n0\r\n\r\n", b"\r\n0; ieof\r\n\r\n"],
        };
        ends.iter().any(|end| self.sent.ends_with(end))
    }
}

impl Write for Playing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.extend_from_slice(bytes);
        if self.is_awaited() {
            self.sent.clear();
            self.readable
                .extend(self.responses.pop_front().unwrap_or_default());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Playing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.readiness()? {
            Readiness::Idle => Err(io::ErrorKind::WouldBlock.into()),
            _ => {
                let len = buf.len().min(self.step);
                self.readable.read(&mut buf[..len])
            }
        }
    }
}

impl Stream for Playing {
    fn set_read_timeout(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        Ok(
            match (self.readable.is_empty(), self.responses.is_empty()) {
                (false, _) => Readiness::Readable,
                (true, true) => Readiness::Closed,
                (true, false) => Readiness::Idle,
            },
        )
    }
}
