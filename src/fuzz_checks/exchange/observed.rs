//! One exchange, as the peer observed it.

use super::peer::Record;
use crate::fuzz_checks::reference_chunks::{self, Ended};
use crate::fuzz_checks::sent::find;
use crate::fuzz_checks::worst::{Worst, legible};
use crate::proto::method::Method;
use crate::proto::response_reader::{Event, ResponseReader};

/// A request, as far as it was written, and what was read before the next one was begun.
pub(super) struct Exchange<'r> {
    pub(super) scan: usize,
    pub(super) service: &'r str,
    pub(super) method: &'r str,
    /// What was sent of the content.
    pub(super) content: Vec<u8>,
    /// A preview and what follows it are two.
    pub(super) parts: usize,
    /// How the last part ends.
    ended: Ended<'r>,
    is_preview: bool,
    /// There was an exchange on this connection before.
    pub(super) is_reused: bool,
    is_last: bool,
    pub(super) response: &'r [u8],
    /// Up to where each piece of the response goes, and how much of the request was written when it was read.
    pieces: Vec<(usize, usize)>,
    /// What of the request is written when the last byte of content is.
    content_end: usize,
    /// Some of the response was sent before the request was begun.
    pub(super) has_stale_bytes: bool,
    /// Some of the final response was read before the request was complete.
    pub(super) is_early: bool,
    /// A record came in the same scan that was bad or had no end.
    pub(super) is_broken: bool,
}

impl<'r> Exchange<'r> {
    /// All exchanges of a connection.
    pub(super) fn all(record: &'r Record) -> Vec<Self> {
        let mut exchanges = Vec::new();
        let mut at = 0;
        while at < record.written.len() {
            let (mut exchange, len) = Self::request(&record.written[at..]);
            let first_write = record.writes.iter().rev().find(|(start, _)| *start <= at);
            exchange.scan = first_write.expect("it was written").1;
            exchange.is_reused = at > 0;
            exchange.service = &record.service;
            exchange.take_response(record, at, at + len);
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
            response: b"",
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
    fn take_response(&mut self, record: &'r Record, start: usize, end: usize) {
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
        self.response = &record.read[begin..end];
        self.is_early = early > self.interim_len();
    }

    /// Whether this byte of the response was read before the last byte of content was written.
    pub(super) fn is_read_early(&self, at: usize) -> bool {
        let piece = self.pieces.iter().find(|(end, _)| at < *end);
        piece.is_some_and(|(_, written)| *written < self.content_end)
    }

    /// Bytes of interim responses.
    pub(super) fn interim_len(&self) -> usize {
        let mut at = 0;
        while self.response[at..].starts_with(b"ICAP/1.0 1") {
            match find(&self.response[at..], b"\r\n\r\n") {
                Some(end) => at += end + 4,
                None => return self.response.len(),
            }
        }
        at
    }

    /// What the server says against the content. What it sent before it was asked is about other content.
    pub(super) fn evidence(&self) -> Option<Worst> {
        if self.has_stale_bytes {
            return None;
        }
        let interim = b"ICAP/1.0 100 Continue\r\n\r\n";
        let response = self.response.strip_prefix(interim).unwrap_or(self.response);
        legible(self.method, response)
    }

    pub(super) fn is_options(&self) -> bool {
        // Perhaps no more of it was written.
        self.method.starts_with('O')
    }

    /// All of the content was sent, and its end.
    pub(super) fn is_complete(&self) -> bool {
        match self.ended {
            Ended::Complete { is_ieof, .. } => self.parts != 1 || !self.is_preview || is_ieof,
            _ => false,
        }
    }

    /// Status, body and length of the response, if that is complete.
    pub(super) fn read_response(&self) -> Option<(u16, Vec<u8>, usize)> {
        let method = match self.method {
            "REQMOD" => Method::Reqmod,
            _ if self.is_options() => Method::Options,
            _ => Method::Respmod,
        };
        let mut reader = ResponseReader::new(method, u64::MAX);
        let (mut body, mut used) = (Vec::new(), 0);
        while !reader.has_ended() {
            let (len, event) = reader.feed(&self.response[used..]).ok()?;
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
    pub(super) fn assert_reusable(&self) {
        if self.is_last {
            return;
        }
        assert!(
            matches!(self.ended, Ended::Complete { .. }),
            "used again in the middle"
        );
        let (_, _, end) = self.read_response().expect("used again without a response");
        assert_eq!(end, self.response.len(), "used again with something after");
        let response = self.response.to_ascii_lowercase();
        assert!(
            find(&response, b"\r\nconnection: close\r\n").is_none(),
            "used again though asked to close"
        );
    }
}
