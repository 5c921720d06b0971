//! Locks, condition variables, atomics and threads.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the seam"
)]

use std::fmt;
use std::io;
use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use std::sync::atomic::Ordering;

pub(crate) type AtomicBool = std::sync::atomic::AtomicBool;
pub(crate) type AtomicU64 = std::sync::atomic::AtomicU64;
pub(crate) type MutexGuard<'l, T> = std::sync::MutexGuard<'l, T>;
pub(crate) type OnceLock<T> = std::sync::OnceLock<T>;
pub(crate) type Thread = std::thread::Thread;
pub(crate) type ThreadId = std::thread::ThreadId;

/// A mutex without poison: no caller's code runs under a lock of this crate, and every change under one is
/// complete, so a panic leaves nothing half done.
#[derive(Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A condition variable.
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    /// Waits to be notified, and no longer than `timeout`. It may wake early.
    pub(crate) fn wait_timeout<'l, T>(
        &self,
        guard: MutexGuard<'l, T>,
        timeout: Duration,
    ) -> MutexGuard<'l, T> {
        let waited = self.0.wait_timeout(guard, timeout);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// The thread that calls this.
pub(crate) fn current_thread() -> Thread {
    std::thread::current()
}

/// The id of that thread. It is kept, because a handle of a thread has a counter.
pub(crate) fn thread_id() -> ThreadId {
    thread_local!(static ID: ThreadId = std::thread::current().id());
    ID.with(|id| *id)
}

/// Waits until another thread unparks this one, and no longer than `timeout`. It may wake early.
pub(crate) fn park_timeout(timeout: Duration) {
    std::thread::park_timeout(timeout);
}

pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Runs `run` in a thread that nobody waits for.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(drop)
}
