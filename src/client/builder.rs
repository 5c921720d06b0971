//! The builder of a client, and the settings that it shares with the builder of a scanner.

use std::sync::Arc;
use std::time::Duration;

use super::circuit_breaker::{BreakerRules, CircuitBreaker};
use super::credentials::Credentials;
use super::defaults::{
    DEFAULT_DEADLINE, DEFAULT_FIRST_SUSPENSION, DEFAULT_IDLE_TIMEOUT, DEFAULT_LONGEST_SUSPENSION,
    DEFAULT_MAX_IDLE, DEFAULT_SUSPEND_AFTER, DEFAULT_TIMEOUT,
};
use super::endpoint::Endpoint;
use super::options_cache::OptionsCache;
use super::proof::Proofs;
use super::server_state::ServerState;
use super::{Client, Shared};
use crate::error::{Error, InputError, InvalidInput};
use crate::net::deadline::Timeouts;
use crate::net::pool::{Pool, PoolLimits, Target};
use crate::net::tcp::TcpConnector;
#[cfg(feature = "rustls")]
use crate::net::tls::TlsConnector;
use crate::net::transport::Connect;
use crate::proto::request::{Recipient, check_header};
use crate::proto::uri::ServiceUri;
use crate::seam::sync::AtomicBool;
use crate::seam::time::{Clock, Time};
use crate::stats::counters::ServiceCounters;

/// The setters that both builders have, for a builder with a field `settings: Settings`.
macro_rules! connection_settings {
    () => {
        /// Limits the time for looking up the host and connecting, all addresses together. Default: 10,000 ms
        /// ([`DEFAULT_TIMEOUT`](crate::limits::DEFAULT_TIMEOUT)).
        ///
        /// While other connections to the server exist, a first attempt ends after a quarter of this time, or after
        /// 1 s if that is shorter. Then an idle connection is closed to make room, if there is one, and a second attempt
        /// gets the full time. So connecting can then take up to a quarter longer than this limit.
        pub fn connect_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.connect = timeout;
            self
        }

        /// Limits each wait for bytes of the response after its ICAP head. Each byte starts it again. The wait for the
        /// head has the [response timeout](Self::response_timeout). Default: 10,000 ms
        /// ([`DEFAULT_TIMEOUT`](crate::limits::DEFAULT_TIMEOUT)).
        ///
        /// Content and response bodies must move at 1 KiB/s or more, measured over one read timeout. A whole `OPTIONS` exchange must end within one read timeout.
        pub fn read_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.read = timeout;
            self
        }

        /// Limits the time from the last byte sent to the end of the response's ICAP head. Default: the
        /// [read timeout](Self::read_timeout).
        ///
        /// Most services send nothing while their engine works. An interim response (1xx) does not start this
        /// timeout again. After `100 Continue` the client sends the rest of the content, and the last byte of that starts it
        /// again. Set this to more than a scan of the largest file
        /// takes.
        pub fn response_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.response = Some(timeout);
            self
        }

        /// Limits each wait while the request is sent. Each byte, in either direction, starts it again.
        /// Default: 10,000 ms ([`DEFAULT_TIMEOUT`](crate::limits::DEFAULT_TIMEOUT)).
        pub fn write_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.write = timeout;
            self
        }

        /// Limits the wait for a connection to a server that is full: it has as many connections as it may
        /// have, or it sends 503 because it has too many. Default: the
        /// [connect timeout](Self::connect_timeout).
        ///
        /// After this time a scanner asks the next server. The wait is no failure of the full server.
        pub fn wait_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.wait = Some(timeout);
            self
        }

        /// Limits the whole time, from the wait for a connection to the last byte of the response. A preceding
        /// `OPTIONS` request is included. `None` is no limit. Default: 300 s
        /// ([`DEFAULT_DEADLINE`](crate::limits::DEFAULT_DEADLINE)).
        ///
        /// A service that sends slowly, but faster than 1 KiB/s, never reaches a timeout, but it reaches the deadline. The
        /// deadline cannot interrupt the caller's own code, such as a reader or a writer. It is checked when that returns.
        pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
            self.settings.deadline = deadline.into();
            self
        }

        /// Adds a field to every ICAP request to every server, for example a `User-Agent` or a customer's
        /// number.
        ///
        /// `build` checks the field: it returns [`Error::Input`] for the same faults as
        /// [`Request::header`](crate::Request::header).
        pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
            let header = (name.into(), value.as_ref().to_vec());
            self.settings.headers.push(header);
            self
        }

        /// Sets what makes the connections. Default: plain TCP; for an `icaps://` URI TLS with the system's
        /// roots (feature `rustls`).
        pub fn connector(mut self, connector: impl Connect + 'static) -> Self {
            self.settings.connector = Some(Arc::new(connector));
            self
        }

        /// Sets how many idle connections to each server are kept. Default: 32
        /// ([`DEFAULT_MAX_IDLE`](crate::limits::DEFAULT_MAX_IDLE)).
        ///
        /// Use the number of scans that usually run at once, and at most
        /// [`max_connections`](Self::max_connections): servers such as c-icap give each idle connection a
        /// thread.
        ///
        /// With 0 each exchange has a connection of its own. Then no response can be taken for the response
        /// to another request, whatever a server or a proxy does.
        pub fn max_idle(mut self, connections: usize) -> Self {
            self.settings.limits.max_idle = connections;
            self
        }

        /// Sets for how long an idle connection is kept. Default: 60 s
        /// ([`DEFAULT_IDLE_TIMEOUT`](crate::limits::DEFAULT_IDLE_TIMEOUT)).
        pub fn idle_timeout(mut self, timeout: Duration) -> Self {
            self.settings.limits.idle_timeout = timeout;
            self
        }

        /// Limits the connections to each server, idle ones included. `None` is no limit. Default: `None`.
        ///
        /// The server's own `Max-Connections` counts as well, and the smaller number is the limit. Callers
        /// beyond the limit wait in the order they came, within the [wait timeout](Self::wait_timeout) and the
        /// deadline.
        ///
        /// Set it so that all processes together stay below what the server can serve. c-icap serves
        /// `MaxServers` × `ThreadsPerChild` connections at once: 100 as Debian ships it. The kernel accepts
        /// more, and these get no response. With HAProxy before the servers, the sum of the `maxconn` values on
        /// its `server` lines is what they can serve.
        ///
        /// A server can show that it has too many connections. Then it gets a lower limit, also if you set none:
        ///
        /// - The server sends 503 to a request while it serves other requests (RFC 3507 §4.3.3). The limit becomes one
        ///   less than the number of connections that were in use at that time.
        /// - The server sends nothing on a new connection, while other connections have responses. First, idle
        ///   connections to the server are closed one by one to make room. If the scan times out all the same, the limit
        ///   is lowered as after a 503. Such a timeout does not count against the server.
        ///
        /// While exchanges with the server succeed, this lower limit grows by one each second.
        pub fn max_connections(mut self, connections: impl Into<Option<usize>>) -> Self {
            self.settings.limits.max_connections = connections.into();
            self
        }

        /// Sets the clock by which options, cached verdicts, idle connections and suspensions expire, for tests that
        /// must not wait. Default: the system's monotonic clock.
        ///
        /// Timeouts and deadlines use [`Clock::now_for_waits`], which is the system's monotonic clock unless your clock
        /// implements it.
        pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
            self.settings.clock = Time::of(Arc::new(clock));
            self
        }
    };
}
pub(crate) use connection_settings;

