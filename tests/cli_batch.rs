//! Many files with the program `icap`: at once, in order, chosen by directory, glob or list.
#![cfg(feature = "cli")]

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

use icap_client::testing::{CLEAN, Gate, OPTIONS_RESPONSE, Script, Server, infected};

mod support;

use support::program::{Icap, Run, obedient, scan};

#[test]
fn jobs_run_at_once() {
    const JOBS: usize = 4;
    let barrier = Arc::new(Barrier::new(JOBS));
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => {
            barrier.wait();
            Script::new().send(CLEAN)
        }
    })
    .unwrap();
    let names = ["1", "2", "3", "4", "5", "6", "7", "8"];
    let icap = Icap::with_files(&names);
    let uri = server.uri();
    let run = icap.run(&[&["scan", "-j", "4", &uri], &names[..]].concat());
    assert_eq!(run.status, Some(0), "{run:?}");
}

#[test]
fn results_are_in_the_order_of_the_arguments() {
    let (gate, others) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let server = Server::answering(move |request| match (request.method(), request.body()) {
        ("OPTIONS", _) => Script::new().send(OPTIONS_RESPONSE),
        (_, b"slow") => Script::new().wait_for(&gate).send(infected("Slow")),
        _ => {
            // The slow one ends after the others.
            if others.fetch_add(1, SeqCst) == 5 {
                gate.open();
            }
            Script::new().send(CLEAN)
        }
    })
    .unwrap();
    let names = ["slow", "a", "b", "c", "d", "e", "f"];
    let icap = Icap::with_files(&names);
    let run = icap.run(&[&["scan", "--jobs=2", &server.uri()], &names[..]].concat());
    let files = run
        .lines()
        .into_iter()
        .map(|line| line.split(':').next().unwrap());
    assert_eq!(files.collect::<Vec<_>>()[..7], names);
    assert_eq!(run.status, Some(1));
}

