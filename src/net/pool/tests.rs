use std::thread;

use super::found_limit::GROWTH;
use super::*;
use crate::net::checkout::Place;
use crate::net::tcp::TcpConnector;
use crate::seam::sync::{AtomicU64, Ordering};
use crate::seam::time::{Clock, Time};

fn pool(limits: PoolLimits) -> Arc<Pool> {
    pool_at(limits, Time::default())
}

fn pool_at(limits: PoolLimits, clock: Time) -> Arc<Pool> {
    let counters = ServiceCounters::new("icap://127.0.0.1/s".to_owned());
    let target = Target {
        uri: "icap://127.0.0.1/s".parse().unwrap(),
        connector: Arc::new(TcpConnector),
        connect_timeout: Duration::from_secs(1),
        clock,
        counters: Arc::new(counters),
    };
    Pool::new(target, limits)
}

#[test]
fn waiting_callers_are_served_in_the_order_they_came() {
    const WAITING: usize = 8;
    let pool = pool(PoolLimits {
        max_idle: 0,
        max_connections: Some(1),
        idle_timeout: Duration::ZERO,
    });
    let forever = Deadline::by_system(Duration::from_secs(60));
    let first = pool.take(false, &forever, forever.now()).unwrap();
    let served = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for caller in 0..WAITING {
            let (pool, served, forever) = (&pool, &served, &forever);
            scope.spawn(move || {
                // The place is held until it is noted who has it.
                let _place = pool.take(false, forever, forever.now()).unwrap();
                served.lock().push(caller);
            });
            while pool.lock().line.len() <= caller {
                thread::yield_now();
            }
        }
        drop(first);
    });
    assert_eq!(*served.lock(), Vec::from_iter(0..WAITING));
    assert_eq!(pool.lock().open, 0);
}

#[test]
fn caller_in_line_is_woken_by_each_kind_of_place() {
    let gives: [fn(&Arc<Pool>, Permit); 4] = [
        |_, permit| drop(permit),
        |_, permit| check_in(permit),
        |pool, permit| {
            pool.set_service_limit(Some(2));
            std::mem::forget(permit);
        },
        |_, permit| {
            permit.succeeded(Time::default().now() + GROWTH);
            std::mem::forget(permit);
        },
    ];
    for (at, give) in gives.into_iter().enumerate() {
        let pool = unlimited();
        let mut permits = take(&pool, 2);
        // Now the server is known to take one connection.
        permits.remove(0).had_no_room(Time::default().now());
        if at == 2 {
            permits[0].succeeded(Time::default().now() + GROWTH);
            pool.set_service_limit(Some(1));
        }
        thread::scope(|scope| {
            let forever = Deadline::by_system(Duration::from_secs(60));
            let pool = &pool;
            let waiting = scope.spawn(move || pool.take(false, &forever, forever.now()).is_some());
            while pool.waiting() == 0 {
                thread::yield_now();
            }
            give(pool, permits.remove(0));
            assert!(waiting.join().unwrap(), "{at}");
        });
    }
}

#[test]
fn connection_that_has_scanned_raises_the_found_limit() {
    for (has_scanned, limit) in [(false, 1), (true, 2)] {
        let pool = unlimited();
        let [first, second] = take(&pool, 2).try_into().unwrap();
        first.had_no_room(Instant::now());
        let connection = connection(&second);
        second.check_in(connection, Instant::now() + GROWTH, has_scanned);
        assert_eq!(pool.limit(&pool.lock()), limit);
    }
}

/// Panics when it is asked for the third time.
#[derive(Default)]
struct Panics(AtomicU64);

impl Clock for Panics {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn now_for_waits(&self) -> Instant {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(asked < 2, "the clock is broken");
        Instant::now()
    }
}

#[test]
fn caller_whose_clock_panics_leaves_the_line() {
    let pool = pool(PoolLimits {
        max_idle: 0,
        max_connections: Some(1),
        idle_timeout: Duration::ZERO,
    });
    let soon = Deadline::by_system(Duration::from_secs(60));
    let place = pool.take(false, &soon, soon.now());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let clock = Time::of(Arc::new(Panics::default()));
            let wait = Deadline::start(&clock, Some(Duration::from_millis(1)));
            pool.take(false, &wait, wait.now()).is_some()
        });
        assert!(waiting.join().is_err());
    });
    assert!(pool.lock().line.is_empty());
    drop(place);
    assert!(pool.take(false, &soon, soon.now()).is_some());
}

fn unlimited() -> Arc<Pool> {
    pool(PoolLimits {
        max_idle: 9,
        max_connections: None,
        idle_timeout: Duration::MAX,
    })
}

/// Takes what places there are, up to `most`.
fn take(pool: &Arc<Pool>, most: usize) -> Vec<Permit> {
    let now = Deadline::by_system(Duration::ZERO);
    let acquire = || pool.take(false, &now, now.now()).map(|taken| taken.permit);
    std::iter::from_fn(acquire).take(most).collect()
}

