//! Scans of content of one size, by one thread and by eight: what they cost beside the floor and other clients.

use std::env;
use std::process::Command;

use super::Setting;
use crate::Result;
use crate::bench::calls::{self, Calls};
use crate::child::{Worker, this_program};
use crate::contender::{FLOOR, OBLIGATIONS, OURS};
use crate::measure::{Cost, median};
use crate::table::{Table, ratio, time};
use crate::work::{self, Kind, Work};

const COLUMNS: [&str; 9] = [
    "work",
    "client",
    "CPU of a scan",
    "÷ floor",
    "wall time ÷ floor",
    "÷ floor with obligations",
    "scans a second",
    "memory (KiB)",
    "system calls of a scan: socket, file, other",
];

/// The program of another client, and the variable with its path. They scan files, in one thread.
const PEERS: [(&str, &str); 2] = [
    ("icap-rs 0.3.0", "BENCHES_ICAP_RS"),
    ("libicapapi", "BENCHES_LIBICAPAPI"),
];

pub(super) fn run(setting: &Setting) -> Result<()> {
    let sizes: &[usize] = if setting.is_quick {
        &[4 << 10, 1 << 20]
    } else {
        &[4 << 10, 64 << 10, 1 << 20, 100 << 20]
    };
    let mut table = Table::new(&COLUMNS);
    for &size in sizes {
        for kind in [Kind::File, Kind::Bytes, Kind::Reader] {
            for threads in [1, 8] {
                let work = Work {
                    kind,
                    size,
                    threads,
                };
                if setting.is_wanted(&work.to_string()) {
                    measure(setting, work, &mut table)?;
                }
            }
        }
    }
    table.print();
    Ok(())
}

/// One client, and what it has cost so far.
struct Contender {
    name: &'static str,
    worker: Worker,
    /// Scans in one turn.
    scans: usize,
    costs: Vec<Cost>,
    calls: Option<Calls>,
}

fn measure(setting: &Setting, work: Work, table: &mut Table) -> Result<()> {
    eprintln!("{work}");
    work::make_file(&setting.folder.0, work.size)?;
    let mut contenders = Vec::new();
    for (name, command) in programs(work)? {
        contenders.push(Contender::start(setting, work, name, &command)?);
    }
    // Each round begins with another one, so that none has always the same one before it.
    for round in 0..setting.rounds {
        let first = round % contenders.len();
        contenders.rotate_left(first);
        for contender in &mut contenders {
            let cost = contender.worker.scan(contender.scans)?;
            contender.costs.push(cost);
        }
        contenders.rotate_right(first);
    }
    for contender in &contenders {
        table.row(contender.row(work, &contenders)?);
    }
    for contender in contenders {
        contender.worker.finish()?;
    }
    Ok(())
}

/// The contenders, and how each is started.
fn programs(work: Work) -> Result<Vec<(&'static str, Vec<String>)>> {
    let this = this_program()?.get_program().to_string_lossy().into_owned();
    let own = [OURS, OBLIGATIONS, FLOOR];
    let command = |name: &str| vec![this.clone(), "worker".to_owned(), name.to_owned()];
    let mut programs: Vec<_> = own.iter().map(|&name| (name, command(name))).collect();
    if work.kind == Kind::File && work.threads == 1 {
        for (name, variable) in PEERS {
            programs.extend(env::var(variable).map(|path| (name, vec![path])));
        }
    }
    Ok(programs)
}

pub(super) fn command(words: &[String]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

impl Contender {
    /// Starts it, and finds out how many scans fill its turn.
    fn start(setting: &Setting, work: Work, name: &'static str, words: &[String]) -> Result<Self> {
        let folder = &setting.folder.0;
        let mut worker = Worker::start(command(words), &setting.sink, folder, work)?;
        let mut scans = work.threads;
        loop {
            let wall = worker.scan(scans)?.wall;
            if wall * 2 >= setting.turn {
                break;
            }
            scans *= 2;
        }
        let calls = if work.threads == 1 && work.is_small() && !setting.is_quick {
            calls::count(words, setting, work)
        } else {
            None
        };
        Ok(Self {
            name,
            worker,
            scans,
            costs: Vec::new(),
            calls,
        })
    }

    fn row(&self, work: Work, all: &[Self]) -> Result<Vec<String>> {
        let cpu = |cost: Cost, scans| cost.cpu_of(scans);
        let wall = |cost: Cost, scans| cost.wall_of(scans);
        let wanted = if self.name == OURS {
            Wanted::of(work)
        } else {
            Wanted::default()
        };
        let against = |name, value: &dyn Fn(Cost, usize) -> f64, most| {
            let other = all.iter().find(|other| other.name == name);
            let is_other = other.is_some_and(|other| other.name != self.name);
            let ratios = other.filter(|_| is_other).map(|it| self.ratios(it, value));
            ratios.map_or_else(String::new, |ratios| ratio(median(ratios), most))
        };
        Ok(vec![
            work.to_string(),
            self.name.to_owned(),
            time(self.median(&cpu)),
            against(FLOOR, &cpu, wanted.cpu),
            against(FLOOR, &wall, wanted.wall),
            against(OBLIGATIONS, &wall, wanted.wall_with_obligations),
            format!("{:.0}", 1.0 / self.median(&wall)),
            self.worker.memory()?.to_string(),
            self.calls
                .map(|calls| calls.to_string())
                .unwrap_or_default(),
        ])
    }

    fn median(&self, value: &dyn Fn(Cost, usize) -> f64) -> f64 {
        let values = self.costs.iter().map(|&cost| value(cost, self.scans));
        median(values.collect())
    }

    /// Of each round, by itself: what disturbs a round disturbs both.
    fn ratios(&self, other: &Self, value: &dyn Fn(Cost, usize) -> f64) -> Vec<f64> {
        let pairs = self.costs.iter().zip(&other.costs);
        pairs
            .map(|(&ours, &theirs)| value(ours, self.scans) / value(theirs, other.scans))
            .collect()
    }
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
            (4096, 1, Kind::File | Kind::Bytes) => most(1.25, 1.15, None),
            // Eight threads: 0.80 of the floor's scans a second.
            (4096, 8, Kind::File | Kind::Bytes) => most(1.40, 1.25, Some(1.15)),
            (0x640_0000, 1, Kind::File | Kind::Bytes) => most(1.00, 1.00, None),
            (0x640_0000, 1, Kind::Reader) => most(1.05, 1.05, None),
            _ => Self::default(),
        }
    }
}
