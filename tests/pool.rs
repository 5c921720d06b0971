//! Connections are reused and shared by threads, and a response never belongs to another request.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use icap_client::error::{Phase, TimeLimit};
use icap_client::stats::CloseReason;
use icap_client::testing::{
    CLEAN, Gate, ManualClock, OPTIONS_RESPONSE, Script, Server, echo, eicar, infected,
};
use icap_client::{Body, Client, Content, Error, NotScanned, Request, Scanner, Stats, Verdict};

mod support;

use support::content::holding;
use support::tap::Tap;

fn hello() -> Content<'static> {
    Content::bytes(b"hello")
}

fn scan_clean(scanner: &Scanner) {
    let report = scanner.scan(hello()).unwrap();
    assert!(report.verdict().is_clean(), "{}", report.verdict());
}

/// The number of connections that were closed for this reason.
fn closed(stats: &Stats, reason: CloseReason) -> u64 {
    stats
        .closed_by_reason
        .get(&reason)
        .copied()
        .unwrap_or_default()
}

fn assert_adds_up(stats: &Stats) {
    let open = stats.connections_opened - stats.connections_closed;
    assert_eq!(open, stats.connections_idle, "{stats:?}");
}

#[test]
fn scans_in_a_row_share_connection_and_options() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    for _ in 0..2000 {
        scan_clean(&scanner);
    }
    let stats = scanner.stats();
    assert_eq!(
        (stats.connections_opened, stats.connections_reused),
        (1, 2000)
    );
    assert_eq!(
        (stats.options_sent, stats.clean, stats.scans),
        (1, 2000, 2000)
    );
    assert!(
        stats.bytes_sent > 2000 * 100 && stats.bytes_received > 2000 * 50,
        "{stats:?}"
    );
    assert_adds_up(&stats);
    assert_eq!((server.connections(), server.requests()), (1, 2001));
}

/// A connection that responds to OPTIONS and one scan, and then plays `then`.
fn after_one_scan(then: impl FnOnce(Script) -> Script) -> Script {
    then(Script::new().answer_options().read_request().send(CLEAN))
}

#[test]
fn stray_204_on_an_idle_connection_is_discarded() {
    for delay in [0, 1, 2, 5, 10, 20, 50] {
        let stray = |script: Script| {
            script
                .wait(Duration::from_millis(delay))
                .send(CLEAN)
                .read_to_end()
        };
        let own = Script::new().read_request().send(infected("own"));
        let server = Server::scripted([after_one_scan(stray), own]).unwrap();
        let tap = Tap::default();
        let scanner = Scanner::builder(server.uri())
            .connector(tap.clone())
            .build()
            .unwrap();
        match scanner.scan(hello()) {
            Ok(report) => {
                assert!(report.verdict().is_clean());
                tap.await_bytes(0);
            }
            // The stray bytes came together with the response.
            Err(error) => assert!(error.is_protocol(), "{error}"),
        }
        let report = scanner.scan(hello()).unwrap();
        assert_eq!(
            report.verdict().to_string(),
            "infected: own",
            "after {delay} ms"
        );
        assert_adds_up(&scanner.stats());
    }
}

#[test]
fn stray_204_is_seen_by_the_look_before_the_request() {
    // The look at check-out is the one before the first byte is written; tests/sending.rs counts them.
    let kinds: [fn() -> Content<'static>; 3] = [
        hello,
        || Content::seekable(io::Cursor::new(b"hello")),
        || Content::reader(&b"hello"[..]),
    ];
    for content in kinds {
        let gate = Gate::new();
        let stray = |script: Script| script.wait_for(&gate).send(CLEAN).read_to_end();
        let own = Script::new().read_request().send(infected("own"));
        let server = Server::scripted([after_one_scan(stray), own]).unwrap();
        let tap = Tap::default();
        let builder = Scanner::builder(server.uri()).connector(tap.clone());
        let scanner = builder.build().unwrap();
        scan_clean(&scanner);
        gate.open();
        tap.await_bytes(0);
        let report = scanner.scan(content()).unwrap();
        assert_eq!(report.verdict().to_string(), "infected: own");
        let stats = scanner.stats();
        assert_eq!((stats.retries, stats.connections_opened), (0, 2));
        assert_eq!(closed(&stats, CloseReason::IdleBytes), 1);
        assert_adds_up(&stats);
    }
}

