//! The result for one file, as a line of text and as JSON.

use std::fmt;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use icap_client::error::ErrorKind;
use icap_client::policy::Reason;
use icap_client::{Error, Report, Threat, ThreatKind, Verdict};
use serde::Serialize;

use crate::name::Name;
use crate::text::{chain, safe, safe_json};

/// The outcome for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Clean,
    Infected,
    Blocked,
    Modified,
    NotScanned,
    Error,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] = [
        Self::Clean,
        Self::Infected,
        Self::Blocked,
        Self::Modified,
        Self::NotScanned,
        Self::Error,
    ];

    /// Whether the service objects to the file.
    pub(crate) fn is_found(self) -> bool {
        matches!(self, Self::Infected | Self::Blocked)
    }

    pub(crate) fn words(self, count: u64) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Infected => "infected",
            Self::Blocked => "blocked",
            Self::Modified => "modified",
            Self::NotScanned => "not scanned",
            Self::Error if count == 1 => "error",
            Self::Error => "errors",
        }
    }

    fn style(self) -> Style {
        let color = match self {
            Self::Clean => AnsiColor::Green,
            Self::Infected | Self::Blocked => return AnsiColor::Red.on_default().bold(),
            Self::Modified | Self::NotScanned => AnsiColor::Yellow,
            Self::Error => AnsiColor::Magenta,
        };
        color.on_default()
    }
}

/// What is known of a file before it is scanned.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) name: Name,
    /// `None` if it is not known before the end.
    pub(crate) size: Option<u64>,
}

/// The output for one file.
#[derive(Debug)]
pub(crate) struct Entry {
    subject: Subject,
    pub(crate) outcome: Outcome,
    /// The text after the name.
    line: String,
    threats: Vec<Finding>,
    /// The text beyond the verdict.
    detail: Option<String>,
    reason: Option<&'static str>,
    error_kind: Option<&'static str>,
    status: Option<u16>,
    istag: Option<String>,
    bytes_sent: Option<u64>,
    elapsed: Duration,
    service: String,
    /// The file was not scanned because the service is away, as the other files with this mark.
    pub(crate) is_given_up: bool,
}

/// A threat in JSON.
#[derive(Debug, Serialize)]
struct Finding {
    name: Option<String>,
    kind: Option<&'static str>,
    file: Option<String>,
}

impl Finding {
    fn of(threat: &Threat) -> Self {
        let kind = threat.kind().map(|kind| match kind {
            ThreatKind::Virus => "virus",
            ThreatKind::MailPolicyViolation => "mail_policy_violation",
            ThreatKind::ContainerViolation => "container_violation",
            _ => "other",
        });
        Self {
            name: threat.name().map(str::to_owned),
            kind,
            file: threat.file().map(str::to_owned),
        }
    }
}

/// The keys of JSON, in this order. Programs rely on them.
#[derive(Serialize)]
struct Line<'e> {
    file: String,
    file_bytes: Option<&'e [u8]>,
    size: Option<u64>,
    verdict: Outcome,
    threats: &'e [Finding],
    reason: Option<&'static str>,
    error_kind: Option<&'static str>,
    detail: Option<&'e str>,
    status: Option<u16>,
    istag: Option<&'e str>,
    bytes_sent: Option<u64>,
    elapsed_ms: u64,
    service: &'e str,
}

impl Entry {
    pub(crate) fn of(
        subject: Subject,
        result: Result<Report, Error>,
        service: &str,
        elapsed: Duration,
    ) -> Self {
        let reason = Reason::of(&result);
        match result {
            Ok(report) => Self::judged(subject, &report, reason),
            Err(error) => {
                let failed = Self::failed(subject, chain(&error), error.kind(), service, elapsed);
                Self {
                    reason: reason.map(Reason::code),
                    status: error.status(),
                    ..failed
                }
            }
        }
    }

