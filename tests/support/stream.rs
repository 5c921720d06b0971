//! A stream that passes all calls on, and lets a test step in at some of them.

use std::io::{self, Read, Write};
use std::time::Duration;

use icap_client::Stream;
use icap_client::transport::Readiness;

/// What a test does at the calls of a stream. By default, it passes them on.
pub(crate) trait Calls: Send {
    fn read(&mut self, stream: &mut dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
        stream.read(buf)
    }

    fn write(&mut self, stream: &mut dyn Stream, bytes: &[u8]) -> io::Result<usize> {
        stream.write(bytes)
    }

    fn readiness(&mut self, stream: &mut dyn Stream) -> io::Result<Readiness> {
        stream.readiness()
    }
}

pub(crate) struct Wrapped<C> {
    stream: Box<dyn Stream>,
    calls: C,
}

/// `stream`, with `calls` before it.
pub(crate) fn wrapped<C: Calls + 'static>(stream: Box<dyn Stream>, calls: C) -> Box<dyn Stream> {
    Box::new(Wrapped { stream, calls })
}

impl<C: Calls> Read for Wrapped<C> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.calls.read(&mut *self.stream, buf)
    }
}

impl<C: Calls> Write for Wrapped<C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.write(&mut *self.stream, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<C: Calls> Stream for Wrapped<C> {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(timeout)
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.calls.readiness(&mut *self.stream)
    }

    fn written_at_arrival(&self) -> Option<u64> {
        self.stream.written_at_arrival()
    }

    fn is_reusable(&self) -> bool {
        self.stream.is_reusable()
    }
}
