//! Status lines, of ICAP responses (RFC 3507 §4.3.3) and of encapsulated HTTP responses (RFC 9112 §4).

use std::ops::RangeInclusive;

use super::limits::MAX_LEADING_WHITE_SPACE;

/// The beginning of each ICAP response. RFC 3507 has one version.
pub(crate) const ICAP_VERSION: &[u8] = b"ICAP/1.0 ";

const STATUS_CODES: RangeInclusive<u16> = 100..=599;

/// The parts of a status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusLine<'b> {
    pub(crate) code: u16,
    /// Empty if there is none. The phrase is for people and decides nothing.
    pub(crate) reason: &'b [u8],
}

/// Parses the status line of an ICAP response, without its line end.
pub(crate) fn parse_icap(line: &[u8]) -> Option<StatusLine<'_>> {
    parse_after_version(line.strip_prefix(ICAP_VERSION)?)
}

/// Parses the status line of an HTTP/1.x response, without its line end.
pub(crate) fn parse_http(line: &[u8]) -> Option<StatusLine<'_>> {
    match line.strip_prefix(b"HTTP/1.")? {
        [minor, b' ', rest @ ..] if minor.is_ascii_digit() => parse_after_version(rest),
        _ => None,
    }
}

/// The ICAP status line at the beginning of `head`, if its line end came. It need not be valid, see [`legible`].
/// Blank lines may stand before it. Its version may be another one, and in lower case. Any white space may stand
/// before the code.
pub(crate) fn legible_icap(head: &[u8]) -> Option<StatusLine<'_>> {
    let line = first_line(without_blanks(head))?;
    let (protocol, rest) = line.split_at_checked(ICAP.len())?;
    let version = rest
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'.');
    let after = &rest[version.count()..];
    let code = trim_start(after);
    let is_icap = protocol.eq_ignore_ascii_case(ICAP) && code.len() < after.len();
    legible(code).filter(|_| is_icap)
}

/// The HTTP/1.x status line at the beginning of `head`, if its line end came. It need not be valid, see
/// [`legible`].
pub(crate) fn legible_http(head: &[u8]) -> Option<StatusLine<'_>> {
    match first_line(head)?.strip_prefix(b"HTTP/1.")? {
        [minor, b' ', rest @ ..] if minor.is_ascii_digit() => legible(rest),
        _ => None,
    }
}

/// The code, also with an invalid reason phrase. Only for evidence: a status that may refuse the content.
fn legible(rest: &[u8]) -> Option<StatusLine<'_>> {
    let (digits, reason) = rest.split_at_checked(3)?;
    let is_separated = reason.first().is_none_or(|b| !b.is_ascii_digit());
    let line = parse_after_version(digits).filter(|_| is_separated)?;
    Some(StatusLine {
        reason: reason.trim_ascii(),
        ..line
    })
}

