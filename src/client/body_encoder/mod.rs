//! Writing a body in chunks, with a preview first if the request has one (RFC 3507 §4.5).
//!
//! The encoder also checks that the body is as long as declared. A body that fails, or is shorter or longer,
//! never gets its last chunk.

use std::io;

use super::body::Body;
use super::once_reader::goes_on;
use super::output::{Output, check_time};
use super::reading::{CHUNK, GATHERING, Interruptions, LEAD, LONG_CHUNK, MANY};
use super::send_buffer::{SendBuffer, Writer};
use super::tee::Tee;
use crate::error::{ContentError, ContentFault, Error};
use crate::net::deadline::Deadline;
use crate::proto::chunk::{LAST_CHUNK, encode_end};

/// Reads a body from where it was rewound to, and encodes it chunk by chunk.
pub(crate) struct BodyEncoder<'b, 'a> {
    body: &'b mut Body<'a>,
    deadline: &'b Deadline,
    /// The reader gave nothing the last time.
    end_seen: bool,
    interruptions: Interruptions,
    /// A byte that was read and is not in a chunk yet, because it is after the end of the preview.
    held_back: Option<u8>,
    /// Bytes of the preview that are still to be sent; `None` without one, and after it.
    preview: Option<usize>,
    /// The part of the last chunk that is in memory and was not copied: where it begins, and its length.
    direct: (u64, usize),
}

/// What was read for a chunk.
struct Gathered {
    /// Bytes in the place for it.
    filled: usize,
    /// The body ends after them.
    has_ended: bool,
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
    pub(crate) fn new(
        body: &'b mut Body<'a>,
        preview: Option<usize>,
        deadline: &'b Deadline,
    ) -> Self {
        Self {
            preview: preview.filter(|_| body.is_some()),
            body,
            deadline,
            end_seen: false,
            interruptions: Interruptions::default(),
            held_back: None,
            direct: (0, 0),
        }
    }

    /// Puts the next chunk into `out`, after the head that is there, with the last-chunk if the body or its preview
    /// ends with it. If the reader gave nothing for a while, there is no chunk. What is read goes to `tee` as well.
    ///
    /// The rest of the chunk is in [`direct`](Self::direct).
    pub(crate) fn encode_next(
        &mut self,
        out: &mut SendBuffer,
        tee: Option<&mut Tee<'_>>,
    ) -> Result<Next, ContentError> {
        if !self.body.is_some() {
            out.room(0, 0, Writer::Own);
            out.end_chunk(0, 0);
            let then = Then::Done;
            return Ok(Next { len: 0, then });
        }
        self.report_progress();
        self.direct = (0, 0);
        if tee.is_none() && self.is_direct() {
            return self.encode_direct(out);
        }
        let chunk = self.preview.unwrap_or(self.chunk_len());
        let room = self.room(out);
        let Gathered { filled, has_ended } = self.read_chunk(room, tee)?;
        let len = chunk.min(filled);
        // At most one byte more than the preview was read.
        self.held_back = room[..filled].get(len).copied();
        out.end_chunk(len, 0);
        let then = self.encode_end(out, len, has_ended);
        let len = len as u64;
        Ok(Next { len, then })
    }

    /// The last chunk was written, or there is none yet: tells the caller how much was sent. Returns whether the caller
    /// wants to know.
    pub(crate) fn report_progress(&mut self) -> bool {
        let held_back = u64::from(self.held_back.is_some());
        self.body
            .report_progress(self.body.bytes_read() - held_back)
    }

    /// The part of the last chunk that is to be written after the buffer.
    pub(crate) fn direct(&self) -> &[u8] {
        let (begin, len) = self.direct;
        &self.body.in_memory(begin)[..len]
    }

    /// Whether the next chunk is a long one of content in memory, and not the last.
    fn is_direct(&self) -> bool {
        let is_whole = self.preview.is_none() && self.held_back.is_none();
        let left = || self.body.in_memory(self.body.bytes_read()).len();
        is_whole && self.chunk_len() == LONG_CHUNK && left() > LONG_CHUNK
    }

    /// Puts only the first bytes of the next chunk into `out`.
    fn encode_direct(&mut self, out: &mut SendBuffer) -> Result<Next, ContentError> {
        let room = out.room(LEAD, self.body.offset_in_page(), self.body.writer());
        let Gathered { filled, .. } = self.read_chunk(room, None)?;
        let begin = self.body.bytes_read();
        let passed = self.body.pass(LONG_CHUNK - filled);
        let passed = passed.map_err(|error| self.failed(error))?;
        self.check_length(false)?;
        self.direct = (begin, passed);
        out.end_chunk(filled, passed);
        Ok(Next {
            len: (filled + passed) as u64,
            then: Then::Continues,
        })
    }

    /// Bytes of content in the next chunk without a preview.
    fn chunk_len(&self) -> usize {
        match self.body.bytes_read() {
            ..MANY => CHUNK,
            MANY.. => LONG_CHUNK,
        }
    }

