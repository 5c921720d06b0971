//! Randomness: for hashes that nobody can foresee, and for jitter.

#![allow(clippy::disallowed_methods, reason = "this is the seam")]

use std::hash::{BuildHasher, Hasher, RandomState};

/// Keys for a hash that a peer cannot foresee.
pub(crate) fn hash_keys() -> RandomState {
    RandomState::new()
}

/// The key of a hash that does not leave this process.
pub(crate) fn key() -> [u8; 32] {
    let mut key = [0; 32];
    for part in key.chunks_exact_mut(8) {
        part.copy_from_slice(&number().to_ne_bytes());
    }
    key
}

/// A random number. It is not for secrets.
pub(crate) fn number() -> u64 {
    hash_keys().build_hasher().finish()
}
