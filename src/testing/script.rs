//! A list of steps that a server plays on a connection.

use std::time::Duration;

use super::gate::Gate;
use super::responses::OPTIONS_RESPONSE;

/// The steps of a server on one connection, in order.
///
/// A step reads from the client only if its documentation says so. If the client closes, the
/// script ends at the step that notices this. A step that waits for the close is the exception: the script
/// goes on after it.
///
/// ```
/// use icap_client::testing::{Script, Server};
/// use icap_client::{Content, Scanner};
///
/// // The server closes in the middle of its response to the first scan.
/// let breaks = Script::new().answer_options().read_request().send("ICAP/1.0 20").close();
/// let server = Server::scripted([breaks])?;
/// let scanner = Scanner::new(&server.uri())?;
/// let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
/// assert!(error.is_protocol());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    WaitFor(Gate),
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

    /// Reads one request: its heads, and its body up to the last chunk. Of a request with a preview, it
    /// reads up to the end of the preview. An invalid request ends the script. A valid request is read
    /// also if it uses a method or a preview that the `OPTIONS` response did not offer.
    pub fn read_request(self) -> Self {
        self.then(Step::ReadRequest)
    }

    /// Reads the rest of a body, up to its last chunk, after [`read_request`](Self::read_request) or
    /// [`Server::answering`](super::Server::answering) read the preview. If the request was complete, this
    /// reads nothing.
    ///
    /// The client sends the rest only after [`CONTINUE`](super::CONTINUE):
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

    /// Sends `bytes`. While the buffers are full, this waits for the client to read.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends `bytes` one by one, each in its own packet, with a pause before each.
    pub fn dribble(self, bytes: impl AsRef<[u8]>, pause: Duration) -> Self {
        self.then(Step::Dribble(bytes.as_ref().to_vec(), pause))
    }

    /// Waits for this time.
    pub fn wait(self, pause: Duration) -> Self {
        self.then(Step::Wait(pause))
    }

    /// Waits until a test opens `gate`, or the server is dropped.
    pub fn wait_for(self, gate: &Gate) -> Self {
        self.then(Step::WaitFor(gate.clone()))
    }

    /// Neither reads nor sends until the server is dropped or finished. Then it closes.
    pub fn hold(self) -> Self {
        self.then(Step::Hold)
    }

    /// Closes the connection; no step follows.
    ///
    /// The client can read everything that was sent, and then the end of the stream. A client that has sent more than the
    /// script has read, or that keeps sending, gets a reset, as from every server that closes. To avoid the reset, use
    /// [`half_close`](Self::half_close) and [`read_to_end`](Self::read_to_end) before.
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Sends the end of the stream. The following steps can still read.
    pub fn half_close(self) -> Self {
        self.then(Step::HalfClose)
    }

    /// Breaks the connection with a TCP reset; no step follows.
    ///
    /// The system sends a reset when a connection is closed with unread bytes. So the
    /// script only peeks at the last byte of the last request: it sees this byte, and leaves it in the socket. If nothing was read, this waits up to 10 seconds for a byte of the
    /// client. If none comes, the connection is closed without a reset.
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Reads a request of any method, and sends [`OPTIONS_RESPONSE`].
    pub fn answer_options(self) -> Self {
        self.read_request().send(OPTIONS_RESPONSE)
    }

    /// All bytes that the script sends.
    pub(super) fn sent(&self) -> Vec<u8> {
        let sent = self.steps.iter().map(|step| match step {
            Step::Send(bytes) | Step::Dribble(bytes, _) => bytes.as_slice(),
            _ => &[],
        });
        sent.collect::<Vec<_>>().concat()
    }

    /// The steps of `other` after those of this one.
    pub(super) fn followed_by(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
