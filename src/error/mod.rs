//! What can go wrong, by who is to blame.
//!
//! [`Error`] has one variant for each party that can have caused it; what exactly went wrong is a
//! small `Copy` enum inside ([`Phase`], [`Violation`], [`Limit`], [`InvalidInput`]), to match on.
//! `Display` is one clause, and `source()` carries the rest: print the chain to see everything.

mod kinds;
mod repeat;

use std::fmt;
use std::io;
use std::time::Duration;

pub use kinds::{ErrorKind, Phase, TimeLimit};

pub use crate::proto::input_error::{InputError, InvalidInput};
pub use crate::proto::violation::{Limit, Violation};

/// Why there is no [`Report`](crate::Report).
///
/// An error is never a verdict: the content is not known to be clean, and not known to be infected.
/// The predicates ([`is_timeout`](Error::is_timeout), [`is_unavailable`](Error::is_unavailable), …)
/// sort errors by what a caller can do about them.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the server could be made.
    #[error(transparent)]
    Connect(Box<ConnectError>),
    /// The server did not do its part in time.
    #[error(transparent)]
    Timeout(Box<TimeoutError>),
    /// The connection broke before the response was complete.
    #[error(transparent)]
    Disconnected(Box<DisconnectedError>),
    /// The service answered with a status that is no verdict.
    #[error(transparent)]
    Status(Box<StatusError>),
    /// The peer's bytes are not an ICAP response that can be trusted.
    #[error(transparent)]
    Protocol(Box<ProtocolError>),
    /// The caller's content could not be read, or is not as long as declared.
    #[error(transparent)]
    Content(Box<ContentError>),
    /// The caller's writer, to which the response's body goes, failed.
    #[error("cannot write the response's body to where the caller wants it")]
    Output(#[source] io::Error),
    /// The caller asked for something that cannot be sent.
    #[error(transparent)]
    Input(Box<InputError>),
    /// The server failed too often and is left alone for a while; nothing was sent.
    #[error(transparent)]
    Suspended(Box<SuspendedError>),
}

impl Error {
    /// Who is to blame, without the details.
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
        }
    }

    /// The same error once more, for others who waited for the same thing. What the system said is
    /// kept as text.
    pub(crate) fn repeat(&self) -> Self {
        let again = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
        match self {
            Self::Connect(e) => ConnectError {
                service: e.service.clone(),
                source: again(&e.source),
                ..**e
            }
            .into(),
            Self::Timeout(e) => TimeoutError {
                service: e.service.clone(),
                source: e.source.as_ref().map(again),
                ..**e
            }
            .into(),
            Self::Disconnected(e) => DisconnectedError {
                service: e.service.clone(),
                source: again(&e.source),
                ..**e
            }
            .into(),
            Self::Status(e) => StatusError::clone(e).into(),
            Self::Protocol(e) => ProtocolError::clone(e).into(),
            Self::Input(e) => InputError::clone(e).into(),
            Self::Suspended(e) => SuspendedError::clone(e).into(),
            Self::Output(e) => Self::Output(again(e)),
            Self::Content(e) => match &**e {
                ContentError::Read { after, source } => ContentError::Read {
                    after: *after,
                    source: again(source),
                },
                ContentError::NotRewound { length } => ContentError::NotRewound { length: *length },
                ContentError::TooShort { declared, actual } => ContentError::TooShort {
                    declared: *declared,
                    actual: *actual,
                },
                ContentError::TooLong { declared } => ContentError::TooLong {
                    declared: *declared,
                },
            }
            .into(),
        }
    }

    /// The error with all its causes, in one line.
    pub(crate) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// Whether time ran out; which time, the [`TimeoutError`] tells.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// Whether the service could not be reached or could not serve: no connection, a broken one, a
    /// timeout, a 5xx status, a status with a code for a failure of its own, or a suspension. Another server, or the same one later, may do better.
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

    /// Whether the peer broke the protocol; a retry would most likely see the same.
    #[must_use]
    pub fn is_protocol(&self) -> bool {
        matches!(self, Self::Protocol(_))
    }

    /// The ICAP status, where the service answered with one that is an error.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(error) => Some(error.code()),
            _ => None,
        }
    }
}

/// No connection could be made; [`source`](std::error::Error::source) names each address and its fault.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {service}")]
pub struct ConnectError {
    pub(crate) service: String,
    /// And not of a shortage on this machine (rule R10).
    pub(crate) is_the_servers: bool,
    #[source]
    pub(crate) source: io::Error,
}

