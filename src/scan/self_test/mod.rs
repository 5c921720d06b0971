//! The self-test of a scanner: do its services really scan, and up to which size?
//!
//! [`Scanner::self_test`] runs it; [`manual::self_test`](crate::manual::self_test) explains the findings.
//!
//! Each service is tested by a scanner of its own, with the settings of the one that is tested and with connections,
//! options, circuit breaker and counters of its own. So a test changes nothing for the scans that run meanwhile.

mod advice;
mod depth;
mod finding;
mod latency;
mod preview;
mod result;

use std::time::{Duration, Instant};

use advice::Server;
pub use finding::{Finding, Outcome, Probe};
pub use result::{Depth, Latency, SelfTest, ServiceTest};

use super::builder::ScannerBuilder;
use super::canary::Sighting;
use super::sample::Sample;
use super::verdict::{NotScanned, Verdict};
use super::{Scanner, Shared};
use crate::client::endpoint::Endpoint;
use crate::error::Error;
use crate::proto::options::ServiceOptions;
use crate::stats::Stats;

/// Bytes of the clean sample.
const SMALL: u64 = 1024;

/// Bytes of noise in the larger samples of each type.
const SOME_KIB: u64 = 16 * 1024;

/// Tests each service of the scanner.
pub(super) fn run(shared: &Shared) -> Result<SelfTest, Error> {
    let began = shared.endpoints().first().now_for_waits();
    let mut services = Vec::new();
    let mut unreachable = None;
    let mut is_reached = false;
    let recipe = &shared.recipe;
    for endpoint in std::iter::once(&recipe.first).chain(&recipe.others) {
        let mut run = Run::new(shared, endpoint)?;
        run.all()?;
        is_reached |= run.has_responded;
        unreachable = unreachable.or(run.first_error.take());
        services.push(run.finish());
    }
    match unreachable {
        Some(error) if !is_reached => Err(error),
        _ => Ok(SelfTest {
            services,
            elapsed: since(shared.endpoints().first().now_for_waits(), began),
        }),
    }
}

/// The test of one service.
struct Run<'s> {
    shared: &'s Shared,
    endpoint: &'s Endpoint,
    scanner: Scanner,
    began: Instant,
    server: Server,
    options: Option<ServiceOptions>,
    findings: Vec<Finding>,
    depth: Option<Depth>,
    latencies: Vec<Latency>,
    /// EICAR itself was found.
    finds_eicar: bool,
    /// The service responded at least once.
    has_responded: bool,
    /// Scans without a verdict since the last one that had one.
    failures: u32,
    first_error: Option<Error>,
}

/// The result of one scan.
struct Scanned {
    outcome: Outcome,
    detail: String,
    verdict: Option<Verdict>,
    elapsed: Duration,
    /// From the last byte sent on.
    wait: Duration,
}

impl<'s> Run<'s> {
    fn new(shared: &'s Shared, endpoint: &'s Endpoint) -> Result<Self, Error> {
        let scanner = ScannerBuilder::like(shared, endpoint).assemble()?.0;
        Ok(Self {
            shared,
            endpoint,
            began: scanner.now_for_waits(),
            scanner,
            server: Server::of(endpoint, None),
            options: None,
            findings: Vec::new(),
            depth: None,
            latencies: Vec::new(),
            finds_eicar: false,
            has_responded: false,
            failures: 0,
            first_error: None,
        })
    }

    /// All probes. An error is one of the settings.
    fn all(&mut self) -> Result<(), Error> {
        let other = ScannerBuilder::like(self.shared, self.endpoint)
            .assemble()?
            .0;
        self.options();
        let idle_since = self.begin_idle(&other);
        self.clean();
        self.eicar();
        self.never_seen();
        self.types();
        self.preview()?;
        self.depth();
        self.latency();
        self.idle(&other, idle_since);
        Ok(())
    }

    fn finish(self) -> ServiceTest {
        ServiceTest {
            service: self.endpoint.uri.name(),
            software: self
                .options
                .as_ref()
                .and_then(|options| options.service().map(str::to_owned)),
            elapsed: since(self.scanner.now_for_waits(), self.began),
            findings: self.findings,
            depth: self.depth,
            latencies: self.latencies,
        }
    }

    fn options(&mut self) {
        if !self.shared.rules.negotiate {
            return self.not_applicable(Probe::Options, "the scanner does not send OPTIONS");
        }
        let began = self.scanner.now_for_waits();
        let (outcome, detail) = match self.scanner.options() {
            Ok(options) => {
                self.has_responded = true;
                let detail = describe(&options);
                self.server = Server::of(self.endpoint, Some(&options));
                self.options = Some(options);
                (Outcome::Passed, detail)
            }
            Err(error) => self.failed(error),
        };
        self.note(Probe::Options, outcome, detail, began);
    }

