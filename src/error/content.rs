//! Content that cannot be read, or has another length than declared.

use std::fmt;
use std::io;

use super::cause::words_of;

/// The caller's content could not be read, or has another length than declared.
#[non_exhaustive]
#[derive(Debug)]
pub enum ContentError {
    /// The reader failed.
    Read {
        /// Bytes that were read before.
        after: u64,
        /// What the reader returned.
        source: io::Error,
    },
    /// A seekable reader stands at the end of something that is not empty, so nothing would be scanned.
    NotRewound {
        /// The bytes from its beginning to its end.
        length: u64,
    },
    /// The content ended before the length that was declared.
    TooShort {
        /// The length that was declared, in bytes.
        declared: u64,
        /// The bytes that came.
        actual: u64,
    },
    /// The content goes on after the length that was declared.
    TooLong {
        /// The length that was declared, in bytes.
        declared: u64,
    },
}

impl ContentError {
    /// What the reader returned, if it failed.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { after, source } => {
                let words = words_of(source);
                write!(f, "cannot read the content after {after} bytes: {words}")
            }
            Self::NotRewound { length } => write!(
                f,
                "the content's reader is at the end of its {length} bytes: rewind it (seek to 0) before the scan"
            ),
            Self::TooShort { declared, actual } => write!(
                f,
                "the content ended after {actual} bytes, {declared} were declared"
            ),
            Self::TooLong { declared } => write!(
                f,
                "the content goes on after the {declared} bytes that were declared"
            ),
        }
    }
}

impl std::error::Error for ContentError {}
