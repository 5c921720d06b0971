//! The program `icap`, run as a person or a script would run it.
#![cfg(feature = "cli")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::process::Command;

use icap_client::testing::{
    self, CLEAN, OPTIONS_RESPONSE, Script, Server, infected, options_with_preview,
};
use serde_json::Value;

mod support;

use support::program::{Icap, Run, answering, obedient, scan};
use support::refusing_address;

#[test]
fn each_file_has_a_line_and_a_summary_follows() {
    let icap = Icap::with_files(&["invoice.pdf", "infected", "large.iso"]);
    let server = obedient();
    let run = icap.run(&scan(
        &server.uri(),
        &["--max-size", "11B", "invoice.pdf", "infected", "large.iso"],
    ));
    assert_eq!(
        run.lines(),
        [
            "invoice.pdf: clean",
            "infected: infected: Eicar-Test-Signature",
            "large.iso: clean",
            "3 files: 2 clean, 1 infected",
        ]
    );
    assert_eq!((run.status, run.err.as_str()), (Some(1), ""));
}

#[test]
fn exit_status_is_that_of_the_worst_file() {
    let all = [
        "clean", "infected", "blocked", "modified", "pending", "failing",
    ];
    let icap = Icap::with_files(&all);
    let server = obedient();
    for (files, status) in [
        (&["clean"][..], 0),
        (&["clean", "clean"], 0),
        (&["infected"], 1),
        (&["blocked"], 1),
        (&["modified"], 2),
        (&["pending"], 2),
        (&["failing"], 2),
        (&["missing"], 2),
        (&["clean", "pending"], 2),
        (&["pending", "infected"], 1),
        (&["blocked", "failing", "clean"], 1),
        (&["missing", "infected", "modified"], 1),
    ] {
        let run = icap.run(&scan(&server.uri(), files));
        assert_eq!(run.status, Some(status), "{files:?}: {run:?}");
        let printed = run.lines().len() + run.errors().len();
        assert_eq!(printed, files.len() + 1, "{run:?}");
    }
}

#[test]
fn method_and_preview_are_sent_as_given() {
    let icap = Icap::with_files(&["clean"]);
    let server = Server::answering(|request| {
        let seen = (request.method(), request.preview());
        let script = Script::new();
        match seen {
            ("OPTIONS", _) => script.send(options_with_preview(4)),
            ("REQMOD", None) | ("RESPMOD", Some(4)) => script.send(CLEAN),
            _ => script.send("ICAP/1.0 405 Not so\r\n\r\n"),
        }
    })
    .unwrap();
    let uri = server.uri();
    let run = icap.run(&scan(&uri, &["--method", "reqmod", "clean"]));
    assert_eq!(run.lines()[0], "clean: clean", "{run:?}");
    let run = icap.run(&scan(&uri, &["--preview", "negotiated", "clean"]));
    let why = "clean: not scanned: the service has seen only its beginning";
    assert_eq!((run.lines()[0], run.status), (why, Some(2)), "{run:?}");
    let run = icap.run(&scan(&uri, &["--preview", "1KiB", "clean"]));
    assert_eq!(run.lines()[0], why, "{run:?}");
    for wrong in [["--method", "options"], ["--preview", "some"]] {
        let run = icap.run(&scan(&uri, &[&wrong[..], &["clean"]].concat()));
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.err.contains("neither"), "{run:?}");
    }
}

