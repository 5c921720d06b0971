//! Deciding: content goes in, a verdict comes out.

pub(crate) mod content;
pub(crate) mod evidence;
pub(crate) mod verdict;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use content::{Content, Digest, Observed};
use evidence::Evidence;
use verdict::{NoVerdict, NotScanned, Sent, Verdict, decide, from_evidence};

use crate::client::exchange::{Answer, Failure, protocol_error};
use crate::client::{Client, ClientBuilder, status_error};
use crate::error::Error;
use crate::net::deadline::Deadline;
use crate::net::stream::Connect;
use crate::proto::limits::ANSWER_BODY_ALLOWANCE;
use crate::proto::options::ServiceOptions;
use crate::proto::request::Request;
use crate::proto::response::Response;

/// The default of `max_size`: 100 MiB.
const DEFAULT_MAX_SIZE: u64 = 104_857_600;

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
    client: Client,
    max_size: Option<u64>,
    negotiate: bool,
    options: Mutex<Option<Negotiated>>,
}

/// What the service offered, and until when that holds.
#[derive(Clone)]
struct Negotiated {
    options: Arc<ServiceOptions>,
    /// `None` is for ever.
    expires: Option<Instant>,
}

impl Negotiated {
    fn holds(&self) -> bool {
        self.expires.is_none_or(|at| Instant::now() < at)
    }
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
        ScannerBuilder {
            client: Client::builder(uri),
            max_size: Some(DEFAULT_MAX_SIZE),
            negotiate: true,
        }
    }

    /// Has `content` scanned.
    ///
    /// A [`Verdict`] is what the service says of the content; `Ok` alone does not mean clean.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: whenever there is no verdict, whoever is to blame. Content that is too large is
    /// no error but [`NotScanned::TooLarge`].
    pub fn scan(&self, mut content: Content<'_>) -> Result<Report, Error> {
        let began = Instant::now();
        let deadline = self.shared.client.start();
        let Shared {
            client, max_size, ..
        } = &*self.shared;
        let length = content.known_length()?;
        let mut report = Report {
            verdict: Verdict::NotScanned(NotScanned::TooLarge {
                limit: max_size.unwrap_or(u64::MAX),
            }),
            istag: None,
            status: None,
            bytes_sent: 0,
            elapsed: Duration::ZERO,
            service: client.name().to_owned(),
        };
        if max_size.is_some_and(|max| length.is_some_and(|length| length > max)) {
            return Ok(report.finish(began));
        }
        let options = self.negotiated(deadline)?;
        let request = content.request()?;
        let (sent, mut returned) = Digest::pair();
        let mut observed = content.observe(*max_size, sent);
        let answer_limit =
            max_size.map_or(u64::MAX, |max| max.saturating_add(ANSWER_BODY_ALLOWANCE));
        let result = client.exchange(
            &request,
            observed.body(),
            &mut returned,
            deadline,
            answer_limit,
        );
        let offers_204 = options.is_none_or(|options| options.allows_204());
        match result {
            Ok(answer) => {
                report.judge(&request, &answer, observed.digest() == returned, offers_204)?;
            }
            Err(failure) => report.salvage(*failure, &observed)?,
        }
        Ok(report.finish(began))
    }

    /// What the service offers. This asks it, also when an answer is cached.
    ///
    /// # Errors
    ///
    /// As [`Client::options`].
    pub fn options(&self) -> Result<ServiceOptions, Error> {
        let options = self.fetch_options(self.shared.client.start())?;
        Ok(ServiceOptions::clone(&options))
    }

    /// What the service offers, from the cache while that holds; `None` if it is not to be asked.
    fn negotiated(&self, deadline: Deadline) -> Result<Option<Arc<ServiceOptions>>, Error> {
        if !self.shared.negotiate {
            return Ok(None);
        }
        let cached = self.cached_options().clone().filter(Negotiated::holds);
        match cached {
            Some(negotiated) => Ok(Some(negotiated.options)),
            None => self.fetch_options(deadline).map(Some),
        }
    }

    fn fetch_options(&self, deadline: Deadline) -> Result<Arc<ServiceOptions>, Error> {
        let options = Arc::new(self.shared.client.options_within(deadline)?);
        for warning in options.warnings() {
            log::warn!(
                "{}: odd OPTIONS answer: {warning}",
                self.shared.client.name()
            );
        }
        // Beyond what an `Instant` can say is for ever.
        let expires = options
            .options_ttl()
            .and_then(|ttl| Instant::now().checked_add(ttl));
        *self.cached_options() = Some(Negotiated {
            options: Arc::clone(&options),
            expires,
        });
        Ok(options)
    }

    fn cached_options(&self) -> std::sync::MutexGuard<'_, Option<Negotiated>> {
        // Whoever panicked while holding it only assigned a whole value or did not.
        self.shared
            .options
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("client", &self.shared.client)
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

    /// Judges a complete answer.
    fn judge(
        &mut self,
        request: &Request,
        answer: &Answer,
        is_echoed: bool,
        offers_204: bool,
    ) -> Result<(), Error> {
        let response = &answer.response;
        let sent = Sent {
            is_complete: answer.request_complete,
            allowed_204: request.allows_204(),
            offers_204,
            is_echoed,
            has_trailing: answer.trailing.is_some(),
        };
        self.verdict = decide(response, &sent).map_err(|why| match why {
            NoVerdict::Status => status_error(&self.service, response),
            NoVerdict::Violation(violation) => {
                let seen = answer.trailing.clone().unwrap_or_default();
                protocol_error(&self.service, violation, seen)
            }
        })?;
        self.istag = response.istag();
        self.status = Some(response.status());
        self.bytes_sent = answer.content_sent;
        Ok(())
    }

    /// What a broken-off exchange still says: that something was found, from the part of an answer that
    /// came, or that the content is too large. It can only say the worse.
    fn salvage(&mut self, failure: Failure, observed: &Observed<'_>) -> Result<(), Error> {
        let Failure {
            error,
            remains,
            content_sent,
        } = failure;
        self.bytes_sent = content_sent;
        if let Some(evidence) = Evidence::of_remains(&remains) {
            let response = remains.response.as_ref();
            self.verdict = from_evidence(evidence, response);
            self.istag = response.and_then(Response::istag);
            self.status = response.map(Response::status);
        } else if !observed.is_too_large() {
            return Err(error);
        }
        // Otherwise the content is too large: the verdict a report begins with.
        Ok(())
    }

    fn finish(mut self, began: Instant) -> Self {
        self.elapsed = began.elapsed();
        self
    }
}

