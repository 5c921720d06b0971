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
use crate::seam::sync::{
    AtomicU64, Mutex, MutexGuard, Ordering::Relaxed, Thread, ThreadId, current_thread,
    park_timeout, thread_id,
};
use crate::seam::time::Time;
use crate::stats::CloseReason;
use crate::stats::counters::ServiceCounters;
use found_limit::FoundLimit;

/// The service of a pool, and what its connections are made, dated and counted with.
pub(crate) struct Target {
    pub(crate) uri: ServiceUri,
    pub(crate) connector: Arc<dyn Connect>,
    pub(crate) connect_timeout: Duration,
    pub(crate) clock: Time,
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
    /// How many responses have begun so far.
    responses: AtomicU64,
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
    /// Callers that have waited for long on a connection without any response.
    starving: usize,
    /// Connections to be closed for these callers as soon as they are idle.
    rooms_wanted: usize,
}

/// The upper bound of [`grace`].
const LONGEST_GRACE: Duration = Duration::from_secs(1);

/// By how much the own last connection of a thread may be older than the newest one, so that it is preferred. More
/// would keep connections alive that few threads need no more.
const OWN_IS_NEW: Duration = Duration::from_secs(1);

type Ticket = u64;

/// An idle connection.
#[derive(Debug)]
pub(crate) struct Idle {
    /// In a box, so that it is not moved at each use.
    pub(crate) connection: Box<Connection>,
    pub(crate) since: Instant,
    /// The place of the caller that used it last; see [`Permit::number`].
    pub(crate) last_place: u64,
    /// The thread of that caller.
    thread: ThreadId,
}

/// What a caller is given.
pub(super) struct Taken {
    pub(super) permit: Permit,
    /// The idle connection that has the place.
    pub(super) idle: Option<Idle>,
    /// It was idle for too long.
    pub(super) is_expired: bool,
    /// When it was given, by the clock by which things expire.
    pub(super) now: Instant,
    /// The caller has stood in line for it.
    pub(super) has_waited: bool,
}

