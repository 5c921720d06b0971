//! The progress bar of a long run.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A shorter run shows no progress bar.
const LONG: Duration = Duration::from_millis(500);

const TICK: Duration = Duration::from_millis(100);

/// A progress bar on standard error; hidden if that is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    stage: Mutex<Stage>,
    /// When it is dropped, the thread that waits to show the bar ends.
    _shown_later: Option<Sender<()>>,
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
    /// A bar that appears when the run takes long.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::hidden();
        let shown_later = io::stderr().is_terminal().then(|| show_later(bar.clone()));
        Self {
            bar,
            stage: Mutex::new(Stage::Connecting),
            _shown_later: shown_later,
        }
    }

    pub(crate) fn hidden() -> Self {
        let stage = Mutex::new(Stage::Connecting);
        Self {
            bar: ProgressBar::hidden(),
            stage,
            _shown_later: None,
        }
    }

    /// Begins a file.
    pub(crate) fn begin(&self, name: &str) {
        self.bar.reset();
        self.bar.set_message(name.to_owned());
        self.enter(Stage::Connecting);
    }

    /// The callback for [`Content::progress`](icap_client::Content::progress).
    pub(crate) fn update(&self, sent: u64, total: Option<u64>) {
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.set_position(sent);
        let stage = match total {
            Some(total) if sent >= total => Stage::Waiting,
            total => Stage::Sending(total.is_some()),
        };
        if stage != *self.stage() {
            self.enter(stage);
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, stage: Stage) {
        *self.stage() = stage;
        self.bar.reset_elapsed();
        let template = match stage {
            Stage::Connecting => "{spinner} {wide_msg}",
            Stage::Sending(true) => {
                "{spinner} {bar:24} {binary_bytes} of {binary_total_bytes} {wide_msg}"
            }
            Stage::Sending(false) => "{spinner} {binary_bytes} {wide_msg}",
            Stage::Waiting => "{spinner} waiting for the verdict ({elapsed}) {wide_msg}",
        };
        let style = ProgressStyle::with_template(template);
        self.bar
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }

    /// Hides the bar while `print` writes to the same terminal.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
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
