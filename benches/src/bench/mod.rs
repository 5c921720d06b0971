//! The benchmarks, and what all of them need.

mod calls;
mod scan;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::child::Sink;

type Bench = fn(&Setting) -> Result<()>;

const BENCHES: &[(&str, Bench)] = &[("scan", scan::run)];

/// How much is measured, and with what.
pub(crate) struct Setting {
    /// How long one contender scans before the next one's turn.
    pub(crate) turn: Duration,
    /// How often each contender has its turn.
    pub(crate) rounds: usize,
    /// Only that it works is of interest.
    pub(crate) is_quick: bool,
    /// Only measurements with this in their name, from the beginning of a word on. Empty: all.
    pub(crate) filter: String,
    pub(crate) sink: Sink,
    pub(crate) folder: Folder,
}

/// A folder for files. It is removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

/// `[--quick] [BENCH [WORD...]]`
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let is_quick = arguments.iter().any(|word| word == "--quick");
    let mut words = arguments.iter().filter(|word| *word != "--quick").cloned();
    let name = words.next();
    let (rounds, turn) = if is_quick { (2, 5) } else { (15, 100) };
    let setting = Setting {
        turn: Duration::from_millis(turn),
        rounds,
        is_quick,
        filter: words.collect::<Vec<_>>().join(" "),
        sink: Sink::start()?,
        folder: Folder::new()?,
    };
    let is_chosen = |bench: &&(&str, Bench)| name.as_deref().is_none_or(|name| name == bench.0);
    let chosen: Vec<_> = BENCHES.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        return Err(format!("benchmarks: {}", names.join(", ")).into());
    }
    describe_machine();
    for (name, bench) in chosen {
        println!("## {name}\n");
        bench(&setting)?;
    }
    Ok(())
}

impl Setting {
    pub(crate) fn is_wanted(&self, name: &str) -> bool {
        format!(" {name}").contains(&format!(" {}", self.filter))
    }
}

impl Folder {
    /// In memory where that is usual, because a disk is not what is measured.
    fn new() -> Result<Self> {
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let folder = place.join(format!("icap-client-benches-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn describe_machine() {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().trim().to_owned()
    };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let cpu = cpu.unwrap_or_default().trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) {
        "**a build without optimisation: the figures mean nothing**"
    } else {
        "optimised build"
    };
    println!(
        "{cores} cores ({cpu}), {}, {}, {build}, load at the start: {}\n",
        output("uname", &["-sr"]),
        output("rustc", &["--version"]),
        load.split(' ').next().unwrap_or_default(),
    );
}
