//! Looks up the addresses of a host within a timeout.
//!
//! The system's resolver takes no timeout and cannot be interrupted, so it is called in helper threads: at most
//! [`MAX_LOOK_UP_THREADS`] in the whole process. All callers that look for one host share one look-up. Where all
//! threads are busy, a look-up stands in line. A look-up that takes longer than [`RENEWAL`] may hang although the
//! resolver works again, so later callers share a second one for that host.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::helpers::{Helpers, State, Task};
use super::shortage::{is_shortage, shortage};
use crate::seam::sync::OnceLock;

/// The most threads in a process that look up names: 16. If all are busy, a look-up waits in line, within the connect
/// timeout. A look-up that hangs keeps its thread.
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

/// A look-up that one or more callers wait for.
type LookUp = Task<Arc<Found>>;

/// Looks up the addresses of `host`; the port is 0.
///
/// # Errors
///
/// Every text names the host. Of kind [`TimedOut`](io::ErrorKind::TimedOut) after `timeout`.
pub(super) fn look_up(host: &str, timeout: Duration) -> Found {
    static RESOLVER: OnceLock<Resolver> = OnceLock::new();
    let resolver = RESOLVER.get_or_init(|| Resolver::new(ask_system, IDLE_TIME));
    resolver.look_up(host, timeout)
}

/// Helper threads and what they ask.
struct Resolver {
    /// What cannot be interrupted.
    ask: Arc<dyn Fn(&str) -> Found + Send + Sync>,
    helpers: Arc<Helpers<Arc<Found>>>,
}

impl Resolver {
    fn new(ask: impl Fn(&str) -> Found + Send + Sync + 'static, idle_time: Duration) -> Self {
        Self {
            ask: Arc::new(ask),
            helpers: Helpers::new("icap-resolve", MAX_LOOK_UP_THREADS, idle_time),
        }
    }

    fn look_up(&self, host: &str, timeout: Duration) -> Found {
        let deadline = Deadline::by_system(timeout);
        let began = deadline.now();
        let look_up = self.join(host, began)?;
        let Some(found) = look_up.wait(&deadline, |found| found.clone()) else {
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
    fn join(&self, host: &str, now: Instant) -> io::Result<Arc<LookUp>> {
        let mut state = self.helpers.lock();
        if let Some(look_up) = shared(&state, host, now) {
            return Ok(look_up);
        }
        let look_up = self.new_look_up(host);
        match self.helpers.line_up(&mut state, &look_up) {
            Ok(()) => Ok(look_up),
            Err(error) => {
                let what = format!("cannot start a thread to resolve {host}: {error}");
                Err(shortage(error.kind(), what))
            }
        }
    }

    fn new_look_up(&self, host: &str) -> Arc<LookUp> {
        let (ask, asked) = (Arc::clone(&self.ask), host.to_owned());
        Task::new(host, move || {
            let found = catch_unwind(AssertUnwindSafe(|| ask(&asked)));
            Arc::new(found.unwrap_or_else(|_| Err(io::Error::other("the look-up panicked"))))
        })
    }

    /// Ends a caller's wait. A look-up that has not begun and that no other caller waits for is taken out of
    /// the line. Returns the error.
    fn leave(&self, look_up: Arc<LookUp>, since: Instant, timeout: Duration) -> io::Error {
        let mut state = self.helpers.lock();
        let host = &look_up.subject;
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
}

/// What a caller for this host waits for together with others; `None` if it needs a look-up of its own.
fn shared(state: &State<Arc<Found>>, host: &str, now: Instant) -> Option<Arc<LookUp>> {
    let is_of_host = |look_up: &Arc<LookUp>| look_up.subject == host;
    if let Some(in_line) = state.line.iter().find(|look_up| is_of_host(look_up)) {
        return Some(Arc::clone(in_line));
    }
    let of_host = state.under_way.iter().filter(|(it, _)| is_of_host(it));
    let (newest, begun) = of_host.clone().next_back()?;
    let is_recent = now.saturating_duration_since(*begun) < RENEWAL;
    (is_recent || of_host.count() >= MAX_OF_HOST).then(|| Arc::clone(newest))
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
