//! Copies of the drive's files, made for a download: a file is fetched once, also if the person is asked about it or
//! wants it in ranges.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use icap_client::override_ticket::ContentDigest;
use tempfile::{NamedTempFile, TempPath};

use crate::storage::{FileId, Storage};

/// Copies that are kept. The oldest is removed when there are more, so they take at most this many times the size of
/// the largest file.
const MAX_COPIES: usize = 16;

/// Then a file is fetched and scanned again, because the scanner may know more.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The content of a file, as it was fetched. It is read through one handle, never by its path: what was scanned is
/// what is delivered.
pub struct Copy {
    pub id: FileId,
    pub name: String,
    pub len: u64,
    pub digest: ContentDigest,
    file: Arc<File>,
    /// Removes the file when the last request that uses it has ended.
    path: Mutex<TempPath>,
}

impl Copy {
    pub fn new(
        id: FileId,
        name: String,
        digest: ContentDigest,
        spool: NamedTempFile,
    ) -> io::Result<Self> {
        let (file, path) = spool.into_parts();
        Ok(Self {
            id,
            name,
            len: file.metadata()?.len(),
            digest,
            file: Arc::new(file),
            path: Mutex::new(path),
        })
    }

    pub fn content(&self) -> FileReader {
        self.range(0..self.len)
    }

    pub fn range(&self, range: Range<u64>) -> FileReader {
        FileReader::new(Arc::clone(&self.file), range)
    }

    /// Takes the temporary name from a copy that is delivered.
    pub fn rename(&self, storage: &Storage) -> io::Result<()> {
        let mut path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = storage.delivered(&path).filter(|target| **target != **path) {
            let temporary = mem::replace(&mut *path, TempPath::try_from_path(&target)?);
            temporary.persist(&target)?;
        }
        Ok(())
    }
}

/// The copies of the last minutes.
#[derive(Default)]
pub struct Copies(Mutex<Vec<Kept>>);

struct Kept {
    copy: Arc<Copy>,
    is_clean: bool,
    since: Instant,
}

impl Copies {
    /// The copy of a file, and whether it was found to be clean.
    pub fn find(&self, id: &FileId) -> Option<(Arc<Copy>, bool)> {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copies.retain(|kept| kept.since.elapsed() < MAX_AGE);
        let kept = copies.iter().find(|kept| kept.copy.id == *id)?;
        Some((Arc::clone(&kept.copy), kept.is_clean))
    }

    pub fn keep(&self, copy: &Arc<Copy>, is_clean: bool) {
        self.forget(&copy.id);
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if copies.len() == MAX_COPIES {
            copies.remove(0);
        }
        copies.push(Kept {
            copy: Arc::clone(copy),
            is_clean,
            since: Instant::now(),
        });
    }

    pub fn forget(&self, id: &FileId) {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copies.retain(|kept| kept.copy.id != *id);
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Reads a part of a file at a position of its own, so that several requests share one handle.
pub struct FileReader {
    file: Arc<File>,
    begin: u64,
    position: u64,
    end: u64,
}

impl FileReader {
    pub fn new(file: Arc<File>, range: Range<u64>) -> Self {
        Self {
            file,
            begin: range.start,
            position: range.start,
            end: range.end,
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.position);
        let wanted = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = read_at(&self.file, &mut buffer[..wanted], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => self.begin.checked_add(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.end.checked_add_signed(offset),
        };
        let position = position.filter(|&position| position >= self.begin);
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position - self.begin)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, position)
}
