//! The drive: files under names that the gateway chose. It stands for the storage of a real program.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use crate::names;
use crate::sessions::random_text;

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
}

impl Storage {
    /// What an earlier run left of the copies is removed.
    pub fn open(data: &Path, max_files: usize) -> io::Result<Self> {
        fs::create_dir_all(data)?;
        let data = data.canonicalize()?;
        let storage = Self {
            drive: data.join("drive"),
            spool: data.join("spool"),
            delivered: data.join("delivered"),
            max_files,
        };
        for folder in [&storage.spool, &storage.delivered] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
        for folder in [&storage.drive, &storage.spool, &storage.delivered] {
            fs::create_dir_all(folder)?;
        }
        Ok(storage)
    }

    /// An empty file under a temporary name. Dropping it removes it. Only this user can read it.
    pub fn spool(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::with_suffix_in(".part", &self.spool)
    }

    /// Where a copy goes when it is delivered.
    pub fn delivered(&self, copy: &Path) -> Option<PathBuf> {
        Some(self.delivered.join(copy.with_extension("").file_name()?))
    }

    /// Gives a spooled file its place on the drive. The content comes last, so a file is never there in part.
    pub fn store(&self, spooled: NamedTempFile, name: &str) -> io::Result<FileId> {
        if self.list()?.len() >= self.max_files {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = FileId(random_text()?);
        spooled.as_file().sync_all()?;
        fs::write(self.drive.join(format!("{}.name", id.0)), name)?;
        spooled.persist_noclobber(self.drive.join(&id.0))?;
        Ok(id)
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
            let metadata = entry.metadata()?;
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
