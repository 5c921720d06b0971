//! Requests (RFC 3507 §4.3.2): what is asked for, and its head as bytes.
//!
//! Whatever comes from a caller is checked where it enters: a name, a value or an encapsulated head
//! that could add a line to the request is refused, and so are the fields that frame the message.

use std::fmt;

use super::encapsulated::{BodyKind, Encapsulated};
use super::head::HeadFinder;
use super::header::{Headers, is_token_byte};
use super::limits::MAX_HTTP_HEAD;
use super::status;
use crate::error::{InputError, InvalidInput};

/// An ICAP method (RFC 3507 §4.3.2).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `OPTIONS` asks what a service offers (§4.10).
    Options,
    /// `RESPMOD` has a response looked at: a file on its way to a person (§4.9).
    Respmod,
    /// `REQMOD` has a request looked at: a file that someone sends (§4.8).
    Reqmod,
}

impl Method {
    /// The method as the request line has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Respmod => "RESPMOD",
            Self::Reqmod => "REQMOD",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Fields that say how the message is framed, routed or answered; only this crate writes them.
const RESERVED: &[&str] = &[
    "Allow",
    "Connection",
    "Content-Length",
    "Encapsulated",
    "Host",
    "Keep-Alive",
    "Preview",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

const USER_AGENT: &str = concat!("icap-client/", env!("CARGO_PKG_VERSION"));

/// An ICAP request without its body, checked part by part as it is put together.
///
/// ```
/// use icap_client::Request;
///
/// let request = Request::respmod()
///     .http_request(b"GET http://origin.example/report.pdf HTTP/1.1\r\nHost: origin.example\r\n\r\n")?
///     .http_response(b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n")?
///     .header("X-Client-IP", "192.0.2.7")?;
///
/// let refused = Request::respmod().header("X-Note", "one\r\nAllow: 204");
/// assert!(refused.is_err());
/// # Ok::<(), icap_client::Error>(())
/// ```
#[derive(Clone)]
pub struct Request {
    method: Method,
    allow_204: bool,
    headers: Vec<(String, Vec<u8>)>,
    http_request: Option<Vec<u8>>,
    http_response: Option<Vec<u8>>,
}

impl Request {
    /// An `OPTIONS` request, which asks what the service offers (RFC 3507 §4.10).
    #[must_use]
    pub fn options() -> Self {
        Self::new(Method::Options)
    }

    /// A `RESPMOD` request, which allows the service to answer 204 (RFC 3507 §4.6).
    #[must_use]
    pub fn respmod() -> Self {
        Self::new(Method::Respmod)
    }

    fn new(method: Method) -> Self {
        Self {
            method,
            allow_204: method != Method::Options,
            headers: Vec::new(),
            http_request: None,
            http_response: None,
        }
    }

    /// Whether the service may answer `204 No Content` instead of sending everything back.
    #[must_use]
    pub fn allow_204(mut self, allow: bool) -> Self {
        self.allow_204 = allow;
        self
    }

    /// Adds a field to the ICAP head. A `User-Agent` takes the place of this crate's own.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) if the name is no token, is one of those that frame the
    /// message (`Encapsulated`, `Allow`, `Host`, …), or if the value holds a control character or
    /// begins or ends in white space.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, crate::Error> {
        check_header(name, value.as_ref())?;
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        Ok(self)
    }

    /// Adds fields that were checked before.
    pub(crate) fn add_headers(mut self, headers: &[(String, Vec<u8>)]) -> Self {
        self.headers.extend_from_slice(headers);
        self
    }

    /// The head of the HTTP request the content belongs to, with its blank line.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) unless it is one complete HTTP/1.x request head of at
    /// most 128 KiB.
    pub fn http_request(mut self, head: &[u8]) -> Result<Self, crate::Error> {
        check_http_request(head)?;
        self.http_request = Some(head.to_vec());
        Ok(self)
    }

    /// The head of the HTTP response the content belongs to, with its blank line.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) unless it is one complete HTTP/1.x response head of at
    /// most 128 KiB.
    pub fn http_response(mut self, head: &[u8]) -> Result<Self, crate::Error> {
        check_http_head(head, |line| status::parse_http(line).is_some())?;
        self.http_response = Some(head.to_vec());
        Ok(self)
    }

    /// Whether a 204 is a possible answer.
    pub(crate) fn allows_204(&self) -> bool {
        self.allow_204
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The ICAP head and the encapsulated heads, ready to be sent.
    pub(crate) fn encode(
        &self,
        uri: &str,
        host: &str,
        has_body: bool,
    ) -> Result<Vec<u8>, InputError> {
        for part in [uri, host] {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(InputError::new(InvalidInput::Uri, part));
            }
        }
        let user_agent = self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("User-Agent"));
        let mut out = format!("{} {uri} ICAP/1.0\r\nHost: {host}\r\n", self.method).into_bytes();
        if !user_agent {
            out.extend_from_slice(format!("User-Agent: {USER_AGENT}\r\n").as_bytes());
        }
        if self.allow_204 {
            out.extend_from_slice(b"Allow: 204\r\n");
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        let list = self.encapsulated(has_body);
        out.extend_from_slice(format!("Encapsulated: {list}\r\n\r\n").as_bytes());
        for head in [&self.http_request, &self.http_response]
            .into_iter()
            .flatten()
        {
            out.extend_from_slice(head);
        }
        Ok(out)
    }

    fn encapsulated(&self, has_body: bool) -> Encapsulated {
        Encapsulated {
            request_head: self.http_request.as_ref().map(Vec::len),
            response_head: self.http_response.as_ref().map(Vec::len),
            body: match self.method {
                _ if !has_body => BodyKind::Null,
                Method::Options => BodyKind::Options,
                Method::Respmod => BodyKind::Response,
                Method::Reqmod => BodyKind::Request,
            },
        }
    }
}

/// Names only: a value may be a credential.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .headers
            .iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("allow_204", &self.allow_204)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// Checks a field of the ICAP head that a caller wants to add.
pub(crate) fn check_header(name: &str, value: &[u8]) -> Result<(), InputError> {
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(InputError::new(InvalidInput::HeaderName, name));
    }
    if RESERVED
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(name))
    {
        return Err(InputError::new(InvalidInput::ReservedHeader, name));
    }
    let is_text = value
        .iter()
        .all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f));
    let space_around = [value.first(), value.last()]
        .into_iter()
        .any(|end| matches!(end, Some(b' ' | b'\t')));
    if !is_text || space_around {
        // The name and not the value, which may be a credential.
        return Err(InputError::new(InvalidInput::HeaderValue, name));
    }
    Ok(())
}

