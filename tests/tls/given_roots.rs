//! A server that shows a certificate which is itself one of the roots.

use std::sync::Arc;

use icap_client::testing::Server;
use icap_client::tls::TlsConnector;
use icap_client::tls::rustls::ServerConfig;
use icap_client::{Content, Scanner};

use super::front::{Ending, Front};
use super::pki::{Authority, Identity, TLS12, TLS13, connector};

/// "clean", or the error without the name of the service.
fn outcome(config: Arc<ServerConfig>, connector: TlsConnector) -> String {
    let server = Server::start().unwrap();
    let front = Front::new(config, server.address(), Ending::Notified);
    let builder = Scanner::builder(front.uri()).connector(connector);
    match builder.build().unwrap().scan(Content::bytes(b"hello")) {
        Ok(report) => report.verdict().to_string(),
        Err(error) => {
            assert_eq!(server.requests(), 0, "something was sent");
            let service = format!("cannot connect to {}: ", front.uri());
            error.to_string().replace(&service, "")
        }
    }
}

fn with_itself_as_root(identity: &Identity) -> String {
    outcome(identity.server(TLS13), connector(&identity.certificate))
}

#[test]
fn self_signed_authority_is_trusted_if_it_is_the_root() {
    let identity = Identity::self_signed("127.0.0.1", (2000, 4000));
    for version in [TLS12, TLS13] {
        let trusting = connector(&identity.certificate);
        assert_eq!(outcome(identity.server(version), trusting), "clean");
    }
    // Also as one of several roots.
    let roots = Authority::new().pem + &identity.certificate;
    assert_eq!(outcome(identity.server(TLS13), connector(&roots)), "clean");
}

#[test]
fn self_signed_root_must_be_valid_now() {
    let expired = Identity::self_signed("127.0.0.1", (2000, 2001));
    let text = with_itself_as_root(&expired);
    let expected = "the server's certificate has expired (it was valid until \
                    2001-01-01 00:00:00 UTC, and now is 20";
    assert!(text.starts_with(expected), "{text}");
    let early = Identity::self_signed("127.0.0.1", (3999, 4000));
    let text = with_itself_as_root(&early);
    let expected = "the server's certificate is not valid yet (it is valid from \
                    3999-01-01 00:00:00 UTC, and now is 20";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn self_signed_root_must_be_for_the_host() {
    let other = Identity::self_signed("av.example", (2000, 4000));
    assert_eq!(
        with_itself_as_root(&other),
        "the server's certificate is for another host name \
         (it is for av.example, and the URI says 127.0.0.1)"
    );
}

#[test]
fn self_signed_root_proves_its_key() {
    let identity = Identity::self_signed("127.0.0.1", (2000, 4000));
    let other = Identity::self_signed("127.0.0.1", (2000, 4000));
    let config = identity.server_with_key_of(&other);
    let text = outcome(config, connector(&identity.certificate));
    assert!(
        text.contains("a signature does not match the server's certificate"),
        "{text}"
    );
}

#[test]
fn authority_that_is_no_root_is_refused_with_the_remedy() {
    let authority = Authority::new();
    let identity = authority.issue_authority("127.0.0.1");
    let text = outcome(identity.server(TLS13), authority.connector());
    assert_eq!(
        text,
        "the server shows the certificate of an authority (CA:TRUE) (make one with \
         basicConstraints=CA:FALSE, or give this very certificate as a root)"
    );
    // Nor does another one with the same name and key count.
    let shown = Identity::self_signed("127.0.0.1", (2000, 4000));
    let root = Identity::self_signed("127.0.0.1", (2000, 4000));
    let text = outcome(shown.server(TLS13), connector(&root.certificate));
    assert_ne!(text, "clean");
}
