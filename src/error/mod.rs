//! What can go wrong, by who is to blame.
//!
//! [`Error`] has one variant for each party that can have caused it. What exactly went wrong is a small
//! `Copy` enum inside ([`Phase`], [`TimeLimit`], [`Violation`], [`Limit`], [`InvalidInput`]), to match on.
//!
//! `Display` is one clause with the innermost cause in it, so the error alone is enough for a log line.
//! `source()` is always `None`: it would only repeat the text. [`Error::io_error`] returns the `io::Error`
//! that caused it.

mod cancelled;
mod cause;
mod connection;
mod content;
mod kinds;
mod name;
mod output;
mod repeat;
mod response;
mod suspended;
#[cfg(test)]
mod tests;
mod timeout;

use std::io;

pub use cancelled::CancelledError;
pub(crate) use cause::words_of;
pub use connection::{ConnectError, DisconnectedError};
pub use content::{ContentError, ContentFault};
pub use kinds::{ErrorKind, Phase, TimeLimit};
pub use output::OutputError;
pub(crate) use response::Asked;
pub use response::{ProtocolError, StatusError};
pub use suspended::SuspendedError;
pub(crate) use timeout::Silent;
pub use timeout::TimeoutError;

pub use crate::proto::input_error::{InputError, InvalidInput};
pub use crate::proto::violation::{Limit, Violation};

/// Why there is no [`Report`](crate::Report).
///
/// An error is never a verdict: the content is not known to be clean, and not known to be infected.
///
/// The variants say what happened. The predicates sort errors by what a caller can do:
///
/// | predicate | true for | what to do |
/// | --- | --- | --- |
/// | [`is_unavailable`](Self::is_unavailable) | `Connect`, `Timeout`, `Disconnected`, `Suspended`, `Status` of 5xx or with a failure of the service | alert the operator; ask another server |
/// | [`is_retryable`](Self::is_retryable) | `Connect`, `Timeout`, `Disconnected`, `Suspended`, `Status` 408, 500, 502, 503, 504 or 506 | scan again later |
/// | [`is_timeout`](Self::is_timeout) | `Timeout` | scan again later, or raise the limit that [`TimeoutError::limit`] names |
/// | [`is_protocol`](Self::is_protocol) | `Protocol` | check the address and the server; a retry most likely fails the same way |
/// | [`is_cancelled`](Self::is_cancelled) | `Cancelled` | nothing: this program called [`Cancel::cancel`](crate::Cancel::cancel) |
///
/// For `Content`, `Output` and `Input` every predicate is false: the caller's reader, writer or input is to blame. It is
/// so for some `Status` too, for example 404: check the URI and the service.
///
/// ```
/// use std::io::{self, ErrorKind};
/// use std::net::TcpListener;
///
/// use icap_client::{Content, Error, Scanner};
///
/// // Nothing listens on this port any more.
/// let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
/// let scanner = Scanner::new(format!("icap://127.0.0.1:{port}/virus_scan"))?;
///
/// let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
/// assert!(error.is_unavailable() && error.is_retryable());
/// assert!(!error.is_timeout() && !error.is_protocol());
/// assert!(error.to_string().ends_with("connection refused"));
/// assert_eq!(error.io_error().map(io::Error::kind), Some(ErrorKind::ConnectionRefused));
///
/// match error {
///     Error::Input(error) => println!("correct the setting: {error}"),
///     Error::Content(error) => println!("the file could not be read: {error}"),
///     error if error.is_cancelled() => println!("nothing to do: {error}"),
///     error if error.is_retryable() => println!("keep the file and scan it again later: {error}"),
///     error => println!("keep the file and call the operator: {error}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the server could be made.
    #[error("{0}")]
    Connect(ConnectError),
    /// Time ran out.
    #[error("{0}")]
    Timeout(TimeoutError),
    /// The connection was reset before the response was complete, or the server closed it before its response began. A
    /// reset after a complete 204, and a close in the middle of the response, is [`Protocol`](Self::Protocol).
    #[error("{0}")]
    Disconnected(DisconnectedError),
    /// The service responded with a status that is no verdict.
    #[error("{0}")]
    Status(StatusError),
    /// The peer's bytes are no ICAP response that can be trusted.
    #[error("{0}")]
    Protocol(ProtocolError),
    /// The caller's content could not be read, has another length than declared, or changed between two attempts.
    #[error("{0}")]
    Content(ContentError),
    /// The caller's writer for the response body failed.
    #[error("{0}")]
    Output(OutputError),
    /// The caller's input is not valid or not allowed. No content was sent.
    #[error("{0}")]
    Input(InputError),
    /// The server failed several times in a row, or was full, and is not asked for a while. Nothing was sent.
    #[error("{0}")]
    Suspended(SuspendedError),
    /// The caller cancelled the scan with [`Cancel`](crate::Cancel).
    #[error("{0}")]
    Cancelled(CancelledError),
}

