use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;

use super::*;

const KEY: Hash = [1; 16];
const LONG: Duration = Duration::from_secs(60);

fn entry(number: u8) -> Arc<[u8]> {
    vec![number].into()
}

fn wait(limit: Duration) -> Deadline {
    Deadline::by_system(limit)
}

fn lead(flights: &Flights) -> Leading<'_> {
    match flights.board(KEY, &wait(LONG), LONG) {
        Boarding::Lead(leading) => leading,
        _ => panic!("another one leads"),
    }
}

/// Lets eight threads wait for the flight, then calls `end`. Returns the entries that they got.
fn entries_of_waiters(flights: &Flights, end: impl FnOnce()) -> Vec<Option<Arc<[u8]>>> {
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| match flights.board(KEY, &wait(LONG), LONG) {
                    Boarding::Landed(entry) => Some(entry),
                    Boarding::Alone => None,
                    Boarding::Lead(_) => panic!("the first one leads"),
                })
            })
            .collect();
        // Each of them has a handle of the flight, besides the map and the leader.
        let flight = Arc::clone(&flights.0.lock()[&KEY]);
        while Arc::strong_count(&flight) < 3 + waiters.len() {
            thread::yield_now();
        }
        end();
        waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .collect()
    })
}

#[test]
fn waiters_get_the_entry_before_the_leader_is_done() {
    let flights = Flights::default();
    let leading = lead(&flights);
    let entries = entries_of_waiters(&flights, || leading.land(entry(7)));
    assert!(entries.iter().all(|got| *got == Some(entry(7))));
    // Also newcomers, until it is dropped.
    let landed = flights.board(KEY, &wait(LONG), LONG);
    assert!(matches!(landed, Boarding::Landed(got) if got == entry(7)));
    drop(leading);
    assert!(flights.0.lock().is_empty());
    drop(lead(&flights));
}

#[test]
fn all_waiters_go_alone_if_the_leader_gives_up() {
    let flights = Flights::default();
    let leading = lead(&flights);
    let entries = entries_of_waiters(&flights, || drop(leading));
    assert!(entries.iter().all(Option::is_none));
    assert!(flights.0.lock().is_empty());
}

#[test]
fn waiters_of_a_panicked_leader_go_alone() {
    let flights = Flights::default();
    let leading = lead(&flights);
    let entries = entries_of_waiters(&flights, || {
        let panics = std::panic::AssertUnwindSafe(move || {
            let _leading = leading;
            panic!("as the test wants");
        });
        assert!(std::panic::catch_unwind(panics).is_err());
    });
    assert!(entries.iter().all(Option::is_none));
    assert!(flights.0.lock().is_empty());
}

#[test]
fn waiter_goes_alone_when_its_time_is_over() {
    let flights = Flights::default();
    let leading = lead(&flights);
    let short = wait(Duration::from_millis(1));
    assert!(matches!(flights.board(KEY, &short, LONG), Boarding::Alone));
    drop(leading);
}

#[test]
fn newcomer_replaces_a_stuck_leader() {
    let flights = Flights::default();
    let stuck = lead(&flights);
    let Boarding::Lead(second) = flights.board(KEY, &wait(LONG), Duration::ZERO) else {
        panic!("the first one is stuck");
    };
    // The end of the stuck one does not end the flight of the second.
    drop(stuck);
    let entries = entries_of_waiters(&flights, || second.land(entry(2)));
    assert!(entries.iter().all(|got| *got == Some(entry(2))));
    drop(second);
    assert!(flights.0.lock().is_empty());
}

#[test]
fn other_keys_do_not_wait() {
    let flights = Flights::default();
    let _leading = lead(&flights);
    let other = flights.board([2; 16], &wait(LONG), LONG);
    assert!(matches!(other, Boarding::Lead(_)));
}

/// A sequence of numbers that is the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Threads lead, land, give up and wait in random order. Nobody gets an entry of another key, nobody waits for a leader
/// that has ended, and no flight is left.
#[test]
fn random_schedules_leave_nobody_waiting() {
    const THREADS: u64 = 8;
    for seed in 0..40 {
        let flights = Flights::default();
        let (landed, led) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (done, all_done) = mpsc::channel();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let mut numbers = Numbers(seed * THREADS + thread);
                let (flights, landed, led, done) = (&flights, &landed, &led, done.clone());
                scope.spawn(move || {
                    for _ in 0..50 {
                        step(flights, &mut numbers, landed, led);
                    }
                    done.send(()).unwrap();
                });
            }
            drop(done);
            for _ in 0..THREADS {
                all_done.recv_timeout(LONG).expect("nobody waits for ever");
            }
        });
        assert!(flights.0.lock().is_empty(), "seed {seed}");
        assert!(led.load(SeqCst) > 0);
    }
}

fn step(flights: &Flights, numbers: &mut Numbers, landed: &AtomicUsize, led: &AtomicUsize) {
    let number = u8::try_from(numbers.below(3)).unwrap();
    let key = [number; 16];
    let limit = Duration::from_micros(numbers.below(3) * 200);
    let patience = match numbers.0 % 3 {
        0 => Duration::ZERO,
        1 => Duration::from_micros(300),
        _ => LONG,
    };
    // Only those that wait without a limit show that nobody is forgotten.
    let limit = if numbers.below(4) == 0 { LONG } else { limit };
    match flights.board(key, &wait(limit), patience) {
        Boarding::Landed(got) => {
            landed.fetch_add(1, SeqCst);
            assert_eq!(got, entry(number));
        }
        Boarding::Alone => {}
        Boarding::Lead(leading) => {
            led.fetch_add(1, SeqCst);
            for _ in 0..numbers.below(20) {
                thread::yield_now();
            }
            match numbers.below(3) {
                0 => drop(leading),
                1 => leading.land(entry(number)),
                _ => {
                    leading.land(entry(number));
                    thread::yield_now();
                    drop(leading);
                }
            }
        }
    }
}
