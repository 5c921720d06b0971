//! The connections of one service: idle ones for reuse, a limit on all of them, and a line of callers.
//!
//! The pool counts and queues. It never touches a socket while its lock is held: the caller with a [`Permit`]
//! connects, probes and closes, and gives the place back by dropping it, also in a panic. Waiting callers are
//! served in the order in which they came.

mod found_limit;

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::deadline::Deadline;
use super::transport::Connect;
use crate::proto::uri::ServiceUri;
use crate::seam::sync::{Mutex, MutexGuard, Thread, current_thread, park_timeout};
use crate::seam::time::Clock;
use crate::stats::CloseReason;
use crate::stats::counters::ServiceCounters;
use found_limit::FoundLimit;

/// The service of a pool, and what its connections are made, dated and counted with.
pub(crate) struct Target {
    pub(crate) uri: ServiceUri,
    pub(crate) connector: Arc<dyn Connect>,
    pub(crate) connect_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<ServiceCounters>,
}

/// Limits of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolLimits {
    /// Idle connections that are kept.
    pub(crate) max_idle: usize,
    /// Connections at once, idle ones included.
    pub(crate) max_connections: Option<usize>,
    /// An idle connection that is older is closed and not tried.
    pub(crate) idle_timeout: Duration,
}

/// The connections of one service.
pub(crate) struct Pool {
    target: Target,
    limits: PoolLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of their last use, the newest last.
    idle: Vec<Idle>,
    /// All places that are taken: idle connections, those in use, and those that are being made.
    open: usize,
    /// Callers that wait, in the order in which they came.
    line: VecDeque<(Ticket, Thread)>,
    last_ticket: Ticket,
    /// `Max-Connections` of the service.
    service_limit: Option<usize>,
    found_limit: FoundLimit,
    /// How many callers were given a place so far.
    acquired: u64,
    /// How many responses have begun so far.
    responses: u64,
    /// Callers that have waited for long on a connection without any response.
    starving: usize,
    /// Connections to be closed for these callers as soon as they are idle.
    rooms_wanted: usize,
}

/// The upper bound of [`grace`].
const LONGEST_GRACE: Duration = Duration::from_secs(1);

type Ticket = u64;

/// An idle connection.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) connection: Connection,
    pub(crate) since: Instant,
    /// The place of the caller that used it last; see [`Permit::number`].
    pub(crate) last_place: u64,
}

