//! One request and its response, with every reason to send the request once more.
//!
//! | reason | how often | condition |
//! | --- | --- | --- |
//! | the connection was used before and is gone | once, on a new connection | [`Error::allows_resend`] |
//! | the service asks for credentials, which were not sent | once | a 407 with `Basic` |
//!
//! In both cases the content must be readable from its beginning, and what came of the response must be no
//! evidence against it: no second response may turn that into something better (rule R2).
//!
//! [`Error::allows_resend`]: crate::error::Error::allows_resend

use std::time::Instant;

use super::body::Body;
use super::body_encoder::BodyEncoder;
use super::call::Call;
use super::credentials::Credentials;
use super::exchange::{Exchange, Progress, Waiting};
use super::outcome::{CompleteResponse, Failure};
use super::output::Output;
use super::send_buffer::SendBuffer;
use super::{Client, Shared};
use crate::error::TimeLimit;
use crate::evidence::Findings;
use crate::net::checkout::{Place, PooledConnection};
use crate::net::deadline::Deadline;
use crate::proto::method::Method;
use crate::proto::request::Request;
use crate::proto::response::Response;
use crate::proto::response_reader::{Fragments, Remains, ResponseReader};
use crate::stats::counters::count;

impl Call<'_> {
    /// Sends `request` with `body`, and reads the response, whose body goes to `output`.
    ///
    /// From the first 407 on the credentials are sent with every request, so that content which can be read
    /// only once does not meet another refusal (RFC 3507 §7.1).
    pub(crate) fn exchange(
        &mut self,
        request: &Request,
        body: &mut Body<'_>,
        output: &mut Output<'_>,
    ) -> Result<CompleteResponse, Box<Failure>> {
        let client = self.client;
        let mut may_authenticate = !client.sends_credentials();
        let mut was_early = false;
        // It is about this exchange, not about one before it.
        self.broke_off_early = false;
        // Of the connection that turned out to be gone.
        let mut place: Option<Place> = None;
        loop {
            let is_resent = place.is_some();
            let mut result = self.attempt(request, body, output, place.take());
            match &mut result {
                Ok(complete) => {
                    // What responded early did not scan, whichever request that was meant for.
                    complete.is_early |= was_early;
                    if !may_authenticate || !client.must_authenticate(complete, body, output) {
                        return result;
                    }
                    complete.release();
                    may_authenticate = false;
                    was_early = false;
                }
                Err(failure) if !is_resent && may_resend(failure, body, output) => {
                    let error = &failure.error;
                    log::debug!("{}: once more on a new connection: {error}", client.name());
                    count(&client.counters().retries);
                    was_early = failure.is_early;
                    place = failure.place.take();
                }
                Err(failure) => {
                    self.broke_off_early |= was_early || failure.is_early;
                    return result;
                }
            }
        }
    }

    /// Sends the request once: on a new connection in `place`, or on one from the pool.
    fn attempt(
        &mut self,
        request: &Request,
        body: &mut Body<'_>,
        output: &mut Output<'_>,
        place: Option<Place>,
    ) -> Result<CompleteResponse, Box<Failure>> {
        let deadline = self.deadline.clone();
        let mut out = SendBuffer::take();
        self.client.encode(request, body, out.head());
        // Before a connection is taken: the caller's reader may take its time, and a connection that is not
        // asked for anything meanwhile may be closed.
        let is_kept = body.keep(&deadline)?;
        body.rewind()?;
        output.restart();
        let preview = request.preview_size().filter(|_| body.is_some());
        let mut encoder = BodyEncoder::new(body, preview, &deadline);
        let first = encoder.encode_next(&mut out, output.tee())?;
        // Content that would be lost with a connection that turns out to be closed goes out on a new one.
        let is_fresh = !is_kept;
        let connection = match place {
            Some(place) => self.connect_again(place)?,
            None => self.check_out(is_fresh)?,
        };
        let began = connection.began();
        let now = self.time_to_begin(&connection);
        let read_timeout = self.client.shared.timeouts.read;
        // A slow response, byte by byte, would hold up all callers.
        let of_options = (request.method() == Method::Options)
            .then(|| deadline.within_from(now, read_timeout, TimeLimit::ReadTimeout));
        let deadline = of_options.as_ref().unwrap_or(&deadline);
        let has_preview = preview.is_some();
        let mut exchange = self.begin(request, connection, has_preview, now, deadline, output);
        let result = match exchange.run(out, first, encoder) {
            Ok(trailing) => {
                let mut finished = exchange.finish(trailing);
                if let Ok(complete) = &mut finished {
                    complete.connection = Some(exchange.connection);
                }
                finished
            }
            Err(error) => Err(exchange.fail(error)),
        };
        let (response, lacks_engine) = match &result {
            Ok(complete) => (Some(&complete.response), complete.response.lacks_engine()),
            Err(failure) => (
                failure.remains.response.as_ref(),
                failure.remains.lacks_engine(),
            ),
        };
        self.client.note_engine(lacks_engine);
        if let Some(response) = response {
            let ended = result.as_ref().map(|complete| complete.ended);
            let ended = ended.unwrap_or_else(|_| self.client.now());
            self.client.state().saw(response, began, ended);
        }
        result
    }

    /// The exchange before its first byte.
    fn begin<'x, 'o>(
        &'x self,
        request: &Request,
        connection: PooledConnection,
        has_preview: bool,
        now: Instant,
        deadline: &'x Deadline,
        output: &'x mut Output<'o>,
    ) -> Exchange<'x, 'o> {
        let client = self.client;
        let timeouts = &client.shared.timeouts;
        if request.method() == Method::Options {
            count(&client.counters().options_sent);
        }
        Exchange {
            reader: ResponseReader::new(request.method(), output.limit()),
            output,
            timeouts,
            deadline,
            service: client.name(),
            progress: Progress::start(has_preview, connection.sent()),
            connection,
            waiting: Waiting::start(timeouts, now),
            now,
            rooms_wanted: 0,
        }
    }
}

