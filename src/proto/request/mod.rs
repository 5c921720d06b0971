//! Requests (RFC 3507 §4.3.2), and their heads as bytes.
//!
//! A caller's input is checked where it comes in. A name, a value or an encapsulated head that could add a line to
//! the request is refused, and so are the fields that frame the message.

use std::fmt;

use crate::proto::encapsulated::{BodyKind, Encapsulated};
use crate::proto::header::{append, encode_field, is_token_byte};
use crate::proto::http_head;
use crate::proto::input_error::{InputError, InvalidInput};
use crate::proto::method::Method;
use crate::proto::number::encode_decimal;

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
    terms: Terms,
    headers: Vec<(String, Vec<u8>)>,
    /// The head of the HTTP request, if there is one, and then that of the HTTP response. No head is empty.
    http_heads: Vec<u8>,
    /// Bytes of the head of the HTTP request; 0 without one.
    http_request: usize,
}

/// How the service may respond.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) allow_204: bool,
    pub(crate) allow_206: bool,
    pub(crate) allow_trailers: bool,
    /// Bytes of the preview; `None` without one.
    pub(crate) preview: Option<usize>,
}

/// A service, as each request to it names it: the rest of the request line, and the `Host` field.
pub(crate) struct Recipient(Box<[u8]>);

