//! A connection without a socket. The server is a list of steps, and the transport follows its conditions. Both
//! depend only on the bytes, so every run is the same.
//!
//! It does not model TCP's timing. A wait that would never end takes the client's timeout, by a [`Time`] that passes
//! only there, so no test waits.

mod framer;
mod line;

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use icap_client::transport::{Clock, Readiness};
use icap_client::{Connect, ServiceUri, Stream};
use line::Line;

/// A step of the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Waits for the end of one more request, or of its preview.
    Request,
    /// Waits for the end of the rest after a preview.
    Rest,
    /// Waits until this number of bytes was received in total.
    Received(u64),
    Send(Vec<u8>),
    /// Sends the first response if the last request was `OPTIONS`, and otherwise the second.
    Respond(Vec<u8>, Vec<u8>),
    /// Sends back what was received.
    Echo,
    /// Waits until the test continues it.
    Later,
    /// Reads no more bytes.
    Block,
    Close,
    HalfClose,
    Reset,
}

/// How the client's reads split the bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pieces {
    /// As they were sent.
    Whole,
    /// In single bytes.
    Single,
    /// In two reads on the first connection: this number of bytes, and the rest.
    SplitAt(usize),
}

/// A fault of a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Close,
    Reset,
    /// Nothing moves any more.
    Stall,
    /// These bytes come, and then the end of the stream.
    Garbage(&'static [u8]),
    /// These bytes come among the others.
    Insert(&'static [u8]),
}

/// The conditions of the transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) pieces: Pieces,
    /// The most bytes of one write.
    pub(crate) write_limit: usize,
    /// Each n-th read or write is interrupted or finds nothing.
    pub(crate) reluctance: Option<u32>,
    /// On the first connection, after this number of bytes from the server.
    pub(crate) down: Option<(usize, Fault)>,
    /// On the first connection, after this number of bytes from the client.
    pub(crate) up: Option<(u64, Fault)>,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            pieces: Pieces::Whole,
            write_limit: usize::MAX,
            reluctance: None,
            down: None,
            up: None,
        }
    }
}

/// Time that passes where a call waits, and by [`advance`](Self::advance).
#[derive(Clone)]
pub(crate) struct Time(Arc<Mutex<Instant>>);

impl Time {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Time {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn now_for_waits(&self) -> Instant {
        self.now()
    }
}

/// A server, and the connections to it so far.
#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<State>>);

struct State {
    /// One for each connection; the last one is for all that follow.
    scripts: Vec<Vec<Step>>,
    conditions: Conditions,
    lines: Vec<Arc<Mutex<Line>>>,
    time: Time,
}

impl Network {
    pub(crate) fn new(scripts: Vec<Vec<Step>>, conditions: Conditions) -> Self {
        Self(Arc::new(Mutex::new(State {
            scripts,
            conditions,
            lines: Vec::new(),
            time: Time::new(),
        })))
    }

    /// The clock of the client.
    pub(crate) fn time(&self) -> Time {
        self.lock().time.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.lock().lines.len()
    }

    /// What the server received on a connection, up to a mebibyte.
    pub(crate) fn received(&self, connection: usize) -> Vec<u8> {
        self.on(connection, |line| line.received.clone())
    }

    /// The number of bytes that the server received on a connection.
    pub(crate) fn received_len(&self, connection: usize) -> u64 {
        self.on(connection, |line| line.received_len)
    }

    /// Whether the fault came after a complete request, and before its response.
    pub(crate) fn struck_for_response(&self) -> bool {
        self.on(0, |line| line.struck_for_response)
    }

    /// The number of bytes that the client has read on a connection.
    pub(crate) fn delivered(&self, connection: usize) -> usize {
        self.on(connection, |line| line.delivered)
    }

    /// Ends [`Step::Later`] on all connections.
    pub(crate) fn later(&self) {
        for line in &self.lock().lines {
            line.lock().unwrap().later();
        }
    }

    /// Nothing, for a connection that was never made.
    fn on<T: Default>(&self, connection: usize, get: impl FnOnce(&Line) -> T) -> T {
        let line = self.lock().lines.get(connection).map(Arc::clone);
        line.map_or_else(T::default, |line| get(&line.lock().unwrap()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Connect for Network {
    fn connect(&self, _: &ServiceUri, _: Duration) -> io::Result<Box<dyn Stream>> {
        let mut state = self.lock();
        let number = state.lines.len();
        let script = state.scripts.get(number).or(state.scripts.last());
        let mut conditions = state.conditions;
        if number > 0 {
            (conditions.down, conditions.up) = (None, None);
            conditions.pieces = match conditions.pieces {
                Pieces::SplitAt(_) => Pieces::Whole,
                pieces => pieces,
            };
        }
        let mut line = Line::new(script.cloned().unwrap_or_default(), conditions);
        line.play();
        let line = Arc::new(Mutex::new(line));
        state.lines.push(Arc::clone(&line));
        Ok(Box::new(Wire {
            line,
            time: state.time.clone(),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
        }))
    }
}

/// The client's end.
struct Wire {
    line: Arc<Mutex<Line>>,
    time: Time,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Wire {
    /// A call that finds nothing takes its timeout, unless the conditions made it find nothing.
    fn wait(&self, error: &io::Error, timeout: Duration) {
        let is_pretence = self.line.lock().unwrap().balked();
        if error.kind() == ErrorKind::WouldBlock && !is_pretence {
            self.time.advance(timeout);
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.line.lock().unwrap().read(buf);
        result.inspect_err(|error| self.wait(error, self.read_timeout))
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let result = self.line.lock().unwrap().write(buf);
        result.inspect_err(|error| self.wait(error, self.write_timeout))
    }

    fn write_vectored(&mut self, _: &[io::IoSlice<'_>]) -> io::Result<usize> {
        panic!("on a socket this raises SIGPIPE where that signal is at its default");
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Wire {
    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero());
        self.read_timeout = timeout;
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        assert!(!timeout.is_zero());
        self.write_timeout = timeout;
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        self.line.lock().unwrap().readiness()
    }
}
