//! c-icap without an anti-virus engine, which its state tag shows.

use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server, echo, infected};
use icap_client::{Content, NotScanned, Scanner, ScannerBuilder, Verdict};

const NO_ENGINE: Verdict = Verdict::NotScanned(NotScanned::NoEngine);

/// The state tag that c-icap computes from an empty list of engines, as captured.
const BLIND: &str = "CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA";
const SEEING: &str = "CI0001-L5CkDhq+qWNs+PZ5DxxXsAAA";

/// `response` with that state tag, or without one.
fn tagged(response: &[u8], tag: &str) -> Vec<u8> {
    let response = String::from_utf8(response.to_vec()).unwrap();
    let (line, rest) = response.split_once("\r\n").unwrap();
    let lines = rest.split_inclusive("\r\n");
    let rest: String = lines.filter(|line| !line.starts_with("ISTag")).collect();
    let field = match tag {
        "" => String::new(),
        tag => format!("ISTag: {tag}\r\n"),
    };
    format!("{line}\r\n{field}{rest}").into_bytes()
}

/// A server whose responses to OPTIONS and to scans have these tags.
fn server(options: &str, response: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Server {
    let options = tagged(OPTIONS_RESPONSE.as_bytes(), options);
    Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(&options),
        _ => Script::new().send(response()),
    })
    .unwrap()
}

fn verdict(builder: ScannerBuilder) -> Verdict {
    let report = builder.build().unwrap().scan(Content::bytes(b"hello"));
    report.unwrap().verdict().clone()
}

#[test]
fn no_engine_tag_is_never_clean() {
    let quoted = format!("\"{BLIND}\"");
    for (options, response, expected) in [
        (BLIND, BLIND, NO_ENGINE),
        (&quoted, &quoted, NO_ENGINE),
        // The response's own tag is newer than that of the options.
        (SEEING, BLIND, NO_ENGINE),
        (BLIND, SEEING, Verdict::Clean),
        (BLIND, "", NO_ENGINE),
        ("", BLIND, NO_ENGINE),
        (SEEING, "", Verdict::Clean),
        ("", "", Verdict::Clean),
    ] {
        let clean = tagged(CLEAN.as_bytes(), response);
        let server = server(options, move || clean.clone());
        let found = verdict(Scanner::builder(server.uri()));
        assert_eq!(found, expected, "{options} {response}");
    }
}

#[test]
fn no_engine_tag_on_an_echo_is_not_clean() {
    let back = echo("HTTP/1.1 200 OK\r\n\r\n", b"hello");
    for (tag, expected) in [(BLIND, NO_ENGINE), (SEEING, Verdict::Clean)] {
        let response = tagged(&back, tag);
        let server = server(tag, move || response.clone());
        let builder = Scanner::builder(server.uri()).allow_204(false);
        assert_eq!(verdict(builder), expected, "{tag}");
    }
}

#[test]
fn no_engine_tag_does_not_hide_a_threat() {
    let response = tagged(&infected("Eicar"), BLIND);
    let server = server(BLIND, move || response.clone());
    assert!(verdict(Scanner::builder(server.uri())).is_infected());
}

#[test]
fn last_tag_applies_to_a_204_without_one() {
    let (sender, responses) = std::sync::mpsc::channel();
    for tag in [BLIND, "", SEEING, "", BLIND, ""] {
        sender.send(tagged(CLEAN.as_bytes(), tag)).unwrap();
    }
    let responses = std::sync::Mutex::new(responses);
    let server = server("", move || responses.lock().unwrap().recv().unwrap());
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let scanner = builder.build().unwrap();
    let found = [(); 6].map(|()| {
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        report.verdict().is_clean()
    });
    assert_eq!(found, [false, false, true, true, false, false]);
}

#[test]
fn no_engine_tag_counts_in_interim_and_broken_heads() {
    let tag = format!("ISTag: {BLIND}\r\n");
    let interim = format!("ICAP/1.0 102 Processing\r\n{tag}\r\n");
    let clean = tagged(CLEAN.as_bytes(), "");
    let broken =
        format!("ICAP/1.0 200 OK\r\n{tag}Encapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1");
    let server = Server::scripted([
        Script::new()
            .read_request()
            .send([interim.as_bytes(), &clean].concat()),
        Script::new().read_request().send(broken).close(),
        Script::new().read_request().send(&clean),
    ]);
    let server = server.unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false).max_idle(0);
    let scanner = builder.build().unwrap();
    let scan = || scanner.scan(Content::bytes(b"hello"));
    assert_eq!(*scan().unwrap().verdict(), NO_ENGINE);
    assert!(scan().is_err());
    assert_eq!(*scan().unwrap().verdict(), NO_ENGINE);
}

#[test]
fn server_without_an_engine_fails_over() {
    let response = tagged(CLEAN.as_bytes(), BLIND);
    let blind = server(BLIND, move || response.clone());
    let good = Server::start().unwrap();
    let builder = || Scanner::builder(blind.uri()).suspend_after(1);
    let scanner = builder().endpoint(good.uri()).build().unwrap();
    for _ in 0..5 {
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        assert!(report.verdict().is_clean());
        assert_eq!(report.service(), good.uri());
    }
    let stats = scanner.stats();
    assert_eq!((stats.failovers, stats.suspended.len()), (5, 0));
    // With a single server, this is the verdict each time, and never an error.
    let alone = builder().build().unwrap();
    for _ in 0..20 {
        let report = alone.scan(Content::bytes(b"hello")).unwrap();
        assert_eq!(*report.verdict(), NO_ENGINE);
    }
    assert_eq!(alone.stats().connections_idle, 0);
}

#[test]
fn no_engine_tag_on_options_logs_a_warning() {
    for (tag, is_warned) in [(BLIND, true), (SEEING, false)] {
        let server = server(tag, || CLEAN.into());
        let options = Scanner::new(server.uri()).unwrap().options().unwrap();
        let warns = |warning: &String| warning.contains("no anti-virus engine");
        assert_eq!(options.warnings().iter().any(warns), is_warned, "{tag}");
    }
}
