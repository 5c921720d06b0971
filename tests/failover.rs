//! A server that fails is suspended for a while, and scans fail over to the next one.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use icap_client::error::TimeLimit;
use icap_client::testing::{CLEAN, ManualClock, OPTIONS_RESPONSE, Script, Server};
use icap_client::transport::TcpConnector;
use icap_client::{Connect, Content, Error, Scanner, ScannerBuilder, ServiceUri, Stream};

mod support;

use support::refusing_address;

fn hello() -> Content<'static> {
    Content::bytes(b"hello")
}

/// A URI that refuses connections.
fn nobody() -> String {
    format!("icap://{}/scan", refusing_address())
}

/// A server that responds to scans as the switch says: with an error status, or clean.
fn switched(status: &'static str) -> (Server, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (fails, asked) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (switch, count) = (Arc::clone(&fails), Arc::clone(&asked));
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => {
            count.fetch_add(1, SeqCst);
            let fails = switch.load(SeqCst);
            Script::new().send(if fails {
                format!("ICAP/1.0 {status}\r\n\r\n")
            } else {
                CLEAN.into()
            })
        }
    });
    (server.unwrap(), fails, asked)
}

#[test]
fn failed_server_fails_over_to_the_next() {
    let (failing, ..) = switched("500 Server error");
    let second = Server::start().unwrap();
    for first in [nobody(), failing.uri()] {
        let builder = Scanner::builder(&first)
            .endpoint(second.uri())
            .suspend_after(3);
        let scanner = builder.build().unwrap();
        for _ in 0..10 {
            let report = scanner.scan(hello()).unwrap();
            assert!(report.verdict().is_clean());
            assert_eq!(report.service(), second.uri());
        }
        let stats = scanner.stats();
        assert_eq!(
            (stats.failovers, stats.errors),
            (3, 0),
            "then the first is suspended"
        );
        assert_eq!(stats.suspended[0].service, first);
    }
}

#[test]
fn reader_fails_over_while_its_first_buffer_is_kept() {
    const FIRST_BUFFER: u64 = 64 * 1024;
    let second = Server::start().unwrap();
    let reader = |len: u64| Content::reader(std::io::Read::take(std::io::repeat(7), len));
    let scanner = Scanner::builder(nobody())
        .endpoint(second.uri())
        .build()
        .unwrap();
    for len in [5, FIRST_BUFFER, 10 * FIRST_BUFFER] {
        assert!(scanner.scan(reader(len)).unwrap().verdict().is_clean());
    }

    let (failing, ..) = switched("500 Server error");
    let scanner = Scanner::builder(failing.uri())
        .endpoint(second.uri())
        .build()
        .unwrap();
    for len in [0, 5, FIRST_BUFFER - 1, FIRST_BUFFER] {
        let report = scanner.scan(reader(len)).unwrap();
        assert!(report.verdict().is_clean(), "{len}");
        assert_eq!(
            (report.bytes_sent(), report.service()),
            (len, &*second.uri())
        );
    }
    // The server responds after the last byte.
    let error = scanner.scan(reader(10 * FIRST_BUFFER)).unwrap_err();
    assert_eq!(error.status(), Some(500));
    assert!(scanner.scan(hello()).unwrap().verdict().is_clean());
}

/// A scanner with a server that sends these responses, and a healthy one as fallback.
fn misconfigured(to_options: &str, to_scan: &str) -> (Server, Server, Scanner) {
    let (to_options, to_scan) = (to_options.to_owned(), to_scan.to_owned());
    let first = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(&to_options),
        _ => Script::new().send(&to_scan).close(),
    });
    let (first, second) = (first.unwrap(), Server::start().unwrap());
    let builder = Scanner::builder(first.uri()).endpoint(second.uri());
    let scanner = builder.suspend_after(3).build().unwrap();
    (first, second, scanner)
}

fn assert_next_server_scans((first, second, scanner): &(Server, Server, Scanner)) {
    for _ in 0..5 {
        let report = scanner.scan(hello()).unwrap();
        assert!(report.verdict().is_clean());
        assert_eq!(report.service(), second.uri());
    }
    let stats = scanner.stats();
    assert_eq!((stats.failovers, stats.errors), (3, 0));
    assert_eq!(stats.suspended[0].service, first.uri());
}

