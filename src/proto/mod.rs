//! The protocol: bytes in, values out.
//!
//! Nothing in here knows a socket, a clock, a thread or a log, so every decision about bytes can be
//! tested and fuzzed on its own, and gives the same result however the bytes are split (the tests of
//! each module try every split). What is wrong with a peer's bytes is a [`Violation`](crate::error::Violation).

pub(crate) mod base64;
pub(crate) mod chunk;
pub(crate) mod encapsulated;
pub(crate) mod head;
pub(crate) mod header;
pub(crate) mod http_head;
pub(crate) mod input_error;
pub(crate) mod istag;
pub(crate) mod limits;
pub(crate) mod method;
pub(crate) mod number;
pub(crate) mod options;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod response_reader;
pub(crate) mod status_line;
pub(crate) mod text;
pub(crate) mod uri;
pub(crate) mod violation;

#[cfg(test)]
pub(crate) mod splits;
