//! Ctrl-C: what is done is printed, and then the program ends.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// As shells report a process that SIGINT has ended.
pub(crate) const EXIT_STATUS: u8 = 130;

/// The program may not be able to print, for example into a full pipe.
const TIME_TO_PRINT: Duration = Duration::from_secs(2);

/// Whether the user has pressed Ctrl-C.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Sets itself on Ctrl-C, after `clean_up`. A second Ctrl-C ends the program at once.
    pub(crate) fn on_ctrl_c(clean_up: impl Fn() + Send + 'static) -> Result<Self, ctrlc::Error> {
        let interrupt = Self::default();
        let is_set = Arc::clone(&interrupt.0);
        ctrlc::set_handler(move || {
            // Once it is set, the program may end at any time.
            clean_up();
            if is_set.swap(true, SeqCst) {
                process::exit(EXIT_STATUS.into());
            }
            thread::spawn(|| {
                thread::sleep(TIME_TO_PRINT);
                process::exit(EXIT_STATUS.into());
            });
        })?;
        Ok(interrupt)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }
}

/// Ends the program on Ctrl-C, after `clean_up`.
pub(crate) fn end_on_ctrl_c(clean_up: impl Fn() + Send + 'static) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        clean_up();
        process::exit(EXIT_STATUS.into());
    })
}
