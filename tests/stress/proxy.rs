//! The proxy between the scanner and a server. Each connection has a thread that reads one request after the
//! other, so it knows when none is outstanding.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use icap_client::testing::{self, CLEAN};

use crate::faults::{Early, Fault, Stray};
use crate::samples::{HELD, MARKER};
use crate::tally::Counts;
use crate::{HANGS, Random};

const REFUSED: &str = "ICAP/1.0 403 Forbidden\r\n\r\n";

const BUSY: &str = "ICAP/1.0 503 Service Overloaded\r\nConnection: close\r\n\r\n";

/// The requests that a server takes at the same time; others get 503. Fewer than connections.
const SLOTS: usize = 8;

/// The longest time for which content is held back.
const HELD_BACK: Duration = Duration::from_millis(250);

/// The pauses between the bytes of a response. The first is short enough for every timeout, the second is not.
const DRIP: Duration = Duration::from_micros(500);
const SLOW_DRIP: Duration = Duration::from_millis(100);

/// No request may follow bytes that came together with the response before.
pub(crate) const ASKED_BEHIND: &str =
    "requests after a stray response in one write with the response";

/// Such a stray response cannot be distinguished from the response to the request, which gets no other.
pub(crate) const CROSSED: &str = "requests that crossed a stray response";

/// Between the scanner and one server.
pub(crate) struct Proxy {
    side: Arc<Side>,
    wire: Arc<Wire>,
    /// Disconnected at the end of the last thread.
    ended: Receiver<()>,
}

/// The state of a proxy.
pub(crate) struct Side {
    address: SocketAddr,
    server: SocketAddr,
    /// It closes every connection.
    pub(crate) is_out: AtomicBool,
    /// There are no faults.
    pub(crate) is_calm: AtomicBool,
    /// The requests that have a slot.
    busy: AtomicUsize,
    /// The last connection that is accepted.
    last: Mutex<Option<SocketAddr>>,
}

impl Side {
    pub(crate) fn uri(&self) -> String {
        format!("icap://{}/scan", self.address)
    }
}

/// The state that the threads of the proxies share.
pub(crate) struct Wire {
    seed: u64,
    pub(crate) counts: Mutex<Counts>,
    /// Stray responses, by the marker of the request that crossed them.
    pub(crate) crossed: Mutex<HashMap<String, Stray>>,
    /// The markers of content that the client was told is infected.
    pub(crate) told: Mutex<HashSet<String>>,
    /// The markers of content for which a server has sent a 204 after it had all of it.
    pub(crate) cleared: Mutex<HashSet<String>>,
    early: Mutex<HashMap<String, Early>>,
    early_is_decided: Condvar,
}

impl Proxy {
    pub(crate) fn start(server: SocketAddr, wire: &Arc<Wire>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let side = Arc::new(Side {
            address: listener.local_addr()?,
            server,
            is_out: AtomicBool::new(false),
            is_calm: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            last: Mutex::default(),
        });
        let (alive, ended) = mpsc::channel();
        let (wire, for_acceptor) = (Arc::clone(wire), Arc::clone(wire));
        let of_acceptor = Arc::clone(&side);
        thread::spawn(move || accept_all(&for_acceptor, &of_acceptor, &listener, &alive));
        Ok(Self { side, wire, ended })
    }

    pub(crate) fn uri(&self) -> String {
        self.side.uri()
    }

    pub(crate) fn side(&self) -> Arc<Side> {
        Arc::clone(&self.side)
    }

    /// Waits until the client has closed all connections.
    pub(crate) fn finish(self) {
        let mut last = self.side.last.lock().unwrap();
        // The acceptor compares the address under this lock.
        let stream = TcpStream::connect(self.side.address).unwrap();
        *last = stream.local_addr().ok();
        drop((stream, last));
        let ended = self.ended.recv_timeout(HANGS);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "leaked one");
        drop(self.wire);
    }
}

fn accept_all(wire: &Arc<Wire>, side: &Arc<Side>, listener: &TcpListener, alive: &Sender<()>) {
    for number in 0.. {
        let (client, peer) = listener.accept().unwrap();
        if *side.last.lock().unwrap() == Some(peer) {
            return;
        }
        wire.count("connections accepted");
        if side.is_out.load(Relaxed) {
            wire.count(Fault::Outage.explain());
            continue;
        }
        let (wire, side, alive) = (Arc::clone(wire), Arc::clone(side), alive.clone());
        thread::spawn(move || {
            // An error means that the client has closed.
            let _ = serve(&wire, &side, client, number);
            drop(alive);
        });
    }
}

