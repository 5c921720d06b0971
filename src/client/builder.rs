//! Settings, and their defaults.

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
use super::{Client, Shared};
use crate::error::{Error, InputError, InvalidInput};
use crate::net::deadline::Timeouts;
use crate::net::pool::{Pool, PoolLimits, Target};
use crate::net::tcp::TcpConnector;
#[cfg(feature = "rustls")]
use crate::net::tls::TlsConnector;
use crate::net::transport::Connect;
use crate::proto::request::check_header;
use crate::seam::sync::AtomicBool;
use crate::seam::time::{Clock, SystemClock};
use crate::stats::counters::{Counters, ServiceCounters};

/// The settings that a builder with a field `settings: Settings` hands on.
macro_rules! connection_settings {
    () => {
        /// Bounds resolving and connecting, all addresses together. Default: 10,000 ms. Beside other
        /// connections, an early attempt that ends after a quarter of that, and a second at most, comes first:
        /// then an idle connection makes room.
        pub fn connect_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.connect = timeout;
            self
        }

        /// Bounds each wait for bytes of the response; every byte begins it anew. Default: 10,000 ms.
        ///
        /// While it passes, at least 1 KiB/s must move, of the content or of a response's body. An
        /// `OPTIONS` exchange as a whole takes no longer.
        pub fn read_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.read = timeout;
            self
        }

        /// Bounds the time from the last byte sent to the end of the response's ICAP head. Default: the
        /// [read timeout](Self::read_timeout).
        ///
        /// A service says nothing while its engine works, so this must be longer than a scan of the
        /// largest file takes there.
        pub fn response_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.response = Some(timeout);
            self
        }

        /// Bounds each wait while the request is sent; every byte, in either direction, begins it
        /// anew. Default: 10,000 ms.
        pub fn write_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.write = timeout;
            self
        }

        /// Bounds waiting in line for a connection to a server that has as many as it may have, or
        /// that sends 503 because it has too many. Default: the connect timeout.
        ///
        /// A scan then goes on to the next server. It is no failure of this one.
        pub fn wait_timeout(mut self, timeout: Duration) -> Self {
            self.settings.timeouts.wait = Some(timeout);
            self
        }

        /// Bounds the whole, from waiting for a connection to the last byte of the response, `OPTIONS`
        /// included where it is asked first; `None` is no bound. Default: 300 s.
        ///
        /// A service that sends a byte now and then never reaches a timeout, but it reaches this. It
        /// cannot interrupt the caller's own reader or writer; it is noticed when that returns.
        pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
            self.settings.deadline = deadline.into();
            self
        }

        /// Adds a field to every ICAP request to every server, for example a `User-Agent` or a
        /// customer's number.
        pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
            let header = (name.into(), value.as_ref().to_vec());
            self.settings.headers.push(header);
            self
        }

        /// Makes connections in another way than plain TCP, or than TLS with the system's roots for
        /// an `icaps://` URI.
        pub fn connector(mut self, connector: impl Connect + 'static) -> Self {
            self.settings.connector = Some(Arc::new(connector));
            self
        }

        /// Idle connections to keep for each server. Default: 32. Servers such as c-icap give an idle
        /// connection a thread too, so this should be at most [`max_connections`](Self::max_connections), and
        /// as many as usually scan at once. With 0, each exchange has a
        /// connection of its own: no response can then be taken for another's, whatever a server or
        /// what is between does.
        pub fn max_idle(mut self, connections: usize) -> Self {
            self.settings.limits.max_idle = connections;
            self
        }

        /// How long an idle connection is worth trying. Default: 60 s.
        pub fn idle_timeout(mut self, timeout: Duration) -> Self {
            self.settings.limits.idle_timeout = timeout;
            self
        }

        /// Connections to each server at once, idle ones included; `None` is no limit of this side's.
        /// Default: `None`. The server's own `Max-Connections` counts as well, and the smaller one
        /// wins.
        ///
        /// A caller beyond it waits in line, first come, first served, for the
        /// [wait timeout](Self::wait_timeout) and within the deadline.
        ///
        /// c-icap serves `MaxServers` x `ThreadsPerChild` connections at once, 100 as Debian ships it, and
        /// the kernel accepts more, on which nobody answers. So the limits of all processes that scan
        /// should add up to less than that, or, behind HAProxy, to less than its `maxconn` times its
        /// servers. While a scan waits for long on a connection that has never answered, idle connections
        /// to that server are closed, one after the other. If it times out while others were answered,
        /// that does not count against the server, and its limit is lowered as after 503.
        ///
        /// A server that sends 503 while it serves others has fewer places than that (RFC 3507 §4.3.3). Its
        /// limit is then one less than what ran, and grows again by one for each second of success.
        pub fn max_connections(mut self, connections: impl Into<Option<usize>>) -> Self {
            self.settings.limits.max_connections = connections.into();
            self
        }

        /// Takes the time by which options, idle connections and suspensions expire from another
        /// clock: for tests, so that they need not wait. Timeouts and deadlines go by the system's.
        pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
            self.settings.clock = Arc::new(clock);
            self
        }
    };
}
pub(crate) use connection_settings;