#[test]
fn early_204_on_a_used_connection_is_retried() {
    let large = vec![7; 20_000_000];
    // The content of a reader goes over a new connection from the start.
    for (content, retries) in [
        (Content::bytes(&large), 1),
        (Content::seekable(io::Cursor::new(&large)), 1),
        (Content::reader(&large[..]), 0),
    ] {
        let early = |script: Script| script.read_bytes(500).send(CLEAN).read_to_end();
        let own = Script::new().read_request().send(infected("own"));
        let server = Server::scripted([after_one_scan(early), own]).unwrap();
        let scanner = Scanner::new(server.uri()).unwrap();
        scan_clean(&scanner);
        let report = scanner.scan(content).unwrap();
        assert_eq!(report.verdict().to_string(), "infected: own");
        assert_eq!(scanner.stats().retries, retries);
    }
}

#[test]
fn early_204_with_an_infection_is_not_retried() {
    let found = "ICAP/1.0 204 OK\r\nX-Infection-Found: Type=0; Threat=early;\r\n\r\n";
    let large = vec![7; 20_000_000];
    let cursor = io::Cursor::new(&large);
    for content in [Content::bytes(&large), Content::seekable(cursor)] {
        let early = |script: Script| script.read_bytes(500).send(found).read_to_end();
        let clean = Script::new().read_request().send(CLEAN);
        let server = Server::scripted([after_one_scan(early), clean]).unwrap();
        let scanner = Scanner::new(server.uri()).unwrap();
        scan_clean(&scanner);
        let report = scanner.scan(content).unwrap();
        assert_eq!(report.verdict().to_string(), "infected: early");
    }
}

#[test]
fn connection_closed_while_reading_content_is_replaced() {
    /// Returns its content after the server has closed the connection.
    struct Late<'t>(&'t Tap, &'t Gate, Option<&'static [u8]>);
    impl Read for Late<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Some(mut content) = self.2.take() else {
                return Ok(0);
            };
            self.1.open();
            self.0.await_bytes(0);
            content.read(buf)
        }
    }
    let own = Script::new().read_request().send(infected("own"));
    let gate = Gate::new();
    let closes = |script: Script| script.wait_for(&gate).close();
    let server = Server::scripted([after_one_scan(closes), own]).unwrap();
    let tap = Tap::default();
    let builder = Scanner::builder(server.uri()).connector(tap.clone());
    let scanner = builder.build().unwrap();
    scan_clean(&scanner);
    let report = scanner
        .scan(Content::reader(Late(&tap, &gate, Some(b"hello"))))
        .unwrap();
    assert_eq!(report.verdict().to_string(), "infected: own");
    assert_adds_up(&scanner.stats());
}

#[test]
fn echo_is_not_clean_under_outdated_options() {
    let scans = AtomicUsize::new(0);
    let no_204 = |tag: &str| {
        let options = OPTIONS_RESPONSE.replace("Allow: 204\r\n", "");
        options.replace("icap-client-testing", tag)
    };
    let back = |tag: &str| {
        let echoed = echo("HTTP/1.1 200 OK\r\n\r\n", b"hello");
        String::from_utf8(echoed)
            .unwrap()
            .replace("icap-client-testing", tag)
    };
    let server = Server::answering(move |request| {
        let is_options = request.method() == "OPTIONS";
        let scan = scans.fetch_add(usize::from(!is_options), SeqCst);
        Script::new().send(match (is_options, scan) {
            (true, 0) => no_204("old"),
            // From now on it offers 204, so an echo means that it did not scan.
            (true, _) => OPTIONS_RESPONSE.replace("icap-client-testing", "new"),
            (false, 0) => back("old"),
            (false, _) => back("new"),
        })
    });
    let server = server.unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    scan_clean(&scanner);
    for _ in 0..2 {
        let report = scanner.scan(hello()).unwrap();
        assert_eq!(*report.verdict(), Verdict::NotScanned(NotScanned::Echoed));
    }
}

#[test]
fn alternating_istags_do_not_cost_options_per_scan() {
    let responses = AtomicUsize::new(0);
    let server = tagged(move |_| format!("server {}", responses.fetch_add(1, SeqCst) % 3));
    let scanner = Scanner::new(server.uri()).unwrap();
    for _ in 0..200 {
        scan_clean(&scanner);
    }
    assert!(scanner.stats().options_sent <= 4, "{:?}", scanner.stats());
}

