//! What the threads of one server share, and how they begin and end.

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::PATIENCE;
use super::connection::{Connection, Over};
use super::offer::Offer;
use super::received::{Conversation, Received};
use super::script::Script;

/// When to accept again after that failed, for example for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

pub(super) type Answer = dyn Fn(&Received) -> Script + Send + Sync;

/// What a server does on its connections.
pub(super) enum Behaviour {
    Scan,
    Answer(Box<Answer>),
    Play(Vec<Script>),
}

impl Behaviour {
    /// Whether tests look at what is received and may want it reset. A body of many gigabytes is read
    /// faster without.
    pub(super) fn is_under_test(&self) -> bool {
        !matches!(self, Self::Scan)
    }

    /// Whether what was not offered is refused. A script decides itself.
    pub(super) fn is_strict(&self) -> bool {
        !matches!(self, Self::Play(_))
    }
}

/// What all threads of a server know.
pub(super) struct Shared {
    pub(super) behaviour: Behaviour,
    /// What the last response to `OPTIONS` offered.
    offer: Mutex<Offer>,
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
    /// Of all connections; empty ones of those that are live.
    pub(super) conversations: Vec<Conversation>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// Nothing is held any more, everything else goes on.
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
            state: Mutex::new(state),
            changed: Condvar::new(),
            waker: Mutex::new(None),
        }
    }

    pub(super) fn offer(&self) -> MutexGuard<'_, Offer> {
        self.offer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what was offered, unless `response` is no complete response to `OPTIONS`.
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
                // Whoever waits for the client, to read or to send, waits no longer.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    /// Waits, but not after the server was stopped.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Over> {
        match self.wait_while(pause, |state| state.phase < Phase::Stopped) {
            Phase::Stopped => Err(Over::Closed),
            _ => Ok(()),
        }
    }

    pub(super) fn hold(&self) {
        self.wait_while(Duration::MAX, |state| state.phase == Phase::Running);
    }

    pub(super) fn await_end_of_connections(&self) {
        self.wait_while(PATIENCE, |state| {
            state.is_accepting || !state.live.is_empty()
        });
    }

    /// Waits at most so long, and returns the phase at the end of it.
    fn wait_while(&self, limit: Duration, condition: impl FnMut(&mut State) -> bool) -> Phase {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), limit, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0.phase
    }

    /// The next connection; `None` if there is to be none.
    fn accept(&self, listener: &TcpListener) -> Option<(usize, Arc<TcpStream>)> {
        loop {
            match listener.accept() {
                Ok((_, peer)) if self.is_waker(peer) => return None,
                Ok((stream, _)) => return Some(self.register(stream)),
                Err(_) => self.pause(ACCEPT_AGAIN).ok()?,
            }
        }
    }

    fn is_waker(&self, peer: SocketAddr) -> bool {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        waker
            .as_ref()
            .is_some_and(|waker| waker.local_addr().is_ok_and(|own| own == peer))
    }

    fn register(&self, stream: TcpStream) -> (usize, Arc<TcpStream>) {
        let stream = Arc::new(stream);
        // Without it, what is dribbled is put together again.
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

    fn accepting_ended(&self) {
        self.lock().is_accepting = false;
        self.changed.notify_all();
    }
}

/// Runs until accepting and all connections have ended.
pub(super) fn accept_all(shared: &Shared, listener: TcpListener) {
    thread::scope(|scope| {
        while let Some((number, stream)) = shared.accept(&listener) {
            let connection = move || Connection::new(shared, number, stream).run();
            let thread = thread::Builder::new().name(format!("icap-connection-{number}"));
            if thread.spawn_scoped(scope, connection).is_err() {
                shared.connection_ended(number, Conversation::new());
            }
        }
        // Before the connections end, so that clients are refused and do not wait.
        drop(listener);
        shared.accepting_ended();
    });
}
