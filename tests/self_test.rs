//! The findings of a self-test, each with a server that causes it.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use icap_client::self_test::{Outcome, Probe, ServiceTest};
use icap_client::testing::{
    CLEAN, CONTINUE, Engine, OPTIONS_RESPONSE, Received, Script, Server, eicar, infected,
    options_with_preview,
};
use icap_client::{Error, Preview, Scanner, ScannerBuilder};

const ALL: [Probe; 16] = [
    Probe::Options,
    Probe::Clean,
    Probe::KeepAlive,
    Probe::Eicar,
    Probe::HeldBack,
    Probe::NeverSeen,
    Probe::SmallPdf,
    Probe::Pdf,
    Probe::SmallImage,
    Probe::Image,
    Probe::SmallOffice,
    Probe::Office,
    Probe::Preview,
    Probe::Depth,
    Probe::Latency,
    Probe::Idle,
];

fn builder(server: &Server) -> ScannerBuilder {
    // However busy the machine is, nothing is too slow.
    let builder = Scanner::builder(server.uri()).response_timeout(Duration::from_secs(3600));
    builder.max_size(1 << 20).deadline(None)
}

fn test_with(builder: ScannerBuilder) -> ServiceTest {
    let scanner = builder.build().unwrap();
    let test = scanner.self_test().unwrap();
    // The test has its own connections, circuit breaker and counters.
    assert_eq!(scanner.stats().scans, 0);
    assert_eq!(scanner.stats().connections_opened, 0);
    assert!(scanner.stats().suspended.is_empty());
    assert_eq!(test.services().len(), 1);
    assert_eq!(test.passed(), test.services()[0].passed());
    test.services()[0].clone()
}

fn test(server: &Server) -> ServiceTest {
    test_with(builder(server))
}

/// The outcomes are these, and for all other probes `rest`.
fn assert_outcomes(test: &ServiceTest, rest: Outcome, expected: &[(Probe, Outcome)]) {
    let probes: Vec<_> = test
        .findings()
        .iter()
        .map(|finding| finding.probe())
        .collect();
    assert_eq!(probes, ALL, "{test}");
    for probe in ALL {
        let known = expected.iter().find(|(known, _)| *known == probe);
        let outcome = known.map_or(rest, |(_, outcome)| *outcome);
        assert_eq!(test.outcome(probe), Some(outcome), "{probe}\n{test}");
    }
}

/// For a service that offers no preview, and on a connection that stays open.
const PLAIN: [(Probe, Outcome); 6] = [
    (Probe::Options, Outcome::Passed),
    (Probe::Clean, Outcome::Passed),
    (Probe::KeepAlive, Outcome::Passed),
    (Probe::Preview, Outcome::NotApplicable),
    (Probe::Latency, Outcome::Passed),
    (Probe::Idle, Outcome::Passed),
];

fn but(known: &[(Probe, Outcome)], others: &[(Probe, Outcome)]) -> Vec<(Probe, Outcome)> {
    others.iter().chain(known).copied().collect()
}

/// A service that misses what `misses` says, and finds EICAR in everything else.
fn answering(misses: impl Fn(&Received) -> bool + Send + Sync + 'static) -> Server {
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ if request.has_eicar() && !misses(request) => Script::new().send(infected("Eicar")),
        _ => Script::new().send(CLEAN),
    });
    server.unwrap()
}

fn has_type(request: &Received, media_type: &str) -> bool {
    let heads = String::from_utf8_lossy(request.http_heads()).into_owned();
    heads.contains(media_type)
}

#[test]
fn healthy_service_passes() {
    let server = Server::with_preview(1024).unwrap();
    let test = test(&server);
    assert!(test.passed(), "{test}");
    let found = [
        (Probe::Preview, Outcome::Found),
        (Probe::Depth, Outcome::Passed),
    ];
    assert_outcomes(&test, Outcome::Found, &but(&PLAIN, &found));
    assert_eq!(test.service(), server.uri());
    assert_eq!(test.software(), Some("icap-client testing"));
    let depth = test.depth().unwrap();
    assert_eq!(depth.largest_found, Some(1 << 20));
    assert_eq!(
        (depth.smallest_missed, depth.smallest_not_scanned),
        (None, None)
    );
    let sizes: Vec<_> = test
        .latencies()
        .iter()
        .map(|it| (it.size, it.is_estimate))
        .collect();
    assert_eq!(
        sizes,
        [(64 << 10, false), (1 << 20, false), (100 << 20, true)]
    );
    let first = test
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(
        first.starts_with(&format!("{}: passed in ", server.uri())),
        "{first}"
    );
}