/// Configures a [`Client`].
///
/// ```
/// use std::time::Duration;
/// use icap_client::Client;
///
/// # let server = icap_client::testing::Server::start()?;
/// # let uri = server.uri();
/// // The URI is for example "icap://av.example/SERVICE".
/// let client = Client::builder(uri)
///     .read_timeout(Duration::from_secs(30))
///     .max_connections(8)
///     .build()?;
/// assert!(client.options()?.allows_204());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ClientBuilder {
    endpoint: Result<Endpoint, Error>,
    settings: Settings,
}

/// The settings that all servers of a scanner share.
#[derive(Clone)]
pub(crate) struct Settings {
    /// `None` means the default connector for the scheme of the URI.
    pub(crate) connector: Option<Arc<dyn Connect>>,
    pub(crate) timeouts: Timeouts,
    pub(crate) deadline: Option<Duration>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) response_limit: u64,
    pub(crate) limits: PoolLimits,
    pub(crate) breaker: BreakerRules,
    pub(crate) clock: Time,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connector: None,
            timeouts: Timeouts {
                connect: DEFAULT_TIMEOUT,
                read: DEFAULT_TIMEOUT,
                write: DEFAULT_TIMEOUT,
                wait: None,
                response: None,
            },
            deadline: Some(DEFAULT_DEADLINE),
            headers: Vec::new(),
            response_limit: u64::MAX,
            limits: PoolLimits {
                max_idle: DEFAULT_MAX_IDLE,
                max_connections: None,
                idle_timeout: DEFAULT_IDLE_TIMEOUT,
            },
            breaker: BreakerRules {
                after: DEFAULT_SUSPEND_AFTER,
                first: DEFAULT_FIRST_SUSPENSION,
                longest: DEFAULT_LONGEST_SUSPENSION,
            },
            clock: Time::default(),
        }
    }
}

