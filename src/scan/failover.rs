//! Several servers for one task: which to ask, and when to go on to the next.

use std::sync::Arc;

use crate::client::Client;
use crate::client::call::Call;
use crate::client::circuit_breaker::{Admission, Failure};
use crate::error::{Error, InputError, InvalidInput, StatusError, TimeLimit, Violation};
use crate::net::clock::Clock;
use crate::net::deadline::Deadline;
use crate::stats::Suspended;
use crate::stats::counters::{Counters, count};

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

impl Unsuccessful {
    /// Whether another server is to be asked: this one failed, took its time, is suspended, or has no
    /// room. Nothing that comes of `OPTIONS` says anything about the content.
    fn asks_next(&self) -> bool {
        let is_no_verdict = match &self.error {
            Error::Connect(_)
            | Error::Timeout(_)
            | Error::Disconnected(_)
            | Error::Suspended(_) => true,
            Error::Status(error) => self.is_of_options || !serves(error),
            Error::Protocol(error) => {
                let violation = error.violation();
                self.is_of_options || is_cut(violation) || is_foreign(violation)
            }
            Error::Content(_) | Error::Output(_) | Error::Input(_) => false,
        };
        self.can_repeat && is_no_verdict
    }
}

/// What the servers asked so far came to, the first of each kind.
struct SoFar<T> {
    unscanned: Option<T>,
    failed: Option<Error>,
    suspended: Option<Error>,
}

impl<T> SoFar<T> {
    fn has_asked(&self) -> bool {
        self.unscanned.is_some() || self.failed.is_some()
    }

    /// Nobody is asked after this error.
    fn end_with(self, error: Error) -> Result<T, Error> {
        let is_late = matches!(&error, Error::Timeout(e) if e.limit() == TimeLimit::Deadline);
        // That time is over says less than why it was not enough.
        let why = self.failed.filter(|_| is_late).unwrap_or(error);
        self.unscanned.ok_or(why)
    }

    /// There is nobody else to ask.
    fn end(self) -> Result<T, Error> {
        // One of them is there, because there is a server, and it is asked or suspended.
        let nobody = || InputError::new(InvalidInput::Uri, "no server").into();
        let error = self.failed.or(self.suspended);
        self.unscanned.ok_or_else(|| error.unwrap_or_else(nobody))
    }
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
    ///
    /// If `can_repeat`, the content can be sent to more than one.
    pub(crate) fn try_each<T>(
        &self,
        deadline: Deadline,
        can_repeat: bool,
        mut attempt: impl FnMut(&Client, &Call<'_>) -> Result<Done<T>, Unsuccessful>,
    ) -> Result<T, Error> {
        let mut so_far = SoFar {
            unscanned: None,
            failed: None,
            suspended: None,
        };
        for (place, client) in self.iter().enumerate() {
            let admission = match client.breaker().admit(self.clock.now()) {
                Ok(admission) => admission,
                Err(rejection) => {
                    let suspended = || client.suspended(rejection);
                    so_far.suspended.get_or_insert_with(suspended);
                    continue;
                }
            };
            if so_far.has_asked() {
                count(&self.counters.failovers);
            }
            let call = Call::new(self.share(deadline, place, can_repeat), admission);
            match attempt_while_full(client, &call, &mut attempt) {
                Ok(done) => {
                    if done.is_success {
                        self.succeeded(client, call);
                    }
                    if !done.asks_next {
                        return Ok(done.value);
                    }
                    so_far.unscanned.get_or_insert(done.value);
                }
                Err(failed) => {
                    let asks_next = failed.asks_next();
                    let error = self.blame(client, call, failed);
                    if !asks_next {
                        return so_far.end_with(error);
                    }
                    so_far.failed.get_or_insert(error);
                }
            }
        }
        so_far.end()
    }

    /// When the server at `place` must be done, so that the next one has time as well if there is one.
    fn share(&self, deadline: Deadline, place: usize, can_repeat: bool) -> Deadline {
        let now = self.clock.now();
        let mut next = self.iter().skip(place + 1);
        match next.find(|client| client.breaker().would_admit(now)) {
            Some(next) if can_repeat => deadline.share(next.read_timeout()),
            _ => deadline,
        }
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
                    && client.lines_up_again(call) =>
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

/// How the server failed: it is not there, does not respond in time, breaks off, reports a failure of
/// its own, or does not serve. What the caller, its deadline, this machine or other callers took is no
/// failure of the server (rule R10).
fn failure_of(error: &Error) -> Option<Failure> {
    let (is_the_servers, failure) = match error {
        Error::Status(error) if error.code() == 503 => (!error.has_room_later, Failure::Overload),
        Error::Status(error) => (!serves(error), Failure::Refusal),
        Error::Connect(error) => (error.is_the_servers, Failure::Loss),
        Error::Timeout(error) => (error.is_the_servers, Failure::Loss),
        Error::Disconnected(error) => (error.is_the_servers, Failure::Loss),
        Error::Protocol(error) if is_cut(error.violation()) => {
            (!error.is_after_pause, Failure::Loss)
        }
        Error::Protocol(error) => (is_foreign(error.violation()), Failure::Refusal),
        _ => return None,
    };
    is_the_servers.then_some(failure)
}

/// Not if the server failed, has no such service or method, or does not understand such requests.
fn serves(error: &StatusError) -> bool {
    error.failure.is_none() && !matches!(error.code(), 400 | 404 | 405 | 500..)
}

/// The connection ended before the response did.
fn is_cut(violation: Violation) -> bool {
    matches!(
        violation,
        Violation::Truncated | Violation::IncompleteUpload
    )
}

/// What is there does not speak ICAP.
fn is_foreign(violation: Violation) -> bool {
    matches!(violation, Violation::BadStatusLine | Violation::Unsolicited)
}
