//! The name of content in an error.

/// The name of the content that an error is about. It is boxed in errors, to keep them small.
#[derive(Debug, Clone)]
pub(crate) struct ContentName(pub(crate) String);
