//! The incremental reader of a whole response (RFC 3507 §4.3.3, §4.4).
//!
//! [`ResponseReader`] is fed whatever arrives and says what it means: an interim response, the final
//! head, a piece of body, the end. It reads to the response's own end and no byte further, because that
//! is where the next response would begin. An end of the connection is never the end of a response.

use super::chunk::{ChunkDecoder, Decoded};
use super::encapsulated::{BodyKind, Encapsulated};
use super::head::HeadFinder;
use super::header::{Field, Headers, legible_fields};
use super::http_head;
use super::istag;
use super::limits::{MAX_HEAD, MAX_INTERIM_RESPONSES};
use super::method::Method;
use super::response::{Response, StatusHead};
use super::status_line;
use super::text::{displayable, glimpse};
use super::violation::{Limit, Violation};

/// What the bytes fed so far mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'i> {
    /// All of the input is used up; more is needed.
    NeedsMore,
    /// A 1xx answer; the final one is still to come.
    Interim(u16),
    /// The final response's heads are complete.
    Head,
    /// A piece of the decoded body.
    Body(&'i [u8]),
    /// The response is complete; what was not used does not belong to it.
    End,
}

/// Reads one final response, and the interim ones before it, from input that arrives in any pieces.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    method: Method,
    body_limit: u64,
    state: State,
    response: Option<Response>,
    interim: Vec<StatusHead>,
    /// What was wrong, when it was seen in a head.
    seen: Option<String>,
}

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

#[derive(Debug)]
enum State {
    IcapHead {
        buffer: Vec<u8>,
        finder: HeadFinder,
    },
    HttpHeads {
        buffer: Vec<u8>,
        list: Encapsulated,
        /// Why the response is refused after its HTTP heads, which may hold evidence.
        fault: Option<Violation>,
    },
    Body {
        decoder: ChunkDecoder,
        len: u64,
        /// Why the response is refused after its trailers, which may hold evidence. The body is discarded.
        fault: Option<Violation>,
    },
    Ended,
}

impl State {
    fn start() -> Self {
        Self::IcapHead {
            buffer: Vec::new(),
            finder: HeadFinder::default(),
        }
    }
}

impl ResponseReader {
    /// A reader of the response to a request with `method`, whose body may have `body_limit` bytes.
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

