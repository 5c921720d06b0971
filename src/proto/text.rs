//! Text of a peer, made safe to show.
//!
//! Threat names, reason phrases and header values come from a server that may be hostile, and go to logs,
//! terminals and web pages. So their length is limited, and every character is escaped that could move a cursor,
//! start a line, reverse the text or be invisible.

use std::borrow::Cow;
use std::ops::Range;

use super::limits::{MAX_DISPLAY, MAX_EXCERPT};

/// The last character of a text that was cut.
pub(crate) const CUT: char = '…';

/// Decodes and escapes at most [`MAX_DISPLAY`] characters of `bytes`.
///
/// Bytes that are not UTF-8 are taken for ISO 8859-1, the historical charset of header fields.
pub(crate) fn displayable(bytes: &[u8]) -> String {
    // A character takes at most four bytes, so no more bytes than this can be shown.
    let most = bytes.len().min(4 * (MAX_DISPLAY + 1));
    let is_inside = |at: &usize| matches!(bytes.get(*at), Some(0x80..=0xbf));
    let mut ends = (most.saturating_sub(3)..=most).rev();
    let bytes = &bytes[..ends.find(|end| !is_inside(end)).unwrap_or(most)];
    match std::str::from_utf8(bytes) {
        Ok(text) => escape(text.chars()),
        Err(_) => escape(bytes.iter().map(|&byte| char::from(byte))),
    }
}

/// The same, borrowed if it is short and all of it is plain ASCII, as most text of a peer is.
pub(crate) fn displayed(bytes: &[u8]) -> Cow<'_, str> {
    let is_plain = bytes.len() <= MAX_DISPLAY && bytes.iter().all(|b| matches!(b, b' '..=b'~'));
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain => text.into(),
        _ => displayable(bytes).into(),
    }
}

/// Where a part of `whole` stands in it; `None` for bytes that are elsewhere.
pub(crate) fn range_in(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// The beginning of bytes that are no response: enough to recognise the protocol, too little to disclose content.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'?');
    let len = bytes.iter().position(is_end).unwrap_or(bytes.len());
    displayable(&bytes[..len.min(MAX_EXCERPT)])
}

fn escape(chars: impl Iterator<Item = char>) -> String {
    let mut shown = String::new();
    for (count, c) in chars.enumerate() {
        if count == MAX_DISPLAY {
            shown.push(CUT);
            break;
        }
        if is_displayable(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}

/// Whether a character is visible and changes nothing around it.
///
/// False for control characters, invisible characters, characters that change the direction of text, and all
/// spaces but U+0020. This crate escapes by this rule all text of a peer that its documentation calls safe to show. Use it for names from elsewhere, for
/// example of files.
#[must_use]
pub fn is_displayable(c: char) -> bool {
    let after = HIDDEN.partition_point(|&(_, last)| last < c);
    HIDDEN.get(after).is_none_or(|&(first, _)| c < first)
}

/// Ranges of characters that are not displayable, by the Unicode Character Database 17.0: general category Cc, Cf,
/// Zl or Zp; Zs except U+0020; the property `Default_Ignorable_Code_Point`. In addition U+2800, a Braille pattern
/// without dots that looks like a space.
const HIDDEN: &[(char, char)] = &[
    ('\u{0}', '\u{1f}'),
    ('\u{7f}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2000}', '\u{200f}'),
    ('\u{2028}', '\u{202f}'),
    ('\u{205f}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_shown_unchanged() {
        assert_eq!(displayable(b"Eicar-Test-Signature"), "Eicar-Test-Signature");
        assert_eq!(displayable("Gelöscht".as_bytes()), "Gelöscht");
        assert_eq!(displayable(b"Gel\xf6scht"), "Gelöscht");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(displayable(b"a\r\nb\x1b[2J\0"), "a\\r\\nb\\u{1b}[2J\\u{0}");
        assert_eq!(
            displayable("exe.\u{202e}fdp".as_bytes()),
            "exe.\\u{202e}fdp"
        );
        assert_eq!(displayable(b"\x9b31m\xff"), "\\u{9b}31mÿ");
    }

    #[test]
    fn cut_text_keeps_its_charset() {
        for c in ['\u{e9}', '\u{20ac}', '\u{1f600}'] {
            for before in 0..4 {
                let text = "x".repeat(before) + &c.to_string().repeat(5 * MAX_DISPLAY);
                let shown: String = text.chars().take(MAX_DISPLAY).chain(['…']).collect();
                assert_eq!(displayable(text.as_bytes()), shown);
            }
        }
        let continuations = displayable(&[0xbf; 5 * MAX_DISPLAY]);
        assert_eq!(continuations.chars().count(), MAX_DISPLAY + 1);
    }

    #[test]
    fn excerpt_is_the_first_line_without_a_query() {
        for (bytes, shown) in [
            (
                &b"HTTP/1.1 302 Found\r\nLocation: x"[..],
                "HTTP/1.1 302 Found",
            ),
            (b"GET /file?token=secret HTTP/1.1\r\n", "GET /file"),
            (b"\x16\x03\n\x01", "\\u{16}\\u{3}"),
            (&[b'x'; MAX_EXCERPT - 1], &"x".repeat(MAX_EXCERPT - 1)),
            (&[b'x'; MAX_EXCERPT], &"x".repeat(MAX_EXCERPT)),
            (&[b'x'; MAX_EXCERPT + 1], &"x".repeat(MAX_EXCERPT)),
        ] {
            assert_eq!(excerpt(bytes), shown);
        }
    }

    #[test]
    fn long_text_is_cut_at_the_limit_with_a_mark() {
        for (len, cut) in [
            (MAX_DISPLAY - 1, false),
            (MAX_DISPLAY, false),
            (MAX_DISPLAY + 1, true),
        ] {
            for byte in [b'a', 0xe9] {
                let shown = displayable(&vec![byte; len]);
                assert_eq!(shown.ends_with('…'), cut, "{len} of {byte}");
                assert_eq!(
                    shown.chars().count(),
                    len.min(MAX_DISPLAY) + usize::from(cut)
                );
            }
        }
    }

    #[test]
    fn borrowed_text_is_the_one_that_is_shown() {
        for bytes in [
            &b""[..],
            b"CI0001-abc +/=",
            b"a\x7fb",
            b"a\nb",
            b"\xe9",
            "\u{e9}\u{202e}".as_bytes(),
            &[b'x'; MAX_DISPLAY],
            &[b'x'; MAX_DISPLAY + 1],
        ] {
            let shown = displayable(bytes);
            assert_eq!(displayed(bytes), shown);
            // The bytes of one state tag are compared with the shown text of another.
            let is_cut = shown.ends_with(CUT);
            assert!(is_cut || displayable(shown.as_bytes()) == shown, "{shown}");
        }
    }

    #[test]
    fn hidden_characters_are_those_of_the_unicode_data() {
        use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
        use icu_properties::{CodePointMapData, CodePointSetData};
        let category = CodePointMapData::<GeneralCategory>::new();
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        for c in '\0'..=char::MAX {
            let is_hidden = match category.get(c) {
                GeneralCategory::Control | GeneralCategory::Format => true,
                GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => true,
                GeneralCategory::SpaceSeparator => c != ' ',
                _ => ignorable.contains(c) || c == '\u{2800}',
            };
            assert_eq!(is_displayable(c), !is_hidden, "{c:?}");
        }
    }
}
