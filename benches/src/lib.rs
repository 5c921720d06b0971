//! Benchmarks of icap-client: side by side with what the same work costs without it. README.md says how to run
//! them and how to read them.
//!
//! One program is all sides of a measurement, each as a process of its own:
//!
//! - the runner (`run`), which alternates between the contenders and prints the tables;
//! - a contender (`worker`), which scans when the runner tells it to, and says what that cost;
//! - the ICAP server (`sink`).
//!
//! The program exists three times: as it is; with an allocator that counts (`src/counted.rs`); and compiled with
//! `--cfg fuzzing`, which gives access to the crate's parsers.

mod bench;
mod child;
mod contender;
pub mod counting;
mod cpus;
mod floor;
mod in_memory;
mod measure;
mod ours;
mod sink;
mod table;
mod work;

use std::error::Error;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("icap-client-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((command, rest)) if command == "run" => bench::run(rest),
        Some((command, rest)) if command == "worker" => contender::work(rest),
        Some((command, rest)) if command == "sink" => sink::run(rest),
        _ => Err("commands: run, worker, sink".into()),
    }
}