impl Pool {
    pub(crate) fn new(target: Target, limits: PoolLimits) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self {
            target,
            limits,
            state,
        })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Sets `Max-Connections` of the service. The smaller limit counts, and idle connections above it are
    /// closed.
    pub(crate) fn set_service_limit(self: &Arc<Self>, limit: Option<u64>) {
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut state = self.lock();
        state.service_limit = limit;
        let surplus = state.open.saturating_sub(self.limit(&state));
        let surplus = surplus.min(state.idle.len());
        let closed = self.places(state.idle.drain(..surplus));
        state.wake_first();
        drop(state);
        for (idle, _place) in closed {
            idle.connection.close(CloseReason::Surplus);
        }
    }

    /// Idle connections, each with its place. The place is free when it is dropped.
    fn places(self: &Arc<Self>, idle: impl Iterator<Item = Idle>) -> Vec<(Idle, Permit)> {
        idle.map(|idle| (idle, Permit::new(self))).collect()
    }

    /// Takes an idle connection, or the right to make one; waits in line while there is neither, and
    /// returns `None` when `wait` is over.
    ///
    /// With `is_fresh`, an idle connection is given for its place: it is to be closed.
    pub(super) fn take(
        self: &Arc<Self>,
        is_fresh: bool,
        wait: &Deadline,
    ) -> Option<(Permit, Option<Idle>)> {
        let mut turn = Turn {
            pool: self,
            ticket: None,
        };
        loop {
            // The clock is the caller's, so it is not asked under the lock.
            let left = wait.left();
            let mut state = self.lock();
            let is_next = state
                .line
                .front()
                .is_none_or(|(first, _)| Some(*first) == turn.ticket);
            let limit = self.limit(&state);
            let taken = if is_next {
                state.take(is_fresh, limit)
            } else {
                None
            };
            if let Some(idle) = taken {
                state.acquired += 1;
                let (caller, in_use) = (state.acquired, state.in_use());
                state.found_limit.note(caller, in_use);
                let mut permit = Permit::new(self);
                permit.caller = caller;
                permit.responses_before = state.responses;
                state.leave(turn.ticket.take());
                drop(state);
                return Some((permit, idle));
            }
            let Some(left) = left else {
                state.leave(turn.ticket.take());
                return None;
            };
            turn.ticket.get_or_insert_with(|| state.line_up());
            drop(state);
            // This may wake early. A caller is unparked when it is the first in line and a place may be free.
            park_timeout(left);
        }
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        self.limits.idle_timeout
    }

    /// Idle connections now.
    pub(crate) fn idle(&self) -> usize {
        self.lock().idle.len()
    }

    /// Callers in line now.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().line.len()
    }

    fn limit(&self, state: &State) -> usize {
        let found = state.found_limit.connections();
        let limits = [self.limits.max_connections, state.service_limit, found];
        let least = limits.into_iter().flatten().min();
        // With a limit of 0 the service could not be used at all.
        least.unwrap_or(usize::MAX).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// An idle connection, or none and a place for one.
    fn take(&mut self, is_fresh: bool, limit: usize) -> Option<Option<Idle>> {
        if self.in_use() < limit && !self.idle.is_empty() {
            // The new connection replaces the oldest: a server may have one thread for each connection.
            let idle = if is_fresh {
                Some(self.idle.remove(0))
            } else {
                self.idle.pop()
            };
            return Some(idle);
        }
        (self.open < limit).then(|| {
            self.open += 1;
            None
        })
    }

    fn in_use(&self) -> usize {
        self.open - self.idle.len()
    }

    fn line_up(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.line.push_back((self.last_ticket, current_thread()));
        self.last_ticket
    }

    /// Takes a caller that is served or gives up out of the line. There may be a place for the next one too.
    fn leave(&mut self, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            self.line.retain(|(waiting, _)| *waiting != ticket);
        }
        self.wake_first();
    }

    fn wake_first(&self) {
        if let Some((_, first)) = self.line.front() {
            first.unpark();
        }
    }
}

/// A caller's turn in the line. Dropping it takes the caller out, also in a panic of its clock.
struct Turn<'p> {
    pool: &'p Pool,
    ticket: Option<Ticket>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            self.pool.lock().leave(self.ticket);
        }
    }
}

/// A place among a service's connections.
#[derive(Debug)]
pub(crate) struct Permit {
    pool: Arc<Pool>,
    /// Which one it is, of all that were given out.
    caller: u64,
    /// How many responses had begun then.
    responses_before: u64,
    is_starving: Cell<bool>,
    is_given_back: bool,
}

impl Permit {
    fn new(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            caller: 0,
            responses_before: 0,
            is_starving: Cell::new(false),
            is_given_back: false,
        }
    }

    /// Puts a connection aside for reuse. The caller knows that it is clean. Surplus connections and those
    /// that were idle for too long are closed.
    pub(crate) fn check_in(self, mut connection: Connection, now: Instant) {
        connection.rest();
        let last_place = self.caller;
        self.put_aside(Idle {
            connection,
            since: now,
            last_place,
        });
    }

    /// The same for a connection that was not used in this place: it stays as old as it is.
    pub(super) fn put_aside(mut self, idle: Idle) {
        let (limits, now) = (self.pool.limits, idle.since);
        let mut state = self.pool.lock();
        let is_surplus = state.open > self.pool.limit(&state);
        if limits.max_idle == 0 || is_surplus {
            drop(state);
            return idle.connection.close(CloseReason::Surplus);
        }
        if state.rooms_wanted > 0 {
            state.rooms_wanted -= 1;
            drop(state);
            return idle.connection.close(CloseReason::MadeRoom);
        }
        let place = state.idle.partition_point(|other| other.since <= now);
        state.idle.insert(place, idle);
        let is_live =
            |idle: &Idle| now.saturating_duration_since(idle.since) <= limits.idle_timeout;
        // The oldest come first.
        let expired = state.idle.iter().take_while(|idle| !is_live(idle)).count();
        let surplus = state.idle.len().saturating_sub(limits.max_idle);
        let closed = self.pool.places(state.idle.drain(..expired.max(surplus)));
        // The place is the idle connection's now.
        self.is_given_back = true;
        state.wake_first();
        drop(state);
        for (at, (idle, _place)) in closed.into_iter().enumerate() {
            idle.connection.close(if at < expired {
                CloseReason::IdleTimeout
            } else {
                CloseReason::Surplus
            });
        }
    }
}

