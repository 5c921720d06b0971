//! The drive: files under names that the gateway chose. It stands for the storage of a real program.

use std::cmp::Reverse;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tempfile::{Builder, NamedTempFile};

use crate::names;
use crate::sessions::random_text;

/// In the folder of the data. It shows that the folder is a gateway's, and the gateway that uses it holds its lock.
const LOCK: &str = "gateway.lock";

/// How the name of a copy begins, and how it ends until the copy is delivered.
const COPY: &str = "gateway-";
const TEMPORARY: &str = ".part";

/// The number of a file. It is 32 hexadecimal digits, so it cannot lead out of the drive's folder. The content of a
/// number never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileId(String);

impl FileId {
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file in the list of the drive.
pub struct Entry {
    pub id: FileId,
    pub name: String,
    pub len: u64,
    stored: SystemTime,
}

pub struct Storage {
    /// Files that people have stored: ID has the content, ID.name the name.
    drive: PathBuf,
    /// Files that are being received or checked, under temporary names.
    spool: PathBuf,
    /// Copies that were delivered.
    delivered: PathBuf,
    max_files: usize,
    /// One upload at a time counts the files and adds one.
    adding: Mutex<()>,
    _lock: File,
}

impl Storage {
    /// What an earlier run left of the copies is removed.
    ///
    /// A folder that another gateway uses, or that has files of something else, is an error.
    pub fn open(data: &Path, max_files: usize) -> io::Result<Self> {
        fs::create_dir_all(data)?;
        let data = data.canonicalize()?;
        let lock = lock(&data)?;
        let storage = Self {
            drive: data.join("drive"),
            spool: data.join("spool"),
            delivered: data.join("delivered"),
            max_files,
            adding: Mutex::default(),
            _lock: lock,
        };
        for folder in [&storage.drive, &storage.spool, &storage.delivered] {
            fs::create_dir_all(folder)?;
        }
        for folder in [&storage.spool, &storage.delivered] {
            remove_files(folder, |name| name.starts_with(COPY))?;
        }
        // A crash between the name of a file and its content.
        remove_files(&storage.drive, |name| {
            let id = name.strip_suffix(".name").and_then(FileId::parse);
            id.is_some_and(|id| !storage.drive.join(id.0).exists())
        })?;
        Ok(storage)
    }

    /// An empty file under a temporary name. Dropping it removes it. Only this user can read it.
    pub fn spool(&self) -> io::Result<NamedTempFile> {
        let mut copy = Builder::new();
        copy.prefix(COPY).suffix(TEMPORARY).tempfile_in(&self.spool)
    }

    /// Where a copy goes when it is delivered.
    pub fn delivered(&self, copy: &Path) -> Option<PathBuf> {
        Some(self.delivered.join(copy.with_extension("").file_name()?))
    }

    /// Gives a spooled file its place on the drive. The content comes last, so a file is never there in part.
    pub fn store(&self, spooled: NamedTempFile, name: &str) -> io::Result<FileId> {
        spooled.as_file().sync_all()?;
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if self.list()?.len() >= self.max_files {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = FileId(random_text()?);
        let name_file = self.drive.join(format!("{}.name", id.0));
        let stored = fs::write(&name_file, name).and_then(|()| {
            spooled.persist_noclobber(self.drive.join(&id.0))?;
            Ok(id)
        });
        if stored.is_err() {
            let _ = fs::remove_file(&name_file);
        }
        stored
    }

    /// Opens a file of the drive; `None` if there is none with this number.
    pub fn fetch(&self, id: &FileId) -> io::Result<Option<(File, String)>> {
        match File::open(self.drive.join(&id.0)) {
            Ok(file) => Ok(Some((file, self.name(id)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All files, the newest first.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.drive)? {
            let entry = entry?;
            let Some(id) = entry.file_name().to_str().and_then(FileId::parse) else {
                continue;
            };
            let metadata = match entry.metadata() {
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            entries.push(Entry {
                name: self.name(&id),
                id,
                len: metadata.len(),
                stored: metadata.modified()?,
            });
        }
        entries.sort_by_key(|entry| Reverse(entry.stored));
        Ok(entries)
    }

    fn name(&self, id: &FileId) -> String {
        let name = fs::read_to_string(self.drive.join(format!("{}.name", id.0)));
        names::safe(&name.unwrap_or_default())
    }
}

/// Takes the lock of a folder that is empty or a gateway's. The system releases it when the program ends.
fn lock(data: &Path) -> io::Result<File> {
    let path = data.join(LOCK);
    if !path.exists() && fs::read_dir(data)?.next().is_some() {
        let why = format!("{} has files, and they are no gateway's", data.display());
        return Err(io::Error::other(why));
    }
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            let why = format!("another gateway uses {}", data.display());
            Err(io::Error::other(why))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn remove_files(folder: &Path, is_removed: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&is_removed) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_something_else_is_refused() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("spool")).unwrap();
        fs::write(data.path().join("spool/mail"), "hello").unwrap();
        let error = Storage::open(data.path(), 1).err().unwrap();
        assert!(error.to_string().contains("no gateway's"), "{error}");
        assert!(data.path().join("spool/mail").exists());
        assert!(!data.path().join(LOCK).exists());
    }

    #[test]
    fn folder_of_another_gateway_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let first = Storage::open(data.path(), 1).unwrap();
        let copy = first.spool().unwrap();
        let error = Storage::open(data.path(), 1).err().unwrap();
        assert!(error.to_string().contains("another gateway"), "{error}");
        assert!(copy.path().exists());
        drop(first);
        assert!(Storage::open(data.path(), 1).is_ok());
    }

    #[test]
    fn start_removes_only_what_a_gateway_left() {
        let data = tempfile::tempdir().unwrap();
        let first = Storage::open(data.path(), 1).unwrap();
        let (_, copy) = first.spool().unwrap().keep().unwrap();
        let delivered = first.delivered(&copy).unwrap();
        fs::write(&delivered, "hello").unwrap();
        let foreign = data.path().join("spool/mail");
        fs::write(&foreign, "hello").unwrap();
        let name = first.drive.join(format!("{}.name", "0".repeat(32)));
        fs::write(&name, "a.txt").unwrap();
        let id = first.store(first.spool().unwrap(), "b.txt").unwrap();
        drop(first);
        let second = Storage::open(data.path(), 1).unwrap();
        assert!(!copy.exists() && !delivered.exists() && !name.exists());
        assert!(foreign.exists());
        assert_eq!(second.fetch(&id).unwrap().unwrap().1, "b.txt");
    }
}
