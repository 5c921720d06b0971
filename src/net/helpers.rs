//! Helper threads for calls that cannot be interrupted: the system's resolver, and a connector.
//!
//! They are few, because a call that hangs keeps its thread. Where all threads are busy, a task stands in line. A
//! quarter of the threads is left for tasks about other subjects, so that a server that is gone does not hold up the
//! tasks about another server.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use crate::seam::sync::{Condvar, Mutex, MutexGuard, spawn};

/// Helper threads of one kind, and what they have to do.
pub(super) struct Helpers<T> {
    /// The name of each thread.
    name: &'static str,
    /// Threads at once, at most.
    limit: usize,
    /// How long a thread waits for something to do until it ends.
    idle_time: Duration,
    state: Mutex<State<T>>,
    /// There is something to do.
    work: Condvar,
}

pub(super) struct State<T> {
    /// Those that no thread has begun.
    pub(super) line: VecDeque<Arc<Task<T>>>,
    /// Those that a thread has begun, and when; no more than there are threads. The newest is the last.
    pub(super) under_way: Vec<(Arc<Task<T>>, Instant)>,
    pub(super) threads: usize,
    /// Threads without anything to do.
    pub(super) idle: usize,
}

/// A call that one or more callers wait for.
pub(super) struct Task<T> {
    /// What it is about: a host, or a host and a port.
    pub(super) subject: String,
    /// It must not panic.
    run: Box<dyn Fn() -> T + Send + Sync>,
    result: Mutex<Option<T>>,
    is_over: Condvar,
}

impl<T: Send + 'static> Helpers<T> {
    pub(super) fn new(name: &'static str, limit: usize, idle_time: Duration) -> Arc<Self> {
        let state = State {
            line: VecDeque::new(),
            under_way: Vec::new(),
            threads: 0,
            idle: 0,
        };
        Arc::new(Self {
            name,
            limit,
            idle_time,
            state: Mutex::new(state),
            work: Condvar::default(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }

    /// Puts a task at the end of the line, and starts a thread if one is needed and allowed.
    ///
    /// # Errors
    ///
    /// That of the system if it has no thread, and there is no other helper thread.
    pub(super) fn line_up(
        self: &Arc<Self>,
        state: &mut State<T>,
        task: &Arc<Task<T>>,
    ) -> io::Result<()> {
        state.line.push_back(Arc::clone(task));
        self.work.notify_one();
        if state.line.len() <= state.idle || state.threads == self.limit {
            return Ok(());
        }
        let helpers = Arc::clone(self);
        match spawn(self.name, move || helpers.work()) {
            Ok(()) => {
                state.threads += 1;
                state.idle += 1;
            }
            // Another thread does it as soon as it can.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                state.forget(task);
                return Err(error);
            }
        }
        Ok(())
    }

    /// What a helper thread does.
    fn work(&self) {
        while let Some(task) = self.next() {
            let result = (task.run)();
            let mut state = self.lock();
            state
                .under_way
                .retain(|(other, _)| !Arc::ptr_eq(other, &task));
            state.idle += 1;
            drop(state);
            // If no caller waits any more, this drops the result. A stream of a caller may panic then, and so may
            // what it panics with: neither ends the thread.
            let end = move || task.end(result);
            catch_unwind(AssertUnwindSafe(end)).unwrap_or_else(mem::forget);
        }
    }

    /// The first task in the line; `None` when there was none for a while, and the thread is to end.
    fn next(&self) -> Option<Arc<Task<T>>> {
        let idle = Deadline::by_system(self.idle_time);
        let mut state = self.lock();
        loop {
            if let Some(task) = state.begin(idle.now(), self.limit) {
                return Some(task);
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

impl<T> State<T> {
    /// Takes the first task out of the line whose subject does not have its share of all threads already.
    fn begin(&mut self, now: Instant, limit: usize) -> Option<Arc<Task<T>>> {
        let has_room = |task: &Arc<Task<T>>| {
            let busy = self.under_way.iter();
            let busy = busy.filter(|(other, _)| other.subject == task.subject);
            busy.count() < limit - limit / 4
        };
        let first = self.line.iter().position(has_room)?;
        let task = self.line.remove(first)?;
        self.under_way.push((Arc::clone(&task), now));
        self.idle -= 1;
        Some(task)
    }

    /// When a thread has begun it; `None` if none has, or if it is over.
    pub(super) fn begun(&self, task: &Arc<Task<T>>) -> Option<Instant> {
        let mut under_way = self.under_way.iter();
        let (_, begun) = under_way.find(|(other, _)| Arc::ptr_eq(other, task))?;
        Some(*begun)
    }

    pub(super) fn is_in_line(&self, task: &Arc<Task<T>>) -> bool {
        self.line.iter().any(|other| Arc::ptr_eq(other, task))
    }

    /// No caller waits for it any more, so it is taken out of the line.
    pub(super) fn forget(&mut self, task: &Arc<Task<T>>) {
        self.line.retain(|other| !Arc::ptr_eq(other, task));
    }
}

impl<T> Task<T> {
    pub(super) fn new(subject: &str, run: impl Fn() -> T + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            subject: subject.to_owned(),
            run: Box::new(run),
            result: Mutex::new(None),
            is_over: Condvar::default(),
        })
    }

    /// Waits for the result, and gets what `get` makes of it; `None` if the deadline is over first.
    pub(super) fn wait<R>(
        &self,
        deadline: &Deadline,
        get: impl Fn(&mut Option<T>) -> Option<R>,
    ) -> Option<R> {
        let mut result = self.result.lock();
        loop {
            if let Some(result) = get(&mut result) {
                return Some(result);
            }
            result = self.is_over.wait_timeout(result, deadline.left()?);
        }
    }

    fn end(self: Arc<Self>, result: T) {
        *self.result.lock() = Some(result);
        self.is_over.notify_all();
    }
}
