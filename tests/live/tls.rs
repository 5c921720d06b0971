//! c-icap's own `TlsPort`: verdicts over TLS, and an error text for each fault of TLS.

use std::path::PathBuf;
use std::time::Duration;

use icap_client::tls::{TlsConnector, TlsConnectorBuilder};
use icap_client::{Content, Error, Scanner};

use super::{archive_with_eicar_at_its_end, eicar, variable};

/// A PEM file from the folder of certificates.
fn pem(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(variable("ICAP_LIVE_TLS_DIR"));
    std::fs::read(folder.join(name)).unwrap()
}

fn trusting(roots: &str) -> TlsConnectorBuilder {
    TlsConnector::builder().roots_pem(&pem(roots)).unwrap()
}

fn scanner(server: &str, connector: TlsConnectorBuilder) -> Scanner {
    let uri = format!("{}/avscan", variable(server));
    let builder = Scanner::builder(&uri).connector(connector.build().unwrap());
    builder.build().unwrap()
}

fn assert_scans(scanner: &Scanner) {
    for _ in 0..20 {
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        assert!(report.verdict().is_clean(), "{}", report.verdict());
        let report = scanner.scan(Content::bytes(&eicar())).unwrap();
        assert!(report.verdict().is_infected(), "{}", report.verdict());
    }
    let stats = scanner.stats();
    println!(
        "{} connections, reused {} times",
        stats.connections_opened, stats.connections_reused
    );
    assert!(stats.connections_reused > 0, "{stats:?}");
}

pub(crate) fn verdicts() {
    let scanner = scanner("ICAP_LIVE_TLS", trusting("ca.pem"));
    assert_scans(&scanner);
    let archive = archive_with_eicar_at_its_end(20_000_000);
    let report = scanner.scan(Content::bytes(&archive)).unwrap();
    assert!(report.verdict().is_infected(), "{}", report.verdict());
    assert_eq!(report.bytes_sent(), archive.len() as u64);
}

pub(crate) fn client_certificate() {
    let shown = trusting("ca.pem").client_certificate_pem(&pem("client.pem"), &pem("client.key"));
    assert_scans(&scanner("ICAP_LIVE_TLS_CLIENTS", shown.unwrap()));
    let none = scanner("ICAP_LIVE_TLS_CLIENTS", trusting("ca.pem"));
    assert_fails(&none, "requires a client certificate");
}

pub(crate) fn errors() {
    for (server, roots, words) in [
        (
            "ICAP_LIVE_TLS_OTHER_NAME",
            "ca.pem",
            "is for another host name",
        ),
        ("ICAP_LIVE_TLS_EXPIRED", "ca.pem", "has expired"),
        (
            "ICAP_LIVE_TLS",
            "other-ca.pem",
            "is from an issuer that is not trusted",
        ),
    ] {
        let error = assert_fails(&scanner(server, trusting(roots)), words);
        assert!(matches!(error, Error::Connect(_)), "{error:?}");
    }
}

pub(crate) fn mixed_up_ports() {
    // A plain c-icap waits for the end of a line.
    let tls_to_plain = variable(super::URI).replace("icap://", "icaps://");
    let builder = Scanner::builder(format!("{tls_to_plain}/avscan"))
        .connector(trusting("ca.pem").build().unwrap())
        .connect_timeout(Duration::from_secs(1));
    let error = assert_fails(&builder.build().unwrap(), "speaks no TLS on this port");
    assert!(error.is_timeout(), "{error:?}");

    // A c-icap with TLS resets the connection and sends nothing.
    let plain_to_tls = variable("ICAP_LIVE_TLS").replace("icaps://", "icap://");
    let scanner = Scanner::new(format!("{plain_to_tls}/avscan")).unwrap();
    let error = assert_fails(&scanner, "lost the connection");
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
}

/// The text of the error must have these words.
fn assert_fails(scanner: &Scanner, words: &str) -> Error {
    let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
    let said = error.to_string();
    println!("{said}");
    assert!(said.contains(words), "{said}");
    error
}
