//! The key of tickets, and what it authenticates.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{ContentDigest, OverrideError};
use crate::scan::policy::Objection;

/// Bytes of an HMAC-SHA-256.
pub(super) const TAG_LEN: usize = 32;

/// The shortest key, in bytes: that of the hash (RFC 2104 §3).
const MIN_KEY: usize = 32;

/// Separates these tags from every other use of the same key.
const LABEL: &[u8] = b"icap-client override ticket";

/// The secret key under which tickets are issued and redeemed. `Debug` does not show it.
///
/// Keep it on the server, with the other secrets. Every process that redeems tickets needs the same key. Use
/// it for nothing else.
#[derive(Clone)]
pub struct OverrideKey(Hmac<Sha256>);

impl OverrideKey {
    /// A key of at least 32 bytes from a random source, such as `openssl rand -out key 32`. A password or a text
    /// is not random enough.
    ///
    /// # Errors
    ///
    /// [`OverrideError::KeyTooShort`].
    ///
    /// ```
    /// use icap_client::override_ticket::OverrideKey;
    ///
    /// assert!(OverrideKey::new(&[7; 31]).is_err());
    /// let key = OverrideKey::new(&[7; 32])?;
    /// assert_eq!(format!("{key:?}"), "OverrideKey { .. }");
    /// # Ok::<(), icap_client::override_ticket::OverrideError>(())
    /// ```
    pub fn new(key: &[u8]) -> Result<Self, OverrideError> {
        let too_short = OverrideError::KeyTooShort { len: key.len() };
        if key.len() < MIN_KEY {
            return Err(too_short);
        }
        // HMAC takes keys of every length, so this does not fail.
        let hmac = Hmac::new_from_slice(key).map_err(|_| too_short)?;
        Ok(Self(hmac))
    }

    pub(super) fn tag(&self, claim: &Claim<'_>) -> [u8; TAG_LEN] {
        self.authenticate(claim).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    pub(super) fn is_tag(&self, claim: &Claim<'_>, tag: &[u8; TAG_LEN]) -> bool {
        self.authenticate(claim).verify_slice(tag).is_ok()
    }

    fn authenticate(&self, claim: &Claim<'_>) -> Hmac<Sha256> {
        let mut hmac = self.0.clone();
        let (code, threat) = match claim.objection {
            Some(Objection { code, threat }) => (code, threat.unwrap_or_default()),
            None => ("", ""),
        };
        for field in [
            LABEL,
            &[claim.version],
            &claim.expires.to_be_bytes(),
            claim.digest.as_bytes(),
            claim.user.as_bytes(),
            code.as_bytes(),
            threat.as_bytes(),
        ] {
            // Without the lengths, two different claims could consist of the same bytes.
            hmac.update(&(field.len() as u64).to_be_bytes());
            hmac.update(field);
        }
        hmac
    }
}

impl fmt::Debug for OverrideKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverrideKey").finish_non_exhaustive()
    }
}

/// Everything that a ticket is valid for.
pub(super) struct Claim<'c> {
    pub(super) version: u8,
    /// Seconds since 1970.
    pub(super) expires: u64,
    pub(super) digest: &'c ContentDigest,
    pub(super) user: &'c str,
    /// What the scanner had found when the person was asked.
    pub(super) objection: Option<Objection<'c>>,
}
