//! Scanning one file: it is opened, sent, and sent again if the service was away.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use icap_client::error::TimeLimit;
use icap_client::stats::EndpointStats;
use icap_client::{Content, Error, Report, Scanner, Verdict};

use crate::about::About;
use crate::entry::{Entry, Subject};
use crate::failover::{self, Before, Failovers};
use crate::files::Found;
use crate::name::Name;
use crate::once::{self, Once};
use crate::output::Place;
use crate::patience::{Next, Patience};
use crate::progress::Progress;
use crate::pump::Pump;

/// The pause before services that are full are asked again.
const PAUSE_IF_FULL: Duration = Duration::from_millis(10);

/// What the jobs share.
pub(crate) struct Worker {
    pub(crate) scanner: Scanner,
    /// The name of the service for files that were not sent.
    pub(crate) service: String,
    pub(crate) patience: Patience,
    /// `None` with a single service.
    pub(crate) failovers: Option<Failovers>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) about: About,
    /// The file for what a rebuilding service makes of the one file.
    pub(crate) output: Option<Place>,
    /// For how long a file waits if all services are full; `None` if the library waits.
    pub(crate) full_wait: Option<Duration>,
    /// The time limit for reading a pipe.
    pub(crate) deadline: Option<Duration>,
}

impl Worker {
    pub(crate) fn scan(&self, found: &Found) -> Entry {
        let entry = match self.patience.given_up() {
            Some(why) => {
                let (name, size) = (self.name(found), None);
                Entry::given_up(Subject { name, size }, why, &self.service)
            }
            None => self.scan_found(found),
        };
        self.progress.finish_file(entry.name());
        entry
    }

    /// The name in the output. That of standard input can be set.
    fn name(&self, found: &Found) -> Name {
        match (found, self.about.name()) {
            (Found::StandardInput, Some(name)) => Name::from(name),
            _ => Name::of(found.path()),
        }
    }

    fn scan_found(&self, found: &Found) -> Entry {
        match found {
            Found::StandardInput => self.scan_once(
                self.name(found),
                Pump::start(standard_input, self.deadline),
                None,
            ),
            Found::Named(path) if is_pipe(path) => {
                let file = path.to_owned();
                let open = || not_empty(BufReader::new(File::open(file)?));
                let pump = Pump::start(open, self.deadline);
                self.scan_once(Name::of(path), pump, path.file_name())
            }
            Found::Named(path) | Found::File(path) => {
                let size = fs::metadata(path).ok().map(|it| it.len());
                let name = Name::of(path);
                self.scan_content(Subject { name, size }, || open(path), || true)
            }
            Found::Unreadable(path, error) => {
                let (name, size) = (Name::of(path), None);
                Entry::unreadable(Subject { name, size }, error, &self.service, Duration::ZERO)
            }
        }
    }

    /// Scans content that can be read only once. A pipe has the name of its `file` for the service.
    fn scan_once(&self, name: Name, pipe: impl Read + Send, file: Option<&OsStr>) -> Entry {
        let once = Once::new(pipe);
        let content = || {
            let content = Content::reader(once.attempt());
            match file {
                Some(file) => content.name(file.to_string_lossy()),
                None => self.about.describe_standard_input(content),
            }
        };
        let size = None;
        let can_be_read_again = || once.can_be_read_again();
        self.scan_content(Subject { name, size }, || Ok(content()), can_be_read_again)
    }

