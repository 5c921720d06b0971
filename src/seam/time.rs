//! Time. Every timeout, deadline, age and interval asks the [`Clock`] of its scanner.

#![allow(clippy::disallowed_methods, reason = "this is the seam")]

use std::fmt;
use std::time::Instant;

/// A monotonic clock. Give a scanner one of your own to test what expires without waiting for it, see
/// [`ScannerBuilder::clock`](crate::ScannerBuilder::clock).
pub trait Clock: Send + Sync {
    /// The time by which things expire: idle connections, cached `OPTIONS` responses, suspensions. It may stand
    /// still, but it never goes back.
    fn now(&self) -> Instant;

    /// The time by which timeouts and deadlines are measured. The default is the system's monotonic clock.
    ///
    /// It must move while a call waits. If it stands still, a wait for a silent server never ends. Return
    /// [`now`](Self::now) here only together with a [`Stream`](crate::Stream) that does not really wait.
    fn now_for_waits(&self) -> Instant {
        Instant::now()
    }
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