impl Error {
    /// The variant, without the details.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(_) => ErrorKind::Connect,
            Self::Timeout(_) => ErrorKind::Timeout,
            Self::Disconnected(_) => ErrorKind::Disconnected,
            Self::Status(_) => ErrorKind::Status,
            Self::Protocol(_) => ErrorKind::Protocol,
            Self::Content(_) => ErrorKind::Content,
            Self::Output(_) => ErrorKind::Output,
            Self::Input(_) => ErrorKind::Input,
            Self::Suspended(_) => ErrorKind::Suspended,
            Self::Cancelled(_) => ErrorKind::Cancelled,
        }
    }

    /// Whether time ran out. [`TimeoutError::limit`] names the limit.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Whether the service could not be reached or could not serve: no connection, a connection that was reset or that the
    /// server closed before its response began, a timeout, a 5xx status, a status with a code for a failure of the service,
    /// or a suspension. Another server may do better. [`is_retryable`](Self::is_retryable) says whether the same server may do better later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout(_) | Self::Disconnected(_) | Self::Suspended(_) => {
                true
            }
            Self::Status(error) => error.code() >= 500 || error.failure.is_some(),
            _ => false,
        }
    }

    /// Whether the peer broke the protocol. A retry would most likely fail the same way.
    #[must_use]
    pub fn is_protocol(&self) -> bool {
        matches!(self, Self::Protocol(_))
    }

    /// Whether the caller cancelled the scan, see [`Content::cancel`](crate::Content::cancel). No server has failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// The ICAP status, where the service responded with one that is an error.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(error) => Some(error.code()),
            _ => None,
        }
    }

    /// What the operating system, the caller's reader or writer, or the connector reported, if that is the
    /// cause. [`io::Error::get_ref`] returns an error that a caller's reader or writer had wrapped.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Connect(error) => Some(error.io_error()),
            Self::Timeout(error) => error.io_error(),
            Self::Disconnected(error) => Some(error.io_error()),
            Self::Content(error) => error.io_error(),
            Self::Output(error) => Some(error.io_error()),
            Self::Status(_)
            | Self::Protocol(_)
            | Self::Input(_)
            | Self::Suspended(_)
            | Self::Cancelled(_) => None,
        }
    }

    /// Names `OPTIONS` as the request that failed.
    pub(crate) fn of_options(mut self) -> Self {
        match &mut self {
            Self::Timeout(error) => error.is_of_options = true,
            Self::Disconnected(error) => error.is_of_options = true,
            Self::Protocol(error) => error.is_of_options = true,
            Self::Cancelled(error) => error.is_of_options = true,
            Self::Status(error) if error.asked == Asked::Scan => error.asked = Asked::Options,
            _ => {}
        }
        self
    }

    /// The same error for another caller that waited for the same thing. Its `io::Error` keeps only kind and text.
    pub(crate) fn duplicate(&self) -> Self {
        match self {
            Self::Connect(e) => Self::Connect(ConnectError {
                service: e.service.clone(),
                source: cause::duplicate(&e.source),
                name: None,
                ..*e
            }),
            Self::Timeout(e) => Self::Timeout(TimeoutError {
                service: e.service.clone(),
                source: e.source.as_ref().map(cause::duplicate),
                name: None,
                ..*e
            }),
            Self::Disconnected(e) => Self::Disconnected(DisconnectedError {
                service: e.service.clone(),
                source: cause::duplicate(&e.source),
                name: None,
                ..*e
            }),
            Self::Status(e) => Self::Status(e.clone()),
            Self::Protocol(e) => Self::Protocol(e.clone()),
            Self::Input(e) => Self::Input(e.clone()),
            Self::Suspended(e) => Self::Suspended(e.clone()),
            Self::Cancelled(e) => Self::Cancelled(e.clone()),
            Self::Output(e) => Self::Output(OutputError::new(cause::duplicate(&e.source))),
            Self::Content(e) => Self::Content(e.duplicate()),
        }
    }
}

/// Converting a [`ServiceUri`](crate::ServiceUri) to itself cannot fail.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

macro_rules! variants {
    ($($error:ident => $variant:ident),+ $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )+};
}

variants! {
    ConnectError => Connect,
    TimeoutError => Timeout,
    DisconnectedError => Disconnected,
    StatusError => Status,
    SuspendedError => Suspended,
    CancelledError => Cancelled,
    ProtocolError => Protocol,
    ContentError => Content,
    OutputError => Output,
    InputError => Input,
}
