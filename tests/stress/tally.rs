//! The outcomes of the scans.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use icap_client::{Error, NotScanned, Report, Stats, Verdict};

use crate::faults::{Early, Fault, Stray};
use crate::proxy::{ASKED_BEHIND, CROSSED, Wire};
use crate::samples::{Sample, Word};
use crate::{Ended, MAX_IDLE, THREADS};

/// The outcomes that a thread has seen.
#[derive(Default)]
pub(crate) struct Tally {
    clean: u64,
    infected: u64,
    blocked: u64,
    not_scanned: u64,
    modified: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    /// Outcomes that can be judged only with the records of the proxies.
    open: Vec<(Sample, Seen)>,
    pub(crate) longest: Duration,
}

/// A verdict, or the label of an error.
type Seen = Result<Verdict, String>;

/// The errors that the faults of the proxies cause. Every other error is a fault of the client.
const EXPLAINED: [&str; 9] = [
    // A connection ended or was reset.
    "disconnected",
    "protocol: Truncated",
    // It was reset, and the response says that everything was received.
    "protocol: IncompleteUpload",
    // A stray response after the response, on the idle connection, and at the same moment as a request.
    "protocol: TrailingBytes",
    "protocol: Unsolicited",
    "protocol: EarlyResponse",
    // A response that drips too slowly, and a server without a free slot.
    "timeout",
    // The first server's circuit opened meanwhile, and the second broke the connection.
    "suspended",
    "status 503",
];

impl Tally {
    pub(crate) fn judge(&mut self, sample: Sample, result: Result<Report, Error>) -> Ended {
        let seen = match result {
            Ok(report) => Ok(report.verdict().clone()),
            Err(error) => Err(self.explain(&sample, &error)?),
        };
        match &seen {
            Ok(Verdict::Clean) => self.clean += 1,
            Ok(Verdict::Infected(_)) => self.infected += 1,
            Ok(Verdict::Blocked(_)) => self.blocked += 1,
            Ok(Verdict::NotScanned(_)) => self.not_scanned += 1,
            Ok(Verdict::Modified(_)) => self.modified += 1,
            Ok(other) => return Err(format!("no server says so: {other}")),
            Err(_) => {}
        }
        if sample.way.is_held() || !is_own(&sample, &seen) {
            self.open.push((sample, seen));
        }
        Ok(())
    }

    /// The label of an error that a fault explains.
    fn explain(&mut self, sample: &Sample, error: &Error) -> Result<String, String> {
        let label = match error {
            Error::Protocol(error) => format!("protocol: {:?}", error.violation()),
            Error::Status(error) => format!("status {}", error.code()),
            other => other.kind().to_string(),
        };
        if !EXPLAINED.contains(&label.as_str()) {
            let marker = &sample.marker;
            return Err(format!("no fault explains, with {marker}: {error:?}"));
        }
        *self.errors.entry(label.clone()).or_default() += 1;
        Ok(label)
    }

    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.clean += other.clean;
        self.infected += other.infected;
        self.blocked += other.blocked;
        self.not_scanned += other.not_scanned;
        self.modified += other.modified;
        for (label, count) in other.errors {
            *self.errors.entry(label).or_default() += count;
        }
        self.open.extend(other.open);
        self.longest = self.longest.max(other.longest);
        self
    }

    pub(crate) fn check(&self, scans: u64, stats: &Stats, wire: &Wire) {
        for (sample, seen) in &self.open {
            check_verdict(sample, seen, wire);
        }
        let errors: u64 = self.errors.values().sum();
        // Failed OPTIONS are an error of every scan that waits for them.
        let faults = wire.faults() + THREADS * (stats.options_sent - 1);
        assert!(errors <= faults, "{errors} errors of {faults} faults");

        let verdicts = self.clean + self.infected + self.blocked;
        assert_eq!(scans, verdicts + self.not_scanned + self.modified + errors);
        let counted = [stats.scans, stats.clean, stats.infected, stats.errors];
        assert_eq!(counted, [scans, self.clean, self.infected, errors]);
        let counted = [stats.blocked, stats.not_scanned, stats.modified];
        assert_eq!(counted, [self.blocked, self.not_scanned, self.modified]);
        let ended = stats.connections_closed + stats.connections_idle;
        assert_eq!(stats.connections_opened, ended);
        assert_eq!(stats.connections_opened, wire.get("connections accepted"));
        assert!(stats.connections_idle <= 2 * MAX_IDLE as u64);
    }
}

/// The kind that the content names.
fn is_own(sample: &Sample, seen: &Seen) -> bool {
    match seen {
        Ok(Verdict::Clean) => sample.word == Word::Clean,
        Ok(Verdict::Infected(threats)) => {
            sample.word != Word::Clean && threats.names().eq([sample.marker.as_str()])
        }
        _ => false,
    }
}

