//! What a policy decides about real scans, and what its notices tell.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::net::TcpListener;

use icap_client::policy::{German, Language, Notice, Reason};
use icap_client::testing::{self, Script, Server};
use icap_client::{Content, Decision, Error, Policy, Report, Scanner};

const CODES: &str = include_str!("data/notice_codes.txt");
const MANUAL: &str = include_str!("../src/manual/notices.md");

fn scan(uri: &str, content: Content<'_>) -> Result<Report, Error> {
    let scanner = Scanner::builder(uri).negotiate(false).max_size(1000);
    scanner.build()?.scan(content)
}

fn respond(response: impl AsRef<[u8]>, name: &str) -> Result<Report, Error> {
    let response = response.as_ref().to_vec();
    let server = Server::answering(move |_| Script::new().send(&response)).unwrap();
    scan(&server.uri(), Content::bytes(b"hello").name(name))
}

fn notice(result: &Result<Report, Error>) -> Notice {
    Notice::of(result).expect("it is not clean")
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn clean_file_is_delivered() {
    let result = respond(testing::CLEAN, "a.txt");
    assert_eq!(Policy::default().decide(&result), Decision::Deliver);
}

#[test]
fn infected_file_is_refused_with_name_and_threat() {
    let result = respond(testing::infected("Eicar-Test-Signature"), "a.txt");
    let Decision::Refuse(notice) = Policy::default().decide(&result) else {
        panic!("{result:?}");
    };
    assert_eq!(notice.code(), "infected");
    assert_eq!(notice.threat(), Some("Eicar-Test-Signature"));
    let text = "The file \"a.txt\" contains malware (Eicar-Test-Signature).";
    assert_eq!(notice.to_string(), text);
    let text = "Die Datei „a.txt“ enthält Schadsoftware (Eicar-Test-Signature).";
    assert_eq!(notice.text(&German), text);
    let detail = notice.detail();
    assert!(detail.starts_with("icap://127.0.0.1:"), "{detail}");
    assert!(
        detail.ends_with("/scan: infected: Eicar-Test-Signature"),
        "{detail}"
    );
}

#[test]
fn unnamed_threat_is_left_out_of_the_sentence() {
    let found = "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2;\r\n\
        Encapsulated: null-body=0\r\n\r\n";
    let result = respond(found, "a.txt");
    let notice = notice(&result);
    assert_eq!((notice.code(), notice.threat()), ("infected", None));
    assert_eq!(notice.to_string(), "The file \"a.txt\" contains malware.");
}

#[test]
fn blocked_file_is_refused_without_the_service_words() {
    let refusal = "ICAP/1.0 403 Not on a Sunday\r\nEncapsulated: null-body=0\r\n\r\n";
    let result = respond(refusal, "a.txt");
    let Decision::Refuse(notice) = Policy::default().decide(&result) else {
        panic!("{result:?}");
    };
    assert_eq!(notice.code(), "blocked");
    assert!(!notice.to_string().contains("Sunday"), "{notice}");
    assert!(notice.detail().contains("Not on a Sunday"), "{notice:?}");
}

#[test]
fn file_that_is_too_large_is_asked_about() {
    let result = scan("icap://127.0.0.1:1/scan", Content::bytes(&[0; 1001]));
    let Decision::Ask(notice) = Policy::default().decide(&result) else {
        panic!("{result:?}");
    };
    assert_eq!(notice.code(), "too_large");
    let text = "The file is larger than 1000 bytes and was not checked for malware.";
    assert_eq!(notice.to_string(), text);
}

#[test]
fn unreachable_server_is_named_in_the_detail_only() {
    let port = closed_port();
    let uri = format!("icap://127.0.0.1:{port}/scan");
    let result = scan(&uri, Content::bytes(b"hello").name("a.txt"));
    let Decision::Ask(notice) = Policy::default().decide(&result) else {
        panic!("{result:?}");
    };
    assert_eq!(notice.code(), "connect_error");
    assert_eq!(notice.name(), Some("a.txt"));
    let text = notice.to_string();
    assert!(
        text.contains("\"a.txt\"") && !text.contains("127.0.0.1"),
        "{text}"
    );
    let detail = notice.detail();
    assert!(
        detail.contains(&uri) && detail.contains("refused"),
        "{detail}"
    );
}

#[test]
fn file_that_cannot_be_read_is_refused_with_its_name() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let server = Server::start().unwrap();
    let content = Content::reader(Broken).name("a.txt");
    let result = scan(&server.uri(), content);
    let Decision::Refuse(notice) = Policy::default().decide(&result) else {
        panic!("{result:?}");
    };
    assert_eq!(notice.code(), "content_error");
    assert_eq!(notice.name(), Some("a.txt"));
    assert!(notice.detail().contains("bad sector"), "{notice:?}");
    let text = "The file \"a.txt\" could not be read completely, so it was not checked.";
    assert_eq!(notice.to_string(), text);
}

