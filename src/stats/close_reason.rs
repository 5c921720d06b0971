//! Why connections are closed.
//!
//! It stands here and not in `net`, because [`Stats`](crate::Stats) counts by it, and `stats` is the lower
//! layer: it imports nothing of `net`.

use std::fmt;

/// Why a connection was closed, and not used again.
///
/// ```
/// use icap_client::stats::CloseReason;
///
/// assert_eq!(CloseReason::IdleTimeout.as_str(), "idle_timeout");
/// assert_eq!(CloseReason::IdleTimeout.to_string(), "it was idle for too long");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// The exchange ended in an error, or its caller panicked.
    Failed,
    /// The whole response came before the request was completely written.
    RequestUnfinished,
    /// The response began before the request was completely written. The rest of the request was then written too.
    EarlyResponse,
    /// A 206 came outside a preview.
    PartialContent,
    /// Bytes came after the response.
    StrayBytes,
    /// The peer said `Connection: close`.
    PeerAsked,
    /// The peer closed its side after the response.
    PeerClosed,
    /// Its transport allows no other exchange, for example after a TLS renegotiation was declined.
    TransportOver,
    /// The response was valid, but it had something that RFC 3507 does not allow there, for example an interim response
    /// that was not asked for. A line at warn says what.
    OddResponse,
    /// What the response says is contradictory.
    Contradiction,
    /// The server has no engine.
    NoEngine,
    /// Bytes came while it was idle.
    IdleBytes,
    /// The peer closed or reset it while it was idle.
    IdleClosed,
    /// It was idle for longer than [`idle_timeout`](crate::ScannerBuilder::idle_timeout).
    IdleTimeout,
    /// There were as many idle connections as [`max_idle`](crate::ScannerBuilder::max_idle) says, or more connections than
    /// the service wants. Or this connection was idle, and a new one needed its place.
    Surplus,
    /// The server did not respond on another connection, perhaps because it has no free thread for that one. This one was
    /// idle, and was closed to free its thread.
    MadeRoom,
    /// The server responded with 503. Or it never responded on this connection, while it responded on others. Both mean that
    /// it has too many connections.
    ServerFull,
    /// It was idle when the last clone of its scanner was dropped.
    ScannerDropped,
    /// The caller cancelled its scan, see [`Content::cancel`](crate::Content::cancel).
    Cancelled,
}

/// Every reason in the order of the enum, with its key and its clause.
const TABLE: [(CloseReason, &str, &str); 19] = [
    (CloseReason::Failed, "failed", "the exchange failed"),
    (
        CloseReason::RequestUnfinished,
        "request_unfinished",
        "the response was complete before the request was",
    ),
    (
        CloseReason::EarlyResponse,
        "early_response",
        "the response began before the request was completely written",
    ),
    (
        CloseReason::PartialContent,
        "partial_content",
        "a 206 came outside a preview, so the server may not have read the request",
    ),
    (
        CloseReason::StrayBytes,
        "stray_bytes",
        "bytes came after the response",
    ),
    (
        CloseReason::PeerAsked,
        "peer_asked",
        "the peer asked to close",
    ),
    (
        CloseReason::PeerClosed,
        "peer_closed",
        "the peer closed it after the response",
    ),
    (
        CloseReason::TransportOver,
        "transport_over",
        "its transport allows no other exchange",
    ),
    (
        CloseReason::OddResponse,
        "odd_response",
        "the peer sent something odd",
    ),
    (
        CloseReason::Contradiction,
        "contradiction",
        "the response contradicts itself",
    ),
    (
        CloseReason::NoEngine,
        "no_engine",
        "the server has no engine",
    ),
    (
        CloseReason::IdleBytes,
        "idle_bytes",
        "bytes came while nothing was asked",
    ),
    (
        CloseReason::IdleClosed,
        "idle_closed",
        "the peer closed it while it was idle",
    ),
    (
        CloseReason::IdleTimeout,
        "idle_timeout",
        "it was idle for too long",
    ),
    (
        CloseReason::Surplus,
        "surplus",
        "there are enough idle connections",
    ),
    (
        CloseReason::MadeRoom,
        "made_room",
        "another connection waits for the server to take it",
    ),
    (
        CloseReason::ServerFull,
        "server_full",
        "the server has too many connections",
    ),
    (
        CloseReason::ScannerDropped,
        "scanner_dropped",
        "its scanner is dropped",
    ),
    (
        CloseReason::Cancelled,
        "cancelled",
        "the scan was cancelled by its caller",
    ),
];

impl CloseReason {
    pub(crate) const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::Failed; TABLE.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = TABLE[at].0;
            at += 1;
        }
        all
    };

    /// A lower-case key that does not change between versions, for example as a label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        TABLE[self as usize].1
    }
}

/// Writes the reason as a clause, for a log line.
impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TABLE[*self as usize].2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn reasons_are_in_order_and_have_words_of_their_own() {
        for (place, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
        let keys: BTreeSet<_> = CloseReason::ALL
            .into_iter()
            .map(CloseReason::as_str)
            .collect();
        let clauses: BTreeSet<_> = CloseReason::ALL.map(|reason| reason.to_string()).into();
        assert_eq!((keys.len(), clauses.len()), (TABLE.len(), TABLE.len()));
        let is_key = |key: &&str| {
            key.bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_lowercase())
        };
        assert!(keys.iter().all(is_key), "{keys:?}");
    }
}
