//! Where the peer's TLS records end.
//!
//! rustls does not tell whether it holds a part of a record, and a part may be the beginning of an
//! answer. Nothing is decided by what is in a record, and nothing is checked: rustls does that.

use std::io::{self, Read};
use std::net::TcpStream;

/// Type, version and length (RFC 8446 §5.1).
const HEADER: usize = 5;

/// Follows the bytes of a connection from its first to its last.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Of the record that came last.
    header: [u8; HEADER],
    header_len: usize,
    /// Bytes of the record that are to come behind its header.
    left: usize,
}

impl Records {
    /// Takes note of the bytes that came next.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while let [byte, rest @ ..] = bytes {
            if self.left > 0 {
                let len = self.left.min(bytes.len());
                self.left -= len;
                bytes = &bytes[len..];
            } else {
                self.follow_header(*byte);
                bytes = rest;
            }
        }
    }

    fn follow_header(&mut self, byte: u8) {
        self.header[self.header_len] = byte;
        self.header_len += 1;
        if self.header_len == HEADER {
            let [_, _, _, high, low] = self.header;
            self.left = usize::from(u16::from_be_bytes([high, low]));
            self.header_len = 0;
        }
    }

    /// The last byte that came is not the last of a record.
    pub(super) fn is_within_one(&self) -> bool {
        self.left > 0 || self.header_len > 0
    }

    /// The peer speaks ICAP without TLS.
    pub(super) fn are_plain_icap(&self) -> bool {
        self.header == *b"ICAP/"
    }
}

/// Reads from a socket, and follows what comes.
pub(super) struct Followed<'f> {
    pub(super) tcp: &'f TcpStream,
    pub(super) records: &'f mut Records,
}

impl Read for Followed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.tcp.read(buf)?;
        self.records.follow(&buf[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_where_their_headers_say_at_every_split() {
        let mut stream = vec![22, 3, 3, 0, 2, 7, 7];
        stream.extend([23, 3, 3, 0, 0]);
        stream.extend([23, 3, 3, 1, 0]);
        stream.extend([9; 256]);
        let ends = [0, 7, 12, stream.len()];
        for split in 0..=stream.len() {
            let mut records = Records::default();
            records.follow(&stream[..split]);
            assert_eq!(records.is_within_one(), !ends.contains(&split), "{split}");
            records.follow(&stream[split..]);
            assert!(!records.is_within_one(), "{split}");
        }
    }

    #[test]
    fn an_icap_answer_is_recognised() {
        let mut records = Records::default();
        records.follow(b"ICAP/1.0 400 Bad request\r\n\r\n");
        assert!(records.are_plain_icap());
    }
}
