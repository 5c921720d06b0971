//! Reading a pipe within a time: opening one and reading from it may wait for ever.

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

const PIECE: usize = 64 * 1024;

/// What a thread has read from a pipe.
enum Piece {
    Bytes(Vec<u8>),
    End,
    Failed(io::Error),
}

/// A reader of a pipe. When its time is up, it fails. The thread that waits for the pipe then stays until the process
/// ends.
pub(crate) struct Pump {
    pieces: Mutex<Receiver<Piece>>,
    piece: io::Cursor<Vec<u8>>,
    began: Instant,
    limit: Option<Duration>,
    has_ended: bool,
}

impl Pump {
    /// Opens a pipe in a thread of its own. `None` is no limit.
    pub(crate) fn start<R: Read>(
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
        limit: Option<Duration>,
    ) -> Self {
        let (sender, pieces) = sync_channel(1);
        thread::spawn(move || {
            let last = match open().and_then(|pipe| pass_on(pipe, &sender)) {
                Ok(()) => Piece::End,
                Err(error) => Piece::Failed(error),
            };
            // The scan may have ended before its input did.
            let _ = sender.send(last);
        });
        Self {
            pieces: Mutex::new(pieces),
            piece: io::Cursor::default(),
            began: Instant::now(),
            limit,
            has_ended: false,
        }
    }

    /// Without [`Piece::End`] it is no end: the thread may have panicked.
    fn next_piece(&mut self) -> io::Result<Piece> {
        let pieces = self.pieces.get_mut().map_err(|_| lost())?;
        let Some(limit) = self.limit else {
            return pieces.recv().map_err(|_| lost());
        };
        let left = limit.saturating_sub(self.began.elapsed());
        pieces.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => late(limit),
            RecvTimeoutError::Disconnected => lost(),
        })
    }
}

impl Read for Pump {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.piece.read(buffer)?;
            if len > 0 || self.has_ended || buffer.is_empty() {
                return Ok(len);
            }
            match self.next_piece()? {
                Piece::Bytes(bytes) => self.piece = io::Cursor::new(bytes),
                Piece::End => self.has_ended = true,
                Piece::Failed(error) => return Err(error),
            }
        }
    }
}

fn pass_on(mut pipe: impl Read, pieces: &SyncSender<Piece>) -> io::Result<()> {
    loop {
        let mut bytes = vec![0; PIECE];
        let len = match pipe.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        bytes.truncate(len);
        if pieces.send(Piece::Bytes(bytes)).is_err() {
            return Ok(());
        }
    }
}

fn late(limit: Duration) -> io::Error {
    let text = format!(
        "the pipe had no end within {} ms (--deadline)",
        limit.as_millis()
    );
    io::Error::new(io::ErrorKind::TimedOut, text)
}

fn lost() -> io::Error {
    io::Error::other("the pipe was not read to its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipe_is_read_to_its_end() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * PIECE + 1).collect();
        let input = io::Cursor::new(bytes.clone());
        let mut pump = Pump::start(move || Ok(input), None);
        let mut read = Vec::new();
        pump.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        assert_eq!(pump.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn pipe_without_an_end_is_an_error() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let open = move || -> io::Result<io::Empty> {
            let _ = held.recv();
            panic!("a pipe that breaks")
        };
        let mut pump = Pump::start(open, Some(Duration::from_millis(1)));
        let error = pump.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        pump.limit = None;
        drop(hold);
        assert!(pump.read(&mut [0]).is_err());
    }

    #[test]
    fn pipe_that_cannot_be_opened_is_an_error() {
        let open = || Err::<io::Empty, _>(io::ErrorKind::PermissionDenied.into());
        let error = Pump::start(open, None).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
