//! Requests (RFC 3507 §4.3.2), and their heads as bytes.
//!
//! A caller's input is checked where it comes in. A name, a value or an encapsulated head that could add a line to
//! the request is refused, and so are the fields that frame the message.

use std::fmt;

use super::encapsulated::{BodyKind, Encapsulated};
use super::header::{encode_field, is_token_byte};
use super::http_head;
use super::input_error::{InputError, InvalidInput};
use super::method::Method;
use super::number::encode_decimal;

/// Fields that only this crate sets: they frame or route the message, allow responses, or have credentials.
const RESERVED: &[&str] = &[
    "Allow",
    "Connection",
    "Content-Length",
    "Encapsulated",
    "Host",
    "Keep-Alive",
    "Preview",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// The field that a request has unless the caller sets another one.
const USER_AGENT: &str = concat!(
    "User-Agent: icap-client/",
    env!("CARGO_PKG_VERSION"),
    "\r\n"
);

/// An ICAP request without its body (RFC 3507 §4.3.2). Each part is checked when it is set.
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
    allow_206: bool,
    allow_trailers: bool,
    preview: Option<usize>,
    headers: Vec<(String, Vec<u8>)>,
    http_request: Option<Vec<u8>>,
    http_response: Option<Vec<u8>>,
}

impl Request {
    /// An `OPTIONS` request: asks what the service offers (RFC 3507 §4.10).
    #[must_use]
    pub fn options() -> Self {
        Self::new(Method::Options)
    }

    /// A `RESPMOD` request that allows 204 (RFC 3507 §4.9, §4.6).
    #[must_use]
    pub fn respmod() -> Self {
        Self::new(Method::Respmod)
    }

    /// A `REQMOD` request that allows 204 (RFC 3507 §4.8, §4.6).
    #[must_use]
    pub fn reqmod() -> Self {
        Self::new(Method::Reqmod)
    }

    pub(crate) fn new(method: Method) -> Self {
        Self {
            method,
            allow_204: method != Method::Options,
            allow_206: false,
            allow_trailers: false,
            preview: None,
            headers: Vec::new(),
            http_request: None,
            http_response: None,
        }
    }

    /// Whether the service may respond with `204 No Content` in place of sending everything back (RFC 3507 §4.6).
    /// Default: true for `RESPMOD` and `REQMOD`. With `false` a 204 is an error, except to a preview.
    #[must_use]
    pub fn allow_204(mut self, allow: bool) -> Self {
        self.allow_204 = allow;
        self
    }

    /// Whether the service may respond with `206 Partial Content`, which refers to the rest of the original in place
    /// of sending it back (draft-icap-ext-partial-content). Default: false.
    #[must_use]
    pub fn allow_206(mut self, allow: bool) -> Self {
        self.allow_206 = allow;
        self
    }

    /// Whether the request allows trailers: fields after the body of the response (draft-rousskov-icap-trailers).
    /// Default: false. Trailers that come all the same are read.
    #[must_use]
    pub fn allow_trailers(mut self, allow: bool) -> Self {
        self.allow_trailers = allow;
        self
    }

    /// Sends the first `size` bytes of the body as a preview (RFC 3507 §4.5), and the rest only if the service asks for
    /// it. Default: `None`, no preview.
    ///
    /// A service may respond to a preview with 204, also if 204 is not allowed. That 204 is about the preview only:
    /// see [`responds_to_preview_only`](crate::Response::responds_to_preview_only). Do not exceed what the service
    /// offers in [`preview`](crate::ServiceOptions::preview).
    #[must_use]
    pub fn preview(mut self, size: impl Into<Option<usize>>) -> Self {
        self.preview = size.into();
        self
    }

