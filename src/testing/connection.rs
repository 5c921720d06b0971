//! The server's end of one connection: it reads requests and plays scripts.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::conversation::Conversation;
use super::engine::Engine;
use super::gate::Gate;
use super::healthy::{MAX_RETURNED_BODY, scan};
use super::offer::{Offer, Refusal, check_http_heads};
use super::received::Received;
use super::responses::{CLEAN, CONTINUE};
use super::script::{Script, Step};
use super::shared::{Behaviour, PATIENCE, Phase, Shared};
use crate::proto::chunk::{ChunkDecoder, Decoded};
use crate::proto::encapsulated::BodyKind;
use crate::proto::head::HeadFinder;
use crate::proto::limits::MAX_HEAD;

/// The most bytes of one read.
const INPUT_BUFFER: usize = 256 * 1024;

/// The most bytes that are kept of one connection.
const MAX_RECORDED: usize = 16 * 1024 * 1024;

/// The most bytes that are kept of a request's body.
const MAX_KEPT_BODY: usize = 64 * 1024;

/// The time between two looks at a gate.
const GATE_INTERVAL: Duration = Duration::from_millis(1);

/// Why a script ends before its last step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The script closes the connection, or the client did.
    Closed,
    /// The script resets the connection.
    Reset,
    /// The request is invalid or was not offered.
    Refused(Refusal),
}

/// The server's end of one connection.
pub(super) struct Connection<'s> {
    shared: &'s Shared,
    number: usize,
    stream: Arc<TcpStream>,
    input: Vec<u8>,
    /// The part of `input` that was read and not used.
    unused: Range<usize>,
    /// The last received byte is still in the socket.
    last_byte_is_left: bool,
    /// Of the last request, only a preview was read that was not the whole body.
    rest_is_left: bool,
    conversation: Conversation,
}

impl<'s> Connection<'s> {
    pub(super) fn new(shared: &'s Shared, number: usize, stream: Arc<TcpStream>) -> Self {
        Self {
            shared,
            number,
            stream,
            input: vec![0; INPUT_BUFFER],
            unused: 0..0,
            last_byte_is_left: false,
            rest_is_left: false,
            conversation: Conversation::new(),
        }
    }

