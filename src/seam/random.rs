//! Randomness: for hashes that nobody can foresee, and for jitter.

#![allow(clippy::disallowed_methods, reason = "this is the seam")]

use std::hash::{BuildHasher, Hasher, RandomState};

/// Keys for a hash that a peer cannot foresee.
pub(crate) fn hash_keys() -> RandomState {
    RandomState::new()
}

/// A random number. It is not for secrets.
pub(crate) fn number() -> u64 {
    hash_keys().build_hasher().finish()
}
