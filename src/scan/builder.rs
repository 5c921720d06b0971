//! The builder of a scanner.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use super::failover::Endpoints;
use super::preview::Preview;
use super::{Recipe, Rules, Scanner, Shared};
use crate::client::Client;
use crate::client::builder::{Settings, connection_settings};
use crate::client::endpoint::Endpoint;
use crate::error::{Error, InputError, InvalidInput};
use crate::evidence::CustomHeaders;
use crate::net::transport::Connect;
use crate::proto::method::Method;
use crate::proto::uri::ServiceUri;
#[cfg(doc)]
use crate::scan::verdict::NotScanned;
use crate::seam::sync::OnceLock;
use crate::seam::time::{Clock, Time};

/// The default of [`ScannerBuilder::max_size`]: 104,857,600 bytes (100 MiB).
pub const DEFAULT_MAX_SIZE: u64 = 104_857_600;

/// By default, [`ScannerBuilder::max_copy`] is twice [`max_size`](ScannerBuilder::max_size).
pub const DEFAULT_MAX_COPY_FACTOR: u64 = 2;

/// Configures a [`Scanner`].
///
/// ```
/// use std::time::Duration;
/// use icap_client::{Endpoint, Scanner};
///
/// # let (av1, av2) = (icap_client::testing::Server::start()?, icap_client::testing::Server::start()?);
/// # let (av1, av2) = (av1.uri(), av2.uri());
/// // av1 and av2 are URIs, for example "icap://av1.example/SERVICE".
/// let scanner = Scanner::builder(av1)
///     .endpoint(Endpoint::new(av2)?.credentials("joe", "secret"))
///     .max_size(1 << 30)
///     .response_timeout(Duration::from_secs(60))
///     .build()?;
/// assert!(scanner.scan("hello")?.verdict().is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ScannerBuilder {
    first: Result<Endpoint, Error>,
    /// Fallback servers.
    others: Vec<Result<Endpoint, Error>>,
    settings: Settings,
    max_size: Option<u64>,
    max_copy: MaxCopy,
    rules: Rules,
    custom_headers: CustomHeaders,
    require_tls: bool,
    cache: Option<Cache>,
    canary: Option<Duration>,
}

/// How large a copy of content may be.
#[derive(Debug, Clone, Copy)]
enum MaxCopy {
    /// The default, which depends on the size limit.
    OfMaxSize,
    Bytes(Option<u64>),
}

impl MaxCopy {
    fn bytes(self, max_size: Option<u64>) -> Option<u64> {
        match self {
            Self::OfMaxSize => max_size.map(|max| max.saturating_mul(DEFAULT_MAX_COPY_FACTOR)),
            Self::Bytes(max_copy) => max_copy,
        }
    }
}

impl ScannerBuilder {
    pub(crate) fn new(first: impl TryInto<Endpoint, Error: Into<Error>>) -> Self {
        Self {
            first: first.try_into().map_err(Into::into),
            others: Vec::new(),
            settings: Settings::default(),
            max_size: Some(DEFAULT_MAX_SIZE),
            max_copy: MaxCopy::OfMaxSize,
            rules: Rules {
                method: None,
                preview: Preview::Off,
                trust_preview: false,
                allow_204: true,
                allow_206: false,
                negotiate: true,
            },
            custom_headers: CustomHeaders::default(),
            require_tls: false,
            cache: None,
            canary: None,
        }
    }

    /// A scanner of one service, as the scanner of `shared` is, with connections and counters of its own.
    pub(super) fn like(shared: &Shared, endpoint: &Endpoint) -> Self {
        Self {
            settings: shared.recipe.settings.clone(),
            max_size: shared.max_size,
            rules: shared.rules,
            custom_headers: (*shared.custom_headers).clone(),
            ..Self::new(endpoint.clone())
        }
    }

    /// Adds a fallback server. `endpoint` is an [`Endpoint`] or anything that becomes one: `&str`, `String`,
    /// `&String` or a [`ServiceUri`].
    ///
    /// Servers are asked in the order in which they were added. The next one is asked if a server is unavailable or
    /// suspended, is full for longer than the [wait timeout](Self::wait_timeout), has no such service, does not speak ICAP,
    /// or does not scan ([`NotScanned::ServiceError`], [`EarlyResponse`](NotScanned::EarlyResponse),
    /// [`NoEngine`](NotScanned::NoEngine)). The content must then be sent again. The page
    /// [`timeouts`](crate::manual::timeouts) of the manual says which content can be, and how much time is kept for the next
    /// server.
    pub fn endpoint(mut self, endpoint: impl TryInto<Endpoint, Error: Into<Error>>) -> Self {
        self.others.push(endpoint.try_into().map_err(Into::into));
        self
    }

