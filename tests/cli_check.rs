//! `icap check`: whether a service really scans, for a person, a program and a start script.
#![cfg(feature = "cli")]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use icap_client::testing::{CLEAN, Engine, OPTIONS_RESPONSE, Script, Server};

mod support;

use support::outage::Front;
use support::program::{Icap, answering};
use support::refusing_address;

#[test]
fn exit_status_tells_whether_malware_would_pass() {
    let icap = Icap::new();
    let whole = Server::start().unwrap();
    let to_a_size = Server::with_engine(Engine::UpTo(300_000)).unwrap();
    let nothing = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    for (server, status, words) in [
        (&whole, 0, &["passed in", "eicar         found"][..]),
        (
            &to_a_size,
            1,
            &["FAILED", "depth         MISSED", "change: "],
        ),
        (&nothing, 1, &["FAILED", "eicar         MISSED", "UNKNOWN"]),
    ] {
        let run = icap.run(&["check", "--max-size", "1MiB", &server.uri()]);
        assert_eq!(
            (run.status, run.err.as_str()),
            (Some(status), ""),
            "{run:?}"
        );
        for word in words {
            assert!(run.out.contains(word), "{word}: {}", run.out);
        }
    }
    let away = format!("icap://{}/scan", refusing_address());
    let run = icap.run(&["check", &away]);
    assert_eq!((run.status, run.out.as_str()), (Some(2), ""));
    assert!(run.err.contains("cannot connect"), "{run:?}");
}

#[test]
fn advice_names_the_options_of_the_program() {
    let icap = Icap::with_files(&["large"]);
    let server = Server::with_engine(Engine::UpTo(300_000)).unwrap();
    let limit = ["--max-size", "1MiB", &server.uri()];
    let run = icap.run(&[&["check"], &limit[..]].concat());
    let largest = icap.run(&[&["check", "--json"], &limit[..]].concat());
    let service = &largest.objects()[0]["services"][0];
    let found = service["depth"]["largest_found"].as_u64().unwrap();
    let advice = format!("or use --max-size {}KiB", found / 1024);
    assert!(run.out.contains(&advice), "{run:?}");
    assert!(!run.out.contains("max_size"), "{run:?}");
    assert!(largest.out.contains(&advice), "{largest:?}");

    let run = icap.run(&["scan", "--max-size=1B", &server.uri(), "large"]);
    assert!(run.err.contains("run 'icap check' first"), "{run:?}");
}

#[test]
fn probes_that_are_not_tried_are_one_row() {
    let icap = Icap::new();
    let blind = Server::with_engine(Engine::Echo).unwrap();
    let away = format!("icap://{}/scan", refusing_address());
    let run = icap.run(&["check", &blind.uri(), "--endpoint", &away]);
    let not_found = run.out.matches("EICAR itself is not found").count();
    assert_eq!((run.status, not_found), (Some(2), 1), "{run:?}");
    let of_away: Vec<_> = run
        .out
        .lines()
        .skip_while(|it| !it.contains(&away))
        .collect();
    let [line] = of_away[..] else {
        panic!("{run:?}")
    };
    assert!(line.contains("FAILED in") && line.contains("connection refused"));
    let run = icap.run(&["check", "--json", &blind.uri(), "--endpoint", &away]);
    let findings = run.objects()[0]["services"][1]["findings"].to_string();
    assert!(!findings.contains("offers none"), "{run:?}");
}

#[test]
fn scan_by_a_doubtful_service_hints_at_check() {
    let icap = Icap::with_files(&["a"]);
    for (engine, is_hint) in [(Engine::Echo, true), (Engine::Working, false)] {
        let server = Server::with_engine(engine).unwrap();
        let run = icap.run(&["scan", &server.uri(), "a"]);
        assert_eq!(run.err.contains("icap check"), is_hint, "{run:?}");
    }
}

