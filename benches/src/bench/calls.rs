//! The system calls of a scan, as strace counts them.

use std::fmt;
use std::fs;
use std::process::Command;

use super::Setting;
use crate::Result;
use crate::child::Worker;
use crate::work::Work;

/// Scans in the shorter and in the longer of two runs. Their difference has no beginning and no end in it.
const SCANS: [usize; 2] = [20, 120];

/// Calls of one scan.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Calls {
    socket: f64,
    file: f64,
    other: f64,
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}, {:.2}, {:.2}", self.socket, self.file, self.other)
    }
}

/// `None` where strace is missing or not allowed to trace.
pub(super) fn count(words: &[String], setting: &Setting, work: Work) -> Option<Calls> {
    let [few, many] = SCANS.map(|scans| trace(words, setting, work, scans));
    let scans = (SCANS[1] - SCANS[0]) as f64;
    let (few, many) = (few.ok()?, many.ok()?);
    Some(Calls {
        socket: (many.socket - few.socket) / scans,
        file: (many.file - few.file) / scans,
        other: (many.other - few.other) / scans,
    })
}

fn trace(words: &[String], setting: &Setting, work: Work, scans: usize) -> Result<Calls> {
    let folder = &setting.folder;
    let log = folder.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-yy", "-s", "0", "-e", "signal=none", "-o"]);
    command.arg(&log).args(words);
    let mut worker = Worker::start(command, setting, work)?;
    worker.scan(scans)?;
    worker.finish()?;
    let mut calls = Calls::default();
    let folder = folder.to_string_lossy();
    for line in fs::read_to_string(log)?.lines() {
        // A call that another thread interrupts has two lines.
        if line.contains("resumed>") {
            continue;
        }
        if line.contains("<TCP") || line.contains("<socket:") {
            calls.socket += 1.0;
        } else if line.contains(&*folder) {
            calls.file += 1.0;
        } else {
            calls.other += 1.0;
        }
    }
    Ok(calls)
}
