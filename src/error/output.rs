//! A writer of the caller that failed.

use std::fmt;
use std::io;

use super::cause::words_of;
use crate::proto::content_name::ContentName;

/// The caller's writer for the response body failed.
///
/// This is not about the writer of a copy. If that fails, [`scan_tee`](crate::Scanner::scan_tee) returns the writer's
/// `io::Error`, with one exception: if the service had objected to the content, the verdict is returned together with
/// [`IncompleteCopy::Writer`](crate::IncompleteCopy::Writer).
#[derive(Debug)]
pub struct OutputError {
    pub(crate) source: io::Error,
    is_of_copy: bool,
    pub(crate) name: Option<Box<ContentName>>,
}

impl OutputError {
    pub(crate) fn new(source: io::Error) -> Self {
        Self {
            source,
            is_of_copy: false,
            name: None,
        }
    }

    /// The writer for the copy of the content failed.
    pub(crate) fn of_copy(source: io::Error) -> Self {
        Self {
            is_of_copy: true,
            ..Self::new(source)
        }
    }

    /// What the writer returned.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = words_of(&self.source);
        match self.is_of_copy {
            true => write!(f, "cannot write the copy of the content: {words}"),
            false => write!(f, "cannot write the response body to the output: {words}"),
        }
    }
}

impl std::error::Error for OutputError {}
