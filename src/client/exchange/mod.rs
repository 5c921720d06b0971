//! One transaction, to be read next to RFC 3507 §4.
//!
//! The server may respond while the request is still being sent, and may stop reading until its response
//! is read. So whoever writes everything first and reads then, deadlocks as soon as both directions'
//! buffers are full. Here every write is preceded by a look at what can be read, and every write that
//! stalls is cut short to look again:
//!
//! ```text
//!            ┌─ readable? ── read, feed the response ─┐
//!  request ──┤                                      ├── until written, then read until answered
//!            └─ else write for a moment ────────────┘
//! ```
//!
//! - A preview (§4.5) stops the upload after its last byte until the service has decided: `100 Continue`
//!   asks for the rest, a final response makes it unnecessary, and is then the response to a complete request.
//! - An early final response stops the upload, also a 204: whoever responds before it has all of the
//!   content has not looked at all of it, so such a 204 is never clean.
//! - A failed write is followed by a read, because the reason is often already there (`404`, then close).
//! - The end of the connection never ends a response.

mod failures;

use std::io;
use std::time::Duration;

use super::body_encoder::{BodyEncoder, Next, Then};
use super::outcome::{CompleteResponse, Failure, protocol_error};
use super::output::Output;
use super::progress::{Progress, Stage};
use super::trailing::{PATIENCE, Trailing};
use super::waiting::{Wait, Waiting};
use crate::error::{ContentError, Error, Phase, TimeLimit, Violation};
use crate::net::checkout::PooledConnection;
use crate::net::deadline::{Deadline, Timeouts};
use crate::net::transport::{Readiness, is_stall};
use crate::proto::response::Response;
use crate::proto::response_reader::{Event, Remains, ResponseReader};
use crate::proto::text::excerpt;
use crate::stats::CloseReason;
use failures::closed;

/// How long a write may stall before what can be read is looked at: at first, and at most.
const WRITE_SLICE: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(128));

/// How a server begins that refuses a connection before it was asked anything.
const REFUSAL: &str = "ICAP/1.0 503";

/// One request and its response on one connection.
pub(super) struct Exchange<'x, 'o> {
    pub(super) connection: PooledConnection,
    /// The connection was used before, and then by no caller until this one came.
    pub(super) lay_idle: bool,
    pub(super) reader: ResponseReader,
    /// Where the response's body goes.
    pub(super) output: &'x mut Output<'o>,
    pub(super) timeouts: Timeouts,
    pub(super) deadline: Deadline,
    /// Names the service in errors.
    pub(super) service: &'x str,
    pub(super) progress: Progress,
    pub(super) waiting: Waiting,
    /// How often other connections were asked to make room in the present silence.
    pub(super) rooms_wanted: u32,
}

/// What an attempt to send leaves to do.
#[derive(Debug, PartialEq, Eq)]
enum Sending {
    Continues,
    /// The response is final and does not need the rest.
    Stops,
}