    /// Adds a field to the ICAP head. A `User-Agent` replaces the default, `icap-client/` and the version.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the name is no token, or if this crate sets the field itself (`Encapsulated`, `Allow`, `Host`, …).
    /// [`InputError`] if the value has a control character, or if it begins or ends with white space.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InputError> {
        check_header(name, value.as_ref())?;
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        Ok(self)
    }

    /// Sets the head of the HTTP request that this crate has made, and so need not check.
    pub(crate) fn made_up_request(mut self, head: Vec<u8>) -> Self {
        self.http_request = Some(head);
        self
    }

    /// Sets the head of the HTTP response that this crate has made, and so need not check.
    pub(crate) fn made_up_response(mut self, head: Vec<u8>) -> Self {
        self.http_response = Some(head);
        self
    }

    /// Adds checked fields.
    pub(crate) fn add_headers(mut self, headers: &[(String, Vec<u8>)]) -> Self {
        self.headers.extend_from_slice(headers);
        self
    }

    /// Sets the head of the HTTP request that the content belongs to, with its blank line. Its hop-by-hop fields are
    /// not sent (RFC 3507 §4.4.2).
    ///
    /// # Errors
    ///
    /// [`InputError`] unless `head` is one complete HTTP/1.x request head of at most
    /// [`MAX_HTTP_HEAD`](crate::limits::MAX_HTTP_HEAD) bytes and [`MAX_FIELDS`](crate::limits::MAX_FIELDS) fields; or if
    /// this is an `OPTIONS` request, which encapsulates none.
    pub fn http_request(mut self, head: &[u8]) -> Result<Self, InputError> {
        http_head::check_request(head)?;
        self.refuse_unless(self.method != Method::Options)?;
        self.http_request = Some(http_head::forwarded(head));
        Ok(self)
    }

    /// Sets the head of the HTTP response that the content belongs to, with its blank line. Its hop-by-hop fields are
    /// not sent (RFC 3507 §4.4.2).
    ///
    /// # Errors
    ///
    /// [`InputError`] unless `head` is one complete HTTP/1.x response head of at most
    /// [`MAX_HTTP_HEAD`](crate::limits::MAX_HTTP_HEAD) bytes and [`MAX_FIELDS`](crate::limits::MAX_FIELDS) fields; or if
    /// this is no `RESPMOD` request, because only that encapsulates one.
    pub fn http_response(mut self, head: &[u8]) -> Result<Self, InputError> {
        http_head::check_response(head)?;
        self.refuse_unless(self.method == Method::Respmod)?;
        self.http_response = Some(http_head::forwarded(head));
        Ok(self)
    }

    /// Which method encapsulates which head: RFC 3507 §4.4.1.
    fn refuse_unless(&self, encapsulates_it: bool) -> Result<(), InputError> {
        let why = "the ICAP method does not encapsulate it";
        if encapsulates_it {
            Ok(())
        } else {
            Err(InputError::new(InvalidInput::HttpHead, why))
        }
    }

    /// Whether the request allows 204.
    pub(crate) fn allows_204(&self) -> bool {
        self.allow_204
    }

    /// Whether the request allows 206.
    pub(crate) fn allows_206(&self) -> bool {
        self.allow_206
    }

    /// Bytes of the preview; `None` without one.
    pub(crate) fn preview_size(&self) -> Option<usize> {
        self.preview
    }

    /// The head of the encapsulated HTTP response.
    pub(crate) fn http_response_head(&self) -> Option<&[u8]> {
        self.http_response.as_deref()
    }

    /// The head of the encapsulated HTTP request.
    pub(crate) fn http_request_head(&self) -> Option<&[u8]> {
        self.http_request.as_deref()
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The ICAP head and the encapsulated heads, ready to be sent.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn encode(
        &self,
        uri: &str,
        host: &str,
        has_body: bool,
    ) -> Result<Vec<u8>, InputError> {
        let mut out = Vec::new();
        self.encode_to(&mut out, (uri, host), has_body, &[])?;
        Ok(out)
    }

    /// Appends the ICAP head, with `more` checked fields, and the encapsulated heads, ready to be sent to a service with
    /// this URI and host.
    pub(crate) fn encode_to(
        &self,
        out: &mut Vec<u8>,
        (uri, host): (&str, &str),
        has_body: bool,
        more: &[&[(String, Vec<u8>)]],
    ) -> Result<(), InputError> {
        for part in [uri, host] {
            // Without a branch for each byte, many are checked at once.
            let is_graphic = part.bytes().fold(true, |all, b| all & b.is_ascii_graphic());
            if part.is_empty() || !is_graphic {
                return Err(InputError::new(InvalidInput::Uri, part));
            }
        }
        let headers = || self.headers.iter().chain(more.iter().copied().flatten());
        let is_agent = |(name, _): &(String, Vec<u8>)| name.eq_ignore_ascii_case("User-Agent");
        let method = self.method.as_str();
        for part in [method, " ", uri, " ICAP/1.0\r\nHost: ", host, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        if !headers().any(is_agent) {
            out.extend_from_slice(USER_AGENT.as_bytes());
        }
        self.encode_allow(out);
        if let Some(size) = self.preview.filter(|_| has_body) {
            out.extend_from_slice(b"Preview: ");
            encode_decimal(out, size as u64);
            out.extend_from_slice(b"\r\n");
        }
        for (name, value) in headers() {
            encode_field(out, name, value);
        }
        out.extend_from_slice(b"Encapsulated: ");
        self.encapsulated(has_body).encode(out);
        out.extend_from_slice(b"\r\n\r\n");
        let heads = [&self.http_request, &self.http_response];
        for head in heads.into_iter().flatten() {
            out.extend_from_slice(head);
        }
        Ok(())
    }

    /// Appends `Allow`, if anything is allowed.
    fn encode_allow(&self, out: &mut Vec<u8>) {
        let allowed = [
            (self.allow_204, "204"),
            (self.allow_206, "206"),
            (self.allow_trailers, "trailers"),
        ];
        let mut before = "Allow: ";
        for (_, token) in allowed.iter().filter(|(is_allowed, _)| *is_allowed) {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(token.as_bytes());
            before = ", ";
        }
        if before == ", " {
            out.extend_from_slice(b"\r\n");
        }
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

/// Shows the names of the fields, and no value: it may be a credential.
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

/// Checks a caller's field for the ICAP head.
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
        // The error has the name and not the value, which may be a credential.
        return Err(InputError::new(InvalidInput::HeaderValue, name));
    }
    Ok(())
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
    fn respmod_head_has_offsets_in_bytes() {
        let request = Request::respmod().http_request(GET).unwrap();
        let request = request.http_response(OK).unwrap();
        let request = request.header("X-Client-IP", "192.0.2.7").unwrap();
        let expected = format!(
            "RESPMOD icap://av.example/scan ICAP/1.0\r\n\
             Host: av.example\r\n\
             {USER_AGENT}\
             Allow: 204\r\n\
             X-Client-IP: 192.0.2.7\r\n\
             Encapsulated: req-hdr=0, res-hdr={}, res-body={}\r\n\
             \r\n{}{}",
            GET.len(),
            GET.len() + OK.len(),
            std::str::from_utf8(GET).unwrap(),
            std::str::from_utf8(OK).unwrap(),
        );
        assert_eq!(encoded(&request, true), expected);
    }

    #[test]
    fn options_head_has_no_body_and_allows_nothing() {
        let request = Request::options().header("user-agent", "mine").unwrap();
        assert_eq!(
            encoded(&request, false),
            "OPTIONS icap://av.example/scan ICAP/1.0\r\nHost: av.example\r\n\
             user-agent: mine\r\nEncapsulated: null-body=0\r\n\r\n"
        );
    }

    #[test]
    fn field_that_changes_the_framing_is_refused() {
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
    fn only_text_is_accepted_in_a_value() {
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
    fn uri_that_could_split_the_request_line_is_refused() {
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
    fn method_encapsulates_only_its_own_heads() {
        assert!(Request::reqmod().http_response(OK).is_err());
        assert!(Request::options().http_request(GET).is_err());
        assert!(Request::respmod().http_response(GET).is_err());
        let head = b"POST /up HTTP/1.1\r\nConnection: close\r\nHost: h\r\n\r\n";
        let request = Request::reqmod().http_request(head).unwrap();
        let kept = "POST /up HTTP/1.1\r\nHost: h\r\n\r\n";
        let expected = format!(
            "REQMOD icap://av.example/scan ICAP/1.0\r\nHost: av.example\r\n\
             {USER_AGENT}Allow: 204\r\n\
             Encapsulated: req-hdr=0, req-body={len}\r\n\r\n{kept}",
            len = kept.len()
        );
        assert_eq!(encoded(&request, true), expected);
        assert!(encoded(&request, false).contains("req-hdr=0, null-body="));
    }

    #[test]
    fn allowed_statuses_stand_in_one_field() {
        let request = Request::respmod().preview(1024);
        assert!(encoded(&request, true).contains("\r\nAllow: 204\r\nPreview: 1024\r\n"));
        assert!(!encoded(&request, false).contains("Preview"));
        let request = request.allow_206(true).allow_trailers(true).preview(None);
        let shown = encoded(&request, true);
        assert!(shown.contains("\r\nAllow: 204, 206, trailers\r\n") && !shown.contains("Preview"));
        let request = Request::reqmod().allow_204(false);
        assert!(!encoded(&request, true).contains("Allow"));
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
