//! A decoder of chunked bodies to compare with: of the whole input at once, line by line, as RFC 9112
//! §7.1 reads. It knows the limits of this crate and shares nothing else with its decoder.

use crate::proto::limits::{
    MAX_CHUNK_EXTENSIONS, MAX_CHUNK_LINE, MAX_CHUNK_SIZE_DIGITS, MAX_FIELDS, MAX_TRAILERS,
};

pub(super) struct Decoded<'d> {
    pub(super) data: Vec<u8>,
    pub(super) ended: Ended<'d>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended<'d> {
    Complete {
        used: usize,
        trailers: &'d [u8],
        /// Of `use-original-body`.
        offset: Option<u64>,
        is_ieof: bool,
    },
    /// The input ends before something that decides.
    Incomplete,
    Invalid,
}

/// How decoding stops before the end.
type Stop = Ended<'static>;

pub(super) fn decode(input: &[u8], limit: u64) -> Decoded<'_> {
    let mut data = Vec::new();
    let ended = chunks(input, limit, &mut data).unwrap_or_else(|stop| stop);
    Decoded { data, ended }
}

fn chunks<'d>(input: &'d [u8], limit: u64, data: &mut Vec<u8>) -> Result<Ended<'d>, Stop> {
    let (mut at, mut declared, mut extension_bytes) = (0, 0u64, 0);
    loop {
        let line = line_at(input, at)?;
        at += line.len() + 2;
        let (size, after) = size(line)?;
        let Extensions {
            offset,
            count,
            is_ieof,
        } = extensions(after)?;
        extension_bytes += after.trim_ascii().len();
        let is_misplaced = count > 1 || count == 1 && (size != 0 || offset.is_none());
        if is_misplaced
            || after.len() + 2 > MAX_CHUNK_LINE
            || extension_bytes > MAX_CHUNK_EXTENSIONS
        {
            return Err(Stop::Invalid);
        }
        if size == 0 {
            let trailers = trailers(&input[at..])?;
            let blank_line = 2;
            let used = at + trailers.len() + blank_line;
            return Ok(Ended::Complete {
                used,
                trailers,
                offset,
                is_ieof,
            });
        }
        declared = declared
            .checked_add(size)
            .filter(|&d| d <= limit)
            .ok_or(Stop::Invalid)?;
        let rest = &input[at..];
        let len = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        data.extend_from_slice(&rest[..len]);
        at += len;
        match &input[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Err(Stop::Incomplete),
            _ => return Err(Stop::Invalid),
        }
    }
}

/// The line that begins there, without its end.
fn line_at(input: &[u8], at: usize) -> Result<&[u8], Stop> {
    let rest = &input[at..];
    let end = rest
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .ok_or(Stop::Incomplete)?;
    let line = &rest[..end];
    if line.contains(&b'\r') || line.contains(&b'\n') {
        return Err(Stop::Invalid);
    }
    Ok(line)
}

fn size(line: &[u8]) -> Result<(u64, &[u8]), Stop> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if !(1..=MAX_CHUNK_SIZE_DIGITS).contains(&digits) {
        return Err(Stop::Invalid);
    }
    let (digits, after) = line.split_at(digits);
    let digits = std::str::from_utf8(digits).map_err(|_| Stop::Invalid)?;
    let size = u64::from_str_radix(digits, 16).map_err(|_| Stop::Invalid)?;
    Ok((size, after))
}

#[derive(Default)]
struct Extensions {
    /// The value of `use-original-body` if that is a number, and how often it is there.
    offset: Option<u64>,
    count: usize,
    is_ieof: bool,
}

/// `*( BWS ";" BWS name [ BWS "=" BWS value ] ) BWS`
fn extensions(line: &[u8]) -> Result<Extensions, Stop> {
    let mut found = Extensions::default();
    let mut at = skip(line, 0, is_space);
    while at < line.len() {
        if line[at] != b';' {
            return Err(Stop::Invalid);
        }
        let name_at = skip(line, at + 1, is_space);
        at = skip(line, name_at, is_tchar);
        let name = &line[name_at..at];
        let mut value = &b""[..];
        let equals = skip(line, at, is_space);
        if line.get(equals) == Some(&b'=') {
            let value_at = skip(line, equals + 1, is_space);
            at = value_end(line, value_at)?;
            value = &line[value_at..at];
        }
        if name.is_empty() {
            return Err(Stop::Invalid);
        }
        if name.eq_ignore_ascii_case(b"use-original-body") {
            let digits = value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(value).unwrap_or_default();
            found.offset = text.parse().ok().filter(|_| digits);
            found.count += 1;
        }
        found.is_ieof |= name.eq_ignore_ascii_case(b"ieof") && line.get(equals) != Some(&b'=');
        at = skip(line, at, is_space);
    }
    Ok(found)
}

/// The position after a token or a quoted string.
fn value_end(line: &[u8], at: usize) -> Result<usize, Stop> {
    if line.get(at) != Some(&b'"') {
        let end = skip(line, at, is_tchar);
        return if end > at {
            Ok(end)
        } else {
            Err(Stop::Invalid)
        };
    }
    let mut at = at + 1;
    loop {
        match line.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') if line.get(at + 1).is_some_and(is_text) => at += 2,
            Some(byte) if *byte != b'\\' && is_text(byte) => at += 1,
            _ => return Err(Stop::Invalid),
        }
    }
}

/// Fields up to a blank line, which is not among them.
fn trailers(input: &[u8]) -> Result<&[u8], Stop> {
    let mut at = 0;
    let mut fields = 0;
    loop {
        let rest = &input[at..];
        let Some(lf) = rest.iter().position(|&b| b == b'\n') else {
            let at_limit = input.len() >= MAX_TRAILERS;
            return Err(if at_limit {
                Stop::Invalid
            } else {
                Stop::Incomplete
            });
        };
        let line = rest[..lf].strip_suffix(b"\r").ok_or(Stop::Invalid)?;
        let end = at + lf + 1;
        if end > MAX_TRAILERS {
            return Err(Stop::Invalid);
        }
        if line.is_empty() {
            let is_valid = fields <= MAX_FIELDS && are_fields(&input[..at]);
            return if is_valid {
                Ok(&input[..at])
            } else {
                Err(Stop::Invalid)
            };
        }
        fields += usize::from(!is_space(&line[0]));
        at = end;
    }
}

/// A name and a colon on each line that does not continue one.
fn are_fields(lines: &[u8]) -> bool {
    let mut is_first = true;
    lines
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .all(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let name = skip(line, 0, is_tchar);
            let begins = name > 0 && line.get(name) == Some(&b':');
            let continues = !is_first && is_space(&line[0]);
            is_first = false;
            (begins || continues) && !line.iter().any(|b| matches!(b, 0 | b'\r'))
        })
}

fn skip(line: &[u8], at: usize, is_one: fn(&u8) -> bool) -> usize {
    at + line[at..].iter().take_while(|b| is_one(b)).count()
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_text(byte: &u8) -> bool {
    *byte == b'\t' || *byte >= b' ' && *byte != 0x7f
}

/// RFC 9110 §5.6.2: any visible character but delimiters.
fn is_tchar(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte)
}
