//! The connections of one service: idle ones to be used again, and a limit on all of them.
//!
//! The pool counts and queues; it never touches a socket while its lock is held. Whoever takes a
//! [`Permit`] connects, probes and closes on their own time, and gives the place back by dropping it,
//! also when they panic. Waiting callers are served in the order they came.

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

/// What the connections of a pool lead to, and how they are made, dated and counted.
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
    /// How long an idle connection is worth trying.
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
    /// The one used last is the last.
    idle: Vec<Idle>,
    /// Connections there are, or will be as soon as a permit's holder has connected.
    open: usize,
    /// Callers that wait, the one that came first in front.
    line: VecDeque<(Ticket, Thread)>,
    last_ticket: Ticket,
    /// What the service allows.
    service_limit: Option<usize>,
    /// What the server turned out to have room for.
    found_limit: Option<FoundLimit>,
    /// How many callers were given a place so far.
    acquired: u64,
    peaks: Peaks,
    /// How many responses have begun so far.
    responses: u64,
    /// Callers that have waited for long on a connection that has never answered.
    starving: usize,
    /// Connections that are to be closed for them, as soon as they are idle.
    rooms_wanted: usize,
}

/// A limit that the server did not announce but showed: it grows again by one for each second of
/// success.
#[derive(Debug, Clone, Copy)]
struct FoundLimit {
    connections: usize,
    changed: Instant,
}

/// How many connections were in use at once, at most, since any caller was given one: what ran while its
/// exchange did, however late it is told that this was too many.
#[derive(Debug, Default)]
struct Peaks {
    /// A caller, and how many there were when it came. Those that saw no more than a later one are left
    /// out, so the numbers of callers grow and those of connections fall.
    seen: VecDeque<(u64, usize)>,
}

impl Peaks {
    fn note(&mut self, caller: u64, in_use: usize) {
        while self
            .seen
            .back()
            .is_some_and(|&(_, before)| before <= in_use)
        {
            self.seen.pop_back();
        }
        self.seen.push_back((caller, in_use));
    }

    fn since(&self, caller: u64) -> usize {
        let peak = self.seen.iter().find(|&&(later, _)| later >= caller);
        peak.map_or(1, |&(_, in_use)| in_use.max(1))
    }

    /// The server turned this caller away, so what it had was not in use.
    fn forget(&mut self, caller: u64) {
        for (later, in_use) in self.seen.iter_mut().rev() {
            if *later < caller {
                return;
            }
            *in_use = in_use.saturating_sub(1);
        }
    }
}

/// How long the server must do well until it is trusted with one connection more.
const GROWTH: Duration = Duration::from_secs(1);

/// The upper bound of [`grace`].
const LONGEST_GRACE: Duration = Duration::from_secs(1);

type Ticket = u64;

