//! The name of a file: shown without loss, and safe for a terminal.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

use icap_client::protocol::is_displayable;

/// The name under which a file is printed. Two names are never printed the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(OsString);

impl Name {
    pub(crate) fn of(path: &Path) -> Self {
        Self(path.as_os_str().to_owned())
    }

    /// The name as text. What is not UTF-8 is replaced.
    pub(crate) fn text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }

    /// The bytes of a name that is not UTF-8.
    pub(crate) fn bytes_unless_text(&self) -> Option<&[u8]> {
        let is_text = self.0.to_str().is_some();
        (!is_text).then(|| self.0.as_encoded_bytes())
    }
}

impl<T: AsRef<OsStr> + ?Sized> From<&T> for Name {
    fn from(name: &T) -> Self {
        Self(name.as_ref().to_owned())
    }
}

/// Escapes what is not plainly visible, bytes that are not UTF-8 (`\xff`), and the backslash itself: a line end and
/// the characters `\n` are different names.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_encoded_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if c != '\\' && is_displayable(c) {
                    f.write_char(c)?;
                } else {
                    write!(f, "{}", c.escape_default())?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_end_and_backslash_are_different_names() {
        assert_eq!(Name::from("a\nb").to_string(), r"a\nb");
        assert_eq!(Name::from(r"a\nb").to_string(), r"a\\nb");
        assert_eq!(
            Name::from("Rechnung für März.pdf").to_string(),
            "Rechnung für März.pdf"
        );
    }

    #[cfg(unix)]
    #[test]
    fn bytes_beyond_utf8_are_kept() {
        use std::os::unix::ffi::OsStrExt;
        let name = Name::from(OsStr::from_bytes(b"a\xff\xe2\x80\xae"));
        assert_eq!(name.to_string(), r"a\xff\u{202e}");
        assert_eq!(name.bytes_unless_text(), Some(&b"a\xff\xe2\x80\xae"[..]));
        assert_eq!(Name::from("a").bytes_unless_text(), None);
    }
}
