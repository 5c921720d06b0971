//! Each fault of TLS has its own error text, and none is a verdict.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::error::{Phase, TimeLimit, Violation};
use icap_client::testing::{CLEAN, Conversation, Script, Server};
use icap_client::tls::TlsConnector;
use icap_client::{Content, Error, Scanner};

use super::front::{Ending, Front};
use super::pki::{Authority, TLS12, TLS13};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

fn scan_error(uri: &str, connector: TlsConnector) -> Error {
    let scanner = Scanner::builder(uri).connector(connector).build().unwrap();
    scanner.scan(Content::bytes(b"hello")).unwrap_err()
}

#[test]
fn invalid_certificate_is_refused_with_the_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut seen = BTreeSet::new();
    for (identity, expected) in [
        (
            authority.issue("av.example", (2000, 4000)),
            "the server's certificate is for another host name",
        ),
        (
            authority.issue("localhost", (2000, 4000)),
            "the server's certificate is for another host name",
        ),
        (
            authority.issue("127.0.0.2", (2000, 4000)),
            "the server's certificate is for another host name",
        ),
        (
            other.local(),
            "the server's certificate is from an issuer that is not trusted",
        ),
        (
            authority.issue("127.0.0.1", (2000, 2001)),
            "the server's certificate has expired",
        ),
        (
            authority.issue("127.0.0.1", (3999, 4000)),
            "the server's certificate is not valid yet",
        ),
    ] {
        let server = Server::start().unwrap();
        let front = Front::new(identity.server(TLS13), server.address(), Ending::Notified);
        let error = scan_error(&front.uri(), authority.connector());
        assert!(matches!(error, Error::Connect(_)), "{error:?}");
        let text = error.to_string();
        let expected_text = format!("cannot connect to {}: {expected} (", front.uri());
        assert!(text.starts_with(&expected_text), "{text}");
        assert_eq!(server.requests(), 0, "something was sent");
        seen.insert(expected);
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn service_name_is_compared_with_the_certificate() {
    let authority = Authority::new();
    let server = Server::start().unwrap();
    let identity = authority.issue("localhost", (2000, 4000));
    let front = Front::new(identity.server(TLS13), server.address(), Ending::Notified);
    let uri = format!("icaps://localhost:{}/scan", front.port());
    let scanner = Scanner::builder(&uri)
        .connector(authority.connector())
        .build()
        .unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(report.verdict().is_clean());
}

#[test]
fn certificate_is_for_the_name_and_not_for_the_address() {
    let authority = Authority::new();
    let server = Server::answering(|_| Script::new().send(CLEAN)).unwrap();
    for (name, is_trusted) in [("av.example", true), ("127.0.0.1", false)] {
        let identity = authority.issue(name, (2000, 4000));
        let front = Front::new(identity.server(TLS13), server.address(), Ending::Notified);
        let address = format!("127.0.0.1:{}", front.port());
        let scanner = Scanner::builder("icaps://av.example/scan")
            .connect_to(&address)
            .require_tls(true)
            .negotiate(false)
            .connector(authority.connector())
            .build()
            .unwrap();
        match scanner.scan(Content::bytes(b"hello")) {
            Ok(report) if is_trusted => assert!(report.verdict().is_clean()),
            Err(error) if !is_trusted => {
                let expected = format!(
                    "cannot connect to icaps://av.example/scan: {address}: \
                     the server's certificate is for another host name"
                );
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let conversations = server.finish();
    let received: Vec<u8> = conversations
        .iter()
        .flat_map(Conversation::received)
        .copied()
        .collect();
    let received = String::from_utf8_lossy(&received);
    assert_eq!(received.matches("Host: av.example\r\n").count(), 1);
}

#[test]
fn plain_server_on_a_tls_port_is_recognised() {
    for (response, expected) in [
        (
            "ICAP/1.0 400 Bad request\r\n\r\n",
            "speaks ICAP without TLS on this port",
        ),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "speaks HTTP on this port, and no TLS: check the port",
        ),
        (
            "SSH-2.0-OpenSSH_9.2p1\r\n",
            "speaks SSH on this port, and no TLS: check the port",
        ),
    ] {
        let refuses = Script::new().read_bytes(1).send(response);
        let server = Server::scripted([refuses.read_to_end()]).unwrap();
        let uri = format!("icaps://{}/scan", server.address());
        let error = scan_error(&uri, Authority::new().connector());
        assert!(matches!(error, Error::Connect(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
    }

    let closes = Script::new().read_bytes(1).close();
    let server = Server::scripted([closes]).unwrap();
    let uri = format!("icaps://{}/scan", server.address());
    let error = scan_error(&uri, Authority::new().connector());
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
}

#[test]
fn server_closing_in_the_handshake_is_named() {
    let server = Server::scripted([Script::new().half_close().read_to_end()]).unwrap();
    let uri = format!("icaps://{}/scan", server.address());
    let text = scan_error(&uri, Authority::new().connector()).to_string();
    assert!(
        text.contains("closed the connection in the TLS handshake"),
        "{text}"
    );
}

#[test]
fn tls_server_on_a_plain_port_is_recognised() {
    let server = Server::start().unwrap();
    let config = Authority::new().local().server(TLS13);
    let front = Front::new(config, server.address(), Ending::Notified);
    let uri = format!("icap://127.0.0.1:{}/scan", front.port());
    let scanner = Scanner::new(&uri).unwrap();
    let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
    let Error::Protocol(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.violation(), Violation::BadStatusLine);
    assert!(error.to_string().contains("this looks like TLS"), "{error}");
}

#[test]
fn required_client_certificate_is_named() {
    let (authority, clients, other) = (Authority::new(), Authority::new(), Authority::new());
    for version in [TLS12, TLS13] {
        let server = Server::start().unwrap();
        let config = authority.local().server_for_clients_of(&clients, version);
        let front = Front::new(config, server.address(), Ending::Notified);

        let client = clients.issue("client.example", (2000, 4000));
        let scanner = Scanner::builder(front.uri())
            .connector(authority.connector_as(&client))
            .build()
            .unwrap();
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        assert!(report.verdict().is_clean());
        drop(scanner);

        let requests = server.requests();
        let text = scan_error(&front.uri(), authority.connector()).to_string();
        assert!(
            text.contains("the server requires a client certificate"),
            "{text}"
        );

        let stranger = other.issue("client.example", (2000, 4000));
        let text = scan_error(&front.uri(), authority.connector_as(&stranger)).to_string();
        assert!(
            text.contains("the server does not accept the client certificate"),
            "{text}"
        );
        assert_eq!(server.requests(), requests);
    }
}

#[test]
fn missing_common_tls_version_is_named() {
    use icap_client::tls::rustls::{ClientConfig, RootCertStore};
    let authority = Authority::new();
    let server = Server::start().unwrap();
    let config = authority.local().server(TLS12);
    let front = Front::new(config, server.address(), Ending::Notified);
    let config = ClientConfig::builder_with_provider(super::pki::provider())
        .with_protocol_versions(&[TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    let text = scan_error(&front.uri(), connector).to_string();
    assert!(text.contains("knows no TLS version or cipher"), "{text}");
}

/// A listener that runs `serve` with its first connection, in a thread. Returns its URI.
fn listener(serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("icaps://{}/scan", listener.local_addr().unwrap());
    thread::spawn(move || serve(listener.accept().unwrap().0));
    uri
}

#[test]
fn endless_handshake_meets_the_connect_timeout() {
    let silent = listener(|stream| {
        // Until the client closes.
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    });
    let dripping = listener(|mut stream| {
        // The beginning of a handshake record of 16 KiB. Its bytes come for ten seconds, each after a pause.
        let header = [22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc];
        for byte in header.into_iter().chain([0; 1000]) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    for uri in [silent, dripping] {
        let scanner = Scanner::builder(&uri)
            .connector(Authority::new().connector())
            .connect_timeout(SHORT)
            .build()
            .unwrap();
        let began = Instant::now();
        let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
        let took = began.elapsed();
        assert!(
            error
                .to_string()
                .contains("the TLS handshake took too long"),
            "{error}"
        );
        let Error::Timeout(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (error.phase(), error.limit(), error.after()),
            (Phase::Connect, TimeLimit::ConnectTimeout, SHORT)
        );
        assert!(took >= SHORT && took < LONG, "{took:?}");
    }
}

#[test]
fn host_unfit_for_a_certificate_is_refused() {
    let error = scan_error("icaps://a~b/scan", Authority::new().connector());
    assert!(
        error.to_string().contains("no DNS name or address"),
        "{error}"
    );
}
