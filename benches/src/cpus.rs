//! Where the two sides of a measurement run.
//!
//! The system puts a client of one thread on the processor of the sink or on another one, as it likes, and keeps it there
//! for a while. So a figure depends more on that than on the client. On another processor each response has to wake up an
//! idle one, which on a virtual machine costs several times what a small scan does. On the same processor there is only a
//! switch from one process to the other, but two that have much to do wait for each other.

use std::io;
use std::panic;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which of the processors that this process may use a new one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cpus {
    All,
    First,
    /// The first if it is the only one.
    Second,
}

impl Cpus {
    /// Starts a process, which stays there.
    pub(crate) fn start<T: Send>(
        self,
        start: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        // A process has the processors of the thread that starts it.
        thread::scope(|scope| {
            let started = scope.spawn(|| {
                self.stay()?;
                start()
            });
            started
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic))
        })
    }

    /// Keeps this thread there.
    fn stay(self) -> io::Result<()> {
        let count = match self {
            Self::All => return Ok(()),
            Self::First => 1,
            Self::Second => 2,
        };
        let allowed = sched_getaffinity(None)?;
        let allowed = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
        let mut one = CpuSet::new();
        one.set(allowed.take(count).last().unwrap_or(0));
        Ok(sched_setaffinity(None, &one)?)
    }
}
