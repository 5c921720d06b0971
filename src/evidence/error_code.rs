//! The codes of `X-Error-Code`.

use super::hindrance::Hindrance;
use super::nothing_found::is_nothing_found;
use super::phrase::names_threat;
use super::words::{
    CONNECTION_FAILURES, CONTENT_STEMS, REFUSAL_STEMS, SERVICE_ENDINGS, SERVICE_STEMS, has_stem,
};

/// What a code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorCode {
    NothingFound,
    /// There is a threat.
    Threat,
    /// A policy refuses the content.
    Refusal,
    /// The content was not, or not completely, scanned.
    Hindrance(Hindrance),
    /// The service failed.
    ServiceFailure,
}

impl ErrorCode {
    /// The worst reading of a code. An unknown code is about the content.
    pub(super) fn of(code: &[u8]) -> Self {
        let text = String::from_utf8_lossy(code).to_ascii_lowercase();
        let is_of_service = is_of_service(&text);
        let is_limit = text.starts_with("max_") || text.contains("exceeded");
        let is_content_limit = is_limit && (!is_of_service || has_stem(&text, CONTENT_STEMS));
        if is_nothing_found(code) {
            Self::NothingFound
        } else if names_threat(code) {
            Self::Threat
        } else if is_refusal(&text) {
            Self::Refusal
        } else if is_content_limit {
            Self::Hindrance(Hindrance::Limit)
        } else if is_of_service {
            Self::ServiceFailure
        } else {
            Self::Hindrance(Hindrance::Unscannable)
        }
    }
}

fn is_of_service(code: &str) -> bool {
    has_stem(code, SERVICE_STEMS) || SERVICE_ENDINGS.iter().any(|end| code.ends_with(end))
}

/// `file_type_blocked` and `connection_blocked_by_policy` refuse. A connection that is refused or rejected, and
/// not by a policy, is a failure of the service.
fn is_refusal(code: &str) -> bool {
    let letters: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut rest = letters.clone();
    for failure in CONNECTION_FAILURES {
        rest = rest.replace(failure, "");
    }
    has_stem(&rest, REFUSAL_STEMS) || has_stem(&letters, REFUSAL_STEMS) && rest.contains("policy")
}