#[test]
fn blind_service_misses_eicar_and_the_rest_is_unknown() {
    let server = Server::with_engine(Engine::Blind).unwrap();
    let test = test(&server);
    let missed = [
        (Probe::Eicar, Outcome::Missed),
        (Probe::Latency, Outcome::Unknown),
    ];
    assert_outcomes(&test, Outcome::Unknown, &but(&PLAIN, &missed));
    assert_eq!(test.depth(), None);
    let table = test.to_string();
    assert!(
        table.contains("\n  eicar         MISSED          clean (204)"),
        "{table}"
    );
    assert!(
        table.contains("change: name a service that scans"),
        "{table}"
    );
}

#[test]
fn early_service_is_blind_with_the_last_byte_held_back() {
    let server = Server::with_engine(Engine::Early).unwrap();
    let test = test(&server);
    assert_eq!(
        test.outcome(Probe::HeldBack),
        Some(Outcome::Blind),
        "{test}"
    );
    assert_eq!(test.outcome(Probe::NeverSeen), Some(Outcome::Unknown));
    assert!(!test.passed());
}

#[test]
fn service_without_engine_is_blind_by_its_tag() {
    let tag = "CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA";
    let server = Server::answering(move |request| {
        let response = match request.method() {
            "OPTIONS" => OPTIONS_RESPONSE,
            _ => CLEAN,
        };
        Script::new().send(response.replace("icap-client-testing", tag))
    });
    let test = test(&server.unwrap());
    for probe in [Probe::Clean, Probe::Eicar, Probe::HeldBack] {
        assert_eq!(test.outcome(probe), Some(Outcome::Blind), "{test}");
    }
    let advice = test.findings()[3].advice();
    assert!(
        advice
            .unwrap()
            .starts_with("start clamd, then restart c-icap")
    );
}

#[test]
fn returned_content_is_not_scanned() {
    let server = Server::with_engine(Engine::Echo).unwrap();
    let test = test(&server);
    let expected = [
        (Probe::Clean, Outcome::NotScanned),
        (Probe::Eicar, Outcome::NotScanned),
        (Probe::Latency, Outcome::Unknown),
    ];
    assert_outcomes(&test, Outcome::Unknown, &but(&PLAIN, &expected));
}

#[test]
fn limit_of_the_engine_is_found() {
    let server = Server::with_engine(Engine::UpTo(300_000)).unwrap();
    let test = test(&server);
    let missed = [(Probe::Depth, Outcome::Missed)];
    assert_outcomes(&test, Outcome::Found, &but(&PLAIN, &missed));
    let depth = test.depth().unwrap();
    let (found, missed) = (depth.largest_found.unwrap(), depth.smallest_missed.unwrap());
    assert!(found <= 300_000 && missed > 300_000, "{depth}");
    assert!(missed - found <= (1 << 20) / 64, "{depth}");
}

#[test]
fn size_that_comes_back_is_not_scanned() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ if request.body_len() > 300_000 => {
            Script::new().send("ICAP/1.0 204 No Content\r\nX-Error-Code: max_size_exceeded\r\n\r\n")
        }
        _ if request.has_eicar() => Script::new().send(infected("Eicar")),
        _ => Script::new().send(CLEAN),
    });
    let test = test(&server.unwrap());
    assert_eq!(
        test.outcome(Probe::Depth),
        Some(Outcome::NotScanned),
        "{test}"
    );
    let depth = test.depth().unwrap();
    assert_eq!(depth.smallest_missed, None);
    assert!(depth.largest_found.unwrap() <= 300_000);
    assert!(depth.smallest_not_scanned.unwrap() > 300_000);
}

#[test]
fn types_that_are_skipped_are_missed() {
    for (media_type, probes) in [
        ("application/pdf", [Probe::SmallPdf, Probe::Pdf]),
        ("image/gif", [Probe::SmallImage, Probe::Image]),
        ("wordprocessingml", [Probe::SmallOffice, Probe::Office]),
    ] {
        let server = answering(move |request| has_type(request, media_type));
        let missed = probes.map(|probe| (probe, Outcome::Missed));
        let depth = [(Probe::Depth, Outcome::Passed)];
        let test = test(&server);
        assert_outcomes(&test, Outcome::Found, &but(&but(&PLAIN, &depth), &missed));
    }
}

#[test]
fn service_that_knows_eicar_by_its_hash_misses_archives() {
    let eicar = eicar();
    let server = answering(move |request| request.body() != eicar);
    let test = test(&server);
    for probe in [Probe::HeldBack, Probe::NeverSeen, Probe::Pdf, Probe::Office] {
        assert_eq!(test.outcome(probe), Some(Outcome::Missed), "{test}");
    }
    assert_eq!(test.outcome(Probe::Eicar), Some(Outcome::Found));
    assert_eq!(test.outcome(Probe::Depth), Some(Outcome::Unknown));
}

