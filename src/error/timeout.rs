//! Time that ran out.

use std::fmt;
use std::io;
use std::time::Duration;

use super::cause::words_of;
use super::{Phase, TimeLimit};
use crate::proto::content_name::ContentName;

/// Time ran out.
#[derive(Debug)]
pub struct TimeoutError {
    pub(crate) service: String,
    pub(crate) phase: Phase,
    pub(crate) limit: TimeLimit,
    pub(crate) after: Duration,
    /// The server took the time; neither the caller, nor other callers that waited for a connection, nor an
    /// earlier server did (rule R10).
    pub(crate) is_the_servers: bool,
    /// Where a response to content is waited for.
    pub(crate) silence: Option<Silent>,
    /// The server has never responded on this connection, but did on others meanwhile.
    pub(crate) is_crowded: bool,
    pub(crate) is_of_options: bool,
    pub(crate) source: Option<io::Error>,
    pub(crate) name: Option<Box<ContentName>>,
}

/// A service that has content and sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent {
    /// Bytes of content that were sent.
    pub(crate) sent: u64,
    /// How long no byte has moved.
    pub(crate) time: Duration,
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

    /// Bytes of content that had been sent, if time ran out in the wait for the ICAP head of the response to RESPMOD or
    /// REQMOD. `None` for `OPTIONS` and for every other wait.
    #[must_use]
    pub fn content_sent(&self) -> Option<u64> {
        self.silence.map(|silence| silence.sent)
    }

    /// How long the service had been silent, if time ran out in the wait for the ICAP head of the response to RESPMOD
    /// or REQMOD. `None` for `OPTIONS` and for every other wait.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        self.silence.map(|silence| silence.time)
    }

    /// What the [connector](crate::Connect) reported, if time ran out in it.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = Doing {
            phase: self.phase,
            is_of_options: self.is_of_options,
        };
        let (service, limit, ms) = (&self.service, self.limit, self.after.as_millis());
        write!(f, "timed out {doing} {service} ({limit} of {ms} ms)")?;
        if let Some(source) = &self.source {
            write!(f, ": {}", words_of(source))?;
        }
        if let Some(Silent { sent, time }) = self.silence {
            let ms = time.as_millis();
            write!(
                f,
                ": {sent} bytes of content were sent, and the service was silent for {ms} ms; \
                 response_timeout and Content::deadline give it more time"
            )?;
        }
        if self.is_crowded {
            f.write_str(
                "; it never responded on this connection, but did on others meanwhile: \
                 set max_connections to what it can serve at once",
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for TimeoutError {}

/// Shows what was under way, and whether it was `OPTIONS`.
pub(super) struct Doing {
    pub(super) phase: Phase,
    pub(super) is_of_options: bool,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Write if self.is_of_options => f.write_str("sending OPTIONS to"),
            Phase::Read if self.is_of_options => {
                f.write_str("waiting for the response to OPTIONS of")
            }
            phase => phase.fmt(f),
        }
    }
}
