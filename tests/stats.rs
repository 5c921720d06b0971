//! The numbers for monitoring: of scans, of each server, and as OpenMetrics text.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use icap_client::stats::{Histogram, Outcome};
use icap_client::testing::{CLEAN, Gate, ManualClock, Script, Server};
use icap_client::transport::Clock;
use icap_client::{Content, Scanner, Stats};

mod support;

use support::outcomes::{CONTENTS, scan_all, server};

/// A clock that moves only by `advance`, for waits as well.
#[derive(Clone, Default)]
struct Simulated(ManualClock);

impl Clock for Simulated {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn now_for_waits(&self) -> Instant {
        self.0.now()
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// How long the scan with each outcome takes.
const MILLISECONDS: [u64; 6] = [1, 20, 400, 8_000, 160_000, 3_200_000];

/// A server, and the numbers after a scan with each outcome.
fn all_outcomes() -> (Server, Stats) {
    let clock = Simulated::default();
    let server = {
        let clock = clock.clone();
        server(move |len| {
            let took = Duration::from_millis(MILLISECONDS[len - 1]);
            clock.0.advance(took);
        })
    };
    let scanner = Scanner::builder(server.uri())
        .clock(clock)
        .negotiate(false)
        .deadline(None)
        .read_timeout(HOUR)
        .idle_timeout(HOUR)
        .build()
        .unwrap();
    scan_all(&scanner);
    (server, scanner.stats())
}

#[test]
fn duration_is_in_the_histogram_of_its_outcome() {
    let (_server, stats) = all_outcomes();
    assert_eq!((stats.scans, stats.scans_in_flight), (6, 0));
    let of = |(outcome, histogram): (&Outcome, &Histogram)| {
        assert_eq!(histogram.count(), 1);
        let within = histogram.buckets().find(|(_, scans)| *scans == 1).unwrap();
        (outcome.as_str(), histogram.sum(), within.0)
    };
    let found: Vec<_> = stats.durations.iter().map(of).collect();
    let ms = Duration::from_millis;
    let times = [
        (ms(1), Some(ms(1))),
        (ms(20), Some(ms(25))),
        (ms(400), Some(ms(500))),
        (ms(8_000), Some(ms(10_000))),
        (ms(160_000), Some(ms(300_000))),
        (ms(3_200_000), None),
    ];
    let expected = CONTENTS.into_iter().zip(times);
    let expected: Vec<_> = expected
        .map(|((_, outcome), (sum, bound))| (outcome, sum, bound))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn openmetrics_text_has_every_number() {
    let (_server, mut stats) = all_outcomes();
    // What depends on the port and on the version of this crate.
    let endpoint = &mut stats.endpoints[0];
    endpoint.service = "icap://av.example/a\"b\\c".to_owned();
    (endpoint.bytes_sent, endpoint.bytes_received) = (1_500, 800);
    let mut second = endpoint.clone();
    endpoint.canaries = 3;
    endpoint.eicar_age = Some(Duration::from_millis(12_500));
    second.index = 1;
    second.service = "icap://av2.example/scan".to_owned();
    second.is_suspended = true;
    second.is_blind = true;
    second.state_tag_age = None;
    stats.endpoints.push(second);
    stats.scans_in_flight = 2;
    let mut text = String::new();
    stats.write_openmetrics(&mut text).unwrap();
    let expected = include_str!("data/openmetrics.txt");
    for (line, (found, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", line + 1);
    }
    assert_eq!(text, expected);
}

#[test]
fn openmetrics_text_shows_no_file_threat_user_or_argument() {
    let server = server(|_| ());
    let uri = format!("{}?key=hunter2", server.uri());
    let scanner = Scanner::builder(&uri).negotiate(false).build().unwrap();
    scan_all(&scanner);
    let mut text = String::new();
    scanner.stats().write_openmetrics(&mut text).unwrap();
    for secret in ["invoice", "joe", "Eicar", "hunter2", "key=", "Forbidden"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    for (line, labels) in text
        .lines()
        .filter_map(|line| Some((line, line.split_once('{')?.1)))
    {
        let is_bucket = labels.starts_with("le=\"");
        let is_of_server =
            labels.starts_with(&format!("endpoint=\"0\",uri=\"{}\"}} ", server.uri()));
        assert!(is_bucket || is_of_server, "{line}");
    }
}

#[test]
fn running_scan_and_waiting_caller_are_counted() {
    let gate = Gate::new();
    let server = {
        let gate = gate.clone();
        Server::answering(move |_| Script::new().wait_for(&gate).send(CLEAN)).unwrap()
    };
    let builder = Scanner::builder(server.uri())
        .negotiate(false)
        .max_connections(1);
    let scanner = builder.build().unwrap();
    let scan = || scanner.scan("hello").unwrap().verdict().is_clean();
    thread::scope(|scope| {
        let both = [scope.spawn(scan), scope.spawn(scan)];
        let now = || {
            let stats = scanner.stats();
            (
                stats.scans_in_flight,
                stats.waiting_callers,
                stats.endpoints[0].waiting_callers,
            )
        };
        while now() != (2, 1, 1) {
            thread::yield_now();
        }
        assert_eq!(scanner.stats().scans, 0);
        gate.open();
        assert!(
            both.map(|scan| scan.join().unwrap())
                .iter()
                .all(|is_clean| *is_clean)
        );
        assert_eq!(now(), (0, 0, 0));
    });
    assert_eq!(scanner.stats().scans, 2);
}

#[test]
fn clones_first_used_at_once_share_everything() {
    const CLONES: usize = 8;
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri())
        .max_connections(1)
        .build()
        .unwrap();
    let all_begin = Barrier::new(CLONES);
    thread::scope(|scope| {
        for clone in vec![scanner.clone(); CLONES] {
            let all_begin = &all_begin;
            scope.spawn(move || {
                all_begin.wait();
                assert!(clone.scan("hello").unwrap().verdict().is_clean());
            });
        }
    });
    let stats = scanner.stats();
    let endpoint = &stats.endpoints[0];
    assert_eq!((stats.scans, endpoint.reports), (8, 8));
    assert_eq!((endpoint.connections_opened, endpoint.options_sent), (1, 1));
}

#[test]
fn panicking_reader_is_no_running_scan() {
    struct Panics;
    impl std::io::Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("on purpose")
        }
    }
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let scan = || scanner.scan(Content::reader(Panics));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scan));
    assert!(result.is_err());
    let stats = scanner.stats();
    assert_eq!((stats.scans_in_flight, stats.scans), (0, 0));
}

