//! The hash by which entries are found and checked.

use std::hash::Hasher;
#[allow(
    deprecated,
    reason = "its successor may be another function in another Rust, and processes share a store"
)]
use std::hash::SipHasher;

/// A hash of 128 bits under a secret: two times SipHash-2-4, each with half of the secret.
///
/// SipHash is a pseudorandom function. So without the secret nobody can find out what was hashed, also if that is a
/// short password, and nobody can make two inputs collide or compute the hash of an input.
pub(super) struct KeyedHash {
    secret: [u8; 32],
}

pub(super) type Hash = [u8; 16];

impl KeyedHash {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The hash of `parts` for a purpose. Each part goes in with its length, so no two lists of parts are the same input.
    /// Another version of this crate has other hashes, because it may judge otherwise.
    pub(super) fn hash(&self, purpose: &str, parts: &[&[u8]]) -> Hash {
        let version = env!("CARGO_PKG_VERSION");
        let mut input = Vec::new();
        for part in [version.as_bytes(), purpose.as_bytes()].iter().chain(parts) {
            input.extend_from_slice(&(part.len() as u64).to_le_bytes());
            input.extend_from_slice(part);
        }
        let mut hash = Hash::default();
        for (out, key) in hash.chunks_exact_mut(8).zip(self.secret.chunks_exact(16)) {
            out.copy_from_slice(&sip_hash(key, &input).to_le_bytes());
        }
        hash
    }
}

/// The hash under a key of 16 bytes.
#[allow(deprecated, reason = "see the import")]
fn sip_hash(key: &[u8], input: &[u8]) -> u64 {
    let (low, high) = key.split_at(8);
    let number = |bytes: &[u8]| {
        let digits = bytes.iter().rev().map(|&byte| u64::from(byte));
        digits.fold(0, |number, byte| number << 8 | byte)
    };
    let mut hasher = SipHasher::new_with_keys(number(low), number(high));
    hasher.write(input);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sip_hash_agrees_with_its_reference() {
        // The test vectors of the paper's appendix, and of the reference implementation.
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(sip_hash(&bytes, &bytes[..15]), 0xa129_ca61_49be_45e5);
        assert_eq!(sip_hash(&bytes, b""), 0x726f_db47_dd0e_0e31);
    }

    #[test]
    fn hash_depends_on_secret_purpose_and_each_boundary() {
        let hash = KeyedHash::new([7; 32]);
        let mut other_half = [7; 32];
        other_half[31] = 8;
        let seen = [
            hash.hash("p", &[b"ab", b"c"]),
            hash.hash("p", &[b"a", b"bc"]),
            hash.hash("p", &[b"abc"]),
            hash.hash("p", &[b"ab", b"c", b""]),
            hash.hash("q", &[b"ab", b"c"]),
            KeyedHash::new(other_half).hash("p", &[b"ab", b"c"]),
            KeyedHash::new([8; 32]).hash("p", &[b"ab", b"c"]),
        ];
        let different: std::collections::HashSet<_> = seen.iter().collect();
        assert_eq!(different.len(), seen.len());
        assert_eq!(seen[0], KeyedHash::new([7; 32]).hash("p", &[b"ab", b"c"]));
    }
}
