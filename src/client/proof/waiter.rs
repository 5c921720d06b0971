//! A caller that waits for the canary of another caller, and for how long; and what the error of a canary means for others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::State;
use crate::client::outcome::AttemptError;
use crate::error::{Error, TimeLimit};

/// A caller that waits for another's canary.
pub(super) struct Waiter {
    pub(super) since: Instant,
    /// How many canaries had ended when it last looked; `None` before its first look.
    pub(super) ended: Option<u64>,
    /// The timeout that ended a canary, and that this caller has not waited for yet.
    pub(super) timeout: Option<(Duration, Arc<Error>)>,
}

impl Waiter {
    /// How long it waits, at most.
    pub(super) fn cap(&self, left: Duration, waited: Duration) -> Duration {
        match &self.timeout {
            Some((after, _)) => left.min(after.saturating_sub(waited)),
            None => left,
        }
    }

    /// The error of the canary for a caller that waited for it, if it is one for others too. A timeout of another
    /// caller is one of this caller as soon as it has waited for as long.
    pub(super) fn outcome(&mut self, state: &State, waited: Duration) -> Option<AttemptError> {
        let before = self.ended.replace(state.ended)?;
        if state.ended != before {
            match state.failure.as_deref() {
                None => self.timeout = None,
                Some(Error::Timeout(error)) if is_of_server(error.limit()) => {
                    self.timeout = state
                        .failure
                        .clone()
                        .map(|failure| (error.after(), failure));
                }
                Some(error) if !is_shareable(error) => {}
                Some(error) => return Some(shared(error)),
            }
        }
        let (after, failure) = self.timeout.as_ref()?;
        (waited >= *after).then(|| shared(failure))
    }
}

/// Whether an error is one for all who waited: not that one caller's time was over, or that it gave up.
fn is_shareable(error: &Error) -> bool {
    !error.is_cancelled() && !matches!(error, Error::Timeout(_))
}

fn shared(failure: &Error) -> AttemptError {
    AttemptError {
        error: failure.duplicate(),
        is_shared: true,
        is_of_options: false,
    }
}

/// Whether the server was not there, or let a timeout run out. The content would most likely meet the same, and only
/// after that would the next server be asked.
pub(super) fn would_fail_again(error: &Error) -> bool {
    match error {
        Error::Connect(error) => error.is_the_servers,
        Error::Timeout(error) => error.is_the_servers || is_of_server(error.limit()),
        _ => false,
    }
}

fn is_of_server(limit: TimeLimit) -> bool {
    !matches!(limit, TimeLimit::Deadline | TimeLimit::DeadlineShare)
}
