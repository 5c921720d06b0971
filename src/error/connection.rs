//! Connections that could not be made, or broke.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Phase;
use super::cause::words_of;
use super::timeout::Doing;
use crate::proto::content_name::ContentName;

/// No connection to the server could be made: its name has no address, no address accepted the connection, or the
/// TLS handshake failed. A connection that took too long is a [`TimeoutError`](super::TimeoutError).
#[derive(Debug)]
pub struct ConnectError {
    pub(crate) service: String,
    /// The server refused it; this machine lacks nothing for it (rule R10).
    pub(crate) is_the_servers: bool,
    pub(crate) source: io::Error,
    pub(crate) name: Option<Box<ContentName>>,
}

impl ConnectError {
    /// What the [connector](crate::Connect) reported. For several addresses its text has the cause of each.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service, source, ..
        } = self;
        write!(f, "cannot connect to {service}: {}", words_of(source))
    }
}

impl std::error::Error for ConnectError {}

/// The connection was reset before the response was complete, or the server closed it before its response began. A reset
/// after a complete 204, and a close in the middle of the response, is a [`ProtocolError`](super::ProtocolError).
#[derive(Debug)]
pub struct DisconnectedError {
    pub(crate) service: String,
    pub(crate) phase: Phase,
    /// How long the caller's reader or writer had kept the server waiting, if that may be the reason.
    pub(crate) paused: Option<Duration>,
    /// The server broke it; neither a shortage on this machine nor a pause of the caller did (rule R10).
    pub(crate) is_the_servers: bool,
    pub(crate) is_of_options: bool,
    pub(crate) source: io::Error,
    pub(crate) name: Option<Box<ContentName>>,
}

impl DisconnectedError {
    /// What was under way.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What the [stream](crate::Stream) reported.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for DisconnectedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = Doing {
            phase: self.phase,
            is_of_options: self.is_of_options,
        };
        write!(f, "lost the connection while {doing} {}", self.service)?;
        if let Some(paused) = self.paused {
            let ms = paused.as_millis();
            write!(
                f,
                ", after the caller's reader or writer had paused for {ms} ms"
            )?;
        }
        write!(f, ": {}", words_of(&self.source))
    }
}

impl std::error::Error for DisconnectedError {}