    fn judged(subject: Subject, report: &Report, reason: Option<Reason>) -> Self {
        let verdict = report.verdict();
        let (outcome, detail) = outcome(report);
        let threats = match verdict {
            Verdict::Infected(threats) => threats.iter().map(Finding::of).collect(),
            _ => Vec::new(),
        };
        Self {
            subject,
            outcome,
            line: verdict.to_string(),
            threats,
            detail,
            reason: reason.map(Reason::code),
            error_kind: None,
            status: report.status(),
            istag: report.istag().map(str::to_owned),
            bytes_sent: Some(report.bytes_sent()),
            elapsed: report.elapsed(),
            service: report.service().to_owned(),
            is_given_up: false,
        }
    }

    /// A file that could not be read.
    pub(crate) fn unreadable(
        subject: Subject,
        error: &std::io::Error,
        service: &str,
        elapsed: Duration,
    ) -> Self {
        let failed = Self::failed(subject, chain(error), ErrorKind::Content, service, elapsed);
        Self {
            reason: Some(Reason::ContentError.code()),
            ..failed
        }
    }

    /// A file for which the output of a rebuilding service could not be written.
    pub(crate) fn unwritable(
        subject: Subject,
        why: String,
        service: &str,
        elapsed: Duration,
    ) -> Self {
        Self {
            reason: Some(Reason::OutputError.code()),
            ..Self::failed(subject, why, ErrorKind::Output, service, elapsed)
        }
    }

    /// A file that was not sent, because the service had been away for too long.
    pub(crate) fn given_up(subject: Subject, why: String, service: &str) -> Self {
        Self {
            reason: Some(Reason::SuspendedError.code()),
            is_given_up: true,
            ..Self::failed(subject, why, ErrorKind::Suspended, service, Duration::ZERO)
        }
    }

    /// The same error as one of several files that were not scanned because of `why`.
    pub(crate) fn with_others(self, why: String) -> Self {
        Self {
            detail: Some(why),
            is_given_up: true,
            ..self
        }
    }

    /// The same error, with what other services failed at.
    pub(crate) fn with_causes(self, all_causes: impl FnOnce(String) -> String) -> Self {
        let why = all_causes(self.detail.unwrap_or_default());
        Self {
            line: format!("error: {why}"),
            detail: Some(why),
            ..self
        }
    }

    fn failed(
        subject: Subject,
        why: String,
        kind: ErrorKind,
        service: &str,
        elapsed: Duration,
    ) -> Self {
        Self {
            subject,
            outcome: Outcome::Error,
            line: format!("error: {why}"),
            threats: Vec::new(),
            detail: Some(why),
            reason: None,
            error_kind: Some(kind.as_str()),
            status: None,
            istag: None,
            bytes_sent: None,
            elapsed,
            service: service.to_owned(),
            is_given_up: false,
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.subject.name
    }

    /// Whether the service responded as one that does not scan.
    pub(crate) fn is_doubtful(&self) -> bool {
        let doubtful = [Reason::Echoed, Reason::EarlyResponse, Reason::NoEngine];
        doubtful
            .iter()
            .any(|reason| self.reason == Some(reason.code()))
    }

    /// Whether the file was not sent because of `--max-size`.
    pub(crate) fn is_too_large(&self) -> bool {
        self.reason == Some(Reason::TooLarge.code())
    }

    pub(crate) fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or_default()
    }

    /// The line without colours.
    pub(crate) fn plain(&self) -> String {
        format!("{}: {}", self.subject.name, safe(&self.line))
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.unwrap_or_default()
    }

    /// One JSON object on one line. Every file has the same keys in the same order.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let line = Line {
            file: self.subject.name.text(),
            file_bytes: self.subject.name.bytes_unless_text(),
            size: self.subject.size,
            verdict: self.outcome,
            threats: &self.threats,
            reason: self.reason,
            error_kind: self.error_kind,
            detail: self.detail.as_deref(),
            status: self.status,
            istag: self.istag.as_deref(),
            bytes_sent: self.bytes_sent,
            elapsed_ms: u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            service: &self.service,
        };
        Ok(safe_json(&serde_json::to_string(&line)?))
    }
}

/// `invoice.pdf: clean`
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = self.outcome.style();
        let (name, line) = (&self.subject.name, safe(&self.line));
        write!(f, "{name}: {style}{line}{style:#}")
    }
}

fn outcome(report: &Report) -> (Outcome, Option<String>) {
    match report.verdict() {
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
    }
}
