//! Header fields, read where they lie.
//!
//! [`Headers`] is a borrowed block that was checked once, as a whole; its fields are found again when
//! they are asked for. Names are compared without case, values are bytes, duplicates are kept, and a
//! folded value (a line that goes on after a line end and white space) is unfolded on request:
//! RFC 9112 §5.2 has long retired folding, but c-icap and others send their violations that way.

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memrchr};

use super::limits::MAX_FIELDS;
use super::text::displayable;
use super::violation::{Limit, Violation};

/// A checked block of header fields, borrowed from the message it came in.
///
/// ```
/// # fn show(headers: icap_client::protocol::Headers<'_>) {
/// if let Some(server) = headers.get("server") {
///     println!("answered by {}", server.text());
/// }
/// # }
/// ```
#[derive(Clone, Copy, Default)]
pub struct Headers<'b> {
    /// Complete lines, the blank line at the end left out.
    block: &'b [u8],
}

/// One header field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'b> {
    name: &'b str,
    /// Between colon and last line end, folds included, white space at both ends removed.
    raw: &'b [u8],
    /// Also where a fold was among that white space.
    is_folded: bool,
}

/// A field that is none: where it begins in the block, and what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadField {
    pub(crate) at: usize,
    pub(crate) violation: Violation,
}

impl<'b> Headers<'b> {
    /// Checks a block of complete lines, all of them ended by CRLF, without the blank line.
    pub(crate) fn parse(block: &'b [u8]) -> Result<Self, BadField> {
        let mut at = 0;
        let mut count = 0;
        while at < block.len() {
            let end = field_end(block, at);
            let bad = |violation| BadField { at, violation };
            parse_field(&block[at..end]).ok_or(bad(Violation::BadHeader))?;
            count += 1;
            if count > MAX_FIELDS {
                return Err(bad(Violation::LimitExceeded(Limit::Fields)));
            }
            at = end;
        }
        Ok(Self { block })
    }

    /// All fields, in the order they were sent.
    pub fn iter(&self) -> impl Iterator<Item = Field<'b>> + use<'b> {
        let block = self.block;
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = block.get(at..).filter(|rest| !rest.is_empty())?;
            let end = field_end(rest, 0);
            at += end;
            parse_field(&rest[..end])
        })
    }

    /// The fields of that name, which is compared without case.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = Field<'b>> + use<'b, 'n> {
        self.iter().filter(move |field| field.is(name))
    }

    /// The first field of that name, which is compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Field<'b>> {
        self.get_all(name).next()
    }

    /// Whether any field of that name holds `token` in its comma-separated list, without case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.get_all(name).any(|field| {
            field
                .tokens()
                .any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
        })
    }

    /// Whether there is no field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|field| (field.name, field.text())))
            .finish()
    }
}

impl<'b> Field<'b> {
    /// `raw` is all between the colon and the last line end.
    fn new(name: &'b str, raw: &'b [u8]) -> Self {
        Self {
            name,
            raw: trim(raw),
            is_folded: memchr(b'\n', raw).is_some(),
        }
    }

    /// The name, as the peer wrote it.
    #[must_use]
    pub fn name(&self) -> &'b str {
        self.name
    }

    /// Whether this is the field of that name; names have no case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value without white space around it, each fold replaced by one space.
    #[must_use]
    pub fn value(&self) -> Cow<'b, [u8]> {
        if self.is_folded() {
            Cow::Owned(self.lines().collect::<Vec<_>>().join(&b' '))
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    /// The value made safe to show: decoded leniently, control characters escaped, bounded.
    #[must_use]
    pub fn text(&self) -> String {
        displayable(&self.value())
    }

    /// The lines of a folded value, each without white space around it; one line if it is not folded.
    pub fn lines(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.raw.split(|&b| b == b'\n').map(trim)
    }

    /// Whether the value goes over more than one line.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.is_folded
    }

    /// The members of a comma-separated list, empty ones left out.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.raw
            .split(|&b| b == b',')
            .map(trim)
            .filter(|token| !token.is_empty())
    }
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text())
    }
}

