//! What a scan has to know about the content that it sends: its size, its digest, and that it stays the same.

use std::io;

use super::digest::Digest;

/// What is called with the bytes sent, and the length where it is known.
pub(crate) type Progress<'a> = Box<dyn FnMut(u64, Option<u64>) + Send + 'a>;

/// Counts content against the size limit while it is read, hashes it if that is needed, and reports the progress to the
/// caller.
pub(crate) struct Monitor<'a> {
    max_size: Option<u64>,
    /// Bytes that were read since the body was last rewound.
    len: u64,
    /// Of these bytes. `None` if the body can be read again in their place, and is then the same.
    digest: Option<Box<Digest>>,
    /// The content was read to its end since the body was last rewound.
    has_ended: bool,
    /// What was read before, if what is read now must be the same.
    expected: Option<Expected>,
    /// Other content was read than what was copied.
    has_changed: bool,
    /// Whatever is read must be the same when it is read again.
    is_copied: bool,
    progress: Option<Progress<'a>>,
}

/// What was read of the content before.
#[derive(Clone)]
struct Expected {
    digest: Box<Digest>,
    /// It was all of the content.
    is_all: bool,
}

impl<'a> Monitor<'a> {
    /// It hashes nothing.
    pub(crate) fn new(max_size: Option<u64>, progress: Option<Progress<'a>>) -> Self {
        Self {
            max_size,
            len: 0,
            digest: None,
            has_ended: false,
            expected: None,
            has_changed: false,
            is_copied: false,
            progress,
        }
    }

    pub(super) fn max_size(&self) -> Option<u64> {
        self.max_size
    }

    /// Hashes what is read from now on. Nothing was read so far.
    pub(super) fn hash(&mut self) {
        self.digest.get_or_insert_default();
    }

    /// Bytes that were read since the body was last rewound.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Of what was read since the body was last rewound, if it is hashed.
    pub(super) fn digest(&self) -> Option<&Digest> {
        self.digest.as_deref()
    }

    /// The same, without the monitor.
    pub(super) fn into_digest(self) -> Option<Box<Digest>> {
        self.digest
    }

    /// What is read from now on must begin with what was read so far, and be equal to it if that was all.
    pub(super) fn expect_the_same(&mut self, is_all: bool) {
        let digest = self.digest.clone();
        self.expected = digest.map(|digest| Expected { digest, is_all });
    }

    /// Whatever is read must be the same when it is read again. It may have `max_size` bytes.
    pub(super) fn is_copied(&mut self, max_size: Option<u64>) {
        self.max_size = max_size;
        self.is_copied = true;
        self.hash();
    }

    /// What is read from now on may have `max_size` bytes in all.
    pub(super) fn limit(&mut self, max_size: Option<u64>) {
        self.max_size = max_size;
    }

    /// Tells the caller that `sent` bytes of `total` were sent. Returns whether the caller wants to know.
    pub(super) fn report_progress(&mut self, sent: u64, total: Option<u64>) -> bool {
        if let Some(progress) = &mut self.progress {
            progress(sent, total);
        }
        self.progress.is_some()
    }

    /// The content is read from its beginning again.
    pub(super) fn restart(&mut self) {
        let expected = self.expected.as_ref();
        let is_further = expected.is_none_or(|expected| self.len > expected.digest.len);
        if self.is_copied && (is_further || self.has_ended) {
            self.expect_the_same(self.has_ended);
        }
        self.len = 0;
        if let Some(digest) = &mut self.digest {
            digest.restart();
        }
        self.has_ended = false;
    }

    /// Whether it was read to its end since the body was last rewound.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether other content was read than what was copied.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Returns how many bytes may be read at most; at least one.
    pub(super) fn before_read(&self) -> io::Result<usize> {
        let left = self.max_size.unwrap_or(u64::MAX).checked_sub(self.len);
        // One byte more than the limit shows that there is more, and is not passed on.
        let left = left.ok_or_else(too_large)?.saturating_add(1);
        let left = left.min(self.left_to_compare().unwrap_or(u64::MAX));
        Ok(usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// An error if the content is too large, or is not what was sent.
    pub(super) fn after_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if self.exceeded_limit().is_some() {
            return Err(too_large());
        }
        self.has_ended |= bytes.is_empty();
        if !self.is_the_same() {
            self.has_changed = self.is_copied;
            let why = "the content has changed since it was sent";
            return Err(io::Error::other(why));
        }
        Ok(())
    }

    /// The same for the last bytes, if it is known that these are the last: as if a read had shown it that returned
    /// nothing.
    pub(super) fn after_last_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.after_read(bytes)?;
        self.after_read(b"")
    }

    /// Bytes up to the end of what was read before, if that is to be compared.
    fn left_to_compare(&self) -> Option<u64> {
        let left = self.expected.as_ref()?.digest.len.checked_sub(self.len)?;
        Some(left).filter(|&left| left > 0)
    }

    /// Whether what was read so far is what is expected, as far as that is known.
    fn is_the_same(&self) -> bool {
        let Some(Expected { digest, is_all }) = &self.expected else {
            return true;
        };
        let is_short = self.has_ended && self.len < digest.len;
        let is_other = self.len == digest.len && self.digest.as_ref() != Some(digest);
        let is_long = *is_all && self.len > digest.len;
        !(is_short || is_other || is_long)
    }

    /// The size limit, if more bytes were read than it allows.
    pub(super) fn exceeded_limit(&self) -> Option<u64> {
        self.max_size.filter(|&max| self.len > max)
    }

    /// The same for reading the content once more without sending it, with a digest in any case.
    pub(super) fn silent(&self) -> Self {
        Self {
            expected: self.expected.clone(),
            digest: Some(Box::default()),
            ..Self::new(self.max_size, None)
        }
    }
}

/// This error is replaced: its handler asks for the exceeded limit.
fn too_large() -> io::Error {
    io::Error::other("the content is larger than the size limit")
}
