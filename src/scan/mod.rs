//! Deciding: content goes in, a verdict comes out.

pub(crate) mod builder;
pub(crate) mod content;
pub(crate) mod evidence;
pub(crate) mod verdict;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use builder::ScannerBuilder;
use content::{Content, Digest, Observed};
use evidence::Evidence;
use verdict::{NoVerdict, NotScanned, Sent, Verdict, decide, from_evidence};

use crate::client::body::Outgoing;
use crate::client::endpoints::{Done, Endpoints, Unsuccessful};
use crate::client::exchange::{Answer, Failure, protocol_error};
use crate::client::health::Admission;
use crate::client::stats::{Counters, Stats, count};
use crate::client::{Client, Delivery, status_error};
use crate::error::Error;
use crate::net::deadline::Deadline;
use crate::proto::limits::ANSWER_BODY_ALLOWANCE;
use crate::proto::options::ServiceOptions;
use crate::proto::request::Request;
use crate::proto::response::Response;

/// Has content scanned by an ICAP service.
///
/// It is cheap to clone and made to be shared: call [`scan`](Scanner::scan) from as many threads as
/// there are.
///
/// ```no_run
/// use icap_client::{Content, Scanner, Verdict};
///
/// let scanner = Scanner::new("icap://127.0.0.1:1344/avscan")?;
/// let report = scanner.scan(Content::bytes(b"hello"))?;
/// match report.verdict() {
///     Verdict::Clean => println!("deliver it"),
///     verdict => println!("do not: {verdict}"),
/// }
/// # Ok::<(), icap_client::Error>(())
/// ```
#[derive(Clone)]
pub struct Scanner {
    shared: Arc<Shared>,
}

struct Shared {
    endpoints: Endpoints,
    max_size: Option<u64>,
    negotiate: bool,
    counters: Arc<Counters>,
}

impl Scanner {
    /// A scanner with the default settings.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if `uri` is not an ICAP URI.
    pub fn new(uri: &str) -> Result<Self, Error> {
        Self::builder(uri).build()
    }

    /// A scanner to be configured.
    pub fn builder(uri: &str) -> ScannerBuilder {
        ScannerBuilder::new(uri)
    }

    /// Has `content` scanned.
    ///
    /// A [`Verdict`] is what the service says of the content; `Ok` alone does not mean clean.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: whenever there is no verdict, whoever is to blame. Content that is too large is
    /// no error but [`NotScanned::TooLarge`].
    pub fn scan(&self, content: Content<'_>) -> Result<Report, Error> {
        let result = self.scan_within(content, Instant::now());
        let counters = &self.shared.counters;
        match &result {
            Ok(report) => count(match report.verdict() {
                Verdict::Clean => &counters.clean,
                Verdict::Infected(_) => &counters.infected,
                Verdict::Blocked(_) => &counters.blocked,
                Verdict::Modified(_) => &counters.modified,
                Verdict::NotScanned(_) => &counters.not_scanned,
            }),
            Err(error) => counters.failed(error),
        }
        result
    }

    /// What the service offers. This asks the first server, also when its answer is cached.
    ///
    /// # Errors
    ///
    /// As [`Client::options`].
    pub fn options(&self) -> Result<ServiceOptions, Error> {
        self.shared.endpoints.first().options()
    }

    /// What this scanner and its clones have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let endpoints = &self.shared.endpoints;
        Stats {
            connections_idle: endpoints.idle_connections(),
            suspended: endpoints.suspended(),
            ..self.shared.counters.snapshot()
        }
    }

    fn scan_within(&self, mut content: Content<'_>, began: Instant) -> Result<Report, Error> {
        let Shared {
            endpoints,
            max_size,
            ..
        } = &*self.shared;
        let deadline = endpoints.first().start();
        let length = content.known_length()?;
        if let Some(limit) = max_size.filter(|&max| length.is_some_and(|length| length > max)) {
            let service = endpoints.first().name();
            return Ok(Report::too_large(limit, service).finish(began));
        }
        let request = content.request()?;
        let (sent, returned) = Digest::pair();
        let mut scan = Scan {
            request,
            content: content.observe(*max_size, sent),
            returned,
            deadline,
        };
        let report = endpoints.try_each(|client, admission| {
            let mut is_shared = false;
            let result = self.scan_on(client, admission, &mut scan, &mut is_shared);
            result.map_err(|error| Unsuccessful {
                error,
                can_repeat: scan.content.can_begin_again() && deadline.left().is_some(),
                is_shared,
            })
        })?;
        Ok(report.finish(began))
    }

    /// Scans with one server. `is_shared` is set if the error is one that another caller came upon.
    fn scan_on(
        &self,
        client: &Client,
        admission: &Admission<'_>,
        scan: &mut Scan<'_>,
        is_shared: &mut bool,
    ) -> Result<Done<Report>, Error> {
        let Shared {
            max_size,
            negotiate,
            ..
        } = &*self.shared;
        let known = negotiate.then(|| client.negotiated(scan.deadline, admission));
        let known = known.transpose().map_err(|failed| {
            *is_shared = failed.is_shared;
            failed.error
        })?;
        scan.returned.restart();
        let answer_limit = max_size.map(|max| max.saturating_add(ANSWER_BODY_ALLOWANCE));
        let mut delivery = Delivery {
            request: &scan.request,
            content: &mut scan.content,
            output: &mut scan.returned,
            answer_limit: answer_limit.unwrap_or(u64::MAX),
            deadline: scan.deadline,
            admission: Some(admission),
            must_keep: |remains| Evidence::of_remains(remains).is_some(),
        };
        let reply = match client.exchange(&mut delivery) {
            Ok(reply) => reply,
            Err(failure) => return scan.salvage(*failure, client.name()),
        };
        let response = &reply.answer.response;
        let offers_204 = known
            .as_ref()
            .is_none_or(|known| offers_204(&known.options, response));
        if let (Some(known), Some(istag)) = (&known, response.istag()) {
            client.saw_istag(&istag, known);
        }
        let value = scan.judge(&reply.answer, offers_204, client.name())?;
        // Nothing was found in what the service calls unmodified, or one of the two is not true.
        if value.status == Some(204) && !value.verdict.is_clean() {
            reply.distrust();
        } else {
            reply.settle(client);
        }
        let is_answered = true;
        Ok(Done { value, is_answered })
    }
}

