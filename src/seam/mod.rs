//! What the crate takes from the system besides files and sockets, one small file each: threads and locks,
//! time, and randomness.
//!
//! Everything else goes through these files, so that tests can explore schedules and simulated time by
//! exchanging them alone. `.clippy.toml` lists what must not be used elsewhere; `src/testing`,
//! `src/fuzz_checks` and `src/bin` may use it, because they stand outside of what is explored.

pub(crate) mod random;
pub(crate) mod sync;
pub(crate) mod time;
