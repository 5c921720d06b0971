//! Several servers for one task: which to ask, and when to go on to the next.

use std::sync::Arc;

use super::Client;
use super::call::Call;
use super::circuit_breaker::{Admission, Failure};
use super::stats::{Counters, Suspended, count};
use crate::error::{Error, InputError, InvalidInput, Phase, Violation};
use crate::net::clock::Clock;
use crate::net::deadline::Deadline;

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
    /// The server scanned: it works.
    pub(crate) is_success: bool,
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
    /// It is about `OPTIONS`, and the content was not sent.
    pub(crate) is_of_options: bool,
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
        deadline: Deadline,
        mut attempt: impl FnMut(&Client, &Call<'_>) -> Result<Done<T>, Unsuccessful>,
    ) -> Result<T, Error> {
        let mut unscanned = None;
        let mut failed = None;
        let mut suspended = None;
        for client in self.iter() {
            let admission = match client.breaker().admit(self.clock.now()) {
                Ok(admission) => admission,
                Err(rejection) => {
                    suspended.get_or_insert_with(|| client.suspended(rejection));
                    continue;
                }
            };
            if failed.is_some() || unscanned.is_some() {
                count(&self.counters.failovers);
            }
            let call = Call::new(deadline, admission);
            match attempt_while_full(client, &call, &mut attempt) {
                Ok(done) => {
                    if done.is_success {
                        self.succeeded(client, call);
                    }
                    if !done.asks_next {
                        return Ok(done.value);
                    }
                    unscanned.get_or_insert(done.value);
                }
                Err(unsuccessful) => {
                    let asks_next = unsuccessful.can_repeat
                        && asks_next_server(&unsuccessful.error, unsuccessful.is_of_options);
                    let error = self.blame(client, call, unsuccessful);
                    if !asks_next {
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
            let rejection = client.breaker().rejection()?;
            Some(Suspended {
                service: client.name().to_owned(),
                failing_for: now.saturating_duration_since(rejection.since),
                retry_in: rejection.next_trial.saturating_duration_since(now),
                why: rejection.why,
            })
        };
        self.iter().filter_map(suspended).collect()
    }

    fn iter(&self) -> impl Iterator<Item = &Client> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn succeeded(&self, client: &Client, call: Call<'_>) {
        if let Some(since) = call.into_admission().and_then(Admission::succeeded) {
            let outage = self.clock.now().saturating_duration_since(since);
            let name = client.name();
            log::info!("{name}: used again after {} ms", outage.as_millis());
        }
    }

    /// Remembers what an attempt says about its server; returns the error.
    fn blame(&self, client: &Client, call: Call<'_>, failed: Unsuccessful) -> Error {
        let Unsuccessful {
            error, is_shared, ..
        } = failed;
        // Those who waited for another's timeout have waited too: each is a thread that was parked.
        let is_counted = !is_shared || error.is_timeout();
        match (failure_of(&error), call.into_admission()) {
            (Some(failure), Some(admission)) if is_counted => {
                let (why, now) = (error.with_causes(), self.clock.now());
                if let Some(wait) = admission.failed(failure, &why, now) {
                    client.forget_options();
                    let name = client.name();
                    log::warn!("{name}: suspended for {} ms: {why}", wait.as_millis());
                }
            }
            _ => {}
        }
        error
    }
}

/// An attempt, and another one each time the server turns it away because it is full of others.
fn attempt_while_full<T>(
    client: &Client,
    call: &Call<'_>,
    attempt: &mut impl FnMut(&Client, &Call<'_>) -> Result<Done<T>, Unsuccessful>,
) -> Result<Done<T>, Unsuccessful> {
    loop {
        match attempt(client, call) {
            Err(failed)
                if failed.can_repeat
                    && has_room_later(&failed.error)
                    && client.wait_in_line(call).is_some() =>
            {
                log::debug!("{}: stands in line again: {}", client.name(), failed.error);
            }
            outcome => return outcome,
        }
    }
}

fn has_room_later(error: &Error) -> bool {
    matches!(error, Error::Status(error) if error.has_room_later)
}

/// How the server failed: it is not there, does not answer in time, breaks off, reports a failure of
/// its own, or does not serve. What the caller, its deadline or other callers took is no failure of the
/// server (rule R10).
fn failure_of(error: &Error) -> Option<Failure> {
    match error {
        Error::Status(error) if error.has_room_later => None,
        Error::Status(error) => match error.code() {
            503 => Some(Failure::Overload),
            // It has no such service or method, does not understand requests, or not this version.
            400 | 404 | 405 | 500.. => Some(Failure::Refusal),
            _ => None,
        },
        Error::Timeout(error) => {
            let is_its_own = error.phase() != Phase::Checkout && error.is_the_servers();
            is_its_own.then_some(Failure::Loss)
        }
        Error::Protocol(error) => match error.violation() {
            Violation::Truncated | Violation::IncompleteUpload => Some(Failure::Loss),
            // What is there speaks another protocol.
            Violation::BadStatusLine | Violation::Unsolicited => Some(Failure::Refusal),
            _ => None,
        },
        Error::Connect(_) | Error::Disconnected(_) => Some(Failure::Loss),
        _ => None,
    }
}

/// Whether another server may do better: this one failed, is suspended, or has no room. Nothing that
/// comes of `OPTIONS` says anything about the content.
fn asks_next_server(error: &Error, is_of_options: bool) -> bool {
    match error {
        Error::Timeout(error) if error.phase() == Phase::Checkout => true,
        Error::Suspended(_) => true,
        Error::Status(_) | Error::Protocol(_) if is_of_options => true,
        error => failure_of(error).is_some() || has_room_later(error),
    }
}
