//! Texts of servers and people in fields about findings, each with its verdict: the list in
//! `tests/data/phrases`.

use icap_client::testing::{Received, Script, Server};
use icap_client::{Content, NotScanned, Scanner, Verdict};

struct Phrase {
    field: &'static str,
    value: &'static str,
    verdict: &'static str,
}

fn phrases() -> Vec<Phrase> {
    let lines = include_str!("data/phrases/phrases.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let phrase = |line: &'static str| {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let [field, value, verdict, why] = parts[..] else {
            panic!("{line}")
        };
        assert!(!why.is_empty(), "{line}");
        Phrase {
            field,
            value,
            verdict,
        }
    };
    lines.map(phrase).collect()
}

/// Scans content that the server returns in the ICAP head of its 204.
struct Service {
    scanner: Scanner,
    _server: Server,
}

impl Service {
    fn start() -> Self {
        let server = Server::answering(|request: &Received| {
            let fields = String::from_utf8_lossy(request.body()).into_owned();
            Script::new().send(format!("ICAP/1.0 204 OK\r\n{fields}\r\n"))
        });
        let server = server.unwrap();
        let scanner = Scanner::builder(server.uri()).negotiate(false);
        Self {
            scanner: scanner.build().unwrap(),
            _server: server,
        }
    }

    fn verdict_on(&self, fields: &str) -> Verdict {
        let content = Content::bytes(fields.as_bytes());
        self.scanner.scan(content).unwrap().verdict().clone()
    }
}

fn described(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Infected(threats) => {
            let names: Vec<&str> = threats.names().collect();
            format!("infected {}", names.join(", "))
                .trim_end()
                .to_owned()
        }
        Verdict::Blocked(_) => "blocked".to_owned(),
        Verdict::NotScanned(NotScanned::ServiceLimit { .. }) => "limit".to_owned(),
        Verdict::NotScanned(NotScanned::Unscannable { .. }) => "unscannable".to_owned(),
        Verdict::NotScanned(NotScanned::ServiceError { .. }) => "service error".to_owned(),
        other => other.to_string(),
    }
}

#[test]
fn phrase_has_the_verdict_that_the_list_states() {
    let service = Service::start();
    for Phrase {
        field,
        value,
        verdict,
    } in phrases()
    {
        for value in [value.to_owned(), value.to_uppercase()] {
            let found = described(&service.verdict_on(&format!("{field}: {value}\r\n")));
            let is_it = found.eq_ignore_ascii_case(verdict);
            assert!(is_it, "{field}: {value}\n{found}, not {verdict}");
        }
    }
}

#[test]
fn adding_a_name_never_softens() {
    let names = [
        "X-Virus-ID: Eicar\r\n",
        "X-Virus-Name: Eicar\r\n",
        "X-FSecure-Infection-Name: \"Eicar\"\r\n",
        "X-Infection-Found: Threat=Eicar\r\n",
        "X-Infection-Found: Type=0; Resolution=0; Threat=Eicar\r\n",
        "X-Violations-Found: 1\r\n\tf\r\n\tEicar\r\n\t0\r\n\t0\r\n",
    ];
    let service = Service::start();
    for Phrase { field, value, .. } in phrases() {
        let phrase = format!("{field}: {value}\r\n");
        let mut added: Vec<String> = Vec::new();
        for name in names {
            added.push(format!("{phrase}{name}"));
            added.push(format!("{name}{phrase}"));
        }
        let is_list = ["X-Virus-ID", "X-Virus-Name", "X-FSecure-Infection-Name"].contains(&field);
        if is_list {
            added.push(format!("{field}: {value}, Eicar\r\n"));
            added.push(format!("{field}: Eicar, {value}\r\n"));
        }
        if field == "X-Infection-Found" {
            added.push(format!("{field}: {value}, Threat=Eicar\r\n"));
        }
        for fields in added {
            let verdict = service.verdict_on(&fields);
            let is_named = match &verdict {
                Verdict::Infected(threats) => threats.iter().any(|threat| {
                    let words = [threat.name(), threat.description()];
                    words
                        .into_iter()
                        .flatten()
                        .any(|word| word.contains("Eicar"))
                }),
                _ => false,
            };
            assert!(is_named, "{fields}{verdict}");
        }
    }
}
