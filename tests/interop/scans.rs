//! Scans of whole bodies.

use std::thread;
use std::time::Duration;

use icap_client::stats::CloseReason;
use icap_client::testing::eicar;
use icap_client::{Body, Client, Content, Method, NotScanned, Request, Scanner, Verdict};

use crate::peer::Running;

pub(crate) const THREAT: &str = "Test-Virus";
const MEGABYTES: usize = 5_000_000;

fn scanner(server: &Running, service: &str) -> Scanner {
    Scanner::new(server.uri(service)).unwrap()
}

/// Bytes without a pattern, so that a loss is noticed.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn options_show_the_offer(server: &Running) {
    let client = Client::new(server.uri("scan")).unwrap();
    let options = client.options().unwrap();
    let mut methods = options.methods().to_vec();
    methods.sort_by_key(|method| method.as_str());
    assert_eq!(methods, [Method::Reqmod, Method::Respmod]);
    assert!(options.allows_204());
    assert_eq!(options.preview(), Some(4096));
    assert_eq!(options.options_ttl(), Some(Duration::from_secs(3600)));
    assert!(options.istag().is_some(), "{options:?}");
    assert_eq!(options.warnings(), [""; 0]);
    let echo = Client::new(server.uri("echo")).unwrap().options().unwrap();
    assert!(!echo.allows_204());
    assert_eq!(echo.preview(), None);
}

pub(crate) fn clean_content_is_clean(server: &Running) {
    let scanner = scanner(server, "scan");
    for len in [0, 1, 2, 67, 68, 1023, 1024, 1025, 70_000] {
        let content = noise(len);
        let report = scanner.scan(Content::bytes(&content).name("noise.bin"));
        let report = report.unwrap();
        assert_eq!(*report.verdict(), Verdict::Clean, "{len}");
        assert_eq!(
            (report.status(), report.bytes_sent()),
            (Some(204), len as u64)
        );
    }
}

pub(crate) fn infected_content_is_infected_with_its_name(server: &Running) {
    let scanner = scanner(server, "scan");
    for (before, after) in [(0, 0), (1, 0), (70_000, 0), (70_000, 300_000)] {
        let content = [noise(before), eicar(), noise(after)].concat();
        let report = scanner.scan(Content::bytes(&content)).unwrap();
        let Verdict::Infected(threats) = report.verdict() else {
            panic!("{before}, {after}: {}", report.verdict())
        };
        assert_eq!(threats.names().collect::<Vec<_>>(), [THREAT]);
        assert_eq!(report.status(), Some(200));
    }
    let client = Client::new(server.uri("scan")).unwrap();
    let request = Request::respmod()
        .http_response(b"HTTP/1.1 200 OK\r\n\r\n")
        .unwrap();
    let (mut page, eicar) = (Vec::new(), eicar());
    let body = Body::from(&eicar[..]);
    let response = client
        .send(&request.allow_204(true), body, &mut page)
        .unwrap();
    assert_eq!(response.http_status(), Some(403));
    assert_eq!(page, b"<html><body>This file was blocked.</body></html>");
}

pub(crate) fn scans_share_one_connection(server: &Running) {
    let scanner = scanner(server, "scan");
    for turn in 0..100 {
        let is_infected = turn % 3 == 0;
        let content = if is_infected {
            eicar()
        } else {
            noise(turn * 100)
        };
        let report = scanner.scan(Content::bytes(&content)).unwrap();
        assert_eq!(report.verdict().is_infected(), is_infected, "{turn}");
        assert_eq!(report.verdict().is_clean(), !is_infected, "{turn}");
    }
    let stats = scanner.stats();
    assert_eq!(stats.connections_opened, 1, "{stats:?}");
    assert_eq!((stats.options_sent, stats.retries), (1, 0), "{stats:?}");
}

pub(crate) fn threads_get_their_own_verdicts(server: &Running) {
    let scanner = scanner(server, "scan");
    let scan = |turn: usize| {
        let mut content = noise(turn * 1000);
        if turn % 2 == 0 {
            content.extend_from_slice(&eicar());
        }
        let report = scanner.scan(Content::bytes(&content)).unwrap();
        assert_eq!(report.verdict().is_infected(), turn % 2 == 0, "{turn}");
        assert_eq!(report.verdict().is_clean(), turn % 2 == 1, "{turn}");
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..30).for_each(scan));
        }
    });
    assert!(
        scanner.stats().connections_opened <= 9,
        "{:?}",
        scanner.stats()
    );
}

pub(crate) fn echo_is_clean(server: &Running) {
    assert_echo_verdict(&[Verdict::Clean], server);
}

/// pyicap's options lack `Encapsulated`, and so may lack more: that it does not offer 204 is not certain. It
/// sends back while it is sent to, so the response to long content may begin early.
pub(crate) fn echo_is_not_clean(server: &Running) {
    let reasons = [NotScanned::Echoed, NotScanned::EarlyResponse];
    assert_echo_verdict(&reasons.map(Verdict::NotScanned), server);
}

/// The first of `expected`; of content that takes more than one write, any of them.
fn assert_echo_verdict(expected: &[Verdict], server: &Running) {
    let scanner = scanner(server, "echo");
    for len in [1, 2, 1024, 70_000, MEGABYTES] {
        let content = noise(len);
        let report = scanner.scan(Content::bytes(&content)).unwrap();
        let allowed = if len < 64 * 1024 {
            &expected[..1]
        } else {
            expected
        };
        assert!(allowed.contains(report.verdict()), "{len}: {report:?}");
        assert_eq!(report.status(), Some(200), "{len}");
    }
    // pyicap sends back while it is sent to, and after that a connection is not used again.
    let stats = scanner.stats();
    let mut reasons = stats.closed_by_reason.keys();
    let is_early = |reason: &CloseReason| *reason == CloseReason::EarlyResponse;
    assert!(reasons.all(is_early), "{stats:?}");
    assert_eq!(stats.retries, 0, "{stats:?}");
}

pub(crate) fn five_megabytes_are_scanned_whole(server: &Running) {
    let scanner = scanner(server, "scan");
    let mut content = noise(MEGABYTES);
    let report = scanner.scan(Content::bytes(&content)).unwrap();
    assert_eq!(*report.verdict(), Verdict::Clean);
    content.extend_from_slice(&eicar());
    let report = scanner.scan(Content::bytes(&content)).unwrap();
    assert!(report.verdict().is_infected(), "{}", report.verdict());
    assert_eq!(report.bytes_sent(), content.len() as u64);
}

pub(crate) fn unknown_service_is_a_404(server: &Running) {
    for negotiate in [true, false] {
        let uri = server.uri("no-such-service");
        let scanner = Scanner::builder(&uri).negotiate(negotiate).build().unwrap();
        for len in [0, 1000, MEGABYTES] {
            let error = scanner.scan(Content::bytes(&noise(len))).unwrap_err();
            assert_eq!(error.status(), Some(404), "{len}: {error:?}");
        }
    }
}
