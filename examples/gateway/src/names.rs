//! File names. The uploader chooses them, so they are hostile: they are only shown, and never become paths.

use icap_client::protocol::is_displayable;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters of a name.
const MAX_CHARS: usize = 120;

/// Characters of an extension that a shortened name keeps.
const MAX_EXTENSION: usize = 16;

/// What RFC 8187 §3.2.1 calls `attr-char` stays as it is.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A name that is safe on every system: without folders, control and invisible characters (which can turn `exe.pdf`
/// around), characters that Windows or a shell reads as more than a name, dots and spaces at its ends, and the names of
/// the devices of Windows. The type of a file is its last extension: one that is too long to keep leaves no other.
pub fn safe(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_safe = |c: char| is_displayable(c) && !"\"<>|?*:%".contains(c);
    let replaced: String = last
        .chars()
        .map(|c| if is_safe(c) { c } else { '_' })
        .collect();
    let shortened = shortened(trimmed(&replaced));
    match trimmed(&shortened) {
        "" => "file".to_owned(),
        name if is_device(name) => format!("_{name}"),
        name => name.to_owned(),
    }
}

fn trimmed(name: &str) -> &str {
    name.trim_matches(|c: char| c == '.' || c.is_whitespace())
}

/// Windows takes `NUL`, and also `nul.txt`, for a device.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end().to_ascii_uppercase();
    let number = ["COM", "LPT"].iter().find_map(|it| stem.strip_prefix(it));
    let is_digit = |c: char| c.is_ascii_digit() || "¹²³".contains(c);
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) || number.is_some_and(|it| it.chars().count() == 1 && it.chars().all(is_digit))
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= MAX_CHARS {
        return name.to_owned();
    }
    match name.rfind('.') {
        Some(dot) if name[dot..].chars().count() <= MAX_EXTENSION => {
            let extension = &name[dot..];
            let kept = MAX_CHARS - extension.chars().count();
            name.chars().take(kept).chain(extension.chars()).collect()
        }
        // Otherwise the cut would make an extension of what was none: `a.exe` of `a.exebbb…`.
        _ => name.replace('.', "_").chars().take(MAX_CHARS).collect(),
    }
}

/// The `Content-Disposition` field (RFC 6266): a name in ASCII for old programs, and the real one in UTF-8
/// (RFC 8187).
pub fn content_disposition(name: &str) -> String {
    let is_plain = |c: char| matches!(c, ' '..='~') && !"\"\\%".contains(c);
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let encoded = utf8_percent_encode(name, NOT_ATTR_CHAR);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_name_has_no_folder_and_no_trick() {
        for (name, expected) in [
            ("invoice.pdf", "invoice.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\jane\\a.txt", "a.txt"),
            ("..", "file"),
            ("", "file"),
            ("a/", "file"),
            (".bashrc", "bashrc"),
            ("a\r\nSet-Cookie: x", "a__Set-Cookie_ x"),
            ("invoice\u{202e}fdp.exe", "invoice_fdp.exe"),
            ("a\u{0}b", "a_b"),
            ("<script>alert(1)<", "_script_alert(1)_"),
            ("photo.jpg:stream", "photo.jpg_stream"),
            ("Übung 1.docx", "Übung 1.docx"),
            ("evil.exe. . ", "evil.exe"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("LPT1 .tar.gz", "_LPT1 .tar.gz"),
            ("COM²", "_COM²"),
            ("COM10", "COM10"),
            ("console.log", "console.log"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
    }

    #[test]
    fn long_name_keeps_its_extension() {
        let name = safe(&format!("{}.docx", "ü".repeat(5000)));
        assert_eq!(name.chars().count(), MAX_CHARS);
        assert!(name.ends_with("ü.docx"));
        let name = safe(&format!("a.{}", "b".repeat(5000)));
        assert_eq!(name.chars().count(), MAX_CHARS);
        // The cut makes no extension and no end that Windows removes.
        let name = safe(&format!("{}.exe{}", "a".repeat(116), "b".repeat(50)));
        assert!(name.ends_with("a_exe"), "{name}");
        let name = safe(&format!("{}   {}", "a".repeat(118), "b".repeat(50)));
        assert_eq!(name, "a".repeat(118));
    }

    #[test]
    fn content_disposition_has_both_names() {
        assert_eq!(
            content_disposition("a b.txt"),
            "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"
        );
        assert_eq!(
            content_disposition("Übung '1'.pdf"),
            "attachment; filename=\"_bung '1'.pdf\"; filename*=UTF-8''%C3%9Cbung%20%271%27.pdf"
        );
        assert_eq!(
            content_disposition("a\"; b\\c%41"),
            "attachment; filename=\"a_; b_c_41\"; filename*=UTF-8''a%22%3B%20b%5Cc%2541"
        );
    }
}
