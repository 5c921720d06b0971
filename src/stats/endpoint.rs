//! The numbers of one server.

use std::collections::BTreeMap;
use std::time::Duration;

use super::close_reason::CloseReason;

/// What a [`Scanner`](crate::Scanner) and its clones have done so far with one of their servers.
#[non_exhaustive]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// The place of the server in the order in which servers are asked; 0 is the first.
    pub index: usize,
    /// The service, as a URI without its arguments. Two can have the same, if they differ only in
    /// arguments or address.
    pub service: String,
    /// How often this server was asked and a [`Report`](crate::Report) came of it. That counts also if the scan then went on
    /// to the next server.
    pub reports: u64,
    /// Failures of scans for which the server is to blame, see
    /// [`suspend_after`](crate::ScannerBuilder::suspend_after).
    pub failures: u64,
    /// What happened at the last of these failures, as the error of the scan says it. It stays when the server serves
    /// again.
    pub last_failure: Option<String>,
    /// Exchanges that were repeated on a new connection: because a connection of an earlier exchange turned out to be
    /// closed, or because a connection broke and [`scan_spooled`](crate::Scanner::scan_spooled) had a copy.
    pub retries: u64,
    /// Times a scan came to this server after another one had failed or had not scanned. Passing over a suspended server is
    /// not counted.
    pub failovers: u64,
    /// `OPTIONS` requests sent.
    pub options_sent: u64,
    /// Canaries sent, see [`ScannerBuilder::canary`](crate::ScannerBuilder::canary).
    pub canaries: u64,
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
    /// Callers that wait now for a place among the connections of a full server. This is no counter.
    pub waiting_callers: u64,
    /// Bytes written, heads and chunk framing included.
    pub bytes_sent: u64,
    /// Bytes read.
    pub bytes_received: u64,
    /// Whether the server is suspended now.
    pub is_suspended: bool,
    /// Whether the server missed the last canary. It is asked for no scan until it finds one.
    pub is_blind: bool,
    /// How long ago the server last found EICAR in a canary. `None` if it never did, or without canaries.
    pub eicar_age: Option<Duration>,
    /// How long ago the state tag (`ISTag`) of the server last changed: since the first response with the tag that it
    /// has now. `None` before the first tag.
    ///
    /// c-icap computes its tag from the version that clamd reports, and only when it starts and at its command
    /// `reconfigure`. The tag does not follow a reload of clamd's signatures. So a great age does not mean that the
    /// signatures are old. If several servers share one address, for example that of a load balancer, the tag changes
    /// with the server that responds.
    pub state_tag_age: Option<Duration>,
}
