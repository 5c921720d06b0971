//! The results of one exchange, and what becomes of its connection.

use std::time::Instant;

use crate::error::{Error, ProtocolError, Violation};
use crate::net::checkout::{Place, PooledConnection};
use crate::proto::response::Response;
use crate::proto::response_reader::Remains;
use crate::stats::CloseReason;

/// A complete response, and what it was a response to. Its connection is closed unless it is
/// [released](Self::release).
#[derive(Debug)]
#[must_use]
pub(crate) struct CompleteResponse {
    pub(crate) response: Response,
    /// Every byte of the content was sent.
    pub(crate) request_complete: bool,
    /// It is the response to a preview, of all of the content or of a part.
    pub(crate) responds_to_preview: bool,
    /// It began before what it responds to was completely written.
    pub(crate) is_early: bool,
    /// Bytes of content that were written.
    pub(crate) content_sent: u64,
    /// What came after the response, safe to show; none for nothing or only a line end.
    pub(crate) trailing: Option<String>,
    /// When it had come, by the clock by which things expire.
    pub(crate) ended: Instant,
    /// Why the connection cannot be used again.
    pub(super) close_reason: Option<CloseReason>,
    /// Until it is released or discarded.
    pub(super) connection: Option<PooledConnection>,
}

impl CompleteResponse {
    /// Whether the server scanned: it gave a verdict on content that is not empty. Empty content is no proof,
    /// because servers respond to it without their engine.
    pub(crate) fn is_success(&self) -> bool {
        let is_empty = self.request_complete && self.content_sent == 0;
        matches!(self.response.status(), ..400 | 403) && !is_empty
    }

    /// Whether the exchange was complete and nothing was odd about it. Then the connection is usable, or the peer has
    /// closed it in an orderly way.
    pub(crate) fn is_orderly(&self) -> bool {
        let is_orderly_end = |reason| {
            use CloseReason::{PeerAsked, PeerClosed, TransportOver};
            matches!(reason, PeerAsked | PeerClosed | TransportOver)
        };
        self.request_complete && self.close_reason.is_none_or(is_orderly_end)
    }

    /// Whether the connection was used before. Known until it is released or discarded.
    pub(crate) fn is_reused(&self) -> Option<bool> {
        self.connection.as_ref().map(PooledConnection::is_reused)
    }

    /// The response makes sense: gives the connection back to the pool if the exchange left it clean.
    pub(crate) fn release(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let has_scanned = self.is_success();
        match self.close_reason {
            _ if self.response.status() == 503 => {
                connection.discard_as_surplus();
            }
            None => connection.release(self.ended, has_scanned),
            Some(reason) => {
                if has_scanned {
                    connection.succeeded(self.ended);
                }
                connection.discard(reason);
            }
        }
    }

    /// Closes the connection, whatever state the exchange left it in.
    pub(crate) fn discard(&mut self, reason: CloseReason) {
        if let Some(connection) = self.connection.take() {
            connection.discard(reason);
        }
    }

    /// The response is of no use: closes the connection. Returns the error; that of a 503 says whether
    /// other callers had connections (RFC 3507 §4.3.3).
    pub(crate) fn reject(&mut self, mut error: Error) -> Error {
        if let (Error::Status(error), Some(connection)) = (&mut error, self.connection.take()) {
            error.has_room_later = error.code == 503 && connection.discard_as_surplus();
        }
        error
    }
}

/// An exchange that did not come to a complete response. Its connection is closed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// What came of a response.
    pub(crate) remains: Remains,
    pub(crate) content_sent: u64,
    /// Bytes of a final response came before it was due.
    pub(super) is_early: bool,
    /// Whether the connection was used before; `None` if nothing was sent.
    pub(crate) is_reused: Option<bool>,
    /// The place of the connection, if the error [allows](Error::allows_resend) that the request is sent once
    /// more on another connection there.
    pub(super) place: Option<Place>,
}

/// A failure before anything was sent.
impl<E: Into<Error>> From<E> for Box<Failure> {
    fn from(error: E) -> Self {
        Self::new(Failure {
            error: error.into(),
            remains: Remains::default(),
            content_sent: 0,
            is_early: false,
            is_reused: None,
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

impl AttemptError {
    /// A server without room for a canary had room for the content before. So the scan does not stand in line to send the
    /// content once more: it would end in the same place.
    pub(crate) fn without_line(mut self) -> Self {
        if let Error::Status(error) = &mut self.error {
            error.has_room_later = false;
        }
        self
    }
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

#[cold]
pub(crate) fn protocol_error(service: &str, violation: Violation, seen: String) -> Error {
    ProtocolError {
        service: service.to_owned(),
        violation,
        seen,
        is_after_pause: false,
        is_of_options: false,
        name: None,
    }
    .into()
}
