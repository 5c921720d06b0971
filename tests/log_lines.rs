//! The log lines for an operator. `tests/logs.rs` checks that no line shows a secret.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use icap_client::error::InvalidInput;
use icap_client::testing::{CLEAN, ManualClock, OPTIONS_RESPONSE, Script, Server, infected};
use icap_client::transport::Clock;
use icap_client::{Cache, Content, Endpoint, Error, Scanner, ScannerBuilder};

mod support;

use support::outcomes::{CONTENTS, server};
use support::refusing_address;

thread_local! {
    /// The lines of this thread. A scan and a build log in the caller's thread, so tests do not see each other's lines.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.with_borrow_mut(|lines| lines.push(line));
    }

    fn flush(&self) {}
}

/// The lines of `level` that `what` logs.
fn lines<T>(level: log::Level, what: impl FnOnce() -> T) -> (T, Vec<String>) {
    // Another test of this process may have set it.
    let _ = log::set_logger(&Collect);
    log::set_max_level(log::LevelFilter::Trace);
    LINES.take();
    let value = what();
    let level = format!("{level} ");
    let lines = LINES.take().into_iter();
    let lines = lines.filter_map(|line| line.strip_prefix(&level).map(str::to_owned));
    (value, lines.collect())
}

fn warnings(builder: ScannerBuilder) -> Vec<String> {
    let (scanner, lines) = lines(log::Level::Warn, || builder.build());
    scanner.unwrap();
    lines
}

const ADVICE: &str =
    "content is sent without encryption; use icaps:// if others can reach the network";

#[test]
fn plain_service_beyond_this_machine_is_warned_of_once() {
    let builder = Scanner::builder("icap://av1.example/s?key=secret");
    let builder = builder
        .endpoint("icap://127.0.0.1/s")
        .endpoint("icap://192.0.2.1:99/s");
    let expected = format!("icap://av1.example/s, icap://192.0.2.1:99/s: {ADVICE}");
    assert_eq!(warnings(builder), [expected]);
    for local in ["icap://localhost/s", "icap://127.9.9.9/s", "icap://[::1]/s"] {
        assert!(warnings(Scanner::builder(local)).is_empty(), "{local}");
    }
    let tunnel = Scanner::builder("icap://av.example/s").connect_to("localhost:9");
    assert!(warnings(tunnel).is_empty());
    let beyond = Scanner::builder("icap://localhost/s").connect_to("av.example");
    assert_eq!(warnings(beyond), [format!("icap://localhost/s: {ADVICE}")]);
}

#[cfg(feature = "rustls")]
#[test]
fn encrypted_service_is_not_warned_of() {
    assert!(warnings(Scanner::builder("icaps://av.example/s")).is_empty());
    let builder = Scanner::builder("icaps://av.example/s").endpoint("icaps://127.0.0.1/s");
    assert!(warnings(builder.require_tls(true)).is_empty());
}

fn invalid(builder: ScannerBuilder) -> (InvalidInput, String) {
    match builder.build() {
        Err(Error::Input(error)) => (error.kind(), error.to_string()),
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "rustls")]
#[test]
fn plain_service_fails_the_build_if_tls_is_required() {
    for (first, second) in [
        ("icap://localhost/a?key=secret", "icaps://av.example/b"),
        ("icaps://av.example/b", "icap://localhost/a?key=secret"),
    ] {
        let (kind, text) = invalid(Scanner::builder(first).endpoint(second).require_tls(true));
        assert_eq!(kind, InvalidInput::Uri);
        let expected = "not a usable ICAP URI: `require_tls` is set, so it must begin with icaps:// (icap://localhost/a)";
        assert_eq!(text, expected);
    }
}