/// One complete HTTP/1.x request head.
pub(crate) fn check_http_request(head: &[u8]) -> Result<(), InputError> {
    check_http_head(head, is_request_line)
}

/// One complete head: a start line, fields, a blank line and nothing behind it.
fn check_http_head(head: &[u8], is_start_line: impl Fn(&[u8]) -> bool) -> Result<(), InputError> {
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
    let line_end = memchr::memchr(b'\n', head).map_or(0, |lf| lf.saturating_sub(1));
    if !is_start_line(&head[..line_end]) {
        return Err(refused("its start line is not one of HTTP/1.x"));
    }
    let fields = head.get(line_end + 2..head.len() - 2).unwrap_or_default();
    Headers::parse(fields).map_err(|_| refused("one of its fields is malformed"))?;
    Ok(())
}

/// `GET /path HTTP/1.1`
fn is_request_line(line: &[u8]) -> bool {
    let mut parts = line.split(|&b| b == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let is_token = |m: &[u8]| !m.is_empty() && m.iter().copied().all(is_token_byte);
    method.is_some_and(is_token)
        && target.is_some_and(|t| !t.is_empty() && t.iter().all(|b| *b > b' ' && *b != 0x7f))
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

    fn encoded(request: &Request, has_body: bool) -> String {
        let bytes = request.encode("icap://av.example/scan", "av.example", has_body);
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn a_respmod_head_counts_its_offsets_in_bytes() {
        let request = Request::respmod().http_request(GET).unwrap();
        let request = request.http_response(OK).unwrap();
        let request = request.header("X-Client-IP", "192.0.2.7").unwrap();
        let expected = format!(
            "RESPMOD icap://av.example/scan ICAP/1.0\r\n\
             Host: av.example\r\n\
             User-Agent: {USER_AGENT}\r\n\
             Allow: 204\r\n\
             X-Client-IP: 192.0.2.7\r\n\
             Encapsulated: req-hdr=0, res-hdr={}, res-body={}\r\n\
             \r\n{}{}",
            GET.len(),
            GET.len() + OK.len(),
            str::from_utf8(GET).unwrap(),
            str::from_utf8(OK).unwrap(),
        );
        assert_eq!(encoded(&request, true), expected);
    }

    #[test]
    fn an_options_head_has_no_body_and_allows_nothing() {
        let request = Request::options().header("user-agent", "mine").unwrap();
        assert_eq!(
            encoded(&request, false),
            "OPTIONS icap://av.example/scan ICAP/1.0\r\nHost: av.example\r\n\
             user-agent: mine\r\nEncapsulated: null-body=0\r\n\r\n"
        );
    }

    #[test]
    fn a_field_that_could_add_a_line_or_change_the_framing_is_refused() {
        for (name, value, why) in [
            ("", "x", InvalidInput::HeaderName),
            ("A:b", "x", InvalidInput::HeaderName),
            ("A b", "x", InvalidInput::HeaderName),
            ("A\r\nB", "x", InvalidInput::HeaderName),
            ("Gr\u{fc}n", "x", InvalidInput::HeaderName),
            ("X-A", "a\r\nAllow: 204", InvalidInput::HeaderValue),
            ("X-A", "a\nb", InvalidInput::HeaderValue),
            ("X-A", "a\0b", InvalidInput::HeaderValue),
            ("X-A", " a", InvalidInput::HeaderValue),
            ("X-A", "a\t", InvalidInput::HeaderValue),
            ("encapsulated", "null-body=0", InvalidInput::ReservedHeader),
            ("PREVIEW", "0", InvalidInput::ReservedHeader),
            ("Allow", "204", InvalidInput::ReservedHeader),
            ("Host", "x", InvalidInput::ReservedHeader),
            ("Connection", "close", InvalidInput::ReservedHeader),
            ("Transfer-Encoding", "chunked", InvalidInput::ReservedHeader),
            ("Upgrade", "TLS/1.3", InvalidInput::ReservedHeader),
        ] {
            let error = check_header(name, value.as_bytes()).expect_err(name);
            assert_eq!(error.kind(), why, "{name:?}: {value:?}");
        }
        assert!(check_header("X-User", "J\u{fc}rgen, \tm\u{fc}de".as_bytes()).is_ok());
        assert!(check_header("X-Empty", b"").is_ok());
    }

    #[test]
    fn no_byte_but_text_gets_into_a_value() {
        for byte in 0..=255u8 {
            let accepted = check_header("X", &[b'a', byte, b'b']).is_ok();
            assert_eq!(
                accepted,
                byte == b'\t' || (byte >= 32 && byte != 127),
                "{byte}"
            );
        }
    }

    #[test]
    fn a_uri_or_host_that_could_split_the_request_line_is_refused() {
        for bad in ["", "a b", "a\r\nb", "a\tb", "a\0", "\u{e9}"] {
            assert!(
                Request::options().encode(bad, "h", false).is_err(),
                "{bad:?}"
            );
            assert!(
                Request::options().encode("u", bad, false).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn only_one_complete_http_head_is_encapsulated() {
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
            assert!(Request::respmod().http_response(bad).is_err(), "{shown:?}");
        }
        for bad in [
            OK,
            b"GET /\r\n\r\n",
            b"GET / x HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\rXHost: evil\r\n\r\n",
            b"GET / HTTP/2\r\n\r\n",
        ] {
            let shown = String::from_utf8_lossy(bad);
            assert!(Request::respmod().http_request(bad).is_err(), "{shown:?}");
        }
        assert!(
            Request::respmod()
                .http_response(b"HTTP/1.0 200\r\n\r\n")
                .is_ok()
        );
    }

    #[test]
    fn an_http_head_may_be_as_long_as_the_limit() {
        for (len, accepted) in [
            (MAX_HTTP_HEAD - 1, true),
            (MAX_HTTP_HEAD, true),
            (MAX_HTTP_HEAD + 1, false),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(len - 24));
            assert_eq!(head.len(), len);
            let checked = Request::respmod().http_response(head.as_bytes());
            assert_eq!(checked.is_ok(), accepted, "{len}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let request = Request::respmod().header("X-Secret", "hunter2").unwrap();
        let shown = format!("{request:?}");
        assert!(
            shown.contains("X-Secret") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
