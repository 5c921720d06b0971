//! `icap scan`: prints a verdict for each file.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use globset::Glob;

use crate::about::About;
use crate::config;
use crate::failover::Failovers;
use crate::files::Files;
use crate::globs::{Globs, glob};
use crate::interrupt::Interrupt;
use crate::json_help;
use crate::list::List;
use crate::name::Name;
use crate::output::Place;
use crate::patience::Patience;
use crate::progress::Progress;
use crate::quantity::{Bound, bound, jobs, time};
use crate::report::{Format, Shown, Status};
use crate::scanning::Scanning;
use crate::session::Session;
use crate::worker::Worker;

/// A scan mostly waits for the service, so there can be several for each core.
const JOBS_PER_CORE: usize = 4;

/// As many idle connections as the library keeps by default.
const MAX_DEFAULT_JOBS: usize = icap_client::limits::DEFAULT_MAX_IDLE;

const USAGE: &str = "icap scan [OPTIONS] [URI] FILE...";

const MORE: &str = "\
Clean is what the service says of a file. Many services look at files up to some size only,
and call a larger one clean: 'icap check' finds that size. Set --max-size to it.

Values:
  A URI is icap[s]://HOST[:PORT]/SERVICE[?ARGUMENTS]. The default port is
  1344, of icaps 11344. For c-icap with ClamAV it is
  'icap://HOST/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple'
  Quote a URI that has ? or &: a shell acts upon them.
  A TIME is for example 500ms, 10s or 5m.
  A SIZE is for example 500KiB, 100MiB, 2GiB or, in bytes, 4096B.

Exit status:
  0  all files are clean, or the list of --files-from is empty
  1  a file is infected or blocked
  2  a file is modified or not scanned, there was no file to scan, or an error
     occurred
  If both 1 and 2 apply, it is 1. After Ctrl-C it is 130, after SIGTERM
  143 and after SIGHUP 129; then what was done is printed.";

const EXAMPLES: &str = "\
Examples:
  icap scan \"$SERVICE\" invoice.pdf scan.zip
  icap scan -r --quiet \"$SERVICE\" /srv/uploads
  set -o pipefail
  find /srv -newer stamp -print0 | icap scan \"$SERVICE\" -0 --files-from -
  curl -fsS https://www.example/x.zip | icap scan \"$SERVICE\" -
  icap scan --endpoint icap://av2/SERVICE icap://av1/SERVICE invoice.pdf
  icap scan --max-size 2GiB --response-timeout 2m \"$SERVICE\" big.iso
  icap scan --json -r . | jq -r 'select(.verdict != \"clean\") | .file'";

fn more() -> String {
    format!(
        "{MORE}\n\n{}\n\n{}\n\n{EXAMPLES}",
        config::keys_help(),
        json_help::scan()
    )
}

/// Scan files and print a verdict for each
#[derive(Debug, Args)]
#[command(override_usage = USAGE, after_long_help = more())]
pub(crate) struct Arguments {
    /// Service, unless it is set elsewhere, and files to scan; - is standard input
    ///
    /// The first argument is a service if it begins with icap:// or icaps://. An empty standard
    /// input is an error: the program that should have written to it has probably failed.
    #[arg(value_name = "URI or FILE", verbatim_doc_comment)]
    arguments: Vec<PathBuf>,

    /// Scan the files in directories; symbolic links in them are not followed
    ///
    /// Links, pipes and other special files are left out, and counted in the summary. If
    /// everything was left out, also by --include and --exclude, the exit status is 2.
    #[arg(short, long, help_heading = "Files", verbatim_doc_comment)]
    recursive: bool,

    /// In directories, scan only files that match; can be repeated
    ///
    /// For what a GLOB is, see --exclude. It has no effect on a FILE that is named, and on those
    /// of --files-from.
    #[arg(long, value_name = "GLOB", value_parser = glob, verbatim_doc_comment)]
    #[arg(help_heading = "Files")]
    include: Vec<Glob>,

    /// In directories, leave out whatever matches; can be repeated
    ///
    /// A GLOB without a slash matches the name of a file or directory: '*.iso', 'cache'. Paths
    /// are relative to the directory that is scanned: with 'icap scan -r /srv', '/tmp' is
    /// /srv/tmp, and 'tmp/*.log' are the logs in it. * and ? match no slash, ** also slashes,
    /// [a-c] one of these characters, {a,b} either. Quote a GLOB, so that the shell does not
    /// replace it. It has no effect on a FILE that is named, and on those of --files-from.
    #[arg(long, value_name = "GLOB", value_parser = glob, verbatim_doc_comment)]
    #[arg(help_heading = "Files")]
    exclude: Vec<Glob>,

