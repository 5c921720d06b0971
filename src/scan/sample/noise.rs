//! Random bytes that are computed where they are read.

use crate::seam::random;

/// Random bytes. The same ones at each reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    seed: u64,
    len: u64,
}

impl Noise {
    pub(super) fn new(len: u64) -> Self {
        let seed = random::number();
        Self { seed, len }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Copies bytes from `offset` on. Returns how many.
    pub(super) fn copy(&self, offset: u64, buf: &mut [u8]) -> usize {
        let left = self.len.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let mut at = offset;
        let mut filled = 0;
        while filled < len {
            let word = self.word(at / 8).to_le_bytes();
            // Less than 8.
            let skipped = (at % 8) as usize;
            let count = (8 - skipped).min(len - filled);
            buf[filled..filled + count].copy_from_slice(&word[skipped..skipped + count]);
            filled += count;
            at += count as u64;
        }
        len
    }

    /// Eight bytes, by the function `splitmix64`.
    fn word(&self, number: u64) -> u64 {
        let step = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut word = self.seed.wrapping_add(step);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}
