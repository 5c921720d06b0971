//! The copy of content in a spool that may have other bytes around it.

use std::io::{self, Read, Seek, SeekFrom};

use crate::client::reading::read_once;

/// Reads `len` bytes of a spool, beginning at `start`, which is position 0 here.
pub(super) struct SpooledCopy<'s, S> {
    spool: &'s mut S,
    start: u64,
    len: u64,
    position: u64,
}

impl<'s, S> SpooledCopy<'s, S> {
    /// The spool stands anywhere: seek before the first read.
    pub(super) fn new(spool: &'s mut S, start: u64, len: u64) -> Self {
        Self {
            spool,
            start,
            len,
            position: 0,
        }
    }
}

impl<S: Read> Read for SpooledCopy<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.position);
        let room = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        if room == 0 {
            return Ok(0);
        }
        let len = read_once(self.spool, &mut buf[..room])?;
        self.position += len as u64;
        Ok(len)
    }
}

impl<S: Seek> Seek for SpooledCopy<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let in_spool = position.and_then(|position| position.checked_add(self.start));
        let (Some(position), Some(in_spool)) = (position, in_spool) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.spool.seek(SeekFrom::Start(in_spool))?;
        self.position = position;
        Ok(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn bytes_around_the_copy_are_not_read() {
        let mut spool = Cursor::new(b"before copy after");
        let mut copy = SpooledCopy::new(&mut spool, 7, 4);
        assert_eq!(copy.seek(SeekFrom::Start(0)).unwrap(), 0);
        assert_eq!(io::read_to_string(&mut copy).unwrap(), "copy");
        assert_eq!(copy.stream_position().unwrap(), 4);
        assert_eq!(copy.seek(SeekFrom::End(-2)).unwrap(), 2);
        assert_eq!(io::read_to_string(&mut copy).unwrap(), "py");
        assert_eq!(copy.seek(SeekFrom::Start(100)).unwrap(), 100);
        assert_eq!(io::read_to_string(&mut copy).unwrap(), "");
        assert!(copy.seek(SeekFrom::Current(-101)).is_err());
        assert!(copy.seek(SeekFrom::Start(u64::MAX)).is_err());
    }
}