/// Whether the service can answer 204, so that content it sends back is content it passed over.
///
/// Only options with the very tag of the answer can say no: under another tag the service, or another
/// server behind the same address, may offer something else by now.
fn offers_204(options: &ServiceOptions, response: &Response) -> bool {
    options.allows_204() || options.istag() != response.istag().as_deref()
}

/// One scan on its way, perhaps to more than one server.
struct Scan<'c> {
    request: Request,
    content: Observed<'c>,
    /// What came back.
    returned: Digest,
    deadline: Deadline,
}

impl Scan<'_> {
    /// Judges a complete answer.
    fn judge(&self, answer: &Answer, offers_204: bool, service: &str) -> Result<Report, Error> {
        let response = &answer.response;
        let sent = Sent {
            is_complete: answer.request_complete,
            allowed_204: self.request.allows_204(),
            offers_204,
            is_echoed: *self.content.digest() == self.returned,
            has_trailing: answer.trailing.is_some(),
        };
        let verdict = decide(response, &sent).map_err(|why| match why {
            NoVerdict::Status => status_error(service, response),
            NoVerdict::Violation(violation) => {
                let seen = answer.trailing.clone().unwrap_or_default();
                protocol_error(service, violation, seen)
            }
        })?;
        Ok(Report::new(
            verdict,
            Some(response),
            answer.content_sent,
            service,
        ))
    }

    /// What a broken-off exchange still says: that something was found, from the part of an answer that
    /// came, or that the content is too large. It can only say the worse.
    fn salvage(&self, failure: Failure, service: &str) -> Result<Done<Report>, Error> {
        let Failure {
            error,
            remains,
            content_sent,
            ..
        } = failure;
        if let Some(evidence) = Evidence::of_remains(&remains) {
            let response = remains.response.as_ref();
            let verdict = from_evidence(evidence, response);
            let value = Report::new(verdict, response, content_sent, service);
            let is_answered = false;
            return Ok(Done { value, is_answered });
        }
        let limit = self.content.exceeded_limit().ok_or(error)?;
        let mut value = Report::too_large(limit, service);
        value.bytes_sent = content_sent;
        let is_answered = false;
        Ok(Done { value, is_answered })
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("endpoints", &self.shared.endpoints)
            .field("max_size", &self.shared.max_size)
            .field("negotiate", &self.shared.negotiate)
            .finish_non_exhaustive()
    }
}

/// What a scan found out, and how.
#[derive(Debug, Clone)]
#[must_use = "content that is not clean must not be handed on"]
pub struct Report {
    verdict: Verdict,
    istag: Option<String>,
    status: Option<u16>,
    bytes_sent: u64,
    elapsed: Duration,
    service: String,
}

impl Report {
    /// What the service says of the content.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The service's state tag at the time of the scan, see [`Response::istag`].
    #[must_use]
    pub fn istag(&self) -> Option<&str> {
        self.istag.as_deref()
    }

    /// The ICAP status of the answer; `None` if nothing was asked.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Bytes of the content that were sent; fewer than there are if the answer came early.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// How long the scan took, connecting and `OPTIONS` included.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The service that answered, without user information and arguments.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    fn new(verdict: Verdict, response: Option<&Response>, bytes_sent: u64, service: &str) -> Self {
        Self {
            verdict,
            istag: response.and_then(Response::istag),
            status: response.map(Response::status),
            bytes_sent,
            elapsed: Duration::ZERO,
            service: service.to_owned(),
        }
    }

    /// Of content that no service was asked about, or not to its end.
    fn too_large(limit: u64, service: &str) -> Self {
        let verdict = Verdict::NotScanned(NotScanned::TooLarge { limit });
        Self::new(verdict, None, 0, service)
    }

    fn finish(mut self, began: Instant) -> Self {
        self.elapsed = began.elapsed();
        self
    }
}
