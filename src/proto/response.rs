//! A response that was read (RFC 3507 §4.3.3).

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::header::{BadField, Field, Headers, check_each_field};
use super::http_head;
use super::istag::{self, StateTag};
use super::method::Method;
use super::status_line::StatusLine;
use super::text::{displayable, displayed};
use super::violation::Violation;

/// A complete response of an ICAP service (RFC 3507 §4.3.3), without its body.
///
/// [`Client::send`](crate::Client::send) returns it, and has written the body to its output. Text that is called
/// safe to show is plain text without control or invisible characters, and has at most
/// [`MAX_DISPLAY`](crate::limits::MAX_DISPLAY) characters. It is not escaped for HTML.
#[derive(Clone)]
pub struct Response {
    pub(super) head: StatusHead,
    pub(super) http_request: Option<Box<[u8]>>,
    pub(super) http_response: Option<StatusHead>,
    pub(super) trailers: Box<[u8]>,
    pub(super) body_len: Option<u64>,
    pub(super) use_original_body: Option<u64>,
    pub(super) responds_to_preview_only: bool,
    /// The interim responses that came before it.
    pub(super) interim: Vec<StatusHead>,
    /// The method of the request.
    pub(super) method: Method,
    /// An HTTP response's body follows the ICAP head, without an HTTP head.
    pub(super) has_bare_body: bool,
    pub(super) notes: Notes,
}

/// What the fields of the final ICAP head say, each field read once.
#[derive(Clone, Default)]
pub(super) struct Notes {
    /// The first state tag, if it is legible.
    tag: Option<StateTag>,
    /// Whether a state tag says that the server has no engine; `None` without a tag.
    lacks_engine: Option<bool>,
    has_several_tags: bool,
    pub(super) asks_to_close: bool,
    pub(super) has_content_length: bool,
    /// The name of any field begins with `X-`.
    pub(super) has_x_field: bool,
}

impl Notes {
    /// Reads a state tag in a field of `head`.
    pub(super) fn read_tag(&mut self, field: Field<'_>, head: &[u8]) {
        let value = field.value();
        let lacks_engine = istag::names_no_engine(&value);
        match &mut self.lacks_engine {
            None => {
                self.lacks_engine = Some(lacks_engine);
                self.tag = StateTag::of(value, head);
            }
            Some(known) => {
                *known |= lacks_engine;
                self.has_several_tags = true;
            }
        }
    }
}

