//! What is left of a response that broke off or was refused.

use crate::proto::header::legible_fields;
use crate::proto::istag;
use crate::proto::response::Response;
use crate::proto::status_line;

/// What is left of a response, complete or broken off.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// The response, if its ICAP head was complete.
    pub(crate) response: Option<Response>,
    pub(crate) fragments: Fragments,
}

/// The incomplete or invalid parts of a response, as far as they came. They are not checked, but a legible line counts
/// as evidence (rule R2).
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// The heads of interim responses, if the final ICAP head is incomplete.
    pub(crate) interim: Vec<u8>,
    /// The final ICAP head.
    pub(crate) icap_head: Vec<u8>,
    /// The head of an encapsulated HTTP request.
    pub(crate) http_request: Vec<u8>,
    /// The head of an encapsulated HTTP response.
    pub(crate) http_response: Vec<u8>,
    /// The trailer section.
    pub(crate) trailers: Vec<u8>,
}

impl Fragments {
    /// Those of a complete response.
    pub(crate) fn none() -> &'static Self {
        static NONE: Fragments = Fragments {
            interim: Vec::new(),
            icap_head: Vec::new(),
            http_request: Vec::new(),
            http_response: Vec::new(),
            trailers: Vec::new(),
        };
        &NONE
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            interim,
            icap_head,
            http_request,
            http_response,
            trailers,
        } = self;
        let parts = [interim, icap_head, http_request, http_response, trailers];
        parts.iter().all(|part| part.is_empty())
    }
}

impl Remains {
    /// Whether a state tag says that the server has no engine; `None` without a tag.
    pub(crate) fn lacks_engine(&self) -> Option<bool> {
        let Fragments {
            interim, icap_head, ..
        } = &self.fragments;
        let whole = self.response.as_ref().and_then(Response::lacks_engine);
        let parts = legible_fields(interim).chain(legible_fields(icap_head));
        whole.or_else(|| istag::lacks_engine(parts))
    }

    /// The status of the final response; `None` if its status line is not legible.
    pub(crate) fn status(&self) -> Option<u16> {
        let whole = self.response.as_ref().map(Response::status);
        let line = || status_line::legible_icap(&self.fragments.icap_head);
        whole.or_else(|| Some(line()?.code))
    }
}

/// Whether `buffer` begins an invalid head that may have evidence, and has no end after `searched`. Such a head is
/// refused when it is complete, because its lines count.
pub(super) fn may_go_on_oddly(buffer: &[u8], searched: usize) -> bool {
    status_line::may_begin_evidence(buffer) && status_line::odd_head_end(buffer, searched).is_none()
}

/// The bytes of such a head. Bytes after it do not count, because their number depends on the packets.
pub(super) fn odd_head(buffer: &[u8]) -> &[u8] {
    if !status_line::may_begin_evidence(buffer) {
        return &[];
    }
    &buffer[..status_line::odd_head_end(buffer, 0).unwrap_or(buffer.len())]
}
