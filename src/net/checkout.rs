//! Taking a connection out of the pool for one exchange, and giving it back.
//!
//! ```text
//!  Pool::acquire ──► Place ──► Place::connect ──► PooledConnection ──► release: idle in the pool
//!  (waits in line)   (counted)  (an idle one that                  ├──► discard: closed, with a reason
//!                                proves itself, or a new one)      └──► dropped: closed as failed
//! ```
//!
//! Connecting and probing take time, so they happen outside the pool's lock. A [`PooledConnection`] is dirty
//! until [`release`](PooledConnection::release): an error, a panic of the caller's reader or an early drop
//! closes it (rule R3).

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connecting;
use super::connection::Connection;
use super::deadline::{Deadline, RanOut};
use super::pool::{Idle, Permit, Pool, Taken, grace};
use super::shortage::is_shortage;
use super::transport::Readiness;
use crate::error::{ConnectError, Error, Phase, TimeLimit, TimeoutError};
use crate::stats::CloseReason;
use crate::stats::counters::count;

/// A place among a service's connections, with the idle connection that holds it if there is one.
#[derive(Debug)]
pub(crate) struct Place {
    // Fields are dropped in this order: a connection is closed before its place is free.
    idle: Option<Idle>,
    permit: Permit,
    /// The idle connection is not to be used.
    is_fresh: bool,
    /// The idle connection was idle for too long.
    is_expired: bool,
    /// When it was given, by the clock by which things expire.
    taken: Instant,
    /// The caller has stood in line for it.
    has_waited: bool,
}

impl Pool {
    /// Takes a place; waits in line for one until `wait` is over, and returns `None` then.
    ///
    /// If `is_fresh`, [`Place::connect`] makes a new connection in any case.
    /// It is `asked` now, by the clock of `wait`.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        is_fresh: bool,
        wait: &Deadline,
        asked: Instant,
    ) -> Option<Place> {
        let Taken {
            permit,
            idle,
            is_expired,
            now,
            has_waited,
        } = self.take(is_fresh, wait, asked)?;
        Some(Place {
            idle,
            permit,
            is_fresh,
            is_expired,
            taken: now,
            has_waited,
        })
    }
}

impl Place {
    /// Which one it is, of all that were given out.
    pub(crate) fn number(&self) -> u64 {
        self.permit.number()
    }

    /// Whether the caller has stood in line for it.
    pub(crate) fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// Gives the place back unused. The idle connection stays idle, and no younger for it.
    pub(crate) fn give_back(self) {
        if let Some(idle) = self.idle {
            self.permit.put_aside(idle, false);
        }
    }

    /// It is used for another connection from now on.
    pub(crate) fn begin_again(&mut self) {
        self.permit.begin_again();
    }

    /// The idle connection if it proves to be open and silent, or else a new one. `last_place` is the place
    /// that this caller had last.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Timeout`] after the connect timeout or at the deadline, or
    /// [`Error::Cancelled`].
    pub(crate) fn connect(
        mut self,
        deadline: &Deadline,
        last_place: Option<u64>,
    ) -> Result<PooledConnection, Error> {
        if let Some(mut idle) = self.idle.take() {
            match self.reuse_obstacle(&mut idle) {
                None => {
                    idle.connection.wake();
                    count(&self.permit.pool().target().counters.reused);
                    return Ok(PooledConnection {
                        connection: idle.connection,
                        permit: self.permit,
                        is_reused: true,
                        began: self.taken,
                        lay_idle: last_place != Some(idle.last_place),
                    });
                }
                Some(reason) => idle.connection.close(reason),
            }
        }
        let clock = self.permit.pool().target().clock.clone();
        match connect_with_room(&self.permit, deadline) {
            Ok(connection) => Ok(PooledConnection {
                began: clock.now(),
                connection,
                permit: self.permit,
                is_reused: false,
                lay_idle: false,
            }),
            Err(error) => {
                if matches!(&error, Error::Timeout(error) if error.is_crowded) {
                    self.permit.had_no_room(clock.now());
                }
                Err(error)
            }
        }
    }

    /// Why the idle connection is not used; `None` if it proves to be open and silent.
    fn reuse_obstacle(&self, idle: &mut Idle) -> Option<CloseReason> {
        if self.is_fresh {
            return Some(CloseReason::Surplus);
        }
        if self.is_expired {
            return Some(CloseReason::IdleTimeout);
        }
        match idle.connection.readiness() {
            Ok(Readiness::Idle) if idle.connection.is_reusable() => None,
            Ok(Readiness::Idle) => Some(CloseReason::TransportOver),
            Ok(Readiness::Readable | Readiness::Partial) => Some(CloseReason::IdleBytes),
            _ => Some(CloseReason::IdleClosed),
        }
    }
}

/// A connection for one exchange. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct PooledConnection {
    // Fields are dropped in this order: the connection is closed before its place is free.
    connection: Box<Connection>,
    permit: Permit,
    is_reused: bool,
    /// When this caller was given it, by the clock by which things expire.
    began: Instant,
    /// It was used before, and then by no caller until this one came.
    lay_idle: bool,
}

