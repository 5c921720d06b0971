//! The name of the content that an error is about.

use super::Error;
use crate::proto::content_name::ContentName;

impl Error {
    /// The [name](crate::Content::name) of the content whose scan failed, if it has one. It is as the caller gave it:
    /// make it safe before it is shown.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let name = match self {
            Self::Connect(error) => &error.name,
            Self::Timeout(error) => &error.name,
            Self::Disconnected(error) => &error.name,
            Self::Status(error) => &error.name,
            Self::Protocol(error) => &error.name,
            Self::Content(error) => &error.name,
            Self::Output(error) => &error.name,
            Self::Input(error) => &error.name,
            Self::Suspended(error) => &error.name,
            Self::Cancelled(error) => &error.name,
        };
        name.as_ref().map(|name| name.0.as_str())
    }

    pub(crate) fn set_name(&mut self, name: Option<String>) {
        let slot = match self {
            Self::Connect(error) => &mut error.name,
            Self::Timeout(error) => &mut error.name,
            Self::Disconnected(error) => &mut error.name,
            Self::Status(error) => &mut error.name,
            Self::Protocol(error) => &mut error.name,
            Self::Content(error) => &mut error.name,
            Self::Output(error) => &mut error.name,
            Self::Input(error) => &mut error.name,
            Self::Suspended(error) => &mut error.name,
            Self::Cancelled(error) => &mut error.name,
        };
        *slot = name.map(|name| Box::new(ContentName(name)));
    }
}
