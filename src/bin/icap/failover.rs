//! Several services: which of them failed in a scan, and what the user is told.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use icap_client::Scanner;
use icap_client::stats::EndpointStats;

use crate::text::{of_program, safe};

/// A server that fails now and then is warned of no more often than this.
const PAUSE: Duration = Duration::from_secs(60);

/// What is known about each service of a scanner. All jobs share it.
#[derive(Debug, Default)]
pub(crate) struct Failovers(Mutex<Vec<Service>>);

/// One service, when it was looked at last.
#[derive(Debug, Default, Clone)]
struct Service {
    counts: Counts,
    is_away: bool,
    warned: Option<Instant>,
}

/// Scans of one service so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    reports: u64,
    failures: u64,
}

/// The failures of each service before a scan. It is empty for a single service, of which the error tells.
pub(crate) struct Before(Vec<u64>);

impl Before {
    pub(crate) fn of(scanner: &Scanner, has_several: bool) -> Self {
        if !has_several {
            return Self(Vec::new());
        }
        let endpoints = scanner.stats().endpoints;
        Self(endpoints.iter().map(|it| it.failures).collect())
    }

    /// Adds to `error`, in which a scan has ended, why the other services have failed.
    pub(crate) fn with_all_causes(&self, error: String, scanner: &Scanner) -> String {
        if self.0.is_empty() {
            return error;
        }
        let endpoints = scanner.stats().endpoints;
        let failed = endpoints.iter().zip(&self.0);
        let failed = failed.filter(|(now, before)| now.is_suspended || now.failures > **before);
        let causes = failed.filter_map(|(now, _)| now.last_failure.as_deref());
        causes.map(of_program).fold(error, |text, cause| {
            if text.contains(&cause) {
                text
            } else {
                format!("{text}; {cause}")
            }
        })
    }
}

/// The warning of a service that is away.
pub(crate) fn warning(cause: &str) -> String {
    format!("warning: another service was asked: {}", safe(cause))
}

impl Failovers {
    /// Takes the numbers after a scan that a service has served. Returns the failures to warn of: one for each outage.
    pub(crate) fn warnings(&self, endpoints: &[EndpointStats]) -> Vec<String> {
        let mut services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        services.resize_with(endpoints.len(), Service::default);
        let services = services.iter_mut().zip(endpoints);
        let failed = services.filter_map(|(service, now)| {
            let counts = Counts {
                reports: now.reports,
                failures: now.failures,
            };
            let is_new = service.is_new_outage(counts, Instant::now());
            now.last_failure.as_deref().filter(|_| is_new)
        });
        failed.map(of_program).collect()
    }
}

impl Service {
    fn is_new_outage(&mut self, now: Counts, time: Instant) -> bool {
        let before = std::mem::replace(&mut self.counts, now);
        if now.failures == before.failures {
            self.is_away &= now.reports == before.reports;
            return false;
        }
        let was_away = std::mem::replace(&mut self.is_away, true);
        let is_due = self
            .warned
            .is_none_or(|then| time.saturating_duration_since(then) >= PAUSE);
        if was_away || !is_due {
            return false;
        }
        self.warned = Some(time);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_is_warned_of_once_and_at_most_once_a_minute() {
        let mut service = Service::default();
        let began = Instant::now();
        for (reports, failures, seconds, is_warned) in [
            (1, 0, 0, false),
            (1, 1, 1, true),
            (1, 2, 2, false),
            (1, 2, 90, false),
            // Still the same outage.
            (1, 3, 91, false),
            (2, 3, 92, false),
            (2, 4, 93, true),
            (3, 4, 94, false),
            (3, 5, 95, false),
        ] {
            let time = began + Duration::from_secs(seconds);
            let counts = Counts { reports, failures };
            assert_eq!(service.is_new_outage(counts, time), is_warned, "{seconds}");
        }
    }
}
