//! Copies of the drive's files, made for a download: a file is fetched once, also if the person is asked about it or
//! wants it in ranges.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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

/// Findings that are remembered. The oldest is forgotten when there are more, so they take about 30 MB at most.
const MAX_FINDINGS: usize = 10_000;

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
            if let Err(error) = temporary.persist(&target) {
                // The copy keeps its temporary name.
                *path = error.path;
                return Err(error.error);
            }
        }
        Ok(())
    }
}

/// What is known about the files of the drive: the copies of the last minutes, and what the scanner found. A real
/// program has the findings in its database; here, a restart forgets them.
#[derive(Default)]
pub struct Copies(Mutex<Known>);

#[derive(Default)]
struct Known {
    kept: Vec<Kept>,
    /// By content, because the same content can be on the drive more than once.
    findings: HashMap<ContentDigest, Finding>,
    gates: HashMap<FileId, Weak<Mutex<()>>>,
}

struct Kept {
    copy: Arc<Copy>,
    is_clean: bool,
    since: Instant,
}

struct Finding {
    decision: Decision,
    since: Instant,
}

impl Copies {
    /// The copy of a file, and whether it was found to be clean.
    pub fn find(&self, id: &FileId) -> Option<(Arc<Copy>, bool)> {
        // Dropped after the lock is released: removing a large file takes a while.
        let mut removed = Vec::new();
        let mut known = self.lock();
        removed.extend(known.take_expired());
        let kept = known.kept.iter().find(|kept| kept.copy.id == *id)?;
        Some((Arc::clone(&kept.copy), kept.is_clean))
    }

    /// Only one request at a time fetches a file: it holds this gate.
    pub fn gate(&self, id: &FileId) -> Arc<Mutex<()>> {
        let mut known = self.lock();
        known.gates.retain(|_, gate| gate.strong_count() > 0);
        if let Some(gate) = known.gates.get(id).and_then(Weak::upgrade) {
            return gate;
        }
        let gate = Arc::default();
        known.gates.insert(id.clone(), Arc::downgrade(&gate));
        gate
    }

    /// Returns what holds for this content, and keeps its copy if it has one and is not refused.
    ///
    /// Content with a finding keeps it until a scan that began later finds the content to be clean. Otherwise an
    /// outage of the scanner, or a slow scan with old signatures, would turn a refusal into a question or a delivery.
    pub fn settle(
        &self,
        digest: &ContentDigest,
        copy: Option<&Arc<Copy>>,
        checked: Checked,
    ) -> Checked {
        let mut removed = Vec::new();
        let mut known = self.lock();
        removed.extend(known.take_expired());
        let checked = known.weigh(digest, checked);
        let (is_finding, id) = (checked.is_finding(), copy.map(|copy| &copy.id));
        removed.extend(
            known.take(|kept| {
                Some(&kept.copy.id) == id || (is_finding && kept.copy.digest == *digest)
            }),
        );
        if let (Some(copy), Decision::Deliver | Decision::Ask(_)) = (copy, &checked.decision) {
            removed.extend(known.keep(copy, checked.is_clean));
        }
        checked
    }

    pub fn len(&self) -> usize {
        let mut removed = Vec::new();
        let mut known = self.lock();
        removed.extend(known.take_expired());
        known.kept.len()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Weighs a result against what was found in the same content before.
    fn weigh(&mut self, digest: &ContentDigest, mut checked: Checked) -> Checked {
        let is_finding = checked.is_finding();
        if let Some(finding) = self.findings.get(digest) {
            let is_newer = checked.began > finding.since;
            let is_worse = matches!(finding.decision, Decision::Refuse(_)) || !is_finding;
            if checked.is_clean && is_newer {
                self.findings.remove(digest);
            } else if is_worse && !checked.is_refused() {
                checked.decision = finding.decision.clone();
                checked.is_clean = false;
            }
        }
        if is_finding {
            self.record(*digest, checked.decision.clone());
        }
        checked
    }

    fn record(&mut self, digest: ContentDigest, decision: Decision) {
        if self.findings.len() >= MAX_FINDINGS && !self.findings.contains_key(&digest) {
            let oldest = self
                .findings
                .iter()
                .min_by_key(|(_, finding)| finding.since);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                log::warn!("the finding in {oldest} is forgotten");
                self.findings.remove(&oldest);
            }
        }
        let since = Instant::now();
        self.findings.insert(digest, Finding { decision, since });
    }

    fn take_expired(&mut self) -> Vec<Kept> {
        self.take(|kept| kept.since.elapsed() >= MAX_AGE)
    }

    fn take(&mut self, is_taken: impl Fn(&Kept) -> bool) -> Vec<Kept> {
        self.kept.extract_if(.., |kept| is_taken(kept)).collect()
    }

    /// Keeps a copy, and returns the one that has to go for it.
    fn keep(&mut self, copy: &Arc<Copy>, is_clean: bool) -> Option<Kept> {
        let oldest = (self.kept.len() == MAX_COPIES).then(|| self.kept.remove(0));
        self.kept.push(Kept {
            copy: Arc::clone(copy),
            is_clean,
            since: Instant::now(),
        });
        oldest
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
