//! HTTP heads that are encapsulated: one complete head, and nothing in it that must not be forwarded.

use super::head::HeadFinder;
use super::header::{Field, Headers, is_token_byte};
use super::limits::MAX_HTTP_HEAD;
use super::status;
use crate::error::{InputError, InvalidInput};

/// Fields that speak of one connection and are not encapsulated (RFC 3507 §4.4.2), `Proxy-*` and what
/// `Connection` names besides.
const HOP_BY_HOP: &[&str] = &[
    "Connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// One complete HTTP/1.x request head.
pub(crate) fn check_request(head: &[u8]) -> Result<(), InputError> {
    check(head, is_request_line)
}

/// One complete HTTP/1.x response head.
pub(crate) fn check_response(head: &[u8]) -> Result<(), InputError> {
    check(head, |line| status::parse_http(line).is_some())
}

/// The first line of a head, without its end.
pub(crate) fn start_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', head).map_or(head.len(), |lf| lf.saturating_sub(1));
    &head[..end]
}

/// The fields of a head that was checked.
pub(crate) fn fields(head: &[u8]) -> Headers<'_> {
    let start = start_line(head).len() + 2;
    let block = head.get(start..head.len().saturating_sub(2));
    Headers::parse(block.unwrap_or_default()).unwrap_or_default()
}

/// A checked head without its hop-by-hop fields, and without those that `is_left_out` names.
pub(crate) fn forwarded(head: &[u8], is_left_out: impl Fn(&Field<'_>) -> bool) -> Vec<u8> {
    let headers = fields(head);
    let is_hop_by_hop = |field: &Field<'_>| {
        let name = field.name();
        let is_proxys = name
            .get(..6)
            .is_some_and(|start| start.eq_ignore_ascii_case("Proxy-"));
        is_proxys
            || HOP_BY_HOP.iter().any(|hop| field.is(hop))
            || headers.has_token("Connection", name)
    };
    let mut out = start_line(head).to_vec();
    out.extend_from_slice(b"\r\n");
    for field in headers.iter() {
        if !is_hop_by_hop(&field) && !is_left_out(&field) {
            field.write(&mut out);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// One complete head: a start line, fields, a blank line and nothing behind it.
fn check(head: &[u8], is_start_line: impl Fn(&[u8]) -> bool) -> Result<(), InputError> {
    let refused = |why| InputError::new(InvalidInput::HttpHead, why);
    if head.len() > MAX_HTTP_HEAD {
        return Err(refused("it is longer than 128 KiB"));
    }
    match HeadFinder::default().find(head) {
        Ok(Some(end)) if end == head.len() => {}
        Ok(Some(_)) => return Err(refused("bytes follow its blank line")),
        Ok(None) => return Err(refused("its blank line is missing")),
        Err(_) => return Err(refused("a line does not end in CRLF")),
    }
    let line = start_line(head);
    if !is_start_line(line) {
        return Err(refused("its start line is not one of HTTP/1.x"));
    }
    let fields = head.get(line.len() + 2..head.len() - 2).unwrap_or_default();
    Headers::parse(fields).map_err(|_| refused("one of its fields is malformed"))?;
    Ok(())
}

/// `GET /path HTTP/1.1`
fn is_request_line(line: &[u8]) -> bool {
    let mut parts = line.split(|&b| b == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let is_token = |m: &[u8]| !m.is_empty() && m.iter().copied().all(is_token_byte);
    method.is_some_and(is_token)
        && target.is_some_and(|t| !t.is_empty() && !t.iter().any(u8::is_ascii_control))
        && version.is_some_and(
            |v| matches!(v, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', d] if d.is_ascii_digit()),
        )
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET http://content.invalid/a HTTP/1.1\r\nHost: content.invalid\r\n\r\n";
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

    #[test]
    fn only_one_complete_head_is_taken() {
        for bad in [
            &b""[..],
            b"\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nX",
            b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\n\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\rX: y\r\n\r\n",
            b"HTTP/1.1 200 OK\rXA: b\r\n\r\n",
            GET,
        ] {
            let shown = String::from_utf8_lossy(bad);
            assert!(check_response(bad).is_err(), "{shown:?}");
        }
        for bad in [
            OK,
            b"GET /\r\n\r\n",
            b"GET / x HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\rXHost: evil\r\n\r\n",
            b"GET / HTTP/2\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b" / HTTP/1.1\r\n\r\n",
            b"G\0T / HTTP/1.1\r\n\r\n",
            b"GET /\x01 HTTP/1.1\r\n\r\n",
            b"GET /\x7f HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1 \r\n\r\n",
        ] {
            let shown = String::from_utf8_lossy(bad);
            assert!(check_request(bad).is_err(), "{shown:?}");
        }
        assert!(check_response(b"HTTP/1.0 200\r\n\r\n").is_ok());
        assert!(check_request(GET).is_ok());
        assert!(check_request(b"GET /\xe9 HTTP/1.1\r\n\r\n").is_ok());
        for (head, why) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], "its blank line is missing"),
            (b"HTTP/1.1 200 OK\r\n\r\nX", "bytes follow its blank line"),
        ] {
            let error = check_response(head).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_head_may_be_as_long_as_the_limit() {
        for (len, is_taken) in [
            (MAX_HTTP_HEAD - 1, true),
            (MAX_HTTP_HEAD, true),
            (MAX_HTTP_HEAD + 1, false),
        ] {
            let head = [&b"HTTP/1.1 200 OK\r\nX: "[..], b"\r\n\r\n"];
            let padding = vec![b'x'; len - head.concat().len()];
            let head = [head[0], &padding, head[1]].concat();
            assert_eq!(check_response(&head).is_ok(), is_taken, "{len}");
        }
    }

    #[test]
    fn what_speaks_of_one_connection_is_not_forwarded() {
        let head = b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nkeep-alive: 5\r\nX-Hop: 1\r\n\
            Proxy-Authenticate: Basic\r\nTE: trailers\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\
            Upgrade: h2c\r\nSet-Cookie: a=b\r\nX-Folded: one\r\n two\r\nServer: s\r\n\r\n";
        let out = forwarded(head, |field| field.is("Set-Cookie"));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "HTTP/1.1 200 OK\r\nX-Folded: one two\r\nServer: s\r\n\r\n"
        );
        assert_eq!(forwarded(OK, |_| false), OK);
    }
}
