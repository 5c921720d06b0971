//! The methods of ICAP.

use std::fmt;

/// An ICAP method (RFC 3507 §4.3.2).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `OPTIONS` asks what a service offers (§4.10).
    Options,
    /// `RESPMOD` has a response looked at: a file on its way to a person (§4.9).
    Respmod,
    /// `REQMOD` has a request looked at: a file that someone sends (§4.8).
    Reqmod,
}

impl Method {
    /// The method as the request line has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Respmod => "RESPMOD",
            Self::Reqmod => "REQMOD",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