const NO_SERVICE: [&str; 5] = [
    "400 Bad request",
    "404 Service not found",
    "405 Method not allowed",
    "501 Not implemented",
    "505 Version not supported",
];

#[test]
fn misconfigured_server_does_not_block_the_next() {
    for status in NO_SERVICE {
        let response = format!("ICAP/1.0 {status}\r\n\r\n");
        assert_next_server_scans(&misconfigured(&response, CLEAN));
        assert_next_server_scans(&misconfigured(OPTIONS_RESPONSE, &response));
    }
}

#[test]
fn server_of_another_protocol_does_not_block_the_next() {
    for foreign in [
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\n\r\n",
        "<html>\n",
        "\u{15}\u{3}\u{1}\0\u{2}\u{2}F",
    ] {
        assert_next_server_scans(&misconfigured(foreign, CLEAN));
        assert_next_server_scans(&misconfigured(OPTIONS_RESPONSE, foreign));
    }
    let speaks_first = Script::new().send("220 mail ESMTP\r\n").read_to_end();
    let first = Server::scripted([speaks_first]).unwrap();
    let second = Server::start().unwrap();
    let builder = Scanner::builder(first.uri()).endpoint(second.uri());
    let scanner = builder.suspend_after(3).build().unwrap();
    assert_next_server_scans(&(first, second, scanner));
}

#[test]
fn refused_options_do_not_block_the_next_server() {
    for status in [
        "403 Forbidden",
        "407 Proxy authentication required",
        "204 No",
    ] {
        let response = format!("ICAP/1.0 {status}\r\n\r\n");
        let (_first, second, scanner) = misconfigured(&response, CLEAN);
        for _ in 0..5 {
            let report = scanner.scan(hello()).unwrap();
            assert_eq!(report.service(), second.uri());
        }
        // A 403 to a client is no failure of the server.
        assert!(scanner.stats().suspended.is_empty());
    }
}

#[test]
fn misconfigured_servers_alone_are_the_error() {
    let not_found = Script::new()
        .read_request()
        .send("ICAP/1.0 404 Service not found\r\n\r\n");
    let first = Server::scripted([not_found]).unwrap();
    let builder = Scanner::builder(first.uri()).endpoint(nobody());
    let scanner = builder.build().unwrap();
    assert_eq!(scanner.scan(hello()).unwrap_err().status(), Some(404));
}

#[test]
fn evidence_of_a_misconfigured_server_is_kept() {
    for status in NO_SERVICE {
        let found = format!("ICAP/1.0 {status}\r\nX-Virus-ID: Eicar\r\n\r\n");
        let (_first, second, scanner) = misconfigured(OPTIONS_RESPONSE, &found);
        assert!(scanner.scan(hello()).unwrap().verdict().is_infected());
        assert_eq!(second.connections(), 0);
    }
}

#[test]
fn failing_content_does_not_fail_over() {
    let (first, second) = (Server::start().unwrap(), Server::start().unwrap());
    let builder = Scanner::builder(first.uri()).endpoint(second.uri());
    let scanner = builder.suspend_after(1).build().unwrap();
    let content = Content::reader(std::io::empty()).len(9);
    assert!(scanner.scan(content).is_err());
    assert!(scanner.stats().suspended.is_empty());
    assert_eq!(second.connections(), 0);
}