#[test]
fn lowered_service_limit_closes_surplus_connections() {
    let fetched = AtomicUsize::new(0);
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(match fetched.fetch_add(1, SeqCst) {
            0 => OPTIONS_RESPONSE.to_owned(),
            _ => OPTIONS_RESPONSE.replace("Max-Connections: 100", "Max-Connections: 2"),
        }),
        _ => Script::new().wait(Duration::from_millis(1)).send(CLEAN),
    });
    let server = server.unwrap();
    let (clock, tap) = (ManualClock::new(), Tap::default());
    let builder = Scanner::builder(server.uri())
        .clock(clock.clone())
        .connector(tap.clone());
    let scanner = builder
        .idle_timeout(Duration::from_secs(24 * 3600))
        .build()
        .unwrap();
    scan_with_many_threads(&scanner);
    clock.advance(Duration::from_secs(4000));
    scan_clean(&scanner);
    assert!(tap.open() <= 2, "the surplus is closed");
    tap.forget();
    scan_with_many_threads(&scanner);
    assert!(tap.most_open() <= 2);
    assert_adds_up(&scanner.stats());
}

#[test]
fn idle_connection_closed_by_the_server_is_replaced() {
    let server = Server::scripted([
        after_one_scan(Script::close),
        Script::new().read_request().send(infected("own")),
    ]);
    let server = server.unwrap();
    let tap = Tap::default();
    let scanner = Scanner::builder(server.uri())
        .connector(tap.clone())
        .build()
        .unwrap();
    scan_clean(&scanner);
    tap.await_bytes(0);
    let content = Content::reader(&b"hello"[..]);
    assert_eq!(
        scanner.scan(content).unwrap().verdict().to_string(),
        "infected: own"
    );
    assert_eq!(
        scanner.stats().retries,
        0,
        "it was seen before anything was sent"
    );
}

/// Scans twice. Before the second scan the server closes the connection, and the client notices only after its
/// request.
fn second_scan_on_a_dead_connection(
    then: impl FnOnce(Script) -> Script,
    content: Content<'_>,
) -> (Result<String, Error>, Stats) {
    let own = Script::new().read_request().send(infected("own"));
    let server = Server::scripted([after_one_scan(then), own]).unwrap();
    let tap = Tap::default();
    let scanner = Scanner::builder(server.uri())
        .connector(tap.clone())
        .build()
        .unwrap();
    scan_clean(&scanner);
    tap.blind(1);
    let result = scanner
        .scan(content)
        .map(|report| report.verdict().to_string());
    (result, scanner.stats())
}

#[test]
fn lost_request_on_a_reused_connection_is_sent_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"hello").unwrap();
    let kept = vec![7; 64 * 1024];
    for content in [
        hello(),
        Content::file(file.path()).unwrap(),
        Content::seekable(io::Cursor::new(b"hello")),
        // It fits into the first buffer, which is kept.
        Content::reader(&b"hello"[..]),
        Content::reader(&kept[..]),
    ] {
        let closes = |script: Script| script.read_bytes(10).close();
        let (result, stats) = second_scan_on_a_dead_connection(closes, content);
        assert_eq!(result.unwrap(), "infected: own");
        assert_eq!((stats.retries, stats.connections_opened), (1, 2));
        assert_adds_up(&stats);
    }
    // Content that cannot be sent again does not go over a used connection.
    for len in [64 * 1024 + 1, 70_000] {
        let large = vec![7; len];
        let closes = |script: Script| script.read_to_end();
        let (result, stats) = second_scan_on_a_dead_connection(closes, Content::reader(&large[..]));
        assert_eq!(result.unwrap(), "infected: own");
        assert_eq!((stats.retries, stats.connections_opened), (0, 2));
    }
}

/// A server that closes each connection after one response, without `Connection: close`.
fn closing() -> Server {
    Server::answering(|request| {
        let response = match request.method() {
            "OPTIONS" => OPTIONS_RESPONSE,
            _ => CLEAN,
        };
        Script::new().send(response).close()
    })
    .unwrap()
}

