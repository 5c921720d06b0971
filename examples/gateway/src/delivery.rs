//! The response that carries a file: its headers, and the range that was asked for.

use std::ops::Range;

use oxhttp::model::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use oxhttp::model::response::Builder;
use oxhttp::model::{Body, HeaderMap, Response, StatusCode};

use crate::copies::Copy;
use crate::http::{Failure, with_security_headers};
use crate::names;

/// What a `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Range<u64>),
    Nothing,
}

/// Delivers a file that was found to be clean, or a range of it.
pub fn clean(copy: &Copy, asked: &HeaderMap) -> Result<Response<Body>, Failure> {
    let response = file(copy)
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, entity_tag(copy));
    let response = match wanted(copy, asked) {
        Wanted::Whole => response.body(Body::from_read(copy.content()))?,
        Wanted::Part(range) => {
            let part = format!("bytes {}-{}/{}", range.start, range.end - 1, copy.len);
            response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_RANGE, part)
                .body(Body::from_read(copy.range(range)))?
        }
        Wanted::Nothing => Response::builder()
            .status(StatusCode::RANGE_NOT_SATISFIABLE)
            .header(CONTENT_RANGE, format!("bytes */{}", copy.len))
            .body(Body::empty())?,
    };
    Ok(with_security_headers(response))
}

/// Delivers a file that is not known to be clean, always as a whole: what lies across two ranges is found in neither
/// of them, so no scanner on the way to the person could find it.
pub fn unchecked(copy: &Copy) -> Result<Response<Body>, Failure> {
    let response = file(copy)
        .header(ACCEPT_RANGES, "none")
        .body(Body::from_read(copy.content()))?;
    Ok(with_security_headers(response))
}

/// No browser shows such a file as a page, whatever is in it.
fn file(copy: &Copy) -> Builder {
    Response::builder()
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_DISPOSITION, names::content_disposition(&copy.name))
}

fn wanted(copy: &Copy, asked: &HeaderMap) -> Wanted {
    let is_of_other_content = match asked.get(IF_RANGE) {
        Some(tag) => tag.as_bytes() != entity_tag(copy).as_bytes(),
        None => false,
    };
    match asked.get(RANGE).map(|range| range.to_str()) {
        Some(Ok(range)) if !is_of_other_content => parse(range, copy.len),
        _ => Wanted::Whole,
    }
}

fn entity_tag(copy: &Copy) -> String {
    format!("\"{}\"", copy.digest)
}

/// A field that is not valid, or that asks for several ranges, is ignored (RFC 9110 §14.2).
fn parse(range: &str, len: u64) -> Wanted {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|it| it.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let range = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => first..len,
        (None, Some(suffix)) if first.is_empty() => len.saturating_sub(suffix)..len,
        (Some(first), Some(last)) if first <= last => first..len.min(last.saturating_add(1)),
        _ => return Wanted::Whole,
    };
    if range.start < range.end {
        Wanted::Part(range)
    } else {
        Wanted::Nothing
    }
}

/// Digits only: `parse` would take a sign too.
fn number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_parsed_as_rfc_9110_says() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-5", Wanted::Part(2..6)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=0-99999999999999999999", Wanted::Whole),
            ("bytes=0-18446744073709551615", Wanted::Part(0..10)),
            ("bytes=9-9", Wanted::Part(9..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(parse(range, 10), expected, "{range}");
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Nothing);
    }
}