#[test]
fn black_hole_is_suspended_and_then_fails_fast() {
    let server = Server::scripted([Script::new().hold()]).unwrap();
    let builder = Scanner::builder(server.uri()).read_timeout(Duration::from_millis(200));
    // So that no trial is due, however slow the machine is.
    let scanner = builder.clock(ManualClock::new()).build().unwrap();
    let scan_64_times = || {
        std::thread::scope(|scope| {
            let scan = || {
                let began = Instant::now();
                (scanner.scan(hello()).unwrap_err(), began.elapsed())
            };
            let scans: Vec<_> = (0..64).map(|_| scope.spawn(scan)).collect();
            scans
                .into_iter()
                .map(|scan| scan.join().unwrap())
                .collect::<Vec<_>>()
        })
    };
    let first = scan_64_times();
    assert!(first.iter().all(|(error, _)| error.is_unavailable()));
    let mut then = scan_64_times();
    then.sort_by_key(|(_, took)| *took);
    println!(
        "64 callers, suspended: median {:?}, longest {:?}",
        then[32].1, then[63].1
    );
    for (error, _) in &then {
        let Error::Suspended(error) = error else {
            panic!("{error}")
        };
        assert!(error.why().contains("timed out"), "{error}");
        assert!(error.retry_in() <= Duration::from_secs(1));
        let said = error.to_string();
        assert!(
            said.contains(&server.uri()) && said.contains("suspended"),
            "{said}"
        );
    }
    // One at a time, so that the calls are measured and not the threads. The median, because a machine with
    // other work interrupts some of them.
    let mut took = [(); 64].map(|()| {
        let began = Instant::now();
        assert!(matches!(scanner.scan(hello()), Err(Error::Suspended(_))));
        began.elapsed()
    });
    took.sort();
    assert!(took[32] < Duration::from_millis(10), "{took:?}");
    let stats = scanner.stats();
    assert_eq!(stats.suspended.len(), 1);
    assert_eq!(stats.scans, stats.errors);
}

/// The time until the next trial of the only suspended server.
fn retry_in(scanner: &Scanner) -> Duration {
    scanner.stats().suspended[0].retry_in
}

#[test]
fn failed_trial_doubles_the_suspension() {
    let (server, fails, asked) = switched("500 Server error");
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri())
        .clock(clock.clone())
        .suspend_after(2);
    let scanner = builder.build().unwrap();
    for _ in 0..5 {
        assert!(scanner.scan(hello()).is_err());
    }
    assert_eq!(asked.load(SeqCst), 2);
    // The jitter is a fifth, except for the first interval.
    for (milliseconds, jitter) in [
        (1000, 0),
        (2000, 400),
        (4000, 800),
        (8000, 1600),
        (8000, 1600),
    ] {
        let wait = retry_in(&scanner);
        let off = wait.abs_diff(Duration::from_millis(milliseconds));
        assert!(off <= Duration::from_millis(jitter), "{wait:?}");
        clock.advance(wait - Duration::from_millis(1));
        assert!(matches!(scanner.scan(hello()), Err(Error::Suspended(_))));
        clock.advance(Duration::from_millis(1));
        assert_eq!(scanner.scan(hello()).unwrap_err().status(), Some(500));
    }
    assert_eq!(asked.load(SeqCst), 7);
    fails.store(false, SeqCst);
    clock.advance(retry_in(&scanner));
    assert!(scanner.scan(hello()).unwrap().verdict().is_clean());
    assert!(scanner.stats().suspended.is_empty());
}

#[test]
fn only_a_scan_of_content_ends_the_suspension() {
    let (server, fails, _) = switched("500 Server error");
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri()).clock(clock.clone());
    let scanner = builder.suspend_after(1).build().unwrap();
    assert!(scanner.scan(hello()).is_err());
    fails.store(false, SeqCst);
    clock.advance(retry_in(&scanner));
    // Servers respond to these without their engine. The trial is given back.
    assert!(scanner.options().is_ok());
    for _ in 0..2 {
        assert!(scanner.scan(Content::bytes(b"")).is_ok());
        assert_eq!(scanner.stats().suspended.len(), 1);
    }
    assert!(scanner.scan(hello()).is_ok());
    assert!(scanner.stats().suspended.is_empty());
}

/// Connects while the switch is on; otherwise it is refused.
struct Reachable(Arc<AtomicBool>);

impl Connect for Reachable {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        if !self.0.load(SeqCst) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "nobody there",
            ));
        }
        TcpConnector.connect(service, timeout)
    }
}