#[test]
fn virus_in_all_archives_is_a_false_alarm() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ if request.has_eicar() => Script::new().send(infected("Eicar")),
        _ if has_type(request, "application/zip") => Script::new().send(infected("Rule")),
        _ => Script::new().send(CLEAN),
    });
    let test = test(&server.unwrap());
    let expected = [
        (Probe::NeverSeen, Outcome::FalseAlarm),
        (Probe::Depth, Outcome::Unknown),
    ];
    assert_outcomes(&test, Outcome::Found, &but(&PLAIN, &expected));
    assert!(!test.passed());
    assert!(test.to_string().contains("without EICAR: infected: Rule"));
    // A rule that refuses archives does not hide what the engine finds.
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ if request.has_eicar() => Script::new().send(infected("Eicar")),
        _ if has_type(request, "application/zip") => {
            Script::new().send("ICAP/1.0 403 Forbidden\r\n\r\n")
        }
        _ => Script::new().send(CLEAN),
    });
    let server = server.unwrap();
    let test = test_with(builder(&server));
    assert_eq!(test.outcome(Probe::NeverSeen), Some(Outcome::Found));
}

/// It decides on the preview, and scans what comes without one.
fn hasty() -> Server {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(options_with_preview(1024)),
        _ if request.has_eicar() => Script::new().send(infected("Eicar")),
        _ => Script::new().send(CLEAN),
    });
    server.unwrap()
}

#[test]
fn hasty_service_fails_only_a_scanner_with_previews() {
    let server = hasty();
    let off = test(&server);
    assert_eq!(
        off.outcome(Probe::Preview),
        Some(Outcome::Improvable),
        "{off}"
    );
    assert!(off.passed());
    let preview = Preview::Limit(1024);
    let on = test_with(builder(&server).preview(preview));
    assert_eq!(
        on.outcome(Probe::Preview),
        Some(Outcome::NotScanned),
        "{on}"
    );
    let trusting = test_with(builder(&server).preview(preview).trust_preview(true));
    assert_eq!(trusting.outcome(Probe::Preview), Some(Outcome::Missed));
    assert!(!trusting.passed());
}

/// People's files of other types have a preview.
#[test]
fn preview_is_probed_also_if_archives_are_wanted_whole() {
    for (lists, outcome) in [
        (
            "Transfer-Preview: *\r\nTransfer-Complete: zip",
            Outcome::Missed,
        ),
        (
            "Transfer-Preview: pdf\r\nTransfer-Complete: *",
            Outcome::Missed,
        ),
        ("Transfer-Complete: *", Outcome::NotApplicable),
    ] {
        let options = options_with_preview(1024).replace("Transfer-Preview: *", lists);
        let server = Server::answering(move |request| match request.method() {
            "OPTIONS" => Script::new().send(&options),
            _ if request.has_eicar() => Script::new().send(infected("Eicar")),
            _ => Script::new().send(CLEAN),
        });
        let server = server.unwrap();
        let builder = builder(&server).preview(Preview::Negotiated);
        let test = test_with(builder.trust_preview(true));
        assert_eq!(test.outcome(Probe::Preview), Some(outcome), "{test}");
    }
}

#[test]
fn service_that_continues_passes_with_previews() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(options_with_preview(100)),
        _ if request.has_eicar() => Script::new().send(infected("Eicar")),
        _ if request.is_whole() => Script::new().send(CLEAN),
        _ => Script::new()
            .send(CONTINUE)
            .read_rest()
            .send(infected("Eicar")),
    });
    let test = test_with(builder(&server.unwrap()).preview(Preview::Negotiated));
    assert_eq!(test.outcome(Probe::Preview), Some(Outcome::Found), "{test}");
    // Everything above 100 bytes is "infected".
    assert_eq!(test.outcome(Probe::Clean), Some(Outcome::FalseAlarm));
}

#[test]
fn preview_probe_follows_the_request_that_is_sent() {
    let server = hasty();
    let preview = Preview::Limit(1024);
    let without_204 = test_with(builder(&server).preview(preview).allow_204(false));
    assert_eq!(
        without_204.outcome(Probe::Preview),
        Some(Outcome::NotApplicable),
        "{without_204}"
    );
    let unasked = builder(&server).preview(preview).negotiate(false);
    let unasked = test_with(unasked.trust_preview(true));
    assert_eq!(
        unasked.outcome(Probe::Preview),
        Some(Outcome::Missed),
        "{unasked}"
    );
    let off = test_with(builder(&server).negotiate(false));
    assert_eq!(off.outcome(Probe::Preview), Some(Outcome::NotApplicable));
}

