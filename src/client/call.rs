//! What belongs to all requests of one caller to one server: `OPTIONS`, the scan, and each repetition.

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
    line: Line,
    /// The number of the place that it had last among the server's connections.
    last_place: Option<u64>,
    /// A response that broke off began before the content was written. So the server did not scan it.
    pub(crate) broke_off_early: bool,
}

/// How long a caller has waited for a place among the server's connections.
#[derive(Debug, Default)]
struct Line {
    /// In earlier waits. If the server turns the caller away for want of a place, the time with a place counts
    /// as a wait too.
    waited: Duration,
    /// When the present wait began.
    since: Option<Instant>,
    /// When the caller was last given a place.
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
            line: Line::default(),
            last_place: None,
            broke_off_early: false,
        }
    }

    /// Takes an idle connection from the pool that proves to be open and silent, or makes a new one.
    pub(super) fn check_out(&mut self, is_fresh: bool) -> Result<PooledConnection, Error> {
        let client = self.client;
        let (now, wait) = self.wait_in_line();
        let Some(place) = client.shared.pool.acquire(is_fresh, &wait, now) else {
            return Err(client.timed_out(Phase::Checkout, &self.deadline));
        };
        if let Err(cancelled) = self
            .deadline
            .check_cancelled(client.name(), Phase::Checkout)
        {
            place.give_back();
            return Err(cancelled.into());
        }
        let last_place = self.last_place.replace(place.number());
        self.leave_line(match place.has_waited() {
            true => self.deadline.now(),
            false => now,
        });
        // While this call waited in line, others may have found out that the server is gone.
        if let Some(rejection) = self.overtaken() {
            place.give_back();
            return Err(client.suspended(rejection));
        }
        place.connect(&self.deadline, last_place)
    }

    /// Makes a new connection in the place of one that turned out to be gone.
    pub(super) fn connect_again(&mut self, mut place: Place) -> Result<PooledConnection, Error> {
        self.is_served();
        place.begin_again();
        match self.overtaken() {
            Some(rejection) => Err(self.client.suspended(rejection)),
            None => place.connect(&self.deadline, None),
        }
    }

    /// Stands in line from now on, unless it does already. Returns the time, and until when it may.
    fn wait_in_line(&mut self) -> (Instant, Deadline) {
        let now = self.deadline.now();
        let since = *self.line.since.get_or_insert(now);
        let waited = self.line.waited + now.saturating_duration_since(since);
        let left = self.client.shared.timeouts.wait().saturating_sub(waited);
        let limit = TimeLimit::WaitTimeout;
        (now, self.deadline.within_from(now, left, limit))
    }

    /// It has a place. Time from now on is not spent in line.
    fn leave_line(&mut self, now: Instant) {
        let since = self.line.since.take().unwrap_or(now);
        self.line.waited += now.saturating_duration_since(since);
        self.line.placed = Some(now);
    }

    /// The time, for the exchange on `connection` that begins now. No time has passed since a place was given for one
    /// that was used before.
    pub(super) fn time_to_begin(&self, connection: &PooledConnection) -> Instant {
        let placed = self.line.placed.filter(|_| connection.is_reused());
        placed.unwrap_or_else(|| self.deadline.now())
    }

    /// The server had no room for it after all.
    fn is_turned_away(&mut self) {
        if let Some(placed) = self.line.placed.take() {
            self.line.waited += self.deadline.since(placed);
        }
    }

    /// The server had room for it. If it lines up again, that is another wait.
    pub(crate) fn is_served(&mut self) {
        self.line = Line::default();
    }

    /// Whether the circuit of the server is open, and this call is a trial.
    pub(crate) fn is_trial(&self) -> bool {
        self.admission.as_ref().is_some_and(Admission::is_trial)
    }

    /// Why the server is not asked any more, if its circuit has opened since this call was admitted.
    fn overtaken(&self) -> Option<Rejection> {
        self.admission.as_ref().and_then(Admission::overtaken)
    }

    /// Whether the server turned this call away because it has too many connections, and this call may wait
    /// longer for one.
    pub(crate) fn lines_up_again(&mut self, error: &Error) -> bool {
        let has_room_later = matches!(error, Error::Status(error) if error.has_room_later);
        if has_room_later {
            self.is_turned_away();
        }
        has_room_later && self.wait_in_line().1.left().is_some()
    }

    /// Tells the circuit breaker that the server scanned.
    pub(crate) fn succeeded(&mut self) {
        if let Some(since) = self.admission.take().and_then(Admission::succeeded) {
            let outage = self.client.now().saturating_duration_since(since);
            let name = self.client.name();
            log::info!("{name}: used again after {} ms", outage.as_millis());
        }
    }

    /// Tells the circuit breaker that the server scanned the content, unless its canary failed after that by the fault of
    /// the server: a server that hangs in each of them must be suspended at last.
    pub(crate) fn scanned(&mut self, canary: Option<&AttemptError>) {
        let failed = canary.filter(|failed| failure_of(&failed.error).is_some());
        match failed {
            None => self.succeeded(),
            // The caller that sent the canary counts its failure. This one had its response.
            Some(failed) if failed.is_shared => self.admission = None,
            Some(_) => {}
        }
    }

    /// Tells the circuit breaker that the server failed, if it did.
    pub(crate) fn failed(self, failed: &AttemptError) {
        // A timeout that was waited for together counts once for each caller: each is a thread that was parked.
        let is_counted = !failed.is_shared || failed.error.is_timeout();
        let failure = failure_of(&failed.error).filter(|_| is_counted);
        if let (Some(failure), Some(admission)) = (failure, self.admission) {
            let why = Cause {
                kind: failed.error.kind(),
                text: failed.error.to_string(),
            };
            self.client.counters().failed(&why.text);
            if let Some(wait) = admission.failed(failure, &why, self.client.now()) {
                // What the server offered before it failed need not hold any more.
                self.client.shared.options.clear();
                let (name, why) = (self.client.name(), why.text);
                log::warn!("{name}: suspended for {} ms: {why}", wait.as_millis());
            }
        }
    }
}

/// How the server failed: it is not there, does not respond in time, breaks off, reports a failure of its own,
/// or does not serve. A failure of the caller, its deadline, this machine or other callers is none of the
/// server (rule R10).
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
        let builder = Client::builder("icap://127.0.0.1:1344/scan").wait_timeout(TIMEOUT);
        builder.build().unwrap()
    }

    fn call_with_a_place(client: &Client) -> Call<'_> {
        let mut call = Call::new(client, Deadline::by_system(None), None);
        let (now, wait) = call.wait_in_line();
        assert!(wait.left().is_some());
        call.leave_line(now);
        std::thread::sleep(TIMEOUT);
        call
    }

    #[test]
    fn time_with_a_place_is_not_time_in_line() {
        let client = client();
        let mut call = call_with_a_place(&client);
        assert!(call.wait_in_line().1.left().is_some());
    }

    #[test]
    fn time_with_a_place_in_vain_is_time_in_line() {
        let client = client();
        let mut call = call_with_a_place(&client);
        call.is_turned_away();
        assert!(call.wait_in_line().1.left().is_none());
    }
}
