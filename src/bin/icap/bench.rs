//! `icap bench`: how many scans a service does in a time, and how long they take.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Command};
use icap_client::policy::Reason;
use icap_client::{Content, Report, Scanner, Verdict};
use indicatif::BinaryBytes;
use serde::Serialize;

use crate::check::milliseconds;
use crate::failover::{self, Failovers};
use crate::interrupt::Interrupt;
use crate::json_help;
use crate::quantity::{jobs, size, time};
use crate::report::{Status, per_second};
use crate::scanning::{Scanning, reword};
use crate::settings::URI_HELP;
use crate::text::{chain, safe, safe_json};

/// The pause after an error, so that a service that is away is not asked without end.
const PAUSE: Duration = Duration::from_millis(20);

const MORE: &str = "\
Without --file, each scan has other content, so that no server knows it already.

Exit status:
  0  all content was scanned
  2  a scan ended in an error, the content was not scanned, or there was no
     time for a scan
  After Ctrl-C it is 130, after SIGTERM 143 and after SIGHUP 129, and the
  result so far is printed.";

const EXAMPLE: &str = "\
Example:
  icap bench --jobs 16 --time 30s --size 1MiB \"$SERVICE\"";

fn more() -> String {
    format!("{MORE}\n\n{}\n\n{EXAMPLE}", json_help::bench())
}

/// Measure how many scans a service does, and how long they take
#[derive(Debug, Args)]
#[command(after_long_help = more())]
pub(crate) struct Arguments {
    #[arg(help = URI_HELP)]
    uri: Option<String>,

    /// Scan this many at once
    #[arg(short, long, value_name = "N", default_value = "8", value_parser = jobs)]
    jobs: usize,

    /// Stop after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    time: Duration,

    /// Stop after this many scans
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,

    /// Size of the content
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size)]
    size: u64,

    /// Scan this file, not content that is made
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    file: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) scanning: Scanning,
}

/// Options that have another meaning here.
pub(crate) fn with_own_help(command: Command) -> Command {
    let command = command.mut_arg("canary", |arg| arg.hide(true));
    reword(
        command,
        &[
            (
                "max_size",
                "Do not send content larger than this; 'none' is no limit",
            ),
            (
                "preview",
                "Send a preview of this size, or 'negotiated': as the service asks",
            ),
            (
                "no_options",
                "Do not ask the service (OPTIONS) what it offers",
            ),
            (
                "endpoint",
                "Next service, if others are away; can be repeated",
            ),
            (
                "deadline",
                "Total time limit for one scan or OPTIONS, or 'none'",
            ),
        ],
    )
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    let jobs = arguments.jobs;
    let service = arguments.scanning.endpoint(arguments.uri.as_deref())?;
    let scanner = arguments.scanning.parallel(service, jobs)?;
    let services = scanner.stats().endpoints.into_iter();
    let services: Vec<_> = services.map(|it| it.service).collect();
    let bench = Bench {
        scanner,
        failovers: arguments.scanning.has_endpoints().then(Failovers::default),
        content: arguments.content()?,
        is_made: arguments.file.is_none(),
        next: AtomicU64::new(0),
        count: arguments.count.unwrap_or(u64::MAX),
        began: Instant::now(),
        time: arguments.time,
        interrupt: Interrupt::on_signal(|| {})?,
        samples: Mutex::default(),
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| bench.work());
        }
    });
    let result = bench.result(services.join(", "), jobs);
    if arguments.json {
        let json = serde_json::to_string(&result)?;
        writeln!(io::stdout(), "{}", safe_json(&json))?;
    } else {
        result.print()?;
    }
    result.warn_unless_scanned();
    Ok(if let Some(status) = bench.interrupt.exit_status() {
        Status::Interrupted(status)
    } else if result.scans > 0 && result.is_complete() {
        Status::Clean
    } else {
        Status::Unsure
    })
}

impl Arguments {
    fn content(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        if let Some(path) = &self.file {
            let content = std::fs::read(path);
            return Ok(content.map_err(|error| format!("{}: {error}", path.display()))?);
        }
        let mut content = Vec::new();
        content.try_reserve_exact(usize::try_from(self.size)?)?;
        content.extend((0..self.size).map(|at| at.wrapping_mul(0x9E37_79B9).to_le_bytes()[3]));
        Ok(content)
    }
}

/// What the jobs share.
struct Bench {
    scanner: Scanner,
    /// `None` with a single service.
    failovers: Option<Failovers>,
    content: Vec<u8>,
    is_made: bool,
    next: AtomicU64,
    count: u64,
    began: Instant,
    time: Duration,
    interrupt: Interrupt,
    samples: Mutex<Samples>,
}

#[derive(Default)]
struct Samples {
    latencies: Vec<Duration>,
    verdicts: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
    first_error: Option<String>,
    /// The scans that each service has served.
    served: BTreeMap<String, u64>,
    bytes: u64,
    not_scanned: u64,
}

impl Bench {
    fn work(&self) {
        let mut content = self.content.clone();
        while self.began.elapsed() < self.time && !self.interrupt.is_set() {
            let number = self.next.fetch_add(1, Relaxed);
            if number >= self.count {
                return;
            }
            if self.is_made {
                let len = content.len().min(8);
                content[..len].copy_from_slice(&number.to_le_bytes()[..len]);
            }
            self.scan(&content);
        }
    }

