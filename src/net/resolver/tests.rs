use std::collections::BTreeSet;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::*;
use crate::net::cancel::Cancel;
use crate::net::connecting;
use crate::net::transport::{Connect, Stream};
use crate::proto::uri::ServiceUri;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(20);

/// What a resolver waits for that hangs.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opens: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opens.wait(is_open).unwrap();
        }
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opens.notify_all();
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A resolver that hangs, its gate, and the hosts that it was asked for.
fn hanging() -> (Resolver, Arc<Gate>, mpsc::Receiver<String>) {
    let (gate, (asked, hosts)) = (Arc::new(Gate::default()), mpsc::channel());
    let (passes, asked) = (Arc::clone(&gate), Mutex::new(asked));
    let ask = move |host: &str| {
        asked.lock().unwrap().send(host.to_owned()).unwrap();
        passes.pass();
        Ok(vec![address()])
    };
    (Resolver::new(ask, IDLE_TIME), gate, hosts)
}

fn threads(resolver: &Resolver) -> usize {
    resolver.helpers.lock().threads
}

#[test]
fn hanging_resolver_keeps_at_most_16_threads() {
    let (resolver, gate, hosts) = hanging();
    let errors = Mutex::new(Vec::new());
    let look_up = |host: String, timeout| resolver.look_up(&host, timeout);
    let call = &look_up;
    thread::scope(|scope| {
        for host in 0..MAX_LOOK_UP_THREADS {
            scope.spawn(move || call(format!("hangs-{host}"), LONG));
        }
        (0..MAX_LOOK_UP_THREADS).for_each(|_| drop(hosts.recv().unwrap()));
        thread::scope(|scope| {
            for caller in 0..100 {
                let errors = &errors;
                scope.spawn(move || {
                    for at in 0..10 {
                        let error = call(format!("host-{}", 10 * caller + at), SHORT);
                        errors.lock().unwrap().push(error.unwrap_err());
                    }
                });
            }
        });
        let state = resolver.helpers.lock();
        assert_eq!(state.threads, MAX_LOOK_UP_THREADS);
        // Nobody waits for the others.
        assert!(state.line.is_empty());
        drop(state);
        gate.open();
    });
    let errors = errors.into_inner().unwrap();
    assert_eq!((errors.len(), hosts.try_iter().count()), (1000, 0));
    for error in &errors {
        assert!(is_shortage(error));
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            error.to_string().contains("16 other look-ups hang"),
            "{error}"
        );
    }
    assert_eq!(resolver.look_up("host-1000", LONG).unwrap(), [address()]);
}

#[test]
fn callers_of_one_host_share_one_look_up() {
    const CALLERS: usize = 32;
    let (resolver, gate, hosts) = hanging();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| resolver.look_up("av.example", LONG)))
            .collect();
        // The list, the thread, and each caller have it.
        let waiting = || {
            let state = resolver.helpers.lock();
            state.under_way.first().map(|(it, _)| Arc::strong_count(it))
        };
        while waiting() != Some(CALLERS + 2) {
            thread::yield_now();
        }
        gate.open();
        for call in calls {
            assert_eq!(call.join().unwrap().unwrap(), [address()]);
        }
    });
    assert_eq!((hosts.try_iter().count(), threads(&resolver)), (1, 1));
}

#[test]
fn caller_waits_no_longer_than_its_timeout() {
    let (resolver, gate, _hosts) = hanging();
    let began = Instant::now();
    let error = resolver.look_up("av.example", SHORT).unwrap_err();
    assert!(began.elapsed() < LONG / 2);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "cannot resolve av.example: no response in time"
    );
    assert!(!is_shortage(&error));
    gate.open();
}

#[test]
fn busy_threads_are_waited_for_in_line() {
    let (resolver, gate, hosts) = hanging();
    thread::scope(|scope| {
        let call = |host: usize| resolver.look_up(&host.to_string(), LONG);
        let calls: Vec<_> = (0..40)
            .map(|host| scope.spawn(move || call(host)))
            .collect();
        while resolver.helpers.lock().line.len() != 40 - MAX_LOOK_UP_THREADS {
            thread::yield_now();
        }
        gate.open();
        assert!(calls.into_iter().all(|call| call.join().unwrap().is_ok()));
    });
    let hosts: BTreeSet<_> = hosts.try_iter().collect();
    assert_eq!((hosts.len(), threads(&resolver)), (40, MAX_LOOK_UP_THREADS));
}

