//! Content that a test controls.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, Sender};

/// `len` bytes, in a period that no size of a buffer is a multiple of.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..=250).collect();
    let mut pattern = period.repeat(len / period.len() + 1);
    pattern.truncate(len);
    pattern
}

/// Content without bytes that reports its first read, and ends when it is released.
pub(crate) struct Holds {
    begins: Sender<()>,
    end: Option<Receiver<()>>,
}

/// The test's side of [`Holds`]. Dropping it releases the content.
pub(crate) struct Hold {
    begun: Receiver<()>,
    _ends: Sender<()>,
}

pub(crate) fn holding() -> (Holds, Hold) {
    let (begins, begun) = mpsc::channel();
    let (ends, end) = mpsc::channel();
    let holds = Holds {
        begins,
        end: Some(end),
    };
    (holds, Hold { begun, _ends: ends })
}

impl Hold {
    /// Waits for the first read.
    pub(crate) fn await_read(&self) {
        self.begun.recv().expect("the content is read");
    }
}

impl Read for Holds {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        if let Some(end) = self.end.take() {
            let _ = self.begins.send(());
            let _ = end.recv();
        }
        Ok(0)
    }
}