impl Response {
    /// The ICAP status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.code
    }

    /// The reason phrase, safe to show. It decides nothing.
    #[must_use]
    pub fn reason(&self) -> String {
        self.head.reason()
    }

    /// The fields of the ICAP head.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.head.headers()
    }

    /// The bytes of the ICAP head as they came, with its blank line.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head.bytes
    }

    /// The ICAP head with its status, to be kept without the rest.
    pub(crate) fn status_head(&self) -> &StatusHead {
        &self.head
    }

    /// The service's state tag (RFC 3507 §4.7), without its quotation marks. By the RFC it changes when the service may respond
    /// differently. Most servers change it with new signatures. c-icap does not when clamd reloads them.
    ///
    /// `None` if it is missing, has only one quotation mark, or is longer than
    /// [`MAX_DISPLAY`](crate::limits::MAX_DISPLAY) bytes.
    #[must_use]
    pub fn istag(&self) -> Option<String> {
        self.istag_text().map(Cow::into_owned)
    }

    /// The same, borrowed if nothing of it is escaped.
    pub(crate) fn istag_text(&self) -> Option<Cow<'_, str>> {
        self.first_tag().map(displayed)
    }

    /// The bytes of the state tag, without its quotation marks, by which two tags are compared. `None` as for
    /// [`istag`](Self::istag), and if there are several.
    pub(crate) fn state_tag(&self) -> Option<&[u8]> {
        self.first_tag().filter(|_| !self.notes.has_several_tags)
    }

    /// The bytes of the first state tag, without its quotation marks. `None` as for [`istag`](Self::istag).
    pub(crate) fn first_tag(&self) -> Option<&[u8]> {
        let tag = self.notes.tag.as_ref();
        tag.map(|tag| tag.bytes(&self.head.bytes))
    }

    /// Whether a state tag of this response, or of an interim one before it, says that the server has no engine;
    /// `None` without a tag.
    pub(crate) fn lacks_engine(&self) -> Option<bool> {
        if self.interim.is_empty() {
            return self.notes.lacks_engine;
        }
        let interim = self.interim_headers().flat_map(|headers| headers.iter());
        let both = [istag::lacks_engine(interim), self.notes.lacks_engine];
        both.into_iter().flatten().reduce(|one, other| one || other)
    }

    /// The status code of the encapsulated HTTP response; `None` without one.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        self.http_response.as_ref().map(|head| head.code)
    }

    /// The reason phrase of the encapsulated HTTP response, safe to show; empty without one.
    #[must_use]
    pub fn http_reason(&self) -> String {
        self.http_response
            .as_ref()
            .map(StatusHead::reason)
            .unwrap_or_default()
    }

    /// The ICAP status line.
    pub(crate) fn line(&self) -> StatusLine<'_> {
        self.head.line()
    }

    /// The status line of the encapsulated HTTP response; `None` without one.
    pub(crate) fn http_line(&self) -> Option<StatusLine<'_>> {
        self.http_response.as_ref().map(StatusHead::line)
    }

    /// The fields of the encapsulated HTTP response; `None` without one.
    #[must_use]
    pub fn http_headers(&self) -> Option<Headers<'_>> {
        self.http_response.as_ref().map(StatusHead::headers)
    }

    /// The bytes of the encapsulated HTTP response's head as they came, with its blank line; `None` without one.
    #[must_use]
    pub fn http_response(&self) -> Option<&[u8]> {
        self.http_response.as_ref().map(|head| &*head.bytes)
    }

    /// The fields of the encapsulated HTTP request; `None` without one.
    #[must_use]
    pub fn http_request_headers(&self) -> Option<Headers<'_>> {
        self.http_request().map(http_head::fields)
    }

    /// The bytes of the encapsulated HTTP request's head as they came, with its blank line; `None` without one.
    #[must_use]
    pub fn http_request(&self) -> Option<&[u8]> {
        self.http_request.as_deref()
    }

    /// The fields after the body (RFC 9112 §7.1.2). They are never merged into a head.
    #[must_use]
    pub fn trailers(&self) -> Headers<'_> {
        // The decoder checked them.
        Headers::of_checked(&self.trailers)
    }

    /// Bytes of the decoded body; `None` if the response has no body, not even an empty one.
    #[must_use]
    pub fn body_len(&self) -> Option<u64> {
        self.body_len
    }

    /// The offset in the original content, in bytes, at which the rest of the body of a 206 begins
    /// (draft-icap-ext-partial-content §5.2); `None` if the body is complete.
    #[must_use]
    pub fn use_original_body(&self) -> Option<u64> {
        self.use_original_body
    }

    /// Whether this is the response to a preview, and the rest of the body was not sent (RFC 3507 §4.5). A 204 then
    /// says that the service does not want the rest. It says nothing about the content of the rest.
    #[must_use]
    pub fn responds_to_preview_only(&self) -> bool {
        self.responds_to_preview_only
    }

    /// The fields of the interim responses that came before this one.
    pub(crate) fn interim_headers(&self) -> impl Iterator<Item = Headers<'_>> {
        self.interim.iter().map(StatusHead::headers)
    }

    /// The method of the request.
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// Whether an HTTP response's body came in place of a request, without an HTTP head.
    pub(crate) fn replaces_request_bare(&self) -> bool {
        self.method == Method::Reqmod && self.has_bare_body
    }

    /// Whether the response has an HTTP head or a body.
    pub(crate) fn encapsulates_something(&self) -> bool {
        self.http_request.is_some() || self.http_response.is_some() || self.body_len.is_some()
    }

    /// Whether nothing came with or before its ICAP head.
    pub(crate) fn is_lone_head(&self) -> bool {
        !self.encapsulates_something() && self.trailers.is_empty() && self.interim.is_empty()
    }

    /// Whether the ICAP head has a field with a name that begins with `X-`.
    pub(crate) fn has_x_field(&self) -> bool {
        self.notes.has_x_field
    }

    /// Whether the peer announced that it will close the connection, also in an interim response.
    pub(crate) fn asks_to_close(&self) -> bool {
        let mut interim = self.interim_headers();
        self.notes.asks_to_close || interim.any(|headers| headers.has_token("Connection", "close"))
    }

    /// What is odd about a valid response, so that its connection is not used again. `interim` is the number of interim
    /// responses that the request asked for.
    pub(crate) fn oddity(&self, interim: usize) -> Option<&'static str> {
        if self.interim.len() > interim {
            Some("an interim response that was not asked for")
        } else if self.notes.has_content_length {
            Some("a Content-Length in the ICAP head")
        } else {
            None
        }
    }
}

