//! How long an exchange waits for the server: in one wait, and in all waits together.
//!
//! Time in the caller's own code (reader, writer, progress callback) does not count. Every byte begins a timeout
//! anew, so a server that sends a byte now and then would never reach it. Therefore the waits also add up
//! (rule R10), and bytes must move at a minimum rate.

use std::time::{Duration, Instant};

use crate::error::TimeLimit;
use crate::net::deadline::{RanOut, Timeouts};

/// Bytes a second. An upload or a body that moves more slowly over a read timeout is too slow.
const MINIMUM_RATE: u32 = 1024;

/// Servers close connections on which nothing comes, each after a time of its own. A caller that reads from a
/// disk or a network pauses for less than this. So after a longer pause, a server that closes is not blamed; one
/// that is really gone is noticed by other scans.
const LONG_PAUSE: Duration = Duration::from_millis(100);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The server takes the request.
    Upload,
    /// The ICAP head of the response.
    Head,
    /// The rest of the response.
    Body,
}

/// The waits of one exchange.
#[derive(Debug)]
pub(crate) struct Waiting<'t> {
    timeouts: &'t Timeouts,
    wait: Wait,
    /// How long each kind of wait took until `resumed`.
    waited: [Duration; 3],
    /// When the caller's code last returned, or when the present wait began.
    resumed: Instant,
    /// When a byte last moved, or as above.
    quiet_since: Instant,
    /// How long the present kind of wait had taken when the response became due.
    due_after: Duration,
    /// Bytes that moved in either direction.
    bytes: u64,
    window: Window,
    pauses: Pauses,
}

/// Since when the rate is measured.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// How long the present kind of wait had taken.
    waited: Duration,
    bytes: u64,
}

/// How long the caller's code took.
#[derive(Debug, Clone, Copy, Default)]
struct Pauses {
    longest: Duration,
    last: Duration,
}

impl<'t> Waiting<'t> {
    /// Begins with the upload.
    pub(crate) fn start(timeouts: &'t Timeouts, now: Instant) -> Self {
        Self {
            timeouts,
            wait: Wait::Upload,
            waited: [Duration::ZERO; 3],
            resumed: now,
            quiet_since: now,
            due_after: Duration::ZERO,
            bytes: 0,
            window: Window {
                waited: Duration::ZERO,
                bytes: 0,
            },
            pauses: Pauses::default(),
        }
    }

    /// Begins a wait for something else.
    pub(super) fn begin(&mut self, wait: Wait, now: Instant) {
        self.waited[self.wait as usize] = self.added_up(now);
        self.wait = wait;
        self.resumed = now;
        self.quiet_since = now;
        self.due_after = self.waited[wait as usize];
        self.window = Window {
            waited: self.due_after,
            bytes: self.bytes,
        };
    }

    /// What is waited for.
    pub(super) fn wait(&self) -> Wait {
        self.wait
    }

    /// Bytes moved, in either direction.
    pub(super) fn moved(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        self.quiet_since = now;
        if !self.is_slow() && self.in_window(now) >= self.timeouts.read {
            self.window = Window {
                waited: self.added_up(now),
                bytes: self.bytes,
            };
        }
    }

    /// Bytes that moved so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The caller's code ran since `began`.
    pub(super) fn paused(&mut self, began: Instant, now: Instant) {
        self.waited[self.wait as usize] = self.added_up(began);
        self.resumed = now;
        self.quiet_since = now;
        self.pauses.last = now.saturating_duration_since(began);
        self.pauses.longest = self.pauses.longest.max(self.pauses.last);
    }

    /// The content is sent: only a pause before the last part of it still matters.
    pub(super) fn content_is_sent(&mut self) {
        self.pauses.longest = self.pauses.last;
    }

    /// The longest pause in the caller's code, if a server need not wait for so long.
    pub(super) fn long_pause(&self) -> Option<Duration> {
        Some(self.pauses.longest).filter(|&pause| pause >= LONG_PAUSE)
    }

    /// How long no byte has moved.
    pub(super) fn quiet_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.quiet_since)
    }

    /// How long the present wait may still take. The error is the timeout that is over.
    pub(super) fn left(&self, now: Instant) -> Result<Duration, RanOut> {
        let timeout = self.timeout();
        let passed = match self.wait {
            Wait::Upload | Wait::Body => self.quiet_for(now),
            Wait::Head => self.added_up(now).saturating_sub(self.due_after),
        };
        let left = timeout.after.saturating_sub(passed);
        if left.is_zero() {
            return Err(timeout);
        }
        if self.wait == Wait::Head || !self.is_slow() {
            return Ok(left);
        }
        let left_of_window = self.timeouts.read.saturating_sub(self.in_window(now));
        if left_of_window.is_zero() {
            return Err(RanOut {
                limit: TimeLimit::MinimumRate,
                after: self.timeouts.read,
            });
        }
        Ok(left.min(left_of_window))
    }

    /// Whether waiting for the server has added up to the timeout.
    pub(super) fn is_the_servers(&self, now: Instant) -> bool {
        self.added_up(now) >= self.timeout().after
    }

    fn timeout(&self) -> RanOut {
        let Timeouts { write, read, .. } = *self.timeouts;
        let (limit, after) = match self.wait {
            Wait::Upload => (TimeLimit::WriteTimeout, write),
            Wait::Body => (TimeLimit::ReadTimeout, read),
            Wait::Head => match self.timeouts.response {
                Some(response) => (TimeLimit::ResponseTimeout, response),
                None => (TimeLimit::ReadTimeout, read),
            },
        };
        RanOut { limit, after }
    }

    /// How long the present kind of wait has taken, all together.
    fn added_up(&self, now: Instant) -> Duration {
        self.waited[self.wait as usize] + now.saturating_duration_since(self.resumed)
    }

    fn in_window(&self, now: Instant) -> Duration {
        self.added_up(now).saturating_sub(self.window.waited)
    }

    /// Whether bytes move, but too slowly. If none moves, the timeout ends the wait.
    fn is_slow(&self) -> bool {
        let moved = self.bytes - self.window.bytes;
        let enough = self.timeouts.read.saturating_mul(MINIMUM_RATE).as_secs();
        moved > 0 && moved < enough
    }
}

#[cfg(test)]
mod tests;
