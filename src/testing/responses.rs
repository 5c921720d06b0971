//! What a healthy service responds, ready to be sent.

use std::hint::black_box;

use super::offer::Offer;
use super::received::Received;
use super::script::Script;
use crate::proto::chunk::{encode_chunk, encode_last_chunk};
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

/// [`OPTIONS_RESPONSE`] of a service that wants to see up to `len` bytes of every body before it is asked
/// to take the rest (RFC 3507 §4.5).
#[must_use]
pub fn options_with_preview(len: usize) -> String {
    let offer = format!("Preview: {len}\r\nTransfer-Preview: *\r\nEncapsulated:");
    OPTIONS_RESPONSE.replace("Encapsulated:", &offer)
}

/// The response to a preview after which the client sends the rest of the body (RFC 3507 §4.5). The
/// final response follows when that has come.
pub const CONTINUE: &str = "ICAP/1.0 100 Continue\r\n\r\n";

/// The response to content in which nothing was found, where the request allows it (RFC 3507 §4.6).
pub const CLEAN: &str = "ICAP/1.0 204 No Content\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

const TOO_LARGE_TO_RETURN: &str = "ICAP/1.0 500 Too Large To Send Back\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

/// Bytes of a body that [`Server::start`](super::Server::start) sends back if it must not respond with 204.
pub(super) const MAX_RETURNED_BODY: usize = 1024 * 1024;

/// The response to infected content: `X-Infection-Found` with `threat` as it is given, and a block page
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

/// A 200 that carries an HTTP response: `http_head`, blank line included, and `body`, chunked.
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

fn ok(fields: &str, list: Encapsulated, http_head: &[u8], body: &[u8]) -> Vec<u8> {
    let istag = "ISTag: \"icap-client-testing\"";
    let head = format!("ICAP/1.0 200 OK\r\n{istag}\r\n{fields}Encapsulated: {list}\r\n\r\n");
    let mut answer = [head.as_bytes(), http_head].concat();
    if list.body != BodyKind::Null {
        encode_chunk(&mut answer, body);
        encode_last_chunk(&mut answer);
    }
    answer
}

/// The 68 bytes of the EICAR test file, which every virus scanner takes for infected.
///
/// They are put together at run time, so that no scanner finds them in this crate or in a program
/// built with it.
#[must_use]
pub fn eicar() -> Vec<u8> {
    // Every byte is one too high. `black_box` keeps the compiler from computing the result.
    let raised =
        black_box(br#"Y6P"Q&ABQ\5]Q[Y65)Q_*8DD*8~%FJDBS.TUBOEBSE.BOUJWJSVT.UFTU.GJMF"%I,I+"#);
    raised.iter().map(|byte| byte - 1).collect()
}

/// The response of [`Server::start`](super::Server::start) to a request that it read as far as it wants.
pub(super) fn scan(request: &Received, offer: &Offer) -> Script {
    let script = if request.method() == "OPTIONS" {
        Script::new().send(&offer.response)
    } else if request.has_eicar() {
        Script::new().send(infected("Eicar-Test-Signature"))
    } else if request.responds_to_preview() || (request.allows_204() && offer.allows_204()) {
        Script::new().send(CLEAN)
    } else if request.body_len() > MAX_RETURNED_BODY as u64 {
        Script::new().send(TOO_LARGE_TO_RETURN)
    } else {
        Script::new().send(returned(request))
    };
    let asks_to_close = request.headers().has_token("Connection", "close");
    if asks_to_close {
        script.close()
    } else {
        script
    }
}

/// The message that was sent for modification, unmodified.
fn returned(request: &Received) -> Vec<u8> {
    let mut list = request.list;
    let mut head = request.http_heads();
    if request.method() == "RESPMOD" {
        head = &head[list.request_head.take().unwrap_or(0)..];
    }
    ok("", list, head, request.body())
}
