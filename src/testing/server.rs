//! The handle of a server.

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};

use super::acceptor::accept_all;
use super::conversation::Conversation;
use super::engine::Engine;
use super::received::Received;
use super::responses::options_with_preview;
use super::script::Script;
use super::shared::{Behaviour, PATIENCE, Phase, Shared};
#[cfg(feature = "rustls")]
use super::tls::Front;

/// An ICAP server on a free port of 127.0.0.1. Dropping it ends it and cuts off its connections.
///
/// ```
/// use icap_client::testing::Server;
/// use icap_client::{Content, Scanner};
///
/// let server = Server::start()?;
/// let scanner = Scanner::new(&server.uri())?;
/// assert!(scanner.scan(Content::bytes(b"hello"))?.verdict().is_clean());
/// assert_eq!(server.connections(), 1);
/// assert_eq!(server.requests(), 2, "OPTIONS and RESPMOD");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Its thread ends after the threads of all connections.
    acceptor: Option<JoinHandle<()>>,
    /// The port that speaks TLS, if there is one.
    #[cfg(feature = "rustls")]
    front: Option<Front>,
}

impl Server {
    /// Starts a healthy service: it finds the EICAR test file and nothing else.
    ///
    /// Its response to `OPTIONS` is [`OPTIONS_RESPONSE`](super::OPTIONS_RESPONSE). Its response to
    /// `RESPMOD` and `REQMOD` is
    ///
    /// - [`infected("Eicar-Test-Signature")`](super::infected) if the EICAR test file is anywhere in the body;
    /// - otherwise [`CLEAN`](super::CLEAN) if the request and [the offer](Self::offering) allow 204;
    /// - otherwise the message itself, if its body is not longer than 1 MiB;
    /// - otherwise 500.
    ///
    /// A request that is invalid, or has something that was not offered, gets 400 or 405, with the reason in the reason
    /// phrase. Then the connection is closed:
    ///
    /// | status | request | real servers |
    /// | --- | --- | --- |
    /// | 405 | `RESPMOD` or `REQMOD`, not offered | c-icap does the same |
    /// | 400 | unknown method | c-icap does the same |
    /// | 400 | `OPTIONS` with a body | c-icap does the same |
    /// | 400 | `RESPMOD` or `REQMOD` without an encapsulated HTTP head | c-icap, icap-rs and McAfee do the same |
    /// | 400 | encapsulated parts of the other method, or an incomplete HTTP head | c-icap does the same |
    /// | 400 | a preview where none is offered, or a larger one than offered | c-icap loses the data after it |
    /// | 400 | a preview longer than announced, or shorter without `ieof` | none can read it |
    /// | 400 | trailers where `Allow: trailers` is not offered | c-icap closes; pyicap takes them for the next request |
    ///
    /// If a preview is the whole body or contains the test file, the response follows at once. Otherwise
    /// the server sends [`CONTINUE`](super::CONTINUE) and reads the rest first.
    ///
    /// Bodies may have any length. The server keeps no more of them than the 1 MiB that it may have to send back.
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn start() -> io::Result<Self> {
        Self::with(Behaviour::Scan)
    }

