use super::input::{assert_displayable, assert_part_of};
use crate::proto::status_line::{StatusLine, may_begin_icap, parse_http, parse_icap};
use crate::proto::text::{displayable, excerpt};

/// Another parser of HTTP status lines: the code in a head that is a status line and a blank line.
pub type StatusParser = fn(&[u8]) -> Option<u16>;

/// Status lines: `data` is a line without its end.
///
/// - A line that is taken is version, code and phrase, written one after the other, and nothing else.
/// - A code is from 100 to 599, a phrase holds no control character.
/// - No beginning of an ICAP status line is taken for another protocol.
/// - `other` reads the same code from what is taken as HTTP/1.0 and HTTP/1.1, and the other way
///   round.
/// - Whatever it is, it can be shown.
pub fn status_line(data: &[u8], other: StatusParser) {
    assert_displayable(&displayable(data));
    assert_displayable(&excerpt(data));
    if let Some(line) = parse_icap(data) {
        assert_line(data, b"ICAP/1.0", line);
        assert!((0..=data.len()).all(|len| may_begin_icap(&data[..len])));
    }
    let http = parse_http(data);
    if let Some(line) = http {
        assert_line(data, &data[..b"HTTP/1.x".len()], line);
    }
    // A line end in it would make two lines of it, and one before it is passed over.
    let is_one_line = !data.iter().any(|b| matches!(b, b'\r' | b'\n'));
    if is_one_line && (data.starts_with(b"HTTP/1.0") || data.starts_with(b"HTTP/1.1")) {
        let code = other(&[data, b"\r\n\r\n"].concat());
        let code = code.filter(|code| (100..=599).contains(code));
        assert_eq!(http.map(|line| line.code), code);
    }
}

fn assert_line(data: &[u8], version: &[u8], line: StatusLine<'_>) {
    assert!((100..=599).contains(&line.code));
    assert_part_of(line.reason, data);
    let is_text = |&b: &u8| b == b'\t' || b >= b' ' && b != 0x7f;
    assert!(line.reason.iter().all(is_text));
    let code = line.code.to_string();
    let without_phrase = [version, b" ", code.as_bytes()].concat();
    let written = [&without_phrase, &b" "[..], line.reason].concat();
    assert!(data == written || data == without_phrase);
}
