//! A scan while it runs. Every scan is counted, measured and logged here, whichever way it goes.

use std::time::{Duration, Instant};

use super::Shared;
use super::report::Report;
use super::verdict::Verdict;
use crate::error::Error;
use crate::proto::text::{CUT, displayable};
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

    /// The service that is asked first.
    pub(super) fn service(&self) -> &'s str {
        self.shared.endpoints.first().name()
    }

    /// Counts and logs the result, and adds to it the name of the content and the duration.
    pub(super) fn finish(
        self,
        name: Option<String>,
        result: Result<Report, Error>,
    ) -> Result<Report, Error> {
        let now = self.shared.endpoints.first().now_for_waits();
        let took = now.saturating_duration_since(self.began);
        log_result(name.as_deref(), &result, took);
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

/// Characters of a verdict in a log line. A service may name a hundred threats.
const MAX_VERDICT: usize = 500;

/// One line for an operator. The name, the verdict and the error have no control characters and an end: a line cannot be
/// forged.
fn log_result(name: Option<&str>, result: &Result<Report, Error>, took: Duration) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    // Quotation marks are escaped as well, so the end of the name is known.
    let name = name.map(|name| format!("{:?}", displayable(name.as_bytes())));
    let content = name.as_deref().unwrap_or("unnamed content");
    let took = took.as_millis();
    match result {
        Ok(report) => log::info!(
            "{}: scan of {content}, {} bytes, {took} ms, {}: {}",
            report.service(),
            report.bytes_sent(),
            report.connection(),
            shortened(report.verdict().to_string()),
        ),
        Err(error) => log::info!("scan of {content}, {took} ms, error: {error}"),
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(MAX_VERDICT) {
        Some((end, _)) => format!("{}{CUT}", &text[..end]),
        None => text,
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