#[test]
fn server_is_used_again_soon_after_an_outage() {
    let server = Server::start().unwrap();
    let step = Duration::from_millis(10);
    for outage in [100, 990, 1000, 1500, 3100, 7300, 20_000, 60_000].map(Duration::from_millis) {
        let (clock, is_there) = (ManualClock::new(), Arc::new(AtomicBool::new(true)));
        let builder = Scanner::builder(server.uri())
            .clock(clock.clone())
            .connector(Reachable(Arc::clone(&is_there)));
        let scanner = builder.max_idle(0).build().unwrap();
        let scan_for = |time: Duration| {
            let mut waited = Duration::ZERO;
            while waited < time && scanner.scan(hello()).is_err() {
                clock.advance(step);
                waited += step;
            }
            waited
        };
        assert_eq!(scan_for(outage), Duration::ZERO);
        is_there.store(false, SeqCst);
        assert_eq!(scan_for(outage), outage);
        is_there.store(true, SeqCst);
        let bound = (outage + Duration::from_secs(1)).min(Duration::from_secs(10));
        let waited = scan_for(Duration::from_secs(60));
        assert!(waited <= bound * 6 / 5 + step, "{outage:?}: {waited:?}");
    }
}

#[test]
fn suspension_names_the_innermost_cause() {
    let scanner = Scanner::builder(nobody()).suspend_after(1).build().unwrap();
    assert!(scanner.scan(hello()).is_err());
    let cause = "onnection refused";
    assert!(scanner.stats().suspended[0].why.contains(cause));
    let error = scanner.scan(hello()).unwrap_err();
    assert!(error.to_string().contains(cause), "{error}");
}

#[test]
fn slow_reader_does_not_suspend_the_server() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::TimedOut.into())
        }
    }
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri())
        .suspend_after(1)
        .build()
        .unwrap();
    for _ in 0..3 {
        assert!(matches!(
            scanner.scan(Content::reader(Fails)),
            Err(Error::Content(_))
        ));
    }
    assert!(scanner.scan(hello()).unwrap().verdict().is_clean());
}

const MS: Duration = Duration::from_millis(1);

/// A scanner that suspends the first server, which plays `script`, after three failures.
fn with_fallback(script: Script) -> (Server, Server, ScannerBuilder) {
    let first = Server::scripted([script]).unwrap();
    let second = Server::start().unwrap();
    let builder = Scanner::builder(first.uri()).endpoint(second.uri());
    (first, second, builder.negotiate(false).suspend_after(3))
}

#[test]
fn deadline_too_short_suspends_no_server() {
    for script in [
        Script::new().hold(),
        Script::new()
            .read_request()
            .dribble(CLEAN.repeat(9), 5 * MS),
    ] {
        let server = Server::scripted([script]).unwrap();
        let builder = Scanner::builder(server.uri()).deadline(100 * MS);
        let scanner = builder.suspend_after(1).build().unwrap();
        for _ in 0..2 {
            let error = scanner.scan(hello()).unwrap_err();
            assert!(error.is_timeout(), "{error}");
        }
        assert!(scanner.stats().suspended.is_empty());
    }
}

#[test]
fn black_hole_leaves_time_for_the_next_server() {
    let (_first, second, builder) = with_fallback(Script::new().hold());
    let scanner = builder.deadline(2000 * MS).build().unwrap();
    for _ in 0..4 {
        let began = Instant::now();
        let report = scanner.scan(hello()).unwrap();
        assert_eq!(report.service(), second.uri());
        assert!(began.elapsed() >= 1500 * MS);
    }
    // The first server did not have its full read timeout.
    assert!(scanner.stats().suspended.is_empty());
}

#[test]
fn share_of_the_deadline_is_named_if_no_server_scans() {
    let hole = || Server::scripted([Script::new().hold()]).unwrap();
    let (first, second) = (hole(), hole());
    let builder = Scanner::builder(first.uri()).endpoint(second.uri());
    let scanner = builder.deadline(2000 * MS).build().unwrap();
    let Err(Error::Timeout(error)) = scanner.scan(hello()) else {
        panic!("no timeout");
    };
    assert_eq!(error.limit(), TimeLimit::DeadlineShare);
    let share = error.after();
    assert!(share <= 1500 * MS && share > 1000 * MS, "{error}");
    assert!(scanner.stats().suspended.is_empty());
}

