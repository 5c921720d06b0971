//! Why connections are closed.
//!
//! It stands here and not in `net`, because [`Stats`](crate::Stats) counts by it, and `stats` is the lower
//! layer: it imports nothing of `net`.

/// Why a connection is not used again. It is dirty from the first byte of an exchange, and clean
/// again only when none of these applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The exchange ended in an error, or its caller panicked.
    Failed,
    /// The response was complete before the request was.
    RequestUnfinished,
    /// The response began before the request was completely written.
    EarlyResponse,
    /// A 206 came outside a preview.
    PartialContent,
    /// Bytes came after the response.
    StrayBytes,
    /// The peer said `Connection: close`.
    PeerAsked,
    /// The peer closed its side after the response.
    PeerClosed,
    /// Its transport allows no other exchange.
    TransportOver,
    /// Something a well-behaved peer does not send.
    Odd,
    /// What the response says is contradictory.
    Contradiction,
    /// Its server has no engine.
    NoEngine,
    /// Bytes came while nothing was asked.
    IdleBytes,
    /// The peer closed or reset it while it was idle.
    IdleClosed,
    /// It was idle for too long.
    IdleTimeout,
    /// There are enough idle ones, or more than the service wants.
    NoRoom,
    /// Another connection has never been answered, and the server may have no thread for it.
    MadeRoom,
    /// The server turned it away because there are too many.
    ServerFull,
    /// It was idle when the last clone of its scanner was dropped.
    PoolDropped,
}

impl CloseReason {
    pub(crate) const ALL: [Self; 18] = [
        Self::Failed,
        Self::RequestUnfinished,
        Self::EarlyResponse,
        Self::PartialContent,
        Self::StrayBytes,
        Self::PeerAsked,
        Self::PeerClosed,
        Self::TransportOver,
        Self::Odd,
        Self::Contradiction,
        Self::NoEngine,
        Self::IdleBytes,
        Self::IdleClosed,
        Self::IdleTimeout,
        Self::NoRoom,
        Self::MadeRoom,
        Self::ServerFull,
        Self::PoolDropped,
    ];

    /// The reason as a clause, for the log and the statistics.
    pub(crate) fn explain(self) -> &'static str {
        match self {
            Self::Failed => "the exchange failed",
            Self::RequestUnfinished => "the response was complete before the request was",
            Self::EarlyResponse => "the response began before the request was completely written",
            Self::PartialContent => {
                "a 206 came outside a preview, so the server may not have read the request"
            }
            Self::StrayBytes => "bytes came after the response",
            Self::PeerAsked => "the peer asked to close",
            Self::PeerClosed => "the peer closed it after the response",
            Self::TransportOver => "its transport allows no other exchange",
            Self::Odd => "the peer sent something odd",
            Self::Contradiction => "the response contradicts itself",
            Self::NoEngine => "the server has no engine",
            Self::IdleBytes => "bytes came while nothing was asked",
            Self::IdleClosed => "the peer closed it while it was idle",
            Self::IdleTimeout => "it was idle for too long",
            Self::NoRoom => "there are enough idle connections",
            Self::MadeRoom => "another connection waits for the server to take it",
            Self::ServerFull => "the server has too many connections",
            Self::PoolDropped => "nobody will use it any more",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place_and_its_words() {
        for (place, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            let same = |other: &&CloseReason| other.explain() == reason.explain();
            assert_eq!(CloseReason::ALL.iter().filter(same).count(), 1);
        }
    }
}
