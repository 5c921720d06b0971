//! A clock for tests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::transport::Clock;

/// A clock that moves only by [`advance`](ManualClock::advance). Clones are handles of the same clock.
///
/// Pass it to [`ScannerBuilder::clock`](crate::ScannerBuilder::clock). Options, cached verdicts, idle
/// connections and suspensions expire by it. Timeouts and deadlines take real time.
///
/// ```
/// use std::time::Duration;
/// use icap_client::testing::{ManualClock, Server};
/// use icap_client::{Content, Scanner};
///
/// let server = Server::start()?;
/// let clock = ManualClock::new();
/// let scanner = Scanner::builder(&server.uri()).clock(clock.clone()).build()?;
/// scanner.scan(Content::bytes(b"hello"))?;
/// // The options are valid for an hour. A day later they are requested again.
/// clock.advance(Duration::from_secs(24 * 3600));
/// scanner.scan(Content::bytes(b"hello"))?;
/// assert_eq!(scanner.stats().options_sent, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<Mutex<Instant>>,
}

impl ManualClock {
    /// A clock that begins at the present time.
    #[must_use]
    pub fn new() -> Self {
        let now = Arc::new(Mutex::new(Instant::now()));
        Self { now }
    }

    /// Moves the time forward. The clock does not move if the result is later than an [`Instant`] can hold.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(by).unwrap_or(*now);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