fn serve(wire: &Wire, side: &Side, client: TcpStream, number: u64) -> io::Result<()> {
    let server = TcpStream::connect(side.server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let seed = wire.seed.wrapping_add(side.address.port().into());
    let mut link = Link {
        wire,
        side,
        client,
        server,
        random: Random::new(seed.wrapping_add(number << 16)),
    };
    while link.exchange()?.is_continue() {}
    Ok(())
}

impl Wire {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            counts: Mutex::default(),
            crossed: Mutex::default(),
            told: Mutex::default(),
            cleared: Mutex::default(),
            early: Mutex::default(),
            early_is_decided: Condvar::new(),
        }
    }

    pub(crate) fn count(&self, what: &str) {
        self.counts.lock().unwrap().add(what, 1);
    }

    pub(crate) fn get(&self, what: &str) -> u64 {
        self.counts.lock().unwrap().get(what)
    }

    pub(crate) fn faults(&self) -> u64 {
        Fault::ALL
            .iter()
            .filter(|fault| !fault.goes_on())
            .map(|fault| self.get(fault.explain()))
            .sum()
    }

    /// The response that was sent before this content was complete, if any.
    pub(crate) fn early_response(&self, marker: &str) -> Option<Early> {
        self.early.lock().unwrap().get(marker).copied()
    }

    /// Holds content back until the early response is chosen. Nothing is sent early after this.
    pub(crate) fn await_early_response(&self, marker: &str) {
        let is_open = |early: &mut HashMap<String, Early>| !early.contains_key(marker);
        let early = self.early.lock().unwrap();
        let waited = self
            .early_is_decided
            .wait_timeout_while(early, HELD_BACK, is_open);
        let (mut early, _) = waited.unwrap();
        early.entry(marker.to_owned()).or_insert(Early::Expired);
    }
}

/// One connection through the proxy.
struct Link<'w> {
    wire: &'w Wire,
    side: &'w Side,
    client: TcpStream,
    server: TcpStream,
    random: Random,
}

/// Whether a connection goes on.
type Flow = io::Result<ControlFlow<()>>;

/// The outcome of a request.
enum Came {
    All(Vec<u8>),
    /// There was a response before the end.
    Some,
    /// The client ended the connection after this part of a request, perhaps nothing.
    Part(Vec<u8>),
}

