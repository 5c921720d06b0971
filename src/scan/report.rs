//! The result of a scan.

use std::sync::Arc;
use std::time::Duration;

use super::verdict::{NotScanned, Verdict};
use crate::proto::header::Headers;
use crate::proto::response::{Response, StatusHead};
use crate::proto::text::displayable;

/// The result of a scan: the verdict, and how it came about.
///
/// ```
/// use icap_client::{Content, Scanner};
///
/// # let server = icap_client::testing::Server::start()?;
/// # let scanner = Scanner::new(server.uri())?;
/// let report = scanner.scan(Content::from("hello").name("greeting.txt"))?;
/// assert!(report.verdict().is_clean());
/// assert_eq!(report.status(), Some(204));
/// assert_eq!(report.bytes_sent(), 5);
/// assert_eq!(report.name(), Some("greeting.txt"));
/// println!("{}: {} in {:?}", report.service(), report.verdict(), report.elapsed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "content that is not clean must not be handed on"]
pub struct Report {
    verdict: Verdict,
    /// The name of the content.
    name: Option<String>,
    /// The ICAP head, if it came whole.
    head: Option<StatusHead>,
    istag: Option<String>,
    status: Option<u16>,
    bytes_sent: u64,
    elapsed: Duration,
    service: Arc<str>,
    advice: Option<&'static str>,
    is_cached: bool,
    /// Whether the connection was used before; `None` without one.
    is_reused: Option<bool>,
}

impl Report {
    /// The verdict on the content.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The service's state tag in the response, see [`Response::istag`].
    #[must_use]
    pub fn istag(&self) -> Option<&str> {
        self.istag.as_deref()
    }

    /// The ICAP status of the response; `None` if none was read. That is so if no request was sent, if the content turned out
    /// to be too large during the upload, and if the response broke off before its status although evidence had come.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The fields of the response's ICAP head. There are none if no complete head was read.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        let head = self.head.as_ref();
        head.map(StatusHead::headers).unwrap_or_default()
    }

    /// The [name](crate::Content::name) of the content, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The number of bytes of content that were sent. It is less than the length if the upload stopped before its end, for example because of an early response.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// The duration of the scan, including connecting and `OPTIONS`.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Whether the verdict is one that the service gave before, from the [cache](crate::ScannerBuilder::cache).
    ///
    /// Then no request was sent for this content: [`status`](Self::status) is `None`, there are no
    /// [`headers`](Self::headers), and [`bytes_sent`](Self::bytes_sent) is 0. [`istag`](Self::istag) is the state tag
    /// under which the verdict was given, which is still that of the service.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.is_cached
    }

    /// The service that the report is about, as a URI without its arguments: the one that was asked, or would have been
    /// asked.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// If the content was not scanned: what to change in the configuration so that the next scan does so, in one sentence for
    /// the operator. `None` if that is not known.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice
    }

    pub(super) fn new(
        verdict: Verdict,
        response: Option<&Response>,
        bytes_sent: u64,
        service: &Arc<str>,
    ) -> Self {
        Self {
            verdict,
            name: None,
            head: response.map(Response::status_head).cloned(),
            istag: response.and_then(Response::istag),
            status: response.map(Response::status),
            bytes_sent,
            elapsed: Duration::ZERO,
            service: Arc::clone(service),
            advice: None,
            is_cached: false,
            is_reused: None,
        }
    }

    /// A verdict that `service` gave before under this state tag.
    pub(super) fn cached(verdict: Verdict, state_tag: &[u8], service: &Arc<str>) -> Self {
        Self {
            istag: Some(displayable(state_tag)),
            is_cached: true,
            ..Self::new(verdict, None, 0, service)
        }
    }

    /// For a response without a whole head.
    pub(super) fn set_status(&mut self, status: Option<u16>) {
        self.status = status;
    }

    pub(super) fn advise(&mut self, advice: &'static str) {
        self.advice = Some(advice);
    }

    /// For a server without a proof, to which nothing was sent.
    pub(super) fn no_engine(service: &Arc<str>) -> Self {
        Self::new(Verdict::NotScanned(NotScanned::NoEngine), None, 0, service)
    }

    /// As it is if nothing proves that the server scans.
    pub(super) fn lacks_proof(&mut self) {
        self.verdict = Verdict::NotScanned(NotScanned::NoEngine);
        self.is_cached = false;
    }

    /// With a connection that was used before, or a new one.
    pub(super) fn set_connection(&mut self, is_reused: Option<bool>) {
        self.is_reused = is_reused;
    }

    /// Whether the server was asked for it.
    pub(super) fn had_connection(&self) -> bool {
        self.is_reused.is_some()
    }

    /// The connection as the log names it, or why there was none.
    pub(super) fn connection(&self) -> &'static str {
        match self.is_reused {
            None if self.is_cached => "cached verdict",
            None => "no connection",
            Some(false) => "new connection",
            Some(true) => "reused connection",
        }
    }

    /// For content of which nothing or only a part was sent.
    pub(super) fn too_large(limit: u64, bytes_sent: u64, service: &Arc<str>) -> Self {
        let verdict = Verdict::NotScanned(NotScanned::TooLarge { limit });
        Self::new(verdict, None, bytes_sent, service)
    }

    /// The same for content that turned out to be too large.
    pub(super) fn into_too_large(mut self, limit: u64) -> Self {
        self.verdict = Verdict::NotScanned(NotScanned::TooLarge { limit });
        self
    }

    pub(super) fn finish(&mut self, name: Option<String>, elapsed: Duration) {
        self.name = name;
        self.elapsed = elapsed;
    }
}
