//! What belongs to all requests of one caller to one server: `OPTIONS`, the scan, and each repetition.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::Client;
use super::circuit_breaker::{Admission, Cause, Failure, Rejection};
use super::outcome::AttemptError;
use crate::error::{Error, Phase, TimeLimit};
use crate::net::checkout::{Place, PooledConnection};
use crate::net::deadline::Deadline;

/// One caller's use of one server: the deadline, the admission by the circuit breaker, and the time spent
/// waiting for a connection.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    pub(crate) client: &'c Client,
    pub(crate) deadline: Deadline,
    /// `None` where the circuit breaker is not asked.
    admission: Option<Admission<'c>>,
    line: Cell<Line>,
    /// The place it had last among the server's connections.
    last_place: Cell<Option<u64>>,
}

/// A connection for one exchange.
pub(super) struct CheckedOut {
    pub(super) connection: PooledConnection,
    /// It was used before, and then by no caller until this one came.
    pub(super) lay_idle: bool,
}

/// How long a caller has waited for a place among the server's connections.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// Before the present wait. A server that turns it away for want of a place sends it back to the line,
    /// and then the time in which it had one was waiting too.
    waited: Duration,
    /// While it stands in line.
    since: Option<Instant>,
    /// When it was last given a place.
    placed: Option<Instant>,
}

impl<'c> Call<'c> {
    pub(crate) fn new(
        client: &'c Client,
        deadline: Deadline,
        admission: impl Into<Option<Admission<'c>>>,
    ) -> Self {
        Self {
            client,
            deadline,
            admission: admission.into(),
            line: Cell::default(),
            last_place: Cell::default(),
        }
    }

    /// Stands in line from now on, unless it does already; returns until when it may.
    fn wait_in_line(&self, timeout: Duration) -> Deadline {
        let mut line = self.line.get();
        let since = *line.since.get_or_insert_with(|| self.deadline.now());
        self.line.set(line);
        let waited = line.waited + self.deadline.since(since);
        let left = timeout.saturating_sub(waited);
        self.deadline.within(left, TimeLimit::WaitTimeout)
    }

    /// Takes a connection from the pool that proves to be idle, or makes a new one.
    pub(super) fn check_out(&self, is_fresh: bool) -> Result<CheckedOut, Error> {
        let wait = self.wait_in_line(self.client.shared.timeouts.wait());
        let Some(place) = self.client.shared.pool.acquire(is_fresh, &wait) else {
            return Err(self.client.timed_out(Phase::Checkout, &self.deadline));
        };
        let is_own = |user| self.last_place.get() == Some(user);
        let lay_idle = place.last_user().is_some_and(|user| !is_own(user));
        self.has_place(place.number());
        // While this call waited in line, others may have found out that the server is gone.
        if let Some(rejection) = self.overtaken() {
            place.give_back();
            return Err(self.client.suspended(rejection));
        }
        let connection = place.connect(&self.deadline)?;
        Ok(CheckedOut {
            lay_idle: lay_idle && connection.is_reused(),
            connection,
        })
    }

    /// Makes a new connection in the place of one that turned out to be gone.
    pub(super) fn connect_again(&self, mut place: Place) -> Result<CheckedOut, Error> {
        self.is_served();
        place.begin_again();
        if let Some(rejection) = self.overtaken() {
            return Err(self.client.suspended(rejection));
        }
        Ok(CheckedOut {
            connection: place.connect(&self.deadline)?,
            lay_idle: false,
        })
    }

    /// It has a place, whose number this is; the time from now on is not spent in line.
    fn has_place(&self, place: u64) {
        let mut line = self.line.get();
        line.waited += self.since(line.since.take());
        line.placed = Some(self.deadline.now());
        self.line.set(line);
        self.last_place.set(Some(place));
    }

    fn since(&self, then: Option<Instant>) -> Duration {
        then.map_or(Duration::ZERO, |then| self.deadline.since(then))
    }

    /// The server had no room for it after all.
    fn is_turned_away(&self) {
        let mut line = self.line.get();
        line.waited += self.since(line.placed.take());
        self.line.set(line);
    }

