//! Writing a body in chunks, with a preview first if the request has one (RFC 3507 §4.5).
//!
//! The encoder also checks that the body is as long as declared. A body that fails, or is shorter or longer,
//! never gets its last chunk.

use std::io;

use super::body::Body;
use super::once_reader::goes_on;
use super::output::{Output, check_time};
use super::reading::{CHUNK, GATHERING, Interruptions};
use super::tee::Tee;
use crate::error::{ContentError, ContentFault, Error};
use crate::net::deadline::Deadline;
use crate::proto::chunk::{encode_chunk, encode_end, encode_last_chunk};

/// Reads a body from where it was rewound to, and encodes it chunk by chunk.
pub(crate) struct BodyEncoder<'b, 'a> {
    body: &'b mut Body<'a>,
    deadline: Deadline,
    /// The reader gave nothing the last time.
    end_seen: bool,
    interruptions: Interruptions,
    chunk: Chunk,
    /// Bytes of the preview that are still to be sent; `None` without one, and after it.
    preview: Option<usize>,
}

/// A buffer of the size of a chunk, made when it is first needed.
#[derive(Default)]
struct Chunk {
    buffer: Box<[u8]>,
    filled: usize,
}

/// What [`BodyEncoder::encode_next`] appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// Bytes of content.
    pub(crate) len: u64,
    pub(crate) then: Then,
}

/// What follows an appended chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// More of the body.
    Continues,
    /// The preview has ended and the body has not. The service decides.
    Decides,
    /// The body has ended.
    Done,
}

impl<'b, 'a> BodyEncoder<'b, 'a> {
    /// Stops after the first `preview` bytes, for the service to decide. Time is measured by the clock of
    /// `deadline`.
    pub(crate) fn new(body: &'b mut Body<'a>, preview: Option<usize>, deadline: &Deadline) -> Self {
        Self {
            preview: preview.filter(|_| body.is_some()),
            body,
            deadline: deadline.clone(),
            end_seen: false,
            interruptions: Interruptions::default(),
            chunk: Chunk::default(),
        }
    }

    /// Appends the next chunk to `out`, with the last-chunk if the body or its preview ends with it. If the reader
    /// gave nothing for a while, nothing is appended. What is read goes to `tee` as well.
    pub(crate) fn encode_next(
        &mut self,
        out: &mut Vec<u8>,
        tee: Option<&mut Tee<'_>>,
    ) -> Result<Next, ContentError> {
        if !self.body.is_some() {
            let then = Then::Done;
            return Ok(Next { len: 0, then });
        }
        let has_ended = self.read_chunk(tee)?;
        let len = self.preview.unwrap_or(CHUNK).min(self.chunk.filled);
        encode_chunk(out, &self.chunk.bytes()[..len]);
        self.chunk.consume(len);
        let then = self.encode_end(out, len, has_ended);
        let len = len as u64;
        Ok(Next { len, then })
    }

    /// Appends what ends the body or the preview, if it ends after the `len` bytes just appended.
    fn encode_end(&mut self, out: &mut Vec<u8>, len: usize, has_ended: bool) -> Then {
        match self.preview {
            preview if has_ended => {
                encode_end(out, preview.is_some(), self.body.trailers());
                Then::Done
            }
            // More of it is there than the preview may have.
            Some(_) if self.chunk.filled > 0 => {
                self.preview = None;
                encode_last_chunk(out);
                Then::Decides
            }
            left => {
                self.preview = left.map(|left| left - len);
                Then::Continues
            }
        }
    }

    /// Reads more into the chunk, and checks the length. Returns whether the body has ended.
    fn read_chunk(&mut self, mut tee: Option<&mut Tee<'_>>) -> Result<bool, ContentError> {
        let has_ended = self.gather(tee.as_deref_mut())?;
        self.check_length(has_ended)?;
        if let Some(tee) = tee.filter(|_| has_ended) {
            tee.end();
        }
        Ok(has_ended)
    }

    /// Fills the chunk across short reads and `Interrupted`. Returns whether the reader has ended. With a slow
    /// reader it stops before the chunk is full, so that the response and the deadline are looked at. It also stops
    /// when the scan is cancelled.
    ///
    /// One byte more than the preview is read, because only then is it known whether the preview is all.
    fn gather(&mut self, mut tee: Option<&mut Tee<'_>>) -> Result<bool, ContentError> {
        let limit = self
            .preview
            .map_or(CHUNK, |left| CHUNK.min(left.saturating_add(1)));
        let began = self.deadline.now();
        while self.chunk.filled < limit
            && self.deadline.since(began) < GATHERING
            && !self.deadline.is_cancelled()
        {
            match self.body.read(self.chunk.room(limit), tee.as_deref_mut()) {
                Ok(0) if self.end_seen => return Ok(true),
                // An empty read is the end, unless more comes after it. Then the reader is broken, and what
                // would be taken for all of the content is only a part.
                Ok(0) => self.end_seen = true,
                Ok(_) if self.end_seen => {
                    return Err(self.failed(goes_on()));
                }
                Ok(len) => {
                    self.interruptions.end();
                    self.chunk.filled += len;
                }
                Err(error) => {
                    let retried = self.interruptions.retry(error);
                    retried.map_err(|error| self.failed(error))?;
                }
            }
        }
        Ok(false)
    }

    fn failed(&self, source: io::Error) -> ContentError {
        if self.body.has_changed() {
            return ContentError::new(ContentFault::Changed);
        }
        let after = self.body.bytes_read();
        ContentError::read(after, source)
    }

    fn check_length(&self, is_last: bool) -> Result<(), ContentError> {
        let read = self.body.bytes_read();
        match self.body.declared_len() {
            Some(declared) if read > declared => {
                Err(ContentError::new(ContentFault::TooLong { declared }))
            }
            Some(declared) if is_last && read < declared => {
                Err(ContentError::new(ContentFault::TooShort {
                    declared,
                    actual: read,
                }))
            }
            _ => Ok(()),
        }
    }

    /// Reads the rest for the copy, and sends nothing. Stops if the copy is out of time.
    pub(crate) fn read_rest(mut self, tee: &mut Tee<'_>) -> Result<(), ContentError> {
        while tee.is_in_time() && !self.read_chunk(Some(tee))? {
            self.chunk.consume(self.chunk.filled);
        }
        Ok(())
    }

    /// Writes all but the first `offset` bytes to `output`, as they are.
    pub(super) fn copy_from(
        mut self,
        offset: u64,
        output: &mut Output<'_>,
        service: &str,
    ) -> Result<(), Error> {
        let mut left_out = offset;
        loop {
            check_time(&self.deadline, service)?;
            let has_ended = self.read_chunk(None)?;
            let bytes = self.chunk.bytes();
            let skipped = usize::try_from(left_out).map_or(bytes.len(), |n| n.min(bytes.len()));
            left_out -= skipped as u64;
            output.write_all(&bytes[skipped..], &self.deadline, service)?;
            self.chunk.consume(self.chunk.filled);
            if has_ended {
                return Ok(());
            }
        }
    }
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Room for more, up to `limit` bytes in all.
    fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK].into_boxed_slice();
        }
        // Never empty, because a full chunk is not read into: an empty buffer would make every read look like
        // the end.
        &mut self.buffer[self.filled..limit]
    }

    /// Drops the first `len` bytes.
    fn consume(&mut self, len: usize) {
        self.buffer.copy_within(len..self.filled, 0);
        self.filled -= len;
    }
}

#[cfg(test)]
mod tests;
