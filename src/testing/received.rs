//! A request that was received.

use std::fmt;
use std::ops::Range;

use memchr::memmem::{self, Finder};

use super::responses::eicar;
use crate::proto::encapsulated::Encapsulated;
use crate::proto::header::Headers;
use crate::proto::number::decimal;

/// How much of a request was received.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// A preview, and the rest of the body follows.
    Preview,
    /// A preview that is the whole body.
    WholePreview,
    /// All of it, without a preview or after a `100 Continue`.
    Whole,
}

/// A request that was read to its end or, with a preview (RFC 3507 §4.5), to the end of the preview.
///
/// [`Server::answering`](super::Server::answering) passes one to its function.
pub struct Received {
    method: String,
    uri: String,
    head: Vec<u8>,
    /// The fields in `head`, which were checked.
    fields: Range<usize>,
    pub(super) list: Encapsulated,
    pub(super) http_heads: Vec<u8>,
    body: Vec<u8>,
    body_len: u64,
    preview: Option<usize>,
    extent: Extent,
    /// The response was sent before the body was read.
    pub(super) is_answered: bool,
    /// Covers the whole body, also if it is received in two parts.
    search: EicarSearch,
}

impl Received {
    /// Parses a complete ICAP head; `None` if it is invalid.
    pub(super) fn parse(head: Vec<u8>) -> Option<Self> {
        let line_end = memmem::find(&head, b"\r\n")?;
        let line = std::str::from_utf8(&head[..line_end]).ok()?;
        let (method, rest) = line.split_once(' ')?;
        let uri = rest.strip_suffix(" ICAP/1.0")?;
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
        if !is_word(method) || !is_word(uri) {
            return None;
        }
        let fields = line_end + 2..head.len() - 2;
        let headers = Headers::parse(&head[fields.clone()]).ok()?;
        Some(Self {
            list: encapsulated(method, headers)?,
            preview: preview(headers)?,
            method: method.to_owned(),
            uri: uri.to_owned(),
            fields,
            head,
            http_heads: Vec::new(),
            body: Vec::new(),
            body_len: 0,
            extent: Extent::Whole,
            is_answered: false,
            search: EicarSearch::new(),
        })
    }

    /// The method: `OPTIONS`, `RESPMOD`, `REQMOD`, or any other word that the client sent.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URI of the request line.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The ICAP head with its blank line.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The fields of the ICAP head.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        // `parse` has checked them.
        Headers::parse(&self.head[self.fields.clone()]).unwrap_or_default()
    }

    /// The encapsulated HTTP heads, one after the other.
    #[must_use]
    pub fn http_heads(&self) -> &[u8] {
        &self.http_heads
    }

    /// The first 64 KiB of the body, or of its preview, without the framing of chunks.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of the whole body, or of its preview, without the framing of chunks.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// The value of the `Preview` header: the most bytes of the body that the client sends before it waits
    /// for a response. The preview itself is [`body`](Self::body).
    #[must_use]
    pub fn preview(&self) -> Option<usize> {
        self.preview
    }

    /// Whether the request is complete: it has no preview, or its preview ended with `ieof`, which means
    /// that the preview is the whole body.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.extent != Extent::Preview
    }

    /// Whether the EICAR test file is anywhere in the body, also after the first 64 KiB.
    #[must_use]
    pub fn has_eicar(&self) -> bool {
        self.search.found
    }

    /// Whether the request has `Allow: 204` (RFC 3507 §4.6). Without it, the response may be 204 only if the request has a
    /// preview.
    #[must_use]
    pub fn allows_204(&self) -> bool {
        self.headers().has_token("Allow", "204")
    }

    /// Whether the next response is one to a preview, which may be 204.
    pub(super) fn responds_to_preview(&self) -> bool {
        self.extent != Extent::Whole
    }

    /// The most bytes of the body before the client waits for a response.
    pub(super) fn first_part_limit(&self) -> u64 {
        self.preview.map_or(u64::MAX, |len| len as u64)
    }

    /// Marks the end of the body or of its preview; `None` if a preview is neither as long as announced nor
    /// the whole body.
    pub(super) fn end_first_part(&mut self, has_ieof: bool) -> Option<()> {
        self.extent = match self.preview {
            None => Extent::Whole,
            Some(_) if has_ieof => Extent::WholePreview,
            Some(_) => Extent::Preview,
        };
        (self.is_whole() || self.body_len == self.first_part_limit()).then_some(())
    }

    /// Marks the end of the rest after a preview.
    pub(super) fn end_rest(&mut self) {
        self.extent = Extent::Whole;
    }

    pub(super) fn take_body(&mut self, data: &[u8], limit: usize) {
        self.search.feed(data);
        let room = limit.saturating_sub(self.body.len());
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        self.body_len += data.len() as u64;
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("headers", &self.headers())
            .field("body_len", &self.body_len)
            .field("is_whole", &self.is_whole())
            .finish_non_exhaustive()
    }
}

/// The announced preview, if any. The outer `None`: the field is malformed or repeated.
fn preview(headers: Headers<'_>) -> Option<Option<usize>> {
    let mut fields = headers.get_all("Preview");
    match (fields.next(), fields.next()) {
        (None, _) => Some(None),
        (Some(field), None) => Some(Some(usize::try_from(decimal(&field.value())?).ok()?)),
        (Some(_), Some(_)) => None,
    }
}

/// The parts after a request's head; `None` if `Encapsulated` is missing, malformed or repeated.
fn encapsulated(method: &str, headers: Headers<'_>) -> Option<Encapsulated> {
    let mut fields = headers.get_all("Encapsulated");
    match (fields.next(), fields.next()) {
        (Some(field), None) => Encapsulated::parse(&field.value()).ok(),
        (None, _) if !matches!(method, "RESPMOD" | "REQMOD") => Some(Encapsulated::NOTHING),
        _ => None,
    }
}

/// Searches for the EICAR test file in bytes that come in pieces.
pub(super) struct EicarSearch {
    finder: Finder<'static>,
    /// The last bytes so far, fewer than the test file has.
    last: Vec<u8>,
    pub(super) found: bool,
}

impl EicarSearch {
    pub(super) fn new() -> Self {
        Self {
            finder: Finder::new(&eicar()).into_owned(),
            last: Vec::new(),
            found: false,
        }
    }

    pub(super) fn feed(&mut self, data: &[u8]) {
        let overlap = self.finder.needle().len() - 1;
        let seam = data.len().min(overlap);
        self.last.extend_from_slice(&data[..seam]);
        self.found |= self.finder.find(&self.last).is_some() || self.finder.find(data).is_some();
        if data.len() > overlap {
            self.last.clear();
            self.last.extend_from_slice(&data[data.len() - overlap..]);
        } else {
            let surplus = self.last.len().saturating_sub(overlap);
            self.last.drain(..surplus);
        }
    }
}