/// A connection nobody uses.
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

    /// What the service says of `Max-Connections`; the smaller limit wins. Idle connections above it are
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

    /// Idle connections with their places, which are given back when they are dropped after them.
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
        let mut ticket = None;
        let mut state = self.lock();
        loop {
            let is_next = state
                .line
                .front()
                .is_none_or(|(first, _)| Some(*first) == ticket);
            let limit = self.limit(&state);
            let taken = if is_next {
                state.take(is_fresh, limit)
            } else {
                None
            };
            if let Some(idle) = taken {
                state.acquired += 1;
                let (caller, in_use) = (state.acquired, state.in_use());
                state.peaks.note(caller, in_use);
                let mut permit = Permit::new(self);
                permit.caller = caller;
                permit.responses_before = state.responses;
                state.leave(ticket);
                drop(state);
                return Some((permit, idle));
            }
            let Some(left) = wait.left() else {
                state.leave(ticket);
                return None;
            };
            ticket.get_or_insert_with(|| state.line_up());
            drop(state);
            // It may wake early, and is woken when it is first in line and there is something.
            park_timeout(left);
            state = self.lock();
        }
    }

    /// How long an idle connection is worth trying.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.limits.idle_timeout
    }

    /// Idle connections now.
    pub(crate) fn idle(&self) -> usize {
        self.lock().idle.len()
    }

    fn limit(&self, state: &State) -> usize {
        let found = state.found_limit.map(|found| found.connections);
        let limits = [self.limits.max_connections, state.service_limit, found];
        let least = limits.into_iter().flatten().min();
        // A limit of none would be a service nobody can use.
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
            // The oldest makes place: a server may have a thread for each connection, and no more of them.
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

    /// The server had no room for one of `ran` connections.
    fn lower_limit(&mut self, ran: usize, now: Instant) {
        let found = self.found_limit.map(|found| found.connections);
        let least = ran.saturating_sub(1).max(1);
        self.found_limit = Some(FoundLimit {
            connections: found.map_or(least, |found| found.min(least)),
            changed: now,
        });
    }

    fn line_up(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.line.push_back((self.last_ticket, current_thread()));
        self.last_ticket
    }

    /// Whoever is served or gives up leaves the line, and the next may have something too.
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

    /// Puts a connection aside to be used again; that it is clean is the caller's word. What there is
    /// no room for, and what was idle for too long, is closed.
    pub(crate) fn check_in(mut self, mut connection: Connection, now: Instant) {
        let limits = self.pool.limits;
        connection.rest();
        let mut state = self.pool.lock();
        let is_surplus = state.open > self.pool.limit(&state);
        if limits.max_idle == 0 || is_surplus {
            drop(state);
            return connection.close(CloseReason::Surplus);
        }
        if state.rooms_wanted > 0 {
            state.rooms_wanted -= 1;
            drop(state);
            return connection.close(CloseReason::MadeRoom);
        }
        let is_live =
            |idle: &Idle| now.saturating_duration_since(idle.since) <= limits.idle_timeout;
        // The oldest are the first.
        let expired = state.idle.iter().take_while(|idle| !is_live(idle)).count();
        let surplus = (state.idle.len() + 1).saturating_sub(limits.max_idle);
        let closed = self.pool.places(state.idle.drain(..expired.max(surplus)));
        state.idle.push(Idle {
            connection,
            since: now,
            last_place: self.caller,
        });
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
    /// The server works: after a while, one connection more may be tried.
    pub(crate) fn succeeded(&self, now: Instant) {
        let mut state = self.pool.lock();
        if let Some(found) = &mut state.found_limit {
            if now.saturating_duration_since(found.changed) >= GROWTH {
                found.connections = found.connections.saturating_add(1);
                found.changed = now;
                state.wake_first();
            }
        }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Which one it is, of all that were given out.
    pub(crate) fn number(&self) -> u64 {
        self.caller
    }

    /// It is for another connection from now on.
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
    pub(crate) fn is_answered(&self) {
        let mut state = self.pool.lock();
        state.responses += 1;
        self.end_starving(&mut state);
    }

    /// Whether the server has answered others since this was given out.
    pub(crate) fn others_were_answered(&self) -> bool {
        self.pool.lock().responses != self.responses_before
    }

    /// The caller has waited for long on a connection that has never answered. There are servers that
    /// give each connection a thread, idle ones too, while the kernel accepts more: so the connection that
    /// has been idle for longest is closed, or the next one that would be put aside.
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

    /// Gives the place back of a connection that the server had no room for, and that is closed. If
    /// other callers had connections meanwhile, the limit becomes one less than that; idle connections
    /// make room. Returns whether there can be room for this caller later: not if it was alone.
    pub(crate) fn had_no_room(mut self, now: Instant) -> bool {
        let mut state = self.pool.lock();
        self.is_given_back = true;
        state.open -= 1;
        let ran = state.peaks.since(self.caller);
        state.peaks.forget(self.caller);
        if ran > 1 {
            state.lower_limit(ran, now);
        }
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

/// How long a server may be silent on a connection that it has never answered until others make room:
/// long before the timeout.
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