    /// Scans the content that `open` opens, and waits for a service that is away.
    pub(crate) fn scan_content<'c>(
        &self,
        subject: Subject,
        open: impl Fn() -> io::Result<Content<'c>>,
        can_be_read_again: impl Fn() -> bool,
    ) -> Entry {
        let began = Instant::now();
        let before = Before::of(&self.scanner, self.failovers.is_some());
        let mut can_resend = true;
        log::debug!("scans {}", subject.name);
        self.progress.begin(&subject.name);
        loop {
            let sent = match open() {
                Ok(content) => self.send(content),
                Err(error) => {
                    return Entry::unreadable(subject, &error, &self.service, began.elapsed());
                }
            };
            let result = match sent {
                Ok(result) => result,
                Err(why) => {
                    return Entry::unwritable(subject, why, &self.service, began.elapsed());
                }
            };
            let next = match &result {
                Err(error) if self.waits_for_room(error, began) => Next::Again(PAUSE_IF_FULL),
                _ => self.next(&result, can_resend, &before),
            };
            let pause = match next {
                // The rest of a pipe is not all of it, and an empty rest would be clean.
                Next::Again(pause) if can_be_read_again() => pause,
                _ => {
                    let entry = self.entry(subject, result, &before, began);
                    return match self.patience.given_up() {
                        Some(why) if next == Next::GiveUp => entry.with_others(why),
                        _ => entry,
                    };
                }
            };
            can_resend &= result.is_err_and(|error| is_unsent(&error));
            thread::sleep(pause);
        }
    }

    /// The output for a scan that ended like this.
    fn entry(
        &self,
        subject: Subject,
        result: Result<Report, Error>,
        before: &Before,
        began: Instant,
    ) -> Entry {
        let is_of_services = result.as_ref().is_err_and(is_of_services);
        let entry = Entry::of(subject, result, &self.service, began.elapsed());
        if is_of_services {
            entry.with_causes(|why| self.all_causes(why, before))
        } else {
            entry
        }
    }

    /// Whether a service is there, but has no free connection yet. Others may be away: the error can be about them.
    fn waits_for_room(&self, error: &Error, began: Instant) -> bool {
        let has_time = self.full_wait.is_some_and(|wait| began.elapsed() < wait);
        if !has_time || !is_unsent(error) {
            return false;
        }
        is_full(error) || self.scanner.stats().endpoints.iter().any(is_in_use)
    }

    /// Why all services have failed.
    fn all_causes(&self, why: String, before: &Before) -> String {
        before.with_all_causes(why, &self.scanner)
    }

    /// Tells of the services that failed before one served.
    fn warn_of_failovers(&self) {
        let Some(failovers) = &self.failovers else {
            return;
        };
        for cause in failovers.warnings(&self.scanner.stats().endpoints) {
            let warning = failover::warning(&cause);
            let _ = self
                .progress
                .aside(|| writeln!(anstream::stderr(), "{warning}"));
        }
    }

    fn next(&self, result: &Result<Report, Error>, can_resend: bool, before: &Before) -> Next {
        match result {
            Ok(report) => {
                // A file that is too large is not sent: its report tells nothing of the service.
                if report.status().is_some() {
                    self.patience.served();
                    self.warn_of_failovers();
                }
                Next::Fail
            }
            Err(error) => {
                let next = self
                    .patience
                    .after(error, can_resend, |why| self.all_causes(why, before));
                if let Next::Again(pause) = next {
                    log::info!("scans it again in {} ms: {error}", pause.as_millis());
                }
                next
            }
        }
    }

    /// The outer error is about the file of `--output`.
    fn send(&self, content: Content<'_>) -> Result<Result<Report, Error>, String> {
        let mut before = 0;
        let progress = |sent: u64, total| {
            self.progress
                .update(sent, total, sent.saturating_sub(before));
            before = sent;
        };
        let content = self.about.describe(content);
        let content = content.progress(progress);
        match &self.output {
            Some(place) => self.replace(content, place),
            None => Ok(self.scanner.scan(content)),
        }
    }

    /// Keeps what came back only if it is a new content, and all of it.
    fn replace(
        &self,
        content: Content<'_>,
        place: &Place,
    ) -> Result<Result<Report, Error>, String> {
        let mut output = place.create()?;
        let result = self.scanner.scan_replace(content, &mut output);
        let verdict = result.as_ref().map(Report::verdict);
        if matches!(verdict, Ok(Verdict::Modified(new)) if new.body_len().is_some()) {
            output.keep()?;
        }
        Ok(result)
    }
}

/// Whether the content did not go to the service that the error is about.
fn is_unsent(error: &Error) -> bool {
    matches!(error, Error::Suspended(_) | Error::Connect(_)) || is_full(error)
}

/// Whether the services have failed, and not this machine or the file.
fn is_of_services(error: &Error) -> bool {
    use Error::{Connect, Disconnected, Protocol, Status, Suspended, Timeout};
    matches!(
        error,
        Connect(_) | Disconnected(_) | Protocol(_) | Status(_) | Suspended(_) | Timeout(_)
    )
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Timeout(error) if error.limit() == TimeLimit::WaitTimeout)
}

/// Whether a scan has a connection to this service now.
fn is_in_use(endpoint: &EndpointStats) -> bool {
    let closed = endpoint.connections_closed + endpoint.connections_idle;
    endpoint.connections_opened > closed
}

/// Opens a regular file. A URI in the place of a file is easily overlooked.
fn open<'c>(path: &Path) -> io::Result<Content<'c>> {
    Content::file(path).map_err(|error| {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        if is_missing && path.to_string_lossy().contains("://") {
            let hint =
                "it looks like a URI: a service is the first argument, a further one --endpoint";
            return io::Error::new(error.kind(), format!("{error} ({hint})"));
        }
        error
    })
}

fn standard_input() -> io::Result<impl Read> {
    once::refuse_closed_input()?;
    not_empty(io::stdin().lock())
}

/// Refuses a pipe without any bytes: the program that should have written to it has probably failed.
fn not_empty<R: BufRead>(mut pipe: R) -> io::Result<R> {
    if pipe.fill_buf()?.is_empty() {
        return Err(io::Error::other("it is empty, so it was not scanned"));
    }
    Ok(pipe)
}

/// The user asked for it by name, so it may be a pipe.
fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}
