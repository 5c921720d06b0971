//! What the program `icap` shows with `-v`, `-vv` and `--trace`.
#![cfg(feature = "cli")]

use std::fs;

use icap_client::testing::Server;

mod support;

use support::program::{Icap, obedient, scan};

/// Asserts that the texts are in it, in this order.
fn assert_in_order(text: &str, events: &[&str]) {
    let mut rest = text;
    for event in events {
        let Some(at) = rest.find(event) else {
            panic!("no {event:?} after the others in:\n{text}");
        };
        rest = &rest[at + event.len()..];
    }
}

#[test]
fn verbose_twice_follows_a_scan_in_order() {
    let icap = Icap::with_files(&["hello"]);
    let server = Server::with_preview(2).unwrap();
    let run = icap.run(&scan(&server.uri(), &["-vv", "--preview", "2B", "hello"]));
    let uri = server.uri();
    assert_in_order(
        &run.err,
        &[
            "scans hello",
            "connection 1: looks up 127.0.0.1 and connects",
            "connection 1: connected in ",
            &format!("connection 1: > OPTIONS {uri} ICAP/1.0"),
            "connection 1: < ICAP/1.0 200 OK",
            "connection 1: < Methods: RESPMOD",
            &format!("{uri}: kept a connection"),
            &format!("connection 1: > RESPMOD {uri} ICAP/1.0"),
            "connection 1: > Preview: 2",
            "connection 1: > HTTP/1.1 200 OK",
            "connection 1: > body or preview of 2 bytes",
            "connection 1: < ICAP/1.0 100 Continue",
            "connection 1: > body or preview of 3 bytes",
            "connection 1: < ICAP/1.0 204",
            &format!("{uri}: kept a connection"),
            "5 bytes, ",
            " connection: clean",
        ],
    );
    assert!(!run.err.contains("hello\r"), "{run:?}");

    let run = icap.run(&scan(&server.uri(), &["-v", "hello"]));
    assert!(run.err.contains("connection 1: > RESPMOD "), "{run:?}");
    assert!(!run.err.contains("Methods: RESPMOD"), "{run:?}");
}

#[test]
fn trace_has_heads_without_secrets_and_bodies() {
    let icap = Icap::with_files(&["content of a file"]);
    let server = obedient();
    let uri = format!("{}?key=hidden1", server.uri());
    let arguments = [
        "--header=X-Api-Key: hidden2",
        "--header=X-Plain: shown",
        "--authenticated-user=hidden3",
        "--trace=trace.txt",
        "content of a file",
    ];
    let run = icap.run(&scan(&uri, &arguments));
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
    let trace = fs::read_to_string(icap.path("trace.txt")).unwrap();
    assert_in_order(
        &trace,
        &[
            " 1 * connected in ",
            " 1 > OPTIONS ",
            "?[11 bytes] ICAP/1.0\n",
            " 1 < ICAP/1.0 200 OK\n",
            " 1 > RESPMOD ",
            " 1 > X-Api-Key: [7 bytes]\n",
            " 1 > X-Plain: shown\n",
            " 1 * > body or preview of 17 bytes\n",
            " 1 < ICAP/1.0 204 ",
        ],
    );
    assert!(trace.contains("X-Authenticated-User: ["), "{trace}");
    for hidden in ["hidden", "aGlkZGVuM", "content of"] {
        assert!(!trace.contains(hidden), "{hidden}: {trace}");
    }

    let run = icap.run(&scan(&uri, &arguments));
    assert_eq!(run.status, Some(2));
    let expected = "cannot create trace.txt: it exists, and --trace does not overwrite";
    assert!(run.err.contains(expected), "{run:?}");
    assert_eq!(fs::read_to_string(icap.path("trace.txt")).unwrap(), trace);
}

#[cfg(unix)]
#[test]
fn trace_is_private_and_follows_no_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let uri = server.uri();
    icap.run(&scan(&uri, &["--trace=trace.txt", "a"]));
    let metadata = fs::metadata(icap.path("trace.txt")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    symlink("elsewhere", icap.path("link")).unwrap();
    let run = icap.run(&scan(&uri, &["--trace=link", "a"]));
    assert_eq!(run.status, Some(2));
    assert!(!icap.path("elsewhere").exists());
    let run = icap.run(&["options", "--trace=options.txt", &uri]);
    assert_eq!(run.status, Some(0));
    assert!(icap.path("options.txt").exists());
}

#[test]
fn trace_to_standard_error_has_the_documented_columns() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &["--trace=-", "a"]));
    assert_eq!((run.status, run.lines()[0]), (Some(0), "a: clean"));
    assert!(!icap.path("-").exists());
    assert!(run.errors().len() > 10, "{run:?}");
    for line in run.errors() {
        let columns: Vec<_> = line.splitn(4, ' ').collect();
        let [seconds, connection, direction, _] = columns[..] else {
            panic!("{line:?}")
        };
        assert!(seconds.parse::<f64>().is_ok(), "{line:?}");
        assert_eq!(connection, "1");
        assert!([">", "<", "*"].contains(&direction), "{line:?}");
    }
}
