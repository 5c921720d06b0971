//! The settings of a scanner.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::failover::Endpoints;
use super::preview::Preview;
use super::{Rules, Scanner, Shared};
use crate::client::Client;
use crate::client::builder::{Settings, connection_settings};
use crate::client::endpoint::Endpoint;
use crate::error::{Error, InputError, InvalidInput};
use crate::net::transport::Connect;
use crate::proto::method::Method;
#[cfg(doc)]
use crate::scan::verdict::NotScanned;
use crate::seam::time::Clock;
use crate::stats::counters::Counters;

/// The default of [`ScannerBuilder::max_size`]: 104,857,600 bytes (100 MiB).
pub const DEFAULT_MAX_SIZE: u64 = 104_857_600;

/// Settings of a [`Scanner`].
#[must_use]
pub struct ScannerBuilder {
    first: Result<Endpoint, Error>,
    /// To be asked when that one fails.
    others: Vec<Result<Endpoint, Error>>,
    settings: Settings,
    max_size: Option<u64>,
    rules: Rules,
}

impl ScannerBuilder {
    pub(crate) fn new(first: impl TryInto<Endpoint, Error: Into<Error>>) -> Self {
        Self {
            first: first.try_into().map_err(Into::into),
            others: Vec::new(),
            settings: Settings::default(),
            max_size: Some(DEFAULT_MAX_SIZE),
            rules: Rules {
                method: None,
                preview: Preview::Off,
                trust_preview: false,
                allow_204: true,
                allow_206: false,
                negotiate: true,
            },
        }
    }

    /// Adds a server that is asked when those before it do not scan: they are unavailable, suspended or
    /// full, have no such service (400, 404, 405, 501, 505), or speak no ICAP.
    ///
    /// A scan goes on to the next server only if the content can be sent again: bytes, files, what can seek,
    /// and a reader of which no more than the first 64 KiB was read. For content that can be sent again, a server
    /// with another one after it gets only its share of the [deadline](Self::deadline): a quarter of what is
    /// left, or the read timeout if that is less, is for the next.
    pub fn endpoint(mut self, endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> Self {
        self.others.push(endpoint.try_into().map_err(Into::into));
        self
    }

    /// Suspends a server after so many failures in a row, over all threads: no connection, a broken
    /// one, a timeout, a 5xx status, 400, 404, 405, or a response that is not ICAP. Default: 10. At least 1.
    ///
    /// Time counts against a server if waiting for it added up to the timeout, whatever the deadline. What
    /// does not count: a deadline that is over sooner, the caller's slow reader or writer and a server that
    /// closes because of it, 503 while other scans run, and what this machine lacks (file descriptors,
    /// memory, ports, threads).
    ///
    /// While a server is suspended, scans go on to the next server or fail at once with
    /// [`Error::Suspended`], so that no thread of a pool waits for a timeout per file. When the
    /// [interval](Self::suspension) is over, one scan is let through as a trial. A trial that succeeds
    /// ends the suspension.
    pub fn suspend_after(mut self, failures: u32) -> Self {
        self.settings.breaker.after = failures;
        self
    }

    /// How long a suspended server is not asked: `first` before the first trial, and twice as long
    /// after each failed one, up to `longest`, 20 % more or less. Default: 1 s, 8 s.
    ///
    /// The interval begins with a trial, not with its end. If a trial takes longer, the next one begins
    /// beside it. A trial that is cancelled or fails for a reason of the caller's is given back: the
    /// next scan can be one at once.
    pub fn suspension(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.breaker.first = first;
        self.settings.breaker.longest = longest;
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
        self.rules.negotiate = negotiate;
        self
    }

    /// The method: [`Respmod`](Method::Respmod) presents the content as a file on its way to a person,
    /// [`Reqmod`](Method::Reqmod) as one that someone uploads. Default: RESPMOD, and REQMOD where the
    /// service offers nothing else.
    pub fn method(mut self, method: Method) -> Self {
        self.rules.method = Some(method);
        self
    }

    /// Whether to let the service decide on a preview whether it wants the rest. Default:
    /// [`Off`](Preview::Off).
    ///
    /// A 100 or 204 that a server sends late, when the next request is already on its way, cannot be told
    /// from one to that. Where that cannot be ruled out, take [`max_idle(0)`](Self::max_idle) as well.
    pub fn preview(mut self, preview: Preview) -> Self {
        self.rules.preview = preview;
        self
    }

    /// Whether a 204 to a preview is [`Clean`](crate::Verdict::Clean), though the service has seen only
    /// that part. Default: false.
    ///
    /// Say yes only if the service is known to respond so for nothing that can do harm: c-icap, for one,
    /// answers so for a virus after the first bytes of a GIF.
    pub fn trust_preview(mut self, trust: bool) -> Self {
        self.rules.trust_preview = trust;
        self
    }

    /// Whether the service may respond 204 instead of sending clean content back (RFC 3507 §4.6).
    /// Default: true.
    ///
    /// With `false` content is [`Clean`](crate::Verdict::Clean) only if exactly the bytes that were sent
    /// come back; a 204 is an error, and no [preview](Self::preview) is sent. That shows what a 204 hides:
    /// a server that lost a part of the content before it was scanned, as c-icap does when its disk is full.
    /// It costs as much to receive as to send, and a service that sends back what it does not scan (too
    /// large, of a type that it skips) cannot be told from one that found nothing: take it only where the
    /// service scans every type and size.
    pub fn allow_204(mut self, allow: bool) -> Self {
        self.rules.allow_204 = allow;
        self
    }

    /// Whether the service may respond with 206 and refer to the rest of the original, if it offers that
    /// (draft-icap-ext-partial-content). Default: false.
    ///
    /// With [`scan_replace`](Scanner::scan_replace) it is allowed only for content that can be read
    /// again, because the rest has to come from somewhere.
    ///
    /// Servers, c-icap among them, answer so without reading all of the request, take its rest for the
    /// next one, and respond that too. On a new connection the first response counts; on one used before
    /// it cannot be known which is which, and it is an error. [`max_idle(0)`](Self::max_idle) makes every
    /// connection a new one.
    pub fn allow_206(mut self, allow: bool) -> Self {
        self.rules.allow_206 = allow;
        self
    }

    /// Sets the user and the password for the first server, the one given to
    /// [`Scanner::builder`], if it asks for them with `407` and `Basic` (RFC 3507 §7.1).
    ///
    /// They are sent to no other server: those of a fallback server belong to its [`Endpoint`]. They are sent
    /// only after the server has asked. Over `icap` they are not encrypted.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.first = self.first.map(|first| first.credentials(user, password));
        self
    }

    connection_settings!();

    /// Checks the settings. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for what is no ICAP URI, a timeout or deadline of zero, a header or
    /// credentials that cannot be sent, or a method that scans nothing.
    pub fn build(self) -> Result<Scanner, Error> {
        self.settings.check()?;
        let Self {
            first,
            others,
            settings,
            max_size,
            rules,
        } = self;
        if rules.method == Some(Method::Options) {
            return Err(InputError::new(InvalidInput::Method, "OPTIONS").into());
        }
        let counters = Arc::new(Counters::default());
        let client = |endpoint: Result<Endpoint, Error>| -> Result<Client, Error> {
            settings.client(endpoint?, Arc::clone(&counters))
        };
        let first = client(first)?;
        let others = others
            .into_iter()
            .map(client)
            .collect::<Result<_, Error>>()?;
        let shared = Shared {
            endpoints: Endpoints::new(first, others),
            max_size,
            rules,
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
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
