//! Looks up the addresses of a host within a timeout.
//!
//! The system's resolver takes no timeout and cannot be interrupted, so it is called in helper threads. They
//! are few in the whole process, because a resolver that hangs keeps its thread: at most
//! [`MAX_LOOK_UP_THREADS`]. All callers that look for one host share one look-up. Where all threads are busy,
//! a look-up stands in line.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::deadline::Deadline;
use super::shortage::{is_shortage, shortage};
use crate::seam::sync::{Condvar, Mutex, OnceLock, spawn};

/// Threads that look up names, at most, in the whole process: 16. A look-up that hangs keeps its thread.
pub const MAX_LOOK_UP_THREADS: usize = 16;

/// How long a helper thread waits for something to do until it ends.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// The addresses of a host, with any port.
type Found = io::Result<Vec<SocketAddr>>;

/// Looks up the addresses of `host`; the port is 0.
///
/// # Errors
///
/// Every text names the host. Of kind [`TimedOut`](io::ErrorKind::TimedOut) after `timeout`.
pub(super) fn look_up(host: &str, timeout: Duration) -> Found {
    static RESOLVER: OnceLock<Arc<Resolver>> = OnceLock::new();
    let resolver = RESOLVER.get_or_init(|| Resolver::new(ask_system, IDLE_TIME));
    resolver.look_up(host, timeout)
}

/// Helper threads and what they have to do.
struct Resolver {
    /// What cannot be interrupted.
    ask: Box<dyn Fn(&str) -> Found + Send + Sync>,
    idle_time: Duration,
    state: Mutex<State>,
    /// There is something to do.
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// Those in line and those under way, one a host.
    look_ups: BTreeMap<String, Arc<LookUp>>,
    /// The hosts of those that no thread has begun.
    line: VecDeque<String>,
    threads: usize,
    /// Threads without anything to do.
    idle: usize,
}

/// A look-up that one or more callers wait for.
#[derive(Default)]
struct LookUp {
    found: Mutex<Option<Arc<Found>>>,
    is_over: Condvar,
}

impl Resolver {
    fn new(ask: impl Fn(&str) -> Found + Send + Sync + 'static, idle_time: Duration) -> Arc<Self> {
        Arc::new(Self {
            ask: Box::new(ask),
            idle_time,
            state: Mutex::default(),
            work: Condvar::default(),
        })
    }

    fn look_up(self: &Arc<Self>, host: &str, timeout: Duration) -> Found {
        let deadline = Deadline::by_system(timeout);
        let look_up = self.join(host)?;
        let Some(found) = look_up.wait(&deadline) else {
            return Err(self.leave(host, look_up));
        };
        match &*found {
            Ok(addresses) if addresses.is_empty() => {
                Err(failed(host, io::ErrorKind::NotFound, "no address"))
            }
            Ok(addresses) => Ok(addresses.clone()),
            Err(error) if is_shortage(error) => {
                let error = failed(host, error.kind(), error);
                Err(shortage(error.kind(), error))
            }
            Err(error) => Err(failed(host, error.kind(), error)),
        }
    }

