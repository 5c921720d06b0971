//! Responses that are no use: a status that is an error, and bytes that are no valid response.

use std::fmt;

use super::Violation;
use crate::proto::content_name::ContentName;

/// The service responded with a status that is no verdict, for example `404 Service not found`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service} {asked} {code}{}{}", Words(.reason, .failure), Skip(*.asked, *.code, .service))]
pub struct StatusError {
    pub(crate) service: String,
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// The service's code for a failure of its own.
    pub(crate) failure: Option<String>,
    /// It was a 503 while others had connections: there may be room for this one later.
    pub(crate) has_room_later: bool,
    pub(crate) asked: Asked,
    pub(crate) name: Option<Box<ContentName>>,
}

/// What had been asked when a status came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing: the server responded to the connection.
    Nothing,
    Options,
    /// RESPMOD or REQMOD.
    Scan,
}

/// Writes what the service did; the status follows.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "refused the connection before anything was asked, with",
            Self::Options => "responded to OPTIONS with",
            Self::Scan => "responded with",
        })
    }
}

impl StatusError {
    /// The ICAP status code (RFC 3507 §4.3.3).
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The reason phrase, safe to show.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The service's code for a failure of its own (`X-Error-Code`, for example
    /// `antivirus_license_expired`), safe to show; `None` if it sent none.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// What a service adds to the status.
struct Words<'e>(&'e str, &'e Option<String>);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            write!(f, " {}", self.0)?;
        }
        self.1
            .iter()
            .try_for_each(|failure| write!(f, " ({failure})"))
    }
}

/// Tells what to change where the service knows no such method or path. A 404 is about the path only.
struct Skip<'e>(Asked, u16, &'e str);

impl fmt::Display for Skip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Asked::Options, 404) if has_no_path(self.2) => {
                f.write_str("; the URI has no service: add its path, icap://HOST/SERVICE")
            }
            (Asked::Options, 404) => f.write_str("; check the service's path"),
            (Asked::Options, 400 | 403 | 405 | 501 | 505) => {
                f.write_str("; check the service's path, or scan without OPTIONS: negotiate(false)")
            }
            _ => Ok(()),
        }
    }
}

fn has_no_path(uri: &str) -> bool {
    let host_and_path = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let path = host_and_path.split_once('/').map_or("", |(_, path)| path);
    path.is_empty()
}

/// The peer broke the protocol.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service} sent a response{} that cannot be trusted: {violation}{}", Options(*.is_of_options), Seen(.seen))]
pub struct ProtocolError {
    pub(crate) service: String,
    pub(crate) violation: Violation,
    /// The bytes at fault, safe to show; empty if there were none.
    pub(crate) seen: String,
    /// The caller's reader or writer had kept the server waiting, which may be why it broke off.
    pub(crate) is_after_pause: bool,
    pub(crate) is_of_options: bool,
    pub(crate) name: Option<Box<ContentName>>,
}

impl ProtocolError {
    /// What was wrong.
    #[must_use]
    pub fn violation(&self) -> Violation {
        self.violation
    }

    /// The bytes at fault, bounded and escaped; empty where there were none.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

/// Shows that the request was `OPTIONS`.
struct Options(bool);

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { " to OPTIONS" } else { "" })
    }
}

/// Shows the bytes at fault, and which protocol they belong to where that is known.
struct Seen<'a>(&'a str);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, ", saw \"{}\"", self.0)?;
        let hint = if is_tls(self.0) {
            " (this looks like TLS: use icaps://, or the port without TLS)"
        } else if self.0.starts_with("HTTP/") {
            " (this is an HTTP server: check the port)"
        } else if self.0.starts_with("SSH-") {
            " (this is an SSH server: check the port)"
        } else {
            ""
        };
        f.write_str(hint)
    }
}

/// Whether escaped bytes begin a TLS record: type 21 (alert) or 22 (handshake), then the major version 3.
fn is_tls(seen: &str) -> bool {
    let version = ["\\u{15}", "\\u{16}"]
        .iter()
        .find_map(|record| seen.strip_prefix(record));
    version.is_some_and(|version| version.is_empty() || version.starts_with("\\u{3}"))
}