impl Recipient {
    /// Refuses a URI or a host that could split the request line or add a field.
    pub(crate) fn new(uri: &str, host: &str) -> Result<Self, InputError> {
        for part in [uri, host] {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(InputError::new(InvalidInput::Uri, part));
            }
        }
        let text = format!(" {uri} ICAP/1.0\r\nHost: {host}\r\n");
        Ok(Self(text.into_bytes().into()))
    }
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
            terms: Terms {
                allow_204: method != Method::Options,
                allow_206: false,
                allow_trailers: false,
                preview: None,
            },
            headers: Vec::new(),
            http_heads: Vec::new(),
            http_request: 0,
        }
    }

    /// Whether the service may respond with `204 No Content` in place of sending everything back (RFC 3507 §4.6).
    /// Default: true for `RESPMOD` and `REQMOD`. With `false` a 204 is an error, except to a preview.
    #[must_use]
    pub fn allow_204(mut self, allow: bool) -> Self {
        self.terms.allow_204 = allow;
        self
    }

    /// Whether the service may respond with `206 Partial Content`, which refers to the rest of the original in place
    /// of sending it back (draft-icap-ext-partial-content). Default: false.
    #[must_use]
    pub fn allow_206(mut self, allow: bool) -> Self {
        self.terms.allow_206 = allow;
        self
    }

    /// Whether the request allows trailers: fields after the body of the response (draft-rousskov-icap-trailers).
    /// Default: false. Trailers that come all the same are read.
    #[must_use]
    pub fn allow_trailers(mut self, allow: bool) -> Self {
        self.terms.allow_trailers = allow;
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
        self.terms.preview = size.into();
        self
    }

    /// Adds a field to the ICAP head. A `User-Agent` replaces the default, `icap-client/` and the version.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the name is no token, or if this crate sets the field itself (`Encapsulated`, `Allow`, `Host`, …).
    /// [`InputError`] if the value has a control character, or if it begins or ends with white space.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InputError> {
        self.add_header(name, value.as_ref())?;
        Ok(self)
    }

    /// The same, without moving the request.
    pub(crate) fn add_header(&mut self, name: &str, value: &[u8]) -> Result<(), InputError> {
        check_header(name, value)?;
        self.headers.push((name.to_owned(), value.to_vec()));
        Ok(())
    }

    /// Adds checked fields.
    pub(crate) fn add_headers<'h>(&mut self, headers: impl Iterator<Item = &'h (String, Vec<u8>)>) {
        self.headers.extend(headers.cloned());
    }

    /// Sets how the service may respond.
    pub(crate) fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// Sets the head of the HTTP request that this crate has made, and so need not check. A head of an HTTP response that
    /// was set before is dropped.
    pub(crate) fn set_made_up_request(&mut self, head: Vec<u8>) {
        self.http_request = head.len();
        self.http_heads = head;
    }

    /// The heads so far. The caller appends the head of an HTTP response that this crate has made. There is none yet.
    pub(crate) fn heads_before_response(&mut self) -> &mut Vec<u8> {
        &mut self.http_heads
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
        self.set_http_request(head)?;
        Ok(self)
    }

    /// The same, without moving the request.
    pub(crate) fn set_http_request(&mut self, head: &[u8]) -> Result<(), InputError> {
        http_head::check_request(head)?;
        self.refuse_unless(self.method != Method::Options)?;
        let head = http_head::forwarded(head);
        let before = 0..self.http_request;
        self.http_request = head.len();
        self.http_heads.splice(before, head);
        Ok(())
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
        self.set_http_response(head)?;
        Ok(self)
    }

    /// The same, without moving the request.
    pub(crate) fn set_http_response(&mut self, head: &[u8]) -> Result<(), InputError> {
        http_head::check_response(head)?;
        self.refuse_unless(self.method == Method::Respmod)?;
        self.http_heads.truncate(self.http_request);
        self.http_heads.extend(http_head::forwarded(head));
        Ok(())
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
        self.terms.allow_204
    }

    /// Whether the request allows 206.
    pub(crate) fn allows_206(&self) -> bool {
        self.terms.allow_206
    }

    /// Bytes of the preview; `None` without one.
    pub(crate) fn preview_size(&self) -> Option<usize> {
        self.terms.preview
    }

    /// The head of the encapsulated HTTP response.
    pub(crate) fn http_response_head(&self) -> Option<&[u8]> {
        Some(&self.http_heads[self.http_request..]).filter(|head| !head.is_empty())
    }

    /// The head of the encapsulated HTTP request.
    pub(crate) fn http_request_head(&self) -> Option<&[u8]> {
        Some(&self.http_heads[..self.http_request]).filter(|head| !head.is_empty())
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
        self.encode_to(&mut out, &Recipient::new(uri, host)?, has_body, &[]);
        Ok(out)
    }

    /// Appends the ICAP head, with `more` checked fields, and the encapsulated heads, ready to be sent.
    pub(crate) fn encode_to(
        &self,
        out: &mut Vec<u8>,
        recipient: &Recipient,
        has_body: bool,
        more: &[&[(String, Vec<u8>)]],
    ) {
        append(out, &[self.method.as_str().as_bytes(), &recipient.0]);
        if !names_agent(&self.headers) && !more.iter().any(|fields| names_agent(fields)) {
            append(out, &[USER_AGENT.as_bytes()]);
        }
        self.encode_allow(out);
        if let Some(size) = self.terms.preview.filter(|_| has_body) {
            append(out, &[b"Preview: "]);
            encode_decimal(out, size as u64);
            append(out, &[b"\r\n"]);
        }
        encode_fields(out, &self.headers);
        for fields in more {
            encode_fields(out, fields);
        }
        append(out, &[b"Encapsulated: "]);
        self.encapsulated(has_body).encode(out);
        append(out, &[b"\r\n\r\n", &self.http_heads]);
    }

    /// Appends `Allow`, if anything is allowed.
    fn encode_allow(&self, out: &mut Vec<u8>) {
        let allowed: [(bool, &[u8]); 3] = [
            (self.terms.allow_204, b"204"),
            (self.terms.allow_206, b"206"),
            (self.terms.allow_trailers, b"trailers"),
        ];
        let mut before: &[u8] = b"Allow: ";
        let mut end: &[u8] = b"";
        for (_, token) in allowed.into_iter().filter(|(is_allowed, _)| *is_allowed) {
            append(out, &[before, token]);
            (before, end) = (b", ", b"\r\n");
        }
        append(out, &[end]);
    }

    fn encapsulated(&self, has_body: bool) -> Encapsulated {
        Encapsulated {
            request_head: self.http_request_head().map(<[u8]>::len),
            response_head: self.http_response_head().map(<[u8]>::len),
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
            .field("allow_204", &self.terms.allow_204)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

fn names_agent(fields: &[(String, Vec<u8>)]) -> bool {
    let mut names = fields.iter().map(|(name, _)| name);
    names.any(|name| name.eq_ignore_ascii_case("User-Agent"))
}

fn encode_fields(out: &mut Vec<u8>, fields: &[(String, Vec<u8>)]) {
    for (name, value) in fields {
        encode_field(out, name, value);
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
mod tests;
