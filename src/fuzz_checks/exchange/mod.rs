mod observed;
mod peer;
mod plan;
mod script;

use super::input::Input;
use crate::error::Error;
use crate::net::cancel::Cancel;
use crate::scan::Scanner;
use crate::scan::content::Content;
use crate::scan::report::Report;
use crate::scan::verdict::Verdict;
use observed::Exchange;
use peer::Server;
use plan::Plan;

const SCANS: usize = 3;

/// This one of the scans also makes a copy. It is not the first, so that its connection can be a used one.
const COPIED: usize = 1;

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
/// - A copy of the content has its bytes, from the first on. It is complete only if it has all of them, and without
///   a complete copy nothing is clean.
/// - What comes back of a scan that is called modified is no beginning of the content.
/// - If a server says that it does not scan, the other one is asked.
/// - No verdict is better than the worst evidence that any server gave, and no evidence becomes an error.
///
/// Then the same once more, with a cancel at one call of a stream:
///
/// - All of this holds for the scan that is cancelled, and it is never clean. Unless the content is infected or
///   blocked, it ends in that error.
pub fn exchange(data: &[u8]) {
    let steps = run(data, None);
    let any = data.iter().fold(data.len(), |sum, byte| {
        sum.wrapping_mul(31) + usize::from(*byte)
    });
    if steps > 0 {
        run(data, Some(any % steps + 1));
    }
}

/// Returns how often a stream was asked for anything. The scan that is under way at the step `cancel_at` is cancelled.
fn run(data: &[u8], cancel_at: Option<usize>) -> usize {
    let mut input = Input::new(data);
    let plan = Plan::new(&mut input);
    let contents: Vec<Vec<u8>> = (0..SCANS).map(|scan| plan.content(scan)).collect();
    let server = Server::new(contents.clone(), &mut input);
    let scanner = plan.scanner(&server);
    let mut results = Vec::new();
    for (scan, content) in contents.iter().enumerate() {
        server.world().scan = scan;
        let mut content = plan.source.wrap(content);
        let cancel = Cancel::new();
        if let Some(step) = cancel_at {
            server.world().cancel = Some((cancel.clone(), step));
            content = content.cancel(&cancel);
        }
        let mut back = Vec::new();
        let result = match (plan.replaces, scan) {
            (true, _) => scanner.scan_replace(content, &mut back),
            (false, COPIED) => scan_and_copy(&scanner, content, &contents[scan]),
            (false, _) => scanner.scan(content),
        };
        if let Ok(report) = &result {
            assert_no_part(report, &back, &contents[scan]);
        }
        assert_cancelled(&cancel, &result);
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
    world.steps
}

fn assert_cancelled(cancel: &Cancel, result: &Result<Report, Error>) {
    let is_right = match result {
        Ok(report) => !cancel.is_cancelled() || report.verdict().is_objection(),
        Err(error) => cancel.is_cancelled() == error.is_cancelled(),
    };
    assert!(is_right, "cancelled, and {result:?}");
}

fn scan_and_copy(
    scanner: &Scanner,
    content: Content<'_>,
    expected: &[u8],
) -> Result<Report, Error> {
    let mut copy = Vec::new();
    let teed = scanner.scan_tee(content, &mut copy);
    let teed = teed.expect("a vector takes everything");
    assert!(expected.starts_with(&copy), "a copy of something else");
    assert_eq!(teed.copied, copy.len() as u64);
    let is_whole = copy.len() == expected.len();
    assert!(is_whole || !teed.is_complete(), "a part as the whole");
    if let Ok(report) = &teed.outcome {
        let is_clean = report.verdict().is_clean();
        assert!(teed.is_complete() || !is_clean, "clean without a copy");
    }
    teed.outcome
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