#[test]
fn password_from_the_environment_is_not_shown() {
    let icap = Icap::with_files(&["clean"]);
    let asks = "ICAP/1.0 407 Who\r\nProxy-Authenticate: Basic realm=\"av\"\r\n\r\n";
    let server =
        Server::answering(
            move |request| match request.headers().get("Proxy-Authorization") {
                Some(field) if *field.value() == *b"Basic am9lOmh1bnRlcjI=" => {
                    Script::new().send(if request.method() == "OPTIONS" {
                        OPTIONS_RESPONSE
                    } else {
                        CLEAN
                    })
                }
                _ => Script::new().send(asks),
            },
        )
        .unwrap();
    let uri = server.uri();
    let run = icap.run(&scan(&uri, &["-v", "--user", "joe", "clean"]));
    assert_eq!(run.lines()[0], "clean: clean", "{run:?}");
    assert!(
        !run.err.contains("hunter2") && !run.err.contains("aHVudGVyMg"),
        "{run:?}"
    );
    let run = icap.run(&["options", "--user", "joe", &uri]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let run = icap.run(&scan(&uri, &["clean"]));
    for word in ["407", "--user", "ICAP_PASSWORD"] {
        assert!(run.errors()[0].contains(word), "{run:?}");
    }
    let run = icap.run(&scan(&uri, &["--user=joe", "--password=hunter3", "clean"]));
    assert!(run.err.contains("ICAP_PASSWORD"), "{run:?}");
    assert!(!run.err.contains("hunter3"), "{run:?}");
}

#[test]
fn summary_counts_every_outcome() {
    let all = [
        "clean", "infected", "blocked", "modified", "pending", "failing",
    ];
    let icap = Icap::with_files(&all);
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &all));
    assert_eq!(
        run.lines()[5],
        "6 files: 1 clean, 1 infected, 1 blocked, 1 modified, 1 not scanned, 1 error"
    );
    assert_eq!(
        run.lines()[2],
        "blocked: blocked: the service responded with 403 Not for you"
    );
    let uri = server.uri();
    assert_eq!(
        run.errors()[0],
        format!("failing: error: {uri} responded with 500 Engine is down")
    );
}

#[test]
fn file_over_the_limit_is_not_sent() {
    let icap = Icap::new();
    let server = obedient();
    let large = fs::File::create(icap.path("big.iso")).unwrap();
    large.set_len(100 * 1024 * 1024 + 1).unwrap();
    let run = icap.run(&scan(&server.uri(), &["big.iso"]));
    assert_eq!(run.lines()[0], "big.iso: not scanned: larger than 100 MiB");
    assert_eq!((run.status, server.connections()), (Some(2), 0));

    icap.write("five", "12345");
    for (limit, line) in [
        ("5B", "five: clean"),
        ("none", "five: clean"),
        ("4B", "five: not scanned: larger than 4 bytes"),
    ] {
        let run = icap.run(&scan(&server.uri(), &["--max-size", limit, "five"]));
        assert_eq!(run.lines()[0], line, "{limit}");
    }
}

/// The content of a file for each outcome. The last one is missing.
const OUTCOMES: [&str; 7] = [
    "clean", "infected", "blocked", "modified", "pending", "failing", "missing",
];

/// The URI of a service, and the JSON for each of these files.
fn json_of_each_outcome() -> (String, Vec<Value>) {
    let icap = Icap::with_files(&OUTCOMES[..6]);
    let server = obedient();
    let uri = server.uri();
    let run = icap.run(&[&["scan", "--json", &uri], &OUTCOMES[..]].concat());
    assert_eq!(run.status, Some(1));
    let objects = run.objects();
    assert_eq!(objects.len(), OUTCOMES.len());
    (uri, objects)
}

#[test]
fn json_has_the_same_keys_for_every_file() {
    let (uri, objects) = json_of_each_outcome();
    let keys = [
        "bytes_sent",
        "detail",
        "elapsed_ms",
        "error_kind",
        "file",
        "file_bytes",
        "istag",
        "reason",
        "service",
        "size",
        "status",
        "threats",
        "verdict",
    ];
    let verdicts = [
        "clean",
        "infected",
        "blocked",
        "modified",
        "not_scanned",
        "error",
        "error",
    ];
    for ((object, file), verdict) in objects.iter().zip(OUTCOMES).zip(verdicts) {
        let mut found: Vec<_> = object.as_object().unwrap().keys().collect();
        found.sort();
        assert_eq!(found, keys);
        assert_eq!(
            (&object["file"], &object["verdict"]),
            (&file.into(), &verdict.into())
        );
        assert_eq!(object["service"], uri.as_str());
        assert!(object["elapsed_ms"].is_u64());
        assert_eq!(object["detail"].is_null(), verdict == "clean");
        assert_eq!(object["reason"].is_null(), verdict == "clean");
        assert_eq!(object["error_kind"].is_null(), verdict != "error");
        assert!(object["file_bytes"].is_null());
    }
}

