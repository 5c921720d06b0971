//! Single flight: of several scans of the same content at the same time, one leads and the others wait for its verdict.
//!
//! Nobody waits long for a stranger. A waiter has a deadline of its own for the wait, and then scans by itself. If the
//! leader comes to no verdict that holds for others, all who wait go on by themselves, at the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::deadline::Deadline;
use crate::scan::cache::keyed_hash::Hash;
use crate::seam::sync::{Condvar, Mutex};

/// The scans under way, by their key.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Hash, Arc<Flight>>>);

struct Flight {
    began: Instant,
    state: Mutex<State>,
    is_over: Condvar,
}

enum State {
    UnderWay,
    /// The entry that the leader made of its verdict, if it holds for others.
    Over(Option<Arc<[u8]>>),
}

/// What a scan is to do.
pub(super) enum Boarding<'f> {
    /// Scan, and tell the others.
    Lead(Leading<'f>),
    /// Another scan made this entry.
    Landed(Arc<[u8]>),
    /// Scan alone.
    Alone,
}

impl Flights {
    /// Leads, or waits for the leader, at most until `wait` is over.
    ///
    /// A leader that has taken longer than `patience` is stuck. The next scan takes its place, so that not each newcomer
    /// waits for it.
    pub(super) fn board(&self, key: Hash, wait: &Deadline, patience: Duration) -> Boarding<'_> {
        let now = wait.now();
        let is_stuck =
            |flight: &Arc<Flight>| now.saturating_duration_since(flight.began) >= patience;
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(&key).filter(|flight| !is_stuck(flight)) {
            let flight = Arc::clone(flight);
            drop(flights);
            return flight.wait(wait);
        }
        let flight = Arc::new(Flight {
            began: now,
            state: Mutex::new(State::UnderWay),
            is_over: Condvar::default(),
        });
        flights.insert(key, Arc::clone(&flight));
        Boarding::Lead(Leading {
            flights: self,
            key,
            flight,
        })
    }

    /// How many scans wait for the leader.
    #[cfg(test)]
    pub(super) fn waiters(&self, key: &Hash) -> usize {
        // The map and the leader have the other two handles.
        Arc::strong_count(&self.0.lock()[key]) - 2
    }
}

impl Flight {
    fn wait(&self, wait: &Deadline) -> Boarding<'static> {
        loop {
            // The clock may be the caller's, so it is asked outside of the lock.
            let left = wait.left();
            let state = self.state.lock();
            if let State::Over(entry) = &*state {
                let entry = entry.clone();
                return entry.map_or(Boarding::Alone, Boarding::Landed);
            }
            let Some(left) = left else {
                return Boarding::Alone;
            };
            drop(self.is_over.wait_timeout(state, left));
        }
    }

    fn end(&self, entry: Option<Arc<[u8]>>) {
        let mut state = self.state.lock();
        if matches!(*state, State::UnderWay) {
            *state = State::Over(entry);
            self.is_over.notify_all();
        }
    }
}

/// The lead of a flight. When it is dropped, also by an error or a panic, the flight is over.
#[must_use]
pub(super) struct Leading<'f> {
    flights: &'f Flights,
    key: Hash,
    flight: Arc<Flight>,
}

impl Leading<'_> {
    /// Gives the entry to all who wait, and to those who come before this is dropped.
    pub(super) fn land(&self, entry: Arc<[u8]>) {
        self.flight.end(Some(entry));
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.flight.end(None);
        let mut flights = self.flights.0.lock();
        let current = flights.get(&self.key);
        if current.is_some_and(|current| Arc::ptr_eq(current, &self.flight)) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
