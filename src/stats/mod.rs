//! Numbers for monitoring: what a scanner has done so far.

mod close_reason;
pub(crate) mod counters;
mod endpoint;
pub(crate) mod histogram;
mod openmetrics;

use std::collections::BTreeMap;
use std::time::Duration;

pub use close_reason::CloseReason;
pub use endpoint::EndpointStats;
pub use histogram::{Histogram, Outcome};

use crate::error::ErrorKind;

/// What a [`Scanner`](crate::Scanner) and its clones have done so far; a copy, taken at one moment.
///
/// All counters begin at 0 and only grow, so a monitoring system can take their differences. They are
/// independent of each other: a copy that is taken while a scan runs may count the connection of that scan and not yet
/// its verdict. When
/// nothing runs, `connections_opened` is `connections_closed` plus `connections_idle`.
///
/// The keys of the maps, [`CloseReason`], [`ErrorKind`] and [`Outcome`], have an `as_str` that does not change between
/// versions. [`write_openmetrics`](Self::write_openmetrics) writes the numbers for a monitoring system.
///
/// ```
/// use icap_client::testing::Server;
/// use icap_client::{Content, Scanner};
///
/// let server = Server::start()?;
/// let scanner = Scanner::builder(&server.uri()).max_idle(0).build()?;
/// scanner.scan(Content::bytes(b"hello"))?;
///
/// let stats = scanner.stats();
/// assert_eq!((stats.scans, stats.clean, stats.errors), (1, 1, 0));
/// for (kind, count) in &stats.errors_by_kind {
///     println!("icap_errors{{kind=\"{}\"}} {count}", kind.as_str());
/// }
/// let closed = stats.closed_by_reason.iter();
/// let lines: Vec<_> = closed
///     .map(|(reason, count)| format!("icap_closed{{reason=\"{}\"}} {count}", reason.as_str()))
///     .collect();
/// // One connection for OPTIONS and one for the scan.
/// assert_eq!(lines, ["icap_closed{reason=\"surplus\"} 2"]);
/// for server in &stats.suspended {
///     println!("{} ({}): {}", server.service, server.kind.as_str(), server.why);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections made.
    pub connections_opened: u64,
    /// Exchanges on a connection that was used before.
    pub connections_reused: u64,
    /// Connections closed.
    pub connections_closed: u64,
    /// Connections closed, by reason. Reasons without a connection are left out.
    pub closed_by_reason: BTreeMap<CloseReason, u64>,
    /// Connections that are idle now. This is no counter.
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
    /// Scans that ended in an error. Those that were [cancelled](crate::Cancel) are among them, and have a kind of their own.
    pub errors: u64,
    /// Scans that ended in an error, by kind. Kinds without an error are left out.
    pub errors_by_kind: BTreeMap<ErrorKind, u64>,
    /// How long scans took, by their outcome. Outcomes without a scan are left out.
    ///
    /// A verdict's time is its [`Report::elapsed`](crate::Report::elapsed).
    pub durations: BTreeMap<Outcome, Histogram>,
    /// Scans that run now. This is no counter.
    pub scans_in_flight: u64,
    /// Callers that wait now for a place among the connections of a full server. This is no counter.
    pub waiting_callers: u64,
    /// Exchanges that were repeated on a new connection: because a connection of an earlier exchange turned out to be
    /// closed, or because a connection broke and [`scan_spooled`](crate::Scanner::scan_spooled) had a copy.
    pub retries: u64,
    /// Times a scan went on to another server after one had failed or had not scanned. Passing over a suspended server is
    /// not counted.
    pub failovers: u64,
    /// Scans whose verdict came from the [cache](crate::ScannerBuilder::cache). They are counted by their verdict too.
    pub cache_hits: u64,
    /// Scans that looked for a verdict in the cache and found none.
    pub cache_misses: u64,
    /// `OPTIONS` requests sent.
    pub options_sent: u64,
    /// Bytes written, heads and chunk framing included.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// The servers that are suspended now.
    pub suspended: Vec<SuspendedServer>,
    /// The numbers of each server, in the order in which servers are asked.
    pub endpoints: Vec<EndpointStats>,
}

impl Stats {
    /// Adds the numbers of the servers to the sums.
    fn add(&mut self, endpoints: Vec<EndpointStats>) {
        for endpoint in &endpoints {
            self.connections_opened += endpoint.connections_opened;
            self.connections_reused += endpoint.connections_reused;
            self.connections_closed += endpoint.connections_closed;
            for (reason, count) in &endpoint.closed_by_reason {
                *self.closed_by_reason.entry(*reason).or_default() += count;
            }
            self.connections_idle += endpoint.connections_idle;
            self.waiting_callers += endpoint.waiting_callers;
            self.retries += endpoint.retries;
            self.failovers += endpoint.failovers;
            self.options_sent += endpoint.options_sent;
            self.bytes_sent += endpoint.bytes_sent;
            self.bytes_received += endpoint.bytes_received;
        }
        self.endpoints = endpoints;
    }
}

/// A server whose circuit breaker is open: scans pass it over for a while.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendedServer {
    /// The service, without the arguments of its URI.
    pub service: String,
    /// How long ago the suspension began. From time to time a scan tries the server again, and the suspension ends when such
    /// a scan succeeds.
    pub failing_for: Duration,
    /// How long until a scan may try the server again; zero if the next scan will try it.
    pub retry_in: Duration,
    /// The kind of its last failure.
    pub kind: ErrorKind,
    /// Its last failure, with the innermost cause.
    pub why: String,
}
