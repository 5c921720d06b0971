//! Text of a hostile server is escaped and bounded wherever it is shown. Secrets are shown nowhere.

use std::fmt::Debug;
use std::io;
use std::sync::Mutex;

use icap_client::protocol::is_displayable;
use icap_client::testing::{Received, Script, Server, echo};
use icap_client::{Body, Client, Content, Preview, Report, Request, Scanner, Verdict};

mod support;

use support::refusing_address;

/// Text that clears a terminal, begins a line, reverses its direction, hides, is not UTF-8, and is long.
fn hostile() -> Vec<u8> {
    let mut text = b"EVIL\x1b[2J\x07\x08\x7f\xc2\x9b1m\r \xe2\x80\xae\xe2\x80\x8b\xff".to_vec();
    text.retain(|&byte| byte != b'\r');
    text.extend(std::iter::repeat_n(b'A', 20_000));
    text
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.target(), record.args());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

fn show(what: &str, shown: String) {
    LINES.lock().unwrap().push(format!("{what}: {shown}"));
}

fn show_result<T: Debug, E: Debug + std::fmt::Display>(result: &Result<T, E>) {
    match result {
        Ok(value) => show("value", format!("{value:?}")),
        Err(error) => show("error", format!("{error} {error:?}")),
    }
}

fn show_report(result: &Result<Report, icap_client::Error>) {
    show_result(result);
    let Ok(report) = result else { return };
    show("verdict", report.verdict().to_string());
    show(
        "istag",
        format!("{:?} {}", report.istag(), report.service()),
    );
    if let Verdict::Infected(threats) = report.verdict() {
        for threat in threats {
            let parts = [threat.name(), threat.file(), threat.problem_id()];
            show("threat", format!("{parts:?} {threat:?}"));
            for part in parts.into_iter().flatten() {
                show("part", part.to_owned());
            }
        }
    }
    if let Verdict::Blocked(blocked) = report.verdict() {
        show("reason", blocked.reason().to_owned());
    }
}

