//! Verdicts: what a scan found out about the content.

use std::fmt;

use crate::evidence::Threats;

/// What a scan found out about the content.
///
/// Only [`Clean`](Verdict::Clean) is clean. Treat every other variant as not clean, also those that a later
/// version adds.
///
/// `Display` is one line that is safe to show: `clean`, `infected: Eicar-Test-Signature`,
/// `not scanned: larger than 100 MiB`.
///
/// ```
/// use icap_client::{Content, Scanner, Verdict};
///
/// # let server = icap_client::testing::Server::start()?;
/// # let scanner = Scanner::new(server.uri())?;
/// let virus = icap_client::testing::eicar();
/// let report = scanner.scan(virus)?;
/// match report.verdict() {
///     Verdict::Clean => println!("deliver it"),
///     Verdict::Infected(threats) => println!("refuse it: {threats}"),
///     Verdict::NotScanned(reason) => println!("ask the person: {reason}"),
///     verdict => println!("do not deliver it: {verdict}"),
/// }
/// assert!(report.verdict().is_infected());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[must_use = "content that is not clean must not be handed on"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of the content was sent to the service (with [`trust_preview`](crate::ScannerBuilder::trust_preview) perhaps
    /// only a preview), and the service responded that it found nothing.
    Clean,
    /// The service found a threat.
    Infected(Threats),
    /// The service refused the content and named no threat.
    Blocked(Blocked),
    /// The service sent back other content, so it says nothing about the content that was sent.
    Modified(Modified),
    /// Nothing shows that the service has scanned all of the content.
    NotScanned(NotScanned),
}

impl Verdict {
    /// Whether the content is clean: it may be delivered.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Clean)
    }

    /// Whether a 204 contradicts this verdict: then one of the two is wrong.
    pub(crate) fn is_contradicted(&self) -> bool {
        let is_agreed = matches!(
            self,
            Self::Clean | Self::NotScanned(NotScanned::PreviewOnly | NotScanned::EarlyResponse)
        );
        !is_agreed
    }

    /// Whether another server is asked, because this one did not scan.
    pub(crate) fn asks_next_server(&self) -> bool {
        matches!(
            self,
            Self::NotScanned(
                NotScanned::ServiceError { .. } | NotScanned::EarlyResponse | NotScanned::NoEngine
            )
        )
    }

    /// Whether the service objects to the content.
    pub(crate) fn is_objection(&self) -> bool {
        matches!(self, Self::Infected(_) | Self::Blocked(_))
    }

    /// Whether a threat was found.
    #[must_use]
    pub fn is_infected(&self) -> bool {
        matches!(self, Self::Infected(_))
    }
}

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

/// How the service refused the content: by a status line (ICAP 403, or an HTTP status that refuses), by words in a field
/// of the response, or in REQMOD by an HTTP response in place of the request.
///
/// A refusal counts as soon as it is read, whatever follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub(super) status: u16,
    pub(super) reason: String,
    /// Only the status line refused. The reason is its phrase.
    pub(super) is_by_status: bool,
}

impl Blocked {
    /// The status of the encapsulated HTTP response if there is one, and else that of the ICAP response. It is 0 if a
    /// field of an interim (1xx) response refused, and the connection broke before the final status line was complete.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The service's words, safe to show. They may be empty.
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

/// The size of what the service sent back in place of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modified {
    pub(super) body_len: Option<u64>,
    pub(super) original_from: Option<u64>,
}

impl Modified {
    /// The length in bytes of the body that came back; `None` without a body.
    #[must_use]
    pub fn body_len(&self) -> Option<u64> {
        self.body_len
    }

    /// For a 206: the position n in the content that was sent. The new content is the body that came back, followed by the
    /// sent content from byte n on.
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

/// The reason why content does not count as scanned.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotScanned {
    /// The content is larger than the scanner's [`max_size`](crate::ScannerBuilder::max_size) or, if it is copied, than
    /// [`max_copy`](crate::ScannerBuilder::max_copy). At most a part of it was sent.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The content exceeds a limit of the service.
    ServiceLimit {
        /// The service's words, safe to show.
        detail: String,
    },
    /// The service could not read the content: it is encrypted, damaged or of an unknown type. A code in the service's
    /// `X-Error-Code` that this crate does not know counts as this too.
    Unscannable {
        /// The service's words, safe to show.
        detail: String,
    },
    /// The service sent all of the content back, in a way that does not say that it is clean. In most cases it
    /// could have responded with 204 and did not. Servers do this with content that they skip because of its size or type.
    Echoed,
    /// The service reported an error of its own, so it did not scan the content.
    ServiceError {
        /// The status of the response that reports it: the encapsulated HTTP response, or the ICAP response with
        /// an `X-Error-Code`.
        status: u16,
        /// The service's words, safe to show. They may be empty.
        detail: String,
    },
    /// The response began before all of the content was sent, so the service has not scanned all of it.
    EarlyResponse,
    /// Nothing shows that the server has a working engine: its state tag says that it has none, it missed a
    /// [canary](crate::ScannerBuilder::canary), or its canaries proved nothing. So its response does not count.
    NoEngine,
    /// Only a part of the content came back: the beginning of what was sent, or fewer bytes than the response's
    /// own `Content-Length`.
    ///
    /// This is no cleaned file. Never deliver it, although [`scan_replace`](crate::Scanner::scan_replace) has
    /// written it: c-icap with its usual defaults sends the first 5 % of a large infected file in this way.
    ///
    /// What came back is compared with the content, if that can be read again. A [`reader`](crate::Content::reader) cannot be
    /// read again, so only its beginning is compared. Its length is the largest of 1, 2, 4, 8, … KiB that is not longer than
    /// what came back. A difference after that part is not seen: the reason is then `Truncated`, although other content came back.
    Truncated,
    /// The service has not finished the scan (202).
    Pending,
    /// The service responded with 204 to the preview and has not seen the rest. The 204 says that the service
    /// does not want the rest, and not that the content is clean (RFC 3507 §4.5).
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
                // A 2xx does not describe the failure.
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

/// Whether an error code means nothing to a person.
fn is_bare_code(detail: &str) -> bool {
    detail.bytes().all(|byte| byte.is_ascii_digit()) || detail.eq_ignore_ascii_case("success")
}

/// Shows a size in the largest unit that leaves no fraction.
pub(super) struct Bytes(pub(super) u64);

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
    fn verdict_is_one_line_for_a_person() {
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
    fn blocked_shows_status_or_reason() {
        for (status, reason, is_by_status, shown) in [
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
            assert_eq!(Verdict::Blocked(blocked).to_string(), shown);
        }
    }

    #[test]
    fn service_error_shows_no_2xx_status() {
        for (status, detail, shown) in [
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
                shown
            );
        }
    }

    #[test]
    fn bare_error_code_is_quoted() {
        for (detail, shown) in [
            ("500", "the service gave the error code \"500\""),
            ("success", "the service gave the error code \"success\""),
            (
                "decode_error",
                "the service cannot look into it: decode_error",
            ),
        ] {
            let detail = detail.to_owned();
            assert_eq!(NotScanned::Unscannable { detail }.to_string(), shown);
        }
    }
}