/// Time ran out.
#[derive(Debug, thiserror::Error)]
#[error(
    "timed out {} {service} ({limit} of {} ms){}{}",
    Doing(*.phase, *.is_of_options),
    .after.as_millis(),
    Silence(*.silence),
    Crowded(*.is_crowded)
)]
pub struct TimeoutError {
    pub(crate) service: String,
    pub(crate) phase: Phase,
    pub(crate) limit: TimeLimit,
    pub(crate) after: Duration,
    /// The server took the time, and not the caller, a line of other callers, or another server before
    /// (rule R10).
    pub(crate) is_the_servers: bool,
    /// Where a response to content is waited for.
    pub(crate) silence: Option<Silent>,
    /// The server has never answered on this connection, but did on others meanwhile.
    pub(crate) is_crowded: bool,
    /// It was asked what it offers, and not to scan.
    pub(crate) is_of_options: bool,
    #[source]
    pub(crate) source: Option<io::Error>,
}

/// Shows what was under way, and that it was not a scan.
struct Doing(Phase, bool);

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Phase::Read, true) => f.write_str("waiting for the response to OPTIONS of"),
            Self(phase, _) => phase.fmt(f),
        }
    }
}

/// A service that has content and says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Bytes of content that were sent.
    pub(crate) sent: u64,
    /// How long no byte has moved.
    pub(crate) time: Duration,
}

/// Shows what a service had when it said nothing, and which settings give it more time.
struct Silence(Option<Silent>);

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Silent { sent, time }) = self.0 else {
            return Ok(());
        };
        let time = time.as_millis();
        write!(
            f,
            ": {sent} bytes of content were sent, and the service was silent for {time} ms; \
             response_timeout and Content::deadline give it more time"
        )
    }
}

/// Shows that the server may have no thread for a connection.
struct Crowded(bool);

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0 {
            return Ok(());
        }
        f.write_str(
            "; it never answered on this connection, but did on others meanwhile: \
             set max_connections to what it can serve at once",
        )
    }
}

impl TimeoutError {
    /// What was under way.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Which limit ran out.
    #[must_use]
    pub fn limit(&self) -> TimeLimit {
        self.limit
    }

    /// How long the limit was.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.after
    }

    /// Bytes of content that had been sent, where the response to content was waited for.
    #[must_use]
    pub fn content_sent(&self) -> Option<u64> {
        self.silence.map(|silence| silence.sent)
    }

    /// How long the service had been silent, where the response to content was waited for.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        self.silence.map(|silence| silence.time)
    }
}

/// The connection broke before the response was complete.
#[derive(Debug, thiserror::Error)]
#[error("lost the connection while {phase} {service}{}", Paused(*.paused))]
pub struct DisconnectedError {
    pub(crate) service: String,
    pub(crate) phase: Phase,
    /// How long the caller's reader or writer had kept the server waiting, if that may be why.
    pub(crate) paused: Option<Duration>,
    /// The server broke it, and not a shortage on this machine or the caller's pause (rule R10).
    pub(crate) is_the_servers: bool,
    #[source]
    pub(crate) source: io::Error,
}

/// Shows why a server may have lost its patience.
struct Paused(Option<Duration>);

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(time) => write!(
                f,
                ", after the caller's reader or writer had paused for {} ms",
                time.as_millis()
            ),
        }
    }
}

impl DisconnectedError {
    /// What was under way.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }
}

/// The server failed too often and is left alone for a while, see
/// [`ScannerBuilder::suspend_after`](crate::ScannerBuilder::suspend_after).
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{service} is suspended, failing for {} ms, next try in {} ms, last failure: {why}",
    .failing_for.as_millis(),
    .retry_in.as_millis()
)]
pub struct SuspendedError {
    pub(crate) service: String,
    pub(crate) failing_for: Duration,
    pub(crate) retry_in: Duration,
    pub(crate) why: String,
}

impl SuspendedError {
    /// How long ago the suspension began. Failed trials since then are part of it.
    #[must_use]
    pub fn failing_for(&self) -> Duration {
        self.failing_for
    }

    /// How long until a scan may try the server again. A program that can wait, waits for that.
    #[must_use]
    pub fn retry_in(&self) -> Duration {
        self.retry_in
    }

    /// Its last failure, with the innermost cause.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// The service answered with a status that is no verdict, for example `404 Service not found`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service} responded with {code}{}", Words(.reason, .failure))]
pub struct StatusError {
    pub(crate) service: String,
    pub(crate) code: u16,
    pub(crate) reason: String,
    /// The service's code for a failure of its own.
    pub(crate) failure: Option<String>,
    /// It was a 503 while others had connections: there may be room for this one later.
    pub(crate) has_room_later: bool,
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

