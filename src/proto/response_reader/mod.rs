//! The incremental reader of a response (RFC 3507 §4.3.3, §4.4).
//!
//! [`ResponseReader`] takes bytes as they arrive and returns what they mean: an interim response, the final head, a
//! piece of body, the end. It reads up to the response's own end and no byte further, because the next response
//! would begin there. The end of a connection never is the end of a response.

mod framing;
mod remains;
mod state;
#[cfg(test)]
mod tests;

use framing::{
    Framing, check_http_request, check_http_response, fits, parse_icap_head, split_heads,
};
pub(crate) use remains::{Fragments, Remains};
use remains::{may_go_on_oddly, odd_head};
use state::State;

use crate::proto::chunk::Decoded;
use crate::proto::encapsulated::{BodyKind, Encapsulated};
use crate::proto::http_head;
use crate::proto::limits::{MAX_HEAD, MAX_INTERIM_RESPONSES};
use crate::proto::method::Method;
use crate::proto::response::{Response, StatusHead};
use crate::proto::status_line;
use crate::proto::text::{displayable, excerpt};
use crate::proto::violation::{Limit, Violation};

/// The meaning of the bytes that were taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'i> {
    /// All of the input was taken, and more is needed.
    NeedsMore,
    /// An interim (1xx) response, which has this status. The final one is still to come.
    Interim(u16),
    /// The heads of the final response are complete.
    Head,
    /// A piece of the decoded body.
    Body(&'i [u8]),
    /// The response is complete. Bytes that were not taken do not belong to it.
    End,
}

/// Reads one final response, and the interim ones before it, from input in pieces of any size.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    method: Method,
    body_limit: u64,
    state: State,
    response: Option<Response>,
    interim: Vec<StatusHead>,
    /// The line of a head at fault, for the error.
    seen: Option<String>,
}

impl ResponseReader {
    /// A reader of the response to a request with `method`. Its body may have `body_limit` bytes.
    pub(crate) fn new(method: Method, body_limit: u64) -> Self {
        Self {
            method,
            body_limit,
            state: State::start(),
            response: None,
            interim: Vec::new(),
            seen: None,
        }
    }