#[test]
fn json_has_status_reason_and_threats() {
    let (_, objects) = json_of_each_outcome();
    assert_eq!(objects[0]["bytes_sent"], 5);
    assert_eq!(objects[0]["status"], 204);
    assert_eq!(objects[0]["istag"], "icap-client-testing");
    assert_eq!(objects[0]["threats"], Value::Array(Vec::new()));
    assert_eq!(
        objects[1]["threats"],
        serde_json::json!([{"name": "Eicar-Test-Signature", "kind": "virus", "file": null}])
    );
    let reasons = [
        "infected",
        "blocked",
        "modified",
        "pending",
        "status_error",
        "content_error",
    ];
    for (object, reason) in objects[1..].iter().zip(reasons) {
        assert_eq!(object["reason"], reason);
    }
    assert_eq!(
        (&objects[0]["size"], &objects[6]["size"]),
        (&5.into(), &Value::Null)
    );
    assert_eq!(objects[5]["error_kind"], "status");
    assert_eq!(objects[5]["status"], 500);
    assert!(objects[6]["status"].is_null() && objects[6]["bytes_sent"].is_null());
}

#[test]
fn quiet_prints_only_what_is_not_clean() {
    let icap = Icap::with_files(&["clean", "infected"]);
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &["-q", "clean", "infected", "clean"]));
    assert_eq!(run.lines(), ["infected: infected: Eicar-Test-Signature"]);
    assert_eq!(run.status, Some(1));

    let run = icap.run(&scan(&server.uri(), &["--quiet", "clean"]));
    assert_eq!(
        (run.status, run.out.as_str(), run.err.as_str()),
        (Some(0), "", "")
    );

    let run = icap.run(&scan(
        &server.uri(),
        &["--quiet", "--json", "clean", "infected"],
    ));
    assert_eq!(run.objects().len(), 1);
}

#[test]
fn standard_input_is_scanned_once() {
    let icap = Icap::with_files(&["clean"]);
    let server = obedient();
    let run = icap.run_with_input(&scan(&server.uri(), &["-"]), b"infected");
    assert_eq!(
        run.lines(),
        ["-: infected: Eicar-Test-Signature", "1 file: 1 infected"]
    );
    assert_eq!(run.status, Some(1));

    let run = icap.run_with_input(&scan(&server.uri(), &["clean", "-"]), b"x");
    assert_eq!(
        run.lines(),
        ["clean: clean", "-: clean", "2 files: 2 clean"]
    );
    assert_eq!(run.status, Some(0));

    let requests = server.requests();
    let run = icap.run(&scan(&server.uri(), &["-", "-"]));
    assert_eq!(run.status, Some(2));
    assert!(run.err.contains("standard input"), "{run:?}");
    assert_eq!(server.requests(), requests);
}

#[test]
fn empty_standard_input_or_pipe_is_an_error() {
    let icap = Icap::new();
    let server = obedient();
    for path in ["-", "/dev/stdin"] {
        let run = icap.run_with_input(&scan(&server.uri(), &[path]), b"");
        assert!(
            run.err.contains("it is empty, so it was not scanned"),
            "{run:?}"
        );
        assert_eq!((run.lines()[0], run.status), ("1 file: 1 error", Some(2)));
    }
}

#[test]
fn standard_input_over_the_limit_is_not_scanned() {
    let server = obedient();
    let arguments = scan(&server.uri(), &["--max-size", "1k", "-"]).join(" ");
    let arguments: Vec<_> = arguments.split(' ').collect();
    let run = Icap::new().run_with_input(&arguments, &[b'x'; 1025]);
    assert_eq!(run.lines()[0], "-: not scanned: larger than 1 KiB");
    assert!(run.err.contains("hint: --max-size"), "{run:?}");
    assert_eq!(run.status, Some(2));
}

#[test]
fn directory_is_scanned_in_order_only_with_recursive() {
    let icap = Icap::with_files(&["in/b", "in/a/z", "in/a/infected", "in/c", "x"]);
    icap.write("in/a/infected", "infected");
    fs::create_dir(icap.path("in/empty")).unwrap();
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &["-r", "x", "in"]));
    assert_eq!(
        run.lines(),
        [
            "x: clean",
            "in/a/infected: infected: Eicar-Test-Signature",
            "in/a/z: clean",
            "in/b: clean",
            "in/c: clean",
            "5 files: 4 clean, 1 infected",
        ]
    );

    let run = icap.run(&scan(&server.uri(), &["in", "x"]));
    assert!(
        run.errors()[0].starts_with("in: error: it is a directory"),
        "{run:?}"
    );
    assert!(run.errors()[0].contains("-r"), "{run:?}");
    assert_eq!(run.lines(), ["x: clean", "2 files: 1 clean, 1 error"]);
    assert_eq!(run.status, Some(2));
}

