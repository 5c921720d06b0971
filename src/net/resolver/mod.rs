//! Looks up the addresses of a host within a timeout.
//!
//! The system's resolver takes no timeout and cannot be interrupted, so it is called in helper threads. They
//! are few in the whole process, because a resolver that hangs keeps its thread: at most
//! [`MAX_LOOK_UP_THREADS`]. All callers that look for one host share one look-up. Where all threads are busy,
//! a look-up stands in line. A look-up that takes longer than [`RENEWAL`] may hang although the resolver works
//! again, so later callers share a second one for that host.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::shortage::{is_shortage, shortage};
use crate::seam::sync::{Condvar, Mutex, OnceLock, spawn};

/// Threads that look up names, at most, in the whole process: 16. A look-up that hangs keeps its thread.
pub const MAX_LOOK_UP_THREADS: usize = 16;

/// How long a helper thread waits for something to do until it ends.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// How long a look-up is under way before a later caller begins a second one. The system's resolver asks again
/// after 5 s, so one that works responds soon after that.
const RENEWAL: Duration = Duration::from_secs(6);

/// Look-ups of one host that are under way at once, at most.
const MAX_OF_HOST: usize = 2;

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
    /// Those that no thread has begun, one for each host.
    line: VecDeque<Arc<LookUp>>,
    /// Those that a thread has begun, and when; no more than there are threads. The newest of a host is the last.
    under_way: Vec<(Arc<LookUp>, Instant)>,
    threads: usize,
    /// Threads without anything to do.
    idle: usize,
}

/// A look-up that one or more callers wait for.
struct LookUp {
    host: String,
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
        let began = deadline.now();
        let look_up = self.join(host, began)?;
        let Some(found) = look_up.wait(&deadline) else {
            return Err(self.leave(look_up, began, timeout));
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
    fn join(self: &Arc<Self>, host: &str, now: Instant) -> io::Result<Arc<LookUp>> {
        let mut state = self.state.lock();
        if let Some(look_up) = state.shared(host, now) {
            return Ok(look_up);
        }
        let look_up = Arc::new(LookUp::new(host));
        state.line.push_back(Arc::clone(&look_up));
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
                state.forget(&look_up);
                let what = format!("cannot start a thread to resolve {host}: {error}");
                return Err(shortage(error.kind(), what));
            }
        }
        Ok(look_up)
    }

    /// Ends a caller's wait. A look-up that has not begun and that no other caller waits for is taken out of
    /// the line. Returns the error.
    fn leave(&self, look_up: Arc<LookUp>, since: Instant, timeout: Duration) -> io::Error {
        let mut state = self.state.lock();
        let host = &look_up.host;
        let begun = state.begun(&look_up);
        let in_line = begun.map_or(timeout, |begun| begun.saturating_duration_since(since));
        let is_over = begun.is_none() && !state.is_in_line(&look_up);
        if is_over || in_line <= timeout / 2 {
            return failed(host, io::ErrorKind::TimedOut, "no response in time");
        }
        // That is no fault of the server's (rule R10).
        let others = state.under_way.len() - usize::from(begun.is_some());
        let why = format!("{others} other look-ups hang in the system's resolver");
        let error = failed(host, io::ErrorKind::TimedOut, why);
        // The line has one, and this caller.
        if Arc::strong_count(&look_up) == 2 {
            state.forget(&look_up);
        }
        shortage(error.kind(), error)
    }

    /// What a helper thread does.
    fn work(&self) {
        while let Some(look_up) = self.next() {
            let found = catch_unwind(AssertUnwindSafe(|| (self.ask)(&look_up.host)));
            let found = found.unwrap_or_else(|_| Err(io::Error::other("the look-up panicked")));
            let mut state = self.state.lock();
            state
                .under_way
                .retain(|(other, _)| !Arc::ptr_eq(other, &look_up));
            state.idle += 1;
            drop(state);
            look_up.end(found);
        }
    }

    /// The first look-up in the line; `None` when there was none for a while, and the thread is to end.
    fn next(&self) -> Option<Arc<LookUp>> {
        let idle = Deadline::by_system(self.idle_time);
        let mut state = self.state.lock();
        loop {
            if let Some(look_up) = state.begin(idle.now()) {
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
    /// What a caller for this host waits for together with others; `None` if it needs a look-up of its own.
    fn shared(&self, host: &str, now: Instant) -> Option<Arc<LookUp>> {
        if let Some(in_line) = self.line.iter().find(|look_up| look_up.host == host) {
            return Some(Arc::clone(in_line));
        }
        let of_host = self.under_way.iter().filter(|(it, _)| it.host == host);
        let (newest, begun) = of_host.clone().next_back()?;
        let is_recent = now.saturating_duration_since(*begun) < RENEWAL;
        (is_recent || of_host.count() >= MAX_OF_HOST).then(|| Arc::clone(newest))
    }

    /// Takes the first look-up out of the line.
    fn begin(&mut self, now: Instant) -> Option<Arc<LookUp>> {
        let look_up = self.line.pop_front()?;
        self.under_way.push((Arc::clone(&look_up), now));
        self.idle -= 1;
        Some(look_up)
    }

    /// When a thread has begun it; `None` if none has, or if it is over.
    fn begun(&self, look_up: &Arc<LookUp>) -> Option<Instant> {
        let mut under_way = self.under_way.iter();
        let (_, begun) = under_way.find(|(other, _)| Arc::ptr_eq(other, look_up))?;
        Some(*begun)
    }

    fn is_in_line(&self, look_up: &Arc<LookUp>) -> bool {
        self.line.iter().any(|other| Arc::ptr_eq(other, look_up))
    }

    /// No caller waits for it any more, so it is taken out of the line.
    fn forget(&mut self, look_up: &Arc<LookUp>) {
        self.line.retain(|other| !Arc::ptr_eq(other, look_up));
    }
}

impl LookUp {
    fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            found: Mutex::default(),
            is_over: Condvar::default(),
        }
    }

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