    /// Takes what it can of `input`; returns how much that was, and what it means.
    ///
    /// The heads may be complete without any more input, so call it until it needs more.
    pub(crate) fn feed<'i>(&mut self, input: &'i [u8]) -> Result<(usize, Event<'i>), Violation> {
        match &mut self.state {
            State::IcapHead { .. } => self.feed_icap_head(input),
            State::HttpHeads { .. } => self.feed_http_heads(input),
            State::Body { fault: None, .. } => self.feed_body(input),
            State::Body { .. } => self.feed_faulty_body(input),
            State::Ended => Ok((0, Event::End)),
        }
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

    /// The response, as far as its ICAP head was complete: also of one that broke off.
    pub(crate) fn response(&self) -> Option<&Response> {
        self.response.as_ref()
    }

    /// What is wrong if nothing comes any more.
    pub(crate) fn violation_at_end(&self) -> Violation {
        match &self.state {
            State::IcapHead { buffer, .. } if !status_line::may_begin_icap(buffer) => {
                Violation::BadStatusLine
            }
            _ => Violation::Truncated,
        }
    }

    /// What came of the response.
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

    /// The line of a head at fault for the last error, safe to show; `None` if it was in a body.
    pub(crate) fn seen(&self) -> Option<&str> {
        self.seen.as_deref()
    }

    fn feed_icap_head<'i>(&mut self, input: &[u8]) -> Result<(usize, Event<'i>), Violation> {
        let State::IcapHead { buffer, finder } = &mut self.state else {
            return Ok((0, Event::NeedsMore));
        };
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
                let head = buffer[..end].to_vec();
                let used = end - before;
                if let Some(interim) = self.take_icap_head(&head)? {
                    return Ok((used, interim));
                }
                let (more, event) = self.feed_http_heads(&input[used..])?;
                Ok((used + more, event))
            }
            Ok(None) if !at_limit => Ok((buffer.len() - before, Event::NeedsMore)),
            Ok(None) => Err(self.saw_line(0, Violation::LimitExceeded(Limit::Head))),
            Err(violation) => Err(self.saw_line(0, violation)),
        }
    }

    /// An ICAP head is complete: it is an interim response, or encapsulated heads are read next.
    fn take_icap_head(&mut self, bytes: &[u8]) -> Result<Option<Event<'static>>, Violation> {
        let head = StatusHead::parse(bytes, status_line::parse_icap, Violation::BadStatusLine)
            .map_err(|bad| self.saw_line(bad.at, bad.violation))?;
        let code = head.code;
        if code < 200 {
            return self.take_interim(head).map(Some);
        }
        // Kept before anything else is checked: an infection header counts even if the rest is bad.
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
        });
        let headers = response.headers();
        let list = encapsulated(headers, self.method, code);
        let unfit = list.and_then(|list| fits(list, self.method, code)).err();
        let fault = framing_fault(headers, code).or(unfit);
        let list = match (list, fault) {
            (Ok(list), None) => list,
            // Where the HTTP heads and the body are is known, and heads and trailers may hold evidence.
            (Ok(list), Some(_)) if list.heads_len() > 0 => list,
            (Ok(list), Some(Violation::BodyOn204)) if list.body != BodyKind::Null => list,
            (_, Some(violation)) | (Err(violation), None) => return Err(self.saw_list(violation)),
        };
        response.has_bare_body = list.body == BodyKind::Response && list.heads_len() == 0;
        self.state = State::HttpHeads {
            buffer: Vec::new(),
            list,
            fault,
        };
        Ok(None)
    }

    fn take_interim(&mut self, head: StatusHead) -> Result<Event<'static>, Violation> {
        if self.interim.len() == MAX_INTERIM_RESPONSES {
            return Err(Violation::LimitExceeded(Limit::InterimResponses));
        }
        let headers = head.headers();
        framing_fault(headers, head.code).map_or(Ok(()), Err)?;
        let list = encapsulated(headers, self.method, head.code)?;
        fits(list, self.method, head.code)?;
        self.state = State::start();
        let code = head.code;
        self.interim.push(head);
        Ok(Event::Interim(code))
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
                // Of a request it would be the caller's own that came back.
                let line = http_head::start_line(response);
                self.seen = Some(displayable(line)).filter(|line| !line.is_empty());
                return Err(violation);
            }
        };
        if let Some(answer) = &mut self.response {
            answer.http_request = http_request;
            answer.http_response = http_response;
        }
        self.state = match list.body {
            BodyKind::Null => State::Ended,
            _ => State::Body {
                decoder: ChunkDecoder::new(self.body_limit),
                len: 0,
                fault,
            },
        };
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

    /// Discards a body that should not be there, up to the end of its trailers.
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
        if let Some(answer) = &mut self.response {
            answer.body_len = Some(len);
            answer.use_original_body = decoder.use_original_body();
            answer.trailers = decoder.into_trailers();
            if answer.use_original_body.is_some() && answer.status() != 206 {
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
            // Where there is no status line, it need not be a response at all.
            self.seen = Some(match at {
                0 => glimpse(rest),
                _ => displayable(&rest[..len]),
            });
        }
        violation
    }
}

/// Whether `buffer` is the beginning of a head that is not valid and may hold evidence. It is refused, but not
/// before it is whole: what it says counts. Nothing before `searched` ends it.
fn may_go_on_oddly(buffer: &[u8], searched: usize) -> bool {
    status_line::may_begin_evidence(buffer) && status_line::odd_head_end(buffer, searched).is_none()
}

/// What of such a head counts: nothing that follows it, because how much of that came depends on the packaging.
fn odd_head(buffer: &[u8]) -> &[u8] {
    if !status_line::may_begin_evidence(buffer) {
        return &[];
    }
    &buffer[..status_line::odd_head_end(buffer, 0).unwrap_or(buffer.len())]
}

/// The HTTP request's head and the HTTP response's, as far as `heads` has them.
fn split_heads(heads: &[u8], list: Encapsulated) -> (&[u8], &[u8]) {
    heads.split_at(list.request_head.unwrap_or(0).min(heads.len()))
}

