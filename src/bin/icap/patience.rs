//! Waiting for a service that stops serving during the run, for example because it restarts.

use std::time::{Duration, Instant};

use icap_client::Error;

/// The pause between attempts, unless the error says how long to wait.
const PAUSE: Duration = Duration::from_millis(100);

/// How long an outage may take, and when the present one began.
#[derive(Debug)]
pub(crate) struct Patience {
    longest: Option<Duration>,
    /// If a service has never served, its address is probably wrong.
    has_served: bool,
    outage_since: Option<Instant>,
}

impl Patience {
    /// With `None` it never waits.
    pub(crate) fn new(longest: Option<Duration>) -> Self {
        Self {
            longest,
            has_served: false,
            outage_since: None,
        }
    }

    /// Notes that the service gave a verdict.
    pub(crate) fn served(&mut self) {
        self.has_served = true;
        self.outage_since = None;
    }

    /// How long to wait before a file is scanned again after `error`; `None` if it is not to be scanned again.
    /// With `can_resend` its content may be sent again.
    pub(crate) fn pause_after(&mut self, error: &Error, can_resend: bool) -> Option<Duration> {
        let longest = self.longest.filter(|_| self.has_served)?;
        let pause = match error {
            // Nothing was sent. Some content may have been read: see `Once`.
            Error::Suspended(error) => error.retry_in().max(PAUSE / 10),
            Error::Connect(_) => PAUSE,
            Error::Disconnected(_) | Error::Status(_) if can_resend && error.is_retryable() => {
                PAUSE
            }
            _ => return None,
        };
        let since = *self.outage_since.get_or_insert_with(Instant::now);
        let left = longest.saturating_sub(since.elapsed());
        (!left.is_zero()).then(|| pause.min(left))
    }
}
