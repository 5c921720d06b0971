//! What is wrong with a caller's input.

use std::fmt;

use super::text::displayable;

/// The caller asked for something that cannot be sent.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {what}")]
pub struct InputError {
    kind: InvalidInput,
    what: String,
}

impl InputError {
    /// `what` is what was refused, or why; it is made safe to show.
    pub(crate) fn new(kind: InvalidInput, what: &str) -> Self {
        let what = displayable(what.as_bytes());
        Self { kind, what }
    }

    /// What kind of input was refused.
    #[must_use]
    pub fn kind(&self) -> InvalidInput {
        self.kind
    }
}

/// What kind of input was refused.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidInput {
    /// Not an ICAP URI this crate can use.
    Uri,
    /// A header name that is no token.
    HeaderName,
    /// A header value with control characters, or with white space around it.
    HeaderValue,
    /// A header that frames the message.
    ReservedHeader,
    /// An HTTP head that is not one complete HTTP/1.x head.
    HttpHead,
    /// An HTTP head that says that the content is a part of a file: status 206 or `Content-Range`.
    PartialContent,
    /// A method that scans nothing.
    Method,
    /// A user or group without a name, a group that would be read as two, or credentials that cannot be
    /// sent.
    User,
    /// A timeout, or another limit, of zero.
    Zero,
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uri => "not a usable ICAP URI",
            Self::HeaderName => "not a header name",
            Self::HeaderValue => {
                "a control character, or white space around it, in the value of header"
            }
            Self::ReservedHeader => "this crate alone writes the header",
            Self::HttpHead => "not a complete HTTP/1.x head",
            Self::PartialContent => "a verdict on a part of a file is none on the file",
            Self::Method => "this method scans nothing",
            Self::User => "not a usable user, group or password",
            Self::Zero => "this setting must be more than zero",
        })
    }
}
