//! The state that the threads of one server share.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::conversation::Conversation;
use super::engine::Engine;
use super::offer::Offer;
use super::received::Received;
use super::script::Script;

/// How long the server waits for a client where a test would otherwise hang.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) type Respond = dyn Fn(&Received) -> Script + Send + Sync;

/// What a server does on its connections.
pub(super) enum Behaviour {
    Scan,
    Respond(Box<Respond>),
    Play(Vec<Script>),
}

impl Behaviour {
    /// Whether received bytes are kept, and a reset is possible. A healthy service does without, because
    /// it then reads long bodies faster.
    pub(super) fn is_under_test(&self) -> bool {
        !matches!(self, Self::Scan)
    }

    /// Whether requests that were not offered are refused. A script refuses nothing.
    pub(super) fn is_strict(&self) -> bool {
        !matches!(self, Self::Play(_))
    }
}

/// The state that all threads of a server share.
pub(super) struct Shared {
    pub(super) behaviour: Behaviour,
    /// The offer of the last response to `OPTIONS`.
    offer: Mutex<Offer>,
    engine: Mutex<Engine>,
    state: Mutex<State>,
    changed: Condvar,
    /// The client's side of the connection that ends accepting.
    pub(super) waker: Mutex<Option<TcpStream>>,
}

pub(super) struct State {
    pub(super) phase: Phase,
    is_accepting: bool,
    pub(super) requests: usize,
    /// By the number of the connection.
    live: BTreeMap<usize, Arc<TcpStream>>,
    /// One for each connection; empty while the connection is live.
    pub(super) conversations: Vec<Conversation>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Holding has ended, and everything else goes on.
    Finishing,
    /// All connections are shut down.
    Stopped,
}

impl Shared {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        let state = State {
            phase: Phase::Running,
            is_accepting: true,
            requests: 0,
            live: BTreeMap::new(),
            conversations: Vec::new(),
        };
        Self {
            behaviour,
            offer: Mutex::default(),
            engine: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            waker: Mutex::new(None),
        }
    }

    pub(super) fn offer(&self) -> MutexGuard<'_, Offer> {
        self.offer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine of a healthy service; none for others.
    pub(super) fn engine(&self) -> Option<Engine> {
        let engine = *self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(self.behaviour, Behaviour::Scan).then_some(engine)
    }

    pub(super) fn set_engine(&self, engine: Engine) {
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = engine;
    }

    /// Sets the offer, unless `response` is no complete 200 to `OPTIONS`. Returns whether it did.
    pub(super) fn has_offered(&self, response: &[u8]) -> bool {
        let Some(offer) = Offer::of(response) else {
            return false;
        };
        *self.offer() = offer;
        true
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        if phase == Phase::Stopped {
            for stream in state.live.values() {
                // This ends each read and each write that waits for the client.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    /// Waits for this time or until the server is stopped. Returns whether it still runs.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        self.wait_while(pause, |state| state.phase < Phase::Stopped) != Phase::Stopped
    }

    pub(super) fn hold(&self) {
        self.wait_while(Duration::MAX, |state| state.phase == Phase::Running);
    }

    pub(super) fn await_end_of_connections(&self) {
        self.wait_while(PATIENCE, |state| {
            state.is_accepting || !state.live.is_empty()
        });
    }

    /// Waits for at most `limit`, and returns the phase after that.
    fn wait_while(&self, limit: Duration, condition: impl FnMut(&mut State) -> bool) -> Phase {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), limit, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0.phase
    }

    /// Whether this is the connection that ends accepting.
    pub(super) fn is_waker(&self, peer: SocketAddr) -> bool {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        waker
            .as_ref()
            .is_some_and(|waker| waker.local_addr().is_ok_and(|own| own == peer))
    }

    /// Adds a connection, and returns its number.
    pub(super) fn register(&self, stream: TcpStream) -> (usize, Arc<TcpStream>) {
        let stream = Arc::new(stream);
        // Otherwise the system would join the packets of a `dribble`.
        let _ = stream.set_nodelay(true);
        let mut state = self.lock();
        let number = state.conversations.len();
        state.conversations.push(Conversation::new());
        state.live.insert(number, Arc::clone(&stream));
        if state.phase == Phase::Stopped {
            let _ = stream.shutdown(Shutdown::Both);
        }
        (number, stream)
    }

    pub(super) fn connection_ended(&self, number: usize, conversation: Conversation) {
        let mut state = self.lock();
        state.live.remove(&number);
        state.conversations[number] = conversation;
        self.changed.notify_all();
    }

    pub(super) fn accepting_ended(&self) {
        self.lock().is_accepting = false;
        self.changed.notify_all();
    }
}