#[test]
fn no_room_lowers_the_limit_to_one_less_than_ran() {
    let (pool, now) = (unlimited(), Instant::now());
    let mut permits = take(&pool, 8);
    for left in [7, 6, 5] {
        assert!(permits.remove(0).had_no_room(now));
        assert_eq!(pool.limit(&pool.lock()), left);
        assert!(take(&pool, 1).is_empty());
    }
    // It does not matter how late it is told.
    let late = permits.pop().unwrap();
    permits.clear();
    assert!(late.had_no_room(now));
    assert_eq!(take(&pool, 9).len(), 4);
}

#[test]
fn limit_is_never_less_than_one_connection() {
    let (pool, now) = (unlimited(), Instant::now());
    for _ in 0..3 {
        let mut permits = take(&pool, 2);
        permits.remove(0).had_no_room(now);
        drop(permits);
        assert_eq!(take(&pool, 9).len(), 1);
    }
}

#[test]
fn no_room_for_a_caller_alone_is_no_reason_to_wait() {
    let (pool, now) = (unlimited(), Instant::now());
    assert!(!take(&pool, 1).remove(0).had_no_room(now));
    assert_eq!(take(&pool, 9).len(), 9, "the limit stays");
}

#[test]
fn what_ran_is_the_most_at_once_since_the_caller_came() {
    let (pool, now) = (unlimited(), Instant::now());
    take(&pool, 7).clear();
    let permit = take(&pool, 1).remove(0);
    // Others came and went meanwhile.
    take(&pool, 2).clear();
    take(&pool, 3).clear();
    take(&pool, 1).clear();
    assert!(permit.had_no_room(now));
    assert_eq!(take(&pool, 9).len(), 3);
}

#[test]
fn limit_grows_by_one_for_each_second_of_success() {
    let (pool, mut now) = (unlimited(), Instant::now());
    let mut permits = take(&pool, 3);
    permits.remove(0).had_no_room(now);
    for limit in [2, 3, 4] {
        assert_eq!(pool.limit(&pool.lock()), limit);
        permits[0].succeeded(now + GROWTH - Duration::from_millis(1));
        assert_eq!(pool.limit(&pool.lock()), limit);
        now += GROWTH;
        permits[0].succeeded(now);
        permits[0].succeeded(now);
    }
    // A long time without a scan is no success.
    permits[0].succeeded(now + 100 * GROWTH);
    assert_eq!(pool.limit(&pool.lock()), 6);
}

/// A stream on which nothing happens.
struct Silent;

impl std::io::Read for Silent {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}

