//! The parser of Python's prometheus_client accepts the numbers of a scanner, and finds in them what they are.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use icap_client::{Scanner, Stats};

use crate::support::outcomes::{CONTENTS, scan_all, server};

/// Paths with each character that a label, a line or a JSON text could need escaped, as far as a URI can have it.
const PATHS: [&str; 3] = [
    r#"/quotes"and\backslashes\\"#,
    r#"/{braces="a",b='c'}#_bucket 1"#,
    "/%0A%22\\n",
];

pub(crate) fn all_outcomes_are_accepted(python: &str) {
    accepted(python, &Stats::default(), "");
    let server = server(|_| ());
    for path in PATHS {
        let path = path.replace(['#', ' '], "+");
        let uri = server.uri().replace("/scan", &path);
        let scanner = Scanner::builder(format!("{uri}?key=secret"))
            .endpoint("icap://[::1]:1/other")
            .negotiate(false)
            .build()
            .unwrap();
        accepted(python, &scanner.stats(), &uri);
        scan_all(&scanner);
        let samples = accepted(python, &scanner.stats(), &uri);
        for (_, outcome) in CONTENTS {
            let name = format!("icap_scan_duration_{outcome}_seconds_count");
            assert_eq!(value(&samples, &name, ""), 1.0, "{name}");
        }
        assert_eq!(value(&samples, "icap_scans_total", ""), 6.0);
        assert_eq!(value(&samples, "icap_endpoint_reports_total", "0"), 5.0);
        assert_eq!(value(&samples, "icap_endpoint_reports_total", "1"), 0.0);
        let sent = scanner.stats().bytes_sent as f64;
        assert_eq!(value(&samples, "icap_endpoint_sent_bytes_total", "0"), sent);
        let mut largest = scanner.stats();
        largest.scans = u64::MAX;
        largest.endpoints[0].state_tag_age = Some(Duration::MAX);
        let samples = accepted(python, &largest, &uri);
        assert_eq!(value(&samples, "icap_scans_total", ""), u64::MAX as f64);
    }
}

struct Sample {
    name: String,
    endpoint: String,
    value: f64,
}

/// The samples that the parser finds. The first server is at `uri`.
fn accepted(python: &str, stats: &Stats, uri: &str) -> Vec<Sample> {
    let mut text = String::new();
    stats.write_openmetrics(&mut text).unwrap();
    let output = parse(python, &text);
    let samples = output.lines().map(|line| {
        let parts: Vec<&str> = line.split('\t').collect();
        let [name, endpoint, shown_uri, _, value] = parts[..] else {
            panic!("{line}")
        };
        match endpoint {
            "" => assert_eq!(shown_uri, ""),
            "0" => assert_eq!(shown_uri, uri),
            _ => assert_eq!((endpoint, shown_uri), ("1", "icap://[::1]:1/other")),
        }
        Sample {
            name: name.to_owned(),
            endpoint: endpoint.to_owned(),
            value: value.parse().unwrap(),
        }
    });
    let samples: Vec<_> = samples.collect();
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples.len(), lines, "a line is no sample");
    samples
}

fn parse(python: &str, text: &str) -> String {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/openmetrics.py");
    let mut child = Command::new(python)
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // The parser may end before it has read everything; then its error is shown.
    let _ = input.write_all(text.as_bytes());
    drop(input);
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}\n{text}");
    String::from_utf8(output.stdout).unwrap()
}

fn value(samples: &[Sample], name: &str, endpoint: &str) -> f64 {
    let found = samples
        .iter()
        .find(|sample| sample.name == name && sample.endpoint == endpoint);
    found.unwrap_or_else(|| panic!("no {name}")).value
}
