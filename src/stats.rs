//! What a scanner has done so far, in numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::net::connection::{CloseReason, Ledger};

/// What a [`Scanner`](crate::Scanner) and its clones have done so far; a copy, taken at one moment.
///
/// All counters begin at 0 and only grow, so a monitoring system can take their differences. They are
/// counted apart: one taken while a scan runs may have its connection and not yet its verdict. When
/// nothing runs, `connections_opened` is `connections_closed` plus `connections_idle`.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections made.
    pub connections_opened: u64,
    /// Exchanges on a connection that was used before.
    pub connections_reused: u64,
    /// Connections closed.
    pub connections_closed: u64,
    /// The same by reason, a short clause each.
    pub closed_by_reason: BTreeMap<&'static str, u64>,
    /// Connections that are idle now. Not a counter.
    pub connections_idle: u64,
    /// Scans that ended with a verdict or an error.
    pub scans: u64,
    /// Scans with the verdict [`Clean`](crate::Verdict::Clean).
    pub clean: u64,
    /// Scans with the verdict [`Infected`](crate::Verdict::Infected).
    pub infected: u64,
    /// Scans with the verdict [`Blocked`](crate::Verdict::Blocked).
    pub blocked: u64,
    /// Scans with the verdict [`Modified`](crate::Verdict::Modified).
    pub modified: u64,
    /// Scans with the verdict [`NotScanned`](crate::Verdict::NotScanned).
    pub not_scanned: u64,
    /// Scans that ended in an error.
    pub errors: u64,
    /// The same by kind.
    pub errors_by_kind: BTreeMap<ErrorKind, u64>,
    /// Exchanges repeated on a fresh connection, because the one used before was gone.
    pub retries: u64,
    /// Times a scan went on to another server after one had failed; passing over a suspended one is not
    /// counted.
    pub failovers: u64,
    /// `OPTIONS` requests sent.
    pub options_sent: u64,
    /// Bytes written, heads and chunk framing included.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// The servers that are suspended now.
    pub suspended: Vec<Suspended>,
}

/// A server that is not asked for a while.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// The service.
    pub service: String,
    /// How long ago the suspension began. Failed trials since then are part of it.
    pub failing_for: Duration,
    /// How long until a scan may try the server again; zero if the next one does.
    pub retry_in: Duration,
    /// Its last failure, with the innermost cause.
    pub why: String,
}

/// The counters after [`Stats`].
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
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
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
        let closed =
            CloseReason::ALL.map(|reason| (reason.explain(), get(&self.closed[reason as usize])));
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

/// Counts and logs what the connections to one service do.
#[derive(Debug)]
pub(crate) struct ServiceLedger {
    pub(crate) service: String,
    pub(crate) counters: Arc<Counters>,
}

impl Ledger for ServiceLedger {
    fn moved(&self, sent: u64, received: u64) {
        self.counters.bytes_sent.fetch_add(sent, Relaxed);
        self.counters.bytes_received.fetch_add(received, Relaxed);
    }

    fn closed(&self, reason: CloseReason) {
        count(&self.counters.closed[reason as usize]);
        // Bytes nobody asked for may be the late response to an earlier scan, or the early one to a later.
        let is_alarming = matches!(reason, CloseReason::IdleBytes | CloseReason::StrayBytes);
        let level = if is_alarming {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        log::log!(
            level,
            "{}: closed a connection: {}",
            self.service,
            reason.explain()
        );
    }
}
