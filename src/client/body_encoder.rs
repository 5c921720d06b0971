//! Writing a body in chunks, with a preview first if the request has one (RFC 3507 §4.5).
//!
//! The encoder also checks that the body is as long as declared. A body that fails, or is shorter or longer,
//! never gets its last chunk.

use std::io;

use super::body::Body;
use super::once_reader::goes_on;
use super::output::{Output, check_time};
use super::reading::{CHUNK, GATHERING, Interruptions};
use super::tee::Tee;
use crate::error::{ContentError, ContentFault, Error};
use crate::net::deadline::Deadline;
use crate::proto::chunk::{encode_chunk, encode_end, encode_last_chunk};

/// Reads a body from where it was rewound to, and encodes it chunk by chunk.
pub(crate) struct BodyEncoder<'b, 'a> {
    body: &'b mut Body<'a>,
    deadline: Deadline,
    /// The reader gave nothing the last time.
    end_seen: bool,
    interruptions: Interruptions,
    chunk: Chunk,
    /// Bytes of the preview that are still to be sent; `None` without one, and after it.
    preview: Option<usize>,
}

/// A buffer of the size of a chunk, made when it is first needed.
#[derive(Default)]
struct Chunk {
    buffer: Box<[u8]>,
    filled: usize,
}

/// What [`BodyEncoder::encode_next`] appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// Bytes of content.
    pub(crate) len: u64,
    pub(crate) then: Then,
}

/// What follows an appended chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// More of the body.
    Continues,
    /// The preview has ended and the body has not. The service decides.
    Decides,
    /// The body has ended.
    Done,
}

impl<'b, 'a> BodyEncoder<'b, 'a> {
    /// Stops after the first `preview` bytes, for the service to decide. Time is measured by the clock of
    /// `deadline`.
    pub(crate) fn new(body: &'b mut Body<'a>, preview: Option<usize>, deadline: &Deadline) -> Self {
        Self {
            preview: preview.filter(|_| body.is_some()),
            body,
            deadline: deadline.clone(),
            end_seen: false,
            interruptions: Interruptions::default(),
            chunk: Chunk::default(),
        }
    }

    /// Appends the next chunk to `out`, with the last-chunk if the body or its preview ends with it. If the reader
    /// gave nothing for a while, nothing is appended. What is read goes to `tee` as well.
    pub(crate) fn encode_next(
        &mut self,
        out: &mut Vec<u8>,
        tee: Option<&mut Tee<'_>>,
    ) -> Result<Next, ContentError> {
        if !self.body.is_some() {
            let then = Then::Done;
            return Ok(Next { len: 0, then });
        }
        let has_ended = self.read_chunk(tee)?;
        let len = self.preview.unwrap_or(CHUNK).min(self.chunk.filled);
        encode_chunk(out, &self.chunk.bytes()[..len]);
        self.chunk.consume(len);
        let then = self.encode_end(out, len, has_ended);
        let len = len as u64;
        Ok(Next { len, then })
    }

    /// Appends what ends the body or the preview, if it ends after the `len` bytes just appended.
    fn encode_end(&mut self, out: &mut Vec<u8>, len: usize, has_ended: bool) -> Then {
        match self.preview {
            preview if has_ended => {
                encode_end(out, preview.is_some(), self.body.trailers());
                Then::Done
            }
            // More of it is there than the preview may have.
            Some(_) if self.chunk.filled > 0 => {
                self.preview = None;
                encode_last_chunk(out);
                Then::Decides
            }
            left => {
                self.preview = left.map(|left| left - len);
                Then::Continues
            }
        }
    }

    /// Reads more into the chunk, and checks the length. Returns whether the body has ended.
    fn read_chunk(&mut self, mut tee: Option<&mut Tee<'_>>) -> Result<bool, ContentError> {
        let has_ended = self.gather(tee.as_deref_mut())?;
        self.check_length(has_ended)?;
        if let Some(tee) = tee.filter(|_| has_ended) {
            tee.end();
        }
        Ok(has_ended)
    }

    /// Fills the chunk across short reads and `Interrupted`. Returns whether the reader has ended. With a slow
    /// reader it stops before the chunk is full, so that the response and the deadline are looked at.
    ///
    /// One byte more than the preview is read, because only then is it known whether the preview is all.
    fn gather(&mut self, mut tee: Option<&mut Tee<'_>>) -> Result<bool, ContentError> {
        let limit = self
            .preview
            .map_or(CHUNK, |left| CHUNK.min(left.saturating_add(1)));
        let began = self.deadline.now();
        while self.chunk.filled < limit && self.deadline.since(began) < GATHERING {
            match self.body.read(self.chunk.room(limit), tee.as_deref_mut()) {
                Ok(0) if self.end_seen => return Ok(true),
                // An empty read is the end, unless more comes after it. Then the reader is broken, and what
                // would be taken for all of the content is only a part.
                Ok(0) => self.end_seen = true,
                Ok(_) if self.end_seen => {
                    return Err(self.failed(goes_on()));
                }
                Ok(len) => {
                    self.interruptions.end();
                    self.chunk.filled += len;
                }
                Err(error) => {
                    let retried = self.interruptions.retry(error);
                    retried.map_err(|error| self.failed(error))?;
                }
            }
        }
        Ok(false)
    }

