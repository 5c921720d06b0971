//! What a scan asks of its body while and after it is sent: how much there was, and whether what came back is
//! a part of it.

use std::io;

use super::body::Body;
use super::digest::{Beginning, Digest};
use super::monitor::Monitor;
use super::output::check_time;
use super::reading::CHUNK;
use super::send_buffer::SendBuffer;
use crate::error::{ContentError, ContentFault, Error};
use crate::net::deadline::Deadline;

impl Body<'_> {
    /// The digest of what was read since the body was last rewound, if it is hashed.
    fn digest(&self) -> Option<&Digest> {
        self.monitor.as_ref()?.digest()
    }

    /// Bytes that were read to be sent since the body was last rewound, if it is monitored.
    pub(crate) fn sent_len(&self) -> u64 {
        self.monitor.as_ref().map_or(0, Monitor::len)
    }

    /// The size limit, if more bytes were read than it allows.
    pub(crate) fn exceeded_limit(&self) -> Option<u64> {
        self.monitor.as_ref()?.exceeded_limit()
    }

    /// What is read from now on must begin with what was sent, and be equal to it if that was all.
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
        if self.monitor.is_some() && self.sent_len() != self.bytes_read() {
            self.rewind()?;
        }
        if let Some(monitor) = &mut self.monitor {
            monitor.limit(max_size);
        }
        Ok(())
    }

    /// Tells the caller that `sent` bytes were sent. Returns whether the caller wants to know.
    pub(super) fn report_progress(&mut self, sent: u64) -> bool {
        let total = self.declared_len();
        let monitor = self.monitor.as_mut();
        monitor.is_some_and(|monitor| monitor.report_progress(sent, total))
    }

    /// Hashes what is read from now on. Nothing was read so far.
    pub(crate) fn hash(&mut self) {
        if let Some(monitor) = &mut self.monitor {
            monitor.hash();
        }
    }

    /// Whether `returned` is what was read since the body was last rewound. If that was not hashed, it is read again.
    ///
    /// # Errors
    ///
    /// If that cannot be known: reading fails, time is up, or a file is not what it was. It is then no difference.
    pub(crate) fn is_equal_to(
        &mut self,
        returned: &Digest,
        deadline: &Deadline,
        service: &str,
    ) -> Result<bool, Error> {
        if let Some(sent) = self.digest() {
            return Ok(sent == returned);
        }
        if self.sent_len() != returned.len {
            return Ok(false);
        }
        match self.digest_again(returned.len, deadline) {
            Ok(again) => Ok(again == *returned),
            Err(error) => {
                check_time(deadline, service)?;
                Err(error.into())
            }
        }
    }

    /// Whether `part` is the beginning of the content, of which not all need have been read.
    ///
    /// Where digests cannot decide, the content is read again. On the safe side it is the beginning, also if
    /// reading fails or takes too long, or if the reader gives other content now.
    pub(crate) fn begins_with(&mut self, part: &Digest, deadline: &Deadline) -> bool {
        if self.monitor.is_none() {
            return true;
        }
        if let Some(sent) = self.digest() {
            match part.agrees_with(sent) {
                Beginning::No => return false,
                Beginning::Yes if part.len <= sent.len => return true,
                _ if !self.is_repeatable() => return true,
                _ => {}
            }
        }
        let Ok(again) = self.digest_again(part.len, deadline) else {
            return true;
        };
        let is_known = self.digest().is_none_or(|sent| {
            again.len >= part.len.min(sent.len) && again.agrees_with(sent) != Beginning::No
        });
        again == *part || !is_known
    }

    /// The digest of the first `len` bytes, or of fewer if there are no more. They are read again, for which the
    /// monitor is put aside.
    fn digest_again(&mut self, len: u64, deadline: &Deadline) -> Result<Digest, ContentError> {
        let silent = self.monitor.as_ref().map(Monitor::silent);
        let monitor = std::mem::replace(&mut self.monitor, silent);
        let outcome = self.read_again(len, deadline);
        let again = std::mem::replace(&mut self.monitor, monitor);
        outcome.map_err(|error| ContentError::read(self.sent_len(), error))?;
        if !self.is_unchanged() {
            return Err(ContentError::new(ContentFault::Changed));
        }
        let digest = again.and_then(Monitor::into_digest);
        Ok(*digest.unwrap_or_default())
    }

    /// Reads the first `len` bytes once more, or fewer if there are no more.
    fn read_again(&mut self, len: u64, deadline: &Deadline) -> io::Result<()> {
        self.rewind().map_err(io::Error::other)?;
        let mut buffer = SendBuffer::take();
        let room = buffer.room(CHUNK, 0, self.writer());
        while self.bytes_read() < len {
            // What a reader gave is in memory, and takes no time.
            if self.is_repeatable() && deadline.left().is_none() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = usize::try_from(len - self.bytes_read()).unwrap_or(usize::MAX);
            let wanted = left.min(room.len());
            if self.read(&mut room[..wanted], None)? == 0 {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read, Seek, SeekFrom};

    const NO_LIMIT: Option<u64> = None;

    fn monitored(body: Body<'_>, max_size: Option<u64>) -> Body<'_> {
        let mut body = body.monitored(Monitor::new(max_size, None));
        body.hash();
        body
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
            (FIRST_BUFFER, true, true),
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

    /// A file that is not hashed while it is read, and a path to it.
    fn file_of(content: &[u8]) -> (Body<'static>, tempfile::TempPath) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let path = file.into_temp_path();
        let opened = std::fs::File::open(&path).unwrap();
        let mut body = Body::file(opened);
        body.find_length().unwrap();
        (body.monitored(Monitor::new(NO_LIMIT, None)), path)
    }

    #[test]
    fn reader_is_hashed_unless_all_of_it_is_kept() {
        let deadline = Deadline::by_system(None);
        for (len, is_hashed) in [(0, false), (5, false), (CHUNK, false), (CHUNK + 1, true)] {
            let content: Vec<u8> = (0..=250).cycle().take(len).collect();
            let monitor = Monitor::new(NO_LIMIT, None);
            let mut body = Body::reader(&content[..]).monitored(monitor);
            assert_eq!(body.keep(&deadline).unwrap(), !is_hashed);
            body.rewind().unwrap();
            assert_eq!(read_all(&mut body).unwrap(), content);
            assert_eq!(body.digest().is_some(), is_hashed, "{len}");
            let mut is_equal = |part: &[u8]| {
                let is_equal = body.is_equal_to(&digest_of(part), &deadline, "s");
                is_equal.unwrap()
            };
            assert!(is_equal(&content), "{len}");
            let mut other = content.clone();
            if let Some(byte) = other.last_mut() {
                *byte ^= 1;
            }
            assert_eq!(is_equal(&other), content.is_empty(), "{len}");
        }
    }

    fn digest_of(content: &[u8]) -> Digest {
        let mut digest = Digest::default();
        digest.update(content);
        digest
    }

    #[test]
    fn content_without_a_hash_is_read_again_to_compare() {
        let content: Vec<u8> = (0..=250).cycle().take(3 * CHUNK + 5).collect();
        let (file, _path) = file_of(&content);
        let bytes = Body::from(&content[..]).monitored(Monitor::new(NO_LIMIT, None));
        let mut other = content.clone();
        other[2 * CHUNK] ^= 1;
        let deadline = Deadline::by_system(None);
        for mut body in [file, bytes] {
            read_all(&mut body).unwrap();
            assert!(body.digest().is_none());
            let mut is_equal = |part: &[u8]| {
                let is_equal = body.is_equal_to(&digest_of(part), &deadline, "s");
                is_equal.unwrap()
            };
            assert!(is_equal(&content));
            assert!(!is_equal(&other));
            assert!(!is_equal(&content[1..]));
            assert!(!is_equal(&[]));
            let mut begins = |part: &[u8]| body.begins_with(&digest_of(part), &deadline);
            assert!(begins(&content[..CHUNK + 1]));
            assert!(begins(&[]));
            assert!(!begins(&other[..2 * CHUNK + 1]));
            assert!(!begins(&[&content[..], b"x"].concat()));
            assert_eq!(body.sent_len(), content.len() as u64);
        }
    }

    #[test]
    fn file_that_has_changed_is_an_error_and_no_difference() {
        // Times are not exact. The fault is injected with a time that differs.
        let touch = |path: &std::path::Path| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        };
        let deadline = Deadline::by_system(None);
        for now in [&b"hello"[..], b"jello", b"hell"] {
            let (mut body, path) = file_of(b"hello");
            read_all(&mut body).unwrap();
            std::fs::write(&path, now).unwrap();
            touch(&path);
            let compared = body.is_equal_to(&digest_of(b"hello"), &deadline, "s");
            let Err(Error::Content(error)) = compared else {
                panic!("{compared:?}");
            };
            assert_eq!(error.fault(), ContentFault::Changed);
            // On the safe side.
            assert!(body.begins_with(&digest_of(b"jel"), &deadline));
        }
    }

    #[test]
    fn comparison_ends_at_the_deadline() {
        let content = vec![b'x'; 2 * CHUNK];
        let mut body = Body::from(&content[..]).monitored(Monitor::new(NO_LIMIT, None));
        read_all(&mut body).unwrap();
        let over = Deadline::by_system(std::time::Duration::ZERO);
        let compared = body.is_equal_to(&digest_of(&content), &over, "s");
        assert!(matches!(compared, Err(Error::Timeout(_))), "{compared:?}");
        assert!(body.begins_with(&digest_of(b"y"), &over));
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
}
