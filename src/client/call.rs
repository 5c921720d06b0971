//! What goes with a request to one server from beginning to end, `OPTIONS` and retries included.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::circuit_breaker::{Admission, Rejection};
use crate::error::TimeLimit;
use crate::net::deadline::Deadline;

/// One caller's dealings with one server: until when, with whose leave, and since when in its line.
#[derive(Debug)]
pub(crate) struct Call<'b> {
    pub(crate) deadline: Deadline,
    /// `None` where the circuit breaker is not asked.
    admission: Option<Admission<'b>>,
    line: Cell<Line>,
    /// The place it had last among the server's connections.
    last_place: Cell<Option<u64>>,
}

/// How long a caller has waited for a place among the server's connections.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// Before the present wait. A server that turns it away for want of a place sends it back to the line,
    /// and then the time in which it had one was waiting too.
    waited: Duration,
    /// While it stands in line.
    since: Option<Instant>,
    /// When it was last given a place.
    placed: Option<Instant>,
}

impl<'b> Call<'b> {
    pub(crate) fn new(deadline: Deadline, admission: impl Into<Option<Admission<'b>>>) -> Self {
        Self {
            deadline,
            admission: admission.into(),
            line: Cell::default(),
            last_place: Cell::default(),
        }
    }

    /// Stands in line from now on, unless it does already; returns until when it may.
    pub(crate) fn wait_in_line(&self, timeout: Duration) -> Deadline {
        let mut line = self.line.get();
        let since = *line.since.get_or_insert_with(Instant::now);
        self.line.set(line);
        let waited = line.waited + since.elapsed();
        let left = timeout.saturating_sub(waited);
        self.deadline.within(left, TimeLimit::WaitTimeout)
    }

    /// It has a place, whose number this is; the time from now on is not spent in line.
    pub(crate) fn has_place(&self, place: u64) {
        let mut line = self.line.get();
        line.waited += line.since.take().map_or(Duration::ZERO, |at| at.elapsed());
        line.placed = Some(Instant::now());
        self.line.set(line);
        self.last_place.set(Some(place));
    }

    /// Whether it was this call that had that place.
    pub(crate) fn had_place(&self, place: u64) -> bool {
        self.last_place.get() == Some(place)
    }

    /// The server had no room for it after all.
    pub(crate) fn is_turned_away(&self) {
        let mut line = self.line.get();
        line.waited += line.placed.take().map_or(Duration::ZERO, |at| at.elapsed());
        self.line.set(line);
    }

    /// The server had room for it: if it lines up again, that is another wait.
    pub(crate) fn is_served(&self) {
        self.line.set(Line::default());
    }

    /// Whether the server is suspended, and this finds out if it works again.
    pub(crate) fn is_trial(&self) -> bool {
        self.admission.as_ref().is_some_and(Admission::is_trial)
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

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(50);

    fn call_with_a_place() -> Call<'static> {
        let call = Call::new(Deadline::start(None), None);
        assert!(call.wait_in_line(TIMEOUT).left().is_some());
        call.has_place(1);
        std::thread::sleep(TIMEOUT);
        call
    }

    #[test]
    fn time_with_a_place_is_not_time_in_line() {
        assert!(call_with_a_place().wait_in_line(TIMEOUT).left().is_some());
    }

    #[test]
    fn time_with_a_place_in_vain_is_time_in_line() {
        let call = call_with_a_place();
        call.is_turned_away();
        assert!(call.wait_in_line(TIMEOUT).left().is_none());
    }
}