#[cfg(unix)]
#[test]
fn link_is_followed_only_if_given_as_an_argument() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let icap = Icap::with_files(&["in/a", "infected"]);
    symlink(icap.path("infected"), icap.path("in/link")).unwrap();
    symlink(icap.path("in"), icap.path("in/loop")).unwrap();
    symlink("nowhere", icap.path("in/broken")).unwrap();
    let _socket = UnixListener::bind(icap.path("in/socket")).unwrap();
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &["-r", "in"]));
    assert_eq!(
        run.lines(),
        [
            "in/a: clean",
            "1 file: 1 clean",
            "left out: 3 symbolic links (first: in/broken), 1 special file (in/socket)",
        ]
    );

    let run = icap.run(&scan(&server.uri(), &["in/link"]));
    assert_eq!(run.lines()[0], "in/link: infected: Eicar-Test-Signature");
}

#[test]
fn missing_file_does_not_stop_the_other_scans() {
    let icap = Icap::with_files(&["a", "b"]);
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &["a", "missing", "b"]));
    assert!(run.errors()[0].starts_with("missing: error: "), "{run:?}");
    assert_eq!(
        run.lines(),
        ["a: clean", "b: clean", "3 files: 2 clean, 1 error"]
    );
    assert_eq!(run.status, Some(2));
}

#[cfg(unix)]
#[test]
fn hostile_file_name_is_escaped() {
    use std::os::unix::ffi::OsStrExt;

    let icap = Icap::new();
    let name = OsStr::from_bytes(b"x\n\rinvoice.pdf: clean\x1b[2K\xe2\x80\xaefdp\xff\xc2\x9b");
    icap.write(name, "infected");
    let server = obedient();
    let uri = server.uri();
    let run = icap.run(&[OsStr::new("scan"), OsStr::new(&uri), name]);
    assert_eq!(
        run.lines(),
        [
            "x\\n\\rinvoice.pdf: clean\\u{1b}[2K\\u{202e}fdp\\xff\\u{9b}: infected: Eicar-Test-Signature",
            "1 file: 1 infected",
        ]
    );

    let run = icap.run(&[
        OsStr::new("scan"),
        OsStr::new("--json"),
        OsStr::new(&uri),
        name,
    ]);
    assert_eq!(run.lines().len(), 1);
    assert!(
        !run.out.contains(['\u{1b}', '\u{9b}', '\u{202e}']),
        "{run:?}"
    );
    assert_eq!(run.objects()[0]["file"], name.to_string_lossy().as_ref());
    assert_eq!(run.objects()[0]["file_bytes"], Value::from(name.as_bytes()));
}

#[test]
fn hostile_threat_name_is_escaped() {
    let icap = Icap::with_files(&["a"]);
    let server = answering(&infected("X\r\n Y\x1b[2J\u{202e}"));
    let run = icap.run(&scan(&server.uri(), &["--no-options", "a"]));
    assert_eq!(run.lines().len(), 2, "{run:?}");
    assert!(run.lines()[0].starts_with("a: "), "{run:?}");
    assert!(!run.out.contains(['\u{1b}', '\u{202e}']), "{run:?}");
    assert_ne!(run.status, Some(0));
}

#[test]
fn refused_connection_names_the_address() {
    let icap = Icap::with_files(&["a"]);
    let address = refusing_address();
    let uri = format!("icap://{address}/avscan");
    let run = icap.run(&scan(&uri, &["a"]));
    assert!(
        run.errors()[0].starts_with("a: error: cannot connect to "),
        "{run:?}"
    );
    assert!(run.errors()[0].contains(&address.to_string()), "{run:?}");
    assert_eq!(run.lines(), ["1 file: 1 error"]);
    assert_eq!(run.status, Some(2));

    let run = icap.run(&["options", &uri]);
    assert_eq!((run.status, run.out.as_str()), (Some(2), ""));
    assert!(run.err.starts_with("error: cannot connect to "), "{run:?}");
    assert!(run.err.contains(&address.to_string()), "{run:?}");
}

