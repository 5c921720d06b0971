//! Everything that was received on one connection.

use std::fmt;

use crate::proto::text::displayable;

/// What a server received on one connection. [`Server::finish`](super::Server::finish) returns one for each.
///
/// ```
/// use icap_client::testing::Server;
/// use icap_client::{Content, Scanner};
/// # use icap_client::testing::{CLEAN, Script};
///
/// let script = Script::new().read_request().send(CLEAN).read_to_end();
/// let server = Server::scripted([script])?;
/// let scanner = Scanner::builder(&server.uri()).negotiate(false).build()?;
/// scanner.scan(Content::bytes(b"hello"))?;
/// drop(scanner);
///
/// let conversation = &server.finish()[0];
/// assert!(conversation.received().ends_with(b"5\r\nhello\r\n0\r\n\r\n"));
/// assert!(conversation.closed_by_client());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Conversation {
    received: Vec<u8>,
    received_len: u64,
    pub(super) closed_by_client: bool,
}

impl Conversation {
    /// A connection on which nothing has happened yet.
    pub(super) fn new() -> Self {
        Self {
            received: Vec::new(),
            received_len: 0,
            closed_by_client: false,
        }
    }

    /// The bytes that the server read, up to 16 MiB. A server made by
    /// [`Server::start`](super::Server::start) keeps none.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The number of bytes that the server read, also those that [`received`](Self::received) does not keep.
    #[must_use]
    pub fn received_len(&self) -> u64 {
        self.received_len
    }

    /// Whether the client closed or reset the connection before the server ended it.
    ///
    /// The server notices this when it reads or sends, and when
    /// [`Server::finish`](super::Server::finish) ends a [`Script::hold`](super::Script::hold).
    #[must_use]
    pub fn closed_by_client(&self) -> bool {
        self.closed_by_client
    }

    /// Adds `bytes`; keeps no more than `limit` bytes in total, and counts all.
    pub(super) fn record(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.received.len());
        self.received
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.received_len += bytes.len() as u64;
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("received", &displayable(&self.received))
            .field("received_len", &self.received_len)
            .field("closed_by_client", &self.closed_by_client)
            .finish()
    }
}
