//! One header field.

use std::borrow::Cow;
use std::fmt;

use crate::proto::text::displayable;

/// One header field.
///
/// Two are equal if names, values and folds are.
#[derive(Clone, Copy)]
pub struct Field<'b> {
    /// UTF-8.
    pub(crate) name: &'b [u8],
    /// The bytes between the colon and the last line end: with folds and white space.
    pub(super) raw: &'b [u8],
    /// Whether `raw` has a line end.
    pub(super) is_folded: bool,
}

impl<'b> Field<'b> {
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
        if self.is_folded {
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
        self.is_folded
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
