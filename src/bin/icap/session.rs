//! The results of a run: each is counted and printed, and a summary follows.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::batch::{Batch, Step};
use crate::entry::{Entry, Subject};
use crate::files::Files;
use crate::globs::Globs;
use crate::interrupt::Interrupt;
use crate::left_out::LeftOut;
use crate::name::Name;
use crate::progress::Progress;
use crate::report::{Format, Status, Tally};
use crate::worker::Worker;

/// What was scanned so far.
pub(crate) struct Session {
    worker: Arc<Worker>,
    format: Format,
    progress: Arc<Progress>,
    tally: Tally,
    given_up: Option<GivenUp>,
    left_out: Arc<Mutex<LeftOut>>,
    has_name: Arc<AtomicBool>,
    globs: Globs,
    began: Instant,
    /// The exit status after a signal.
    interrupted: Option<u8>,
    /// A service responded as one that does not scan.
    is_doubtful: bool,
    has_too_large: bool,
    /// Files without a verdict that are not printed, and the line of the first.
    hidden: Option<(u64, String)>,
}

/// Files that were not scanned because the service is away.
struct GivenUp {
    first: Entry,
    count: u64,
}

impl Session {
    pub(crate) fn new(worker: Worker, format: Format) -> Self {
        Self {
            progress: Arc::clone(&worker.progress),
            worker: Arc::new(worker),
            format,
            tally: Tally::default(),
            given_up: None,
            left_out: Arc::default(),
            has_name: Arc::default(),
            globs: Globs::default(),
            began: Instant::now(),
            interrupted: None,
            is_doubtful: false,
            has_too_large: false,
            hidden: None,
        }
    }

    /// Scans all files. It ends early if a result cannot be printed, or on Ctrl-C.
    pub(crate) fn scan_all(
        &mut self,
        files: Files,
        jobs: usize,
        interrupt: Interrupt,
    ) -> io::Result<()> {
        self.left_out = files.left_out();
        self.has_name = files.has_name();
        self.globs = files.globs();
        let mut batch = Batch::start(files, jobs, &self.worker, interrupt.clone())?;
        loop {
            match batch.step() {
                Step::Entry(entry) => self.take(*entry)?,
                Step::Lost(path) => self.lose(&path)?,
                Step::Interrupted => {
                    self.interrupted = interrupt.exit_status();
                    return self.report_interruption(batch);
                }
                Step::End => {
                    self.report_given_up()?;
                    return self.report_unused_globs();
                }
            }
        }
    }

    /// Counts and prints a result.
    pub(crate) fn take(&mut self, entry: Entry) -> io::Result<()> {
        self.tally.add(entry.outcome, entry.bytes_sent());
        self.is_doubtful |= entry.is_doubtful();
        self.has_too_large |= entry.is_too_large();
        if self.format.hides_unscanned(&entry) {
            let (count, _) = self.hidden.get_or_insert_with(|| (0, entry.plain()));
            *count += 1;
        }
        if !entry.is_given_up || self.format.json {
            return self.format.print(&entry, &self.progress);
        }
        match &mut self.given_up {
            Some(given_up) => given_up.count += 1,
            None => {
                self.given_up = Some(GivenUp {
                    first: entry,
                    count: 1,
                });
            }
        }
        Ok(())
    }

    /// A job that ends without a result has panicked.
    fn lose(&mut self, path: &Path) -> io::Result<()> {
        let (name, size) = (Name::of(path), None);
        let error = io::Error::other("the scan ended without a result; this is a fault of icap");
        let service = &self.worker.service;
        let entry = Entry::unreadable(Subject { name, size }, &error, service, Duration::ZERO);
        self.take(entry)
    }

    /// One message for all files that were not scanned.
    fn report_given_up(&mut self) -> io::Result<()> {
        let Some(GivenUp { first, count }) = self.given_up.take() else {
            return Ok(());
        };
        if count == 1 {
            return self.format.print(&first, &self.progress);
        }
        self.aside(|| {
            let (name, why) = (first.name(), crate::text::safe(first.detail()));
            writeln!(
                anstream::stderr(),
                "error: {count} files were not scanned, the first is {name}: {why}"
            )
        })
    }