#[test]
fn unusable_address_fails_the_build() {
    for address in ["", "av.example:0", "a b", "::1", "joe:secret@av"] {
        let first = Scanner::builder("icap://av.example/s").connect_to(address);
        let other = Endpoint::new("icap://av2.example/s")
            .unwrap()
            .connect_to(address);
        let second = Scanner::builder("icap://av.example/s").endpoint(other);
        for builder in [first, second] {
            let (kind, text) = invalid(builder);
            assert_eq!(kind, InvalidInput::Address, "{address}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}

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

/// The lines at info of scans of these contents, one after the other.
fn scan_lines<'c>(
    scanner: &Scanner,
    contents: impl IntoIterator<Item = Content<'c>>,
) -> Vec<String> {
    let scan_all = || {
        for content in contents {
            let _ = scanner.scan(content);
        }
    };
    lines(log::Level::Info, scan_all).1
}

#[test]
fn each_scan_is_logged_in_one_line() {
    let clock = Simulated::default();
    let server = {
        let clock = clock.clone();
        server(move |len| clock.0.advance(Duration::from_millis(len as u64)))
    };
    let builder = Scanner::builder(format!("{}?key=hunter2", server.uri()));
    let scanner = builder.clock(clock).negotiate(false).build().unwrap();
    let contents = CONTENTS.map(|(content, outcome)| Content::from(content).name(outcome));
    let service = server.uri();
    let expected = [
        format!("{service}: scan of \"clean\", 1 bytes, 1 ms, new connection: clean"),
        format!(
            "{service}: scan of \"infected\", 2 bytes, 2 ms, reused connection: infected: Eicar"
        ),
        format!(
            "{service}: scan of \"blocked\", 3 bytes, 3 ms, reused connection: blocked: the service responded with 403 Forbidden"
        ),
        format!(
            "{service}: scan of \"modified\", 4 bytes, 4 ms, reused connection: modified: the service sent back other content (5 bytes)"
        ),
        format!(
            "{service}: scan of \"not_scanned\", 5 bytes, 5 ms, reused connection: not scanned: the service has not finished"
        ),
        format!("scan of \"error\", 6 ms, error: {service} responded with 499 No"),
    ];
    assert_eq!(scan_lines(&scanner, contents), expected);
}

#[test]
fn scan_without_a_connection_is_logged() {
    let unreachable = format!("icap://{}/s", refusing_address());
    let scanner = Scanner::builder(&unreachable).max_size(3).build().unwrap();
    let clock_free = |line: &String| {
        let (start, rest) = line.split_once(" ms").unwrap();
        let start = start.trim_end_matches(|c: char| c.is_ascii_digit());
        format!("{start}N ms{rest}")
    };
    let lines = scan_lines(
        &scanner,
        [Content::from("four"), Content::from("one").name("a")],
    );
    let lines: Vec<_> = lines.iter().map(clock_free).collect();
    let expected = [
        format!(
            "{unreachable}: scan of unnamed content, 0 bytes, N ms, no connection: not scanned: larger than 3 bytes"
        ),
        format!("scan of \"a\", N ms, error: cannot connect to {unreachable}: connection refused"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn evidence_that_broke_off_is_logged_with_its_connection() {
    let script = Script::new().read_request().send(CLEAN).read_request();
    let script = script.send("ICAP/1.0 403 Forbidden\r\nX-A: 1\r\n").close();
    let server = Server::scripted([script]).unwrap();
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    let lines = scan_lines(&scanner, ["one", "two"].map(Content::from));
    assert!(lines[0].ends_with(", new connection: clean"), "{lines:?}");
    assert!(
        lines[1]
            .ends_with(", reused connection: blocked: the service responded with 403 Forbidden"),
        "{lines:?}"
    );
}

#[test]
fn name_cannot_forge_a_log_line() {
    let server = server(|_| ());
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    let forged = "a\", 9 bytes, 1 ms, new connection: clean\r\nINFO \u{202e}x\\";
    let long = "b".repeat(10_000);
    let contents = [forged, &long].map(|name| Content::from("bb").name(name));
    let lines = scan_lines(&scanner, contents);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (_, rest) = lines[0].split_once(": scan of \"").unwrap();
    let shown =
        "a\\\", 9 bytes, 1 ms, new connection: clean\\\\r\\\\nINFO \\\\u{202e}x\\\\\", 2 bytes";
    assert!(rest.starts_with(shown), "{rest}");
    assert!(lines[0].ends_with(": infected: Eicar"), "{}", lines[0]);
    assert!(lines[1].len() < 500, "{}", lines[1]);
}

#[test]
fn log_line_of_a_hundred_threats_has_an_end() {
    let names: String = (0..100)
        .map(|n| format!("{n}{}, ", "x".repeat(150)))
        .collect();
    let response =
        format!("ICAP/1.0 200 OK\r\nX-Virus-Name: {names}\r\nEncapsulated: null-body=0\r\n\r\n");
    let server = Server::answering(move |_| Script::new().send(&response)).unwrap();
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    let lines = scan_lines(&scanner, [Content::from("hello")]);
    assert!(
        lines[0].ends_with('…') && lines[0].len() < 700,
        "{}",
        lines[0]
    );
}

#[test]
fn failing_reader_is_logged_with_its_error() {
    struct Fails;
    impl io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk\r\nINFO is gone"))
        }
    }
    let server = server(|_| ());
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    let lines = scan_lines(&scanner, [Content::reader(Fails).name("a")]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("scan of \"a\", "), "{lines:?}");
    assert!(
        lines[0].ends_with("the disk\\r\\nINFO is gone"),
        "{lines:?}"
    );
}

#[test]
fn cached_verdict_is_logged_as_such() {
    let server = Server::start().unwrap();
    let builder = Scanner::builder(server.uri()).cache(Cache::default());
    let scanner = builder.build().unwrap();
    let lines = scan_lines(&scanner, [(); 2].map(|()| Content::from("one").id("1")));
    assert!(lines[0].ends_with(" connection: clean"), "{lines:?}");
    assert!(lines[1].ends_with(", cached verdict: clean"), "{lines:?}");
}

#[test]
fn rule_against_all_archives_is_named_in_the_warning() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(infected("Rule.Archive")),
    });
    let server = server.unwrap();
    let builder = Scanner::builder(server.uri()).canary(Duration::from_secs(300));
    let scanner = builder.build().unwrap();
    let (report, lines) = lines(log::Level::Warn, || scanner.scan("hello"));
    assert!(!report.unwrap().verdict().is_clean());
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    let expected = "it called EICAR \"infected: Rule.Archive\", and objected to the same archive without EICAR, \
                    which proves nothing: let it accept ZIP archives";
    assert!(line.contains(expected), "{line}");
}
