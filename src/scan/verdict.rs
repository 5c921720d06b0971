//! What is known about content after a scan.

use std::fmt;

use crate::evidence::Threats;

/// What is known about the content.
///
/// Only [`Clean`](Verdict::Clean) is clean; whoever matches must treat everything else, also what
/// later versions add, as not clean.
#[non_exhaustive]
#[must_use = "content that is not clean must not be handed on"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of the content was sent to the service, and the service answered that it found nothing.
    Clean,
    /// The service found a threat.
    Infected(Threats),
    /// The service refused the content and named no threat.
    Blocked(Blocked),
    /// The service sent something else back, so it does not vouch for what was sent.
    Modified(Modified),
    /// The content was not scanned, or not all of it.
    NotScanned(NotScanned),
}

impl Verdict {
    /// Whether the content may be handed on.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Clean)
    }

    /// Whether a 204 says otherwise, so that one of the two is wrong.
    pub(crate) fn is_contradicted(&self) -> bool {
        let is_agreed = matches!(
            self,
            Self::Clean | Self::NotScanned(NotScanned::PreviewOnly | NotScanned::EarlyResponse)
        );
        !is_agreed
    }

    /// Whether another server may scan what this one did not.
    pub(crate) fn asks_next_server(&self) -> bool {
        matches!(
            self,
            Self::NotScanned(
                NotScanned::ServiceError { .. } | NotScanned::EarlyResponse | NotScanned::NoEngine
            )
        )
    }

    /// Whether a threat was found.
    #[must_use]
    pub fn is_infected(&self) -> bool {
        matches!(self, Self::Infected(_))
    }
}

/// `clean`, `infected: Eicar-Test-Signature`, `not scanned: larger than 100 MiB`, …
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("clean"),
            Self::Infected(threats) => write!(f, "infected: {threats}"),
            Self::Blocked(blocked) => write!(f, "blocked: {blocked}"),
            Self::Modified(modified) => write!(f, "modified: {modified}"),
            Self::NotScanned(why) => write!(f, "not scanned: {why}"),
        }
    }
}

/// How the service refused the content: by a status line, which counts as soon as it is there, whatever
/// comes after it, or in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub(super) status: u16,
    pub(super) reason: String,
    /// Only a status line refused, and the reason is its phrase.
    pub(super) is_by_status: bool,
}

impl Blocked {
    /// The status that says so, of the encapsulated HTTP response or of the ICAP response; 0 if the response
    /// broke off before it could be read.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The service's words, safe to show; may be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, reason, .. } = self;
        match (self.is_by_status, reason.as_str()) {
            (true, _) if *status < 300 => {
                write!(
                    f,
                    "the service sent a response ({status}) in place of the upload"
                )
            }
            (true, "") => write!(f, "the service responded with {status}"),
            (true, reason) => write!(f, "the service responded with {status} {reason}"),
            (false, "") => f.write_str("the service gave no reason"),
            (false, reason) => f.write_str(reason),
        }
    }
}

/// What the service sent back instead of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modified {
    pub(super) body_len: Option<u64>,
    pub(super) original_from: Option<u64>,
}

impl Modified {
    /// Bytes of the body that came back, if one did.
    #[must_use]
    pub fn body_len(&self) -> Option<u64> {
        self.body_len
    }

    /// Of a 206: from which byte on the content goes on after that body.
    #[must_use]
    pub fn original_from(&self) -> Option<u64> {
        self.original_from
    }
}

impl fmt::Display for Modified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.body_len {
            len if self.original_from.is_some() => {
                let (len, from) = (len.unwrap_or(0), self.original_from.unwrap_or(0));
                write!(
                    f,
                    "{len} bytes of new content, then the original from byte {from} on"
                )
            }
            Some(len) => write!(f, "the service sent back other content ({len} bytes)"),
            None => f.write_str("the service sent back no content"),
        }
    }
}

/// Why content was not scanned.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotScanned {
    /// It is larger than the scanner's own size limit; at most a part of it was sent.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// It goes over a limit of the service.
    ServiceLimit {
        /// The service's words, safe to show.
        detail: String,
    },
    /// The service could not look into it: encrypted, damaged, of a type it does not read.
    Unscannable {
        /// The service's words, safe to show.
        detail: String,
    },
    /// The service could respond "unmodified" and sent everything back instead: servers do this with
    /// what they pass over, too large or of a type they do not scan.
    Echoed,
    /// The service reported an error of its own, so it did not scan the content.
    ServiceError {
        /// The status of the encapsulated HTTP response that reports it, or of the ICAP response whose
        /// `X-Error-Code` does.
        status: u16,
        /// The service's words, safe to show; may be empty.
        detail: String,
    },
    /// The response began before all of the content was sent, so it cannot be about all of it. A server
    /// that responds early does not scan.
    EarlyResponse,
    /// The server has no working engine: it scans nothing, whatever it responds.
    NoEngine,
    /// Only a part of the content came back: fewer bytes than the response's own `Content-Length`, or the
    /// beginning of what was sent. It is not a cleaned file: never deliver it, even though
    /// [`scan_replace`](crate::Scanner::scan_replace) has written it. c-icap with the usual defaults sends
    /// the first 5% of a large infected file like this.
    ///
    /// Of content that can be read again this is certain. Of a [`reader`](crate::Content::reader), other content
    /// that agrees with it in the first KiB and up to the last power of two of KiB counts as a part, too.
    Truncated,
    /// The service has not finished (202).
    Pending,
    /// The service responded with 204 to the preview and has seen no more: it says that it does not want the
    /// rest, or cannot look at it, and not that there is nothing in it (RFC 3507 §4.5).
    PreviewOnly,
}

