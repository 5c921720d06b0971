//! The chunked coding of encapsulated bodies (RFC 3507 §4.4, RFC 9112 §7.1), both ways.
//!
//! Where one chunk ends decides where the next response begins, so the decoder takes what the grammar
//! has and nothing beside it: CRLF only, sizes of up to 16 hexadecimal digits, well-formed
//! extensions, and all of it bounded. One tolerance: white space after a size, which real servers
//! send and which `0; ieof` made legal before an extension. It costs nothing of the budget for extensions.

use super::head::HeadFinder;
use super::header::{Headers, encode_field, is_token_byte, trim};
use super::limits::{MAX_CHUNK_EXTENSIONS, MAX_CHUNK_LINE, MAX_CHUNK_SIZE_DIGITS, MAX_TRAILERS};
use super::number::{decimal, hex_digit};
use super::violation::{Limit, Violation};

/// Appends one chunk with `data`; nothing for no data, because an empty chunk ends a body.
pub(crate) fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the chunk that ends a body, or that stops after a part of it, its preview.
pub(crate) fn encode_last_chunk(out: &mut Vec<u8>) {
    encode_end(out, false, &[]);
}

/// Appends the chunk that ends a body, in a preview or not (RFC 3507 §4.5), and after it a trailer
/// section of fields that were checked.
pub(crate) fn encode_end(out: &mut Vec<u8>, is_in_preview: bool, trailers: &[(String, Vec<u8>)]) {
    let line = if is_in_preview { "0; ieof" } else { "0" };
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in trailers {
        encode_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// What came out of a call to [`ChunkDecoder::decode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoded<'i> {
    /// All of the input is used up; more is needed.
    NeedsMore,
    Data(&'i [u8]),
    /// The body ended, trailer section included.
    End,
}

/// Decodes a chunked body from input that arrives in any pieces.
#[derive(Debug)]
pub(crate) struct ChunkDecoder {
    state: State,
    /// Bytes of data that may still come before the limit on the body.
    allowance: u64,
    extension_bytes: usize,
    extensions: LastChunkExtensions,
    /// The trailer section and the blank line after it, as they arrive.
    trailers: Vec<u8>,
    trailers_end: HeadFinder,
}

#[derive(Debug)]
enum State {
    /// In the digits of a chunk size.
    Size {
        size: u64,
        digits: usize,
    },
    /// Behind the digits, up to the line end.
    Line {
        size: u64,
        line: Vec<u8>,
    },
    Data {
        remaining: u64,
    },
    /// In the CRLF after the data.
    DataEnd {
        cr_seen: bool,
    },
    Trailers,
    Ended,
}

impl ChunkDecoder {
    /// A decoder for a body of at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            state: State::Size { size: 0, digits: 0 },
            allowance: limit,
            extension_bytes: 0,
            extensions: LastChunkExtensions::default(),
            trailers: Vec::new(),
            trailers_end: HeadFinder::default(),
        }
    }

    /// Takes what it can of `input`; returns how much that was, and what it means.
    pub(crate) fn decode<'i>(
        &mut self,
        input: &'i [u8],
    ) -> Result<(usize, Decoded<'i>), Violation> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            match &mut self.state {
                State::Size { .. } | State::Line { .. } | State::DataEnd { .. } => {
                    self.take_framing(rest[0])?;
                    used += 1;
                }
                State::Data { remaining } => {
                    let len = usize::try_from(*remaining).map_or(rest.len(), |r| r.min(rest.len()));
                    *remaining -= len as u64;
                    if *remaining == 0 {
                        self.state = State::DataEnd { cr_seen: false };
                    }
                    return Ok((used + len, Decoded::Data(&rest[..len])));
                }
                State::Trailers => {
                    used += self.take_trailers(rest)?;
                }
                State::Ended => break,
            }
        }
        let ended = matches!(self.state, State::Ended);
        Ok((
            used,
            if ended {
                Decoded::End
            } else {
                Decoded::NeedsMore
            },
        ))
    }

    /// The offset of `use-original-body` on the last chunk (draft-icap-ext-partial-content §5.2).
    pub(crate) fn use_original_body(&self) -> Option<u64> {
        self.extensions.use_original_body
    }

    /// Whether the last chunk says that a preview was the whole body (RFC 3507 §4.5).
    #[cfg_attr(
        not(any(test, fuzzing, feature = "testing")),
        expect(dead_code, reason = "only servers read previews")
    )]
    pub(crate) fn has_ieof(&self) -> bool {
        self.extensions.ieof
    }

    /// What came of the trailer section so far, up to what is wrong with it.
    pub(crate) fn trailers(&self) -> &[u8] {
        self.trailers_end.searched(&self.trailers)
    }

    /// The fields of the trailer section, once the body has ended.
    pub(crate) fn into_trailers(self) -> Box<[u8]> {
        let blank_line = b"\r\n";
        self.trailers
            .strip_suffix(blank_line)
            .unwrap_or_default()
            .into()
    }

    fn take_framing(&mut self, byte: u8) -> Result<(), Violation> {
        match &mut self.state {
            State::Size { size, digits } => match hex_digit(byte) {
                Some(_) if *digits == MAX_CHUNK_SIZE_DIGITS => return Err(Violation::ChunkSize),
                Some(value) => {
                    *size = *size * 16 + u64::from(value);
                    *digits += 1;
                }
                None if *digits == 0 => return Err(Violation::ChunkSize),
                None => {
                    self.state = State::Line {
                        size: *size,
                        line: Vec::new(),
                    };
                    return self.take_framing(byte);
                }
            },
            State::Line { size, line } => {
                let size = *size;
                if take_line_byte(line, byte)? {
                    let line = std::mem::take(line);
                    self.begin_chunk(size, &line)?;
                }
            }
            State::DataEnd { cr_seen } => match (*cr_seen, byte) {
                (false, b'\r') => *cr_seen = true,
                (true, b'\n') => self.state = State::Size { size: 0, digits: 0 },
                _ => return Err(Violation::ChunkTerminator),
            },
            State::Data { .. } | State::Trailers | State::Ended => {}
        }
        Ok(())
    }

    /// A chunk's line is complete: `line` is what stands after its size.
    fn begin_chunk(&mut self, size: u64, line: &[u8]) -> Result<(), Violation> {
        let extensions = parse_extensions(line, size == 0)?;
        // White space alone is padding, and bounded by the length of the line.
        self.extension_bytes += trim(line).len();
        if self.extension_bytes > MAX_CHUNK_EXTENSIONS {
            return Err(Violation::LimitExceeded(Limit::ChunkExtensions));
        }
        if size == 0 {
            self.extensions = extensions;
            self.state = State::Trailers;
            return Ok(());
        }
        self.allowance = self
            .allowance
            .checked_sub(size)
            .ok_or(Violation::LimitExceeded(Limit::ResponseBody))?;
        self.state = State::Data { remaining: size };
        Ok(())
    }

    fn take_trailers(&mut self, input: &[u8]) -> Result<usize, Violation> {
        let before = self.trailers.len();
        let room = MAX_TRAILERS - before;
        self.trailers
            .extend_from_slice(&input[..room.min(input.len())]);
        let Some(end) = self.trailers_end.find(&self.trailers)? else {
            return if self.trailers.len() == MAX_TRAILERS {
                Err(Violation::LimitExceeded(Limit::Trailers))
            } else {
                Ok(self.trailers.len() - before)
            };
        };
        self.trailers.truncate(end);
        Headers::parse(&self.trailers[..end - 2]).map_err(|bad| match bad.violation {
            Violation::BadHeader => Violation::BadTrailer,
            limit => limit,
        })?;
        self.state = State::Ended;
        Ok(end - before)
    }
}

