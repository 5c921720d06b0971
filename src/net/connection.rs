//! One stream with what was read ahead from it, and why it is closed.

use std::fmt;
use std::io;
use std::time::Duration;

use super::stream::{Readiness, Stream, is_stall};

/// Bytes that are read at once.
const INPUT_BUFFER: usize = 64 * 1024;

/// A connected stream and its input buffer.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    input: Box<[u8]>,
    /// Of `input`: what was read and not consumed.
    unread: std::ops::Range<usize>,
    /// As they are set on the stream, to set them only when they change.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            input: vec![0; INPUT_BUFFER].into_boxed_slice(),
            unread: 0..0,
            read_timeout: None,
            write_timeout: None,
        }
    }

    /// What was read and not consumed yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.input[self.unread.clone()]
    }

    /// Takes `len` bytes off the front of [`unread`](Self::unread).
    pub(crate) fn consume(&mut self, len: usize) {
        self.unread.start = (self.unread.start + len).min(self.unread.end);
    }

    /// Reads once, behind what is unread; 0 is the end of the stream. With a full buffer nothing is
    /// read, which is an error, because a caller consumes before it reads.
    pub(crate) fn read(&mut self, timeout: Duration) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
        if self.unread.end == self.input.len() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if self.read_timeout != Some(timeout) {
            self.stream.set_read_timeout(timeout)?;
            self.read_timeout = Some(timeout);
        }
        let len = self.stream.read(&mut self.input[self.unread.end..])?;
        self.unread.end += len;
        Ok(len)
    }

    /// Writes once; returns how much was taken.
    ///
    /// Not `write_vectored`, which raises SIGPIPE where that signal is at its default.
    pub(crate) fn write(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
        if self.write_timeout != Some(timeout) {
            self.stream.set_write_timeout(timeout)?;
            self.write_timeout = Some(timeout);
        }
        match self.stream.write(bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            len => Ok(len),
        }
    }

    /// What a read would find, without waiting.
    pub(crate) fn readiness(&mut self) -> io::Result<Readiness> {
        match self.stream.readiness() {
            Err(error) if is_stall(&error) => Ok(Readiness::Idle),
            readiness => readiness,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("unread", &self.unread)
            .finish_non_exhaustive()
    }
}

/// Why a connection is not used again. It is dirty from the first byte of an exchange, and clean
/// again only when none of these applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The exchange ended in an error.
    Failed,
    /// The answer was complete before the request was.
    RequestUnfinished,
    /// The answer began before the request was completely written.
    EarlyAnswer,
    /// Bytes came behind the answer.
    StrayBytes,
    /// The peer said `Connection: close`.
    PeerAsked,
    /// The peer closed its side.
    PeerClosed,
    /// Something a well-behaved peer does not send.
    Odd(&'static str),
    /// Nothing is wrong with it; this crate keeps no connections yet.
    NotKept,
}

impl CloseReason {
    /// The reason as a clause, for the log.
    pub(crate) fn explain(self) -> &'static str {
        match self {
            Self::Failed => "the exchange failed",
            Self::RequestUnfinished => "the answer was complete before the request was",
            Self::EarlyAnswer => "the answer began before the request was completely written",
            Self::StrayBytes => "bytes came behind the answer",
            Self::PeerAsked => "the peer asked to close",
            Self::PeerClosed => "the peer closed its side",
            Self::Odd(what) => what,
            Self::NotKept => "the exchange is over",
        }
    }
}
