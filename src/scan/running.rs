//! A scan while it runs. Every scan is counted and measured here, whichever way it goes.

use std::time::Instant;

use super::Shared;
use super::report::Report;
use super::verdict::Verdict;
use crate::error::Error;
use crate::stats::Outcome;

/// A scan that has begun. Without [`finish`](Self::finish), because of a panic, it counts as neither verdict nor error.
pub(super) struct Running<'s> {
    shared: &'s Shared,
    began: Instant,
}

impl<'s> Running<'s> {
    pub(super) fn begin(shared: &'s Shared) -> Self {
        shared.counters.begun();
        Self {
            shared,
            began: shared.endpoints.first().now_for_waits(),
        }
    }

    /// Counts the result, and adds to it the name of the content and the duration.
    pub(super) fn finish(
        self,
        name: Option<String>,
        result: Result<Report, Error>,
    ) -> Result<Report, Error> {
        let now = self.shared.endpoints.first().now_for_waits();
        let took = now.saturating_duration_since(self.began);
        let counters = &self.shared.counters;
        match result {
            Ok(report) => {
                counters.record(outcome(report.verdict()), took);
                Ok(report.finish(name, took))
            }
            Err(error) => {
                counters.failed(error.kind(), took);
                Err(error.with_name(name))
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.counters.ended();
    }
}

fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Clean => Outcome::Clean,
        Verdict::Infected(_) => Outcome::Infected,
        Verdict::Blocked(_) => Outcome::Blocked,
        Verdict::Modified(_) => Outcome::Modified,
        Verdict::NotScanned(_) => Outcome::NotScanned,
    }
}
