//! The protocol: bytes in, values out. The lowest layer: it imports nothing from the others.
//!
//! Nothing in here knows a socket, a clock, a thread or a log. So every decision about bytes can be tested and
//! fuzzed alone, and has the same result however the bytes are split: the tests try every split. A fault in a peer's
//! bytes is a [`Violation`](violation::Violation), a fault in a caller's input an
//! [`InputError`](input_error::InputError).

pub(crate) mod base64;
pub(crate) mod chunk;
pub(crate) mod content_name;
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
