//! Decisions: content goes in, a verdict comes out.

mod attempt;
pub(crate) mod builder;
pub(crate) mod cache;
mod canary;
pub(crate) mod content;
pub(crate) mod decide;
mod echo;
pub(crate) mod failover;
pub(crate) mod metadata;
#[cfg(feature = "override")]
pub mod override_ticket;
pub mod policy;
pub(crate) mod preview;
pub(crate) mod redact;
mod regular_file;
pub(crate) mod report;
pub(crate) mod run;
mod running;
pub(crate) mod sample;
pub mod self_test;
pub(crate) mod tee;
pub(crate) mod verdict;

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use builder::ScannerBuilder;
use cache::verdicts::Verdicts;
use content::Content;
use preview::Preview;
use report::Report;
use running::Running;
use self_test::SelfTest;

use crate::client::builder::Settings;
use crate::client::endpoint::Endpoint;
use crate::error::Error;
use crate::evidence::CustomHeaders;
use crate::proto::method::Method;
use crate::proto::options::ServiceOptions;
use crate::scan::failover::Endpoints;
use crate::seam::sync::OnceLock;
use crate::stats::Stats;
use crate::stats::counters::ScanCounters;
#[cfg(doc)]
use crate::{Client, NotScanned, ServiceUri, Verdict};

/// Scans content with an ICAP service.
///
/// A scanner is cheap to clone, and clones share their connections. Call [`scan`](Scanner::scan) from as many
/// threads as you like.
///
/// ```no_run
/// use icap_client::{Content, Scanner, Verdict};
///
/// // With these four arguments, c-icap skips no file. Its engine has limits too: see `manual::c_icap`.
/// let service = "icap://127.0.0.1/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple";
/// let scanner = Scanner::new(service)?;
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
    /// Made for the first use.
    used: OnceLock<Box<Used>>,
    max_size: Option<u64>,
    max_copy: Option<u64>,
    rules: Rules,
    custom_headers: Arc<CustomHeaders>,
    cache: Option<Verdicts>,
    /// How old a proof that a server scans may be; `None` if none is wanted.
    canary: Option<Duration>,
    recipe: Recipe,
}

/// What only a scanner that is used needs. A program may have a scanner for each of its customers, most of them idle.
struct Used {
    endpoints: Endpoints,
    counters: ScanCounters,
}

impl Shared {
    #[allow(
        clippy::expect_used,
        reason = "`build` made the same clients of the same recipe, and would have returned the error"
    )]
    fn make_used(&self) -> Box<Used> {
        Box::new(Used {
            endpoints: self.recipe.endpoints().expect("`build` checked it"),
            counters: ScanCounters::default(),
        })
    }

    fn used(&self) -> &Used {
        self.used.get_or_init(|| self.make_used())
    }

    /// Looks at the present state. That of a scanner that was never used is not kept, so a look makes none larger.
    fn with_used<T>(&self, look: impl FnOnce(&Used) -> T) -> T {
        match self.used.get() {
            Some(used) => look(used),
            None => look(&self.make_used()),
        }
    }

    fn endpoints(&self) -> &Endpoints {
        &self.used().endpoints
    }

    fn counters(&self) -> &ScanCounters {
        &self.used().counters
    }
}

/// What a scanner for one of the services is made of.
struct Recipe {
    settings: Settings,
    first: Endpoint,
    others: Vec<Endpoint>,
}

impl Recipe {
    /// Clients of all services. Whether there is an error depends on the recipe alone, which does not change.
    fn endpoints(&self) -> Result<Endpoints, Error> {
        let client = |endpoint: &Endpoint| self.settings.client(endpoint.clone());
        let others = self.others.iter().map(client).collect::<Result<_, _>>()?;
        Ok(Endpoints::new(client(&self.first)?, others))
    }
}

/// How a request is made and judged.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// `None` is RESPMOD, or REQMOD if the service offers nothing else.
    method: Option<Method>,
    preview: Preview,
    trust_preview: bool,
    allow_204: bool,
    allow_206: bool,
    negotiate: bool,
}

impl Rules {
    /// The method for a service with these options; `None` if it was not asked for them.
    fn method_for(&self, options: Option<&ServiceOptions>) -> Method {
        self.method.unwrap_or(match options {
            Some(options) if options.methods() == [Method::Reqmod] => Method::Reqmod,
            _ => Method::Respmod,
        })
    }
}

