//! The settings of a scanner.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Scanner, Shared};
use crate::client::Client;
use crate::client::builder::{Settings, connection_settings};
use crate::client::endpoints::Endpoints;
use crate::client::stats::Counters;
use crate::error::Error;
use crate::net::clock::Clock;
use crate::net::stream::Connect;
#[cfg(doc)]
use crate::scan::verdict::NotScanned;

/// The default of `max_size`: 100 MiB.
const DEFAULT_MAX_SIZE: u64 = 104_857_600;

/// Settings of a [`Scanner`].
#[must_use]
pub struct ScannerBuilder {
    uri: String,
    /// To be asked when that one fails.
    others: Vec<String>,
    settings: Settings,
    max_size: Option<u64>,
    negotiate: bool,
}

impl ScannerBuilder {
    pub(crate) fn new(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            others: Vec::new(),
            settings: Settings::default(),
            max_size: Some(DEFAULT_MAX_SIZE),
            negotiate: true,
        }
    }

    /// Adds a server that is asked when those before it are unavailable or suspended.
    ///
    /// A scan goes on to the next server only if the content can be sent again (bytes, files, what can
    /// seek), or if nothing of it was read yet.
    pub fn endpoint(mut self, uri: &str) -> Self {
        self.others.push(uri.to_owned());
        self
    }

    /// Suspends a server after so many failures in a row, of all threads together: no connection, a
    /// broken one, a timeout, a 5xx status. Default: 10. At least 1.
    ///
    /// While it is suspended, scans go on to the next server, or fail at once with
    /// [`Error::Suspended`], so that a thread pool is not parked for a timeout a file. Then one scan
    /// tries it, and the others go on as before until that one has succeeded. A 503, which asks for
    /// fewer connections, is answered with a pause of half a second at once.
    pub fn suspend_after(mut self, failures: u32) -> Self {
        self.settings.rules.after = failures;
        self
    }

    /// How long a server is suspended first; each failed try doubles it, up to `longest`.
    /// Default: 30 s, 180 s.
    pub fn suspension(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.rules.first = first;
        self.settings.rules.longest = longest;
        self
    }

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

    connection_settings!();

    /// Checks the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for what is no ICAP URI, a timeout or deadline of zero, or a header that
    /// cannot be sent.
    pub fn build(self) -> Result<Scanner, Error> {
        self.settings.check()?;
        let Self {
            uri,
            others,
            settings,
            max_size,
            negotiate,
        } = self;
        let counters = Arc::new(Counters::default());
        let client = |uri: &String| -> Result<Client, Error> {
            Ok(settings.client(uri.parse()?, Arc::clone(&counters)))
        };
        let first = client(&uri)?;
        let others = others.iter().map(client).collect::<Result<_, Error>>()?;
        let clock = Arc::clone(&settings.clock);
        let shared = Shared {
            endpoints: Endpoints::new(first, others, clock, Arc::clone(&counters)),
            max_size,
            negotiate,
            counters,
        };
        Ok(Scanner {
            shared: Arc::new(shared),
        })
    }
}

/// No header values, which may be credentials, and no URIs, which may hold passwords.
impl fmt::Debug for ScannerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScannerBuilder")
            .field("max_size", &self.max_size)
            .field("negotiate", &self.negotiate)
            .finish_non_exhaustive()
    }
}
