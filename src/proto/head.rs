//! The end of a head: the first blank line.
//!
//! A head is parsed when it is complete, so no parser needs a state for half a head. A head that arrives in many
//! pieces is searched once, and not once for each piece.

use memchr::memchr;

use super::violation::Violation;

/// Finds the blank line that ends a head in a growing buffer.
///
/// Lines end in CRLF only. RFC 9112 §2.2 lets a recipient accept a bare LF, but two readers of one message that
/// differ in this see two different messages.
#[derive(Debug, Default)]
pub(crate) struct HeadFinder {
    /// All bytes before it are complete lines, none of them blank.
    line_start: usize,
    /// Every LF before it was looked at.
    searched: usize,
}

impl HeadFinder {
    /// The length of the head with its blank line; `None` while it is incomplete.
    ///
    /// `buffer` has the bytes of the last call, and possibly more after them.
    pub(crate) fn find(&mut self, buffer: &[u8]) -> Result<Option<usize>, Violation> {
        while let Some(found) = memchr(b'\n', &buffer[self.searched..]) {
            let lf = self.searched + found;
            self.searched = lf + 1;
            if lf == self.line_start || buffer[lf - 1] != b'\r' {
                return Err(Violation::BareLf);
            }
            let blank = lf - 1 == self.line_start;
            self.line_start = lf + 1;
            if blank {
                return Ok(Some(lf + 1));
            }
        }
        self.searched = buffer.len();
        Ok(None)
    }

    /// The bytes that were looked at: none after the end of the head or after a fault in it. How many more there are
    /// depends on the packets.
    pub(crate) fn searched<'b>(&self, buffer: &'b [u8]) -> &'b [u8] {
        &buffer[..self.searched]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::splits::each_split;

    type Found = Result<Option<usize>, Violation>;

    fn find_in(pieces: &[&[u8]]) -> Found {
        let mut finder = HeadFinder::default();
        let mut buffer = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            if let Some(end) = finder.find(&buffer)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    #[test]
    fn head_ends_at_first_blank_line_at_every_split() {
        let cases: [(&[u8], Found); 9] = [
            (b"ICAP/1.0 204 OK\r\nA: b\r\n\r\nrest\r\n\r\n", Ok(Some(25))),
            (b"\r\n", Ok(Some(2))),
            (b"A: b\r\n", Ok(None)),
            (b"A: b\r\n\r", Ok(None)),
            (b"", Ok(None)),
            (b"A: b\n\n", Err(Violation::BareLf)),
            (b"A: b\r\n\n", Err(Violation::BareLf)),
            (b"\n", Err(Violation::BareLf)),
            (b"A: b\r\r\n\r\n", Ok(Some(9))),
        ];
        for (input, expected) in cases {
            each_split(input, |pieces| {
                assert_eq!(find_in(pieces), expected, "{pieces:?}");
            });
        }
    }

    #[test]
    fn bytes_after_the_end_or_a_fault_are_not_searched() {
        for (input, len) in [
            (&b"A: b\r\n\r\nX: y\r\n"[..], 8),
            (b"A: b\r\nC\nX: y\r\n\r\n", 8),
            (b"A: b\r\n\nX: y\r\n\r\n", 7),
            (b"A: b\r\nC", 7),
        ] {
            each_split(input, |pieces| {
                let (mut finder, mut buffer) = (HeadFinder::default(), Vec::new());
                for piece in pieces {
                    buffer.extend_from_slice(piece);
                    if finder.find(&buffer) != Ok(None) {
                        break;
                    }
                }
                assert_eq!(finder.searched(&buffer), &input[..len], "{pieces:?}");
            });
        }
    }

    #[test]
    fn lf_after_a_line_end_is_bare() {
        assert_eq!(find_in(&[b"\r\n"]), Ok(Some(2)));
        assert_eq!(find_in(&[b"a\r\n", b"\n"]), Err(Violation::BareLf));
    }
}
