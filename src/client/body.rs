//! The body of a request: where its bytes come from, and that they are as many as declared.

use std::fmt;
use std::io::Read;

use crate::error::ContentError;
use crate::proto::chunk::{encode_chunk, encode_last_chunk};

/// Bytes of content in one chunk, and so in memory at once.
const CHUNK: usize = 64 * 1024;

/// The body of a request.
///
/// It is read as it is sent. If a length is declared and the reader gives more or fewer bytes, the
/// request is abandoned without its last chunk, so that the service cannot take it for complete.
///
/// ```
/// use icap_client::Body;
///
/// let known = Body::from(&b"hello"[..]);
/// let file = Body::reader(std::io::empty()).len(0);
/// let none = Body::none();
/// ```
#[derive(Default)]
pub struct Body<'a> {
    reader: Option<Box<dyn Read + 'a>>,
    declared: Option<u64>,
    read: u64,
    chunk: Vec<u8>,
}

impl<'a> Body<'a> {
    /// No body at all (`null-body`), which is not the same as an empty one.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A body that is read until the reader's end.
    pub fn reader(reader: impl Read + 'a) -> Self {
        Self {
            reader: Some(Box::new(reader)),
            ..Self::default()
        }
    }

    /// Declares the length in bytes, which is then enforced.
    #[must_use]
    pub fn len(mut self, length: impl Into<Option<u64>>) -> Self {
        self.declared = length.into();
        self
    }

    /// Whether there is a body, be it an empty one.
    pub(crate) fn is_some(&self) -> bool {
        self.reader.is_some()
    }

    /// Appends the next chunk to `out`, with the last-chunk if the body ends with it.
    pub(crate) fn encode_next(&mut self, out: &mut Vec<u8>) -> Result<Next, ContentError> {
        let Some(reader) = &mut self.reader else {
            return Ok(Next {
                len: 0,
                is_last: true,
            });
        };
        self.chunk.clear();
        // One byte more than declared, to see that there is none.
        let room = self
            .declared
            .and_then(|length| usize::try_from(length).ok());
        self.chunk
            .reserve_exact(room.map_or(CHUNK, |length| CHUNK.min(length.saturating_add(1))));
        // `take` and `read_to_end` read until the chunk is full or the content ends, across short
        // reads and `Interrupted`; an empty read in between is the end, as `Read` has it.
        let result = reader.take(CHUNK as u64).read_to_end(&mut self.chunk);
        let after = self.read + self.chunk.len() as u64;
        result.map_err(|source| ContentError::Read { after, source })?;
        self.read = after;
        let is_last = self.chunk.len() < CHUNK;
        self.check_length(is_last)?;
        encode_chunk(out, &self.chunk);
        if is_last {
            encode_last_chunk(out);
        }
        Ok(Next {
            len: self.chunk.len() as u64,
            is_last,
        })
    }

    fn check_length(&self, is_last: bool) -> Result<(), ContentError> {
        match self.declared {
            Some(declared) if self.read > declared => Err(ContentError::TooLong { declared }),
            Some(declared) if is_last && self.read < declared => Err(ContentError::TooShort {
                declared,
                actual: self.read,
            }),
            _ => Ok(()),
        }
    }
}

/// What [`Body::encode_next`] appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// Bytes of content.
    pub(crate) len: u64,
    /// The last-chunk is among it.
    pub(crate) is_last: bool,
}

impl<'a> From<&'a [u8]> for Body<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::reader(bytes).len(bytes.len() as u64)
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("is_some", &self.is_some())
            .field("declared", &self.declared)
            .field("read", &self.read)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// Encodes all of it; what was encoded before an error is returned with it.
    fn encode(mut body: Body<'_>) -> (Vec<u8>, Result<u64, ContentError>) {
        let mut out = Vec::new();
        let mut len = 0;
        loop {
            match body.encode_next(&mut out) {
                Ok(next) => len += next.len,
                Err(error) => return (out, Err(error)),
            }
            if body.read > 0 && out.ends_with(b"0\r\n\r\n") || len == 0 {
                return (out, Ok(len));
            }
        }
    }

    #[test]
    fn a_small_body_is_one_chunk_with_its_end() {
        assert_eq!(
            encode(Body::from(&b"hello"[..])).0,
            b"5\r\nhello\r\n0\r\n\r\n"
        );
        assert_eq!(encode(Body::from(&b""[..])).0, b"0\r\n\r\n");
        assert_eq!(encode(Body::none()).0, b"");
    }

    #[test]
    fn a_body_as_long_as_a_chunk_ends_with_the_next() {
        for len in [CHUNK - 1, CHUNK, CHUNK + 1] {
            let content = vec![b'x'; len];
            let (out, sent) = encode(Body::from(&content[..]));
            assert_eq!(sent.unwrap(), len as u64);
            assert_eq!(
                out.windows(5).filter(|w| w == b"0\r\n\r\n").count(),
                1,
                "{len}"
            );
        }
    }

    #[test]
    fn short_and_interrupted_reads_are_gathered() {
        struct Reluctant<'a>(&'a [u8], bool);
        impl Read for Reluctant<'_> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                self.0.read(&mut buf[..1])
            }
        }
        let (out, _) = encode(Body::reader(Reluctant(b"hello", false)).len(5));
        assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
    }

    #[test]
    fn content_of_another_length_than_declared_gets_no_last_chunk() {
        for (declared, actual) in [(10u64, 9usize), (10, 11), (0, 1), (1, 0)] {
            let content = vec![b'x'; actual];
            let (out, error) = encode(Body::reader(&content[..]).len(declared));
            assert!(error.is_err(), "{declared} {actual}");
            assert_eq!(out, b"", "{declared} {actual}");
        }
    }

    #[test]
    fn a_reader_that_fails_gets_no_last_chunk() {
        let content = vec![b'x'; CHUNK];
        let fails = content.chain(Failing);
        let mut body = Body::reader(fails);
        let mut out = Vec::new();
        body.encode_next(&mut out).unwrap();
        let sent = out.len();
        let error = body.encode_next(&mut out).unwrap_err();
        assert!(matches!(error, ContentError::Read { after, .. } if after == CHUNK as u64));
        assert_eq!(out.len(), sent);
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
}
