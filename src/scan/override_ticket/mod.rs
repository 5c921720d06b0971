//! Tickets with which a person overrides a policy's question (feature `override`).
//!
//! Where a [`Policy`](crate::Policy) asks, the page can have a button "download anyway". If that only sent a
//! parameter such as `?force=true`, everybody could write it into an address, without the question. A ticket cannot
//! be forged: it has an HMAC-SHA-256 under a key that only the server knows. It is valid for one content, one user and
//! a short time. The server stores nothing between the question and the download.
//!
//! # How to use it
//!
//! 1. Receive the file and [digest](ContentDigest) the bytes while they are stored. Scan the stored bytes, and
//!    [decide](crate::Policy::decide).
//! 2. On [`Decision::Ask`], show the notice, and a form with the [ticket](Decision::ticket) and a CSRF token in
//!    hidden fields. The form uses POST: a link would be followed by crawlers and previews, and would put the
//!    ticket into logs and `Referer` fields.
//! 3. On the POST, check the CSRF token, and take the user from the session, never from the form. Digest the bytes
//!    that are about to be delivered, get the newest decision about them (scan again, or look it up by the digest),
//!    and [redeem](OverrideKey::redeem) the ticket. Deliver exactly these bytes: from memory, or from the handle
//!    that was digested, never by opening the path again.
//! 4. Log who overrode which [code](crate::Notice::code) for which digest.
//!
//! ```
//! # use icap_client::testing::Server;
//! use std::time::{Duration, SystemTime};
//!
//! use icap_client::override_ticket::{ContentDigest, OverrideKey};
//! use icap_client::{Content, Decision, Policy, Scanner};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::start()?;
//! # let uri = server.uri();
//! # let secret_from_settings = [7; 32];
//! let key = OverrideKey::new(&secret_from_settings)?;
//! let scanner = Scanner::builder(uri).max_size(1024).build()?;
//! let decide = |file: &[u8]| Policy::default().decide(&scanner.scan(Content::bytes(file)));
//!
//! // The question.
//! let file = vec![0; 2000];
//! let decision = decide(&file);
//! let expires = SystemTime::now() + Duration::from_secs(300);
//! let ticket = decision.ticket(&key, &ContentDigest::of(&file), "jane", expires)?;
//! let hidden_field = ticket.to_string();
//!
//! // The POST.
//! let (digest, newest) = (ContentDigest::of(&file), decide(&file));
//! key.redeem(&hidden_field, &digest, "jane", SystemTime::now(), &newest)?;
//! // Deliver `file`.
//!
//! // The ticket is void for another user, and for another file.
//! let now = SystemTime::now();
//! assert!(key.redeem(&hidden_field, &digest, "joe", now, &newest).is_err());
//! let other = ContentDigest::of(b"another file");
//! assert!(key.redeem(&hidden_field, &other, "jane", now, &newest).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # What a ticket does not protect against
//!
//! - **What the person does.** A ticket proves that the server asked. It cannot stop a person from opening the file.
//! - **Somebody who acts as the user**, with a stolen session or by a script in the page. The CSRF token stops other
//!   sites only.
//! - **A second use.** Until it expires, a ticket can be redeemed again for the same content and user. To allow one
//!   use, store redeemed tickets until they expire, and refuse them.
//! - **A stale decision.** [`redeem`](OverrideKey::redeem) knows only the decision that you give it. Give it the
//!   newest one.
//! - **Other bytes.** A digest that was computed from other bytes than those delivered proves nothing.
//! - **A key that leaks.** Replace it; all tickets under it are then void. To change a key that has not leaked, issue
//!   tickets under the new key, and redeem with both keys until the last old ticket has expired.

mod digest;
mod hex;
mod key;

use std::fmt;
use std::time::SystemTime;

pub use digest::{ContentDigest, DigestWriter};
pub use key::OverrideKey;
use key::{Claim, TAG_LEN};

use crate::scan::policy::Decision;

/// The version of the format: the first byte of a ticket.
const VERSION: u8 = 1;

/// Version, time of expiry, HMAC.
const LEN: usize = 1 + size_of::<u64>() + TAG_LEN;

/// Permission for one user to have one content that was not found to be clean, from [`Decision::ticket`].
///
/// `Display` is its text: 82 characters from `0-9a-f`, the same in a URL, a form field and a header. `Debug` hides
/// it, so that it does not get into logs. Tickets cannot be compared, because `==` takes a time that tells how much
/// is equal: [redeem](OverrideKey::redeem) them.
#[derive(Clone)]
pub struct Ticket(String);

