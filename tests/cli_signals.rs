//! What the program `icap` does when Ctrl-C, SIGTERM or SIGHUP ends it.
#![cfg(all(feature = "cli", target_os = "linux"))]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use icap_client::testing::{CLEAN, Gate, OPTIONS_RESPONSE, Script, Server};

mod support;

use support::program::{Icap, Run, obedient, scan};

/// Whether a process ignores a signal.
fn ignores(process: &str, number: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    ignored >> (number - 1) & 1 == 1
}

/// The signals that end the program, with their numbers. Those that this process ignores are left out: the program
/// inherits that.
fn signals() -> Vec<(&'static str, i32)> {
    let mut signals = vec![("INT", 2), ("TERM", 15), ("HUP", 1)];
    signals.retain(|(_, number)| !ignores("self", *number));
    signals
}

fn send(signal: &str, child: &Child) {
    let kill = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

#[test]
fn signal_ends_a_bench_with_its_result() {
    for (signal, number) in signals() {
        let icap = Icap::new();
        let server = obedient();
        let child = icap.spawn(&["bench", "--time=1h", "--json", &server.uri()]);
        while server.requests() < 10 {
            std::thread::yield_now();
        }
        send(signal, &child);
        let run = Run::of(child);
        assert_eq!(run.status, Some(128 + number), "{run:?}");
        assert!(run.objects()[0]["scans"].as_u64() > Some(0), "{run:?}");
    }
}

#[test]
fn signal_prints_what_was_done() {
    let server = Server::answering(|request| match (request.method(), request.body()) {
        ("OPTIONS", _) => Script::new().send(OPTIONS_RESPONSE),
        (_, b"held") => Script::new().hold(),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    for (signal, number) in signals() {
        let icap = Icap::with_files(&["a", "held", "b", "c"]);
        let mut child = icap.spawn(&scan(&server.uri(), &["-j1", "a", "held", "b", "c"]));
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "a: clean\n");
        send(signal, &child);
        line.clear();
        out.read_to_string(&mut line).unwrap();
        let run = Run::of(child);
        assert_eq!(
            (run.status, line.as_str()),
            (Some(128 + number), ""),
            "{run:?}"
        );
        assert_eq!(
            run.errors(),
            ["interrupted after 1 file: 1 clean; not scanned: held and what follows"]
        );
    }
}

#[test]
fn signal_leaves_no_temporary_file() {
    let server = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().hold(),
    })
    .unwrap();
    let uri = server.uri();
    for (signal, number) in signals() {
        for arguments in [
            &["scan", &uri, "a", "--output=new"][..],
            &["respmod", &uri, "--body=a", "--output=new"],
        ] {
            let icap = Icap::with_files(&["a"]);
            let names = || fs::read_dir(icap.path("")).unwrap().count();
            let child = icap.spawn(arguments);
            while names() < 2 {
                std::thread::yield_now();
            }
            send(signal, &child);
            assert_eq!(Run::of(child).status, Some(128 + number));
            assert_eq!(names(), 1, "{arguments:?}");
        }
    }
}

#[test]
fn signal_that_is_ignored_from_the_start_ends_nothing() {
    let icap = Icap::with_files(&["a"]);
    let gate = Gate::new();
    let held = gate.clone();
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().wait_for(&held).send(CLEAN),
    })
    .unwrap();
    let program = env!("CARGO_BIN_EXE_icap");
    let command = format!("trap '' HUP; exec {program} scan {} a", server.uri());
    let child = Command::new("sh")
        .args(["-c", &command])
        .current_dir(icap.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while server.requests() < 2 {
        std::thread::yield_now();
    }
    let process = child.id().to_string();
    assert!(ignores(&process, 1) && !ignores(&process, 15));
    send("HUP", &child);
    gate.open();
    let run = Run::of(child);
    assert_eq!(
        (run.status, run.lines()[0]),
        (Some(0), "a: clean"),
        "{run:?}"
    );
}
