//! `--output`: a new file that appears only when all of it is there.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempPath};

/// Where the file is to appear, and its temporary name beside that place.
#[derive(Clone)]
pub(crate) struct Place {
    path: PathBuf,
    temporary: Arc<Mutex<Temporary>>,
}

enum Temporary {
    None,
    /// Dropping it removes the file.
    Written(TempPath),
    /// The program ends. Nothing is written any more.
    Closed,
}

impl Place {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            temporary: Arc::new(Mutex::new(Temporary::None)),
        }
    }

    /// Refuses an existing file, before anything is sent.
    pub(crate) fn create(&self) -> Result<Output<'_>, String> {
        let path = &self.path;
        if path.symlink_metadata().is_ok() {
            return Err(format!(
                "cannot create {}: it exists, and --output does not overwrite",
                path.display()
            ));
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        // The lock is held before there is a file, so that no file comes after `close`.
        let mut temporary = self.temporary();
        if matches!(*temporary, Temporary::Closed) {
            return Err(self.failed(&io::ErrorKind::Interrupted.into()));
        }
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        let (file, name) = file.map_err(|error| self.failed(&error))?.into_parts();
        *temporary = Temporary::Written(name);
        Ok(Output { file, place: self })
    }

    /// Removes the temporary file, for a program that ends while a thread writes it.
    pub(crate) fn close(&self) {
        *self.temporary() = Temporary::Closed;
    }

    fn temporary(&self) -> MutexGuard<'_, Temporary> {
        self.temporary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("cannot create {}: {error}", self.path.display())
    }
}

/// A file under a temporary name. Dropping it removes it.
pub(crate) struct Output<'p> {
    file: File,
    place: &'p Place,
}

impl Output<'_> {
    /// Gives it its name. A file that has come into its place meanwhile stays.
    pub(crate) fn keep(self) -> Result<(), String> {
        let mut temporary = self.place.temporary();
        let kept = match std::mem::replace(&mut *temporary, Temporary::None) {
            Temporary::Written(name) => name
                .persist_noclobber(&self.place.path)
                .map_err(|error| error.error),
            ended => {
                *temporary = ended;
                Err(io::ErrorKind::Interrupted.into())
            }
        };
        drop(temporary);
        kept.map_err(|error| self.place.failed(&error))
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        let mut temporary = self.place.temporary();
        if matches!(*temporary, Temporary::Written(_)) {
            *temporary = Temporary::None;
        }
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
