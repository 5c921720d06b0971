//! What came from the socket, on its way to rustls one record at a time.
//!
//! One at a time, because the exchange must know when the record began to arrive that turns out to hold a
//! byte of a response: what came before that, a session ticket or a change of keys, says nothing.

use std::io::{self, Read};
use std::net::TcpStream;
use std::ops::Range;

use super::records::Records;

/// As much as one record (RFC 8446 §5.2) and a little more.
const BUFFER: usize = 20 * 1024;

/// Bytes of handshake records that are held back at most.
const MOST_HELD: usize = 4096;

/// Received bytes, and which records they are of.
pub(super) struct Incoming {
    buffer: Box<[u8]>,
    /// Of the buffer: what is not handed on.
    ahead: Range<usize>,
    records: Records,
    /// Handshake records that are held back, which come before those in the buffer.
    held: Vec<u8>,
    /// A handshake record came.
    saw_handshakes: bool,
    /// Bytes that had been written to the server when what is in the buffer came.
    received_at: u64,
    /// The same of the first byte of the record that was handed on last.
    record_began_at: u64,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            ahead: 0..0,
            records: Records::default(),
            held: Vec::new(),
            saw_handshakes: false,
            received_at: 0,
            record_began_at: 0,
        }
    }

    /// Reads once from the socket, which is to be done only when nothing is [ahead](Self::is_empty);
    /// `written` bytes have been written to the server so far.
    pub(super) fn receive(&mut self, mut tcp: &TcpStream, written: u64) -> io::Result<usize> {
        let len = tcp.read(&mut self.buffer)?;
        self.ahead = 0..len;
        self.received_at = written;
        Ok(len)
    }

    /// Takes the next record, or what is there of it. Where handshake records are held back, those that
    /// nothing follows are not taken.
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

    /// Nothing is there that was not taken, apart from what is held back.
    pub(super) fn is_empty(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Nothing more is taken.
    pub(super) fn clear(&mut self) {
        self.ahead = 0..0;
        self.held.clear();
    }

    /// The last byte that came is not the last of a record.
    pub(super) fn is_within_record(&self) -> bool {
        self.records.is_within_one()
    }

    /// Bytes that had been written to the server when the first byte came of the record that was taken
    /// last.
    pub(super) fn record_began_at(&self) -> u64 {
        self.record_began_at
    }

    /// A handshake record came, since the handshake: a TLS 1.2 server asked to renegotiate. TLS 1.3 has none
    /// that look like one.
    pub(super) fn saw_handshakes(&self) -> bool {
        self.saw_handshakes
    }

    /// The handshake is over.
    pub(super) fn forget_handshakes(&mut self) {
        self.saw_handshakes = false;
    }

    /// The server speaks ICAP without TLS.
    pub(super) fn is_plain_icap(&self) -> bool {
        self.records.are_plain_icap()
    }
}