/// Judged with the records of the proxies.
fn check_verdict(sample: &Sample, seen: &Seen, wire: &Wire) {
    let marker = &sample.marker;
    let stray = wire.crossed.lock().unwrap().get(marker).copied();
    let verdict = seen.as_ref().ok().map(Verdict::to_string);
    if verdict.is_some() && verdict.as_deref() == stray.map(Stray::verdict) {
        return wire.count("stray responses taken for the response to a request that crossed them");
    }
    let told = wire.told.lock().unwrap().contains(marker);
    let cleared = wire.cleared.lock().unwrap().contains(marker);
    let early = wire.early_response(marker);
    let is_right = match seen {
        Ok(Verdict::Infected(threats)) => {
            // A slow drip may have sent it before the timeout.
            let is_possible = told || sample.word != Word::Clean;
            is_possible && threats.names().eq([marker.as_str()])
        }
        // Evidence that was received is never lost.
        _ if told => false,
        Ok(Verdict::Blocked(_)) => early == Some(Early::Refused),
        _ if early == Some(Early::Refused) => false,
        // After an early response nothing is forwarded, so this was another exchange.
        Ok(Verdict::Clean) => cleared,
        Ok(Verdict::NotScanned(NotScanned::EarlyResponse)) => {
            matches!(early, Some(Early::Clean | Early::Echo))
        }
        Ok(Verdict::NotScanned(_) | Verdict::Modified(_)) => early == Some(Early::Echo),
        Ok(_) => false,
        Err(_) => true,
    };
    let facts = format!("told: {told}, cleared: {cleared}, early: {early:?}");
    assert!(is_right, "{marker}: {seen:?} ({facts})");
    if sample.word == Word::Hidden && matches!(seen, Ok(Verdict::Clean)) {
        wire.count("hidden content that only the second server scanned");
    }
}

/// The printed report.
#[derive(Default)]
pub(crate) struct Counts(pub(crate) BTreeMap<String, u64>);

impl Counts {
    pub(crate) fn add(&mut self, what: &str, count: u64) {
        *self.0.entry(what.to_owned()).or_default() += count;
    }

    pub(crate) fn at_least(&mut self, what: &str, count: u64) {
        let most = self.0.entry(what.to_owned()).or_default();
        *most = count.max(*most);
    }

    pub(crate) fn add_all<K: Display>(&mut self, prefix: &str, counts: &BTreeMap<K, u64>) {
        for (what, count) in counts {
            self.add(&format!("{prefix}{what}"), *count);
        }
    }

    pub(crate) fn add_stats(&mut self, stats: &Stats) {
        self.add("scans", stats.scans);
        self.add("scans: clean", stats.clean);
        self.add("scans: infected", stats.infected);
        self.add("scans: blocked", stats.blocked);
        self.add("scans: modified", stats.modified);
        self.add("scans: not scanned", stats.not_scanned);
        self.add("scans: errors", stats.errors);
        self.add("connections opened", stats.connections_opened);
        self.add("connections reused", stats.connections_reused);
        self.add("connections idle at the end", stats.connections_idle);
        self.add("retries", stats.retries);
        self.add("failovers", stats.failovers);
        self.add("OPTIONS sent", stats.options_sent);
        self.add_all("connections closed: ", &stats.closed_by_reason);
    }

    pub(crate) fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    pub(crate) fn assert_every_fault_happened(&self) {
        assert!(self.get("connections reused") > 5 * self.get("connections opened"));
        assert!(self.get("failovers") > 300);
        assert!(self.get("outages of the first server") > 3);
        for fault in Fault::ALL {
            let what = format!("proxy: {}", fault.explain());
            assert!(
                self.get(&what) > fault.rarely(),
                "{what}: {}",
                self.get(&what)
            );
        }
    }

    /// A stray response and a request can cross, which no client can detect. But a client that does not probe before a
    /// request would take every stray response.
    pub(crate) fn assert_idleness_is_proved(&self) {
        assert_eq!(self.get(&format!("proxy: {ASKED_BEHIND}")), 0);
        let strays = self.get(&format!("proxy: {}", Fault::StrayOnIdle.explain()));
        let crossed = self.get(&format!("proxy: {CROSSED}"));
        let found_late = self.get("errors: protocol: Unsolicited");
        let late = crossed + found_late;
        assert!(late <= strays / 20 + 5, "{late} of {strays} not noticed");
    }
}

impl Stray {
    /// The verdict if it is taken for the response.
    fn verdict(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Infected => "infected: STRAY",
        }
    }
}