    /// The look-up of this host that others wait for, or else a new one.
    fn join(self: &Arc<Self>, host: &str) -> io::Result<Arc<LookUp>> {
        let mut state = self.state.lock();
        if let Some(look_up) = state.look_ups.get(host) {
            return Ok(Arc::clone(look_up));
        }
        let look_up = Arc::new(LookUp::default());
        state.look_ups.insert(host.to_owned(), Arc::clone(&look_up));
        state.line.push_back(host.to_owned());
        self.work.notify_one();
        if state.line.len() <= state.idle || state.threads == MAX_LOOK_UP_THREADS {
            return Ok(look_up);
        }
        let resolver = Arc::clone(self);
        match spawn("icap-resolve", move || resolver.work()) {
            Ok(()) => {
                state.threads += 1;
                state.idle += 1;
            }
            // Another thread does it as soon as it can.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                state.forget(host);
                let what = format!("cannot start a thread to resolve {host}: {error}");
                return Err(shortage(error.kind(), what));
            }
        }
        Ok(look_up)
    }

    /// Ends a caller's wait. A look-up that has not begun and that no other caller waits for is taken out of
    /// the line. Returns the error.
    fn leave(&self, host: &str, look_up: Arc<LookUp>) -> io::Error {
        let mut state = self.state.lock();
        let is_in_line =
            state.line.iter().any(|waiting| waiting == host) && state.is_current(host, &look_up);
        drop(look_up);
        if !is_in_line {
            return failed(host, io::ErrorKind::TimedOut, "no response in time");
        }
        if state
            .look_ups
            .get(host)
            .is_some_and(|look_up| Arc::strong_count(look_up) == 1)
        {
            state.forget(host);
        }
        let why = format!("{MAX_LOOK_UP_THREADS} other look-ups hang in the system's resolver");
        // That is no fault of the server's (rule R10).
        let error = failed(host, io::ErrorKind::TimedOut, why);
        shortage(error.kind(), error)
    }

    /// What a helper thread does.
    fn work(&self) {
        while let Some((host, look_up)) = self.next() {
            let found = catch_unwind(AssertUnwindSafe(|| (self.ask)(&host)));
            let found = found.unwrap_or_else(|_| Err(io::Error::other("the look-up panicked")));
            let mut state = self.state.lock();
            state.look_ups.remove(&host);
            state.idle += 1;
            drop(state);
            look_up.end(found);
        }
    }

    /// The first look-up in the line; `None` when there was none for a while, and the thread is to end.
    fn next(&self) -> Option<(String, Arc<LookUp>)> {
        let idle = Deadline::by_system(self.idle_time);
        let mut state = self.state.lock();
        loop {
            if let Some(look_up) = state.begin() {
                return Some(look_up);
            }
            let Some(left) = idle.left() else {
                state.idle -= 1;
                state.threads -= 1;
                return None;
            };
            state = self.work.wait_timeout(state, left);
        }
    }
}

impl State {
    /// Takes the first look-up out of the line.
    fn begin(&mut self) -> Option<(String, Arc<LookUp>)> {
        let host = self.line.pop_front()?;
        // What stands in line is there.
        let look_up = Arc::clone(self.look_ups.get(&host)?);
        self.idle -= 1;
        Some((host, look_up))
    }

    fn is_current(&self, host: &str, look_up: &Arc<LookUp>) -> bool {
        let current = self.look_ups.get(host);
        current.is_some_and(|current| Arc::ptr_eq(current, look_up))
    }

    /// Nobody waits for it any more.
    fn forget(&mut self, host: &str) {
        self.look_ups.remove(host);
        self.line.retain(|waiting| waiting != host);
    }
}

impl LookUp {
    fn wait(&self, deadline: &Deadline) -> Option<Arc<Found>> {
        let mut found = self.found.lock();
        loop {
            if let Some(found) = &*found {
                return Some(Arc::clone(found));
            }
            found = self.is_over.wait_timeout(found, deadline.left()?);
        }
    }

    fn end(&self, found: Found) {
        *self.found.lock() = Some(Arc::new(found));
        self.is_over.notify_all();
    }
}

fn failed(host: &str, kind: io::ErrorKind, why: impl fmt::Display) -> io::Error {
    io::Error::new(kind, format!("cannot resolve {host}: {why}"))
}

fn ask_system(host: &str) -> Found {
    let found = (host, 0).to_socket_addrs().map(Vec::from_iter);
    // The resolver calls it a missing name if it can open no file or socket. Looked at at once, before
    // others have closed theirs.
    found.map_err(|error| match can_open_sockets() {
        Ok(()) => error,
        Err(why) => shortage(error.kind(), format!("{error} ({why})")),
    })
}

/// Whether there are file descriptors for as many sockets as a look-up takes.
fn can_open_sockets() -> io::Result<()> {
    let open = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let opened: io::Result<Vec<_>> = (0..4).map(open).collect();
    match opened {
        Err(error) if is_shortage(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
