//! The servers of a scanner, and which of them is asked next in one scan.

use super::report::Report;
use crate::client::Client;
use crate::client::call::Call;
use crate::client::outcome::AttemptError;
use crate::error::{Error, InputError, InvalidInput, TimeLimit};
use crate::net::deadline::Deadline;
use crate::stats::{EndpointStats, SuspendedServer};

/// The servers; the first is the preferred one.
#[derive(Debug)]
pub(crate) struct Endpoints {
    first: Client,
    others: Vec<Client>,
}

impl Endpoints {
    pub(crate) fn new(first: Client, others: Vec<Client>) -> Self {
        Self { first, others }
    }

    /// The preferred server.
    pub(crate) fn first(&self) -> &Client {
        &self.first
    }

    pub(crate) fn stats(&self) -> Vec<EndpointStats> {
        let stats = |(index, client): (usize, &Client)| EndpointStats {
            index,
            ..client.stats()
        };
        self.iter().enumerate().map(stats).collect()
    }

    /// The servers that are suspended now.
    pub(crate) fn suspended(&self) -> Vec<SuspendedServer> {
        let suspended = |client: &Client| {
            let now = client.now();
            let rejection = client.breaker().rejection()?;
            Some(SuspendedServer {
                service: client.name().to_owned(),
                failing_for: now.saturating_duration_since(rejection.since),
                retry_in: rejection.next_trial.saturating_duration_since(now),
                kind: rejection.why.kind,
                why: rejection.why.text,
            })
        };
        self.iter().filter_map(suspended).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Which servers one scan asks, and what they came to.
///
/// A scan goes on to the next server until one is not to blame for its result, or until the scan cannot be
/// repeated. The report of a server that did not scan is the result only if no other server scans. Suspended
/// servers are passed over; if all are suspended, that is the error.
pub(super) struct Failover<'e> {
    endpoints: &'e Endpoints,
    /// Of the whole scan.
    deadline: Deadline,
    /// The content can be sent to more than one server, however long it is.
    is_repeatable: bool,
    /// How many servers were asked or passed over.
    passed: usize,
    /// The number of the server that was asked last; the first is 1.
    asked: usize,
    /// How many servers are passed over if the scan goes on with content that can be sent again; `None` if it does not.
    resume_after: Option<usize>,
    /// The server that is asked once more because it was full.
    full: Option<Call<'e>>,
    /// No other server is asked.
    is_over: bool,
    /// The result, unless it is an error.
    report: Option<Report>,
    /// The error that is the result if there is no report.
    failed: Option<Error>,
    /// The first suspension, if there is nothing else.
    suspended: Option<Error>,
}

impl<'e> Failover<'e> {
    pub(super) fn new(endpoints: &'e Endpoints, deadline: Deadline, is_repeatable: bool) -> Self {
        Self {
            endpoints,
            deadline,
            is_repeatable,
            passed: 0,
            asked: 0,
            resume_after: None,
            full: None,
            is_over: false,
            report: None,
            failed: None,
            suspended: None,
        }
    }

    /// The next server whose circuit breaker admits the scan; `None` at the end.
    pub(super) fn next_server(&mut self) -> Option<Call<'e>> {
        if self.is_over || self.full.is_some() {
            return self.full.take();
        }
        let endpoints = self.endpoints;
        while let Some(client) = endpoints.iter().nth(self.passed) {
            self.passed += 1;
            match client.admit() {
                Ok(admission) => {
                    if self.asked == self.passed {
                        client.is_asked_again();
                    } else if self.report.is_some() || self.failed.is_some() {
                        client.is_asked_after_another();
                    }
                    self.asked = self.passed;
                    return Some(Call::new(client, self.share(), admission));
                }
                Err(rejection) => {
                    let suspended = || client.suspended(rejection);
                    self.suspended.get_or_insert_with(suspended);
                }
            }
        }
        None
    }

    /// All servers except the one that was asked last.
    pub(super) fn all_but_last_asked(&self) -> impl Iterator<Item = &'e Client> + use<'e> {
        let asked = self.asked;
        let numbered = (1..).zip(self.endpoints.iter());
        numbered.filter_map(move |(number, client)| (number != asked).then_some(client))
    }

