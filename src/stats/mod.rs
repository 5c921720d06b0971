//! What a scanner has done so far, in numbers.

pub(crate) mod close_reason;
pub(crate) mod counters;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::ErrorKind;

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