/// Scans until the first server is suspended: three times.
fn assert_suspended_and_next_asked(
    (first, second, builder): (Server, Server, ScannerBuilder),
    content: &[u8],
) {
    let builder = builder
        .connect_timeout(10_000 * MS)
        .clock(ManualClock::new());
    let scanner = builder.build().unwrap();
    for _ in 0..5 {
        let report = scanner.scan(Content::bytes(content)).unwrap();
        assert!(report.verdict().is_clean());
        assert_eq!(report.service(), second.uri());
    }
    let stats = scanner.stats();
    assert_eq!((stats.failovers, stats.errors), (3, 0));
    assert_eq!(stats.suspended[0].service, first.uri());
}

#[test]
fn server_that_drips_its_response_is_suspended() {
    let endless = format!("ICAP/1.0 204 No Content\r\nX: {}", "y".repeat(10_000));
    let drips = Script::new().read_request().dribble(endless, 20 * MS);
    let (first, second, builder) = with_fallback(drips);
    let builder = builder.read_timeout(500 * MS);
    assert_suspended_and_next_asked((first, second, builder), b"hello");
}

#[test]
fn server_that_drips_its_options_is_suspended() {
    let drips = Script::new()
        .read_request()
        .dribble(OPTIONS_RESPONSE, 20 * MS);
    let (first, second, builder) = with_fallback(drips);
    let builder = builder.negotiate(true).read_timeout(500 * MS);
    assert_suspended_and_next_asked((first, second, builder), b"hello");
}

#[test]
fn server_that_drips_a_body_is_suspended() {
    let page = page_of(&"y".repeat(10_000));
    let drips = Script::new().read_request().send(&page[..200]);
    let (first, second, builder) = with_fallback(drips.dribble(&page[200..], 10 * MS));
    let builder = builder.read_timeout(500 * MS);
    assert_suspended_and_next_asked((first, second, builder), b"hello");
}

/// A 200 response with this body.
fn page_of(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let len = head.len();
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    format!("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body={len}\r\n\r\n{head}{chunk}")
        .into_bytes()
}

#[test]
fn server_reading_the_content_too_slowly_is_suspended() {
    let slowly = |script: Script, _| script.read_bytes(10_000).wait(10 * MS);
    let takes = (0..2_000).fold(Script::new(), slowly);
    let (first, second, builder) = with_fallback(takes);
    let builder = builder.write_timeout(300 * MS).deadline(4000 * MS);
    assert_suspended_and_next_asked((first, second, builder), &vec![7; 12_000_000]);
}

/// Content of a slow caller: a byte after each pause.
struct Trickles(Duration);

impl Read for Trickles {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(self.0);
        buf[0] = 7;
        Ok(1)
    }
}

#[test]
fn caller_using_up_its_deadline_suspends_no_server() {
    let server = Server::start().unwrap();
    let builder = Scanner::builder(server.uri()).deadline(1000 * MS);
    let scanner = builder.suspend_after(1).build().unwrap();
    for _ in 0..2 {
        let slow = Content::reader(Trickles(Duration::from_millis(50)));
        assert!(scanner.scan(slow).unwrap_err().is_timeout());
    }
    assert!(
        scanner.stats().suspended.is_empty(),
        "{:?}",
        scanner.stats()
    );
    assert!(scanner.scan(hello()).unwrap().verdict().is_clean());
}

#[test]
fn response_that_breaks_off_counts_against_the_server() {
    let half = Script::new().read_request().send("ICAP/1.0 20").close();
    let first = Server::scripted([half]).unwrap();
    let second = Server::start().unwrap();
    let builder = Scanner::builder(first.uri())
        .endpoint(second.uri())
        .suspend_after(2);
    let scanner = builder.build().unwrap();
    for _ in 0..4 {
        assert!(scanner.scan(hello()).unwrap().verdict().is_clean());
    }
    assert_eq!((scanner.stats().failovers, first.connections()), (2, 2));
}

#[test]
fn failed_options_counts_once_for_all_that_wait() {
    let fails = Script::new()
        .read_request()
        .wait(Duration::from_millis(200));
    let fails = fails.send("ICAP/1.0 500 Server error\r\n\r\n");
    let well = Script::new()
        .answer_options()
        .read_request()
        .send(CLEAN)
        .close();
    let server = Server::scripted([fails, well]).unwrap();
    let scanner = Scanner::builder(server.uri())
        .suspend_after(3)
        .build()
        .unwrap();
    let barrier = Barrier::new(16);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                barrier.wait();
                drop(scanner.scan(hello()));
            });
        }
    });
    assert!(
        scanner.stats().suspended.is_empty(),
        "{:?}",
        scanner.stats()
    );
}

