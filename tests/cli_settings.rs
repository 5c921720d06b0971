//! Where the program `icap` gets its settings from: arguments, environment, configuration file.
#![cfg(feature = "cli")]

use std::process::{Child, Command, Stdio};

use icap_client::testing::{CLEAN, Engine, OPTIONS_RESPONSE, Script, Server};

mod support;

use support::program::{Icap, Run, obedient, scan};

/// The place of the configuration file below the home folder of [`Icap`].
const CONFIG: &str = ".config/icap/config.toml";

/// Runs the program with variables of the environment.
fn run_with(icap: &Icap, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    let child: Child = Command::new(env!("CARGO_BIN_EXE_icap"))
        .args(arguments)
        .current_dir(icap.path(""))
        .env_clear()
        .env("HOME", icap.path(""))
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Run::of(child)
}

/// Waits for ever after the OPTIONS request.
fn silent() -> Server {
    Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().hold(),
    })
    .unwrap()
}

#[test]
fn command_line_precedes_environment_and_file() {
    let icap = Icap::with_files(&["a"]);
    let server = silent();
    let uri = server.uri();
    icap.write(
        CONFIG,
        format!("service = \"{uri}\"\nread-timeout = \"31ms\""),
    );
    let environment = ("ICAP_READ_TIMEOUT", "32ms");
    for (variables, arguments, limit) in [
        (&[][..], &["scan", "a"][..], "31 ms"),
        (&[environment], &["scan", "a"], "32 ms"),
        (
            &[environment],
            &["scan", "--read-timeout", "33ms", "a"],
            "33 ms",
        ),
    ] {
        let run = run_with(&icap, variables, arguments);
        assert!(run.err.contains(limit), "{run:?}");
    }
}

#[test]
fn service_of_the_environment_needs_no_argument() {
    let icap = Icap::with_files(&["a", "icap"]);
    let (server, other) = (obedient(), obedient());
    let (uri, other_uri) = (server.uri(), other.uri());
    let variables = [("ICAP_URI", uri.as_str())];
    let run = run_with(&icap, &variables, &["scan", "a", "icap"]);
    assert_eq!(run.lines(), ["a: clean", "icap: clean", "2 files: 2 clean"]);
    let run = run_with(&icap, &variables, &["options"]);
    assert!(run.out.contains(&uri), "{run:?}");
    run_with(
        &icap,
        &variables,
        &["scan", &other_uri.replace("icap:", "ICAP:"), "a"],
    );
    assert_eq!((server.requests(), other.requests()), (4, 2));
}

#[test]
fn icap_service_is_as_icap_uri() {
    let icap = Icap::with_files(&["a"]);
    let (server, other) = (obedient(), obedient());
    let (uri, other_uri) = (server.uri(), other.uri());
    let service = ("ICAP_SERVICE", uri.as_str());
    let run = run_with(&icap, &[service], &["scan", "a"]);
    assert_eq!((run.status, server.requests()), (Some(0), 2), "{run:?}");
    let run = run_with(&icap, &[service, ("ICAP_URI", &other_uri)], &["scan", "a"]);
    assert_eq!((run.status, other.requests()), (Some(0), 2), "{run:?}");
    assert_eq!(server.requests(), 2);
}

#[test]
fn file_is_never_taken_from_the_working_directory() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    for place in ["config.toml", "icap/config.toml", "icap.toml"] {
        icap.write(place, "service = \"icap://127.0.0.1:1/x\"\nunknown = 1");
    }
    for home in [&[][..], &[("HOME", ".")], &[("XDG_CONFIG_HOME", ".")]] {
        let run = run_with(&icap, home, &["scan", &server.uri(), "a"]);
        assert_eq!(run.status, Some(0), "{run:?}");
    }
}

