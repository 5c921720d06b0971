//! An ICAP server inside the test's own process, on threads, for tests of whatever uses this crate.
//!
//! [`Server::start`] is a healthy service: it finds the EICAR test file and nothing else.
//! [`Server::answering`] lets a test compute each response, and [`Server::scripted`] decides what happens
//! on a connection byte by byte, also what no healthy server does. Each listens on a free port of
//! 127.0.0.1, and is gone, threads included, when it is dropped.
//!
//! The first two refuse with 400 what they did not offer, as real servers do: a test that passes here
//! should not fail in production. [`Server::offering`] makes them offer more: previews (RFC 3507 §4.5),
//! trailers, fewer methods.
//!
//! It is no server for anything but tests: it scans nothing, knows no TLS, and takes any name of a
//! service.
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
//! // A server that breaks off in the middle of its response.
//! let broken = Script::new().read_request().send("ICAP/1.0 20").close();
//! let server = Server::scripted([broken])?;
//! let scanner = Scanner::builder(&server.uri()).negotiate(false).build()?;
//! assert!(scanner.scan(Content::bytes(b"hello")).is_err());
//! assert!(server.finish()[0].received().starts_with(b"RESPMOD icap://"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod connection;
mod offer;
mod received;
mod responses;
mod script;
mod shared;

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use clock::ManualClock;
pub use received::{Conversation, Received};
pub use responses::{
    CLEAN, CONTINUE, OPTIONS_RESPONSE, echo, eicar, infected, options_with_preview,
};
pub use script::Script;
use shared::{Behaviour, Phase, Shared, accept_all};

