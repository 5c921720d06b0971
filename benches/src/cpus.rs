//! Keeping both sides of a small measurement on one processor.
//!
//! The system puts a client of one thread on the processor of the sink or on another one, as it likes, and keeps it there
//! for a while. On another one each response has to wake up an idle processor, which on a virtual machine costs several
//! times what a small scan does. So a figure depends more on that than on the client. On one processor there is only a
//! switch from one process to the other.

use std::io;
use std::panic;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Starts a process, which stays on the first processor that this one may use.
pub(crate) fn on_the_first<T: Send>(start: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    // A process has the processors of the thread that starts it.
    thread::scope(|scope| {
        let started = scope.spawn(|| {
            let allowed = sched_getaffinity(None)?;
            let mut first = CpuSet::new();
            first.set(
                (0..CpuSet::MAX_CPU)
                    .find(|&cpu| allowed.is_set(cpu))
                    .unwrap_or(0),
            );
            sched_setaffinity(None, &first)?;
            start()
        });
        started
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}
