//! Asks an anti-virus server over ICAP (RFC 3507) whether a file may be handed to a person. The calls block:
//! make one [`Scanner`] and clone it into your threads.
//!
//! ```no_run
//! use icap_client::{Content, Scanner, Verdict};
//!
//! // With these four arguments, c-icap skips no file; set the limits of clamd too, see `manual::c_icap`.
//! let service = "icap://127.0.0.1/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple";
//! let scanner = Scanner::new(service)?;
//! let report = scanner.scan(Content::file("invoice.pdf")?)?;
//! match report.verdict() {
//!     Verdict::Clean => println!("deliver it"),
//!     Verdict::Infected(threats) => println!("refuse it: {threats}"),
//!     // Blocked, Modified, NotScanned, and what later versions add.
//!     other => println!("do not deliver it: {other}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Only [`Verdict::Clean`] means that the file may be delivered. For every other verdict a person, or a rule of yours,
//! decides: see [`manual::verdicts`]. An [`Error`] means that there is no verdict: see [`manual::errors`].
//!
//! - [`Scanner::builder`] has the settings: size limit, timeouts, more servers, previews.
//! - [`Content`] is what is scanned: bytes, a file or a reader, and what is known about it.
//! - [`Policy`] decides what happens with the file: deliver it, ask the person, or refuse it; a [`Notice`] tells why.
//! - [`Cache`] gives the verdict on the same content again without a scan.
//! - [`Scanner::scan_spooled`] and [`Scanner::scan_tee`] keep a copy of the content while it is scanned: for files that are
//!   fetched from elsewhere.
//! - [`Scanner::scan_replace`] also writes out the file that the service sends back: for services that rebuild
//!   files without active parts (content disarm).
//! - [`Client`] is the layer below: it sends RESPMOD and REQMOD requests and judges nothing.
//! - [`manual`] explains verdicts, errors and timeouts, how to set up servers, and what to tell them about the content.
//!
//! The root has what a first program needs. The details are in modules: [`error`], [`policy`], [`stats`],
//! [`self_test`], [`transport`], [`protocol`], [`limits`], and `tls`, `testing` and `override_ticket` with their features.
//!
//! # How a verdict comes about
//!
//! These terms of ICAP come up again and again. A **server** is a host and port; a **service** is a path on it, and its
//! URI names both. The **peer** is the other end of a connection, perhaps not an ICAP server at all. A client sends the
//! content inside an HTTP message: as the response to a download (method **RESPMOD**), or as the body of an upload
//! (**REQMOD**). The start line and fields of that message are the **encapsulated HTTP head**. Fields after a body are a
//! **trailer**. **OPTIONS** is the request that asks what a service offers. A **preview** is the beginning of the content,
//! after which the service decides whether it needs the rest. The most frequent statuses of a response are these: **204**
//! says "unmodified" and has no content, **200** returns content, and **206** has new content and a number n: the original
//! from byte n on belongs after the new content, and is not sent back. The **state tag** (`ISTag`) names the version of the
//! service and of its signatures. c-icap looks up the version of the signatures only when it starts or is reconfigured, so its tag can name an
//! old one. **EICAR** is a harmless test file that every engine reports as a virus. A **canary** is EICAR in an archive,
//! which the scanner sends to a server from time to time if [`canary`](ScannerBuilder::canary) is set. A server that does
//! not find it has **missed** the canary.
//!
//! ```text
//!  Content ──► it is larger than max_size ─────────────────────────────► NotScanned(TooLarge)
//!     │        (if its length is unknown, this is found during the upload)
//!     ▼
//!  take the first server that is not suspended
//!     ▼
//!  OPTIONS (cached): which methods? 204? previews?
//!     ▼
//!  with a cache: the content has an id, and its verdict holds ──────────► Clean or Infected, as before
//!     ▼
//!  a connection: an idle one that is open and has no unread byte, or a new one
//!     ▼
//!  send head and content, and read the response at the same time
//!     ▼
//!  the response decides (the table in manual::verdicts has each case):
//!     it says something against the content ───────────────────────────► Infected, Blocked or NotScanned
//!     a 204 or the same content, and all that rule R1 wants holds ─────► Clean
//!     a 204 or the same content otherwise ─────────────────────────────► NotScanned or Err
//!     other content ───────────────────────────────────────────────────► Modified
//!     a part of the content ───────────────────────────────────────────► NotScanned
//!     the service reports a failure of its own ────────────────────────► NotScanned or Err
//!     another status, or no valid response ────────────────────────────► NotScanned or Err
//!
//!  After some kinds of NotScanned and Err the next server is asked, if there is one, if the content can be sent
//!  again and if there is time: see manual::timeouts.
//! ```
//!
//! `Infected`, `ServiceLimit`, `Unscannable` and `Blocked` are decided as soon as the field or the status line has been
//! read, also if the response breaks off later. No other server is asked then. Some of this surprises:
//!
//! - **A 200 alone is not clean.** It says that content follows, not that the content was scanned. Servers send
//!   files back unscanned as 200 because they are too large or of a type that is skipped. c-icap, with its
//!   usual defaults, sends the first 5% of an infected file above 2 MB as 200 without an infection header.
//! - **An early 204 is not clean.** A server that responds before it has all of the content has not scanned all of it.
//!   c-icap that was started without its engine responds like this. The client sees it only if the response arrives
//!   before the last byte is written, and the kernel takes megabytes at once on a fast network. So for small content, the
//!   absence of an early response proves nothing.
//! - **No preview is sent by default.** A server can respond 204 to a preview because it does not scan files of
//!   that type or size. That says nothing about the rest of the file. [`Preview`] turns previews on.
//! - **`Transfer-Ignore` does not make a file clean.** With this field, a service names file extensions that it
//!   does not want to see, for example `jpg`. A file that is not sent is not scanned, so the scanner sends such
//!   a file all the same.
//! - **Cookies are not forwarded.** You can pass the [head of the HTTP message](Content::http_response) that the
//!   content came with. Cookies, credentials and query strings are left out of it, unless you
//!   [ask for them](Content::include_sensitive).
//! - **A read timeout does not limit a scan.** It begins anew with every byte. The
//!   [deadline](ScannerBuilder::deadline) limits the whole scan; [`manual::timeouts`] has the picture.
//! - **A stray response can be taken for the response to the next file**, because ICAP responses have no number. A
//!   connection is used again only if no unread byte has arrived on it. No client can recognise a stray response that
//!   arrives after the next request was written. [`max_idle(0)`](ScannerBuilder::max_idle) excludes that case: each
//!   exchange then has a connection of its own.
//! - **`OPTIONS` is no health check.** After its engine has failed, a server can respond to it as always, and call
//!   everything clean. [`Scanner::self_test`] scans what must be found, in forms that services often skip.
//!   [`manual::limitations`] says what else no client can see.
//!
//! # Rules that are never broken
//!
//! The source code and the tests refer to these rules by number.
//!
//! - **R1 No false clean.** Only two responses make content [`Verdict::Clean`]:
//!   1. A complete, valid 204 that the request allowed, if the request was written completely and the first byte of the
//!      response came after the last byte of content was written. With [`trust_preview`](ScannerBuilder::trust_preview),
//!      a 204 to a preview counts as well.
//!   2. A complete 200 or 201 that returns exactly the bytes that were sent (the length and a keyed hash agree), if the
//!      service does not offer 204 or the caller did not [allow](ScannerBuilder::allow_204) it, and if the response began
//!      after the last byte of content was written. In RESPMOD its HTTP head must have a 2xx status, in REQMOD the request
//!      line that was sent.
//!
//!   Neither counts if more bytes follow the response, or if its state tag means "no engine". With a
//!   [canary](ScannerBuilder::canary), neither counts unless the server has proved under the same state tag that it scans.
//!   Clean never comes from the end of a connection, a timeout, an unknown status, a 200 without content or a default.
//!   A [cache](ScannerBuilder::cache) repeats a clean verdict only if it came from one of the two.
//! - **R2 Evidence is never lost.** Evidence is a field that reports a threat, a status line that refuses, a field with
//!   words that refuse, or an ICAP head that names a limit or unreadable content. It counts on every status, as soon as it
//!   can be read, also if the response breaks off after it. If there is more than one, the order of the table in
//!   [`manual::verdicts`] decides.
//!   No retry and no other server replaces it with something better. A server can copy an encapsulated head or a trailer
//!   from the content, so an attacker can write it. Therefore nothing in these makes a verdict better than it is without
//!   them.
//! - **R3 One response belongs to one request.** When an exchange begins, its connection stops being reusable.
//!   It is reusable again only if the whole request was written, the response was read to its own end, nothing
//!   follows it, neither side asked to close, and the response had no fault. An idle connection is checked to be
//!   open, without an unread byte, when it is put into the pool and when it is taken out. An error, a panic or
//!   an early drop closes it.
//! - **R4 Never deadlock.** The server may respond while the content is sent. The client reads while it
//!   writes.
//! - **R5 Bounded.** Every wait for a server has a timeout, and the whole scan has a deadline, unless the caller removes
//!   it with `deadline(None)`. Every number that a peer sends has a limit in [`limits`], which is checked before memory is
//!   taken. Memory does not grow with the content.
//! - **R6 What is sent is what was meant.** No CR, LF or NUL gets into a request through a name, a URI or a
//!   header. Bodies are sent in chunks, and the last chunk says that the body is complete. Content that fails, or
//!   is not as long as declared, never gets a last chunk, so no server takes it for complete.
//! - **R7 Bytes decide, not their packaging.** Every parser and every verdict gives the same result however
//!   the network splits the bytes. There is one exception: the time of its first byte decides whether a
//!   response is early.
//! - **R8 Strict framing, tolerant text.** Chunk sizes, `Encapsulated`, line ends and numbers must be exact.
//!   Names are compared without case, folded fields are unfolded, and values are bytes.
//! - **R9 No `unsafe` and no panic**, whatever bytes a peer sends, and whatever a caller's `Read`, `Write`,
//!   [`Stream`] or [`Connect`] returns.
//! - **R10 Blame is right.** Only what a server did counts against it: for example a broken connection, a timeout, or a
//!   status 5xx. Not counted are the caller's slow reader or writer, a cancelled scan, a shortage on this machine, and a
//!   full server that still serves other scans. [`manual::errors`] has both lists.
//!
//! # Features
//!
//! The default build depends on `log`, `memchr` and `thiserror` and on nothing else.
//!
//! | feature | adds | dependencies |
//! | --- | --- | --- |
//! | `rustls` | `icaps://` (ICAP over TLS), and a connector with roots and client certificates of your own | rustls with ring, rustls-native-certs |
//! | `testing` | an ICAP server [inside your tests](manual::testing) | none |
//! | `override` | tickets by which a person whom the [policy](manual::notices) asks gets the file all the same | hmac, sha2 |
//! | `cli` | the program `icap`, and the features `rustls` and `testing` | clap, indicatif, env_logger, serde_json |
//!
//! Without `rustls`, an `icaps://` service is an error, unless you set a
//! [connector](ScannerBuilder::connector) of your own. Nothing is sent over plain TCP instead.
//!
//! # Logging
//!
//! The crate logs through [`log`]: the result of each scan at info, what a server should not have done at warn, and at
//! debug what helps to follow one scan. It never logs content, credentials or the arguments of a URI.
//! [`manual::operating`] describes the lines.

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
pub use client::tee::IncompleteCopy;
pub use error::Error;
pub use evidence::{Resolution, Threat, ThreatKind, Threats};
pub use net::cancel::Cancel;
pub use net::transport::{Connect, Stream};
pub use proto::method::Method;
pub use proto::options::ServiceOptions;
pub use proto::request::Request;
pub use proto::response::Response;
pub use proto::uri::ServiceUri;
pub use scan::Scanner;
pub use scan::builder::ScannerBuilder;
pub use scan::cache::{Cache, VerdictCache};
pub use scan::content::Content;
#[cfg(feature = "override")]
pub use scan::override_ticket;
pub use scan::policy::{self, Decision, Notice, Policy};
pub use scan::preview::Preview;
pub use scan::report::Report;
pub use scan::self_test::{self, SelfTest};
pub use scan::tee::Teed;
pub use scan::verdict::{Blocked, Modified, NotScanned, Verdict};
pub use stats::Stats;

/// Limits of what a peer may send and a caller may pass in, limits of helper threads, and the defaults of the settings.
///
/// A limit is checked before memory is taken for what it bounds. What is *at* the limit passes. What is above it
/// is an error: [`Violation::LimitExceeded`](error::Violation::LimitExceeded) if a peer sent it, [`Error::Input`] if
/// a caller passed it in. Each limit for which another rule holds says so.
pub mod limits {
    pub use crate::client::defaults::*;
    pub use crate::net::cancel::CANCEL_INTERVAL;
    pub use crate::net::connecting::MAX_CONNECT_THREADS;
    pub use crate::net::resolver::MAX_LOOK_UP_THREADS;
    pub use crate::proto::limits::*;
    pub use crate::scan::builder::{DEFAULT_MAX_COPY_FACTOR, DEFAULT_MAX_SIZE};
    pub use crate::scan::cache::{
        DEFAULT_CACHE_AGE, DEFAULT_CACHE_ENTRIES, DEFAULT_REVALIDATE, MAX_CACHE_ENTRY,
    };
    pub use crate::stats::histogram::DURATION_BOUNDS;
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
