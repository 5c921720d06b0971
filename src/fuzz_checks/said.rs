//! What a response says, as far as it was received.

use crate::evidence::{CustomHeaders, Findings};
use crate::proto::response_reader::ResponseReader;

/// Feeds byte by byte; returns how many were taken before the response ended or was refused.
pub(super) fn feed(reader: &mut ResponseReader, response: &[u8]) -> usize {
    for (at, byte) in response.chunks(1).enumerate() {
        if reader.has_ended() || feed_all(reader, byte).is_none() {
            return at;
        }
    }
    response.len()
}

fn feed_all(reader: &mut ResponseReader, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() && !reader.has_ended() {
        let (used, _) = reader.feed(bytes).ok()?;
        bytes = &bytes[used..];
    }
    Some(())
}

/// What is said by what came of a response.
pub(super) fn said_by(reader: ResponseReader) -> Findings {
    let remains = reader.into_remains();
    let custom = CustomHeaders::default();
    Findings::of_remains(remains.response.as_ref(), &remains.fragments, &custom)
}
