//! `icap check`: tests whether a service really scans.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Command};
use icap_client::Scanner;
use icap_client::self_test::{Depth, Finding, Latency, Outcome, SelfTest, ServiceTest};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::json_help;
use crate::progress;
use crate::quantity::time;
use crate::quick;
use crate::report::Status;
use crate::scanning::{Scanning, reword};
use crate::settings::URI_HELP;
use crate::table::{Table, advice};
use crate::text::{of_program, safe_json};
use crate::wait;

const MORE: &str = "\
It sends EICAR, the harmless file that every virus scanner reports, in forms that services
often do not scan, and up to --max-size in size. The service logs each find.

Probes:
  options       the request for the service's options
  clean         random bytes
  keep-alive    the same once more, on the same connection
  eicar         EICAR itself; if it is missed, the rest is unknown
  held-back     EICAR in an archive; the last byte follows later: is there a
                response before all of the content?
  never-seen    a ZIP that no service can know by its hash
  small-pdf     EICAR in a PDF below 200 bytes
  pdf           in a larger PDF
  small-image   in a ZIP after a GIF
  image         in a ZIP after a larger GIF
  small-office  in a .docx
  office        in a larger .docx
  preview       in an archive, after the preview
  depth         in archives of growing size, at their end
  latency       random bytes of growing size: how long do large files take?
  idle          a scan on a connection that was idle for the other probes

Outcomes, in capitals if they are bad:
  passed, found   as it should be
  missed          EICAR was called clean
  blind           the service has no engine, or responds too early
  not-scanned     EICAR was neither called clean nor found
  false-alarm     the service found something in random bytes
  too-slow        large files would time out
  improvable      it works, and could work better
  failed          there was an error
  unknown         not tried, because it would show nothing
  not-applicable  the service does not offer it, or icap scan does not use it

Exit status:
  0  everything was found
  1  malware would pass: a form of EICAR was called clean, or the service
     scans nothing
  2  it could not be tested, or not all of it";

const EXAMPLES: &str = "\
Examples:
  icap check \"$SERVICE\"
  icap check --wait 2m --quick \"$SERVICE\" && start-my-application";

fn more() -> String {
    format!("{MORE}\n\n{}\n\n{EXAMPLES}", json_help::check())
}

/// Test whether a service really scans, and up to which size
#[derive(Debug, Args)]
#[command(after_long_help = more())]
pub(crate) struct Arguments {
    #[arg(help = URI_HELP)]
    uri: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Wait this long until the service responds, for example while it starts
    ///
    /// With several services it ends as soon as one of them responds; then all are tested. It
    /// does not wait for a service that asks for a user and a password that are not set, or
    /// refuses them. A response does not show that an engine runs: add --quick for that.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "TIME", value_parser = time)]
    wait: Option<Duration>,

    /// Send only EICAR and a harmless text: it takes seconds, for start scripts
    ///
    /// It shows that an engine runs, and not up to which size or in which files it finds EICAR.
    #[arg(long, conflicts_with = "json")]
    quick: bool,

    #[command(flatten)]
    pub(crate) scanning: Scanning,
}

/// Options that have another meaning here.
pub(crate) fn with_own_help(command: Command) -> Command {
    let command = command.mut_arg("canary", |arg| arg.hide(true));
    reword(
        command,
        &[
            ("max_size", "Test up to this size; 'none' is 100MiB"),
            ("preview", "Test as icap scan does with this --preview"),
            (
                "no_options",
                "Do not ask the service (OPTIONS) what it offers",
            ),
            ("endpoint", "Test this service too; can be repeated"),
            ("deadline", "Time limit for one probe or OPTIONS, or 'none'"),
        ],
    )
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    let service = arguments.scanning.endpoint(arguments.uri.as_deref())?;
    if let Some(longest) = arguments.wait {
        wait::until_one_responds(&arguments.scanning.clients(service.clone())?, longest)?;
    }
    if arguments.quick {
        return quick::run(&arguments.scanning.single_scanners(service)?);
    }
    let scanner = arguments.scanning.builder(service)?.build()?;
    let test = test(&scanner, arguments)?;
    if arguments.json {
        let json = serde_json::to_string(&Json::of(&test))?;
        writeln!(io::stdout(), "{}", safe_json(&json))?;
    } else {
        writeln!(io::stdout(), "{}", Table(&test))?;
    }
    Ok(status(&test))
}

fn test(scanner: &Scanner, arguments: &Arguments) -> Result<SelfTest, Box<dyn Error>> {
    let busy = if arguments.scanning.settings.traces_to_standard_error() {
        ProgressBar::hidden()
    } else {
        progress::busy("testing the service; this can take a minute")
    };
    let test = scanner.self_test();
    busy.finish_and_clear();
    Ok(test?)
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
    findings: Vec<JsonFinding>,
    depth: Option<JsonDepth>,
    latencies: Vec<JsonLatency>,
}

#[derive(Serialize)]
struct JsonFinding {
    probe: &'static str,
    outcome: &'static str,
    is_good: bool,
    detail: String,
    advice: Option<String>,
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
            findings: test
                .findings()
                .iter()
                .map(|it| JsonFinding::of(test, it))
                .collect(),
            depth: test.depth().map(JsonDepth::of),
            latencies: test.latencies().iter().map(JsonLatency::of).collect(),
        }
    }
}

impl JsonFinding {
    fn of(test: &ServiceTest, finding: &Finding) -> Self {
        Self {
            probe: finding.probe().code(),
            outcome: finding.outcome().code(),
            is_good: finding.outcome().is_good(),
            detail: of_program(finding.detail()),
            advice: advice(test, finding),
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