#[test]
fn named_file_replaces_the_usual_one() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    icap.write(CONFIG, "no TOML");
    icap.write("other", format!("service = \"{}\"\njobs = 1", server.uri()));
    for arguments in [
        ["scan", "--config", "other", "a"],
        ["--config", "other", "scan", "a"],
    ] {
        let run = run_with(&icap, &[], &arguments);
        assert_eq!(run.lines()[0], "a: clean", "{run:?}");
    }
    let run = run_with(&icap, &[], &["scan", "a"]);
    assert_eq!(run.status, Some(2));
    assert!(run.err.contains("icap/config.toml: "), "{run:?}");
    for arguments in [&["--help"][..], &["scan", "-h"], &["man"], &["demo"]] {
        assert_eq!(
            run_with(&icap, &[], arguments).status,
            Some(0),
            "{arguments:?}"
        );
    }
    let run = run_with(&icap, &[], &["scan", "--config", "none", "a"]);
    assert!(run.err.contains("none: "), "{run:?}");
}

#[test]
fn odd_keys_and_values_are_refused() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    for (line, word) in [
        ("no-options = true", "no-options"),
        ("trust-preview = true", "trust-preview"),
        ("infected-only = true", "infected-only"),
        ("read-timeout = \"soon\"", "--read-timeout"),
        ("read-timeout = 5", "5s for seconds"),
        ("read-timeout = true", "read-timeout"),
        ("jobs = 0", "--jobs"),
    ] {
        icap.write(CONFIG, line);
        let run = run_with(&icap, &[], &["scan", &server.uri(), "a"]);
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{line}");
        assert!(run.err.contains(word), "{line}: {run:?}");
        assert!(run.err.contains("icap/config.toml"), "{line}: {run:?}");
    }
    let variables = [("ICAP_NO_OPTIONS", "true")];
    icap.write(CONFIG, "");
    run_with(&icap, &variables, &["scan", &server.uri(), "a"]);
    assert_eq!(server.requests(), 2);
}

/// Asks for the password `hunter2` of the user `joe`.
fn asking() -> Server {
    let asks = "ICAP/1.0 407 Who\r\nProxy-Authenticate: Basic realm=\"av\"\r\n\r\n";
    Server::answering(move |request| {
        let credentials = request.headers().get("Proxy-Authorization");
        match credentials.map(|field| field.value().to_vec()) {
            Some(value) if value == b"Basic am9lOmh1bnRlcjI=" => {
                Script::new().send(match request.method() {
                    "OPTIONS" => OPTIONS_RESPONSE,
                    _ => CLEAN,
                })
            }
            _ => Script::new().send(asks),
        }
    })
    .unwrap()
}

/// The lines of a section of the help, without their indentation.
#[cfg(unix)]
fn section<'h>(help: &'h str, heading: &str) -> Vec<&'h str> {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    lines.map(str::trim).collect()
}

#[cfg(unix)]
#[test]
fn sample_file_of_the_help_is_read() {
    use std::os::unix::fs::PermissionsExt;

    let icap = Icap::with_files(&["a"]);
    let server = asking();
    let help = icap.run(&["--help"]).out;
    let sample = section(&help, "Configuration file:").join("\n");
    let service = sample.lines().next().unwrap();
    let sample = sample.replace(service, &format!("service = \"{}\"", server.uri()));
    let sample = sample.replace("\"scanner\"", "\"joe\"");
    icap.write(CONFIG, sample.replace("\"secret\"", "\"hunter2\""));
    for (mode, status) in [(0o644, 2), (0o600, 0)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(icap.path(CONFIG), permissions).unwrap();
        let run = run_with(&icap, &[], &["scan", "a"]);
        assert_eq!(run.status, Some(status), "{run:?}");
    }
}

