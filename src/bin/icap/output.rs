//! `--output`: a new file that appears only when all of it is there.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file under a temporary name beside its place. Dropping it removes it.
pub(crate) struct Output {
    file: NamedTempFile,
    path: PathBuf,
}

impl Output {
    /// Refuses an existing file, before anything is sent.
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let failed = |error| format!("cannot create {}: {error}", path.display());
        if path.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Gives it its name. A file that has come into its place meanwhile stays.
    pub(crate) fn keep(self) -> Result<(), String> {
        let Self { file, path } = self;
        let kept = file.persist_noclobber(&path).map(|_| ());
        kept.map_err(|error| format!("cannot create {}: {}", path.display(), error.error))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