impl PooledConnection {
    /// Whether another exchange had it before.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// When this caller was given it, by the clock by which things expire.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Whether it was used before, and then by no caller until this one came. The server may have closed it
    /// meanwhile.
    pub(crate) fn lay_idle(&self) -> bool {
        self.lay_idle
    }

    /// Its place among the server's connections.
    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The server scanned: after a while, it is trusted with one connection more.
    pub(crate) fn succeeded(&self, now: Instant) {
        self.permit.succeeded(now);
    }

    /// Puts it aside to be used again: it is idle since `now`. The caller knows that the exchange left it clean
    /// (rule R3), and whether the server `has_scanned`, as for [`succeeded`](Self::succeeded).
    pub(crate) fn release(self, now: Instant, has_scanned: bool) {
        log::debug!(
            "{}: kept a connection",
            self.permit.pool().target().counters.service
        );
        self.permit.check_in(self.connection, now, has_scanned);
    }

    /// Closes it.
    pub(crate) fn discard(self, reason: CloseReason) {
        self.connection.close(reason);
    }

    /// Closes it, because the server has no room for it. Returns whether there can be room later; see
    /// [`Permit::had_no_room`].
    pub(crate) fn discard_as_surplus(self) -> bool {
        let now = self.permit.pool().target().clock.now();
        self.connection.close(CloseReason::ServerFull);
        self.permit.had_no_room(now)
    }

    /// Closes it, because it turned out to be gone, and keeps its place for a new one.
    pub(crate) fn into_place(self) -> Place {
        let Self {
            connection,
            permit,
            began,
            ..
        } = self;
        drop(connection);
        Place {
            idle: None,
            permit,
            is_fresh: true,
            is_expired: false,
            taken: began,
            has_waited: false,
        }
    }

    /// The time by which things expire, when that for waits was `waits` just now.
    pub(crate) fn now_at(&self, waits: Instant) -> Instant {
        self.permit.pool().target().clock.now_at(waits)
    }
}

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Connects. With TLS, a server that has no thread for a connection does not respond to the handshake: if
/// that takes long, another connection makes room, and there is a second attempt. The second attempt has
/// all of the time, so that a server that is far away is not cut short.
fn connect_with_room(place: &Permit, deadline: &Deadline) -> Result<Box<Connection>, Error> {
    let timeout = place.pool().target().connect_timeout;
    if !place.is_alone() {
        match connect_within(place, deadline, grace(timeout)) {
            // Room at the server does not help a caller that lacked a helper thread.
            Err(Error::Timeout(error)) if error.io_error().is_some_and(is_shortage) => {}
            Err(Error::Timeout(_)) => place.wants_room(),
            outcome => return outcome,
        }
    }
    connect_within(place, deadline, timeout)
}

fn connect_within(
    place: &Permit,
    deadline: &Deadline,
    timeout: Duration,
) -> Result<Box<Connection>, Error> {
    let target = place.pool().target();
    let service = &target.counters.service;
    let Some(timeout) = deadline.cap_whole(timeout) else {
        deadline.check_cancelled(service, Phase::Connect)?;
        return Err(timed_out(place, deadline, None));
    };
    let connected = match deadline.can_be_cancelled() {
        true => connecting::connect(&target.connector, &target.uri, timeout, deadline),
        false => target.connector.connect(&target.uri, timeout),
    };
    if connected.is_err() {
        deadline.check_cancelled(service, Phase::Connect)?;
    }
    match connected {
        Ok(stream) => {
            count(&target.counters.opened);
            let (clock, counters) = (target.clock.clone(), Arc::clone(&target.counters));
            Ok(Box::new(Connection::new(stream, clock, counters)))
        }
        Err(source) if source.kind() == io::ErrorKind::TimedOut => {
            Err(timed_out(place, deadline, Some(source)))
        }
        Err(source) => {
            let error = ConnectError {
                service: service.to_string(),
                is_the_servers: !is_shortage(&source),
                source,
                name: None,
            };
            Err(error.into())
        }
    }
}

fn timed_out(place: &Permit, deadline: &Deadline, source: Option<io::Error>) -> Error {
    let target = place.pool().target();
    let service = &target.counters.service;
    let limit = RanOut {
        limit: TimeLimit::ConnectTimeout,
        after: target.connect_timeout,
    };
    let deadline = deadline.ran_out();
    // A deadline that was too short or a lack of helper threads is not the server's fault (rule R10).
    let is_excused = deadline.is_some() || source.as_ref().is_some_and(is_shortage);
    let is_crowded = !is_excused && place.others_have_responses();
    let ran_out = deadline.unwrap_or(limit);
    let error = TimeoutError {
        is_the_servers: !is_excused && !is_crowded,
        is_crowded,
        source,
        ..ran_out.error(service, Phase::Connect)
    };
    error.into()
}