    /// Clean content, twice: the second time on the same connection.
    fn clean(&mut self) {
        let began = self.scanner.now_for_waits();
        let mut scanned = self.scan(Sample::noise(SMALL));
        scanned.outcome = expect_clean(scanned.outcome);
        let outcome = scanned.outcome;
        self.note_scan(Probe::Clean, scanned, began);
        if self.shared.recipe.settings.limits.max_idle == 0 {
            return self.not_applicable(Probe::KeepAlive, "the scanner keeps no connections");
        }
        if matches!(outcome, Outcome::Failed | Outcome::Blind) {
            return self.unknown(Probe::KeepAlive, "the scan before it failed");
        }
        let began = self.scanner.now_for_waits();
        let opened = self.stats().connections_opened;
        let scanned = self.scan(Sample::noise(SMALL));
        let (outcome, detail) = match scanned.outcome {
            Outcome::Failed => (Outcome::Failed, scanned.detail),
            _ if self.stats().connections_opened == opened => (Outcome::Passed, String::new()),
            _ => (
                Outcome::Improvable,
                "each scan needs a new connection".to_owned(),
            ),
        };
        self.note(Probe::KeepAlive, outcome, detail, began);
    }

    /// EICAR itself, and then the archive of which the last byte is held back. The second one shows a blind server
    /// also if the first one was not found.
    fn eicar(&mut self) {
        let began = self.scanner.now_for_waits();
        let scanned = self.scan(Sample::eicar());
        self.finds_eicar = scanned.outcome == Outcome::Found;
        let is_reached = scanned.outcome != Outcome::Failed;
        self.note_scan(Probe::Eicar, scanned, began);
        if !is_reached {
            return self.unknown(Probe::HeldBack, "EICAR itself could not be scanned");
        }
        let began = self.scanner.now_for_waits();
        let scanned = self.scan(Sample::archive(SMALL).held_back());
        if !self.finds_eicar && scanned.outcome != Outcome::Blind {
            return self.unknown(Probe::HeldBack, NOT_FOUND);
        }
        self.note_scan(Probe::HeldBack, scanned, began);
    }

    /// An archive with EICAR. Finding it shows nothing if the service objects also to the same one without EICAR.
    fn never_seen(&mut self) {
        if let Some(why) = self.pointless() {
            return self.unknown(Probe::NeverSeen, why);
        }
        let began = self.scanner.now_for_waits();
        let mut scanned = self.scan(Sample::archive(SMALL));
        if scanned.outcome == Outcome::Found {
            let control = self.scan(Sample::harmless(SMALL));
            if control.outcome == Outcome::Found && is_no_proof(&scanned, &control) {
                scanned.outcome = Outcome::FalseAlarm;
                scanned.detail = format!("an archive without EICAR: {}", control.detail);
            }
        }
        self.note_scan(Probe::NeverSeen, scanned, began);
    }

    fn types(&mut self) {
        for (probe, sample, noise) in [
            (Probe::SmallPdf, Sample::pdf as fn(u64) -> Sample, 0),
            (Probe::Pdf, Sample::pdf, SOME_KIB),
            (Probe::SmallImage, Sample::image, 0),
            (Probe::Image, Sample::image, SOME_KIB),
            (Probe::SmallOffice, Sample::office, 0),
            (Probe::Office, Sample::office, SOME_KIB),
        ] {
            self.find(probe, sample(noise));
        }
    }

    /// A connection that is idle from now on, until the end of the other probes.
    fn begin_idle(&mut self, other: &Scanner) -> Option<Instant> {
        if !self.has_responded && self.first_error.is_some() {
            return None;
        }
        if other.scan(Sample::noise(SMALL).content()).is_err() {
            return None;
        }
        (other.stats().connections_idle > 0).then(|| self.scanner.now_for_waits())
    }

    fn idle(&mut self, other: &Scanner, since: Option<Instant>) {
        let Some(since) = since else {
            return self.not_applicable(Probe::Idle, "no connection was kept");
        };
        let began = self.scanner.now_for_waits();
        let idle = began.saturating_duration_since(since);
        if idle >= self.shared.recipe.settings.limits.idle_timeout {
            return self.not_applicable(Probe::Idle, "the scanner keeps it for a shorter time");
        }
        let before = other.stats().connections_opened;
        let (outcome, word) = match other.scan(Sample::noise(SMALL).content()) {
            Err(error) => {
                let (outcome, detail) = self.failed(error);
                return self.note(Probe::Idle, outcome, detail, began);
            }
            Ok(_) if other.stats().connections_opened == before => (Outcome::Passed, "open"),
            Ok(_) => (Outcome::Improvable, "closed"),
        };
        let detail = format!("{word} after {} ms", idle.as_millis());
        self.note(Probe::Idle, outcome, detail, began);
    }

    /// Scans a sample in which EICAR must be found.
    fn find(&mut self, probe: Probe, sample: Sample) {
        if let Some(why) = self.pointless() {
            return self.unknown(probe, why);
        }
        let began = self.scanner.now_for_waits();
        let scanned = self.scan(sample);
        self.note_scan(probe, scanned, began);
    }