    /// The server that was asked last, if one was.
    pub(super) fn last_asked(&self) -> Option<&'e Client> {
        self.endpoints.iter().nth(self.asked.checked_sub(1)?)
    }

    /// Takes the `outcome` of `call`. The scan `can_repeat` while there is time and the content can be sent
    /// again.
    pub(super) fn take(
        &mut self,
        mut call: Call<'e>,
        outcome: Result<Report, AttemptError>,
        can_repeat: impl Fn() -> bool,
    ) {
        if outcome.as_ref().is_ok_and(Report::had_connection) {
            call.client.has_reported();
        }
        self.resume_after = self.resumption(&call, &outcome);
        match outcome {
            Ok(report) if report.verdict().asks_next_server() && can_repeat() => {
                self.report.get_or_insert(report);
            }
            Ok(report) => {
                self.report = Some(report);
                self.is_over = true;
            }
            Err(failed) if can_repeat() && call.lines_up_again(&failed.error) => {
                let name = call.client.name();
                log::debug!("{name}: stands in line again: {}", failed.error);
                self.full = Some(call);
            }
            Err(failed) => {
                self.is_over = !can_repeat() || !failed.error.allows_failover(failed.is_of_options);
                call.failed(&failed);
                self.take_error(failed.error);
            }
        }
    }

    /// Where the scan goes on after this outcome if the content can be sent again: at the next server. Only a server
    /// that broke the connection is asked once more. One that had begun to respond too early is not: it does not scan,
    /// and its next response may come late enough to be taken for a verdict.
    fn resumption(&self, call: &Call<'_>, outcome: &Result<Report, AttemptError>) -> Option<usize> {
        match outcome {
            Ok(report) => report.verdict().asks_next_server().then_some(self.asked),
            Err(failed) => {
                let asks_again = failed.error.is_broken_connection() && !call.broke_off_early;
                let allows_failover = failed.error.allows_failover(failed.is_of_options);
                allows_failover.then_some(self.asked - usize::from(asks_again))
            }
        }
    }

    /// Whether content that could not be sent again may come to a better outcome if it now can be.
    pub(super) fn can_resume(&self) -> bool {
        let is_server = |&after: &usize| self.endpoints.iter().nth(after).is_some();
        self.resume_after.is_some_and(|after| is_server(&after))
    }

    /// Goes on after this outcome, with content that can be sent again from now on.
    pub(super) fn resume(&mut self, outcome: Result<Report, Error>) {
        self.passed = self.resume_after.take().unwrap_or(self.passed);
        self.is_repeatable = true;
        self.is_over = false;
        match outcome {
            Ok(report) => self.report = Some(report),
            Err(error) => self.failed = Some(error),
        }
    }

    /// Keeps the first error, or the one that ends the scan.
    fn take_error(&mut self, error: Error) {
        let is_late = matches!(&error, Error::Timeout(e) if e.limit() == TimeLimit::Deadline);
        // That time is over says less than the failure that took the time.
        if self.failed.is_none() || (self.is_over && !is_late) {
            self.failed = Some(error);
        }
    }

    /// The result. If it is a report, an [error](Self::error) stays here.
    pub(super) fn result(&mut self) -> Result<Report, Error> {
        if let Some(error) = self.failed.take_if(|error| error.is_cancelled()) {
            return Err(error);
        }
        if let Some(report) = self.report.take() {
            return Ok(report);
        }
        let error = self.failed.take().or_else(|| self.suspended.take());
        // One of the errors is there if there is no report: there is a server, and it was asked or suspended.
        let no_server = || InputError::new(InvalidInput::Uri, "no server").into();
        Err(error.unwrap_or_else(no_server))
    }

    /// An error that came to less than a report.
    pub(super) fn error(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// When the server just taken must be done, so that the next one has time as well if there is one.
    fn share(&self) -> Deadline {
        let would_admit = |client: &&Client| client.breaker().would_admit(client.now());
        match self.endpoints.iter().skip(self.passed).find(would_admit) {
            Some(next) if self.is_repeatable => self.deadline.share(next.read_timeout()),
            _ => self.deadline.clone(),
        }
    }
}
