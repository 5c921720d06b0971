//! The counters that connections, clients and scanners count with.

use std::sync::Arc;

use super::CloseReason;
use super::Stats;
use crate::error::{Error, ErrorKind};
use crate::seam::sync::{AtomicU64, Ordering::Relaxed};

/// The counters that [`Stats`] are made of.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) opened: AtomicU64,
    pub(crate) reused: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    pub(crate) clean: AtomicU64,
    pub(crate) infected: AtomicU64,
    pub(crate) blocked: AtomicU64,
    pub(crate) modified: AtomicU64,
    pub(crate) not_scanned: AtomicU64,
    errors: [AtomicU64; ErrorKind::ALL.len()],
    pub(crate) retries: AtomicU64,
    pub(crate) failovers: AtomicU64,
    pub(crate) options_sent: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    pub(crate) fn failed(&self, error: &Error) {
        count(&self.errors[error.kind() as usize]);
    }

    /// A copy without what the counters do not know: what is idle or suspended now.
    pub(crate) fn snapshot(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let closed = CloseReason::ALL.map(|reason| (reason, get(&self.closed[reason as usize])));
        let errors = ErrorKind::ALL.map(|kind| (kind, get(&self.errors[kind as usize])));
        let mut stats = Stats {
            connections_opened: get(&self.opened),
            connections_reused: get(&self.reused),
            connections_closed: closed.iter().map(|(_, count)| count).sum(),
            closed_by_reason: closed.into_iter().filter(|(_, count)| *count > 0).collect(),
            clean: get(&self.clean),
            infected: get(&self.infected),
            blocked: get(&self.blocked),
            modified: get(&self.modified),
            not_scanned: get(&self.not_scanned),
            errors: errors.iter().map(|(_, count)| count).sum(),
            errors_by_kind: errors.into_iter().filter(|(_, count)| *count > 0).collect(),
            retries: get(&self.retries),
            failovers: get(&self.failovers),
            options_sent: get(&self.options_sent),
            bytes_sent: get(&self.bytes_sent),
            bytes_received: get(&self.bytes_received),
            ..Stats::default()
        };
        stats.scans = stats.clean
            + stats.infected
            + stats.blocked
            + stats.modified
            + stats.not_scanned
            + stats.errors;
        stats
    }
}

/// The counters of a scanner, as the connections to one of its services use them.
#[derive(Debug)]
pub(crate) struct ServiceCounters {
    /// The service as errors and log lines name it.
    pub(crate) service: String,
    pub(crate) scanner: Arc<Counters>,
}

impl ServiceCounters {
    pub(crate) fn sent(&self, bytes: u64) {
        self.scanner.bytes_sent.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.scanner.bytes_received.fetch_add(bytes, Relaxed);
    }

    /// Counts and logs that a connection was closed.
    pub(crate) fn closed(&self, reason: CloseReason) {
        count(&self.scanner.closed[reason as usize]);
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
}
