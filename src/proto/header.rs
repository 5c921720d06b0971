//! Header fields, parsed in place.
//!
//! [`Headers`] borrows a block that was checked once, as a whole. Its fields are parsed again when they are
//! asked for. Names are compared without case, values are bytes, and duplicates are kept. A folded value (it
//! continues after a line end and white space) is unfolded on request: RFC 9112 §5.2 has retired folding, but
//! c-icap and others send their violations that way.

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memrchr};

use super::limits::MAX_FIELDS;
use super::text::displayable;
use super::violation::{Limit, Violation};

/// The fields of one head, in the order in which they were sent.
///
/// They are borrowed from the [`Response`](crate::Response), and were checked when it was read.
///
/// ```
/// # fn show(headers: icap_client::protocol::Headers<'_>) {
/// if let Some(server) = headers.get("server") {
///     println!("this is {}", server.text());
/// }
/// for field in &headers {
///     println!("{}: {}", field.name(), field.text());
/// }
/// # }
/// ```
#[derive(Clone, Copy, Default)]
pub struct Headers<'b> {
    /// Complete lines, without the blank line at the end.
    block: &'b [u8],
}

/// One header field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'b> {
    name: &'b str,
    /// The bytes between the colon and the last line end: with folds, without white space at both ends.
    raw: &'b [u8],
    /// True also for a fold in the white space that was removed.
    is_folded: bool,
}

/// A line that is no field: where it begins in the block, and what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadField {
    pub(crate) at: usize,
    pub(crate) violation: Violation,
}

impl<'b> Headers<'b> {
    /// Checks a block of complete lines that end in CRLF, without the blank line.
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

    /// All fields, in the order in which they were sent.
    #[must_use]
    pub fn iter(&self) -> Fields<'b> {
        Fields { rest: self.block }
    }

    /// All fields of a name, which is compared without case.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = Field<'b>> + use<'b, 'n> {
        self.iter().filter(move |field| field.is(name))
    }

    /// The first field of a name, which is compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Field<'b>> {
        self.get_all(name).next()
    }

    /// Whether any field of a name has `token` in its comma-separated list. Both are compared without case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.get_all(name).any(|field| {
            field
                .tokens()
                .any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
        })
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }
}

/// Each field, as [`Headers::iter`] gives them.
impl<'b> IntoIterator for &Headers<'b> {
    type Item = Field<'b>;
    type IntoIter = Fields<'b>;

    fn into_iter(self) -> Fields<'b> {
        self.iter()
    }
}

/// An iterator over the fields of [`Headers`].
#[derive(Clone)]
pub struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Fields<'b> {
    type Item = Field<'b>;

    fn next(&mut self) -> Option<Field<'b>> {
        if self.rest.is_empty() {
            return None;
        }
        let (field, rest) = self.rest.split_at(field_end(self.rest, 0));
        self.rest = rest;
        parse_field(field)
    }
}

/// Shows the fields that are left, safe to show.
impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Shows names and values, safe to show.
impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|field| (field.name, field.text())))
            .finish()
    }
}

impl<'b> Field<'b> {
    /// `raw` is everything between the colon and the last line end.
    fn new(name: &'b str, raw: &'b [u8]) -> Self {
        Self {
            name,
            raw: trim(raw),
            is_folded: memchr(b'\n', raw).is_some(),
        }
    }

    /// The name as the peer wrote it.
    #[must_use]
    pub fn name(&self) -> &'b str {
        self.name
    }

    /// Whether the field has this name. Names are compared without case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value, without white space at both ends and with one space in place of each fold.
    #[must_use]
    pub fn value(&self) -> Cow<'b, [u8]> {
        if self.is_folded() {
            Cow::Owned(self.lines().collect::<Vec<_>>().join(&b' '))
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    /// The value as text that is safe to show.
    ///
    /// Bytes that are not UTF-8 are decoded as ISO 8859-1. Control and invisible characters are escaped. Only the
    /// first [`MAX_DISPLAY`](crate::limits::MAX_DISPLAY) characters are kept, and `…` stands for the rest.
    #[must_use]
    pub fn text(&self) -> String {
        displayable(&self.value())
    }

    /// The lines of a folded value, each without white space at both ends; one line if it is not folded.
    pub fn lines(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.raw.split(|&b| b == b'\n').map(trim)
    }

    /// Whether the value has more than one line.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.is_folded
    }

    /// The members of a comma-separated list, without the empty ones.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.raw
            .split(|&b| b == b',')
            .map(trim)
            .filter(|token| !token.is_empty())
    }
}

