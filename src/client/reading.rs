//! Calls of a caller's reader. It may be broken in any way: it may claim more bytes than it was asked for, or be
//! interrupted for ever.

use std::io::{self, Read};
use std::time::Duration;

use crate::seam::sync::sleep;

/// Bytes of content in one chunk, as long as little was sent.
pub(super) const CHUNK: usize = 64 * 1024;

/// Bytes of content in one chunk after [`MANY`] bytes, and so in memory at once. A longer chunk costs fewer system calls.
/// Beyond this size it is no longer in the processor's cache when it is written.
pub(super) const LONG_CHUNK: usize = 512 * 1024;

/// Bytes of a long chunk of content in memory that are copied, so that they leave in one write with the lines before
/// them. The others are written from where they are.
pub(super) const LEAD: usize = 16 * 1024;

/// From how many bytes on chunks are long. A server that responds early mostly does so before.
pub(super) const MANY: u64 = 1024 * 1024;

/// How long a chunk is filled by a slow reader before it is sent as it is.
pub(crate) const GATHERING: Duration = Duration::from_millis(100);

/// Interruptions in a row after which a reader has failed.
const MAX_INTERRUPTIONS: u32 = 1_000;

/// Interruptions in a row after which the read is repeated at once. A signal or two is nothing unusual.
const PROMPT_RETRIES: u32 = 10;

/// The pause before each further retry, so that a reader that is always interrupted occupies no core.
const PAUSE: Duration = Duration::from_millis(1);

/// Reads once. A count that is larger than `buf` is an error. Every call of a caller's reader goes through here.
pub(crate) fn read_once(reader: &mut (impl Read + ?Sized), buf: &mut [u8]) -> io::Result<usize> {
    let len = reader.read(buf)?;
    if len > buf.len() {
        return Err(io::Error::other(
            "the reader claims more bytes than it was asked for",
        ));
    }
    Ok(len)
}

/// Counts how often a reader was interrupted in a row.
#[derive(Debug, Default)]
pub(crate) struct Interruptions {
    in_a_row: u32,
}

impl Interruptions {
    /// Returns, perhaps after a pause, if the read may be repeated after `error`. Otherwise it is no interruption,
    /// or one too many, and is returned.
    pub(crate) fn retry(&mut self, error: io::Error) -> io::Result<()> {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        self.in_a_row += 1;
        if self.in_a_row >= MAX_INTERRUPTIONS {
            let why = format!("the reader was interrupted {MAX_INTERRUPTIONS} times in a row");
            return Err(io::Error::other(why));
        }
        if self.in_a_row > PROMPT_RETRIES {
            sleep(PAUSE);
        }
        Ok(())
    }

    /// A read succeeded.
    pub(crate) fn end(&mut self) {
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Claims(usize);

    impl Read for Claims {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(b'x');
            Ok(self.0)
        }
    }

    #[test]
    fn claim_is_compared_with_the_buffer_given() {
        for (claimed, is_taken) in [(0, true), (10, true), (11, true), (12, false)] {
            let mut buffer = [0; 64];
            let read = read_once(&mut Claims(claimed), &mut buffer[..11]);
            assert_eq!(read.is_ok(), is_taken, "{claimed}");
        }
        assert!(read_once(&mut Claims(usize::MAX), &mut [0]).is_err());
    }

    #[test]
    fn interruptions_in_a_row_are_limited() {
        let interrupted = || io::Error::from(io::ErrorKind::Interrupted);
        let mut interruptions = Interruptions::default();
        for _ in 0..2 {
            // As many are allowed again after a read that succeeded.
            interruptions.end();
            for _ in 1..MAX_INTERRUPTIONS / 20 {
                interruptions.retry(interrupted()).unwrap();
            }
        }
        interruptions.in_a_row = MAX_INTERRUPTIONS - 2;
        interruptions.retry(interrupted()).unwrap();
        let error = interruptions.retry(interrupted()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the reader was interrupted 1000 times in a row"
        );
        let other = io::Error::from(io::ErrorKind::WouldBlock);
        let error = Interruptions::default().retry(other).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
