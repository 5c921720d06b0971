//! `icap check`: tests whether a service really scans.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use icap_client::self_test::{Depth, Finding, Latency, Outcome, SelfTest, ServiceTest};
use serde::Serialize;

use crate::quantity::time;
use crate::report::Status;
use crate::scanning::Scanning;
use crate::settings::URI_HELP;
use crate::text::{of_program, safe_json};
use crate::wait;

const MORE: &str = "\
It sends EICAR, the harmless file that every virus scanner reports, in forms that services
often do not scan, and up to --max-size in size. The service logs each find.

Exit status:
  0  everything was found
  1  malware would pass: a form of EICAR was called clean, or the service scans nothing
  2  it could not be tested, or not all of it

Examples:
  icap check \"$SERVICE\"
  icap check --wait 2m --max-size 1MiB \"$SERVICE\" && start-my-application";

/// Test whether a service really scans, and up to which size
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Arguments {
    #[arg(help = URI_HELP)]
    uri: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Wait this long until the service responds, for example while it starts
    ///
    /// It waits for the first service, not for those of --endpoint. It does not wait if the
    /// service asks for a user and a password that are not set, or refuses them.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "TIME", value_parser = time)]
    wait: Option<Duration>,

    #[command(flatten)]
    pub(crate) scanning: Scanning,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    let service = arguments.scanning.endpoint(arguments.uri.as_deref())?;
    let name = service.uri().name();
    let scanner = arguments.scanning.builder(service)?.build()?;
    if let Some(longest) = arguments.wait {
        wait::until_it_responds(&name, longest, || scanner.options())?;
    }
    let test = scanner.self_test()?;
    if arguments.json {
        let json = serde_json::to_string(&Json::of(&test))?;
        writeln!(io::stdout(), "{}", safe_json(&json))?;
    } else {
        writeln!(io::stdout(), "{}", of_program(&test.to_string()))?;
    }
    Ok(status(&test))
}

fn status(test: &SelfTest) -> Status {
    let findings = test.services().iter().flat_map(ServiceTest::findings);
    let passes = |finding: &Finding| matches!(finding.outcome(), Outcome::Missed | Outcome::Blind);
    if findings.into_iter().any(passes) {
        Status::Found
    } else if test.passed() {
        Status::Clean
    } else {
        Status::Unsure
    }
}

#[derive(Serialize)]
struct Json<'t> {
    passed: bool,
    elapsed_ms: u64,
    services: Vec<JsonService<'t>>,
}

#[derive(Serialize)]
struct JsonService<'t> {
    service: &'t str,
    software: Option<&'t str>,
    passed: bool,
    findings: Vec<JsonFinding<'t>>,
    depth: Option<JsonDepth>,
    latencies: Vec<JsonLatency>,
}

#[derive(Serialize)]
struct JsonFinding<'t> {
    probe: &'static str,
    outcome: &'static str,
    is_good: bool,
    detail: &'t str,
    advice: Option<&'t str>,
    elapsed_ms: u64,
}

#[derive(Serialize)]
struct JsonDepth {
    largest_found: Option<u64>,
    smallest_missed: Option<u64>,
    smallest_not_scanned: Option<u64>,
}

#[derive(Serialize)]
struct JsonLatency {
    size: u64,
    elapsed_ms: u64,
    wait_ms: u64,
    is_estimate: bool,
}

impl<'t> Json<'t> {
    fn of(test: &'t SelfTest) -> Self {
        Self {
            passed: test.passed(),
            elapsed_ms: milliseconds(test.elapsed()),
            services: test.services().iter().map(JsonService::of).collect(),
        }
    }
}

impl<'t> JsonService<'t> {
    fn of(test: &'t ServiceTest) -> Self {
        Self {
            service: test.service(),
            software: test.software(),
            passed: test.passed(),
            findings: test.findings().iter().map(JsonFinding::of).collect(),
            depth: test.depth().map(JsonDepth::of),
            latencies: test.latencies().iter().map(JsonLatency::of).collect(),
        }
    }
}

impl<'t> JsonFinding<'t> {
    fn of(finding: &'t Finding) -> Self {
        Self {
            probe: finding.probe().code(),
            outcome: finding.outcome().code(),
            is_good: finding.outcome().is_good(),
            detail: finding.detail(),
            advice: finding.advice(),
            elapsed_ms: milliseconds(finding.elapsed()),
        }
    }
}

impl JsonDepth {
    fn of(depth: &Depth) -> Self {
        Self {
            largest_found: depth.largest_found,
            smallest_missed: depth.smallest_missed,
            smallest_not_scanned: depth.smallest_not_scanned,
        }
    }
}

impl JsonLatency {
    fn of(latency: &Latency) -> Self {
        Self {
            size: latency.size,
            elapsed_ms: milliseconds(latency.elapsed),
            wait_ms: milliseconds(latency.wait),
            is_estimate: latency.is_estimate,
        }
    }
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
