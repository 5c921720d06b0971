//! Standard input and pipes can be read only once, but their scan may take more than one attempt.

use std::io::{self, Read};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that are kept for the next attempt. The library reads as many before it sends any.
const KEPT: usize = 64 * 1024;

/// A stream, and the bytes that were read of it.
pub(crate) struct Once<R>(Mutex<State<R>>);

struct State<R> {
    stream: R,
    kept: Vec<u8>,
    /// More bytes were read than are kept.
    is_past: bool,
    /// A pipe can have more bytes after its end, from another writer.
    has_ended: bool,
}

impl<R: Read> Once<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self(Mutex::new(State {
            stream,
            kept: Vec::new(),
            is_past: false,
            has_ended: false,
        }))
    }

    /// A reader of the stream from its beginning.
    pub(crate) fn attempt(&self) -> Attempt<'_, R> {
        let position = 0;
        Attempt {
            once: self,
            position,
        }
    }

    /// Whether all bytes that were read are kept. Otherwise the rest would be taken for all of the stream.
    pub(crate) fn can_be_read_again(&self) -> bool {
        !self.state().is_past
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a stream from its beginning.
pub(crate) struct Attempt<'o, R> {
    once: &'o Once<R>,
    position: usize,
}

impl<R: Read> Read for Attempt<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.once.state();
        if let Some(mut kept @ [_, ..]) = state.kept.get(self.position..) {
            let len = kept.read(buf)?;
            self.position += len;
            return Ok(len);
        }
        if state.has_ended || buf.is_empty() {
            return Ok(0);
        }
        let len = state.stream.read(buf)?;
        state.has_ended = len == 0;
        if !state.is_past && len <= KEPT - state.kept.len() {
            state.kept.extend_from_slice(&buf[..len]);
            self.position += len;
        } else {
            state.is_past = true;
        }
        Ok(len)
    }
}

/// Refuses a standard input that was closed: Rust opens /dev/null in its place, which would be empty, and so clean.
pub(crate) fn refuse_closed_input() -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |path| {
            std::fs::metadata(path)
                .ok()
                .map(|it| (it.rdev(), it.file_type()))
        };
        let input = device("/dev/stdin");
        if input.is_some() && input == device("/dev/null") {
            return Err(io::Error::other(
                "standard input is closed, or it is /dev/null",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_read_again_if_all_of_it_is_kept() {
        for (len, can_be_read_again) in [(0, true), (3, true), (KEPT, true), (KEPT + 1, false)] {
            let content: Vec<u8> = (0..=250).cycle().take(len).collect();
            let once = Once::new(&content[..]);
            for _ in 0..2 {
                let mut read = Vec::new();
                once.attempt().read_to_end(&mut read).unwrap();
                assert!(read == content, "{len}");
                assert_eq!(once.can_be_read_again(), can_be_read_again, "{len}");
                if !can_be_read_again {
                    break;
                }
            }
        }
    }

    #[test]
    fn stream_has_one_end() {
        /// Has a byte, an end, and more.
        struct Reopened(u8);
        impl Read for Reopened {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                buf[0] = b'x';
                Ok(usize::from(self.0 != 2))
            }
        }
        let once = Once::new(Reopened(0));
        for _ in 0..2 {
            assert_eq!(io::read_to_string(once.attempt()).unwrap(), "x");
        }
    }
}
