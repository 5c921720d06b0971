//! Encapsulated HTTP heads: each is one complete head, without the fields that must not be forwarded.

use std::borrow::Cow;
use std::collections::HashSet;

use super::head::HeadFinder;
use super::header::{Field, Headers, is_token_byte};
use super::input_error::{InputError, InvalidInput};
use super::limits::{MAX_FIELDS, MAX_HTTP_HEAD};
use super::status_line;
use super::violation::Violation;

/// Fields of one connection, which are not encapsulated (RFC 3507 §4.4.2). Others are `Proxy-*`, and fields that
/// `Connection` nominates unless they are [for every recipient](is_end_to_end).
const HOP_BY_HOP: &[&str] = &[
    "Connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// Beginnings of the names of fields for every recipient.
const FAMILIES: &[&str] = &[
    "accept",
    "access-control-",
    "content-",
    "cross-origin-",
    "if-",
    "sec-",
    "x-content-",
    "x-download-",
    "x-file",
    "x-forwarded-",
    "x-original-",
    "x-real-",
];

/// More fields for every recipient: the registered ones that are in none of the [families](FAMILIES)
/// (RFC 9110 §16.3.1), and common ones that are not registered.
const END_TO_END: &[&str] = &[
    "age",
    "allow",
    "alt-svc",
    "authentication-info",
    "authorization",
    "cache-control",
    "cookie",
    "date",
    "depth",
    "destination",
    "digest",
    "disposition",
    "dnt",
    "etag",
    "expect",
    "expires",
    "file-name",
    "filename",
    "forwarded",
    "from",
    "host",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "mime-version",
    "origin",
    "overwrite",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "refresh",
    "repr-digest",
    "retry-after",
    "server",
    "set-cookie",
    "slug",
    "soapaction",
    "strict-transport-security",
    "title",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-client-ip",
    "x-frame-options",
    "x-http-method-override",
    "x-powered-by",
    "x-requested-with",
    "x-xss-protection",
];

/// Checks that `head` is one complete HTTP/1.x request head.
pub(crate) fn check_request(head: &[u8]) -> Result<(), InputError> {
    check(head, is_request_line)
}

/// Checks that `head` is one complete HTTP/1.x response head.
pub(crate) fn check_response(head: &[u8]) -> Result<(), InputError> {
    check(head, |line| status_line::parse_http(line).is_some())
}

/// The first line of a head, without its end.
pub(crate) fn start_line(head: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', head).map_or(head.len(), |lf| lf.saturating_sub(1));
    &head[..end]
}

/// The fields of a checked head.
pub(crate) fn fields(head: &[u8]) -> Headers<'_> {
    let start = start_line(head).len() + 2;
    let block = head.get(start..head.len().saturating_sub(2));
    Headers::parse(block.unwrap_or_default()).unwrap_or_default()
}

/// A checked head without its hop-by-hop fields.
pub(crate) fn forwarded(head: &[u8]) -> Vec<u8> {
    forwarded_with(head, None, |_| false)
}

