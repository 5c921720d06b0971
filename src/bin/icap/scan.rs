//! `icap scan`: prints a verdict for each file.

use std::error::Error as StdError;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use icap_client::{Content, Error, Method, Preview, Scanner, ServiceUri};

use crate::files::{Files, Found};
use crate::once::Once;
use crate::patience::Patience;
use crate::progress::Progress;
use crate::report::{Entry, Format, Status, Tally};
use crate::settings::{Bound, SERVICE, Settings, bound, size, time};

const MORE: &str = "\
A TIME is for example 500ms, 10s or 5m; without a unit it is in milliseconds.
A SIZE is for example 4096, 500KiB, 100MiB or 2GiB.

Exit status:
  0  all files are clean
  1  a file is infected or blocked
  2  a file is modified or not scanned, or an error occurred
  If both 1 and 2 apply, it is 1.

Examples:
  icap scan \"$SERVICE\" invoice.pdf scan.zip
  icap scan -r --quiet \"$SERVICE\" /srv/uploads
  curl -s https://www.example/x.zip | icap scan \"$SERVICE\" -
  icap scan --max-size 2GiB --response-timeout 2m \"$SERVICE\" big.iso

For c-icap with ClamAV, SERVICE is
  icap://HOST/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple";

/// Scan files and print a verdict for each
#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(crate) struct Arguments {
    #[arg(help = SERVICE)]
    uri: String,

    /// Files to scan; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Scan the files in directories; symbolic links in them are not followed
    #[arg(short, long)]
    recursive: bool,

    /// Print only files that are not clean, and no summary
    #[arg(short, long)]
    quiet: bool,

    /// Print one JSON object per line for each file, and no summary
    #[arg(long)]
    json: bool,

    /// Do not scan files larger than this; 'none' is no limit
    #[arg(long, value_name = "SIZE", default_value = "100MiB", value_parser = bound(size))]
    max_size: Bound<u64>,

    /// As downloads (respmod) or uploads (reqmod) [default: RESPMOD, else REQMOD]
    #[arg(long, value_name = "METHOD", value_parser = method)]
    method: Option<Method>,

    /// Send a preview: of this size, or 'negotiated' as the service asks [default: none]
    ///
    /// A preview is the beginning of the file. If the service responds with 204 to it, it does
    /// not read the rest, and the verdict is "not scanned".
    #[arg(long, value_name = "SIZE", value_parser = preview, verbatim_doc_comment)]
    preview: Option<Preview>,

    /// Do not ask the service (OPTIONS) what it offers before the first file
    #[arg(long)]
    no_options: bool,

    /// How long to wait for a service that stops serving; 'none' does not wait
    ///
    /// The file is then scanned again. The program does not wait if the service has never served.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = bound(time))]
    wait: Bound<Duration>,

    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn StdError>> {
    let files = Files::of(&arguments.files, arguments.recursive)?;
    let mut builder = Scanner::builder(&arguments.uri)
        .max_size(arguments.max_size.0)
        .negotiate(!arguments.no_options)
        .preview(arguments.preview.unwrap_or_default());
    if let Some(method) = arguments.method {
        builder = builder.method(method);
    }
    let scanner = arguments.settings.of_scanner(builder)?.build()?;
    let service = arguments.uri.parse::<ServiceUri>()?.name();
    let format = Format {
        json: arguments.json,
        quiet: arguments.quiet,
    };
    let patience = Patience::new(arguments.wait.0);
    let mut session = Session::new(scanner, service, format, patience);
    let printed = match session.scan_all(files) {
        Ok(()) if format == Format::default() => session.print_summary(),
        printed => printed,
    };
    Ok(session.status(printed))
}

fn method(text: &str) -> Result<Method, String> {
    match text.to_ascii_lowercase().as_str() {
        "respmod" => Ok(Method::Respmod),
        "reqmod" => Ok(Method::Reqmod),
        _ => Err("neither respmod nor reqmod".to_owned()),
    }
}