#[test]
fn json_has_each_probe_and_the_depth() {
    let icap = Icap::new();
    let server = Server::with_engine(Engine::UpTo(300_000)).unwrap();
    let run = icap.run(&["check", "--json", "--max-size", "1MiB", &server.uri()]);
    assert_eq!(run.status, Some(1));
    let [object] = &run.objects()[..] else {
        panic!("{run:?}")
    };
    assert_eq!(object["passed"], false);
    let service = &object["services"][0];
    assert_eq!(service["service"], server.uri());
    assert!(service["depth"]["largest_found"].as_u64() <= Some(300_000));
    let findings = service["findings"].as_array().unwrap();
    let outcome = |probe| {
        let mut findings = findings.iter();
        &findings.find(|it| it["probe"] == probe).unwrap()["outcome"]
    };
    assert_eq!(
        (outcome("eicar"), outcome("depth")),
        (&"found".into(), &"missed".into())
    );
}

#[test]
fn wait_lasts_until_the_service_responds() {
    let icap = Icap::new();
    let server = Server::start().unwrap();
    let front = Front::of(server.address());
    // It goes away before the program starts.
    front.serve_while(|| false);
    let is_over = AtomicBool::new(false);
    let run = std::thread::scope(|scope| {
        let child = icap.spawn(&[
            "check",
            "-v",
            "--wait=30s",
            "--max-size=64KiB",
            &front.uri(),
        ]);
        scope.spawn(|| front.serve_while(|| !is_over.load(SeqCst)));
        let run = support::program::Run::of(child);
        is_over.store(true, SeqCst);
        run
    });
    assert_eq!(run.status, Some(0), "{run:?}");

    let away = format!("icap://{}/scan", refusing_address());
    let run = icap.run(&["check", "--wait=10ms", &away]);
    assert_eq!(run.status, Some(2), "{run:?}");
}

#[test]
fn wait_tells_once_what_it_waits_for() {
    let icap = Icap::new();
    let away = format!("icap://{}/scan", refusing_address());
    for command in ["check", "options"] {
        let run = icap.run(&[command, "--wait=500ms", &away]);
        let [waiting, error] = run.errors()[..] else {
            panic!("{run:?}")
        };
        let expected = format!("waiting for {away}: cannot connect ");
        assert!(waiting.starts_with(&expected), "{run:?}");
        let expected = "error: not ready within 500 ms: cannot connect ";
        assert!(error.starts_with(expected), "{run:?}");
        assert!(error.contains("connection refused"), "{run:?}");
        assert_eq!(run.status, Some(2));
    }
}

#[test]
fn wait_cuts_an_attempt_at_its_end() {
    let icap = Icap::new();
    let hung = Server::answering(|_| Script::new().hold()).unwrap();
    let uri = hung.uri();
    for command in ["check", "options"] {
        let timeouts = ["--read-timeout=1h", "--deadline=none"];
        let run = icap.run(&[&[command, "--wait=1s", &uri], &timeouts[..]].concat());
        let expected = "error: not ready within 1 s: no response to OPTIONS yet\n";
        assert_eq!((run.status, run.err.as_str()), (Some(2), expected));
    }
}

#[test]
fn wait_ends_if_one_of_several_services_responds() {
    let icap = Icap::new();
    let server = Server::start().unwrap();
    let (uri, away) = (server.uri(), format!("icap://{}/scan", refusing_address()));
    for (number, [first, next]) in [[&uri, &away], [&away, &uri]].into_iter().enumerate() {
        for command in ["options", "check"] {
            let trace = format!("--trace={command}{number}");
            let run = icap.run(&[command, "--wait=1h", &trace, first, "--endpoint", next]);
            assert_eq!(run.status, Some(2), "{run:?}");
            assert!(run.out.contains(&uri), "{run:?}");
            let shown = run.out.clone() + &run.err;
            assert!(shown.contains(&format!("connect to {away}")), "{run:?}");
        }
    }
    let run = icap.run(&["options", "--wait=10ms", &away, "--endpoint", &away]);
    let error = run.errors().last().unwrap().to_string();
    assert!(
        error.starts_with("error: none of 2 services is ready within 10 ms"),
        "{run:?}"
    );
}

