//! What goes with a request to one server from beginning to end, `OPTIONS` and retries included.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::circuit_breaker::{Admission, Rejection};
use crate::net::deadline::Deadline;

/// One caller's dealings with one server: until when, with whose leave, and since when in its line.
#[derive(Debug)]
pub(crate) struct Call<'b> {
    pub(crate) deadline: Deadline,
    /// `None` where the circuit breaker is not asked.
    admission: Option<Admission<'b>>,
    /// When it began to wait for a place among the server's connections. A server that turns it away
    /// for want of one sends it back to the line, and it has waited all the while.
    in_line_since: Cell<Option<Instant>>,
}

impl<'b> Call<'b> {
    pub(crate) fn new(deadline: Deadline, admission: impl Into<Option<Admission<'b>>>) -> Self {
        Self {
            deadline,
            admission: admission.into(),
            in_line_since: Cell::new(None),
        }
    }

    /// Stands in line, unless it does; how long it may still do so. `None` if time is up.
    pub(crate) fn wait_in_line(&self, timeout: Duration) -> Option<Duration> {
        let since = self.in_line_since.get().unwrap_or_else(Instant::now);
        self.in_line_since.set(Some(since));
        self.deadline.cap(timeout.saturating_sub(since.elapsed()))
    }

    /// The server had a place for it.
    pub(crate) fn is_served(&self) {
        self.in_line_since.set(None);
    }

    /// Why the server is not asked any more: its circuit has opened meanwhile.
    pub(crate) fn overtaken(&self) -> Option<Rejection> {
        self.admission.as_ref().and_then(Admission::overtaken)
    }

    /// The leave to ask the server, to say what came of it.
    pub(crate) fn into_admission(self) -> Option<Admission<'b>> {
        self.admission
    }
}
