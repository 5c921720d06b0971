use std::time::{Duration, Instant};

use crate::client::circuit_breaker::{Admission, BreakerRules, Cause, CircuitBreaker, Failure};
use crate::error::ErrorKind;

const RULES: BreakerRules = BreakerRules {
    after: 3,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(8),
};

/// Exchanges that overlap: each byte of `data` lets time pass, begins an exchange or ends one.
///
/// - The circuit opens after failures in a row or after an overload, and for no other reason.
/// - While it is open, a trial begins only when the interval has passed since the last one began, unless
///   that was given back.
/// - The interval is doubled by a failed trial, once for those that overlap, and has a limit.
/// - It is closed by the success of an exchange that began after the opening, and only by that.
pub fn circuit_breaker(data: &[u8]) {
    let breaker = CircuitBreaker::without_jitter(RULES);
    let mut run = Run {
        breaker: &breaker,
        now: Instant::now(),
        under_way: Vec::new(),
        log: Log::default(),
    };
    for &byte in data {
        run.step(byte & 7, byte >> 3);
    }
    run.under_way.clear();
    run.now += RULES.longest;
    let trial = breaker.admit(run.now).expect("a trial is due");
    trial.succeeded();
    assert!(breaker.rejection().is_none());
}

struct Run<'b> {
    breaker: &'b CircuitBreaker,
    now: Instant,
    under_way: Vec<Exchange<'b>>,
    log: Log,
}

struct Exchange<'b> {
    admission: Admission<'b>,
    /// How often the circuit had opened before it began, and how many had succeeded.
    openings: usize,
    successes: usize,
    /// Which trial of its opening it is.
    trial: Option<usize>,
}

/// What happened so far, as plainly as can be.
#[derive(Default)]
struct Log {
    openings: usize,
    successes: usize,
    /// In a row.
    failures: u32,
    open: Option<Opening>,
}

struct Opening {
    interval: Duration,
    /// When the circuit opened and each trial began that was not given back.
    began: Vec<Instant>,
    /// How many trials had begun when the interval was last doubled.
    doubled_by: usize,
    trials: usize,
}

impl<'b> Run<'b> {
    fn step(&mut self, operation: u8, argument: u8) {
        let chosen = |len: usize| usize::from(argument).checked_rem(len);
        match (operation, chosen(self.under_way.len())) {
            (0 | 1, _) => self.now += Duration::from_millis(100) * argument.into(),
            (2 | 3, _) => self.begin(),
            (_, None) => {}
            (4, Some(chosen)) => self.succeed(chosen),
            (5, Some(chosen)) => self.fail(chosen, Failure::Loss),
            (6, Some(chosen)) if argument % 2 == 0 => self.fail(chosen, Failure::Overload),
            (6, Some(chosen)) => self.fail(chosen, Failure::Refusal),
            (_, Some(chosen)) => self.drop_one(chosen),
        }
        let is_open = self.breaker.rejection().is_some();
        assert_eq!(is_open, self.log.open.is_some());
    }

    fn begin(&mut self) {
        let admission = match (self.breaker.admit(self.now), &self.log.open) {
            (Ok(admission), _) => admission,
            (Err(rejection), Some(open)) => {
                assert!(self.now < open.next_trial(), "a trial is due");
                assert_eq!(rejection.next_trial, open.next_trial());
                return;
            }
            (Err(_), None) => panic!("closed, and nobody is let in"),
        };
        let trial = self.log.open.as_mut().map(|open| {
            assert!(self.now >= open.next_trial(), "a trial too early");
            open.began.push(self.now);
            open.trials += 1;
            open.trials
        });
        self.under_way.push(Exchange {
            admission,
            openings: self.log.openings,
            successes: self.log.successes,
            trial,
        });
    }

    fn succeed(&mut self, chosen: usize) {
        let exchange = self.under_way.swap_remove(chosen);
        let closed = exchange.admission.succeeded().is_some();
        let is_newer = exchange.openings == self.log.openings;
        let was_open = self.log.open.is_some();
        assert_eq!(closed, was_open && is_newer);
        self.log.successes += 1;
        if closed {
            self.log.open = None;
        }
        self.log.failures = 0;
    }

    fn fail(&mut self, chosen: usize, how: Failure) {
        let exchange = self.under_way.swap_remove(chosen);
        let why = Cause {
            kind: ErrorKind::Disconnected,
            text: "why".to_owned(),
        };
        let changed = exchange.admission.failed(how, &why, self.now);
        let log = &mut self.log;
        let is_newer = exchange.openings == log.openings;
        let is_refuted = how == Failure::Loss && exchange.successes != log.successes;
        match (&mut log.open, exchange.trial) {
            _ if !is_newer => assert_eq!(changed, None),
            (Some(open), Some(trial)) if trial > open.doubled_by => {
                open.interval = (open.interval * 2).min(RULES.longest);
                open.doubled_by = open.trials;
                assert_eq!(changed, Some(open.interval));
            }
            (Some(_), _) => assert_eq!(changed, None),
            (None, _) if is_refuted => assert_eq!(changed, None),
            (None, _) => {
                log.failures += 1;
                let opens = log.failures == RULES.after || how == Failure::Overload;
                assert_eq!(changed.is_some(), opens);
                if let Some(interval) = changed {
                    assert!(interval <= RULES.first);
                    log.open_at(self.now, interval);
                }
            }
        }
    }

    fn drop_one(&mut self, chosen: usize) {
        let exchange = self.under_way.swap_remove(chosen);
        let is_newer = exchange.openings == self.log.openings;
        drop(exchange.admission);
        if let (Some(open), Some(trial), true) = (&mut self.log.open, exchange.trial, is_newer) {
            if trial == open.trials {
                open.began.pop();
            }
        }
    }
}

impl Log {
    fn open_at(&mut self, now: Instant, interval: Duration) {
        self.openings += 1;
        self.failures = 0;
        self.open = Some(Opening {
            interval,
            began: vec![now],
            doubled_by: 0,
            trials: 0,
        });
    }
}

impl Opening {
    fn next_trial(&self) -> Instant {
        self.began
            .last()
            .map(|&began| began + self.interval)
            .unwrap()
    }
}