#[test]
fn reader_is_never_lost_with_a_closed_connection() {
    for len in [0, 3, 65_535, 65_536, 65_537, 200_000] {
        let server = closing();
        // The client notices the close at once, after the first bytes were written, or later.
        for blind in [0, 1, 2] {
            let tap = Tap::default();
            let builder = Scanner::builder(server.uri()).connector(tap.clone());
            let scanner = builder.build().unwrap();
            for _ in 0..10 {
                tap.blind(blind);
                let content = Content::reader(io::repeat(7).take(len));
                let report = scanner.scan(content).unwrap();
                assert!(report.verdict().is_clean(), "{len} {blind}");
                assert_eq!(report.bytes_sent(), len);
            }
            assert_adds_up(&scanner.stats());
        }
        let client = Client::new(server.uri()).unwrap();
        for _ in 0..10 {
            let body = Body::reader(io::repeat(7).take(len));
            let request = Request::respmod().http_response(b"HTTP/1.1 200 OK\r\n\r\n");
            let response = client.send(&request.unwrap(), body, &mut io::sink());
            assert_eq!(response.unwrap().status(), 204);
        }
    }
}

#[test]
fn slow_reader_holds_no_connection_at_first() {
    let server = Server::start().unwrap();
    let builder = Scanner::builder(server.uri()).max_connections(1);
    let scanner = builder.build().unwrap();
    let (holds, hold) = holding();
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| scanner.scan(Content::reader(holds)).map(drop));
        hold.await_read();
        scan_clean(&scanner);
        drop(hold);
        holder.join().unwrap().unwrap();
    });
}

#[test]
fn request_is_not_resent_after_a_response_byte() {
    let half = |script: Script| script.read_request().send("ICAP/1.0 2").close();
    let (result, stats) = second_scan_on_a_dead_connection(half, hello());
    assert!(result.unwrap_err().is_protocol());
    assert_eq!(stats.retries, 0);
}

#[test]
fn connection_is_not_reused_after_anything_odd() {
    let contradictory = format!(
        "ICAP/1.0 204 OK\r\nX-Infection-Found: Type=0; Threat=x;\r\n{}",
        "Encapsulated: null-body=0\r\n\r\n"
    );
    for (response, reason) in [
        (
            "ICAP/1.0 204 OK\r\nConnection: close\r\n\r\n".to_owned(),
            CloseReason::PeerAsked,
        ),
        (format!("{CLEAN}\r\n"), CloseReason::StrayBytes),
        (
            format!("ICAP/1.0 100 Continue\r\n\r\n{CLEAN}"),
            CloseReason::OddResponse,
        ),
        (
            "ICAP/1.0 204 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            CloseReason::OddResponse,
        ),
        (contradictory, CloseReason::Contradiction),
    ] {
        let script = Script::new().read_request().send(&response).read_to_end();
        let server = Server::scripted([script]).unwrap();
        let scanner = Scanner::builder(server.uri())
            .negotiate(false)
            .build()
            .unwrap();
        for _ in 0..2 {
            let _ = scanner.scan(hello()).unwrap();
        }
        let stats = scanner.stats();
        assert_eq!(
            (stats.connections_opened, stats.connections_idle),
            (2, 0),
            "{response}"
        );
        assert_eq!(closed(&stats, reason), 2, "{response}: {stats:?}");
    }
}

#[test]
fn panic_or_error_of_a_reader_costs_one_connection() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("the reader's own fault")
        }
    }
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri())
        .max_connections(1)
        .build()
        .unwrap();
    scan_clean(&scanner);
    let scan = || scanner.scan(Content::reader(io::repeat(7).take(100_000).chain(Panics)));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(scan)).is_err());
    assert!(
        scanner
            .scan(Content::reader(io::repeat(7).take(100_000)).len(100_001))
            .is_err()
    );
    scan_clean(&scanner);
    let stats = scanner.stats();
    assert_eq!(
        (
            stats.connections_opened,
            closed(&stats, CloseReason::Failed)
        ),
        // Both use a new connection, because their content cannot be sent again.
        (4, 2)
    );
    assert_adds_up(&stats);
}

