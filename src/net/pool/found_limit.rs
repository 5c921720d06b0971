//! The limit that a server does not announce but shows: it sends 503, or does not respond, because it has too
//! many connections (RFC 3507 §4.3.3).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the server must serve without a fault until it gets one connection more.
pub(super) const GROWTH: Duration = Duration::from_secs(1);

/// A limit that a server showed. It grows again by one for each second of success.
#[derive(Debug, Default)]
pub(super) struct FoundLimit {
    /// The limit, and when it last changed; `None` while the server has shown none.
    limit: Option<(usize, Instant)>,
    peaks: Peaks,
}

impl FoundLimit {
    pub(super) fn connections(&self) -> Option<usize> {
        self.limit.map(|(connections, _)| connections)
    }

    /// A caller was given a connection, so that `in_use` are in use.
    pub(super) fn note(&mut self, caller: u64, in_use: usize) {
        self.peaks.note(caller, in_use);
    }

    /// The server had no room for this caller's connection. If others were in use at the same time, the limit
    /// becomes one less than all of them. Returns how many were in use, this one included.
    pub(super) fn lower(&mut self, caller: u64, now: Instant) -> usize {
        let ran = self.peaks.since(caller);
        self.peaks.forget(caller);
        if ran > 1 {
            let least = ran - 1;
            let connections = self.connections().map_or(least, |found| found.min(least));
            self.limit = Some((connections, now));
        }
        ran
    }

    /// The server works. Returns whether the limit grew.
    pub(super) fn succeeded(&mut self, now: Instant) -> bool {
        let Some((connections, changed)) = &mut self.limit else {
            return false;
        };
        if now.saturating_duration_since(*changed) < GROWTH {
            return false;
        }
        *connections = connections.saturating_add(1);
        *changed = now;
        true
    }
}

/// How many connections were in use at once, at most, since each caller was given one. So it is known what ran
/// together with a caller's exchange, however late the server turns it away.
#[derive(Debug, Default)]
struct Peaks {
    /// A caller, and how many connections were in use when it came. Callers that saw no more than a later one
    /// are left out, so the callers increase and the numbers of connections decrease.
    seen: VecDeque<(u64, usize)>,
}

impl Peaks {
    fn note(&mut self, caller: u64, in_use: usize) {
        while self
            .seen
            .back()
            .is_some_and(|&(_, before)| before <= in_use)
        {
            self.seen.pop_back();
        }
        self.seen.push_back((caller, in_use));
    }

    fn since(&self, caller: u64) -> usize {
        let peak = self.seen.iter().find(|&&(later, _)| later >= caller);
        peak.map_or(1, |&(_, in_use)| in_use.max(1))
    }

    /// The server turned this caller away, so its connection was not in use.
    fn forget(&mut self, caller: u64) {
        for (later, in_use) in self.seen.iter_mut().rev() {
            if *later < caller {
                return;
            }
            *in_use = in_use.saturating_sub(1);
        }
    }
}