#[test]
fn depth_without_a_size_limit_is_not_passed() {
    // It finds something in the preview of each archive above 1 KiB, so that large ones take no time.
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(options_with_preview(1024)),
        _ if request.has_eicar() => Script::new().send(infected("Eicar")),
        _ if has_type(request, "application/zip") && !request.is_whole() => {
            Script::new().send(infected("Eicar"))
        }
        _ => Script::new().send(CLEAN),
    });
    let server = server.unwrap();
    let builder = builder(&server).max_size(None);
    let test = test_with(builder.preview(Preview::Limit(1024)).trust_preview(true));
    assert_eq!(test.outcome(Probe::Depth), Some(Outcome::Improvable));
    let mut findings = test.findings().iter();
    let depth = findings.find(|it| it.probe() == Probe::Depth).unwrap();
    assert_eq!(
        depth.detail(),
        "found up to 100 MiB; larger content was not tried"
    );
    assert!(depth.advice().is_some());
}

#[test]
fn connection_that_is_closed_each_time_can_be_improved() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE).close(),
        _ if request.has_eicar() => Script::new().send(infected("Eicar")).close(),
        _ => Script::new().send(CLEAN).close(),
    });
    let server = server.unwrap();
    let test = test(&server);
    assert!(test.passed(), "{test}");
    assert_eq!(test.outcome(Probe::KeepAlive), Some(Outcome::Improvable));
    let none = test_with(builder(&server).max_idle(0));
    assert_eq!(none.outcome(Probe::KeepAlive), Some(Outcome::NotApplicable));
    assert_eq!(none.outcome(Probe::Idle), Some(Outcome::NotApplicable));
}

#[test]
fn slow_service_is_judged_at_the_size_limit() {
    let server = Server::with_engine(Engine::Slow(Duration::from_millis(200))).unwrap();
    // 100 MiB would take 20 s, which is too long, but 1 MiB takes 0.2 s.
    let test = test_with(builder(&server).response_timeout(Duration::from_secs(5)));
    let passed = Some(Outcome::Passed);
    assert_eq!(test.outcome(Probe::Latency), passed, "{test}");
    assert_eq!(test.outcome(Probe::Depth), passed);
    let estimate = test.latencies().last().unwrap();
    assert!(
        estimate.is_estimate && estimate.wait >= Duration::from_secs(15),
        "{estimate:?}"
    );
}

#[test]
fn options_that_fail_are_a_finding() {
    let server = Server::answering(|_| Script::new().send("ICAP/1.0 500 Error\r\n\r\n"));
    let server = server.unwrap();
    let test = test(&server);
    assert_eq!(
        test.outcome(Probe::Options),
        Some(Outcome::Failed),
        "{test}"
    );
    let without = test_with(builder(&server).negotiate(false));
    assert_eq!(
        without.outcome(Probe::Options),
        Some(Outcome::NotApplicable)
    );
    assert_eq!(without.outcome(Probe::Eicar), Some(Outcome::Failed));
}

#[test]
fn unreachable_service_is_an_error_or_a_finding() {
    let dead = format!("icap://{}/scan", support::refusing_address());
    let alone = Scanner::new(&dead).unwrap();
    assert!(matches!(alone.self_test(), Err(Error::Connect(_))));
    let server = Server::start().unwrap();
    let builder = Scanner::builder(&dead)
        .endpoint(server.uri())
        .max_size(100_000);
    let test = builder.build().unwrap().self_test().unwrap();
    assert!(!test.passed());
    let [first, second] = test.services() else {
        panic!("{test}");
    };
    assert_eq!(first.outcome(Probe::Options), Some(Outcome::Failed));
    assert_eq!(first.outcome(Probe::NeverSeen), Some(Outcome::Unknown));
    assert!(second.passed());
}

#[test]
fn service_that_dies_is_not_waited_for_again_and_again() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ if request.body() == eicar() => Script::new().send(infected("Eicar")),
        _ if request.has_eicar() => Script::new().hold(),
        _ => Script::new().send(CLEAN),
    });
    let server = server.unwrap();
    let test = test_with(builder(&server).response_timeout(Duration::from_millis(200)));
    let failed = |probe| test.outcome(probe) == Some(Outcome::Failed);
    assert!(
        failed(Probe::HeldBack) && failed(Probe::NeverSeen),
        "{test}"
    );
    assert_eq!(test.outcome(Probe::Pdf), Some(Outcome::Unknown));
}