    /// What the service says failed (`X-Error-Code`, for example `antivirus_license_expired`), safe to show;
    /// `None` if it does not say.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// What a service says besides the status.
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

/// The peer broke the protocol.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service} sent a response that cannot be trusted: {violation}{}", Seen(.seen))]
pub struct ProtocolError {
    pub(crate) service: String,
    pub(crate) violation: Violation,
    /// What stood there, safe to show; empty if nothing did.
    pub(crate) seen: String,
    /// The caller's reader or writer had kept the server waiting, which may be why it broke off.
    pub(crate) is_after_pause: bool,
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

/// Shows the bytes at fault, and says what they are where that is known.
struct Seen<'a>(&'a str);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A TLS record: type 21 (alert) or 22 (handshake), then the major version.
        let is_tls = ["\\u{15}\\u{3}", "\\u{16}\\u{3}"]
            .iter()
            .any(|t| self.0.starts_with(t));
        match self.0 {
            "" => Ok(()),
            seen if is_tls => write!(f, ", saw \"{seen}\" (this looks like TLS)"),
            seen => write!(f, ", saw \"{seen}\""),
        }
    }
}

/// The caller's content is to blame.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// Reading the content failed.
    #[error("cannot read the content, after {after} bytes")]
    Read {
        /// Bytes that were read before.
        after: u64,
        /// What the reader said.
        source: io::Error,
    },
    /// A seekable reader stands at the end of something that is not empty, so nothing would be scanned.
    #[error(
        "the content's reader is at the end of its {length} bytes: rewind it (seek to 0) before the scan"
    )]
    NotRewound {
        /// The bytes from its beginning to its end.
        length: u64,
    },
    /// The content ended before the length that was declared.
    #[error("the content ended after {actual} bytes, {declared} were declared")]
    TooShort {
        /// The length that was declared.
        declared: u64,
        /// The bytes that came.
        actual: u64,
    },
    /// The content goes on after the length that was declared.
    #[error("the content goes on after the {declared} bytes that were declared")]
    TooLong {
        /// The length that was declared.
        declared: u64,
    },
}

/// What becomes a [`ServiceUri`](crate::ServiceUri) without a check cannot fail.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

macro_rules! boxed {
    ($($error:ident => $variant:ident),+ $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$variant(Box::new(error))
            }
        }
    )+};
}

boxed! {
    ConnectError => Connect,
    TimeoutError => Timeout,
    DisconnectedError => Disconnected,
    StatusError => Status,
    SuspendedError => Suspended,
    ProtocolError => Protocol,
    ContentError => Content,
    InputError => Input,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_no_larger_than_two_words() {
        assert!(size_of::<Error>() <= 2 * size_of::<usize>());
    }

    #[test]
    fn errors_name_the_server_the_phase_and_the_time() {
        let error = Error::from(TimeoutError {
            service: "icap://av.example/scan".into(),
            phase: Phase::Read,
            limit: TimeLimit::ReadTimeout,
            after: Duration::from_secs(10),
            is_the_servers: true,
            silence: None,
            is_crowded: false,
            is_of_options: false,
            source: None,
        });
        assert_eq!(
            error.to_string(),
            "timed out waiting for the response of icap://av.example/scan (read timeout of 10000 ms)"
        );
        assert!(error.is_timeout() && error.is_unavailable() && error.is_retryable());
    }

    #[test]
    fn a_tls_port_is_recognised() {
        let error = ProtocolError {
            service: "icap://av.example/scan".into(),
            violation: Violation::BadStatusLine,
            seen: crate::proto::text::displayable(b"\x15\x03\x01\x00"),
            is_after_pause: false,
        };
        assert!(
            error.to_string().ends_with("(this looks like TLS)"),
            "{error}"
        );
    }

    #[test]
    fn the_predicates_follow_the_status() {
        let status = |code| {
            Error::from(StatusError {
                service: "icap://av.example/scan".into(),
                code,
                reason: String::new(),
                failure: None,
                has_room_later: false,
            })
        };
        assert_eq!(
            status(404).to_string(),
            "icap://av.example/scan responded with 404"
        );
        for (code, unavailable, retryable) in [
            (404, false, false),
            (408, false, true),
            (500, true, true),
            (501, true, false),
            (503, true, true),
            (558, true, false),
        ] {
            let error = status(code);
            assert_eq!(error.is_unavailable(), unavailable, "{code}");
            assert_eq!(error.is_retryable(), retryable, "{code}");
            assert_eq!(error.status(), Some(code));
        }
    }
}
