//! Faults in a caller's input.

use std::fmt;

use super::content_name::ContentName;
use super::text::displayable;

/// The caller's input cannot be sent or used: a URI, a header, an HTTP head or a setting.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {what}")]
pub struct InputError {
    kind: InvalidInput,
    what: String,
    pub(crate) name: Option<Box<ContentName>>,
}

impl InputError {
    /// `what` names the input or the reason. It is made safe to show.
    pub(crate) fn new(kind: InvalidInput, what: &str) -> Self {
        let what = displayable(what.as_bytes());
        Self {
            kind,
            what,
            name: None,
        }
    }

    /// The kind of input that was refused.
    #[must_use]
    pub fn kind(&self) -> InvalidInput {
        self.kind
    }
}

/// The kind of input that was refused.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidInput {
    /// A URI that is not `icap://` or `icaps://` with a host, that has user information or a fragment, or that needs
    /// the feature `rustls` or a connector.
    Uri,
    /// An address to connect to that is not a host with or without a port.
    Address,
    /// A header name that is no token (RFC 9110 §5.6.2).
    HeaderName,
    /// A header value with control characters, or with white space at an end.
    HeaderValue,
    /// A header that this crate sets and a caller cannot override, because it frames or routes the message:
    /// `Allow`, `Connection`, `Content-Length`, `Encapsulated`, `Host`, `Keep-Alive`, `Preview`,
    /// `Proxy-Authorization`, `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding` and `Upgrade`.
    ReservedHeader,
    /// The name of a standard field of ICAP or HTTP, passed to a setting that says in which field the service reports a threat
    /// or a refusal.
    ProtocolHeader,
    /// An HTTP head that is not one complete HTTP/1.x head.
    HttpHead,
    /// An HTTP head by which the content is only a part of a file: status 206 or `Content-Range`.
    PartialContent,
    /// A method that does not scan.
    Method,
    /// A user or group with an empty name, a group name that would be read as two, or credentials that cannot be
    /// sent.
    User,
    /// An empty id of content.
    Id,
    /// Zero for a timeout, a deadline, `canary`, `suspend_after`, `max_connections` or a limit of the cache.
    Zero,
}

/// Writes what is wrong. The input or the reason follows it in the text of an [`InputError`].
impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uri => "not a usable ICAP URI",
            Self::Address => "not an address to connect to, such as av.example:1344",
            Self::HeaderName => "not a header name",
            Self::HeaderValue => {
                "the value of the header has a control character, or white space at an end"
            }
            Self::ReservedHeader => "this header is set by the crate and cannot be overridden",
            Self::ProtocolHeader => {
                "this header belongs to the protocol, so it reports neither a threat nor a refusal"
            }
            Self::HttpHead => "not a complete HTTP/1.x head",
            Self::PartialContent => {
                "the content is only a part of a file, so a verdict would not hold for the file"
            }
            Self::Method => "this method does not scan",
            Self::User => "not a usable user, group or password",
            Self::Id => "the id of the content is empty",
            Self::Zero => "this setting must be more than zero",
        })
    }
}
