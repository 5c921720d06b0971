//! Exchanges with one service: a request goes out, a response comes back, and nothing is judged here.

pub(crate) mod body;
pub(crate) mod builder;
pub(crate) mod call;
pub(crate) mod circuit_breaker;
pub(crate) mod credentials;
pub(crate) mod defaults;
pub(crate) mod endpoint;
pub(crate) mod exchange;
pub(crate) mod once_reader;
pub(crate) mod options_cache;
pub(crate) mod outcome;
mod output;
mod progress;
pub(crate) mod reading;
pub(crate) mod reply;
mod trailing;
mod waiting;

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use body::{Body, Outgoing};
use builder::ClientBuilder;
use call::Call;
use circuit_breaker::{CircuitBreaker, Rejection};
use credentials::Credentials;
use endpoint::Endpoint;
use exchange::{Exchange, PassOn};
use options_cache::{Known, OptionsCache};
use outcome::{Answer, AttemptError, Failure, protocol_error};
use progress::Progress;
use reply::{Lease, Reply};
use waiting::Waiting;

use crate::error::{
    Asked, ContentError, Error, Phase, StatusError, SuspendedError, TimeLimit, Violation,
};
use crate::net::checkout::Place;
use crate::net::deadline::{Deadline, RanOut, Timeouts};
use crate::net::pool::Pool;
use crate::proto::limits::MAX_OPTIONS_BODY;
use crate::proto::method::Method;
use crate::proto::options::ServiceOptions;
use crate::proto::request::Request;
use crate::proto::response::Response;
use crate::proto::response_reader::{Fragments, ResponseReader};
use crate::proto::uri::ServiceUri;
use crate::seam::sync::{AtomicBool, Ordering};
use crate::seam::time::Clock;
use crate::stats::counters::{Counters, count};

/// A client of one ICAP service, for the protocol as RFC 3507 has it.
///
/// It gives back what the service answered, whatever that means; a [`Scanner`](crate::Scanner) makes
/// a verdict of it. It is cheap to clone, and clones share their connections.
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
    clock: Arc<dyn Clock>,
    pool: Arc<Pool>,
    options: OptionsCache,
    breaker: CircuitBreaker,
    /// The last state tag that was seen says that the server has no engine.
    lacks_engine: AtomicBool,
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

/// What is to be sent, and where the response's body is to go.
pub(crate) struct Delivery<'d> {
    pub(crate) request: &'d Request,
    pub(crate) content: &'d mut dyn Outgoing,
    pub(crate) output: &'d mut dyn Write,
    pub(crate) pass_on: PassOn,
    /// Bytes the response's body may have.
    pub(crate) response_limit: u64,
    pub(crate) call: &'d Call<'d>,
    /// Whether what came of a response must not be thrown away for another attempt (rule R2).
    pub(crate) must_keep: fn(Option<&Response>, &Fragments) -> bool,
}

