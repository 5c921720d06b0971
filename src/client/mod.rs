//! Exchanges with one service. A request is sent and a response is read; nothing is judged here.

pub(crate) mod body;
pub(crate) mod body_encoder;
pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod circuit_breaker;
pub(crate) mod credentials;
pub(crate) mod defaults;
pub(crate) mod digest;
pub(crate) mod endpoint;
mod exchange;
pub(crate) mod monitor;
mod monitored;
mod negotiation;
mod once_reader;
pub(crate) mod options_cache;
pub(crate) mod outcome;
pub(crate) mod output;
mod partial_content;
pub(crate) mod proof;
pub(crate) mod reading;
mod regular;
mod send;
pub(crate) mod send_buffer;
pub(crate) mod server_state;
pub(crate) mod tee;
mod writing;

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use body::Body;
use builder::ClientBuilder;
use call::Call;
use circuit_breaker::{Admission, CircuitBreaker, Rejection};
use credentials::Credentials;
use endpoint::Endpoint;
use options_cache::OptionsCache;
use outcome::{CompleteResponse, protocol_error};
use output::Output;
use proof::Proofs;
use server_state::ServerState;

use crate::error::{Asked, Error, Phase, StatusError, SuspendedError, TimeLimit, Violation};
use crate::net::deadline::{Deadline, RanOut, Timeouts};
use crate::net::pool::Pool;
use crate::proto::options::ServiceOptions;
use crate::proto::request::{Recipient, Request};
use crate::proto::response::Response;
use crate::proto::uri::ServiceUri;
use crate::seam::sync::{AtomicBool, Ordering};
use crate::seam::time::Time;
use crate::stats::EndpointStats;
use crate::stats::counters::{ServiceCounters, count};

