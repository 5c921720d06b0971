//! What exactly went wrong: small `Copy` enums, to match on and to count by.

use std::fmt;

/// The variants of [`Error`](crate::Error), to count by.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they are those of Error")]
pub enum ErrorKind {
    Connect,
    Timeout,
    Disconnected,
    Status,
    Protocol,
    Content,
    Output,
    Input,
    Suspended,
}

impl ErrorKind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Connect,
        Self::Timeout,
        Self::Disconnected,
        Self::Status,
        Self::Protocol,
        Self::Content,
        Self::Output,
        Self::Input,
        Self::Suspended,
    ];
}

/// One lower-case word, for example as a label.
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Status => "status",
            Self::Protocol => "protocol",
            Self::Content => "content",
            Self::Output => "output",
            Self::Input => "input",
            Self::Suspended => "suspended",
        })
    }
}

/// What was under way when time ran out.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting in line, because as many connections are in use as may be.
    Checkout,
    /// Resolving the name and connecting.
    Connect,
    /// Sending the request; the server took no more bytes, and sent none.
    Write,
    /// Waiting for the response, or for more of it.
    Read,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkout => "waiting for a free connection to",
            Self::Connect => "connecting to",
            Self::Write => "sending the request to",
            Self::Read => "waiting for the response of",
        })
    }
}

/// Which of the configured times ran out.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeLimit {
    /// `wait_timeout`: for a connection, while the server has as many as it may have.
    WaitTimeout,
    /// `connect_timeout`: all addresses together.
    ConnectTimeout,
    /// `write_timeout`: no progress in either direction while sending.
    WriteTimeout,
    /// `read_timeout`: nothing arrived while waiting for the response, or `OPTIONS` took as long as that.
    ReadTimeout,
    /// `response_timeout`: from the last byte sent to the end of the response's ICAP head.
    ResponseTimeout,
    /// Less than 1 KiB/s moved while the read timeout passed.
    MinimumRate,
    /// `deadline`: the whole exchange.
    Deadline,
    /// What one server may take of the deadline if another one can be asked after it.
    DeadlineShare,
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WaitTimeout => "wait timeout",
            Self::ConnectTimeout => "connect timeout",
            Self::WriteTimeout => "write timeout",
            Self::ReadTimeout => "read timeout",
            Self::ResponseTimeout => "response timeout",
            Self::MinimumRate => "less than 1 KiB/s over a read timeout",
            Self::Deadline => "deadline",
            Self::DeadlineShare => "share of the deadline",
        })
    }
}
