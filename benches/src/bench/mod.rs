//! The benchmarks, and what all of them need.

mod allocations;
mod alternate;
mod calls;
mod echo;
mod in_memory;
mod latency;
mod memory;
mod parse;
mod preview;
mod scan;
#[cfg(feature = "tls")]
mod tls;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::child::Sink;
use crate::cpus::Cpus;

/// Which of the three programs a benchmark needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Plain,
    /// With an allocator that counts.
    Counted,
    /// With access to the parsers.
    Parsers,
}

struct Bench {
    name: &'static str,
    program: Program,
    run: fn(&Setting) -> Result<()>,
}

const fn bench(name: &'static str, program: Program, run: fn(&Setting) -> Result<()>) -> Bench {
    Bench { name, program, run }
}

const BENCHES: &[Bench] = &[
    bench("scan", Program::Plain, scan::run),
    bench("preview", Program::Plain, preview::run),
    bench("latency", Program::Plain, latency::run),
    bench("in-memory", Program::Plain, in_memory::run),
    bench("parse", Program::Parsers, parse::run),
    bench("allocations", Program::Counted, allocations::run),
    bench("memory", Program::Counted, memory::run),
    bench("echo", Program::Plain, echo::run),
    #[cfg(feature = "tls")]
    bench("tls", Program::Plain, tls::run),
];

/// How much is measured, and with what.
pub(crate) struct Setting {
    /// How long one contender works before the next one's turn.
    turn: Duration,
    /// How often each contender has its turn.
    rounds: usize,
    /// Only that it works is of interest.
    is_quick: bool,
    /// Only measurements with this in their name, from the beginning of a word on. Empty: all.
    filter: String,
    pub(crate) sink: Sink,
    /// For scans of one thread, on the first processor: for small ones, and for large ones.
    pub(crate) sink_on_first: Sink,
    pub(crate) sink_on_second: Sink,
    /// For files. `benches/run` makes it and removes it.
    pub(crate) folder: PathBuf,
}

/// `[--quick] [BENCH [WORD...]]`. With `--part`, this program is called by another one that began the page.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (flags, words): (Vec<_>, Vec<_>) = arguments
        .iter()
        .cloned()
        .partition(|word| word.starts_with("--"));
    let is_part = flags.iter().any(|flag| flag == "--part");
    let is_chosen = |bench: &&Bench| words.first().is_none_or(|word| word == bench.name);
    let chosen: Vec<_> = BENCHES.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        return Err(format!("benchmarks: {}", names.join(", ")).into());
    }
    let filter = words.get(1..).unwrap_or_default().join(" ");
    let setting = Setting::new(flags.iter().any(|flag| flag == "--quick"), filter)?;
    if !is_part {
        describe_machine();
    }
    for bench in chosen {
        if is_part || bench.program == Program::Plain {
            println!("## {}\n", bench.name);
            (bench.run)(&setting)?;
        } else {
            setting.hand_on(bench)?;
        }
    }
    Ok(())
}

impl Setting {
    fn new(is_quick: bool, filter: String) -> Result<Self> {
        let (rounds, turn) = if is_quick { (2, 5) } else { (31, 40) };
        Ok(Self {
            turn: Duration::from_millis(turn),
            rounds,
            is_quick,
            filter,
            sink: Sink::start(&[], Cpus::All)?,
            sink_on_first: Sink::start(&[], Cpus::First)?,
            sink_on_second: Sink::start(&[], Cpus::Second)?,
            folder: env::var_os("BENCHES_FOLDER")
                .ok_or("start benches/run")?
                .into(),
        })
    }

    fn is_wanted(&self, name: &str) -> bool {
        format!(" {name}").contains(&format!(" {}", self.filter))
    }

    fn uri(&self, service: &str) -> String {
        format!("icap://127.0.0.1:{}/{service}", self.sink.port)
    }

    /// Lets the program run the benchmark that it needs.
    fn hand_on(&self, bench: &Bench) -> Result<()> {
        let path = match bench.program {
            Program::Counted => Some(env::current_exe()?.with_file_name("counted")),
            _ => env::var_os("BENCHES_PARSERS").map(PathBuf::from),
        };
        let Some(path) = path else {
            println!("## {}\n\nIt needs `benches/run`.\n", bench.name);
            return Ok(());
        };
        let mut command = Command::new(path);
        command
            .args(["run", "--part", bench.name])
            .args(self.filter.split_whitespace());
        if self.is_quick {
            command.arg("--quick");
        }
        let status = command.status()?;
        status
            .success()
            .then_some(())
            .ok_or(format!("{} has failed", bench.name).into())
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
