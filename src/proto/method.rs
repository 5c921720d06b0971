//! The methods of ICAP (RFC 3507 §4.3.2).

use std::fmt;

/// An ICAP method (RFC 3507 §4.3.2).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `OPTIONS`: asks what a service offers (§4.10).
    Options,
    /// `RESPMOD`: asks the service to scan an HTTP response, which is a file that a person receives (§4.9).
    Respmod,
    /// `REQMOD`: asks the service to scan an HTTP request, which is a file that a person sends (§4.8).
    Reqmod,
}

impl Method {
    /// The name of the method, as it stands in the request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Respmod => "RESPMOD",
            Self::Reqmod => "REQMOD",
        }
    }
}

/// Writes [`as_str`](Method::as_str).
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