impl Ticket {
    /// The text of the ticket.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// Why a ticket was not issued or not redeemed.
///
/// A finding is [`Infected`](crate::Verdict::Infected), [`Blocked`](crate::Verdict::Blocked),
/// [`Modified`](crate::Verdict::Modified) or [`Truncated`](crate::NotScanned::Truncated).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// The key is too short to be secret.
    #[error("the key has {len} bytes: use at least 32 from a random source")]
    KeyTooShort {
        /// The bytes of the key.
        len: usize,
    },
    /// The decision is not `Ask`: after `Deliver` no ticket is needed, and after `Refuse` none is possible.
    #[error("the policy does not ask about this content, so it has no ticket")]
    NotAsked,
    /// The user has no name, so the ticket would be anybody's.
    #[error("the user is empty: use a name or the identifier of a session")]
    NoUser,
    /// The text is not a ticket.
    #[error("this is not an override ticket")]
    Malformed,
    /// The ticket was edited, or issued under another key, for other content or for another user. Or the ticket was
    /// issued for one finding, and the newest decision is about another one.
    #[error("the ticket was not issued for this content and this user under this key")]
    NotAuthentic,
    /// The ticket's time is over. Ask again.
    #[error("the ticket has expired")]
    Expired,
    /// The newest decision about the content refuses it. Or the newest decision is about a finding, and the ticket was
    /// issued for no finding.
    #[error("the ticket is void: a newer decision refuses the content")]
    Overruled,
}

impl Decision {
    /// Issues a ticket with which `user` can have this content until `expires`. Only
    /// [`Ask`](Decision::Ask) has one.
    ///
    /// `digest` is that of the content that the decision is about, also if no scanner has seen it. `user` identifies the
    /// person. Take it from the session: a name, or the identifier of the session if users have no names.
    ///
    /// `expires` is rounded down to a whole second. A few minutes from now are enough for a person.
    ///
    /// # Errors
    ///
    /// [`OverrideError::NotAsked`] for any other decision than `Ask`, [`OverrideError::NoUser`] if `user` is empty.
    pub fn ticket(
        &self,
        key: &OverrideKey,
        digest: &ContentDigest,
        user: &str,
        expires: SystemTime,
    ) -> Result<Ticket, OverrideError> {
        let Self::Ask(notice) = self else {
            return Err(OverrideError::NotAsked);
        };
        if user.is_empty() {
            return Err(OverrideError::NoUser);
        }
        let expires = seconds(expires).unwrap_or(0);
        let claim = Claim {
            version: VERSION,
            expires,
            digest,
            user,
            objection: notice.objection(),
        };
        let head = [VERSION].into_iter().chain(expires.to_be_bytes());
        let ticket: Vec<u8> = head.chain(key.tag(&claim)).collect();
        Ok(Ticket(hex::encode(&ticket)))
    }
}

impl OverrideKey {
    /// Checks the text of a ticket: `Ok` if `user` may have the content with this `digest` now. The ticket is not used up.
    ///
    /// `digest` is that of the bytes that are about to be delivered. `newest` is the newest decision about them.
    /// The ticket is void if the newest decision refuses, or if the newest decision is about a finding
    /// ([`Infected`](crate::Verdict::Infected), [`Blocked`](crate::Verdict::Blocked),
    /// [`Modified`](crate::Verdict::Modified) or [`Truncated`](crate::NotScanned::Truncated)) that the person was not
    /// asked about.
    ///
    /// The HMAC is compared in constant time.
    ///
    /// # Errors
    ///
    /// [`OverrideError::Malformed`], [`NotAuthentic`](OverrideError::NotAuthentic),
    /// [`Expired`](OverrideError::Expired) or [`Overruled`](OverrideError::Overruled). Do not deliver the content
    /// after any of them.
    pub fn redeem(
        &self,
        ticket: &str,
        digest: &ContentDigest,
        user: &str,
        now: SystemTime,
        newest: &Decision,
    ) -> Result<(), OverrideError> {
        let Parts { expires, tag } = Parts::parse(ticket).ok_or(OverrideError::Malformed)?;
        let is_issued_for = |objection| {
            let claim = Claim {
                version: VERSION,
                expires,
                digest,
                user,
                objection,
            };
            self.is_tag(&claim, &tag)
        };
        let objection = newest.notice().and_then(|notice| notice.objection());
        let is_issued = is_issued_for(objection);
        if !is_issued && !is_issued_for(None) {
            return Err(OverrideError::NotAuthentic);
        }
        // A clock that shows a time before 1970 proves nothing.
        if seconds(now).is_none_or(|now| now >= expires) {
            return Err(OverrideError::Expired);
        }
        let is_refused = matches!(newest, Decision::Refuse(_));
        if is_refused || !is_issued {
            return Err(OverrideError::Overruled);
        }
        Ok(())
    }
}

/// What the text of a ticket says.
struct Parts {
    expires: u64,
    tag: [u8; TAG_LEN],
}

impl Parts {
    fn parse(ticket: &str) -> Option<Self> {
        let ticket: [u8; LEN] = hex::decode(ticket)?;
        let (&version, rest) = ticket.split_first()?;
        let (expires, tag) = rest.split_first_chunk()?;
        (version == VERSION).then_some(Self {
            expires: u64::from_be_bytes(*expires),
            tag: tag.try_into().ok()?,
        })
    }
}

/// Whole seconds since 1970; `None` before that.
fn seconds(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.ok().map(|since| since.as_secs())
}
