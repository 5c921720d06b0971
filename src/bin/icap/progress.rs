//! The progress bar of a long run.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{
    BinaryBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};

use crate::files::Files;
use crate::name::Name;
use crate::report::per_second;

/// A shorter run shows no progress bar.
const LONG: Duration = Duration::from_millis(500);

const TICK: Duration = Duration::from_millis(100);

/// A progress bar on standard error; hidden if that is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    state: Mutex<State>,
    /// When it is dropped, the thread that waits to show the bar ends.
    shown_later: Mutex<Option<Sender<()>>>,
}

enum State {
    /// One file, by its bytes.
    File(Stage),
    /// Many files: the bytes that were sent.
    Files { sent: u64 },
}

/// The stage of a scan.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    /// Content is sent; true if its length is known.
    Sending(bool),
    Waiting,
}

impl Progress {
    /// A bar for these files that appears when the run takes long.
    pub(crate) fn of(files: &Files) -> Self {
        if !io::stderr().is_terminal() {
            return Self::hidden();
        }
        let progress = Self::hidden();
        if !files.is_single() {
            *progress.state() = State::Files { sent: 0 };
            progress.bar.set_style(style_of_files());
            progress.bar.unset_length();
            count(files, &progress.bar);
        }
        let shown_later = Mutex::new(Some(show_later(progress.bar.clone())));
        Self {
            shown_later,
            ..progress
        }
    }

    pub(crate) fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            state: Mutex::new(State::File(Stage::Connecting)),
            shown_later: Mutex::new(None),
        }
    }

    /// Begins a file.
    pub(crate) fn begin(&self, name: &Name) {
        if let State::File(stage) = &mut *self.state() {
            self.bar.reset();
            self.bar.set_message(name.to_string());
            self.enter(stage, Stage::Connecting);
        }
    }

    /// Notes that content was sent: in all, of how much, and since the last time.
    pub(crate) fn update(&self, sent: u64, total: Option<u64>, new: u64) {
        let mut state = self.state();
        let stage = match &mut *state {
            State::Files { sent } => {
                *sent += new;
                let bytes = BinaryBytes(*sent);
                let rate = per_second(*sent, self.bar.elapsed().as_secs_f64().max(0.001));
                let rate = BinaryBytes(rate);
                return self.bar.set_prefix(format!("{bytes}, {rate}/s"));
            }
            State::File(stage) => stage,
        };
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.set_position(sent);
        let new = match total {
            Some(total) if sent >= total => Stage::Waiting,
            total => Stage::Sending(total.is_some()),
        };
        if new != *stage {
            self.enter(stage, new);
        }
    }

    /// Counts a file. Its name is shown beside the number.
    pub(crate) fn finish_file(&self, name: &Name) {
        if let State::Files { .. } = *self.state() {
            self.bar.set_message(name.to_string());
            self.bar.inc(1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stage: &mut Stage, new: Stage) {
        *stage = new;
        self.bar.reset_elapsed();
        self.bar.set_style(style(match new {
            Stage::Connecting => "{spinner} {wide_msg}",
            Stage::Sending(true) => {
                "{spinner} {bar:24} {binary_bytes} of {binary_total_bytes}, \
                 {binary_bytes_per_sec}, ETA {eta} {wide_msg}"
            }
            Stage::Sending(false) => "{spinner} {binary_bytes}, {binary_bytes_per_sec} {wide_msg}",
            Stage::Waiting => "{spinner} waiting for the verdict ({elapsed}) {wide_msg}",
        }));
    }

    /// Hides the bar while `print` writes to the same terminal.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        let mut shown_later = self
            .shown_later
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *shown_later = None;
        self.bar.finish_and_clear();
    }
}

/// A line with the time that has passed, for a call that does not tell how far it is. It is hidden if standard error is no
/// terminal, or if log lines go there.
pub(crate) fn busy(what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() || log::max_level() > log::LevelFilter::Warn {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_style(style("{spinner} {msg} ({elapsed})"));
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `120 of 5000 files, 3 files/s, 1.2 MiB, 30 KiB/s, ETA 20 s  NAME`
fn style_of_files() -> ProgressStyle {
    style("{spinner} {count}, {rate} files/s, {prefix}{left}  {wide_msg}")
        .with_key(
            "count",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = match state.len() {
                    Some(len) => write!(out, "{} of {len} files", state.pos()),
                    None => write!(out, "{} files", state.pos()),
                };
            },
        )
        .with_key(
            "rate",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.0}", state.per_sec());
            },
        )
        .with_key(
            "left",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                if state.len().is_some() {
                    let _ = write!(out, ", ETA {:#}", HumanDuration(state.eta()));
                }
            },
        )
}

/// Counts the files in a thread of its own, for the bar. Those that can be listed only once are not counted.
fn count(files: &Files, bar: &ProgressBar) {
    let Some(files) = files.once_more() else {
        return;
    };
    let bar = bar.clone();
    thread::spawn(move || bar.set_length(files.count() as u64));
}

fn show_later(bar: ProgressBar) -> Sender<()> {
    let (sender, over) = mpsc::channel();
    thread::spawn(move || {
        if over.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout) {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(TICK);
        }
    });
    sender
}