impl Exchange<'_, '_> {
    /// Sends `out`, which is the head and the first piece of the content, and the rest of `body`, and
    /// reads the response.
    pub(super) fn run(
        mut self,
        out: Vec<u8>,
        first: Next,
        body: BodyEncoder<'_, '_>,
    ) -> Result<CompleteResponse, Box<Failure>> {
        let result = self.send(out, first, body).and_then(|()| self.receive());
        match result.and_then(|()| self.check_trailing_bytes()) {
            Ok(trailing) => self.finish(trailing),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Writes the request, head and first chunk together, while reading what comes.
    fn send(
        &mut self,
        mut out: Vec<u8>,
        mut next: Next,
        mut body: BodyEncoder<'_, '_>,
    ) -> Result<(), Error> {
        loop {
            if self.write_out(&out)? == Sending::Stops {
                return Ok(());
            }
            self.progress.content_sent += next.len;
            match next.then {
                Then::Continues => {}
                Then::Decides => {
                    if self.await_decision()? == Sending::Stops {
                        return Ok(());
                    }
                }
                Then::Done => {
                    self.progress.request_written = true;
                    self.progress.due_at = Some(self.connection.sent());
                    return Ok(());
                }
            }
            out.clear();
            let began = self.deadline.now();
            let encoded = body.encode_next(&mut out);
            self.waiting.paused(began, self.deadline.now());
            next = match encoded {
                Ok(next) => next,
                Err(error) => return Err(self.abandon(error)),
            };
        }
    }

    /// The preview is written: the service asks for the rest, or answers.
    fn await_decision(&mut self) -> Result<Sending, Error> {
        self.progress.stage = Stage::Decision;
        self.progress.due_at = Some(self.connection.sent());
        self.receive_until(|exchange| exchange.progress.continued || exchange.reader.has_ended())?;
        if self.progress.continued {
            self.progress.stage = Stage::Rest;
            self.waiting.begin(Wait::Upload, self.deadline.now());
            return Ok(self.sending());
        }
        // §4.5: what was sent is then a complete request.
        self.progress.request_written = true;
        Ok(Sending::Stops)
    }

    fn receive(&mut self) -> Result<(), Error> {
        self.receive_until(|exchange| exchange.reader.has_ended())
    }

    fn receive_until(&mut self, is_enough: impl Fn(&Self) -> bool) -> Result<(), Error> {
        self.waiting.content_is_sent();
        self.await_response();
        while !is_enough(self) {
            let timeout = self.left(Phase::Read)?;
            self.read_once(timeout, Phase::Read)?;
        }
        Ok(())
    }

    /// The response is due: its head, or the rest of it.
    fn await_response(&mut self) {
        let wait = match self.reader.response() {
            None => Wait::Head,
            Some(_) => Wait::Body,
        };
        self.waiting.begin(wait, self.deadline.now());
    }

    /// The content failed, so its last chunk is never sent. What the service has already said of the
    /// part it has seen is read all the same: it may have found something there.
    fn abandon(&mut self, error: ContentError) -> Error {
        if self.progress.begun {
            // How that ends does not matter; what was understood is kept.
            let _ = self.read_what_is_there();
        }
        error.into()
    }

    fn write_out(&mut self, mut out: &[u8]) -> Result<Sending, Error> {
        let mut slice = WRITE_SLICE.0;
        loop {
            let moved = self.waiting.bytes();
            if self.read_what_is_there()? == Sending::Stops {
                return Ok(Sending::Stops);
            }
            if self.waiting.bytes() != moved {
                slice = WRITE_SLICE.0;
            }
            let left = self.left(Phase::Write)?;
            if out.is_empty() {
                // The caller's reader gave nothing for a while.
                return Ok(Sending::Continues);
            }
            match self.connection.write(out, left.min(slice)) {
                Ok(len) => {
                    out = &out[len..];
                    self.progress.begun = true;
                    self.waiting.moved(len, self.deadline.now());
                    slice = WRITE_SLICE.0;
                    if out.is_empty() {
                        return Ok(Sending::Continues);
                    }
                }
                Err(error) if is_stall(&error) => slice = (slice * 2).min(WRITE_SLICE.1),
                Err(error) => return self.read_response_after_write_error(error),
            }
        }
    }

    /// Reads until a read would wait; says whether the response makes more sending pointless.
    fn read_what_is_there(&mut self) -> Result<Sending, Error> {
        loop {
            let readiness = match self.connection.readiness() {
                // What the beginning of a TLS record turns out to be is known when its end is there.
                Ok(Readiness::Idle | Readiness::Partial) => return Ok(Sending::Continues),
                Ok(readiness) => readiness,
                Err(error) => return self.read_response_after_write_error(error),
            };
            if !self.progress.begun {
                return Err(self.unsolicited(readiness));
            }
            // It is there, so this does not wait, and what was said in time counts when time is up.
            let moved = self.waiting.bytes();
            self.read_once(WRITE_SLICE.0, Phase::Write)?;
            if self.sending() == Sending::Stops {
                return Ok(Sending::Stops);
            }
            if let Some(ran_out) = self.deadline.ran_out() {
                return Err(self.timed_out(Phase::Write, ran_out).into());
            }
            if self.waiting.bytes() == moved {
                // Nothing could be read after all; the connection remembers when it came.
                return Ok(Sending::Continues);
            }
        }
    }

    /// Nothing was asked on this connection yet, so nothing that arrives can be a response.
    fn unsolicited(&mut self, readiness: Readiness) -> Error {
        if readiness != Readiness::Readable {
            return self.disconnected(Phase::Write, closed());
        }
        self.refuse_unsolicited()
    }

    /// Reads on while it can become a [`REFUSAL`], which counts the same at every split. Everything else is
    /// read only for the error's sake: it shows who is there.
    fn refuse_unsolicited(&mut self) -> Error {
        let deadline = self.deadline.within(PATIENCE, TimeLimit::ReadTimeout);
        while is_beginning_of_refusal(self.connection.unread()) {
            let Some(left) = deadline.left() else {
                break;
            };
            match self.connection.read(left) {
                Ok(1..) => {}
                Err(error) if is_stall(&error) => {}
                // How that ends does not matter.
                Ok(0) | Err(_) => break,
            }
        }
        self.violation(Violation::Unsolicited)
    }

    /// The connection cannot be written to any more: the response that says why may be there.
    fn read_response_after_write_error(
        &mut self,
        write_error: io::Error,
    ) -> Result<Sending, Error> {
        if !self.progress.begun {
            // What may be there was sent before anything was asked: it is no response to this.
            return Err(self.disconnected(Phase::Write, write_error));
        }
        self.progress.answered_early = true;
        // How long the write took is not how long the response may take.
        self.await_response();
        while !self.reader.has_ended() {
            let Ok(timeout) = self.left(Phase::Write) else {
                break;
            };
            match self.read_once(timeout, Phase::Write) {
                Ok(()) => {}
                Err(Error::Disconnected(_)) => break,
                Err(error) => return Err(error),
            }
        }
        match self.sending() {
            Sending::Stops => Ok(Sending::Stops),
            Sending::Continues => Err(self.disconnected(Phase::Write, write_error)),
        }
    }

    /// Whether to go on sending: not after a complete response. RFC 3507's erratum on early responses says
    /// that a client should finish if it wants to use the connection again; this one closes it.
    fn sending(&self) -> Sending {
        if self.reader.has_ended() {
            Sending::Stops
        } else {
            Sending::Continues
        }
    }

    fn is_204(&self) -> bool {
        self.status() == Some(204)
    }

    /// The status of the final response, once its ICAP head is there.
    fn status(&self) -> Option<u16> {
        self.reader.response().map(Response::status)
    }

    /// Reads once and feeds the response; a stall is no error here, because the caller knows the time.
    fn read_once(&mut self, timeout: Duration, phase: Phase) -> Result<(), Error> {
        match self.connection.read(timeout) {
            Ok(0) if self.reader.has_begun() => Err(self.violation(self.reader.violation_at_end())),
            Ok(0) => Err(self.disconnected(phase, closed())),
            Ok(len) => {
                if !self.reader.has_begun() {
                    self.connection.permit().is_answered();
                }
                self.waiting.moved(len, self.deadline.now());
                if self.connection.arrived() <= self.progress.start {
                    // Its record began before the request did.
                    return Err(self.refuse_unsolicited());
                }
                self.feed()
            }
            Err(error) if is_stall(&error) => Ok(()),
            Err(error) => Err(self.disconnected(phase, error)),
        }
    }

    /// Feeds what was read to the response, up to the response's end.
    fn feed(&mut self) -> Result<(), Error> {
        let arrived = self.connection.arrived();
        self.progress.answered_early |= self.progress.is_early(arrived);
        // What the service says after what the caller could not take still counts.
        let mut written = Ok(());
        loop {
            let (used, event) = match self.reader.feed(self.connection.unread()) {
                Ok(step) => step,
                Err(violation) => return written.and(Err(self.violation(violation))),
            };
            let is_done = matches!(event, Event::NeedsMore | Event::End);
            let (is_continue, is_head) = (event == Event::Interim(100), event == Event::Head);
            let is_interim = matches!(event, Event::Interim(_));
            let response = self.reader.response();
            let is_wanted = response.is_some_and(|response| self.output.takes(response));
            if let (Event::Body(data), true, true) = (event, is_wanted, written.is_ok()) {
                let began = self.deadline.now();
                written = self.output.write_all(data, &self.deadline, self.service);
                self.waiting.paused(began, self.deadline.now());
            }
            self.connection.consume(used);
            if is_continue {
                self.take_continue()?;
            }
            // What came before this was not the final response.
            self.progress.final_early &= !is_interim;
            if is_head {
                self.refuse_what_may_be_anothers()?;
            }
            if is_done {
                if self.waiting.wait() == Wait::Head && self.reader.response().is_some() {
                    self.waiting.begin(Wait::Body, self.deadline.now());
                }
                self.progress.final_early |=
                    self.progress.is_early(arrived) && self.reader.has_begun_final();
                self.progress.answered_early |= self.progress.final_early;
                return written;
            }
        }
    }

    /// Content that comes too early on a connection that was used before may be what the request before
    /// asked for, and of another person. It is not passed on.
    fn refuse_what_may_be_anothers(&self) -> Result<(), Error> {
        let response = self.reader.response();
        // As the verdict table has it: anything else is a page that refuses.
        let is_content = |response: &Response| {
            matches!(response.status(), 200..=299)
                && matches!(response.http_status(), None | Some(100..=299 | 304))
        };
        let is_early = self.progress.final_early || self.arrived_early();
        if self.output.is_wanted()
            && self.is_reused()
            && is_early
            && response.is_some_and(is_content)
        {
            return Err(self.violation(Violation::EarlyResponse));
        }
        Ok(())
    }

    /// A `100 Continue` came. It asks for what is after the preview, once; after `ieof`, and without a
    /// preview, it means nothing (erratum 5893).
    fn take_continue(&mut self) -> Result<(), Error> {
        let is_open = matches!(self.progress.stage, Stage::Preview | Stage::Decision);
        if self.progress.continued {
            return Err(self.violation(Violation::Unexpected100));
        }
        if !is_open || self.progress.request_written {
            return Ok(());
        }
        // Held until the preview is out, unless it may be meant for the request before.
        let is_early = self.progress.final_early || self.arrived_early();
        if self.is_reused() && is_early {
            return Err(self.violation(Violation::EarlyResponse));
        }
        self.progress.due_at = None;
        self.progress.continued = true;
        Ok(())
    }

    /// What was read last began to arrive before a final response was due.
    fn arrived_early(&self) -> bool {
        self.progress.is_early(self.connection.arrived())
    }

    /// Nothing may come after a complete response to a complete request; see [`Trailing`].
    fn check_trailing_bytes(&mut self) -> Result<Trailing, Error> {
        // On a connection that was used before, what came before the last byte of this request was
        // written may be the late response to the previous request.
        if self.is_reused() && self.progress.final_early && self.is_204() {
            return Err(self.violation(Violation::EarlyResponse));
        }
        if !self.progress.request_written {
            return Ok(Trailing::Nothing);
        }
        if self.may_be_followed() {
            return Ok(match self.connection.unread() {
                b"" => Trailing::Nothing,
                _ => Trailing::Bytes,
            });
        }
        match Trailing::read(&mut self.connection, &self.deadline) {
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

    /// A server that responds with 206 without reading all of the request takes its rest for the next one, and
    /// answers that as well (c-icap does). On a new connection the first response is the one to this
    /// request; on another the two may be those to two requests.
    fn may_be_followed(&self) -> bool {
        self.status() == Some(206) && !self.is_reused()
    }

    fn finish(mut self, trailing: Trailing) -> Result<CompleteResponse, Box<Failure>> {
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
        let Remains { response, .. } = self.reader.into_remains();
        // Always there: a response that has ended has a head.
        let response = response
            .ok_or_else(|| protocol_error(self.service, Violation::Truncated, String::new()))?;
        Ok(CompleteResponse {
            response: response.of_preview_only(stage == Stage::Decision),
            request_complete: request_written && stage != Stage::Decision,
            responds_to_preview: matches!(stage, Stage::Preview | Stage::Decision),
            is_early: final_early,
            content_sent,
            trailing: shown,
            close_reason,
            connection: Some(self.connection),
        })
    }

    /// The connection is clean again only if none of these applies (rule R3 of the crate).
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
            self.state_obstacle()
        }
    }

    /// Why the connection cannot be used again, as far as its transport tells.
    fn state_obstacle(&mut self) -> Option<CloseReason> {
        match self.connection.readiness() {
            Ok(Readiness::Idle) if self.connection.is_reusable() => None,
            Ok(Readiness::Idle) => Some(CloseReason::TransportOver),
            Ok(Readiness::Readable | Readiness::Partial) => Some(CloseReason::StrayBytes),
            Ok(Readiness::Closed) => Some(CloseReason::PeerClosed),
            Err(_) => Some(CloseReason::Failed),
        }
    }
}

/// There may be more to come of a [`REFUSAL`].
fn is_beginning_of_refusal(bytes: &[u8]) -> bool {
    bytes.len() < REFUSAL.len() && REFUSAL.as_bytes().starts_with(bytes)
}

/// Why a connection is closed on which this came after a response. That the peer closed it is said only
/// where nothing else is.
fn reason_of(trailing: &Trailing) -> Option<CloseReason> {
    match trailing {
        Trailing::Nothing | Trailing::Closed => None,
        Trailing::LineEnd | Trailing::Bytes | Trailing::Unfinished => Some(CloseReason::StrayBytes),
        Trailing::Failed(_) => Some(CloseReason::Failed),
    }
}
