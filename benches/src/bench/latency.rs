//! How long one scan takes while others go on.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use icap_client::{Content, Scanner};

use super::Setting;
use crate::Result;
use crate::floor::{Floor, Obligations, least_head};
use crate::table::{Table, time};
use crate::{ours, work};

const SIZE: usize = 4096;
const THREADS: usize = 64;
const CONNECTIONS: usize = 8;

pub(super) fn run(setting: &Setting) -> Result<()> {
    let columns = ["work", "client", "median", "p99", "p99.9", "p99 ÷ median"];
    let mut table = Table::new(&columns);
    at_half_load(setting, &mut table)?;
    in_line(setting, &mut table)?;
    table.print();
    Ok(())
}

/// Seconds of each scan, sorted.
struct Latencies(Vec<f64>);

impl Latencies {
    fn at(&self, part: f64) -> f64 {
        let last = self.0.len() - 1;
        self.0[(last as f64 * part) as usize]
    }

    fn row(mut self, work: &str, client: &str, most: Option<f64>) -> Vec<String> {
        self.0.sort_unstable_by(f64::total_cmp);
        let [median, p99, p999] = [0.5, 0.99, 0.999].map(|part| self.at(part));
        let mut row = vec![work.to_owned(), client.to_owned()];
        row.extend([median, p99, p999].map(time));
        row.push(crate::table::ratio(p99 / median, most));
        row
    }
}

/// Scans begin at fixed times, at half the rate that the client reaches without a pause. What begins late because the
/// scan before it took long counts from when it should have begun.
fn at_half_load(setting: &Setting, table: &mut Table) -> Result<()> {
    let content = work::content(SIZE);
    let scanner = ours::scanner(&setting.uri("204"))?;
    let mut floor = connect_floor(setting)?;
    let mut scan = || {
        assert!(scanner.scan(Content::bytes(&content))?.verdict().is_clean());
        Ok(())
    };
    let mut floor_scan = || Ok(floor.scan_bytes(&content)?);
    let contenders: [(&str, &mut dyn FnMut() -> Result<()>); 2] =
        [("icap-client", &mut scan), ("floor", &mut floor_scan)];
    let mut all = Vec::new();
    for (name, scan) in contenders {
        let interval = 2 * fastest(setting, scan)?;
        all.push((name, scan, interval, Latencies(Vec::new())));
    }
    for _ in 0..setting.rounds {
        for (_, scan, interval, latencies) in &mut all {
            let scans = (setting.turn * 2).as_nanos() / interval.as_nanos().max(1);
            at_intervals(scan, *interval, scans as u32 + 2, latencies)?;
        }
    }
    for (name, _, interval, latencies) in all {
        let rate = 1.0 / interval.as_secs_f64();
        let work =
            format!("4 KiB bytes, 1 thread, {rate:.0} scans a second (half of what it reaches)");
        table.row(latencies.row(&work, name, None));
    }
    Ok(())
}

/// The time of one scan without a pause: that of the best turn, because another program can only slow it down.
fn fastest(setting: &Setting, scan: &mut dyn FnMut() -> Result<()>) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..setting.rounds {
        let started = Instant::now();
        let mut scans = 0;
        while started.elapsed() < setting.turn / 2 {
            scan()?;
            scans += 1;
        }
        best = best.min(started.elapsed() / scans);
    }
    Ok(best)
}

fn at_intervals(
    scan: &mut dyn FnMut() -> Result<()>,
    interval: Duration,
    scans: u32,
    latencies: &mut Latencies,
) -> Result<()> {
    let started = Instant::now();
    for number in 0..scans {
        let due = started + interval * number;
        // Sleeping would be less exact than what is measured.
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        scan()?;
        latencies.0.push(due.elapsed().as_secs_f64());
    }
    Ok(())
}

fn connect_floor(setting: &Setting) -> Result<Floor> {
    let address = ([127, 0, 0, 1], setting.sink.port).into();
    Floor::connect(address, least_head(address, "204"), Obligations::None)
}

/// Many threads share few connections, and none of them pauses.
fn in_line(setting: &Setting, table: &mut Table) -> Result<()> {
    let content = work::content(SIZE);
    let scanner = Scanner::builder(setting.uri("204"))
        .max_connections(CONNECTIONS)
        .build()?;
    let floors = (0..CONNECTIONS).map(|_| connect_floor(setting));
    let floors = Shared::new(floors.collect::<Result<_>>()?);
    let ours = || {
        let report = scanner.scan(Content::bytes(&content));
        assert!(report.is_ok_and(|report| report.verdict().is_clean()));
    };
    let floor = || {
        let mut floor = floors.take();
        let scanned = floor.scan_bytes(&content);
        floors.give_back(floor);
        assert!(scanned.is_ok());
    };
    let work = "4 KiB bytes, 64 threads, 8 connections";
    let scans = if setting.is_quick { 5 } else { 1000 };
    for (name, scan, most) in [
        ("icap-client", &ours as &(dyn Fn() + Sync), Some(3.0)),
        ("floors in a `Mutex`", &floor, None),
    ] {
        // The first ones make connections.
        all_at_once(scan, 10)?;
        table.row(all_at_once(scan, scans)?.row(work, name, most));
    }
    Ok(())
}

fn all_at_once(scan: &(dyn Fn() + Sync), scans: usize) -> Result<Latencies> {
    let each = || {
        let mut latencies = Vec::with_capacity(scans);
        for _ in 0..scans {
            let started = Instant::now();
            scan();
            latencies.push(started.elapsed().as_secs_f64());
        }
        latencies
    };
    let joined: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(each)).collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut all = Vec::new();
    for latencies in joined {
        all.extend(latencies.map_err(|_| "a thread panicked")?);
    }
    Ok(Latencies(all))
}

/// The simplest pool.
struct Shared {
    free: Mutex<Vec<Floor>>,
    changed: Condvar,
}

impl Shared {
    fn new(free: Vec<Floor>) -> Self {
        Self {
            free: Mutex::new(free),
            changed: Condvar::new(),
        }
    }

    fn take(&self) -> Floor {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(floor) = free.pop() {
                return floor;
            }
            free = self
                .changed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, floor: Floor) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(floor);
        drop(free);
        self.changed.notify_one();
    }
}