/// Settings of a [`Client`].
#[must_use]
pub struct ClientBuilder {
    endpoint: Result<Endpoint, Error>,
    settings: Settings,
}

/// What the clients of one scanner have in common.
#[derive(Clone)]
pub(crate) struct Settings {
    /// `None` is the one that the scheme of the URI asks for.
    pub(crate) connector: Option<Arc<dyn Connect>>,
    pub(crate) timeouts: Timeouts,
    pub(crate) deadline: Option<Duration>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) response_limit: u64,
    pub(crate) limits: PoolLimits,
    pub(crate) breaker: BreakerRules,
    pub(crate) clock: Arc<dyn Clock>,
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
            clock: Arc::new(SystemClock),
        }
    }
}

impl Settings {
    /// Checks what was set.
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

    /// A client of the service at `endpoint` that counts with `counters`.
    pub(crate) fn client(
        &self,
        endpoint: Endpoint,
        counters: Arc<Counters>,
    ) -> Result<Client, Error> {
        let Endpoint { uri, credentials } = endpoint;
        let credentials = Credentials::of(credentials.as_ref())?;
        let connector = match &self.connector {
            Some(connector) => Arc::clone(connector),
            None if uri.is_tls() => tls_connector()?,
            None => Arc::new(TcpConnector),
        };
        let counters = ServiceCounters {
            service: uri.name(),
            scanner: counters,
        };
        let target = Target {
            uri,
            connector,
            connect_timeout: self.timeouts.connect,
            clock: Arc::clone(&self.clock),
            counters: Arc::new(counters),
        };
        let shared = Shared {
            timeouts: self.timeouts,
            deadline: self.deadline,
            headers: self.headers.clone(),
            credentials,
            response_limit: self.response_limit,
            clock: Arc::clone(&self.clock),
            pool: Pool::new(target, self.limits),
            options: OptionsCache::default(),
            breaker: CircuitBreaker::new(self.breaker),
            lacks_engine: AtomicBool::new(false),
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
    let why = "icaps needs the feature rustls or a connector of your own";
    Err(InputError::new(InvalidInput::Uri, why).into())
}

impl ClientBuilder {
    pub(crate) fn new(endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> Self {
        Self {
            endpoint: endpoint.try_into().map_err(Into::into),
            settings: Settings::default(),
        }
    }

    /// A user and password for a service that asks for them with `407` and `Basic` (RFC 3507 §7.1).
    ///
    /// They go out only after it has asked. Over `icap` whoever is on the way can read them.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.endpoint = self
            .endpoint
            .map(|endpoint| endpoint.credentials(user, password));
        self
    }

    /// Bytes that the body of a response may have; `None` is no limit. Default: `None`, because a body
    /// goes to the caller's writer and not into memory.
    pub fn max_response(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.settings.response_limit = bytes.into().unwrap_or(u64::MAX);
        self
    }

    connection_settings!();

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for what is no ICAP URI, a timeout or deadline of zero, or a header or
    /// credentials that cannot be sent.
    pub fn build(self) -> Result<Client, Error> {
        self.settings.check()?;
        self.settings.client(self.endpoint?, Arc::default())
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
