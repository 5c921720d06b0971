//! How long an exchange may take, and which limit ended it.
//!
//! Two kinds of limit work together. A *timeout* limits one wait and begins again with every byte of progress,
//! so a peer that sends a byte a second never reaches it. The *deadline* limits everything from the first
//! look-up to the last byte.
//!
//! The deadline also has the [`Cancel`] of its scan, because every wait asks it. Only with one are waits cut into
//! slices.

use std::time::{Duration, Instant};

use super::cancel::{CANCEL_INTERVAL, Cancel};
use crate::error::{CancelledError, Phase, TimeLimit, TimeoutError};
use crate::seam::time::Time;

/// The timeouts of one exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
    pub(crate) write: Duration,
    /// For a place in the line of a full server. `None` is the connect timeout.
    pub(crate) wait: Option<Duration>,
    /// From the last byte sent to the end of the response's ICAP head. `None` is the read timeout.
    pub(crate) response: Option<Duration>,
}

impl Timeouts {
    pub(crate) fn wait(&self) -> Duration {
        self.wait.unwrap_or(self.connect)
    }

    pub(crate) fn response(&self) -> Duration {
        self.response.unwrap_or(self.read)
    }
}

/// A limit that ran out, and how long it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RanOut {
    pub(crate) limit: TimeLimit,
    pub(crate) after: Duration,
}

impl RanOut {
    /// The error of a wait for `service` that this limit ended. It does not blame the server (rule R10); the
    /// caller changes that where it is to blame.
    pub(crate) fn error(self, service: &str, phase: Phase) -> TimeoutError {
        TimeoutError {
            service: service.to_owned(),
            phase,
            limit: self.limit,
            after: self.after,
            is_the_servers: false,
            silence: None,
            is_crowded: false,
            is_of_options: false,
            source: None,
            name: None,
        }
    }
}

/// The time at which something must be over, and the clock that it is compared with.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    clock: Time,
    /// The limit, and how long it was at the beginning.
    what: RanOut,
    /// `None` is never, and so is a time beyond the range of `Instant`.
    at: Option<Instant>,
    /// What ends the waits earlier.
    cancel: Option<Cancel>,
}

impl Deadline {
    /// A deadline that begins now; `None` is never.
    pub(crate) fn start(clock: &Time, limit: Option<Duration>) -> Self {
        Self::start_at(clock, clock.now_for_waits(), limit)
    }

    /// The same where it is known that it is `now`.
    pub(crate) fn start_at(clock: &Time, now: Instant, limit: Option<Duration>) -> Self {
        let what = RanOut {
            limit: TimeLimit::Deadline,
            after: limit.unwrap_or(Duration::MAX),
        };
        Self {
            at: limit.and_then(|limit| now.checked_add(limit)),
            clock: clock.clone(),
            what,
            cancel: None,
        }
    }

    /// The same deadline, with what ends the waits earlier.
    pub(crate) fn or_cancelled(self, cancel: Option<Cancel>) -> Self {
        Self { cancel, ..self }
    }

    /// The same by the system's clock, for code without a scanner: a connector is given a timeout and no clock.
    pub(crate) fn by_system(limit: impl Into<Option<Duration>>) -> Self {
        Self::start(&Time::default(), limit.into())
    }

