//! What exactly went wrong: small `Copy` enums, to match on and to count by.

use std::fmt;

/// Makes the enum and all that goes over its variants from one list, so that none can be forgotten.
macro_rules! error_kinds {
    ($($kind:ident $word:literal)+) => {
        /// The variants of [`Error`](super::Error) without their details, to count by.
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorKind {
            $(
                #[doc = concat!("See [`Error::", stringify!($kind), "`](crate::Error::", stringify!($kind), ").")]
                $kind
            ),+
        }

        impl ErrorKind {
            pub(crate) const ALL: [Self; [$($word),+].len()] = [$(Self::$kind),+];

            /// One lower-case word that does not change between versions, for example as a label of a metric.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word),+
                }
            }
        }
    };
}

error_kinds! {
    Connect "connect"
    Timeout "timeout"
    Disconnected "disconnected"
    Status "status"
    Protocol "protocol"
    Content "content"
    Output "output"
    Input "input"
    Suspended "suspended"
    Cancelled "cancelled"
}

/// Writes [`as_str`](ErrorKind::as_str).
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The phase of an exchange in which it failed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting for a free connection, because there are as many as
    /// [`max_connections`](crate::ScannerBuilder::max_connections) or the server allows.
    Checkout,
    /// Resolving the name and connecting, the TLS handshake included.
    Connect,
    /// Sending the request.
    Write,
    /// Waiting for the head of the response, or reading its rest. Each has a timeout of its own;
    /// [`TimeoutError::limit`](super::TimeoutError::limit) says which one ran out.
    Read,
}

/// Writes what was under way, with the preposition that the name of the service follows.
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

/// The time limit that ran out.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeLimit {
    /// `wait_timeout`: the wait for a free connection. There were as many connections as
    /// [`max_connections`](crate::ScannerBuilder::max_connections), the service's `Max-Connections` or its 503
    /// responses allow.
    WaitTimeout,
    /// `connect_timeout`: the look-up of the name and all its addresses together.
    ConnectTimeout,
    /// `write_timeout`: no byte moved in either direction while the request was sent.
    WriteTimeout,
    /// `read_timeout`: no byte arrived for this long after the ICAP head of the response. A whole
    /// `OPTIONS` exchange must end within it too.
    ReadTimeout,
    /// `response_timeout`: from the last byte sent to the end of the response's ICAP head.
    ResponseTimeout,
    /// Less than 1 KiB/s moved over one read timeout.
    MinimumRate,
    /// `deadline`: the whole scan, or the whole exchange of a [`Client`](crate::Client).
    Deadline,
    /// The part of the deadline that one server gets if another one can follow. For the next server, a quarter of the time
    /// that is left is kept, or one read timeout if that is shorter.
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
