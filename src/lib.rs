//! Decides whether a file may be handed to a person, by asking an ICAP server (RFC 3507) that has an
//! anti-virus engine: c-icap with ClamAV, or a commercial one.
//!
//! It is synchronous, uses `std::net` and is called from as many threads as there are. The default
//! build depends on `log`, `memchr` and `thiserror` and on nothing else.
//!
//! ```no_run
//! use icap_client::{Content, Scanner, Verdict};
//!
//! let scanner = Scanner::new("icap://127.0.0.1:1344/avscan")?;
//! let report = scanner.scan(Content::file("invoice.pdf")?)?;
//! match report.verdict() {
//!     Verdict::Clean => println!("deliver it"),
//!     Verdict::Infected(threats) => println!("refuse it: {threats}"),
//!     // Blocked, Modified, NotScanned, and whatever later versions add.
//!     other => println!("do not deliver it unasked: {other}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A scan from beginning to end
//!
//! ```text
//!  Content ──► too large? ── known length over the limit ──────────────► NotScanned(TooLarge)
//!                 │
//!              a server that is not suspended; if it fails, the next one
//!                 │
//!              OPTIONS (cached): which methods, does it offer 204, does it want previews?
//!                 │
//!              a connection: an idle one that proves it, or a new one
//!                 │
//!              send head and content ◄──► read what comes ──► answer complete?
//!              (with a preview: stop after it until the service wants the rest, or has answered)
//!                                                                            │
//!      the verdict table:  infection evidence, on any status ────────────► Infected
//!                          the ICAP head names a limit or what is locked ► NotScanned(ServiceLimit, Unscannable)
//!                          words or a status line that refuse ───────────► Blocked
//!                          a code for a failure of the service ──────────► NotScanned(ServiceError), or Err
//!                          a state tag that means "no engine" ───────────► NotScanned(NoEngine)
//!                          204 before all of the content was sent ───────► NotScanned(EarlyResponse)
//!                          204 to all of the content ────────────────────► Clean
//!                          204 to a preview of a part of it ─────────────► NotScanned(PreviewOnly)
//!                          the same content back, no 204 offered ────────► Clean
//!                          the same content back, 204 offered ───────────► NotScanned(Echoed)
//!                          the beginning of the content back ────────────► NotScanned(Truncated)
//!                          other content back, or a part of it (206) ────► Modified
//!                          a page that reports an error (400, 401, 5xx) ─► NotScanned(ServiceError)
//!                          not yet (202) ────────────────────────────────► NotScanned(Pending)
//!                          any other status, or no valid response ─────────► Err
//! ```
//!
//! Some of this surprises, so here is why:
//!
//! - **A 200 is not clean.** It says that content follows, not that it was looked at. Servers send
//!   unscanned files back as 200: too large, of a type they skip, or, with the usual defaults of
//!   c-icap, an infected file of which they return the first 5% and no infection header. That is
//!   [`NotScanned::Truncated`]: [`scan_replace`](Scanner::scan_replace) has written these 5%, which are never to be
//!   delivered.
//! - **An early 204 is not clean.** A server that responds before it has all of the content has not scanned
//!   it; c-icap that was started without its engine does so. The upload stops, and the
//!   [next server](ScannerBuilder::endpoint) is asked. This is seen only where the response arrives before the
//!   last byte is written, and "written" means taken by the kernel, which takes megabytes on a fast network:
//!   smaller content can be gone before an early response is there. That none was seen proves nothing.
//! - **No preview is sent** unless one is [asked for](ScannerBuilder::preview). Servers answer a preview
//!   with 204 because of what they saw of it: because they do not scan PDF, for example. That speaks of a
//!   part of the file and is [`NotScanned::PreviewOnly`].
//! - **`Transfer-Ignore` is not clean.** A service that does not want to see `.jpg` has not looked at one;
//!   it is sent all the same.
//! - **Cookies stay here.** A caller's HTTP heads go to the service without what somebody could act as the
//!   user with, query strings included, unless that is [asked for](Content::include_sensitive).
//! - **A read timeout is no bound.** It begins anew with every byte, though at least 1 KiB/s must move. The
//!   [deadline](ScannerBuilder::deadline) bounds the whole scan; only the caller's own reader, which
//!   nobody can interrupt, can outlast it.
//! - **A connection is used again only if it is silent.** ICAP responses carry no number, so a response that
//!   comes late would be taken for the next file's. What no client can see is a server, or something
//!   between, that sends a response of its own after the next request is on its way. Where that cannot be
//!   ruled out, [`max_idle(0)`](ScannerBuilder::max_idle) gives each exchange a connection of its own.
//! - **A failing server is suspended.** After ten failures in a row a circuit breaker opens, and scans go on to
//!   the [next server](ScannerBuilder::endpoint) or fail at once: otherwise each file would park a thread for a
//!   timeout. After 1 s one scan tries the server again; see [`suspension`](ScannerBuilder::suspension).
//! - **`OPTIONS` is no health check.** A server whose engine is down may respond to it as always, and call
//!   everything clean. That is known only of c-icap that was started without its engine, by its state tag:
//!   [`NotScanned::NoEngine`]. Scan something that must be found, for example EICAR, from time to time.
//!
//! # Rules that are never broken
//!
//! The sources refer to these by number.
//!
//! - **R1** No false clean. [`Verdict::Clean`] comes only from a complete, valid 204 to a completely
//!   written request, whose first byte came after the last byte of content was written; or, from a service
//!   that does not offer 204 or was not [allowed](ScannerBuilder::allow_204) it, from exactly the content that
//!   was sent (compared by length and keyed hash) under an HTTP 2xx head, or after the very request line
//!   that was sent (REQMOD). What is known against it counts: a response that began early, a state tag that
//!   means "no engine". Never from the end of a connection, a timeout, an unknown status, an empty
//!   answer or a default; from a 204 to a preview only if it was all of the content, or if the caller
//!   [trusts it](ScannerBuilder::trust_preview).
//! - **R2** Evidence only worsens. Infection fields, words that refuse and status lines that refuse (an ICAP 403;
//!   under any final ICAP status an HTTP head that is no 1xx, 2xx, 304, 400, 401 or 5xx; in REQMOD any response in
//!   place of the request but these errors) count as soon as they are legible: on every status, in the ICAP
//!   head, in the encapsulated HTTP heads, in trailers, and in a response that breaks off after them. No retry and
//!   no other server makes it better. What an encapsulated head or a trailer says, which may be the
//!   origin's own words, never yields less than the verdict without it: words for a limit count there only
//!   against a better verdict.
//! - **R3** One response belongs to one request. A connection is dirty from the first byte of an exchange,
//!   and clean again only when the whole request was written, the response was read to its own end, nothing
//!   is after it, nobody asked to close and nothing odd was seen. An idle one must prove that it is open
//!   and silent when it is put aside and when it is taken again. Any error, panic or early drop closes it.
//! - **R4** Never deadlock. The server may respond while the content is sent; it is read while writing.
//! - **R5** Bounded. Every wait has a timeout, the whole has a deadline, and every number a peer sends has
//!   one of the [limits], checked before memory is taken. Memory does not grow with the content.
//! - **R6** What is sent is what was meant. No CR, LF or NUL gets in through a name, URI or header, and
//!   content that fails or is not as long as declared never gets a last-chunk.
//! - **R7** Bytes decide, not their packaging. Every parser gives the same result at every split.
//! - **R8** Strict where framing is at stake, tolerant where only text is.
//! - **R9** No `unsafe`, and no panic on any peer's bytes.
//! - **R10** Blame is right. Only what a server did counts against it: connections that it refused or broke, 5xx
//!   and other statuses of a server that does not serve, and waiting for it that added up, in one exchange, to the
//!   timeout. Not the caller's slow reader or writer, not a deadline that is too short, not 503 while others are
//!   served, and not what this machine lacks.
//!
//! # The house
//!
//! Data flows one way, and a lower floor never names a higher one:
//!
//! | floor | what it does |
//! | --- | --- |
//! | `scan` | decides: [`Scanner`], [`Content`], what servers say about infections, the verdict table |
//! | `client` | runs one exchange: [`Client`], the transaction itself in `exchange.rs`; what is cached, retried and counted, and which server is asked |
//! | `net` | moves bytes: URIs, [`Connect`] and [`Stream`], the deadline, idle connections |
//! | `proto` | bytes in, values out: heads, chunks, answers; no socket, clock or log |
//!
//! # Features
//!
//! | feature | adds | for |
//! | --- | --- | --- |
//! | `rustls` | rustls with ring, rustls-native-certs | `icaps://` services, and `TlsConnector` for roots and client certificates of your own |
//! | `testing` | nothing | `icap_client::testing`, an in-process ICAP server for your own tests |
//! | `cli` | clap, indicatif, env_logger, serde_json, and the features `rustls` and `testing` | the program `icap` |
//!
//! Without `rustls`, an `icaps://` service needs a [connector](ScannerBuilder::connector) of your own. In no
//! case is it spoken to in plain.
//!
//! What a server should not have done is logged at warn, why a connection was closed at debug, through
//! [`log`]; never content, and never credentials.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod client;
mod error;
mod evidence;
#[cfg(any(test, fuzzing))]
pub mod fuzz_checks;
pub mod manual;
mod net;
mod proto;
mod scan;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;

