//! The parsers, for `benches/`: what is public of them asserts, and takes the time of that.

use std::hint::black_box;

use crate::proto::chunk::{ChunkDecoder, Decoded};
use crate::proto::header::{Field, check_each_field};

/// Bytes that a decoder gets at a time, as from a socket.
const PIECE: usize = 64 * 1024;

/// Finds the end of a block of fields, and checks each, as the client does with a head that comes whole. Returns the
/// length of the block with its blank line.
///
/// # Panics
///
/// If the block is not complete and valid.
#[must_use]
pub fn check_fields(data: &[u8]) -> usize {
    read(data, |_| {})
}

/// As [`check_fields`], and looks at the name and the value of each field, in the same pass.
///
/// # Panics
///
/// As [`check_fields`].
#[must_use]
pub fn read_fields(data: &[u8]) -> usize {
    read(data, |field| {
        black_box((field.name, field.value()));
    })
}

/// As [`read_fields`], with each name as text. The client needs that only to show it.
///
/// # Panics
///
/// As [`check_fields`].
#[must_use]
pub fn read_fields_as_text(data: &[u8]) -> usize {
    read(data, |field| {
        black_box((field.name(), field.value()));
    })
}

fn read<'d>(data: &'d [u8], each: impl FnMut(Field<'d>)) -> usize {
    let len = check_each_field(data, each).expect("valid fields");
    assert!(data[len..].starts_with(b"\r\n"), "a blank line");
    len + 2
}

/// Decodes a complete body as the client does, and appends its content.
///
/// # Panics
///
/// If the body is not complete and valid.
pub fn decode_chunks(data: &[u8], content: &mut Vec<u8>) {
    let mut decoder = ChunkDecoder::new(u64::MAX);
    let mut gathered = Vec::new();
    for piece in data.chunks(PIECE) {
        let mut rest = piece;
        while !rest.is_empty() {
            let len = decoder.take_small_chunks(rest, &mut gathered);
            rest = &rest[len..];
            if !gathered.is_empty() {
                content.append(&mut gathered);
                continue;
            }
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
