//! Header fields that the caller names count like those of known vendors.

use icap_client::error::InvalidInput;
use icap_client::testing::{CLEAN, Script, Server};
use icap_client::{Content, Endpoint, Error, Report, Scanner, ScannerBuilder, Verdict};

/// A server that sends `response` to each request, and a fallback server that calls everything clean.
struct Servers {
    first: Server,
    fallback: Server,
}

impl Servers {
    fn new(script: Script) -> Self {
        Self {
            first: Server::answering(move |_| script.clone()).unwrap(),
            fallback: Server::answering(|_| Script::new().send(CLEAN)).unwrap(),
        }
    }

    fn builder(&self) -> ScannerBuilder {
        let first = Endpoint::new(self.first.uri()).unwrap();
        Scanner::builder(first.credentials("joe", "secret"))
            .endpoint(self.fallback.uri())
            .negotiate(false)
            .infection_header("X-Acme-Virus")
            .infection_header("X-Acme-Malware")
            .refusal_header("X-Acme-Policy")
    }

    fn scan(&self) -> Report {
        let scanner = self.builder().build().unwrap();
        scanner.scan(Content::bytes(b"hello")).unwrap()
    }
}

fn sends(response: impl AsRef<[u8]>) -> Script {
    Script::new().send(response.as_ref())
}

fn message(status: &str, fields: &str) -> String {
    format!("ICAP/1.0 {status}\r\n{fields}\r\n")
}

#[test]
fn custom_infection_header_counts_on_every_status() {
    for status in ["204 No Content", "407 Who", "500 Error", "503 Full"] {
        for name in ["X-Acme-Virus", "x-acme-malware"] {
            let fields = format!("{name}: Worm.7\r\nProxy-Authenticate: Basic realm=x\r\n");
            let servers = Servers::new(sends(message(status, &fields)));
            let report = servers.scan();
            assert_eq!(report.verdict().to_string(), "infected: Worm.7", "{status}");
            assert_eq!(
                (servers.first.requests(), servers.fallback.requests()),
                (1, 0)
            );
        }
    }
}

#[test]
fn custom_refusal_header_is_blocked_with_its_value() {
    let servers = Servers::new(sends(message(
        "204 No Content",
        "X-Acme-Policy: rule 7\r\n",
    )));
    match servers.scan().verdict() {
        Verdict::Blocked(blocked) => {
            assert_eq!((blocked.status(), blocked.reason()), (204, "rule 7"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn custom_header_counts_after_its_line_is_legible() {
    let whole = message(
        "200 OK",
        "X-Acme-Virus: Worm.7\r\nEncapsulated: null-body=0\r\n",
    );
    let line_end = whole.find("Encapsulated").unwrap();
    for cut in line_end..whole.len() {
        let servers = Servers::new(sends(&whole[..cut]).close());
        let report = servers.scan();
        assert!(report.verdict().is_infected(), "cut at {cut}: {report:?}");
        assert_eq!(servers.fallback.requests(), 0, "cut at {cut}");
    }
}

#[test]
fn custom_header_in_a_used_connection_stops_the_retry() {
    let first = Script::new().read_request().send(CLEAN);
    let broken = message("200 OK", "X-Acme-Virus: Worm.7\r\n");
    let server =
        Server::scripted([first.read_request().send(broken).close(), sends(CLEAN)]).unwrap();
    let builder = Scanner::builder(server.uri()).infection_header("X-Acme-Virus");
    let scanner = builder.negotiate(false).build().unwrap();
    assert!(scanner.scan("hello").unwrap().verdict().is_clean());
    assert!(scanner.scan("hello").unwrap().verdict().is_infected());
    assert_eq!(server.connections(), 1);
}

#[test]
fn custom_header_in_a_trailer_outweighs_an_echo() {
    let http = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let response = format!(
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n{http}5\r\nhello\r\n0\r\nX-Acme-Virus: Worm.7\r\n\r\n",
        http.len()
    );
    let servers = Servers::new(sends(response));
    assert!(servers.scan().verdict().is_infected());
}

#[test]
fn custom_sentinel_leaves_a_204_clean() {
    let fields = "X-Acme-Virus: none\r\nX-Acme-Policy: \"-\"\r\n";
    let servers = Servers::new(sends(message("204 No Content", fields)));
    assert!(servers.scan().verdict().is_clean());
}

#[test]
fn unusable_custom_header_fails_the_build() {
    let build = |builder: ScannerBuilder| match builder.build() {
        Err(Error::Input(error)) => (error.kind(), error.to_string()),
        other => panic!("{other:?}"),
    };
    let new = || Scanner::builder("icap://av.example/scan");
    for name in [
        "Server",
        "date",
        "ISTag",
        "Content-Length",
        "Encapsulated",
        "Allow",
    ] {
        for builder in [new().infection_header(name), new().refusal_header(name)] {
            let (kind, text) = build(builder);
            assert_eq!(kind, InvalidInput::ProtocolHeader, "{name}");
            assert!(text.contains(name), "{text}");
        }
    }
    let (kind, _) = build(new().infection_header("X Acme"));
    assert_eq!(kind, InvalidInput::HeaderName);
}