/// How long a client is waited for where a test would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// An ICAP server, see the [module](self). It ends when it is dropped, whatever its connections do:
/// they are cut off.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Its thread ends after those of all connections.
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// A healthy service.
    ///
    /// It responds with `OPTIONS` with [`OPTIONS_RESPONSE`], and `RESPMOD` and `REQMOD` with
    /// [`infected("Eicar-Test-Signature")`](infected) if the EICAR test file is anywhere in the body,
    /// otherwise with [`CLEAN`]. Where the request does not allow 204, or where
    /// [what it offers](Self::offering) does not, a message with a body of up to 1 MiB is sent back, and
    /// for a longer body the response is 500.
    ///
    /// What is no request, or is not offered, gets 400 or, for a method, 405, and the connection is closed:
    ///
    /// | 400 for | because |
    /// | --- | --- |
    /// | a method that ICAP does not have | c-icap does so |
    /// | `OPTIONS` with a body | c-icap does so |
    /// | `RESPMOD` or `REQMOD` without an encapsulated HTTP head | c-icap, icap-rs and McAfee do so |
    /// | encapsulated parts of the other method, a head that is not whole | c-icap does so |
    /// | a preview where none is offered, or a larger one than is offered | c-icap loses data after it |
    /// | a preview longer than announced, or shorter without `ieof` | it cannot be read |
    /// | trailers where `Allow: trailers` is not offered | c-icap closes, pyicap takes them for the next request |
    ///
    /// The reason phrase says which it was. A method that is known and not offered gets 405.
    ///
    /// If the test file is in an offered preview, or if the preview is the whole body, that is answered at
    /// once, and everything else with [`CONTINUE`] first.
    ///
    /// Bodies may have any length. What was received is counted and not recorded.
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn start() -> io::Result<Self> {
        Self::with(Behaviour::Scan)
    }

    /// A healthy service as [`start`](Self::start), but one that offers a preview of `len` bytes: it
    /// responds with `OPTIONS` with [`options_with_preview(len)`](options_with_preview).
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn with_preview(len: usize) -> io::Result<Self> {
        Self::start()?.offering(options_with_preview(len))
    }

    /// Makes it offer what `options`, a complete 200 to `OPTIONS`, says, instead of what
    /// [`OPTIONS_RESPONSE`] says: `Methods`, `Preview`, `Allow: trailers` and `Allow: 204`.
    ///
    /// A [healthy service](Self::start) sends `options` to who asks for it. A server that
    /// [answers](Self::answering) needs this only for clients that do not ask: it offers what its last
    /// response to `OPTIONS` offered. One that is [scripted](Self::scripted) refuses nothing, and this
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `options` is no complete 200 to `OPTIONS`.
    ///
    /// ```
    /// use icap_client::testing::{OPTIONS_RESPONSE, Server};
    /// use icap_client::Client;
    ///
    /// let options = OPTIONS_RESPONSE.replace("Allow: 204", "Allow: 204, trailers");
    /// let server = Server::start()?.offering(options)?;
    /// assert!(Client::new(&server.uri())?.options()?.allows_trailers());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn offering(self, options: impl AsRef<[u8]>) -> io::Result<Self> {
        if self.shared.has_offered(options.as_ref()) {
            Ok(self)
        } else {
            let why = "not a complete 200 response to OPTIONS";
            Err(io::Error::new(io::ErrorKind::InvalidInput, why))
        }
    }

    /// A server that reads each request to its end and then plays the script that `answer` gives.
    ///
    /// Of a request with a preview it reads the preview. Where [`Received::is_whole`] says that more is
    /// to come, the script can give the final response at once, or send [`CONTINUE`] and
    /// [read the rest](Script::read_rest) before it.
    ///
    /// The connection is kept for the next request until a script [closes](Script::close) it. What is
    /// no request, or was not offered, does not reach `answer`: it is refused as by [`start`](Self::start).
    /// Offered is what the last response to `OPTIONS` offered that `answer` gave, whatever the connection;
    /// before that, what [`OPTIONS_RESPONSE`] offers or [`offering`](Self::offering) says. If `answer` panics, its connection is closed; dropping the server waits for
    /// an `answer` that is running.
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn answering(
        answer: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::with(Behaviour::Answer(Box::new(answer)))
    }

    /// A server that plays the first script on the first connection, the second on the second, and the
    /// last one again on all that follow; without any script it closes them.
    ///
    /// A script decides itself what it takes, so nothing is refused for not being offered. It begins with
    /// the connection's first byte, and after its last step the connection is
    /// closed as by [`Script::close`].
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn scripted(scripts: impl IntoIterator<Item = Script>) -> io::Result<Self> {
        Self::with(Behaviour::Play(scripts.into_iter().collect()))
    }

    fn with(behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(behaviour));
        let for_acceptor = Arc::clone(&shared);
        let accept = move || accept_all(&for_acceptor, listener);
        let acceptor = thread::Builder::new()
            .name("icap-server".to_owned())
            .spawn(accept)?;
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// The URI of its service, `icap://127.0.0.1:PORT/scan`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("icap://{}/scan", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().conversations.len()
    }

    /// Requests read to their end, or to the end of their preview, so far, on all connections.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.lock().requests
    }

    /// Accepts no more, ends every [`Script::hold`], waits until the connections have ended, and
    /// reports them in the order they were accepted.
    ///
    /// After 10 seconds it cuts them off. A client that keeps an idle connection open is waited for,
    /// so drop it before.
    #[must_use]
    pub fn finish(mut self) -> Vec<Conversation> {
        self.shared.enter(Phase::Finishing);
        self.stop_accepting();
        self.shared.await_end_of_connections();
        self.stop();
        mem::take(&mut self.shared.lock().conversations)
    }

    fn stop(&mut self) {
        self.shared.enter(Phase::Stopped);
        if self.stop_accepting() {
            // An error is a panic, and every panic was reported when it happened.
            let _ = self.acceptor.take().map(JoinHandle::join);
        }
    }

    /// Wakes the acceptor by a connection that it knows. The lock is held until it can know it.
    fn stop_accepting(&self) -> bool {
        let mut waker = self
            .shared
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if waker.is_none() {
            *waker = TcpStream::connect_timeout(&self.address, PATIENCE).ok();
        }
        waker.is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
