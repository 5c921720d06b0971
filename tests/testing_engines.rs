//! The engines of `icap_client::testing` fail as its documentation says, and TLS changes nothing.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::{Duration, Instant};

use icap_client::testing::{Engine, Server, eicar, options_with_preview};
use icap_client::{Content, NotScanned, Preview, Scanner, ScannerBuilder, Verdict};

fn verdict(scanner: &Scanner, content: &[u8]) -> Verdict {
    scanner
        .scan(Content::bytes(content))
        .unwrap()
        .verdict()
        .clone()
}

fn eicar_of(size: usize) -> Vec<u8> {
    let mut content = eicar();
    content.resize(size, b' ');
    content
}

/// A scanner without previews, and one with.
fn scanners(server: &Server) -> [Scanner; 2] {
    let build = |builder: ScannerBuilder| builder.build().unwrap();
    [
        build(Scanner::builder(server.uri())),
        build(Scanner::builder(server.uri()).preview(Preview::Limit(16))),
    ]
}

fn server(engine: Engine) -> Server {
    let server = Server::with_engine(engine).unwrap();
    server.offering(options_with_preview(16)).unwrap()
}

#[test]
fn blind_engine_reads_everything_and_finds_nothing() {
    let server = server(Engine::Blind);
    for scanner in scanners(&server) {
        for size in [68, 200_000, 5_000_000] {
            assert_eq!(verdict(&scanner, &eicar_of(size)), Verdict::Clean, "{size}");
        }
        assert_eq!(scanner.stats().connections_opened, 1);
    }
}

#[test]
fn early_engine_responds_before_large_content() {
    let server = server(Engine::Early);
    let [scanner, previewing] = scanners(&server);
    let early = Verdict::NotScanned(NotScanned::EarlyResponse);
    assert_eq!(verdict(&scanner, &eicar_of(50_000_000)), early);
    let found = verdict(&previewing, &eicar());
    assert!(matches!(found, Verdict::NotScanned(_)), "{found}");
}

#[test]
fn echoing_engine_returns_the_content() {
    let server = server(Engine::Echo);
    let [scanner, previewing] = scanners(&server);
    let echoed = Verdict::NotScanned(NotScanned::Echoed);
    assert_eq!(verdict(&scanner, &eicar_of(1 << 20)), echoed);
    assert!(scanner.scan(eicar_of((1 << 20) + 1)).is_err());
    assert!(!verdict(&previewing, &eicar()).is_clean());
}

#[test]
fn engine_with_a_limit_finds_nothing_above_it() {
    let server = server(Engine::UpTo(100_000));
    for scanner in scanners(&server) {
        for (size, is_found) in [(68, true), (100_000, true), (100_001, false)] {
            let found = verdict(&scanner, &eicar_of(size));
            assert_eq!(found.is_infected(), is_found, "{size}");
            assert_eq!(found.is_clean(), !is_found, "{size}");
        }
    }
}

#[test]
fn slow_engine_waits_for_each_mebibyte() {
    let pause = Duration::from_millis(50);
    let server = server(Engine::Slow(pause));
    for scanner in scanners(&server) {
        let began = Instant::now();
        assert!(verdict(&scanner, &eicar_of(4 << 20)).is_infected());
        assert!(began.elapsed() >= 4 * pause);
    }
}

#[test]
fn engine_changes_while_the_server_runs() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    for (engine, is_found) in [
        (Engine::Working, true),
        (Engine::Blind, false),
        (Engine::Working, true),
    ] {
        server.set_engine(engine);
        assert_eq!(verdict(&scanner, &eicar()).is_infected(), is_found);
    }
    assert_eq!(scanner.stats().connections_opened, 1);
}

#[cfg(feature = "rustls")]
mod tls {
    use super::*;
    use icap_client::testing::Script;
    use icap_client::tls::TlsConnector;

    fn certificate() -> (String, String) {
        let names = ["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn scanner(server: &Server, certificate: &str) -> Scanner {
        let connector = TlsConnector::builder()
            .roots_pem(certificate.as_bytes())
            .unwrap();
        let builder = Scanner::builder(server.uri()).connector(connector.build().unwrap());
        builder.build().unwrap()
    }

    #[test]
    fn tls_server_gives_the_verdicts_of_the_plain_one() {
        let (certificate, key) = certificate();
        let server = Server::start().unwrap();
        let server = server.with_tls(&certificate, &key).unwrap();
        assert!(server.uri().starts_with("icaps://"));
        let scanner = scanner(&server, &certificate);
        for size in [68, 5_000_000] {
            assert!(verdict(&scanner, &eicar_of(size)).is_infected());
            assert!(verdict(&scanner, &vec![b' '; size]).is_clean());
        }
        assert_eq!(scanner.stats().connections_opened, 1);
        drop(scanner);
        assert_eq!(server.finish().len(), 1);
    }

    #[test]
    fn tls_server_plays_scripts_and_ends_while_clients_wait() {
        let (certificate, key) = certificate();
        let script = Script::new().read_request().send("ICAP/1.0 20").close();
        let server = Server::scripted([script]).unwrap();
        let server = server.with_tls(&certificate, &key).unwrap();
        let first = scanner(&server, &certificate);
        assert!(first.scan("hello").is_err());
        let holding = Server::scripted([Script::new().hold()]).unwrap();
        let holding = holding.with_tls(&certificate, &key).unwrap();
        let second = scanner(&holding, &certificate);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| second.scan("hello"));
            while holding.connections() == 0 {
                std::thread::yield_now();
            }
            drop(holding);
            assert!(waiting.join().unwrap().is_err());
        });
    }

    #[test]
    fn key_of_another_certificate_is_refused() {
        let ((one, _), (_, other)) = (certificate(), certificate());
        for (certificate, key) in [(&one, &other), (&one, &one), (&other, &other)] {
            let server = Server::start().unwrap();
            let error = server.with_tls(certificate, key).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        }
    }
}