/// What is wrong with the fields that frame a response, other than `Encapsulated`.
fn framing_fault(headers: Headers<'_>, code: u16) -> Option<Violation> {
    // A fold in a field that frames the message is read differently by different readers.
    let framing = [
        "Encapsulated",
        "Transfer-Encoding",
        "Content-Length",
        "Connection",
    ];
    let is_framing = |name: &str| framing.iter().any(|f| f.eq_ignore_ascii_case(name));
    if headers
        .iter()
        .any(|field| field.is_folded() && is_framing(field.name()))
    {
        return Some(Violation::BadHeader);
    }
    if headers.get("Transfer-Encoding").is_some() {
        return Some(Violation::TransferEncoding);
    }
    // Elsewhere a Content-Length is odd and frames nothing; here it announces bytes after the end.
    let announces = |field: Field<'_>| !matches!(&*field.value(), b"" | b"0");
    let is_announced = code == 204 && headers.get_all("Content-Length").any(announces);
    is_announced.then_some(Violation::TrailingBytes)
}

/// What follows a head with these fields and this status (RFC 3507 §4.4.1 and its errata: this field
/// alone decides whether there is a body).
fn encapsulated(
    headers: Headers<'_>,
    method: Method,
    code: u16,
) -> Result<Encapsulated, Violation> {
    let mut fields = headers.get_all("Encapsulated");
    match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => Err(Violation::DuplicateEncapsulated),
        (Some(field), None) => Encapsulated::parse(&field.value()),
        // The response to OPTIONS says what a service can do in its head, and seldom has a body.
        (None, _) if method != Method::Options && matches!(code, 200 | 201 | 206) => {
            Err(Violation::MissingEncapsulated)
        }
        (None, _) => Ok(Encapsulated::NOTHING),
    }
}

/// Whether a response to this method with this status may have these parts.
fn fits(list: Encapsulated, method: Method, code: u16) -> Result<(), Violation> {
    match code {
        _ if !list.fits(method) => Err(Violation::BadEncapsulated),
        204 if list != Encapsulated::NOTHING => Err(Violation::BodyOn204),
        100..=199 if list != Encapsulated::NOTHING => Err(Violation::BodyOn100),
        // It has no chunk that could carry the offset.
        206 if list.body == BodyKind::Null => Err(Violation::BadEncapsulated),
        _ => Ok(()),
    }
}

fn check_http_response(bytes: &[u8]) -> Result<StatusHead, Violation> {
    check_extent(bytes)?;
    StatusHead::parse(bytes, status_line::parse_http, Violation::BadHttpStartLine).map_err(|bad| {
        match bad.violation {
            Violation::BadHeader => Violation::BadHttpHeader,
            other => other,
        }
    })
}

fn check_http_request(bytes: &[u8]) -> Result<Box<[u8]>, Violation> {
    check_extent(bytes)?;
    match http_head::check_request(bytes) {
        Ok(()) => Ok(bytes.into()),
        Err(_) => Err(Violation::BadHttpHeader),
    }
}