#[test]
fn name_is_shown_bounded_and_escaped() {
    for (name, shown) in [
        ("a\r\nb\u{202e}fdp.exe", "a\\r\\nb\\u{202e}fdp.exe"),
        ("<script>&amp;", "<script>&amp;"),
        ("{threat}{limit}", "{threat}{limit}"),
        ("Grün \u{1f600}.txt", "Grün \u{1f600}.txt"),
    ] {
        let result = respond(testing::infected("X"), name);
        let notice = notice(&result);
        assert_eq!(notice.name(), Some(shown));
        let text = format!("The file \"{shown}\" contains malware (X).");
        assert_eq!(notice.to_string(), text);
    }
    for len in [195, 196, 197, 100_000] {
        let name = "\u{e9}".repeat(len) + ".exe";
        let result = respond(testing::infected("X"), &name);
        let shown = notice(&result).name().unwrap().to_owned();
        assert_eq!(shown.contains('…'), len > 196, "{len}");
        assert_eq!(shown.chars().count(), (len + 4).min(200));
        assert!(shown.ends_with("\u{e9}.exe"), "the extension is not hidden");
    }
}

#[test]
fn name_cannot_end_its_quotation() {
    let name = "a\" is clean. „b“ \"c";
    let result = respond(testing::infected("X"), name);
    let notice = notice(&result);
    assert_eq!(notice.name(), Some(name));
    assert_eq!(notice.to_string().matches('"').count(), 2, "{notice}");
    let german = notice.text(&German);
    assert_eq!(german.matches(['„', '“', '"']).count(), 2, "{german}");
}

#[test]
fn threats_are_shown_bounded() {
    let threats = (0..50).map(|i| format!("X-Virus-ID: Threat.Number.{i}\r\n"));
    let threats: String = threats.collect();
    let head = "ICAP/1.0 200 OK\r\n";
    let result = respond(
        format!("{head}{threats}Encapsulated: null-body=0\r\n\r\n"),
        "a",
    );
    let threat = notice(&result).threat().unwrap().to_owned();
    assert!(threat.starts_with("Threat.Number."), "{threat}");
    assert!(threat.chars().count() <= 200, "{threat}");
}

#[test]
fn language_without_a_sentence_falls_back_to_english() {
    struct Terse;
    impl Language for Terse {
        fn template(&self, reason: Reason) -> Option<&str> {
            (reason == Reason::Infected).then_some("Bad{name}{threat}{limit}!")
        }
        fn threat(&self, threat: &str) -> String {
            format!(": {threat}")
        }
    }
    let infected = notice(&respond(testing::infected("X"), "a"));
    assert_eq!(infected.text(&Terse), "Bad \"a\": X!");
    let result = scan("icap://127.0.0.1:1/scan", Content::bytes(&[0; 1001]));
    let too_large = notice(&result);
    assert_eq!(too_large.text(&Terse), too_large.to_string());
}

#[test]
fn codes_are_the_committed_ones() {
    let codes: Vec<_> = Reason::ALL.map(Reason::code).into();
    let committed: Vec<_> = CODES.lines().collect();
    let what =
        "programs depend on the codes: add a new one to tests/data/notice_codes.txt, change none";
    assert_eq!(codes, committed, "{what}");
    let unique: BTreeSet<_> = codes.iter().collect();
    assert_eq!(unique.len(), codes.len());
    for code in codes {
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(code.chars().all(is_plain), "{code}");
    }
}

/// Each code has a row `| code | default | meaning | person | operator |`, and each row is about a code.
#[test]
fn manual_explains_each_code() {
    let mut explained = BTreeSet::new();
    for row in MANUAL.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [code, default, what, person, operator] = cells[..] else {
            panic!("not a row of five: {row}");
        };
        let code = code.trim_matches('`');
        let reason: Reason = code.parse().expect(code);
        let action = format!("{:?}", Policy::default().action(reason));
        assert_eq!(default, action.to_lowercase(), "{code}");
        for cell in [what, person, operator] {
            assert!(cell.ends_with('.'), "{code}: {cell}");
        }
        assert!(explained.insert(reason), "{code} has two rows");
    }
    let missing: Vec<_> = Reason::ALL
        .into_iter()
        .filter(|reason| !explained.contains(reason))
        .collect();
    assert!(
        missing.is_empty(),
        "src/manual/notices.md lacks {missing:?}"
    );
}