/// A checked head without its hop-by-hop fields and without the fields for which `is_left_out` is true, with a
/// `Content-Length` if `length` is given.
///
/// It is never longer than [`MAX_HTTP_HEAD`] and never has more than [`MAX_FIELDS`]. If it would exceed them, the space
/// after the colons and the `Content-Length` are left out. A chunked body does not need that field.
pub(crate) fn forwarded_with(
    head: &[u8],
    length: Option<u64>,
    is_left_out: impl Fn(&Field<'_>) -> bool,
) -> Vec<u8> {
    let headers = fields(head);
    let nominated = nominated(headers);
    let kept: Vec<_> = headers
        .iter()
        .filter(|field| !is_hop_by_hop(field.name(), &nominated) && !is_left_out(field))
        .map(|field| (field.name(), field.value()))
        .collect();
    let length = length.map(|length| length.to_string());
    let length = length.filter(|_| kept.len() < MAX_FIELDS);
    let length_field = length.map(|length| ("Content-Length", length.into_bytes().into()));
    let with_length: Vec<_> = kept.iter().cloned().chain(length_field).collect();
    let line = start_line(head);
    let fits = |out: &Vec<u8>| out.len() <= MAX_HTTP_HEAD;
    Some(written(line, &with_length, ": "))
        .filter(fits)
        .or_else(|| Some(written(line, &with_length, ":")).filter(fits))
        // No longer than the checked head.
        .unwrap_or_else(|| written(line, &kept, ":"))
}

fn written(line: &[u8], fields: &[(&str, Cow<'_, [u8]>)], colon: &str) -> Vec<u8> {
    let mut out = [line, b"\r\n"].concat();
    for (name, value) in fields {
        for part in [name.as_bytes(), colon.as_bytes(), value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The names of fields that are present and that `Connection` nominates, in lower case.
fn nominated(headers: Headers<'_>) -> HashSet<Vec<u8>> {
    let names = headers
        .iter()
        .map(|field| field.name().to_ascii_lowercase());
    let names: HashSet<Vec<u8>> = names
        .filter(|name| !is_end_to_end(name))
        .map(String::into_bytes)
        .collect();
    let mut nominated = HashSet::new();
    // There may be thousands of tokens. Each is looked up once, and kept only if it names a field.
    let mut token = Vec::new();
    for option in headers
        .get_all("Connection")
        .flat_map(|field| field.tokens())
    {
        token.clear();
        token.extend(option.iter().map(u8::to_ascii_lowercase));
        if names.contains(&token) {
            nominated.insert(token.clone());
        }
    }
    nominated
}

fn is_hop_by_hop(name: &str, nominated: &HashSet<Vec<u8>>) -> bool {
    let name = name.to_ascii_lowercase();
    let is_known = HOP_BY_HOP.iter().any(|hop| hop.eq_ignore_ascii_case(&name));
    is_known || name.starts_with("proxy-") || nominated.contains(name.as_bytes())
}

/// Whether a field is for every recipient, so that `Connection` must not nominate it (RFC 9110 §7.6.1). Otherwise the
/// sender of a file could hide its name and its type from the scanner.
pub(crate) fn is_end_to_end(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    END_TO_END.contains(&name.as_str()) || FAMILIES.iter().any(|start| name.starts_with(start))
}

/// Checks that `head` is a start line, fields and a blank line, and nothing after it.
fn check(head: &[u8], is_start_line: impl Fn(&[u8]) -> bool) -> Result<(), InputError> {
    let refused = |why: &str| InputError::new(InvalidInput::HttpHead, why);
    if head.len() > MAX_HTTP_HEAD {
        let why = format!("it is longer than {} KiB", MAX_HTTP_HEAD / 1024);
        return Err(refused(&why));
    }
    match HeadFinder::default().find(head) {
        Ok(Some(end)) if end == head.len() => {}
        Ok(Some(_)) => return Err(refused("bytes follow its blank line")),
        Ok(None) => return Err(refused("its blank line is missing")),
        Err(_) => return Err(refused("a line does not end in CRLF")),
    }
    let line = start_line(head);
    if !is_start_line(line) {
        return Err(refused("its start line does not belong to HTTP/1.x"));
    }
    let fields = head.get(line.len() + 2..head.len() - 2).unwrap_or_default();
    Headers::parse(fields).map_err(|bad| {
        refused(match bad.violation {
            Violation::LimitExceeded(_) => "it has more than 256 fields",
            _ => "one of its fields is malformed",
        })
    })?;
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
    use std::time::Instant;

    const GET: &[u8] = b"GET http://content.invalid/a HTTP/1.1\r\nHost: content.invalid\r\n\r\n";
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

    #[test]
    fn only_one_complete_head_is_accepted() {
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
    fn head_may_be_as_long_as_the_limit() {
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
    fn hop_by_hop_field_is_not_forwarded() {
        let head = b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nkeep-alive: 5\r\nX-Hop: 1\r\n\
            Proxy-Authenticate: Basic\r\nTE: trailers\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\
            Upgrade: h2c\r\nSet-Cookie: a=b\r\nX-Folded: one\r\n two\r\nServer: s\r\n\r\n";
        let out = forwarded_with(head, None, |field| field.is("Set-Cookie"));
        assert_eq!(
            String::from_utf8_lossy(&out),
            "HTTP/1.1 200 OK\r\nX-Folded: one two\r\nServer: s\r\n\r\n"
        );
        assert_eq!(forwarded(OK), OK);
    }

    #[test]
    fn connection_cannot_nominate_an_end_to_end_field() {
        let fields = "Content-Type: a\r\nCONTENT-DISPOSITION: b\r\nHost: c\r\nUser-Agent: d\r\n\
                      Content-Encoding: e\r\nX-Content-Type-Options: f\r\nX-Forwarded-For: g\r\n";
        for nominated in [
            "Content-Type, Content-Disposition, Host, User-Agent, Content-Encoding, \
             X-Content-Type-Options, X-Forwarded-For, close",
            "content-type,content-disposition,host,user-agent\r\nConnection: content-encoding",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\nConnection: {nominated}\r\n{fields}\r\n");
            let out = forwarded(head.as_bytes());
            let expected = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn connection_of_many_tokens_takes_linear_time() {
        let head = |fields: usize, tokens: usize| {
            let tokens = "x,".repeat(tokens);
            let fields = "X-Y: z\r\n".repeat(fields - 1);
            let head = format!("HTTP/1.1 200 OK\r\n{fields}Connection: {tokens}\r\n\r\n");
            head.into_bytes()
        };
        let time = |head: &[u8], times: u32| {
            let start = Instant::now();
            for _ in 0..times {
                assert!(forwarded(head).ends_with(b"X-Y: z\r\n\r\n"));
            }
            start.elapsed()
        };
        let [long, short] = [16, 1].map(|by| head(16 * by, 3_750 * by));
        check_response(&long).unwrap();
        // Sixteen times as many fields and tokens would be 256 times the work if each were compared with all others.
        // Both measurements take about as long, so a busy machine delays both.
        let is_linear = |_| time(&long, 1) < 5 * time(&short, 16);
        assert!((0..10).any(is_linear));
    }

    #[test]
    fn fields_may_be_as_many_as_the_limit() {
        for (count, why) in [
            (MAX_FIELDS - 1, None),
            (MAX_FIELDS, None),
            (MAX_FIELDS + 1, Some("it has more than 256 fields")),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A:b\r\n".repeat(count));
            match (check_response(head.as_bytes()), why) {
                (Ok(()), None) => {}
                (Err(error), Some(why)) => assert!(error.to_string().contains(why)),
                other => panic!("{count}: {other:?}"),
            }
        }
    }
}
