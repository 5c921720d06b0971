//! The body of a request: where its bytes come from, and that they are as many as declared.

use std::fmt;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::error::ContentError;
use crate::proto::chunk::{encode_chunk, encode_last_chunk};

/// Bytes of content in one chunk, and so in memory at once.
const CHUNK: usize = 64 * 1024;

/// How long a chunk is filled before what there is of it is sent.
const GATHERING: Duration = Duration::from_millis(100);

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
    source: Source<'a>,
    declared: Option<u64>,
    read: u64,
    /// The reader gave nothing the last time.
    end_seen: bool,
    chunk: Chunk,
}

#[derive(Default)]
enum Source<'a> {
    #[default]
    None,
    Bytes(&'a [u8]),
    Reader(Box<dyn Read + 'a>),
}

/// What can be sent, perhaps more than once.
pub(crate) trait Outgoing {
    /// Whether there is a body, be it an empty one.
    fn is_some(&self) -> bool;

    /// The body from its beginning.
    fn begin(&mut self) -> Result<Body<'_>, ContentError>;

    /// Whether it can be begun, after it was begun before.
    fn can_begin_again(&self) -> bool;
}

/// A buffer of the size of a chunk, made when it is first needed.
#[derive(Default)]
struct Chunk {
    buffer: Box<[u8]>,
    filled: usize,
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK].into_boxed_slice();
        }
        // Never empty, which would make every read look like the end: a full chunk is not read into.
        &mut self.buffer[self.filled..]
    }
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
            source: Source::Reader(Box::new(reader)),
            ..Self::default()
        }
    }

    /// Declares the length in bytes, which is then enforced.
    #[must_use]
    pub fn len(mut self, length: impl Into<Option<u64>>) -> Self {
        self.declared = length.into();
        self
    }

    /// Appends the next chunk to `out`, with the last-chunk if the body ends with it. The chunk may be
    /// empty, and then nothing is appended: the reader gave nothing for a while.
    pub(crate) fn encode_next(&mut self, out: &mut Vec<u8>) -> Result<Next, ContentError> {
        if !self.is_some() {
            return Ok(Next {
                len: 0,
                is_last: true,
            });
        }
        let is_last = self.gather()?;
        self.read += self.chunk.filled as u64;
        self.check_length(is_last)?;
        encode_chunk(out, self.chunk.bytes());
        if is_last {
            encode_last_chunk(out);
        }
        let len = self.chunk.filled as u64;
        Ok(Next { len, is_last })
    }

    /// Fills the chunk across short reads and `Interrupted`; true at the reader's end. A slow reader
    /// does not get to fill it, so that what it gave is sent and the answer and the deadline are seen.
    fn gather(&mut self) -> Result<bool, ContentError> {
        self.chunk.filled = 0;
        let began = Instant::now();
        while self.chunk.filled < CHUNK && began.elapsed() < GATHERING {
            match self.read_once() {
                Ok(0) if self.end_seen => return Ok(true),
                // An empty read is the end, unless more comes behind it: then the reader is broken, and
                // what would be taken for all of the content is only a part.
                Ok(0) => self.end_seen = true,
                Ok(_) if self.end_seen => {
                    return Err(self.failed(io::Error::other("the reader goes on behind its end")));
                }
                Ok(len) => self.chunk.filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(false)
    }

    fn read_once(&mut self) -> io::Result<usize> {
        let room = self.chunk.room();
        let room_len = room.len();
        let len = match &mut self.source {
            Source::None => 0,
            Source::Bytes(bytes) => bytes.read(room)?,
            Source::Reader(reader) => reader.read(room)?,
        };
        match len {
            len if len > room_len => Err(io::Error::other(
                "a reader claims more than it was asked for",
            )),
            len => Ok(len),
        }
    }

    fn failed(&self, source: io::Error) -> ContentError {
        let after = self.read + self.chunk.filled as u64;
        ContentError::Read { after, source }
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
        let source = Source::Bytes(bytes);
        Self {
            source,
            ..Self::default()
        }
        .len(bytes.len() as u64)
    }
}

impl Outgoing for Body<'_> {
    fn is_some(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    fn begin(&mut self) -> Result<Body<'_>, ContentError> {
        let source = match &mut self.source {
            Source::None => Source::None,
            Source::Bytes(bytes) => Source::Bytes(bytes),
            Source::Reader(reader) => Source::Reader(Box::new(reader)),
        };
        Ok(Body {
            source,
            ..Body::default()
        }
        .len(self.declared))
    }

    fn can_begin_again(&self) -> bool {
        !matches!(self.source, Source::Reader(_))
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
                Ok(next) if next.is_last => return (out, Ok(len + next.len)),
                Ok(next) => len += next.len,
                Err(error) => return (out, Err(error)),
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
    fn a_reader_that_goes_on_behind_its_end_gets_no_last_chunk() {
        let mut pieces = [&b"hel"[..], b"", b"lo"].into_iter();
        let reader = FromFn(|buf: &mut [u8]| {
            let piece = pieces.next().unwrap_or_default();
            buf[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        });
        let (out, error) = encode(Body::reader(reader));
        assert!(
            matches!(error, Err(ContentError::Read { after: 3, .. })),
            "{error:?}"
        );
        assert_eq!(out, b"");
    }

    #[test]
    fn a_reader_that_claims_more_than_fits_is_refused() {
        let (out, error) = encode(Body::reader(FromFn(|buf: &mut [u8]| Ok(buf.len() + 1))));
        assert!(error.is_err());
        assert_eq!(out, b"");
    }

    #[test]
    fn a_slow_reader_is_sent_in_parts() {
        let mut left = 3;
        let reader = FromFn(|buf: &mut [u8]| {
            // The time is the fault that is injected here.
            std::thread::sleep(2 * GATHERING);
            left -= 1;
            buf[0] = b'x';
            Ok(usize::from(left > 0))
        });
        let (out, _) = encode(Body::reader(reader).len(2));
        assert_eq!(out, b"1\r\nx\r\n1\r\nx\r\n0\r\n\r\n");
    }

    struct FromFn<F>(F);

    impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for FromFn<F> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0(buf)
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