    /// The time now, by the clock that every wait of this exchange is measured by.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now_for_waits()
    }

    /// How long ago `then` was, by the same clock.
    pub(crate) fn since(&self, then: Instant) -> Duration {
        self.now().saturating_duration_since(then)
    }

    /// The share of one server if another one can be asked after it: all of the time left except for a quarter,
    /// or except for `longest_rest` if that is less.
    pub(crate) fn share(&self, longest_rest: Duration) -> Self {
        let Some(at) = self.at else {
            return self.clone();
        };
        let left = at.saturating_duration_since(self.now());
        let share = left - (left / 4).min(longest_rest);
        self.within(share, TimeLimit::DeadlineShare)
    }

    /// This deadline, or `after` from now on if that is earlier.
    pub(crate) fn within(&self, after: Duration, limit: TimeLimit) -> Self {
        self.within_from(self.now(), after, limit)
    }

    /// The same where it is known that it is `now`.
    pub(crate) fn within_from(&self, now: Instant, after: Duration, limit: TimeLimit) -> Self {
        let mut deadline = self.clone();
        if let Some(at) = now.checked_add(after) {
            if self.at.is_none_or(|earlier| at < earlier) {
                deadline.what = RanOut { limit, after };
                deadline.at = Some(at);
            }
        }
        deadline
    }

    /// The limit that ran out, if the deadline is over.
    pub(crate) fn ran_out(&self) -> Option<RanOut> {
        self.ran_out_at(self.now())
    }

    /// The same where it is known that it is `now`.
    pub(crate) fn ran_out_at(&self, now: Instant) -> Option<RanOut> {
        let is_over = self.at.is_some_and(|at| now >= at);
        is_over.then_some(self.what)
    }

    /// Whether a call of [`Cancel::cancel`] can end the waits.
    pub(crate) fn can_be_cancelled(&self) -> bool {
        self.cancel.is_some()
    }

    /// Whether the caller has cancelled the scan.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }

    /// An error if the caller has cancelled the scan. Nobody else is to blame for what happened since (rule R10).
    pub(crate) fn check_cancelled(
        &self,
        service: &str,
        phase: Phase,
    ) -> Result<(), CancelledError> {
        match self.is_cancelled() {
            true => Err(CancelledError::new(service, phase)),
            false => Ok(()),
        }
    }

    /// How long one wait may take before the deadline is asked again: the timeout or the time left, whichever is
    /// less, and no more than [`CANCEL_INTERVAL`] if the scan can be cancelled. `None` if no time is left or the
    /// scan is cancelled, so that a wait never gets a zero timeout.
    pub(crate) fn cap(&self, timeout: Duration) -> Option<Duration> {
        self.cap_at(self.now(), timeout)
    }

    /// The same where it is known that it is `now`.
    pub(crate) fn cap_at(&self, now: Instant, timeout: Duration) -> Option<Duration> {
        let whole = self.cap_whole_at(now, timeout)?;
        match self.can_be_cancelled() {
            true => Some(whole.min(CANCEL_INTERVAL)),
            false => Some(whole),
        }
    }

    /// The same for a wait that is not cut into slices.
    pub(crate) fn cap_whole(&self, timeout: Duration) -> Option<Duration> {
        self.cap_whole_at(self.now(), timeout)
    }

    fn cap_whole_at(&self, now: Instant, timeout: Duration) -> Option<Duration> {
        if self.is_cancelled() {
            return None;
        }
        // To add is less work than to subtract, and usually enough.
        let end = now.checked_add(timeout);
        let is_first = |at: &Instant| end.is_none_or(|end| *at < end);
        let left = match self.at.filter(is_first) {
            Some(at) => at.saturating_duration_since(now),
            None => timeout,
        };
        (!left.is_zero()).then_some(left)
    }

    /// How long one wait may take before the deadline is asked again: the time left, and an hour at most.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.left_at(self.now())
    }

    /// The same where it is known that it is `now`.
    pub(crate) fn left_at(&self, now: Instant) -> Option<Duration> {
        self.cap_at(now, Duration::from_secs(3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn waits_are_cut_only_if_they_can_be_cancelled() {
        let cancel = Cancel::new();
        let deadline = Deadline::by_system(None).or_cancelled(Some(cancel.clone()));
        let share = deadline.share(HOUR).within(HOUR, TimeLimit::ReadTimeout);
        for deadline in [&deadline, &share] {
            assert_eq!(deadline.left(), Some(CANCEL_INTERVAL));
            let short = Duration::from_millis(1);
            assert_eq!(deadline.cap(short), Some(short));
        }
        assert_eq!(deadline.cap_whole(HOUR), Some(HOUR));
        cancel.cancel();
        for deadline in [&deadline, &share] {
            assert_eq!((deadline.left(), deadline.cap_whole(HOUR)), (None, None));
            assert_eq!(deadline.ran_out(), None);
            assert!(deadline.check_cancelled("service", Phase::Read).is_err());
        }
    }

    #[test]
    fn wait_takes_the_shorter_of_timeout_and_time_left() {
        assert_eq!(Deadline::by_system(None).cap(HOUR), Some(HOUR));
        assert_eq!(
            Deadline::by_system(HOUR).cap(Duration::from_secs(1)),
            Some(Duration::from_secs(1))
        );
        let left = Deadline::by_system(Duration::from_secs(60)).cap(HOUR);
        assert!(left.is_some_and(|left| left <= Duration::from_secs(60)));
        assert_eq!(Deadline::by_system(Duration::ZERO).cap(HOUR), None);
        assert_eq!(Deadline::by_system(None).cap(Duration::ZERO), None);
    }

    #[test]
    fn deadline_beyond_the_range_of_instant_is_never() {
        assert_eq!(Deadline::by_system(Duration::MAX).cap(HOUR), Some(HOUR));
    }

    #[test]
    fn share_leaves_a_quarter_or_the_rest_for_the_next() {
        let second = Duration::from_secs(1);
        let deadline = Deadline::by_system(100 * second);
        let about = |left: Option<Duration>, expected: Duration| {
            left.is_some_and(|left| left <= expected && left + 10 * second > expected)
        };
        assert!(about(deadline.share(HOUR).left(), 75 * second));
        assert!(about(deadline.share(second).left(), 99 * second));
        assert!(about(deadline.share(HOUR).share(HOUR).left(), 57 * second));
        assert_eq!(Deadline::by_system(None).share(HOUR).cap(HOUR), Some(HOUR));
    }

    #[test]
    fn limit_that_came_first_is_the_one_that_ran_out() {
        let start = |seconds| Deadline::by_system(Duration::from_secs(seconds));
        let zero = Duration::ZERO;
        let ran_out = |limit| Some(RanOut { limit, after: zero });
        assert_eq!(start(60).ran_out(), None);
        assert_eq!(start(0).ran_out(), ran_out(TimeLimit::Deadline));
        let share = start(0).share(HOUR);
        assert_eq!(share.ran_out(), ran_out(TimeLimit::Deadline));
        let bounded = start(60).within(zero, TimeLimit::ReadTimeout);
        assert_eq!(bounded.ran_out(), ran_out(TimeLimit::ReadTimeout));
        let bounded = start(0).within(HOUR, TimeLimit::ReadTimeout);
        assert_eq!(bounded.ran_out(), ran_out(TimeLimit::Deadline));
        let unbounded = Deadline::by_system(None).within(Duration::MAX, TimeLimit::ReadTimeout);
        assert_eq!(unbounded.ran_out(), None);
    }
}
