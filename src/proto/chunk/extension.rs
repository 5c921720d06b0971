//! The extensions of a chunk (RFC 9112 §7.1.1).

use crate::proto::header::is_token_byte;
use crate::proto::number::decimal;
use crate::proto::violation::Violation;

/// The extensions that have a meaning, on a last chunk only.
#[derive(Debug, Default)]
pub(super) struct LastChunkExtensions {
    pub(super) use_original_body: Option<u64>,
    pub(super) ieof: bool,
}

/// Parses the part of a chunk's line after the size, `*( BWS ";" BWS name [ BWS "=" BWS value ] )`.
/// `use-original-body` is refused on all but the last chunk.
pub(super) fn parse_extensions(
    line: &[u8],
    is_last: bool,
) -> Result<LastChunkExtensions, Violation> {
    let mut rest = trim_start(line);
    let mut found = LastChunkExtensions::default();
    // Other bytes right after the size belong to the size.
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
    /// With its quotation marks.
    value: Option<&'l [u8]>,
}

/// Splits off one extension.
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

/// Splits off a quoted string (RFC 9110 §5.6.4) with its marks.
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
