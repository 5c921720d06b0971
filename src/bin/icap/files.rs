//! Which files the arguments stand for.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

/// One thing to scan, or why it cannot be.
#[derive(Debug)]
pub(crate) enum Found {
    StandardInput,
    /// An argument: whatever can be read, also a pipe.
    Named(PathBuf),
    /// A regular file in a directory.
    File(PathBuf),
    Unreadable(PathBuf, io::Error),
}

/// The files the arguments stand for, in the order they were given; directories sorted by name.
///
/// A symbolic link given as an argument is followed, and a pipe is read. Inside of directories links are
/// passed over, and so is everything else that is neither file nor directory: a pipe would be waited for for
/// ever.
pub(crate) struct Files {
    /// What is still to come, the next one last.
    stack: Vec<Pending>,
    recursive: bool,
}

enum Pending {
    Argument(PathBuf),
    Directory(PathBuf),
    Found(Found),
}

impl Files {
    /// The arguments may name standard input once: the second time it would be empty, and clean.
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

    /// Puts what is in a directory next.
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
                    let error = io::Error::other("it is a directory (scan -r takes what is in it)");
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
            log::info!("passed over, neither a file nor a directory: {path:?}");
            None
        }
        Err(error) => Some(Pending::Found(Found::Unreadable(path, error))),
    }
}
