//! Certificates, created for each test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use icap_client::tls::TlsConnector;
use icap_client::tls::rustls::crypto::{CryptoProvider, ring};
use icap_client::tls::rustls::pki_types::pem::PemObject;
use icap_client::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use icap_client::tls::rustls::server::WebPkiClientVerifier;
use icap_client::tls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use icap_client::tls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

pub(crate) const TLS13: &SupportedProtocolVersion = &version::TLS13;
pub(crate) const TLS12: &SupportedProtocolVersion = &version::TLS12;

static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);

/// An issuer of certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, both PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Valid from and to January of these years.
pub(crate) type Years = (i32, i32);

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Each has its own name, so that no authority is taken for another.
        let number = AUTHORITIES.fetch_add(1, SeqCst);
        let name = format!("authority {number}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    pub(crate) fn issue(&self, name: &str, (from, to): Years) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity {
            certificate,
            key: key.serialize_pem(),
        }
    }

    /// A certificate of another authority, which may also be shown by a server.
    pub(crate) fn issue_authority(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity {
            certificate,
            key: key.serialize_pem(),
        }
    }

    /// A certificate for 127.0.0.1 that is valid now.
    pub(crate) fn local(&self) -> Identity {
        self.issue("127.0.0.1", (2000, 4000))
    }

    /// A connector that trusts only this authority.
    pub(crate) fn connector(&self) -> TlsConnector {
        connector(&self.pem)
    }

    /// The same with a client certificate.
    pub(crate) fn connector_as(&self, client: &Identity) -> TlsConnector {
        TlsConnector::builder()
            .roots_pem(self.pem.as_bytes())
            .unwrap()
            .client_certificate_pem(client.certificate.as_bytes(), client.key.as_bytes())
            .unwrap()
            .build()
            .unwrap()
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(der).unwrap();
        Arc::new(roots)
    }
}

/// A connector that trusts these roots only.
pub(crate) fn connector(roots: &str) -> TlsConnector {
    TlsConnector::builder()
        .roots_pem(roots.as_bytes())
        .unwrap()
        .build()
        .unwrap()
}

impl Identity {
    /// As `openssl req -x509` makes one: a certificate that signs itself and is an authority.
    pub(crate) fn self_signed(name: &str, (from, to): Years) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A server that has another key than the certificate says.
    pub(crate) fn server_with_key_of(&self, other: &Self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(other.key.as_bytes()).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        let shown = CertifiedKey::new(vec![certificate], key);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        Arc::new(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown))))
    }

    /// A server without client certificates.
    pub(crate) fn server(&self, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        self.config(version, None)
    }

    /// A server that accepts only clients with a certificate of `authority`.
    pub(crate) fn server_for_clients_of(
        &self,
        authority: &Authority,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        self.config(version, Some(authority))
    }

    /// A server without client certificates and with its own crypto provider.
    pub(crate) fn server_of(
        &self,
        provider: Arc<CryptoProvider>,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        self.config_of(provider, version, None)
    }

    fn config(
        &self,
        version: &'static SupportedProtocolVersion,
        clients: Option<&Authority>,
    ) -> Arc<ServerConfig> {
        self.config_of(provider(), version, clients)
    }

    fn config_of(
        &self,
        crypto: Arc<CryptoProvider>,
        version: &'static SupportedProtocolVersion,
        clients: Option<&Authority>,
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(crypto)
            .with_protocol_versions(&[version])
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(authority.roots(), provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
