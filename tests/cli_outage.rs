//! The program `icap` while a server is away, and afterwards.
#![cfg(feature = "cli")]

use std::io::{Read, Write};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use icap_client::testing::{CLEAN, Gate, OPTIONS_RESPONSE, Script, Server};

mod support;

use support::outage::Front;
use support::program::{Icap, Run, obedient, scan};
use support::refusing_address;

#[test]
fn batch_survives_a_restart_of_the_service() {
    const FILES: usize = 300;
    let names: Vec<_> = (0..FILES).map(|number| format!("{number}")).collect();
    let icap = Icap::with_files(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let server = Server::start().unwrap();
    let front = Front::of(server.address());
    let uri = front.uri();
    let is_over = AtomicBool::new(false);
    let run = std::thread::scope(|scope| {
        scope.spawn(|| {
            front.serve_while(|| server.requests() < FILES / 3 && !is_over.load(SeqCst));
            // The outage lasts longer than the program takes to suspend the service.
            std::thread::sleep(Duration::from_millis(1200));
            front.serve_while(|| !is_over.load(SeqCst));
        });
        let run = icap.run(&["scan", "-r", &uri, "."]);
        is_over.store(true, SeqCst);
        run
    });
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(run.lines()[300], "300 files: 300 clean");
}

#[test]
fn service_that_never_served_is_not_waited_for() {
    let icap = Icap::with_files(&["a", "b", "c"]);
    let began = Instant::now();
    let nobody = refusing_address();
    let uri = format!("icap://{nobody}/scan");
    assert_eq!(icap.run(&["scan", &uri, "a", "b"]).status, Some(2));
    // It responds to OPTIONS and to one file, and to nothing else.
    let once = || {
        Script::new()
            .answer_options()
            .read_request()
            .send(CLEAN)
            .close()
    };
    for wait in ["none", "300ms"] {
        let server = Server::scripted([once(), Script::new().close()]).unwrap();
        let run = icap.run(&["scan", "-j1", "--retry", wait, &server.uri(), "a", "b", "c"]);
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.lines()[0].starts_with("a: clean"), "{run:?}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

/// A service with one connection, which holds its first scan until the gate opens.
fn with_one_connection(gate: &Gate) -> Server {
    let options = OPTIONS_RESPONSE.replace("Connections: 100", "Connections: 1");
    let gate = gate.clone();
    Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(&options),
        _ => Script::new().wait_for(&gate).send(CLEAN),
    })
    .unwrap()
}

#[test]
fn next_service_is_asked_if_the_first_is_full() {
    let icap = Icap::with_files(&["a", "b"]);
    let gate = Gate::new();
    let first = with_one_connection(&gate);
    let second = Server::answering(move |request| {
        if request.method() == "OPTIONS" {
            return Script::new().send(OPTIONS_RESPONSE);
        }
        gate.open();
        Script::new().send(CLEAN)
    })
    .unwrap();
    let (first_uri, second_uri) = (first.uri(), second.uri());
    let arguments = ["scan", "-j2", "--endpoint", &second_uri, &first_uri];
    let run = icap.run(&[&arguments[..], &["a", "b"]].concat());
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!((first.requests(), second.requests()), (2, 2));
}

#[test]
fn files_wait_while_all_services_are_full() {
    let names = ["a", "b", "c", "d"];
    let icap = Icap::with_files(&names);
    let away = format!("icap://{}/scan", refusing_address());
    for is_away in [false, true] {
        let gate = Gate::new();
        let (full, second) = (with_one_connection(&gate), with_one_connection(&gate));
        let first = if is_away { &away } else { &full.uri() };
        let second_uri = second.uri();
        let arguments = ["scan", "-j4", "--endpoint", &second_uri, first];
        let child = icap.spawn(&[&arguments[..], &names].concat());
        // Longer than a file waits for one of the services.
        std::thread::sleep(Duration::from_millis(700));
        gate.open();
        let run = Run::of(child);
        assert_eq!(run.status, Some(0), "{run:?}");
    }
}

#[test]
fn standard_input_survives_a_restart_of_the_service() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let front = Front::of(server.address());
    let uri = front.uri();
    let (is_first_over, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let run = std::thread::scope(|scope| {
        let (front, is_first_over, is_over) = (&front, &is_first_over, &is_over);
        let (inputs, input) = std::sync::mpsc::channel::<ChildStdin>();
        scope.spawn(move || {
            front.serve_while(|| !is_first_over.load(SeqCst));
            let mut input = input.recv().unwrap();
            input.write_all(b"infected").unwrap();
            drop(input);
            // The outage: connections are refused for this time.
            std::thread::sleep(Duration::from_millis(300));
            front.serve_while(|| !is_over.load(SeqCst));
        });
        let mut child = icap.spawn(&scan(&uri, &["-j1", "--retry", "10s", "a", "-"]));
        inputs.send(child.stdin.take().unwrap()).unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut line = [0; "a: clean\n".len()];
        out.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"a: clean\n");
        child.stdout = Some(out);
        is_first_over.store(true, SeqCst);
        let run = Run::of(child);
        is_over.store(true, SeqCst);
        run
    });
    assert_eq!(
        run.lines()[0],
        "-: infected: Eicar-Test-Signature",
        "{run:?}"
    );
}

