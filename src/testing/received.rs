//! What came from a client: one request, or everything on one connection.

use std::fmt;
use std::ops::Range;

use memchr::memmem::{self, Finder};

use super::answers::eicar;
use crate::proto::encapsulated::Encapsulated;
use crate::proto::header::Headers;
use crate::proto::text::displayable;

/// What happened on one connection.
#[derive(Default)]
pub struct Conversation {
    received: Vec<u8>,
    received_len: u64,
    pub(super) closed_by_client: bool,
}

impl Conversation {
    /// What the server read, up to 16 MiB; nothing of a server made by [`Server::start`](super::Server::start).
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// How many bytes the server read.
    #[must_use]
    pub fn received_len(&self) -> u64 {
        self.received_len
    }

    /// Whether the client closed or broke the connection before the server was through with it.
    ///
    /// It shows when the server reads or sends, and when [`Server::finish`](super::Server::finish) ends a [`Script::hold`](super::Script::hold).
    #[must_use]
    pub fn closed_by_client(&self) -> bool {
        self.closed_by_client
    }

    pub(super) fn record(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.received.len());
        self.received
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.received_len += bytes.len() as u64;
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("received", &displayable(&self.received))
            .field("received_len", &self.received_len)
            .field("closed_by_client", &self.closed_by_client)
            .finish()
    }
}

/// A request that was read to its end.
pub struct Received {
    method: String,
    uri: String,
    head: Vec<u8>,
    /// Of `head`: the fields, which were checked.
    fields: Range<usize>,
    pub(super) list: Encapsulated,
    pub(super) http_heads: Vec<u8>,
    body: Vec<u8>,
    body_len: u64,
    pub(super) has_eicar: bool,
}

impl Received {
    /// Takes a complete ICAP head apart; `None` if it is none.
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
            method: method.to_owned(),
            uri: uri.to_owned(),
            fields,
            head,
            http_heads: Vec::new(),
            body: Vec::new(),
            body_len: 0,
            has_eicar: false,
        })
    }

    /// `OPTIONS`, `RESPMOD`, `REQMOD`, or whatever the client sent instead.
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
        // Checked when it was made.
        Headers::parse(&self.head[self.fields.clone()]).unwrap_or_default()
    }

    /// The encapsulated HTTP heads, one behind the other.
    #[must_use]
    pub fn http_heads(&self) -> &[u8] {
        &self.http_heads
    }

    /// The first 64 KiB of the body, without its chunks.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of the whole body, without its chunks.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// Whether the EICAR test file is anywhere in the body, also behind what was kept.
    #[must_use]
    pub fn has_eicar(&self) -> bool {
        self.has_eicar
    }

    /// Whether the answer may be 204 (RFC 3507 §4.6).
    #[must_use]
    pub fn allows_204(&self) -> bool {
        self.headers().has_token("Allow", "204")
    }

    pub(super) fn take_body(&mut self, data: &[u8], limit: usize) {
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
            .finish_non_exhaustive()
    }
}

/// What follows a request's head; `None` if the field that says so is missing, malformed or doubled.
fn encapsulated(method: &str, headers: Headers<'_>) -> Option<Encapsulated> {
    let mut fields = headers.get_all("Encapsulated");
    match (fields.next(), fields.next()) {
        (Some(field), None) => Encapsulated::parse(&field.value()).ok(),
        (None, _) if !matches!(method, "RESPMOD" | "REQMOD") => Some(Encapsulated::NOTHING),
        _ => None,
    }
}

/// Looks for the EICAR test file in bytes that arrive in any pieces.
pub(super) struct EicarSearch {
    finder: Finder<'static>,
    /// The last bytes so far, fewer than are looked for.
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
