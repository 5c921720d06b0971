//! How an exchange ends without a response: when a wait is over, and who is to blame (rule R10).

use std::io;
use std::time::{Duration, Instant};

use super::waiting::Wait;
use super::{Exchange, REFUSAL, WRITE_SLICE};
use crate::client::outcome::Failure;
use crate::error::{
    Asked, DisconnectedError, Error, Phase, ProtocolError, Silent, StatusError, TimeLimit,
    TimeoutError, Violation,
};
use crate::net::deadline::RanOut;
use crate::net::pool::grace;
use crate::net::shortage::is_shortage;
use crate::proto::text::excerpt;
use crate::stats::CloseReason;

/// Bytes that this machine may send before it notices that a connection is gone. A server that took more has used
/// the connection.
const MUCH: u64 = 256 * 1024;

impl Exchange<'_, '_> {
    /// Closes the connection, and keeps what the error and the response say.
    pub(in crate::client) fn fail(self, mut error: Error) -> Box<Failure> {
        let is_early =
            self.progress.final_early || (self.reader.has_begun_final() && self.arrived_early());
        let has_response = self.reader.has_begun();
        let connection = self.connection;
        let is_reused = connection.is_reused();
        let mut place = None;
        if error.is_cancelled() {
            connection.discard(CloseReason::Cancelled);
        } else if is_crowded(&error) {
            connection.discard_as_surplus();
        } else if !is_reused && is_503_unasked(&error) {
            let refused = StatusError {
                service: self.service.to_owned(),
                code: 503,
                reason: String::new(),
                failure: None,
                has_room_later: connection.discard_as_surplus(),
                asked: Asked::Nothing,
                name: None,
            };
            error = refused.into();
        } else if error.allows_resend(is_reused, has_response) {
            place = Some(connection.into_place());
        }
        Box::new(Failure {
            error,
            remains: self.reader.into_remains(),
            content_sent: self.progress.content_sent,
            is_early,
            is_reused: Some(is_reused),
            place,
        })
    }

    /// The result of the exchange; an error if the caller has cancelled the scan meanwhile. What came of a response
    /// is kept, because it may be evidence.
    pub(super) fn unless_cancelled<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        let phase = match self.progress.due_at {
            None => Phase::Write,
            Some(_) => Phase::Read,
        };
        self.deadline.check_cancelled(self.service, phase)?;
        result
    }

    /// How long the present wait may still take.
    pub(super) fn left(&mut self, phase: Phase) -> Result<Duration, Error> {
        self.deadline.check_cancelled(self.service, phase)?;
        let now = self.now;
        let left = match (self.deadline.ran_out_at(now), self.waiting.left(now)) {
            (Some(ran_out), _) | (None, Err(ran_out)) => {
                return Err(self.timed_out(phase, ran_out).into());
            }
            (None, Ok(left)) if self.is_unanswered() => left.min(self.want_room(now)),
            (None, Ok(left)) => left,
        };
        // If the scan is cancelled just now, this waits one moment longer.
        Ok(self.deadline.cap_at(now, left).unwrap_or(WRITE_SLICE.0))
    }

    /// Whether nothing has ever come on this connection, so that the server may not know of it yet.
    pub(super) fn is_unanswered(&self) -> bool {
        self.progress.begun && !self.is_reused() && !self.reader.has_begun()
    }

    /// Closes an idle connection to make room if the server is silent for long. Returns when to do so next.
    pub(super) fn want_room(&mut self, now: Instant) -> Duration {
        let grace = grace(self.timeouts.response());
        let quiet = self.waiting.quiet_for(now);
        if quiet < grace {
            self.rooms_wanted = 0;
        } else if quiet >= grace * (self.rooms_wanted + 1) {
            self.rooms_wanted += 1;
            self.connection.permit().wants_room();
        }
        let next = grace * (self.rooms_wanted + 1);
        next.saturating_sub(quiet).max(Duration::from_millis(1))
    }

    pub(super) fn timed_out(&self, phase: Phase, ran_out: RanOut) -> TimeoutError {
        let now = self.now;
        let is_deadline = matches!(
            ran_out.limit,
            TimeLimit::Deadline | TimeLimit::DeadlineShare
        );
        let sent = self.progress.content_sent;
        let is_silent = self.waiting.wait() == Wait::Head && sent > 0;
        let is_long = !is_deadline || self.waiting.is_the_servers(now);
        let is_crowded =
            is_long && self.is_unanswered() && self.connection.permit().others_have_responses();
        TimeoutError {
            is_the_servers: is_long && !is_crowded,
            is_crowded,
            silence: is_silent.then(|| Silent {
                sent,
                time: self.waiting.quiet_for(now),
            }),
            ..ran_out.error(self.service, phase)
        }
    }

    pub(super) fn disconnected(&self, phase: Phase, source: io::Error) -> Error {
        let paused = self.waiting.long_pause();
        // A server may close an idle connection at any time, also while a request is on its way to it.
        let was_idle =
            self.connection.lay_idle() && !self.reader.has_begun() && self.waiting.bytes() < MUCH;
        DisconnectedError {
            service: self.service.to_owned(),
            phase,
            paused,
            is_the_servers: paused.is_none() && !was_idle && is_the_servers(&source),
            is_of_options: false,
            source,
            name: None,
        }
        .into()
    }

    /// Shows what is wrong in a head, or the beginning of bytes that are no response. What is wrong in a body is
    /// not shown: it may be the content.
    pub(super) fn violation(&self, violation: Violation) -> Error {
        let seen = match (self.reader.seen(), violation) {
            (Some(line), _) => line.to_owned(),
            (None, Violation::Unsolicited | Violation::TrailingBytes) => {
                excerpt(self.connection.unread())
            }
            (None, _) => String::new(),
        };
        ProtocolError {
            service: self.service.to_owned(),
            violation,
            seen,
            is_after_pause: self.waiting.long_pause().is_some(),
            is_of_options: false,
            name: None,
        }
        .into()
    }
}

/// The server responded on other connections and never on this one.
fn is_crowded(error: &Error) -> bool {
    matches!(error, Error::Timeout(error) if error.is_crowded)
}

/// The server sent 503 before it was asked anything: it responds to the connection and not the request.
fn is_503_unasked(error: &Error) -> bool {
    match error {
        Error::Protocol(error) => {
            error.violation() == Violation::Unsolicited && error.seen().starts_with(REFUSAL)
        }
        _ => false,
    }
}

/// Whether the server caused it: not a shortage on this machine, and not something that a server may ask for and
/// this client does not support.
fn is_the_servers(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::Unsupported && !is_shortage(error)
}

pub(super) fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed it without a response",
    )
}
