//! Waiting for a service that stops serving while files are scanned, for example because it restarts.

use std::time::{Duration, Instant};

use icap_client::Error;

/// Between attempts, unless the error says when the next one makes sense.
const PAUSE: Duration = Duration::from_millis(100);

/// How long an outage may take, and since when there is one.
#[derive(Debug)]
pub(crate) struct Patience {
    longest: Option<Duration>,
    /// A service that never served is more likely a wrong address.
    has_served: bool,
    outage_since: Option<Instant>,
}

impl Patience {
    /// `None` is no patience at all.
    pub(crate) fn new(longest: Option<Duration>) -> Self {
        Self {
            longest,
            has_served: false,
            outage_since: None,
        }
    }

    /// The service gave a verdict.
    pub(crate) fn served(&mut self) {
        self.has_served = true;
        self.outage_since = None;
    }

    /// How long to wait until a file is scanned again that ended in `error`; `None` if that makes no
    /// sense. If `can_resend`, its content may be sent once more.
    pub(crate) fn pause_after(&mut self, error: &Error, can_resend: bool) -> Option<Duration> {
        let longest = self.longest.filter(|_| self.has_served)?;
        let pause = match error {
            // Nothing was sent. It may have been read, though: see `Once`.
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
