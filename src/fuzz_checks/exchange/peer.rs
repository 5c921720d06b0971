//! A server that does what a script says, and writes down all that is said on its connections.
//!
//! It is a [`Stream`] in memory, so nothing waits: a stall is an error that says so, a bounded number of
//! times, and a server that has nothing more to say ends the connection as soon as it is waited for.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::script::{Event, KINDS, RecordEnd, WHILE, echo, part, scripts};
use crate::fuzz_checks::input::Input;
use crate::net::cancel::Cancel;
use crate::net::transport::{Connect, Readiness, Stream};
use crate::proto::uri::ServiceUri;

/// Reads that find nothing in a record that has begun, though the stream says that something is there.
const TORN_READS: u8 = 3;
/// Bytes that are sent ahead at most.
const FLOOD: usize = 256 * 1024;

/// What was said on a connection, and when.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The name of the service that was connected to.
    pub(super) service: String,
    pub(super) written: Vec<u8>,
    /// From which byte on what was written belongs to which scan.
    pub(super) writes: Vec<(usize, usize)>,
    pub(super) read: Vec<u8>,
    pub(super) reads: Vec<Run>,
    /// The scan in which the client met a record that is bad or has no end.
    pub(super) broken_in: Option<usize>,
}

/// Bytes that were read at once.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) len: usize,
    pub(super) scan: usize,
    /// Bytes the client had written when the server sent them, and when they were read.
    pub(super) sent_at: usize,
    pub(super) read_at: usize,
    /// The same when the client could know that they had begun to come.
    pub(super) seen_at: usize,
}

/// Bytes on their way to the client.
#[derive(Debug)]
struct Sent {
    bytes: Vec<u8>,
    /// Bytes the client had written when the first of these was sent.
    at: usize,
    /// The same when the client looked next.
    seen_at: Option<usize>,
}

/// The server, and what it has seen.
#[derive(Debug)]
pub(super) struct World {
    pub(super) records: Vec<Record>,
    pub(super) contents: Vec<Vec<u8>>,
    /// Which service the client has tried to reach in which scan.
    pub(super) asked: Vec<(usize, String)>,
    /// The scan the client is busy with.
    pub(super) scan: usize,
    scripts: VecDeque<VecDeque<Event>>,
    /// How often a stream was asked for anything, and how often it may be.
    pub(super) steps: usize,
    max_steps: usize,
    /// What cancels the present scan, and at which step.
    pub(super) cancel: Option<(Cancel, usize)>,
}

/// A handle of the server, for the client and for the check.
#[derive(Clone)]
pub(super) struct Server(Arc<Mutex<World>>);

impl Server {
    pub(super) fn new(contents: Vec<Vec<u8>>, input: &mut Input<'_>) -> Self {
        let scripts = scripts(input);
        let events: usize = scripts.iter().map(VecDeque::len).sum();
        let bytes: usize = contents.iter().map(Vec::len).sum();
        Self(Arc::new(Mutex::new(World {
            records: Vec::new(),
            contents,
            asked: Vec::new(),
            scan: 0,
            scripts,
            steps: 0,
            max_steps: 2000 + events * 8 * WHILE + bytes,
            cancel: None,
        })))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no check panics while it holds this")
    }
}

impl Connect for Server {
    fn connect(&self, service: &ServiceUri, _timeout: Duration) -> io::Result<Box<dyn Stream>> {
        let mut world = self.world();
        let scan = world.scan;
        world.asked.push((scan, service.to_string()));
        let script = world.scripts.pop_front();
        let script = script.ok_or(io::ErrorKind::ConnectionRefused)?;
        let id = world.records.len();
        world.records.push(Record {
            service: service.to_string(),
            ..Record::default()
        });
        Ok(Box::new(Connection {
            server: self.clone(),
            id,
            script,
            ..Connection::idle(self.clone())
        }))
    }
}