/// Serves a third of 300 files and never again. Returns the run with these arguments.
fn run_with_lasting_outage(arguments: &[&str]) -> Run {
    const FILES: usize = 300;
    let names: Vec<_> = (100..100 + FILES)
        .map(|number| format!("{number}"))
        .collect();
    let icap = Icap::with_files(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let server = Server::start().unwrap();
    let front = Front::of(server.address());
    let uri = front.uri();
    let is_over = AtomicBool::new(false);
    let goes_on = || server.requests() < FILES / 3 && !is_over.load(SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| front.serve_while(goes_on));
        let run = icap.run(&[&["scan", "-r", "--retry", "300ms", &uri, "."], arguments].concat());
        is_over.store(true, SeqCst);
        run
    })
}

#[test]
fn lasting_outage_is_one_message() {
    let run = run_with_lasting_outage(&[]);
    assert_eq!(run.status, Some(2), "{run:?}");
    let lines = run.lines();
    let (scanned, summary) = lines.split_at(lines.len() - 1);
    // Several are under way when the outage begins, so a later one may have been scanned.
    let is_scanned = |number: &usize| scanned.contains(&format!("./{number}: clean").as_str());
    let first = (100..).find(|number| !is_scanned(number)).unwrap();
    let others = 300 - scanned.len();
    assert!(scanned.len() > 30, "{run:?}");
    assert_eq!(
        summary,
        [format!(
            "300 files: {} clean, {others} errors",
            scanned.len()
        )]
    );
    let [message] = run.errors()[..] else {
        panic!("{run:?}")
    };
    let expected = format!("error: {others} files were not scanned, the first is ./{first}: ");
    assert!(message.starts_with(&expected), "{message}");
    assert!(message.contains("connection refused"), "{message}");
}

#[test]
fn file_too_large_does_not_count_as_served() {
    let icap = Icap::with_files(&["large", "a"]);
    let uri = format!("icap://{}/scan", refusing_address());
    let began = Instant::now();
    let run = icap.run(&scan(&uri, &["-j1", "--max-size=4B", "large", "a"]));
    assert_eq!(run.lines()[0], "large: not scanned: larger than 4 bytes");
    assert!(run.err.starts_with("a: error: cannot connect"), "{run:?}");
    // Otherwise it waits for 60 s.
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn json_has_each_file_also_after_a_lasting_outage() {
    let run = run_with_lasting_outage(&["--json"]);
    assert_eq!((run.status, run.err.as_str()), (Some(2), ""), "{run:?}");
    let objects = run.objects();
    assert_eq!(objects.len(), 300);
    for (object, number) in objects.iter().zip(100..) {
        assert_eq!(object["file"], format!("./{number}"));
        assert!(object["verdict"] == "clean" || object["verdict"] == "error");
        assert!(object["verdict"] == "clean" || !object["reason"].is_null());
    }
}

#[test]
fn service_that_is_away_from_the_start_is_one_message() {
    let icap = Icap::with_files(&["a", "b", "c"]);
    let uri = format!("icap://{}/scan", refusing_address());
    let run = icap.run(&scan(&uri, &["a", "b", "c"]));
    assert_eq!(run.status, Some(2));
    let message = "error: 3 files were not scanned, the first is a: cannot connect to ";
    assert!(run.err.starts_with(message), "{run:?}");
    assert_eq!(run.errors().len(), 1, "{run:?}");
    // Without a rate, which would be that of errors.
    assert_eq!(run.out, "3 files: 3 errors\n");
}