impl Permit {
    /// The server works. After a while, one connection more may be tried.
    pub(crate) fn succeeded(&self, now: Instant) {
        let mut state = self.pool.lock();
        if state.found_limit.succeeded(now) {
            state.wake_first();
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Its number: places are numbered in the order in which they were given out.
    pub(crate) fn number(&self) -> u64 {
        self.caller
    }

    /// Uses it for another connection from now on.
    pub(crate) fn begin_again(&mut self) {
        let mut state = self.pool.lock();
        self.end_starving(&mut state);
        self.responses_before = state.responses;
    }

    /// Whether there is no other connection.
    pub(crate) fn is_alone(&self) -> bool {
        self.pool.lock().open == 1
    }

    /// A response has begun on this connection.
    pub(crate) fn response_began(&self) {
        let mut state = self.pool.lock();
        state.responses += 1;
        self.end_starving(&mut state);
    }

    /// Whether a response has begun on another connection since this place was given out.
    pub(crate) fn others_have_responses(&self) -> bool {
        self.pool.lock().responses != self.responses_before
    }

    /// The caller has waited for long on a connection without any response. Some servers give each connection
    /// a thread, idle ones too, while the kernel accepts more. So the connection that has been idle for
    /// longest is closed, or the next one that would be put aside.
    pub(crate) fn wants_room(&self) {
        let mut state = self.pool.lock();
        if !self.is_starving.replace(true) {
            state.starving += 1;
        }
        if state.idle.is_empty() {
            state.rooms_wanted = (state.rooms_wanted + 1).min(state.starving);
            return;
        }
        let closed = self.pool.places(state.idle.drain(..1));
        drop(state);
        for (idle, _place) in closed {
            idle.connection.close(CloseReason::MadeRoom);
        }
    }

    fn end_starving(&self, state: &mut State) {
        if self.is_starving.replace(false) {
            state.starving -= 1;
            state.rooms_wanted = state.rooms_wanted.min(state.starving);
        }
    }

    /// Gives back the place of a connection that the server had no room for, and that is closed. If other
    /// callers had connections at the same time, the limit becomes one less than all of them, and idle
    /// connections above it are closed. Returns whether there can be room for this caller later: not if it
    /// was alone.
    pub(crate) fn had_no_room(mut self, now: Instant) -> bool {
        let mut state = self.pool.lock();
        self.is_given_back = true;
        state.open -= 1;
        let ran = state.found_limit.lower(self.caller, now);
        let surplus = match ran {
            1 => state.open,
            _ => state.open.saturating_sub(self.pool.limit(&state)),
        };
        let surplus = surplus.min(state.idle.len());
        let closed = self.pool.places(state.idle.drain(..surplus));
        state.wake_first();
        drop(state);
        let made_room = !closed.is_empty();
        for (idle, _place) in closed {
            idle.connection.close(CloseReason::Surplus);
        }
        made_room || ran > 1
    }
}

/// How long a caller waits on a connection without any response until others make room for it. This is long
/// before the timeout.
pub(crate) fn grace(timeout: Duration) -> Duration {
    (timeout / 4).clamp(Duration::from_millis(1), LONGEST_GRACE)
}

/// Gives the place back.
impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_given_back && !self.is_starving.get() {
            return;
        }
        let mut state = self.pool.lock();
        self.end_starving(&mut state);
        if !self.is_given_back {
            state.open -= 1;
            state.wake_first();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
