//! What a scan found out.

use std::time::{Duration, Instant};

use super::verdict::{NotScanned, Verdict};
use crate::proto::header::Headers;
use crate::proto::response::{Response, StatusHead};

/// What a scan found out, and how.
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
    service: String,
    advice: Option<&'static str>,
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

    /// The ICAP status of the response; `None` if nothing was asked, or if it broke off before that.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The fields of the response's ICAP head; none if [`status`](Self::status) is `None` or the head broke
    /// off.
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

    /// Bytes of the content that were sent; fewer than there are if the response came early.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// How long the scan took, connecting and `OPTIONS` included.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The service that responded, without the arguments of its URI.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What to change so that the next scan comes to a verdict, where that is known: a sentence for
    /// whoever configures the scanner.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice
    }

    pub(super) fn new(
        verdict: Verdict,
        response: Option<&Response>,
        bytes_sent: u64,
        service: &str,
    ) -> Self {
        Self {
            verdict,
            name: None,
            head: response.map(Response::status_head).cloned(),
            istag: response.and_then(Response::istag),
            status: response.map(Response::status),
            bytes_sent,
            elapsed: Duration::ZERO,
            service: service.to_owned(),
            advice: None,
        }
    }

    /// Of a response of which there is no whole head.
    pub(super) fn with_status(mut self, status: Option<u16>) -> Self {
        self.status = status;
        self
    }

    pub(super) fn with_advice(mut self, advice: Option<&'static str>) -> Self {
        self.advice = advice;
        self
    }

    /// Of content that no service was asked about, or not to its end.
    pub(super) fn too_large(limit: u64, bytes_sent: u64, service: &str) -> Self {
        let verdict = Verdict::NotScanned(NotScanned::TooLarge { limit });
        Self::new(verdict, None, bytes_sent, service)
    }

    pub(super) fn finish(mut self, name: Option<String>, began: Instant) -> Self {
        self.name = name;
        self.elapsed = began.elapsed();
        self
    }
}