pub use client::Client;
pub use client::body::Body;
pub use client::builder::ClientBuilder;
pub use error::{
    ConnectError, ContentError, DisconnectedError, Error, ErrorKind, InputError, InvalidInput,
    Limit, Phase, ProtocolError, StatusError, SuspendedError, TimeLimit, TimeoutError, Violation,
};
pub use evidence::{Resolution, Threat, ThreatKind, Threats};
pub use net::clock::Clock;
pub use net::tcp::TcpConnector;
#[cfg(feature = "rustls")]
pub use net::tls::{TlsConnector, TlsConnectorBuilder};
pub use net::transport::{Connect, Readiness, Stream};
pub use proto::header::{Field, Headers};
pub use proto::limits;
pub use proto::method::Method;
pub use proto::options::ServiceOptions;
pub use proto::request::Request;
pub use proto::response::Response;
pub use proto::text::is_displayable;
pub use proto::uri::ServiceUri;
pub use scan::Scanner;
pub use scan::builder::ScannerBuilder;
pub use scan::content::Content;
pub use scan::preview::Preview;
pub use scan::report::Report;
pub use scan::verdict::{Blocked, Modified, NotScanned, Verdict};
pub use stats::{Stats, Suspended};

/// The rustls whose `ClientConfig` a [`TlsConnector`] can be made from: version 0.23.
#[cfg(feature = "rustls")]
pub use rustls;

/// The examples of the README are doctests too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