impl Link<'_> {
    fn exchange(&mut self) -> Flow {
        let fault = match self.side.is_calm.load(Relaxed) {
            true => Fault::None,
            false => Fault::draw(&mut self.random),
        };
        match fault {
            Fault::CloseIdle => self.close_idle(),
            Fault::ResetUnreadRequest | Fault::CloseMidRequest | Fault::ResetMidRequest => {
                self.break_request(fault)
            }
            _ => match self.read_request(fault.leaves_last_byte(), true)? {
                Came::All(request) => self.pass_on(fault, &request),
                Came::Some | Came::Part(_) => Ok(Break(())),
            },
        }
    }

    fn close_idle(&mut self) -> Flow {
        if self.await_byte()? {
            // Too late: this byte is the next exchange, or the end.
            return Ok(Continue(()));
        }
        self.wire.count(Fault::CloseIdle.explain());
        Ok(Break(()))
    }

    fn break_request(&mut self, fault: Fault) -> Flow {
        let mut bytes = [0; 4096];
        let len = self.client.peek(&mut bytes)?;
        if len == 0 {
            return Ok(Break(()));
        }
        self.wire.count(fault.explain());
        if fault != Fault::ResetUnreadRequest {
            let part = self.part_of(&bytes[..len]);
            self.client.read_exact(&mut vec![0; part])?;
        }
        if fault == Fault::CloseMidRequest {
            self.client.shutdown(Shutdown::Write)?;
            // Unread bytes would cause a reset.
            self.client.read_to_end(&mut Vec::new())?;
        }
        Ok(Break(()))
    }

    /// After a complete request: sends the server's response if there is a slot, else 503.
    fn pass_on(&mut self, fault: Fault, request: &[u8]) -> Flow {
        if self.side.is_out.load(Relaxed) {
            self.wire.count(Fault::Outage.explain());
            return Ok(Break(()));
        }
        let marker = marker_in(request);
        let slot = Slot::take(self.side);
        if slot.is_none() && marker.is_some() {
            self.wire.count(Fault::Busy.explain());
            return self.client.write_all(BUSY.as_bytes()).map(Break);
        }
        self.server.write_all(request)?;
        let response = self.read_response()?;
        // Before the client can send the next request.
        drop(slot);
        self.respond(fault, &response, marker.as_deref())
    }

    fn respond(&mut self, fault: Fault, response: &[u8], marker: Option<&str>) -> Flow {
        if let Some(marker) = marker.filter(|_| response.starts_with(CLEAN.as_bytes())) {
            self.wire.cleared.lock().unwrap().insert(marker.to_owned());
        }
        let part = self.part_of(response);
        let stray = match self.random.below(2) {
            0 => Stray::Clean,
            _ => Stray::Infected,
        };
        let fault = match fault {
            // Many scans wait for options, so these come in time.
            Fault::SlowDrip if marker.is_none() => Fault::Drip,
            fault => fault,
        };
        match fault {
            Fault::StrayAtOnce | Fault::StrayOnIdle => {
                self.tell(response, marker)?;
                return self.send_stray(fault, stray);
            }
            Fault::CloseBeforeResponse | Fault::ResetBeforeResponse => {}
            Fault::CloseMidResponse | Fault::ResetMidResponse => {
                self.tell(&response[..part], marker)?;
            }
            Fault::Drip => self.drip(response, DRIP, marker)?,
            // The part that comes in time is unknown.
            Fault::SlowDrip => {
                self.wire.count(fault.explain());
                self.drip(response, SLOW_DRIP, None)?;
                return Ok(Break(()));
            }
            Fault::DelayMidResponse => {
                self.tell(&response[..part], marker)?;
                pause(&mut self.random);
                self.client.write_all(&response[part..])?;
            }
            Fault::StrayBehind => {
                self.tell(&[response, &stray.bytes()].concat(), marker)?;
                self.wire.count(fault.explain());
                return self.end_after(stray, ASKED_BEHIND);
            }
            Fault::Delay => {
                pause(&mut self.random);
                self.tell(response, marker)?;
            }
            _ => self.tell(response, marker)?,
        }
        self.wire.count(fault.explain());
        Ok(if fault.goes_on() {
            Continue(())
        } else {
            Break(())
        })
    }

    /// Sends a response, and records whether it names a threat.
    fn tell(&mut self, sent: &[u8], marker: Option<&str>) -> io::Result<()> {
        self.client.write_all(sent)?;
        self.note_told(sent, marker);
        Ok(())
    }

    fn note_told(&self, sent: &[u8], marker: Option<&str>) {
        if let Some(marker) = marker.filter(|marker| tells(sent, marker)) {
            self.wire.told.lock().unwrap().insert(marker.to_owned());
        }
    }

    /// Byte by byte.
    fn drip(&mut self, response: &[u8], pause: Duration, marker: Option<&str>) -> io::Result<()> {
        for byte in response.chunks(1) {
            thread::sleep(pause);
            self.client.write_all(byte)?;
        }
        self.note_told(response, marker);
        Ok(())
    }

    /// Sends a stray response while no request is outstanding, as far as the proxy can know.
    fn send_stray(&mut self, fault: Fault, stray: Stray) -> Flow {
        let bytes = stray.bytes();
        if fault == Fault::StrayOnIdle && self.await_byte()? {
            return Ok(Continue(()));
        }
        self.client.set_nonblocking(true)?;
        // Nothing may come between this look and the write.
        let sent = match self.client.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.client.write(&bytes),
            _ => Ok(0),
        };
        self.client.set_nonblocking(false)?;
        if sent? == 0 {
            return Ok(Continue(()));
        }
        self.wire.count(fault.explain());
        self.end_after(stray, CROSSED)
    }

    /// After a stray response, only the end may come. A request gets no response.
    fn end_after(&mut self, stray: Stray, otherwise: &str) -> Flow {
        // A client that takes the stray response for an early one does not send the rest of its request.
        if let Came::All(request) | Came::Part(request) = self.read_request(false, false)? {
            if !request.is_empty() {
                self.wire.count(otherwise);
            }
            if let Some(marker) = marker_in(&request) {
                self.wire.crossed.lock().unwrap().insert(marker, stray);
            }
        }
        Ok(Break(()))
    }

    /// Waits for a time for a byte of the client; true if a byte or the end came.
    fn await_byte(&mut self) -> io::Result<bool> {
        let limit = Duration::from_millis(1 + self.random.below(20));
        self.client.set_read_timeout(Some(limit))?;
        let came = match self.client.peek(&mut [0]) {
            Ok(_) => Ok(true),
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(error),
        };
        self.client.set_read_timeout(None)?;
        came
    }

    /// A length that is more than zero and less than all.
    fn part_of(&mut self, bytes: &[u8]) -> usize {
        let rest = bytes.len().saturating_sub(1).max(1);
        1 + usize::try_from(self.random.below(rest as u64)).unwrap()
    }

    /// Reads a complete request, unless its content is held back and gets an early response.
    fn read_request(&mut self, leave_last_byte: bool, mut may_be_held: bool) -> io::Result<Came> {
        let mut request = Vec::new();
        let mut room = [0; 16 * 1024];
        loop {
            let len = match self.client.peek(&mut room) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                peeked => peeked?,
            };
            request.extend_from_slice(&room[..len]);
            let is_whole = is_whole(&request);
            let taken = len - usize::from(is_whole && leave_last_byte);
            self.client.read_exact(&mut room[..taken])?;
            if is_whole {
                return Ok(Came::All(request));
            }
            if len == 0 {
                return Ok(Came::Part(request));
            }
            if may_be_held && is_held(&request) {
                may_be_held = false;
                if self.respond_early(&request)? {
                    // A reset would discard what was sent.
                    self.client.read_to_end(&mut Vec::new())?;
                    return Ok(Came::Some);
                }
            }
        }
    }

    /// Responds to content that is held back, unless that has ended. True if something was sent.
    fn respond_early(&mut self, request: &[u8]) -> io::Result<bool> {
        let Some(marker) = marker_in(request) else {
            return Ok(false);
        };
        // The content continues when this lock is free.
        let mut decided = self.wire.early.lock().unwrap();
        if decided.contains_key(&marker) {
            return Ok(false);
        }
        let (early, response) = match self.random.below(5) {
            0 => (Early::Clean, CLEAN.into()),
            1 => (
                Early::Echo,
                testing::echo("HTTP/1.1 200 OK\r\n\r\n", b"clean"),
            ),
            2 => (Early::Infected, testing::infected(&marker)),
            3 => (Early::Refused, REFUSED.into()),
            _ => (Early::None, Vec::new()),
        };
        let early = if self.side.is_calm.load(Relaxed) {
            Early::None
        } else {
            early
        };
        if early != Early::None {
            self.wire.count(Fault::Early.explain());
            self.client.write_all(&response)?;
        }
        if early == Early::Infected {
            self.wire.told.lock().unwrap().insert(marker.clone());
        }
        decided.insert(marker, early);
        self.wire.early_is_decided.notify_all();
        Ok(early != Early::None)
    }

    fn read_response(&mut self) -> io::Result<Vec<u8>> {
        let mut response = Vec::new();
        let mut room = [0; 4096];
        while !is_whole(&response) {
            match self.server.read(&mut room)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => response.extend_from_slice(&room[..len]),
            }
        }
        Ok(response)
    }
}

