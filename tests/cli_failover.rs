//! The program `icap` with several services: which one is asked, and what is told of the others.
#![cfg(feature = "cli")]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server};

mod support;

use support::outage::Front;
use support::program::{Icap, obedient, scan};
use support::refusing_address;

#[test]
fn next_endpoint_is_asked_if_the_first_is_away() {
    let icap = Icap::with_files(&["infected"]);
    let server = obedient();
    let (uri, away) = (server.uri(), format!("icap://{}/scan", refusing_address()));
    let run = icap.run(&scan(&away, &["--json", "--endpoint", &uri, "infected"]));
    assert_eq!(run.objects()[0]["verdict"], "infected", "{run:?}");
    assert_eq!(run.objects()[0]["service"], uri);
}

#[test]
fn server_that_is_away_is_warned_of_once() {
    let names: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let icap = Icap::with_files(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let server = obedient();
    let (uri, away) = (server.uri(), format!("icap://{}/scan", refusing_address()));
    for format in ["-i", "--quiet", "--json"] {
        let run = icap.run(&scan(&away, &["-r", ".", format, "--endpoint", &uri]));
        let warning = format!(
            "warning: another service was asked: cannot connect to {away}: connection refused"
        );
        assert_eq!(
            (run.status, run.errors()),
            (Some(0), vec![warning.as_str()]),
            "{run:?}"
        );
    }
    let run = icap.run(&scan(&uri, &["-r", ".", "--endpoint", &away]));
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
}

#[test]
fn server_that_goes_away_in_a_batch_is_warned_of_once() {
    const FILES: usize = 300;
    let names: Vec<_> = (0..FILES).map(|number| number.to_string()).collect();
    let icap = Icap::with_files(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (server, other) = (obedient(), obedient());
    let front = Front::of(server.address());
    let (uri, other_uri) = (front.uri(), other.uri());
    let is_over = AtomicBool::new(false);
    let run = std::thread::scope(|scope| {
        scope
            .spawn(|| front.serve_while(|| server.requests() < FILES / 3 && !is_over.load(SeqCst)));
        let run = icap.run(&scan(&uri, &["-r", ".", "--endpoint", &other_uri]));
        is_over.store(true, SeqCst);
        run
    });
    assert_eq!((run.status, run.errors().len()), (Some(0), 1), "{run:?}");
    assert!(
        run.err.starts_with("warning: another service was asked: "),
        "{run:?}"
    );
    assert!(run.err.contains(&uri), "{run:?}");
}

#[test]
fn server_that_never_responds_is_left_out_soon() {
    let names: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let icap = Icap::with_files(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let hung = Server::answering(|_| Script::new().hold()).unwrap();
    let server = obedient();
    let (uri, other) = (hung.uri(), server.uri());
    let options = ["--read-timeout=200ms", "-j1", "--endpoint", &other];
    let run = icap.run(&scan(&uri, &[&["-r", "."], &options[..]].concat()));
    assert_eq!((run.status, run.errors().len()), (Some(0), 1), "{run:?}");
    // Two failures, and a trial now and then on a slow machine.
    assert!((2..10).contains(&hung.requests()), "{}", hung.requests());
}

#[test]
fn error_names_the_cause_of_each_server() {
    let icap = Icap::with_files(&["a", "b"]);
    let away = format!("icap://{}/scan", refusing_address());
    let failing = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ if request.body() == b"a" => Script::new().send("ICAP/1.0 500 Engine is down\r\n\r\n"),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    let arguments = ["--endpoint", &failing.uri(), "a"];
    let run = icap.run(&scan(&away, &arguments));
    assert_eq!((run.status, run.errors().len()), (Some(2), 1), "{run:?}");
    for cause in ["connection refused", "500 Engine is down"] {
        assert_eq!(run.err.matches(cause).count(), 1, "{run:?}");
    }
    let run = icap.run(&[&scan(&away, &arguments)[..], &["--json"]].concat());
    let detail = run.objects()[0]["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("refused") && detail.contains("500"),
        "{run:?}"
    );

    let others = (0..2).map(|_| format!("icap://{}/scan", refusing_address()));
    let others: Vec<_> = others.collect();
    let run = icap.run(&scan(&others[0], &["--endpoint", &others[1], "a", "b"]));
    let message = format!(
        "error: 2 files were not scanned, the first is a: cannot connect to {}: connection \
         refused; cannot connect to {}: connection refused",
        others[0], others[1]
    );
    assert_eq!(
        (run.status, run.errors()),
        (Some(2), vec![message.as_str()])
    );
}