impl std::io::Write for Silent {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl crate::Stream for Silent {
    fn set_read_timeout(&mut self, _: Duration) -> std::io::Result<()> {
        Ok(())
    }
    fn set_write_timeout(&mut self, _: Duration) -> std::io::Result<()> {
        Ok(())
    }
    fn readiness(&mut self) -> std::io::Result<crate::transport::Readiness> {
        Ok(crate::transport::Readiness::Idle)
    }
}

/// How many connections of the pool were closed, by reason.
fn closed(pool: &Pool) -> Vec<(CloseReason, u64)> {
    let stats = pool.target().counters.snapshot();
    stats.closed_by_reason.into_iter().collect()
}

fn made_room(connections: u64) -> Vec<(CloseReason, u64)> {
    vec![(CloseReason::MadeRoom, connections)]
}

fn check_in(permit: Permit) {
    check_in_at(permit, Instant::now());
}

fn check_in_at(permit: Permit, now: Instant) {
    let connection = connection(&permit);
    permit.check_in(connection, now, false);
}

fn connection(permit: &Permit) -> Box<Connection> {
    let Target {
        clock, counters, ..
    } = permit.pool().target();
    let stream = Box::new(Silent);
    let connection = Connection::new(stream, clock.clone(), Arc::clone(counters));
    Box::new(connection)
}

#[test]
fn starving_connection_is_given_one_place_at_a_time() {
    let pool = unlimited();
    let mut permits = take(&pool, 6);
    let starving = permits.pop().unwrap();
    check_in(permits.pop().unwrap());
    check_in(permits.pop().unwrap());
    starving.wants_room();
    assert_eq!((closed(&pool), pool.idle()), (made_room(1), 1));
    starving.wants_room();
    starving.wants_room();
    starving.wants_room();
    assert_eq!((closed(&pool), pool.idle()), (made_room(2), 0));
    // The others are in use: one of them is closed instead of being put aside.
    check_in(permits.pop().unwrap());
    check_in(permits.pop().unwrap());
    assert_eq!((closed(&pool), pool.idle()), (made_room(3), 1));
}

#[test]
fn connection_with_a_response_wants_no_room() {
    let pool = unlimited();
    let mut permits = take(&pool, 4);
    let (responding, lost) = (permits.pop().unwrap(), permits.pop().unwrap());
    responding.wants_room();
    lost.wants_room();
    assert!(!lost.others_have_responses());
    responding.response_began();
    assert!(lost.others_have_responses());
    drop(lost);
    for permit in permits {
        check_in(permit);
    }
    assert_eq!((closed(&pool), pool.idle()), (vec![], 2));
}

#[test]
fn idle_connections_that_are_given_back_keep_their_order() {
    let pool = pool(PoolLimits {
        max_idle: 3,
        max_connections: None,
        idle_timeout: Duration::MAX,
    });
    let since = |seconds| Duration::from_secs(seconds);
    let began = Instant::now();
    for (seconds, permit) in take(&pool, 3).into_iter().enumerate() {
        check_in_at(permit, began + since(seconds as u64));
    }
    let idle = || {
        let state = pool.lock();
        let idle = state.idle.iter();
        idle.map(|idle| (idle.since - began, idle.last_place))
            .collect::<Vec<_>>()
    };
    let before = idle();
    let wait = Deadline::by_system(Duration::ZERO);
    let take_all = || [(); 3].map(|()| pool.acquire(false, &wait, wait.now()).unwrap());
    take_all().into_iter().for_each(Place::give_back);
    assert_eq!(idle(), before);
    // A newer one is there by then: the oldest is the one too many.
    let places = take_all();
    check_in_at(take(&pool, 1).remove(0), began + since(9));
    places.into_iter().for_each(Place::give_back);
    let left: Vec<_> = idle().into_iter().map(|(since, _)| since).collect();
    assert_eq!(left, [1, 2, 9].map(since));
    assert_eq!(closed(&pool), [(CloseReason::Surplus, 1)]);
}

/// Takes an idle connection in a thread of its own, and puts it aside at `now`. Returns the place that used it before.
fn use_in_a_thread(pool: &Arc<Pool>, now: Instant) -> Option<u64> {
    let wait = Deadline::by_system(Duration::ZERO);
    let user = || {
        let taken = pool.take(false, &wait, wait.now()).unwrap();
        check_in_at(taken.permit, now);
        taken.idle.map(|idle| idle.last_place)
    };
    thread::scope(|scope| scope.spawn(user).join().unwrap())
}

/// The place that used the connection before which this thread is given. The connection is closed.
fn given(pool: &Arc<Pool>) -> u64 {
    let wait = Deadline::by_system(Duration::ZERO);
    let taken = pool.take(false, &wait, wait.now()).unwrap();
    taken.idle.unwrap().last_place
}

#[test]
fn thread_gets_its_own_last_connection_if_it_is_new() {
    let began = Time::default().now();
    for (older, is_own) in [
        (Duration::ZERO, true),
        (OWN_IS_NEW, true),
        (OWN_IS_NEW + Duration::from_millis(1), false),
    ] {
        let pool = unlimited();
        // All three are made before one of them is idle.
        let mut permits = take(&pool, 2);
        let (first, own) = (permits.remove(0), permits.remove(0));
        let own_place = own.number();
        let wait = Deadline::by_system(Duration::ZERO);
        let other = thread::scope(|scope| {
            let taken = scope.spawn(|| pool.take(false, &wait, wait.now()).unwrap());
            taken.join().unwrap().permit
        });
        let other_place = other.number();
        check_in_at(first, began);
        check_in_at(own, began);
        check_in_at(other, began + older);
        let expected = if is_own { own_place } else { other_place };
        assert_eq!(given(&pool), expected, "{older:?}");
    }
}

#[test]
fn thread_without_a_connection_of_its_own_gets_the_newest() {
    let (pool, began) = (unlimited(), Time::default().now());
    let mut places = Vec::new();
    for (at, permit) in (0..).zip(take(&pool, 3)) {
        places.push(permit.number());
        check_in_at(permit, began + Duration::from_millis(at));
    }
    let last = use_in_a_thread(&pool, began + Duration::from_millis(9));
    assert_eq!(last, places.pop());
    // What the other thread used is the newest, and not the own one.
    assert_eq!(Some(given(&pool)), places.pop());
}

/// Stands still.
struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }
}

#[test]
fn own_connection_that_is_too_old_is_not_preferred() {
    const MILLISECOND: Duration = Duration::from_millis(1);
    let limits = PoolLimits {
        max_idle: 9,
        max_connections: None,
        idle_timeout: 60 * MILLISECOND,
    };
    let began = Time::default().now();
    for (age, is_own) in [(60, true), (61, false)] {
        let pool = pool_at(limits, Time::of(Arc::new(Still(began + age * MILLISECOND))));
        let wait = Deadline::by_system(Duration::ZERO);
        let own = take(&pool, 1).remove(0);
        let other = thread::scope(|scope| {
            let taken = scope.spawn(|| pool.take(false, &wait, wait.now()).unwrap());
            taken.join().unwrap().permit
        });
        let expected = if is_own { own.number() } else { other.number() };
        check_in_at(own, began);
        check_in_at(other, began + MILLISECOND);
        let taken = pool.take(false, &wait, wait.now()).unwrap();
        assert!(!taken.is_expired);
        assert_eq!(taken.idle.map(|idle| idle.last_place), Some(expected));
    }
}
