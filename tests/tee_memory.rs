//! A copy of 1 GB, with a server that is killed halfway. The test has its own file, because it measures the whole
//! process.
#![cfg(target_os = "linux")]

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;

use icap_client::{Content, Error, Scanner};

const SIZE: u64 = 1_000_000_000;
const LIMIT: u64 = 4 * 1024 * 1024;

/// Bytes of one period of the content: a prime number, so that a byte in a wrong place is noticed.
const PERIOD: usize = 65_537;

/// The peak memory of the process, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches("kB").trim();
    kilobytes.parse::<u64>().unwrap() * 1024
}

/// The content, made while it is read.
struct Periodic<'p> {
    period: &'p [u8],
    position: usize,
}

impl Periodic<'_> {
    /// The bytes from here to the end of the period, and at most `len`.
    fn next(&mut self, len: usize) -> &[u8] {
        let end = self.period.len().min(self.position + len);
        let bytes = &self.period[self.position..end];
        self.position = end % self.period.len();
        bytes
    }
}

impl Read for Periodic<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buf.len());
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// Compares what is written with the content.
struct Compares<'p>(Periodic<'p>, u64);

impl Write for Compares<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let expected = self.0.next(bytes.len());
        assert!(
            *expected == bytes[..expected.len()],
            "other bytes after {}",
            self.1
        );
        self.1 += expected.len() as u64;
        Ok(expected.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn copy_of_1_gigabyte_outlives_the_server_in_4_mebibytes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("icap://{}/scan", listener.local_addr().unwrap());
    // It reads a half, and then there is neither the connection nor the server.
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut buf = vec![0; 64 * 1024];
        let mut left = SIZE / 2;
        while left > 0 {
            left = left.saturating_sub(connection.read(&mut buf).unwrap() as u64);
        }
    });
    let builder = Scanner::builder(uri).negotiate(false).deadline(None);
    let scanner = builder.max_size(None).build().unwrap();
    let period: Vec<u8> = (0..=250).cycle().take(PERIOD).collect();
    let periodic = || Periodic {
        period: &period,
        position: 0,
    };
    let mut copy = Compares(periodic(), 0);
    let before = peak();
    let content = Content::reader(periodic().take(SIZE));
    let teed = scanner.scan_tee(content, &mut copy).unwrap();
    let grown = peak() - before;
    server.join().unwrap();
    assert!(teed.is_complete(), "{teed:?}");
    assert_eq!((teed.copied, copy.1), (SIZE, SIZE));
    assert!(
        matches!(teed.outcome, Err(Error::Disconnected(_))),
        "{teed:?}"
    );
    println!("{} KiB above the start", grown / 1024);
    assert!(grown < LIMIT, "{grown} bytes");
}
