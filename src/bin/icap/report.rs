//! The output for each file, the summary and the exit status.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use icap_client::{Error, Report, Verdict};
use serde_json::Value;

use crate::progress::Progress;
use crate::text::{chain, safe, safe_json};

/// The exit status. A later variant takes precedence over an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// 0: everything is clean.
    Clean,
    /// 2: a file is not known to be clean.
    Unsure,
    /// 1: a file is infected or blocked.
    Found,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Clean => Self::SUCCESS,
            Status::Found => Self::from(1),
            Status::Unsure => Self::from(2),
        }
    }
}

/// The outcome for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Clean,
    Infected,
    Blocked,
    Modified,
    NotScanned,
    Error,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Clean,
        Self::Infected,
        Self::Blocked,
        Self::Modified,
        Self::NotScanned,
        Self::Error,
    ];

    /// The name in JSON, which programs rely on.
    fn key(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Infected => "infected",
            Self::Blocked => "blocked",
            Self::Modified => "modified",
            Self::NotScanned => "not_scanned",
            Self::Error => "error",
        }
    }
}

/// The output for one file.
pub(crate) struct Entry {
    name: String,
    outcome: Outcome,
    /// The text after the name.
    line: String,
    threats: Vec<String>,
    /// The text beyond the verdict.
    detail: Option<String>,
    status: Option<u16>,
    istag: Option<String>,
    bytes_sent: Option<u64>,
    elapsed: Duration,
    service: String,
}

impl Entry {
    pub(crate) fn judged(name: &str, report: &Report) -> Self {
        let verdict = report.verdict();
        let (outcome, detail) = match verdict {
            Verdict::Clean => (Outcome::Clean, None),
            Verdict::Infected(threats) => (Outcome::Infected, Some(threats.to_string())),
            Verdict::Blocked(blocked) => (Outcome::Blocked, Some(blocked.to_string())),
            Verdict::Modified(modified) => (Outcome::Modified, Some(modified.to_string())),
            Verdict::NotScanned(why) => {
                let advice = report.advice().map(|advice| format!(" ({advice})"));
                let detail = format!("{why}{}", advice.unwrap_or_default());
                (Outcome::NotScanned, Some(detail))
            }
            unknown => (Outcome::NotScanned, Some(unknown.to_string())),
        };
        let threats = match verdict {
            Verdict::Infected(threats) => threats.names().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Self {
            name: name.to_owned(),
            outcome,
            line: verdict.to_string(),
            threats,
            detail,
            status: report.status(),
            istag: report.istag().map(str::to_owned),
            bytes_sent: Some(report.bytes_sent()),
            elapsed: report.elapsed(),
            service: report.service().to_owned(),
        }
    }

    pub(crate) fn failed(
        name: &str,
        error: &(dyn std::error::Error + 'static),
        service: &str,
        elapsed: Duration,
    ) -> Self {
        let why = chain(error);
        Self {
            name: name.to_owned(),
            outcome: Outcome::Error,
            line: format!("error: {why}"),
            threats: Vec::new(),
            detail: Some(why),
            status: error.downcast_ref::<Error>().and_then(Error::status),
            istag: None,
            bytes_sent: None,
            elapsed,
            service: service.to_owned(),
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// One JSON object on one line. Every file has the same keys in the same order.
    fn to_json(&self) -> String {
        let elapsed = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        let fields: [(&str, Value); 9] = [
            ("file", self.name.as_str().into()),
            ("verdict", self.outcome.key().into()),
            ("threats", self.threats.clone().into()),
            ("detail", self.detail.clone().into()),
            ("status", self.status.into()),
            ("istag", self.istag.clone().into()),
            ("bytes_sent", self.bytes_sent.into()),
            ("elapsed_ms", elapsed.into()),
            ("service", self.service.as_str().into()),
        ];
        // An object of serde_json would be sorted by key.
        let fields = fields.map(|(key, value)| format!("\"{key}\":{value}"));
        safe_json(&format!("{{{}}}", fields.join(",")))
    }
}

/// `invoice.pdf: clean`
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", safe(&self.name), safe(&self.line))
    }
}

/// The number of files for each outcome.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    counts: [usize; Outcome::ALL.len()],
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.counts[outcome as usize] += 1;
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.counts[outcome as usize]
    }

    fn total(&self) -> usize {
        self.counts.iter().sum()
    }

    /// A finding takes precedence over an unknown outcome.
    pub(crate) fn status(&self) -> Status {
        if self.count(Outcome::Infected) + self.count(Outcome::Blocked) > 0 {
            Status::Found
        } else if self.count(Outcome::Clean) == self.total() {
            Status::Clean
        } else {
            Status::Unsure
        }
    }

    /// The status if not all files were scanned, or not all results were printed.
    pub(crate) fn status_if_cut_short(&self) -> Status {
        self.status().max(Status::Unsure)
    }
}

/// `3 files: 1 clean, 1 infected, 1 not scanned`
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(f, "{total} file{}", if total == 1 { "" } else { "s" })?;
        let mut separator = ": ";
        for outcome in Outcome::ALL {
            let count = self.count(outcome);
            let word = match outcome {
                Outcome::Error if count > 1 => "errors",
                Outcome::NotScanned => "not scanned",
                other => other.key(),
            };
            if count > 0 {
                write!(f, "{separator}{count} {word}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// How entries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Format {
    pub(crate) json: bool,
    /// Leaves out clean files.
    pub(crate) quiet: bool,
}

impl Format {
    /// Prints an entry to standard output while the progress bar is hidden.
    pub(crate) fn print(self, entry: &Entry, progress: &Progress) -> io::Result<()> {
        if self.quiet && entry.outcome == Outcome::Clean {
            return Ok(());
        }
        let line = if self.json {
            entry.to_json()
        } else {
            entry.to_string()
        };
        progress.aside(|| writeln!(io::stdout(), "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::default();
        outcomes.iter().for_each(|&outcome| tally.add(outcome));
        tally
    }

    #[test]
    fn summary_leaves_out_outcomes_without_files() {
        use Outcome::{Blocked, Clean, Error, Infected, Modified, NotScanned};
        for (outcomes, summary) in [
            (&[][..], "0 files"),
            (&[Clean], "1 file: 1 clean"),
            (
                &[NotScanned, Infected, Clean],
                "3 files: 1 clean, 1 infected, 1 not scanned",
            ),
            (
                &[Error, Blocked, Error, Modified],
                "4 files: 1 blocked, 1 modified, 2 errors",
            ),
            (&[Error, Clean, Clean], "3 files: 2 clean, 1 error"),
        ] {
            assert_eq!(tally(outcomes).to_string(), summary);
        }
    }

    #[test]
    fn finding_takes_precedence_over_unknown() {
        use Outcome::{Blocked, Clean, Error, Infected, Modified, NotScanned};
        for (outcomes, status) in [
            (&[][..], Status::Clean),
            (&[Clean, Clean], Status::Clean),
            (&[Clean, Infected], Status::Found),
            (&[Blocked], Status::Found),
            (&[Clean, Modified], Status::Unsure),
            (&[NotScanned], Status::Unsure),
            (&[Error], Status::Unsure),
            (&[Error, Infected, NotScanned], Status::Found),
            (&[Blocked, Error], Status::Found),
        ] {
            assert_eq!(tally(outcomes).status(), status, "{outcomes:?}");
        }
        assert_eq!(tally(&[Clean]).status_if_cut_short(), Status::Unsure);
        assert_eq!(tally(&[Infected]).status_if_cut_short(), Status::Found);
    }
}