    /// Sets after how many failures in a row, over all threads, a server is suspended. At least 1. Default: 10
    /// ([`DEFAULT_SUSPEND_AFTER`](crate::limits::DEFAULT_SUSPEND_AFTER)).
    ///
    /// Failures are, for example, a refused or broken connection, a timeout, a status 400, 404 or 5xx, and a response that
    /// is not ICAP. What is the caller's fault is no failure, nor is a shortage on this machine. The page
    /// [`errors`](crate::manual::errors) of the manual has both lists, and what a 503 means.
    ///
    /// While a server is suspended, scans ask the next server or fail at once with [`Error::Suspended`]. So no
    /// thread waits for a timeout for each file. After the [interval](Self::suspension) one scan is a trial. A
    /// successful trial ends the suspension.
    pub fn suspend_after(mut self, failures: u32) -> Self {
        self.settings.breaker.after = failures;
        self
    }

    /// Sets for how long a suspended server is not asked: the first trial comes `first` after the
    /// suspension began, and each further interval is twice the one before, up to `longest`. Each interval varies by 20 %. Default: 1 s
    /// ([`DEFAULT_FIRST_SUSPENSION`](crate::limits::DEFAULT_FIRST_SUSPENSION)) and 8 s
    /// ([`DEFAULT_LONGEST_SUSPENSION`](crate::limits::DEFAULT_LONGEST_SUSPENSION)).
    ///
    /// An interval is measured from the beginning of one trial to that of the next, so the next one can begin while a slow
    /// one still runs. A trial that the caller ends or makes fail does not count: the next scan can be a trial at once.
    pub fn suspension(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.breaker.first = first;
        self.settings.breaker.longest = longest;
        self
    }

