//! Several servers for one task: which to ask, and when to go on to the next.

use std::sync::Arc;

use super::Client;
use super::health::Admission;
use super::stats::{Counters, Suspended, count};
use crate::error::{Error, InputError, InvalidInput, Phase, Violation};
use crate::net::clock::Clock;

/// The servers, the first being the preferred one.
#[derive(Debug)]
pub(crate) struct Endpoints {
    first: Client,
    others: Vec<Client>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
}

/// What an attempt came to.
pub(crate) struct Done<T> {
    pub(crate) value: T,
    /// The server answered, so it is well.
    pub(crate) is_answered: bool,
    /// The server did not scan, and another one can be asked: there is time, and the content can be
    /// sent again.
    pub(crate) asks_next: bool,
}

/// An attempt that failed.
pub(crate) struct Unsuccessful {
    pub(crate) error: Error,
    /// There can be another: there is time, and the content can be sent again.
    pub(crate) can_repeat: bool,
    /// The failure is another caller's, who was waited for, and is counted there.
    pub(crate) is_shared: bool,
}

impl Endpoints {
    pub(crate) fn new(
        first: Client,
        others: Vec<Client>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            first,
            others,
            clock,
            counters,
        }
    }

    /// Calls `attempt` with one server after the other, until one is not to blame for what comes of
    /// it, or until the attempt cannot be repeated. What a server that did not scan came to is the result
    /// only if no other one scans. Servers that are suspended are passed over; if all are, that is the
    /// error.
    pub(crate) fn try_each<T>(
        &self,
        mut attempt: impl FnMut(&Client, &Admission<'_>) -> Result<Done<T>, Unsuccessful>,
    ) -> Result<T, Error> {
        let mut unscanned = None;
        let mut failed = None;
        let mut suspended = None;
        for client in self.iter() {
            let admission = match client.health().admit(self.clock.now()) {
                Ok(admission) => admission,
                Err(suspension) => {
                    suspended.get_or_insert_with(|| client.suspended(&suspension));
                    continue;
                }
            };
            if failed.is_some() || unscanned.is_some() {
                count(&self.counters.failovers);
            }
            match attempt(client, &admission) {
                Ok(done) => {
                    if done.is_answered {
                        admission.succeeded(self.clock.now());
                    }
                    if !done.asks_next {
                        return Ok(done.value);
                    }
                    unscanned.get_or_insert(done.value);
                }
                Err(unsuccessful) => {
                    let can_repeat = unsuccessful.can_repeat;
                    let error = self.blame(client, admission, unsuccessful);
                    if !can_repeat || !is_the_servers(&error) {
                        return unscanned.ok_or(error);
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(unscanned) = unscanned {
            return Ok(unscanned);
        }
        // One of the two is there, because there is a server, and it is asked or suspended.
        let nobody = || InputError::new(InvalidInput::Uri, "no server").into();
        Err(failed.or(suspended).unwrap_or_else(nobody))
    }

    /// The preferred server.
    pub(crate) fn first(&self) -> &Client {
        &self.first
    }

    pub(crate) fn idle_connections(&self) -> u64 {
        self.iter()
            .map(|client| client.idle_connections() as u64)
            .sum()
    }

    /// The servers that are suspended now.
    pub(crate) fn suspended(&self) -> Vec<Suspended> {
        let now = self.clock.now();
        let suspended = |client: &Client| {
            let suspension = client.health().suspension()?;
            Some(Suspended {
                service: client.name().to_owned(),
                failing_for: now.saturating_duration_since(suspension.began),
                retry_in: suspension.until.saturating_duration_since(now),
                why: suspension.why,
            })
        };
        self.iter().filter_map(suspended).collect()
    }

    fn iter(&self) -> impl Iterator<Item = &Client> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Remembers what an attempt says about its server; returns the error.
    fn blame(&self, client: &Client, admission: Admission<'_>, failed: Unsuccessful) -> Error {
        let Unsuccessful {
            error, is_shared, ..
        } = failed;
        // Those who waited for another's timeout have waited too: each is a thread that was parked.
        let is_counted = !is_shared || error.is_timeout();
        if matches!(error, Error::Suspended(_)) {
            // Overtaken in line; nothing was asked.
        } else if !is_the_servers(&error) {
            if error.status().is_some() {
                admission.succeeded(self.clock.now());
            }
        } else if is_counted {
            let now = self.clock.now();
            if let Some(suspension) = admission.failed(&error, now) {
                client.forget_options();
                let length = suspension.until.saturating_duration_since(now).as_millis();
                log::warn!(
                    "{}: suspended for {length} ms, because: {error}",
                    client.name()
                );
            }
        }
        error
    }
}

/// Whether another server may do better: this one is not there, does not answer in time, breaks off,
/// or reports a failure of its own. What the caller, its deadline or other callers took is not.
fn is_the_servers(error: &Error) -> bool {
    match error {
        Error::Timeout(error) => error.phase() != Phase::Checkout && error.is_the_servers(),
        Error::Protocol(error) => {
            matches!(
                error.violation(),
                Violation::Truncated | Violation::IncompleteUpload
            )
        }
        error => error.is_unavailable(),
    }
}
