//! Which bytes are fields. Each byte of a head is looked at once.

use memchr::memchr3;

use crate::proto::limits::MAX_FIELDS;
use crate::proto::violation::{Limit, Violation};

/// Bytes at the beginning of a value that are searched without a call of `memchr3`.
pub(super) const SHORT_VALUE: usize = 64;

/// A line that is no field: where it begins in the block, and what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadField {
    pub(crate) at: usize,
    pub(crate) violation: Violation,
}

impl BadField {
    pub(crate) fn at(at: usize) -> Self {
        let violation = Violation::BadHeader;
        Self { at, violation }
    }
}

/// The length of the fields at the beginning of `bytes`, up to a blank line or the end of `bytes`.
pub(crate) fn checked_fields_len(bytes: &[u8]) -> Result<usize, BadField> {
    let mut at = 0;
    let mut count = 0;
    while let Some(len) = checked_field_len(&bytes[at..]) {
        count += 1;
        if count > MAX_FIELDS {
            let violation = Violation::LimitExceeded(Limit::Fields);
            return Err(BadField { at, violation });
        }
        at += len;
    }
    match &bytes[at..] {
        [] | [b'\r', b'\n', ..] => Ok(at),
        _ => Err(BadField::at(at)),
    }
}

/// The length of the first field with its line end; `None` unless name, colon and value follow RFC 9110 §5.
///
/// A value may have control characters other than CR, LF and NUL. A value is text for people, and to refuse it
/// because of an odd byte would lose an infection header.
fn checked_field_len(bytes: &[u8]) -> Option<usize> {
    let name = token_len(bytes);
    if name == 0 || bytes.get(name) != Some(&b':') {
        return None;
    }
    value_end(bytes, name + 1)
}

/// Where the value ends that begins at `at`: after its last line, folded ones included. `None` if a line does not end
/// in CRLF, or if the value has a CR, LF or NUL elsewhere.
#[inline]
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += find_line_byte(&bytes[at..])?;
        match &bytes[at..] {
            // A fold: the value goes on.
            [b'\r', b'\n', b' ' | b'\t', ..] => at += 2,
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => return None,
        }
    }
}

/// The position of the first CR, LF or NUL.
#[inline]
fn find_line_byte(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::MAX / 255;
    let mut at = 0;
    // Most values are short. Eight bytes at once are then faster than a call of `memchr3`.
    while let Some(eight) = bytes[at..].first_chunk::<8>().filter(|_| at < SHORT_VALUE) {
        // The highest bit of each byte below 16. A borrow may set it in later bytes too, never in an earlier one.
        let word = u64::from_le_bytes(*eight);
        let below = word.wrapping_sub(16 * EACH) & !word & (128 * EACH);
        if below == 0 {
            at += 8;
            continue;
        }
        at += (below.trailing_zeros() / 8) as usize;
        if matches!(bytes[at], b'\r' | b'\n' | 0) {
            return Some(at);
        }
        at += 1;
    }
    memchr3(b'\r', b'\n', 0, &bytes[at..]).map(|found| at + found)
}

/// The number of token bytes at the beginning.
fn token_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    // Without a branch for each byte, most of a name is checked at once.
    while let Some(four) = bytes[len..].first_chunk::<4>() {
        if !four
            .iter()
            .fold(true, |all, &byte| all & is_token_byte(byte))
        {
            break;
        }
        len += 4;
    }
    let rest = bytes[len..].iter();
    len + rest.take_while(|&&byte| is_token_byte(byte)).count()
}

/// The characters of a token (RFC 9110 §5.6.2), by byte.
static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let others = b"!#$%&'*+-.^_`|~";
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "the loop ends before 256")]
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
};

/// Whether a byte may stand in a field name.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[usize::from(byte)]
}
