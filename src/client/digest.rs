//! Telling whether what came back is what was sent, or a part of it, without keeping either.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

use crate::seam::random;
use crate::seam::sync::OnceLock;

/// Length and keyed hash of a byte sequence.
///
/// Each block of 1 KiB is reduced to a sum of 128 bits by [`NH`](Key::sum), and std's SipHash takes the sums. Both have
/// random keys that are made once and never leave this process, so no peer can aim at a collision:
///
/// - Two different blocks have the same sum under one of 2^64 keys (Black et al., "UMAC", 1999, theorem 4.2). What the
///   key is stays unknown, because a peer only sees whether two digests are equal.
/// - Equal sums in the same order are the only way to equal hashes, but for a collision of SipHash (one of 2^64).
/// - A last block that is not full is filled with zeros. That makes no two sequences equal, because the lengths are
///   compared as well.
///
/// The digest also keeps the first block, and the hash after 1, 2, 4, 8, … blocks. So two digests show in most
/// cases whether one sequence is the beginning of the other.
#[derive(Clone)]
pub(crate) struct Digest {
    pub(crate) len: u64,
    key: &'static Key,
    /// Of the sums of the full blocks.
    hasher: DefaultHasher,
    block: [u8; Digest::BLOCK],
    filled: usize,
    first: [u8; Digest::BLOCK],
    /// The hash after 1, 2, 4, … blocks, as far as there are so many.
    marks: [u64; Digest::MARKS],
}

/// The digest of no bytes.
impl Default for Digest {
    fn default() -> Self {
        let key = Key::get();
        Self {
            len: 0,
            key,
            hasher: key.of_hash.build_hasher(),
            block: [0; Self::BLOCK],
            filled: 0,
            first: [0; Self::BLOCK],
            marks: [0; Self::MARKS],
        }
    }
}

/// Whether one sequence is the beginning of another, as far as two digests can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    No,
    /// The digests cannot decide.
    Perhaps,
    Yes,
}

/// The key of all digests of this process.
struct Key {
    of_sums: [[u64; 2]; Digest::BLOCK / Key::PAIR],
    of_hash: RandomState,
}

impl Key {
    /// Bytes of two words of a block.
    const PAIR: usize = 16;

    fn get() -> &'static Self {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(|| Self {
            of_sums: std::array::from_fn(|_| [random::number(), random::number()]),
            of_hash: random::hash_keys(),
        })
    }

    /// The NH hash of a block: each word is added to a word of the key, and the products of two such sums are added
    /// up. That is one multiplication for 16 bytes, and four times as fast as SipHash.
    fn sum(&self, block: &[u8; Digest::BLOCK]) -> u128 {
        let mut sum = 0u128;
        for (pair, key) in block.chunks_exact(Self::PAIR).zip(&self.of_sums) {
            // Always there: a pair has 16 bytes.
            if let (Some(left), Some(right)) = (pair.first_chunk(), pair.last_chunk()) {
                let left = u64::from_le_bytes(*left).wrapping_add(key[0]);
                let right = u64::from_le_bytes(*right).wrapping_add(key[1]);
                sum = sum.wrapping_add(u128::from(left) * u128::from(right));
            }
        }
        sum
    }
}

impl Digest {
    const BLOCK: usize = 1024;
    /// As many powers of two as there are in numbers of blocks.
    const MARKS: usize = 64 - Self::BLOCK.ilog2() as usize;

    /// Forgets everything.
    pub(crate) fn restart(&mut self) {
        self.len = 0;
        self.filled = 0;
        self.hasher = self.key.of_hash.build_hasher();
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.filled > 0 {
            bytes = self.fill_block(bytes);
        }
        // Whole blocks are taken from where they are.
        let mut later = bytes;
        while let Some((block, rest)) = later.split_first_chunk() {
            later = rest;
            self.take_block(block, self.len - later.len() as u64);
        }
        if !later.is_empty() {
            self.fill_block(later);
        }
    }

    /// Takes bytes up to the end of the block that is not full. Returns the others.
    fn fill_block<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let len = bytes.len().min(Self::BLOCK - self.filled);
        let (now, later) = bytes.split_at(len);
        self.block[self.filled..self.filled + len].copy_from_slice(now);
        self.filled += len;
        if self.filled == Self::BLOCK {
            self.filled = 0;
            let block = self.block;
            self.take_block(&block, self.len - later.len() as u64);
        }
        later
    }

    /// Hashes a full block, which is the last one of the first `len` bytes.
    fn take_block(&mut self, block: &[u8; Self::BLOCK], len: u64) {
        self.hasher.write_u128(self.key.sum(block));
        let blocks = len / Self::BLOCK as u64;
        if blocks == 1 {
            self.first = *block;
        }
        if blocks.is_power_of_two() {
            self.marks[blocks.ilog2() as usize] = self.hasher.finish();
        }
    }

    /// One for each power of two among the numbers of blocks so far.
    fn marks(&self) -> &[u64] {
        let blocks = self.len / Self::BLOCK as u64;
        let count = blocks.checked_ilog2().map_or(0, |last| last as usize + 1);
        &self.marks[..count]
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
        let mut both = self.marks().iter().zip(whole.marks());
        let agree = both.all(|(a, b)| a == b);
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
        if self.marks().is_empty() {
            &self.block
        } else {
            &self.first
        }
    }

    fn value(&self) -> (u64, u64) {
        let mut hasher = self.hasher.clone();
        if self.filled > 0 {
            let mut block = [0; Self::BLOCK];
            block[..self.filled].copy_from_slice(&self.block[..self.filled]);
            hasher.write_u128(self.key.sum(&block));
        }
        (self.len, hasher.finish())
    }
}

impl Beginning {
    fn known(is_beginning: bool) -> Self {
        if is_beginning { Self::Yes } else { Self::No }
    }
}

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
                let (mut whole, mut split) = (Digest::default(), Digest::default());
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
        let empty = Digest::default();
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
            let (mut left, mut right) = (Digest::default(), Digest::default());
            left.update(b"hello");
            right.update(other);
            assert!(left != right, "{other:?}");
        }
    }

    #[test]
    fn digest_differs_for_exchanged_parts_of_a_block() {
        let content: Vec<u8> = (0..=250).cycle().take(3 * Digest::BLOCK).collect();
        let of = |bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.update(bytes);
            digest
        };
        for len in [1, 8, 16, 512, Digest::BLOCK] {
            let mut other = content.clone();
            other.rotate_left(len);
            assert!(of(&content) != of(&other), "rotated by {len}");
            let mut other = content.clone();
            let (left, right) = other[..2 * len].split_at_mut(len);
            left.swap_with_slice(right);
            assert!(of(&content) != of(&other), "exchanged {len}");
        }
    }

    #[test]
    fn digest_differs_for_zeros_at_the_end() {
        for (len, more) in [(1, 1), (1000, 24), (1024, 1), (1024, 1024), (0, 1024)] {
            let (mut short, mut long) = (Digest::default(), Digest::default());
            short.update(&vec![0; len]);
            long.update(&vec![0; len + more]);
            assert!(short != long, "{len} {more}");
        }
    }
}
