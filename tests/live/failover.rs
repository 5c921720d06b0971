//! Two c-icaps under load, one of which is killed with `kill -9` and restarted: with HAProxy before them, and
//! as two endpoints of one scanner.
//!
//! A collector reads what came of every scan, and kills and restarts after so many of them; so nothing
//! here waits for a time.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::error::{ErrorKind, Violation};
use icap_client::{Content, Error, Report, Scanner, Stats, Verdict};

use super::{archive_with_eicar_at_its_end, variable};

const THREADS: usize = 16;
/// Scans in each phase: before the kill, between the kill and the restart, after the restart.
const SCANS: usize = 1_000;
/// A c-icap is in use when it has done this number of scans.
const IN_USE: usize = 50;
/// If no scan ends for this time, they hang. Also the time for a c-icap to be in use again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A connection that was cut by the kill is noticed within this time.
const NOTICE: Duration = Duration::from_secs(1);

/// There is only one c-icap to kill.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) fn behind_haproxy() {
    // While its processes die one after the other, a c-icap still takes connections and drops them,
    // and HAProxy may give it the one on which a scan is repeated. Hence the servers as fallbacks.
    let scanner = Scanner::builder(service("ICAP_LIVE_HAPROXY"))
        .endpoint(service("ICAP_LIVE_A"))
        .endpoint(service("ICAP_LIVE_B"))
        .build()
        .unwrap();
    let tally = under_load(&scanner, |tally| kill_and_restart(tally, || {}));
    let stats = scanner.stats();
    tally.print("two c-icaps with HAProxy", &stats);
    tally.check();
    // A kill cuts what is on its way on each thread, perhaps twice; all else went through HAProxy.
    assert!(stats.failovers <= 4 * THREADS as u64, "{stats:?}");
    assert!(stats.suspended.is_empty(), "{stats:?}");
}

pub(crate) fn two_endpoints() {
    let scanner = Scanner::builder(service("ICAP_LIVE_A"))
        .endpoint(service("ICAP_LIVE_B"))
        .suspension(Duration::from_millis(500), Duration::from_secs(1))
        .build()
        .unwrap();
    let tally = under_load(&scanner, |tally| {
        kill_and_restart(tally, || {
            let suspended = scanner.stats().suspended;
            assert_eq!(suspended.len(), 1, "{suspended:?}");
        });
        tally.until("the first is trusted again", || {
            scanner.stats().suspended.is_empty()
        });
    });
    let stats = scanner.stats();
    tally.print("two c-icaps as two endpoints", &stats);
    tally.check();
    assert!(stats.failovers > 0, "{stats:?}");
}

/// Kills and restarts c-icap `a`, and has it in use before and afterwards; calls `meanwhile` when it
/// has been away for a while.
fn kill_and_restart(tally: &mut Tally, meanwhile: impl FnOnce()) {
    let wanted = scans_of_a() + IN_USE;
    tally.until("c-icap a is in use", || scans_of_a() >= wanted);
    tally.take(SCANS);
    let began = Instant::now();
    c_icap_a("kill");
    tally.killed = Some((began, Instant::now()));
    tally.take(SCANS);
    meanwhile();
    c_icap_a("restart");
    tally.take(SCANS);
    let wanted = scans_of_a() + IN_USE;
    tally.until("c-icap a is in use again", || scans_of_a() >= wanted);
}

fn service(variable_name: &str) -> String {
    format!("{}/avscan", variable(variable_name))
}

fn c_icap_a(command: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/c-icap");
    let status = Command::new(script).args([command, "a"]).status().unwrap();
    assert!(status.success(), "{command}: {status}");
}

/// The scans of `a` according to its own count, over all restarts.
fn scans_of_a() -> usize {
    let path = format!("{}/a-access.log", variable("ICAP_LIVE_DIR"));
    let log = std::fs::read_to_string(path).unwrap_or_default();
    log.lines().filter(|line| line.contains("RESPMOD")).count()
}

// --- the load -----------------------------------------------------------------------------------

/// The kind of content. All but a reader can be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Bytes,
    File,
    Seekable,
    Reader,
}

const KINDS: [Kind; 4] = [Kind::Bytes, Kind::File, Kind::Seekable, Kind::Reader];

/// The outcome of one scan.
struct Outcome {
    kind: Kind,
    is_infected: bool,
    began: Instant,
    result: Result<Report, Error>,
}

/// Scans without a pause on all threads while `collect` runs, and collects the rest after it.
fn under_load(scanner: &Scanner, collect: impl FnOnce(&mut Tally)) -> Tally {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (sender, receiver) = mpsc::channel();
    let mut tally = Tally::new(receiver);
    let (stop, serial) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for index in 0..THREADS {
            let sender = sender.clone();
            let (stop, serial) = (&stop, &serial);
            scope.spawn(move || scan_until(stop, scanner, KINDS[index % 4], serial, &sender));
        }
        drop(sender);
        // Also if `collect` panics: the scope waits for the threads.
        let _stop = StopOnDrop(&stop);
        collect(&mut tally);
    });
    tally.rest();
    tally
}

struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Every second content is infected. With these sizes, a kill hits heads, uploads and responses.
fn scan_until(
    stop: &AtomicBool,
    scanner: &Scanner,
    kind: Kind,
    serial: &AtomicUsize,
    outcomes: &Sender<Outcome>,
) {
    let file = tempfile::NamedTempFile::new().unwrap();
    while !stop.load(Ordering::Relaxed) {
        let number = serial.fetch_add(1, Ordering::Relaxed);
        let is_infected = number % 2 == 1;
        let size = [1_000, 30_000, 300_000][number % 3];
        let bytes = if is_infected {
            archive_with_eicar_at_its_end(size)
        } else {
            format!("content {number}, ").repeat(size / 16).into_bytes()
        };
        let content = match kind {
            Kind::Bytes => Content::bytes(&bytes),
            Kind::File => {
                std::fs::write(file.path(), &bytes).unwrap();
                Content::file(file.path()).unwrap()
            }
            Kind::Seekable => Content::seekable(Cursor::new(&bytes)),
            Kind::Reader => Content::reader(&bytes[..]),
        };
        let began = Instant::now();
        let outcome = Outcome {
            kind,
            is_infected,
            began,
            result: scanner.scan(content),
        };
        if outcomes.send(outcome).is_err() {
            return;
        }
    }
}

// --- what came of it ----------------------------------------------------------------------------

/// The outcomes of all scans.
struct Tally {
    outcomes: Receiver<Outcome>,
    began: Instant,
    /// The beginning and the end of the kill.
    killed: Option<(Instant, Instant)>,
    /// Right verdicts: clean, infected.
    verdicts: BTreeMap<Kind, [usize; 2]>,
    wrong: Vec<String>,
    lost: Vec<(Kind, Instant, Error)>,
}

impl Tally {
    fn new(outcomes: Receiver<Outcome>) -> Self {
        Self {
            outcomes,
            began: Instant::now(),
            killed: None,
            verdicts: BTreeMap::new(),
            wrong: Vec::new(),
            lost: Vec::new(),
        }
    }

    fn take(&mut self, count: usize) {
        for _ in 0..count {
            let outcome = self.outcomes.recv_timeout(LONGEST_WAIT);
            self.add(outcome.expect("scans go on"));
        }
    }

    fn until(&mut self, what: &str, mut has_happened: impl FnMut() -> bool) {
        let began = Instant::now();
        while !has_happened() {
            assert!(began.elapsed() < LONGEST_WAIT, "not in time: {what}");
            self.take(THREADS);
        }
    }

    fn rest(&mut self) {
        while let Ok(outcome) = self.outcomes.recv() {
            self.add(outcome);
        }
    }

    fn add(&mut self, outcome: Outcome) {
        let Outcome {
            kind, is_infected, ..
        } = outcome;
        match outcome.result {
            Err(error) => self.lost.push((kind, outcome.began, error)),
            Ok(report) => match report.verdict() {
                Verdict::Clean if !is_infected => self.verdicts.entry(kind).or_default()[0] += 1,
                Verdict::Infected(_) if is_infected => {
                    self.verdicts.entry(kind).or_default()[1] += 1;
                }
                other => self
                    .wrong
                    .push(format!("{kind:?}, infected {is_infected}: {other}")),
            },
        }
    }

    fn print(&self, what: &str, stats: &Stats) {
        println!("{what}, one killed and restarted, {THREADS} threads:");
        println!(
            "  {} scans in {} ms",
            stats.scans,
            self.began.elapsed().as_millis()
        );
        for (kind, [clean, infected]) in &self.verdicts {
            let lost = self.lost.iter().filter(|lost| lost.0 == *kind).count();
            println!("  {kind:?}: {clean} clean, {infected} infected, {lost} lost");
        }
        println!(
            "  {} wrong verdicts, errors {:?}, {} retries, {} failovers, {} OPTIONS",
            self.wrong.len(),
            stats.errors_by_kind,
            stats.retries,
            stats.failovers,
            stats.options_sent,
        );
        println!(
            "  connections: {} opened, {} reused, closed {:?}",
            stats.connections_opened, stats.connections_reused, stats.closed_by_reason
        );
        let mut messages: BTreeMap<String, usize> = BTreeMap::new();
        for (kind, _, error) in &self.lost {
            let message = format!("{kind:?}: {error}");
            *messages.entry(message).or_default() += 1;
        }
        for (message, count) in messages {
            println!("  {count} x {message}");
        }
    }

    /// No verdict is wrong. Only scans that cannot be sent again are lost, and only those that were in progress when
    /// the server died, with an error that says so.
    fn check(&self) {
        assert!(self.wrong.is_empty(), "{:?}", self.wrong);
        let (kill_began, kill_ended) = self.killed.expect("it was killed");
        for (kind, began, error) in &self.lost {
            assert_eq!(*kind, Kind::Reader, "{error:?}");
            assert!(was_cut(error), "{error:?}");
            assert!(
                *began < kill_ended + NOTICE,
                "it began {:?} after the kill: {error:?}",
                began.duration_since(kill_ended)
            );
            assert!(*began + LONGEST_WAIT > kill_began, "{error:?}");
        }
    }
}

fn was_cut(error: &Error) -> bool {
    match error {
        Error::Protocol(error) => error.violation() == Violation::Truncated,
        error => error.kind() == ErrorKind::Disconnected,
    }
}
