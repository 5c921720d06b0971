//! What a scan has to know about the content that it sends: its size, its digest, and that it stays the same.

use std::io;

use super::digest::Digest;

/// What is called with the bytes sent, and the length where it is known.
pub(crate) type Progress<'a> = Box<dyn FnMut(u64, Option<u64>) + Send + 'a>;

/// Hashes content while it is read, counts it against the size limit, and reports the progress to the caller.
pub(crate) struct Monitor<'a> {
    max_size: Option<u64>,
    /// Of what was read since the body was last rewound.
    digest: Digest,
    /// What was sent, if what is read now must be the same.
    sent: Option<Sent>,
    progress: Option<Progress<'a>>,
}

/// What was sent of the content.
#[derive(Clone)]
struct Sent {
    digest: Digest,
    /// It was all of the content.
    is_all: bool,
}

impl<'a> Monitor<'a> {
    pub(crate) fn new(
        max_size: Option<u64>,
        digest: Digest,
        progress: Option<Progress<'a>>,
    ) -> Self {
        Self {
            max_size,
            digest,
            sent: None,
            progress,
        }
    }

    pub(super) fn max_size(&self) -> Option<u64> {
        self.max_size
    }

    /// Of what was read since the body was last rewound.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What is read from now on must begin with what was sent, and be equal to it if that was all. The caller
    /// is told of no progress, because it is not sent.
    pub(super) fn expect_the_same(&mut self, is_all: bool) {
        self.progress = None;
        self.sent = Some(Sent {
            digest: self.digest.clone(),
            is_all,
        });
    }

    /// The content is read from its beginning again.
    pub(super) fn restart(&mut self) {
        self.digest.restart();
    }

    /// Returns how many bytes may be read at most; at least one.
    pub(super) fn before_read(&mut self, total: Option<u64>) -> io::Result<usize> {
        if self.exceeded_limit().is_some() {
            return Err(too_large());
        }
        // What was read before has been sent by now.
        if let Some(progress) = &mut self.progress {
            progress(self.digest.len, total);
        }
        // One byte more than the limit shows that there is more, and is not passed on.
        let left = self
            .max_size
            .map(|max| (max - self.digest.len).saturating_add(1));
        let left = [left, self.left_to_compare()].into_iter().flatten().min();
        Ok(left.map_or(usize::MAX, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        }))
    }

    /// An error if the content is too large, or is not what was sent.
    pub(super) fn after_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        if self.exceeded_limit().is_some() {
            return Err(too_large());
        }
        self.compare(bytes.is_empty())
    }

    /// Bytes up to the end of what was sent, if that is to be compared.
    fn left_to_compare(&self) -> Option<u64> {
        let left = self
            .sent
            .as_ref()?
            .digest
            .len
            .checked_sub(self.digest.len)?;
        Some(left).filter(|&left| left > 0)
    }

    /// An error if other content was read than was sent, or less or more of it.
    fn compare(&self, has_ended: bool) -> io::Result<()> {
        let Some(Sent { digest, is_all }) = &self.sent else {
            return Ok(());
        };
        let is_short = has_ended && self.digest.len < digest.len;
        let is_other = self.digest.len == digest.len && self.digest != *digest;
        let is_long = *is_all && self.digest.len > digest.len;
        if is_short || is_other || is_long {
            return Err(io::Error::other(
                "the content has changed since it was sent",
            ));
        }
        Ok(())
    }

    /// The size limit, if more bytes were read than it allows.
    pub(super) fn exceeded_limit(&self) -> Option<u64> {
        self.max_size.filter(|&max| self.digest.len > max)
    }

    /// The same for reading the content once more without sending it.
    pub(super) fn silent(&self) -> Self {
        let mut digest = self.digest.clone();
        digest.restart();
        Self {
            max_size: self.max_size,
            digest,
            sent: self.sent.clone(),
            progress: None,
        }
    }
}

/// This error is replaced: its handler asks for the exceeded limit.
fn too_large() -> io::Error {
    io::Error::other("the content is larger than the size limit")
}