/// Settings of a [`Scanner`].
#[derive(Debug)]
#[must_use]
pub struct ScannerBuilder {
    client: ClientBuilder,
    max_size: Option<u64>,
    negotiate: bool,
}

impl ScannerBuilder {
    /// The size in bytes above which content is [`NotScanned::TooLarge`]; `None` is no limit.
    /// Default: 104,857,600 (100 MiB).
    ///
    /// Nothing is sent of content that is known to be larger. If that shows only while it is sent,
    /// the request is abandoned before its end.
    pub fn max_size(mut self, max_size: impl Into<Option<u64>>) -> Self {
        self.max_size = max_size.into();
        self
    }

    /// Whether to ask the service what it offers before the first scan, and again when that expires.
    /// Default: true.
    ///
    /// Unasked, a service is taken to offer 204: content that comes back unchanged is then
    /// [`NotScanned::Echoed`] and never clean.
    pub fn negotiate(mut self, negotiate: bool) -> Self {
        self.negotiate = negotiate;
        self
    }

    /// Bounds resolving and connecting, all addresses together. Default: 10,000 ms.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.client = self.client.connect_timeout(timeout);
        self
    }

    /// Bounds each wait for bytes of the answer; every byte begins it anew. Default: 10,000 ms.
    ///
    /// A service says nothing while its engine works, so this must be longer than a scan of the
    /// largest file takes there.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.client = self.client.read_timeout(timeout);
        self
    }

    /// Bounds each wait while the content is sent; every byte, in either direction, begins it anew.
    /// Default: 10,000 ms.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.client = self.client.write_timeout(timeout);
        self
    }

    /// Bounds the whole scan, `OPTIONS` included; `None` is no bound. Default: 300 s.
    ///
    /// A service that sends a byte now and then never reaches a timeout, but it reaches this. It
    /// cannot interrupt the caller's own reader; it is noticed when that returns.
    pub fn deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.client = self.client.deadline(deadline);
        self
    }

    /// Adds a field to the head of every ICAP request.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.client = self.client.header(name, value);
        self
    }

    /// Makes connections in another way than plain TCP.
    pub fn connector(mut self, connector: impl Connect + 'static) -> Self {
        self.client = self.client.connector(connector);
        self
    }

    /// Checks the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for what is no ICAP URI, a timeout or deadline of zero, or a header that
    /// cannot be sent.
    pub fn build(self) -> Result<Scanner, Error> {
        let shared = Shared {
            client: self.client.build()?,
            max_size: self.max_size,
            negotiate: self.negotiate,
            options: Mutex::new(None),
        };
        Ok(Scanner {
            shared: Arc::new(shared),
        })
    }
}
