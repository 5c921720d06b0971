//! What is left of a response that broke off or was refused.

use crate::proto::header::legible_fields;
use crate::proto::istag;
use crate::proto::response::Response;
use crate::proto::status_line;

/// What is left of a response, complete or broken off.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// As far as its ICAP head was complete.
    pub(crate) response: Option<Response>,
    pub(crate) fragments: Fragments,
}

/// The parts of a response that were not complete or not valid, as far as they came. Nothing in them was
/// checked, but a line that is legible counts as evidence (rule R2).
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// Heads of interim responses, if the final ICAP head is not complete.
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

impl Remains {
    /// Whether the state tags in what came say that the server has no engine; `None` without a tag.
    pub(crate) fn lacks_engine(&self) -> Option<bool> {
        let Fragments {
            interim, icap_head, ..
        } = &self.fragments;
        let whole = self.response.as_ref().and_then(Response::lacks_engine);
        let parts = legible_fields(interim).chain(legible_fields(icap_head));
        whole.or_else(|| istag::lacks_engine(parts))
    }

    /// The status of the final response, once its status line was there.
    pub(crate) fn status(&self) -> Option<u16> {
        let whole = self.response.as_ref().map(Response::status);
        let line = || status_line::legible_icap(&self.fragments.icap_head);
        whole.or_else(|| Some(line()?.code))
    }
}

/// Whether `buffer` is the beginning of a head that is not valid and may hold evidence. It is refused, but not
/// before it is whole: what it says counts. Nothing before `searched` ends it.
pub(super) fn may_go_on_oddly(buffer: &[u8], searched: usize) -> bool {
    status_line::may_begin_evidence(buffer) && status_line::odd_head_end(buffer, searched).is_none()
}

/// What of such a head counts: nothing that follows it, because how much of that came depends on the packaging.
pub(super) fn odd_head(buffer: &[u8]) -> &[u8] {
    if !status_line::may_begin_evidence(buffer) {
        return &[];
    }
    &buffer[..status_line::odd_head_end(buffer, 0).unwrap_or(buffer.len())]
}
