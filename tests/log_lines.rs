//! The log lines for an operator. `tests/logs.rs` checks that no line shows a secret.

use std::cell::RefCell;

use icap_client::{Endpoint, Error, Scanner, ScannerBuilder, error::InvalidInput};

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