impl Pool {
    pub(crate) fn new(target: Target, limits: PoolLimits) -> Arc<Self> {
        let state = Mutex::new(State::default());
        Arc::new(Self {
            target,
            limits,
            state,
            responses: AtomicU64::new(0),
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
        self.wake_first(&state);
        drop(state);
        close_all(closed, CloseReason::Surplus);
    }

    /// Idle connections, each with its place. The place is free when it is dropped.
    fn places(self: &Arc<Self>, idle: impl Iterator<Item = Idle>) -> Vec<(Idle, Permit)> {
        idle.map(|idle| {
            let place = Permit::new(self, idle.thread);
            (idle, place)
        })
        .collect()
    }

    /// Takes an idle connection, or the right to make one; waits in line while there is neither, and
    /// returns `None` when `wait` is over.
    ///
    /// With `is_fresh`, an idle connection is given for its place: it is to be closed. It is `asked` now, by the clock of
    /// `wait`.
    pub(super) fn take(
        self: &Arc<Self>,
        is_fresh: bool,
        wait: &Deadline,
        mut asked: Instant,
    ) -> Option<Taken> {
        let mut turn = Turn {
            pool: self,
            ticket: None,
        };
        let thread = thread_id();
        loop {
            // The clock is the caller's, so it is not asked under the lock.
            let now = self.target.clock.now_at(asked);
            let is_live = |idle: &Idle| self.is_live(idle, now);
            let mut state = self.lock();
            let is_next = state
                .line
                .front()
                .is_none_or(|(first, _)| Some(*first) == turn.ticket);
            let limit = self.limit(&state);
            let taken = match is_next {
                // A new connection replaces the oldest: a server may have one thread for each connection.
                true if is_fresh => state.take(limit, |_| 0),
                true => state.take(limit, |state| state.own_or_newest(thread, is_live)),
                false => None,
            };
            if let Some(idle) = taken {
                state.acquired += 1;
                let (caller, in_use) = (state.acquired, state.in_use());
                state.found_limit.note(caller, in_use);
                let mut permit = Permit::new(self, thread);
                permit.caller = caller;
                permit.responses_before = self.responses();
                let has_waited = turn.ticket.is_some();
                self.leave(&mut state, turn.ticket.take());
                drop(state);
                let is_expired = idle.as_ref().is_some_and(|idle| !is_live(idle));
                return Some(Taken {
                    permit,
                    idle,
                    is_expired,
                    now,
                    has_waited,
                });
            }
            turn.ticket.get_or_insert_with(|| state.line_up());
            drop(state);
            // Without time left, the turn is dropped. This may wake early. A caller is unparked when it is the first
            // in line and a place may be free.
            park_timeout(wait.left()?);
            asked = wait.now();
        }
    }

    /// Whether an idle connection is young enough to be tried.
    fn is_live(&self, idle: &Idle, now: Instant) -> bool {
        now.saturating_duration_since(idle.since) <= self.limits.idle_timeout
    }

    fn responses(&self) -> u64 {
        self.responses.load(Relaxed)
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
        let or_none = |limit: Option<usize>| limit.unwrap_or(usize::MAX);
        let given = or_none(self.limits.max_connections).min(or_none(state.service_limit));
        // With a limit of 0 the service could not be used at all.
        given.min(or_none(state.found_limit.connections())).max(1)
    }

    /// Takes a caller that is served or gives up out of the line. There may be a place for the next one too.
    fn leave(&self, state: &mut State, ticket: Option<Ticket>) {
        if let Some(ticket) = ticket {
            state.line.retain(|(waiting, _)| *waiting != ticket);
        }
        self.wake_first(state);
    }

    /// Wakes the first in line if there is a place for it.
    fn wake_first(&self, state: &State) {
        if let Some((_, first)) = state.line.front() {
            if state.has_place(self.limit(state)) {
                first.unpark();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// The idle connection that `choose` finds, if there is any; or else a place for one.
    fn take(&mut self, limit: usize, choose: impl FnOnce(&Self) -> usize) -> Option<Option<Idle>> {
        if !self.has_place(limit) {
            return None;
        }
        if self.idle.is_empty() {
            self.open += 1;
            return Some(None);
        }
        let chosen = choose(self);
        Some(Some(self.idle.remove(chosen)))
    }

    /// Whether a caller can be given an idle connection, or a place for a new one.
    fn has_place(&self, limit: usize) -> bool {
        self.open < limit || (self.in_use() < limit && !self.idle.is_empty())
    }

    /// The connection that the thread used last, because its data is in the caches of the processor on which the
    /// thread runs, and often that of the server's thread as well. Without a new one of its own, the newest.
    fn own_or_newest(&self, thread: ThreadId, is_live: impl Fn(&Idle) -> bool) -> usize {
        let newest = self.idle.len() - 1;
        let is_new = |idle: &Idle| {
            let older = self.idle[newest]
                .since
                .saturating_duration_since(idle.since);
            older <= OWN_IS_NEW && is_live(idle)
        };
        match self.idle.iter().rposition(|idle| idle.thread == thread) {
            Some(own) if own != newest && is_new(&self.idle[own]) => own,
            _ => newest,
        }
    }

    fn in_use(&self) -> usize {
        self.open - self.idle.len()
    }

    fn line_up(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.line.push_back((self.last_ticket, current_thread()));
        self.last_ticket
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
            self.pool.leave(&mut self.pool.lock(), self.ticket);
        }
    }
}

/// A place among a service's connections.
#[derive(Debug)]
pub(crate) struct Permit {
    pool: Arc<Pool>,
    /// Which one it is, of all that were given out.
    caller: u64,
    thread: ThreadId,
    /// How many responses had begun then.
    responses_before: u64,
    is_starving: Cell<bool>,
    is_given_back: bool,
}

impl Permit {
    fn new(pool: &Arc<Pool>, thread: ThreadId) -> Self {
        Self {
            pool: Arc::clone(pool),
            caller: 0,
            thread,
            responses_before: 0,
            is_starving: Cell::new(false),
            is_given_back: false,
        }
    }

    /// Puts a connection aside for reuse. The caller knows that it is clean. Surplus connections and those
    /// that were idle for too long are closed. If it `has_scanned`, the server works; see
    /// [`succeeded`](Self::succeeded).
    pub(crate) fn check_in(self, mut connection: Box<Connection>, now: Instant, has_scanned: bool) {
        connection.rest();
        let (last_place, thread) = (self.caller, self.thread);
        let idle = Idle {
            connection,
            since: now,
            last_place,
            thread,
        };
        self.put_aside(idle, has_scanned);
    }

    /// The same for a connection that was not used in this place: it stays as old as it is.
    pub(super) fn put_aside(mut self, idle: Idle, has_scanned: bool) {
        let (limits, now) = (self.pool.limits, idle.since);
        let mut state = self.pool.lock();
        if has_scanned {
            state.found_limit.succeeded(now);
        }
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
        // The oldest come first. Nearly always this one is the newest.
        let older = state.idle.iter().rposition(|other| other.since <= now);
        state.idle.insert(older.map_or(0, |older| older + 1), idle);
        // The place is the idle connection's now.
        self.is_given_back = true;
        let is_live = state
            .idle
            .first()
            .is_none_or(|oldest| self.pool.is_live(oldest, now));
        if state.idle.len() > limits.max_idle || !is_live {
            return self.close_oldest(state, now);
        }
        self.pool.wake_first(&state);
    }

    /// Closes idle connections that are too many, or were idle for too long.
    #[cold]
    fn close_oldest(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        let is_expired = |idle: &&Idle| !self.pool.is_live(idle, now);
        let expired = state.idle.iter().take_while(is_expired).count();
        let surplus = state.idle.len().saturating_sub(self.pool.limits.max_idle);
        let mut closed = self.pool.places(state.idle.drain(..expired.max(surplus)));
        self.pool.wake_first(&state);
        drop(state);
        let surplus = closed.split_off(expired);
        close_all(closed, CloseReason::IdleTimeout);
        close_all(surplus, CloseReason::Surplus);
    }
}

impl Permit {
    /// The server works. After a while, one connection more may be tried.
    pub(crate) fn succeeded(&self, now: Instant) {
        let mut state = self.pool.lock();
        if state.found_limit.succeeded(now) {
            self.pool.wake_first(&state);
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
        if self.is_starving.get() {
            self.end_starving(&mut self.pool.lock());
        }
        self.responses_before = self.pool.responses();
    }

    /// Whether there is no other connection.
    pub(crate) fn is_alone(&self) -> bool {
        self.pool.lock().open == 1
    }

    /// A response has begun on this connection.
    pub(crate) fn response_began(&self) {
        self.pool.responses.fetch_add(1, Relaxed);
        if self.is_starving.get() {
            self.end_starving(&mut self.pool.lock());
        }
    }

    /// Whether a response has begun on another connection since this place was given out.
    pub(crate) fn others_have_responses(&self) -> bool {
        self.pool.responses() != self.responses_before
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
        close_all(closed, CloseReason::MadeRoom);
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
        self.pool.wake_first(&state);
        drop(state);
        let made_room = !closed.is_empty();
        close_all(closed, CloseReason::Surplus);
        made_room || ran > 1
    }
}

/// Closes idle connections, and then gives back the place of each.
fn close_all(closed: Vec<(Idle, Permit)>, reason: CloseReason) {
    for (idle, _place) in closed {
        idle.connection.close(reason);
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
            self.pool.wake_first(&state);
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