#[test]
fn idle_thread_ends_and_another_begins_when_needed() {
    let resolver = Resolver::new(|_| Ok(vec![address()]), SHORT);
    for _ in 0..2 {
        assert!(resolver.look_up("av.example", LONG).is_ok());
        let began = Instant::now();
        while threads(&resolver) > 0 {
            assert!(began.elapsed() < LONG);
            thread::yield_now();
        }
    }
    assert_eq!(resolver.helpers.lock().idle, 0);
}

#[test]
fn panic_in_a_look_up_is_an_error_and_keeps_the_thread() {
    let resolver = Resolver::new(|host| panic!("{host}"), IDLE_TIME);
    for _ in 0..3 {
        let error = resolver.look_up("av.example", LONG).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot resolve av.example: the look-up panicked"
        );
    }
    assert_eq!(threads(&resolver), 1);
}

#[test]
fn look_up_that_hangs_is_renewed_once() {
    let (resolver, gate, hosts) = hanging();
    let began = Instant::now();
    let join = |after| resolver.join("av.example", began + after).unwrap();
    let first = join(Duration::ZERO);
    hosts.recv().unwrap();
    assert!(Arc::ptr_eq(&first, &join(RENEWAL / 2)));
    let later = 2 * RENEWAL;
    let second = join(later);
    assert!(!Arc::ptr_eq(&first, &second));
    hosts.recv().unwrap();
    // The second one is shared from now on, also when it is old.
    assert!(Arc::ptr_eq(&second, &join(later)));
    assert!(Arc::ptr_eq(&second, &join(2 * later)));
    gate.open();
    for look_up in [first, second] {
        let found = look_up
            .wait(&Deadline::by_system(LONG), |found| found.clone())
            .unwrap();
        assert_eq!(found.as_ref().as_ref().unwrap(), &[address()]);
    }
    assert!(resolver.helpers.lock().under_way.is_empty());
}

#[test]
fn time_in_line_is_a_shortage_also_if_it_began_at_last() {
    let (resolver, gate, hosts) = hanging();
    let began = Instant::now();
    let look_up = resolver.join("av.example", began).unwrap();
    hosts.recv().unwrap();
    let begun = resolver.helpers.lock().begun(&look_up).unwrap();
    for (in_line, is_excused) in [(6, true), (4, false)] {
        let since = begun.checked_sub(in_line * SHORT).unwrap();
        let error = resolver.leave(Arc::clone(&look_up), since, 10 * SHORT);
        assert_eq!(is_shortage(&error), is_excused, "{error}");
    }
    gate.open();
}

/// Connects to what a resolver finds.
struct Resolves(Resolver);

impl Connect for Resolves {
    fn connect(&self, service: &ServiceUri, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        self.0.look_up(service.host(), timeout)?;
        Err(io::Error::other("there is nothing to connect to"))
    }
}

/// How long a call waits for a resolver that hangs after its scan is cancelled.
fn time_after_cancel() -> Duration {
    let (resolver, gate, hosts) = hanging();
    let connector: Arc<dyn Connect> = Arc::new(Resolves(resolver));
    let service = "icap://av.example/scan".parse().unwrap();
    let cancel = Cancel::new();
    let deadline = Deadline::by_system(None).or_cancelled(Some(cancel.clone()));
    thread::scope(|scope| {
        let call = scope.spawn(|| {
            let connected = connecting::connect(&connector, &service, LONG, &deadline);
            assert!(connected.is_err());
            Instant::now()
        });
        assert_eq!(hosts.recv().unwrap(), "av.example");
        let cancelled = Instant::now();
        cancel.cancel();
        let ended = call.join().unwrap();
        gate.open();
        ended.saturating_duration_since(cancelled)
    })
}

#[test]
fn cancel_ends_the_wait_for_a_resolver_that_hangs() {
    // The threads that connect are few.
    const AT_ONCE: usize = 4;
    let some = || -> Vec<_> { (0..100 / AT_ONCE).map(|_| time_after_cancel()).collect() };
    let mut times: Vec<_> = thread::scope(|scope| {
        let threads = [(); AT_ONCE].map(|()| scope.spawn(some));
        let times = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        times.collect()
    });
    times.sort_unstable();
    let [median, ninetieth, longest] = [50, 90, 99].map(|at| times[at]);
    println!("look-up: median {median:?}, 90 of 100 within {ninetieth:?}, longest {longest:?}");
    assert!(ninetieth < Duration::from_millis(200));
    assert!(longest < LONG / 3);
}
