//! What may be repeated after an error: four rules, from the narrowest to the widest.
//!
//! | rule | what is repeated | who asks |
//! | --- | --- | --- |
//! | [`Error::allows_resend`] | the request, to the same server, on a new connection | one exchange |
//! | [`Error::allows_failover`] | the scan, with another server | one scan |
//! | [`Error::is_broken_connection`] | the scan, once, from the caller's copy of the content | one scan |
//! | [`Error::is_retryable`] | the scan, later | the caller |
//!
//! Each rule is about the error only. The caller of a rule must also know that the content can be sent again, that
//! there is time, and that no evidence against the content would be lost.

use super::{Error, StatusError, Violation};

impl Error {
    /// Whether the request may be sent once more to the same server, on a new connection.
    ///
    /// A server may close an idle connection at any time, also while a request is on its way to it. Then no
    /// byte of a response comes, and the server has not acted on the request (RFC 9112 §9.3.1). So it must
    /// be a connection that was used before, and either nothing came on it (`has_response` is false), or what
    /// came is no response to this request, or cannot be known to be one.
    pub(crate) fn allows_resend(&self, is_reused: bool, has_response: bool) -> bool {
        is_reused
            && match self {
                Self::Disconnected(_) => !has_response,
                Self::Protocol(error) => matches!(
                    error.violation(),
                    Violation::Unsolicited | Violation::EarlyResponse
                ),
                _ => false,
            }
    }

    /// Whether another server may be asked: this one failed, took its time, is suspended, has no room, or does
    /// not serve. That says nothing about the content.
    ///
    /// A failed `OPTIONS` request never says anything about the content, so more errors count there.
    pub(crate) fn allows_failover(&self, is_of_options: bool) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout(_) | Self::Disconnected(_) | Self::Suspended(_) => {
                true
            }
            Self::Status(error) => is_of_options || !error.serves(),
            Self::Protocol(error) => {
                let violation = error.violation();
                is_of_options || violation.is_cut() || violation.is_foreign()
            }
            Self::Content(_) | Self::Output(_) | Self::Input(_) | Self::Cancelled(_) => false,
        }
    }

    /// Whether the connection broke while the content was sent or its response was waited for.
    pub(crate) fn is_broken_connection(&self) -> bool {
        match self {
            Self::Disconnected(_) => true,
            Self::Protocol(error) => error.violation().is_cut(),
            _ => false,
        }
    }

    /// Whether the same scan may succeed later without a change to the settings, the server or the content.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status(error) => matches!(error.code(), 408 | 500 | 502..=504 | 506),
            _ => self.is_unavailable(),
        }
    }
}

impl StatusError {
    /// Whether the service works: it did not fail, it has such a service and method, and it understands such
    /// requests.
    pub(crate) fn serves(&self) -> bool {
        self.failure.is_none() && !matches!(self.code(), 400 | 404 | 405 | 500..)
    }
}

impl Violation {
    /// The connection ended before the response did.
    pub(crate) fn is_cut(self) -> bool {
        matches!(self, Self::Truncated | Self::IncompleteUpload)
    }

    /// The peer does not speak ICAP.
    pub(crate) fn is_foreign(self) -> bool {
        matches!(self, Self::BadStatusLine | Self::Unsolicited)
    }
}
