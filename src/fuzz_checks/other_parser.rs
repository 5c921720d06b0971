//! httparse, as another opinion. It is a file of `fuzz/` too, where it is a crate of its own: only the
//! fuzz targets and the tests depend on httparse.

/// The fields of a block with a blank line at its end; `None` if it is none.
#[must_use]
pub fn fields(block: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut fields = [httparse::EMPTY_HEADER; 400];
    let parsed = httparse::parse_headers(block, &mut fields);
    let Ok(httparse::Status::Complete((used, fields))) = parsed else {
        return None;
    };
    let field = |field: &httparse::Header<'_>| (field.name.to_owned(), field.value.to_owned());
    (used == block.len()).then(|| fields.iter().map(field).collect())
}

/// The status code of an HTTP head that is a status line and a blank line.
#[must_use]
pub fn status(head: &[u8]) -> Option<u16> {
    let mut response = httparse::Response::new(&mut []);
    match response.parse(head) {
        Ok(httparse::Status::Complete(used)) if used == head.len() => response.code,
        _ => None,
    }
}
