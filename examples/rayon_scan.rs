//! Scans files with rayon's `par_iter`.
//!
//! ```text
//! cargo run --example rayon_scan                                       a server in this process
//! cargo run --example rayon_scan icap://127.0.0.1:1344/avscan FILE...
//! ```

use std::env;
use std::fs;
use std::path::PathBuf;

use icap_client::testing::{self, Server};
use icap_client::{Content, Scanner, Verdict};
use rayon::prelude::*;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A scan waits for the server most of the time, so there may be more of them than processors.
const THREADS: usize = 16;

fn main() -> Result<(), Error> {
    let mut arguments = env::args_os().skip(1);
    if let Some(uri) = arguments.next() {
        let uri = uri.to_str().ok_or("the URI is no text")?;
        return scan_all(uri, &arguments.map(PathBuf::from).collect::<Vec<_>>());
    }
    // Without arguments: something to scan, and a server that knows the EICAR test file.
    let server = Server::start()?;
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for number in 0..20 {
        files.push(folder.path().join(format!("letter-{number}.txt")));
        fs::write(&files[number], format!("letter {number}"))?;
    }
    files.push(folder.path().join("eicar.com"));
    fs::write(&files[20], testing::eicar())?;
    scan_all(&server.uri(), &files)
}

fn scan_all(uri: &str, files: &[PathBuf]) -> Result<(), Error> {
    // One for all threads, by reference here; it could be cloned as well. They share its connections.
    let scanner = Scanner::new(uri)?;
    // A pool of its own, because scans that wait would hold up whatever else computes in rayon's.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(THREADS)
        .build()?;
    let scan = |path: &PathBuf| -> Result<Verdict, Error> {
        // Opened here, so only as many files are open as there are threads.
        let report = scanner.scan(Content::file(path)?)?;
        Ok(report.verdict().clone())
    };
    let results: Vec<_> = pool.install(|| files.par_iter().map(scan).collect());

    for (path, result) in files.iter().zip(&results) {
        let path = path.display();
        match result {
            Ok(Verdict::Clean) => println!("{path}: clean"),
            // Infected, Blocked, Modified, NotScanned, and whatever later versions add: not clean.
            Ok(verdict) => println!("{path}: DO NOT HAND ON, {verdict}"),
            // No verdict, so not clean either. `icap_client::Error::is_retryable` says whether later
            // may be better. To stop at the first error, collect into a `Result<Vec<_>, _>` above.
            Err(error) => println!("{path}: DO NOT HAND ON, {error}"),
        }
    }
    let stats = scanner.stats();
    println!(
        "{} scans: {} clean, {} infected, {} errors; {} connections, {} OPTIONS",
        stats.scans,
        stats.clean,
        stats.infected,
        stats.errors,
        stats.connections_opened,
        stats.options_sent
    );
    Ok(())
}