/// Shows `name: value`, safe to show.
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

/// The fields among the lines of an incomplete or invalid head. Only for evidence, where the one fault is to
/// overlook something.
///
/// Lines that are no field are passed over. A bare LF ends a line as well. A line without its end is passed over,
/// because its value may be incomplete.
pub(crate) fn legible_fields(lines: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = field_end(rest, 0);
        let (field, after) = rest.split_at(end);
        rest = after;
        (!field.is_empty()).then_some(field)
    })
    .filter_map(|field| {
        // If a field breaks off in a fold, the lines before the fold are complete.
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

/// Parses the lines of one field; `None` unless name, colon and value follow RFC 9110 §5.
///
/// A value may have control characters other than CR, LF and NUL. A value is text for people, and to refuse it
/// because of an odd byte would lose an infection header.
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

/// Whether each CR and each LF belongs to a CRLF that white space follows.
fn line_ends_are_folds(raw: &[u8]) -> bool {
    raw.iter().enumerate().all(|(at, byte)| match byte {
        b'\r' => raw.get(at + 1) == Some(&b'\n'),
        b'\n' => {
            let is_after_cr = at > 0 && raw[at - 1] == b'\r';
            is_after_cr && matches!(raw.get(at + 1), Some(b' ' | b'\t'))
        }
        _ => true,
    })
}

/// Removes SP, HTAB and the line ends between them from both ends. `trim_ascii` would remove form feeds as well.
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

/// Whether a byte may stand in a field name.
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
    fn names_are_compared_without_case_and_duplicates_kept() {
        let block = "ISTag: \"a\"\r\nX-A:1\r\nx-a:  2\t \r\nX-a:\r\n";
        assert_eq!(values(block, "istag"), ["\"a\""]);
        assert_eq!(values(block, "X-A"), ["1", "2", ""]);
        assert_eq!(values(block, "X-B"), Vec::<String>::new());
        assert_eq!(parsed(block).iter().count(), 4);
        assert_eq!((&parsed(block)).into_iter().count(), 4);
    }

    #[test]
    fn folded_value_is_unfolded_and_has_its_lines() {
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
    fn fold_in_trimmed_white_space_is_known() {
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
    fn only_space_and_tab_are_trimmed() {
        let block = b"X-A: \x0b\x0c\xa0v\x1b\xff \r\n";
        let field = Headers::parse(block).unwrap().get("x-a").unwrap();
        assert_eq!(&*field.value(), b"\x0b\x0c\xa0v\x1b\xff");
    }

    #[test]
    fn malformed_field_is_refused_where_it_begins() {
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
            let after_valid = format!("A: b\r\n{bad}");
            for (block, lead) in [(bad, 0), (after_valid.as_str(), 6)] {
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
    fn shown_fields_are_escaped_and_unfolded() {
        let headers = parsed("X-A: a\r\n b\r\nx-b: \x1b[2J\r\n");
        assert_eq!(
            format!("{headers:?}"),
            r#"{"X-A": "a b", "x-b": "\\u{1b}[2J"}"#
        );
        let fields = format!("{:?}", headers.iter());
        assert_eq!(fields, "[X-A: a b, x-b: \\u{1b}[2J]");
        assert!(parsed("").is_empty() && !headers.is_empty());
    }

    #[test]
    fn fields_may_be_as_many_as_the_limit() {
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
    fn token_is_found_in_any_member_of_any_field() {
        let block =
            "Connection: keep-alive\r\nconnection: Foo ,  CLOSE,,\r\nX: closed, x-close\r\n";
        assert!(parsed(block).has_token("Connection", "close"));
        assert!(!parsed(block).has_token("X", "close"));
    }

    #[test]
    fn legible_fields_of_a_broken_head_are_found() {
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
