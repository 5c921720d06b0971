//! A field that may be another's than the service's never makes a verdict better.

use super::input::Input;
use super::said::{feed, said_by};
use crate::evidence::CustomHeaders;
use crate::proto::method::Method;
use crate::proto::response_reader::ResponseReader;
use crate::scan::decide::{Sent, decide, from_evidence};
use crate::scan::verdict::Verdict;

/// Where in a response lines stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Icap,
    Http,
    Trailer,
    Interim,
}

/// A response, but for the lines that are planted in it.
pub(super) struct Plan {
    status: &'static str,
    place: Place,
    http_line: &'static str,
    /// In the service's own head.
    own: &'static str,
    method: Method,
    sent: Sent,
    /// Bytes that come of it, if it breaks off.
    cut: Option<usize>,
    /// What follows it.
    rest: Vec<u8>,
}

const HTTP_LINES: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 403 Forbidden\r\n",
    "HTTP/1.1 502 Bad Gateway\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
];

const OWN: &[&str] = &[
    "",
    "X-Infection-Found: Type=2; Threat=Test\r\n",
    "X-Virus-ID: Test\r\n",
    "X-Infection-Found: Type=0; Resolution=2; Threat=Test\r\n",
    "X-Error-Code: max_size\r\n",
    "X-Error-Code: server_unavailable\r\n",
    "X-Response-Info: blocked\r\n",
    "X-Response-Info: virus found\r\n",
    "X-Response-Desc: scan error\r\n",
];

impl Plan {
    pub(super) fn new(input: &mut Input<'_>, status: &'static str, place: Place) -> Self {
        let (http_line, own) = (input.choose(HTTP_LINES), input.choose(OWN));
        let flags = u16::from_le_bytes([input.byte(), input.byte()]);
        let is = |bit: u16| flags & 1 << bit != 0;
        let sent = Sent {
            is_complete: !is(0),
            responds_to_preview: is(1),
            trusts_preview: is(2),
            allowed_204: !is(3),
            allowed_206: !is(4),
            length: 5,
            offers_204: is(5),
            is_echoed: is(6),
            is_beginning: is(7),
            is_early: is(8),
            lacks_engine: is(9),
            has_trailing: is(10),
        };
        let method = if is(11) {
            Method::Reqmod
        } else {
            Method::Respmod
        };
        let cut = is(12).then(|| usize::from(u16::from_le_bytes([input.byte(), input.byte()])));
        let rest = input.rest().to_vec();
        Self {
            status,
            place,
            http_line,
            own,
            method,
            sent,
            cut,
            rest,
        }
    }

    /// The response with `lines` at the place, and where they begin.
    pub(super) fn response(&self, lines: &[u8]) -> (Vec<u8>, usize) {
        let mut response = Vec::new();
        let mut lines_at = 0;
        let mut plant = |response: &mut Vec<u8>, place: Place| {
            if self.place == place {
                lines_at = response.len();
                response.extend_from_slice(lines);
            }
        };
        if self.place == Place::Interim {
            response.extend_from_slice(b"ICAP/1.0 100 Continue\r\n");
            plant(&mut response, Place::Interim);
            response.extend_from_slice(b"\r\n");
        }
        let status = self.status;
        response.extend_from_slice(format!("ICAP/1.0 {status} x\r\n").as_bytes());
        let http_fields = if self.place == Place::Http {
            lines.len()
        } else {
            0
        };
        let http_len = self.http_line.len() + http_fields + b"\r\n".len();
        if status != "204" {
            // As long for each length.
            let list = format!("Encapsulated: res-hdr=0, res-body={http_len:05}\r\n");
            response.extend_from_slice(list.as_bytes());
        }
        response.extend_from_slice(self.own.as_bytes());
        plant(&mut response, Place::Icap);
        response.extend_from_slice(b"\r\n");
        response.extend_from_slice(self.http_line.as_bytes());
        plant(&mut response, Place::Http);
        response.extend_from_slice(b"\r\n1\r\nx\r\n0\r\n");
        plant(&mut response, Place::Trailer);
        response.extend_from_slice(b"\r\n");
        response.extend_from_slice(&self.rest);
        (response, lines_at)
    }

    fn severity(&self, response: &[u8]) -> Severity {
        let mut reader = ResponseReader::new(self.method, u64::MAX);
        feed(&mut reader, response);
        if !reader.has_ended() {
            return Severity::of(said_by(reader).evidence.map(from_evidence).as_ref());
        }
        let whole = reader.into_remains().response.expect("it has ended");
        let verdict = decide(&whole, &self.sent, &CustomHeaders::default());
        Severity::of(verdict.ok().as_ref())
    }
}

/// From better to worse, for the person who gets the content. An error is as bad as content that was not
/// scanned: after either, a scan may fail over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Clean,
    /// It may be delivered in place of the content.
    Modified,
    /// An error, or not scanned.
    NoVerdict,
    Blocked,
    Infected,
}

impl Severity {
    fn of(verdict: Option<&Verdict>) -> Self {
        match verdict {
            Some(Verdict::Clean) => Self::Clean,
            Some(Verdict::Modified(_)) => Self::Modified,
            None | Some(Verdict::NotScanned(_)) => Self::NoVerdict,
            Some(Verdict::Blocked(_)) => Self::Blocked,
            Some(Verdict::Infected(_)) => Self::Infected,
        }
    }
}

/// More fields than this may be too many with one more.
const MAX_LINES: usize = 200;

/// Adds a field to `lines`, and compares.
pub(super) fn assert_never_improves(plan: &Plan, lines: &[u8], at: usize, field: &[u8]) {
    let is_continued = matches!(lines.get(at), Some(b' ' | b'\t'));
    if is_continued || memchr::memchr_iter(b'\n', lines).count() > MAX_LINES {
        return;
    }
    let (without, lines_at) = plan.response(lines);
    let with = plan
        .response(&[&lines[..at], field, &lines[at..]].concat())
        .0;
    let cut = plan.cut.map_or(without.len(), |cut| cut.min(without.len()));
    let added = if cut >= lines_at + at { field.len() } else { 0 };
    let (without, with) = (&without[..cut], &with[..cut + added]);
    let (before, after) = (plan.severity(without), plan.severity(with));
    assert!(
        after >= before,
        "{before:?} became {after:?}: {}",
        with.escape_ascii()
    );
}
