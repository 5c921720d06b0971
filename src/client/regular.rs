//! Reading a regular file with as few system calls as possible.

use std::fs::File;
use std::io::{self, Seek};

use super::reading::read_once;

/// A regular file that is read from its beginning, and its length by its metadata, which is not 0.
pub(super) struct RegularFile {
    file: File,
    length: u64,
    has_moved: bool,
    /// A read has shown that it ends after `length` bytes.
    has_ended: bool,
}

impl RegularFile {
    /// It was just opened.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self {
            file,
            length,
            has_moved: false,
            has_ended: false,
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether a read has shown that it has no more bytes than its metadata said.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Reads once; `position` bytes were read before.
    ///
    /// A read of a regular file returns less than it was asked for only at the end of the file. So if a caller asks
    /// for a byte more than there should be, this read shows the end, and none that returns nothing is needed. If the
    /// file has grown, that byte comes.
    pub(super) fn read(&mut self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.has_moved = true;
        let len = read_once(&mut self.file, buf)?;
        self.has_ended = len < buf.len() && position + len as u64 == self.length;
        Ok(len)
    }

    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.has_ended = false;
        if self.has_moved {
            self.file.rewind()?;
            self.has_moved = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file with this content, opened for reading and for writing.
    fn file_of(content: &[u8]) -> (File, File) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = file.reopen().unwrap();
        writer.write_all(content).unwrap();
        (file.reopen().unwrap(), writer)
    }

    #[test]
    fn read_for_a_byte_more_shows_the_end() {
        let (file, _writer) = file_of(b"hello");
        let mut file = RegularFile::new(file, 5);
        for _ in 0..2 {
            let mut buf = [0; 6];
            assert_eq!(file.read(0, &mut buf[..5]).unwrap(), 5);
            assert!(!file.has_ended(), "it may have grown");
            file.rewind().unwrap();
            assert_eq!(file.read(0, &mut buf).unwrap(), 5);
            assert!(file.has_ended());
            file.rewind().unwrap();
            assert!(!file.has_ended());
        }
    }

    #[test]
    fn file_that_has_grown_or_shrunk_has_not_ended() {
        for (content, length) in [(&b"hello!"[..], 5), (b"hell", 5)] {
            let (file, _writer) = file_of(content);
            let mut file = RegularFile::new(file, length);
            let mut buf = [0; 6];
            let len = file.read(0, &mut buf).unwrap();
            assert_eq!((len, file.has_ended()), (content.len(), false));
            assert_eq!(file.read(len as u64, &mut buf).unwrap(), 0);
            assert!(!file.has_ended());
        }
    }
}
