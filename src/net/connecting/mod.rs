//! Connecting for scans that can be cancelled: in a helper thread, because no connector can be interrupted.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::cancel::CANCEL_INTERVAL;
use super::deadline::Deadline;
use super::helpers::{Helpers, Task};
use super::shortage::shortage;
use super::transport::{Connect, Stream};
use crate::error::TimeLimit;
use crate::proto::uri::ServiceUri;
use crate::seam::sync::OnceLock;

/// The most threads in a process that connect for scans with a [`Cancel`](crate::Cancel): 16. At most 12 of them
/// connect to one host and port. A scan waits in line, within its connect timeout, while all
/// 16 are busy, or 12 of them with its host and port. The threads of
/// [`MAX_LOOK_UP_THREADS`](crate::limits::MAX_LOOK_UP_THREADS) are not among them.
pub const MAX_CONNECT_THREADS: usize = 16;

/// How long a helper thread waits for something to do until it ends.
const IDLE_TIME: Duration = Duration::from_secs(1);

/// What is wrong if a task waits in line for too long.
const BUSY: &str = "the threads that connect for scans with a `Cancel` are busy";

/// What a connector returned, or its panic.
type Connected = thread::Result<io::Result<Box<dyn Stream>>>;

/// Connects as the connector does, and returns early if the scan is cancelled.
///
/// The caller's place in the pool is then free, while the connector may still be at work. What it connects after that
/// is closed at once. It has its own timeout, so it keeps its thread no longer than that.
///
/// # Errors
///
/// Those of the connector; a shortage of kind [`TimedOut`](io::ErrorKind::TimedOut) if the helper threads are busy for
/// a part of `timeout`, and the rest is too short for the connector; any if the scan is cancelled.
pub(super) fn connect(
    connector: &Arc<dyn Connect>,
    service: &ServiceUri,
    timeout: Duration,
    deadline: &Deadline,
) -> io::Result<Box<dyn Stream>> {
    static HELPERS: OnceLock<Arc<Helpers<Connected>>> = OnceLock::new();
    let helpers =
        HELPERS.get_or_init(|| Helpers::new("icap-connect", MAX_CONNECT_THREADS, IDLE_TIME));
    connect_with(helpers, connector, service, timeout, deadline)
}

fn connect_with(
    helpers: &Arc<Helpers<Connected>>,
    connector: &Arc<dyn Connect>,
    service: &ServiceUri,
    timeout: Duration,
    deadline: &Deadline,
) -> io::Result<Box<dyn Stream>> {
    // The time in line is a part of the timeout.
    let deadline = deadline.within(timeout, TimeLimit::ConnectTimeout);
    let task = new_task(connector, service, timeout, &deadline);
    let lined_up = helpers.line_up(&mut helpers.lock(), &task);
    lined_up.map_err(|error| shortage(error.kind(), format!("no thread to connect: {error}")))?;
    while !deadline.is_cancelled() {
        let slice = Deadline::by_system(CANCEL_INTERVAL);
        match task.wait(&slice, Option::take) {
            Some(Ok(connected)) => return connected,
            // As it would come out without a helper thread.
            Some(Err(panic)) => resume_unwind(panic),
            None if deadline.ran_out().is_some() && withdraw(helpers, &task) => {
                return Err(shortage(io::ErrorKind::TimedOut, BUSY));
            }
            // If it has begun, it ends by its own timeout.
            None => {}
        }
    }
    withdraw(helpers, &task);
    Err(io::ErrorKind::Interrupted.into())
}

fn new_task(
    connector: &Arc<dyn Connect>,
    service: &ServiceUri,
    timeout: Duration,
    deadline: &Deadline,
) -> Arc<Task<Connected>> {
    let (connector, uri, deadline) = (Arc::clone(connector), service.clone(), deadline.clone());
    let connect = move || {
        let left = deadline.cap_whole(timeout);
        let connected = match left {
            Some(left) => connector.connect(&uri, left),
            None => Err(io::ErrorKind::TimedOut.into()),
        };
        match connected {
            // A part of the time was time in line. That is no fault of the server's (rule R10).
            Err(error)
                if error.kind() == io::ErrorKind::TimedOut
                    && left.unwrap_or_default() < timeout - timeout / 8 =>
            {
                Err(shortage(error.kind(), BUSY))
            }
            connected => connected,
        }
    };
    // One server may have several services.
    let (host, port) = service.address();
    // A panic comes out in the caller, as without a helper thread.
    Task::new(&format!("{host}:{port}"), move || {
        catch_unwind(AssertUnwindSafe(&connect))
    })
}

/// Takes a task out of the line. Returns whether it was there, so that no thread has begun it.
fn withdraw(helpers: &Helpers<Connected>, task: &Arc<Task<Connected>>) -> bool {
    let mut state = helpers.lock();
    let is_in_line = state.is_in_line(task);
    state.forget(task);
    is_in_line
}

#[cfg(test)]
mod tests;
