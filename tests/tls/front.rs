//! A TLS server on 127.0.0.1 before a plain ICAP server. A test can make it do what no healthy server does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use icap_client::tls::rustls::{ServerConfig, ServerConnection};

/// The end of a connection after the plain server has closed its side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With `close_notify`, as TLS requires.
    Notified,
    /// Without `close_notify`, as if the connection broke.
    Silent,
}

pub(crate) struct Front {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<JoinHandle<()>>,
}

struct State {
    config: Arc<ServerConfig>,
    backend: SocketAddr,
    ending: Ending,
    sessions: Mutex<Vec<Arc<Session>>>,
    is_over: AtomicBool,
}

/// One connection of a client.
pub(crate) struct Session {
    tcp: TcpStream,
    backend: TcpStream,
    /// Locked during each write of encrypted bytes, so that the records stay in order.
    tls: Mutex<ServerConnection>,
}

impl Front {
    pub(crate) fn new(config: Arc<ServerConfig>, backend: SocketAddr, ending: Ending) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            config,
            backend,
            ending,
            sessions: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let acceptor = Some(thread::spawn(move || shared.accept_all(&listener)));
        Self {
            address,
            state,
            acceptor,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn uri(&self) -> String {
        format!("icaps://{}/scan", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.sessions.lock().unwrap().len()
    }

    pub(crate) fn session(&self, number: usize) -> Arc<Session> {
        Arc::clone(&self.state.sessions.lock().unwrap()[number])
    }

    /// The session of the last connection, after its handshake.
    pub(crate) fn last_session(&self) -> Arc<Session> {
        let session = self.session(self.connections() - 1);
        session.await_handshake();
        session
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.state.is_over.store(true, SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        self.acceptor.take().map(JoinHandle::join);
    }
}

impl State {
    fn accept_all(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            for tcp in listener.incoming() {
                if self.is_over.load(SeqCst) {
                    break;
                }
                let Ok(session) = tcp.and_then(|tcp| self.session(tcp)) else {
                    continue;
                };
                self.sessions.lock().unwrap().push(Arc::clone(&session));
                let other = Arc::clone(&session);
                scope.spawn(move || session.pass_requests_on());
                scope.spawn(move || other.pass_responses_back(self.ending));
            }
            for session in self.sessions.lock().unwrap().iter() {
                session.cut();
            }
        });
    }

    fn session(&self, tcp: TcpStream) -> io::Result<Arc<Session>> {
        tcp.set_nodelay(true)?;
        let mut tls = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        tls.set_buffer_limit(None);
        Ok(Arc::new(Session {
            tcp,
            backend: TcpStream::connect(self.backend)?,
            tls: Mutex::new(tls),
        }))
    }
}

impl Session {
    /// Encrypts and sends bytes, as if the server had sent them.
    pub(crate) fn say(&self, bytes: &[u8]) {
        let mut tls = self.tls.lock().unwrap();
        tls.writer().write_all(bytes).unwrap();
        self.send(&mut tls).unwrap();
    }

    /// The client may end the handshake before the server knows it.
    pub(crate) fn await_handshake(&self) {
        while self.tls.lock().unwrap().is_handshaking() {
            thread::yield_now();
        }
    }

    /// The records of these bytes. They must be sent before anything else of the session.
    pub(crate) fn encrypt(&self, bytes: &[u8]) -> Vec<u8> {
        let mut tls = self.tls.lock().unwrap();
        tls.writer().write_all(bytes).unwrap();
        take_records(&mut tls).unwrap()
    }

    /// The record of a key update, to be sent like those of [`encrypt`](Self::encrypt).
    pub(crate) fn encrypt_new_keys(&self) -> Vec<u8> {
        let mut tls = self.tls.lock().unwrap();
        tls.refresh_traffic_keys().unwrap();
        take_records(&mut tls).unwrap()
    }

    /// The record that ends the session, to be sent like those of [`encrypt`](Self::encrypt).
    pub(crate) fn encrypt_end(&self) -> Vec<u8> {
        let mut tls = self.tls.lock().unwrap();
        tls.send_close_notify();
        take_records(&mut tls).unwrap()
    }

    /// Ends the server's side of the connection, without `close_notify`.
    pub(crate) fn half_close(&self) {
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Updates the server's keys, and requests the same of the client.
    pub(crate) fn change_keys(&self) {
        let mut tls = self.tls.lock().unwrap();
        tls.refresh_traffic_keys().unwrap();
        self.send(&mut tls).unwrap();
    }

    /// Sends bytes unencrypted.
    pub(crate) fn say_raw(&self, bytes: &[u8]) {
        let _lock = self.tls.lock().unwrap();
        (&self.tcp).write_all(bytes).unwrap();
    }

    fn pass_requests_on(&self) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = (&self.tcp).read(&mut buffer) {
            let Ok(plain) = self.decrypt(&buffer[..len]) else {
                return self.cut();
            };
            if (&self.backend).write_all(&plain).is_err() {
                // Its response is still in transit.
                return;
            }
        }
        let _ = self.backend.shutdown(Shutdown::Write);
    }

    fn decrypt(&self, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut tls = self.tls.lock().unwrap();
        let mut plain = Vec::new();
        while !bytes.is_empty() && tls.read_tls(&mut bytes)? > 0 {
            let state = tls.process_new_packets();
            // Also the alert about a fault.
            self.send(&mut tls)?;
            let len = state.map_err(io::Error::other)?.plaintext_bytes_to_read();
            let before = plain.len();
            plain.resize(before + len, 0);
            tls.reader().read_exact(&mut plain[before..])?;
        }
        Ok(plain)
    }

    fn pass_responses_back(&self, ending: Ending) {
        let mut buffer = vec![0; 64 * 1024];
        let ended = loop {
            match (&self.backend).read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(len) => {
                    let mut tls = self.tls.lock().unwrap();
                    let written = tls.writer().write_all(&buffer[..len]);
                    if written.and_then(|()| self.send(&mut tls)).is_err() {
                        break Err(());
                    }
                }
                Err(_) => break Err(()),
            }
        };
        if ended.is_ok() && ending == Ending::Notified {
            let mut tls = self.tls.lock().unwrap();
            tls.send_close_notify();
            let _ = self.send(&mut tls);
        }
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    fn send(&self, tls: &mut MutexGuard<'_, ServerConnection>) -> io::Result<()> {
        let bytes = take_records(tls)?;
        (&self.tcp).write_all(&bytes)
    }

    fn cut(&self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
        let _ = self.backend.shutdown(Shutdown::Both);
    }
}

fn take_records(tls: &mut ServerConnection) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}
