//! Verifies a server's certificate against roots that the caller gave.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::failure::is_authority_as_server;

/// Verifies as rustls does, but for one thing: a server may show a certificate of an authority (CA:TRUE) if
/// that is, byte for byte, one of the roots.
///
/// `openssl req -x509` makes such a certificate unless it is told otherwise. webpki refuses it, because an
/// authority must not sign for itself in another role. Here it is the one certificate that the caller named as
/// trusted. It must still be valid now, be for the host of the URI, and prove in the handshake that the server
/// has its key.
#[derive(Debug)]
pub(super) struct GivenRoots {
    verifier: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl GivenRoots {
    pub(super) fn new(
        verifier: Arc<WebPkiServerVerifier>,
        given: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self { verifier, given }
    }
}

impl ServerCertVerifier for GivenRoots {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |time| {
            self.verifier
                .verify_server_cert(shown, intermediates, name, ocsp, time)
        };
        match verify(now) {
            Err(error) if is_authority_as_server(&error) && self.given.contains(shown) => {
                // This is the first fault that webpki found, and it looks at the time before. To be sure of that,
                // it is asked for a time when no certificate is valid.
                let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
                if !verify(end_of_time).is_err_and(|error| has_expired(&error)) {
                    return Err(error);
                }
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, shown, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

fn has_expired(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. }
        )
    )
}
