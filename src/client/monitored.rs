//! What a scan asks of its body while and after it is sent: how much there was, and whether what came back is
//! a part of it.

use std::io;

use super::body::Body;
use super::digest::{Beginning, Digest};
use crate::error::ContentError;
use crate::net::deadline::Deadline;

impl Body<'_> {
    /// The digest of what was read since the body was last rewound, if it is monitored.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.monitor.as_ref().map(|monitor| monitor.digest())
    }

    /// The size limit, if more bytes were read than it allows.
    pub(crate) fn exceeded_limit(&self) -> Option<u64> {
        self.monitor.as_ref()?.exceeded_limit()
    }

    /// What is read from now on must begin with what was sent, and be equal to it if that was all. The caller
    /// is told of no progress, because it is not sent.
    pub(crate) fn has_been_sent(&mut self, is_all: bool) {
        if let Some(monitor) = &mut self.monitor {
            monitor.expect_the_same(is_all);
        }
    }

    /// The content is copied: if it is read again, it must be the same. At most `max_size` bytes are sent.
    pub(crate) fn is_copied(&mut self, max_size: Option<u64>) {
        if let Some(monitor) = &mut self.monitor {
            monitor.is_copied(max_size);
        }
    }

    /// Whether it was read to its end since it was last rewound.
    pub(crate) fn has_ended(&self) -> bool {
        let monitor = self.monitor.as_ref();
        monitor.is_some_and(|monitor| monitor.has_ended())
    }

    /// Whether other content was read than what was copied.
    pub(super) fn has_changed(&self) -> bool {
        let monitor = self.monitor.as_ref();
        monitor.is_some_and(|monitor| monitor.has_changed())
    }

    /// What is read from now on is not sent. It goes on where the present attempt to send it ended, up to `max_size`
    /// bytes in all.
    pub(crate) fn stop_sending(&mut self, max_size: Option<u64>) -> Result<(), ContentError> {
        // Something else may have been read since.
        if self
            .digest()
            .is_some_and(|digest| digest.len != self.bytes_read())
        {
            self.rewind()?;
        }
        if let Some(monitor) = &mut self.monitor {
            monitor.stop_sending(max_size);
        }
        Ok(())
    }

    /// Whether `part` is the beginning of the content, of which not all need have been read.
    ///
    /// Where digests cannot decide, the content is read again. On the safe side it is the beginning, also if
    /// reading fails or takes too long, or if the reader gives other content now.
    pub(crate) fn begins_with(&mut self, part: &Digest, deadline: &Deadline) -> bool {
        let Some(sent) = self.digest() else {
            return true;
        };
        match part.agrees_with(sent) {
            Beginning::No => return false,
            Beginning::Yes if part.len <= sent.len => return true,
            _ if !self.is_repeatable() => return true,
            _ => {}
        }
        let silent = self.monitor.as_ref().map(|monitor| monitor.silent());
        let monitor = std::mem::replace(&mut self.monitor, silent.map(Box::new));
        let outcome = self.read_again(part.len, deadline);
        let again = std::mem::replace(&mut self.monitor, monitor);
        let (Some(again), Some(sent)) = (again, self.digest()) else {
            return true;
        };
        let again = again.digest();
        let is_known = outcome.is_ok()
            && again.len >= part.len.min(sent.len)
            && again.agrees_with(sent) != Beginning::No;
        *again == *part || !is_known
    }

    /// Reads the first `len` bytes once more, or fewer if there are no more.
    fn read_again(&mut self, len: u64, deadline: &Deadline) -> io::Result<()> {
        self.rewind().map_err(io::Error::other)?;
        let mut buf = [0; 8 * 1024];
        while self.bytes_read() < len {
            if deadline.left().is_none() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = usize::try_from(len - self.bytes_read()).unwrap_or(usize::MAX);
            let room = left.min(buf.len());
            if self.read(&mut buf[..room], None)? == 0 {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::monitor::{Monitor, Progress};
    use crate::error::ContentFault;
    use std::io::{Cursor, Read, Seek, SeekFrom};

    const NO_LIMIT: Option<u64> = None;

    fn monitored(body: Body<'_>, max_size: Option<u64>) -> Body<'_> {
        body.monitored(Monitor::new(max_size, Digest::new(), None))
    }

    fn read_all(body: &mut Body<'_>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buf = [0; 8 * 1024];
        loop {
            match body.read(&mut buf, None)? {
                0 => return Ok(all),
                len => all.extend_from_slice(&buf[..len]),
            }
        }
    }

    #[test]
    fn seekable_body_begins_at_its_position() {
        let mut cursor = Cursor::new(b"0123456789");
        cursor.set_position(4);
        let mut body = Body::seekable(cursor);
        assert_eq!(body.find_length().unwrap(), Some(6));
        let mut body = monitored(body, NO_LIMIT);
        for _ in 0..2 {
            assert!(body.can_rewind());
            body.rewind().unwrap();
            assert_eq!(read_all(&mut body).unwrap(), b"456789");
        }
    }

    #[test]
    fn seekable_body_at_its_end_must_be_rewound() {
        for (len, position, expected) in [
            (0usize, 0, Ok(0)),
            (0, 5, Ok(0)),
            (5, 0, Ok(5)),
            (5, 4, Ok(1)),
            (5, 5, Err(5)),
            (5, 6, Err(5)),
            (5, u64::MAX, Err(5)),
        ] {
            // Whether a length was declared or not.
            for declared in [None, Some(0), Some(5)] {
                let mut cursor = Cursor::new(vec![b'x'; len]);
                cursor.set_position(position);
                let mut body = Body::seekable(cursor).len(declared);
                let expected = expected.map(|left| declared.unwrap_or(left));
                let length = body.find_length().map_err(|error| match error.fault() {
                    ContentFault::NotRewound { length } => length,
                    other => panic!("{other:?}"),
                });
                assert_eq!(length, expected.map(Some), "{len} {position} {declared:?}");
            }
        }
    }

    #[test]
    fn body_rewinds_unless_read_past_its_first_buffer() {
        const FIRST_BUFFER: usize = 64 * 1024;
        for (len, is_kept, rewinds) in [
            (5, true, true),
            (FIRST_BUFFER - 1, true, true),
            (FIRST_BUFFER, false, true),
            (FIRST_BUFFER + 1, false, false),
        ] {
            let bytes = vec![b'x'; len];
            for (body, is_reader) in [
                (Body::from(&bytes[..]), false),
                (Body::seekable(Cursor::new(&bytes)), false),
                (Body::reader(&bytes[..]), true),
            ] {
                let mut body = monitored(body, NO_LIMIT);
                assert_eq!(
                    body.keep(&Deadline::by_system(None)).unwrap(),
                    is_kept || !is_reader
                );
                assert!(body.can_rewind(), "nothing was sent yet");
                body.rewind().unwrap();
                assert_eq!(read_all(&mut body).unwrap().len(), len);
                let rewinds = rewinds || !is_reader;
                assert_eq!(body.can_rewind(), rewinds, "{len}");
                assert_eq!(body.rewind().is_ok(), rewinds, "{len}");
                if rewinds {
                    assert_eq!(read_all(&mut body).unwrap().len(), len);
                    assert_eq!(body.digest().unwrap().len, len as u64);
                }
            }
        }
    }

    #[test]
    fn no_more_than_one_byte_over_max_size_is_read_ahead() {
        let mut left = &b"0123456789"[..];
        let mut body = monitored(Body::reader(left.by_ref()), Some(5));
        assert!(!body.keep(&Deadline::by_system(None)).unwrap());
        drop(body);
        assert_eq!(left, b"6789");
    }

    #[test]
    fn content_may_be_as_large_as_the_limit() {
        for (size, too_large) in [(4usize, false), (5, false), (6, true)] {
            let content = vec![b'x'; size];
            let mut body = monitored(Body::reader(&content[..]), Some(5));
            let read = read_all(&mut body);
            assert_eq!(
                (body.exceeded_limit().is_some(), read.is_err()),
                (too_large, too_large),
                "{size}"
            );
        }
    }

    /// Fills the buffer and claims to have read more; is honest until the first jump if there is `content`.
    struct Claims<'c> {
        content: Option<Cursor<&'c [u8]>>,
        more: usize,
    }

    impl Read for Claims<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match &mut self.content {
                Some(content) => content.read(buf),
                None => {
                    buf.fill(b'x');
                    Ok(buf.len() + self.more)
                }
            }
        }
    }

    impl Seek for Claims<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            if matches!(to, SeekFrom::Start(_)) {
                self.content = None;
            }
            Ok(0)
        }
    }

    #[test]
    fn reader_that_claims_more_is_refused_at_any_limit() {
        for more in [1, 2, 40_000, usize::MAX / 2] {
            for max_size in [Some(0), Some(1), Some(10), Some(100_000), None] {
                let lies = |content| Claims { content, more };
                for body in [Body::reader(lies(None)), Body::seekable(lies(None))] {
                    let mut body = monitored(body, max_size);
                    body.rewind().unwrap();
                    let read = body.read(&mut [0; 64], None);
                    assert!(read.is_err(), "{more} {max_size:?}");
                    assert_eq!(body.exceeded_limit(), None);
                    assert_eq!(body.digest().unwrap().len, 0);
                }
                // Shortened to what is compared.
                let turns = lies(Some(Cursor::new(&b"hello"[..])));
                let max_size = max_size.filter(|&max| max > 4);
                let mut body = monitored(Body::seekable(turns), max_size);
                body.rewind().unwrap();
                assert_eq!(read_all(&mut body).unwrap(), b"hello");
                body.has_been_sent(false);
                body.rewind().unwrap();
                assert!(
                    body.read(&mut [0; 64], None).is_err(),
                    "{more} {max_size:?}"
                );
                assert_eq!(body.digest().unwrap().len, 0);
            }
        }
    }

    #[test]
    fn progress_goes_from_nothing_to_everything() {
        let mut seen = Vec::new();
        let progress: Progress<'_> = Box::new(|sent, total| seen.push((sent, total)));
        let monitor = Monitor::new(None, Digest::new(), Some(progress));
        let mut body = Body::from("hello").monitored(monitor);
        read_all(&mut body).unwrap();
        drop(body);
        assert_eq!(
            (seen.first(), seen.last()),
            (Some(&(0, Some(5))), Some(&(5, Some(5))))
        );
    }
}
