//! Asks an anti-virus server over ICAP (RFC 3507) whether a file may be handed to a person. The calls block:
//! make one [`Scanner`] and clone it into your threads.
//!
//! ```no_run
//! use icap_client::{Content, Scanner, Verdict};
//!
//! let scanner = Scanner::new("icap://127.0.0.1:1344/avscan")?;
//! let report = scanner.scan(Content::file("invoice.pdf")?)?;
//! match report.verdict() {
//!     Verdict::Clean => println!("deliver it"),
//!     Verdict::Infected(threats) => println!("refuse it: {threats}"),
//!     // Blocked, Modified, NotScanned, and what later versions add.
//!     other => println!("do not deliver it unasked: {other}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Only [`Verdict::Clean`] means that the file may be delivered. An [`Error`] means that there is no verdict.
//! [`manual::errors`] says what each error means and who can correct it.
//!
//! - [`Scanner::builder`] has the settings: size limit, timeouts, more servers, previews.
//! - [`Content`] is what is scanned: bytes, a file or a reader, and what is known about it.
//! - [`Policy`] decides what happens with the file: deliver it, ask the person, or refuse it; a [`Notice`] tells why.
//! - [`Scanner::scan_replace`] also takes the file that a service sends back, for content disarm.
//! - [`Client`] is the layer below: it sends RESPMOD and REQMOD requests and judges nothing.
//! - [`manual`] explains the verdicts, errors and timeouts, and how to set up servers.
//!
//! The root has what a first program needs. The details are in modules: [`error`], [`policy`], [`stats`],
//! [`transport`], [`protocol`], [`limits`], and `tls`, `testing` and `override_ticket` with their features.
//!
//! # How a verdict comes about
//!
//! ```text
//!  Content ──► is its known length over max_size? ── yes ──────────────► NotScanned(TooLarge)
//!     │ no
//!     ▼
//!  take the first server that is not suspended   ◄───────── next server ◄──┐
//!     │                                                                    │
//!     ▼                                                                    │
//!  OPTIONS (cached): which methods? 204? previews?                         │
//!     │                                                                    │
//!     ▼                                                                    │
//!  a connection: an idle one that is open and silent, or a new one         │
//!     │                                                                    │
//!     ▼                                                                    │
//!  send head and content, and read the response at the same time           │
//!     │                                                                    │
//!     ├── the server failed or does not scan; there is another server ─────┘
//!     ▼
//!  the first line that fits is the verdict:
//!     a field reports a threat, on any status ─────────────────────────► Infected
//!     the ICAP head names a limit, or what cannot be read ─────────────► NotScanned(ServiceLimit, Unscannable)
//!     a status line or words refuse ───────────────────────────────────► Blocked
//!     a code reports a failure of the service ─────────────────────────► NotScanned(ServiceError) or Err
//!     the state tag means "no engine" ─────────────────────────────────► NotScanned(NoEngine)
//!     204, begun before all of the content was sent ───────────────────► NotScanned(EarlyResponse)
//!     204 to a preview of a part of the content ───────────────────────► NotScanned(PreviewOnly)
//!     204 to all of the content ───────────────────────────────────────► Clean
//!     the same content came back, and 204 was not possible ────────────► Clean
//!     the same content came back, and 204 was possible ────────────────► NotScanned(Echoed)
//!     an HTTP page reports an error (400, 401, 5xx) ───────────────────► NotScanned(ServiceError)
//!     the beginning of the content came back ──────────────────────────► NotScanned(Truncated)
//!     other content came back, or a part of it (206) ──────────────────► Modified
//!     202, not finished ───────────────────────────────────────────────► NotScanned(Pending)
//!     any other status, or no valid response ──────────────────────────► Err
//! ```
//!
//! [`manual::verdicts`] says what to do about each. Some of this surprises:
//!
//! - **A 200 is not clean.** It says that content follows, not that the content was scanned. Servers send
//!   files back unscanned as 200 because they are too large or of a type that is skipped. c-icap, with its
//!   usual defaults, sends the first 5% of an infected file as 200 without an infection header. That is
//!   [`NotScanned::Truncated`].
//! - **An early 204 is not clean.** A server that responds before it has all of the content has not scanned
//!   all of it. c-icap that was started without its engine responds like this. The upload stops, and the
//!   [next server](ScannerBuilder::endpoint) is asked. The client sees this only if the response arrives
//!   before the kernel has taken the last byte. A kernel takes megabytes on a fast network. So for small
//!   content, the absence of an early response proves nothing.
//! - **No preview is sent by default.** A server can respond 204 to a preview because it does not scan such
//!   files at all. That says nothing about the rest of the file, so it is [`NotScanned::PreviewOnly`].
//!   [`Preview`] turns previews on.
//! - **`Transfer-Ignore` does not make a file clean.** A service that does not want to see `.jpg` files has
//!   not scanned any. So they are sent all the same.
//! - **Cookies are not forwarded.** If you pass HTTP heads, cookies, credentials and query strings are left
//!   out of them, unless you [ask for them](Content::include_sensitive).
//! - **A read timeout does not limit a scan.** It begins anew with every byte. The
//!   [deadline](ScannerBuilder::deadline) limits the whole scan; [`manual::timeouts`] has the picture.
//! - **A connection is used again only if it is silent.** ICAP responses have no number, so a late response
//!   would be taken for the response to the next file. No client can see a stray response that arrives
//!   after the next request has begun. [`max_idle(0)`](ScannerBuilder::max_idle) excludes that case: each
//!   exchange then has a connection of its own.
//! - **A failing server is suspended.** After ten failures in a row, a circuit breaker opens, and scans go to
//!   the next server or fail at once. Otherwise each file would keep a thread waiting for a timeout.
//! - **`OPTIONS` is no health check.** A server whose engine has failed can respond to it as always, and call
//!   everything clean. Scan something that must be found, for example EICAR, on a schedule.
//!   [`manual::limitations`] says what else no client can see.
//!
//! # Rules that are never broken
//!
//! The source code and the tests refer to these rules by number.
//!
//! - **R1 No false clean.** Only two responses make content [`Verdict::Clean`]:
//!   1. A complete, valid 204 to a completely written request. Its first byte came after the last byte of
//!      content was written. A 204 to a preview counts only if the preview was all of the content, or if the
//!      caller set [`trust_preview`](ScannerBuilder::trust_preview).
//!   2. A complete 200 or 201 that returns exactly the bytes that were sent, compared by length and keyed hash. In
//!      RESPMOD it has an HTTP 2xx head; in REQMOD it has the request line that was sent. The service does
//!      not offer 204, or the caller did not [allow](ScannerBuilder::allow_204) it. Its body also began after
//!      the last byte of content was written.
//!
//!   Neither counts under a state tag that means "no engine". Clean never comes from the end of a connection,
//!   a timeout, an unknown status, an empty response or a default.
//! - **R2 Evidence only worsens.** Evidence is a field that reports a threat, a status line that refuses, or
//!   words that refuse. It counts on every status, in the ICAP head, in encapsulated HTTP heads and in
//!   trailers. It counts as soon as it can be read, also if the response breaks off after it. No retry and no
//!   other server replaces it with something better. The author of the content may have written an
//!   encapsulated head or a trailer. So nothing in these improves the verdict that the response has without
//!   them.
//! - **R3 One response belongs to one request.** A connection is dirty from the first byte of an exchange. It
//!   is clean again only if the whole request was written, the response was read to its own end, nothing
//!   follows it, neither side asked to close, and the response had no fault. An idle connection must prove
//!   that it is open and silent when it is put into the pool and when it is taken out. An error, a panic or
//!   an early drop closes it.
//! - **R4 Never deadlock.** The server may respond while the content is sent. The client reads while it
//!   writes.
//! - **R5 Bounded.** Every wait has a timeout, and the whole scan has a deadline. Every number that a peer
//!   sends has a limit in [`limits`], which is checked before memory is taken. Memory does not grow with the
//!   content.
//! - **R6 What is sent is what was meant.** No CR, LF or NUL gets into a request through a name, a URI or a
//!   header. Content that fails, or is not as long as declared, never gets a last chunk.
//! - **R7 Bytes decide, not their packaging.** Every parser and every verdict gives the same result however
//!   the network splits the bytes. There is one exception: the time of its first byte decides whether a
//!   response is early.
//! - **R8 Strict framing, tolerant text.** Chunk sizes, `Encapsulated`, line ends and numbers must be exact.
//!   Names are compared without case, folded fields are unfolded, and values are bytes.
//! - **R9 No `unsafe` and no panic**, whatever bytes a peer sends, and whatever a caller's `Read`, `Write`,
//!   [`Stream`] or [`Connect`] returns.
//! - **R10 Blame is right.** Only what a server did counts against it: connections that it refused or broke,
//!   5xx, 400, 404, 405, bytes that are not ICAP, and waits that add up, in one exchange, to the timeout. Not
//!   counted are the caller's slow reader or writer, a deadline that was too short, 503 while the server
//!   serves other exchanges, and a shortage on this machine.
//!
//! # Features
//!
//! The default build depends on `log`, `memchr` and `thiserror` and on nothing else.
//!
//! | feature | adds | dependencies |
//! | --- | --- | --- |
//! | `rustls` | `icaps://` (ICAP over TLS), and a connector with roots and client certificates of your own | rustls with ring, rustls-native-certs |
//! | `testing` | an ICAP server [inside your tests](manual::testing) | none |
//! | `override` | tickets with which a person overrides a [policy](manual::notices)'s question | hmac, sha2 |
//! | `cli` | the program `icap`, and the features `rustls` and `testing` | clap, indicatif, env_logger, serde_json |
//!
//! Without `rustls`, an `icaps://` service is an error, unless you set a
//! [connector](ScannerBuilder::connector) of your own. It is never sent in plain.
//!
//! # Logging
//!
//! The crate logs through [`log`]: at warn what a server should not have done, at debug why a connection was
//! closed or a request was repeated. It never logs content or credentials.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
// Locks, threads, time and randomness are used through `seam`; tests may use those of std.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod client;
pub mod error;
mod evidence;
#[cfg(any(test, fuzzing))]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod fuzz_checks;
pub mod manual;
mod net;
mod proto;
mod scan;
mod seam;
pub mod stats;
#[cfg(feature = "testing")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod testing;

