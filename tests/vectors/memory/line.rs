//! The server's side of one connection in memory.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};

use icap_client::transport::Readiness;

use super::framer::Framer;
use super::{Conditions, Fault, Pieces, Step};

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// The server sends nothing more, and still reads.
    Half,
    Closed,
    /// The next call without other results reports it. After that, the connection is closed.
    Reset,
    /// Nothing moves any more.
    Stalled,
}

/// The server's side of one connection.
pub(super) struct Line {
    steps: VecDeque<Step>,
    conditions: Conditions,
    framer: Framer,
    pub(super) received: Vec<u8>,
    pub(super) received_len: u64,
    /// The bytes that have arrived at the client and were not read.
    inbox: VecDeque<u8>,
    /// The number of bytes that arrived in total, and the number that was read.
    arrived: usize,
    pub(super) delivered: usize,
    /// Whether the server has sent a byte since the last request.
    is_responding: bool,
    /// The fault came in place of a response, after a complete request.
    pub(super) struck_for_response: bool,
    end: Option<End>,
    calls: u32,
}

impl Line {
    pub(super) fn new(steps: Vec<Step>, conditions: Conditions) -> Self {
        Self {
            steps: steps.into(),
            conditions,
            framer: Framer::default(),
            received: Vec::new(),
            received_len: 0,
            inbox: VecDeque::new(),
            arrived: 0,
            delivered: 0,
            is_responding: false,
            struck_for_response: false,
            end: None,
            calls: 0,
        }
    }

    /// Plays all steps that are possible now.
    pub(super) fn play(&mut self) {
        if let Some((_, fault)) = self
            .conditions
            .up
            .filter(|&(at, _)| self.received_len == at)
        {
            self.strike(fault);
        }
        while self.end.is_none() {
            match self.steps.front() {
                Some(Step::Request) if self.framer.take_request() => self.is_responding = false,
                Some(Step::Rest) if self.framer.take_rest() => self.is_responding = false,
                Some(&Step::Received(len)) if self.received_len >= len => {}
                Some(
                    Step::Request | Step::Rest | Step::Received(_) | Step::Later | Step::Block,
                ) => {
                    return;
                }
                Some(_) => {}
                None => return,
            }
            match self.steps.pop_front() {
                Some(Step::Send(bytes)) => self.send(&bytes),
                Some(Step::Respond(options, _)) if self.framer.is_options() => self.send(&options),
                Some(Step::Respond(_, other)) => self.send(&other),
                Some(Step::Echo) => self.send(&self.received.clone()),
                Some(Step::Close) => self.end = Some(End::Closed),
                Some(Step::HalfClose) => self.end = Some(End::Half),
                Some(Step::Reset) => self.end = Some(End::Reset),
                _ => {}
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let room = self
            .conditions
            .down
            .map_or(usize::MAX, |(at, _)| at - self.arrived);
        let now = bytes.len().min(room);
        self.inbox.extend(&bytes[..now]);
        self.arrived += now;
        self.is_responding |= now > 0;
        if let Some((_, fault)) = self.conditions.down.filter(|&(at, _)| self.arrived == at) {
            self.strike(fault);
        }
        if now < bytes.len() && self.end.is_none() {
            self.send(&bytes[now..]);
        }
    }

    fn strike(&mut self, fault: Fault) {
        let is_asked = !self.is_responding && self.framer.is_between() && self.received_len > 0;
        self.struck_for_response = is_asked || self.framer.has_more();
        (self.conditions.down, self.conditions.up) = (None, None);
        match fault {
            Fault::Close => self.end = Some(End::Closed),
            Fault::Reset => self.end = Some(End::Reset),
            Fault::Stall => self.end = Some(End::Stalled),
            Fault::Garbage(bytes) => {
                self.inbox.extend(bytes);
                self.end = Some(End::Closed);
            }
            Fault::Insert(bytes) => self.inbox.extend(bytes),
        }
    }

    /// Ends a [`Step::Later`].
    pub(super) fn later(&mut self) {
        if self.steps.front() == Some(&Step::Later) {
            self.steps.pop_front();
        }
        self.play();
    }

    /// Whether the last call was made to find nothing.
    pub(super) fn balked(&self) -> bool {
        let reluctance = self.conditions.reluctance;
        reluctance.is_some_and(|each| self.calls % each == 0)
    }

    /// Counts a call, and makes each n-th find nothing.
    fn balks(&mut self) -> Option<ErrorKind> {
        let each = self.conditions.reluctance?;
        self.calls += 1;
        let kinds = [
            ErrorKind::Interrupted,
            ErrorKind::WouldBlock,
            ErrorKind::TimedOut,
        ];
        (self.calls % each == 0).then(|| kinds[(self.calls / each) as usize % kinds.len()])
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(kind) = self.balks() {
            return Err(kind.into());
        }
        if self.inbox.is_empty() {
            return match self.end {
                None | Some(End::Stalled) => Err(ErrorKind::WouldBlock.into()),
                Some(End::Reset) => Err(self.reset()),
                Some(End::Half | End::Closed) => Ok(0),
            };
        }
        let piece = match self.conditions.pieces {
            Pieces::Single => 1,
            Pieces::SplitAt(at) if self.delivered < at => at - self.delivered,
            _ => usize::MAX,
        };
        let len = piece.min(buf.len()).min(self.inbox.len());
        self.inbox.read_exact(&mut buf[..len])?;
        self.delivered += len;
        Ok(len)
    }

    pub(super) fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Some(kind) = self.balks() {
            return Err(kind.into());
        }
        match self.end {
            Some(End::Closed) => return Err(ErrorKind::BrokenPipe.into()),
            Some(End::Reset) => return Err(self.reset()),
            Some(End::Stalled) => return Err(ErrorKind::WouldBlock.into()),
            Some(End::Half) | None if self.steps.front() == Some(&Step::Block) => {
                return Err(ErrorKind::WouldBlock.into());
            }
            Some(End::Half) | None => {}
        }
        let len = buf
            .len()
            .min(self.conditions.write_limit)
            .min(self.until_something_happens());
        self.framer.feed(&buf[..len]);
        self.received_len += len as u64;
        let room = (1 << 20) - self.received.len().min(1 << 20);
        self.received.extend_from_slice(&buf[..len.min(room)]);
        self.play();
        Ok(len)
    }

    /// No write goes beyond the byte that triggers the server's next step.
    fn until_something_happens(&self) -> usize {
        let fault = self.conditions.up.map(|(at, _)| at);
        let step = match self.steps.front() {
            Some(&Step::Received(len)) => Some(len),
            _ => None,
        };
        let next = [fault, step].into_iter().flatten();
        let left = next.map(|at| at - self.received_len).min();
        left.map_or(usize::MAX, |left| usize::try_from(left).unwrap())
    }

    fn reset(&mut self) -> io::Error {
        self.end = Some(End::Closed);
        ErrorKind::ConnectionReset.into()
    }

    pub(super) fn readiness(&mut self) -> io::Result<Readiness> {
        if !self.inbox.is_empty() {
            return Ok(Readiness::Readable);
        }
        match self.end {
            None | Some(End::Stalled) => Ok(Readiness::Idle),
            Some(End::Reset) => Err(self.reset()),
            Some(End::Half | End::Closed) => Ok(Readiness::Closed),
        }
    }
}
