//! What the help and the manual pages of the program `icap` say, compared with what it does.
#![cfg(feature = "cli")]

use std::collections::BTreeSet;

use icap_client::policy::Reason;
use icap_client::testing::{Engine, Server};
use serde_json::Value;

mod support;

use support::program::{Icap, obedient, scan};

/// The lines of a section of the help, without its heading.
fn section(icap: &Icap, command: &str, heading: &str) -> Vec<String> {
    let help = icap.run(&[command, "--help"]).out;
    let lines = help.lines().skip_while(|line| !line.starts_with(heading));
    let lines = lines.skip(1).take_while(|line| line.starts_with(' '));
    lines.map(str::to_owned).collect()
}

/// The first words of lines with two columns.
fn terms(lines: &[String]) -> BTreeSet<String> {
    let lines = lines.iter().filter_map(|line| line.strip_prefix("  "));
    let rows = lines.filter_map(|line| line.split_once("  "));
    let terms = rows.flat_map(|(term, _)| term.split(", "));
    let terms = terms.filter(|term| !term.is_empty());
    terms.map(str::to_owned).collect()
}

/// The keys of an object, those of inner objects with a dot. The keys in `verdicts`, `errors` and `served` are data.
fn add_keys(object: &Value, before: &str, keys: &mut BTreeSet<String>) {
    match object {
        Value::Array(items) => items.iter().for_each(|item| add_keys(item, before, keys)),
        Value::Object(fields) if !["verdicts.", "errors.", "served."].contains(&before) => {
            for (key, value) in fields {
                let key = format!("{before}{key}");
                add_keys(value, &format!("{key}."), keys);
                keys.insert(key);
            }
        }
        _ => {}
    }
}

#[test]
fn json_has_the_documented_keys() {
    let icap = Icap::with_files(&["infected", "a"]);
    let server = Server::start().unwrap();
    let (uri, obedient) = (server.uri(), obedient());
    let scan = scan(&obedient.uri(), &["--json", "infected", "a"]).join(" ");
    for (command, arguments) in [
        ("scan", scan),
        ("check", format!("check --json --max-size=1MiB {uri}")),
        ("options", format!("options --json {uri}")),
        ("bench", format!("bench --json -n 3 {uri}")),
    ] {
        let run = icap.run(&arguments.split(' ').collect::<Vec<_>>());
        let mut keys = BTreeSet::new();
        let objects = run.objects();
        objects.iter().for_each(|it| add_keys(it, "", &mut keys));
        assert_eq!(terms(&section(&icap, command, "JSON:")), keys, "{command}");
    }
    let run = icap.run(&["options", "--json"]);
    let mut keys = BTreeSet::new();
    add_keys(&run.objects()[0], "", &mut keys);
    assert_eq!(Vec::from_iter(keys), ["error", "error_kind", "status"]);
    let json = section(&icap, "options", "JSON:").join(" ");
    for key in ["error (the text)", "error_kind", "status"] {
        assert!(json.contains(key), "{json}");
    }
}

#[test]
fn json_has_the_documented_values() {
    let icap = Icap::with_files(&["a", "infected", "blocked", "modified", "pending", "failing"]);
    let server = obedient();
    let json = section(&icap, "scan", "JSON:").join(" ");
    let words = json.split([' ', ',']).collect::<BTreeSet<_>>();
    let run = icap.run(&scan(&server.uri(), &["--json", "-r", ".", "none"]));
    let mut values = BTreeSet::new();
    for object in run.objects() {
        for key in ["verdict", "reason", "error_kind"] {
            values.extend(object[key].as_str().map(str::to_owned));
        }
        let kind = &object["threats"][0]["kind"];
        values.extend(kind.as_str().map(str::to_owned));
    }
    values.extend(Reason::ALL.map(|reason| reason.code().to_owned()));
    for value in &values {
        assert!(words.contains(value.as_str()), "{value}: {json}");
    }
    assert!(values.len() > Reason::ALL.len() + 5, "{values:?}");
}

#[test]
fn each_probe_and_outcome_of_a_check_is_explained() {
    let icap = Icap::new();
    let probes = terms(&section(&icap, "check", "Probes:"));
    let outcomes = terms(&section(&icap, "check", "Outcomes, "));
    let (mut tried, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for engine in [
        Engine::Working,
        Engine::UpTo(300_000),
        Engine::Blind,
        Engine::Echo,
    ] {
        let server = Server::with_engine(engine).unwrap();
        let run = icap.run(&["check", "--json", "--max-size=1MiB", &server.uri()]);
        let findings = run.objects()[0]["services"][0]["findings"].clone();
        for finding in findings.as_array().unwrap() {
            tried.insert(finding["probe"].as_str().unwrap().to_owned());
            shown.insert(finding["outcome"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(probes, tried);
    assert!(shown.is_subset(&outcomes), "{shown:?} {outcomes:?}");
}

#[test]
fn help_of_check_and_bench_is_about_them() {
    let icap = Icap::new();
    for command in ["check", "bench", "options"] {
        let help = icap.run(&[command, "--help"]).out;
        for words in ["scan files", "first file", "--canary", "one file"] {
            assert!(!help.contains(words), "{command}: {words}");
        }
    }
}

#[test]
fn manual_pages_keep_lines_and_have_headings() {
    let icap = Icap::new();
    for (arguments, headings) in [
        (
            &["man"][..],
            &["EXAMPLES", "SETTINGS", "CONFIGURATION FILE"][..],
        ),
        (
            &["man", "scan"],
            &["VALUES", "EXIT STATUS", "JSON", "EXAMPLES"],
        ),
        (&["man", "check"], &["PROBES", "EXIT STATUS", "JSON"]),
        (&["man", "options"], &["EXIT STATUS", "JSON", "EXAMPLES"]),
        (&["man", "bench"], &["EXIT STATUS", "JSON", "EXAMPLE"]),
        (&["man", "respmod"], &["EXAMPLE"]),
        (&["man", "demo"], &["EXIT STATUS", "EXAMPLE"]),
    ] {
        let page = icap.run(arguments).out;
        for heading in headings {
            let start = format!("\n.SH \"{heading}\"\n.nf\n\\&");
            assert!(page.contains(&start), "{arguments:?}: {heading}: {page}");
        }
        assert!(!page.contains("EXTRA"), "{arguments:?}");
        assert!(
            page.contains("\n\\fB\\-v\\fR, \\fB\\-\\-verbose\\fR"),
            "{page}"
        );
    }
    let page = icap.run(&["man", "check"]).out;
    let lines = "\n\\&0  everything was found\n\\&1  malware would pass: ";
    assert!(page.contains(lines), "{page}");
}
