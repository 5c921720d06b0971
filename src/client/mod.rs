//! Exchanges with one service: a request goes out, an answer comes back, and nothing is judged here.

pub(crate) mod body;
pub(crate) mod exchange;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use body::Body;
use exchange::{Answer, Exchange, Failure, Progress, protocol_error};

use crate::error::{ConnectError, Error, InputError, InvalidInput, Phase, StatusError, Violation};
use crate::net::connection::{CloseReason, Connection};
use crate::net::deadline::{Deadline, Timeouts};
use crate::net::stream::Connect;
use crate::net::tcp::TcpConnector;
use crate::net::uri::ServiceUri;
use crate::proto::limits::MAX_OPTIONS_BODY;
use crate::proto::options::ServiceOptions;
use crate::proto::request::{Request, check_header};
use crate::proto::response::{Remains, Response, ResponseReader};

/// The default of `connect_timeout`, `read_timeout` and `write_timeout`.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_millis(10_000);

/// The default of `deadline`.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(300);

/// A client of one ICAP service, for the protocol as RFC 3507 has it.
///
/// It gives back what the service answered, whatever that means; a [`Scanner`](crate::Scanner) makes
/// a verdict of it. Each exchange has a connection of its own.
///
/// ```no_run
/// use icap_client::{Body, Client, Request};
///
/// let client = Client::new("icap://127.0.0.1:1344/echo")?;
/// println!("{:?}", client.options()?.methods());
///
/// let request = Request::respmod().http_response(b"HTTP/1.1 200 OK\r\n\r\n")?;
/// let mut body = Vec::new();
/// let response = client.send(&request, Body::from(&b"hello"[..]), &mut body)?;
/// println!("{} {}", response.status(), response.reason());
/// # Ok::<(), icap_client::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    uri: ServiceUri,
    /// As errors name it.
    name: String,
    connector: Box<dyn Connect>,
    timeouts: Timeouts,
    deadline: Option<Duration>,
    headers: Vec<(String, Vec<u8>)>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("uri", &self.uri)
            .field("timeouts", &self.timeouts)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client with the default settings.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if `uri` is not an ICAP URI.
    pub fn new(uri: &str) -> Result<Self, Error> {
        Self::builder(uri).build()
    }

    /// A client to be configured.
    pub fn builder(uri: &str) -> ClientBuilder {
        ClientBuilder {
            uri: uri.parse(),
            connector: Box::new(TcpConnector),
            timeouts: Timeouts {
                connect: DEFAULT_TIMEOUT,
                read: DEFAULT_TIMEOUT,
                write: DEFAULT_TIMEOUT,
            },
            deadline: Some(DEFAULT_DEADLINE),
            headers: Vec::new(),
        }
    }

    /// Asks what the service offers (RFC 3507 §4.10).
    ///
    /// # Errors
    ///
    /// [`Error::Status`] if the answer is not 200, and everything an exchange can fail with.
    pub fn options(&self) -> Result<ServiceOptions, Error> {
        self.options_within(self.start())
    }

    /// Sends a request and reads the answer, whose body goes to `output` while it arrives.
    ///
    /// # Errors
    ///
    /// Any [`Error`] but [`Status`](Error::Status): every complete and valid answer is returned,
    /// whatever its status.
    pub fn send<'b>(
        &self,
        request: &Request,
        body: impl Into<Body<'b>>,
        output: &mut impl Write,
    ) -> Result<Response, Error> {
        let answer = self
            .exchange(request, body.into(), output, self.start(), u64::MAX)
            .map_err(|failure| failure.error)?;
        let violation = match (answer.response.status(), &answer.trailing) {
            (_, Some(_)) => Violation::TrailingBytes,
            (204, None) if !request.allows_204() => Violation::Unexpected204,
            (206, None) => Violation::Unexpected206,
            _ => return Ok(answer.response),
        };
        let seen = answer.trailing.unwrap_or_default();
        Err(protocol_error(self.name(), violation, seen))
    }

    /// The service.
    #[must_use]
    pub fn uri(&self) -> &ServiceUri {
        &self.shared.uri
    }

    /// The service as errors name it.
    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Begins the time an exchange has.
    pub(crate) fn start(&self) -> Deadline {
        Deadline::start(self.shared.deadline)
    }

    pub(crate) fn options_within(&self, deadline: Deadline) -> Result<ServiceOptions, Error> {
        let answer = self
            .exchange(
                &Request::options(),
                Body::none(),
                &mut io::sink(),
                deadline,
                MAX_OPTIONS_BODY,
            )
            .map_err(|failure| failure.error)?;
        match (answer.response.status(), answer.trailing) {
            (_, Some(seen)) => Err(protocol_error(self.name(), Violation::TrailingBytes, seen)),
            (200, None) => Ok(ServiceOptions::from_response(&answer.response)),
            _ => Err(status_error(self.name(), &answer.response)),
        }
    }

    /// One exchange on a connection of its own.
    pub(crate) fn exchange(
        &self,
        request: &Request,
        body: Body<'_>,
        output: &mut dyn Write,
        deadline: Deadline,
        answer_limit: u64,
    ) -> Result<Answer, Box<Failure>> {
        let failed = |error| {
            Box::new(Failure {
                error,
                remains: Remains::default(),
                content_sent: 0,
            })
        };
        let head = self.encode(request, body.is_some()).map_err(failed)?;
        let mut connection = self.connect(&deadline).map_err(failed)?;
        let exchange = Exchange {
            connection: &mut connection,
            reader: ResponseReader::new(request.method(), answer_limit),
            output,
            timeouts: self.shared.timeouts,
            deadline,
            service: self.name(),
            progress: Progress::start(),
        };
        let result = exchange.run(head, body);
        let close_reason = match &result {
            Ok(answer) => answer.close_reason.unwrap_or(CloseReason::NotKept),
            Err(_) => CloseReason::Failed,
        };
        log::debug!(
            "{}: closed a connection: {}",
            self.name(),
            close_reason.explain()
        );
        result
    }

    fn encode(&self, request: &Request, has_body: bool) -> Result<Vec<u8>, Error> {
        let uri = &self.shared.uri;
        let request = request.clone().add_headers(&self.shared.headers);
        Ok(request.encode(&uri.request_uri(), &uri.authority(), has_body)?)
    }

    fn connect(&self, deadline: &Deadline) -> Result<Connection, Error> {
        let Shared {
            uri,
            connector,
            timeouts,
            ..
        } = &*self.shared;
        let timed_out = || deadline.timeout_error(self.name(), Phase::Connect, timeouts);
        let timeout = deadline.cap(timeouts.connect).ok_or_else(timed_out)?;
        match connector.connect(uri, timeout) {
            Ok(stream) => Ok(Connection::new(stream)),
            Err(source) if source.kind() == io::ErrorKind::TimedOut => {
                let mut error = timed_out();
                error.source = Some(source);
                Err(error.into())
            }
            Err(source) => Err(ConnectError {
                service: self.name().to_owned(),
                source,
            }
            .into()),
        }
    }
}

