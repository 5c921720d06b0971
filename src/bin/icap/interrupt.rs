//! Ctrl-C, SIGTERM and SIGHUP: what is done is printed, and then the program ends.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts;
use signal_hook::flag;

/// The signals that end the program.
const SIGNALS: &[i32] = &[
    consts::SIGINT,
    consts::SIGTERM,
    #[cfg(unix)]
    consts::SIGHUP,
];

/// The program may not be able to print, for example into a full pipe.
const TIME_TO_PRINT: Duration = Duration::from_secs(2);

/// How often a signal is looked for.
const TICK: Duration = Duration::from_millis(20);

/// The exit status for a signal, as shells report it: 130 after Ctrl-C. 0 before a signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Sets itself on a signal, after `clean_up`. A second signal ends the program at once.
    pub(crate) fn on_signal(clean_up: impl Fn() + Send + 'static) -> io::Result<Self> {
        let signals = Signals::catch()?;
        let interrupt = Self::default();
        let status = Arc::clone(&interrupt.0);
        spawn(move || {
            let signal = signals.wait(None).unwrap_or_default();
            // Once the status is set, the program may end at any time.
            clean_up();
            status.store(exit_status(signal), SeqCst);
            signals.wait(Some(TIME_TO_PRINT));
            end(signal);
        })?;
        Ok(interrupt)
    }

    /// The exit status, if there was a signal.
    pub(crate) fn exit_status(&self) -> Option<u8> {
        let status = u8::try_from(self.0.load(SeqCst)).unwrap_or(u8::MAX);
        (status > 0).then_some(status)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.exit_status().is_some()
    }
}

/// Ends the program on a signal, after `clean_up`.
pub(crate) fn end_on_signal(clean_up: impl Fn() + Send + 'static) -> io::Result<()> {
    let signals = Signals::catch()?;
    spawn(move || {
        let signal = signals.wait(None).unwrap_or_default();
        clean_up();
        end(signal);
    })
}

/// The last signal that came, or 0.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn catch() -> io::Result<Self> {
        let last = Arc::default();
        for &signal in SIGNALS {
            // So that `nohup` works, and Ctrl-C does not end what a script has started with `&`.
            if !is_ignored(signal) {
                flag::register_usize(signal, Arc::clone(&last), number(signal))?;
            }
        }
        Ok(Self(last))
    }

    /// Waits for a signal, but no longer than this.
    fn wait(&self, longest: Option<Duration>) -> Option<usize> {
        let began = Instant::now();
        loop {
            match self.0.swap(0, SeqCst) {
                0 if longest.is_some_and(|longest| began.elapsed() >= longest) => return None,
                0 => thread::sleep(TICK),
                signal => return Some(signal),
            }
        }
    }
}

fn number(signal: i32) -> usize {
    usize::try_from(signal).unwrap_or_default()
}

fn exit_status(signal: usize) -> usize {
    128 + signal
}

fn end(signal: usize) -> ! {
    process::exit(i32::try_from(exit_status(signal)).unwrap_or(i32::MAX))
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().spawn(work).map(|_| ())
}

/// Whether the program was started with this signal ignored. Only Linux tells it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number(signal) - 1) & 1 == 1)
}