#[cfg(unix)]
#[test]
fn password_in_the_file_needs_its_permissions() {
    use std::os::unix::fs::PermissionsExt;

    let icap = Icap::with_files(&["a"]);
    let server = asking();
    let text = format!(
        "service = \"{}\"\nuser = \"joe\"\npassword = \"hunter2\"",
        server.uri()
    );
    icap.write(CONFIG, text);
    for (mode, is_read) in [
        (0o644, false),
        (0o640, false),
        (0o604, false),
        (0o600, true),
    ] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(icap.path(CONFIG), permissions).unwrap();
        let run = run_with(&icap, &[], &["scan", "a"]);
        assert_eq!(run.status, Some(if is_read { 0 } else { 2 }), "{run:?}");
        assert!(is_read || run.err.contains("chmod 600"), "{run:?}");
        assert!(!run.err.contains("hunter2"), "{run:?}");
    }
    let run = run_with(&icap, &[("ICAP_PASSWORD", "wrong")], &["scan", "a"]);
    assert_eq!(run.status, Some(2), "{run:?}");
}

#[test]
fn error_of_the_file_has_its_line_and_no_password() {
    let icap = Icap::with_files(&["a"]);
    for (text, words) in [
        ("service = icap://x/y", "line 1"),
        ("jobs = 2\npassword = hunter2", "line 2"),
        ("jobs = 2\njobs = 3", "line 2"),
    ] {
        icap.write(CONFIG, text);
        let run = run_with(&icap, &[], &["scan", "a"]);
        assert_eq!((run.status, run.errors().len()), (Some(2), 1), "{run:?}");
        assert!(run.err.contains(words), "{run:?}");
        assert!(run.err.contains("service = \"icap://"), "{run:?}");
        assert!(!run.err.contains("hunter2"), "{run:?}");
        assert!(!run.err.contains("\\n"), "{run:?}");
    }
}

#[test]
fn password_without_a_user_is_an_error() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let variables = [("ICAP_PASSWORD", "hunter2")];
    let run = run_with(&icap, &variables, &scan(&server.uri(), &["a"]));
    assert_eq!((run.status, server.requests()), (Some(2), 0), "{run:?}");
    assert!(run.err.contains("--user"), "{run:?}");
}

#[test]
fn header_and_preview_of_the_file_are_sent() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let uri = server.uri();
    icap.write(
        CONFIG,
        "header = [\"X-One: 1\", \"X-Two: 2\"]\npreview = \"negotiated\"",
    );
    let run = run_with(&icap, &[], &["scan", &uri, "a"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    // Its own --preview takes a size only.
    let run = run_with(&icap, &[], &["respmod", &uri, "--body", "a"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let conversations = server.finish();
    let received = conversations.iter().map(|it| it.received());
    let received = received.map(String::from_utf8_lossy).collect::<String>();
    for field in ["X-One: 1\r\n", "X-Two: 2\r\n"] {
        assert_eq!(received.matches(field).count(), 3, "{received}");
    }
}

#[test]
fn several_services_are_one_uri_and_endpoints() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let uri = server.uri();
    let two = format!("{uri},{uri}");
    for arguments in [
        &["scan", "--endpoint", &uri, "--endpoint", &uri, "a"][..],
        &["check", "--endpoint", &uri],
        &["scan", &two, "a"],
        &["scan", &uri, "--endpoint", &two, "a"],
    ] {
        let run = icap.run(arguments);
        assert_eq!((run.status, server.requests()), (Some(2), 0), "{run:?}");
        assert!(run.err.contains("the first"), "{run:?}");
    }
}

#[test]
fn canary_makes_a_blind_server_not_clean() {
    let icap = Icap::with_files(&["a"]);
    let (blind, working) = (
        Server::with_engine(Engine::Blind).unwrap(),
        Server::start().unwrap(),
    );
    for (server, arguments, reason) in [
        (&blind, &["--json", "a"][..], None),
        (&blind, &["--json", "--canary=5m", "a"], Some("no_engine")),
        (&working, &["--json", "--canary=5m", "a"], None),
    ] {
        let run = icap.run(&scan(&server.uri(), arguments));
        assert_eq!(run.objects()[0]["reason"].as_str(), reason, "{run:?}");
        assert_eq!(run.status, Some(if reason.is_some() { 2 } else { 0 }));
    }
}

#[test]
fn address_may_differ_from_the_host() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let address = server.address().to_string();
    let run = icap.run(&scan(
        "icap://av.example/scan",
        &["--connect-to", &address, "a"],
    ));
    assert_eq!(run.lines()[0], "a: clean", "{run:?}");
    let conversations = server.finish();
    let received = String::from_utf8_lossy(conversations[0].received());
    assert!(received.contains("Host: av.example"), "{received}");
}

#[test]
fn service_is_told_about_files_and_people() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    let uri = server.uri();
    let arguments = [
        "--client-ip=192.0.2.1",
        "--authenticated-user=joe",
        "--groups=staff,board",
        "--name=in voice.pdf",
        "--content-type=application/pdf",
        "-",
    ];
    let run = icap.run_with_input(&scan(&uri, &arguments), b"hello");
    assert_eq!(run.lines()[0], "in voice.pdf: clean", "{run:?}");
    for option in ["--name=x", "--content-type=a/b"] {
        let run = icap.run(&scan(&uri, &[option, "a"]));
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.err.contains("standard input (-)"), "{run:?}");
    }
    let conversations = server.finish();
    let received = String::from_utf8_lossy(conversations[0].received());
    for text in [
        "X-Client-IP: 192.0.2.1",
        "X-Authenticated-User: ",
        "X-Authenticated-Groups: ",
        "Content-Type: application/pdf",
        "in%20voice.pdf",
    ] {
        assert!(received.contains(text), "{received}");
    }
}