#[test]
fn unknown_service_is_an_error_with_status_and_reason() {
    let icap = Icap::with_files(&["a"]);
    let server = answering(b"ICAP/1.0 404 ICAP Service not found\r\n\r\n");
    let uri = server.uri();
    let unasked = format!("{uri} responded with 404 ICAP Service not found");
    let why = format!(
        "{uri} responded to OPTIONS with 404 ICAP Service not found; check the service's path"
    );
    for (arguments, why) in [(&["a"][..], &why), (&["--no-options", "a"], &unasked)] {
        let run = icap.run(&scan(&uri, arguments));
        assert_eq!(run.errors(), [format!("a: error: {why}")]);
        assert_eq!(run.status, Some(2));
    }
    let run = icap.run(&["options", &uri]);
    assert_eq!(run.err, format!("error: {why}\n"));
    assert_eq!((run.status, run.out.as_str()), (Some(2), ""));

    let run = icap.run(&["options", "--raw", &uri]);
    assert!(
        run.out
            .starts_with("ICAP/1.0 404 ICAP Service not found\r\n")
    );
    assert_eq!((run.status, run.err.as_str()), (Some(2), ""));
}

#[test]
fn silent_service_ends_at_read_timeout_or_deadline() {
    let icap = Icap::with_files(&["a"]);
    let server = Server::scripted([Script::new().hold()]).unwrap();
    for (option, words) in [
        ("--read-timeout=50ms", "(read timeout of 50 ms)"),
        ("--deadline=60ms", "(deadline of 60 ms)"),
    ] {
        let run = icap.run(&scan(&server.uri(), &[option, "a"]));
        assert!(run.errors()[0].starts_with("a: error: timed out "));
        assert!(run.errors()[0].ends_with(words), "{run:?}");
        let run = icap.run(&["options", option, &server.uri()]);
        assert!(run.err.trim_end().ends_with(words), "{run:?}");
        assert_eq!(run.status, Some(2));
    }
}

#[test]
fn options_are_requested_once_unless_turned_off() {
    let icap = Icap::with_files(&["a", "b"]);
    let server = obedient();
    icap.run(&scan(&server.uri(), &["a", "b"]));
    assert_eq!(server.requests(), 3);
    icap.run(&scan(&server.uri(), &["--no-options", "a", "b"]));
    assert_eq!(server.requests(), 5);
}

#[test]
fn headers_are_sent_with_every_request() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let headers = ["--header", "X-Key: a:b", "--header=X-Tenant:7"];
    let run = icap.run(&scan(&server.uri(), &[&headers[..], &["a"]].concat()));
    assert_eq!(run.status, Some(0));
    icap.run(&[&["options", &server.uri()], &headers[..]].concat());
    // OPTIONS and a scan on one connection, and OPTIONS on another.
    let conversations = server.finish();
    let received = conversations
        .iter()
        .map(|conversation| conversation.received());
    let received = received.map(String::from_utf8_lossy).collect::<String>();
    for line in [" ICAP/1.0\r\n", "\r\nX-Key: a:b\r\n", "\r\nX-Tenant: 7\r\n"] {
        assert_eq!(received.matches(line).count(), 3, "{received}");
    }
}

#[test]
fn contradictory_arguments_are_refused_before_sending() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let uri = server.uri();
    for (arguments, word) in [
        (&["scan", "a"][..], "FILE"),
        (&["scan", "a", "a"], "icap://"),
        (&["scan", "http://127.0.0.1/s", "a"], "icap://"),
        (&["scan", "--max-size", "many", &uri, "a"], "100MiB"),
        (
            &["scan", "--read-timeout", "0", &uri, "a"],
            "longer than zero",
        ),
        (
            &["scan", "--read-timeout", "3", &uri, "a"],
            "3s for seconds",
        ),
        (&["bench", "--time", "3", &uri], "3s for seconds"),
        (&["scan", "--connect-timeout", "none", &uri, "a"], "10s"),
        (&["scan", "--header", "X-Key", &uri, "a"], "Name: value"),
        (
            &["scan", "--header", "Encapsulated: null-body=0", &uri, "a"],
            "Encapsulated",
        ),
        (&["scan", "--header", "X-Key: a\nb", &uri, "a"], "X-Key"),
        (&["options"], "URI"),
        (&["options", "icap://"], "host"),
        (&["frobnicate"], "frobnicate"),
        (&[], "Usage"),
    ] {
        let run = icap.run(arguments);
        assert_eq!(
            (run.status, run.out.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(run.err.contains(word), "{arguments:?}: {run:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn password_in_the_uri_is_never_shown() {
    let icap = Icap::with_files(&["clean", "failing"]);
    let server = obedient();
    let uri = server.uri().replace("icap://", "icap://me:secret@");
    for arguments in [
        &["scan", "-v", &uri, "clean", "failing"][..],
        &["scan", "--json", &uri, "clean", "failing"],
        &["options", "-v", &uri],
        &["options", "-v", &uri.replace("127", "[127")],
    ] {
        let run = icap.run(arguments);
        assert!(
            !run.out.contains("secret") && !run.err.contains("secret"),
            "{run:?}"
        );
    }
}

#[test]
fn verbose_logs_to_standard_error() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &["-v", "a"]));
    assert_eq!(run.lines(), ["a: clean", "1 file: 1 clean"]);
    assert!(run.err.contains("DEBUG"), "{run:?}");
}