    /// The place for the next chunk. It is no larger than what is left of the body, and a byte more.
    ///
    /// With a preview, that byte shows whether the preview is all. With a known length, it shows whether the body
    /// is longer, or ends, without a read of its own.
    fn room<'o>(&self, out: &'o mut SendBuffer) -> &'o mut [u8] {
        let held_back = usize::from(self.held_back.is_some());
        let known = self.body.known_len();
        let left = known.map(|known| known.saturating_sub(self.body.bytes_read()));
        let left = left.and_then(|left| usize::try_from(left).ok());
        let rest = left.map_or(usize::MAX, |left| left.saturating_add(held_back + 1));
        let len = match self.preview {
            Some(left) => CHUNK.min(left.saturating_add(1)).min(rest),
            None if rest == self.chunk_len() + 1 => rest,
            None => self.chunk_len().min(rest),
        };
        let offset = self.body.offset_in_page().wrapping_sub(held_back);
        out.room(len, offset, self.body.writer())
    }

    /// Puts into `out` what ends the body or the preview, if it ends after the `len` bytes of the last chunk.
    fn encode_end(&mut self, out: &mut SendBuffer, len: usize, has_ended: bool) -> Then {
        match self.preview {
            // A body is whole only if no byte of it is held back. Otherwise `ieof` would make the service judge a part.
            preview if has_ended && self.held_back.is_none() => {
                out.append(&encode_end(preview.is_some(), self.body.trailers()));
                Then::Done
            }
            // More of it is there than the preview may have.
            Some(_) if self.held_back.is_some() => {
                self.preview = None;
                out.append(LAST_CHUNK);
                Then::Decides
            }
            left => {
                self.preview = left.map(|left| left - len);
                Then::Continues
            }
        }
    }

    /// Reads a chunk, and checks the length.
    fn read_chunk(
        &mut self,
        room: &mut [u8],
        mut tee: Option<&mut Tee<'_>>,
    ) -> Result<Gathered, ContentError> {
        let gathered = self.gather(room, tee.as_deref_mut())?;
        self.check_length(gathered.has_ended)?;
        if let Some(tee) = tee.filter(|_| gathered.has_ended) {
            tee.end();
        }
        Ok(gathered)
    }

    /// Fills `room` across short reads and `Interrupted`, after the byte that was held back. With a slow reader it
    /// stops before `room` is full, so that the response and the deadline are looked at.
    fn gather(
        &mut self,
        room: &mut [u8],
        mut tee: Option<&mut Tee<'_>>,
    ) -> Result<Gathered, ContentError> {
        let mut filled = 0;
        if let Some(byte) = self.held_back.take() {
            room[0] = byte;
            filled = 1;
        }
        let of = |filled, has_ended| Ok(Gathered { filled, has_ended });
        // One read of memory or of a file is no wait, and usually enough.
        let mut began = (!self.body.is_own()).then(|| self.deadline.now());
        // The part of `room` that is read into is never empty: that would make every read look like the end.
        while filled < room.len() {
            let end = filled + step(room.len() - filled);
            match self.body.read(&mut room[filled..end], tee.as_deref_mut()) {
                Ok(0) if self.end_seen || self.body.is_at_end() => return of(filled, true),
                // An empty read is the end, unless more comes after it. Then the reader is broken, and what
                // would be taken for all of the content is only a part.
                Ok(0) => self.end_seen = true,
                Ok(_) if self.end_seen => {
                    return Err(self.failed(goes_on()));
                }
                Ok(len) => {
                    self.interruptions.end();
                    filled += len;
                    if self.body.is_at_end() {
                        return of(filled, true);
                    }
                }
                Err(error) => {
                    let retried = self.interruptions.retry(error);
                    retried.map_err(|error| self.failed(error))?;
                }
            }
            let began = *began.get_or_insert_with(|| self.deadline.now());
            if self.deadline.since(began) >= GATHERING || self.deadline.is_cancelled() {
                break;
            }
        }
        of(filled, false)
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
        let mut buffer = SendBuffer::take();
        let mut has_ended = false;
        while !has_ended && tee.is_in_time() {
            let room = self.room(&mut buffer);
            has_ended = self.read_chunk(room, Some(tee))?.has_ended;
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
        let mut buffer = SendBuffer::take();
        let mut left_out = offset;
        loop {
            check_time(self.deadline, service)?;
            let room = self.room(&mut buffer);
            let Gathered { filled, has_ended } = self.read_chunk(room, None)?;
            let skipped = usize::try_from(left_out).map_or(filled, |n| n.min(filled));
            left_out -= skipped as u64;
            output.write_all(&room[skipped..filled], self.deadline, service)?;
            if has_ended {
                return Ok(());
            }
        }
    }
}

/// How many of `left` bytes are read at once. Storage may be slow, so there is a look at the time within a long chunk.
/// The byte after a short chunk shows its end, and costs no read of its own.
fn step(left: usize) -> usize {
    if left > CHUNK + 1 { CHUNK } else { left }
}

#[cfg(test)]
mod tests;