/// Appends a field that was checked.
pub(crate) fn encode_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The fields in lines that need not be a head, let alone a whole one: what is none is passed over,
/// and a bare LF ends a line too. A line without its end is passed over as well: its value may go on, or be
/// another. Only for what can do no harm but to be overlooked.
pub(crate) fn legible_fields(lines: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = field_end(rest, 0);
        let (field, after) = rest.split_at(end);
        rest = after;
        (!field.is_empty()).then_some(field)
    })
    .filter_map(|field| {
        // Of a field that breaks off in a fold, the lines before it came whole.
        let field = &field[..memrchr(b'\n', field)?];
        let colon = memchr(b':', field)?;
        let name = std::str::from_utf8(trim(&field[..colon])).ok()?;
        Some(Field::new(name, &field[colon + 1..]))
    })
}

/// Where the field that begins at `start` ends: after its last line, folded ones included.
fn field_end(block: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(lf) = memchr(b'\n', &block[at..]) {
        at += lf + 1;
        if !matches!(block.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
    block.len()
}

/// Takes a field's lines apart; `None` unless name, colon and value are as RFC 9110 §5 has them.
///
/// Control characters other than CR, LF and NUL are let through in a value: a value is text for
/// people, and refusing it would lose an infection header together with its odd byte.
fn parse_field(lines: &[u8]) -> Option<Field<'_>> {
    let lines = lines.strip_suffix(b"\r\n")?;
    let colon = memchr(b':', lines)?;
    let name = &lines[..colon];
    let raw = &lines[colon + 1..];
    let name_is_token = !name.is_empty() && name.iter().copied().all(is_token_byte);
    let value_is_text = memchr(0, raw).is_none() && line_ends_are_folds(raw);
    if !name_is_token || !value_is_text {
        return None;
    }
    // A token is ASCII.
    let name = std::str::from_utf8(name).ok()?;
    Some(Field::new(name, raw))
}

/// Every CR and every LF belongs to a CRLF, and white space follows it.
fn line_ends_are_folds(raw: &[u8]) -> bool {
    raw.iter().enumerate().all(|(at, byte)| match byte {
        b'\r' => raw.get(at + 1) == Some(&b'\n'),
        b'\n' => {
            let behind_cr = at > 0 && raw[at - 1] == b'\r';
            behind_cr && matches!(raw.get(at + 1), Some(b' ' | b'\t'))
        }
        _ => true,
    })
}

/// Removes SP and HTAB, and the line ends between them, from both ends. Not `trim_ascii`, which
/// takes form feeds too.
pub(crate) fn trim(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = line {
        line = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = line {
        line = rest;
    }
    line
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

/// Whether `byte` may stand in a field name.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(block: &str) -> Headers<'_> {
        Headers::parse(block.as_bytes()).expect(block)
    }

    fn values(block: &str, name: &str) -> Vec<String> {
        let fields = parsed(block).get_all(name).map(|f| f.value().into_owned());
        fields.map(|v| String::from_utf8(v).unwrap()).collect()
    }

    #[test]
    fn names_have_no_case_and_duplicates_are_kept() {
        let block = "ISTag: \"a\"\r\nX-A:1\r\nx-a:  2\t \r\nX-a:\r\n";
        assert_eq!(values(block, "istag"), ["\"a\""]);
        assert_eq!(values(block, "X-A"), ["1", "2", ""]);
        assert_eq!(values(block, "X-B"), Vec::<String>::new());
        assert_eq!(parsed(block).iter().count(), 4);
    }

    #[test]
    fn a_folded_value_is_unfolded_and_its_lines_are_kept_apart() {
        let block = "X-Violations-Found: 1\r\n\t-\r\n\tRel.Test\r\n  C:\\a: b\r\n\t0\r\nA: b\r\n";
        assert_eq!(
            values(block, "x-violations-found"),
            ["1 - Rel.Test C:\\a: b 0"]
        );
        let field = parsed(block).get("X-Violations-Found").unwrap();
        let lines: Vec<&[u8]> = field.lines().collect();
        assert_eq!(lines, [&b"1"[..], b"-", b"Rel.Test", b"C:\\a: b", b"0"]);
        assert_eq!(values(block, "A"), ["b"]);
    }

    #[test]
    fn a_fold_is_known_also_at_an_end_of_the_value_where_it_is_trimmed() {
        for (block, is_folded, value) in [
            ("A: b\r\n", false, "b"),
            ("A: b\r\n c\r\n", true, "b c"),
            ("A:\r\n b\r\n", true, "b"),
            ("A: b\r\n \r\n", true, "b"),
            ("A:\r\n\t\r\n", true, ""),
        ] {
            let field = parsed(block).get("A").unwrap();
            assert_eq!(field.is_folded(), is_folded, "{block:?}");
            assert_eq!(&*field.value(), value.as_bytes(), "{block:?}");
        }
    }

    #[test]
    fn only_space_and_tab_are_trimmed_and_odd_bytes_are_kept() {
        let block = b"X-A: \x0b\x0c\xa0v\x1b\xff \r\n";
        let field = Headers::parse(block).unwrap().get("x-a").unwrap();
        assert_eq!(&*field.value(), b"\x0b\x0c\xa0v\x1b\xff");
    }

    #[test]
    fn what_is_not_a_field_is_refused_where_it_begins() {
        for bad in [
            "NoColonHere\r\n",
            ": v\r\n",
            "X A: b\r\n",
            "X-A : b\r\n",
            " X: folded first\r\n",
            "X-A: a\0b\r\n",
            "X-A: a\rEncapsulated: null-body=0\r\n",
            "X-A: a\nB: c\r\n",
            "X-A: a\r\r\n",
            "X-A: a\n b\r\n",
            "X-A:\n b\r\n",
            "X-A: a\r b\r\n",
            "X\r\n -A: b\r\n",
            "X-\u{e9}: b\r\n",
            "X-A: b",
            "X-A: b\r\n\r\n",
        ] {
            let after_a_good_one = format!("A: b\r\n{bad}");
            for (block, lead) in [(bad, 0), (after_a_good_one.as_str(), 6)] {
                if lead == 6 && bad.starts_with(' ') {
                    continue; // then it is a fold
                }
                let error = Headers::parse(block.as_bytes()).expect_err(block);
                assert_eq!(error.violation, Violation::BadHeader, "{block:?}");
                let begins = if bad.ends_with("b\r\n\r\n") {
                    lead + 8
                } else {
                    lead
                };
                let begins = if bad.contains("a\nB") { lead } else { begins };
                assert_eq!(error.at, begins, "{block:?}");
            }
        }
    }

    #[test]
    fn what_is_shown_is_escaped_and_unfolded() {
        let headers = parsed("X-A: a\r\n b\r\nx-b: \x1b[2J\r\n");
        assert_eq!(
            format!("{headers:?}"),
            r#"{"X-A": "a b", "x-b": "\\u{1b}[2J"}"#
        );
        let fields = Vec::from_iter(headers.iter().map(|field| format!("{field:?}")));
        assert_eq!(fields, ["X-A: a b", "x-b: \\u{1b}[2J"]);
        assert!(parsed("").is_empty() && !headers.is_empty());
    }

    #[test]
    fn the_number_of_fields_is_limited() {
        for (count, accepted) in [
            (MAX_FIELDS - 1, true),
            (MAX_FIELDS, true),
            (MAX_FIELDS + 1, false),
        ] {
            let block = "A: b\r\n".repeat(count);
            assert_eq!(
                Headers::parse(block.as_bytes()).is_ok(),
                accepted,
                "{count}"
            );
        }
    }

    #[test]
    fn a_token_is_found_in_any_member_of_any_field() {
        let block =
            "Connection: keep-alive\r\nconnection: Foo ,  CLOSE,,\r\nX: closed, x-close\r\n";
        assert!(parsed(block).has_token("Connection", "close"));
        assert!(!parsed(block).has_token("X", "close"));
    }

    #[test]
    fn what_is_legible_in_a_broken_head_is_found() {
        let lines =
            b"ICAP/1.0 200 OK\r\nno colon\r\nX-A: 1\nX-B : 2\r\n\t3\r\n\r\nX-C: 4\r\nX-D: 5\r\n\tcut";
        let found: Vec<_> = legible_fields(lines)
            .map(|f| (f.name(), f.text()))
            .collect();
        let expected = [("X-A", "1"), ("X-B", "2 3"), ("X-C", "4"), ("X-D", "5")];
        assert_eq!(found, expected.map(|(name, text)| (name, text.to_owned())));
    }

    #[test]
    fn token_bytes_are_those_of_rfc_9110() {
        let tokens: Vec<u8> = (0..=255).filter(|&b| is_token_byte(b)).collect();
        assert_eq!(
            tokens,
            b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
        );
    }
}
