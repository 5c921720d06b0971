//! The time one exchange has, and which limit it was when it is over.
//!
//! Two kinds of limit work together. A *timeout* bounds one wait and begins anew with every byte of
//! progress; a peer that sends a byte a second never reaches it. The *deadline* bounds everything
//! from the first look-up to the last byte, whatever the progress.

use std::time::{Duration, Instant};

use crate::error::{Phase, TimeLimit, TimeoutError};

/// The timeouts of one exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
    pub(crate) write: Duration,
    /// For a place in the line of a full server; the connect timeout unless it is set.
    pub(crate) wait: Option<Duration>,
}

impl Timeouts {
    pub(crate) fn wait(&self) -> Duration {
        self.wait.unwrap_or(self.connect)
    }
}

/// When an exchange must be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    limit: Option<Duration>,
    /// `None` also where the limit lies beyond what an `Instant` can say.
    at: Option<Instant>,
}

impl Deadline {
    /// Begins now; `None` is never.
    pub(crate) fn start(limit: Option<Duration>) -> Self {
        let at = limit.and_then(|limit| Instant::now().checked_add(limit));
        Self { limit, at }
    }

    /// How long one wait may take: the timeout or what is left, whichever is less. `None` when
    /// nothing is left, so that no wait is ever given a zero timeout.
    pub(crate) fn cap(&self, timeout: Duration) -> Option<Duration> {
        let left = self.at.map_or(timeout, |at| {
            at.saturating_duration_since(Instant::now()).min(timeout)
        });
        (!left.is_zero()).then_some(left)
    }

    /// What is left, as far as one wait goes: an hour where there is no bound.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.cap(Duration::from_secs(3600))
    }

    /// Says what ran out in `phase`: the deadline if it is over, else the timeout of that phase.
    /// `waited` is how long the server had been waited for.
    pub(crate) fn timeout_error(
        &self,
        service: &str,
        phase: Phase,
        timeouts: &Timeouts,
        waited: Duration,
    ) -> TimeoutError {
        let over = self.at.is_some_and(|at| Instant::now() >= at);
        let (limit, after) = match (phase, self.limit.filter(|_| over)) {
            (_, Some(deadline)) => (TimeLimit::Deadline, deadline),
            (Phase::Checkout, None) => (TimeLimit::WaitTimeout, timeouts.wait()),
            (Phase::Connect, None) => (TimeLimit::ConnectTimeout, timeouts.connect),
            (Phase::Write, None) => (TimeLimit::WriteTimeout, timeouts.write),
            (Phase::Read, None) => (TimeLimit::ReadTimeout, timeouts.read),
        };
        TimeoutError {
            service: service.to_owned(),
            phase,
            limit,
            after,
            waited,
            source: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(1),
        read: Duration::from_secs(2),
        write: Duration::from_secs(3),
        wait: Some(Duration::from_secs(4)),
    };

    #[test]
    fn a_wait_takes_the_shorter_of_timeout_and_what_is_left() {
        assert_eq!(Deadline::start(None).cap(HOUR), Some(HOUR));
        assert_eq!(
            Deadline::start(Some(HOUR)).cap(Duration::from_secs(1)),
            Some(Duration::from_secs(1))
        );
        let left = Deadline::start(Some(Duration::from_secs(60))).cap(HOUR);
        assert!(left.is_some_and(|left| left <= Duration::from_secs(60)));
        assert_eq!(Deadline::start(Some(Duration::ZERO)).cap(HOUR), None);
        assert_eq!(Deadline::start(None).cap(Duration::ZERO), None);
    }

    #[test]
    fn a_deadline_beyond_the_end_of_time_is_never() {
        assert_eq!(Deadline::start(Some(Duration::MAX)).cap(HOUR), Some(HOUR));
    }

    #[test]
    fn the_error_names_the_limit_that_ran_out() {
        for (phase, limit, after) in [
            (Phase::Checkout, TimeLimit::WaitTimeout, TIMEOUTS.wait()),
            (Phase::Connect, TimeLimit::ConnectTimeout, TIMEOUTS.connect),
            (Phase::Read, TimeLimit::ReadTimeout, TIMEOUTS.read),
            (Phase::Write, TimeLimit::WriteTimeout, TIMEOUTS.write),
        ] {
            let error =
                Deadline::start(Some(HOUR)).timeout_error("s", phase, &TIMEOUTS, Duration::ZERO);
            assert_eq!(
                (error.limit, error.after, error.phase),
                (limit, after, phase)
            );
            let error = Deadline::start(Some(Duration::ZERO)).timeout_error(
                "s",
                phase,
                &TIMEOUTS,
                Duration::ZERO,
            );
            assert_eq!(
                (error.limit, error.after),
                (TimeLimit::Deadline, Duration::ZERO)
            );
        }
    }
}
