//! A connection for one exchange: where it comes from, and what becomes of it afterwards.
//!
//! A lease is dirty until it is settled: whatever else happens to it, an error, a panic of the
//! caller's reader, an early drop, closes the connection.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Client;
use super::call::Call;
use super::exchange::{REFUSAL, grace};
use super::outcome::{Answer, Failure, timeout_error};
use crate::error::{ConnectError, Error, Phase, StatusError, TimeLimit, TimeoutError, Violation};
use crate::net::connection::{CloseReason, Connection};
use crate::net::deadline::{Deadline, RanOut};
use crate::net::pool::{Idle, Permit};
use crate::net::shortage::is_shortage;
use crate::net::transport::Readiness;
use crate::stats::count;

/// A connection for one exchange. Its fields are dropped in their order: the connection is closed
/// before its place is free.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    pub(crate) permit: Permit,
    /// Another exchange had it before.
    pub(crate) is_reused: bool,
    /// And then nobody used it until this caller came.
    pub(crate) lay_idle: bool,
}

impl Lease {
    /// A connection that is idle and proves it, or a new one.
    pub(crate) fn take(client: &Client, fresh: bool, call: &Call<'_>) -> Result<Self, Error> {
        let shared = &client.shared;
        let Some((permit, idle)) = shared.pool.acquire(fresh, || client.wait_in_line(call)) else {
            return Err(client.timed_out(Phase::Checkout, &call.deadline));
        };
        let lay_idle = idle
            .as_ref()
            .is_some_and(|idle| !call.had_place(idle.last_place));
        call.has_place(permit.number());
        // While this one waited in line, others may have found out that the server is gone.
        if let Some(rejection) = call.overtaken() {
            if let Some(idle) = idle {
                permit.check_in(idle.connection, idle.since);
            }
            return Err(client.suspended(rejection));
        }
        if let Some(Idle {
            mut connection,
            since,
            ..
        }) = idle
        {
            let age = shared.clock.now().saturating_duration_since(since);
            match why_not(&mut connection, age, fresh, shared.pool.idle_timeout()) {
                None => {
                    connection.wake();
                    count(&shared.counters.reused);
                    return Ok(Self {
                        connection,
                        permit,
                        is_reused: true,
                        lay_idle,
                    });
                }
                Some(reason) => connection.close(reason),
            }
        }
        Self::connect(client, permit, call)
    }

    /// A new connection in the place of one that turned out to be gone.
    pub(crate) fn keep(
        client: &Client,
        mut permit: Permit,
        call: &Call<'_>,
    ) -> Result<Self, Error> {
        call.is_served();
        permit.begin_again();
        match call.overtaken() {
            Some(rejection) => Err(client.suspended(rejection)),
            None => Self::connect(client, permit, call),
        }
    }

    fn connect(client: &Client, permit: Permit, call: &Call<'_>) -> Result<Self, Error> {
        match connect(client, &call.deadline, &permit) {
            Ok(connection) => Ok(Self {
                connection,
                permit,
                is_reused: false,
                lay_idle: false,
            }),
            Err(error) => {
                if is_crowded(&error) {
                    permit.had_no_room(client.shared.clock.now());
                }
                Err(error)
            }
        }
    }
}

impl Lease {
    /// The exchange failed: closes the connection. Returns the failure, which of a server that has no
    /// room for the connection says so.
    pub(crate) fn abandon(self, client: &Client, mut failure: Box<Failure>) -> Box<Failure> {
        let now = client.shared.clock.now();
        if is_crowded(&failure.error) {
            self.had_no_room(now);
        } else if !self.is_reused && is_503_unasked(&failure.error) {
            let error = StatusError {
                service: client.name().to_owned(),
                code: 503,
                reason: String::new(),
                failure: None,
                has_room_later: self.had_no_room(now),
            };
            failure.error = error.into();
        } else if failure.is_stale() {
            let Self {
                connection, permit, ..
            } = self;
            drop(connection);
            failure.place = Some(permit);
        }
        failure
    }