/// A client of one ICAP service, for the protocol as RFC 3507 has it.
///
/// It returns the response and does not judge it; a [`Scanner`](crate::Scanner) makes a verdict of a response.
/// A client is cheap to clone, and clones share their connections.
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
    timeouts: Timeouts,
    deadline: Option<Duration>,
    headers: Vec<(String, Vec<u8>)>,
    credentials: Option<Credentials>,
    response_limit: u64,
    /// The service, as each request names it.
    recipient: Recipient,
    clock: Time,
    pool: Arc<Pool>,
    options: OptionsCache,
    breaker: CircuitBreaker,
    proofs: Proofs,
    /// The last state tag that was seen is that of a server without an engine.
    lacks_engine: AtomicBool,
    state: ServerState,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("uri", &self.pool.target().uri)
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
    /// [`Error::Input`] in the same cases as [`ClientBuilder::build`].
    pub fn new(endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> Result<Self, Error> {
        Self::builder(endpoint).build()
    }

    /// Settings for a client.
    ///
    /// `endpoint` is anything that becomes an [`Endpoint`]: `&str`, `String`, `&String`, a [`ServiceUri`] or
    /// an `Endpoint`. [`build`](ClientBuilder::build) returns the error if it is not an ICAP URI.
    pub fn builder(endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> ClientBuilder {
        ClientBuilder::new(endpoint)
    }

    /// Asks the service what it offers (RFC 3507 §4.10).
    ///
    /// # Errors
    ///
    /// [`Error::Status`] if the status of the response is not 200. Otherwise as [`send`](Self::send).
    pub fn options(&self) -> Result<ServiceOptions, Error> {
        Call::new(self, self.start(None), None).fetch_options()
    }

    /// Sends a request and reads the response.
    ///
    /// The body of the response is written to `output` while it arrives, also while the request is still being
    /// sent. If a 206 refers to the rest of the original, that part of `body` is written after it, so that `output`
    /// has the whole. The page of a 407 is not written.
    ///
    /// # Errors
    ///
    /// Every [`Error`] except [`Suspended`](Error::Suspended) and [`Cancelled`](Error::Cancelled). A complete and valid
    /// response is returned, whatever its status, with one exception: a 503 that arrives before the first byte of the
    /// request is written is an [`Error::Status`].
    /// [`Error::Content`] also if a 206 refers to a `body` that can be read only once. What was written to `output`
    /// before an error is incomplete: do not use it.
    pub fn send<'b>(
        &self,
        request: &Request,
        body: impl Into<Body<'b>>,
        mut output: impl Write,
    ) -> Result<Response, Error> {
        let mut body = body.into();
        let mut output = Output::of_send(&mut output, self.shared.response_limit);
        let mut call = Call::new(self, self.start(None), None);
        let exchanged = call.exchange(request, &mut body, &mut output);
        let mut complete = exchanged.map_err(|failure| failure.error)?;
        if let Some(violation) = unexpected(&complete, request) {
            let seen = complete.trailing.unwrap_or_default();
            return Err(protocol_error(self.name(), violation, seen));
        }
        complete.release();
        self.append_original(&complete, &call.deadline, &mut body, &mut output)?;
        Ok(complete.response)
    }

    /// The service.
    #[must_use]
    pub fn uri(&self) -> &ServiceUri {
        &self.shared.pool.target().uri
    }

    /// The service as errors name it.
    pub(crate) fn name(&self) -> &str {
        &self.counters().service
    }

    /// The same, to be kept.
    pub(crate) fn service(&self) -> &Arc<str> {
        &self.counters().service
    }

    fn counters(&self) -> &ServiceCounters {
        &self.shared.pool.target().counters
    }

    /// The numbers of this server, except for its place among others.
    pub(crate) fn stats(&self) -> EndpointStats {
        EndpointStats {
            connections_idle: self.shared.pool.idle() as u64,
            waiting_callers: self.shared.pool.waiting() as u64,
            is_suspended: self.breaker().rejection().is_some(),
            is_blind: self.proofs().is_blind(),
            eicar_age: self.eicar_age(),
            state_tag_age: self.state().tag_age(self.now()),
            ..self.counters().snapshot()
        }
    }

    /// The time now, by which suspensions, options and idle connections expire.
    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Counts a report of this server.
    pub(crate) fn has_reported(&self) {
        count(&self.counters().reports);
    }

    /// Counts that a scan goes on to this server after another one.
    pub(crate) fn is_asked_after_another(&self) {
        count(&self.counters().failovers);
    }

    /// A scan goes on with a copy of its content, after this server broke the connection.
    pub(crate) fn is_asked_again(&self) {
        count(&self.counters().retries);
    }

    /// Begins the time that an exchange has; `own` is a deadline that replaces the client's.
    pub(crate) fn start(&self, own: Option<Duration>) -> Deadline {
        self.start_at(self.now_for_waits(), own)
    }

    /// The same where it is known that it is `now`, by the clock for waits.
    pub(crate) fn start_at(&self, now: Instant, own: Option<Duration>) -> Deadline {
        Deadline::start_at(&self.shared.clock, now, own.or(self.shared.deadline))
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        self.shared.timeouts.read
    }

    /// Whether the server has proven that it scans.
    pub(crate) fn proofs(&self) -> &Proofs {
        &self.shared.proofs
    }

    fn eicar_age(&self) -> Option<Duration> {
        let found = self.proofs().last_found()?;
        Some(self.now().saturating_duration_since(found))
    }

    /// Counts a canary.
    pub(crate) fn sends_canary(&self) {
        count(&self.counters().canaries);
    }

    /// Admits a scan, if the circuit breaker does. The clock is asked only if the circuit is open.
    pub(crate) fn admit(&self) -> Result<Admission<'_>, Rejection> {
        let breaker = self.breaker();
        let admitted = breaker.admit_if_closed();
        admitted.map_or_else(|| breaker.admit(self.now()), Ok)
    }

    pub(crate) fn breaker(&self) -> &CircuitBreaker {
        &self.shared.breaker
    }

    /// Whether the server has no engine, by the state tag of `response`. If that has no tag, the tag of the options
    /// and the tag seen last decide.
    pub(crate) fn lacks_engine(
        &self,
        response: &Response,
        options: Option<&ServiceOptions>,
    ) -> bool {
        response.lacks_engine().unwrap_or_else(|| {
            self.is_without_engine() || options.is_some_and(ServiceOptions::lacks_engine)
        })
    }

    /// The time now, by which timeouts and deadlines are measured.
    pub(crate) fn now_for_waits(&self) -> Instant {
        self.shared.clock.now_for_waits()
    }

    /// What the responses of the server say about its state.
    pub(crate) fn state(&self) -> &ServerState {
        &self.shared.state
    }

    /// Whether the last state tag that was seen, of whatever response, is that of a server without an engine.
    pub(crate) fn is_without_engine(&self) -> bool {
        self.shared.lacks_engine.load(Ordering::Relaxed)
    }

    /// Everything but the content by which the server decides: what goes to which service for this request. The
    /// credentials are part of it, whether the service has asked for them or not. So it is a secret.
    pub(crate) fn identify(&self, request: &Request) -> [Vec<u8>; 4] {
        let uri = self.uri();
        let mut head = Vec::new();
        let headers = &[&*self.shared.headers];
        request.encode_to(&mut head, &self.shared.recipient, true, headers);
        let credentials = self.shared.credentials.as_ref();
        let credentials = credentials.map_or(Vec::new(), Credentials::secret);
        let (host, port) = uri.address();
        let address = format!("{host} {port}").into_bytes();
        [uri.to_string().into_bytes(), address, credentials, head]
    }

    /// Remembers what the state tag of a response says about the engine; `None` without a tag.
    fn note_engine(&self, lacks_engine: Option<bool>) {
        if let Some(lacks_engine) = lacks_engine {
            self.shared
                .lacks_engine
                .store(lacks_engine, Ordering::Relaxed);
        }
    }

    /// Time ran out, and the server did not take it; or the scan was cancelled.
    fn timed_out(&self, phase: Phase, deadline: &Deadline) -> Error {
        if let Err(cancelled) = deadline.check_cancelled(self.name(), phase) {
            return cancelled.into();
        }
        let timeouts = &self.shared.timeouts;
        let (limit, after) = match phase {
            Phase::Checkout => (TimeLimit::WaitTimeout, timeouts.wait()),
            _ => (TimeLimit::ReadTimeout, timeouts.read),
        };
        let ran_out = deadline.ran_out().unwrap_or(RanOut { limit, after });
        ran_out.error(self.name(), phase).into()
    }

    pub(crate) fn suspended(&self, rejection: Rejection) -> Error {
        let now = self.shared.clock.now();
        SuspendedError {
            service: self.name().to_owned(),
            failing_for: now.saturating_duration_since(rejection.since),
            retry_in: rejection.next_trial.saturating_duration_since(now),
            why: rejection.why.text,
            name: None,
        }
        .into()
    }
}

/// Why a complete response cannot be the one to this request.
fn unexpected(complete: &CompleteResponse, request: &Request) -> Option<Violation> {
    let allowed_204 = request.allows_204() || complete.responds_to_preview;
    match complete.response.status() {
        _ if complete.trailing.is_some() => Some(Violation::TrailingBytes),
        204 if !allowed_204 => Some(Violation::Unexpected204),
        204 if complete.is_early => Some(Violation::EarlyResponse),
        206 if !request.allows_206() => Some(Violation::Unexpected206),
        _ => None,
    }
}

/// The error for a status that is no verdict. `failure` is the service's code for a failure of its own.
pub(crate) fn status_error(service: &str, response: &Response, failure: Option<String>) -> Error {
    let (service, code, reason) = (service.to_owned(), response.status(), response.reason());
    StatusError {
        service,
        code,
        reason,
        failure,
        has_room_later: false,
        asked: Asked::Scan,
        name: None,
    }
    .into()
}
