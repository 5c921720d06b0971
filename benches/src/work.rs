//! What is scanned: how much of it, where it comes from, and by how many threads.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A slice in memory.
    Bytes,
    /// A file that is opened for each scan.
    File,
    /// A `Read` that is read once, and does not tell its length.
    Reader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) kind: Kind,
    pub(crate) size: usize,
    pub(crate) threads: usize,
}

impl Work {
    /// For a worker's arguments.
    pub(crate) fn arguments(self) -> [String; 3] {
        [
            self.kind.to_string(),
            self.size.to_string(),
            self.threads.to_string(),
        ]
    }

    pub(crate) fn parse(kind: &str, size: &str, threads: &str) -> Result<Self> {
        Ok(Self {
            kind: kind.parse()?,
            size: size.parse()?,
            threads: threads.parse()?,
        })
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.threads == 1 { "" } else { "s" };
        let (size, threads) = (size(self.size), self.threads);
        write!(f, "{size} {}, {threads} thread{plural}", self.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::File => "file",
            Self::Reader => "reader",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "bytes" => Ok(Self::Bytes),
            "file" => Ok(Self::File),
            "reader" => Ok(Self::Reader),
            _ => Err(format!("no kind of content: {text}")),
        }
    }
}

/// A size in the largest unit that divides it.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes % (1 << 30) == 0 => format!("{} GiB", bytes >> 30),
        _ if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        _ if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// Content that neither compresses nor repeats within 64 KiB, and is the same in each run.
pub(crate) fn content(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = Vec::with_capacity(size + 8);
    while content.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(size);
    content
}

pub(crate) fn file(folder: &Path, size: usize) -> PathBuf {
    folder.join(format!("{size}.bin"))
}

/// Writes the file of `size` bytes, unless it is there.
pub(crate) fn make_file(folder: &Path, size: usize) -> Result<PathBuf> {
    let path = file(folder, size);
    if !path.exists() {
        fs::write(&path, content(size))?;
    }
    Ok(path)
}
