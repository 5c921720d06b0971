use std::collections::BTreeMap;

use super::input::Input;
use super::odd_reader::Source;
use super::peer::{RESPONSES, Record, Server, UNSERVED, World};
use super::reference_chunks;
use super::reference_chunks::Ended;
use super::sent::find;
use super::worst::{Worst, legible};
use crate::error::Error;
use crate::proto::method::Method;
use crate::proto::response_reader::{Event, ResponseReader};
use crate::scan::Scanner;
use crate::scan::preview::Preview;
use crate::scan::report::Report;
use crate::scan::verdict::Verdict;

/// Whole scans: `data` is how three scans are done with one scanner, and what a server does on each
/// connection meanwhile: bytes, in TLS records or not, stalls, errors, at any time. A byte in a record comes
/// when the first byte of the record does.
///
/// - Every scan comes to an end.
/// - What is sent is a request with the content of this scan, or a beginning of one; content that fails,
///   that lies about what it read or that is too large is never completed; what is after a preview is sent
///   only after a `100 Continue`.
/// - Clean is only what was sent completely and then answered with a valid 204, or was returned whole by
///   a service that does not offer 204, or was not allowed it; not with a threat in sight, not under the
///   state tag of a server without an engine, and not if the response began before the last byte of content
///   was written.
/// - No response is made of bytes that were sent before its request was begun; a 204 on a connection that
///   was used before is not made of bytes read before the request was complete.
/// - A connection is used again only after a complete exchange with nothing after it, also no part of a TLS
///   record; and nothing is clean that has a bad record after it, or one without an end.
/// - A request is repeated once at most at each server, on a new connection, and only if it went out on an
///   old one.
/// - What comes back of a scan that is called modified is no beginning of the content.
/// - If a server says that it does not scan, the other one is asked.
/// - No verdict is better than the worst evidence that any server gave, and no evidence becomes an error.
pub fn exchange(data: &[u8]) {
    let mut input = Input::new(data);
    let plan = Plan::new(&mut input);
    let contents: Vec<Vec<u8>> = (0..SCANS).map(|scan| plan.content(scan)).collect();
    let server = Server::new(contents.clone(), &mut input);
    let scanner = plan.scanner(&server);
    let mut results = Vec::new();
    for (scan, content) in contents.iter().enumerate() {
        server.world().scan = scan;
        let content = plan.source.wrap(content);
        let mut back = Vec::new();
        let result = match plan.replaces {
            true => scanner.scan_replace(content, &mut back),
            false => scanner.scan(content),
        };
        if let Ok(report) = &result {
            assert_no_part(report, &back, &contents[scan]);
        }
        results.push(result);
    }
    drop(scanner);
    let world = server.world();
    let exchanges: Vec<Exchange<'_>> = world.records.iter().flat_map(Exchange::all).collect();
    for exchange in &exchanges {
        plan.assert_sent(exchange, &world);
        exchange.assert_reusable();
    }
    for (scan, result) in results.iter().enumerate() {
        let of_scan = exchanges.iter().filter(|exchange| exchange.scan == scan);
        let of_scan: Vec<&Exchange<'_>> = of_scan.collect();
        plan.assert_result(result, &of_scan, &world);
    }
}

/// The beginning of the content, also if it came back in a valid response, is nothing to deliver. (Of a 206
/// the service says itself where the content goes on.)
fn assert_no_part(report: &Report, back: &[u8], content: &[u8]) {
    let is_part = !back.is_empty() && back.len() < content.len() && content.starts_with(back);
    let is_delivered = matches!(report.verdict(), Verdict::Modified(_));
    assert!(
        !is_part || !is_delivered || report.status() == Some(206),
        "a part of the content as a replacement"
    );
}

