use super::input::{assert_displayable, assert_part_of};
use crate::proto::header::{Field, Headers, check_each_field, legible_fields};
use crate::proto::limits::MAX_FIELDS;

/// Another parser of header fields: names and values of a block that ends in a blank line, or `None`
/// if it is no such block.
pub type FieldParser = fn(&[u8]) -> Option<Vec<(String, Vec<u8>)>>;

type Fields = Vec<(String, Vec<u8>)>;

/// Header fields: `data` is a block of lines without the blank line.
///
/// - Fields are parts of the input, and there are as many as lines that begin one.
/// - What is written from them is read again the same.
/// - What is refused by strict parsing and what is read from a broken head agree on what is a field.
/// - `other` takes what is taken here, but for control characters in a value, which are let through
///   so that an infection header is not lost for one odd byte; and what `other` takes is taken here,
///   but for bare LFs and more fields than the limit.
pub fn headers(data: &[u8], other: FieldParser) {
    // What was read from a broken head is bounded by it and safe to show, whatever it is.
    for field in legible_fields(data) {
        assert_part_of(field.name().as_bytes(), data);
        assert_displayable(&field.text());
    }
    match Headers::parse(data) {
        Ok(headers) => taken(data, headers, other),
        Err(bad) => {
            assert!(bad.at < data.len());
            refused(data, other);
        }
    }
}

fn taken(data: &[u8], headers: Headers<'_>, other: FieldParser) {
    let fields: Vec<Field<'_>> = headers.iter().collect();
    assert_eq!(fields.len(), begun_lines(data));
    let mut checked = Vec::new();
    let len = check_each_field(data, |field| checked.push(field));
    assert_eq!((len, &checked), (Ok(data.len()), &fields));
    assert!(fields.len() <= MAX_FIELDS);
    assert_eq!(headers.is_empty(), fields.is_empty());
    for field in &fields {
        assert_field(data, headers, field);
    }
    // However a line goes on: also with nothing but white space.
    let lines = memchr::memchr_iter(b'\n', data).count();
    let is_folded = fields.iter().any(Field::is_folded);
    assert_eq!(is_folded, lines > fields.len());
    let legible: Fields = legible_fields(data).map(|f| owned(&f)).collect();
    let read: Fields = fields.iter().map(owned).collect();
    assert_eq!(legible, read, "not legible");

    let written = write(&read);
    let again = Headers::parse(&written).expect("what was read can be written");
    let again: Fields = again.iter().map(|f| owned(&f)).collect();
    assert_eq!(again, read, "not the same again");

    let has_control = |value: &[u8]| value.iter().any(|&b| b < b' ' && b != b'\t' || b == 0x7f);
    if !read.iter().any(|(_, value)| has_control(value)) {
        let block = [&written, &b"\r\n"[..]].concat();
        assert_eq!(other(&block), Some(read), "another parser disagrees");
    }
}

fn assert_field(data: &[u8], headers: Headers<'_>, field: &Field<'_>) {
    assert_part_of(field.name().as_bytes(), data);
    field.lines().for_each(|line| assert_part_of(line, data));
    field.tokens().for_each(|token| {
        assert!(!token.is_empty() && !token.contains(&b','));
        assert!(
            headers.has_token(field.name(), &String::from_utf8_lossy(token)) || !token.is_ascii()
        );
    });
    let value = field.value();
    assert!(!value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')));
    for end in [value.first(), value.last()] {
        assert!(!matches!(end, Some(b' ' | b'\t')));
    }
    assert!(field.is_folded() || field.lines().count() == 1);
    assert!(
        headers
            .get_all(&field.name().to_uppercase())
            .any(|f| f == *field)
    );
    assert_displayable(&field.text());
}

fn refused(data: &[u8], other: FieldParser) {
    let block = [data, b"\r\n"].concat();
    let Some(fields) = other(&block) else { return };
    let mut lfs = memchr::memchr_iter(b'\n', data);
    let has_bare_lf = lfs.any(|lf| lf == 0 || data[lf - 1] != b'\r');
    assert!(
        has_bare_lf || fields.len() > MAX_FIELDS,
        "only this crate refuses {fields:?}"
    );
}

/// Lines that do not continue the one before.
fn begun_lines(data: &[u8]) -> usize {
    let mut lines: Vec<&[u8]> = data.split(|&b| b == b'\n').collect();
    assert_eq!(lines.pop(), Some(&b""[..]), "the last line has an end");
    let begins = |line: &&&[u8]| !matches!(line.first(), Some(b' ' | b'\t'));
    lines.iter().filter(begins).count()
}

fn owned(field: &Field<'_>) -> (String, Vec<u8>) {
    (field.name().to_owned(), field.value().into_owned())
}

fn write(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let line =
        |(name, value): &(String, Vec<u8>)| [name.as_bytes(), b": ", value, b"\r\n"].concat();
    fields.iter().flat_map(line).collect()
}