    /// The server has no room for it; see [`Permit::had_no_room`].
    fn had_no_room(self, now: Instant) -> bool {
        self.connection.close(CloseReason::ServerFull);
        self.permit.had_no_room(now)
    }
}

/// Why an idle connection is not used; `None` if it proves to be open and silent.
fn why_not(
    idle: &mut Connection,
    age: Duration,
    fresh: bool,
    idle_timeout: Duration,
) -> Option<CloseReason> {
    if fresh {
        return Some(CloseReason::NoRoom);
    }
    if age > idle_timeout {
        return Some(CloseReason::IdleTimeout);
    }
    match idle.readiness() {
        Ok(Readiness::Idle) if idle.is_reusable() => None,
        Ok(Readiness::Idle) => Some(CloseReason::TransportOver),
        Ok(Readiness::Readable | Readiness::Partial) => Some(CloseReason::IdleBytes),
        _ => Some(CloseReason::IdleClosed),
    }
}

/// The server answered on other connections and never on this one.
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

/// Connects. With TLS, a server that has no thread for a connection does not respond to the handshake: if
/// that takes long, another connection makes room, and there is a second attempt, which has all of the
/// time: a server that is far away is no slower for being asked twice.
fn connect(client: &Client, deadline: &Deadline, place: &Permit) -> Result<Connection, Error> {
    let timeout = client.shared.timeouts.connect;
    if !place.is_alone() {
        match connect_within(client, deadline, place, grace(timeout)) {
            Err(Error::Timeout(_)) => place.wants_room(),
            outcome => return outcome,
        }
    }
    connect_within(client, deadline, place, timeout)
}

fn connect_within(
    client: &Client,
    deadline: &Deadline,
    place: &Permit,
    timeout: Duration,
) -> Result<Connection, Error> {
    let shared = &client.shared;
    let timed_out = || {
        let after = shared.timeouts.connect;
        let limit = TimeLimit::ConnectTimeout;
        let deadline = deadline.ran_out();
        let is_crowded = deadline.is_none() && place.others_were_answered();
        TimeoutError {
            is_the_servers: deadline.is_none() && !is_crowded,
            is_crowded,
            ..timeout_error(
                client.name(),
                Phase::Connect,
                deadline.unwrap_or(RanOut { limit, after }),
            )
        }
    };
    let timeout = deadline.cap(timeout).ok_or_else(timed_out)?;
    match shared.connector.connect(&shared.uri, timeout) {
        Ok(stream) => {
            count(&shared.counters.opened);
            Ok(Connection::new(stream, Arc::clone(&shared.ledger)))
        }
        Err(source) if source.kind() == io::ErrorKind::TimedOut => {
            let mut error = timed_out();
            error.source = Some(source);
            Err(error.into())
        }
        Err(source) => {
            let error = ConnectError {
                service: client.name().to_owned(),
                is_the_servers: !is_shortage(&source),
                source,
            };
            Err(error.into())
        }
    }
}

/// A complete response, and the connection it came on, which is closed unless it is settled.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    pub(crate) lease: Lease,
}

impl Reply {
    /// The response makes sense: gives the connection back if the exchange left it clean.
    pub(crate) fn settle(self, client: &Client) -> Answer {
        let Self { answer, lease } = self;
        let now = client.shared.clock.now();
        if answer.is_success() {
            lease.permit.succeeded(now);
        }
        match answer.close_reason {
            _ if answer.response.status() == 503 => {
                lease.had_no_room(now);
            }
            None => lease.permit.check_in(lease.connection, now),
            Some(reason) => lease.connection.close(reason),
        }
        answer
    }

    /// The response is no use: closes its connection. Returns the error, which of a 503 says whether other
    /// callers had connections (RFC 3507 §4.3.3).
    pub(crate) fn reject(self, client: &Client, mut error: Error) -> Error {
        if let Error::Status(error) = &mut error {
            error.has_room_later =
                error.code == 503 && self.lease.had_no_room(client.shared.clock.now());
        }
        error
    }

    /// Closes the connection, whatever the exchange left it like.
    pub(crate) fn close(self, reason: CloseReason) {
        self.lease.connection.close(reason);
    }
}
