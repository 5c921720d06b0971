use std::io::{self, Read};

use super::input::{Input, assert_part_of, each_split};
use super::reference_chunks;
use super::reference_chunks::Ended;
use crate::client::body::Body;
use crate::client::body_encoder::{BodyEncoder, Then};
use crate::client::send_buffer::SendBuffer;
use crate::error::{ContentError, Limit, Violation};
use crate::net::deadline::Deadline;
use crate::proto::chunk::{ChunkDecoder, Decoded, GATHERED, LAST_CHUNK, encode_chunk};
use crate::proto::request::check_header;

/// How decoding ended, and what it gave.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    data: Vec<u8>,
    end: Result<Option<End>, Violation>,
}

#[derive(Debug, PartialEq, Eq)]
struct End {
    used: usize,
    trailers: Box<[u8]>,
    use_original_body: Option<u64>,
    is_ieof: bool,
}

/// Chunked bodies: `data` is one, with whatever is after it.
///
/// - Data, end, trailers and error are the same at every split, with a limit on the body, and with small chunks
///   gathered.
/// - They are what a naive decoder of the whole finds, which is written from RFC 9112 §7.1 and the
///   limits of this crate.
/// - No shorter input has an end.
pub fn chunk_decode(data: &[u8]) {
    for limit in [u64::MAX, 16] {
        let whole = decode(limit, &[data], Gathers::Nothing);
        each_split(data, |pieces| {
            assert_eq!(decode(limit, pieces, Gathers::Nothing), whole);
            assert_eq!(decode(limit, pieces, Gathers::SmallChunks), whole);
        });
        assert_as_reference(data, limit, &whole);
        if let Ok(Some(end)) = &whole.end {
            let cut = decode(limit, &[&data[..end.used - 1]], Gathers::SmallChunks);
            assert_eq!(cut.end, Ok(None), "an end before the end");
        }
    }
}

fn assert_as_reference(data: &[u8], limit: u64, found: &Outcome) {
    let expected = reference_chunks::decode(data, limit);
    assert_eq!(found.data, expected.data);
    match (&found.end, expected.ended) {
        (
            Ok(Some(end)),
            Ended::Complete {
                used,
                trailers,
                offset,
                is_ieof,
            },
        ) => {
            assert_eq!(end.is_ieof, is_ieof);
            assert_eq!((end.used, &*end.trailers), (used, trailers));
            assert_eq!(end.use_original_body, offset);
        }
        // What can no longer become valid may be refused before its line has ended.
        (Ok(None) | Err(_), Ended::Incomplete) | (Err(_), Ended::Invalid) => {}
        (found, expected) => panic!("{found:?}, expected {expected:?}"),
    }
    // More bytes in all than 64 bits can count are over every limit.
    if found.end == Err(Violation::LimitExceeded(Limit::ResponseBody)) && found.data.is_empty() {
        assert_ne!(limit, u64::MAX, "a limit nobody set");
    }
}

/// What is passed on together.
#[derive(Clone, Copy, PartialEq)]
enum Gathers {
    Nothing,
    SmallChunks,
}

fn decode(limit: u64, pieces: &[&[u8]], gathers: Gathers) -> Outcome {
    let mut decoder = ChunkDecoder::new(limit);
    let (mut data, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            if gathers == Gathers::SmallChunks {
                let before = data.len();
                let mut gathered = Vec::new();
                let len = decoder.take_small_chunks(rest, &mut gathered);
                data.append(&mut gathered);
                assert!(data.len() - before <= GATHERED.min(len));
                used += len;
                rest = &rest[len..];
            }
            let (len, decoded) = match decoder.decode(rest) {
                Ok(step) => step,
                Err(violation) => {
                    return Outcome {
                        data,
                        end: Err(violation),
                    };
                }
            };
            used += len;
            match decoded {
                Decoded::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    assert_part_of(bytes, &rest[..len]);
                    data.extend_from_slice(bytes);
                }
                Decoded::NeedsMore => assert_eq!(len, rest.len()),
                Decoded::End => {
                    let use_original_body = decoder.use_original_body();
                    let is_ieof = decoder.has_ieof();
                    let trailers = decoder.into_trailers();
                    let end = End {
                        used,
                        trailers,
                        use_original_body,
                        is_ieof,
                    };
                    return Outcome {
                        data,
                        end: Ok(Some(end)),
                    };
                }
            }
            rest = &rest[len..];
            if decoded == Decoded::NeedsMore {
                break;
            }
        }
    }
    Outcome {
        data,
        end: Ok(None),
    }
}

/// Bodies of requests: `data` says in what pieces the content comes, what it is, and whether the
/// reader of it fails, lies or is interrupted.
///
/// - What is encoded from pieces is decoded to the same bytes, and it ends once, at its end.
/// - A body is written to its last-chunk exactly if the reader gave as much as was declared, and
///   nothing after its end; else there is an error and no last-chunk.
/// - A preview has as many bytes as it may have, and says `ieof` exactly if that is all; trailers
///   follow the whole and not the preview.
pub fn chunk_roundtrip(data: &[u8]) {
    pieces(&mut Input::new(data));
    body(&mut Input::new(data));
}

fn pieces(input: &mut Input<'_>) {
    let (mut content, mut encoded) = (Vec::new(), Vec::new());
    while !input.is_empty() {
        let piece = input.text();
        content.extend_from_slice(piece);
        encode_chunk(&mut encoded, piece);
    }
    let cut = reference_chunks::decode(&encoded, u64::MAX);
    assert_eq!((cut.ended, &cut.data), (Ended::Incomplete, &content));
    encoded.extend_from_slice(LAST_CHUNK);
    assert_body(&encoded, &content, false, b"");
    let outcome = decode(u64::MAX, &[&encoded], Gathers::SmallChunks);
    assert_eq!(outcome.data, content);
    assert_eq!(
        outcome.end.expect("valid").expect("an end").used,
        encoded.len()
    );
}

