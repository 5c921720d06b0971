//! ICAP over TLS (`icaps://`, RFC 3507 §7.2), with rustls. Feature `rustls`.
//!
//! **Verified:** the server's certificate is for the host of the URI (a name or an address), it is valid now, and a
//! trusted root has issued it or is it. The system or the caller names the roots. None of this can be switched off. A
//! server with a self-signed certificate is trusted if that certificate is given as a root; see `verifier.rs`.
//!
//! **Not verified:** revocation, unless the caller's own [`ClientConfig`] does it.
//!
//! Every connection verifies again. Sessions are not resumed: that would save little, because connections are
//! reused.
//!
//! **Session tickets are not stray bytes.** Bytes on an idle connection show that it cannot be used again (rule R3).
//! A TLS 1.3 server sends session tickets at any time, mostly just after the handshake. So the decrypted bytes
//! decide, not those of the socket.
//!
//! **Renegotiation** (TLS 1.2) is declined, and the scan goes on; `stream/mod.rs` describes how.
//!
//! **Identity:** the connector has the client certificate, and each [`Client`](crate::Client) has one connector and
//! its own connections. So a connection is never used under another identity.

mod certificate_failure;
mod failure;
mod incoming;
mod records;
mod stream;
mod verifier;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::deadline::Deadline;
use super::shortage::{is_shortage, shortage};
use super::tcp::{connect_any, connect_one};
use super::transport::{Connect, Stream};
use crate::proto::uri::ServiceUri;
use crate::seam::sync::OnceLock;
use stream::TlsStream;
use verifier::GivenRoots;

/// Connects over TLS 1.2 or 1.3. This is what `icaps://` URIs use.
///
/// Make one to trust other roots than those of the system, or to show a client certificate.
///
/// The [default](Self::default) trusts the roots of the system and reads them at the first connection. On Linux,
/// the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` can name others. The certificate of the server
/// must be for the host of the URI (a name or an address) and valid now. No setting of the builder
/// switches these checks off. If you pass a rustls `ClientConfig` of your own instead, it alone decides what is
/// verified.
///
/// The handshake is a part of connecting, and `connect_timeout` limits both together. If you set a
/// `TlsConnector` as the connector, it speaks TLS with every server, also for an `icap://` URI.
///
/// ```no_run
/// use icap_client::tls::TlsConnector;
/// use icap_client::Scanner;
///
/// let connector = TlsConnector::builder()
///     .roots_pem(&std::fs::read("our-ca.pem")?)?
///     .client_certificate_pem(&std::fs::read("client.pem")?, &std::fs::read("client.key")?)?
///     .build()?;
/// let scanner = Scanner::builder("icaps://av.example/SERVICE").connector(connector).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct TlsConnector {
    /// Empty until the roots of the system are needed.
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl TlsConnector {
    /// A connector to be configured.
    pub fn builder() -> TlsConnectorBuilder {
        TlsConnectorBuilder::default()
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        // No lock is held here: if another thread was faster, its configuration is used. A failure is not kept,
        // because somebody may install the certificates.
        let config = TlsConnectorBuilder::default().config()?;
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}

impl Connect for TlsConnector {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let config = self.config()?;
        let name = server_name(service)?;
        let connect = |address: SocketAddr, timeout: Duration| {
            let deadline = Deadline::by_system(timeout);
            let tcp = connect_one(address, timeout)?;
            handshake(tcp, &config, name.clone(), &deadline)
        };
        Ok(Box::new(connect_any(service, timeout, connect)?))
    }
}

/// The configuration is used as it is. It alone decides what is verified.
impl From<Arc<ClientConfig>> for TlsConnector {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self {
            config: Arc::new(OnceLock::from(config)),
        }
    }
}

/// Shows no certificates and no keys.
impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").finish_non_exhaustive()
    }
}

fn handshake(
    tcp: TcpStream,
    config: &Arc<ClientConfig>,
    name: ServerName<'static>,
    deadline: &Deadline,
) -> io::Result<TlsStream> {
    let tls = ClientConnection::new(Arc::clone(config), name);
    let tls = tls.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsStream::handshake(tcp, tls, deadline)
}

/// The name or address that the certificate must be for. The zone of a link-local address (`fe80::1%eth0`) is
/// this machine's name of a network and not a part of the address.
fn server_name(service: &ServiceUri) -> io::Result<ServerName<'static>> {
    let host = service.host().split('%').next().unwrap_or_default();
    ServerName::try_from(host.to_owned()).map_err(|_| {
        let what = format!("no certificate can be for {host:?}, which is no DNS name or address");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })
}

