//! Where the reader is in a response.

use crate::proto::chunk::ChunkDecoder;
use crate::proto::encapsulated::{BodyKind, Encapsulated};
use crate::proto::head::HeadFinder;
use crate::proto::violation::Violation;

/// What is read next, and what has come of it.
#[derive(Debug)]
pub(super) enum State {
    IcapHead {
        buffer: Vec<u8>,
        finder: HeadFinder,
    },
    HttpHeads {
        buffer: Vec<u8>,
        list: Encapsulated,
        /// Why the response is refused after its HTTP heads, which may have evidence.
        fault: Option<Violation>,
    },
    Body {
        decoder: ChunkDecoder,
        len: u64,
        /// Why the response is refused after its trailers, which may have evidence. The body is discarded.
        fault: Option<Violation>,
    },
    Ended,
}

impl State {
    pub(super) fn start() -> Self {
        Self::IcapHead {
            buffer: Vec::new(),
            finder: HeadFinder::default(),
        }
    }

    /// In a head that is complete and refused.
    pub(super) fn at_refused(head: &[u8]) -> Self {
        let mut finder = HeadFinder::default();
        // It has an end, up to which it is searched.
        let _ = finder.find(head);
        let buffer = head.to_vec();
        Self::IcapHead { buffer, finder }
    }

    /// Before a body, which may have `limit` bytes, or at the end.
    pub(super) fn after_heads(body: BodyKind, limit: u64, fault: Option<Violation>) -> Self {
        match body {
            BodyKind::Null => Self::Ended,
            _ => Self::Body {
                decoder: ChunkDecoder::new(limit),
                len: 0,
                fault,
            },
        }
    }
}
