//! An ICAP server inside the test's own process, on threads, for tests of whatever uses this crate.
//!
//! [`Server::start`] is a healthy service: it finds the EICAR test file and nothing else.
//! [`Server::answering`] lets a test compute each answer, and [`Server::scripted`] decides what happens
//! on a connection byte by byte, also what no healthy server does. Each listens on a free port of
//! 127.0.0.1, and is gone, threads included, when it is dropped.
//!
//! It is no server for anything but tests: it scans nothing, does not know previews (a request with
//! one is refused by [`Server::start`]) nor TLS, and takes any name of a service.
//!
//! ```
//! use icap_client::testing::{self, Script, Server};
//! use icap_client::{Content, Scanner};
//!
//! let server = Server::start()?;
//! let scanner = Scanner::new(&server.uri())?;
//! assert!(scanner.scan(Content::bytes(b"hello"))?.verdict().is_clean());
//! assert!(scanner.scan(Content::bytes(&testing::eicar()))?.verdict().is_infected());
//!
//! // A server that breaks off in the middle of its answer.
//! let broken = Script::new().read_request().send("ICAP/1.0 20").close();
//! let server = Server::scripted([broken])?;
//! let scanner = Scanner::builder(&server.uri()).negotiate(false).build()?;
//! assert!(scanner.scan(Content::bytes(b"hello")).is_err());
//! assert!(server.finish()[0].received().starts_with(b"RESPMOD icap://"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use memchr::memmem::{self, Finder};

use crate::proto::chunk::{ChunkDecoder, Decoded, encode_chunk, encode_last_chunk};
use crate::proto::encapsulated::{BodyKind, Encapsulated};
use crate::proto::head::HeadFinder;
use crate::proto::header::Headers;
use crate::proto::limits::MAX_HEAD;
use crate::proto::text::displayable;

/// The answer of a healthy service to `OPTIONS`. It offers no preview.
pub const OPTIONS_ANSWER: &str = "ICAP/1.0 200 OK\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Methods: RESPMOD, REQMOD\r\n\
    Service: icap-client testing\r\n\
    Allow: 204\r\n\
    Max-Connections: 100\r\n\
    Options-TTL: 3600\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

/// The answer to content in which nothing was found, where the request allows it (RFC 3507 §4.6).
pub const CLEAN: &str = "ICAP/1.0 204 No Content\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

const BAD_REQUEST: &str = "ICAP/1.0 400 Bad Request\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Connection: close\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

const METHOD_NOT_ALLOWED: &str = "ICAP/1.0 405 Method Not Allowed\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

const TOO_LARGE_TO_RETURN: &str = "ICAP/1.0 500 Too Large To Send Back\r\n\
    ISTag: \"icap-client-testing\"\r\n\
    Encapsulated: null-body=0\r\n\
    \r\n";

/// Bytes that are read at once.
const INPUT_BUFFER: usize = 256 * 1024;

/// Bytes that are kept of what a client sent on one connection.
const MAX_RECORDED: usize = 16 * 1024 * 1024;

/// Bytes that are kept of a request's body.
const MAX_KEPT_BODY: usize = 64 * 1024;

/// Bytes of a body that [`Server::start`] sends back if it must not answer 204.
const MAX_RETURNED_BODY: usize = 1024 * 1024;

/// How long a client is waited for where a test would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// When to accept again after that failed, for example for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// The answer to infected content: `X-Infection-Found` with `threat` as it is given, and a block page
/// with HTTP status 403.
#[must_use]
pub fn infected(threat: &str) -> Vec<u8> {
    let page = "<html><body>This file was blocked.</body></html>";
    let http_head = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
        page.len()
    );
    let found = format!("X-Infection-Found: Type=0; Resolution=2; Threat={threat};\r\n");
    let list = response_list(http_head.len());
    ok(&found, list, http_head.as_bytes(), page.as_bytes())
}

