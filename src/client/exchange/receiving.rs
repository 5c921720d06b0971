//! Reading the response while the request is sent, and after it.

use std::time::Duration;

use super::failures::closed;
use super::progress::Stage;
use super::trailing::PATIENCE;
use super::waiting::Wait;
use super::{Exchange, REFUSAL};
use crate::error::{Error, Phase, TimeLimit, Violation};
use crate::net::transport::{Readiness, is_stall};
use crate::proto::response::Response;
use crate::proto::response_reader::Event;

impl Exchange<'_, '_> {
    /// Reads once, and feeds the response. A stall is no error here, because the caller measures the time.
    pub(super) fn read_once(&mut self, timeout: Duration, phase: Phase) -> Result<(), Error> {
        let read = self.connection.read(timeout);
        self.now = self.deadline.now();
        match read {
            Ok(0) if self.reader.has_begun() => Err(self.violation(self.reader.violation_at_end())),
            Ok(0) => Err(self.disconnected(phase, closed())),
            Ok(len) => {
                if !self.reader.has_begun() {
                    self.connection.permit().response_began();
                }
                self.waiting.moved(len, self.now);
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
        // If the caller's writer fails, the rest of the response is read all the same: it may be evidence.
        let mut written = Ok(());
        let mut gathered = Vec::new();
        loop {
            let unread = self.connection.unread();
            let small_chunks = self.reader.take_small_chunks(unread, &mut gathered);
            self.connection.consume(small_chunks);
            if !gathered.is_empty() {
                written = written.and_then(|()| self.pass_on(&gathered));
                gathered.clear();
                continue;
            }
            let (used, event) = match self.reader.feed(self.connection.unread()) {
                Ok(step) => step,
                Err(violation) => return written.and(Err(self.violation(violation))),
            };
            let is_done = matches!(event, Event::NeedsMore | Event::End);
            let is_continue = matches!(event, Event::Interim(100));
            let is_head = matches!(event, Event::Head);
            let is_interim = matches!(event, Event::Interim(_));
            if let Event::Body(data) = event {
                let response = self.reader.response();
                let is_wanted = response.is_some_and(|response| self.output.takes(response));
                if is_wanted && written.is_ok() {
                    written = self.output.write_all(data, self.deadline, self.service);
                    self.pause_ended();
                }
            }
            self.connection.consume(used);
            if is_continue {
                self.take_continue()?;
            }
            // What came before this event was not the final response.
            self.progress.final_early &= !is_interim;
            if is_head {
                self.refuse_late_content()?;
            }
            if is_done {
                if self.waiting.wait() == Wait::Head && self.reader.response().is_some() {
                    self.waiting.begin(Wait::Body, self.now);
                }
                self.progress.final_early |=
                    self.progress.is_early(arrived) && self.reader.has_begun_final();
                self.progress.answered_early |= self.progress.final_early;
                return written;
            }
        }
    }

    /// Writes data of small chunks to the output, if it takes the body.
    fn pass_on(&mut self, data: &[u8]) -> Result<(), Error> {
        let response = self.reader.response();
        if !response.is_some_and(|response| self.output.takes(response)) {
            return Ok(());
        }
        let written = self.output.write_all(data, self.deadline, self.service);
        self.pause_ended();
        written
    }

    /// Content that comes too early on a connection that was used before may be the late response to the
    /// previous request, and belong to another person. It is not passed on.
    fn refuse_late_content(&self) -> Result<(), Error> {
        let response = self.reader.response();
        // Under any other status it is a page that refuses, as in the verdict table.
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

    /// A `100 Continue` came. It asks for what is after the preview, once. After `ieof`, and without a preview,
    /// it means nothing (erratum 5893).
    fn take_continue(&mut self) -> Result<(), Error> {
        let is_open = matches!(self.progress.stage, Stage::Preview | Stage::Decision);
        if self.progress.continued {
            return Err(self.violation(Violation::Unexpected100));
        }
        if !is_open || self.progress.request_written {
            return Ok(());
        }
        // It is held until the preview is written, unless it may be meant for the previous request.
        let is_early = self.progress.final_early || self.arrived_early();
        if self.is_reused() && is_early {
            return Err(self.violation(Violation::EarlyResponse));
        }
        self.progress.due_at = None;
        self.progress.continued = true;
        Ok(())
    }

    /// No request was written on this connection yet, so nothing that arrives can be a response.
    pub(super) fn unsolicited(&mut self, readiness: Readiness) -> Error {
        if readiness != Readiness::Readable {
            return self.disconnected(Phase::Write, closed());
        }
        self.refuse_unsolicited()
    }

    /// Reads on while the bytes can become a [`REFUSAL`], so that it counts the same at every split. Other bytes
    /// are read only for the error: they show what kind of server it is.
    fn refuse_unsolicited(&mut self) -> Error {
        let deadline = self.deadline.within(PATIENCE, TimeLimit::ReadTimeout);
        while is_beginning_of_refusal(self.connection.unread()) {
            let Some(left) = deadline.left() else {
                break;
            };
            match self.connection.read(left) {
                Ok(1..) => {}
                Err(error) if is_stall(&error) => {}
                // The error does not matter.
                Ok(0) | Err(_) => break,
            }
        }
        self.violation(Violation::Unsolicited)
    }
}

/// Whether more bytes can make a [`REFUSAL`] of it.
fn is_beginning_of_refusal(bytes: &[u8]) -> bool {
    bytes.len() < REFUSAL.len() && REFUSAL.as_bytes().starts_with(bytes)
}
