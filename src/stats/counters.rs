//! The counters that connections, clients and scanners count with.
//!
//! To add a number for monitoring:
//!
//! 1. Add a counter here: to [`ServiceCounters`] if a server has it, otherwise to [`ScanCounters`]. What is true now and
//!    not counted, such as the idle connections, needs no counter.
//! 2. Add a documented field to [`EndpointStats`] or [`Stats`], and fill it in `snapshot`; what is no counter, in
//!    `Client::stats` or `Scanner::stats`.
//! 3. Add a row to a table in `openmetrics.rs`, and its lines to `tests/data/openmetrics.txt`.
//! 4. Add a row to the table of metrics in `src/manual/operating.md`.

use std::sync::Arc;
use std::time::Duration;

use super::Stats;
use super::close_reason::CloseReason;
use super::endpoint::EndpointStats;
use super::histogram::{AtomicHistogram, Outcome};
use crate::error::ErrorKind;
use crate::seam::sync::{AtomicU64, Mutex, Ordering::Relaxed};

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// What a scanner counts, whichever server is asked. A scan costs five atomic additions, which take some 25 ns together
/// (optimised, on one thread or on eight).
#[derive(Debug, Default)]
pub(crate) struct ScanCounters {
    durations: [AtomicHistogram; Outcome::ALL.len()],
    errors: [AtomicU64; ErrorKind::ALL.len()],
    in_flight: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

impl ScanCounters {
    pub(crate) fn begun(&self) {
        count(&self.in_flight);
    }

    /// The scan is over, with a result or by a panic.
    pub(crate) fn ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// A scan looked for its verdict in the cache.
    pub(crate) fn looked_up(&self, is_hit: bool) {
        count(match is_hit {
            true => &self.cache_hits,
            false => &self.cache_misses,
        });
    }

    pub(crate) fn record(&self, outcome: Outcome, took: Duration) {
        self.durations[outcome as usize].record(took);
    }

    pub(crate) fn failed(&self, kind: ErrorKind, took: Duration) {
        count(&self.errors[kind as usize]);
        self.record(Outcome::Error, took);
    }

    /// A copy, with the numbers of the servers.
    pub(crate) fn snapshot(&self, endpoints: Vec<EndpointStats>) -> Stats {
        let durations = Outcome::ALL.map(|outcome| self.durations[outcome as usize].snapshot());
        let scans = durations.map(|histogram| histogram.count());
        let of = |outcome: Outcome| scans[outcome as usize];
        let errors = ErrorKind::ALL.map(|kind| (kind, get(&self.errors[kind as usize])));
        let durations = Outcome::ALL.into_iter().zip(durations);
        let mut stats = Stats {
            scans: scans.iter().sum(),
            clean: of(Outcome::Clean),
            infected: of(Outcome::Infected),
            blocked: of(Outcome::Blocked),
            modified: of(Outcome::Modified),
            not_scanned: of(Outcome::NotScanned),
            errors: of(Outcome::Error),
            errors_by_kind: errors.into_iter().filter(|(_, count)| *count > 0).collect(),
            durations: durations.filter(|(_, of)| of.count() > 0).collect(),
            scans_in_flight: get(&self.in_flight),
            cache_hits: get(&self.cache_hits),
            cache_misses: get(&self.cache_misses),
            ..Stats::default()
        };
        stats.add(endpoints);
        stats
    }
}

/// What is counted for one server.
#[derive(Debug)]
pub(crate) struct ServiceCounters {
    /// The service as errors and log lines name it.
    pub(crate) service: Arc<str>,
    pub(crate) reports: AtomicU64,
    failures: AtomicU64,
    last_failure: Mutex<Option<String>>,
    pub(crate) retries: AtomicU64,
    pub(crate) failovers: AtomicU64,
    pub(crate) options_sent: AtomicU64,
    pub(crate) canaries: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) reused: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

impl ServiceCounters {
    pub(crate) fn new(service: String) -> Self {
        Self {
            service: service.into(),
            reports: AtomicU64::default(),
            failures: AtomicU64::default(),
            last_failure: Mutex::default(),
            retries: AtomicU64::default(),
            failovers: AtomicU64::default(),
            options_sent: AtomicU64::default(),
            canaries: AtomicU64::default(),
            opened: AtomicU64::default(),
            reused: AtomicU64::default(),
            closed: Default::default(),
            bytes_sent: AtomicU64::default(),
            bytes_received: AtomicU64::default(),
        }
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.bytes_sent.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.bytes_received.fetch_add(bytes, Relaxed);
    }

    /// Counts a failure for which the server is to blame.
    pub(crate) fn failed(&self, why: &str) {
        *self.last_failure.lock() = Some(why.to_owned());
        count(&self.failures);
    }

    /// Counts and logs that a connection was closed.
    pub(crate) fn closed(&self, reason: CloseReason) {
        count(&self.closed[reason as usize]);
        // Bytes that nobody asked for may be the late response to an earlier scan, or the early one to a
        // later.
        let is_alarming = matches!(reason, CloseReason::IdleBytes | CloseReason::StrayBytes);
        let level = if is_alarming {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        log::log!(level, "{}: closed a connection: {reason}", self.service);
    }

    /// A copy without what the counters do not know: the place of the server and its state.
    pub(crate) fn snapshot(&self) -> EndpointStats {
        let closed = CloseReason::ALL.map(|reason| (reason, get(&self.closed[reason as usize])));
        EndpointStats {
            service: self.service.to_string(),
            reports: get(&self.reports),
            failures: get(&self.failures),
            last_failure: self.last_failure.lock().clone(),
            retries: get(&self.retries),
            failovers: get(&self.failovers),
            options_sent: get(&self.options_sent),
            canaries: get(&self.canaries),
            connections_opened: get(&self.opened),
            connections_reused: get(&self.reused),
            connections_closed: closed.iter().map(|(_, count)| count).sum(),
            closed_by_reason: closed.into_iter().filter(|(_, count)| *count > 0).collect(),
            bytes_sent: get(&self.bytes_sent),
            bytes_received: get(&self.bytes_received),
            ..EndpointStats::default()
        }
    }
}