#[test]
fn pool_is_closed_with_the_last_clone_of_its_scanner() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    });
    let server = server.unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let clone = scanner.clone();
    scan_clean(&clone);
    drop(clone);
    assert_eq!(scanner.stats().connections_idle, 1);
    drop(scanner);
    // The server ends without a cut-off only because the client has closed.
    let began = Instant::now();
    assert!(server.finish()[0].closed_by_client());
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn idle_connections_are_limited_in_number_and_age() {
    let server = Server::start().unwrap();
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri())
        .clock(clock.clone())
        .max_idle(2);
    let scanner = builder
        .idle_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    scan_at_once(&scanner, 5);
    let stats = scanner.stats();
    assert!(stats.connections_idle <= 2, "{stats:?}");
    assert_adds_up(&stats);
    let idle = stats.connections_idle;
    clock.advance(Duration::from_secs(61));
    scan_clean(&scanner);
    let stats = scanner.stats();
    assert_eq!(closed(&stats, CloseReason::IdleTimeout), idle, "{stats:?}");
    assert_adds_up(&stats);

    let none = Scanner::builder(server.uri()).max_idle(0).build().unwrap();
    (0..3).for_each(|_| assert!(none.scan(hello()).unwrap().verdict().is_clean()));
    let stats = none.stats();
    assert_eq!((stats.connections_opened, stats.connections_idle), (4, 0));
}

/// Scans on `threads` threads, all with a connection at the same time.
fn scan_at_once(scanner: &Scanner, threads: usize) {
    struct Meets<'b>(Option<&'b std::sync::Barrier>);
    impl Read for Meets<'_> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.take().map(std::sync::Barrier::wait);
            Ok(0)
        }
    }
    scan_clean(scanner);
    let barrier = std::sync::Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            // More than the first buffer, which is read before a connection is taken.
            let content = io::repeat(7).take(70_000).chain(Meets(Some(&barrier)));
            scope.spawn(|| scanner.scan(Content::reader(content)).unwrap());
        }
    });
}

/// 32 threads, 640 scans.
fn scan_with_many_threads(scanner: &Scanner) {
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| (0..20).for_each(|_| scan_clean(scanner)));
        }
    });
}

#[test]
fn connections_never_exceed_either_limit() {
    let limited = |limit: &'static str| {
        let options = OPTIONS_RESPONSE.replace("Max-Connections: 100", limit);
        assert_ne!(options, OPTIONS_RESPONSE);
        Server::answering(move |request| match request.method() {
            "OPTIONS" => Script::new().send(&options),
            _ => Script::new().wait(Duration::from_millis(1)).send(CLEAN),
        })
        .unwrap()
    };
    for (announced, own, expected) in [
        ("Max-Connections: 2", None, 2),
        ("Max-Connections: 2", Some(5), 2),
        ("Max-Connections: 99", Some(2), 2),
        ("Max-Connections: 0", Some(2), 2),
        ("Max-Connections: many", Some(2), 2),
    ] {
        let server = limited(announced);
        let tap = Tap::default();
        let builder = Scanner::builder(server.uri())
            .connector(tap.clone())
            .max_connections(own);
        let scanner = builder.build().unwrap();
        // So that the limit of the service is known before the threads begin.
        scan_clean(&scanner);
        scan_with_many_threads(&scanner);
        assert_eq!(tap.most_open(), expected, "{announced} {own:?}");
        assert_adds_up(&scanner.stats());
    }
}

#[test]
fn wait_for_a_connection_ends_at_the_deadline() {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let deadline = Duration::from_secs(1);
    let builder = Scanner::builder(server.uri())
        .negotiate(false)
        .max_connections(1);
    let scanner = builder.deadline(deadline).build().unwrap();
    let (holds, hold) = holding();
    let errors = std::thread::scope(|scope| {
        // This scan keeps the connection for longer than the others wait.
        // More than the first buffer, which is read before a connection is taken.
        let holds = io::repeat(7).take(70_000).chain(holds);
        let holder = scope.spawn(|| scanner.scan(Content::reader(holds)).map(drop));
        hold.await_read();
        let in_line = [(); 2].map(|()| scope.spawn(|| scanner.scan(hello()).map(drop)));
        let errors = in_line.map(|scan| scan.join());
        drop(hold);
        assert!(holder.join().unwrap().unwrap_err().is_timeout());
        errors
    });
    for error in errors {
        match error.unwrap() {
            Err(Error::Timeout(error)) => {
                let ran_out = (error.phase(), error.limit());
                assert_eq!(ran_out, (Phase::Checkout, TimeLimit::Deadline));
                let said = error.to_string();
                let what = "waiting for a free connection to icap://";
                assert!(said.contains(what), "{said}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn options_are_requested_by_one_thread_for_all() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new()
            .wait(Duration::from_millis(50))
            .send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    });
    let server = server.unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    scan_with_many_threads(&scanner);
    assert_eq!(scanner.stats().options_sent, 1);
}

#[test]
fn failed_options_are_shared_by_all_that_wait() {
    let fails = Script::new()
        .read_request()
        .wait(Duration::from_millis(100))
        .send("ICAP/1.0 404 No\r\n\r\n");
    let server = Server::scripted([fails]).unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(scanner.scan(hello()).unwrap_err().status(), Some(404)));
        }
    });
    assert!(scanner.stats().options_sent < 8, "{:?}", scanner.stats());
}