impl Client {
    /// A client with the default settings.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if `endpoint` is not an ICAP URI.
    pub fn new(endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> Result<Self, Error> {
        Self::builder(endpoint).build()
    }

    /// A client to be configured.
    ///
    /// `endpoint` is anything that becomes an [`Endpoint`]: `&str`, `String`, `&String`, a [`ServiceUri`] or
    /// an `Endpoint`. [`build`](ClientBuilder::build) returns the error if it is not an ICAP URI.
    pub fn builder(endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> ClientBuilder {
        ClientBuilder::new(endpoint)
    }

    /// Asks what the service offers (RFC 3507 §4.10).
    ///
    /// # Errors
    ///
    /// [`Error::Status`] if the response is not 200, and everything an exchange can fail with.
    pub fn options(&self) -> Result<ServiceOptions, Error> {
        self.fetch_options(&Call::new(self, self.start(None), None))
    }

    /// Sends a request and reads the response, whose body goes to `output` while it arrives, even while
    /// the request is still being sent. If a 206 says that the original goes on after it, that part of
    /// `body` is put there too, so that `output` holds the whole. The page of a 407 is not.
    ///
    /// # Errors
    ///
    /// Any [`Error`] but [`Status`](Error::Status): every complete and valid response is returned,
    /// whatever its status; only a 503 that came before anything was asked is one. [`Error::Content`] also if a 206 refers to a `body` that cannot be read
    /// again. What was written to `output` before an error is a part of something, and worth nothing.
    pub fn send<'b>(
        &self,
        request: &Request,
        body: impl Into<Body<'b>>,
        mut output: impl Write,
    ) -> Result<Response, Error> {
        let mut body = body.into();
        let call = Call::new(self, self.start(None), None);
        let mut delivery = Delivery {
            request,
            content: &mut body,
            output: &mut output,
            pass_on: PassOn::Everything,
            response_limit: self.shared.response_limit,
            call: &call,
            must_keep: |_, _| false,
        };
        let reply = self
            .exchange(&mut delivery)
            .map_err(|failure| failure.error)?;
        if let Some(violation) = unexpected(&reply.answer, request) {
            let seen = reply.answer.trailing.unwrap_or_default();
            return Err(protocol_error(self.name(), violation, seen));
        }
        let answer = reply.settle();
        self.complete(&answer, &call.deadline, &mut body, &mut output)?;
        Ok(answer.response)
    }

    /// Puts the part of the original that a 206 refers to after what came.
    pub(crate) fn complete(
        &self,
        answer: &Answer,
        deadline: &Deadline,
        content: &mut dyn Outgoing,
        output: &mut dyn Write,
    ) -> Result<(), Error> {
        let sent = answer.content_sent;
        let Some(offset) = answer.response.use_original_body() else {
            return Ok(());
        };
        if !content.can_begin_again() {
            let why = "a 206 refers to the original, which can be read only once";
            let source = io::Error::other(why);
            return Err(ContentError::Read {
                after: sent,
                source,
            }
            .into());
        }
        let original = content.begin()?;
        if offset > original.declared_len().unwrap_or(sent) {
            let violation = Violation::BadUseOriginalBody;
            return Err(protocol_error(self.name(), violation, String::new()));
        }
        original.copy_from(offset, output, || match deadline.left() {
            Some(_) => Ok(()),
            None => Err(self.timed_out(Phase::Read, deadline)),
        })
    }

    /// The service.
    #[must_use]
    pub fn uri(&self) -> &ServiceUri {
        &self.shared.pool.target().uri
    }

    /// The service as errors name it.
    pub(crate) fn name(&self) -> &str {
        &self.shared.pool.target().counters.service
    }

    fn counters(&self) -> &Counters {
        &self.shared.pool.target().counters.scanner
    }

    /// The time now, by which suspensions, options and idle connections expire.
    pub(crate) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Counts that a scan goes on to this server after another.
    pub(crate) fn is_asked_after_another(&self) {
        count(&self.counters().failovers);
    }

    /// Begins the time that an exchange has; `own` is a deadline that replaces the client's.
    pub(crate) fn start(&self, own: Option<Duration>) -> Deadline {
        Deadline::start(&self.shared.clock, own.or(self.shared.deadline))
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        self.shared.timeouts.read
    }

    /// Connections that are idle now.
    pub(crate) fn idle_connections(&self) -> usize {
        self.shared.pool.idle()
    }

    /// What the service offers, from the cache while that holds.
    pub(crate) fn negotiated(&self, call: &Call<'_>) -> Result<Known, AttemptError> {
        let fetch = || {
            let options = self.fetch_options(call)?;
            for warning in options.warnings() {
                log::warn!("{}: odd OPTIONS response: {warning}", self.name());
            }
            Ok(options)
        };
        let now = self.shared.clock.now();
        let left = || call.deadline.left();
        match self.shared.options.get(now, call.is_trial(), left, fetch) {
            Some(known) => known,
            None => Err(AttemptError {
                error: self.timed_out(Phase::Read, &call.deadline),
                is_shared: true,
                is_of_options: true,
            }),
        }
    }

    pub(crate) fn breaker(&self) -> &CircuitBreaker {
        &self.shared.breaker
    }

    /// A response showed this tag; see [`OptionsCache::saw_istag`].
    pub(crate) fn saw_istag(&self, istag: &str, known: &Known) {
        let now = self.shared.clock.now();
        self.shared.options.saw_istag(istag, known, now);
    }

    /// Whether the server has no engine, going by the state tag of `response`; where it has none, by the
    /// tag of the options and by the one seen last.
    pub(crate) fn lacks_engine(
        &self,
        response: &Response,
        options: Option<&ServiceOptions>,
    ) -> bool {
        response.lacks_engine().unwrap_or_else(|| {
            let last = self.shared.lacks_engine.load(Ordering::Relaxed);
            last || options.is_some_and(ServiceOptions::lacks_engine)
        })
    }

    /// Remembers what state tags say about the engine, if there are any.
    fn note_engine(&self, lacks_engine: Option<bool>) {
        if let Some(lacks_engine) = lacks_engine {
            self.shared
                .lacks_engine
                .store(lacks_engine, Ordering::Relaxed);
        }
    }

    fn fetch_options(&self, call: &Call<'_>) -> Result<ServiceOptions, Error> {
        let mut delivery = Delivery {
            request: &Request::options(),
            content: &mut Body::none(),
            output: &mut io::sink(),
            pass_on: PassOn::Nothing,
            response_limit: MAX_OPTIONS_BODY,
            call,
            must_keep: |_, _| false,
        };
        let reply = self
            .exchange(&mut delivery)
            .map_err(|failure| failure.error.of_options())?;
        let Answer {
            response, trailing, ..
        } = &reply.answer;
        if let Some(seen) = trailing {
            let error = protocol_error(self.name(), Violation::TrailingBytes, seen.clone());
            return Err(error.of_options());
        }
        if response.status() != 200 {
            // The connection is closed: a 204, for example, is another request's response.
            let error = status_error(self.name(), response, None).of_options();
            return Err(reply.reject(error));
        }
        let options = ServiceOptions::from_response(response);
        reply.settle();
        call.is_served();
        self.shared
            .pool
            .set_service_limit(options.max_connections());
        Ok(options)
    }

    /// One exchange; a second one with the credentials, if the first was refused for want of them and
    /// there are any (RFC 3507 §7.1). From then on they are sent unasked, so that content which can be
    /// read only once does not meet another refusal.
    pub(crate) fn exchange(&self, delivery: &mut Delivery<'_>) -> Result<Reply, Box<Failure>> {
        let knows = self.credentials_wanted();
        let reply = self.exchange_once(delivery)?;
        let response = &reply.answer.response;
        if knows || !self.wants_credentials(response) || reply.answer.trailing.is_some() {
            return Ok(reply);
        }
        if !delivery.content.can_begin_again()
            || (delivery.must_keep)(Some(response), &Fragments::default())
        {
            return Ok(reply);
        }
        reply.settle();
        self.exchange_once(delivery)
    }

    /// Whether this service is known to want the credentials there are.
    fn credentials_wanted(&self) -> bool {
        let credentials = self.shared.credentials.as_ref();
        credentials.is_some_and(Credentials::are_wanted)
    }

    /// Whether the response asks for credentials of the kind there are; they are sent from now on.
    fn wants_credentials(&self, response: &Response) -> bool {
        let credentials = self.shared.credentials.as_ref();
        credentials.is_some_and(|credentials| credentials.answer(response))
    }

    /// One exchange, on a connection that is idle or on a new one.
    ///
    /// A server may close an idle connection at any time, also while a request is on its way to it.
    /// Then the request is sent once more on a new connection (RFC 9112 §9.3.1): but only if not a
    /// byte of a response to it came, and if the content can be sent again.
    fn exchange_once(&self, delivery: &mut Delivery<'_>) -> Result<Reply, Box<Failure>> {
        match self.attempt(delivery, Start::First) {
            Err(mut failure)
                if failure.is_stale()
                    && !failure.must_be_kept(delivery.must_keep)
                    && delivery.content.can_begin_again() =>
            {
                let error = &failure.error;
                log::debug!("{}: once more on a new connection: {error}", self.name());
                count(&self.counters().retries);
                let mut reply = self.attempt(delivery, Start::Again(failure.place.take()))?;
                // What responded early did not scan, whichever request that was meant for.
                reply.answer.is_early |= failure.is_early;
                Ok(reply)
            }
            result => result,
        }
    }

    fn attempt(&self, delivery: &mut Delivery<'_>, start: Start) -> Result<Reply, Box<Failure>> {
        let head = self.encode(delivery.request, delivery.content);
        let mut out = head.map_err(Failure::before)?;
        // Before a connection is taken: the caller's reader may take its time, and a connection that is not
        // asked for anything meanwhile may be closed.
        let content_failed = |error: ContentError| Failure::before(error.into());
        let is_kept = delivery.content.keep().map_err(content_failed)?;
        let body = delivery.content.begin().map_err(content_failed)?;
        let preview = delivery.request.preview_size().filter(|_| body.is_some());
        let mut body = body.preview(preview);
        let first = body.encode_next(&mut out).map_err(content_failed)?;
        // Content that would be lost with a connection that turns out to be closed goes out on a new one.
        let lease = match start {
            Start::Again(Some(place)) => Lease::again(self, place, delivery.call),
            Start::Again(None) => Lease::take(self, true, delivery.call),
            Start::First => Lease::take(self, !is_kept, delivery.call),
        };
        let mut lease = lease.map_err(Failure::before)?;
        let timeouts = self.shared.timeouts;
        let mut deadline = delivery.call.deadline.clone();
        if delivery.request.method() == Method::Options {
            count(&self.counters().options_sent);
            // Whoever answers it slowly, byte by byte, would hold up all callers.
            deadline = deadline.within(timeouts.read, TimeLimit::ReadTimeout);
        }
        let exchange = Exchange {
            reader: ResponseReader::new(delivery.request.method(), delivery.response_limit),
            output: &mut *delivery.output,
            pass_on: delivery.pass_on,
            timeouts,
            deadline,
            service: self.name(),
            is_reused: lease.connection.is_reused(),
            lay_idle: lease.lay_idle,
            progress: Progress::start(preview.is_some(), lease.connection.sent()),
            connection: &mut lease.connection,
            waiting: Waiting::start(timeouts, Instant::now()),
            rooms_wanted: 0,
        };
        let answer = match exchange.run(out, first, body) {
            Ok(answer) => answer,
            Err(failure) => {
                self.note_engine(failure.remains.lacks_engine());
                return Err(lease.abandon(self, failure));
            }
        };
        self.note_engine(answer.response.lacks_engine());
        Ok(Reply {
            answer,
            connection: lease.connection,
        })
    }

    fn encode(&self, request: &Request, content: &dyn Outgoing) -> Result<Vec<u8>, Error> {
        let Shared {
            pool,
            headers,
            credentials,
            ..
        } = &*self.shared;
        let uri = &pool.target().uri;
        let mut request = request.clone().add_headers(headers);
        if let Some(field) = credentials.as_ref().and_then(Credentials::field) {
            request = request.add_headers(&[field]);
        }
        let trailers = content.trailer_names().join(", ");
        if !trailers.is_empty() {
            request = request.add_headers(&[("Trailer".to_owned(), trailers.into_bytes())]);
        }
        Ok(request.encode(&uri.request_uri(), &uri.authority(), content.is_some())?)
    }

    /// Time ran out, and it was not the server that took it.
    fn timed_out(&self, phase: Phase, deadline: &Deadline) -> Error {
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
            why: rejection.why,
        }
        .into()
    }
}

/// Which attempt this is.
enum Start {
    First,
    /// On a new connection, in the place of the one that turned out to be gone.
    Again(Option<Place>),
}

/// Why a complete response is none to this request.
fn unexpected(answer: &Answer, request: &Request) -> Option<Violation> {
    let allowed_204 = request.allows_204() || answer.responds_to_preview;
    match answer.response.status() {
        _ if answer.trailing.is_some() => Some(Violation::TrailingBytes),
        204 if !allowed_204 => Some(Violation::Unexpected204),
        204 if answer.is_early => Some(Violation::EarlyResponse),
        206 if !request.allows_206() => Some(Violation::Unexpected206),
        _ => None,
    }
}

/// `failure` is the service's code for a failure of its own, if it gave one.
pub(crate) fn status_error(service: &str, response: &Response, failure: Option<String>) -> Error {
    let (service, code, reason) = (service.to_owned(), response.status(), response.reason());
    StatusError {
        service,
        code,
        reason,
        failure,
        has_room_later: false,
        asked: Asked::Scan,
    }
    .into()
}
