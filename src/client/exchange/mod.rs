//! One transaction, to be read next to RFC 3507 §4.
//!
//! The server may respond while the request is still being sent, and it may stop reading until its response is
//! read. A client that writes everything first and reads then would deadlock as soon as the buffers of both
//! directions are full. So each write here is preceded by a look at what can be read, and a write that stalls
//! is cut short to look again. The look before the first write on a used connection is the one at its check-out.
//!
//! ```text
//!            ┌─ readable? ── read, feed the response ─┐
//!  request ──┤                                        ├── until written; then read the response
//!            └─ else write for a moment ──────────────┘
//! ```
//!
//! - A preview (§4.5) stops the upload after its last byte until the service has decided. `100 Continue` asks
//!   for the rest. A final response makes the rest unnecessary; it is then the response to a complete request.
//! - An early final response stops the upload, also a 204. A server that responds before it has all of the
//!   content has not looked at all of it, so such a 204 is never clean.
//! - A failed write is followed by a read, because the reason is often already there (`404`, then close).
//! - The end of the connection never ends a response.
//!
//! This file sends the request, [`receiving`] reads the response, and [`finishing`] decides whether the
//! connection can be used again. [`failures`] says how long each wait may take and makes the errors.

mod failures;
mod finishing;
mod progress;
mod receiving;
mod trailing;
mod waiting;

use std::io;
use std::time::{Duration, Instant};

use super::body_encoder::{BodyEncoder, Next, Then};
use super::output::Output;
use super::send_buffer::SendBuffer;
use crate::error::{ContentError, Error, Phase};
use crate::net::checkout::PooledConnection;
use crate::net::deadline::{Deadline, Timeouts};
use crate::net::transport::{Readiness, is_stall};
use crate::proto::response::Response;
use crate::proto::response_reader::ResponseReader;
pub(super) use progress::Progress;
use progress::Stage;
use trailing::Trailing;
use waiting::Wait;
pub(super) use waiting::Waiting;

/// How long a write may stall before what can be read is looked at: at first, and at most.
const WRITE_SLICE: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(128));

/// How much is sent between two looks at what can be read, while the request is shorter than [`FREQUENT_LOOKS`] and
/// before its last part.
const PIECE: usize = 64 * 1024;

/// By how much a piece may be longer, so that a chunk of this size leaves in one write with its lines and the head.
const LINES: usize = 8 * 1024;

/// How much of a request is sent with a look before each piece. After that, each chunk is preceded by one.
const FREQUENT_LOOKS: u64 = 1024 * 1024;

/// The beginning of a response that refuses a connection before any request.
const REFUSAL: &str = "ICAP/1.0 503";

/// One request and its response on one connection.
pub(super) struct Exchange<'x, 'o> {
    pub(super) connection: PooledConnection,
    pub(super) reader: ResponseReader,
    /// Where the response's body goes.
    pub(super) output: &'x mut Output<'o>,
    pub(super) timeouts: &'x Timeouts,
    pub(super) deadline: &'x Deadline,
    /// Names the service in errors.
    pub(super) service: &'x str,
    pub(super) progress: Progress,
    pub(super) waiting: Waiting<'x>,
    /// The time after the last call that can take some: of the stream or the caller's code. The clock is not asked
    /// for each decision, but each turn of a loop that waits makes such a call and moves this on. Otherwise the loop
    /// would never meet its timeout.
    pub(super) now: Instant,
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
    /// Sends `out`, which is the head and the first chunk, and then the rest of `body`. Reads the response. Then
    /// [`finish`](Self::finish) or [`fail`](Self::fail) ends the exchange.
    pub(super) fn run(
        &mut self,
        out: SendBuffer,
        first: Next,
        body: BodyEncoder<'_, '_>,
    ) -> Result<Trailing, Error> {
        let result = self.send(out, first, body).and_then(|()| self.receive());
        let result = result.and_then(|()| self.check_trailing_bytes());
        self.unless_cancelled(result)
    }

