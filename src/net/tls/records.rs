//! Finds the ends of the peer's TLS records.
//!
//! rustls does not tell whether it holds a part of a record, and a part may be the beginning of a response. The
//! contents of a record are not looked at here: rustls checks them.

/// Type, version and length (RFC 8446 §5.1).
const HEADER: usize = 5;

/// The type of handshake records (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Follows the bytes of a connection from its first to its last.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    /// The header of the record that came last.
    header: [u8; HEADER],
    header_len: usize,
    /// Bytes of the record that have not come.
    left: usize,
}

impl Records {
    /// Follows the next bytes.
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

    /// How many of the next bytes belong to one record: the incomplete one if there is one. A part of a header
    /// counts whole.
    pub(super) fn len_of_one(&self, bytes: &[u8]) -> usize {
        let mut ahead = self.clone();
        let header = (HEADER - self.header_len).min(bytes.len());
        if self.left == 0 {
            ahead.follow(&bytes[..header]);
            return (header + ahead.left).min(bytes.len());
        }
        self.left.min(bytes.len())
    }

    /// Whether the next bytes are those of a handshake record.
    pub(super) fn are_handshake(&self, bytes: &[u8]) -> bool {
        match self.is_within_one() {
            true => self.header[0] == HANDSHAKE,
            false => bytes.first() == Some(&HANDSHAKE),
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

    /// Whether a record is incomplete.
    pub(super) fn is_within_one(&self) -> bool {
        self.left > 0 || self.header_len > 0
    }

    /// The protocol that the peer speaks without TLS, if it is a known one.
    pub(super) fn plain_protocol(&self) -> Option<&'static str> {
        match &self.header {
            b"ICAP/" => Some("ICAP"),
            b"HTTP/" => Some("HTTP"),
            b"SSH-2" => Some("SSH"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_ends_after_its_length_at_every_split() {
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
    fn icap_response_is_recognised() {
        let mut records = Records::default();
        records.follow(b"ICAP/1.0 400 Bad request\r\n\r\n");
        assert_eq!(records.plain_protocol(), Some("ICAP"));
    }
}
