//! Whether a server is worth asking: after a row of failures it is left alone for a while, so that a
//! thread pool is not parked for a timeout a file.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// When a server is suspended, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SuspensionRules {
    /// Failures in a row.
    pub(crate) after: u32,
    /// The first suspension.
    pub(crate) first: Duration,
    /// Each further one is twice as long, up to this.
    pub(crate) longest: Duration,
}

/// A 503 says that there are too many connections now (RFC 3507 §4.3.3): a first pause, doubled with
/// each that follows.
const BACK_OFF: Duration = Duration::from_millis(500);

/// How one server has fared.
#[derive(Debug)]
pub(crate) struct Health {
    rules: SuspensionRules,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row, over all callers.
    failures: u32,
    /// 503s in a row.
    refusals: u32,
    /// When the server last answered.
    answered: Option<Instant>,
    suspension: Option<Suspension>,
    /// A caller is trying the server, and the others wait for what comes of it: until then at most,
    /// because the caller's own reader may take for ever.
    trial_ends: Option<Instant>,
    /// Changes when a suspension or a trial begins, and when one is lifted: what callers find out that
    /// were admitted before says nothing about what holds now.
    generation: u64,
}

/// A time in which the server is not asked.
#[derive(Debug, Clone)]
pub(crate) struct Suspension {
    pub(crate) began: Instant,
    pub(crate) until: Instant,
    /// The last failure.
    pub(crate) why: String,
    length: Duration,
}

impl Health {
    pub(crate) fn new(rules: SuspensionRules) -> Self {
        Self {
            rules,
            state: Mutex::default(),
        }
    }

    /// Lets a caller ask the server, or says why not. After a suspension one caller goes first.
    pub(crate) fn admit(&self, now: Instant) -> Result<Admission<'_>, Suspension> {
        let mut state = self.lock();
        if let Some(suspension) = state.suspension.clone() {
            let is_tried = state.trial_ends.is_some_and(|end| now < end);
            if is_tried || now < suspension.until {
                return Err(suspension);
            }
            state.trial_ends = Some(later(now, suspension.length));
            state.generation += 1;
        }
        Ok(Admission {
            health: self,
            began: now,
            generation: state.generation,
        })
    }

    /// The suspension that holds, if one does.
    pub(crate) fn suspension(&self) -> Option<Suspension> {
        self.lock().suspension.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leave to ask the server. Dropped without a word, also by a panic, it leaves things as they were.
#[must_use]
#[derive(Debug)]
pub(crate) struct Admission<'h> {
    health: &'h Health,
    began: Instant,
    generation: u64,
}

impl Admission<'_> {
    /// The suspension that has begun since.
    pub(crate) fn overtaken(&self) -> Option<Suspension> {
        let state = self.health.lock();
        let is_overtaken = state.generation != self.generation;
        state.suspension.clone().filter(|_| is_overtaken)
    }

    /// The server answered.
    pub(crate) fn succeeded(self, now: Instant) {
        let mut state = self.health.lock();
        if state.generation == self.generation {
            let was_suspended = state.suspension.is_some();
            *state = State {
                answered: Some(now),
                generation: state.generation + u64::from(was_suspended),
                ..State::default()
            };
        }
    }

    /// The server failed. Returns the suspension if that began one.
    pub(crate) fn failed(self, error: &Error, now: Instant) -> Option<Suspension> {
        let rules = self.health.rules;
        let mut state = self.health.lock();
        // The server has answered others since this one began: connections that break all at once, as
        // when one of several servers behind an address dies, are no failures in a row.
        let is_refuted = state.answered.is_some_and(|answered| answered > self.began);
        if state.generation != self.generation || (is_refuted && error.status().is_none()) {
            return None;
        }
        state.failures = state.failures.saturating_add(1);
        let is_refusal = error.status() == Some(503);
        state.refusals = if is_refusal { state.refusals + 1 } else { 0 };
        let length = match &state.suspension {
            Some(last) => last
                .length
                .saturating_mul(2)
                .min(rules.longest.max(rules.first)),
            None if state.failures >= rules.after => rules.first,
            None if is_refusal => back_off(state.refusals).min(rules.first),
            None => return None,
        };
        let suspension = Suspension {
            began: state.suspension.as_ref().map_or(now, |last| last.began),
            until: later(now, length),
            why: error.to_string(),
            length,
        };
        state.suspension = Some(suspension.clone());
        state.trial_ends = None;
        state.generation += 1;
        Some(suspension)
    }
}

/// Ends a trial that came to nothing; does nothing after a success or failure, which ended it.
impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut state = self.health.lock();
        if state.generation == self.generation {
            state.trial_ends = None;
        }
    }
}

/// A time beyond what an `Instant` can say is a year from now, which is as good as never.
fn later(now: Instant, by: Duration) -> Instant {
    let year = Duration::from_secs(365 * 24 * 3600);
    now.checked_add(by)
        .or_else(|| now.checked_add(year))
        .unwrap_or(now)
}