/// The first blank line is at the end (RFC 3507 §4.4.2): a head that ends elsewhere than its offset
/// says would be taken for data, or data for a head.
fn check_extent(bytes: &[u8]) -> Result<(), Violation> {
    match HeadFinder::default().find(bytes)? {
        Some(end) if end == bytes.len() => Ok(()),
        Some(_) if bytes.ends_with(b"\r\n\r\n") => Err(Violation::HttpHeadTrailing),
        _ => Err(Violation::HttpHeadNotTerminated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::header::legible_fields;
    use crate::proto::limits::MAX_DISPLAY;
    use crate::proto::splits::each_split;

    /// A response read to its end: what it says, its body, and how many bytes were left over.
    type Outcome = Result<Option<(u16, Vec<u8>, usize)>, Violation>;

    fn read_pieces(method: Method, pieces: &[&[u8]]) -> (Outcome, Option<u16>) {
        let mut reader = ResponseReader::new(method, 1 << 20);
        let mut body = Vec::new();
        let mut left: usize = pieces.iter().map(|p| p.len()).sum();
        for piece in pieces {
            let mut piece = *piece;
            loop {
                let (used, event) = match reader.feed(piece) {
                    Ok(step) => step,
                    Err(v) => return (Err(v), reader.response().map(Response::status)),
                };
                left -= used;
                piece = &piece[used..];
                match event {
                    Event::NeedsMore => break,
                    Event::Interim(_) | Event::Head => {}
                    Event::Body(data) => body.extend_from_slice(data),
                    Event::End => {
                        let status = reader.response().map_or(0, Response::status);
                        return (Ok(Some((status, body, left))), Some(status));
                    }
                }
            }
        }
        (Ok(None), reader.response().map(Response::status))
    }

    /// Reads at every split; all must agree, also on how much was understood.
    fn read(method: Method, input: &[u8]) -> Outcome {
        let whole = read_pieces(method, &[input]);
        each_split(input, |pieces| {
            assert_eq!(read_pieces(method, pieces), whole, "{pieces:?}");
        });
        whole.0
    }

    #[test]
    fn of_a_refused_answer_what_stood_before_the_fault_is_kept_at_every_split() {
        let kept = |pieces: &[&[u8]]| {
            let mut reader = ResponseReader::new(Method::Respmod, 0);
            'refused: for piece in pieces {
                let mut piece = *piece;
                while !piece.is_empty() {
                    let Ok((used, _)) = reader.feed(piece) else {
                        break 'refused;
                    };
                    piece = &piece[used..];
                }
            }
            let Fragments {
                icap_head,
                trailers,
                ..
            } = reader.into_remains().fragments;
            let lines = [icap_head, trailers].concat();
            let names = legible_fields(&lines).map(|field| field.name().to_owned());
            names.collect::<Vec<_>>()
        };
        for (input, names) in [
            ("ICAP/1.0 204\r\nA: 1\r\nB\nC: 2\r\n\r\n", &["A"][..]),
            ("ICAP/1.0 204 x\ry\r\nA: 1\r\n\r\nC: 2\r\n", &["A"]),
            ("HTTP/1.1 200 OK\r\nA: 1\r\n\r\nB: 2\r\n", &["A"]),
            ("\r\nICAP/1.1 200 OK\r\nA: 1\r\n\r\nB: 2\r\n", &["A"]),
            ("x-b: 1\nA: 1\n\nB: 2\r\n", &["x-b", "A"]),
            ("220 mail\r\nA: 1\r\n\r\n", &[]),
            (
                "ICAP/1.0 200\r\nEncapsulated: res-body=0\r\n\r\n0\r\nA: 1\r\nB\nC: 2\r\n\r\n",
                &["A"],
            ),
        ] {
            each_split(input.as_bytes(), |pieces| {
                assert_eq!(kept(pieces), names, "{pieces:?}");
            });
        }
    }

    const HTTP: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";

    fn answer(status: &str, fields: &str, rest: &str) -> Vec<u8> {
        format!("ICAP/1.0 {status}\r\nISTag: \"T-1\"\r\n{fields}\r\n{rest}").into_bytes()
    }

    fn ok(status: u16, body: &str, left: usize) -> Outcome {
        Ok(Some((status, body.as_bytes().to_vec(), left)))
    }

    #[test]
    fn valid_answers_are_read_to_their_own_end() {
        let with_http = "Encapsulated: res-hdr=0, res-body=38\r\n";
        let http_body = format!("{HTTP}{BODY}");
        for (input, expected) in [
            (answer("204 No Content", "", ""), ok(204, "", 0)),
            (answer("204 No Content", "", "X"), ok(204, "", 1)),
            (
                answer("204", "Encapsulated: null-body=0\r\n", ""),
                ok(204, "", 0),
            ),
            (answer("200 OK", with_http, &http_body), ok(200, "hello", 0)),
            (
                answer("200 OK", with_http, &format!("{http_body}\r\n")),
                ok(200, "hello", 2),
            ),
            (
                answer("201 Created", with_http, &http_body),
                ok(201, "hello", 0),
            ),
            (
                answer("200 OK", "Encapsulated: res-hdr=0, null-body=38\r\n", HTTP),
                ok(200, "", 0),
            ),
            (
                answer("200 OK", "Encapsulated: res-body=0\r\n", BODY),
                ok(200, "hello", 0),
            ),
            (
                answer("200 OK", "Encapsulated: null-body=0\r\n", ""),
                ok(200, "", 0),
            ),
            (
                b"ICAP/1.0 404 Service not found\r\n\r\n".to_vec(),
                ok(404, "", 0),
            ),
            (b"ICAP/1.0 403 Forbidden\r\n\r\n".to_vec(), ok(403, "", 0)),
            (
                [b"ICAP/1.0 100 Continue\r\n\r\n", &*answer("204 OK", "", "")].concat(),
                ok(204, "", 0),
            ),
            (answer("202 Accepted", "", ""), ok(202, "", 0)),
        ] {
            let shown = String::from_utf8_lossy(&input).into_owned();
            assert_eq!(read(Method::Respmod, &input), expected, "{shown}");
            for len in 0..input.len() - expected.as_ref().map_or(0, |o| o.as_ref().unwrap().2) {
                let cut = read_pieces(Method::Respmod, &[&input[..len]]).0;
                assert_eq!(cut, Ok(None), "cut at {len}: {shown}");
            }
        }
    }

    /// pyicap leaves it out there, and whatever follows is then no part of the response.
    #[test]
    fn the_answer_to_options_may_lack_encapsulated_and_other_answers_may_not() {
        let input = b"ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\n\r\n0\r\n\r\n";
        let read = |method| read_pieces(method, &[input]).0;
        assert_eq!(read(Method::Options), Ok(Some((200, Vec::new(), 5))));
        let missing = Err(Violation::MissingEncapsulated);
        assert_eq!(read(Method::Respmod), missing);
        assert_eq!(read(Method::Reqmod), missing);
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn malformed_answers_are_refused_for_what_is_wrong_with_them() {
        use Violation::*;
        let http_body = format!("{HTTP}{BODY}");
        let two_heads = format!("{HTTP}HTTP/1.1 403 Forbidden\r\n\r\n{BODY}");
        let list = |list: &str| format!("Encapsulated: {list}\r\n");
        for (status, fields, rest, violation) in [
            ("+204 OK", String::new(), "", BadStatusLine),
            ("204 OK", "NoColonHere\r\n".into(), "", BadHeader),
            (
                "204 OK",
                "Transfer-Encoding: chunked\r\n".into(),
                "",
                TransferEncoding,
            ),
            ("204 OK", list("res-body=0"), BODY, BodyOn204),
            ("100 Continue", list("res-body=0"), BODY, BodyOn100),
            (
                "204 OK",
                "Content-Length: 5\r\n".into(),
                "hello",
                TrailingBytes,
            ),
            ("200 OK", String::new(), &*http_body, MissingEncapsulated),
            (
                "200 OK",
                list("null-body=0") + &list("null-body=0"),
                "",
                DuplicateEncapsulated,
            ),
            (
                "200 OK",
                list("res-hdr=0,\r\n res-body=38"),
                &http_body,
                BadHeader,
            ),
            (
                "200 OK",
                list("\r\n res-hdr=0, res-body=38"),
                &http_body,
                BadHeader,
            ),
            (
                "200 OK",
                list("res-hdr=0, res-body=38\r\n "),
                &http_body,
                BadHeader,
            ),
            (
                "200 OK",
                list("res-hdr=0, opt-body=38"),
                &http_body,
                BadEncapsulated,
            ),
            ("200 OK", list("res-hdr=0, null-body=0"), "", EmptyHttpHead),
            (
                "200 OK",
                list("res-hdr=0, res-body=37"),
                &http_body,
                HttpHeadNotTerminated,
            ),
            (
                "200 OK",
                list("res-hdr=0, res-body=39"),
                &http_body,
                HttpHeadNotTerminated,
            ),
            (
                "200 OK",
                list("res-hdr=0, res-body=64"),
                &two_heads,
                HttpHeadTrailing,
            ),
            (
                "200 OK",
                list("res-hdr=0, res-body=14"),
                "HTTP/2 200\r\n\r\n",
                BadHttpStartLine,
            ),
            (
                "200 OK",
                list("res-hdr=0, res-body=13"),
                "nocolon:\r\n\r\n ",
                HttpHeadNotTerminated,
            ),
            (
                "200 OK",
                list("res-hdr=0, res-body=22"),
                "HTTP/1.1 200 OK\nA: b\n\n",
                BareLf,
            ),
            (
                "200 OK",
                list("res-hdr=0, res-body=25"),
                "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
                BadHttpHeader,
            ),
            (
                "206 Partial",
                list("res-hdr=0, null-body=38"),
                HTTP,
                BadEncapsulated,
            ),
            (
                "200 OK",
                list("res-body=0"),
                "0; use-original-body=0\r\n\r\n",
                BadUseOriginalBody,
            ),
        ] {
            let input = answer(status, &fields, rest);
            let shown = String::from_utf8_lossy(&input).into_owned();
            assert_eq!(read(Method::Respmod, &input), Err(violation), "{shown}");
        }
        for foreign in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "\r\nICAP/1.0 204 OK\r\n\r\n",
            "\x15\x03\x01",
        ] {
            assert_eq!(
                read(Method::Respmod, foreign.as_bytes()),
                Err(BadStatusLine)
            );
        }
        assert_eq!(read(Method::Respmod, b"ICAP/1.0 204 OK\n\n"), Err(BareLf));
    }

    #[test]
    fn an_answer_to_reqmod_may_be_a_request_or_a_response() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let request = answer("200 OK", "Encapsulated: req-hdr=0, null-body=27\r\n", get);
        assert_eq!(read(Method::Reqmod, &request), ok(200, "", 0));
        assert_eq!(
            read(Method::Respmod, &request),
            Err(Violation::BadEncapsulated)
        );
        let bad = request
            .iter()
            .map(|b| if *b == b'G' { b' ' } else { *b })
            .collect::<Vec<_>>();
        assert_eq!(read(Method::Reqmod, &bad), Err(Violation::BadHttpHeader));
    }

    #[test]
    fn a_head_may_be_as_long_as_the_limit() {
        for (len, accepted) in [
            (MAX_HEAD - 1, true),
            (MAX_HEAD, true),
            (MAX_HEAD + 1, false),
        ] {
            let filler = "x".repeat(len - 32);
            let head = format!("ICAP/1.0 204 No Content\r\nX: {filler}\r\n\r\n");
            assert_eq!(head.len(), len);
            let expected = if accepted {
                ok(204, "", 0)
            } else {
                Err(Violation::LimitExceeded(Limit::Head))
            };
            for cut in [0, 32, MAX_HEAD / 2, MAX_HEAD - 2] {
                let (first, second) = head.as_bytes().split_at(cut);
                let outcome = read_pieces(Method::Respmod, &[first, second]).0;
                assert_eq!(outcome, expected, "{len} cut at {cut}");
            }
        }
    }

    #[test]
    fn an_answer_begins_with_its_first_byte_and_the_final_one_behind_what_is_interim() {
        let mut reader = ResponseReader::new(Method::Respmod, 0);
        let mut after = |piece: &[u8]| {
            let mut used = 0;
            while used < piece.len() {
                used += reader.feed(&piece[used..]).unwrap().0;
            }
            (reader.has_begun(), reader.has_begun_final())
        };
        assert_eq!(after(b""), (false, false));
        assert_eq!(after(b"I"), (true, true));
        assert_eq!(after(b"CAP/1.0 100 Continue\r\n\r\n"), (true, false));
        assert_eq!(after(b"I"), (true, true));
        let head = "CAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=38\r\n\r\n";
        assert_eq!(after(head.as_bytes()), (true, true));
        assert_eq!(after(HTTP.as_bytes()), (true, true));
    }

    #[test]
    fn interim_answers_are_limited() {
        for (count, accepted) in [
            (MAX_INTERIM_RESPONSES - 1, true),
            (MAX_INTERIM_RESPONSES, true),
            (MAX_INTERIM_RESPONSES + 1, false),
        ] {
            let input = "ICAP/1.0 102 Processing\r\n\r\n".repeat(count) + "ICAP/1.0 204 OK\r\n\r\n";
            let outcome = read_pieces(Method::Respmod, &[input.as_bytes()]).0;
            assert_eq!(outcome.is_ok(), accepted, "{count}");
        }
    }

    fn response(input: &[u8]) -> Response {
        let mut reader = ResponseReader::new(Method::Respmod, u64::MAX);
        let mut used = 0;
        while !reader.has_ended() {
            used += reader.feed(&input[used..]).unwrap().0;
        }
        reader.into_remains().response.unwrap()
    }

    #[test]
    fn an_istag_may_be_missing_unquoted_or_long() {
        for (field, expected) in [
            ("ISTag: \"T-1\"\r\n", Some("T-1".to_owned())),
            (
                "ISTag: 5BDEEEA9-12E4-2\r\n",
                Some("5BDEEEA9-12E4-2".to_owned()),
            ),
            ("istag: \"\"\r\n", Some(String::new())),
            ("ISTag: \"a\r\n", None),
            ("ISTag:\r\n", None),
            ("", None),
        ] {
            let input = format!("ICAP/1.0 204 OK\r\n{field}\r\n");
            assert_eq!(response(input.as_bytes()).istag(), expected, "{field}");
        }
        for (len, kept) in [
            (MAX_DISPLAY - 1, true),
            (MAX_DISPLAY, true),
            (MAX_DISPLAY + 1, false),
        ] {
            let input = format!("ICAP/1.0 204 OK\r\nISTag: \"{}\"\r\n\r\n", "A".repeat(len));
            assert_eq!(response(input.as_bytes()).istag().is_some(), kept, "{len}");
        }
    }

    #[test]
    fn what_is_odd_or_wants_to_close_is_known() {
        let of = |fields: &str| response(&answer("204 OK", fields, ""));
        assert!(of("connection: Foo ,  CLOSE\r\n").asks_to_close());
        assert!(!of("Connection: closed, x-close\r\n").asks_to_close());
        assert!(of("Content-Length: 0\r\n").oddity(0).is_some());
        assert!(of("").oddity(0).is_none());
        let interim = [b"ICAP/1.0 100 Continue\r\n\r\n", &*answer("204 OK", "", "")].concat();
        assert!(response(&interim).oddity(0).is_some());
    }

    #[test]
    fn heads_body_and_trailers_are_kept_apart() {
        let input = answer(
            "200 O\tK",
            "Encapsulated: res-hdr=0, res-body=38\r\n",
            &format!("{HTTP}5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
        );
        let response = response(&input);
        assert_eq!(response.reason(), "O\\tK");
        assert_eq!(response.http_status(), Some(200));
        assert_eq!(response.http_response(), Some(HTTP.as_bytes()));
        assert_eq!(response.http_headers().unwrap().iter().count(), 1);
        assert_eq!(response.trailers().get("x-t").unwrap().text(), "1");
        assert!(response.headers().get("x-t").is_none());
        assert_eq!(response.body_len(), Some(5));
    }

    #[test]
    fn a_response_shows_what_the_service_said_and_of_the_content_only_names() {
        let http = "HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\n\r\n";
        let fields = format!(
            "X-A: \x1b[2J\r\nEncapsulated: res-hdr=0, null-body={}\r\n",
            http.len()
        );
        let shown = format!("{:?}", response(&answer("200 OK", &fields, http)));
        for part in [
            "200 OK",
            "T-1",
            "[2J",
            "Set-Cookie",
            "http_status: Some(200)",
        ] {
            assert!(
                shown.contains(&part.escape_debug().to_string()) || shown.contains(part),
                "{shown}"
            );
        }
        assert!(
            !shown.contains("secret") && !shown.contains('\x1b'),
            "{shown}"
        );
    }

    #[test]
    fn the_line_at_fault_is_shown() {
        let mut reader = ResponseReader::new(Method::Respmod, 0);
        let input = b"ICAP/1.0 204 OK\r\nISTag: x\r\nbroken\x1b line\r\n\r\n";
        assert_eq!(reader.feed(input), Err(Violation::BadHeader));
        assert_eq!(reader.seen(), Some("broken\\u{1b} line"));
        let seen = |input: &[u8]| {
            let mut reader = ResponseReader::new(Method::Respmod, 0);
            let mut used = 0;
            while let Ok((more, _)) = reader.feed(&input[used..]) {
                used += more;
            }
            reader.seen().map(str::to_owned)
        };
        let foreign = b"HTTP/1.1 302 Found\nLocation: /somewhere/quite/else\r\n\r\n";
        let is = Some("HTTP/1.1 302 Found".to_owned());
        assert_eq!(seen(foreign), is, "only how it begins");
        let bad = format!("HTTP 200\r\n{}\r\n", "X: 1\r\n".repeat(4));
        let fields = format!("Encapsulated: res-hdr=0, null-body={}\r\n", bad.len());
        let is = Some("HTTP 200".to_owned());
        assert_eq!(seen(&answer("200 OK", &fields, &bad)), is);
        let bad = "\r\n\r\n";
        let fields = "Encapsulated: res-hdr=0, null-body=4\r\n";
        assert_eq!(seen(&answer("200 OK", fields, bad)), None);
    }
}