    fn scan(&mut self, sample: Sample) -> Scanned {
        let scanner = self.scanner.clone();
        let began = scanner.now_for_waits();
        let mut sent_at = began;
        let content = sample
            .content()
            .progress(|_, _| sent_at = scanner.now_for_waits());
        let result = scanner.scan(content);
        let ended = scanner.now_for_waits();
        let (outcome, detail) = match &result {
            Ok(report) => (outcome_of(report.verdict()), describe_report(report)),
            Err(_) => (Outcome::Failed, String::new()),
        };
        let (detail, verdict) = match result {
            Ok(report) => {
                self.has_responded = true;
                self.failures = 0;
                (detail, Some(report.verdict().clone()))
            }
            Err(error) => {
                self.failures += 1;
                (self.failed(error).1, None)
            }
        };
        Scanned {
            outcome,
            detail,
            verdict,
            elapsed: since(ended, began),
            wait: since(ended, sent_at),
        }
    }

    /// Why there is nothing to learn from further scans.
    fn pointless(&self) -> Option<&'static str> {
        match self.finds_eicar {
            _ if self.failures >= MAX_FAILURES => Some("the last scans failed"),
            false => Some(NOT_FOUND),
            true => None,
        }
    }

    fn stats(&self) -> Stats {
        self.scanner.stats()
    }

    /// Keeps the first error.
    fn failed(&mut self, error: Error) -> (Outcome, String) {
        self.has_responded |= matches!(error, Error::Status(_) | Error::Protocol(_));
        let detail = error.to_string();
        self.first_error.get_or_insert(error);
        (Outcome::Failed, detail)
    }

    fn not_applicable(&mut self, probe: Probe, why: &str) {
        let now = self.scanner.now_for_waits();
        self.note(probe, Outcome::NotApplicable, why.to_owned(), now);
    }

    fn unknown(&mut self, probe: Probe, why: &str) {
        let now = self.scanner.now_for_waits();
        self.note(probe, Outcome::Unknown, why.to_owned(), now);
    }

    fn note_scan(&mut self, probe: Probe, scanned: Scanned, began: Instant) {
        let advice = self
            .server
            .advice(probe, scanned.outcome, scanned.verdict.as_ref());
        self.add(probe, scanned.outcome, scanned.detail, advice, began);
    }

    fn note(&mut self, probe: Probe, outcome: Outcome, detail: String, began: Instant) {
        let advice = self.server.advice(probe, outcome, None);
        self.add(probe, outcome, detail, advice, began);
    }

    fn add(
        &mut self,
        probe: Probe,
        outcome: Outcome,
        detail: String,
        advice: Option<&'static str>,
        began: Instant,
    ) {
        self.findings.push(Finding {
            probe,
            outcome,
            detail,
            advice,
            elapsed: since(self.scanner.now_for_waits(), began),
        });
    }
}

/// After so many scans without a verdict in a row, which may each take a timeout, the rest is not tried.
const MAX_FAILURES: u32 = 2;

/// Why a probe with EICAR in it is not tried.
const NOT_FOUND: &str = "EICAR itself is not found";

/// The clock may be the caller's, so it may go backwards.
fn since(now: Instant, then: Instant) -> Duration {
    now.saturating_duration_since(then)
}

/// The outcome of a scan of EICAR.
fn outcome_of(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Infected(_) | Verdict::Blocked(_) => Outcome::Found,
        Verdict::Clean => Outcome::Missed,
        Verdict::NotScanned(NotScanned::EarlyResponse | NotScanned::NoEngine) => Outcome::Blind,
        Verdict::NotScanned(_) | Verdict::Modified(_) => Outcome::NotScanned,
    }
}

/// The same of clean content.
fn expect_clean(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Missed => Outcome::Passed,
        Outcome::Found => Outcome::FalseAlarm,
        other => other,
    }
}

/// Whether a find shows nothing, as with a canary, because the same content without EICAR had this result.
fn is_no_proof(found: &Scanned, control: &Scanned) -> bool {
    let (Some(found), Some(control)) = (&found.verdict, &control.verdict) else {
        return false;
    };
    let sighting = Sighting::of(found.clone(), None).after_control(control, &None);
    matches!(sighting, Sighting::Missed(_))
}

fn describe_report(report: &super::report::Report) -> String {
    match report.status() {
        Some(status) => format!("{} ({status})", report.verdict()),
        None => report.verdict().to_string(),
    }
}

fn describe(options: &ServiceOptions) -> String {
    let mut parts: Vec<String> = options.service().map(str::to_owned).into_iter().collect();
    parts.push(
        if options.allows_204() {
            "offers 204"
        } else {
            "offers no 204"
        }
        .to_owned(),
    );
    if let Some(len) = options.preview() {
        parts.push(format!("a preview of {len} bytes"));
    }
    parts.extend(options.istag().map(|tag| format!("state tag {tag}")));
    parts.extend(
        options
            .warnings()
            .iter()
            .map(|warning| format!("odd: {warning}")),
    );
    parts.join(", ")
}
