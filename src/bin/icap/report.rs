//! What is printed of all files, and the exit status.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::BinaryBytes;

use crate::entry::{Entry, Outcome};
use crate::progress::Progress;

/// The exit status. A later variant takes precedence over an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// 0: everything is clean.
    Clean,
    /// 2: a file is not known to be clean.
    Unsure,
    /// 1: a file is infected or blocked.
    Found,
    /// A signal ended the program. Its status is 130 after Ctrl-C.
    Interrupted(u8),
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Clean => Self::SUCCESS,
            Status::Found => Self::from(1),
            Status::Unsure => Self::from(2),
            Status::Interrupted(status) => Self::from(status),
        }
    }
}

/// The number of files for each outcome.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    counts: [u64; Outcome::ALL.len()],
    bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: Outcome, bytes: u64) {
        self.counts[outcome as usize] += 1;
        self.bytes += bytes;
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total() == 0
    }

    fn total(&self) -> u64 {
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

    /// Whether a file was sent to the end. Otherwise a rate means nothing.
    pub(crate) fn has_sent(&self) -> bool {
        let unsent = self.count(Outcome::Error) + self.count(Outcome::NotScanned);
        self.bytes > 0 || unsent < self.total()
    }

    /// `12.00 MiB in 4.0 s: 125 files/s, 3.00 MiB/s`
    pub(crate) fn rate(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        #[allow(clippy::cast_precision_loss, reason = "a rate is not exact")]
        let files = self.total() as f64 / seconds;
        let bytes = BinaryBytes(self.bytes);
        let rate = BinaryBytes(per_second(self.bytes, seconds));
        let digits = usize::from(files < 10.0);
        let seconds_digits = if seconds < 1.0 { 3 } else { 1 };
        format!("{bytes} in {seconds:.seconds_digits$} s: {files:.digits$} files/s, {rate}/s")
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rate is not exact, and it is positive"
)]
pub(crate) fn per_second(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 / seconds) as u64
}

/// `3 files: 1 clean, 1 infected, 1 not scanned`
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(f, "{total} file{}", if total == 1 { "" } else { "s" })?;
        let mut separator = ": ";
        for outcome in Outcome::ALL {
            let count = self.count(outcome);
            if count > 0 {
                write!(f, "{separator}{count} {}", outcome.words(count))?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Which files are printed. Errors always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shown {
    #[default]
    All,
    NotClean,
    /// Infected and blocked files.
    Found,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Format {
    pub(crate) json: bool,
    pub(crate) shown: Shown,
    pub(crate) no_summary: bool,
}

impl Format {
    pub(crate) fn has_summary(self) -> bool {
        !self.json && !self.no_summary
    }

    /// Prints a verdict to standard output and an error to standard error. JSON is all on standard output.
    pub(crate) fn print(self, entry: &Entry, progress: &Progress) -> io::Result<()> {
        if !self.shows(entry.outcome) {
            return Ok(());
        }
        if self.json {
            let line = entry.to_json()?;
            return progress.aside(|| writeln!(io::stdout(), "{line}"));
        }
        progress.aside(|| match entry.outcome {
            Outcome::Error => writeln!(anstream::stderr(), "{entry}"),
            _ => writeln!(anstream::stdout(), "{entry}"),
        })
    }

    /// Whether a file was not scanned, and neither its line nor a summary tells it.
    pub(crate) fn hides_unscanned(self, entry: &Entry) -> bool {
        entry.outcome == Outcome::NotScanned && !self.shows(entry.outcome) && self.no_summary
    }

    fn shows(self, outcome: Outcome) -> bool {
        match self.shown {
            _ if outcome == Outcome::Error => true,
            Shown::All => true,
            Shown::NotClean => outcome != Outcome::Clean,
            Shown::Found => outcome.is_found(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(outcomes: &[Outcome]) -> Tally {
        let mut tally = Tally::default();
        outcomes.iter().for_each(|&outcome| tally.add(outcome, 0));
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

    #[test]
    fn rate_has_files_and_bytes() {
        let mut tally = Tally::default();
        (0..1000).for_each(|_| tally.add(Outcome::Clean, 4096));
        assert_eq!(
            tally.rate(Duration::from_secs(4)),
            "3.91 MiB in 4.0 s: 250 files/s, 1000.00 KiB/s"
        );
        assert!(
            Tally::default()
                .rate(Duration::ZERO)
                .starts_with("0 B in 0.001 s")
        );
    }
}
