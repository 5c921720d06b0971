//! The program `icap` on a terminal: colours and progress. `script` (util-linux) makes the terminal.
#![cfg(all(feature = "cli", target_os = "linux"))]

use std::io::Read;
use std::process::{Child, Command, Stdio};

use icap_client::testing::{CLEAN, Gate, OPTIONS_RESPONSE, Script, Server};

mod support;

use support::program::{Icap, obedient};

/// Runs the program on a terminal of its own.
fn on_terminal(icap: &Icap, variables: &[(&str, &str)], arguments: &str) -> Child {
    let command = format!("exec {} {arguments}", env!("CARGO_BIN_EXE_icap"));
    Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &command,
            "/dev/null",
        ])
        .current_dir(icap.path(""))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", icap.path(""))
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What it shows, and its exit status.
fn screen(child: Child) -> (String, Option<i32>) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.code())
}

#[test]
fn colours_follow_the_terminal_and_no_color() {
    let icap = Icap::with_files(&["clean", "infected"]);
    let server = obedient();
    let uri = server.uri();
    let arguments = format!("scan {uri} clean infected");
    for (variables, color, is_coloured) in [
        (&[][..], "", true),
        (&[("NO_COLOR", "1")], "", false),
        (&[("TERM", "dumb")], "", false),
        (&[("NO_COLOR", "1")], " --color always", true),
        (&[], " --color never", false),
    ] {
        let arguments = format!("{arguments}{color}");
        let (text, status) = screen(on_terminal(&icap, variables, &arguments));
        assert_eq!(status, Some(1), "{text}");
        assert_eq!(
            text.contains("\x1b[32mclean\x1b[0m"),
            is_coloured,
            "{text:?}"
        );
        assert!(is_coloured || text.contains("clean: clean\r\n"), "{text:?}");
    }
    let piped = icap.run(&["scan", "--color", "always", &uri, "clean"]);
    assert!(piped.out.contains("\x1b[32m"), "{piped:?}");
}

/// Reads what is shown until it has this text.
fn read_until(child: &mut Child, words: &str) -> String {
    let (mut shown, mut byte) = (Vec::new(), [0]);
    let out = child.stdout.as_mut().unwrap();
    while !String::from_utf8_lossy(&shown).contains(words) {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "{}", shown.escape_ascii());
        shown.push(byte[0]);
    }
    String::from_utf8_lossy(&shown).into_owned()
}

/// Responds to each scan of `held` only when the gate is open.
fn holding(gate: &Gate) -> Server {
    let gate = gate.clone();
    Server::answering(move |request| match (request.method(), request.body()) {
        ("OPTIONS", _) => Script::new().send(OPTIONS_RESPONSE),
        (_, b"held") => Script::new().wait_for(&gate).send(CLEAN),
        _ => Script::new().send(CLEAN),
    })
    .unwrap()
}

#[test]
fn one_file_shows_its_stage() {
    let icap = Icap::with_files(&["held"]);
    let gate = Gate::new();
    let server = holding(&gate);
    let mut child = on_terminal(&icap, &[], &format!("scan {} held", server.uri()));
    read_until(&mut child, "waiting for the verdict");
    gate.open();
    let (rest, status) = screen(child);
    assert!(rest.contains("1 file: 1 clean"), "{rest:?}");
    assert_eq!(status, Some(0));
}

#[test]
fn many_files_show_number_and_errors_between() {
    let icap = Icap::with_files(&["a", "b", "held"]);
    let gate = Gate::new();
    let server = holding(&gate);
    let arguments = format!("scan -i {} a none b held", server.uri());
    let mut child = on_terminal(&icap, &[], &arguments);
    let shown = read_until(&mut child, "3 of 4 files");
    assert!(shown.contains("none: "), "{shown:?}");
    gate.open();
    let (rest, status) = screen(child);
    assert!(rest.contains("4 files: 3 clean, 1 error"), "{rest:?}");
    assert_eq!(status, Some(2));
}

#[test]
fn check_shows_that_it_is_at_work() {
    let icap = Icap::with_files(&[]);
    let gate = Gate::new();
    let held = gate.clone();
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().wait_for(&held).send(OPTIONS_RESPONSE),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    let mut child = on_terminal(&icap, &[], &format!("check {}", server.uri()));
    read_until(&mut child, "testing the service; this can take a minute");
    gate.open();
    let (rest, status) = screen(child);
    assert!(rest.contains("MISSED"), "{rest:?}");
    assert_eq!(status, Some(1));
}
