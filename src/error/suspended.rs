//! Servers that are not asked for a while.

use std::time::Duration;

use crate::proto::content_name::ContentName;

/// The server failed and is not asked for a while, see
/// [`ScannerBuilder::suspend_after`](crate::ScannerBuilder::suspend_after). Nothing was sent. If all of several
/// servers are suspended, this is about the first one.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "{service} is suspended: it has failed for {} ms and is tried again in {} ms; last failure: {why}",
    .failing_for.as_millis(),
    .retry_in.as_millis()
)]
pub struct SuspendedError {
    pub(crate) service: String,
    pub(crate) failing_for: Duration,
    pub(crate) retry_in: Duration,
    pub(crate) why: String,
    pub(crate) name: Option<Box<ContentName>>,
}

impl SuspendedError {
    /// How long ago the suspension began. From time to time a scan tries the server again ([`retry_in`](Self::retry_in)), and
    /// the suspension ends when such a scan succeeds.
    #[must_use]
    pub fn failing_for(&self) -> Duration {
        self.failing_for
    }

    /// How long until a scan may try this server again; zero if the next scan will try it. A program that can wait, for
    /// example one that scans a batch, should wait this long.
    #[must_use]
    pub fn retry_in(&self) -> Duration {
        self.retry_in
    }

    /// The last failure as an [`Error`](crate::Error) shows it, its cause included.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}
