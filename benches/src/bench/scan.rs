//! Scans of content of one size, by one thread and by eight: what they cost beside the floor and other clients.

use std::env;
use std::process::Command;

use super::Setting;
use super::alternate::{CPU, Measured, Run, Value, WALL, alternate};
use super::calls;
use crate::Result;
use crate::child::{Worker, this_program};
use crate::contender::{COPYING, FLOOR, OBLIGATIONS, OURS};
use crate::floor::CHUNK;
use crate::table::{Table, ratio, time};
use crate::work::{self, Kind, Work};

const COLUMNS: [&str; 9] = [
    "work",
    "client",
    "CPU of a scan",
    "÷ floor",
    "wall time ÷ floor",
    "wall time ÷ floor with obligations",
    "scans a second",
    "memory (KiB)",
    "system calls of a scan: socket, file, other",
];

/// The program of another client, and the variable with its path. They scan files, in one thread.
const PEERS: [(&str, &str); 2] = [
    ("icap-rs 0.3.0", "BENCHES_ICAP_RS"),
    ("libicapapi", "BENCHES_LIBICAPAPI"),
];

const SMALL: usize = 4 << 10;
const LARGE: usize = 100 << 20;

pub(super) fn run(setting: &Setting) -> Result<()> {
    let sizes: &[usize] = if setting.is_quick {
        &[SMALL, 1 << 20]
    } else {
        &[SMALL, 64 << 10, 1 << 20, LARGE]
    };
    let mut table = Table::new(&COLUMNS);
    let mut peers = Table::new(&["work", "other", "ours ÷ the other"]);
    for &size in sizes {
        for kind in [Kind::File, Kind::Bytes, Kind::Reader] {
            for threads in [1, 8] {
                let work = Work {
                    kind,
                    size,
                    threads,
                };
                if setting.is_wanted(&work.to_string()) {
                    measure(setting, work, &mut table, &mut peers)?;
                }
            }
        }
    }
    table.print();
    peers.print();
    Ok(())
}

fn measure(setting: &Setting, work: Work, table: &mut Table, peers: &mut Table) -> Result<()> {
    work::make_file(&setting.folder, work.size)?;
    let programs = programs(work)?;
    let start = |(_, words): &(_, Vec<String>)| Worker::start(command(words), setting, work);
    let mut workers = programs.iter().map(start).collect::<Result<Vec<_>>>()?;
    let mut runs = Vec::new();
    for ((name, _), worker) in programs.iter().zip(&mut workers) {
        let run: Run<'_> = Box::new(|scans| worker.scan(scans));
        runs.push((*name, run));
    }
    let measured = alternate(setting, work.threads, runs)?;
    for (number, it) in measured.iter().enumerate() {
        let mut row = row(work, it, &measured);
        row.push(workers[number].memory()?.to_string());
        row.push(counted_calls(setting, work, &programs[number].1));
        table.row(row);
    }
    for peer in &measured[3..] {
        peers.row(beside(work, &measured[0], peer));
    }
    for worker in workers {
        worker.finish()?;
    }
    Ok(())
}

/// The contenders, and how each is started.
fn programs(work: Work) -> Result<Vec<(&'static str, Vec<String>)>> {
    let this = this_program()?.get_program().to_string_lossy().into_owned();
    let command = |name: &str| vec![this.clone(), "worker".to_owned(), name.to_owned()];
    let own = [OURS, OBLIGATIONS, FLOOR];
    let mut programs: Vec<_> = own.iter().map(|&name| (name, command(name))).collect();
    if work.kind == Kind::Bytes && work.size > CHUNK {
        programs.push((COPYING, command(COPYING)));
    }
    if work.kind == Kind::File && work.threads == 1 {
        for (name, variable) in PEERS {
            programs.extend(env::var(variable).map(|path| (name, vec![path])));
        }
    }
    Ok(programs)
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

fn counted_calls(setting: &Setting, work: Work, words: &[String]) -> String {
    let is_own = words.len() > 1;
    if work.threads > 1 || work.size > SMALL || (setting.is_quick && !is_own) {
        return String::new();
    }
    let calls = calls::count(words, setting, work);
    calls.map(|calls| calls.to_string()).unwrap_or_default()
}

fn row(work: Work, it: &Measured, all: &[Measured]) -> Vec<String> {
    let wanted = if it.name == OURS {
        Wanted::of(work)
    } else {
        Wanted::default()
    };
    let against = |name: &str, value: Value, most| {
        let other = all.iter().find(|other| other.name == name);
        let other = other.filter(|other| other.name != it.name);
        other.map_or_else(String::new, |other| ratio(it.ratio(other, value), most))
    };
    vec![
        work.to_string(),
        it.name.clone(),
        time(it.median(CPU)),
        against(FLOOR, CPU, wanted.cpu),
        against(FLOOR, WALL, wanted.wall),
        against(OBLIGATIONS, WALL, wanted.wall_with_obligations),
        format!("{:.0}", 1.0 / it.median(WALL)),
    ]
}

/// The most that a ratio may be.
#[derive(Default)]
struct Wanted {
    cpu: Option<f64>,
    wall: Option<f64>,
    wall_with_obligations: Option<f64>,
}

impl Wanted {
    fn of(work: Work) -> Self {
        let most = |cpu, wall, wall_with_obligations| Self {
            cpu: Some(cpu),
            wall: Some(wall),
            wall_with_obligations,
        };
        match (work.size, work.threads, work.kind) {
            (SMALL, 1, Kind::File | Kind::Bytes) => most(1.25, 1.15, None),
            // 0.80 of the floor's scans a second.
            (SMALL, 8, Kind::File | Kind::Bytes) => most(1.40, 1.25, Some(1.15)),
            (LARGE, 1, Kind::File | Kind::Bytes) => most(1.00, 1.00, None),
            (LARGE, 1, Kind::Reader) => most(1.05, 1.05, None),
            _ => Self::default(),
        }
    }
}

/// How the crate compares with another client (or another floor): in scans a second if they are small, in CPU time if not.
fn beside(work: Work, ours: &Measured, peer: &Measured) -> [String; 3] {
    let compared = if work.size == SMALL {
        let rate = peer.ratio(ours, WALL);
        let mark = if rate < 500.0 { "**" } else { "" };
        format!("scans a second: {mark}{rate:.0}{mark} (wanted: ≥ 500)")
    } else {
        let is_aim = work.size == LARGE && peer.name.starts_with("icap-rs");
        let cpu = ratio(ours.ratio(peer, CPU), is_aim.then_some(1.0 / 3.0));
        format!("CPU: {cpu}, wall time: {:.2}", ours.ratio(peer, WALL))
    };
    [work.to_string(), peer.name.clone(), compared]
}
