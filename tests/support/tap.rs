//! A connector with a second handle of each connection, by which a test waits for the server.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use icap_client::transport::Readiness;
use icap_client::{Connect, ServiceUri, Stream};

use super::stream::{Calls, wrapped};

/// Connects over TCP. Clones share their connections.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<State>);

#[derive(Default)]
struct State {
    open: AtomicUsize,
    most_open: AtomicUsize,
    /// The second handles, in the order of the connections.
    handles: Mutex<Vec<TcpStream>>,
    /// The number of the next calls of `readiness` that return Idle in any case.
    blind: AtomicUsize,
}

impl Tap {
    /// Waits until there is something to read on a connection, or its end; reads nothing.
    pub(crate) fn await_bytes(&self, connection: usize) {
        self.handle(connection).peek(&mut [0]).unwrap();
    }

    /// Waits until the server has closed or reset a connection of which everything was read.
    pub(crate) fn await_end(&self, connection: usize) {
        let handle = self.handle(connection);
        while handle.peek(&mut [0]).is_ok_and(|len| len > 0) {
            std::thread::yield_now();
        }
    }

    fn handle(&self, connection: usize) -> TcpStream {
        let handle = self.0.handles.lock().unwrap()[connection]
            .try_clone()
            .unwrap();
        let limit = Duration::from_secs(10);
        handle.set_read_timeout(Some(limit)).unwrap();
        handle
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(SeqCst)
    }

    /// The most connections that were open at the same time since [`forget`](Self::forget).
    pub(crate) fn most_open(&self) -> usize {
        self.0.most_open.load(SeqCst)
    }

    pub(crate) fn forget(&self) {
        self.0.most_open.store(0, SeqCst);
    }

    /// Lets the next `calls` of `readiness` return Idle, as if bytes came a moment later.
    pub(crate) fn blind(&self, calls: usize) {
        self.0.blind.store(calls, SeqCst);
    }
}

impl Connect for Tap {
    fn connect(&self, service: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        let open = self.0.open.fetch_add(1, SeqCst) + 1;
        self.0.most_open.fetch_max(open, SeqCst);
        let stream = TcpStream::connect((service.host(), service.port()))?;
        stream.set_nodelay(true)?;
        self.0.handles.lock().unwrap().push(stream.try_clone()?);
        let tapped = Tapped {
            handle: stream.try_clone()?,
            tap: self.clone(),
        };
        Ok(wrapped(Box::new(stream), tapped))
    }
}

struct Tapped {
    handle: TcpStream,
    tap: Tap,
}

impl Calls for Tapped {
    fn readiness(&mut self, stream: &mut dyn Stream) -> io::Result<Readiness> {
        let one_less = |blind: usize| blind.checked_sub(1);
        match self.tap.0.blind.fetch_update(SeqCst, SeqCst, one_less) {
            Ok(_) => Ok(Readiness::Idle),
            Err(_) => stream.readiness(),
        }
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        // The other handles would keep the connection open.
        let _ = self.handle.shutdown(Shutdown::Both);
        self.tap.0.open.fetch_sub(1, SeqCst);
    }
}