    /// Writes the request, head and first chunk together, while reading what comes.
    fn send(
        &mut self,
        mut out: SendBuffer,
        mut next: Next,
        mut body: BodyEncoder<'_, '_>,
    ) -> Result<(), Error> {
        loop {
            let is_last = next.then != Then::Continues;
            let before = self.connection.sent();
            let sending = self.write_chunk(out.bytes(), body.direct(), is_last);
            if !matches!(sending, Ok(Sending::Continues)) {
                let written = self.connection.sent() - before;
                self.progress.content_sent += out.content_in(written);
            }
            if sending? == Sending::Stops {
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
                    if body.report_progress() {
                        self.pause_ended();
                    }
                    return Ok(());
                }
            }
            out.clear();
            let encoded = body.encode_next(&mut out, self.output.tee());
            self.pause_ended();
            next = match encoded {
                Ok(next) => next,
                Err(error) => return Err(self.abandon(error)),
            };
        }
    }

    /// Writes a chunk that is in two places: what is in the buffer, and what is `direct` in the content.
    fn write_chunk(
        &mut self,
        buffer: &[u8],
        direct: &[u8],
        is_last: bool,
    ) -> Result<Sending, Error> {
        let sending = self.write_out(buffer, is_last)?;
        if sending == Sending::Stops || direct.is_empty() {
            return Ok(sending);
        }
        self.write_out(direct, is_last)
    }

    /// The preview is written: waits until the service asks for the rest, or responds.
    fn await_decision(&mut self) -> Result<Sending, Error> {
        self.progress.stage = Stage::Decision;
        self.progress.due_at = Some(self.connection.sent());
        self.receive_until(|exchange| exchange.progress.continued || exchange.reader.has_ended())?;
        if self.progress.continued {
            self.progress.stage = Stage::Rest;
            self.waiting.begin(Wait::Upload, self.now);
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
        self.waiting.begin(wait, self.now);
    }

    /// The content failed, so its last chunk is never sent. What the service has already sent is read all the
    /// same: it may have found something in the part that it has.
    fn abandon(&mut self, error: ContentError) -> Error {
        if self.progress.begun {
            // An error of this read does not matter; what was understood is kept.
            let _ = self.read_what_is_there();
        }
        error.into()
    }

    /// Writes all of `out`, unless the response makes that pointless. Before each write, reads what is there. With
    /// `is_last`, the request or its preview ends with `out`.
    fn write_out(&mut self, mut out: &[u8], is_last: bool) -> Result<Sending, Error> {
        let mut slice = WRITE_SLICE.0;
        // The look that proved a used connection idle was just now, at check-out.
        let mut is_idle = self.is_reused() && !self.progress.begun;
        loop {
            let moved = self.waiting.bytes();
            if !is_idle && self.read_what_is_there()? == Sending::Stops {
                return Ok(Sending::Stops);
            }
            is_idle = false;
            if self.waiting.bytes() != moved {
                slice = WRITE_SLICE.0;
            }
            let left = self.left(Phase::Write)?;
            if out.is_empty() {
                // The caller's reader gave nothing for a while.
                return Ok(Sending::Continues);
            }
            let piece = &out[..self.piece(out.len(), is_last)];
            let written = self.connection.write(piece, left.min(slice));
            self.now = self.deadline.now();
            match written {
                Ok(len) => {
                    out = &out[len..];
                    self.progress.begun = true;
                    self.waiting.moved(len, self.now);
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

    /// How many of the next `len` bytes are written before the next look. An early response must be seen early
    /// (rule R1): at the beginning of the request, where servers refuse, and before its end, after which a response
    /// counts.
    fn piece(&self, len: usize, is_last: bool) -> usize {
        let sent = self.connection.sent() - self.progress.start;
        match len <= PIECE + LINES {
            true => len,
            false if sent < FREQUENT_LOOKS => PIECE,
            false if is_last => len - PIECE,
            false => len,
        }
    }

    /// Reads until a read would wait. Returns whether the response makes more sending pointless.
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
            // It is there, so this does not wait. What came in time counts also when time is up.
            let moved = self.waiting.bytes();
            self.read_once(WRITE_SLICE.0, Phase::Write)?;
            if self.sending() == Sending::Stops {
                return Ok(Sending::Stops);
            }
            self.deadline.check_cancelled(self.service, Phase::Write)?;
            if let Some(ran_out) = self.deadline.ran_out_at(self.now) {
                return Err(self.timed_out(Phase::Write, ran_out).into());
            }
            if self.waiting.bytes() == moved {
                // Nothing could be read after all; the connection remembers when it came.
                return Ok(Sending::Continues);
            }
        }
    }

    /// A write failed: reads the response that may say why.
    fn read_response_after_write_error(
        &mut self,
        write_error: io::Error,
    ) -> Result<Sending, Error> {
        if !self.progress.begun {
            // What may be there was sent before the request: it is no response to it.
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

    /// Whether to go on sending: not after a complete response. By RFC 3507's erratum on early responses a client
    /// should finish the request if it wants to use the connection again; this client closes the connection.
    fn sending(&self) -> Sending {
        if self.reader.has_ended() {
            Sending::Stops
        } else {
            Sending::Continues
        }
    }

    /// The caller's code ran since `now`.
    fn pause_ended(&mut self) {
        let began = self.now;
        self.now = self.deadline.now();
        self.waiting.paused(began, self.now);
    }

    /// The status of the final response, once its ICAP head is there.
    fn status(&self) -> Option<u16> {
        self.reader.response().map(Response::status)
    }

    fn is_204(&self) -> bool {
        self.status() == Some(204)
    }

    fn is_reused(&self) -> bool {
        self.connection.is_reused()
    }

    /// Whether what was read last began to arrive before a final response was due.
    fn arrived_early(&self) -> bool {
        self.progress.is_early(self.connection.arrived())
    }
}