impl Settings {
    /// Checks the values.
    pub(crate) fn check(&self) -> Result<(), InputError> {
        let Timeouts {
            connect,
            read,
            write,
            wait,
            response,
        } = self.timeouts;
        let zero = Some(Duration::ZERO);
        let is_zero = [
            ("connect_timeout", Some(connect) == zero),
            ("read_timeout", Some(read) == zero),
            ("write_timeout", Some(write) == zero),
            ("wait_timeout", wait == zero),
            ("response_timeout", response == zero),
            ("deadline", self.deadline == zero),
            ("suspend_after", self.breaker.after == 0),
            ("max_connections", self.limits.max_connections == Some(0)),
        ];
        if let Some((name, _)) = is_zero.iter().find(|(_, is_zero)| *is_zero) {
            return Err(InputError::new(InvalidInput::Zero, name));
        }
        self.headers
            .iter()
            .try_for_each(|(name, value)| check_header(name, value))
    }

    /// What connections to the service at `uri` need.
    fn target(&self, uri: ServiceUri) -> Result<Target, Error> {
        let connector = match &self.connector {
            Some(connector) => Arc::clone(connector),
            None if uri.is_tls() => tls_connector()?,
            None => Arc::new(TcpConnector),
        };
        let counters = ServiceCounters::new(uri.name());
        Ok(Target {
            uri,
            connector,
            connect_timeout: self.timeouts.connect,
            clock: self.clock.clone(),
            counters: Arc::new(counters),
        })
    }

    /// Makes a client of the service at `endpoint`.
    pub(crate) fn client(&self, endpoint: Endpoint) -> Result<Client, Error> {
        let Endpoint {
            mut uri,
            credentials,
            connect_to,
        } = endpoint;
        if let Some(address) = connect_to {
            uri = uri.with_address(&address)?;
        }
        let credentials = Credentials::of(credentials.as_ref())?;
        let target = self.target(uri)?;
        let shared = Shared {
            timeouts: self.timeouts,
            deadline: self.deadline,
            headers: self.headers.clone(),
            credentials,
            response_limit: self.response_limit,
            recipient: Recipient::new(&target.uri.request_uri(), &target.uri.authority())?,
            clock: self.clock.clone(),
            pool: Pool::new(target, self.limits),
            options: OptionsCache::default(),
            breaker: CircuitBreaker::new(self.breaker),
            proofs: Proofs::new(self.breaker),
            lacks_engine: AtomicBool::new(false),
            state: ServerState::default(),
        };
        Ok(Client {
            shared: Arc::new(shared),
        })
    }
}

#[cfg(feature = "rustls")]
#[allow(
    clippy::unnecessary_wraps,
    reason = "without the feature there is none"
)]
fn tls_connector() -> Result<Arc<dyn Connect>, Error> {
    Ok(Arc::new(TlsConnector::default()))
}

#[cfg(not(feature = "rustls"))]
fn tls_connector() -> Result<Arc<dyn Connect>, Error> {
    let why = "icaps needs the feature `rustls` or a `connector` of your own";
    Err(InputError::new(InvalidInput::Uri, why).into())
}

impl ClientBuilder {
    pub(crate) fn new(endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> Self {
        Self {
            endpoint: endpoint.try_into().map_err(Into::into),
            settings: Settings::default(),
        }
    }

    /// Sets the user and the password for the service, as [`Endpoint::credentials`] does.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.endpoint = self
            .endpoint
            .map(|endpoint| endpoint.credentials(user, password));
        self
    }

    /// Limits the body of a response, in bytes. `None` is no limit. Default: `None`.
    ///
    /// The body goes to the caller's writer and not into memory. A longer one is an [`Error::Protocol`].
    pub fn max_response(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.settings.response_limit = bytes.into().unwrap_or(u64::MAX);
        self
    }

    connection_settings!();

    /// Checks the settings. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if
    ///
    /// - the endpoint is not an ICAP URI, or its [address](Endpoint::connect_to) cannot be used,
    /// - a timeout, the deadline or `max_connections` is zero,
    /// - a header or the credentials cannot be sent,
    /// - the URI is `icaps`, and there is neither the feature `rustls` nor a [connector](Self::connector).
    pub fn build(self) -> Result<Client, Error> {
        self.settings.check()?;
        self.settings.client(self.endpoint?)
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("endpoint", &self.endpoint)
            .field("timeouts", &self.settings.timeouts)
            .field("deadline", &self.settings.deadline)
            .finish_non_exhaustive()
    }
}
