//! The program `icap` with a single request: `options`, `respmod`, `reqmod`, `scan --output`; and `bench`.
#![cfg(feature = "cli")]

use std::fs;

use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server, echo};

mod support;

use support::program::{Icap, answering, obedient, scan};

#[test]
fn options_as_json_have_every_key() {
    let server = answering(OPTIONS_RESPONSE.as_bytes());
    let run = Icap::new().run(&["options", "--json", &server.uri()]);
    let options = &run.objects()[0];
    assert_eq!(options["uri"], server.uri());
    assert_eq!(options["methods"], serde_json::json!(["RESPMOD", "REQMOD"]));
    assert_eq!(
        (&options["max_connections"], &options["options_ttl_s"]),
        (&100.into(), &3600.into())
    );
    assert!(options["preview"].is_null());
    assert_eq!(options["transfer_ignore"], serde_json::json!([]));
}

/// Sends a page back for every message.
fn rebuilding() -> Server {
    Server::answering(|request| match (request.method(), request.body()) {
        ("OPTIONS", _) => Script::new().send(OPTIONS_RESPONSE),
        (_, b"clean") => Script::new().send(CLEAN),
        (_, b"broken") => Script::new()
            .send(&echo("HTTP/1.1 200 OK\r\n\r\n", b"a part")[..60])
            .close(),
        _ => Script::new().send(echo("HTTP/1.1 200 OK\r\nX-New: yes\r\n\r\n", b"rebuilt")),
    })
    .unwrap()
}

#[test]
fn respmod_sends_given_heads_and_writes_what_comes_back() {
    let icap = Icap::with_files(&["page"]);
    icap.write("request.txt", "GET http://x/page HTTP/1.1\nHost: x\n");
    icap.write(
        "response.txt",
        "HTTP/1.1 200 Fine\r\nX-Old: yes\r\n\r\nignored",
    );
    let server = rebuilding();
    let uri = server.uri();
    let heads = ["--http-request=request.txt", "--http-response=response.txt"];
    let run = icap.run(&[&["respmod", &uri, "--body=page"], &heads[..]].concat());
    assert_eq!(
        (run.status, run.out.as_str()),
        (Some(0), "rebuilt"),
        "{run:?}"
    );
    assert!(run.err.starts_with("ICAP/1.0 200 "), "{run:?}");
    assert!(run.err.contains("X-New: yes"), "{run:?}");

    let run = icap.run_with_input(&["respmod", &uri, "--body=-", "--output=new"], b"input");
    assert_eq!((run.status, run.out.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!(fs::read(icap.path("new")).unwrap(), b"rebuilt");
    let run = icap.run(&["respmod", &uri, "--body=page", "--output=new"]);
    assert_eq!(run.status, Some(2));
    assert!(run.err.contains("new: "), "{run:?}");

    let conversations = server.finish();
    let received = String::from_utf8_lossy(conversations[0].received());
    for text in [
        "GET http://x/page HTTP/1.1\r\n",
        "X-Old: yes\r\n\r\n4\r\npage\r\n0",
    ] {
        assert!(received.contains(text), "{received}");
    }
    assert_eq!(conversations.len(), 2);
}

#[test]
fn reqmod_needs_the_head_of_a_request() {
    let icap = Icap::with_files(&["form"]);
    icap.write("head", "POST /form HTTP/1.1\nHost: x\n\n");
    let server = rebuilding();
    let uri = server.uri();
    let run = icap.run(&["reqmod", &uri, "--http-request=head", "--body=form"]);
    assert_eq!(
        (run.status, run.out.as_str()),
        (Some(0), "rebuilt"),
        "{run:?}"
    );
    let run = icap.run(&["reqmod", &uri, "--body=form"]);
    assert!(run.err.contains("--http-request"), "{run:?}");
    let refusing = answering(b"ICAP/1.0 404 None\r\n\r\n");
    let run = icap.run(&["reqmod", &refusing.uri(), "--http-request=head"]);
    assert_eq!(run.status, Some(2));
    assert!(run.err.contains("404 None"), "{run:?}");
}

#[test]
fn output_is_kept_only_if_the_content_was_rebuilt() {
    let icap = Icap::with_files(&["offer.docx", "clean", "broken"]);
    let server = rebuilding();
    let uri = server.uri();
    let run = icap.run(&scan(&uri, &["-o", "new.docx", "offer.docx"]));
    assert!(
        run.lines()[0].starts_with("offer.docx: modified"),
        "{run:?}"
    );
    assert_eq!(fs::read(icap.path("new.docx")).unwrap(), b"rebuilt");

    let run = icap.run(&scan(&uri, &["-o", "none", "clean"]));
    assert_eq!(run.lines()[0], "clean: clean");
    let run = icap.run(&scan(&uri, &["-o", "none", "broken"]));
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(!icap.path("none").exists());
    let names = fs::read_dir(icap.path("")).unwrap();
    assert_eq!(names.count(), 4, "a temporary file is left");

    let requests = server.requests();
    let run = icap.run(&scan(&uri, &["-o", "new.docx", "offer.docx"]));
    assert!(run.err.contains("new.docx"), "{run:?}");
    let run = icap.run(&scan(&uri, &["-o", "none", "clean", "offer.docx"]));
    assert!(run.err.contains("one FILE"), "{run:?}");
    assert_eq!((server.requests(), run.status), (requests, Some(2)));
}

#[test]
fn bench_counts_scans_and_errors() {
    let icap = Icap::new();
    let server = obedient();
    let uri = server.uri();
    let run = icap.run(&[
        "bench",
        "-n",
        "40",
        "-j",
        "4",
        "--size=1KiB",
        "--json",
        &uri,
    ]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let measured = &run.objects()[0];
    assert_eq!(
        (&measured["scans"], &measured["size"]),
        (&40.into(), &1024.into())
    );
    assert_eq!(measured["verdicts"], serde_json::json!({"clean": 40}));
    assert!(
        measured["latency_ms"]["p99"].as_f64() > Some(0.0),
        "{run:?}"
    );

    let run = icap.run(&["bench", "-n", "0", &uri]);
    assert_eq!(run.status, Some(2), "{run:?}");

    let failing = answering(b"ICAP/1.0 404 None\r\n\r\n");
    let run = icap.run(&["bench", "-n", "2", &failing.uri()]);
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(run.out.contains("Scans:    0 in "), "{run:?}");
    assert!(run.out.contains("Errors:   2 status_error"), "{run:?}");
}

#[test]
fn completions_and_pages_are_for_every_command() {
    let icap = Icap::new();
    for shell in ["bash", "zsh", "fish"] {
        let run = icap.run(&["completions", shell]);
        assert_eq!(run.status, Some(0));
        for word in ["infected-only", "respmod", "bench"] {
            assert!(run.out.contains(word), "{shell}: {word}");
        }
    }
    let run = icap.run(&["man"]);
    assert!(run.out.contains(".TH icap 1"), "{run:?}");
    for command in [
        "scan", "check", "options", "respmod", "reqmod", "bench", "demo",
    ] {
        let run = icap.run(&["man", command]);
        assert!(
            run.out.contains(&format!(".TH icap-{command} 1")),
            "{run:?}"
        );
    }
    let run = icap.run(&["man", "nothing"]);
    assert_eq!(run.status, Some(2));
    assert!(run.err.contains("\"nothing\""), "{run:?}");
}