/// Settings of a [`TlsConnector`].
#[must_use]
#[derive(Default)]
pub struct TlsConnectorBuilder {
    /// Empty for the system's.
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
}

/// A certificate with those that issued it, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl TlsConnectorBuilder {
    /// Trusts these certificates instead of those of the system. `pem` has one PEM certificate or more. A second call
    /// adds to the first.
    ///
    /// The server's own self-signed certificate can be a root too. It may be marked as a CA (`CA:TRUE`), as openssl marks it. It must still be valid and for the host of the URI.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no certificate in `pem`, or one that
    /// cannot be read.
    pub fn roots_pem(mut self, pem: &[u8]) -> io::Result<Self> {
        let given = certificates(pem)?;
        root_store(&given)?;
        self.roots.extend(given);
        Ok(self)
    }

    /// Shows this certificate to servers that ask for one. `chain` is PEM: the client's certificate, and after it
    /// those of its issuers. `key` is its private key in PEM (PKCS #8, PKCS #1 or SEC 1), without a password.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no certificate or key, or one that
    /// cannot be read.
    pub fn client_certificate_pem(mut self, chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|error| unusable("the private key", malformed(&error)))?;
        self.identity = Some((certificates(chain)?, key));
        Ok(self)
    }

    /// Checks the settings, and reads the system's roots if no others were given.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if the system has no roots;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the client's certificate is for another key.
    pub fn build(self) -> io::Result<TlsConnector> {
        Ok(Arc::new(self.config()?).into())
    }

    fn config(self) -> io::Result<ClientConfig> {
        let roots = match &self.roots[..] {
            [] => system_roots()?,
            given => root_store(given)?,
        };
        // Named here, because the default of the process can be another one, or none.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| unusable("the root certificates", error))?;
        // rustls calls every verifier but its own dangerous. This one is rustls's own except for one case.
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(GivenRoots::new(verifier, self.roots)));
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable("the client certificate", error))?,
        };
        // A resumed session would rely on a verification of days ago.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// Shows no certificates and no keys.
impl fmt::Debug for TlsConnectorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnectorBuilder")
            .field("has_roots", &!self.roots.is_empty())
            .field("has_client_certificate", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| unusable("a certificate", malformed(&error)))?;
    if found.is_empty() {
        let none = "there is no PEM certificate in what was given";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, none));
    }
    Ok(found)
}

fn root_store(given: &[CertificateDer<'static>]) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in given {
        roots
            .add(certificate.clone())
            .map_err(|error| unusable("a root certificate", error))?;
    }
    Ok(roots)
}

/// The roots of the system. Those that cannot be read are left out, which makes nothing trusted.
fn system_roots() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let is_short = |error: &&rustls_native_certs::Error| match &error.kind {
        rustls_native_certs::ErrorKind::Io { inner, .. } => is_shortage(inner),
        _ => false,
    };
    if let Some(error) = found.errors.iter().find(is_short) {
        // Otherwise a part of the roots would be kept, and servers would be refused.
        return Err(shortage(io::ErrorKind::Other, error));
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map(|error| format!(": {error}"));
    let what = format!(
        "the system has no trusted root certificates (Debian: package ca-certificates){}",
        why.unwrap_or_default()
    );
    Err(shortage(io::ErrorKind::NotFound, what))
}

/// What is wrong with PEM, without its bytes. The error of the library shows the line, and that is a whole key if
/// the line ends were lost.
fn malformed(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::NoItemsFound => "there is none in what was given",
        pem::Error::Base64Decode(_) => "what stands between its first and last line is not base64",
        pem::Error::MissingSectionEnd { .. } => "its last line (-----END ...) is missing",
        pem::Error::IllegalSectionStart { .. } => {
            "its first line (-----BEGIN ...) is malformed, perhaps because line ends were lost"
        }
        _ => "it is not PEM",
    }
}

fn unusable(what: &str, error: impl fmt::Display) -> io::Error {
    let text = format!("{what} cannot be used: {error}");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_name_is_the_host_without_its_zone() {
        for (uri, name) in [
            ("icaps://av.example/s", "av.example"),
            ("icaps://127.0.0.1/s", "127.0.0.1"),
            ("icaps://[::1]:99/s", "::1"),
            ("icaps://[fe80::1%eth0]/s", "fe80::1"),
        ] {
            let uri = uri.parse().unwrap();
            assert_eq!(server_name(&uri).unwrap().to_str(), name);
        }
        assert!(server_name(&"icaps://a~b/s".parse().unwrap()).is_err());
    }
}