impl Scanner {
    /// A scanner with the default settings.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] in the same cases as [`ScannerBuilder::build`].
    pub fn new(endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> Result<Self, Error> {
        Self::builder(endpoint).build()
    }

    /// Settings for a scanner.
    ///
    /// `endpoint` is anything that becomes an [`Endpoint`]: `&str`, `String`, `&String`, a [`ServiceUri`] or
    /// an `Endpoint`. [`build`](ScannerBuilder::build) returns the error if it is not an ICAP URI.
    pub fn builder(endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> ScannerBuilder {
        ScannerBuilder::new(endpoint)
    }

    /// Scans `content`, and returns the report with the verdict.
    ///
    /// `Ok` does not mean clean: the report has the [`Verdict`].
    ///
    /// # Errors
    ///
    /// Any [`Error`] if there is no verdict. Content that is larger than the
    /// [size limit](ScannerBuilder::max_size) is no error, but the verdict [`NotScanned::TooLarge`].
    pub fn scan<'c>(&self, content: impl Into<Content<'c>>) -> Result<Report, Error> {
        let content = content.into();
        let name = content.own_name();
        let running = Running::begin(&self.shared);
        let result = run::scan(&self.shared, running.began(), content, None);
        running.finish(name, result)
    }

    /// Scans `content`, and writes what the service sends back to `output` while it arrives.
    ///
    /// That may be a cleaned or rebuilt file, a page that says why the content was refused, or the content itself.
    /// The verdict says what it is:
    ///
    /// - [`Modified`](Verdict::Modified): `output` has what the service made of the content. Deliver it only if
    ///   its [body length](crate::Modified::body_len) is `Some`, and if the service is one that rebuilds files.
    /// - [`Clean`](Verdict::Clean): deliver the content. After a 204 nothing came back, so nothing was written.
    /// - [`Truncated`](NotScanned::Truncated): `output` has a part of the content, perhaps the first part of an
    ///   infected file. Never deliver it.
    /// - For every other verdict, do not deliver what was written.
    ///
    /// So write to a place from which nobody reads before the verdict is there.
    ///
    /// If the service [refers to the original](ScannerBuilder::allow_206), that part of the content is written after
    /// what came. A response body that is more than 16 MiB larger than the [size limit](ScannerBuilder::max_size) is
    /// an [`Error::Protocol`].
    ///
    /// As soon as something was written, no other server is asked, because it cannot be taken back. If the scan ends in
    /// an error, what `output` has is incomplete: do not use it.
    ///
    /// On a connection that was used before, a response can begin before the scan has sent all of its content. It may then be
    /// the late response to the previous request. So its content is not written, and the scan is repeated on a new connection.
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan), and [`Error::Output`] if `output` fails.
    ///
    /// ```no_run
    /// use icap_client::{Content, Scanner, Verdict};
    ///
    /// let scanner = Scanner::new("icap://127.0.0.1:1344/disarm")?;
    /// let mut disarmed = Vec::new();
    /// let report = scanner.scan_replace(Content::file("offer.docx")?, &mut disarmed)?;
    /// match report.verdict() {
    ///     Verdict::Clean => println!("deliver offer.docx"),
    ///     Verdict::Modified(new) if new.body_len().is_some() => {
    ///         println!("deliver the {} bytes that came back", disarmed.len());
    ///     }
    ///     verdict => println!("do not deliver it: {verdict}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_replace<'c>(
        &self,
        content: impl Into<Content<'c>>,
        mut output: impl Write,
    ) -> Result<Report, Error> {
        let content = content.into();
        let name = content.own_name();
        let running = Running::begin(&self.shared);
        let output = Some(&mut output as _);
        let result = run::scan(&self.shared, running.began(), content, output);
        running.finish(name, result)
    }

    /// Asks the first server what its service offers, also if its last response is still cached.
    ///
    /// # Errors
    ///
    /// As [`Client::options`].
    pub fn options(&self) -> Result<ServiceOptions, Error> {
        self.shared.endpoints().first().options()
    }

    /// Tests whether the services really scan, and up to which size.
    ///
    /// `OPTIONS` is no health check: if the engine of a server has failed, the server can respond to it as always.
    /// This sends the EICAR test file, which every virus scanner finds, in the forms that services often do not
    /// scan: in archives that no server has seen, up to the [size limit](ScannerBuilder::max_size); in PDF, images
    /// and documents; under a preview; and with the last byte held back, so that a server which responds before it
    /// has the content is noticed. EICAR is made in memory. Each server logs what it finds.
    ///
    /// Every service of the scanner is tested by itself, one after the other, with the scanner's settings. The test has
    /// connections, a circuit breaker and counters of its own: it changes nothing for other scans.
    ///
    /// It sends about twice the size limit to each service, and up to six times the size limit in addition if it
    /// has to look for the size from which on the service does not scan. On a fast network and with the default limit this takes some 10 s for
    /// each service. Each of its scans, about 30 for each service, has the scanner's
    /// [deadline](ScannerBuilder::deadline). Lower `max_size` for a quicker test.
    ///
    /// The page [`self_test`](crate::manual::self_test) of the manual says what each finding means.
    ///
    /// # Errors
    ///
    /// The first error, if none of the services responds. If some services respond and others do not, the result of the others is
    /// [`Failed`](self_test::Outcome::Failed).
    ///
    /// ```
    /// # let server = icap_client::testing::Server::start()?;
    /// # let service = server.uri();
    /// use icap_client::Scanner;
    ///
    /// let scanner = Scanner::builder(service).max_size(1 << 20).build()?;
    /// let test = scanner.self_test()?;
    /// assert!(test.passed(), "{test}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn self_test(&self) -> Result<SelfTest, Error> {
        self_test::run(&self.shared)
    }

    /// The time now, by which waits are measured.
    fn now_for_waits(&self) -> Instant {
        self.shared.endpoints().first().now_for_waits()
    }

    /// What this scanner and its clones have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.with_used(|used| Stats {
            suspended: used.endpoints.suspended(),
            ..used.counters.snapshot(used.endpoints.stats())
        })
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.with_used(|used| {
            f.debug_struct("Scanner")
                .field("endpoints", &used.endpoints)
                .field("max_size", &self.shared.max_size)
                .field("max_copy", &self.shared.max_copy)
                .field("rules", &self.shared.rules)
                .finish_non_exhaustive()
        })
    }
}
