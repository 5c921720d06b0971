//! Header fields, parsed in place.
//!
//! [`Headers`] borrows a block that was checked once, as a whole. Its fields are parsed again when they are
//! asked for. Names are compared without case, values are bytes, and duplicates are kept. A folded value (it
//! continues after a line end and white space) is unfolded on request: RFC 9112 §5.2 has retired folding, but
//! c-icap and others send their violations that way.

mod check;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memrchr};

use super::text::displayable;
use check::value_end;
pub(crate) use check::{BadField, checked_fields_len, is_token_byte};

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
///
/// Two are equal if names, values and folds are.
#[derive(Clone, Copy)]
pub struct Field<'b> {
    /// UTF-8.
    name: &'b [u8],
    /// The bytes between the colon and the last line end: with folds and white space.
    raw: &'b [u8],
}

impl<'b> Headers<'b> {
    /// Checks a block of complete lines that end in CRLF, without the blank line.
    pub(crate) fn parse(block: &'b [u8]) -> Result<Self, BadField> {
        match checked_fields_len(block)? {
            len if len == block.len() => Ok(Self { block }),
            at => Err(BadField::at(at)),
        }
    }

    /// The fields of a block that [`parse`](Self::parse) has accepted before.
    pub(crate) fn of_checked(block: &'b [u8]) -> Self {
        Self { block }
    }

    /// All fields, in the order in which they were sent.
    #[must_use]
    pub fn iter(&self) -> Fields<'b> {
        Fields { rest: self.block }
    }

    /// All fields of a name, which is compared without case.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = Field<'b>> + use<'b, 'n> {
        let mut fields = self.iter();
        // Most other names have another length: their colon is elsewhere.
        std::iter::from_fn(move || fields.next_lines())
            .filter(|lines| lines.get(name.len()) == Some(&b':'))
            .filter_map(Field::of_lines)
            .filter(|field| field.is(name))
    }

    /// The first field of a name, which is compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Field<'b>> {
        self.get_all(name).next()
    }

    /// Whether any field of a name has `token` in its comma-separated list. Both are compared without case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.get_all(name).any(|field| field.has_token(token))
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
        Field::of_lines(self.next_lines()?)
    }
}

impl<'b> Fields<'b> {
    /// The lines of the next field.
    fn next_lines(&mut self) -> Option<&'b [u8]> {
        let (lines, rest) = self.rest.split_at(value_end(self.rest, 0)?);
        self.rest = rest;
        Some(lines)
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
            .entries(self.iter().map(|field| (field.name(), field.text())))
            .finish()
    }
}

impl<'b> Field<'b> {
    /// The field of these lines: a name, a colon, a value, and a line end.
    fn of_lines(lines: &'b [u8]) -> Option<Self> {
        // Names are short.
        let colon = lines.iter().position(|&byte| byte == b':')?;
        let raw = &lines[colon + 1..];
        Some(Self {
            name: &lines[..colon],
            raw: raw.strip_suffix(b"\r\n")?,
        })
    }

    /// The name as the peer wrote it.
    #[must_use]
    pub fn name(&self) -> &'b str {
        // It is a token, which is ASCII, or was checked.
        std::str::from_utf8(self.name).unwrap_or_default()
    }

    /// Whether the field has this name. Names are compared without case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether the name begins with `X-`.
    pub(crate) fn has_x_name(&self) -> bool {
        matches!(self.name, [b'X' | b'x', b'-', ..])
    }

    /// The value, without white space at both ends and with one space in place of each fold.
    #[must_use]
    pub fn value(&self) -> Cow<'b, [u8]> {
        if self.is_folded() {
            Cow::Owned(self.lines().collect::<Vec<_>>().join(&b' '))
        } else {
            Cow::Borrowed(trim(self.raw))
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
        trim(self.raw).split(|&b| b == b'\n').map(trim)
    }

    /// Whether the value has more than one line. A continuation line of white space alone counts as well.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        memchr(b'\n', self.raw).is_some()
    }

    /// Whether the comma-separated list has this member, which is compared without case.
    pub(crate) fn has_token(&self, token: &str) -> bool {
        self.tokens()
            .any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The members of a comma-separated list, without the empty ones.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        self.raw
            .split(|&b| b == b',')
            .map(trim)
            .filter(|token| !token.is_empty())
    }
}

impl PartialEq for Field<'_> {
    fn eq(&self, other: &Self) -> bool {
        let parts = |field: &Self| (field.name, trim(field.raw), field.is_folded());
        parts(self) == parts(other)
    }
}

impl Eq for Field<'_> {}

/// Shows `name: value`, safe to show.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name(), self.text())
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
        let (field, after) = rest.split_at(field_end(rest));
        rest = after;
        (!field.is_empty()).then_some(field)
    })
    .filter_map(|field| {
        // If a field breaks off in a fold, the lines before the fold are complete.
        let field = &field[..memrchr(b'\n', field)?];
        let colon = memchr(b':', field)?;
        let name = trim(&field[..colon]);
        std::str::from_utf8(name).ok()?;
        Some(Field {
            name,
            raw: &field[colon + 1..],
        })
    })
}

/// Where the first field ends: after its last line, folded ones included.
fn field_end(block: &[u8]) -> usize {
    let mut at = 0;
    while let Some(lf) = memchr(b'\n', &block[at..]) {
        at += lf + 1;
        if !matches!(block.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
    block.len()
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
