//! An ICAP server inside the process of a test, for tests of programs that use this crate.
//!
//! | constructor | server |
//! | --- | --- |
//! | [`Server::start`] | a healthy service that finds the EICAR test file and nothing else |
//! | [`Server::with_engine`] | the same with an [`Engine`] that is blind, slow or stops at a size |
//! | [`Server::answering`] | a function computes each response |
//! | [`Server::scripted`] | a [`Script`] decides each byte on a connection, also what no healthy server does |
//!
//! Each server listens on a free port of 127.0.0.1. Dropping it ends it and all of its threads.
//!
//! The first three respond with 400 to a request that they did not offer, as real servers do, so that a test
//! that passes here does not fail in production. [`Server::offering`] changes the offer: previews
//! (RFC 3507 §4.5), trailers, fewer methods.
//!
//! `Server::with_tls` (feature `rustls`) makes any of them an `icaps://` server.
//!
//! The server is for tests only. It scans nothing, and accepts every service name.
//!
//! ```
//! use icap_client::testing::{self, Script, Server};
//! use icap_client::{Content, Scanner};
//!
//! let server = Server::start()?;
//! let scanner = Scanner::new(&server.uri())?;
//! assert!(scanner.scan(Content::bytes(b"hello"))?.verdict().is_clean());
//! assert!(scanner.scan(Content::bytes(&testing::eicar()))?.verdict().is_infected());
//!
//! // A server that closes the connection in the middle of its response.
//! let broken = Script::new().read_request().send("ICAP/1.0 20").close();
//! let server = Server::scripted([broken])?;
//! let scanner = Scanner::builder(&server.uri()).negotiate(false).build()?;
//! assert!(scanner.scan(Content::bytes(b"hello")).is_err());
//! assert!(server.finish()[0].received().starts_with(b"RESPMOD icap://"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acceptor;
mod clock;
mod connection;
mod conversation;
mod engine;
mod gate;
mod healthy;
mod offer;
mod received;
mod responses;
mod script;
mod server;
mod shared;
#[cfg(feature = "rustls")]
mod tls;

pub use clock::ManualClock;
pub use conversation::Conversation;
pub use engine::Engine;
pub use gate::Gate;
pub use received::Received;
pub use responses::{
    CLEAN, CONTINUE, OPTIONS_RESPONSE, echo, eicar, infected, options_with_preview,
};
pub use script::Script;
pub use server::Server;