/// Responses with hostile text in every place for text.
fn responses() -> Vec<Vec<u8>> {
    let hostile = hostile();
    let with = |head: &str| {
        let mut out = Vec::new();
        for part in head.split("@@") {
            out.extend_from_slice(part.as_bytes());
            out.extend_from_slice(&hostile);
        }
        out.truncate(out.len() - hostile.len());
        out
    };
    let page = |fields: &str| {
        with(&format!(
            "ICAP/1.0 200 OK\r\nISTag: \"@@\"\r\n{fields}Encapsulated: res-body=0\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        ))
    };
    let mut refused = with("HTTP/1.1 403 @@\r\nX-Blocked: @@\r\n\r\n");
    let list = format!(
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body={}\r\n\r\n",
        refused.len()
    );
    refused.splice(0..0, list.into_bytes());
    vec![
        page("X-Infection-Found: Type=0; Resolution=2; Threat=@@;\r\n"),
        page("X-Virus-ID: @@\r\n"),
        page("X-Violations-Found: 1\r\n\t@@\r\n\t@@\r\n\t@@\r\n\t0\r\n"),
        page("X-Error-Code: @@\r\n"),
        page("X-Response-Info: blocked @@\r\n"),
        page("X-Infection-Found: Type=2; Threat=@@;\r\n"),
        refused,
        with("ICAP/1.0 403 @@\r\n\r\n"),
        with("ICAP/1.0 404 @@\r\n\r\n"),
        with("ICAP/1.0 500 @@\r\n@@: @@\r\n\r\n"),
        with("@@\r\n\r\n"),
        with("ICAP/1.0 200 OK\r\nEncapsulated: @@\r\n\r\n"),
        with("ICAP/1.0 200 OK\r\n@@\r\n\r\n"),
        with("ICAP/1.0 204 OK\r\nContent-Length: 0\r\nConnection: @@\r\n\r\n"),
        with("ICAP/1.0 204 OK\r\n\r\n@@"),
        with("ICAP/1.0 100 @@\r\nX-Virus-ID: @@\r\n\r\nICAP/1.0 204 OK\r\n\r\n"),
        with("ICAP/1.0 407 @@\r\nProxy-Authenticate: Basic realm=\"@@\"\r\n\r\n"),
        with(
            "ICAP/1.0 200 @@\r\nMethods: @@\r\nService: @@\r\nService-ID: @@\r\nISTag: @@\r\n\
              Preview: @@\r\nAllow: @@\r\n\r\n",
        ),
        echo("HTTP/1.1 200 OK\r\n\r\n", b"CONTENT-OF-A-FILE"),
    ]
}

fn converse(response: Vec<u8>) {
    let server = Server::answering(move |_: &Received| Script::new().send(&response)).unwrap();
    let uri = server.uri().replace("/scan", "/scan?key=hunter2");
    for negotiate in [true, false] {
        let scanner = Scanner::builder(&uri)
            .negotiate(negotiate)
            .credentials("joe", "hunter2")
            .header("X-Customer-Key", "hunter2")
            .preview(Preview::Limit(3))
            .suspend_after(2)
            .build()
            .unwrap();
        for _ in 0..3 {
            let content = Content::bytes(b"CONTENT-OF-A-FILE")
                .name("hunter2.txt")
                .user("hunter2")
                .header("X-Token", "hunter2");
            show("content", format!("{:?}", content.name("a")));
            let content = Content::bytes(b"CONTENT-OF-A-FILE").user("hunter2");
            show_report(&scanner.scan(content));
        }
        let options = scanner.options();
        show_result(&options);
        show("scanner", format!("{scanner:?} {:?}", scanner.stats()));
    }
    let client = Client::builder(&uri).credentials("joe", "hunter2");
    show("builder", format!("{client:?}"));
    let client = client.build().unwrap();
    let request = Request::respmod().header("X-Secret", "hunter2").unwrap();
    show("request", format!("{request:?} {client:?}"));
    let body = Body::from(&b"CONTENT-OF-A-FILE"[..]);
    let response = client.send(&request, body, &mut io::sink());
    show_result(&response);
    if let Ok(response) = response {
        show("reason", response.reason());
        show("http reason", response.http_reason());
        for field in &response.headers() {
            show("field", format!("{field:?} {}", field.text()));
        }
    }
}

/// Suspends a server that refuses connections; returns its URI.
fn suspend_nobody() -> String {
    let uri = format!("icap://{}/s", refusing_address());
    let scanner = Scanner::builder(&uri).suspend_after(1).build().unwrap();
    show_report(&scanner.scan(Content::bytes(b"CONTENT-OF-A-FILE")));
    uri
}

#[test]
fn nothing_hostile_and_nothing_secret_is_ever_shown() {
    log::set_logger(&Collect).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    responses().into_iter().for_each(converse);
    let nobody = suspend_nobody();
    let lines = std::mem::take(&mut *LINES.lock().unwrap());
    assert!(lines.iter().any(|line| line.contains("EVIL")));
    assert!(lines.iter().any(|line| line.starts_with("icap_client")));
    // The line of the suspension has the service and the cause.
    let suspended = |line: &&String| line.contains(&nobody) && line.contains("suspended for");
    let line = lines.iter().find(suspended).expect("a line of its own");
    assert!(line.contains("onnection refused"), "{line}");
    for line in &lines {
        assert!(line.chars().all(is_displayable), "{line:?}");
        assert!(
            !line.contains("hunter2") && !line.contains("aHVudGVyMg"),
            "{line}"
        );
        assert!(!line.contains("CONTENT-OF"), "{line}");
        // `Debug` of a report or of options has several texts, each of them bounded.
        assert!(!line.contains(&"A".repeat(201)), "{line}");
        assert!(line.len() < 16 * 1024, "{} bytes: {line}", line.len());
    }
    println!("{} lines looked at", lines.len());
}