pub(crate) fn status_error(service: &str, response: &Response) -> Error {
    let (service, code, reason) = (service.to_owned(), response.status(), response.reason());
    StatusError {
        service,
        code,
        reason,
    }
    .into()
}

/// Settings of a [`Client`].
#[must_use]
pub struct ClientBuilder {
    uri: Result<ServiceUri, Error>,
    connector: Box<dyn Connect>,
    timeouts: Timeouts,
    deadline: Option<Duration>,
    headers: Vec<(String, Vec<u8>)>,
}

impl ClientBuilder {
    /// Bounds resolving and connecting, all addresses together. Default: 10,000 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// Bounds each wait for bytes of the answer; every byte begins it anew. Default: 10,000 ms.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.read = timeout;
        self
    }

    /// Bounds each wait while the request is sent; every byte, in either direction, begins it anew.
    /// Default: 10,000 ms.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.write = timeout;
        self
    }

    /// Bounds the whole exchange, from the look-up of the name to the last byte of the answer;
    /// `None` is no bound. It cannot interrupt the caller's own reader or writer. Default: 300 s.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.deadline = deadline.into();
        self
    }

    /// Adds a field to every ICAP request, for example a `User-Agent` or a customer's key.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Makes connections in another way than plain TCP.
    pub fn connector(mut self, connector: impl Connect + 'static) -> Self {
        self.connector = Box::new(connector);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for what is no ICAP URI, a timeout or deadline of zero, or a header that
    /// cannot be sent.
    pub fn build(self) -> Result<Client, Error> {
        let Timeouts {
            connect,
            read,
            write,
        } = self.timeouts;
        let times = [
            ("connect_timeout", Some(connect)),
            ("read_timeout", Some(read)),
            ("write_timeout", Some(write)),
            ("deadline", self.deadline),
        ];
        for (name, time) in times {
            if time == Some(Duration::ZERO) {
                return Err(InputError::new(InvalidInput::ZeroTimeout, name).into());
            }
        }
        for (name, value) in &self.headers {
            check_header(name, value)?;
        }
        let uri = self.uri?;
        let shared = Shared {
            name: uri.to_string(),
            uri,
            connector: self.connector,
            timeouts: self.timeouts,
            deadline: self.deadline,
            headers: self.headers,
        };
        Ok(Client {
            shared: Arc::new(shared),
        })
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("uri", &self.uri)
            .field("timeouts", &self.timeouts)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
