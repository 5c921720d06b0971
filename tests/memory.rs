//! Memory does not grow with the content. The test has its own file, because it measures the whole process.
#![cfg(target_os = "linux")]

use std::io::Read;

use icap_client::testing::Server;
use icap_client::{Content, Scanner};

const GIB: u64 = 1024 * 1024 * 1024;
const LIMIT: u64 = 4 * 1024 * 1024;

/// The peak memory of the process, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .unwrap()
        * 1024
}

#[test]
fn scan_of_10_gigabytes_stays_under_4_mebibytes() {
    // The server is in this process too. It starts before, so that only the scan is measured.
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri())
        .max_size(None)
        .deadline(None)
        .build()
        .unwrap();
    let size = 10 * GIB;
    let before = peak();
    let report = scanner
        .scan(Content::reader(std::io::repeat(7).take(size)))
        .unwrap();
    let grown = peak() - before;
    assert!(report.verdict().is_clean(), "{}", report.verdict());
    assert_eq!(report.bytes_sent(), size);
    println!(
        "10 GiB in {:?}, {} KiB above the start",
        report.elapsed(),
        grown / 1024
    );
    assert!(grown < LIMIT, "{grown} bytes");
}