    /// Mostly they are mistyped.
    fn report_unused_globs(&self) -> io::Result<()> {
        // Then that is the message.
        if self.tally.is_empty() {
            return Ok(());
        }
        self.aside(|| {
            self.globs.unused().iter().try_for_each(|glob| {
                let glob = crate::text::safe(glob);
                writeln!(
                    anstream::stderr(),
                    "warning: {glob} matched nothing in the directories"
                )
            })
        })
    }

    fn report_interruption(&mut self, batch: Batch) -> io::Result<()> {
        let (entries, first) = batch.finished();
        entries.into_iter().try_for_each(|entry| self.take(entry))?;
        self.report_given_up()?;
        self.progress.end();
        let tally = self.tally;
        match first {
            Some(path) => writeln!(
                anstream::stderr(),
                "interrupted after {tally}; not scanned: {} and what follows",
                Name::of(&path)
            ),
            None => writeln!(anstream::stderr(), "interrupted after {tally}"),
        }
    }

    pub(crate) fn print_summary(&self) -> io::Result<()> {
        self.progress.end();
        if self.interrupted.is_some() {
            return Ok(());
        }
        let is_list_empty = !self.has_name.load(SeqCst);
        if self.tally.is_empty() && !is_list_empty {
            self.report_nothing()?;
        }
        if !self.format.has_summary() {
            self.report_what_is_hidden();
            return Ok(());
        }
        let mut out = anstream::stdout();
        if is_list_empty {
            return writeln!(out, "0 files: the list of --files-from is empty");
        }
        writeln!(out, "{}", self.tally)?;
        if self.tally.has_sent() {
            writeln!(out, "{}", self.tally.rate(self.began.elapsed()))?;
        }
        let left_out = self.left_out();
        if !left_out.is_empty() {
            writeln!(out, "{left_out}")?;
        }
        out.flush()?;
        self.print_hints();
        Ok(())
    }

    /// Without a summary, a line on standard error tells what was not scanned and is not in the output.
    fn report_what_is_hidden(&self) {
        let mut err = anstream::stderr();
        if let (Some((count, first)), false) = (&self.hidden, self.format.json) {
            let files = if *count == 1 {
                "file was"
            } else {
                "files were"
            };
            let _ = writeln!(
                err,
                "warning: {count} {files} not scanned, the first is {first}"
            );
        }
        let left_out = self.left_out().unasked();
        if !left_out.is_empty() {
            let _ = writeln!(err, "warning: {left_out}");
        }
    }

    /// The results are printed; without standard error there is no hint.
    fn print_hints(&self) {
        let mut err = anstream::stderr();
        if self.is_doubtful {
            let _ = writeln!(
                err,
                "hint: this service may not scan (these files); 'icap check' tells what it misses, \
                 and which settings of the service to change"
            );
        }
        if self.has_too_large {
            let _ = writeln!(
                err,
                "hint: --max-size sets up to which size files are scanned; run 'icap check' first: \
                 the service may call larger files clean"
            );
        }
    }

    /// A mistyped glob must not look like success, also without a summary.
    fn report_nothing(&self) -> io::Result<()> {
        let left_out = self.left_out();
        Err(io::Error::other(if left_out.is_empty() {
            "no file was scanned: there was none".to_owned()
        } else {
            format!("no file was scanned; {left_out}")
        }))
    }

    fn left_out(&self) -> MutexGuard<'_, LeftOut> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exit status of the files scanned so far. An error in `printed` makes it worse.
    pub(crate) fn status(&self, printed: io::Result<()>) -> Status {
        self.progress.end();
        if let Some(status) = self.interrupted {
            return Status::Interrupted(status);
        }
        match printed {
            Ok(()) if self.tally.is_empty() && !self.left_out().is_empty() => Status::Unsure,
            Ok(()) => self.tally.status(),
            Err(error) => {
                crate::failure::print(&error, self.format.json);
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
