//! Scans that are cancelled at any moment, under load.

use std::thread;
use std::time::Instant;

use super::*;

const THREADS: u64 = 8;
const SCANS: u64 = 25;

/// A pseudo-random number.
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
}

/// One scan that is cancelled within 3 ms. Returns whether that was in time.
fn scan(scanner: &Scanner, seed: u64) -> bool {
    let is_bad = seed % 2 == 0;
    let content = match is_bad {
        true => eicar(),
        false => vec![b'x'; 1 << (seed % 20)],
    };
    let cancel = Cancel::new();
    let result = thread::scope(|scope| {
        let scan = scope.spawn(|| scanner.scan(Content::bytes(&content).cancel(&cancel)));
        // Any moment will do.
        thread::sleep(Duration::from_micros(mixed(seed) % 3000));
        cancel.cancel();
        scan.join().unwrap()
    });
    match result {
        Ok(report) if is_bad => assert!(report.verdict().is_infected(), "{report:?}"),
        Ok(report) => assert!(report.verdict().is_clean(), "{report:?}"),
        Err(_) => {
            assert_cancelled(&result);
            return true;
        }
    }
    false
}

/// The helper threads of this process.
#[cfg(target_os = "linux")]
fn helper_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.trim_end() == "icap-connect")
        .count()
}

#[test]
fn scans_cancelled_at_random_leave_a_healthy_scanner() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri())
        .max_connections(4)
        .build()
        .unwrap();
    let cancelled: u64 = thread::scope(|scope| {
        let scan_all = |thread| {
            let scanner = &scanner;
            scope.spawn(move || {
                let seeds = thread * SCANS..(thread + 1) * SCANS;
                seeds.filter(|seed| scan(scanner, *seed)).count() as u64
            })
        };
        let threads: Vec<_> = (0..THREADS).map(scan_all).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    println!("{cancelled} of {} scans were cancelled", THREADS * SCANS);
    let stats = scanner.stats();
    assert_eq!(stats.scans, THREADS * SCANS);
    let is_harmless = |reason: &CloseReason| {
        use CloseReason::{Cancelled, ScannerDropped, Surplus};
        matches!(reason, Cancelled | Surplus | ScannerDropped)
    };
    let reasons = stats.closed_by_reason;
    assert!(reasons.keys().all(is_harmless), "{reasons:?}");
    assert!(cancelled > 0, "every scan ended before its cancel");
    assert_healthy(&scanner, cancelled);
    assert!(
        !scanner
            .stats()
            .closed_by_reason
            .contains_key(&CloseReason::IdleBytes)
    );
    #[cfg(target_os = "linux")]
    {
        let began = Instant::now();
        while helper_threads() > 0 {
            assert!(began.elapsed() < LONG);
            // There is no event for the end of a thread, and other tests have such threads meanwhile.
            thread::sleep(Duration::from_millis(50));
        }
    }
}