#[test]
fn waiting_scans_learn_of_the_suspension() {
    let server = Server::scripted([Script::new().hold()]).unwrap();
    let builder = Scanner::builder(server.uri())
        .negotiate(false)
        .max_connections(1);
    let builder = builder
        .read_timeout(Duration::from_millis(200))
        .suspend_after(2);
    let scanner = builder.build().unwrap();
    let began = Instant::now();
    let errors: Vec<Error> = std::thread::scope(|scope| {
        let scans: Vec<_> = (0..32)
            .map(|_| scope.spawn(|| scanner.scan(hello())))
            .collect();
        scans
            .into_iter()
            .map(|scan| scan.join().unwrap().unwrap_err())
            .collect()
    });
    let told = errors
        .iter()
        .filter(|error| matches!(error, Error::Suspended(_)))
        .count();
    // A few may get their connection just before the suspension begins.
    assert!(told >= 28, "{told}: {errors:?}");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn content_too_large_does_not_end_the_suspension() {
    let server = Server::scripted([Script::new().hold()]).unwrap();
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri())
        .negotiate(false)
        .max_size(100_000);
    let builder = builder
        .read_timeout(Duration::from_millis(50))
        .suspend_after(1);
    let scanner = builder.clock(clock.clone()).build().unwrap();
    assert!(scanner.scan(hello()).unwrap_err().is_timeout());
    clock.advance(Duration::from_secs(30));
    let too_large = Content::reader(std::io::repeat(7));
    assert!(!scanner.scan(too_large).unwrap().verdict().is_clean());
    assert_eq!(scanner.stats().suspended.len(), 1);
}

#[test]
fn trial_that_hangs_in_options_holds_up_no_other() {
    const FAILS: usize = 0;
    const HANGS: usize = 1;
    const WORKS: usize = 2;
    let state = Arc::new(AtomicUsize::new(FAILS));
    let now = Arc::clone(&state);
    let server = Server::answering(move |request| match now.load(SeqCst) {
        FAILS => Script::new().close(),
        HANGS => {
            now.store(WORKS, SeqCst);
            Script::new().hold()
        }
        _ if request.method() == "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    });
    let (server, clock) = (server.unwrap(), ManualClock::new());
    let builder = Scanner::builder(server.uri())
        .suspend_after(1)
        .read_timeout(Duration::from_secs(3));
    let scanner = builder.clock(clock.clone()).build().unwrap();
    assert!(scanner.scan(hello()).is_err());
    state.store(HANGS, SeqCst);
    clock.advance(Duration::from_secs(2));
    std::thread::scope(|scope| {
        let hung = scope.spawn(|| scanner.scan(hello()));
        while state.load(SeqCst) == HANGS {
            std::thread::yield_now();
        }
        clock.advance(Duration::from_secs(2));
        for _ in 0..2 {
            assert!(scanner.scan(hello()).unwrap().verdict().is_clean());
        }
        assert!(!hung.is_finished());
        assert!(hung.join().unwrap().is_err());
    });
    assert!(scanner.stats().suspended.is_empty());
}

#[test]
fn server_that_dies_at_each_scan_is_suspended() {
    // Its options expire at once, so each scan uses the connection of an OPTIONS.
    let options = OPTIONS_RESPONSE.replace("Options-TTL: 3600", "Options-TTL: 0");
    let first = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(options.clone()),
        _ => Script::new().close(),
    });
    let (first, second) = (first.unwrap(), Server::start().unwrap());
    let scanner = Scanner::builder(first.uri())
        .endpoint(second.uri())
        .suspend_after(2);
    let scanner = scanner.build().unwrap();
    let scan = || scanner.scan(Content::reader(io::repeat(7).take(100_000)));
    assert!(scan().is_err());
    assert!(scan().is_err());
    assert_eq!(scanner.stats().suspended.len(), 1);
    assert_eq!(scan().unwrap().service(), second.uri());
}
