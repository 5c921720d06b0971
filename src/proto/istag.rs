//! What a state tag (RFC 3507 §4.7) says about the server.

use std::borrow::Cow;
use std::ops::Range;

use super::header::Field;
use super::limits::MAX_DISPLAY;
use super::text::range_in;

/// The base64 of the MD5 of no bytes. c-icap computes its tag from the list of its engines, which is then empty.
const NO_ENGINE: &[u8] = b"1B2M2Y8AsgTpgAmY7PhCfg";

/// A state tag without its quotation marks.
#[derive(Debug, Clone)]
pub(crate) enum StateTag {
    /// Where it stands in the head.
    Place(Range<usize>),
    /// Its bytes, if the field is folded.
    Unfolded(Vec<u8>),
}

impl StateTag {
    /// The state tag that is the value of a field in `head`. `None` if the value has only one quotation mark, is empty, or is
    /// longer than [`MAX_DISPLAY`] bytes.
    pub(crate) fn of(value: Cow<'_, [u8]>, head: &[u8]) -> Option<Self> {
        match value {
            Cow::Borrowed(value) => Some(Self::Place(range_in(head, unquoted(value)?)?)),
            Cow::Owned(value) => Some(Self::Unfolded(unquoted(&value)?.to_vec())),
        }
    }

    /// Its bytes, if it was found in this head.
    pub(crate) fn bytes<'h>(&'h self, head: &'h [u8]) -> &'h [u8] {
        match self {
            Self::Place(range) => head.get(range.clone()).unwrap_or_default(),
            Self::Unfolded(bytes) => bytes,
        }
    }
}

fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inside = match value {
        [b'"', inside @ .., b'"'] => inside,
        [b'"', ..] | [.., b'"'] | [] => return None,
        all => all,
    };
    (inside.len() <= MAX_DISPLAY).then_some(inside)
}

/// Whether a state tag among these fields says that the server has no engine; `None` without a tag.
pub(crate) fn lacks_engine<'f>(fields: impl Iterator<Item = Field<'f>>) -> Option<bool> {
    let tags = fields.filter(|field| field.is("ISTag"));
    tags.map(|tag| names_no_engine(&tag.value()))
        .reduce(|one, other| one || other)
}

/// Whether the value of a state tag says that the server has no engine. A c-icap that was started without its engine
/// responds 204 to everything under such a tag.
///
/// A malformed tag counts as well. White space is removed, because a fold may stand anywhere.
pub(crate) fn names_no_engine(tag: &[u8]) -> bool {
    let is_text = |byte: &u8| !byte.is_ascii_whitespace();
    let names = |tag: &[u8]| tag.windows(NO_ENGINE.len()).any(|part| part == NO_ENGINE);
    if tag.iter().all(is_text) {
        return names(tag);
    }
    let tag: Vec<u8> = tag.iter().copied().filter(is_text).collect();
    names(&tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::header::Headers;

    #[test]
    fn tag_of_no_engine_is_found_in_every_form() {
        let long = "x".repeat(1000);
        for (fields, expected) in [
            ("", None),
            ("X-ISTag: CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA\r\n", None),
            ("ISTag:\r\n", Some(false)),
            (
                "ISTag: \"CI0001-L5CkDhq+qWNs+PZ5DxxXsAAA\"\r\n",
                Some(false),
            ),
            ("ISTag: CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA\r\n", Some(true)),
            ("istag: \"CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA\r\n", Some(true)),
            (
                "ISTag: W/\"CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA\"\r\n",
                Some(true),
            ),
            (
                "ISTag: \"CI0001-1B2M2Y8A\r\n\tsgTpgAmY7PhCfgAA\"\r\n",
                Some(true),
            ),
            (
                "ISTag: a\r\nISTag: CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA\r\n",
                Some(true),
            ),
            (
                "ISTag: CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA\r\nISTag: a\r\n",
                Some(true),
            ),
            (
                &format!("ISTag: {long}1B2M2Y8AsgTpgAmY7PhCfg\r\n"),
                Some(true),
            ),
        ] {
            let headers = Headers::parse(fields.as_bytes()).unwrap();
            assert_eq!(lacks_engine(headers.iter()), expected, "{fields}");
        }
    }
}
