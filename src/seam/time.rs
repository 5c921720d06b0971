//! Time. Every timeout, deadline, age and interval asks the [`Clock`] of its scanner, through [`Time`].

#![allow(clippy::disallowed_methods, reason = "this is the seam")]

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// A monotonic clock. A test gives its scanner a clock of its own ([`ScannerBuilder::clock`](crate::ScannerBuilder::clock)),
/// so that things expire without a real wait.
pub trait Clock: Send + Sync {
    /// The time by which things expire: idle connections, cached `OPTIONS` responses and verdicts,
    /// suspensions. It may stand still, but it never goes back.
    fn now(&self) -> Instant;

    /// The time by which timeouts and deadlines are measured. The default is the system's monotonic clock.
    ///
    /// It must move while a call waits. If it stands still, a wait for a silent server never ends. An implementation may return
    /// [`now`](Self::now) here only in a test with a [`Stream`](crate::Stream) of its own that never blocks.
    fn now_for_waits(&self) -> Instant {
        Instant::now()
    }
}

/// Milliseconds since 1970 by the system's calendar clock, which processes and machines share and which can be set.
/// Before 1970 it is 0.
pub(crate) fn calendar_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ms = since_1970.unwrap_or_default().as_millis();
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// The clock of a scanner: one that it was given, or else the system's monotonic clock. All scans share it, so the
/// system's has no counter that each of them would change.
#[derive(Clone, Default)]
pub(crate) struct Time(Option<Arc<dyn Clock>>);

impl Time {
    pub(crate) fn of(clock: Arc<dyn Clock>) -> Self {
        Self(Some(clock))
    }

    /// See [`Clock::now`].
    pub(crate) fn now(&self) -> Instant {
        match &self.0 {
            Some(clock) => clock.now(),
            None => Instant::now(),
        }
    }

    /// See [`Clock::now_for_waits`].
    pub(crate) fn now_for_waits(&self) -> Instant {
        match &self.0 {
            Some(clock) => clock.now_for_waits(),
            None => Instant::now(),
        }
    }

    /// The time by which things expire, when that for waits was `waits` just now. They are the same by the system's
    /// clock, which is then not asked.
    pub(crate) fn now_at(&self, waits: Instant) -> Instant {
        match &self.0 {
            Some(clock) => clock.now(),
            None => waits,
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

/// The system's clock as one that a scanner is given.
#[cfg(test)]
pub(crate) struct SystemClock;

#[cfg(test)]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Expires things an hour later than it measures waits.
    struct Ahead(Instant);

    const HOUR: Duration = Duration::from_secs(3600);

    impl Clock for Ahead {
        fn now(&self) -> Instant {
            self.0 + HOUR
        }
        fn now_for_waits(&self) -> Instant {
            self.0
        }
    }

    #[test]
    fn given_clock_is_asked_for_both_times() {
        let start = Instant::now();
        let time = Time::of(Arc::new(Ahead(start)));
        assert_eq!(time.now_for_waits(), start);
        for now in [time.now(), time.now_at(start)] {
            assert_eq!(now, start + HOUR);
        }
        assert_eq!(Time::default().now_at(start), start);
    }
}