    fn failed(&self, source: io::Error) -> ContentError {
        if self.body.has_changed() {
            return ContentError::new(ContentFault::Changed);
        }
        let after = self.body.bytes_read();
        ContentError::read(after, source)
    }

    fn check_length(&self, is_last: bool) -> Result<(), ContentError> {
        let read = self.body.bytes_read();
        match self.body.declared_len() {
            Some(declared) if read > declared => {
                Err(ContentError::new(ContentFault::TooLong { declared }))
            }
            Some(declared) if is_last && read < declared => {
                Err(ContentError::new(ContentFault::TooShort {
                    declared,
                    actual: read,
                }))
            }
            _ => Ok(()),
        }
    }

    /// Reads the rest for the copy, and sends nothing. Stops if the copy is out of time.
    pub(crate) fn read_rest(mut self, tee: &mut Tee<'_>) -> Result<(), ContentError> {
        while tee.is_in_time() && !self.read_chunk(Some(tee))? {
            self.chunk.consume(self.chunk.filled);
        }
        Ok(())
    }

    /// Writes all but the first `offset` bytes to `output`, as they are.
    pub(super) fn copy_from(
        mut self,
        offset: u64,
        output: &mut Output<'_>,
        service: &str,
    ) -> Result<(), Error> {
        let mut left_out = offset;
        loop {
            check_time(&self.deadline, service)?;
            let has_ended = self.read_chunk(None)?;
            let bytes = self.chunk.bytes();
            let skipped = usize::try_from(left_out).map_or(bytes.len(), |n| n.min(bytes.len()));
            left_out -= skipped as u64;
            output.write_all(&bytes[skipped..], &self.deadline, service)?;
            self.chunk.consume(self.chunk.filled);
            if has_ended {
                return Ok(());
            }
        }
    }
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Room for more, up to `limit` bytes in all.
    fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK].into_boxed_slice();
        }
        // Never empty, because a full chunk is not read into: an empty buffer would make every read look like
        // the end.
        &mut self.buffer[self.filled..limit]
    }

    /// Drops the first `len` bytes.
    fn consume(&mut self, len: usize) {
        self.buffer.copy_within(len..self.filled, 0);
        self.filled -= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::time::{Duration, Instant};

    /// Encodes all of the body. Returns what was encoded, also before an error.
    fn encode(mut body: Body<'_>) -> (Vec<u8>, Result<u64, ContentError>) {
        let mut encoder = BodyEncoder::new(&mut body, None, &Deadline::by_system(None));
        let mut out = Vec::new();
        let mut len = 0;
        loop {
            match encoder.encode_next(&mut out, None) {
                Ok(next) if next.then == Then::Done => return (out, Ok(len + next.len)),
                Ok(next) => len += next.len,
                Err(error) => return (out, Err(error)),
            }
        }
    }

    #[test]
    fn small_body_is_one_chunk_with_its_end() {
        assert_eq!(
            encode(Body::from(&b"hello"[..])).0,
            b"5\r\nhello\r\n0\r\n\r\n"
        );
        for body in [
            Body::from(b"hello"),
            Body::from("hello"),
            Body::from(b"hello".to_vec()),
        ] {
            assert_eq!(encode(body).0, b"5\r\nhello\r\n0\r\n\r\n");
        }
        assert_eq!(encode(Body::from(&b""[..])).0, b"0\r\n\r\n");
        assert_eq!(encode(Body::none()).0, b"");
    }

    /// The preview and what comes after it, of content of `len` bytes.
    fn encode_previewed(len: usize, size: usize) -> (String, Option<String>) {
        let content = "x".repeat(len);
        let mut body = Body::from(content.as_bytes());
        let mut encoder = BodyEncoder::new(&mut body, Some(size), &Deadline::by_system(None));
        let mut parts = Vec::new();
        let mut out = Vec::new();
        loop {
            let then = encoder.encode_next(&mut out, None).unwrap().then;
            if then != Then::Continues {
                parts.push(String::from_utf8(std::mem::take(&mut out)).unwrap());
            }
            if then == Then::Done {
                let rest = (parts.len() > 1).then(|| parts.remove(1));
                return (parts.remove(0), rest);
            }
        }
    }

    #[test]
    fn preview_has_ieof_only_if_it_is_all() {
        let rest = |rest: &str| Some(rest.to_owned());
        for (len, size, preview, after) in [
            (0, 0, "0; ieof\r\n\r\n", None),
            (0, 4, "0; ieof\r\n\r\n", None),
            (3, 0, "0\r\n\r\n", rest("3\r\nxxx\r\n0\r\n\r\n")),
            (3, 2, "2\r\nxx\r\n0\r\n\r\n", rest("1\r\nx\r\n0\r\n\r\n")),
            (3, 3, "3\r\nxxx\r\n0; ieof\r\n\r\n", None),
            (3, 4, "3\r\nxxx\r\n0; ieof\r\n\r\n", None),
        ] {
            let expected = (preview.to_owned(), after);
            assert_eq!(encode_previewed(len, size), expected, "{len} {size}");
        }
    }

    #[test]
    fn preview_may_be_longer_than_a_chunk() {
        for (len, size) in [
            (CHUNK - 1, CHUNK - 1),
            (CHUNK, CHUNK),
            (CHUNK + 1, CHUNK + 1),
            (2 * CHUNK, CHUNK - 1),
            (2 * CHUNK, CHUNK),
            (2 * CHUNK, CHUNK + 1),
            (3 * CHUNK, 2 * CHUNK),
        ] {
            let (preview, rest) = encode_previewed(len, size);
            let content = |part: &str| part.bytes().filter(|&b| b == b'x').count();
            assert_eq!(content(&preview), size.min(len), "{len} {size}");
            assert_eq!(rest.as_deref().map_or(0, content), len - size.min(len));
            assert_eq!(preview.ends_with("0; ieof\r\n\r\n"), len <= size);
            assert_eq!(rest.is_none(), len <= size);
        }
    }

    #[test]
    fn trailer_follows_the_last_chunk_and_adds_no_line() {
        let body = Body::from(&b"x"[..]).trailer("X-Sum", "1").unwrap();
        assert_eq!(encode(body).0, b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n");
        for (name, value) in [("X\r\nA", "1"), ("X", "1\r\n"), ("Host", "h")] {
            assert!(Body::none().trailer(name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn body_as_long_as_a_chunk_ends_once() {
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
    fn body_of_another_length_gets_no_last_chunk() {
        for (declared, actual) in [(10u64, 9usize), (10, 11), (0, 1), (1, 0)] {
            let content = vec![b'x'; actual];
            let (out, error) = encode(Body::reader(&content[..]).len(declared));
            assert!(error.is_err(), "{declared} {actual}");
            assert_eq!(out, b"", "{declared} {actual}");
        }
    }

    #[test]
    fn reader_that_goes_on_after_its_end_gets_no_last_chunk() {
        let mut pieces = [&b"hel"[..], b"", b"lo"].into_iter();
        let reader = FromFn(|buf: &mut [u8]| {
            let piece = pieces.next().unwrap_or_default();
            buf[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        });
        let (out, error) = encode(Body::reader(reader));
        assert!(
            matches!(&error, Err(e) if e.fault() == ContentFault::Read { after: 3 }),
            "{error:?}"
        );
        assert_eq!(out, b"");
    }

    #[test]
    fn reader_that_claims_more_than_fits_is_refused() {
        let (out, error) = encode(Body::reader(FromFn(|buf: &mut [u8]| Ok(buf.len() + 1))));
        assert!(error.is_err());
        assert_eq!(out, b"");
    }

    #[test]
    fn reader_interrupted_for_ever_fails_and_lets_go() {
        let mut body = Body::reader(FromFn(
            |_: &mut [u8]| Err(io::ErrorKind::Interrupted.into()),
        ));
        let mut encoder = BodyEncoder::new(&mut body, None, &Deadline::by_system(None));
        let began = Instant::now();
        let mut out = Vec::new();
        // Between the calls the deadline is looked at.
        let mut calls = 0;
        let error = loop {
            calls += 1;
            match encoder.encode_next(&mut out, None) {
                Ok(next) => assert_eq!((next.len, next.then), (0, Then::Continues)),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error.fault(), ContentFault::Read { after: 0 }),
            "{error:?}"
        );
        assert!(calls > 5, "{calls}");
        assert!(
            began.elapsed() > Duration::from_millis(500),
            "it did not spin"
        );
        assert_eq!(out, b"");
    }

    #[test]
    fn slow_reader_is_sent_in_parts() {
        let mut left = 3;
        let reader = FromFn(|buf: &mut [u8]| {
            // The delay is the injected fault.
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
    fn reader_that_fails_gets_no_last_chunk() {
        let content = vec![b'x'; CHUNK];
        let fails = content.chain(Failing);
        let mut body = Body::reader(fails);
        let mut encoder = BodyEncoder::new(&mut body, None, &Deadline::by_system(None));
        let mut out = Vec::new();
        encoder.encode_next(&mut out, None).unwrap();
        let sent = out.len();
        let error = encoder.encode_next(&mut out, None).unwrap_err();
        let after = CHUNK as u64;
        assert_eq!(error.fault(), ContentFault::Read { after });
        assert_eq!(out.len(), sent);
    }

    struct Failing;

    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
}
