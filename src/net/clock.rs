//! Where the time comes from that things expire by: idle connections, cached options, suspensions.
//!
//! Waits on sockets are not measured by it; they take real time.

use std::fmt;
use std::time::Instant;

/// A monotonic clock. Give a scanner one of your own to test what expires without waiting for it, see
/// [`ScannerBuilder::clock`](crate::ScannerBuilder::clock).
pub trait Clock: Send + Sync {
    /// The time now; never earlier than it was before.
    fn now(&self) -> Instant;
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
