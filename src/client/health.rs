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
    suspension: Option<Suspension>,
    /// A caller is trying the server, and the others wait for what comes of it.
    on_trial: bool,
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
        let is_trial = match &state.suspension {
            None => false,
            Some(suspension) if state.on_trial || now < suspension.until => {
                return Err(suspension.clone());
            }
            Some(_) => true,
        };
        state.on_trial = is_trial;
        Ok(Admission {
            health: self,
            is_trial,
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
pub(crate) struct Admission<'h> {
    health: &'h Health,
    is_trial: bool,
}

impl Admission<'_> {
    /// The server answered.
    pub(crate) fn succeeded(self) {
        *self.health.lock() = State::default();
        std::mem::forget(self);
    }

    /// The server failed. Returns the suspension if that began one.
    pub(crate) fn failed(self, error: &Error, now: Instant) -> Option<Suspension> {
        let rules = self.health.rules;
        let mut state = self.health.lock();
        state.failures = state.failures.saturating_add(1);
        state.refusals = if error.status() == Some(503) {
            state.refusals + 1
        } else {
            0
        };
        let length = match &state.suspension {
            // Others that were under way when it began do not make it longer.
            Some(_) if !self.is_trial => return None,
            Some(last) => last.length.saturating_mul(2).min(rules.longest),
            None if state.failures >= rules.after => rules.first,
            None if state.refusals > 0 => back_off(state.refusals).min(rules.first),
            None => return None,
        };
        let began = state.suspension.as_ref().map_or(now, |last| last.began);
        let until = now.checked_add(length).unwrap_or(now);
        let suspension = Suspension {
            began,
            until,
            why: error.to_string(),
            length,
        };
        state.suspension = Some(suspension.clone());
        Some(suspension)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.health.lock().on_trial = false;
        }
    }
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
        health.admit(now).unwrap().succeeded();
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
        health.admit(now).unwrap().succeeded();
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
    fn a_503_is_a_pause_at_once_that_grows() {
        let (health, mut now) = (Health::new(RULES), Instant::now());
        assert_eq!(fail(&health, 503, now), Some(BACK_OFF));
        now += BACK_OFF;
        assert_eq!(fail(&health, 503, now), Some(2 * BACK_OFF));
    }
}