    fn scan(&self, content: &[u8]) {
        let began = Instant::now();
        let result = self.scanner.scan(Content::bytes(content).name("bench"));
        let elapsed = began.elapsed();
        let served = result.as_ref().ok().map(|it| it.service().to_owned());
        let code = Reason::of(&result).map_or("clean", Reason::code);
        let verdict = result.as_ref().map(Report::verdict);
        let is_scanned = !matches!(verdict, Ok(Verdict::NotScanned(_)));
        {
            let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = &result {
                *samples.errors.entry(code).or_default() += 1;
                samples.first_error.get_or_insert_with(|| chain(error));
            } else {
                samples.latencies.push(elapsed);
                samples.bytes += content.len() as u64;
                samples.not_scanned += u64::from(!is_scanned);
                *samples.verdicts.entry(code).or_default() += 1;
                if let Some(service) = served {
                    *samples.served.entry(service).or_default() += 1;
                }
            }
        }
        self.warn_of_failovers();
        if let Err(error) = result {
            log::info!("{error}");
            thread::sleep(PAUSE);
        }
    }

    /// Warns once of each service that is away, as icap scan does.
    fn warn_of_failovers(&self) {
        let Some(failovers) = &self.failovers else {
            return;
        };
        for cause in failovers.warnings(&self.scanner.stats().endpoints) {
            // The exit status and the numbers tell it as well.
            let _ = writeln!(io::stderr(), "{}", failover::warning(&cause));
        }
    }

    fn result(&self, service: String, jobs: usize) -> Measured {
        let elapsed = self.began.elapsed();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.latencies.sort_unstable();
        let scans = samples.latencies.len() as u64;
        let at = |percent| milliseconds_at(&samples.latencies, percent);
        Measured {
            service,
            jobs,
            size: self.content.len(),
            elapsed_ms: milliseconds(elapsed),
            scans,
            not_scanned: samples.not_scanned,
            scans_per_second: per_second(scans * 100, elapsed.as_secs_f64().max(0.001)) as f64
                / 100.0,
            bytes_per_second: per_second(samples.bytes, elapsed.as_secs_f64().max(0.001)),
            latency_ms: (scans > 0).then(|| Latency {
                p50: at(50),
                p90: at(90),
                p99: at(99),
                max: at(100),
            }),
            verdicts: samples.verdicts.clone(),
            errors: samples.errors.clone(),
            first_error: samples.first_error.clone(),
            served: samples.served.clone(),
        }
    }
}

/// The latency that so many percent of the scans did not exceed; 0 without scans.
fn milliseconds_at(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let latency = sorted.get(rank.saturating_sub(1)).copied();
    latency.unwrap_or_default().as_micros() as f64 / 1000.0
}

/// The result, in JSON with these keys.
#[derive(Serialize)]
struct Measured {
    service: String,
    jobs: usize,
    size: usize,
    elapsed_ms: u64,
    scans: u64,
    not_scanned: u64,
    scans_per_second: f64,
    bytes_per_second: u64,
    latency_ms: Option<Latency>,
    /// By `clean` or the code of the reason.
    verdicts: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
    first_error: Option<String>,
    served: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Measured {
    /// Whether all content was scanned.
    fn is_complete(&self) -> bool {
        self.errors.is_empty() && self.not_scanned == 0
    }

    /// A service that does not scan is fast.
    fn warn_unless_scanned(&self) {
        if self.not_scanned > 0 {
            let (count, of) = (self.not_scanned, self.scans);
            // The exit status tells it as well.
            let _ = writeln!(
                io::stderr(),
                "warning: {count} of {of} were not scanned, so this is not the rate of a scanner; \
                 'icap check' tells what the service misses"
            );
        }
    }

    fn print(&self) -> io::Result<()> {
        let size = BinaryBytes(self.size as u64);
        let mut out = io::stdout();
        writeln!(out, "Service:  {}", self.service)?;
        writeln!(out, "Load:     {} at once, {size} each", self.jobs)?;
        writeln!(out, "Scans:    {} in {} ms", self.scans, self.elapsed_ms)?;
        if let Some(Latency { p50, p90, p99, max }) = self.latency_ms {
            let bytes = BinaryBytes(self.bytes_per_second);
            writeln!(
                out,
                "Rate:     {} scans/s, {bytes}/s\n\
                 Latency:  median {p50} ms, 90 % {p90} ms, 99 % {p99} ms, longest {max} ms",
                self.scans_per_second,
            )?;
        }
        if self.service.contains(", ") {
            writeln!(out, "Served:   {}", counts(&self.served, " by "))?;
        }
        writeln!(out, "Verdicts: {}", counts(&self.verdicts, " "))?;
        writeln!(out, "Errors:   {}", counts(&self.errors, " "))?;
        match &self.first_error {
            Some(error) => writeln!(out, "First error: {}", safe(error)),
            None => Ok(()),
        }
    }
}

fn counts(counts: &BTreeMap<impl Display, u64>, between: &str) -> String {
    let counts = counts
        .iter()
        .map(|(of, count)| format!("{count}{between}{of}"));
    let counts: Vec<_> = counts.collect();
    if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_a_measured_latency() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        for (percent, expected) in [(50, 100.0), (90, 180.0), (99, 198.0), (100, 200.0)] {
            assert_eq!(milliseconds_at(&sorted, percent), expected);
        }
        assert_eq!(milliseconds_at(&sorted[..1], 50), 1.0);
        assert_eq!(milliseconds_at(&[], 99), 0.0);
    }
}
