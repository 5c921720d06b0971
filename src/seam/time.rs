//! Time. Every timeout, deadline, age and interval asks the [`Clock`] of its scanner.

#![allow(clippy::disallowed_methods, reason = "this is the seam")]

use std::fmt;
use std::time::Instant;

/// A monotonic clock. Give a scanner one of your own to test what expires without waiting for it, see
/// [`ScannerBuilder::clock`](crate::ScannerBuilder::clock).
pub trait Clock: Send + Sync {
    /// The time by which things expire: idle connections, cached options, suspensions. It is never
    /// earlier than it was before, and it may stand still.
    fn now(&self) -> Instant;

    /// The time by which waits are measured: timeouts and deadlines. The default is the system's monotonic
    /// clock.
    ///
    /// This one must go on while a call waits: a wait for a peer that is silent ends when this says so.
    /// A clock of simulated time, for streams that do not really wait, returns the same as
    /// [`now`](Self::now).
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
