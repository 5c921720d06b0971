//! A scan while it runs. Every scan is counted, measured and logged here, whichever way it goes.

use std::time::{Duration, Instant};

use super::Shared;
use super::report::Report;
use super::verdict::Verdict;
use crate::error::Error;
use crate::proto::text::{CUT, displayable, is_displayable};
use crate::stats::Outcome;

/// A scan that has begun. Without [`finish`](Self::finish), because of a panic, it counts as neither verdict nor error.
pub(super) struct Running<'s> {
    shared: &'s Shared,
    began: Instant,
}

impl<'s> Running<'s> {
    pub(super) fn begin(shared: &'s Shared) -> Self {
        // The caller's clock may panic, and what has not begun does not end.
        let began = shared.endpoints().first().now_for_waits();
        shared.counters().begun();
        Self { shared, began }
    }

    /// When it began, by the clock for waits.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// The service that is asked first.
    pub(super) fn service(&self) -> &'s str {
        self.shared.endpoints().first().name()
    }

    /// Counts and logs the result, and adds to it the name of the content and the duration.
    pub(super) fn finish(
        self,
        name: Option<String>,
        mut result: Result<Report, Error>,
    ) -> Result<Report, Error> {
        let now = self.shared.endpoints().first().now_for_waits();
        let took = now.saturating_duration_since(self.began);
        let counters = self.shared.counters();
        match &mut result {
            Ok(report) => {
                counters.record(outcome(report.verdict()), took);
                report.finish(name, took);
            }
            Err(error) => {
                counters.failed(error.kind(), took);
                error.set_name(name);
            }
        }
        log_result(&result, took);
        result
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.counters().ended();
    }
}

/// Characters of a verdict or an error in a log line. A service may name a hundred threats.
const MAX_TEXT: usize = 500;

/// One line for an operator, which no name and no text can forge.
fn log_result(result: &Result<Report, Error>, took: Duration) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    let name = match result {
        Ok(report) => report.name(),
        Err(error) => error.name(),
    };
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
            one_line(&report.verdict().to_string()),
        ),
        Err(error) => {
            let error = one_line(&error.to_string());
            log::info!("scan of {content}, {took} ms, error: {error}");
        }
    }
}

/// One line with an end. The error of a caller's reader can have any text.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == MAX_TEXT => {
                line.push(CUT);
                break;
            }
            _ if is_displayable(c) => line.push(c),
            _ => line.extend(c.escape_default()),
        }
    }
    line
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