/// Shows everything but the values of the HTTP heads and the body, safe to show. The HTTP heads may be the caller's
/// own that came back.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |headers: Headers<'_>| -> Vec<String> {
            let names = headers.iter().map(|field| field.name().to_owned());
            names.collect()
        };
        f.debug_struct("Response")
            .field("head", &self.head)
            .field("http_request", &self.http_request_headers().map(names))
            .field("http_status", &self.http_status())
            .field("http_response", &self.http_headers().map(names))
            .field("body_len", &self.body_len)
            .field("use_original_body", &self.use_original_body)
            .field("trailers", &self.trailers())
            .field("interim", &self.interim)
            .finish()
    }
}

impl fmt::Debug for StatusHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.code, self.reason(), self.headers())
    }
}

/// A checked head with a status line.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StatusHead {
    /// Shared with the report of a scan.
    pub(super) bytes: Arc<[u8]>,
    pub(super) code: u16,
    /// Up to the line end, after which the fields begin.
    reason: Range<usize>,
}

/// Why a head was refused, and where in it.
pub(super) struct BadHead {
    pub(super) violation: Violation,
    pub(super) at: usize,
}

impl StatusHead {
    /// Parses the head at the beginning of `bytes`, up to its blank line, and calls `each` for each field.
    pub(super) fn parse<'b>(
        bytes: &'b [u8],
        parse_line: fn(&[u8]) -> Option<StatusLine<'_>>,
        bad_line: Violation,
        each: impl FnMut(Field<'b>),
    ) -> Result<Self, BadHead> {
        let lf = memchr::memchr(b'\n', bytes).unwrap_or_default();
        let line = bytes[..lf].strip_suffix(b"\r");
        let StatusLine { code, reason } = line.and_then(parse_line).ok_or(BadHead {
            violation: bad_line,
            at: 0,
        })?;
        let start = lf + 1;
        let bad = |BadField { at, violation }| BadHead {
            violation,
            at: start + at,
        };
        let len = check_each_field(&bytes[start..], each).map_err(bad)?;
        let end = start + len;
        if !bytes[end..].starts_with(b"\r\n") {
            return Err(bad(BadField::at(len)));
        }
        Ok(Self {
            code,
            reason: lf - 1 - reason.len()..lf - 1,
            bytes: bytes[..end + 2].into(),
        })
    }

    fn reason(&self) -> String {
        displayable(self.line().reason)
    }

    fn line(&self) -> StatusLine<'_> {
        StatusLine {
            code: self.code,
            reason: &self.bytes[self.reason.clone()],
        }
    }

    pub(crate) fn headers(&self) -> Headers<'_> {
        // Two line ends are not part of them: that of the status line, and the blank line.
        let fields = self.reason.end + 2..self.bytes.len() - 2;
        Headers::of_checked(&self.bytes[fields])
    }
}
