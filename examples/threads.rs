//! A pool of threads that scans files from a channel.
//!
//! ```text
//! cargo run --example threads                                       a test server in this process
//! cargo run --example threads 'icap://127.0.0.1/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple' FILE...
//! ```

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use icap_client::testing::{self, Server};
use icap_client::{Content, Scanner, Verdict};

const THREADS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    if let Some(uri) = arguments.next() {
        let uri = uri.to_str().ok_or("the URI is not text")?;
        return scan_all(uri, arguments.map(PathBuf::from));
    }
    // Without arguments: some files, and a test server that finds the EICAR test file.
    let server = Server::start()?;
    let folder = tempfile::tempdir()?;
    for number in 0..20 {
        let text = format!("letter {number}");
        fs::write(folder.path().join(format!("letter-{number}.txt")), text)?;
    }
    fs::write(folder.path().join("eicar.com"), testing::eicar())?;
    let files = fs::read_dir(folder.path())?.map(|entry| entry.map(|entry| entry.path()));
    scan_all(&server.uri(), files.collect::<Result<Vec<_>, _>>()?)
}

fn scan_all(uri: &str, files: impl IntoIterator<Item = PathBuf>) -> Result<(), Box<dyn Error>> {
    let scanner = Scanner::new(uri)?;
    // The queue holds paths and not open files, so a file is open only while it is scanned. The queue is
    // bounded, so the loop that fills it waits for the scans.
    let (queue, waiting) = mpsc::sync_channel::<PathBuf>(2 * THREADS);
    let waiting = Arc::new(Mutex::new(waiting));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            // All clones share the connections and the OPTIONS response. A new scanner for each file would
            // need a connection and an OPTIONS for each.
            let scanner = scanner.clone();
            let waiting = Arc::clone(&waiting);
            scope.spawn(move || {
                // The lock is held while this thread waits for a path, and not while it scans.
                let next = || {
                    waiting
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .recv()
                };
                while let Ok(path) = next() {
                    println!("{}: {}", path.display(), outcome(&scanner, &path));
                }
            });
        }
        // Only the threads have the receiver now. If all of them panic, `send` fails instead of waiting.
        drop(waiting);
        for path in files {
            if queue.send(path).is_err() {
                break;
            }
        }
        // The threads end when the queue does.
        drop(queue);
    });

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

/// Scans one file, and says what to do with it.
fn outcome(scanner: &Scanner, path: &Path) -> String {
    let content = match Content::file(path) {
        Ok(content) => content,
        Err(error) => return format!("cannot be opened: {error}"),
    };
    match scanner.scan(content).map(|report| report.verdict().clone()) {
        Ok(Verdict::Clean) => "clean, hand it on".to_owned(),
        Ok(Verdict::Infected(threats)) => format!("infected: {threats}, quarantine it"),
        // Too large, encrypted, over a limit of the server. Another scan changes nothing, so a person or a
        // rule of yours decides.
        Ok(Verdict::NotScanned(why)) => format!("not scanned: {why}, keep it back"),
        // Blocked, Modified, and what later versions add.
        Ok(other) => format!("{other}, keep it back"),
        // An error is no verdict. The scanner has already repeated what it could repeat safely.
        Err(error) if error.is_retryable() => format!("no verdict: {error}, try again later"),
        Err(error) => format!("no verdict: {error}, keep it back"),
    }
}
