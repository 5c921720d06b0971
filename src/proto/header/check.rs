//! Which bytes are fields. Each byte of a head is looked at once.

use memchr::memchr3;

use super::field::Field;
use crate::proto::limits::MAX_FIELDS;
use crate::proto::violation::{Limit, Violation};

/// Bytes at the beginning of a value that are searched without a call of `memchr3`.
pub(super) const SHORT_VALUE: usize = 64;

/// The number with 1 in each byte.
const EACH: u64 = u64::MAX / 255;

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
///
/// Calls `each` for each field in the same pass, also for those before one that is refused.
pub(crate) fn check_each_field<'b>(
    bytes: &'b [u8],
    mut each: impl FnMut(Field<'b>),
) -> Result<usize, BadField> {
    let mut rest = bytes;
    let mut count = 0;
    while let Some((field, after)) = split_field(rest) {
        count += 1;
        if count > MAX_FIELDS {
            let violation = Violation::LimitExceeded(Limit::Fields);
            let at = bytes.len() - rest.len();
            return Err(BadField { at, violation });
        }
        rest = after;
        each(field);
    }
    let at = bytes.len() - rest.len();
    match rest {
        [] | [b'\r', b'\n', ..] => Ok(at),
        _ => Err(BadField::at(at)),
    }
}

/// The first field, and what follows its line end; `None` unless name, colon and value follow RFC 9110 §5.
///
/// A value may have control characters other than CR, LF and NUL. A value is text for people, and to refuse it
/// because of an odd byte would lose an infection header.
// With a call for each field, the check takes a quarter longer.
#[inline(always)]
pub(super) fn split_field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let colon = token_len(bytes);
    if colon == 0 || bytes.get(colon) != Some(&b':') {
        return None;
    }
    let mut end = colon + 1;
    let mut is_folded = false;
    loop {
        end += find_line_byte(&bytes[end..])?;
        match &bytes[end..] {
            // A fold: the value goes on.
            [b'\r', b'\n', b' ' | b'\t', ..] => end += 2,
            [b'\r', b'\n', after @ ..] => {
                let field = Field {
                    name: &bytes[..colon],
                    raw: &bytes[colon + 1..end],
                    is_folded,
                };
                return Some((field, after));
            }
            _ => return None,
        }
        is_folded = true;
    }
}

/// The position of the first CR, LF or NUL.
#[inline]
fn find_line_byte(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    // Most values are short. Eight bytes at once are then faster than a call of `memchr3`.
    while let Some(eight) = bytes[at..].first_chunk::<8>().filter(|_| at < SHORT_VALUE) {
        // The highest bit of each byte below 16. A borrow may set it in later bytes too, never in an earlier one.
        let word = u64::from_le_bytes(*eight);
        let below = word.wrapping_sub(16 * EACH) & !word & (128 * EACH);
        if below != 0 {
            at += (below.trailing_zeros() / 8) as usize;
            if matches!(bytes[at], b'\r' | b'\n' | 0) {
                return Some(at);
            }
            at += 1;
        } else {
            at += 8;
        }
    }
    memchr3(b'\r', b'\n', 0, &bytes[at..]).map(|found| at + found)
}

/// The number of token bytes at the beginning.
#[inline]
fn token_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    // The compiler repeats the loop's body for each of the eight.
    while let Some(eight) = bytes[len..].first_chunk::<8>() {
        for &byte in eight {
            if !is_token_byte(byte) {
                return len;
            }
            len += 1;
        }
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
