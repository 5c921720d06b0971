//! Time. Every timeout, deadline, age and interval asks the [`Clock`] of its scanner.

#![allow(clippy::disallowed_methods, reason = "this is the seam")]

use std::fmt;
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

/// The system's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}

impl fmt::Debug for dyn Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