    /// Takes bytes of `input`. Returns how many, and what they mean.
    ///
    /// An event may need no more input, so call it until it returns [`Event::NeedsMore`].
    pub(crate) fn feed<'i>(&mut self, input: &'i [u8]) -> Result<(usize, Event<'i>), Violation> {
        match &mut self.state {
            State::IcapHead { .. } => self.feed_icap_head(input),
            State::HttpHeads { .. } => self.feed_http_heads(input),
            State::Body { fault: None, .. } => self.feed_body(input),
            State::Body { .. } => self.feed_faulty_body(input),
            State::Ended => Ok((0, Event::End)),
        }
    }

    /// Takes small chunks of the body, whole ones at the beginning of `input`. Appends their data to `gathered`, up to
    /// [`GATHERED`](crate::proto::chunk::GATHERED) bytes. Returns how many bytes of `input` were taken.
    pub(crate) fn take_small_chunks(&mut self, input: &[u8], gathered: &mut Vec<u8>) -> usize {
        let State::Body {
            decoder,
            len,
            fault: None,
        } = &mut self.state
        else {
            return 0;
        };
        let before = gathered.len();
        let used = decoder.take_small_chunks(input, gathered);
        *len += (gathered.len() - before) as u64;
        used
    }

    /// Whether any byte of a response was taken.
    pub(crate) fn has_begun(&self) -> bool {
        match &self.state {
            State::IcapHead { buffer, .. } => !buffer.is_empty() || !self.interim.is_empty(),
            _ => true,
        }
    }

    /// Whether any byte after the interim responses was taken.
    pub(crate) fn has_begun_final(&self) -> bool {
        match &self.state {
            State::IcapHead { buffer, .. } => !buffer.is_empty(),
            _ => true,
        }
    }

    /// Whether the response is complete.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// The response, once its ICAP head is complete.
    pub(crate) fn response(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// The violation if the connection ends now.
    pub(crate) fn violation_at_end(&self) -> Violation {
        match &self.state {
            State::IcapHead { buffer, .. } if !status_line::may_begin_icap(buffer) => {
                Violation::BadStatusLine
            }
            _ => Violation::Truncated,
        }
    }

    /// Takes the response, which is one to a preview only if `is_of_preview`. `None` before its ICAP head is complete.
    pub(crate) fn take_response(&mut self, is_of_preview: bool) -> Option<Response> {
        let response = self.response.as_mut()?;
        response.responds_to_preview_only = is_of_preview;
        self.response.take()
    }

    /// The parts of the response that came.
    pub(crate) fn into_remains(self) -> Remains {
        let mut fragments = Fragments::default();
        for head in &self.interim {
            fragments.interim.extend_from_slice(&head.bytes);
        }
        match &self.state {
            State::IcapHead { buffer, finder } => {
                let head = match status_line::may_begin_icap(buffer) {
                    true => finder.searched(buffer),
                    false => odd_head(buffer),
                };
                let is_interim =
                    status_line::legible_icap(head).is_some_and(|line| line.code < 200);
                let kept = if is_interim {
                    &mut fragments.interim
                } else {
                    &mut fragments.icap_head
                };
                kept.extend_from_slice(head);
            }
            State::HttpHeads { buffer, list, .. } => {
                let (request, response) = split_heads(buffer, *list);
                fragments.http_request = request.to_vec();
                fragments.http_response = response.to_vec();
            }
            State::Body { decoder, .. } => fragments.trailers = decoder.trailers().to_vec(),
            State::Ended => {}
        }
        Remains {
            response: self.response,
            fragments,
        }
    }

    /// The line of a head at fault, safe to show; `None` if the fault was in a body.
    pub(crate) fn seen(&self) -> Option<&str> {
        self.seen.as_deref()
    }

    fn feed_icap_head<'i>(&mut self, input: &[u8]) -> Result<(usize, Event<'i>), Violation> {
        let State::IcapHead { buffer, finder } = &mut self.state else {
            return Ok((0, Event::NeedsMore));
        };
        if buffer.is_empty() {
            // A head that came whole and is valid is read in one pass, and copied once.
            let most = &input[..input.len().min(MAX_HEAD)];
            if let Ok(head) = parse_icap_head(most) {
                return self.take_icap_head(head, input, 0);
            }
        }
        let before = buffer.len();
        buffer.extend_from_slice(&input[..input.len().min(MAX_HEAD - before)]);
        let at_limit = buffer.len() == MAX_HEAD;
        let found = if status_line::may_begin_icap(buffer) {
            finder.find(buffer)
        } else if may_go_on_oddly(buffer, before) && !at_limit {
            Ok(None)
        } else {
            Err(Violation::BadStatusLine)
        };
        match found {
            Ok(Some(end)) => {
                let head = parse_icap_head(&buffer[..end]);
                let head = head.map_err(|bad| self.saw_line(bad.at, bad.violation))?;
                self.take_icap_head(head, input, before)
            }
            Ok(None) if !at_limit => Ok((buffer.len() - before, Event::NeedsMore)),
            Ok(None) => Err(self.saw_line(0, Violation::LimitExceeded(Limit::Head))),
            Err(violation) => Err(self.saw_line(0, violation)),
        }
    }

    /// An ICAP head is complete, of which `before` bytes came before `input`.
    fn take_icap_head<'i>(
        &mut self,
        (head, framing): (StatusHead, Framing),
        input: &[u8],
        before: usize,
    ) -> Result<(usize, Event<'i>), Violation> {
        let used = head.bytes.len() - before;
        if head.code < 200 {
            return Ok((used, self.take_interim(head, &framing)?));
        }
        self.take_final(head, framing)?;
        let (more, event) = self.feed_http_heads(&input[used..])?;
        Ok((used + more, event))
    }

    /// The final ICAP head is complete: encapsulated heads are read next.
    fn take_final(&mut self, head: StatusHead, framing: Framing) -> Result<(), Violation> {
        let code = head.code;
        let list = framing.encapsulated(self.method, code);
        let unfit = list.and_then(|list| fits(list, self.method, code)).err();
        let fault = framing.fault(code).or(unfit);
        // Kept before the other checks: an infection header counts even if the rest is invalid.
        let response = self.response.insert(Response {
            head,
            http_request: None,
            http_response: None,
            trailers: Box::default(),
            body_len: None,
            use_original_body: None,
            responds_to_preview_only: false,
            interim: std::mem::take(&mut self.interim),
            method: self.method,
            has_bare_body: false,
            notes: framing.notes,
        });
        let list = match (list, fault) {
            (Ok(list), None) => list,
            // The HTTP heads and the body can be read, and heads and trailers may have evidence.
            (Ok(list), Some(_)) if list.heads_len() > 0 => list,
            (Ok(list), Some(Violation::BodyOn204)) if list.body != BodyKind::Null => list,
            (_, Some(violation)) | (Err(violation), None) => {
                self.state = State::at_refused(&response.head.bytes);
                return Err(self.saw_list(violation));
            }
        };
        response.has_bare_body = list.body == BodyKind::Response && list.heads_len() == 0;
        self.state = State::HttpHeads {
            buffer: Vec::new(),
            list,
            fault,
        };
        Ok(())
    }

    fn take_interim(
        &mut self,
        head: StatusHead,
        framing: &Framing,
    ) -> Result<Event<'static>, Violation> {
        if let Err(violation) = self.check_interim(head.code, framing) {
            self.state = State::at_refused(&head.bytes);
            return Err(violation);
        }
        self.state = State::start();
        let code = head.code;
        self.interim.push(head);
        Ok(Event::Interim(code))
    }

    fn check_interim(&self, code: u16, framing: &Framing) -> Result<(), Violation> {
        if self.interim.len() == MAX_INTERIM_RESPONSES {
            return Err(Violation::LimitExceeded(Limit::InterimResponses));
        }
        framing.check(self.method, code)
    }

    fn feed_http_heads<'i>(&mut self, input: &[u8]) -> Result<(usize, Event<'i>), Violation> {
        let State::HttpHeads {
            buffer,
            list,
            fault,
        } = &mut self.state
        else {
            return Ok((0, Event::NeedsMore));
        };
        let (list, fault) = (*list, *fault);
        if list.heads_len() == 0 && fault.is_none() {
            self.state = State::after_heads(list.body, self.body_limit, None);
            return Ok((0, Event::Head));
        }
        let used = input.len().min(list.heads_len() - buffer.len());
        buffer.extend_from_slice(&input[..used]);
        if buffer.len() < list.heads_len() {
            return Ok((used, Event::NeedsMore));
        }
        let heads = buffer.clone();
        if let Some(violation) = fault {
            let is_followed = violation == Violation::BodyOn204 && list.body != BodyKind::Null;
            if !is_followed || self.take_http_heads(&heads, list, fault).is_err() {
                return Err(self.saw_list(violation));
            }
            let (more, event) = self.feed_faulty_body(&input[used..])?;
            return Ok((used + more, event));
        }
        self.take_http_heads(&heads, list, None)?;
        Ok((used, Event::Head))
    }

    fn take_http_heads(
        &mut self,
        heads: &[u8],
        list: Encapsulated,
        fault: Option<Violation>,
    ) -> Result<(), Violation> {
        let (request, response) = split_heads(heads, list);
        let http_request = (!request.is_empty()).then(|| check_http_request(request));
        let http_response = (!response.is_empty()).then(|| check_http_response(response));
        let kept = (http_request.transpose(), http_response.transpose());
        let (http_request, http_response) = match kept {
            (Ok(request), Ok(response)) => (request, response),
            (Err(violation), _) | (_, Err(violation)) => {
                // Not of a request: that would be the caller's own that came back.
                let line = http_head::start_line(response);
                self.seen = Some(displayable(line)).filter(|line| !line.is_empty());
                return Err(violation);
            }
        };
        if let Some(response) = &mut self.response {
            response.http_request = http_request;
            response.http_response = http_response;
        }
        self.state = State::after_heads(list.body, self.body_limit, fault);
        Ok(())
    }

    fn feed_body<'i>(&mut self, input: &'i [u8]) -> Result<(usize, Event<'i>), Violation> {
        let State::Body { decoder, len, .. } = &mut self.state else {
            return Ok((0, Event::NeedsMore));
        };
        let (used, decoded) = decoder.decode(input)?;
        let event = match decoded {
            Decoded::NeedsMore => Event::NeedsMore,
            Decoded::Data(data) => {
                *len += data.len() as u64;
                Event::Body(data)
            }
            Decoded::End => {
                self.end_body()?;
                Event::End
            }
        };
        Ok((used, event))
    }

    /// Discards a body that must not be there, up to the end of its trailers.
    fn feed_faulty_body<'i>(&mut self, input: &[u8]) -> Result<(usize, Event<'i>), Violation> {
        let State::Body {
            decoder,
            fault: Some(fault),
            ..
        } = &mut self.state
        else {
            return Ok((0, Event::NeedsMore));
        };
        let fault = *fault;
        let mut used = 0;
        loop {
            match decoder.decode(&input[used..]) {
                Ok((len, Decoded::NeedsMore)) => return Ok((used + len, Event::NeedsMore)),
                Ok((len, Decoded::Data(_))) => used += len,
                Ok((_, Decoded::End)) | Err(_) => return Err(self.saw_list(fault)),
            }
        }
    }

    fn end_body(&mut self) -> Result<(), Violation> {
        let State::Body { decoder, len, .. } = std::mem::replace(&mut self.state, State::Ended)
        else {
            return Ok(());
        };
        if let Some(response) = &mut self.response {
            response.body_len = Some(len);
            response.use_original_body = decoder.use_original_body();
            response.trailers = decoder.into_trailers();
            if response.use_original_body.is_some() && response.status() != 206 {
                return Err(Violation::BadUseOriginalBody);
            }
        }
        Ok(())
    }

    /// Keeps the `Encapsulated` field, for the error.
    fn saw_list(&mut self, violation: Violation) -> Violation {
        let headers = self.response.as_ref().map(Response::headers);
        let field = headers.and_then(|headers| headers.get("Encapsulated"));
        self.seen = field.map(|field| format!("{field:?}"));
        violation
    }

    /// Keeps the line of the ICAP head that begins at `at`, for the error.
    fn saw_line(&mut self, at: usize, violation: Violation) -> Violation {
        if let State::IcapHead { buffer, .. } = &self.state {
            let rest = buffer.get(at..).unwrap_or_default();
            let len = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
            // Without a status line it may be no response at all.
            self.seen = Some(match at {
                0 => excerpt(rest),
                _ => displayable(&rest[..len]),
            });
        }
        violation
    }
}