/// Collects a line up to its CRLF; true when that is complete.
fn take_line_byte(line: &mut Vec<u8>, byte: u8) -> Result<bool, Violation> {
    match (line.last(), byte) {
        (Some(b'\r'), b'\n') => {
            line.pop();
            return Ok(true);
        }
        (Some(b'\r'), _) => return Err(Violation::ChunkLine),
        (_, b'\n') => return Err(Violation::BareLf),
        _ => {}
    }
    // What cannot follow a size is refused at once, not when its line ends: it may have none.
    if line.is_empty() && !matches!(byte, b'\r' | b' ' | b'\t' | b';') {
        return Err(Violation::ChunkSize);
    }
    // The byte that is still missing after this one is the LF.
    if line.len() + 1 >= MAX_CHUNK_LINE {
        return Err(Violation::LimitExceeded(Limit::ChunkLine));
    }
    line.push(byte);
    Ok(false)
}

/// What extensions can say on a last chunk, and only there.
#[derive(Debug, Default)]
struct LastChunkExtensions {
    use_original_body: Option<u64>,
    ieof: bool,
}

/// Checks what stands after a chunk's size, `*( BWS ";" BWS name [ BWS "=" BWS value ] )`, and finds
/// what is known in it. `use-original-body` is refused on any but a last chunk.
fn parse_extensions(line: &[u8], is_last: bool) -> Result<LastChunkExtensions, Violation> {
    let mut rest = trim_start(line);
    let mut found = LastChunkExtensions::default();
    // What stands right after the size and is no extension belongs to the size.
    let mut foreign = Violation::ChunkSize;
    while let [first, after @ ..] = rest {
        if *first != b';' {
            return Err(foreign);
        }
        foreign = Violation::ChunkExtension;
        let (extension, after) =
            take_extension(trim_start(after)).ok_or(Violation::ChunkExtension)?;
        if extension.name.eq_ignore_ascii_case(b"use-original-body") {
            let value = extension.value.and_then(decimal);
            if found.use_original_body.is_some() || value.is_none() || !is_last {
                return Err(Violation::BadUseOriginalBody);
            }
            found.use_original_body = value;
        }
        found.ieof |= extension.value.is_none() && extension.name.eq_ignore_ascii_case(b"ieof");
        rest = trim_start(after);
    }
    Ok(found)
}

