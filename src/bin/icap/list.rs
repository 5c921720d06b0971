//! `--files-from`: a list of names of files.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::once;

/// A longer name is no name of a file on any system.
const MAX_NAME: u64 = 64 * 1024;

/// The names in a file, one a line or separated by NUL.
pub(crate) struct List {
    path: PathBuf,
    separator: u8,
    /// `None` after the end, or after an error.
    input: Option<Box<dyn BufRead + Send>>,
}

impl List {
    /// Opens a list. The path `-` is standard input.
    pub(crate) fn open(path: &Path, separator: u8) -> io::Result<Self> {
        let input: Box<dyn BufRead + Send> = if path.as_os_str() == "-" {
            once::refuse_closed_input()?;
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::new(File::open(path)?))
        };
        Ok(Self {
            path: path.to_owned(),
            separator,
            input: Some(input),
        })
    }

    pub(crate) fn is_standard_input(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// The same list from its beginning; `None` if it can be read only once.
    pub(crate) fn once_more(&self) -> Option<Self> {
        let is_file = self.path.metadata().is_ok_and(|it| it.is_file());
        if self.is_standard_input() || !is_file {
            return None;
        }
        Self::open(&self.path, self.separator).ok()
    }

    /// Refuses what is no name, and tells which separator is probably meant.
    fn check(&self, name: &[u8], is_terminated: bool) -> Result<(), &'static str> {
        let is_lines = self.separator == 0 && !is_terminated && name.contains(&b'\n');
        if self.separator != 0 && name.contains(&0) {
            Err("the names in this list end with NUL: use -0 (--null)")
        } else if is_lines && !path(name.to_vec()).is_ok_and(|path| path.exists()) {
            Err("the names in this list do not end with NUL: leave -0 (--null) out")
        } else if !is_terminated && name.len() as u64 > MAX_NAME {
            Err("this list has a name of more than 64 KiB")
        } else {
            Ok(())
        }
    }

    fn read_name(&mut self) -> io::Result<Option<PathBuf>> {
        let Some(input) = &mut self.input else {
            return Ok(None);
        };
        let mut name = Vec::new();
        input
            .take(MAX_NAME + 1)
            .read_until(self.separator, &mut name)?;
        if name.is_empty() {
            return Ok(None);
        }
        let is_terminated = name.last() == Some(&self.separator);
        if is_terminated {
            name.pop();
        }
        self.check(&name, is_terminated).map_err(io::Error::other)?;
        path(name).map(Some)
    }
}

/// Yields a path, or the path of the list with the error that ends it. Empty lines are skipped.
impl Iterator for List {
    type Item = Result<PathBuf, (PathBuf, io::Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_name() {
                Ok(Some(path)) if path.as_os_str().is_empty() => {}
                Ok(Some(path)) => return Some(Ok(path)),
                Ok(None) => return None,
                Err(error) => {
                    self.input = None;
                    return Some(Err((self.path.clone(), error)));
                }
            }
        }
    }
}

#[cfg(unix)]
fn path(name: Vec<u8>) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Ok(OsString::from_vec(name).into())
}

#[cfg(not(unix))]
fn path(name: Vec<u8>) -> io::Result<PathBuf> {
    let name = String::from_utf8(name).map_err(io::Error::other)?;
    Ok(OsString::from(name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: impl AsRef<[u8]>, separator: u8) -> Vec<Result<String, String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let list = List::open(file.path(), separator).unwrap();
        let show = |path: PathBuf| path.to_string_lossy().into_owned();
        list.map(|name| name.map(show).map_err(|(_, error)| error.to_string()))
            .collect()
    }

    #[test]
    fn list_has_a_name_a_line_or_between_nul() {
        let ok = |names: &[&str]| {
            names
                .iter()
                .map(|it| Ok((*it).to_owned()))
                .collect::<Vec<_>>()
        };
        assert_eq!(names("a\n\n--b c\n-", b'\n'), ok(&["a", "--b c", "-"]));
        assert_eq!(names("a\nb\0c\0", 0), ok(&["a\nb", "c"]));
        assert_eq!(names("", 0), ok(&[]));
    }

    #[test]
    fn endless_name_ends_the_list() {
        let longest = "x".repeat(64 * 1024);
        assert_eq!(names(format!("{longest}\na"), b'\n').len(), 2);
        let read = names(format!("a\n{longest}x\nb"), b'\n');
        assert_eq!(read.len(), 2);
        assert!(read[1].as_ref().unwrap_err().contains("64 KiB"));
    }

    #[test]
    fn wrong_separator_is_named() {
        for (text, separator, hint) in [
            ("a\0b\0", b'\n', "use -0"),
            ("a\nb\n", 0, "leave -0"),
            ("a\nb", 0, "leave -0"),
        ] {
            let read = names(text, separator);
            assert_eq!(read.len(), 1, "{read:?}");
            assert!(read[0].as_ref().unwrap_err().contains(hint), "{read:?}");
        }
    }
}
