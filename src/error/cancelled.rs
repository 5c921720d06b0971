//! Scans that their caller has cancelled.

use std::fmt;

use super::Phase;
use super::timeout::Doing;
use crate::proto::content_name::ContentName;

/// The caller cancelled the scan, see [`Content::cancel`](crate::Content::cancel).
///
/// The content is not known to be clean. Neither the content nor a server is to blame.
#[derive(Debug, Clone)]
pub struct CancelledError {
    pub(crate) service: String,
    /// `None` if no server was waited for.
    pub(crate) phase: Option<Phase>,
    pub(crate) is_of_options: bool,
    pub(crate) name: Option<Box<ContentName>>,
}

impl CancelledError {
    pub(crate) fn new(service: &str, phase: impl Into<Option<Phase>>) -> Self {
        Self {
            service: service.to_owned(),
            phase: phase.into(),
            is_of_options: false,
            name: None,
        }
    }

    /// What was under way; `None` if no server was waited for, for example because the scan had not begun.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }
}

impl fmt::Display for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the scan was cancelled by its caller")?;
        let Some(phase) = self.phase else {
            return Ok(());
        };
        let doing = Doing {
            phase,
            is_of_options: self.is_of_options,
        };
        write!(f, " while {doing} {}", self.service)
    }
}

impl std::error::Error for CancelledError {}