/// A 200 that carries an HTTP response: `http_head`, blank line included, and `body`, chunked.
#[must_use]
pub fn echo(http_head: &str, body: &[u8]) -> Vec<u8> {
    let list = response_list(http_head.len());
    ok("", list, http_head.as_bytes(), body)
}

fn response_list(head_len: usize) -> Encapsulated {
    Encapsulated {
        request_head: None,
        response_head: Some(head_len).filter(|&len| len > 0),
        body: BodyKind::Response,
    }
}

fn ok(fields: &str, list: Encapsulated, http_head: &[u8], body: &[u8]) -> Vec<u8> {
    let istag = "ISTag: \"icap-client-testing\"";
    let head = format!("ICAP/1.0 200 OK\r\n{istag}\r\n{fields}Encapsulated: {list}\r\n\r\n");
    let mut answer = [head.as_bytes(), http_head].concat();
    if list.body != BodyKind::Null {
        encode_chunk(&mut answer, body);
        encode_last_chunk(&mut answer);
    }
    answer
}

/// The 68 bytes of the EICAR test file, which every virus scanner takes for infected.
///
/// They are put together at run time, so that no scanner finds them in this crate or in a program
/// built with it.
#[must_use]
pub fn eicar() -> Vec<u8> {
    // Every byte is one too high. `black_box` keeps the compiler from computing the result.
    let raised =
        black_box(br#"Y6P"Q&ABQ\5]Q[Y65)Q_*8DD*8~%FJDBS.TUBOEBSE.BOUJWJSVT.UFTU.GJMF"%I,I+"#);
    raised.iter().map(|byte| byte - 1).collect()
}

/// An ICAP server, see the [module](self). It ends when it is dropped, whatever its connections do:
/// they are cut off.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Its thread ends after those of all connections.
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// A healthy service.
    ///
    /// It answers `OPTIONS` with [`OPTIONS_ANSWER`], and `RESPMOD` and `REQMOD` with
    /// [`infected("Eicar-Test-Signature")`](infected) if the EICAR test file is anywhere in the body,
    /// otherwise with [`CLEAN`]. Where the request does not allow 204, a message with a body of up to
    /// 1 MiB is sent back, and for a longer body the answer is 500. Other methods get 405; what is no
    /// request, and a preview, which was not offered, get 400.
    ///
    /// Bodies may have any length. What was received is counted and not recorded.
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn start() -> io::Result<Self> {
        Self::with(Behaviour::Scan)
    }

    /// A server that reads each request to its end and then plays the script that `answer` gives.
    ///
    /// The connection is kept for the next request until a script [closes](Script::close) it. What is
    /// no request gets 400. If `answer` panics, its connection is closed; dropping the server waits for
    /// an `answer` that is running.
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn answering(
        answer: impl Fn(&Received) -> Script + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::with(Behaviour::Answer(Box::new(answer)))
    }

    /// A server that plays the first script on the first connection, the second on the second, and the
    /// last one again on all that follow; without any script it closes them.
    ///
    /// A script begins with the connection's first byte, and after its last step the connection is
    /// closed as by [`Script::close`].
    ///
    /// # Errors
    ///
    /// If the system has no port or thread left.
    pub fn scripted(scripts: impl IntoIterator<Item = Script>) -> io::Result<Self> {
        Self::with(Behaviour::Play(scripts.into_iter().collect()))
    }

    fn with(behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(behaviour));
        let for_acceptor = Arc::clone(&shared);
        let accept = move || accept_all(&for_acceptor, listener);
        let acceptor = thread::Builder::new()
            .name("icap-server".to_owned())
            .spawn(accept)?;
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// The URI of its service, `icap://127.0.0.1:PORT/scan`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("icap://{}/scan", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().conversations.len()
    }

    /// Requests read to their end so far, on all connections.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.lock().requests
    }

    /// Accepts no more, ends every [`Script::hold`], waits until the connections have ended, and
    /// reports them in the order they were accepted.
    ///
    /// After 10 seconds it cuts them off. A client that keeps an idle connection open is waited for,
    /// so drop it before.
    #[must_use]
    pub fn finish(mut self) -> Vec<Conversation> {
        self.shared.enter(Phase::Finishing);
        self.stop_accepting();
        self.shared.await_end_of_connections();
        self.stop();
        mem::take(&mut self.shared.lock().conversations)
    }

    fn stop(&mut self) {
        self.shared.enter(Phase::Stopped);
        if self.stop_accepting() {
            // An error is a panic, and every panic was reported when it happened.
            let _ = self.acceptor.take().map(JoinHandle::join);
        }
    }

    /// Wakes the acceptor by a connection that it knows. The lock is held until it can know it.
    fn stop_accepting(&self) -> bool {
        let mut waker = self
            .shared
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if waker.is_none() {
            *waker = TcpStream::connect_timeout(&self.address, PATIENCE).ok();
        }
        waker.is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What happened on one connection.
#[derive(Default)]
pub struct Conversation {
    received: Vec<u8>,
    received_len: u64,
    closed_by_client: bool,
}

impl Conversation {
    /// What the server read, up to 16 MiB; nothing of a server made by [`Server::start`].
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// How many bytes the server read.
    #[must_use]
    pub fn received_len(&self) -> u64 {
        self.received_len
    }

    /// Whether the client closed or broke the connection before the server was through with it.
    ///
    /// It shows when the server reads or sends, and when [`Server::finish`] ends a [`Script::hold`].
    #[must_use]
    pub fn closed_by_client(&self) -> bool {
        self.closed_by_client
    }

    fn record(&mut self, bytes: &[u8], limit: usize) {
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

/// A request that was read to its end.
pub struct Received {
    method: String,
    uri: String,
    head: Vec<u8>,
    /// Of `head`: the fields, which were checked.
    fields: Range<usize>,
    list: Encapsulated,
    http_heads: Vec<u8>,
    body: Vec<u8>,
    body_len: u64,
    has_eicar: bool,
}

impl Received {
    /// Takes a complete ICAP head apart; `None` if it is none.
    fn parse(head: Vec<u8>) -> Option<Self> {
        let line_end = memmem::find(&head, b"\r\n")?;
        let line = std::str::from_utf8(&head[..line_end]).ok()?;
        let (method, rest) = line.split_once(' ')?;
        let uri = rest.strip_suffix(" ICAP/1.0")?;
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
        if !is_word(method) || !is_word(uri) {
            return None;
        }
        let fields = line_end + 2..head.len() - 2;
        let headers = Headers::parse(&head[fields.clone()]).ok()?;
        Some(Self {
            list: encapsulated(method, headers)?,
            method: method.to_owned(),
            uri: uri.to_owned(),
            fields,
            head,
            http_heads: Vec::new(),
            body: Vec::new(),
            body_len: 0,
            has_eicar: false,
        })
    }

    /// `OPTIONS`, `RESPMOD`, `REQMOD`, or whatever the client sent instead.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URI of the request line.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The ICAP head with its blank line.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The fields of the ICAP head.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        // Checked when it was made.
        Headers::parse(&self.head[self.fields.clone()]).unwrap_or_default()
    }

    /// The encapsulated HTTP heads, one behind the other.
    #[must_use]
    pub fn http_heads(&self) -> &[u8] {
        &self.http_heads
    }

    /// The first 64 KiB of the body, without its chunks.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of the whole body, without its chunks.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// Whether the EICAR test file is anywhere in the body, also behind what was kept.
    #[must_use]
    pub fn has_eicar(&self) -> bool {
        self.has_eicar
    }

    /// Whether the answer may be 204 (RFC 3507 §4.6).
    #[must_use]
    pub fn allows_204(&self) -> bool {
        self.headers().has_token("Allow", "204")
    }

    fn take_body(&mut self, data: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.body.len());
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        self.body_len += data.len() as u64;
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("headers", &self.headers())
            .field("body_len", &self.body_len)
            .finish_non_exhaustive()
    }
}

/// What follows a request's head; `None` if the field that says so is missing, malformed or doubled.
fn encapsulated(method: &str, headers: Headers<'_>) -> Option<Encapsulated> {
    let mut fields = headers.get_all("Encapsulated");
    match (fields.next(), fields.next()) {
        (Some(field), None) => Encapsulated::parse(&field.value()).ok(),
        (None, _) if !matches!(method, "RESPMOD" | "REQMOD") => Some(Encapsulated::NOTHING),
        _ => None,
    }
}

/// What a server does on a connection, step by step.
///
/// Only the steps that say so read. When the client is gone, the step that notices ends the script,
/// unless that is what it waited for.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Script {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    ReadRequest,
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
    /// one that ends the preview. If what comes is no request, the script is over.
    pub fn read_request(self) -> Self {
        self.then(Step::ReadRequest)
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

    /// Reads a request and sends [`OPTIONS_ANSWER`], whatever was asked.
    pub fn answer_options(self) -> Self {
        self.read_request().send(OPTIONS_ANSWER)
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

type Answer = dyn Fn(&Received) -> Script + Send + Sync;

/// What a server does on its connections.
enum Behaviour {
    Scan,
    Answer(Box<Answer>),
    Play(Vec<Script>),
}

impl Behaviour {
    /// Whether tests look at what is received and may want it reset. A body of many gigabytes is read
    /// faster without.
    fn is_under_test(&self) -> bool {
        !matches!(self, Self::Scan)
    }
}

/// What [`Server::start`] answers.
fn scan(request: &Received) -> Script {
    if request.headers().get("Preview").is_some() {
        return Script::new().send(BAD_REQUEST).close();
    }
    let script = match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_ANSWER),
        "RESPMOD" | "REQMOD" if request.has_eicar() => {
            Script::new().send(infected("Eicar-Test-Signature"))
        }
        "RESPMOD" | "REQMOD" if request.allows_204() => Script::new().send(CLEAN),
        "RESPMOD" | "REQMOD" if request.body_len() > MAX_RETURNED_BODY as u64 => {
            Script::new().send(TOO_LARGE_TO_RETURN)
        }
        "RESPMOD" | "REQMOD" => Script::new().send(returned(request)),
        _ => Script::new().send(METHOD_NOT_ALLOWED),
    };
    let asks_to_close = request.headers().has_token("Connection", "close");
    if asks_to_close {
        script.close()
    } else {
        script
    }
}

/// The message that was sent for modification, unmodified.
fn returned(request: &Received) -> Vec<u8> {
    let mut list = request.list;
    let mut head = request.http_heads();
    if request.method() == "RESPMOD" {
        head = &head[list.request_head.take().unwrap_or(0)..];
    }
    ok("", list, head, request.body())
}

/// What all threads of a server know.
struct Shared {
    behaviour: Behaviour,
    state: Mutex<State>,
    changed: Condvar,
    /// The client's side of the connection that ends accepting.
    waker: Mutex<Option<TcpStream>>,
}

struct State {
    phase: Phase,
    is_accepting: bool,
    requests: usize,
    /// By the number of the connection.
    live: BTreeMap<usize, Arc<TcpStream>>,
    /// Of all connections; empty ones of those that are live.
    conversations: Vec<Conversation>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Nothing is held any more, everything else goes on.
    Finishing,
    /// All connections are shut down.
    Stopped,
}

impl Shared {
    fn new(behaviour: Behaviour) -> Self {
        let state = State {
            phase: Phase::Running,
            is_accepting: true,
            requests: 0,
            live: BTreeMap::new(),
            conversations: Vec::new(),
        };
        Self {
            behaviour,
            state: Mutex::new(state),
            changed: Condvar::new(),
            waker: Mutex::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        if phase == Phase::Stopped {
            for stream in state.live.values() {
                // Whoever waits for the client, to read or to send, waits no longer.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    /// Waits, but not after the server was stopped.
    fn pause(&self, pause: Duration) -> Result<(), Over> {
        match self.wait_while(pause, |state| state.phase < Phase::Stopped) {
            Phase::Stopped => Err(Over::Closed),
            _ => Ok(()),
        }
    }

    fn hold(&self) {
        self.wait_while(Duration::MAX, |state| state.phase == Phase::Running);
    }

    fn await_end_of_connections(&self) {
        self.wait_while(PATIENCE, |state| {
            state.is_accepting || !state.live.is_empty()
        });
    }

    /// Waits at most so long, and returns the phase at the end of it.
    fn wait_while(&self, limit: Duration, condition: impl FnMut(&mut State) -> bool) -> Phase {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), limit, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0.phase
    }

    /// The next connection; `None` if there is to be none.
    fn accept(&self, listener: &TcpListener) -> Option<(usize, Arc<TcpStream>)> {
        loop {
            match listener.accept() {
                Ok((_, peer)) if self.is_waker(peer) => return None,
                Ok((stream, _)) => return Some(self.register(stream)),
                Err(_) => self.pause(ACCEPT_AGAIN).ok()?,
            }
        }
    }

    fn is_waker(&self, peer: SocketAddr) -> bool {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        waker
            .as_ref()
            .is_some_and(|waker| waker.local_addr().is_ok_and(|own| own == peer))
    }

    fn register(&self, stream: TcpStream) -> (usize, Arc<TcpStream>) {
        let stream = Arc::new(stream);
        // Without it, what is dribbled is put together again.
        let _ = stream.set_nodelay(true);
        let mut state = self.lock();
        let number = state.conversations.len();
        state.conversations.push(Conversation::default());
        state.live.insert(number, Arc::clone(&stream));
        if state.phase == Phase::Stopped {
            let _ = stream.shutdown(Shutdown::Both);
        }
        (number, stream)
    }

    fn connection_ended(&self, number: usize, conversation: Conversation) {
        let mut state = self.lock();
        state.live.remove(&number);
        state.conversations[number] = conversation;
        self.changed.notify_all();
    }

    fn accepting_ended(&self) {
        self.lock().is_accepting = false;
        self.changed.notify_all();
    }
}

/// Runs until accepting and all connections have ended.
fn accept_all(shared: &Shared, listener: TcpListener) {
    thread::scope(|scope| {
        while let Some((number, stream)) = shared.accept(&listener) {
            let connection = move || Connection::new(shared, number, stream).run();
            let thread = thread::Builder::new().name(format!("icap-connection-{number}"));
            if thread.spawn_scoped(scope, connection).is_err() {
                shared.connection_ended(number, Conversation::default());
            }
        }
        // Before the connections end, so that clients are refused and do not wait.
        drop(listener);
        shared.accepting_ended();
    });
}

/// Why a script is not played any further.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// It is to be closed, or there is nobody to talk to any more.
    Closed,
    /// It is to be reset.
    Reset,
    /// The client sent what is no request.
    NoRequest,
}

/// The server's end of one connection.
struct Connection<'s> {
    shared: &'s Shared,
    number: usize,
    stream: Arc<TcpStream>,
    input: Vec<u8>,
    /// Of `input`: what was read and not used.
    unused: Range<usize>,
    /// The last byte that was read is still in the socket.
    last_byte_is_left: bool,
    conversation: Conversation,
}

impl<'s> Connection<'s> {
    fn new(shared: &'s Shared, number: usize, stream: Arc<TcpStream>) -> Self {
        Self {
            shared,
            number,
            stream,
            input: vec![0; INPUT_BUFFER],
            unused: 0..0,
            last_byte_is_left: false,
            conversation: Conversation::default(),
        }
    }

    fn run(mut self) {
        // A panic is one of a test's own code; it was reported, and ends this connection only.
        let result = catch_unwind(AssertUnwindSafe(|| self.serve()));
        if !matches!(result, Ok(Err(Over::Reset))) {
            self.take_last_byte();
            // The end goes out before a reset, should the client still be sending.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        self.shared.connection_ended(self.number, self.conversation);
    }

    fn serve(&mut self) -> Result<(), Over> {
        let shared = self.shared;
        match &shared.behaviour {
            Behaviour::Scan => self.answer_all(&scan),
            Behaviour::Answer(answer) => self.answer_all(answer),
            Behaviour::Play(scripts) => match scripts.get(self.number).or(scripts.last()) {
                Some(script) => self.play(script),
                None => Ok(()),
            },
        }
    }

    fn answer_all(&mut self, answer: &dyn Fn(&Received) -> Script) -> Result<(), Over> {
        loop {
            match self.read_request() {
                Ok(request) => self.play(&answer(&request))?,
                Err(Over::NoRequest) => return self.send(BAD_REQUEST.as_bytes()),
                Err(over) => return Err(over),
            }
        }
    }

    fn play(&mut self, script: &Script) -> Result<(), Over> {
        script
            .steps
            .iter()
            .try_for_each(|step| self.play_step(step))
    }

    fn play_step(&mut self, step: &Step) -> Result<(), Over> {
        match step {
            Step::ReadRequest => self.read_request().map(drop),
            Step::ReadBytes(n) => self.take(*n, |_| {}),
            Step::ReadToEnd => {
                let _ = self.take(u64::MAX, |_| {});
                Ok(())
            }
            Step::Send(bytes) => self.send(bytes),
            Step::Dribble(bytes, pause) => bytes.chunks(1).try_for_each(|byte| {
                self.shared.pause(*pause)?;
                self.send(byte)
            }),
            Step::Wait(pause) => self.shared.pause(*pause),
            Step::Hold => Err(self.hold()),
            Step::Close => Err(Over::Closed),
            Step::HalfClose => {
                let _ = self.stream.shutdown(Shutdown::Write);
                Ok(())
            }
            Step::Reset => Err(self.await_reset()),
        }
    }

    /// Waits for the end of the server, then looks at what the client did meanwhile.
    fn hold(&mut self) -> Over {
        self.shared.hold();
        let _ = self.stream.set_nonblocking(true);
        // Bounded, because a client that sends on and on is not to be waited for.
        self.take(MAX_RECORDED as u64, |_| {})
            .err()
            .unwrap_or(Over::Closed)
    }

    /// Waits until the client has sent something that will stay unread.
    fn await_reset(&mut self) -> Over {
        if self.last_byte_is_left {
            return Over::Reset;
        }
        let _ = self.stream.set_read_timeout(Some(PATIENCE));
        match self.stream.peek(&mut [0]) {
            Ok(0) => self.client_is_gone(),
            Ok(_) => Over::Reset,
            Err(_) => Over::Closed,
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let sent = (&*self.stream).write_all(bytes);
        sent.map_err(|_| self.client_is_gone())
    }

    fn read_request(&mut self) -> Result<Received, Over> {
        let head = self.read_head()?;
        let mut request = Received::parse(head).ok_or(Over::NoRequest)?;
        let heads_len = request.list.heads_len() as u64;
        self.take(heads_len, |piece| {
            request.http_heads.extend_from_slice(piece);
        })?;
        if request.list.body != BodyKind::Null {
            self.read_body(&mut request)?;
        }
        self.shared.lock().requests += 1;
        Ok(request)
    }

    fn read_head(&mut self) -> Result<Vec<u8>, Over> {
        let mut head = Vec::new();
        let mut finder = HeadFinder::default();
        while head.len() < MAX_HEAD {
            let before = head.len();
            let piece = self.unused(MAX_HEAD - before)?;
            head.extend_from_slice(piece);
            let end = finder.find(&head).map_err(|_| Over::NoRequest)?;
            self.consume(end.unwrap_or(head.len()) - before);
            if let Some(end) = end {
                head.truncate(end);
                return Ok(head);
            }
        }
        Err(Over::NoRequest)
    }

    fn read_body(&mut self, request: &mut Received) -> Result<(), Over> {
        let is_under_test = self.shared.behaviour.is_under_test();
        let kept = if is_under_test {
            MAX_KEPT_BODY
        } else {
            MAX_RETURNED_BODY
        };
        let mut decoder = ChunkDecoder::new(u64::MAX);
        let mut search = EicarSearch::new();
        loop {
            let input = self.unused(usize::MAX)?;
            let (used, decoded) = decoder.decode(input).map_err(|_| Over::NoRequest)?;
            if let Decoded::Data(data) = decoded {
                request.take_body(data, kept);
                search.feed(data);
            }
            let is_end = decoded == Decoded::End;
            self.consume(used);
            if is_end {
                request.has_eicar = search.found;
                return Ok(());
            }
        }
    }

    /// Takes the next `count` bytes, in pieces.
    fn take(&mut self, mut count: u64, mut each: impl FnMut(&[u8])) -> Result<(), Over> {
        while count > 0 {
            let piece = self.unused(usize::try_from(count).unwrap_or(usize::MAX))?;
            each(piece);
            let len = piece.len();
            self.consume(len);
            count -= len as u64;
        }
        Ok(())
    }

    /// The bytes that come next, at most so many; it waits for one.
    fn unused(&mut self, at_most: usize) -> Result<&[u8], Over> {
        while self.unused.is_empty() {
            self.fill(at_most)?;
        }
        let len = self.unused.len().min(at_most);
        Ok(&self.input[self.unused.start..][..len])
    }

    fn consume(&mut self, len: usize) {
        self.unused.start += len;
    }

    /// Reads once, no more than is asked for: what a script does not read stays in the socket.
    fn fill(&mut self, at_most: usize) -> Result<(), Over> {
        match self.read(at_most) {
            Ok(len @ 1..) => {
                let limit = if self.shared.behaviour.is_under_test() {
                    MAX_RECORDED
                } else {
                    0
                };
                self.conversation.record(&self.input[..len], limit);
                self.unused = 0..len;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Over::Closed),
            Ok(0) | Err(_) => Err(self.client_is_gone()),
        }
    }

    /// Reads into `input`. Under test, the last byte of it is left in the socket until the next read or
    /// the end: std cannot ask for a reset, but an unread byte causes one.
    fn read(&mut self, at_most: usize) -> io::Result<usize> {
        self.take_last_byte();
        let mut stream = &*self.stream;
        let len = at_most.min(INPUT_BUFFER);
        let room = &mut self.input[..len];
        if !self.shared.behaviour.is_under_test() {
            return stream.read(room);
        }
        let len = stream.peek(room)?;
        stream.read_exact(&mut room[..len.saturating_sub(1)])?;
        self.last_byte_is_left = len > 0;
        Ok(len)
    }

    fn take_last_byte(&mut self) {
        if mem::take(&mut self.last_byte_is_left) {
            let _ = (&*self.stream).read(&mut [0]);
        }
    }

    /// Notes that the client ended the connection, unless the server did.
    fn client_is_gone(&mut self) -> Over {
        if self.shared.lock().phase < Phase::Stopped {
            self.conversation.closed_by_client = true;
        }
        Over::Closed
    }
}

/// Looks for the EICAR test file in bytes that arrive in any pieces.
struct EicarSearch {
    finder: Finder<'static>,
    /// The last bytes so far, fewer than are looked for.
    last: Vec<u8>,
    found: bool,
}

impl EicarSearch {
    fn new() -> Self {
        Self {
            finder: Finder::new(&eicar()).into_owned(),
            last: Vec::new(),
            found: false,
        }
    }

    fn feed(&mut self, data: &[u8]) {
        let overlap = self.finder.needle().len() - 1;
        let seam = data.len().min(overlap);
        self.last.extend_from_slice(&data[..seam]);
        self.found |= self.finder.find(&self.last).is_some() || self.finder.find(data).is_some();
        if data.len() > overlap {
            self.last.clear();
            self.last.extend_from_slice(&data[data.len() - overlap..]);
        } else {
            let surplus = self.last.len().saturating_sub(overlap);
            self.last.drain(..surplus);
        }
    }
}