struct Extension<'l> {
    name: &'l [u8],
    /// As it stands there, quotation marks included.
    value: Option<&'l [u8]>,
}

/// One extension, and what is after it.
fn take_extension(line: &[u8]) -> Option<(Extension<'_>, &[u8])> {
    let (name, rest) = take_token(line)?;
    let Some(value) = trim_start(rest).strip_prefix(b"=") else {
        return Some((Extension { name, value: None }, rest));
    };
    let value = trim_start(value);
    let (value, rest) = if value.first() == Some(&b'"') {
        take_quoted(value)?
    } else {
        take_token(value)?
    };
    Some((
        Extension {
            name,
            value: Some(value),
        },
        rest,
    ))
}

fn take_token(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = line.iter().take_while(|&&b| is_token_byte(b)).count();
    (len > 0).then(|| line.split_at(len))
}

/// A quoted string (RFC 9110 §5.6.4) with its marks, and what is after it.
fn take_quoted(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut escaped = false;
    for (at, &byte) in line.iter().enumerate().skip(1) {
        match byte {
            0..=8 | 10..=31 | 127 => return None,
            b'"' if !escaped => return Some(line.split_at(at + 1)),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    None
}

fn trim_start(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = line {
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::splits::each_split;

    /// Data, and either what is left after the end or why decoding stopped; no end is `None`.
    type Outcome = (Vec<u8>, Result<Option<usize>, Violation>);

    fn decode_with(limit: u64, pieces: &[&[u8]]) -> Outcome {
        let mut decoder = ChunkDecoder::new(limit);
        let mut data = Vec::new();
        let mut left: usize = pieces.iter().map(|p| p.len()).sum();
        for piece in pieces {
            let mut piece = *piece;
            loop {
                let (used, decoded) = match decoder.decode(piece) {
                    Ok(step) => step,
                    Err(violation) => return (data, Err(violation)),
                };
                left -= used;
                piece = &piece[used..];
                match decoded {
                    Decoded::Data(bytes) => data.extend_from_slice(bytes),
                    Decoded::NeedsMore => break,
                    Decoded::End => return (data, Ok(Some(left))),
                }
            }
        }
        (data, Ok(None))
    }

    /// Decodes `input` at every split; all must agree.
    fn decode(input: &[u8]) -> Outcome {
        let whole = decode_with(u64::MAX, &[input]);
        each_split(input, |pieces| {
            assert_eq!(decode_with(u64::MAX, pieces), whole, "{pieces:?}");
        });
        whole
    }

    #[test]
    fn well_formed_bodies_are_decoded_to_their_end_and_not_beyond() {
        for (input, data, left) in [
            ("0\r\n\r\n", "", 0),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", 0),
            ("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nNEXT", "hello", 4),
            (
                "A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n",
                "01234567890123456789",
                0,
            ),
            ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", 0),
            ("5 \t\r\nhello\r\n0 \r\n\r\n", "hello", 0),
            ("5\r\nhello\r\n0; ieof\r\n\r\n", "hello", 0),
            (
                "5 ; a = b ;c=\"d;\\\" e\"\r\nhello\r\n0\r\n\r\n",
                "hello",
                0,
            ),
            ("5\r\n\r\n0\r\n\r\n0\r\n\r\n", "\r\n0\r\n", 0),
            ("0\r\nX-Foo: 1\r\nY:\r\n\t2\r\n\r\nrest", "", 4),
        ] {
            let expected = (data.as_bytes().to_vec(), Ok(Some(left)));
            assert_eq!(decode(input.as_bytes()), expected, "{input:?}");
        }
    }

    #[test]
    fn a_body_that_stops_early_has_no_end() {
        let input = b"2;x=\"y\"\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n";
        for len in 0..input.len() {
            assert_eq!(decode_with(u64::MAX, &[&input[..len]]).1, Ok(None), "{len}");
        }
        assert_eq!(decode(input), (b"hello".to_vec(), Ok(Some(0))));
    }

    #[test]
    fn malformed_bodies_are_refused_for_what_is_wrong_with_them() {
        use Violation::*;
        for (input, violation) in [
            ("00000000000000005\r\nhello\r\n", ChunkSize),
            ("10000000000000000\r\nhello\r\n", ChunkSize),
            ("+5\r\nhello\r\n", ChunkSize),
            ("-5\r\nhello\r\n", ChunkSize),
            ("0x5\r\nhello\r\n", ChunkSize),
            (" 5\r\nhello\r\n", ChunkSize),
            ("\r\nhello\r\n", ChunkSize),
            (";x\r\n", ChunkSize),
            ("G\r\n", ChunkSize),
            ("5 5\r\nhello\r\n", ChunkSize),
            ("5_0\r\nhello\r\n", ChunkSize),
            ("hello world", ChunkSize),
            ("5\nhello\r\n", BareLf),
            ("5;x\nhello\r\n", BareLf),
            ("5\rhello\r\n", ChunkLine),
            ("5\r\r\nhello\r\n", ChunkLine),
            ("5\rXhello\r\n", ChunkLine),
            ("5;a=\"\r\n0\r\n\r\n\"\r\n", ChunkExtension),
            ("5;a=\"x\r\nhello\r\n", ChunkExtension),
            ("5;a=\"x\\\"\r\nhello\r\n", ChunkExtension),
            ("5;\r\nhello\r\n", ChunkExtension),
            ("5;a=\r\nhello\r\n", ChunkExtension),
            ("5;;a\r\nhello\r\n", ChunkExtension),
            ("5;x\0\r\nhello\r\n", ChunkExtension),
            ("5;a=\"\0\"\r\nhello\r\n", ChunkExtension),
            ("5\r\nhello\n0\r\n\r\n", ChunkTerminator),
            ("5\r\nhello0\r\n\r\n", ChunkTerminator),
            ("5\r\nhello!!\r\n", ChunkTerminator),
            ("7\r\nhello\r\n0\r\n\r\n", ChunkTerminator),
            ("0\r\nnocolon\r\n\r\n", BadTrailer),
            ("0\r\n X: y\r\n\r\n", BadTrailer),
            ("0\r\nX: a\rb\r\n\r\n", BadTrailer),
            ("0\r\nX: a\n\r\n", BareLf),
            ("0\r\n\n", BareLf),
        ] {
            assert_eq!(decode(input.as_bytes()).1, Err(violation), "{input:?}");
        }
    }

    #[test]
    fn the_offset_of_the_original_body_is_taken_from_the_last_chunk_only() {
        let offset_of = |input: &[u8]| {
            let mut decoder = ChunkDecoder::new(u64::MAX);
            decoder.decode(input).map(|_| decoder.use_original_body())
        };
        assert_eq!(offset_of(b"0; use-original-body=6\r\n\r\n"), Ok(Some(6)));
        assert_eq!(offset_of(b"0;Use-Original-Body = 0\r\n\r\n"), Ok(Some(0)));
        assert_eq!(offset_of(b"0\r\n\r\n"), Ok(None));
        for bad in [
            "0; use-original-body=-1\r\n\r\n",
            "0; use-original-body=+1\r\n\r\n",
            "0; use-original-body=\"1\"\r\n\r\n",
            "0; use-original-body=99999999999999999999\r\n\r\n",
            "0; use-original-body=1; use-original-body=2\r\n\r\n",
            "0; use-original-body\r\n\r\n",
            "5; use-original-body=1\r\nhello\r\n",
        ] {
            let outcome = decode(bad.as_bytes()).1;
            assert_eq!(outcome, Err(Violation::BadUseOriginalBody), "{bad}");
        }
    }

    #[test]
    fn ieof_is_taken_from_the_last_chunk_only() {
        for (input, expected) in [
            ("0; ieof\r\n\r\n", true),
            ("0;IEOF\r\n\r\n", true),
            ("5\r\nhello\r\n0 ; a=b ; ieof\r\n\r\n", true),
            ("5; ieof\r\nhello\r\n0\r\n\r\n", false),
            ("0; ieof=1\r\n\r\n", false),
            ("0; ieofx\r\n\r\n", false),
            ("0; a=ieof\r\n\r\n", false),
            ("0; ieof", false),
        ] {
            let mut decoder = ChunkDecoder::new(5);
            let mut rest = input.as_bytes();
            while !rest.is_empty() {
                let (used, _) = decoder.decode(rest).unwrap();
                rest = &rest[used..];
            }
            assert_eq!(decoder.has_ieof(), expected, "{input:?}");
        }
    }

    #[test]
    fn trailers_are_kept_apart_from_the_head() {
        let mut decoder = ChunkDecoder::new(0);
        let (_, decoded) = decoder.decode(b"0\r\nA: b\r\nC: d\r\n\r\n").unwrap();
        assert_eq!(decoded, Decoded::End);
        assert_eq!(&*decoder.into_trailers(), b"A: b\r\nC: d\r\n");
    }

    #[test]
    fn a_body_may_be_as_long_as_its_limit() {
        for (limit, expected) in [
            (4, Err(Violation::LimitExceeded(Limit::ResponseBody))),
            (5, Ok(Some(0))),
            (6, Ok(Some(0))),
        ] {
            let input = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
            assert_eq!(decode_with(limit, &[input]).1, expected, "{limit}");
        }
    }

    #[test]
    fn a_chunk_of_four_gibibytes_is_not_a_last_chunk() {
        let (data, end) = decode(b"100000000\r\n\r\nICAP/1.0 204 OK\r\n\r\n");
        assert_eq!((data.len(), end), (21, Ok(None)));
        let max = decode_with(u64::MAX, &[b"ffffffffffffffff\r\nx"]);
        assert_eq!(max, (b"x".to_vec(), Ok(None)));
    }

    #[test]
    fn lines_extensions_and_trailers_may_be_as_long_as_their_limits() {
        let over = |limit| Err(Violation::LimitExceeded(limit));
        for excess in [-1isize, 0, 1] {
            let len = |limit: usize, around: usize| (limit - around).wrapping_add_signed(excess);
            let line = format!("0;{}\r\n\r\n", "x".repeat(len(MAX_CHUNK_LINE, 3)));
            let expected = if excess > 0 {
                over(Limit::ChunkLine)
            } else {
                Ok(Some(0))
            };
            assert_eq!(
                decode_with(0, &[line.as_bytes()]).1,
                expected,
                "line {excess}"
            );

            let chunk = format!("1;{}\r\nA\r\n", "x".repeat(1023));
            let last = format!("1;{}\r\nA\r\n0\r\n\r\n", "x".repeat(len(1024, 1)));
            let body = chunk.repeat(15) + &last;
            let expected = if excess > 0 {
                over(Limit::ChunkExtensions)
            } else {
                Ok(Some(0))
            };
            assert_eq!(
                decode_with(99, &[body.as_bytes()]).1,
                expected,
                "extensions {excess}"
            );

            let body = format!("0\r\nX: {}\r\n\r\n", "y".repeat(len(MAX_TRAILERS, 7)));
            let expected = if excess > 0 {
                over(Limit::Trailers)
            } else {
                Ok(Some(0))
            };
            for cut in [0, 3, MAX_TRAILERS / 2, MAX_TRAILERS] {
                let (first, second) = body.as_bytes().split_at(cut);
                assert_eq!(
                    decode_with(0, &[first, second]).1,
                    expected,
                    "trailers {excess} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn padding_after_sizes_costs_no_extension_budget() {
        for padding in [" ", "\t", &" ".repeat(MAX_CHUNK_LINE - 2)] {
            let count = MAX_CHUNK_EXTENSIONS / padding.len() + 1;
            let body = format!("5{padding}\r\nhello\r\n").repeat(count) + "0\r\n\r\n";
            let (data, end) = decode_with(u64::MAX, &[body.as_bytes()]);
            assert_eq!((data.len(), end), (5 * count, Ok(Some(0))));
        }
        // Also around extensions, which do cost.
        for (extensions, expected) in [
            (16, Ok(Some(0))),
            (17, Err(Violation::LimitExceeded(Limit::ChunkExtensions))),
        ] {
            let extension = format!("1 \t;{} \t\r\nA\r\n", "x".repeat(1023));
            let body = extension.repeat(extensions) + "0\r\n\r\n";
            assert_eq!(decode_with(99, &[body.as_bytes()]).1, expected);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_the_same_and_has_one_end() {
        for pieces in [
            &[][..],
            &[&b""[..]],
            &[b"hello"],
            &[b"a", b"", b"\r\n0\r\n\r\n", b"", b"b"],
            &[&[b'x'; 70_000]],
        ] {
            let mut encoded = Vec::new();
            for piece in pieces {
                encode_chunk(&mut encoded, piece);
            }
            assert_eq!(
                decode_with(u64::MAX, &[&encoded]),
                (pieces.concat(), Ok(None))
            );
            encode_last_chunk(&mut encoded);
            assert_eq!(
                decode_with(u64::MAX, &[&encoded]),
                (pieces.concat(), Ok(Some(0)))
            );
        }
    }
}
