//! Many threads share one scanner with two servers and faulty proxies between them.
//!
//! Every content has a marker of its own, which the servers repeat in the name of the threat they find.
//! Between the scanner and each server, a proxy breaks connections at every stage of an exchange, drips
//! responses, responds early, responds 503 beyond a number of slots, and sends whole responses that
//! nobody asked for. Now and then the first server is away. Whatever they do: no content gets another
//! one's verdict, nothing that a server found is called clean or lost in an error, no scan hangs, no
//! connection is lost count of, and no healthy server is suspended.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `ICAP_STRESS_SCANS` | how many scans; 200,000 if it is not set |
//! | `ICAP_STRESS_SEED` | the seed of the faults and contents; it is printed |
//!
//! A seed makes the same contents and faults, but not the same schedule of threads.

mod faults;
mod outage;
mod proxy;
mod samples;
mod tally;

use std::env;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::Scanner;
use icap_client::testing::Server;

use outage::Monitor;
use proxy::{Proxy, Wire};
use samples::Sample;
use tally::{Counts, Tally};

const SCANS: u64 = 200_000;
const THREADS: u64 = 32;

/// Fewer than threads, so that some wait in line and not all connections are kept.
const MAX_CONNECTIONS: usize = 28;
const MAX_IDLE: usize = 20;

/// The read timeout, which a slow drip of a response exceeds. Nothing else takes nearly as long.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The servers record what they receive, so a long run uses several pairs, one after the other.
const SCANS_A_ROUND: u64 = 50_000;

/// If no scan ends for this time, one hangs. It is longer than the deadline of the scanner.
const HANGS: Duration = Duration::from_secs(30);

/// Now and then all threads rest at once. Without that, no connection would be idle for long enough to
/// have something done to it: the one that was used last is taken first.
const REST_EVERY: u64 = 400;
const REST: Duration = Duration::from_millis(30);

#[test]
fn no_fault_leads_to_a_wrong_verdict() {
    let scans = setting("ICAP_STRESS_SCANS").unwrap_or(SCANS);
    let seed = setting("ICAP_STRESS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    say(&format!("{scans} scans, ICAP_STRESS_SEED={seed}"));
    let began = Instant::now();
    let mut counts = Counts::default();
    for first in (0..scans).step_by(usize::try_from(SCANS_A_ROUND).unwrap()) {
        let numbers = first..scans.min(first + SCANS_A_ROUND);
        round(seed, numbers, &mut counts);
    }
    for (what, count) in &counts.0 {
        say(&format!("{count:>9}  {what}"));
    }
    say(&format!("took {:.1} s", began.elapsed().as_secs_f64()));
    // Every verdict was checked above. This shows that all kinds occurred.
    if scans >= SCANS {
        counts.assert_every_fault_happened();
    }
    counts.assert_idleness_is_proved();
}

/// A part of the scans, with its own servers.
fn round(seed: u64, numbers: std::ops::Range<u64>, counts: &mut Counts) {
    let serve = |is_first| Server::answering(move |request| samples::response(request, is_first));
    let servers = [serve(true).unwrap(), serve(false).unwrap()];
    let wire = Arc::new(Wire::new(seed ^ numbers.start));
    let proxies = [0, 1].map(|at| Proxy::start(servers[at].address(), &wire).unwrap());
    let scanner = scanner(&proxies);
    let queue = Arc::new(Queue {
        next: AtomicU64::new(numbers.start),
        end: numbers.end,
    });
    let random = Random::new(seed ^ numbers.end);
    let monitor = Monitor::start(&scanner, proxies[0].side(), Arc::clone(&queue), random);

    let scans = numbers.end - numbers.start;
    let tally = run(&scanner, &wire, seed, &queue);
    let recoveries = monitor.finish();
    let stats = scanner.stats();
    drop(scanner);
    proxies.into_iter().for_each(Proxy::finish);
    drop(servers);

    tally.check(scans, &stats, &wire);
    counts.add_stats(&stats);
    counts.add_all("errors: ", &tally.errors);
    counts.add_all("proxy: ", &wire.counts.lock().unwrap().0);
    counts.add("outages of the first server", recoveries.outages);
    counts.at_least("longest scan in ms", millis(tally.longest));
    counts.at_least("longest time to recover in ms", millis(recoveries.longest));
}

fn scanner(proxies: &[Proxy; 2]) -> Scanner {
    let [first, second] = [0, 1].map(|at| proxies[at].uri());
    Scanner::builder(&first)
        .endpoint(&second)
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(READ_TIMEOUT)
        .write_timeout(Duration::from_secs(10))
        .deadline(Duration::from_secs(20))
        .max_connections(MAX_CONNECTIONS)
        .max_idle(MAX_IDLE)
        .build()
        .unwrap()
}

/// The numbers of the remaining scans.
struct Queue {
    next: AtomicU64,
    end: u64,
}

impl Queue {
    fn take(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Relaxed);
        Some(number).filter(|&number| number < self.end)
    }

    fn is_empty(&self) -> bool {
        self.next.load(Relaxed) >= self.end
    }
}

/// Does all scans, on many threads, unless they hang.
fn run(scanner: &Scanner, wire: &Arc<Wire>, seed: u64, queue: &Arc<Queue>) -> Tally {
    let (progress, watched) = mpsc::channel();
    let work = || {
        let worker = Worker {
            scanner: scanner.clone(),
            wire: Arc::clone(wire),
            seed,
            queue: Arc::clone(queue),
            progress: progress.clone(),
        };
        thread::spawn(|| worker.run())
    };
    let threads: Vec<_> = (0..THREADS).map(|_| work()).collect();
    drop(progress);
    watch(&watched, &queue.next);
    threads
        .into_iter()
        .map(|thread| thread.join().expect("a thread panicked"))
        .fold(Tally::default(), Tally::plus)
}

/// A scan that has ended, or the reason why its outcome is wrong.
type Ended = Result<(), String>;

/// Returns when all threads have ended. Threads that hang are left to the end of the process.
fn watch(progress: &Receiver<Ended>, next: &AtomicU64) {
    loop {
        match progress.recv_timeout(HANGS) {
            Ok(ended) => ended.unwrap(),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no scan ended for {HANGS:?}; the next is {next:?}")
            }
        }
    }
}

/// The work of one thread.
struct Worker {
    scanner: Scanner,
    wire: Arc<Wire>,
    seed: u64,
    queue: Arc<Queue>,
    progress: Sender<Ended>,
}

impl Worker {
    fn run(self) -> Tally {
        let mut tally = Tally::default();
        while let Some(number) = self.queue.take() {
            let sample = Sample::new(self.seed, number);
            let began = Instant::now();
            let result = sample.scan(&self.scanner, &self.wire);
            tally.longest = tally.longest.max(began.elapsed());
            self.progress.send(tally.judge(sample, result)).unwrap();
            if number % REST_EVERY < THREADS {
                thread::sleep(REST);
            }
        }
        tally
    }
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn setting(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// Unlike `println`, this shows text also when the test succeeds.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