#[test]
fn closed_output_ends_quietly_and_not_as_clean() {
    let icap = Icap::with_files(&["clean"]);
    let server = obedient();
    for (content, status) in [(&b"clean"[..], 2), (b"infected", 1)] {
        let mut child = icap.spawn(&scan(&server.uri(), &["-", "clean"]));
        drop(child.stdout.take());
        // The program prints only after this.
        child.stdin.take().unwrap().write_all(content).unwrap();
        let run = Run::of(child);
        assert_eq!((run.status, run.err.as_str()), (Some(status), ""));
    }
}

#[test]
fn options_show_the_offer_of_a_service() {
    let server = answering(
        b"ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nService: C-ICAP/0.5.10 \x1b[2J\r\n\
          ISTag: \"CI-1\"\r\nTransfer-Preview: *\r\nTransfer-Ignore: jpg, png\r\nOptions-TTL: 3600\r\n\
          Preview: 1024\r\nAllow: 204, 206\r\nMax-Connections: many\r\nX-Include: X-Client-IP\r\n\
          Encapsulated: null-body=0\r\n\r\n",
    );
    let run = Icap::new().run(&["options", &server.uri()]);
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""));
    let uri = server.uri();
    assert_eq!(
        run.lines(),
        [
            &format!("URI:               {uri}"),
            "Service:           C-ICAP/0.5.10 \\u{1b}[2J",
            "Service-ID:        not given",
            "ISTag:             CI-1",
            "Methods:           RESPMOD, REQMOD",
            "204:               yes",
            "Allow:             204, 206",
            "Preview:           1024 bytes",
            "Transfer-Preview:  *",
            "Transfer-Ignore:   jpg, png",
            "Transfer-Complete: none",
            "Max-Connections:   not given",
            "Options-TTL:       3600 s",
            "X-Include:         X-Client-IP",
            "Warning:           Max-Connections: not a number: many",
        ]
    );
}

#[test]
fn options_of_a_service_without_an_offer_are_named() {
    let server = answering(b"ICAP/1.0 200 OK\r\nEncapsulated: null-body=0\r\n\r\n");
    let run = Icap::new().run(&["options", &server.uri()]);
    assert_eq!(run.status, Some(0));
    for line in [
        "Methods:           not given",
        "204:               no ",
        "Options-TTL:       for ever",
    ] {
        assert!(run.out.contains(line), "{run:?}");
    }
    assert!(run.out.contains("Warning: "), "{run:?}");
}

#[test]
fn raw_options_are_the_response_byte_for_byte() {
    let response = "ICAP/1.0 200 Fine\r\nmethods:RESPMOD\r\nX-Odd:  \tfolded\r\n  on\r\nISTag: \"x\"\r\n\
                  Encapsulated: null-body=0\r\n\r\n";
    let server = answering(response.as_bytes());
    let run = Icap::new().run(&["options", "--raw", &server.uri()]);
    assert_eq!((run.out.as_str(), run.status), (response, Some(0)));
}