fn back_off(refusals: u32) -> Duration {
    BACK_OFF.saturating_mul(1 << (refusals - 1).min(16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StatusError;

    const RULES: SuspensionRules = SuspensionRules {
        after: 3,
        first: Duration::from_secs(30),
        longest: Duration::from_secs(100),
    };

    fn error(code: u16) -> Error {
        StatusError {
            service: "s".into(),
            code,
            reason: String::new(),
        }
        .into()
    }

    fn fail(health: &Health, code: u16, now: Instant) -> Option<Duration> {
        let admission = health.admit(now).ok()?;
        let suspension = admission.failed(&error(code), now)?;
        Some(suspension.until - now)
    }

    #[test]
    fn a_server_is_suspended_after_failures_in_a_row() {
        let (health, now) = (Health::new(RULES), Instant::now());
        assert_eq!(fail(&health, 500, now), None);
        assert_eq!(fail(&health, 500, now), None);
        health.admit(now).unwrap().succeeded(now);
        assert_eq!(fail(&health, 500, now), None);
        assert_eq!(fail(&health, 500, now), None);
        assert_eq!(fail(&health, 500, now), Some(RULES.first));
        let suspension = health.admit(now).err().unwrap();
        assert_eq!(
            (suspension.why.as_str(), suspension.began),
            ("s answered 500", now)
        );
    }

    #[test]
    fn one_caller_tries_first_and_a_failure_doubles_the_time() {
        let (health, mut now) = (Health::new(RULES), Instant::now());
        let began = now;
        for _ in 0..3 {
            fail(&health, 500, now);
        }
        for length in [60, 100, 100] {
            now = health.suspension().unwrap().until;
            assert!(health.admit(now - Duration::from_millis(1)).is_err());
            let trial = health.admit(now).unwrap();
            assert!(health.admit(now).is_err(), "one is trying it");
            let suspension = trial.failed(&error(500), now).unwrap();
            assert_eq!(suspension.until - now, Duration::from_secs(length));
            assert_eq!(suspension.began, began, "since it first failed");
        }
        now = health.suspension().unwrap().until;
        drop(health.admit(now).unwrap());
        health.admit(now).unwrap().succeeded(now);
        assert!(health.admit(now).is_ok() && health.suspension().is_none());
    }

    #[test]
    fn callers_that_were_under_way_do_not_make_it_longer() {
        let (health, now) = (Health::new(RULES), Instant::now());
        let under_way: Vec<_> = (0..9).map(|_| health.admit(now).unwrap()).collect();
        let suspended = |a: Admission<'_>| a.failed(&error(500), now).is_some();
        assert_eq!(
            under_way.into_iter().map(suspended).filter(|s| *s).count(),
            1
        );
        assert_eq!(health.suspension().unwrap().until - now, RULES.first);
    }

    #[test]
    fn a_trial_that_takes_for_ever_does_not_lock_the_others_out() {
        let (health, mut now) = (Health::new(RULES), Instant::now());
        for _ in 0..3 {
            fail(&health, 500, now);
        }
        now += RULES.first;
        let trial = health.admit(now).unwrap();
        assert!(
            health
                .admit(now + RULES.first - Duration::from_millis(1))
                .is_err()
        );
        let second = health.admit(now + RULES.first).unwrap();
        // What comes of the first says nothing any more.
        trial.succeeded(now);
        assert!(health.suspension().is_some());
        second.succeeded(now);
        assert!(health.suspension().is_none());
    }

    #[test]
    fn who_was_under_way_when_a_pause_began_does_not_lift_it() {
        let (health, now) = (Health::new(RULES), Instant::now());
        let under_way = health.admit(now).unwrap();
        assert!(under_way.overtaken().is_none());
        assert_eq!(fail(&health, 503, now), Some(BACK_OFF));
        assert!(under_way.overtaken().is_some());
        under_way.succeeded(now);
        assert!(health.suspension().is_some());
    }

    #[test]
    fn the_longest_suspension_is_none_too_short() {
        let rules = SuspensionRules {
            after: 1,
            first: Duration::MAX,
            longest: Duration::ZERO,
        };
        let (health, now) = (Health::new(rules), Instant::now());
        assert!(
            fail(&health, 500, now).is_some_and(|length| length > Duration::from_secs(1 << 20))
        );
    }

    #[test]
    fn connections_that_break_all_at_once_are_no_failures_in_a_row() {
        let (health, now) = (Health::new(RULES), Instant::now());
        let lost = || {
            crate::error::Error::from(crate::error::DisconnectedError {
                service: "s".into(),
                phase: crate::error::Phase::Read,
                source: std::io::ErrorKind::ConnectionReset.into(),
            })
        };
        let under_way: Vec<_> = (0..9).map(|_| health.admit(now).unwrap()).collect();
        let later = now + Duration::from_millis(1);
        health.admit(later).unwrap().succeeded(later);
        for admission in under_way {
            assert!(admission.failed(&lost(), later).is_none());
        }
        assert!(health.suspension().is_none());
        // Those that began later count.
        let count = |_| {
            health
                .admit(later)
                .unwrap()
                .failed(&lost(), later)
                .is_some()
        };
        assert_eq!((0..3).map(count).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn a_503_is_a_pause_at_once_that_grows() {
        let (health, mut now) = (Health::new(RULES), Instant::now());
        assert_eq!(fail(&health, 503, now), Some(BACK_OFF));
        now += BACK_OFF;
        assert_eq!(fail(&health, 503, now), Some(2 * BACK_OFF));
    }
}
