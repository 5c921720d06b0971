//! Copies of the drive's files, made for a download: a file is fetched once, also if the person is asked about it or
//! wants it in ranges.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use icap_client::Decision;
use icap_client::override_ticket::ContentDigest;
use tempfile::{NamedTempFile, TempPath};

use crate::check::Checked;
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

/// What is known about the files of the drive: the copies of the last minutes, and what the scanner objected to. A
/// real program has the objections in its database.
#[derive(Default)]
pub struct Copies(Mutex<Known>);

#[derive(Default)]
struct Known {
    kept: Vec<Kept>,
    objections: HashMap<FileId, Decision>,
}

struct Kept {
    copy: Arc<Copy>,
    is_clean: bool,
    since: Instant,
}

impl Copies {
    /// The copy of a file, and whether it was found to be clean.
    pub fn find(&self, id: &FileId) -> Option<(Arc<Copy>, bool)> {
        let mut known = self.lock();
        known.kept.retain(|kept| kept.since.elapsed() < MAX_AGE);
        let kept = known.kept.iter().find(|kept| kept.copy.id == *id)?;
        Some((Arc::clone(&kept.copy), kept.is_clean))
    }

    /// Keeps a copy, if its file is not refused, and returns what holds for the file.
    ///
    /// An infected file stays infected until the scanner finds it to be clean. Otherwise an outage of the scanner
    /// would turn a refusal into a question.
    pub fn settle(&self, copy: &Arc<Copy>, mut checked: Checked) -> Checked {
        let mut known = self.lock();
        if checked.is_clean {
            known.objections.remove(&copy.id);
        } else if checked.is_objection() {
            let objection = checked.decision.clone();
            known.objections.insert(copy.id.clone(), objection);
        } else if let Some(objection) = known.objections.get(&copy.id) {
            checked.decision = objection.clone();
        }
        known.kept.retain(|kept| kept.copy.id != copy.id);
        if matches!(checked.decision, Decision::Deliver | Decision::Ask(_)) {
            known.keep(copy, checked.is_clean);
        }
        checked
    }

    pub fn len(&self) -> usize {
        self.lock().kept.len()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn keep(&mut self, copy: &Arc<Copy>, is_clean: bool) {
        if self.kept.len() == MAX_COPIES {
            self.kept.remove(0);
        }
        self.kept.push(Kept {
            copy: Arc::clone(copy),
            is_clean,
            since: Instant::now(),
        });
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
        if read == 0 && wanted > 0 {
            // The file has become shorter. What was read is not the file.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
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
