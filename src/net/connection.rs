//! One stream, its input buffer, and what is known about the timing of its bytes.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::transport::{Readiness, Stream, is_nothing_yet, is_stall};
use crate::seam::sync::sleep;
use crate::seam::time::Time;
use crate::stats::CloseReason;
use crate::stats::counters::ServiceCounters;

/// The sizes of the input buffer. Most responses fit the first one, which an idle connection keeps. A read that fills
/// a buffer is followed by one into the next larger.
const INPUT_BUFFERS: [usize; 3] = [2 * 1024, 16 * 1024, 64 * 1024];

/// Stalls in a row that may come without waiting. TLS records without data cause some. Without this limit,
/// a stream that never waits would keep a processor busy until the timeout.
const PROMPT_STALLS: u32 = 64;

/// How long each stall after those takes at least. If less time is between two stalls, the second one came without
/// waiting.
const STALL_PAUSE: Duration = Duration::from_millis(1);

/// A connected stream and its input buffer.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    input: Box<[u8]>,
    /// The part of `input` that was read and not consumed.
    unread: std::ops::Range<usize>,
    /// The timeouts that are set on the stream, to set them only when they change.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Bytes written so far, over all exchanges.
    sent: u64,
    /// `sent` at the time when the bytes of the last read began to arrive.
    arrived: u64,
    /// `sent` at the time when the stream was first seen to have something to read; `None` since it was last
    /// seen idle.
    pending: Option<u64>,
    /// Stalls in a row that came without waiting.
    prompt_stalls: u32,
    /// When the last call ended, if it was a stall.
    stalled_at: Option<Instant>,
    clock: Time,
    counters: Arc<ServiceCounters>,
    /// The reason that is counted when it is dropped.
    closing: CloseReason,
}

impl Connection {
    pub(crate) fn new(
        stream: Box<dyn Stream>,
        clock: Time,
        counters: Arc<ServiceCounters>,
    ) -> Self {
        Self {
            stream,
            input: vec![0; INPUT_BUFFERS[0]].into_boxed_slice(),
            unread: 0..0,
            read_timeout: None,
            write_timeout: None,
            sent: 0,
            arrived: 0,
            pending: None,
            prompt_stalls: 0,
            stalled_at: None,
            clock,
            counters,
            closing: CloseReason::Failed,
        }
    }