    pub(super) fn run(mut self) {
        // Only a test's own code panics. The panic was reported, and ends this connection only.
        let result = catch_unwind(AssertUnwindSafe(|| self.serve()));
        if !matches!(result, Ok(Err(Over::Reset))) {
            self.take_last_byte();
            // If the client is still sending, the end of the stream leaves before a reset.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        self.shared.connection_ended(self.number, self.conversation);
    }

    fn serve(&mut self) -> Result<(), Over> {
        let shared = self.shared;
        match &shared.behaviour {
            Behaviour::Scan => self.respond_to_all(|connection, mut request| {
                let engine = shared.engine().unwrap_or_default();
                if request.is_answered {
                    return Ok(Script::new());
                }
                connection.read_on(&mut request, engine)?;
                Ok(scan(&request, &shared.offer(), engine))
            }),
            Behaviour::Respond(respond) => self.respond_to_all(|_, request| {
                let script = respond(&request);
                if request.method() == "OPTIONS" {
                    shared.has_offered(&script.sent());
                }
                Ok(script)
            }),
            Behaviour::Play(scripts) => match scripts.get(self.number).or(scripts.last()) {
                Some(script) => self.play(script),
                None => Ok(()),
            },
        }
    }

    fn respond_to_all(
        &mut self,
        respond: impl Fn(&mut Self, Received) -> Result<Script, Over>,
    ) -> Result<(), Over> {
        loop {
            let request = self.read_request();
            match request.and_then(|request| respond(self, request)) {
                Ok(script) => self.play(&script)?,
                Err(Over::Refused(why)) => return self.send(why.response().as_bytes()),
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
            Step::ReadRest => self.read_rest(|_| {}),
            Step::ReadBytes(n) => self.take(*n, |_| {}),
            Step::ReadToEnd => {
                let _ = self.take(u64::MAX, |_| {});
                Ok(())
            }
            Step::Send(bytes) => self.send(bytes),
            Step::Dribble(bytes, pause) => bytes.chunks(1).try_for_each(|byte| {
                self.pause(*pause)?;
                self.send(byte)
            }),
            Step::Wait(pause) => self.pause(*pause),
            Step::WaitFor(gate) => self.wait_for(gate),
            Step::Hold => Err(self.hold()),
            Step::Close => Err(Over::Closed),
            Step::HalfClose => {
                let _ = self.stream.shutdown(Shutdown::Write);
                Ok(())
            }
            Step::Reset => Err(self.await_reset()),
        }
    }

    fn pause(&self, pause: Duration) -> Result<(), Over> {
        if self.shared.pause(pause) {
            Ok(())
        } else {
            Err(Over::Closed)
        }
    }

    fn wait_for(&self, gate: &Gate) -> Result<(), Over> {
        while !gate.is_open() {
            self.pause(GATE_INTERVAL)?;
        }
        Ok(())
    }

    /// Waits for the end of the server, then checks whether the client has closed.
    fn hold(&mut self) -> Over {
        self.shared.hold();
        let _ = self.stream.set_nonblocking(true);
        // Bounded, because a client may send without end.
        self.take(MAX_RECORDED as u64, |_| {})
            .err()
            .unwrap_or(Over::Closed)
    }

    /// Waits until there is a byte of the client that stays unread.
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
        let mut request = Received::parse(head).ok_or(Over::Refused(Refusal::Malformed))?;
        self.check(|offer| offer.check_head(&request))?;
        let heads_len = request.list.heads_len() as u64;
        self.take(heads_len, |piece| {
            request.http_heads.extend_from_slice(piece);
        })?;
        self.check(|_| check_http_heads(&request))?;
        if self.shared.engine() == Some(Engine::Early) && request.method() != "OPTIONS" {
            request.is_answered = true;
            self.send(CLEAN.as_bytes())?;
        }
        if request.list.body != BodyKind::Null {
            self.read_first_part(&mut request)?;
        }
        self.rest_is_left = !request.is_whole();
        self.shared.lock().requests += 1;
        Ok(request)
    }

    /// Refuses what was not offered, unless a script is played.
    fn check(&self, check: impl FnOnce(&Offer) -> Result<(), Refusal>) -> Result<(), Over> {
        if !self.shared.behaviour.is_strict() {
            return Ok(());
        }
        check(&self.shared.offer()).map_err(Over::Refused)
    }

    /// Reads the preview or, without one, the body.
    fn read_first_part(&mut self, request: &mut Received) -> Result<(), Over> {
        let kept = self.kept_body();
        let limit = request.first_part_limit();
        let has_ieof = self.read_chunks(limit, |data| request.take_body(data, kept))?;
        let ended = request.end_first_part(has_ieof);
        ended.ok_or(Over::Refused(Refusal::Malformed))
    }

    /// Requests and reads the rest after a preview, unless the body is complete or infected.
    fn read_on(&mut self, request: &mut Received, engine: Engine) -> Result<(), Over> {
        if request.is_whole() || engine.finds(request) {
            return Ok(());
        }
        self.send(CONTINUE.as_bytes())?;
        let kept = self.kept_body();
        self.read_rest(|data| request.take_body(data, kept))?;
        request.end_rest();
        Ok(())
    }

    fn read_rest(&mut self, each: impl FnMut(&[u8])) -> Result<(), Over> {
        if mem::take(&mut self.rest_is_left) {
            self.read_chunks(u64::MAX, each)?;
        }
        Ok(())
    }

    fn kept_body(&self) -> usize {
        if self.shared.behaviour.is_under_test() {
            MAX_KEPT_BODY
        } else {
            MAX_RETURNED_BODY
        }
    }

    fn read_head(&mut self) -> Result<Vec<u8>, Over> {
        let mut head = Vec::new();
        let mut finder = HeadFinder::default();
        while head.len() < MAX_HEAD {
            let before = head.len();
            let piece = self.unused(MAX_HEAD - before)?;
            head.extend_from_slice(piece);
            let end = finder.find(&head);
            let end = end.map_err(|_| Over::Refused(Refusal::Malformed))?;
            self.consume(end.unwrap_or(head.len()) - before);
            if let Some(end) = end {
                head.truncate(end);
                return Ok(head);
            }
        }
        Err(Over::Refused(Refusal::Malformed))
    }

    /// Reads up to a last chunk, and returns whether that has `ieof`.
    fn read_chunks(&mut self, limit: u64, mut each: impl FnMut(&[u8])) -> Result<bool, Over> {
        let mut decoder = ChunkDecoder::new(limit);
        loop {
            let input = self.unused(usize::MAX)?;
            let decoded = decoder.decode(input);
            let (used, decoded) = decoded.map_err(|_| Over::Refused(Refusal::Malformed))?;
            if let Decoded::Data(data) = decoded {
                each(data);
            }
            let is_end = decoded == Decoded::End;
            self.consume(used);
            if is_end {
                let has_ieof = decoder.has_ieof();
                let trailers = decoder.into_trailers();
                self.check(|offer| offer.check_trailers(&trailers))?;
                return Ok(has_ieof);
            }
        }
    }

    /// Reads the next `count` bytes, in pieces.
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

    /// The next bytes, at most `at_most`; waits for the first one.
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

    /// Reads once, and no more than `at_most`: what a script does not read stays in the socket.
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

    /// Reads into `input`. Under test, the last byte stays in the socket until the next read or the end of
    /// the connection: std cannot send a reset, but closing with an unread byte causes one.
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