#[test]
fn connections_stay_below_those_of_the_service() {
    let options = OPTIONS_RESPONSE.replace("Connections: 100", "Connections: 2");
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(&options),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    let names: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let icap = Icap::with_files(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let run = icap.run(&["scan", "-r", "--jobs", "16", &server.uri(), "."]);
    assert_eq!(run.lines()[50], "50 files: 50 clean");
    assert!(server.connections() <= 2, "{}", server.connections());
}

#[test]
fn globs_select_files_in_directories() {
    let icap = Icap::with_files(&[
        "in/a.zip",
        "in/b.pdf",
        "in/tmp/c.zip",
        "in/x/d.zip",
        "e.pdf",
    ]);
    let server = obedient();
    let uri = server.uri();
    for (globs, lines) in [
        (
            &["--include", "*.zip"][..],
            &["in/a.zip", "in/tmp/c.zip", "in/x/d.zip", "e.pdf"][..],
        ),
        (
            &["--exclude=tmp"],
            &["in/a.zip", "in/b.pdf", "in/x/d.zip", "e.pdf"],
        ),
        (
            &[
                "--include=*.zip",
                "--include=*.pdf",
                "--exclude=x/*",
                "--exclude=/tmp/**",
            ],
            &["in/a.zip", "in/b.pdf", "e.pdf"],
        ),
    ] {
        let run = icap.run(&[&["scan", "-r", &uri, "in", "e.pdf"], globs].concat());
        let expected: Vec<_> = lines.iter().map(|name| format!("{name}: clean")).collect();
        assert_eq!(run.lines()[..lines.len()], expected, "{run:?}");
        assert!(
            run.lines()[lines.len() + 1].contains(" excluded ("),
            "{run:?}"
        );
    }
    let globs = ["--exclude=./tmp/", "--include=*.zip", "--exclude=*.pfd"];
    let run = icap.run(&[&["scan", "-r", &uri, "in"], &globs[..]].concat());
    assert_eq!(run.lines()[..2], ["in/a.zip: clean", "in/x/d.zip: clean"]);
    let warning = "warning: --exclude '*.pfd' matched nothing in the directories";
    assert_eq!((run.errors(), run.status), (vec![warning], Some(0)));
    let run = icap.run(&["scan", "--include", "[a", &uri, "e.pdf"]);
    assert_eq!(run.status, Some(2));
    assert!(run.err.contains("--include"), "{run:?}");
}

#[test]
fn nothing_to_scan_is_told_apart_from_nothing_selected() {
    let icap = Icap::with_files(&["in/a.pdf", "in/b.pdf"]);
    icap.write("directory", "empty\n");
    icap.write("devices", "/dev/null\n");
    fs::create_dir(icap.path("empty")).unwrap();
    let server = obedient();
    let uri = server.uri();
    let nothing = "error: no file was scanned: there was none";
    let excluded = "error: no file was scanned; left out: 2 excluded (first: in/a.pdf)";
    for (arguments, status, message) in [
        (&["-r", "empty", "--include=*.pfd"][..], 2, nothing),
        (&["-r", "--files-from=directory"], 2, nothing),
        (&["-r", "in", "--include=*.pfd"], 2, excluded),
        (&["-r", "in", "--exclude=*"], 2, excluded),
        (
            &["--files-from=devices"],
            2,
            "error: no file was scanned; left out: 1 special file (/dev/null)",
        ),
        (&["-r", "in", "--include=*.pdf"], 0, ""),
    ] {
        for format in ["--quiet", "--json", "-i"] {
            let run = icap.run(&[&["scan", format, &uri], arguments].concat());
            let expected = (Some(status), message);
            assert_eq!((run.status, run.err.trim_end()), expected, "{run:?}");
        }
    }
}

#[test]
fn empty_list_is_no_failure() {
    let icap = Icap::with_files(&["a"]);
    icap.write("list", "\n");
    let server = obedient();
    let uri = server.uri();
    for (arguments, input) in [(["--files-from", "list"], ""), (["--files-from", "-"], "")] {
        for (format, out) in [
            (
                "--color=never",
                "0 files: the list of --files-from is empty\n",
            ),
            ("--quiet", ""),
            ("--json", ""),
        ] {
            let arguments = [&["scan", &uri, format][..], &arguments].concat();
            let run = icap.run_with_input(&arguments, input.as_bytes());
            let printed = (run.status, run.out.as_str(), run.err.as_str());
            assert_eq!(printed, (Some(0), out, ""));
        }
    }
    let run = icap.run(&scan(&uri, &["--files-from=list", "a"]));
    assert_eq!(run.lines(), ["a: clean", "1 file: 1 clean"]);
    let run = icap.run(&scan(&uri, &["--files-from=none"]));
    assert_eq!(run.status, Some(2), "{run:?}");
}

#[test]
fn list_with_the_other_separator_is_an_error_with_a_hint() {
    let icap = Icap::with_files(&["a", "b", "c\nd"]);
    let server = obedient();
    let uri = server.uri();
    for (arguments, list, hint) in [
        (&["--files-from=-"][..], "a\0b\0", "use -0"),
        (&["-0", "--files-from=-"], "a\nb\n", "leave -0"),
    ] {
        let run = icap.run_with_input(&scan(&uri, arguments), list.as_bytes());
        assert_eq!((run.status, run.errors().len()), (Some(2), 1), "{run:?}");
        assert!(run.err.contains(hint), "{run:?}");
    }
    let run = icap.run_with_input(&scan(&uri, &["-0", "--files-from=-"]), b"a\0c\nd");
    assert_eq!(run.lines()[..2], ["a: clean", "c\\nd: clean"]);
}

#[test]
fn lines_of_a_list_are_only_names() {
    let names = ["-", "--json", "icap:", "a b", "in/x"];
    let icap = Icap::with_files(&names);
    let server = obedient();
    let uri = server.uri();
    icap.write("list", "-\n--json\n\nicap:\na b\nin\nnone\n/dev/null");
    for format in ["--quiet", "--json"] {
        let run = icap.run(&["scan", "-r", format, "--files-from", "list", &uri]);
        let warning = "warning: left out: 1 special file (/dev/null)";
        assert_eq!(run.errors().last(), Some(&warning), "{run:?}");
    }
    let run = icap.run(&["scan", "-r", "--files-from", "list", &uri]);
    let expected = names.map(|name| format!("{name}: clean"));
    assert_eq!(run.lines()[..5], expected, "{run:?}");
    assert!(run.errors()[0].starts_with("none: error: "), "{run:?}");
    assert_eq!(
        run.lines()[5..],
        [
            "6 files: 5 clean, 1 error",
            "left out: 1 special file (/dev/null)"
        ]
    );

    let list = b"a b\0in/x\0";
    let run = icap.run_with_input(&["scan", &uri, "-0", "--files-from", "-", "in/x"], list);
    assert_eq!(
        run.lines(),
        [
            "in/x: clean",
            "a b: clean",
            "in/x: clean",
            "3 files: 3 clean"
        ]
    );
}

#[test]
fn dash_is_refused_if_it_may_be_a_file() {
    let icap = Icap::with_files(&["-"]);
    let server = obedient();
    let run = icap.run(&scan(&server.uri(), &["-"]));
    assert_eq!((run.status, run.out.as_str()), (Some(2), ""));
    assert!(run.err.contains("./-"), "{run:?}");
    let run = icap.run(&scan(&server.uri(), &["./-"]));
    assert_eq!(run.lines()[0], "./-: clean");

    let icap = Icap::with_files(&["a"]);
    let run = icap.run(&scan(&server.uri(), &["--files-from", "-", "-"]));
    assert_eq!(run.status, Some(2));
    assert!(run.err.contains("list of files"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn pipe_without_a_writer_ends_at_the_deadline() {
    let icap = Icap::with_files(&["a", "b"]);
    let made = Command::new("mkfifo").arg(icap.path("fifo")).status();
    assert!(made.unwrap().success());
    let server = obedient();
    let uri = server.uri();
    let run = icap.run(&scan(&uri, &["--deadline", "200ms", "a", "fifo", "b"]));
    assert_eq!(
        run.lines(),
        ["a: clean", "b: clean", "3 files: 2 clean, 1 error"]
    );
    assert!(run.errors()[0].starts_with("fifo: error: "), "{run:?}");
    assert_eq!(run.status, Some(2));

    let mut child = icap.spawn(&scan(&uri, &["--deadline", "200ms", "-"]));
    let input = child.stdin.take();
    let run = Run::of(child);
    assert!(run.errors()[0].starts_with("-: error: "), "{run:?}");
    drop(input);
}

#[test]
fn file_that_vanishes_is_an_error() {
    let icap = Icap::with_files(&["in/1 held", "in/2 gone", "in/3"]);
    icap.write("in/1 held", "held");
    let gate = Gate::new();
    let held = gate.clone();
    let server = Server::answering(move |request| match (request.method(), request.body()) {
        ("OPTIONS", _) => Script::new().send(OPTIONS_RESPONSE),
        (_, b"held") => Script::new().wait_for(&held).send(CLEAN),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    let child = icap.spawn(&["scan", "-j1", "-r", &server.uri(), "in"]);
    while server.requests() < 2 {
        std::thread::yield_now();
    }
    fs::remove_file(icap.path("in/2 gone")).unwrap();
    gate.open();
    let run = Run::of(child);
    assert!(run.errors()[0].starts_with("in/2 gone: error: "), "{run:?}");
    assert_eq!(run.errors().len(), 1, "{run:?}");
    assert_eq!((run.lines()[1], run.status), ("in/3: clean", Some(2)));
}

/// Makes the program run without the rights of root, with a copy of it in `icap`; `None` if that is not possible.
#[cfg(target_os = "linux")]
fn without_rights(icap: &Icap) -> Option<Command> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    const USER: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    if fs::metadata(icap.path("")).unwrap().uid() != 0 {
        return Some(Command::new(env!("CARGO_BIN_EXE_icap")));
    }
    let program = icap.path("program");
    fs::copy(env!("CARGO_BIN_EXE_icap"), &program).unwrap();
    let readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(icap.path(""), readable).unwrap();
    let mut command = Command::new("setpriv");
    command.args(USER).arg(&program);
    let mut trial = Command::new("setpriv");
    let tried = trial.args(USER).arg(&program).arg("--version").output();
    tried.is_ok_and(|it| it.status.success()).then_some(command)
}

#[cfg(target_os = "linux")]
#[test]
fn directory_without_permission_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    let icap = Icap::with_files(&["in/1", "in/2 closed/a", "in/3"]);
    let Some(mut command) = without_rights(&icap) else {
        println!("skipped: setpriv cannot start the program as another user");
        return;
    };
    let server = obedient();
    let permit = |mode| {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(icap.path("in/2 closed"), mode).unwrap();
    };
    permit(0);
    let output = command
        .args(["scan", "-r", "-j1", &server.uri(), "in"])
        .current_dir(icap.path(""))
        .output();
    // So that the directory can be removed.
    permit(0o755);
    let output = output.unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(
        err.starts_with("in/2 closed: error: Permission denied"),
        "{err}"
    );
    assert!(
        out.starts_with("in/1: clean\nin/3: clean\n3 files: 2 clean, 1 error\n"),
        "{out}"
    );
}

#[cfg(unix)]
#[test]
fn closed_standard_input_is_not_clean() {
    let icap = Icap::new();
    let server = obedient();
    for arguments in ["- <&-", "--files-from - <&-", "--files-from - </dev/null"] {
        let program = env!("CARGO_BIN_EXE_icap");
        let command = format!("exec {program} scan {} {arguments}", server.uri());
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(icap.path(""))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("standard input is closed"), "{errors}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_an_error() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_icap"))
        .args(["scan", &server.uri(), "a"])
        .current_dir(icap.path(""))
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("No space left"), "{errors}");
}
