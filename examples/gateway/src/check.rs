//! What the gateway uses `icap_client` for: scan a file, decide what happens with it, and let a person override the
//! policy where it asks.

use std::error::Error;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use icap_client::override_ticket::{
    ContentDigest, DigestWriter, OverrideError, OverrideKey, Ticket,
};
use icap_client::policy::Reason;
use icap_client::{Content, Decision, IncompleteCopy, Notice, Policy, Report, Scanner, Stats};
use tempfile::NamedTempFile;

use crate::copies::FileReader;
use crate::settings::Settings;

/// What was found out about a file.
pub struct Checked {
    pub decision: Decision,
    /// The scanner saw all of it and found nothing. A policy can also deliver what is not clean.
    pub is_clean: bool,
    /// When the scan began. A finding counts more than a scan that began before it.
    pub began: Instant,
}

pub struct Checker {
    /// `None` if the operator has switched the scanner off.
    scanner: Option<Scanner>,
    policy: Policy,
    key: OverrideKey,
    ticket_time: Duration,
}

impl Checker {
    pub fn new(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        // A key of this run: after a restart, people are asked again. Several gateways that share their sessions
        // share a key from their settings.
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self {
            scanner: settings
                .is_scanning
                .then(|| scanner(settings))
                .transpose()?,
            // c-icap returns the beginning of an infected file like this, if it works in its percent mode.
            policy: Policy::default().refuse(Reason::Truncated),
            key: OverrideKey::new(&secret)?,
            ticket_time: settings.ticket_time,
        })
    }

    pub fn is_on(&self) -> bool {
        self.scanner.is_some()
    }

    pub fn stats(&self) -> Option<Stats> {
        self.scanner.as_ref().map(Scanner::stats)
    }

    /// Whether a server missed its last canary. What such a server said before may be wrong too.
    pub fn is_blind(&self) -> bool {
        let stats = self.stats().unwrap_or_default();
        stats.endpoints.iter().any(|endpoint| endpoint.is_blind)
    }

    /// Scans content that is stored already. It can be sent again, so another server is asked if one fails.
    pub fn check(&self, content: FileReader, name: &str) -> Checked {
        let began = Instant::now();
        match &self.scanner {
            Some(scanner) => {
                let result = scanner.scan(Content::seekable(content).name(name));
                self.judge(&result, began)
            }
            None => Checked::unscanned(),
        }
    }

    /// Copies a file into the spool and scans it in the same pass. The copy and its digest are made also if the scan
    /// fails, so that the person can be asked. There is no digest if the copy is not complete; the file is then
    /// refused.
    pub fn fetch_and_check(
        &self,
        mut file: File,
        name: &str,
        spool: &mut NamedTempFile,
    ) -> io::Result<(Checked, Option<ContentDigest>)> {
        let began = Instant::now();
        let mut spool = DigestWriter::new(spool.as_file_mut());
        let checked = match &self.scanner {
            Some(scanner) => {
                let len = file.metadata()?.len();
                let content = Content::reader(file).len(len).name(name);
                let teed = scanner.scan_spooled(content, &mut spool)?;
                let checked = self.judge(&teed.outcome, began);
                match (teed.incomplete, &checked.decision) {
                    (None, _) => checked,
                    (Some(_), Decision::Refuse(_)) => return Ok((checked, None)),
                    // A part of a file is not delivered, whatever else was found out.
                    (Some(why), _) => return Err(error_of(why)),
                }
            }
            None => {
                io::copy(&mut file, &mut spool)?;
                Checked::unscanned()
            }
        };
        Ok((checked, Some(spool.finish().1)))
    }

    fn judge(&self, result: &Result<Report, icap_client::Error>, began: Instant) -> Checked {
        let decision = self.policy.decide(result);
        // The detail is for the operator: it names servers. People see the sentence alone. What the policy delivers
        // although it is not clean leaves a line too.
        if let Some(notice) = Notice::of(result) {
            let action = match decision {
                Decision::Deliver => "deliver",
                Decision::Ask(_) => "ask",
                _ => "refuse",
            };
            log::warn!(
                "{action}: {}: {:?}: {}",
                notice.code(),
                notice.name(),
                notice.detail()
            );
        }
        Checked {
            decision,
            is_clean: matches!(result, Ok(report) if report.verdict().is_clean()),
            began,
        }
    }

    /// The permission that goes into the form of the question.
    pub fn ticket(
        &self,
        question: &Decision,
        digest: &ContentDigest,
        user: &str,
    ) -> Result<Ticket, OverrideError> {
        question.ticket(
            &self.key,
            digest,
            user,
            SystemTime::now() + self.ticket_time,
        )
    }

    /// Whether this user may have the content with this digest, whatever else the form says.
    pub fn redeem(
        &self,
        ticket: &str,
        digest: &ContentDigest,
        user: &str,
        newest: &Decision,
    ) -> Result<(), OverrideError> {
        self.key
            .redeem(ticket, digest, user, SystemTime::now(), newest)
    }
}

impl Checked {
    /// A scanner that is switched off delivers everything, and nothing counts as clean.
    fn unscanned() -> Self {
        Self {
            decision: Decision::Deliver,
            is_clean: false,
            began: Instant::now(),
        }
    }

    /// A response of the scanner speaks against the content. A scan that fails later takes nothing from that.
    pub fn is_finding(&self) -> bool {
        let reason = self.decision.notice().map(Notice::reason);
        matches!(
            reason,
            Some(
                Reason::Infected
                    | Reason::Blocked
                    | Reason::Modified
                    | Reason::ModifiedNoContent
                    | Reason::ModifiedPartly
                    | Reason::Truncated
            )
        )
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.decision, Decision::Refuse(_))
    }

    pub fn clean() -> Self {
        Self {
            decision: Decision::Deliver,
            is_clean: true,
            began: Instant::now(),
        }
    }
}

fn error_of(why: IncompleteCopy) -> io::Error {
    match why {
        IncompleteCopy::TooLarge { .. } => io::ErrorKind::FileTooLarge.into(),
        IncompleteCopy::Deadline { .. } => io::ErrorKind::TimedOut.into(),
        IncompleteCopy::Writer(error) => error,
        other => io::Error::other(other),
    }
}

fn scanner(settings: &Settings) -> Result<Scanner, Box<dyn Error>> {
    let (first, others) = settings.icap.split_first().ok_or("no ICAP service")?;
    let mut builder = Scanner::builder(first)
        .max_size(settings.max_scan)
        .max_copy(settings.max_upload)
        .canary(settings.canary);
    for uri in others {
        builder = builder.endpoint(uri);
    }
    Ok(builder.build()?)
}