#[test]
fn each_server_has_its_own_numbers() {
    let broken = Server::answering(|_| Script::new().send("ICAP/1.0 500 No\r\n\r\n")).unwrap();
    let healthy = Server::answering(|_| Script::new().send(CLEAN)).unwrap();
    let scanner = Scanner::builder(format!("{}?key=secret", broken.uri()))
        .endpoint(healthy.uri())
        .negotiate(false)
        .suspend_after(2)
        .build()
        .unwrap();
    for _ in 0..3 {
        assert!(scanner.scan("hello").unwrap().verdict().is_clean());
    }
    let stats = scanner.stats();
    let [first, second] = &stats.endpoints[..] else {
        panic!("{stats:?}")
    };
    assert_eq!((first.index, &first.service), (0, &broken.uri()));
    assert_eq!((second.index, &second.service), (1, &healthy.uri()));
    // The third scan passes over the first server.
    assert_eq!(
        (first.failures, first.reports, first.is_suspended),
        (2, 0, true)
    );
    let why = first.last_failure.as_ref().unwrap();
    assert!(why.contains("500 No") && !why.contains("secret"), "{why}");
    assert_eq!(second.last_failure, None);
    assert_eq!(
        (second.failures, second.reports, second.failovers),
        (0, 3, 2)
    );
    assert_eq!(
        (second.connections_opened, second.connections_reused),
        (1, 2)
    );
    assert_eq!((first.connections_idle, second.connections_idle), (0, 1));
    let sum = |of: fn(&icap_client::stats::EndpointStats) -> u64| of(first) + of(second);
    assert_eq!(stats.connections_opened, sum(|e| e.connections_opened));
    assert_eq!(stats.connections_closed, sum(|e| e.connections_closed));
    assert_eq!(
        stats.closed_by_reason.values().sum::<u64>(),
        stats.connections_closed
    );
    assert_eq!(stats.bytes_sent, sum(|e| e.bytes_sent));
    assert_eq!(stats.bytes_received, sum(|e| e.bytes_received));
}

#[test]
fn state_tag_age_begins_anew_with_another_tag() {
    let tagged = |tag: &str| format!("ICAP/1.0 204 No Content\r\nISTag: \"{tag}\"\r\n\r\n");
    let untagged = "ICAP/1.0 204 No Content\r\n\r\n".to_owned();
    let responses = [
        untagged.clone(),
        tagged("A"),
        tagged("A"),
        untagged,
        tagged("A"),
        tagged("B"),
        tagged("A"),
    ];
    let script = responses.iter().fold(Script::new(), |script, response| {
        script.read_request().send(response)
    });
    let server = Server::scripted([script]).unwrap();
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri())
        .negotiate(false)
        .idle_timeout(HOUR);
    let scanner = builder.clock(clock.clone()).build().unwrap();
    let ages: Vec<_> = responses
        .iter()
        .map(|_| {
            let _ = scanner.scan("hello").unwrap();
            clock.advance(Duration::from_secs(10));
            scanner.stats().endpoints[0]
                .state_tag_age
                .map(|age| age.as_secs())
        })
        .collect();
    assert_eq!(
        ages,
        [
            None,
            Some(10),
            Some(20),
            Some(30),
            Some(40),
            Some(10),
            Some(10)
        ]
    );
}

/// Its first question is about waits.
struct Broken;

impl Clock for Broken {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn now_for_waits(&self) -> Instant {
        panic!("the clock of the caller is broken")
    }
}

#[test]
fn scan_that_its_clock_ends_is_not_in_flight() {
    let scanner = Scanner::builder("icap://127.0.0.1:1/s").clock(Broken);
    let scanner = scanner.build().unwrap();
    let scan = || scanner.scan("hello").is_ok();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(scan)).is_err());
    assert_eq!(scanner.stats().scans_in_flight, 0);
}
