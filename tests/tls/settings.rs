//! The settings of a TLS connector, and that `Debug` shows none of them.

use std::io::ErrorKind;

use icap_client::tls::TlsConnector;

use super::pki::Authority;

#[test]
fn invalid_pem_is_refused_and_not_shown() {
    let authority = Authority::new();
    let (client, other) = (authority.local(), authority.local());
    let secret = client.key.lines().nth(1).unwrap().to_owned();
    let builder = TlsConnector::builder;
    let refused = [
        builder().roots_pem(b"").map(drop),
        builder().roots_pem(b"hunter2").map(drop),
        builder().roots_pem(client.key.as_bytes()).map(drop),
        builder()
            .roots_pem(b"-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n")
            .map(drop),
        builder()
            .client_certificate_pem(client.certificate.as_bytes(), b"")
            .map(drop),
        builder()
            .client_certificate_pem(client.key.as_bytes(), client.key.as_bytes())
            .map(drop),
        // The certificate of another key.
        builder()
            .roots_pem(authority.pem.as_bytes())
            .unwrap()
            .client_certificate_pem(client.certificate.as_bytes(), other.key.as_bytes())
            .unwrap()
            .build()
            .map(drop),
    ];
    for (case, result) in refused.into_iter().enumerate() {
        let error = result.expect_err(&case.to_string());
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{case}: {error}");
        let shown = format!("{error} {error:?}");
        for word in ["hunter2", "aHVudGVyMg", &secret] {
            assert!(!shown.contains(word), "{case}: {shown}");
        }
    }
}

#[test]
fn debug_shows_nothing_of_certificates_and_keys() {
    let authority = Authority::new();
    let client = authority.local();
    let builder = TlsConnector::builder()
        .roots_pem(authority.pem.as_bytes())
        .unwrap()
        .client_certificate_pem(client.certificate.as_bytes(), client.key.as_bytes())
        .unwrap();
    assert_eq!(
        format!("{builder:?}"),
        "TlsConnectorBuilder { has_roots: true, has_client_certificate: true, .. }"
    );
    let connector = builder.build().unwrap();
    assert_eq!(format!("{connector:?}"), "TlsConnector { .. }");
}

#[test]
fn unreadable_key_is_not_shown() {
    let client = Authority::new().local();
    let key = client.key.trim().replace('\r', "");
    let secret = key.lines().nth(1).unwrap();
    let as_numbers = secret.bytes().map(|byte| byte.to_string());
    let as_numbers = as_numbers.collect::<Vec<_>>().join(", ");
    for broken in [
        key.replace('\n', "\\n"),
        key.replace('\n', " "),
        key.lines().take(2).collect::<Vec<_>>().join("\n"),
        key.replace(secret, &format!("{secret}!")),
        secret.to_owned(),
    ] {
        let builder = TlsConnector::builder();
        let certificate = client.certificate.as_bytes();
        let error = builder.client_certificate_pem(certificate, broken.as_bytes());
        let error = error.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains(secret) && !shown.contains(&as_numbers),
            "{shown}"
        );
        assert!(
            shown.contains("the private key cannot be used: "),
            "{shown}"
        );
    }
}