impl fmt::Display for NotScanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "larger than {}", Bytes(*limit)),
            Self::ServiceLimit { detail } => write!(f, "over a limit of the service: {detail}"),
            Self::Unscannable { detail } if is_bare_code(detail) => {
                write!(f, "the service gave the error code {detail:?}")
            }
            Self::Unscannable { detail } => write!(f, "the service cannot look into it: {detail}"),
            Self::Echoed => f.write_str("the service sent it back without an opinion"),
            Self::ServiceError { status, detail } => {
                // A 2xx says nothing of the failure.
                let status = (*status >= 400).then(|| status.to_string());
                let words = status
                    .iter()
                    .chain([detail])
                    .filter(|word| !word.is_empty());
                let words: Vec<&str> = words.map(String::as_str).collect();
                match words[..] {
                    [] => f.write_str("the service failed"),
                    _ => write!(f, "the service failed: {}", words.join(" ")),
                }
            }
            Self::EarlyResponse => {
                f.write_str("the service responded before it had received all of the content")
            }
            Self::NoEngine => f.write_str("the server has no working anti-virus engine"),
            Self::Truncated => f.write_str("the service sent back only a part of the content"),
            Self::Pending => f.write_str("the service has not finished"),
            Self::PreviewOnly => f.write_str("the service has seen only its beginning"),
        }
    }
}

/// An error code that says nothing to a person.
fn is_bare_code(detail: &str) -> bool {
    detail.bytes().all(|byte| byte.is_ascii_digit()) || detail.eq_ignore_ascii_case("success")
}

/// A size in the largest unit that leaves no fraction.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units
            .iter()
            .find(|(size, _)| self.0 >= *size && self.0 % size == 0)
        {
            Some((size, unit)) => write!(f, "{} {unit}", self.0 / size),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_line_for_a_person() {
        let large = |limit| Verdict::NotScanned(NotScanned::TooLarge { limit }).to_string();
        assert_eq!(large(104_857_600), "not scanned: larger than 100 MiB");
        assert_eq!(large(1 << 30), "not scanned: larger than 1 GiB");
        assert_eq!(large(1000), "not scanned: larger than 1000 bytes");
        assert_eq!(large(0), "not scanned: larger than 0 bytes");
        assert_eq!(Verdict::Clean.to_string(), "clean");
        let modified = |body_len, original_from| {
            let modified = Modified {
                body_len,
                original_from,
            };
            Verdict::Modified(modified).to_string()
        };
        assert_eq!(
            modified(Some(3), None),
            "modified: the service sent back other content (3 bytes)"
        );
        assert_eq!(
            modified(None, None),
            "modified: the service sent back no content"
        );
        assert_eq!(
            modified(Some(0), Some(0)),
            "modified: 0 bytes of new content, then the original from byte 0 on"
        );
    }

    #[test]
    fn blocked_says_who_refused() {
        for (status, reason, is_by_status, said) in [
            (403, "no", false, "blocked: no"),
            (204, "", false, "blocked: the service gave no reason"),
            (403, "", true, "blocked: the service responded with 403"),
            (
                307,
                "Moved",
                true,
                "blocked: the service responded with 307 Moved",
            ),
            (
                200,
                "",
                true,
                "blocked: the service sent a response (200) in place of the upload",
            ),
        ] {
            let blocked = Blocked {
                status,
                reason: reason.to_owned(),
                is_by_status,
            };
            assert_eq!((blocked.status(), blocked.reason()), (status, reason));
            assert_eq!(Verdict::Blocked(blocked).to_string(), said);
        }
    }

    #[test]
    fn service_error_names_only_a_status_that_fails() {
        for (status, detail, said) in [
            (
                200,
                "antivirus_license_expired",
                "the service failed: antivirus_license_expired",
            ),
            (204, "", "the service failed"),
            (500, "", "the service failed: 500"),
            (502, "Bad Gateway", "the service failed: 502 Bad Gateway"),
        ] {
            let detail = detail.to_owned();
            assert_eq!(
                NotScanned::ServiceError { status, detail }.to_string(),
                said
            );
        }
    }

    #[test]
    fn bare_error_code_is_quoted() {
        for (detail, said) in [
            ("500", "the service gave the error code \"500\""),
            ("success", "the service gave the error code \"success\""),
            (
                "decode_error",
                "the service cannot look into it: decode_error",
            ),
        ] {
            let detail = detail.to_owned();
            assert_eq!(NotScanned::Unscannable { detail }.to_string(), said);
        }
    }
}
