//! `Basic` authentication with a service (RFC 3507 §7.1, RFC 7617).

use std::fmt;

use crate::error::{InputError, InvalidInput};
use crate::proto::base64;
use crate::proto::response::Response;
use crate::seam::sync::{AtomicBool, Ordering};

/// The user and the password for one server, and whether the server has asked for them.
///
/// They are sent to this server only, and only after it has asked. No log and no error shows them.
pub(crate) struct Credentials {
    /// The value of the field `Proxy-Authorization`.
    value: Vec<u8>,
    are_wanted: AtomicBool,
}

impl Credentials {
    pub(crate) fn new(user: &str, password: &str) -> Result<Self, InputError> {
        let refused = |why| Err(InputError::new(InvalidInput::User, why));
        if user.contains(':') {
            return refused("the user has a colon, which Basic authentication cannot carry");
        }
        if [user, password].concat().chars().any(char::is_control) {
            return refused("the user or the password has a control character");
        }
        let encoded = base64::encode(format!("{user}:{password}").as_bytes());
        Ok(Self {
            value: format!("Basic {encoded}").into_bytes(),
            are_wanted: AtomicBool::new(false),
        })
    }

    /// Encodes a user and a password, if there are any.
    pub(crate) fn of(pair: Option<&(String, String)>) -> Result<Option<Self>, InputError> {
        pair.map(|(user, password)| Self::new(user, password))
            .transpose()
    }

    /// The user and the password, encoded.
    pub(crate) fn secret(&self) -> Vec<u8> {
        self.value.clone()
    }

    /// Whether the service has asked for them.
    pub(crate) fn are_wanted(&self) -> bool {
        self.are_wanted.load(Ordering::Relaxed)
    }

    /// The field that carries them, if the service has asked for them.
    pub(crate) fn field(&self) -> Option<(String, Vec<u8>)> {
        self.are_wanted()
            .then(|| ("Proxy-Authorization".to_owned(), self.value.clone()))
    }

    /// Whether a response asks for them. If it does, all later requests carry them.
    pub(crate) fn note_challenge(&self, response: &Response) -> bool {
        let challenges = response.headers();
        let asks = response.status() == 407
            && challenges
                .get_all("Proxy-Authenticate")
                .any(|field| offers_basic(&field.value()));
        if asks {
            self.are_wanted.store(true, Ordering::Relaxed);
        }
        asks
    }
}

/// Whether a list of challenges has one with the scheme `Basic`. `Digest realm="a, Basic b"` has none.
fn offers_basic(challenges: &[u8]) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut outside = challenges.to_vec();
    for byte in &mut outside {
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = is_quoted && *byte == b'\\' && !is_escaped;
        if is_quoted {
            *byte = b'_';
        }
    }
    let is_basic = |challenge: &[u8]| {
        let mut words = challenge.split(|b| b" \t".contains(b));
        let scheme = words.find(|word| !word.is_empty());
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Basic"))
    };
    outside.split(|&b| b == b',').any(is_basic)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_sent_once_wanted_and_never_shown() {
        let credentials = Credentials::new("Aladdin", "open sesame").unwrap();
        assert!(credentials.field().is_none(), "the service has not asked");
        credentials.are_wanted.store(true, Ordering::Relaxed);
        let (name, value) = credentials.field().unwrap();
        assert_eq!(name, "Proxy-Authorization");
        assert_eq!(value, b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(format!("{credentials:?}"), "Credentials(..)");
    }

    #[test]
    fn basic_in_a_realm_is_no_scheme() {
        for (challenges, is_basic) in [
            ("Basic realm=\"a\"", true),
            ("basic", true),
            ("Digest realm=\"a\", BASIC realm=\"b\"", true),
            ("Digest realm=\"a\", nonce=1,  Basic\trealm=b", true),
            ("Digest realm=\"staff, Basic users\"", false),
            ("Digest realm=\"a\\\", Basic b\"", false),
            ("Digest realm=\"a, Basic b", false),
            ("Basically realm=\"a\"", false),
            ("", false),
        ] {
            assert_eq!(
                offers_basic(challenges.as_bytes()),
                is_basic,
                "{challenges}"
            );
        }
    }

    #[test]
    fn credentials_that_basic_cannot_carry_are_refused() {
        for (user, password) in [("a:b", "hunter2"), ("a", "hunter2\n"), ("a\0", "hunter2")] {
            let error = Credentials::new(user, password).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert!(Credentials::new("", "").is_ok());
    }
}