/// One connection to the server.
struct Connection {
    server: Server,
    id: usize,
    script: VecDeque<Event>,
    /// Sent and not read.
    sent: VecDeque<Sent>,
    /// The record that has begun and not ended.
    record: Option<Sent>,
    /// How often a read still finds nothing where this stream said that something is there.
    torn_reads: u8,
    is_torn: bool,
    is_exact: bool,
    /// A record could not be decrypted.
    is_bad: bool,
    /// When what was read last began to come.
    arrival: Option<u64>,
    /// The limit, and for how many operations more it holds.
    read_limit: (usize, usize),
    write_limit: (usize, usize),
    stalls: u8,
    read_error: Option<io::ErrorKind>,
    write_error: Option<io::ErrorKind>,
    is_closed: bool,
    is_reset: bool,
    /// Bytes written, and the scan, when the server began to wait for more.
    waiting_since: Option<(usize, usize)>,
}

impl Connection {
    fn idle(server: Server) -> Self {
        Self {
            server,
            id: 0,
            script: VecDeque::new(),
            sent: VecDeque::new(),
            record: None,
            torn_reads: 0,
            is_torn: false,
            is_exact: false,
            is_bad: false,
            arrival: None,
            read_limit: (0, 0),
            write_limit: (0, 0),
            stalls: 0,
            read_error: None,
            write_error: None,
            is_closed: false,
            is_reset: false,
            waiting_since: None,
        }
    }

    /// Counts an operation, and does what the script says up to where it waits.
    fn advance(&mut self, is_waited_for: bool) {
        let server = self.server.clone();
        let mut world = server.world();
        world.steps += 1;
        assert!(world.steps < world.max_steps, "it does not come to an end");
        if let Some((cancel, _)) = world.cancel.as_ref().filter(|(_, at)| *at == world.steps) {
            cancel.cancel();
        }
        let written = world.records[self.id].written.len();
        while let Some(event) = self.script.front() {
            let (bytes_then, scan_then) = *self.waiting_since.get_or_insert((written, world.scan));
            let is_starved = is_waited_for && self.sent.is_empty();
            let waits = match event {
                Event::AwaitRead => !is_starved,
                Event::AwaitBytes(more) => written < bytes_then + more && !is_starved,
                Event::AwaitNextScan => world.scan == scan_then,
                _ => false,
            };
            if waits || self.is_closed || self.is_reset {
                return;
            }
            self.waiting_since = None;
            if let Some(event) = self.script.pop_front() {
                self.act(event, &world, written);
            }
        }
    }

    fn act(&mut self, event: Event, world: &World, written: usize) {
        match event {
            Event::Send(bytes) => self.send(&bytes, written),
            Event::Echo => self.send(&echo(&world.contents[world.scan], ""), written),
            Event::EchoPart(parts) => self.send(&part(&world.contents[world.scan], parts), written),
            Event::AwaitRead | Event::AwaitBytes(_) | Event::AwaitNextScan => {}
            Event::LimitReads(limit) => self.read_limit = (limit, WHILE),
            Event::LimitWrites(limit) => self.write_limit = (limit, WHILE),
            Event::Stall(count) => self.stalls = count,
            Event::FailRead(kind) => self.read_error = Some(kind),
            Event::FailWrite(kind) => self.write_error = Some(kind),
            Event::Close => self.is_closed = true,
            Event::Reset => self.is_reset = true,
            Event::BeginRecord { is_exact } => self.begin_record(is_exact, written),
            Event::EndRecord(end) => self.end_record(end),
        }
    }

    fn begin_record(&mut self, is_exact: bool, written: usize) {
        if self.record.is_some() || self.is_bad {
            return;
        }
        self.is_exact |= is_exact;
        self.torn_reads = TORN_READS;
        self.record = Some(Sent {
            bytes: Vec::new(),
            at: written,
            seen_at: None,
        });
    }

    fn end_record(&mut self, end: RecordEnd) {
        let Some(record) = self.record.take() else {
            return;
        };
        match end {
            RecordEnd::Data if !record.bytes.is_empty() => self.sent.push_back(record),
            RecordEnd::Data | RecordEnd::Nothing => {}
            RecordEnd::Bad => self.is_bad = true,
        }
    }

