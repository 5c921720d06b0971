//! Whether what came back is what was sent.

use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};

/// Length and keyed hash of a byte sequence, to tell whether what came back is what was sent.
///
/// The hash is std's SipHash under a random key that never leaves this process, so no peer can aim at
/// a collision. A `Hasher` need not give the same for the same bytes in other pieces, so it is fed
/// blocks of one size.
#[derive(Clone)]
pub(crate) struct Digest {
    pub(crate) len: u64,
    /// With the key, and nothing hashed.
    empty: std::hash::DefaultHasher,
    hasher: std::hash::DefaultHasher,
    block: [u8; Digest::BLOCK],
    filled: usize,
}

impl Digest {
    const BLOCK: usize = 1024;

    /// Two empty digests under one key.
    pub(crate) fn pair() -> (Self, Self) {
        let keys = std::hash::RandomState::new();
        let digest = || Self {
            len: 0,
            empty: keys.build_hasher(),
            hasher: keys.build_hasher(),
            block: [0; Self::BLOCK],
            filled: 0,
        };
        (digest(), digest())
    }

    /// Forgets everything but the key.
    pub(crate) fn restart(&mut self) {
        self.len = 0;
        self.filled = 0;
        self.hasher = self.empty.clone();
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let len = bytes.len().min(Self::BLOCK - self.filled);
            let (now, later) = bytes.split_at(len);
            self.block[self.filled..self.filled + len].copy_from_slice(now);
            self.filled += len;
            bytes = later;
            if self.filled == Self::BLOCK {
                self.hasher.write(&self.block);
                self.filled = 0;
            }
        }
    }

    fn value(&self) -> (u64, u64) {
        let mut hasher = self.hasher.clone();
        hasher.write(&self.block[..self.filled]);
        (self.len, hasher.finish())
    }
}

/// Meaningful only between the digests of one [`pair`](Digest::pair).
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

/// Takes an answer's body: keeps its digest, and passes it on to whoever wants it.
pub(crate) struct Returned<'w> {
    pub(crate) digest: Digest,
    writer: Option<&'w mut (dyn Write + 'w)>,
    /// Something was passed on, which cannot be taken back.
    pub(crate) is_passed_on: bool,
}

impl<'w> Returned<'w> {
    pub(crate) fn new(digest: Digest, writer: Option<&'w mut (dyn Write + 'w)>) -> Self {
        Self {
            digest,
            writer,
            is_passed_on: false,
        }
    }

    /// Whether anyone wants it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.writer.is_some()
    }
}

impl Write for Returned<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = match &mut self.writer {
            Some(writer) => {
                self.is_passed_on = true;
                writer.write(bytes)?
            }
            None => bytes.len(),
        };
        // A writer that claims more than it was given is caught by whoever counts on it.
        self.digest.update(bytes.get(..len).unwrap_or(bytes));
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Some(writer) => writer.flush(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::splits::each_split;

    #[test]
    fn a_digest_is_of_the_bytes_and_not_of_their_pieces() {
        let content: Vec<u8> = (0..=250).cycle().take(2 * Digest::BLOCK + 100).collect();
        for sample in [&content[..], &content[..Digest::BLOCK], b"hello", b""] {
            each_split(sample, |pieces| {
                let (mut whole, mut split) = Digest::pair();
                whole.update(sample);
                pieces.iter().for_each(|piece| split.update(piece));
                assert!(whole == split);
            });
        }
    }

    #[test]
    fn one_other_byte_or_one_more_is_another_digest() {
        for other in [&b"hellO"[..], b"hello\0", b"hell", b"", b"olleh"] {
            let (mut left, mut right) = Digest::pair();
            left.update(b"hello");
            right.update(other);
            assert!(left != right, "{other:?}");
        }
    }
}
