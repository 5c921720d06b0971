//! The chunked coding of encapsulated bodies (RFC 3507 §4.4, RFC 9112 §7.1), both ways.
//!
//! The end of a body decides where the next response begins, so the decoder accepts the grammar and nothing else:
//! CRLF only, sizes of up to 16 hexadecimal digits, and well-formed extensions, all within limits. It has one
//! tolerance: white space after a size, which real servers send. That does not count as an extension.

mod extension;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use extension::{LastChunkExtensions, parse_extensions};

use crate::proto::head::HeadFinder;
use crate::proto::header::{Headers, encode_field, trim};
use crate::proto::limits::{
    MAX_CHUNK_EXTENSIONS, MAX_CHUNK_LINE, MAX_CHUNK_SIZE_DIGITS, MAX_TRAILERS,
};
use crate::proto::number::hex_digit;
use crate::proto::violation::{Limit, Violation};

/// Bytes that the line before a chunk can have: a size in hexadecimal digits, and its line end.
pub(crate) const CHUNK_LINE: usize = 2 * size_of::<usize>() + 2;

/// Writes the line before a chunk of `len` bytes to the end of `room`, which has at least [`CHUNK_LINE`] bytes. Returns
/// where it begins.
pub(crate) fn write_chunk_line(room: &mut [u8], len: usize) -> usize {
    let mut begin = room.len() - 2;
    room[begin..].copy_from_slice(b"\r\n");
    let mut left = len;
    loop {
        begin -= 1;
        room[begin] = b"0123456789abcdef"[left % 16];
        left /= 16;
        if left == 0 {
            return begin;
        }
    }
}

/// Appends one chunk with `data`. Without data it appends nothing, because an empty chunk ends a body.
#[cfg_attr(
    not(any(test, fuzzing, feature = "testing")),
    expect(dead_code, reason = "a client's chunks are made in their buffer")
)]
pub(crate) fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        let mut line = [0; CHUNK_LINE];
        let begin = write_chunk_line(&mut line, data.len());
        out.extend_from_slice(&line[begin..]);
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

/// The last chunk of a body without a trailer section, or of a preview that is not the whole body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The last chunk of a body that ends in its preview (RFC 3507 §4.5).
pub(crate) const LAST_CHUNK_IN_PREVIEW: &[u8] = b"0; ieof\r\n\r\n";

