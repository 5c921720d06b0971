//! Many files in several threads, with the results in the order of the files.
//!
//! One thread lists the files, and `jobs` threads scan them. Both channels are bounded, so memory does not grow with
//! the number of files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::entry::Entry;
use crate::files::{Files, Found};
use crate::interrupt::Interrupt;
use crate::worker::Worker;

/// How many files are scanned ahead of one that takes long.
const WINDOW: usize = 1024;

/// How often an interruption is looked for.
const TICK: Duration = Duration::from_millis(50);

/// A file, and where its result goes.
struct Job {
    found: Found,
    result: SyncSender<Entry>,
}

/// A file that was listed, and its result to come.
struct Slot {
    path: PathBuf,
    result: Receiver<Entry>,
}

/// The results of all files.
pub(crate) struct Batch {
    slots: Receiver<Slot>,
    next: Option<Slot>,
    interrupt: Interrupt,
}

/// What comes next.
pub(crate) enum Step {
    Entry(Box<Entry>),
    /// The job for this file has ended without a result.
    Lost(PathBuf),
    Interrupted,
    End,
}

impl Batch {
    /// Begins to scan. The threads end with the process.
    ///
    /// # Errors
    ///
    /// If there can be no thread. With fewer than `jobs` threads it goes on.
    pub(crate) fn start(
        files: Files,
        jobs: usize,
        worker: &Arc<Worker>,
        interrupt: Interrupt,
    ) -> io::Result<Self> {
        let (slot_sender, slots) = sync_channel(WINDOW);
        let (job_sender, job_receiver) = sync_channel(jobs);
        let job_receiver = Arc::new(Mutex::new(job_receiver));
        spawn(move || list(files, &slot_sender, &job_sender))?;
        for number in 0..jobs {
            let (jobs, worker) = (Arc::clone(&job_receiver), Arc::clone(worker));
            let interrupt = interrupt.clone();
            match spawn(move || work(&jobs, &worker, &interrupt)) {
                Err(error) if number == 0 => return Err(error),
                Err(error) => log::warn!("{number} jobs and no more: {error}"),
                Ok(()) => {}
            }
        }
        Ok(Self {
            slots,
            next: None,
            interrupt,
        })
    }

    /// Waits for the result of the next file.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            if self.interrupt.is_set() {
                return Step::Interrupted;
            }
            let Some(slot) = &self.next else {
                match self.slots.recv_timeout(TICK) {
                    Ok(slot) => self.next = Some(slot),
                    Err(RecvTimeoutError::Disconnected) if !self.interrupt.is_set() => {
                        return Step::End;
                    }
                    Err(_) => {}
                }
                continue;
            };
            match slot.result.recv_timeout(TICK) {
                Ok(entry) => {
                    self.next = None;
                    return Step::Entry(Box::new(entry));
                }
                // After an interruption the jobs end without results.
                Err(RecvTimeoutError::Disconnected) if !self.interrupt.is_set() => {
                    return self.lose();
                }
                Err(_) => {}
            }
        }
    }

    fn lose(&mut self) -> Step {
        match self.next.take() {
            Some(slot) => Step::Lost(slot.path),
            None => Step::End,
        }
    }

    /// The results that are there, without waiting, and the first file without one.
    pub(crate) fn finished(mut self) -> (Vec<Entry>, Option<PathBuf>) {
        let (mut entries, mut first) = (Vec::new(), None);
        let next = self.next.take().into_iter();
        for slot in next.chain(self.slots.try_iter().take(WINDOW)) {
            match slot.result.try_recv() {
                Ok(entry) => entries.push(entry),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => {
                    first.get_or_insert(slot.path);
                }
            }
        }
        (entries, first)
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().spawn(work).map(|_| ())
}

fn list(files: Files, slots: &SyncSender<Slot>, jobs: &SyncSender<Job>) {
    for found in files {
        let (sender, result) = sync_channel(1);
        let path: &Path = found.path();
        let slot = Slot {
            path: path.to_owned(),
            result,
        };
        let job = Job {
            found,
            result: sender,
        };
        if slots.send(slot).is_err() {
            return;
        }
        // Without a worker the job is dropped, and its file is lost: no file is left out silently.
        let _ = jobs.send(job);
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, worker: &Worker, interrupt: &Interrupt) {
    loop {
        // The lock is held while this thread waits; the others wait for the lock then.
        let Ok(Ok(job)) = jobs.lock().map(|jobs| jobs.recv()) else {
            return;
        };
        if interrupt.is_set() {
            return;
        }
        // The receiver is gone if nothing more is to be printed.
        let _ = job.result.send(worker.scan(&job.found));
    }
}