#[test]
fn demo_finds_eicar_and_shows_its_limits() {
    let icap = Icap::new();
    icap.write(
        "README.md",
        "# A project\n\nThis text is about EICAR, and not it.\n",
    );
    let run = icap.run(&["demo", "README.md"]);
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""));
    assert_eq!(
        run.lines()[..2],
        [
            "EICAR test file: infected: Eicar-Test-Signature",
            "README.md: clean"
        ]
    );
    assert!(run.out.contains("finds nothing but EICAR"), "{run:?}");
    assert!(
        run.out
            .contains("icap scan icap://HOST:1344/SERVICE FILE..."),
        "{run:?}"
    );
}

#[test]
fn demo_exit_status_counts_the_given_files_only() {
    let icap = Icap::with_files(&["clean"]);
    icap.write("eicar", [&b"some bytes "[..], &testing::eicar()].concat());
    for (files, status) in [
        (&[][..], 0),
        (&["clean", "eicar"], 1),
        (&["clean", "missing"], 2),
        (&["eicar", "missing"], 1),
        (&["."], 2),
    ] {
        let run = icap.run(&[&["demo"], files].concat());
        assert_eq!(run.status, Some(status), "{files:?}: {run:?}");
    }
}

#[test]
fn help_shows_defaults_exit_statuses_and_examples() {
    let icap = Icap::new();
    for (arguments, words) in [
        (
            &["--help"][..],
            &["scan", "options", "demo", "Examples:"][..],
        ),
        (
            &["scan", "--help"],
            &[
                "[default: 100MiB]",
                "[default: 10s]",
                "[default: 300s]",
                "Exit status:",
                "Examples:",
            ],
        ),
        (
            &["options", "--help"],
            &["--raw", "[default: 10s]", "Examples:"],
        ),
        (&["demo", "--help"], &["EICAR", "Exit status:", "Example:"]),
        (
            &["--version"],
            &[concat!("icap ", env!("CARGO_PKG_VERSION"))],
        ),
    ] {
        let run = icap.run(arguments);
        assert_eq!((run.status, run.err.as_str()), (Some(0), ""));
        for word in words {
            assert!(run.out.contains(word), "{arguments:?} lacks {word}");
        }
        assert!(
            run.out.lines().all(|line| line.chars().count() <= 100),
            "{}",
            run.out
        );
    }
}

#[cfg(unix)]
#[test]
fn pipe_is_read_only_if_given_as_an_argument() {
    let icap = Icap::with_files(&["folder/clean"]);
    icap.write("folder/infected", "infected");
    for name in ["fifo", "folder/fifo"] {
        let made = Command::new("mkfifo").arg(icap.path(name)).status();
        assert!(made.unwrap().success());
    }
    std::os::unix::fs::symlink(icap.path("fifo"), icap.path("folder/link")).unwrap();
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &["--quiet", "-r", "folder"]));
    assert_eq!(
        run.lines(),
        ["folder/infected: infected: Eicar-Test-Signature"]
    );
    let uri = server.uri();
    for name in ["fifo", "folder/link"] {
        let child = icap.spawn(&scan(&uri, &["--quiet", name]));
        // Opening waits until the program reads.
        fs::write(icap.path("fifo"), "infected").unwrap();
        let line = format!("{name}: infected: Eicar-Test-Signature");
        assert_eq!(Run::of(child).lines(), [line]);
    }
}

#[test]
fn standard_input_survives_a_closed_connection() {
    let icap = Icap::new();
    // It closes after each response, without `Connection: close`.
    let server = Server::answering(|request| {
        let response = match request.method() {
            "OPTIONS" => OPTIONS_RESPONSE,
            _ => CLEAN,
        };
        Script::new().send(response).close()
    })
    .unwrap();
    for _ in 0..10 {
        let run = icap.run_with_input(&scan(&server.uri(), &["-"]), b"abc");
        assert_eq!(run.lines(), ["-: clean", "1 file: 1 clean"], "{run:?}");
    }
}