    fn send(&mut self, bytes: &[u8], written: usize) {
        let all = self.sent.iter().chain(&self.record);
        let waiting: usize = all.map(|sent| sent.bytes.len()).sum();
        if waiting >= FLOOD || bytes.is_empty() || self.is_bad {
            return;
        }
        match &mut self.record {
            Some(record) => record.bytes.extend_from_slice(bytes),
            None => self.sent.push_back(Sent {
                bytes: bytes.to_vec(),
                at: written,
                seen_at: None,
            }),
        }
    }

    /// The client, or this stream for it, takes note of what has come.
    fn see(&mut self) {
        let written = self.server.world().records[self.id].written.len();
        for sent in self.sent.iter_mut().chain(&mut self.record) {
            sent.seen_at.get_or_insert(written);
        }
    }

    /// What there is to say where no bytes are, and why.
    fn broken(&self) -> Option<io::Error> {
        let is_cut = self.record.is_some();
        let kind = match self.is_bad {
            true => io::ErrorKind::InvalidData,
            false if is_cut => io::ErrorKind::UnexpectedEof,
            false => return None,
        };
        let mut world = self.server.world();
        world.records[self.id].broken_in = Some(world.scan);
        Some(kind.into())
    }

    fn stall(&mut self) -> io::Result<()> {
        if self.stalls == 0 {
            return Ok(());
        }
        self.stalls -= 1;
        Err(KINDS[2 + usize::from(self.stalls % 3)].into())
    }
}

fn limited(limit: &mut (usize, usize), len: usize) -> usize {
    if limit.1 == 0 {
        return len;
    }
    limit.1 -= 1;
    len.min(limit.0)
}

impl Read for Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.is_torn) && self.torn_reads > 0 {
            self.torn_reads -= 1;
            self.advance(false);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.advance(true);
        if self.is_exact {
            self.see();
        }
        if let Some(kind) = self.read_error.take() {
            return Err(kind.into());
        }
        self.stall()?;
        let Some(sent) = self.sent.pop_front() else {
            return match (self.broken(), self.is_reset) {
                (Some(error), _) => Err(error),
                (None, true) => Err(io::ErrorKind::ConnectionReset.into()),
                (None, false) => Ok(0),
            };
        };
        let Sent { bytes, at, seen_at } = sent;
        let len = limited(&mut self.read_limit, buf.len()).min(bytes.len());
        let (now, later) = bytes.split_at(len);
        buf[..len].copy_from_slice(now);
        if !later.is_empty() {
            self.sent.push_front(Sent {
                bytes: later.to_vec(),
                at,
                seen_at,
            });
        }
        let mut world = self.server.world();
        let scan = world.scan;
        let record = &mut world.records[self.id];
        record.read.extend_from_slice(now);
        let read_at = record.written.len();
        let seen_at = seen_at.unwrap_or(read_at);
        record.reads.push(Run {
            len,
            scan,
            sent_at: at,
            read_at,
            seen_at,
        });
        self.arrival = Some(seen_at as u64);
        Ok(len)
    }
}

impl Write for Connection {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.advance(false);
        if let Some(kind) = self.write_error.take() {
            return Err(kind.into());
        }
        self.stall()?;
        if self.is_bad && self.sent.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.is_reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let len = limited(&mut self.write_limit, buf.len());
        {
            let mut world = self.server.world();
            let scan = world.scan;
            let record = &mut world.records[self.id];
            record.writes.push((record.written.len(), scan));
            record.written.extend_from_slice(&buf[..len]);
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Connection {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero());
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero());
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.advance(false);
        self.see();
        if !self.sent.is_empty() {
            return Ok(Readiness::Readable);
        }
        let is_over = self.is_bad || self.is_reset || self.is_closed;
        if let Some(error) = is_over.then(|| self.broken()).flatten() {
            return Err(error);
        }
        if self.record.is_some() {
            self.is_torn = !self.is_exact;
            return Ok(match self.is_exact {
                true => Readiness::Partial,
                false => Readiness::Readable,
            });
        }
        if self.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(match self.is_closed {
            true => Readiness::Closed,
            false => Readiness::Idle,
        })
    }

    fn written_at_arrival(&self) -> Option<u64> {
        self.arrival.filter(|_| self.is_exact)
    }
}