/// The first line, if its end came. A line without its end is not legible, here and in fields: the rest of a number
/// or a name may be missing.
fn first_line(head: &[u8]) -> Option<&[u8]> {
    let line = &head[..memchr::memchr(b'\n', head)?];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Whether `start`, the first bytes of a response, can still become an ICAP status line.
pub(crate) fn may_begin_icap(start: &[u8]) -> bool {
    let len = start.len().min(ICAP_VERSION.len());
    start[..len] == ICAP_VERSION[..len]
}

const ICAP: &[u8] = b"ICAP/";

/// Beginnings of invalid responses that may have evidence: a status line of another version or protocol, or a field.
const ODD_BEGINNINGS: [&[u8]; 3] = [ICAP, b"HTTP/", b"X-"];

/// Whether `start`, which does not begin an ICAP status line, can still become a head with evidence. Other bytes are
/// refused at once, because a server of another protocol may be waiting for the client.
pub(crate) fn may_begin_evidence(start: &[u8]) -> bool {
    let text = without_blanks(start);
    let begins = |beginning: &&[u8]| {
        let len = text.len().min(beginning.len());
        text[..len].eq_ignore_ascii_case(&beginning[..len])
    };
    start.len() - text.len() <= MAX_LEADING_WHITE_SPACE && ODD_BEGINNINGS.iter().any(begins)
}

/// The length of such a head with its blank line. Its lines may end in CRLF or LF. An end before `searched` is not
/// found.
pub(crate) fn odd_head_end(head: &[u8], searched: usize) -> Option<usize> {
    let blanks = head.len() - without_blanks(head).len();
    let from = searched.saturating_sub(2).max(blanks);
    let rest = head.get(from..)?;
    memchr::memchr_iter(b'\n', rest).find_map(|at| match &rest[at + 1..] {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// Removes white space and line ends from the beginning.
fn without_blanks(mut head: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = head {
        head = rest;
    }
    head
}

fn trim_start(mut line: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = line {
        line = rest;
    }
    line
}

/// Parses `204 No Content`, `204 ` or `204`: some servers omit the phrase, or its space as well.
fn parse_after_version(rest: &[u8]) -> Option<StatusLine<'_>> {
    let (digits, rest) = rest.split_at_checked(3)?;
    let code = digits.iter().try_fold(0u16, |code, byte| {
        byte.is_ascii_digit()
            .then(|| code * 10 + u16::from(byte - b'0'))
    })?;
    let reason = match rest {
        [] => rest,
        [b' ', reason @ ..] => reason,
        _ => return None,
    };
    let is_text = reason
        .iter()
        .all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f));
    (STATUS_CODES.contains(&code) && is_text).then_some(StatusLine { code, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_line_is_version_code_and_any_phrase() {
        for (line, code, reason) in [
            ("ICAP/1.0 204 No Content", 204, "No Content"),
            ("ICAP/1.0 204 ", 204, ""),
            ("ICAP/1.0 204", 204, ""),
            ("ICAP/1.0 100 Continue", 100, "Continue"),
            ("ICAP/1.0 599 \tx", 599, "\tx"),
            ("ICAP/1.0 200 Gel\u{f6}scht", 200, "Gel\u{f6}scht"),
        ] {
            let reason = reason.as_bytes();
            let expected = Some(StatusLine { code, reason });
            assert_eq!(parse_icap(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn malformed_status_line_is_refused() {
        for line in [
            "HTTP/1.1 200 OK",
            "icap/1.0 204 OK",
            "ICAP/1.1 204 OK",
            "ICAP/2.0 204 OK",
            "ICAP/257.0 204 OK",
            "ICAP/1.0 20 OK",
            "ICAP/1.0 2040 OK",
            "ICAP/1.0 +204 OK",
            "ICAP/1.0 2O4 OK",
            "ICAP/1.0 000 OK",
            "ICAP/1.0 099 OK",
            "ICAP/1.0 600 OK",
            "ICAP/1.0204 OK",
            "ICAP/1.0  204 OK",
            "ICAP/1.0 204\tOK",
            "ICAP/1.0 204 O\0K",
            "ICAP/1.0 204 OK\rISTag: x",
            "ICAP/1.0 204 O\x7fK",
            " ICAP/1.0 204 OK",
            "ICAP/1.0",
            "",
        ] {
            assert_eq!(parse_icap(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn http_status_line_has_any_minor_version() {
        for (line, code) in [
            ("HTTP/1.0 403 Forbidden", Some(403)),
            ("HTTP/1.1 200 OK:  403 Forbidden", Some(200)),
            ("HTTP/1.9 301", Some(301)),
            ("HTTP/2 200", None),
            ("HTTP/2.0 200 OK", None),
            ("HTTP/1.10 200 OK", None),
            ("HTTP/1.x 200 OK", None),
            ("HTTP/1.: 200 OK", None),
            ("HTTP/1.1200 OK", None),
            ("GET / HTTP/1.1", None),
        ] {
            assert_eq!(parse_http(line.as_bytes()).map(|s| s.code), code, "{line}");
        }
    }

    #[test]
    fn foreign_protocol_is_seen_at_first_different_byte() {
        assert!(may_begin_icap(b""));
        assert!(may_begin_icap(b"ICAP"));
        assert!(may_begin_icap(b"ICAP/1.0 204"));
        assert!(!may_begin_icap(b"\x15\x03\x01"));
        assert!(!may_begin_icap(b"ICAP/2"));
    }

    #[test]
    fn odd_status_line_is_legible_once_its_end_came() {
        for (head, code) in [
            ("\r\nICAP/1.0 403 Forbidden\r\n", Some(403)),
            ("ICAP/1.1 403 Forbidden\r\n", Some(403)),
            ("icap/1.0 403\n", Some(403)),
            ("ICAP/1.0  403 Forbidden\r\n", Some(403)),
            ("ICAP/1.0\t403 Forbidden\r\n", Some(403)),
            ("ICAP/1.0 403 Forbidden", None),
            ("ICAP/1.0403 Forbidden\r\n", None),
            ("ICAP/1.0 4030\r\n", None),
            ("HTTP/1.1 403 Forbidden\r\n", None),
        ] {
            let line = legible_icap(head.as_bytes());
            assert_eq!(line.map(|line| line.code), code, "{head:?}");
        }
    }

    #[test]
    fn odd_head_ends_at_its_first_blank_line() {
        for (head, end) in [
            ("\r\n\r\nicap/1.0 403\r\n\r\nrest", Some(20)),
            ("X-A: b\n\nrest", Some(8)),
            ("X-A: b\n\r\n", Some(9)),
            ("\r\n\r\n", None),
            ("X-A: b\r\n\r", None),
        ] {
            for searched in 0..end.unwrap_or(head.len()) {
                assert_eq!(odd_head_end(head.as_bytes(), searched), end, "{head:?}");
            }
        }
        assert!(may_begin_evidence(b"\r\n"));
        assert!(may_begin_evidence(b"\r\nic"));
        assert!(!may_begin_evidence(b"220 mail"));
        for (len, is_evidence) in [
            (MAX_LEADING_WHITE_SPACE - 1, true),
            (MAX_LEADING_WHITE_SPACE, true),
            (MAX_LEADING_WHITE_SPACE + 1, false),
        ] {
            let start = format!("{}ICAP/1.1 403", " ".repeat(len));
            assert_eq!(may_begin_evidence(start.as_bytes()), is_evidence, "{len}");
        }
    }
}
