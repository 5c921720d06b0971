//! Passes received bytes to rustls one record at a time.
//!
//! The exchange must know when the record began to arrive that holds a byte of a response. Records before it, a
//! session ticket or a change of keys, do not count.

use std::io;
use std::ops::Range;

use super::records::Records;

/// The size of the buffer after a read that filled it: a little more than the longest record (RFC 8446 §5.2).
const LARGE: usize = 20 * 1024;

/// Its size otherwise, also on an idle connection. Most responses fit it.
const SMALL: usize = 1024;

/// Bytes of handshake records that are held back at most.
const MOST_HELD: usize = 4096;

/// Received bytes and the ends of their records.
pub(super) struct Incoming {
    buffer: Box<[u8]>,
    /// The part of the buffer that is not passed on.
    ahead: Range<usize>,
    /// The last read filled the buffer, so more may be there.
    is_full: bool,
    records: Records,
    /// Handshake records that are held back. They came before those in the buffer.
    held: Vec<u8>,
    /// A handshake record came.
    saw_handshakes: bool,
    /// Bytes that had been written to the server when the bytes of the buffer came.
    received_at: u64,
    /// The same for the first byte of the record that was passed on last.
    record_began_at: u64,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; SMALL].into_boxed_slice(),
            ahead: 0..0,
            is_full: false,
            records: Records::default(),
            held: Vec::new(),
            saw_handshakes: false,
            received_at: 0,
            record_began_at: 0,
        }
    }

    /// Reads once from the socket with `read`. The buffer must be [empty](Self::is_empty). `written` bytes have been written
    /// to the server so far.
    pub(super) fn receive(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
        written: u64,
    ) -> io::Result<usize> {
        if self.is_full {
            self.resize(LARGE);
        }
        let received = read(&mut self.buffer);
        self.is_full = matches!(received, Ok(len) if len == self.buffer.len());
        let len = received.inspect_err(|_| self.resize(SMALL))?;
        self.ahead = 0..len;
        self.received_at = written;
        Ok(len)
    }

    /// Makes an empty buffer of another size.
    fn resize(&mut self, len: usize) {
        if self.buffer.len() != len {
            self.buffer = vec![0; len].into_boxed_slice();
        }
    }

    /// Takes the next record, or the part of it that has come. With `holds_handshakes`, handshake records are
    /// taken only when another record follows.
    pub(super) fn take_record(&mut self, holds_handshakes: bool) -> Option<Vec<u8>> {
        while !self.is_empty() {
            let bytes = &self.buffer[self.ahead.clone()];
            let is_handshake = self.records.are_handshake(bytes);
            self.saw_handshakes |= is_handshake;
            let is_held = is_handshake && holds_handshakes && self.held.len() < MOST_HELD;
            if !is_held && !self.held.is_empty() {
                break;
            }
            let len = self.records.len_of_one(bytes);
            if !self.records.is_within_one() {
                self.record_began_at = self.received_at;
            }
            let record = &bytes[..len];
            self.records.follow(record);
            self.ahead.start += len;
            if !is_held {
                return Some(record.to_vec());
            }
            self.held.extend_from_slice(record);
        }
        let is_wanted = !self.held.is_empty() && (!holds_handshakes || !self.is_empty());
        is_wanted.then(|| std::mem::take(&mut self.held))
    }

    /// Whether everything was taken, except for what is held back.
    pub(super) fn is_empty(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.ahead = 0..0;
        self.held.clear();
    }

    /// Whether a record is incomplete.
    pub(super) fn is_within_record(&self) -> bool {
        self.records.is_within_one()
    }

    /// Bytes that had been written to the server when the record that was taken last began to arrive.
    pub(super) fn record_began_at(&self) -> u64 {
        self.record_began_at
    }

    /// Whether a handshake record came after the handshake: a TLS 1.2 server asked to renegotiate. After its
    /// handshake, TLS 1.3 has no records of this type.
    pub(super) fn saw_handshakes(&self) -> bool {
        self.saw_handshakes
    }

    /// The handshake is over.
    pub(super) fn forget_handshakes(&mut self) {
        self.saw_handshakes = false;
    }

    /// The protocol that the server speaks without TLS, if it is a known one.
    pub(super) fn plain_protocol(&self) -> Option<&'static str> {
        self.records.plain_protocol()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const TICKET: &[u8] = &[23, 3, 3, 0, 2, 1, 2];
    const DATA: &[u8] = &[23, 3, 3, 0, 3, 7, 8, 9];
    const HELLO_REQUEST: &[u8] = &[22, 3, 3, 0, 1, 0];

    /// Receives these pieces, each after one more byte was written. Returns the bytes of each record, and how many
    /// bytes had been written when it began.
    fn take(pieces: &[&[u8]], holds: bool) -> Vec<(Vec<u8>, u64)> {
        let mut incoming = Incoming::new();
        let mut taken: Vec<(Vec<u8>, u64)> = Vec::new();
        let mut is_within = false;
        for (written, mut piece) in (0..).zip(pieces.iter().copied()) {
            incoming.receive(|buf| piece.read(buf), written).unwrap();
            while let Some(record) = incoming.take_record(holds) {
                match taken.last_mut().filter(|_| is_within) {
                    Some((bytes, _)) => bytes.extend(record),
                    None => taken.push((record, incoming.record_began_at())),
                }
                is_within = incoming.is_within_record();
            }
            assert!(incoming.is_empty());
        }
        taken
    }

    #[test]
    fn records_are_taken_one_by_one_at_every_split() {
        let all = [TICKET, DATA, DATA].concat();
        for first in 0..=all.len() {
            for second in first..=all.len() {
                let pieces = [&all[..first], &all[first..second], &all[second..]];
                let taken = take(&pieces, false);
                let bytes: Vec<_> = taken.iter().map(|(bytes, _)| &bytes[..]).collect();
                assert_eq!(bytes, [TICKET, DATA, DATA], "{first} {second}");
                let ends = [0, TICKET.len(), TICKET.len() + DATA.len()];
                for (begin, (_, began_at)) in ends.iter().zip(&taken) {
                    let piece = u64::from(*begin >= first) + u64::from(*begin >= second);
                    assert_eq!(*began_at, piece, "{begin}: {first} {second}");
                }
            }
        }
    }

    #[test]
    fn handshake_record_is_held_until_another_follows() {
        let mut incoming = Incoming::new();
        for mut piece in [&HELLO_REQUEST[..2], &HELLO_REQUEST[2..], HELLO_REQUEST] {
            incoming.receive(|buf| piece.read(buf), 0).unwrap();
            assert_eq!(incoming.take_record(true), None);
        }
        assert!(incoming.saw_handshakes() && !incoming.is_within_record());
        let held = [HELLO_REQUEST, HELLO_REQUEST].concat();
        let mut data = DATA;
        incoming.receive(|buf| data.read(buf), 5).unwrap();
        assert_eq!(incoming.take_record(true), Some(held));
        assert_eq!(incoming.take_record(true), Some(DATA.to_vec()));
        assert_eq!(incoming.record_began_at(), 5);
        assert_eq!(incoming.take_record(true), None);

        let mut asks = HELLO_REQUEST;
        incoming.receive(|buf| asks.read(buf), 6).unwrap();
        assert_eq!(incoming.take_record(true), None);
        let taken = incoming.take_record(false);
        assert_eq!(taken, Some(HELLO_REQUEST.to_vec()));
    }

    #[test]
    fn buffer_is_large_only_while_reads_fill_it() {
        let mut incoming = Incoming::new();
        let mut receive = |read: fn(&mut [u8]) -> io::Result<usize>| {
            let received = incoming.receive(read, 0);
            incoming.clear();
            (received.ok(), incoming.buffer.len())
        };
        let nothing = |_: &mut [u8]| Err(io::ErrorKind::WouldBlock.into());
        for _ in 0..2 {
            assert_eq!(receive(|_| Ok(10)), (Some(10), SMALL));
            assert_eq!(receive(|buf| Ok(buf.len())), (Some(SMALL), SMALL));
            assert_eq!(receive(|buf| Ok(buf.len())), (Some(LARGE), LARGE));
            assert_eq!(receive(|buf| Ok(buf.len() - 1)), (Some(LARGE - 1), LARGE));
            // As the look after a response.
            assert_eq!(receive(nothing), (None, SMALL));
        }
    }

    #[test]
    fn handshake_records_are_held_up_to_a_limit() {
        let mut incoming = Incoming::new();
        let taken = (0..MOST_HELD).find_map(|_| {
            let mut asks = HELLO_REQUEST;
            incoming.receive(|buf| asks.read(buf), 0).unwrap();
            incoming.take_record(true)
        });
        assert!(taken.is_some_and(|taken| taken.len() <= MOST_HELD + HELLO_REQUEST.len()));
    }
}
