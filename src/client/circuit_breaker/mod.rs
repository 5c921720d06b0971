//! The circuit breaker of one server. After failures in a row the server is not asked for a while, so that the
//! threads of a pool do not each wait for a timeout per file.
//!
//! ```text
//!            failures in a row             the interval is over
//!  closed ──────────────────────► open ──────────────────────► half-open: one trial
//!     ▲                             ▲                                │    │
//!     │                             └── a trial failed, interval × 2 ┘    │
//!     └──────────────── an exchange that began after the opening succeeded ┘
//! ```
//!
//! A trial may take long, so the next one may begin when the interval has passed since the last one *began*.
//! Trials can overlap, and the success of any of them closes the circuit.

use std::time::{Duration, Instant};

use crate::error::ErrorKind;
use crate::seam::random;
use crate::seam::sync::{AtomicU64, Mutex, MutexGuard, Ordering::Relaxed};

/// When a circuit opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BreakerRules {
    /// The number of failures in a row that opens it.
    pub(crate) after: u32,
    /// The first interval between trials.
    pub(crate) first: Duration,
    /// A failed trial doubles the interval, up to this.
    pub(crate) longest: Duration,
}

/// The first interval after a 503 that came while nothing else ran (RFC 3507 §4.3.3).
const OVERLOAD: Duration = Duration::from_millis(500);

/// The circuit breaker of one server.
#[derive(Debug)]
pub(crate) struct CircuitBreaker {
    rules: BreakerRules,
    /// Spreads an interval, so that many clients do not try a server at the same moment.
    jitter: fn(Duration) -> Duration,
    circuit: Mutex<Circuit>,
    /// How often it has opened. An exchange that began before the last opening says nothing about the time since. It is
    /// changed under the lock.
    openings: AtomicU64,
}

#[derive(Debug)]
struct Circuit {
    state: State,
    /// How many exchanges have succeeded.
    successes: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        /// In a row, over all callers.
        failures: u32,
    },
    /// Half-open whenever a trial is due.
    Open(Open),
}

#[derive(Debug)]
struct Open {
    since: Instant,
    /// The last failure.
    why: Cause,
    /// Between trials, without jitter.
    interval: Duration,
    /// The same with jitter.
    wait: Duration,
    /// When the last trial began; before the first one, when the circuit opened.
    last_began: Instant,
    /// The same for the trial before the last one.
    began_before: Instant,
    /// How many trials have begun.
    trials: u64,
    /// How many of them had begun when the interval was last doubled. Their outcomes do not double it again.
    doubled_by: u64,
}

/// Why a server is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// When the circuit opened.
    pub(crate) since: Instant,
    pub(crate) next_trial: Instant,
    /// The last failure.
    pub(crate) why: Cause,
}

/// A failure, as the statistics and the next errors show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) kind: ErrorKind,
    pub(crate) text: String,
}

/// How an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A 503 while nothing else ran: the circuit opens at once, for a moment.
    Overload,
    /// The server responded, but does not serve.
    Refusal,
    /// There was no connection, it broke, or time ran out. It does not count if another exchange succeeded
    /// meanwhile. If one of several servers after an address dies, many connections break at once, and these are
    /// no failures in a row.
    Loss,
}

impl CircuitBreaker {
    pub(crate) fn new(rules: BreakerRules) -> Self {
        let circuit = Circuit {
            state: State::Closed { failures: 0 },
            successes: 0,
        };
        Self {
            rules,
            jitter: jittered,
            circuit: Mutex::new(circuit),
            openings: AtomicU64::new(0),
        }
    }

    /// A circuit breaker without jitter, for tests.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn without_jitter(rules: BreakerRules) -> Self {
        Self {
            jitter: |interval| interval,
            ..Self::new(rules)
        }
    }

    /// Admits an exchange, as a trial if the circuit is open and a trial is due.
    pub(crate) fn admit(&self, now: Instant) -> Result<Admission<'_>, Rejection> {
        let mut circuit = self.lock();
        let trial = match &mut circuit.state {
            State::Closed { .. } => None,
            State::Open(open) if now < open.next_trial() => return Err(open.rejection()),
            State::Open(open) => Some(open.begin_trial(now)),
        };
        Ok(self.admission(&circuit, trial))
    }

    /// Admits an exchange if the circuit is closed, whatever the time is.
    pub(crate) fn admit_if_closed(&self) -> Option<Admission<'_>> {
        let circuit = self.lock();
        let is_closed = matches!(circuit.state, State::Closed { .. });
        is_closed.then(|| self.admission(&circuit, None))
    }

    fn admission(&self, circuit: &Circuit, trial: Option<u64>) -> Admission<'_> {
        Admission {
            breaker: self,
            openings: self.openings.load(Relaxed),
            successes: circuit.successes,
            trial,
        }
    }

    /// Whether an exchange could begin now.
    pub(crate) fn would_admit(&self, now: Instant) -> bool {
        self.rejection().is_none_or(|open| now >= open.next_trial)
    }

    /// Why the server is not asked except by trials; `None` if the circuit is closed.
    pub(crate) fn rejection(&self) -> Option<Rejection> {
        match &self.lock().state {
            State::Closed { .. } => None,
            State::Open(open) => Some(open.rejection()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock()
    }
}

/// The admission of one exchange. If it is dropped without an outcome, also by a panic, a trial is given back, so
/// that the next trial need not wait for it.
#[must_use]
#[derive(Debug)]
pub(crate) struct Admission<'b> {
    breaker: &'b CircuitBreaker,
    /// How often the circuit had opened when the exchange was admitted.
    openings: u64,
    /// How many exchanges had succeeded then.
    successes: u64,
    /// The number of the trial, if it is one and its outcome is not known yet.
    trial: Option<u64>,
}