    /// Starts a service as [`start`](Self::start) does, with another [`Engine`]: one that is blind, slow, or stops
    /// at a size.
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    ///
    /// ```
    /// use icap_client::testing::{self, Engine, Server};
    /// use icap_client::{Content, Scanner};
    ///
    /// let server = Server::with_engine(Engine::UpTo(1000))?;
    /// let scanner = Scanner::new(server.uri())?;
    /// let mut content = testing::eicar();
    /// assert!(scanner.scan(Content::bytes(&content))?.verdict().is_infected());
    /// content.resize(1001, b' ');
    /// assert!(scanner.scan(Content::bytes(&content))?.verdict().is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_engine(engine: Engine) -> io::Result<Self> {
        let server = Self::start()?;
        server.set_engine(engine);
        Ok(server)
    }

    /// Changes the engine of a server from [`start`](Self::start), [`with_engine`](Self::with_engine) or
    /// [`with_preview`](Self::with_preview), from the next request on. Other servers have no engine, and nothing changes.
    pub fn set_engine(&self, engine: Engine) {
        self.shared.set_engine(engine);
    }

    /// Makes an `icaps://` server of any server (feature `rustls`).
    ///
    /// `certificate` is the server's certificate for 127.0.0.1 in PEM, followed by the intermediate certificates if there
    /// are any. `key` is its private key in PEM. The port speaks TLS 1.2 and 1.3 and asks for no client certificate.
    /// Give the client the issuer's certificate as a root
    /// ([`TlsConnectorBuilder::roots_pem`](crate::tls::TlsConnectorBuilder::roots_pem)).
    ///
    /// Decrypted bytes go through a second connection on 127.0.0.1, so [`Script::reset`] arrives as an end without a
    /// reset.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the certificate or the key cannot be used; otherwise if the
    /// system has no port or thread left.
    ///
    /// ```
    /// use icap_client::testing::Server;
    /// use icap_client::tls::TlsConnector;
    /// use icap_client::{Content, Scanner};
    ///
    /// // The crate `rcgen` makes certificates for tests.
    /// let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    /// let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    ///
    /// let server = Server::start()?.with_tls(&certificate, &key)?;
    /// let connector = TlsConnector::builder().roots_pem(certificate.as_bytes())?.build()?;
    /// let scanner = Scanner::builder(server.uri()).connector(connector).build()?;
    /// assert!(server.uri().starts_with("icaps://"));
    /// assert!(scanner.scan(Content::bytes(b"hello"))?.verdict().is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "rustls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rustls")))]
    pub fn with_tls(
        mut self,
        certificate: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> io::Result<Self> {
        let front = Front::start(self.address, certificate.as_ref(), key.as_ref())?;
        self.front = Some(front);
        Ok(self)
    }

    /// Starts a healthy service, as [`start`](Self::start) does, that offers a preview of `len` bytes.
    ///
    /// Its response to `OPTIONS` is [`options_with_preview(len)`](options_with_preview).
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn with_preview(len: usize) -> io::Result<Self> {
        Self::start()?.offering(options_with_preview(len))
    }

    /// Sets what the server offers: `Methods`, `Preview`, `Allow: trailers` and `Allow: 204` of `options`,
    /// which is a complete 200 response to `OPTIONS`. Default:
    /// [`OPTIONS_RESPONSE`](super::OPTIONS_RESPONSE), or that of [`with_preview`](Self::with_preview).
    ///
    /// A [healthy service](Self::start) also sends `options` to a client that requests them. A server made
    /// by [`answering`](Self::answering) offers what its last response to `OPTIONS` offered, and needs this
    /// only for clients that send no `OPTIONS`. A [scripted](Self::scripted) server ignores it.
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

    /// Starts a server that reads each request to its end and then plays the script that `respond` returns.
    ///
    /// Of a request with a preview, it reads the preview. If [`Received::is_whole`] is false, the script can
    /// send the final response at once, or send [`CONTINUE`](super::CONTINUE) and
    /// [read the rest](Script::read_rest) first.
    ///
    /// The connection serves the next request until a script [closes](Script::close) it. A request that is
    /// invalid, or has something that was not offered, does not reach `respond`: the server refuses it as
    /// [`start`](Self::start) does. The offer is the last response to `OPTIONS` that `respond` returned, on any connection; before
    /// that, it is the one of [`offering`](Self::offering).
    ///
    /// If `respond` panics, its connection is closed. Dropping the server waits for a `respond` that runs.
    ///
    /// ```
    /// use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server};
    /// use icap_client::{Content, Scanner};
    ///
    /// let server = Server::answering(|request| match request.method() {
    ///     "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
    ///     _ if request.body().starts_with(b"bad") => Script::new().send("ICAP/1.0 403 Forbidden\r\n\r\n"),
    ///     _ => Script::new().send(CLEAN),
    /// })?;
    /// let scanner = Scanner::new(&server.uri())?;
    /// assert!(scanner.scan(Content::bytes(b"good"))?.verdict().is_clean());
    /// assert!(!scanner.scan(Content::bytes(b"bad"))?.verdict().is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn answering(
        respond: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::with(Behaviour::Respond(Box::new(respond)))
    }

    /// Starts a server that plays the first script on the first connection, the second script on the second,
    /// and the last one again on all further connections. Without a script, it closes each connection.
    ///
    /// It refuses nothing: a script decides what it reads. A script begins at the first byte of its
    /// connection. After its last step the server closes the connection as [`Script::close`] does.
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
            #[cfg(feature = "rustls")]
            front: None,
        })
    }

    /// The URI of its service, `icap://127.0.0.1:PORT/scan`; with TLS, `icaps://127.0.0.1:PORT/scan`.
    #[must_use]
    pub fn uri(&self) -> String {
        #[cfg(feature = "rustls")]
        if let Some(front) = &self.front {
            return format!("icaps://{}/scan", front.address);
        }
        format!("icap://{}/scan", self.address)
    }

    /// The address on which the server takes plain ICAP. With TLS, [`uri`](Self::uri) names another address, and this one
    /// takes plain ICAP all the same.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().conversations.len()
    }

    /// The number of requests read so far on all connections, to their end or to the end of their preview.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.lock().requests
    }

    /// Ends the server and returns its conversations, in the order in which it accepted them.
    ///
    /// It accepts no more connections, ends every [`Script::hold`], and waits for the end of each
    /// connection. After 10 seconds it cuts them off. Drop a client with idle connections before, because
    /// the server waits for it too.
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

    /// Wakes the acceptor by a connection to itself. It compares the address under this lock.
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
