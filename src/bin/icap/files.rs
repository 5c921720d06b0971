//! The files that the arguments name.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use walkdir::{DirEntry, WalkDir};

use crate::globs::Globs;
use crate::left_out::{Kind, LeftOut};
use crate::list::List;

/// One thing to scan, or why it cannot be scanned.
#[derive(Debug)]
pub(crate) enum Found {
    StandardInput,
    /// An argument. It may be a pipe.
    Named(PathBuf),
    /// A file in a directory or in a list. Only a regular file is scanned.
    File(PathBuf),
    Unreadable(PathBuf, io::Error),
}

impl Found {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::StandardInput => Path::new("-"),
            Self::Named(path) | Self::File(path) | Self::Unreadable(path, _) => path,
        }
    }
}

/// The files that the arguments name, in their order. The files in a directory are sorted by name.
///
/// A symbolic link and a pipe are read if they are arguments. In directories both are left out, as everything that
/// is neither a file nor a directory: reading a pipe may wait for ever.
///
/// In memory are the names of the directories on the way to a file, each with all its entries.
pub(crate) struct Files {
    arguments: VecDeque<PathBuf>,
    list: Option<List>,
    walk: Option<walkdir::IntoIter>,
    /// The directory that is walked.
    root: PathBuf,
    recursive: bool,
    globs: Globs,
    left_out: Arc<Mutex<LeftOut>>,
    /// There is an argument, or the list has a name.
    has_name: Arc<AtomicBool>,
}

impl Files {
    /// Refuses standard input as a second argument: it would be empty then, and clean.
    pub(crate) fn of(arguments: &[PathBuf], recursive: bool) -> Result<Self, String> {
        let mut inputs = arguments.iter().filter(|path| is_standard_input(path));
        if inputs.next().is_some() && fs::symlink_metadata("-").is_ok() {
            return Err(
                "- is standard input, but there is also a file of this name: write ./- for the file, \
                 or /dev/stdin for standard input"
                    .to_owned(),
            );
        }
        if inputs.next().is_some() {
            return Err("standard input (-) can be scanned only once".to_owned());
        }
        Ok(Self {
            arguments: arguments.to_vec().into(),
            list: None,
            walk: None,
            root: PathBuf::new(),
            recursive,
            globs: Globs::default(),
            left_out: Arc::default(),
            has_name: Arc::new(AtomicBool::new(!arguments.is_empty())),
        })
    }

    /// Adds the files of a list after the arguments.
    pub(crate) fn with_list(mut self, list: List) -> Result<Self, String> {
        if list.is_standard_input() && self.has_standard_input() {
            return Err("standard input (-) is either a file or the list of files".to_owned());
        }
        self.list = Some(list);
        Ok(self)
    }

    /// Limits the files in directories. Arguments and the files of a list are not affected.
    pub(crate) fn with_globs(mut self, globs: Globs) -> Self {
        self.globs = globs;
        self
    }

    /// Whether standard input is one of the files.
    pub(crate) fn has_standard_input(&self) -> bool {
        self.arguments.iter().any(|path| is_standard_input(path))
    }

    /// Whether it is one file and nothing else.
    pub(crate) fn is_single(&self) -> bool {
        self.list.is_none() && self.arguments.len() == 1 && !self.arguments[0].is_dir()
    }

    /// What has been left out so far.
    pub(crate) fn left_out(&self) -> Arc<Mutex<LeftOut>> {
        Arc::clone(&self.left_out)
    }

    /// Whether something was to be scanned so far, even if it is left out.
    pub(crate) fn has_name(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_name)
    }

    pub(crate) fn globs(&self) -> Globs {
        self.globs.clone()
    }

    /// The same files once more, to count them; `None` if they can be listed only once.
    pub(crate) fn once_more(&self) -> Option<Self> {
        let list = match &self.list {
            Some(list) => Some(list.once_more()?),
            None => None,
        };
        Some(Self {
            arguments: self.arguments.clone(),
            list,
            walk: None,
            root: PathBuf::new(),
            recursive: self.recursive,
            globs: self.globs.clone(),
            left_out: Arc::default(),
            has_name: Arc::default(),
        })
    }

    fn next_in_directory(&mut self) -> Option<Found> {
        loop {
            let entry = match self.walk.as_mut()?.next() {
                Some(Ok(entry)) => entry,
                Some(Err(error)) => return Some(unreadable(error, &self.root)),
                None => {
                    self.walk = None;
                    return None;
                }
            };
            if let Some(found) = self.select(entry) {
                return Some(found);
            }
        }
    }

    fn select(&mut self, entry: DirEntry) -> Option<Found> {
        let kind = entry.file_type();
        let path = entry
            .path()
            .strip_prefix(&self.root)
            .unwrap_or(entry.path());
        if kind.is_dir() {
            if entry.depth() > 0 && self.globs.excludes(path) {
                self.leave_out(Kind::Excluded, entry.path());
                if let Some(walk) = &mut self.walk {
                    walk.skip_current_dir();
                }
            }
            return None;
        }
        let why = if !self.globs.selects(path) {
            Kind::Excluded
        } else if kind.is_symlink() {
            Kind::Link
        } else if !kind.is_file() {
            Kind::Special
        } else {
            return Some(Found::File(entry.into_path()));
        };
        self.leave_out(why, entry.path());
        None
    }

    fn leave_out(&self, kind: Kind, path: &Path) {
        log::info!("left out, because it is {}: {path:?}", kind.singular());
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.add(kind, path);
    }

    fn argument(&mut self, path: PathBuf) -> Option<Found> {
        if is_standard_input(&path) {
            Some(Found::StandardInput)
        } else if path.is_dir() {
            self.directory(path)
        } else {
            Some(Found::Named(path))
        }
    }

    /// A line of a list is a name, also if it is `-` or looks like an option or a URI.
    fn listed(&mut self, path: PathBuf) -> Option<Found> {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => self.directory(path),
            Ok(metadata) if !metadata.is_file() => {
                self.leave_out(Kind::Special, &path);
                None
            }
            _ => Some(Found::File(path)),
        }
    }

    /// Makes the files in a directory the next ones.
    fn directory(&mut self, path: PathBuf) -> Option<Found> {
        if !self.recursive {
            let error = io::Error::other("it is a directory (icap scan -r scans the files in it)");
            return Some(Found::Unreadable(path, error));
        }
        self.walk = Some(WalkDir::new(&path).sort_by_file_name().into_iter());
        self.root = path;
        None
    }
}

impl Iterator for Files {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.next_in_directory() {
                return Some(found);
            }
            let found = match self.arguments.pop_front() {
                Some(path) => self.argument(path),
                None => {
                    let name = self.list.as_mut()?.next()?;
                    self.has_name.store(true, SeqCst);
                    match name {
                        Ok(path) => self.listed(path),
                        Err((path, error)) => Some(Found::Unreadable(path, error)),
                    }
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn unreadable(error: walkdir::Error, root: &Path) -> Found {
    let path = error.path().unwrap_or(root).to_owned();
    let text = error.to_string();
    let cause = error.into_io_error();
    Found::Unreadable(path, cause.unwrap_or_else(|| io::Error::other(text)))
}
