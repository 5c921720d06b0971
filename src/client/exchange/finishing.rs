//! Whether anything follows the response, and whether the connection can be used again.

use std::io;

use super::Exchange;
use super::progress::{Progress, Stage};
use super::trailing::Trailing;
use crate::client::outcome::{CompleteResponse, Failure, protocol_error};
use crate::error::{Error, Phase, Violation};
use crate::net::transport::Readiness;
use crate::proto::text::excerpt;
use crate::stats::CloseReason;

impl Exchange<'_, '_> {
    /// Nothing may come after a complete response to a complete request; see [`Trailing`].
    pub(super) fn check_trailing_bytes(&mut self) -> Result<Trailing, Error> {
        // On a connection that was used before, a 204 that came before the last byte of this request was written
        // may be the late response to the previous request.
        if self.is_reused() && self.progress.final_early && self.is_204() {
            return Err(self.violation(Violation::EarlyResponse));
        }
        if !self.progress.request_written {
            return Ok(Trailing::Unknown);
        }
        if self.may_be_followed() {
            return Ok(match self.connection.unread() {
                b"" => Trailing::Unknown,
                _ => Trailing::Bytes,
            });
        }
        match Trailing::read(&mut self.connection, self.deadline) {
            Trailing::Unfinished => Err(self.violation(Violation::TrailingBytes)),
            Trailing::Failed(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.disconnected(Phase::Read, error))
            }
            // A reset proves that the server threw away what it had not read of the content.
            Trailing::Failed(_) if self.is_204() => {
                Err(self.violation(Violation::IncompleteUpload))
            }
            Trailing::Closed if self.is_204() && self.progress.answered_early => {
                Err(self.violation(Violation::IncompleteUpload))
            }
            trailing => Ok(trailing),
        }
    }

    /// A server that responds with 206 without reading all of the request takes the rest for another request,
    /// and responds to that as well (c-icap does). On a new connection the first response is the one to this
    /// request. On a connection that was used before, the two may be the responses to two requests.
    fn may_be_followed(&self) -> bool {
        self.status() == Some(206) && !self.is_reused()
    }

    /// The exchange came to a complete response. The caller puts the connection into it; otherwise the connection is closed
    /// with the exchange.
    pub(in crate::client) fn finish(
        &mut self,
        trailing: Trailing,
    ) -> Result<CompleteResponse, Box<Failure>> {
        let close_reason = self.close_reason(&trailing);
        let shown = match trailing {
            Trailing::Bytes if !self.may_be_followed() => Some(excerpt(self.connection.unread())),
            _ => None,
        };
        let Progress {
            request_written,
            stage,
            final_early,
            content_sent,
            ..
        } = self.progress;
        // Always there: a response that has ended has a head.
        let response = self.reader.take_response(stage == Stage::Decision);
        let response = response
            .ok_or_else(|| protocol_error(self.service, Violation::Truncated, String::new()))?;
        Ok(CompleteResponse {
            response,
            request_complete: request_written && stage != Stage::Decision,
            responds_to_preview: matches!(stage, Stage::Preview | Stage::Decision),
            is_early: final_early,
            content_sent,
            trailing: shown,
            ended: self.connection.now_at(self.now),
            close_reason,
            connection: None,
        })
    }

    /// Why the connection cannot be used again; it is clean if none of these applies (rule R3 of the crate).
    fn close_reason(&mut self, trailing: &Trailing) -> Option<CloseReason> {
        let response = self.reader.response()?;
        let asked_for = usize::from(self.progress.stage == Stage::Rest);
        let is_about_preview = matches!(self.progress.stage, Stage::Preview | Stage::Decision);
        if !self.progress.request_written {
            Some(CloseReason::RequestUnfinished)
        } else if self.progress.answered_early {
            Some(CloseReason::EarlyResponse)
        } else if response.status() == 206 && !is_about_preview {
            Some(CloseReason::PartialContent)
        } else if let Some(reason) = reason_of(trailing) {
            Some(reason)
        } else if response.asks_to_close() {
            Some(CloseReason::PeerAsked)
        } else if let Some(what) = response.oddity(asked_for) {
            log::warn!("{}: sent {what}", self.service);
            Some(CloseReason::OddResponse)
        } else if matches!(trailing, Trailing::Closed) {
            Some(CloseReason::PeerClosed)
        } else {
            self.transport_obstacle(trailing)
        }
    }

    /// Why the state of the transport does not allow another exchange. The look that found nothing after the
    /// response was just now.
    fn transport_obstacle(&mut self, trailing: &Trailing) -> Option<CloseReason> {
        let readiness = match trailing {
            Trailing::Nothing => Ok(Readiness::Idle),
            _ => self.connection.readiness(),
        };
        match readiness {
            Ok(Readiness::Idle) if self.connection.is_reusable() => None,
            Ok(Readiness::Idle) => Some(CloseReason::TransportOver),
            Ok(Readiness::Readable | Readiness::Partial) => Some(CloseReason::StrayBytes),
            Ok(Readiness::Closed) => Some(CloseReason::PeerClosed),
            Err(_) => Some(CloseReason::Failed),
        }
    }
}

/// Why a connection is closed on which this came after a response. That the peer closed it is the reason only
/// if there is no other.
fn reason_of(trailing: &Trailing) -> Option<CloseReason> {
    match trailing {
        Trailing::Nothing | Trailing::Unknown | Trailing::Closed => None,
        Trailing::LineEnd | Trailing::Bytes | Trailing::Unfinished => Some(CloseReason::StrayBytes),
        Trailing::Failed(_) => Some(CloseReason::Failed),
    }
}
