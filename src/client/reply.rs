//! A complete response with its connection, and what becomes of the connection.

use super::Client;
use super::call::Call;
use super::exchange::REFUSAL;
use super::outcome::{Answer, Failure};
use crate::error::{Asked, Error, Phase, StatusError, Violation};
use crate::net::checkout::{Place, PooledConnection};
use crate::stats::close_reason::CloseReason;

/// A connection for one exchange.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: PooledConnection,
    /// It was used before, and then nobody used it until this caller came.
    pub(crate) lay_idle: bool,
}

impl Lease {
    /// A connection that is idle and proves it, or a new one.
    pub(crate) fn take(client: &Client, is_fresh: bool, call: &Call<'_>) -> Result<Self, Error> {
        let wait = call.wait_in_line(client.shared.timeouts.wait());
        let Some(place) = client.shared.pool.acquire(is_fresh, &wait) else {
            return Err(client.timed_out(Phase::Checkout, &call.deadline));
        };
        let lay_idle = place.last_user().is_some_and(|user| !call.had_place(user));
        call.has_place(place.number());
        // While this one waited in line, others may have found out that the server is gone.
        if let Some(rejection) = call.overtaken() {
            place.give_back();
            return Err(client.suspended(rejection));
        }
        let connection = place.connect(&call.deadline)?;
        Ok(Self {
            lay_idle: lay_idle && connection.is_reused(),
            connection,
        })
    }

    /// A new connection in the place of one that turned out to be gone.
    pub(crate) fn again(client: &Client, mut place: Place, call: &Call<'_>) -> Result<Self, Error> {
        call.is_served();
        place.begin_again();
        if let Some(rejection) = call.overtaken() {
            return Err(client.suspended(rejection));
        }
        Ok(Self {
            connection: place.connect(&call.deadline)?,
            lay_idle: false,
        })
    }

    /// The exchange failed: closes the connection. Returns the failure; if the server has no room for the
    /// connection, that is what it says then.
    pub(crate) fn abandon(self, client: &Client, mut failure: Box<Failure>) -> Box<Failure> {
        let Self { connection, .. } = self;
        if is_crowded(&failure.error) {
            connection.discard_as_surplus();
        } else if !connection.is_reused() && is_503_unasked(&failure.error) {
            let error = StatusError {
                service: client.name().to_owned(),
                code: 503,
                reason: String::new(),
                failure: None,
                has_room_later: connection.discard_as_surplus(),
                asked: Asked::Nothing,
            };
            failure.error = error.into();
        } else if failure.is_stale() {
            failure.place = Some(connection.into_place());
        }
        failure
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

/// A complete response, and the connection it came on, which is closed unless it is settled.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) connection: PooledConnection,
}

impl Reply {
    /// The response makes sense: gives the connection back if the exchange left it clean.
    pub(crate) fn settle(self) -> Answer {
        let Self { answer, connection } = self;
        if answer.is_success() {
            connection.succeeded();
        }
        match answer.close_reason {
            _ if answer.response.status() == 503 => {
                connection.discard_as_surplus();
            }
            None => connection.release(),
            Some(reason) => connection.discard(reason),
        }
        answer
    }

    /// The response is of no use: closes its connection. Returns the error; that of a 503 says whether
    /// other callers had connections (RFC 3507 §4.3.3).
    pub(crate) fn reject(self, mut error: Error) -> Error {
        if let Error::Status(error) = &mut error {
            error.has_room_later = error.code == 503 && self.connection.discard_as_surplus();
        }
        error
    }

    /// Closes the connection, whatever state the exchange left it in.
    pub(crate) fn close(self, reason: CloseReason) {
        self.connection.discard(reason);
    }
}
