//! What a server does on a connection, as a list of steps; [`Connection`](super::connection::Connection)
//! plays it.

use std::time::Duration;

use super::responses::OPTIONS_RESPONSE;

/// What a server does on a connection, step by step.
///
/// Only the steps that say so read. When the client is gone, the step that notices ends the script,
/// unless that is what it waited for.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Script {
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    ReadRequest,
    ReadRest,
    ReadBytes(u64),
    ReadToEnd,
    Send(Vec<u8>),
    Dribble(Vec<u8>, Duration),
    Wait(Duration),
    Hold,
    Close,
    HalfClose,
    Reset,
}

impl Script {
    /// A script without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one whole request: its heads, and its body to the last chunk. With a preview, that is the
    /// one that ends the preview. If what comes is no request, the script is over. What was offered plays
    /// no part here: every request that can be read is read.
    pub fn read_request(self) -> Self {
        self.then(Step::ReadRequest)
    }

    /// Reads the rest of a body of which [`read_request`](Self::read_request), or
    /// [`Server::answering`](super::Server::answering), read the preview: to its last chunk. Nothing if
    /// the request was whole.
    ///
    /// The client sends the rest when it is told to, so [`CONTINUE`](super::CONTINUE) goes before:
    ///
    /// ```
    /// use icap_client::testing::{CLEAN, CONTINUE, Script};
    ///
    /// let script = Script::new().read_request().send(CONTINUE).read_rest().send(CLEAN);
    /// ```
    pub fn read_rest(self) -> Self {
        self.then(Step::ReadRest)
    }

    /// Reads exactly `n` bytes.
    pub fn read_bytes(self, n: u64) -> Self {
        self.then(Step::ReadBytes(n))
    }

    /// Reads until the client closes its side; the script goes on after that.
    pub fn read_to_end(self) -> Self {
        self.then(Step::ReadToEnd)
    }

    /// Sends `bytes`. This takes as long as the client leaves them unread and the buffers are full.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends `bytes` one by one, each in a packet of its own with a pause before it.
    pub fn dribble(self, bytes: impl AsRef<[u8]>, pause: Duration) -> Self {
        self.then(Step::Dribble(bytes.as_ref().to_vec(), pause))
    }

    /// Does nothing for a while.
    pub fn wait(self, pause: Duration) -> Self {
        self.then(Step::Wait(pause))
    }

    /// Neither reads nor sends until the server is dropped or finished, and then closes.
    pub fn hold(self) -> Self {
        self.then(Step::Hold)
    }

    /// Closes the connection; no step follows.
    ///
    /// The client can read everything that was sent, and then the end. As from any server that closes
    /// while it is sent to, a client that sends on gets a reset. To take in all that it sends, let
    /// [`half_close`](Self::half_close) and [`read_to_end`](Self::read_to_end) go before.
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Sends the end of the stream and goes on with the script, which can still read.
    pub fn half_close(self) -> Self {
        self.then(Step::HalfClose)
    }

    /// Breaks the connection with a TCP reset; no step follows.
    ///
    /// The system sends one when a connection is closed with bytes of the client unread. A step that
    /// read before leaves one for that, so a whole request can be read first. Where nothing was read,
    /// this waits for the client's next byte, for at most 10 seconds, and then closes in any case.
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Reads a request and sends [`OPTIONS_RESPONSE`], whatever was asked.
    pub fn answer_options(self) -> Self {
        self.read_request().send(OPTIONS_RESPONSE)
    }

    /// All bytes that it sends.
    pub(super) fn sent(&self) -> Vec<u8> {
        let sent = self.steps.iter().map(|step| match step {
            Step::Send(bytes) | Step::Dribble(bytes, _) => bytes.as_slice(),
            _ => &[],
        });
        sent.collect::<Vec<_>>().concat()
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
