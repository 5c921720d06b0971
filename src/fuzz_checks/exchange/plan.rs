//! How the scans of one input are done, and what must hold for them then.

use std::collections::BTreeMap;

use super::COPIED;
use super::observed::Exchange;
use super::peer::{Server, World};
use super::script::{RESPONSES, UNSERVED};
use crate::error::{Error, Violation};
use crate::fuzz_checks::input::Input;
use crate::fuzz_checks::odd_reader::Source;
use crate::fuzz_checks::sent::find;
use crate::fuzz_checks::worst::Worst;
use crate::proto::method::Method;
use crate::scan::Scanner;
use crate::scan::preview::Preview;
use crate::scan::report::Report;
use crate::scan::verdict::Verdict;

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
pub(super) struct Plan {
    negotiate: bool,
    method: Method,
    preview: Preview,
    allow_204: bool,
    allow_206: bool,
    pub(super) replaces: bool,
    max_size: Option<u64>,
    /// There is another server for what the first does not scan.
    has_fallback: bool,
    len: usize,
    pub(super) source: Source,
}

impl Plan {
    pub(super) fn new(input: &mut Input<'_>) -> Self {
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
    pub(super) fn content(&self, scan: usize) -> Vec<u8> {
        let text = format!("content of scan {scan}. ");
        let mut content = text.repeat(self.len / text.len() + 1).into_bytes();
        content.truncate(self.len);
        content
    }

    pub(super) fn scanner(&self, server: &Server) -> Scanner {
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

    pub(super) fn assert_sent(&self, exchange: &Exchange<'_>, world: &World) {
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
        let fits = self.len <= FIRST_BUFFER;
        assert!(
            fits || !exchange.is_reused || self.source.can_be_read_again(),
            "what cannot be sent again on a used connection"
        );
        if exchange.parts > 1 {
            assert!(
                find(exchange.response, b"ICAP/1.0 100").is_some(),
                "nobody asked"
            );
        }
    }

    pub(super) fn assert_result(
        &self,
        result: &Result<Report, Error>,
        exchanges: &[&Exchange<'_>],
        world: &World,
    ) {
        let (options, scans): (Vec<&Exchange<'_>>, Vec<&Exchange<'_>>) =
            exchanges.iter().copied().partition(|e| e.is_options());
        self.assert_attempts(&options);
        self.assert_attempts(&scans);
        let is_cancelled = result.as_ref().is_err_and(Error::is_cancelled);
        // Content that failed has no whole copy, and the caller is told that.
        let is_copy = !self.replaces && scans.iter().any(|exchange| exchange.scan == COPIED);
        let has_failed = is_copy && matches!(result, Err(Error::Content(_)));
        // A limit is no objection to the content.
        let is_heeded = |worst: &Worst| *worst > Worst::Limit || !(is_cancelled || has_failed);
        let worst = worst_of(&scans).filter(is_heeded);
        if let Some(worst) = worst {
            let is_told = result
                .as_ref()
                .is_ok_and(|it| worst.is_told_by(it.verdict()));
            assert!(is_told, "{worst:?} became {result:?}");
        }
        // Of a response with something after it, also with a record that does not end, it is not certain what it says.
        let has_trailing = matches!(result, Err(Error::Protocol(error)) if error.violation() == Violation::TrailingBytes);
        let is_certain = !is_cancelled && !has_trailing;
        if is_certain && scans.iter().any(|exchange| self.asks_next(exchange)) {
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
        let is_kept = self.source == Source::Reader && self.len <= FIRST_BUFFER;
        let can_be_sent_again = is_kept || self.source.can_be_read_again();
        let is_possible = self.has_fallback && !self.replaces && can_be_sent_again;
        let is_certain = exchange.service != FALLBACK
            && exchange.is_complete()
            && !exchange.is_reused
            && !exchange.has_stale_bytes
            && !exchange.is_broken;
        let is_unserved = UNSERVED.iter().any(|it| exchange.response == it.as_bytes());
        let early = exchange.response == RESPONSES[0].as_bytes() && exchange.is_read_early(0);
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
        let after = &exchange.response[end..];
        assert!(matches!(after, b"" | b"\r\n"), "clean with something after");
        assert!(!exchange.is_broken, "clean with a broken record after");
        let has = |line: &[u8]| find(&exchange.response[..end], line).is_some();
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