/// A whole body, and what its last chunk and trailer section say.
fn assert_body(encoded: &[u8], content: &[u8], is_ieof: bool, trailers: &[u8]) {
    let decoded = reference_chunks::decode(encoded, u64::MAX);
    let (used, offset) = (encoded.len(), None);
    let expected = Ended::Complete {
        used,
        trailers,
        offset,
        is_ieof,
    };
    assert_eq!((decoded.ended, &*decoded.data), (expected, content));
    let last = if is_ieof { "0; ieof\r\n" } else { "0\r\n" };
    let end = [last.as_bytes(), trailers, b"\r\n"].concat();
    assert!(encoded.ends_with(&end));
}

fn body(input: &mut Input<'_>) {
    // Sometimes declared, and then sometimes wrongly.
    let declared = match input.byte() {
        byte @ 128.. => Some(u64::from(byte - 128)),
        _ => None,
    };
    let preview = match input.byte() {
        byte @ 128.. => Some(usize::from(byte - 128)),
        byte @ 120.. => Some(usize::from(byte) << 10),
        _ => None,
    };
    let mut trailers = Vec::new();
    let (name, value) = (String::from_utf8_lossy(input.text()), input.text());
    let mut reader = ScriptedReader {
        script: input,
        read: Vec::new(),
        has_ended: false,
        is_broken: false,
    };
    let mut body = Body::reader(&mut reader).len(declared);
    if check_header(&name, value).is_ok() {
        body = body.trailer(&name, value).expect("it was checked");
        trailers = [name.as_bytes(), b": ", value, b"\r\n"].concat();
    }
    let (parts, result) = encode(body, preview);
    let ScriptedReader {
        read, is_broken, ..
    } = reader;
    let fits = declared.is_none_or(|declared| declared == read.len() as u64);
    assert_eq!(result.is_ok(), fits && !is_broken, "{result:?}");
    assert_parts(&parts, result.is_ok(), preview, &read, &trailers);
}

/// Encodes a body to its end or its failure: a part that is a preview, if it has one, and the rest.
fn encode(mut body: Body<'_>, preview: Option<usize>) -> (Vec<Vec<u8>>, Result<(), ContentError>) {
    let deadline = Deadline::by_system(None);
    let mut encoder = BodyEncoder::new(&mut body, preview, &deadline);
    let mut parts = vec![Vec::new()];
    let mut buffer = SendBuffer::take();
    loop {
        buffer.clear();
        let next = encoder.encode_next(&mut buffer, None);
        let part = parts.last_mut().expect("one at least");
        part.extend_from_slice(buffer.bytes());
        part.extend_from_slice(encoder.direct());
        match next.map(|next| next.then) {
            Ok(Then::Continues) => {}
            Ok(Then::Decides) => parts.push(Vec::new()),
            Ok(Then::Done) => return (parts, Ok(())),
            Err(error) => return (parts, Err(error)),
        }
    }
}

fn assert_parts(
    parts: &[Vec<u8>],
    is_complete: bool,
    preview: Option<usize>,
    read: &[u8],
    trailers: &[u8],
) {
    let (last, previews) = parts.split_last().expect("one at least");
    let mut rest = read;
    match (previews, preview) {
        ([], _) => {}
        ([part], Some(size)) => {
            // There is more: no `ieof`, and what follows the content does not follow its preview.
            assert!(read.len() > size);
            assert_body(part, &read[..size], false, b"");
            rest = &read[size..];
        }
        (previews, preview) => panic!("{} previews, asked for {preview:?}", previews.len()),
    }
    if is_complete {
        let is_ieof = preview.is_some() && previews.is_empty();
        assert!(!is_ieof || Some(read.len()) <= preview);
        assert_body(last, rest, is_ieof, trailers);
    } else {
        let decoded = reference_chunks::decode(last, u64::MAX);
        assert_eq!(decoded.ended, Ended::Incomplete);
        assert!(rest.starts_with(&decoded.data));
    }
}

/// Gives what its script says.
struct ScriptedReader<'s, 'd> {
    script: &'s mut Input<'d>,
    /// What it gave.
    read: Vec<u8>,
    /// It said that it has ended.
    has_ended: bool,
    /// It did what no reader may do, or failed.
    is_broken: bool,
}

impl Read for ScriptedReader<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.script.is_empty() {
            self.has_ended = true;
            return Ok(0);
        }
        match self.script.byte() {
            0 => self.has_ended = true,
            1 => return Err(io::ErrorKind::Interrupted.into()),
            2 => {
                self.is_broken = true;
                return Err(io::Error::other("the script says so"));
            }
            3 => {
                self.is_broken = true;
                return Ok(buf.len() + 1);
            }
            // Large, so that chunks become full.
            len @ 4..=7 if self.read.len() < 1 << 18 => {
                return Ok(self.give(buf, &vec![len; usize::from(len) << 13]));
            }
            _ => {
                let text = self.script.text();
                return Ok(self.give(buf, text));
            }
        }
        Ok(0)
    }
}

impl ScriptedReader<'_, '_> {
    fn give(&mut self, buf: &mut [u8], bytes: &[u8]) -> usize {
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.read.extend_from_slice(&bytes[..len]);
        // Going on after the end, so that what was before it was taken for all.
        self.is_broken |= self.has_ended && len > 0;
        self.has_ended |= len == 0;
        len
    }
}