/// The worst that any server says against the content.
fn worst_of(scans: &[&Exchange<'_>]) -> Option<Worst> {
    scans
        .iter()
        .filter_map(|exchange| exchange.evidence())
        .max()
}

/// Whether the client turned to the fallback in this scan, or may not have done so because that had said
/// 503, which suspends it for a moment.
fn is_fallback_asked(scan: usize, exchanges: &[&Exchange<'_>], world: &World) -> bool {
    let fallback = String::from(FALLBACK);
    let mut records = world.records.iter();
    world.asked.contains(&(scan, fallback))
        || exchanges
            .iter()
            .any(|exchange| exchange.service == FALLBACK)
        || records.any(|record| record.service == FALLBACK && find(&record.read, b" 503").is_some())
}

const SCANS: usize = 3;

const FALLBACK: &str = "icap://fallback.invalid/scan";

/// Content that can be read once is sent again only if all that was read of it was kept: no more than this.
const FIRST_BUFFER: usize = 64 * 1024;

/// How lines of a response begin that tell of a threat. No content has them.
const THREATS: &[&[u8]] = &[
    b"\r\nX-Virus-ID: Test\r\n",
    b"\r\nX-Infection-Found: Type=0",
];

/// In a state tag of c-icap without an engine, and what a service says whose licence has ended.
const NO_ENGINE: &[u8] = b"CI0001-1B2M2Y8AsgTpgAmY7PhCfg";
const NO_LICENCE: &[u8] = b"\r\nX-Error-Code: antivirus_license_expired\r\n";

/// How the scans are done.
struct Plan {
    negotiate: bool,
    method: Method,
    preview: Preview,
    allow_204: bool,
    allow_206: bool,
    replaces: bool,
    max_size: Option<u64>,
    /// There is another server for what the first does not scan.
    has_fallback: bool,
    len: usize,
    source: Source,
}

impl Plan {
    fn new(input: &mut Input<'_>) -> Self {
        let flags = input.byte();
        let method = if flags & 2 == 0 {
            Method::Respmod
        } else {
            Method::Reqmod
        };
        Self {
            negotiate: flags & 1 != 0,
            method,
            allow_204: flags & 128 == 0,
            allow_206: flags & 4 != 0,
            replaces: flags & 8 != 0,
            max_size: match flags & (16 | 64) {
                0 => None,
                16 => Some(10),
                _ => Some(100_000),
            },
            has_fallback: flags & 32 != 0,
            preview: match input.byte() {
                0 => Preview::Off,
                1 => Preview::Negotiated,
                size => Preview::Limit(usize::from(size) - 2),
            },
            len: input.choose(&[5, 0, 1, 30, 300, 70_000, 140_000]),
            source: input.choose(Source::ALL),
        }
    }

    /// Other bytes for each scan.
    fn content(&self, scan: usize) -> Vec<u8> {
        let text = format!("content of scan {scan}. ");
        let mut content = text.repeat(self.len / text.len() + 1).into_bytes();
        content.truncate(self.len);
        content
    }

    fn scanner(&self, server: &Server) -> Scanner {
        let builder = Scanner::builder("icap://server.invalid/scan")
            .negotiate(self.negotiate)
            .method(self.method)
            .preview(self.preview)
            .allow_204(self.allow_204)
            .allow_206(self.allow_206)
            .max_size(self.max_size)
            .connector(server.clone());
        let builder = match self.has_fallback {
            true => builder.endpoint(FALLBACK),
            false => builder,
        };
        builder.build().expect("valid settings")
    }

    fn is_too_large(&self, len: usize) -> bool {
        self.max_size.is_some_and(|max| len as u64 > max)
    }

    fn assert_sent(&self, exchange: &Exchange<'_>, world: &World) {
        let content = &world.contents[exchange.scan];
        assert!(content.starts_with(&exchange.content), "other content");
        if exchange.is_options() {
            return;
        }
        let is_ours = self.method.as_str().starts_with(exchange.method);
        assert!(is_ours, "{}", exchange.method);
        let has_an_end = !self.source.fails() && !self.is_too_large(content.len());
        assert!(
            has_an_end || !exchange.is_complete(),
            "an end of what has none"
        );
        assert!(
            !self.is_too_large(exchange.content.len()),
            "sent more than is allowed"
        );
        let fits = self.len < FIRST_BUFFER;
        assert!(
            fits || !exchange.is_reused || self.source.can_be_read_again(),
            "what cannot be sent again on a used connection"
        );
        if exchange.parts > 1 {
            assert!(
                find(exchange.answer, b"ICAP/1.0 100").is_some(),
                "nobody asked"
            );
        }
    }

    fn assert_result(
        &self,
        result: &Result<Report, Error>,
        exchanges: &[&Exchange<'_>],
        world: &World,
    ) {
        let (options, scans): (Vec<&Exchange<'_>>, Vec<&Exchange<'_>>) =
            exchanges.iter().copied().partition(|e| e.is_options());
        self.assert_attempts(&options);
        self.assert_attempts(&scans);
        if let Some(worst) = worst_of(&scans) {
            let is_told = result
                .as_ref()
                .is_ok_and(|it| worst.is_told_by(it.verdict()));
            assert!(is_told, "{worst:?} became {result:?}");
        }
        if scans.iter().any(|exchange| self.asks_next(exchange)) {
            let is_asked = is_fallback_asked(scans[0].scan, exchanges, world);
            assert!(
                is_asked || worst_of(&scans).is_some(),
                "nobody else was asked"
            );
        }
        let Ok(report) = result else { return };
        if scans.is_empty() {
            let len = world.contents[0].len();
            assert!(self.is_too_large(len), "a response is one to a request");
            return;
        }
        let of_service = |exchange: &&&Exchange<'_>| exchange.service == report.service();
        let last = scans.iter().rev().find(of_service);
        let last = last.expect("a response is one of who was asked");
        assert!(!last.has_stale_bytes, "a response of before");
        if report.verdict() == &Verdict::Clean {
            self.assert_clean(report, last, world);
        }
    }

    /// Whether the first server says that it does not scan, so that the other one must be asked: if the
    /// content can be sent again, and nothing was written that cannot be taken back.
    fn asks_next(&self, exchange: &Exchange<'_>) -> bool {
        let is_kept = self.source == Source::Reader && self.len < FIRST_BUFFER;
        let can_be_sent_again = is_kept || self.source.can_be_read_again();
        let is_possible = self.has_fallback && !self.replaces && can_be_sent_again;
        let is_certain = exchange.service != FALLBACK
            && exchange.is_complete()
            && !exchange.is_reused
            && !exchange.has_stale_bytes;
        let is_unserved = UNSERVED.iter().any(|it| exchange.answer == it.as_bytes());
        let early = exchange.answer == RESPONSES[0].as_bytes() && exchange.is_read_early(0);
        is_possible && is_certain && (is_unserved || early)
    }

    /// Those of one scan.
    fn assert_attempts(&self, all: &[&Exchange<'_>]) {
        let mut of_services: BTreeMap<&str, Vec<&Exchange<'_>>> = BTreeMap::new();
        for exchange in all {
            let of_service = of_services.entry(exchange.service).or_default();
            of_service.push(exchange);
        }
        for attempts in of_services.values() {
            assert!(attempts.len() <= 2, "repeated too often");
            if let [first, second] = attempts[..] {
                assert!(
                    first.is_reused && !second.is_reused,
                    "repeated without need"
                );
            }
        }
        // What was sent before the last attempt is all that was read of it, and kept.
        let is_kept = |exchange: &&Exchange<'_>| exchange.content.len() <= FIRST_BUFFER;
        let sent_content = all.iter().filter(|exchange| !exchange.is_options());
        assert!(
            self.source.can_be_read_again() || sent_content.rev().skip(1).all(is_kept),
            "read twice"
        );
    }

    fn assert_clean(&self, report: &Report, exchange: &Exchange<'_>, world: &World) {
        let content = &world.contents[exchange.scan];
        assert!(exchange.is_complete(), "clean and not complete");
        assert_eq!(
            (&exchange.content, report.bytes_sent()),
            (content, content.len() as u64)
        );
        let (status, body, end) = exchange.read_response().expect("clean without a response");
        let after = &exchange.answer[end..];
        assert!(matches!(after, b"" | b"\r\n"), "clean with something after");
        assert!(!exchange.is_broken, "clean with a broken record after");
        let has = |line: &[u8]| find(&exchange.answer[..end], line).is_some();
        let is_infected = THREATS.iter().any(|line| has(line));
        assert!(!is_infected, "clean with a threat");
        assert!(!has(NO_ENGINE), "clean without an engine");
        assert!(!has(NO_LICENCE), "clean without a licence");
        let began = match status {
            204 => {
                let is_early = exchange.is_reused && exchange.is_early;
                assert!(!is_early, "of another request");
                assert!(self.allow_204, "clean without the bytes");
                exchange.interim_len()
            }
            200 | 201 => {
                let is_asked_for = self.negotiate || !self.allow_204;
                assert!(is_asked_for, "an echo of who was not asked");
                assert_eq!(&body, content, "an echo of something else");
                end.saturating_sub(body.len())
            }
            status => panic!("clean for {status}"),
        };
        assert!(!exchange.is_read_early(began), "clean before all was sent");
    }
}

/// A request, as far as it was written, and what was read before the next one was begun.
struct Exchange<'r> {
    scan: usize,
    service: &'r str,
    method: &'r str,
    /// What was sent of the content.
    content: Vec<u8>,
    /// A preview and what follows it are two.
    parts: usize,
    /// How the last part ends.
    ended: Ended<'r>,
    is_preview: bool,
    /// There was an exchange on this connection before.
    is_reused: bool,
    is_last: bool,
    answer: &'r [u8],
    /// Up to where each piece of the response goes, and how much of the request was written when it was read.
    pieces: Vec<(usize, usize)>,
    /// What of the request is written when the last byte of content is.
    content_end: usize,
    /// Some of the response was sent before the request was begun.
    has_stale_bytes: bool,
    /// Some of the final response was read before the request was complete.
    is_early: bool,
    /// A record came in the same scan that was bad or had no end.
    is_broken: bool,
}

impl<'r> Exchange<'r> {
    /// All exchanges of a connection.
    fn all(record: &'r Record) -> Vec<Self> {
        let mut exchanges = Vec::new();
        let mut at = 0;
        while at < record.written.len() {
            let (mut exchange, len) = Self::request(&record.written[at..]);
            let first_write = record.writes.iter().rev().find(|(start, _)| *start <= at);
            exchange.scan = first_write.expect("it was written").1;
            exchange.is_reused = at > 0;
            exchange.service = &record.service;
            exchange.take_answer(record, at, at + len);
            exchanges.push(exchange);
            at += len;
        }
        if let Some(last) = exchanges.last_mut() {
            last.is_last = true;
            last.is_broken = record.broken_in == Some(last.scan);
        }
        exchanges
    }

    /// Takes the first request apart; returns how long it is.
    fn request(written: &'r [u8]) -> (Self, usize) {
        let mut exchange = Self {
            scan: 0,
            service: "",
            method: "",
            content: Vec::new(),
            parts: 0,
            ended: Ended::Incomplete,
            is_preview: false,
            is_reused: false,
            is_last: false,
            answer: b"",
            pieces: Vec::new(),
            content_end: 0,
            has_stale_bytes: false,
            is_early: false,
            is_broken: false,
        };
        let method = written.split(|&b| b == b' ').next().expect("a word");
        exchange.method = std::str::from_utf8(method).expect("a method");
        let Some(head_len) = find(written, b"\r\n\r\n").map(|at| at + 4) else {
            return (exchange, written.len());
        };
        let head = std::str::from_utf8(&written[..head_len]).expect("ASCII");
        exchange.is_preview = head.contains("\r\nPreview: ");
        let list = head
            .split("\r\nEncapsulated: ")
            .nth(1)
            .expect("Encapsulated");
        let body_at = list.trim_end().rsplit('=').next().expect("an offset");
        let mut at = head_len + body_at.parse::<usize>().expect("an offset");
        if exchange.is_options() {
            exchange.ended = Ended::Complete {
                used: 0,
                trailers: b"",
                offset: None,
                is_ieof: false,
            };
            return (exchange, at);
        }
        exchange.content_end = at;
        while exchange.expects_part(written.get(at..).unwrap_or_default()) {
            let len = exchange.take_part(&written[at..]);
            // No content has a line like the one of the last chunk.
            let last_data = written[at..at + len]
                .windows(3)
                .rposition(|it| it == b"\r\n0");
            exchange.content_end = last_data.map_or(exchange.content_end, |end| at + end);
            at += len;
        }
        (exchange, at.min(written.len()))
    }

    /// Whether what follows is another part of the same request.
    fn expects_part(&self, rest: &[u8]) -> bool {
        let continues = match (self.parts, self.ended) {
            (0, _) => true,
            (1, Ended::Complete { is_ieof, .. }) => self.is_preview && !is_ieof,
            _ => false,
        };
        continues && rest.first().is_some_and(u8::is_ascii_hexdigit)
    }

    fn take_part(&mut self, rest: &'r [u8]) -> usize {
        let decoded = reference_chunks::decode(rest, u64::MAX);
        assert_ne!(decoded.ended, Ended::Invalid, "{}", rest.escape_ascii());
        self.content.extend_from_slice(&decoded.data);
        self.parts += 1;
        self.ended = decoded.ended;
        match decoded.ended {
            Ended::Complete { used, .. } => used,
            _ => rest.len(),
        }
    }

    /// What was read after the request's first byte, in the same scan and before the next request.
    fn take_answer(&mut self, record: &'r Record, start: usize, end: usize) {
        let mut at = 0;
        let mut range: Option<(usize, usize)> = None;
        let mut early = 0;
        for run in &record.reads {
            let is_ours = run.read_at > start && run.read_at <= end && run.scan == self.scan;
            if is_ours {
                let begin = range.map_or(at, |range| range.0);
                range = Some((begin, at + run.len));
                self.pieces
                    .push((at + run.len - begin, run.seen_at.saturating_sub(start)));
                self.has_stale_bytes |= run.sent_at <= start;
                early += if run.seen_at < end { run.len } else { 0 };
            }
            at += run.len;
        }
        let (begin, end) = range.unwrap_or_default();
        self.answer = &record.read[begin..end];
        self.is_early = early > self.interim_len();
    }

    /// Whether this byte of the response was read before the last byte of content was written.
    fn is_read_early(&self, at: usize) -> bool {
        let piece = self.pieces.iter().find(|(end, _)| at < *end);
        piece.is_some_and(|(_, written)| *written < self.content_end)
    }

    /// Bytes of interim responses.
    fn interim_len(&self) -> usize {
        let mut at = 0;
        while self.answer[at..].starts_with(b"ICAP/1.0 1") {
            match find(&self.answer[at..], b"\r\n\r\n") {
                Some(end) => at += end + 4,
                None => return self.answer.len(),
            }
        }
        at
    }

    /// What the server says against the content. What it sent before it was asked is about other content.
    fn evidence(&self) -> Option<Worst> {
        if self.has_stale_bytes {
            return None;
        }
        let interim = b"ICAP/1.0 100 Continue\r\n\r\n";
        let response = self.answer.strip_prefix(interim).unwrap_or(self.answer);
        legible(self.method, response)
    }

    fn is_options(&self) -> bool {
        // Perhaps no more of it was written.
        self.method.starts_with('O')
    }

    /// All of the content was sent, and its end.
    fn is_complete(&self) -> bool {
        match self.ended {
            Ended::Complete { is_ieof, .. } => self.parts != 1 || !self.is_preview || is_ieof,
            _ => false,
        }
    }

    /// Status, body and length of the response, if that is complete.
    fn read_response(&self) -> Option<(u16, Vec<u8>, usize)> {
        let method = match self.method {
            "REQMOD" => Method::Reqmod,
            _ if self.is_options() => Method::Options,
            _ => Method::Respmod,
        };
        let mut reader = ResponseReader::new(method, u64::MAX);
        let (mut body, mut used) = (Vec::new(), 0);
        while !reader.has_ended() {
            let (len, event) = reader.feed(&self.answer[used..]).ok()?;
            used += len;
            match event {
                Event::Body(data) => body.extend_from_slice(data),
                Event::NeedsMore => return None,
                _ => {}
            }
        }
        Some((reader.response()?.status(), body, used))
    }

    /// Another exchange followed: this one must have been complete.
    fn assert_reusable(&self) {
        if self.is_last {
            return;
        }
        assert!(
            matches!(self.ended, Ended::Complete { .. }),
            "used again in the middle"
        );
        let (_, _, end) = self.read_response().expect("used again without a response");
        assert_eq!(end, self.answer.len(), "used again with something after");
        let answer = self.answer.to_ascii_lowercase();
        assert!(
            find(&answer, b"\r\nconnection: close\r\n").is_none(),
            "used again though asked to close"
        );
    }
}