#[test]
fn standard_input_partly_read_is_not_scanned() {
    let icap = Icap::with_files(&["a"]);
    let serves = |script: Script| script.answer_options().read_request();
    let first = || serves(Script::new()).send(CLEAN).close();
    let long = vec![b'x'; 200_000];
    for (input, breaks, line) in [
        (
            &b"hello"[..],
            Script::new().read_bytes(10).close(),
            "-: clean",
        ),
        // What was read is kept, so it is scanned again.
        (b"x", Script::new().read_bytes(10).close(), "-: clean"),
        // A part of it is lost.
        (&long, Script::new().read_bytes(100_000).reset(), "-: error"),
    ] {
        let last = || Script::new().read_request().send(CLEAN).close();
        let server = Server::scripted([first(), breaks, last(), last()]).unwrap();
        let uri = server.uri();
        let run = icap.run_with_input(&scan(&uri, &["-j1", "--retry", "10s", "a", "-"]), input);
        assert!(run.lines()[0].starts_with("a: clean"), "{run:?}");
        let shown = format!("{}{}", run.err, run.lines()[1]);
        assert!(shown.starts_with(line), "{run:?}");
        assert_eq!(
            run.status,
            Some(if line == "-: clean" { 0 } else { 2 }),
            "{run:?}"
        );
        drop(server);
    }
}

#[test]
fn short_help_fits_on_a_screen() {
    let icap = Icap::new();
    for command in [
        "", "scan", "check", "options", "bench", "respmod", "reqmod", "demo", "man",
    ] {
        let arguments = [command, "-h"];
        let arguments = &arguments[usize::from(command.is_empty())..];
        let run = icap.run(arguments);
        assert!(run.out.lines().count() <= 60, "{}", run.out);
        let too_long = run.out.lines().find(|line| line.chars().count() > 100);
        assert_eq!((too_long, run.status), (None, Some(0)), "{command}");
    }
}

#[test]
fn advice_on_a_refused_command_line_names_the_way() {
    let icap = Icap::with_files(&["a"]);
    let server = answering(b"ICAP/1.0 405 Method not allowed\r\n\r\n");
    let uri = server.uri();
    for (arguments, advice) in [
        (
            vec!["scan", "icap://av/x?allow204=on"],
            "quote the URI, because the shell",
        ),
        (vec!["scan", "icap://av/x"], "use - for standard input"),
        (
            vec!["scan", "icap://av/x", "a", "-0"],
            "-0 (--null) goes with --files-from",
        ),
        (
            vec!["scan", "icap://av/x", "a", "--max-size=25"],
            "write 25MiB, or 25B for bytes",
        ),
        (
            vec!["scan", "icap://av/x", "a", "--preview=25"],
            "write 25MiB, or 25B for bytes",
        ),
        (vec!["options", &uri], "or use icap scan with --no-options"),
    ] {
        let run = icap.run(&arguments);
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.err.contains(advice), "{run:?}");
    }
    let server = answering(b"ICAP/1.0 404 Not found\r\n\r\n");
    let run = icap.run(&["options", &server.uri().replace("/scan", "/")]);
    assert!(
        run.err.contains("the URI has no service: add its path"),
        "{run:?}"
    );
    assert!(!run.err.contains("no-options"), "{run:?}");
}

#[test]
fn tip_is_no_hidden_option() {
    let icap = Icap::new();
    for arguments in [
        &["scan", "--pass", "x"][..],
        &["scan", "-f", "list"],
        &["bench", "--can", "3s"],
    ] {
        let run = icap.run(arguments);
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(!run.err.contains("tip"), "{run:?}");
    }
    let run = icap.run(&["scan", "--exlude", "x"]);
    assert!(run.err.contains("'--exclude'"), "{run:?}");
}

#[test]
fn quiet_run_tells_in_a_line_what_was_not_scanned() {
    let icap = Icap::with_files(&["in/a", "in/large", "in/larger"]);
    let server = obedient();
    let uri = server.uri();
    let arguments = ["--max-size=4B", "-r", "in"];
    let run = icap.run(&scan(&uri, &[&["-qi"], &arguments[..]].concat()));
    let line = "warning: 2 files were not scanned, the first is in/large: \
                not scanned: larger than 4 bytes\n";
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", line));
    let run = icap.run(&scan(&uri, &[&["-q"], &arguments[..]].concat()));
    assert_eq!((run.lines().len(), run.err.as_str()), (2, ""));
    let run = icap.run(&scan(&uri, &["-q", "-r", "in", "--exclude=large*"]));
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("a", icap.path("in/link")).unwrap();
        let run = icap.run(&scan(&uri, &["-q", "-r", "in", "--exclude=large*"]));
        let line = "warning: left out: 1 symbolic link (in/link)\n";
        assert_eq!((run.status, run.err.as_str()), (Some(0), line), "{run:?}");
    }
}
