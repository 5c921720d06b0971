//! The responses of a healthy service, as bytes.

use crate::proto::chunk::{LAST_CHUNK, encode_chunk};
use crate::proto::encapsulated::{BodyKind, Encapsulated};

/// The response of a healthy service to `OPTIONS`. It offers no preview.
pub const OPTIONS_RESPONSE: &str = "ICAP/1.0 200 OK\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Methods: RESPMOD, REQMOD\r\n\
    Service: icap-client testing\r\n\
    Allow: 204\r\n\
    Max-Connections: 100\r\n\
    Options-TTL: 3600\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

/// [`OPTIONS_RESPONSE`] with the offer of a preview of `len` bytes for every file (RFC 3507 §4.5).
#[must_use]
pub fn options_with_preview(len: usize) -> String {
    let offer = format!("Preview: {len}\r\nTransfer-Preview: *\r\nEncapsulated:");
    OPTIONS_RESPONSE.replace("Encapsulated:", &offer)
}

/// The interim response to a preview after which the client sends the rest of the body (RFC 3507 §4.5).
/// The final response follows after the rest.
pub const CONTINUE: &str = "ICAP/1.0 100 Continue\r\n\r\n";

/// The response to clean content, if the request allows 204 (RFC 3507 §4.6).
pub const CLEAN: &str = "ICAP/1.0 204 No Content\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

/// The response to infected content: an `X-Infection-Found` field with `threat` unchanged, and a block page
/// with HTTP status 403.
#[must_use]
pub fn infected(threat: &str) -> Vec<u8> {
    let page = "<html><body>This file was blocked.</body></html>";
    let http_head = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
        page.len()
    );
    let found = format!("X-Infection-Found: Type=0; Resolution=2; Threat={threat};\r\n");
    let list = response_list(http_head.len());
    ok(&found, list, http_head.as_bytes(), page.as_bytes())
}

/// A 200 with an HTTP response in it. `http_head` must end with its blank line. `body` is sent in one chunk.
#[must_use]
pub fn echo(http_head: &str, body: &[u8]) -> Vec<u8> {
    let list = response_list(http_head.len());
    ok("", list, http_head.as_bytes(), body)
}

fn response_list(head_len: usize) -> Encapsulated {
    Encapsulated {
        request_head: None,
        response_head: Some(head_len).filter(|&len| len > 0),
        body: BodyKind::Response,
    }
}

/// A 200 with `fields` in its ICAP head, and the parts that `list` names.
pub(super) fn ok(fields: &str, list: Encapsulated, http_head: &[u8], body: &[u8]) -> Vec<u8> {
    let istag = "ISTag: \"icap-client-testing\"";
    let head = format!("ICAP/1.0 200 OK\r\n{istag}\r\n{fields}Encapsulated: {list}\r\n\r\n");
    let mut response = [head.as_bytes(), http_head].concat();
    if list.body != BodyKind::Null {
        encode_chunk(&mut response, body);
        response.extend_from_slice(LAST_CHUNK);
    }
    response
}

/// The 68 bytes of the EICAR test file, which every virus scanner reports as infected.
///
/// They are assembled at run time, so that no scanner finds them in this crate or in a program built with
/// it.
#[must_use]
pub fn eicar() -> Vec<u8> {
    crate::scan::sample::eicar()
}
