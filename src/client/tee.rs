//! The copy of content that a caller keeps: it is written in the pass in which the content is sent.

use std::io::{self, Write};
use std::time::Duration;

use super::writing::{WriteError, flush, write_all};
use crate::error::{ContentError, ContentFault, words_of};
use crate::net::deadline::{Deadline, RanOut};

/// Why a copy is not the whole content. Do not take such a copy for the file.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum IncompleteCopy {
    /// The content is larger than [`max_copy`](crate::ScannerBuilder::max_copy). The copy is its beginning.
    #[error("the content is larger than the {limit} bytes that a copy may have")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The [deadline](crate::ScannerBuilder::deadline) ended before the content was copied.
    #[error("the deadline of {} ms ended before the content was copied", after.as_millis())]
    Deadline {
        /// The whole deadline.
        after: Duration,
    },
    /// The scan was [cancelled](crate::Content::cancel).
    #[error("the scan was cancelled before the content was copied")]
    Cancelled,
    /// The content could not be read to its end, has another length than declared, or changed between two
    /// attempts to send it.
    #[error("{0}")]
    Content(ContentError),
    /// The caller's writer failed after the service had objected to the content. Without an objection, the writer's error is
    /// returned instead.
    #[error("cannot write the copy of the content: {}", words_of(.0))]
    Writer(io::Error),
}

/// Writes content to the caller's writer while it is read: each byte once, however often it is read.
pub(crate) struct Tee<'w> {
    writer: &'w mut (dyn Write + 'w),
    /// Of the whole scan, because the copy goes on after the attempt at one server.
    deadline: Deadline,
    /// Bytes that the copy may have.
    max_copy: u64,
    copied: u64,
    /// The content was copied to its end.
    is_complete: bool,
    /// Why no more is written.
    incomplete: Option<IncompleteCopy>,
}

impl<'w> Tee<'w> {
    pub(crate) fn new(
        writer: &'w mut (dyn Write + 'w),
        deadline: Deadline,
        max_copy: Option<u64>,
    ) -> Self {
        Self {
            writer,
            deadline,
            max_copy: max_copy.unwrap_or(u64::MAX),
            copied: 0,
            is_complete: false,
            incomplete: None,
        }
    }

    /// The content was copied to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether no more is written.
    pub(crate) fn has_failed(&self) -> bool {
        self.incomplete.is_some()
    }

    /// Takes bytes that were read at `position`, and writes those that are new. The body's monitor compares the
    /// others with what was read before.
    pub(super) fn take(&mut self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let known = self.copied.checked_sub(position);
        let Some(known) = known.filter(|_| !self.has_failed()) else {
            return Err(io::Error::other("the copy would have a gap"));
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let new = bytes.get(known..).unwrap_or_default();
        let room = usize::try_from(self.max_copy - self.copied).unwrap_or(usize::MAX);
        let fitting = new.len().min(room);
        self.write_new(&new[..fitting])?;
        if fitting < new.len() {
            // The monitor has this limit as well, and refuses the bytes.
            let limit = self.max_copy;
            self.fail(IncompleteCopy::TooLarge { limit });
        }
        Ok(())
    }

    fn write_new(&mut self, bytes: &[u8]) -> io::Result<()> {
        let deadline = self.deadline.clone();
        write_all(self, bytes, || reason_to_stop(&deadline)).map_err(|error| {
            self.fail(match error {
                WriteError::Stopped(why) => why,
                WriteError::Failed(error) => IncompleteCopy::Writer(error),
            });
            io::Error::other("the copy cannot be written")
        })
    }

    /// Whether there is time to copy more.
    pub(super) fn is_in_time(&mut self) -> bool {
        if let Some(why) = reason_to_stop(&self.deadline) {
            self.fail(why);
        }
        !self.has_failed()
    }

    /// The content was read to its end, and has its declared length.
    pub(super) fn end(&mut self) {
        self.is_complete = !self.has_failed();
    }

    /// The content cannot be sent, for this reason.
    pub(crate) fn content_failed(&mut self, error: &ContentError) {
        // A complete copy stays complete if the content cannot be read once more.
        if !self.is_complete || error.fault() == ContentFault::Changed {
            self.fail(IncompleteCopy::Content(error.duplicate()));
        }
    }

    /// No more is written. The first reason counts.
    pub(crate) fn fail(&mut self, why: IncompleteCopy) {
        self.is_complete = false;
        self.incomplete.get_or_insert(why);
    }

    /// Flushes the writer, which may hold bytes that it took. Returns how many those are, and why they are not the
    /// whole content.
    pub(crate) fn finish(mut self) -> (u64, Option<IncompleteCopy>) {
        if !matches!(self.incomplete, Some(IncompleteCopy::Writer(_))) {
            if let Err(error) = flush(self.writer) {
                self.fail(IncompleteCopy::Writer(error));
            }
        }
        (self.copied, self.incomplete)
    }
}

fn reason_to_stop(deadline: &Deadline) -> Option<IncompleteCopy> {
    if deadline.is_cancelled() {
        return Some(IncompleteCopy::Cancelled);
    }
    let RanOut { after, .. } = deadline.ran_out()?;
    Some(IncompleteCopy::Deadline { after })
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.writer.write(bytes)?;
        // `write_all` refuses a writer that claims more than it was given.
        self.copied += bytes.len().min(len) as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