    /// The server had room for it: if it lines up again, that is another wait.
    pub(super) fn is_served(&self) {
        self.line.set(Line::default());
    }

    /// Whether the server is suspended, and this finds out if it works again.
    pub(super) fn is_trial(&self) -> bool {
        self.admission.as_ref().is_some_and(Admission::is_trial)
    }

    /// Why the server is not asked any more: its circuit has opened meanwhile.
    fn overtaken(&self) -> Option<Rejection> {
        self.admission.as_ref().and_then(Admission::overtaken)
    }

    /// Whether the server turned this call away because it has too many connections, and it may wait for one
    /// any longer.
    pub(crate) fn lines_up_again(&self, error: &Error) -> bool {
        let has_room_later = matches!(error, Error::Status(error) if error.has_room_later);
        if has_room_later {
            self.is_turned_away();
        }
        let timeout = self.client.shared.timeouts.wait();
        has_room_later && self.wait_in_line(timeout).left().is_some()
    }

    /// Tells the circuit breaker that the server scanned.
    pub(crate) fn succeeded(&mut self) {
        if let Some(since) = self.admission.take().and_then(Admission::succeeded) {
            let outage = self.client.now().saturating_duration_since(since);
            let name = self.client.name();
            log::info!("{name}: used again after {} ms", outage.as_millis());
        }
    }

    /// Tells the circuit breaker that the server failed, if it did.
    pub(crate) fn failed(self, failed: &AttemptError) {
        // Those who waited for another's timeout have waited too: each is a thread that was parked.
        let is_counted = !failed.is_shared || failed.error.is_timeout();
        let failure = failure_of(&failed.error).filter(|_| is_counted);
        if let (Some(failure), Some(admission)) = (failure, self.admission) {
            let why = Cause {
                kind: failed.error.kind(),
                text: failed.error.to_string(),
            };
            if let Some(wait) = admission.failed(failure, &why, self.client.now()) {
                // What the server offered before it failed need not hold any more.
                self.client.shared.options.clear();
                let (name, why) = (self.client.name(), why.text);
                log::warn!("{name}: suspended for {} ms: {why}", wait.as_millis());
            }
        }
    }
}

/// How the server failed: it is not there, does not respond in time, breaks off, reports a failure of
/// its own, or does not serve. What the caller, its deadline, this machine or other callers took is no
/// failure of the server (rule R10).
fn failure_of(error: &Error) -> Option<Failure> {
    let (is_the_servers, failure) = match error {
        Error::Status(error) if error.code() == 503 => (!error.has_room_later, Failure::Overload),
        Error::Status(error) => (!error.serves(), Failure::Refusal),
        Error::Connect(error) => (error.is_the_servers, Failure::Loss),
        Error::Timeout(error) => (error.is_the_servers, Failure::Loss),
        Error::Disconnected(error) => (error.is_the_servers, Failure::Loss),
        Error::Protocol(error) if error.violation().is_cut() => {
            (!error.is_after_pause, Failure::Loss)
        }
        Error::Protocol(error) => (error.violation().is_foreign(), Failure::Refusal),
        _ => return None,
    };
    is_the_servers.then_some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(50);

    fn client() -> Client {
        Client::new("icap://127.0.0.1:1344/scan").unwrap()
    }

    fn call_with_a_place(client: &Client) -> Call<'_> {
        let call = Call::new(client, Deadline::by_system(None), None);
        assert!(call.wait_in_line(TIMEOUT).left().is_some());
        call.has_place(1);
        std::thread::sleep(TIMEOUT);
        call
    }

    #[test]
    fn time_with_a_place_is_not_time_in_line() {
        assert!(
            call_with_a_place(&client())
                .wait_in_line(TIMEOUT)
                .left()
                .is_some()
        );
    }

    #[test]
    fn time_with_a_place_in_vain_is_time_in_line() {
        let client = client();
        let call = call_with_a_place(&client);
        call.is_turned_away();
        assert!(call.wait_in_line(TIMEOUT).left().is_none());
    }
}
