//! TLS before a plain server (feature `rustls`): a relay that encrypts and decrypts.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::shared::PATIENCE;

/// Bytes that one read takes.
const BUFFER: usize = 64 * 1024;

/// The port that speaks TLS. Dropping it ends it and cuts off its connections.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    relay: Arc<Relay>,
    acceptor: Option<JoinHandle<()>>,
}

struct Relay {
    config: Arc<ServerConfig>,
    plain: SocketAddr,
    /// Those that have ended are removed when the next one begins.
    sessions: Mutex<Vec<Weak<Session>>>,
    is_over: AtomicBool,
}

/// One connection of a client.
struct Session {
    client: TcpStream,
    plain: TcpStream,
    /// Locked during each write of encrypted bytes, so that the records stay in order.
    tls: Mutex<ServerConnection>,
}

impl Front {
    /// Starts it before the server at `plain`. Certificate (with those in between) and key are PEM.
    pub(super) fn start(plain: SocketAddr, certificate: &[u8], key: &[u8]) -> io::Result<Self> {
        let config = config(certificate, key)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let relay = Arc::new(Relay {
            config: Arc::new(config),
            plain,
            sessions: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let for_acceptor = Arc::clone(&relay);
        let accept = move || for_acceptor.accept_all(&listener);
        let acceptor = thread::Builder::new()
            .name("icaps-server".to_owned())
            .spawn(accept)?;
        Ok(Self {
            address,
            relay,
            acceptor: Some(acceptor),
        })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.relay.is_over.store(true, SeqCst);
        if TcpStream::connect_timeout(&self.address, PATIENCE).is_ok() {
            // An error is a panic, and every panic was reported when it happened.
            let _ = self.acceptor.take().map(JoinHandle::join);
        }
    }
}

fn config(certificate: &[u8], key: &[u8]) -> io::Result<ServerConfig> {
    let invalid = |error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|error| invalid(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid(&error))?;
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| invalid(&error))
}

impl Relay {
    /// Returns after the end of all sessions.
    fn accept_all(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            for client in listener.incoming() {
                if self.is_over.load(SeqCst) {
                    break;
                }
                // A connection for which there is no thread or port is closed.
                let Ok(session) = client.and_then(|client| self.session(client)) else {
                    continue;
                };
                let other = Arc::clone(&session);
                let requests = move || session.pass_requests_on();
                let responses = move || other.pass_responses_back();
                let _ = thread::Builder::new().spawn_scoped(scope, requests);
                let _ = thread::Builder::new().spawn_scoped(scope, responses);
            }
            for session in lock(&self.sessions).iter().filter_map(Weak::upgrade) {
                session.cut();
            }
        });
    }

    fn session(&self, client: TcpStream) -> io::Result<Arc<Session>> {
        client.set_nodelay(true)?;
        let mut tls = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        tls.set_buffer_limit(None);
        let plain = TcpStream::connect(self.plain)?;
        plain.set_nodelay(true)?;
        let session = Arc::new(Session {
            client,
            plain,
            tls: Mutex::new(tls),
        });
        let mut sessions = lock(&self.sessions);
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(&session));
        Ok(session)
    }
}

impl Session {
    fn pass_requests_on(&self) {
        let mut buffer = vec![0; BUFFER];
        while let Ok(len @ 1..) = (&self.client).read(&mut buffer) {
            let Ok(content) = self.decrypt(&buffer[..len]) else {
                return self.cut();
            };
            if (&self.plain).write_all(&content).is_err() {
                // The server has closed, and its response may still be in transit.
                return;
            }
        }
        let _ = self.plain.shutdown(Shutdown::Write);
    }

    fn decrypt(&self, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut tls = lock(&self.tls);
        let mut content = Vec::new();
        while !bytes.is_empty() && tls.read_tls(&mut bytes)? > 0 {
            let state = tls.process_new_packets();
            // Also the alert about a fault.
            self.send(&mut tls)?;
            let len = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
            let before = content.len();
            content.resize(before + len, 0);
            tls.reader().read_exact(&mut content[before..])?;
        }
        Ok(content)
    }

    fn pass_responses_back(&self) {
        let mut buffer = vec![0; BUFFER];
        while let Ok(len @ 1..) = (&self.plain).read(&mut buffer) {
            let mut tls = lock(&self.tls);
            let written = tls.writer().write_all(&buffer[..len]);
            if written.and_then(|()| self.send(&mut tls)).is_err() {
                return self.cut();
            }
        }
        let mut tls = lock(&self.tls);
        tls.send_close_notify();
        let _ = self.send(&mut tls);
        let _ = self.client.shutdown(Shutdown::Write);
    }

    fn send(&self, tls: &mut MutexGuard<'_, ServerConnection>) -> io::Result<()> {
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
        (&self.client).write_all(&records)
    }

    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.plain.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
