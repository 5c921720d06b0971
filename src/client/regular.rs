//! Reading a regular file with as few system calls as possible.

use std::fs::{File, Metadata};
use std::io::{self, Seek};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use super::reading::read_once;

/// A regular file that is read from its beginning, and its length by its metadata.
pub(super) struct RegularFile {
    file: File,
    length: u64,
    /// When its length was last taken from its metadata. `None`: it was just opened, and need not be a regular file.
    stamp: Option<Stamp>,
    has_moved: bool,
    /// A read has shown that it ends after `length` bytes.
    has_ended: bool,
}

/// What changes in the metadata of a file when its content does.
#[derive(PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds. A program cannot set it, as it can the time of modification.
    #[cfg(unix)]
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl RegularFile {
    /// It was just opened.
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            length: 0,
            stamp: None,
            has_moved: false,
            has_ended: false,
        }
    }

    /// Whether it is what it was when its length was found, by its metadata.
    pub(super) fn is_unchanged(&self) -> bool {
        let metadata = self.file.metadata();
        metadata.is_ok_and(|metadata| self.stamp == Some(Stamp::of(&metadata)))
    }

    /// Its length by its metadata: as it is now, if nothing was read of it yet. It may have waited long since it was
    /// opened. An error if it is no regular file.
    pub(super) fn find_length(&mut self) -> io::Result<u64> {
        if !self.has_moved {
            let metadata = self.file.metadata()?;
            check_kind(&metadata)?;
            self.length = metadata.len();
            self.stamp = Some(Stamp::of(&metadata));
        }
        Ok(self.length)
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
        if self.stamp.is_none() {
            self.find_length()?;
        }
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

/// An error for anything but a regular file.
pub(crate) fn check_kind(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file (a pipe or a device can be scanned with `Content::reader`)",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file that had `length` bytes when that was found, and has this content now.
    fn file_of(length: u64, content: &[u8]) -> RegularFile {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(length).unwrap();
        let regular = found(&file);
        file.set_len(0).unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        regular
    }

    /// The same file, of which the length was found.
    fn found(file: &File) -> RegularFile {
        let mut regular = RegularFile::new(file.try_clone().unwrap());
        regular.find_length().unwrap();
        regular
    }

    #[test]
    fn read_for_a_byte_more_shows_the_end() {
        let mut file = file_of(5, b"hello");
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
            let mut file = file_of(length, content);
            let mut buf = [0; 6];
            let len = file.read(0, &mut buf).unwrap();
            assert_eq!((len, file.has_ended()), (content.len(), false));
            assert_eq!(file.read(len as u64, &mut buf).unwrap(), 0);
            assert!(!file.has_ended());
        }
    }

    #[test]
    fn file_that_was_written_to_has_changed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        let same = found(&file);
        assert!(same.is_unchanged());
        // Times are not exact. The fault is injected with a time that differs.
        let long_ago = SystemTime::UNIX_EPOCH;
        file.set_modified(long_ago).unwrap();
        assert!(!same.is_unchanged());
        let shorter = found(&file);
        file.set_len(4).unwrap();
        assert!(!shorter.is_unchanged());
    }
}
