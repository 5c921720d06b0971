//! Bytes after a complete response. There should be none: they would be taken for the next response.
//!
//! The outcome is the same at every split of the bytes (rule R7 of the crate). Therefore what has begun to come
//! when the response is complete is read to its end before it is judged: a part of a TLS record may turn out to
//! be a session ticket or a second response, and a CR may begin a line end. If it has no end, the response is
//! invalid, as it is with other bytes after it. What begins later is not seen: the caller has the result by
//! then, and the connection is checked before it is used again.

use std::io;
use std::time::Duration;

use crate::error::TimeLimit;
use crate::net::connection::Connection;
use crate::net::deadline::Deadline;
use crate::net::transport::{Readiness, is_stall};

/// How long this client waits for the end of what has begun. A lost TCP segment is sent again within this time.
/// The timeout of a response would be too long for bytes that are not needed.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What came after a response.
#[derive(Debug)]
pub(in crate::client) enum Trailing {
    /// A look found nothing.
    Nothing,
    /// Nothing was read. There was no look, because what follows is not about this exchange.
    Unknown,
    /// A lone line end is odd, but robust clients accept it (RFC 9112 §9.2).
    LineEnd,
    /// Other bytes, which are unread.
    Bytes,
    /// The beginning of something whose end did not come.
    Unfinished,
    /// The peer ended its side.
    Closed,
    Failed(io::Error),
}

impl Trailing {
    /// Reads what there is.
    pub(super) fn read(connection: &mut Connection, deadline: &Deadline) -> Self {
        // Begins when there is something to wait for.
        let mut patience: Option<Deadline> = None;
        loop {
            let has_begun = match connection.unread() {
                b"" | b"\r\n" => false,
                b"\r" => true,
                _ => return Self::Bytes,
            };
            let is_empty = connection.unread().is_empty();
            match connection.readiness() {
                Ok(Readiness::Idle) if is_empty => return Self::Nothing,
                Ok(Readiness::Idle) if !has_begun => return Self::LineEnd,
                Ok(Readiness::Closed) if has_begun => return Self::Unfinished,
                Ok(Readiness::Closed) => return Self::Closed,
                Ok(_) => {}
                Err(error) => return Self::failed(error, false),
            }
            let patience =
                patience.get_or_insert_with(|| deadline.within(PATIENCE, TimeLimit::ReadTimeout));
            let Some(left) = patience.left() else {
                return Self::Unfinished;
            };
            match connection.read(left) {
                Ok(0) if has_begun => return Self::Unfinished,
                Ok(0) => return Self::Closed,
                Ok(_) => {}
                Err(error) if is_stall(&error) => {}
                Err(error) if is_end(&error) && !has_begun && is_closed(connection) => {
                    return Self::Closed;
                }
                Err(error) => return Self::failed(error, true),
            }
        }
    }

    /// Something had begun if `is_pending`, or if the stream reports that the end came too early.
    fn failed(error: io::Error, is_pending: bool) -> Self {
        match error.kind() {
            // A complete record came that is invalid.
            io::ErrorKind::InvalidData => Self::Failed(error),
            // A limit of the transport says nothing about the response.
            io::ErrorKind::Unsupported => Self::Closed,
            _ if is_pending || is_end(&error) => Self::Unfinished,
            _ => Self::Failed(error),
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// A read that was to find the end of a session ticket may find the end of the stream after that.
fn is_closed(connection: &mut Connection) -> bool {
    matches!(connection.readiness(), Ok(Readiness::Closed))
}