impl Admission<'_> {
    /// Whether this exchange is a trial.
    pub(crate) fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Why the server is not asked any more, if the circuit has opened since this exchange was admitted.
    pub(crate) fn overtaken(&self) -> Option<Rejection> {
        if self.is_of_this_opening() {
            return None;
        }
        self.breaker.rejection()
    }

    /// Whether the circuit has not opened since this exchange was admitted.
    fn is_of_this_opening(&self) -> bool {
        self.breaker.openings.load(Relaxed) == self.openings
    }

    /// The server scanned. If that closed the circuit, returns when it had opened.
    pub(crate) fn succeeded(mut self) -> Option<Instant> {
        self.trial = None;
        let mut circuit = self.breaker.lock();
        circuit.successes += 1;
        match &mut circuit.state {
            State::Closed { failures } => {
                *failures = 0;
                None
            }
            State::Open(open) => {
                let since = open.since;
                let is_newer = self.is_of_this_opening();
                is_newer.then(|| {
                    circuit.state = State::Closed { failures: 0 };
                    since
                })
            }
        }
    }

    /// The server failed. If that changed the interval, returns the new one.
    pub(crate) fn failed(mut self, how: Failure, why: &Cause, now: Instant) -> Option<Duration> {
        let trial = self.trial.take();
        let CircuitBreaker { rules, jitter, .. } = *self.breaker;
        let mut circuit = self.breaker.lock();
        // What began before the last opening says nothing about the time since.
        if !self.is_of_this_opening() {
            return None;
        }
        let is_refuted = how == Failure::Loss && circuit.successes != self.successes;
        match &mut circuit.state {
            State::Open(open) => {
                trial.and_then(|trial| open.trial_failed(trial, why, rules.longest, jitter))
            }
            State::Closed { .. } if is_refuted => None,
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                let interval = match how {
                    _ if *failures >= rules.after => rules.first,
                    Failure::Overload => OVERLOAD.min(rules.first),
                    _ => return None,
                };
                self.breaker.openings.fetch_add(1, Relaxed);
                circuit.state = State::Open(Open::new(now, interval, why));
                Some(interval)
            }
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let Some(trial) = self.trial else {
            return;
        };
        let mut circuit = self.breaker.lock();
        if let (State::Open(open), true) = (&mut circuit.state, self.is_of_this_opening()) {
            // As if it had not begun. An earlier trial delays no other any more.
            if trial == open.trials {
                open.last_began = open.began_before;
            }
        }
    }
}

impl Open {
    fn new(now: Instant, interval: Duration, why: &Cause) -> Self {
        Self {
            since: now,
            why: why.clone(),
            interval,
            wait: interval,
            last_began: now,
            began_before: now,
            trials: 0,
            doubled_by: 0,
        }
    }

    fn next_trial(&self) -> Instant {
        later(self.last_began, self.wait)
    }

    fn begin_trial(&mut self, now: Instant) -> u64 {
        self.trials += 1;
        self.began_before = self.last_began;
        self.last_began = now;
        self.trials
    }

    /// Doubles the interval, unless a trial that overlapped with this one has done so already.
    fn trial_failed(
        &mut self,
        trial: u64,
        why: &Cause,
        longest: Duration,
        jitter: fn(Duration) -> Duration,
    ) -> Option<Duration> {
        self.why.clone_from(why);
        if trial <= self.doubled_by {
            return None;
        }
        self.doubled_by = self.trials;
        self.interval = self
            .interval
            .saturating_mul(2)
            .min(longest.max(self.interval));
        self.wait = jitter(self.interval);
        Some(self.wait)
    }

    fn rejection(&self) -> Rejection {
        Rejection {
            since: self.since,
            next_trial: self.next_trial(),
            why: self.why.clone(),
        }
    }
}

/// 80 % to 120 % of the interval.
fn jittered(interval: Duration) -> Duration {
    let random = random::number() >> 32;
    let fifth = interval / 5;
    let spread = ((fifth * 2).as_nanos() * u128::from(random)) >> 32;
    let spread = Duration::from_nanos(u64::try_from(spread).unwrap_or(u64::MAX));
    (interval - fifth).saturating_add(spread)
}

/// Adds `by` to `now`. If an `Instant` cannot hold that time, it is a year from now, which is as good as never.
fn later(now: Instant, by: Duration) -> Instant {
    let year = Duration::from_secs(365 * 24 * 3600);
    now.checked_add(by)
        .or_else(|| now.checked_add(year))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests;
