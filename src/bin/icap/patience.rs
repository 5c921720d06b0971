//! Waiting for a service that stops serving during the run, for example because it restarts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use icap_client::Error;
use icap_client::error::Phase;

use crate::text::of_program;

/// The pause between attempts, unless the error says how long to wait.
const PAUSE: Duration = Duration::from_millis(100);

/// How long an outage may take, and when the present one began. All jobs share it.
#[derive(Debug)]
pub(crate) struct Patience {
    longest: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// If a service has never served, its address is probably wrong.
    has_served: bool,
    outage_since: Option<Instant>,
    /// The error after which no further file is scanned.
    given_up: Option<String>,
}

/// What to do with a file after an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Scan it again after this pause.
    Again(Duration),
    /// The error is the result for this file.
    Fail,
    /// The service is away. No further file is scanned.
    GiveUp,
}

impl Patience {
    /// With `None` it never waits.
    pub(crate) fn new(longest: Option<Duration>) -> Self {
        Self {
            longest,
            state: Mutex::default(),
        }
    }

    /// Notes that the service gave a verdict.
    pub(crate) fn served(&self) {
        let mut state = self.state();
        state.has_served = true;
        state.outage_since = None;
    }

    /// With `can_resend` the content may be sent again. `all_causes` adds what other services failed at.
    pub(crate) fn after(
        &self,
        error: &Error,
        can_resend: bool,
        all_causes: impl FnOnce(String) -> String,
    ) -> Next {
        let (is_away, pause) = match error {
            // Nothing was sent. Some content may have been read: see `Once`.
            Error::Suspended(error) => (true, error.retry_in().max(PAUSE / 10)),
            Error::Connect(_) => (true, PAUSE),
            Error::Timeout(error) if error.phase() == Phase::Connect => (true, PAUSE),
            Error::Disconnected(_) | Error::Status(_) if can_resend && error.is_retryable() => {
                (false, PAUSE)
            }
            _ => return Next::Fail,
        };
        let mut state = self.state();
        match state.time_left(self.longest) {
            Some(left) => Next::Again(pause.min(left)),
            None if is_away => {
                state
                    .given_up
                    .get_or_insert_with(|| all_causes(cause(error)));
                Next::GiveUp
            }
            None => Next::Fail,
        }
    }

    /// Why no further file is scanned.
    pub(crate) fn given_up(&self) -> Option<String> {
        self.state().given_up.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the service is away. That it is suspended is a consequence.
fn cause(error: &Error) -> String {
    match error {
        Error::Suspended(error) => error.why().to_owned(),
        error => of_program(&error.to_string()),
    }
}

impl State {
    /// What is left of the time for this outage; `None` if the service is not waited for.
    fn time_left(&mut self, longest: Option<Duration>) -> Option<Duration> {
        let longest = longest.filter(|_| self.has_served && self.given_up.is_none())?;
        let since = *self.outage_since.get_or_insert_with(Instant::now);
        let left = longest.saturating_sub(since.elapsed());
        (!left.is_zero()).then_some(left)
    }
}