    /// Wants a proof that a server scans: content is clean only if the server has found EICAR no longer than `every` ago.
    /// `None` wants no proof. Default: `None`.
    ///
    /// No single 204 shows whether the server has looked at the content. With this setting a scan first sends a *canary*
    /// when one is due: EICAR in an archive that the server cannot know. The archive has 1 KiB, and the size of the preview
    /// more if one is sent, but not more than `max_size`. Its last byte is held back for 300 ms. The method, the preview
    /// and all other settings are those of the scanner.
    ///
    /// - **When one is due.** Before the first scan, when the last proof has a quarter of its time left, when a response has
    ///   another state tag (`ISTag`), and after an [early response](NotScanned::EarlyResponse). Changed tags lead to at
    ///   most one canary a minute, and so do early responses.
    /// - **What a proof is for.** The server that found the canary, the state tag of its response, the method and the
    ///   preview. With a load balancer, another server may get the content: name each server as an
    ///   [endpoint](Self::endpoint) of its own. A server that has another tag in every response never has a proof.
    /// - **The archive without EICAR.** After the first find under a state tag, the same archive is sent without EICAR. If
    ///   the server calls that a virus too, the canary counts as missed. If that response has another state tag, or the
    ///   archive was not scanned, the canary is neither a proof nor a miss. It is repeated at once. Then it is repeated once
    ///   a minute while a proof holds, and at the intervals of [`suspension`](Self::suspension) if none holds.
    /// - **What it costs.** One scan sends it, which takes 0.4 s and one or two more exchanges. The server logs each find.
    ///   Other scans go on while the last proof holds. If none holds, they wait for the result, within their own deadlines.
    /// - **If it is missed**, the server is *blind*. Scans send no content to it: they go to the next server. If no server
    ///   scans, the verdict is [`NotScanned::NoEngine`]. Further canaries follow at the intervals of
    ///   [`suspension`](Self::suspension), until the server finds one. `Stats` and the log, at warn, say so. A scan during
    ///   which its server misses a canary is not clean, also if another one is found before the scan ends.
    /// - **If it fails** with an error, it proves nothing. If no proof holds, the scans that sent it or waited for it fail at
    ///   this server, and the next server is asked. If a proof still holds, the scan goes on under that proof, unless the
    ///   server did not respond in time, could not be reached, or responded before it had the canary: then the scan fails at
    ///   this server too.
    ///
    /// Only clean verdicts need a proof. Evidence against content counts without one. A few minutes are a good value for
    /// `every`: for so long after the loss of its engine, a server's 204 can still be taken for clean. See the page
    /// [`self_test`](crate::manual::self_test) of the manual.
    ///
    /// [`build`](Self::build) refuses zero. If `max_size` is below 300 bytes, every canary fails.
    ///
    /// ```
    /// use std::time::Duration;
    /// use icap_client::testing::{Engine, Server};
    /// use icap_client::{NotScanned, Scanner, Verdict};
    ///
    /// let server = Server::with_engine(Engine::Blind)?;
    /// let builder = Scanner::builder(server.uri()).canary(Duration::from_secs(300));
    /// let report = builder.build()?.scan("hello")?;
    /// assert_eq!(*report.verdict(), Verdict::NotScanned(NotScanned::NoEngine));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn canary(mut self, every: impl Into<Option<Duration>>) -> Self {
        self.canary = every.into();
        self
    }

    /// Limits the size of content, in bytes. `None` is no limit. Default: 104,857,600 bytes, which is 100 MiB
    /// ([`DEFAULT_MAX_SIZE`](crate::limits::DEFAULT_MAX_SIZE)).
    ///
    /// Larger content is [`NotScanned::TooLarge`]. If its length is known, nothing is sent. Otherwise the
    /// request is abandoned as soon as the content exceeds the limit.
    pub fn max_size(mut self, max_size: impl Into<Option<u64>>) -> Self {
        self.max_size = max_size.into();
        self
    }

    /// Limits the size of a copy that [`scan_tee`](Scanner::scan_tee) and [`scan_spooled`](Scanner::scan_spooled)
    /// write, in bytes. `None` is no limit. Default: twice the [size limit](Self::max_size)
    /// ([`DEFAULT_MAX_COPY_FACTOR`](crate::limits::DEFAULT_MAX_COPY_FACTOR)), which is 200 MiB by default, and no limit
    /// without a size limit.
    ///
    /// The copy of larger content is [incomplete](crate::IncompleteCopy::TooLarge), and the content is
    /// [`NotScanned::TooLarge`] in these two scans.
    pub fn max_copy(mut self, max_copy: impl Into<Option<u64>>) -> Self {
        self.max_copy = MaxCopy::Bytes(max_copy.into());
        self
    }

    /// Whether to send `OPTIONS` before the first scan, and again when the response expires. Default: true.
    ///
    /// With `false` the service is assumed to offer 204. Content that comes back unchanged is then
    /// [`NotScanned::Echoed`], unless [`allow_204`](Self::allow_204) is `false`.
    pub fn negotiate(mut self, negotiate: bool) -> Self {
        self.rules.negotiate = negotiate;
        self
    }

    /// Sets the ICAP method: [`Respmod`](Method::Respmod) presents the content as a download,
    /// [`Reqmod`](Method::Reqmod) as an upload. Default: RESPMOD, or REQMOD if the service offers nothing else.
    pub fn method(mut self, method: Method) -> Self {
        self.rules.method = Some(method);
        self
    }

    /// Whether a preview is sent, after which the service decides whether it needs the rest. Default:
    /// [`Off`](Preview::Off).
    ///
    /// A 100 or 204 for the previous request can arrive after the preview of this one was sent. Then no client can distinguish
    /// it from the response to the preview. If the
    /// server may send one, set [`max_idle(0)`](Self::max_idle) as well.
    pub fn preview(mut self, preview: Preview) -> Self {
        self.rules.preview = preview;
        self
    }

    /// Whether a 204 to a preview is [`Clean`](crate::Verdict::Clean), although the service has seen only the
    /// preview. Default: false.
    ///
    /// Set it only if the service sends such a 204 for harmless files alone. c-icap does not: it also sends one for a
    /// file that begins as a GIF and has a virus in its rest.
    pub fn trust_preview(mut self, trust: bool) -> Self {
        self.rules.trust_preview = trust;
        self
    }

    /// Whether the service may respond with 204 instead of sending clean content back (RFC 3507 §4.6).
    /// Default: true.
    ///
    /// If this is `false`, content is [`Clean`](crate::Verdict::Clean) only if exactly the bytes that were sent come
    /// back. A 204 is an error, and no [preview](Self::preview) is sent. This detects a server that loses a part
    /// of the content before the scan, as c-icap does when its disk is full.
    ///
    /// It has a price. Each scan receives as many bytes as it sends. And a service that sends back what it does
    /// not scan (too large, or of a type that it skips) cannot be distinguished from one that found nothing.
    /// Use `false` only if the service scans every type and size.
    pub fn allow_204(mut self, allow: bool) -> Self {
        self.rules.allow_204 = allow;
        self
    }

    /// Whether the service may respond with 206 and refer to the rest of the original
    /// (draft-icap-ext-partial-content). Default: false.
    ///
    /// It is allowed only if the service offers 206. For [`scan_replace`](Scanner::scan_replace) the content must
    /// be readable again as well, because the rest is read from it.
    ///
    /// Some servers, c-icap among them, send a 206 before they have read the request, take the rest of it for
    /// the next request, and respond to that too. On a new connection the first response is the one that counts, and the second is dropped. On a used
    /// connection the two cannot be distinguished, and the scan fails. With [`max_idle(0)`](Self::max_idle) every
    /// connection is new.
    pub fn allow_206(mut self, allow: bool) -> Self {
        self.rules.allow_206 = allow;
        self
    }

    /// Names a field with which the service reports a threat, for a vendor that this crate does not know. Further calls
    /// add further names. Default: none.
    ///
    /// A response with the field is [`Infected`](crate::Verdict::Infected), and its value is the name of the threat.
    /// Every value means a threat, also an empty one, except these: `none`, `no`, `no threat`, `no threats`, `n/a`, `null`,
    /// `false`, `0` and `-`. For these, upper and lower case make no difference, and quotation marks are ignored.
    ///
    /// The field counts wherever the fields of known vendors do: in the ICAP head, in encapsulated heads and in
    /// trailers, on every status, also if the response breaks off after it. Choose a name that the service alone
    /// uses: the content may come with HTTP heads of its own, and a service can send these back.
    ///
    /// [`build`](Self::build) returns an [`Error::Input`] for a name that is no token (RFC 9110 §5.6.2), and for a
    /// field of ICAP or HTTP itself, such as `Server` or `Content-Type`: every response would be infected.
    ///
    /// ```
    /// use icap_client::testing::{Script, Server};
    /// use icap_client::{Content, Scanner};
    ///
    /// let found = "ICAP/1.0 204 No Content\r\nX-Acme-Verdict: Worm.7\r\n\r\n";
    /// let server = Server::answering(move |_| Script::new().send(found))?;
    /// let scanner = Scanner::builder(server.uri())
    ///     .infection_header("X-Acme-Verdict")
    ///     .negotiate(false)
    ///     .build()?;
    /// let report = scanner.scan(Content::bytes(b"hello"))?;
    /// assert_eq!(report.verdict().to_string(), "infected: Worm.7");
    /// assert!(Scanner::builder(server.uri()).infection_header("Server").build().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn infection_header(mut self, name: impl Into<String>) -> Self {
        self.custom_headers.infections.push(name.into());
        self
    }

    /// Names a field with which the service says that it refused the content, for a vendor that this crate does not
    /// know. Further calls add further names. Default: none.
    ///
    /// A response with the field is [`Blocked`](crate::Verdict::Blocked), and its value is the
    /// [reason](crate::Blocked::reason). If there is an infection field as well, the response is `Infected`. What
    /// counts, where, and which names are errors is as for [`infection_header`](Self::infection_header).
    pub fn refusal_header(mut self, name: impl Into<String>) -> Self {
        self.custom_headers.refusals.push(name.into());
        self
    }

    /// Keeps verdicts on content that has an [id](crate::Content::id), so that the same content is not scanned again.
    /// Default: none.
    ///
    /// A verdict is given again if all of this holds; otherwise the content is scanned:
    ///
    /// - It is `Clean` or `Infected`, from a complete exchange in which nothing was odd.
    /// - It is for the same id and length, and everything that is sent besides the bytes is the same: the URI with its
    ///   arguments, method, preview, fields, name, type, HTTP heads, addresses, user, groups and credentials. The
    ///   settings by which responses are judged are the same too.
    /// - It came from the server that a scan would ask now. The verdict of a fallback server counts only where that
    ///   server would be asked.
    /// - The server's state tag (`ISTag`) is still the one that the response had, and a response has confirmed it within
    ///   the time of [`revalidate`](crate::Cache::revalidate). If a service has no tag, the content is scanned each time.
    /// - It is younger than [`max_age`](crate::Cache::max_age), and nothing has withdrawn it since.
    /// - The server has sent no early response and missed no canary since, as far as this process knows.
    /// - A clean verdict: the server's state tag does not mean "no engine" now. With a [canary](Self::canary), the server's proof holds now under this tag; a scan that takes its verdict from the
    ///   cache sends the canary too when one is due.
    ///
    /// Then no byte of the content is read, and no connection is needed unless the tag must be confirmed or a canary is
    /// due. The report [says](crate::Report::is_cached) that it is not new.
    ///
    /// If several scans of the same content run at once, the others wait for the first one: at most as long as the read
    /// timeout, or half of the time that they have left if that is shorter. If the first scan ends with an error, or with a verdict that is not kept, each
    /// of the others scans.
    ///
    /// [`scan_replace`](Scanner::scan_replace), [`scan_tee`](Scanner::scan_tee), [`scan_spooled`](Scanner::scan_spooled) and
    /// trials of a suspended server take no verdict from the cache. But what they find withdraws a clean one.
    /// [`manual::caching`](crate::manual::caching) says what an id must be, and what withdraws a verdict.
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
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

    /// Sets the address to connect to for the first server, the one given to [`Scanner::builder`]: `HOST` or
    /// `HOST:PORT`. Default: the host and the port of its URI.
    ///
    /// The address of a fallback server belongs to its [`Endpoint`]. [`Endpoint::connect_to`] has the details.
    pub fn connect_to(mut self, host_port: impl Into<String>) -> Self {
        self.first = self.first.map(|first| first.connect_to(host_port));
        self
    }

    /// Whether every server must be used over TLS. Default: false.
    ///
    /// With `true`, [`build`](Self::build) returns an [`Error::Input`] if the URI of a server begins with `icap://`,
    /// also if a [connector](Self::connector) of your own encrypts: use `icaps://` there.
    ///
    /// Over `icap` everybody on the way can read the content and the credentials, and can forge a clean verdict. So
    /// with `false`, `build` logs one warning that names each such server. It leaves out those whose address is this
    /// machine's: 127.0.0.0/8, `::1` and `localhost`. It cannot see whether a connector of your own encrypts.
    pub fn require_tls(mut self, require: bool) -> Self {
        self.require_tls = require;
        self
    }

    connection_settings!();

    /// Checks the settings. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if
    ///
    /// - an endpoint is not an ICAP URI, or its address cannot be used,
    /// - a setting that must not be zero is zero (see [`InvalidInput::Zero`](crate::error::InvalidInput::Zero)),
    /// - a header, an infection or refusal header or credentials cannot be used, or the method is `OPTIONS`,
    /// - TLS is [required](Self::require_tls), and a URI begins with `icap://`,
    /// - a URI is `icaps`, and there is neither the feature `rustls` nor a [connector](Self::connector).
    pub fn build(self) -> Result<Scanner, Error> {
        let require_tls = self.require_tls;
        let (scanner, endpoints) = self.assemble()?;
        check_encryption(&endpoints, require_tls)?;
        Ok(scanner)
    }

    /// Does what [`build`](Self::build) does, without a look at the encryption. Returns the same endpoints as the scanner
    /// makes when it is used.
    pub(super) fn assemble(self) -> Result<(Scanner, Endpoints), Error> {
        self.settings.check()?;
        let Self {
            first,
            others,
            settings,
            max_size,
            max_copy,
            rules,
            custom_headers,
            require_tls: _,
            cache,
            canary,
        } = self;
        custom_headers.check()?;
        if canary == Some(Duration::ZERO) {
            return Err(InputError::new(InvalidInput::Zero, "canary").into());
        }
        if rules.method == Some(Method::Options) {
            return Err(InputError::new(InvalidInput::Method, "OPTIONS").into());
        }
        let cache = cache.map(|cache| cache.open(&settings.clock, max_size));
        let first = first?;
        let others = others.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let recipe = Recipe {
            settings,
            first,
            others,
        };
        let endpoints = recipe.endpoints()?;
        let shared = Shared {
            used: OnceLock::new(),
            max_size,
            max_copy: max_copy.bytes(max_size),
            rules,
            custom_headers: Arc::new(custom_headers),
            cache: cache.transpose()?,
            canary,
            recipe,
        };
        let shared = Arc::new(shared);
        Ok((Scanner { shared }, endpoints))
    }
}

/// Refuses a server without TLS if TLS is required. Otherwise warns of servers without TLS beyond this machine.
fn check_encryption(endpoints: &Endpoints, require_tls: bool) -> Result<(), InputError> {
    let mut plain = endpoints
        .iter()
        .map(Client::uri)
        .filter(|uri| !uri.is_tls());
    if require_tls {
        let Some(uri) = plain.next() else {
            return Ok(());
        };
        let what = format!(
            "`require_tls` is set, so it must begin with icaps:// ({})",
            uri.name()
        );
        return Err(InputError::new(InvalidInput::Uri, &what));
    }
    let exposed: Vec<String> = plain
        .filter(|uri| !uri.is_loopback())
        .map(ServiceUri::name)
        .collect();
    if !exposed.is_empty() {
        let services = exposed.join(", ");
        log::warn!(
            "{services}: content is sent without encryption; use icaps:// if others can reach the network"
        );
    }
    Ok(())
}

/// Without header values and URIs, which may hold credentials.
impl fmt::Debug for ScannerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScannerBuilder")
            .field("max_size", &self.max_size)
            .field("max_copy", &self.max_copy)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
