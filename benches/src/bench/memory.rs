//! Memory on the heap: of a large scan, of an idle connection, of a scanner that does nothing.

use std::io::{self, Read};
use std::sync::{Arc, Barrier};
use std::thread;

use icap_client::{Content, Scanner};

use super::Setting;
use crate::table::Table;
use crate::{Result, counting, ours};

const LARGE: u64 = 10_000_000_000;
/// Idle connections: some, and many.
const SOME: usize = 16;
const MANY: usize = 64;
const SCANNERS: usize = 10_000;

pub(super) fn run(setting: &Setting) -> Result<()> {
    let mut table = Table::new(&["what", "heap (bytes)", "wanted"]);
    let mut row = |what: &str, bytes: usize, most: Option<usize>| {
        let wanted = most.map(|most| format!("< {most}")).unwrap_or_default();
        let mark = if most.is_none_or(|most| bytes < most) {
            ""
        } else {
            "**"
        };
        table.row([what.to_owned(), format!("{mark}{bytes}{mark}"), wanted]);
    };
    row(
        "a scan of 10 GB, above idle",
        large_scan(setting)?,
        Some(1 << 20),
    );
    // What is kept for the whole process is there before the others.
    idle_connections(setting, MANY)?;
    let (some, many) = (
        idle_connections(setting, SOME)?,
        idle_connections(setting, MANY)?,
    );
    let each = many.saturating_sub(some) / (MANY - SOME);
    row("an idle connection of many", each, Some(4 << 10));
    row(
        "16 idle connections, with what is kept for the next scans",
        some,
        None,
    );
    row(
        "one of 10,000 idle scanners",
        idle_scanner(setting)?,
        Some(1 << 10),
    );
    table.print();
    Ok(())
}

fn large_scan(setting: &Setting) -> Result<usize> {
    let len = if setting.is_quick { 10 << 20 } else { LARGE };
    let scanner = ours::scanner(&setting.uri("204"))?;
    assert!(scanner.scan(Content::bytes(b"hello"))?.verdict().is_clean());
    let idle = counting::live();
    counting::reset_peak();
    let report = scanner.scan(Content::reader(io::repeat(b'x').take(len)))?;
    assert!(report.verdict().is_clean());
    Ok(counting::peak() - idle)
}

/// What is left of `count` scans that ran at once. A part of it is the same for any number: what is kept for the next
/// scans.
fn idle_connections(setting: &Setting, count: usize) -> Result<usize> {
    let scanner = Scanner::builder(setting.uri("204"))
        .max_idle(MANY)
        .build()?;
    scanner.options()?;
    let before = counting::live();
    scan_at_once(&scanner, count)?;
    Ok(counting::live().saturating_sub(before))
}

/// None of the scans ends before all have begun, so that each has a connection.
fn scan_at_once(scanner: &Scanner, count: usize) -> Result<()> {
    let all = Arc::new(Barrier::new(count));
    let scan = |all: Arc<Barrier>| {
        let content = Begun {
            all,
            content: io::repeat(b'x').take(200_000),
        };
        scanner
            .scan(Content::reader(content))
            .map_err(|error| error.to_string())
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|_| {
                let all = Arc::clone(&all);
                scope.spawn(move || scan(all))
            })
            .collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    });
    for result in results {
        let report = result.map_err(|_| "a thread panicked")??;
        assert!(report.verdict().is_clean());
    }
    Ok(())
}

/// Content that waits in the middle until the others are there.
struct Begun {
    all: Arc<Barrier>,
    content: io::Take<io::Repeat>,
}

impl Read for Begun {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_begin = self.content.limit() > 100_000;
        let len = self.content.read(buffer)?;
        if is_begin && self.content.limit() <= 100_000 {
            self.all.wait();
        }
        Ok(len)
    }
}

fn idle_scanner(setting: &Setting) -> Result<usize> {
    let uri = setting.uri("204");
    drop(ours::scanner(&uri)?);
    let before = counting::live();
    let scanners: Result<Vec<Scanner>> = (0..SCANNERS).map(|_| ours::scanner(&uri)).collect();
    let scanners = scanners?;
    let each = (counting::live() - before) / SCANNERS;
    drop(scanners);
    Ok(each)
}
