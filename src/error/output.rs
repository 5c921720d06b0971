//! A writer of the caller that failed.

use std::fmt;
use std::io;

use super::cause::words_of;
use crate::proto::content_name::ContentName;

/// The caller's writer for the response body failed.
#[derive(Debug)]
pub struct OutputError {
    pub(crate) source: io::Error,
    pub(crate) name: Option<Box<ContentName>>,
}

impl OutputError {
    pub(crate) fn new(source: io::Error) -> Self {
        Self { source, name: None }
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
        write!(f, "cannot write the response body to the output: {words}")
    }
}

impl std::error::Error for OutputError {}
