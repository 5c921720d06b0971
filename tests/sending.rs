//! What happens on the connection while a request is sent, call by call.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use icap_client::testing::CLEAN;
use icap_client::{
    Connect, Content, Error, Readiness, Report, Scanner, ServiceUri, Stream, Violation,
};

/// What the calls come to, each kind in its order; and how long the writes might have taken.
#[derive(Default)]
struct Calls {
    /// How many bytes are taken; all that are given behind the last.
    writes: VecDeque<Result<usize, ErrorKind>>,
    /// Nothing is there behind the last.
    looks: VecDeque<Readiness>,
    /// Nothing comes behind the last.
    reads: VecDeque<Result<&'static str, ErrorKind>>,
    write_timeouts: Vec<Duration>,
}

#[derive(Clone, Default)]
struct Played(Arc<Mutex<Calls>>);

impl Played {
    fn new<const W: usize, const L: usize, const R: usize>(
        writes: [Result<usize, ErrorKind>; W],
        looks: [Readiness; L],
        reads: [Result<&'static str, ErrorKind>; R],
    ) -> Self {
        Self(Arc::new(Mutex::new(Calls {
            writes: writes.into(),
            looks: looks.into(),
            reads: reads.into(),
            write_timeouts: Vec::new(),
        })))
    }

    fn scan(&self) -> Result<Report, Error> {
        let builder = Scanner::builder("icap://server.invalid/s").negotiate(false);
        let scanner = builder.connector(self.clone()).build().unwrap();
        scanner.scan(Content::bytes(b"hello"))
    }

    fn violation(&self) -> Violation {
        match self.scan() {
            Err(Error::Protocol(error)) => error.violation(),
            other => panic!("no protocol error but {other:?}"),
        }
    }
}

impl Connect for Played {
    fn connect(&self, _service: &ServiceUri, _timeout: Duration) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.clone()))
    }
}

impl Read for Played {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let next = self.0.lock().unwrap().reads.pop_front();
        let bytes = next.unwrap_or(Err(ErrorKind::WouldBlock))?.as_bytes();
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Played {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let next = self.0.lock().unwrap().writes.pop_front();
        Ok(next.unwrap_or(Ok(usize::MAX))?.min(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Played {
    fn set_read_timeout(&mut self, _timeout: Duration) -> io::Result<()> {
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.0.lock().unwrap().write_timeouts.push(timeout);
        Ok(())
    }

    fn readiness(&mut self) -> io::Result<Readiness> {
        let next = self.0.lock().unwrap().looks.pop_front();
        Ok(next.unwrap_or(Readiness::Idle))
    }
}

use Readiness::{Closed, Idle, Readable};

const STALL: Result<usize, ErrorKind> = Err(ErrorKind::WouldBlock);

#[test]
fn what_was_sent_before_anything_was_asked_is_no_answer_though_writing_fails() {
    let infected = "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Other;\r\n\
                    Encapsulated: res-hdr=0, null-body=26\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n";
    let played = Played::new([Err(ErrorKind::BrokenPipe)], [], [Ok(infected)]);
    let error = played.scan().unwrap_err();
    assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
}

#[test]
fn a_write_that_fails_is_a_lost_connection_if_nothing_says_why() {
    for end in [Ok(""), Err(ErrorKind::ConnectionReset)] {
        let played = Played::new([Ok(10), Err(ErrorKind::BrokenPipe)], [], [end]);
        let error = played.scan().unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_write_that_fails_behind_an_early_204_is_an_upload_nobody_saw() {
    let played = Played::new([Ok(10), Err(ErrorKind::BrokenPipe)], [], [Ok(CLEAN)]);
    assert_eq!(played.violation(), Violation::IncompleteUpload);
}

#[test]
fn what_comes_behind_an_early_204_tells_why_that_is_not_believed() {
    for (behind, violation) in [
        (Readable, Violation::TrailingBytes),
        (Closed, Violation::IncompleteUpload),
    ] {
        let played = Played::new([Ok(10), Ok(10)], [Idle, Readable, behind], [Ok(CLEAN)]);
        assert_eq!(played.violation(), violation);
    }
}

#[test]
fn a_look_that_shows_what_cannot_be_read_yet_does_not_keep_the_request_from_being_sent() {
    let played = Played::new(
        [Ok(10)],
        [Idle, Readable, Idle, Readable],
        [STALL.map(|_| ""), Ok(CLEAN)],
    );
    assert!(played.scan().unwrap().verdict().is_clean());
}

#[test]
fn writes_wait_longer_while_nothing_moves_and_are_short_again_when_something_does() {
    let interim = "ICAP/1.0 102 Processing\r\n\r\n";
    let milliseconds = |played: &Played| {
        let timeouts = played.0.lock().unwrap().write_timeouts.clone();
        Vec::from_iter(timeouts.iter().map(Duration::as_millis))
    };
    let stalls = [STALL; 8];
    let played = Played::new(stalls, [], [Ok(CLEAN)]);
    assert!(played.scan().unwrap().verdict().is_clean());
    assert_eq!(milliseconds(&played), [4, 8, 16, 32, 64, 128]);

    let written = Played::new([STALL, STALL, Ok(10), STALL], [], [Ok(CLEAN)]);
    assert!(written.scan().unwrap().verdict().is_clean());
    assert_eq!(milliseconds(&written), [4, 8, 16, 4, 8]);

    let looks = [Idle, Idle, Idle, Readable];
    let read = Played::new(
        [Ok(10), STALL, STALL, STALL],
        looks,
        [Ok(interim), Ok(CLEAN)],
    );
    assert!(read.scan().unwrap().verdict().is_clean());
    assert_eq!(milliseconds(&read), [4, 8, 4, 8]);
}