    /// The bytes that were read and not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.input[self.unread.clone()]
    }

    /// Takes `len` bytes off the front of [`unread`](Self::unread).
    pub(crate) fn consume(&mut self, len: usize) {
        self.unread.start = (self.unread.start + len).min(self.unread.end);
    }

    /// Reads once and appends to the unread bytes; 0 is the end of the stream. A buffer full of unread bytes is
    /// an error, because a caller consumes before it reads.
    pub(crate) fn read(&mut self, timeout: Duration) -> io::Result<usize> {
        if self.unread.end == self.input.len() {
            self.grow();
        }
        if self.unread.is_empty() || self.unread.end == self.input.len() {
            self.compact();
        }
        if self.unread.end == self.input.len() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let result = self.read_once(timeout);
        self.slow_down(&result, timeout);
        let len = result?;
        self.unread.end += len;
        self.arrived = self.arrival();
        self.pending = None;
        self.counters.received(len as u64);
        Ok(len)
    }

    /// Moves the unread bytes to the beginning of a larger buffer, if there is a larger size.
    fn grow(&mut self) {
        let larger = INPUT_BUFFERS.iter().find(|&&len| len > self.input.len());
        if let Some(&len) = larger {
            let mut larger = vec![0; len].into_boxed_slice();
            let unread = self.unread();
            larger[..unread.len()].copy_from_slice(unread);
            self.unread = 0..unread.len();
            self.input = larger;
        }
    }

    /// Moves the unread bytes to the beginning of the buffer.
    fn compact(&mut self) {
        let len = self.unread.len();
        self.input.copy_within(self.unread.clone(), 0);
        self.unread = 0..len;
    }

    fn read_once(&mut self, timeout: Duration) -> io::Result<usize> {
        if self.read_timeout != Some(timeout) {
            self.stream.set_read_timeout(timeout)?;
            self.read_timeout = Some(timeout);
        }
        let buffer = &mut self.input[self.unread.end..];
        let len = self.stream.read(buffer)?;
        checked_count(len, buffer.len(), "read")
    }

    /// `sent` at the time when the last bytes began to arrive: exactly if the stream knows it, or else since the
    /// stream was seen to have something to read.
    fn arrival(&self) -> u64 {
        let exact = self.stream.written_at_arrival();
        exact
            .or(self.pending)
            .map_or(self.sent, |at| at.min(self.sent))
    }

    /// Bytes written so far, over all exchanges.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The value of [`sent`](Self::sent) when the bytes of the last read began to arrive. Over TLS, that is when
    /// the first byte of their record came.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Writes once; returns how many bytes were taken.
    ///
    /// `write_vectored` is not used: it raises SIGPIPE where that signal is at its default.
    pub(crate) fn write(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
        let result = self.write_once(bytes, timeout);
        self.slow_down(&result, timeout);
        let len = result?;
        self.sent += len as u64;
        self.counters.sent(len as u64);
        Ok(len)
    }

    fn write_once(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
        if self.write_timeout != Some(timeout) {
            self.stream.set_write_timeout(timeout)?;
            self.write_timeout = Some(timeout);
        }
        match self.stream.write(bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            len => checked_count(len, bytes.len(), "written"),
        }
    }

    /// Pauses if the stream stalls again and again without waiting, because the caller tries again. The clock is
    /// asked only after a stall.
    fn slow_down(&mut self, result: &io::Result<usize>, timeout: Duration) {
        let is_stalled = result.as_ref().is_err_and(is_stall);
        if !is_stalled {
            self.prompt_stalls = 0;
            self.stalled_at = None;
            return;
        }
        let now = self.clock.now_for_waits();
        let is_prompt = |before| now.saturating_duration_since(before) < STALL_PAUSE;
        match self.stalled_at.is_some_and(is_prompt) {
            true => self.prompt_stalls += 1,
            false => self.prompt_stalls = 0,
        }
        self.stalled_at = Some(now);
        if self.prompt_stalls > PROMPT_STALLS {
            self.prompt_stalls = PROMPT_STALLS;
            sleep(STALL_PAUSE.min(timeout));
            self.stalled_at = Some(self.clock.now_for_waits());
        }
    }

    /// Closes it.
    pub(crate) fn close(mut self, reason: CloseReason) {
        self.closing = reason;
    }

    /// It is put aside for reuse. If it is dropped there, nothing is wrong with it. A large buffer is not kept.
    pub(crate) fn rest(&mut self) {
        if self.unread.is_empty() && self.input.len() > INPUT_BUFFERS[0] {
            self.input = vec![0; INPUT_BUFFERS[0]].into_boxed_slice();
            self.unread = 0..0;
        }
        self.closing = CloseReason::ScannerDropped;
    }

    /// It is used again. If it is dropped now, the exchange failed.
    pub(crate) fn wake(&mut self) {
        self.closing = CloseReason::Failed;
    }

    /// Returns what a read would find, without waiting.
    pub(crate) fn readiness(&mut self) -> io::Result<Readiness> {
        let readiness = match self.stream.readiness() {
            Err(error) if is_nothing_yet(&error) => Ok(Readiness::Idle),
            readiness => readiness,
        };
        match &readiness {
            Ok(Readiness::Idle) => self.pending = None,
            _ => _ = self.pending.get_or_insert(self.sent),
        }
        readiness
    }

    /// Whether the transport allows another exchange.
    pub(crate) fn is_reusable(&self) -> bool {
        self.stream.is_reusable()
    }
}

/// Checks a count that a caller's own stream returns: it may be anything.
fn checked_count(len: usize, most: usize, what: &str) -> io::Result<usize> {
    if len <= most {
        return Ok(len);
    }
    let what = format!("the stream claims to have {what} {len} bytes, of {most} that it was given");
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.counters.closed(self.closing);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("unread", &self.unread)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// Fills each buffer with a byte of its own.
    struct Endless(u8);

    impl Read for Endless {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            buf.fill(self.0);
            Ok(buf.len())
        }
    }

    impl Write for Endless {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Endless {
        fn set_read_timeout(&mut self, _: Duration) -> io::Result<()> {
            Ok(())
        }
        fn set_write_timeout(&mut self, _: Duration) -> io::Result<()> {
            Ok(())
        }
        fn readiness(&mut self) -> io::Result<Readiness> {
            Ok(Readiness::Readable)
        }
    }

    fn endless() -> Connection {
        let counters = ServiceCounters::new("icap://127.0.0.1/s".to_owned());
        Connection::new(Box::new(Endless(0)), Time::default(), Arc::new(counters))
    }

    const TIMEOUT: Duration = Duration::from_secs(1);

    #[test]
    fn input_buffer_grows_with_reads_and_rests_small() {
        let mut connection = endless();
        for _ in 0..2 {
            for len in [2048, 16_384, 65_536, 65_536] {
                assert_eq!(connection.read(TIMEOUT).unwrap(), len);
                connection.consume(len);
            }
            connection.rest();
            assert_eq!(connection.input.len(), 2048);
        }
    }

    #[test]
    fn input_buffer_that_grows_keeps_unread_bytes() {
        let mut connection = endless();
        connection.read(TIMEOUT).unwrap();
        connection.consume(2000);
        assert_eq!(connection.read(TIMEOUT).unwrap(), 16_384 - 48);
        let expected = [vec![1; 48], vec![2; 16_384 - 48]].concat();
        assert_eq!(connection.unread(), expected);
        assert_eq!(connection.read(TIMEOUT).unwrap(), 65_536 - 16_384);
        // Without room for a byte, a read is a fault of the caller.
        let error = connection.read(TIMEOUT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        connection.rest();
        assert_eq!(connection.unread().len(), 65_536, "nothing is lost");
    }
}