    /// Scan also the files that FILE lists, one a line; - is standard input
    ///
    /// Nothing is wrong with an empty list, for example if 'find -newer' found no new file. If
    /// the program that writes the list fails, use 'set -o pipefail' to notice.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Files",
        verbatim_doc_comment
    )]
    files_from: Option<PathBuf>,

    /// The names in --files-from end with NUL, as 'find -print0' prints them
    #[arg(short = '0', long, help_heading = "Files")]
    null: bool,

    /// Scan this many files at once [default: 4 for each core, at most 32]
    ///
    /// There are never more connections than the service allows (Max-Connections).
    #[arg(short, long, value_name = "N", value_parser = jobs)]
    jobs: Option<usize>,

    /// Print only files that are not clean, and no summary
    #[arg(short, long)]
    quiet: bool,

    /// Print only infected and blocked files, and the summary
    #[arg(short, long)]
    infected_only: bool,

    /// Print one JSON object per line for each file, and no summary
    #[arg(long)]
    pub(crate) json: bool,

    /// Write what a rebuilding service makes of the one FILE to this new file
    ///
    /// The file is created only if the verdict is "modified"; the exit status is 2 then. It is
    /// for you to know that the service rebuilds files, and that what it sends is no page that
    /// refuses the file.
    #[arg(short, long, value_name = "FILE", verbatim_doc_comment)]
    output: Option<PathBuf>,

    /// Wait this long for a service that stops serving; or 'none'
    ///
    /// The file is then scanned again. If the service stays away, the program ends with one
    /// message. It does not wait for a service that has never served.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = bound(time))]
    #[arg(verbatim_doc_comment)]
    retry: Bound<Duration>,

    #[command(flatten)]
    about: About,

    #[command(flatten)]
    pub(crate) scanning: Scanning,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn StdError>> {
    let (uri, files) = arguments.uri_and_files()?;
    let service = arguments.scanning.endpoint(uri)?;
    let files = arguments.selection(files)?;
    if arguments.output.is_some() && !files.is_single() {
        return Err("--output is for one FILE".into());
    }
    if let (Some(option), false) = (
        arguments.about.option_of_standard_input(),
        files.has_standard_input(),
    ) {
        return Err(format!("{option} is for standard input (-), which is not scanned").into());
    }
    let format = arguments.format();
    // Log lines and a progress bar on one terminal overwrite each other.
    let is_bar_shown = format.has_summary()
        && !log::log_enabled!(log::Level::Info)
        && !arguments.scanning.settings.traces_to_standard_error();
    let progress = if is_bar_shown {
        Progress::of(&files)
    } else {
        Progress::hidden()
    };
    let output = arguments.output.clone().map(Place::new);
    let unfinished = output.clone();
    let interrupt = Interrupt::on_signal(move || unfinished.iter().for_each(Place::close))?;
    let worker = Worker {
        service: service.uri().name(),
        scanner: arguments.scanning.overflowing(service, arguments.jobs())?,
        about: arguments.about.clone(),
        patience: Patience::new(arguments.retry.0),
        failovers: arguments.scanning.has_endpoints().then(Failovers::default),
        progress: Arc::new(progress),
        full_wait: arguments.scanning.full_wait(),
        deadline: arguments.scanning.deadline(),
        output,
    };
    let mut session = Session::new(worker, format);
    let printed = session
        .scan_all(files, arguments.jobs(), interrupt)
        .and_then(|()| session.print_summary());
    Ok(session.status(printed))
}

impl Arguments {
    /// The first argument is a service only with its scheme.
    fn uri_and_files(&self) -> Result<(Option<&str>, &[PathBuf]), String> {
        let first = self.arguments.first().and_then(|first| first.to_str());
        let (uri, files) = match first {
            Some(first) if is_service(first) => (Some(first), &self.arguments[1..]),
            _ => (None, &self.arguments[..]),
        };
        if files.is_empty() && self.files_from.is_none() {
            return Err(no_file(uri));
        }
        let is_named = self.scanning.settings.has_service() || self.scanning.has_endpoints();
        if uri.is_none() && !is_named {
            let first = Name::of(files.first().map_or(Path::new(""), PathBuf::as_path));
            return Err(format!(
                "no service is given, and '{first}' is none: a service is icap://HOST/SERVICE. \
                 Put it before the first FILE, or set --service or ICAP_URI"
            ));
        }
        Ok((uri, files))
    }

    fn selection(&self, files: &[PathBuf]) -> Result<Files, Box<dyn StdError>> {
        let globs = Globs::new(&self.include, &self.exclude)?;
        let files = Files::of(files, self.recursive)?.with_globs(globs);
        let Some(path) = &self.files_from else {
            if self.null {
                return Err("-0 (--null) goes with --files-from".into());
            }
            return Ok(files);
        };
        let separator = if self.null { 0 } else { b'\n' };
        let list = List::open(path, separator)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(files.with_list(list)?)
    }

    fn format(&self) -> Format {
        let shown = match (self.quiet, self.infected_only) {
            (_, true) => Shown::Found,
            (true, false) => Shown::NotClean,
            (false, false) => Shown::All,
        };
        Format {
            json: self.json,
            shown,
            no_summary: self.quiet,
        }
    }

    fn jobs(&self) -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let default = (cores * JOBS_PER_CORE).min(MAX_DEFAULT_JOBS);
        self.jobs.unwrap_or(default)
    }
}

/// A shell ends the command at an `&` that is not quoted, and the files after it are lost.
fn no_file(uri: Option<&str>) -> String {
    if uri.is_some_and(|uri| uri.contains('?')) {
        return "no FILE is given: quote the URI, because the shell cuts the command at &; \
                use - for standard input"
            .to_owned();
    }
    format!("no FILE is given; use - for standard input; usage: {USAGE}")
}

fn is_service(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| it.eq_ignore_ascii_case("icap") || it.eq_ignore_ascii_case("icaps"))
}