/// A server with state tags from `tag`, which is told whether the request is OPTIONS.
fn tagged(tag: impl Fn(bool) -> String + Send + Sync + 'static) -> Server {
    let retag = |response: &str, tag: &str| response.replace("icap-client-testing", tag);
    Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(retag(OPTIONS_RESPONSE, &tag(true))),
        _ => Script::new().send(retag(CLEAN, &tag(false))),
    })
    .unwrap()
}

#[test]
fn changed_istag_fetches_the_options_again_once() {
    let scans = AtomicUsize::new(0);
    let server = tagged(move |is_options| {
        let scans = scans.fetch_add(usize::from(!is_options), SeqCst);
        if scans < 300 {
            "before".to_owned()
        } else {
            "after".to_owned()
        }
    });
    let scanner = Scanner::new(server.uri()).unwrap();
    for _ in 0..600 {
        scan_clean(&scanner);
    }
    assert_eq!(scanner.stats().options_sent, 2);
}

#[test]
fn differing_options_istag_costs_no_options_per_scan() {
    let server = tagged(|is_options| {
        if is_options {
            "options".into()
        } else {
            "scan".into()
        }
    });
    let scanner = Scanner::new(server.uri()).unwrap();
    scan_with_many_threads(&scanner);
    assert!(scanner.stats().options_sent <= 2, "{:?}", scanner.stats());
}

#[test]
fn changing_istag_costs_one_options_a_minute() {
    let responses = AtomicUsize::new(0);
    let server = tagged(move |_| format!("tag {}", responses.fetch_add(1, SeqCst)));
    let clock = ManualClock::new();
    let builder = Scanner::builder(server.uri()).clock(clock.clone());
    let scanner = builder.build().unwrap();
    let options_sent = || {
        for _ in 0..50 {
            scan_clean(&scanner);
        }
        scanner.stats().options_sent
    };
    assert_eq!(options_sent(), 2);
    clock.advance(Duration::from_millis(59_999));
    assert_eq!(options_sent(), 2);
    clock.advance(Duration::from_millis(1));
    assert_eq!(options_sent(), 3);
}

#[test]
fn echo_under_another_istag_is_not_clean_but_explained() {
    let responses = AtomicUsize::new(0);
    let server = Server::answering(move |request| {
        let tag = format!("ISTag: \"{}\"\r\n", responses.fetch_add(1, SeqCst));
        let response = match request.method() {
            "OPTIONS" => {
                b"ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nEncapsulated: null-body=0\r\n\r\n".to_vec()
            }
            _ => echo("HTTP/1.1 200 OK\r\n\r\n", b"hello"),
        };
        let response = String::from_utf8(response).unwrap();
        Script::new().send(response.replacen("OK\r\n", &format!("OK\r\n{tag}"), 1))
    });
    let server = server.unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let report = scanner.scan(hello()).unwrap();
    assert_eq!(*report.verdict(), Verdict::NotScanned(NotScanned::Echoed));
    assert!(report.advice().unwrap().contains("allow_204(false)"));
    let builder = Scanner::builder(server.uri()).allow_204(false);
    let report = builder.build().unwrap().scan(hello()).unwrap();
    assert!(report.verdict().is_clean() && report.advice().is_none());
}

#[test]
fn threads_never_get_the_verdict_of_another() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let eicar = eicar();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (scanner, eicar) = (&scanner, &eicar);
            scope.spawn(move || {
                for round in 0..200 {
                    let is_eicar = (thread + round) % 2 == 0;
                    let content = if is_eicar {
                        Content::bytes(eicar)
                    } else {
                        hello()
                    };
                    let report = scanner.scan(content).unwrap();
                    assert_eq!(report.verdict().is_infected(), is_eicar);
                    assert_eq!(report.verdict().is_clean(), !is_eicar);
                }
            });
        }
    });
    let stats = scanner.stats();
    assert_eq!(
        (stats.scans, stats.clean, stats.infected),
        (3200, 1600, 1600)
    );
    assert_eq!(server.connections() as u64, stats.connections_opened);
    assert_adds_up(&stats);
}
