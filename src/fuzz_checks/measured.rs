//! The parsers, for `benches/`: what is public of them asserts, and takes the time of that.

use crate::proto::chunk::{ChunkDecoder, Decoded};
use crate::proto::head::HeadFinder;
use crate::proto::header::Headers;

/// Bytes that a decoder gets at a time, as from a socket.
const PIECE: usize = 64 * 1024;

/// Finds the end of a block of fields, and checks each. Returns the length of the block.
///
/// # Panics
///
/// If the block is not complete and valid.
pub fn check_fields(data: &[u8]) -> usize {
    let len = head_len(data);
    Headers::parse(&data[..len - 2]).expect("valid fields");
    len
}

/// As [`check_fields`], and looks at the name and the value of each field once.
pub fn visit_fields(data: &[u8]) -> usize {
    let len = head_len(data);
    let fields = Headers::parse(&data[..len - 2]).expect("valid fields");
    for field in &fields {
        std::hint::black_box((field.name(), field.value()));
    }
    len
}

fn head_len(data: &[u8]) -> usize {
    let found = HeadFinder::default().find(data);
    found.expect("valid line ends").expect("a blank line")
}

/// Decodes a complete body, and appends its content.
///
/// # Panics
///
/// If the body is not complete and valid.
pub fn decode_chunks(data: &[u8], content: &mut Vec<u8>) {
    let mut decoder = ChunkDecoder::new(u64::MAX);
    for piece in data.chunks(PIECE) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (len, decoded) = decoder.decode(rest).expect("valid chunks");
            rest = &rest[len..];
            match decoded {
                Decoded::Data(bytes) => content.extend_from_slice(bytes),
                Decoded::NeedsMore => {}
                Decoded::End => return,
            }
        }
    }
    panic!("no last chunk");
}