/// The last chunk of a body that ends in its preview or after it, and a trailer section of checked fields.
pub(crate) fn encode_end(
    is_in_preview: bool,
    trailers: &[(String, Vec<u8>)],
) -> Cow<'static, [u8]> {
    let end = if is_in_preview {
        LAST_CHUNK_IN_PREVIEW
    } else {
        LAST_CHUNK
    };
    if trailers.is_empty() {
        return end.into();
    }
    // They stand before the blank line.
    let mut out = end[..end.len() - 2].to_vec();
    for (name, value) in trailers {
        encode_field(&mut out, name, value);
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// Bytes of data of small chunks that are gathered at most.
pub(crate) const GATHERED: usize = 4 * 1024;

/// The result of a call to [`ChunkDecoder::decode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoded<'i> {
    /// All of the input was taken, and more is needed.
    NeedsMore,
    Data(&'i [u8]),
    /// The body ended, with its trailer section.
    End,
}

/// Decodes a chunked body from input in pieces of any size.
#[derive(Debug)]
pub(crate) struct ChunkDecoder {
    state: State,
    /// Bytes of data that may still come before the limit of the body.
    allowance: u64,
    extension_bytes: usize,
    extensions: LastChunkExtensions,
    /// The trailer section and its blank line, as far as they came.
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
    /// After the digits, up to the line end.
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

    /// Takes chunks of at most 255 bytes that are whole at the beginning of `input`, and appends their data to `gathered`, up to
    /// [`GATHERED`] bytes. Returns how many bytes of `input` were taken. The rest is for [`decode`](Self::decode).
    ///
    /// A body of chunks of a byte each is the most work that a server can cause. So these chunks cost a few
    /// instructions, and their data is passed on together.
    pub(crate) fn take_small_chunks(&mut self, input: &[u8], gathered: &mut Vec<u8>) -> usize {
        let mut used = self.take_plain_data_end(input);
        while let State::Size { digits: 0, .. } = self.state {
            let rest = &input[used..];
            let Some((size, line)) = plain_line(rest) else {
                break;
            };
            let Ok(len @ 1..) = u8::try_from(size) else {
                break;
            };
            let end = line + usize::from(len);
            let is_whole = rest
                .get(end..)
                .is_some_and(|rest| rest.starts_with(b"\r\n"));
            let has_room = gathered.len() + (end - line) <= GATHERED;
            if !is_whole || !has_room || size > self.allowance {
                break;
            }
            self.allowance -= size;
            gathered.extend_from_slice(&rest[line..end]);
            used += end + 2;
        }
        used
    }

    /// Takes bytes of `input`. Returns how many, and what they mean.
    pub(crate) fn decode<'i>(
        &mut self,
        input: &'i [u8],
    ) -> Result<(usize, Decoded<'i>), Violation> {
        let mut used = 0;
        while used < input.len() {
            used += self.take_plain_framing(&input[used..])?;
            let rest = &input[used..];
            let Some(&first) = rest.first() else {
                break;
            };
            match &mut self.state {
                State::Size { .. } | State::Line { .. } | State::DataEnd { .. } => {
                    self.take_framing(first)?;
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

    /// The bytes of the trailer section so far, up to a fault in it.
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

    /// Takes the line ends after data and the line before data, as far as they are whole at the beginning of `input`
    /// and have no extension. Returns how many bytes were taken.
    fn take_plain_framing(&mut self, input: &[u8]) -> Result<usize, Violation> {
        let end = self.take_plain_data_end(input);
        if let State::Size { digits: 0, .. } = self.state {
            if let Some((size, line)) = plain_line(&input[end..]) {
                self.begin_data(size)?;
                return Ok(end + line);
            }
        }
        Ok(end)
    }

    fn take_plain_data_end(&mut self, input: &[u8]) -> usize {
        match self.state {
            State::DataEnd { cr_seen: false } if input.starts_with(b"\r\n") => {
                self.state = State::Size { size: 0, digits: 0 };
                2
            }
            _ => 0,
        }
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

    /// The line of a chunk is complete. `line` is its part after the size.
    fn begin_chunk(&mut self, size: u64, line: &[u8]) -> Result<(), Violation> {
        let extensions = parse_extensions(line, size == 0)?;
        // White space alone is padding. The limit of the line bounds it.
        self.extension_bytes += trim(line).len();
        if self.extension_bytes > MAX_CHUNK_EXTENSIONS {
            return Err(Violation::LimitExceeded(Limit::ChunkExtensions));
        }
        if size == 0 {
            self.extensions = extensions;
        }
        self.begin_data(size)
    }

    /// A chunk's line is complete, or that of the last chunk.
    fn begin_data(&mut self, size: u64) -> Result<(), Violation> {
        if size == 0 {
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

/// The size of a chunk, and the length of its line; `None` if the line is not whole, is not valid, or has more than a
/// size.
fn plain_line(input: &[u8]) -> Option<(u64, usize)> {
    let mut size = 0;
    for (at, &byte) in input.iter().enumerate() {
        match hex_digit(byte) {
            Some(digit) if at < MAX_CHUNK_SIZE_DIGITS => size = size << 4 | u64::from(digit),
            None if at > 0 && input[at..].starts_with(b"\r\n") => return Some((size, at + 2)),
            _ => return None,
        }
    }
    None
}

/// Collects a line up to its CRLF. Returns true when it is complete.
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
    // A byte that cannot follow a size is refused at once, because the line may never end.
    if line.is_empty() && !matches!(byte, b'\r' | b' ' | b'\t' | b';') {
        return Err(Violation::ChunkSize);
    }
    // After this byte, the LF is still missing.
    if line.len() + 1 >= MAX_CHUNK_LINE {
        return Err(Violation::LimitExceeded(Limit::ChunkLine));
    }
    line.push(byte);
    Ok(false)
}
