//! The files that the arguments name.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

/// One thing to scan, or why it cannot be scanned.
#[derive(Debug)]
pub(crate) enum Found {
    StandardInput,
    /// An argument. It may be a pipe.
    Named(PathBuf),
    /// A regular file in a directory.
    File(PathBuf),
    Unreadable(PathBuf, io::Error),
}

/// The files that the arguments name, in their order. The files in a directory are sorted by name.
///
/// A symbolic link and a pipe are read if they are arguments. In directories both are left out, as everything that
/// is neither a file nor a directory: reading a pipe may wait for ever.
pub(crate) struct Files {
    /// The files to come. The next one is the last.
    stack: Vec<Pending>,
    recursive: bool,
}

enum Pending {
    Argument(PathBuf),
    Directory(PathBuf),
    Found(Found),
}

impl Files {
    /// Refuses standard input as a second argument: it would be empty then, and clean.
    pub(crate) fn of(arguments: &[PathBuf], recursive: bool) -> Result<Self, &'static str> {
        if arguments
            .iter()
            .filter(|path| is_standard_input(path))
            .count()
            > 1
        {
            return Err("standard input (-) can be scanned only once");
        }
        let stack = arguments
            .iter()
            .rev()
            .cloned()
            .map(Pending::Argument)
            .collect();
        Ok(Self { stack, recursive })
    }

    /// Makes the entries of a directory the next ones.
    fn enter(&mut self, directory: &Path) {
        match sorted_entries(directory) {
            Ok(entries) => self.stack.extend(entries.iter().rev().filter_map(pending)),
            Err(error) => {
                self.stack.push(Pending::Found(Found::Unreadable(
                    directory.to_owned(),
                    error,
                )));
            }
        }
    }
}

impl Iterator for Files {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            match self.stack.pop()? {
                Pending::Found(found) => return Some(found),
                Pending::Argument(path) if is_standard_input(&path) => {
                    return Some(Found::StandardInput);
                }
                Pending::Argument(path) if !path.is_dir() => return Some(Found::Named(path)),
                Pending::Argument(path) if !self.recursive => {
                    let error =
                        io::Error::other("it is a directory (scan -r scans the files in it)");
                    return Some(Found::Unreadable(path, error));
                }
                Pending::Argument(path) | Pending::Directory(path) => self.enter(&path),
            }
        }
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn sorted_entries(directory: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn pending(entry: &DirEntry) -> Option<Pending> {
    let path = entry.path();
    match entry.file_type() {
        Ok(kind) if kind.is_dir() => Some(Pending::Directory(path)),
        Ok(kind) if kind.is_file() => Some(Pending::Found(Found::File(path))),
        Ok(_) => {
            log::info!("left out, because it is neither a file nor a directory: {path:?}");
            None
        }
        Err(error) => Some(Pending::Found(Found::Unreadable(path, error))),
    }
}
