//! Content that cannot be read, or has another length than declared.

use std::fmt;
use std::io;

use super::cause::{duplicate, words_of};
use crate::proto::content_name::ContentName;

/// The caller's content could not be read, has another length than declared, or changed between two attempts to send it.
#[derive(Debug)]
pub struct ContentError {
    pub(crate) fault: ContentFault,
    pub(crate) source: Option<io::Error>,
    pub(crate) name: Option<Box<ContentName>>,
}

/// What is wrong with content.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentFault {
    /// The reader failed; [`ContentError::io_error`] is what it returned. With [`Client::send`](crate::Client::send) it
    /// can also mean that a 206 refers to the original, which can be read only once.
    Read {
        /// Bytes that were read before.
        after: u64,
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
    /// The content was read more than once, and was not the same each time.
    Changed,
}

impl ContentError {
    pub(crate) fn new(fault: ContentFault) -> Self {
        Self {
            fault,
            source: None,
            name: None,
        }
    }

    /// The reader failed after so many bytes.
    pub(crate) fn read(after: u64, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(ContentFault::Read { after })
        }
    }

    /// The same once more. Its `io::Error` keeps only kind and text.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            source: self.source.as_ref().map(duplicate),
            ..Self::new(self.fault)
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> ContentFault {
        self.fault
    }

    /// What the reader returned, if it failed.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            ContentFault::Read { after } => {
                let words = self.source.as_ref().map(words_of);
                let words = words.unwrap_or_default();
                write!(f, "cannot read the content after {after} bytes: {words}")
            }
            ContentFault::NotRewound { length } => write!(
                f,
                "the content's reader is at the end of its {length} bytes: rewind it (seek to 0) before the scan"
            ),
            ContentFault::TooShort { declared, actual } => write!(
                f,
                "the content ended after {actual} bytes, {declared} were declared"
            ),
            ContentFault::TooLong { declared } => write!(
                f,
                "the content goes on after the {declared} bytes that were declared"
            ),
            ContentFault::Changed => f.write_str("the content has changed since it was first read"),
        }
    }
}

impl std::error::Error for ContentError {}
