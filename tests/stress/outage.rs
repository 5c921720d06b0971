//! Takes the first server away now and then, and measures how long it is suspended (rule R10).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use icap_client::Scanner;

use crate::proxy::Side;
use crate::{Queue, Random};

/// The time between two looks.
const STEP: Duration = Duration::from_millis(5);

/// The healthy time before each outage.
const BEFORE: Duration = Duration::from_millis(1500);

/// The time that an exchange may take on a busy machine.
const EXCHANGE: Duration = Duration::from_secs(2);

pub(crate) struct Monitor {
    thread: JoinHandle<Recoveries>,
}

/// The observations.
#[derive(Default)]
pub(crate) struct Recoveries {
    pub(crate) outages: u64,
    /// The times from the end of an outage to the end of the suspension.
    pub(crate) longest: Duration,
}

#[derive(Clone, Copy)]
enum State {
    Healthy {
        since: Instant,
        /// Suspensions outside of an outage.
        suspended: Option<Instant>,
    },
    Out {
        since: Instant,
        until: Instant,
    },
    Recovering {
        since: Instant,
        length: Duration,
    },
}

struct Watch {
    scanner: Scanner,
    side: Arc<Side>,
    random: Random,
    state: State,
    seen: Recoveries,
}

impl Monitor {
    /// Looks while there is more to scan, because a server recovers only through scans.
    pub(crate) fn start(
        scanner: &Scanner,
        side: Arc<Side>,
        queue: Arc<Queue>,
        random: Random,
    ) -> Self {
        let mut watch = Watch {
            scanner: scanner.clone(),
            side,
            random,
            state: healthy(),
            seen: Recoveries::default(),
        };
        let thread = thread::spawn(move || {
            while !queue.is_empty() {
                thread::sleep(STEP);
                watch.look();
            }
            watch.seen
        });
        Self { thread }
    }

    pub(crate) fn finish(self) -> Recoveries {
        self.thread.join().expect("a server is suspended too long")
    }
}

fn healthy() -> State {
    State::Healthy {
        since: Instant::now(),
        suspended: None,
    }
}

impl Watch {
    fn look(&mut self) {
        let stats = self.scanner.stats();
        let now = Instant::now();
        let is_first = |service: &str| service == self.side.uri();
        let suspended = stats.suspended.iter().find(|it| is_first(&it.service));
        for other in &stats.suspended {
            assert!(is_first(&other.service), "never away: {other:?}");
        }
        self.state = match self.state {
            State::Healthy { since, .. } if suspended.is_none() && now > since + BEFORE => {
                self.begin_outage(now)
            }
            State::Healthy {
                since,
                suspended: before,
            } => {
                let seen = suspended.and(before.or(Some(now)));
                let too_long = seen.is_some_and(|seen| now > seen + EXCHANGE);
                assert!(!too_long, "a healthy server: {suspended:?}");
                State::Healthy {
                    since,
                    suspended: seen,
                }
            }
            State::Out { until, .. } if now < until => return,
            State::Out { since, .. } => self.end_outage(since, now),
            State::Recovering { since, length } => {
                let took = now - since;
                let bound = (length + Duration::from_secs(1)).min(Duration::from_secs(10));
                // Jitter is a fifth.
                let bound = bound * 6 / 5 + EXCHANGE;
                assert!(
                    took < bound,
                    "out for {length:?}, and {took:?} later: {suspended:?}"
                );
                if suspended.is_some() {
                    return;
                }
                self.seen.outages += 1;
                self.seen.longest = self.seen.longest.max(took);
                self.side.is_calm.store(false, Relaxed);
                healthy()
            }
        };
    }

    fn begin_outage(&mut self, now: Instant) -> State {
        self.side.is_out.store(true, Relaxed);
        let length = Duration::from_millis(50 + self.random.below(1000));
        State::Out {
            since: now,
            until: now + length,
        }
    }

    /// Until the server is used again, there is no other outage.
    fn end_outage(&mut self, since: Instant, now: Instant) -> State {
        self.side.is_calm.store(true, Relaxed);
        self.side.is_out.store(false, Relaxed);
        State::Recovering {
            since: now,
            length: now - since,
        }
    }
}
