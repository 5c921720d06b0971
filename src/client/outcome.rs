//! What an exchange came to.

use crate::error::{Error, ProtocolError, Violation};
use crate::net::checkout::Place;
use crate::proto::response::Response;
use crate::proto::response_reader::{Fragments, Remains};
use crate::stats::close_reason::CloseReason;

/// A complete response, and what it was a response to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    /// Every byte of the content was sent.
    pub(crate) request_complete: bool,
    /// It is the response to a preview, of all of the content or of a part.
    pub(crate) responds_to_preview: bool,
    /// It began before what it responds was completely written.
    pub(crate) is_early: bool,
    /// Bytes of content that were written.
    pub(crate) content_sent: u64,
    /// What came after the response, safe to show; none for nothing or only a line end.
    pub(crate) trailing: Option<String>,
    /// Why the connection cannot be used again.
    pub(crate) close_reason: Option<CloseReason>,
}

impl Answer {
    /// The server scanned: it gave a verdict on content that is not empty. Empty content is no proof,
    /// because servers respond to it without their engine.
    pub(crate) fn is_success(&self) -> bool {
        let is_empty = self.request_complete && self.content_sent == 0;
        matches!(self.response.status(), ..400 | 403) && !is_empty
    }
}

/// An exchange that did not come to a complete response.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// What came of a response.
    pub(crate) remains: Remains,
    pub(crate) content_sent: u64,
    /// Bytes of a response came.
    pub(crate) is_answered: bool,
    /// Another exchange had the connection before.
    pub(crate) is_reused: bool,
    /// Bytes of a final response came before it was due.
    pub(crate) is_early: bool,
    /// The place of the connection, if another one may be made there.
    pub(crate) place: Option<Place>,
}

impl Failure {
    /// The connection was used before and turned out to be gone, or not clean, before anything of an
    /// answer to this request came.
    pub(crate) fn is_stale(&self) -> bool {
        self.error.allows_resend(self.is_reused, self.is_answered)
    }

    /// Whether what came of a response must not be thrown away, as `judge` says.
    pub(crate) fn must_be_kept(&self, judge: fn(Option<&Response>, &Fragments) -> bool) -> bool {
        judge(self.remains.response.as_ref(), &self.remains.fragments)
    }

    /// A failure before anything was sent.
    pub(crate) fn before(error: Error) -> Box<Self> {
        Box::new(Self {
            error,
            remains: Remains::default(),
            content_sent: 0,
            is_answered: false,
            is_reused: false,
            is_early: false,
            place: None,
        })
    }
}

/// Why one server came to no report.
#[derive(Debug)]
pub(crate) struct AttemptError {
    pub(crate) error: Error,
    /// It happened to another caller, whose `OPTIONS` request was waited for, and is counted there.
    pub(crate) is_shared: bool,
    /// It is about `OPTIONS`, and the content was not sent.
    pub(crate) is_of_options: bool,
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_shared: false,
            is_of_options: false,
        }
    }
}

pub(crate) fn protocol_error(service: &str, violation: Violation, seen: String) -> Error {
    ProtocolError {
        service: service.to_owned(),
        violation,
        seen,
        is_after_pause: false,
        is_of_options: false,
    }
    .into()
}