impl Client {
    /// Appends the head of the request, with what this client adds to it.
    fn encode(&self, request: &Request, body: &Body<'_>, out: &mut Vec<u8>) {
        let Shared {
            headers,
            credentials,
            recipient,
            ..
        } = &*self.shared;
        let credentials = credentials.as_ref().and_then(Credentials::field);
        let has_trailers = body.is_some() && !body.trailers().is_empty();
        let trailers = has_trailers.then(|| names_of(body.trailers()));
        let more = [headers, credentials.as_slice(), trailers.as_slice()];
        request.encode_to(out, recipient, body.is_some(), &more);
    }

    /// Whether the service is known to want the credentials there are.
    fn sends_credentials(&self) -> bool {
        let credentials = self.shared.credentials.as_ref();
        credentials.is_some_and(Credentials::are_wanted)
    }

    /// Whether the request is to be sent once more with the credentials there are. They are sent from now on if
    /// the response asks for them.
    fn must_authenticate(
        &self,
        complete: &CompleteResponse,
        body: &Body<'_>,
        output: &Output<'_>,
    ) -> bool {
        let response = &complete.response;
        let credentials = self.shared.credentials.as_ref();
        let is_asked_for =
            credentials.is_some_and(|credentials| credentials.note_challenge(response));
        is_asked_for
            && complete.trailing.is_none()
            && body.can_rewind()
            && !must_keep(output, Some(response), &Fragments::default())
    }
}

/// The field that announces these trailers.
fn names_of(trailers: &[(String, Vec<u8>)]) -> (String, Vec<u8>) {
    let names: Vec<_> = trailers.iter().map(|(name, _)| name.as_str()).collect();
    ("Trailer".to_owned(), names.join(", ").into_bytes())
}

/// Whether the request may be sent once more on a new connection (RFC 9112 §9.3.1).
fn may_resend(failure: &Failure, body: &Body<'_>, output: &Output<'_>) -> bool {
    let Remains {
        response,
        fragments,
        ..
    } = &failure.remains;
    failure.place.is_some() && body.can_rewind() && !must_keep(output, response.as_ref(), fragments)
}

/// Whether what came of a response is evidence in a scan. Only a scan judges.
fn must_keep(output: &Output<'_>, response: Option<&Response>, fragments: &Fragments) -> bool {
    output.judged_by().is_some_and(|custom| {
        let findings = Findings::of_remains(response, fragments, custom);
        findings.evidence.is_some()
    })
}
