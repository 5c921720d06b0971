//! Header fields, parsed in place.
//!
//! [`Headers`] borrows a block that was checked once, as a whole. Its fields are parsed again when they are
//! asked for. Names are compared without case, values are bytes, and duplicates are kept. A folded value (it
//! continues after a line end and white space) is unfolded on request: RFC 9112 §5.2 has retired folding, but
//! c-icap and others send their violations that way.

mod check;
mod field;
#[cfg(test)]
mod tests;

use std::fmt;

use memchr::{memchr, memrchr};

use check::split_field;
pub(crate) use check::{BadField, check_each_field, is_token_byte};
pub use field::Field;
pub(crate) use field::trim;

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

impl<'b> Headers<'b> {
    /// Checks a block of complete lines that end in CRLF, without the blank line.
    pub(crate) fn parse(block: &'b [u8]) -> Result<Self, BadField> {
        match check_each_field(block, |_| {})? {
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
        let (field, rest) = split_field(self.rest)?;
        self.rest = rest;
        Some(field)
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

/// Appends a field that was checked.
pub(crate) fn encode_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    append(out, &[name.as_bytes(), b": ", value, b"\r\n"]);
}

/// Appends all parts.
pub(crate) fn append(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
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
        let raw = &field[colon + 1..];
        Some(Field {
            name,
            raw,
            is_folded: memchr(b'\n', raw).is_some(),
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