#[test]
fn missing_service_or_file_is_named() {
    let icap = Icap::with_files(&["a"]);
    let server = obedient();
    for (arguments, words) in [
        (
            &["scan", "a"][..],
            &["'a'", "icap://HOST/SERVICE", "ICAP_URI"][..],
        ),
        (&["scan", "http://x/y", "a"], &["'http://x/y'", "icap://"]),
        (&["scan", &server.uri()], &["FILE"]),
        (&["scan"], &["FILE"]),
        (&["options"], &["icap://HOST/SERVICE", "URI"]),
        (&["options", "report.pdf"], &["'report.pdf'", "icap://"]),
        (
            &["check", "icap://me:secret@x/y?z"],
            &["'icap://[9 bytes]@x/y?[1 bytes]'", "--user"],
        ),
    ] {
        let run = icap.run(arguments);
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""));
        for word in words {
            assert!(run.err.contains(word), "{word}: {run:?}");
        }
    }
}

#[test]
fn mistyped_key_is_followed_by_the_nearest_one() {
    let icap = Icap::with_files(&["a"]);
    for (line, hint) in [
        ("max_size = '1MiB'", "did you mean \"max-size\"?"),
        ("endpont = 'icap://av/x'", "did you mean \"endpoint\"?"),
        ("colour = 'never'", "did you mean \"color\"?"),
        ("trust-preview = 'yes'", "the keys are password, "),
        (
            "max-size = 25MiB",
            "a value needs quotes: max-size = \"25MiB\"",
        ),
        ("service = icap://av/x", "service = \"icap://HOST/SERVICE\""),
        (
            "max-size = 25",
            "it has no unit: write 25MiB, or 25B for bytes",
        ),
    ] {
        icap.write(CONFIG, line);
        let run = icap.run(&scan("icap://127.0.0.1:1/x", &["a"]));
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.err.contains(hint), "{run:?}");
        assert!(!run.err.contains("invalid float"), "{run:?}");
    }
}

#[test]
fn help_and_manual_list_the_keys_of_the_file() {
    let icap = Icap::new();
    for arguments in [
        &["scan", "--help"][..],
        &["--help"],
        &["man"],
        &["man", "scan"],
    ] {
        let text = icap.run(arguments).out.replace('\\', "");
        for key in [
            "response-timeout,",
            "client-cert,",
            "write-timeout, password",
        ] {
            assert!(text.contains(key), "{arguments:?} {key}: {text}");
        }
    }
}