#[test]
fn options_shows_each_service_of_the_configuration() {
    let icap = Icap::new();
    let (one, other) = (Server::start().unwrap(), Server::start().unwrap());
    let config = format!("service = '{}'\nendpoint = '{}'", one.uri(), other.uri());
    icap.write(".config/icap/config.toml", config);
    let run = icap.run(&["options", "--json"]);
    let uris: Vec<_> = run.objects().iter().map(|it| it["uri"].clone()).collect();
    assert_eq!(
        (run.status, uris),
        (Some(0), vec![one.uri().into(), other.uri().into()])
    );
}

#[test]
fn wait_ends_at_once_without_credentials() {
    let icap = Icap::new();
    for (command, status) in [("check", 401), ("options", 407)] {
        let server = answering(format!("ICAP/1.0 {status} Who\r\n\r\n").as_bytes());
        let run = icap.run(&[command, "--wait=1h", &server.uri()]);
        assert_eq!((run.status, server.requests()), (Some(2), 1), "{run:?}");
        assert!(!run.err.contains("waiting"), "{run:?}");
    }
}

#[test]
fn json_of_a_failure_is_an_error_object() {
    let icap = Icap::with_files(&["a"]);
    let server = answering(b"ICAP/1.0 404 Nothing\r\n\r\n");
    let (uri, away) = (server.uri(), format!("icap://{}/scan", refusing_address()));
    icap.write("odd.toml", "odd = 1");
    for (arguments, kind, status) in [
        (&["check", &away][..], "connect", None),
        (&["options", &uri], "status", Some(404)),
        (&["options", &uri, "--wait=10ms"], "status", Some(404)),
        (&["bench", &uri, "--file=none"], "null", None),
        (&["scan", &uri], "null", None),
        (&["scan", &uri, "--config=odd.toml", "a"], "null", None),
        (&["scan", &uri, "--exclude=*", "-r", "."], "null", None),
    ] {
        let run = icap.run(&[arguments, &["--json"]].concat());
        assert_eq!(run.status, Some(2), "{run:?}");
        let [object] = &run.objects()[..] else {
            panic!("{run:?}")
        };
        let text = object["error"].as_str().unwrap();
        assert_eq!(*run.errors().last().unwrap(), format!("error: {text}"));
        assert_eq!(object["error_kind"].as_str().unwrap_or("null"), kind);
        assert_eq!(object["status"].as_u64(), status);
    }
}

#[test]
fn quick_check_tells_whether_eicar_is_found() {
    let icap = Icap::new();
    let away = format!("icap://{}/scan", refusing_address());
    let servers = [Engine::Working, Engine::Blind, Engine::Echo];
    let servers = servers.map(|engine| Server::with_engine(engine).unwrap());
    let calls_all_clean = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    let [working, blind, echo] = servers.each_ref().map(Server::uri);
    for (uri, status, word) in [
        (&working, 0, "passed: EICAR was found"),
        (&calls_all_clean.uri(), 1, "FAILED: EICAR was called clean"),
        (&blind, 1, "FAILED: EICAR"),
        (&echo, 2, "FAILED: EICAR: not scanned"),
        (&away, 2, "FAILED: cannot connect"),
    ] {
        let run = icap.run(&["check", "--quick", "--endpoint", uri, &working]);
        assert_eq!(
            (run.status, run.lines().len()),
            (Some(status), 2),
            "{run:?}"
        );
        assert!(run.out.contains(&format!("{uri}: {word}")), "{run:?}");
    }
    let alarms = answering(b"ICAP/1.0 403 Forbidden\r\n\r\n");
    let run = icap.run(&["check", "--quick", "--no-options", &alarms.uri()]);
    assert_eq!(run.status, Some(2), "{run:?}");
}
