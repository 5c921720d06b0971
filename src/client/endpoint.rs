//! A service, the credentials for it, and where to connect to.

use std::fmt;

use crate::error::Error;
use crate::proto::uri::ServiceUri;

/// A service to ask: its URI, the credentials for it, and the address to connect to.
///
/// [`Scanner::builder`](crate::Scanner::builder), [`ScannerBuilder::endpoint`](crate::ScannerBuilder::endpoint)
/// and [`Client::builder`](crate::Client::builder) take an `Endpoint` or anything that becomes one: `&str`,
/// `String`, `&String` or a [`ServiceUri`].
///
/// ```
/// use icap_client::{Endpoint, Scanner};
///
/// let fallback = Endpoint::new("icaps://av2.example/SERVICE")?.credentials("joe", "secret");
/// let builder = Scanner::builder("icap://av1.example/SERVICE").endpoint(fallback);
/// # Ok::<(), icap_client::Error>(())
/// ```
#[must_use]
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) uri: ServiceUri,
    /// A user and a password.
    pub(crate) credentials: Option<(String, String)>,
    /// A host with or without a port.
    pub(crate) connect_to: Option<String>,
}

impl Endpoint {
    /// A service without credentials, at the address of the URI.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if `uri` is not an ICAP URI.
    pub fn new(uri: impl TryInto<ServiceUri, Error: Into<Error>>) -> Result<Self, Error> {
        uri.try_into().map(Self::from).map_err(Into::into)
    }

    /// Sets the user and the password for a service that asks for them with `407` and `Basic` (RFC 3507
    /// §7.1).
    ///
    /// They are sent to this service only, and only after it has asked. Over `icap` they are not encrypted.
    /// The builder checks them in `build`: a colon in the user and control characters are an
    /// [`Error::Input`].
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// Sets the address to connect to: `HOST` or `HOST:PORT`, an IPv6 address in brackets. If it has no port, the port of
    /// the URI is used. Default: the host and the port of the URI.
    ///
    /// The host of the URI is then only the name of the service. It goes into the request and its `Host` field, and
    /// the certificate of an `icaps` server must be for it. Errors, logs and reports name the URI; a refused connection names the address too. Use this for a
    /// tunnel on this machine, for one of the servers that a load balancer serves, or for an address that does not come
    /// from DNS.
    ///
    /// Each server of a scanner has its own address. The builder checks it in `build`: an address that cannot be
    /// used is an [`Error::Input`]. A connector of your own finds the
    /// address in [`ServiceUri::address`]; if it connects elsewhere, this setting has no effect.
    ///
    /// ```
    /// use icap_client::{Endpoint, Scanner};
    ///
    /// let server = icap_client::testing::Server::start()?;
    /// let address = server.address().to_string();
    /// let service = Endpoint::new("icap://av.example/scan")?.connect_to(address);
    /// let report = Scanner::new(service)?.scan("hello")?;
    /// assert_eq!(report.service(), "icap://av.example/scan");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect_to(mut self, host_port: impl Into<String>) -> Self {
        self.connect_to = Some(host_port.into());
        self
    }

    /// The URI of the service.
    #[must_use]
    pub fn uri(&self) -> &ServiceUri {
        &self.uri
    }
}

impl From<ServiceUri> for Endpoint {
    fn from(uri: ServiceUri) -> Self {
        Self {
            uri,
            credentials: None,
            connect_to: None,
        }
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = Error;

    fn try_from(uri: &str) -> Result<Self, Error> {
        Self::new(uri)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Error;

    fn try_from(uri: String) -> Result<Self, Error> {
        Self::new(uri)
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = Error;

    fn try_from(uri: &String) -> Result<Self, Error> {
        Self::new(uri)
    }
}

/// Without the arguments of the URI and without the password.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_credentials_nor_arguments() {
        let endpoint = Endpoint::new("icap://av/s?key=hunter1").unwrap();
        let shown = format!("{:?}", endpoint.credentials("joe", "hunter2"));
        assert!(shown.contains("icap://av/s"), "{shown}");
        assert!(
            !shown.contains("hunter") && !shown.contains("joe"),
            "{shown}"
        );
    }
}
