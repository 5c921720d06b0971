//! An ICAP server inside the test's own process, on threads, for tests of whatever uses this crate.
//!
//! [`Server::start`] is a healthy service: it finds the EICAR test file and nothing else.
//! [`Server::answering`] lets a test compute each answer, and [`Server::scripted`] decides what happens
//! on a connection byte by byte, also what no healthy server does. Each listens on a free port of
//! 127.0.0.1, and is gone, threads included, when it is dropped.
//!
//! All of them know previews (RFC 3507 §4.5), and [`Server::with_preview`] offers one too.
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
//! // A server that breaks off in the middle of its answer.
//! let broken = Script::new().read_request().send("ICAP/1.0 20").close();
//! let server = Server::scripted([broken])?;
//! let scanner = Scanner::builder(&server.uri()).negotiate(false).build()?;
//! assert!(scanner.scan(Content::bytes(b"hello")).is_err());
//! assert!(server.finish()[0].received().starts_with(b"RESPMOD icap://"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answers;
mod clock;
mod connection;
mod received;
mod script;
mod shared;

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use answers::{CLEAN, CONTINUE, OPTIONS_ANSWER, echo, eicar, infected, options_with_preview};
pub use clock::ManualClock;
pub use received::{Conversation, Received};
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
    /// It answers `OPTIONS` with [`OPTIONS_ANSWER`], and `RESPMOD` and `REQMOD` with
    /// [`infected("Eicar-Test-Signature")`](infected) if the EICAR test file is anywhere in the body,
    /// otherwise with [`CLEAN`]. Where the request does not allow 204, a message with a body of up to
    /// 1 MiB is sent back, and for a longer body the answer is 500. Other methods get 405; what is no
    /// request gets 400.
    ///
    /// It offers no preview, but takes one of any length. If the test file is in it, or if it is the
    /// whole body, that is answered at once, and everything else with [`CONTINUE`] first. A preview that
    /// is longer than announced, or shorter without `ieof`, gets 400.
    ///
    /// Bodies may have any length. What was received is counted and not recorded.
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn start() -> io::Result<Self> {
        Self::with(Behaviour::Scan { preview: None })
    }

    /// A healthy service as [`start`](Self::start), but one that offers a preview of `len` bytes: it
    /// answers `OPTIONS` with [`options_with_preview(len)`](options_with_preview), and refuses longer
    /// previews with 400.
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn with_preview(len: usize) -> io::Result<Self> {
        let preview = Some(len);
        Self::with(Behaviour::Scan { preview })
    }

    /// A server that reads each request to its end and then plays the script that `answer` gives.
    ///
    /// Of a request with a preview it reads the preview. Where [`Received::is_whole`] says that more is
    /// to come, the script can give the final answer at once, or send [`CONTINUE`] and
    /// [read the rest](Script::read_rest) before it.
    ///
    /// The connection is kept for the next request until a script [closes](Script::close) it. What is
    /// no request gets 400. If `answer` panics, its connection is closed; dropping the server waits for
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
    /// A script begins with the connection's first byte, and after its last step the connection is
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