fn preview(text: &str) -> Result<Preview, String> {
    if text == "negotiated" {
        return Ok(Preview::Negotiated);
    }
    let limit = size(text).map_err(|_| "neither 'negotiated' nor a size".to_owned())?;
    Ok(Preview::Limit(usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// A scanner, and the results so far.
pub(crate) struct Session {
    scanner: Scanner,
    service: String,
    format: Format,
    progress: Progress,
    tally: Tally,
    patience: Patience,
}

impl Session {
    pub(crate) fn new(
        scanner: Scanner,
        service: String,
        format: Format,
        patience: Patience,
    ) -> Self {
        // Log lines and a progress bar on one terminal overwrite each other.
        let is_shown = format == Format::default() && !log::log_enabled!(log::Level::Info);
        let progress = if is_shown {
            Progress::new()
        } else {
            Progress::hidden()
        };
        Self {
            scanner,
            service,
            format,
            progress,
            tally: Tally::default(),
            patience,
        }
    }

    /// Scans all files. It ends early only if a result cannot be printed.
    pub(crate) fn scan_all(&mut self, files: Files) -> io::Result<()> {
        for found in files {
            match found {
                Found::StandardInput => self.scan_once("-", io::stdin(), None),
                Found::Named(path) => self.scan_named(&path),
                Found::File(path) => self.scan(&path.to_string_lossy(), || Content::file(&path)),
                Found::Unreadable(path, error) => {
                    let entry = self.failed(&path.to_string_lossy(), &error, Instant::now());
                    self.print(&entry)
                }
            }?;
        }
        Ok(())
    }

    /// Scans the content that `open` opens, and prints the result.
    pub(crate) fn scan<'c>(
        &mut self,
        name: &str,
        open: impl Fn() -> io::Result<Content<'c>>,
    ) -> io::Result<()> {
        self.scan_with_patience(name, open, || true)
    }

    /// Scans a file named on the command line. It waits for a pipe, because the user asked for it.
    fn scan_named(&mut self, path: &Path) -> io::Result<()> {
        let name = path.to_string_lossy();
        let opened = match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => File::open(path),
            _ => return self.scan(&name, || Content::file(path)),
        };
        match opened {
            Ok(pipe) => self.scan_once(&name, pipe, path.file_name()),
            Err(error) => {
                let entry = self.failed(&name, &error, Instant::now());
                self.print(&entry)
            }
        }
    }

    /// Scans content that can be read only once. `file` is its name for the service.
    fn scan_once(
        &mut self,
        name: &str,
        stream: impl Read + Send,
        file: Option<&OsStr>,
    ) -> io::Result<()> {
        let once = Once::new(stream);
        let content = || {
            let content = Content::reader(once.attempt());
            match file {
                Some(file) => content.name(file.to_string_lossy()),
                None => content,
            }
        };
        self.scan_with_patience(name, || Ok(content()), || once.can_be_read_again())
    }

    fn scan_with_patience<'c>(
        &mut self,
        name: &str,
        open: impl Fn() -> io::Result<Content<'c>>,
        can_be_read_again: impl Fn() -> bool,
    ) -> io::Result<()> {
        let began = Instant::now();
        let mut can_resend = true;
        let entry = loop {
            self.progress.begin(&crate::text::safe(name));
            let error = match open().map(|content| self.scan_content(content)) {
                Ok(Ok(report)) => {
                    self.patience.served();
                    break Entry::judged(name, &report);
                }
                Ok(Err(error)) => error,
                Err(error) => break self.failed(name, &error, began),
            };
            let pause = self.patience.pause_after(&error, can_resend);
            // The rest of a pipe is not all of it, and an empty rest would be clean.
            let Some(pause) = pause.filter(|_| can_be_read_again()) else {
                break self.failed(name, &error, began);
            };
            log::info!("waiting for {} ms: {error}", pause.as_millis());
            can_resend &= matches!(error, Error::Suspended(_) | Error::Connect(_));
            thread::sleep(pause);
        };
        self.print(&entry)
    }

    fn failed(&self, name: &str, error: &(dyn StdError + 'static), began: Instant) -> Entry {
        Entry::failed(name, error, &self.service, began.elapsed())
    }

    fn print(&mut self, entry: &Entry) -> io::Result<()> {
        self.tally.add(entry.outcome());
        self.format.print(entry, &self.progress)
    }

    fn scan_content(&self, content: Content<'_>) -> Result<icap_client::Report, Error> {
        let progress = |sent, total| self.progress.update(sent, total);
        self.scanner.scan(content.progress(progress))
    }

    fn print_summary(&self) -> io::Result<()> {
        self.aside(|| writeln!(io::stdout(), "{}", self.tally))
    }

    /// The exit status of the files scanned so far. An error in `printed` makes it worse.
    pub(crate) fn status(&self, printed: io::Result<()>) -> Status {
        match printed {
            Ok(()) => self.tally.status(),
            Err(error) => {
                crate::complain(&error);
                self.tally.status_if_cut_short()
            }
        }
    }

    /// Takes the counts so far; counting starts again.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Prints something else while the progress bar is hidden.
    pub(crate) fn aside(&self, print: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.progress.aside(print)
    }
}