pub use client::Client;
pub use client::body::Body;
pub use client::builder::ClientBuilder;
pub use client::endpoint::Endpoint;
pub use error::Error;
pub use evidence::{Resolution, Threat, ThreatKind, Threats};
pub use net::transport::{Connect, Stream};
pub use proto::method::Method;
pub use proto::options::ServiceOptions;
pub use proto::request::Request;
pub use proto::response::Response;
pub use proto::uri::ServiceUri;
pub use scan::Scanner;
pub use scan::builder::ScannerBuilder;
pub use scan::content::Content;
#[cfg(feature = "override")]
pub use scan::override_ticket;
pub use scan::policy::{self, Decision, Notice, Policy};
pub use scan::preview::Preview;
pub use scan::report::Report;
pub use scan::verdict::{Blocked, Modified, NotScanned, Verdict};
pub use stats::Stats;

/// Limits of what a peer may send and a caller may pass in, and the defaults of the settings.
///
/// A limit is checked before memory is taken for what it bounds. What is *at* the limit passes, and one more is
/// refused: of a peer with [`Violation::LimitExceeded`](error::Violation::LimitExceeded), of a caller with
/// [`Error::Input`].
pub mod limits {
    pub use crate::client::defaults::*;
    pub use crate::net::resolver::MAX_LOOK_UP_THREADS;
    pub use crate::proto::limits::*;
    pub use crate::scan::builder::DEFAULT_MAX_SIZE;
}

/// The header fields of a response, and the rule by which text of a peer is shown.
pub mod protocol {
    pub use crate::proto::header::{Field, Fields, Headers};
    pub use crate::proto::text::is_displayable;
}

/// Connections: what a [`connector`](ScannerBuilder::connector) of your own implements, plain TCP, and the
/// clock.
pub mod transport {
    pub use crate::net::tcp::TcpConnector;
    pub use crate::net::transport::{Connect, Readiness, Stream};
    pub use crate::seam::time::Clock;
}

/// TLS for `icaps://` services (feature `rustls`).
#[cfg(feature = "rustls")]
pub mod tls {
    pub use crate::net::tls::{TlsConnector, TlsConnectorBuilder};
    /// The rustls that [`TlsConnector`] takes a `ClientConfig` of: version 0.23. A new incompatible version of
    /// rustls is a new incompatible version of this crate.
    pub use rustls;
}

/// The examples in README.md are doctests too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
