//! Telling whether what came back is what was sent, or a part of it, without keeping either.

use std::hash::{BuildHasher, Hasher};

use crate::seam::random;

/// Length and keyed hash of a byte sequence.
///
/// The hash is std's SipHash under a random key that never leaves this process, so no peer can aim at a
/// collision. A `Hasher` may give another hash for the same bytes in other pieces, so it always gets blocks of one
/// size.
///
/// The digest also keeps the first block, and the hash after 1, 2, 4, 8, … blocks. So two digests show in most
/// cases whether one sequence is the beginning of the other.
#[derive(Clone)]
pub(crate) struct Digest {
    pub(crate) len: u64,
    /// A hasher with the key that has hashed nothing.
    empty: std::hash::DefaultHasher,
    hasher: std::hash::DefaultHasher,
    block: [u8; Digest::BLOCK],
    filled: usize,
    first: [u8; Digest::BLOCK],
    /// The hash after each number of blocks that is a power of two.
    marks: Vec<u64>,
}

/// Whether one sequence is the beginning of another, as far as two digests can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    No,
    /// The digests cannot decide.
    Perhaps,
    Yes,
}

impl Digest {
    const BLOCK: usize = 1024;

    /// Two empty digests under one key.
    pub(crate) fn pair() -> (Self, Self) {
        let keys = random::hash_keys();
        let digest = || Self {
            len: 0,
            empty: keys.build_hasher(),
            hasher: keys.build_hasher(),
            block: [0; Self::BLOCK],
            filled: 0,
            first: [0; Self::BLOCK],
            marks: Vec::new(),
        };
        (digest(), digest())
    }

    /// Forgets everything but the key.
    pub(crate) fn restart(&mut self) {
        self.len = 0;
        self.filled = 0;
        self.hasher = self.empty.clone();
        self.marks.clear();
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
                self.take_block(self.len - bytes.len() as u64);
            }
        }
    }

    /// Hashes the full block, which is the last one of the first `len` bytes.
    fn take_block(&mut self, len: u64) {
        self.hasher.write(&self.block);
        self.filled = 0;
        let blocks = len / Self::BLOCK as u64;
        if blocks == 1 {
            self.first = self.block;
        }
        if blocks.is_power_of_two() {
            self.marks.push(self.hasher.finish());
        }
    }

    /// Whether the shorter sequence is the beginning of the longer one.
    pub(crate) fn agrees_with(&self, other: &Self) -> Beginning {
        if self.len <= other.len {
            self.begins(other)
        } else {
            other.begins(self)
        }
    }

    /// Whether these bytes are the beginning of `whole`, or all of it.
    fn begins(&self, whole: &Self) -> Beginning {
        let agree = self.marks.iter().zip(&whole.marks).all(|(a, b)| a == b);
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        if self.len > whole.len || !agree {
            Beginning::No
        } else if self.len == whole.len {
            Beginning::known(self == whole)
        } else if len < Self::BLOCK {
            Beginning::known(self.block[..len] == whole.first_block()[..len])
        } else if self.filled == 0 && (len / Self::BLOCK).is_power_of_two() {
            Beginning::Yes
        } else {
            Beginning::Perhaps
        }
    }

    fn first_block(&self) -> &[u8; Self::BLOCK] {
        if self.marks.is_empty() {
            &self.block
        } else {
            &self.first
        }
    }

    fn value(&self) -> (u64, u64) {
        let mut hasher = self.hasher.clone();
        hasher.write(&self.block[..self.filled]);
        (self.len, hasher.finish())
    }
}

impl Beginning {
    fn known(is_beginning: bool) -> Self {
        if is_beginning { Self::Yes } else { Self::No }
    }
}

/// Meaningful only between the digests of one [`pair`](Digest::pair).
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::splits::each_split;

    #[test]
    fn digest_is_the_same_at_every_split() {
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
    fn digest_of_a_beginning_is_recognised() {
        let content: Vec<u8> = (0..=250).cycle().take(9 * Digest::BLOCK + 7).collect();
        let of = |digest: &Digest, bytes: &[u8]| {
            let mut digest = digest.clone();
            digest.update(bytes);
            digest
        };
        let empty = Digest::pair().0;
        let whole = of(&empty, &content);
        let block = Digest::BLOCK;
        for len in [0, 1, block - 1, block, 2 * block, 8 * block] {
            assert_eq!(
                of(&empty, &content[..len]).begins(&whole),
                Beginning::Yes,
                "{len}"
            );
        }
        for len in [block + 1, 3 * block, 9 * block, 9 * block + 6] {
            let part = of(&empty, &content[..len]);
            assert_eq!(part.begins(&whole), Beginning::Perhaps, "{len}");
        }
        assert_eq!(whole.begins(&whole), Beginning::Yes);
        for (len, at) in [
            (1, 0),
            (block, block - 1),
            (3 * block, 0),
            (9 * block, 8 * block - 1),
        ] {
            let mut part = content[..len].to_vec();
            part[at] ^= 1;
            assert_eq!(
                of(&empty, &part).begins(&whole),
                Beginning::No,
                "{len} {at}"
            );
        }
        let longer = of(&empty, &[&content[..], b"x"].concat());
        assert_eq!(longer.begins(&whole), Beginning::No);
        assert_eq!(whole.begins(&longer), Beginning::Perhaps);
        let short = of(&empty, b"hell");
        assert_eq!(short.begins(&of(&empty, b"hello")), Beginning::Yes);
        assert_eq!(short.begins(&of(&empty, b"jello")), Beginning::No);
    }

    #[test]
    fn digest_differs_for_one_other_byte_or_length() {
        for other in [&b"hellO"[..], b"hello\0", b"hell", b"", b"olleh"] {
            let (mut left, mut right) = Digest::pair();
            left.update(b"hello");
            right.update(other);
            assert!(left != right, "{other:?}");
        }
    }
}