/// A slot of a server.
struct Slot<'s>(&'s Side);

impl<'s> Slot<'s> {
    fn take(side: &'s Side) -> Option<Self> {
        let slot = Self(side);
        let before = side.busy.fetch_add(1, Relaxed);
        Some(slot).filter(|_| before < SLOTS)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

fn pause(random: &mut Random) {
    thread::sleep(Duration::from_millis(1 + random.below(5)));
}

/// The marker of the content in a request.
fn marker_in(request: &[u8]) -> Option<String> {
    let at = find(request, MARKER.as_bytes())?;
    let len = request[at..].iter().position(|&byte| byte == b' ')?;
    Some(String::from_utf8_lossy(&request[at..at + len]).into_owned())
}

fn is_held(request: &[u8]) -> bool {
    find(request, HELD.as_bytes()).is_some()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|word| word == what)
}

/// Whether the field that names the threat is there, with one more byte that does not continue it.
fn tells(sent: &[u8], marker: &str) -> bool {
    let field = format!("Threat={marker};\r\n");
    find(sent, field.as_bytes()).is_some_and(|at| at + field.len() < sent.len())
}

/// Whether a message has ended. This is enough for the messages of this test: each body ends with its only empty
/// chunk.
fn is_whole(message: &[u8]) -> bool {
    let has_no_body = || find(message, b"null-body").is_some();
    if message.ends_with(b"\r\n0\r\n\r\n") {
        return true;
    }
    message.ends_with(b"\r\n\r\n") && has_no_body()
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
