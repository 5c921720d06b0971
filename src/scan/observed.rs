//! Content on its way: where its bytes come from, and what is noted while they are sent.

use std::borrow::Cow;
use std::io::{self, Read, Seek, SeekFrom};

use super::digest::{Beginning, Digest};
use crate::client::body::{Body, Outgoing, keep};
use crate::client::once_reader::OnceReader;
use crate::client::reading::read_once;
use crate::error::ContentError;

/// What is called with the bytes sent, and the length where it is known.
pub(crate) type Progress<'a> = Box<dyn FnMut(u64, Option<u64>) + Send + 'a>;

/// Where content comes from.
pub(crate) enum Source<'a> {
    Bytes(Cow<'a, [u8]>),
    Reader(OnceReader<'a>),
    Seekable(Box<dyn ReadSeek + 'a>),
}

/// What can be read again.
pub(crate) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

impl Source<'_> {
    /// Bytes from the present position to the end, where a seek can tell. `None` for what has a
    /// position and no end, such as some files in `/proc`.
    ///
    /// A reader that stands at the end of something is an error: it was written and never rewound, and
    /// would be sent as empty content, which every service calls clean.
    pub(crate) fn length_by_seeking(&mut self) -> Result<Option<u64>, ContentError> {
        let Self::Seekable(reader) = self else {
            return Ok(None);
        };
        let (position, end) = position_and_end(&mut **reader)
            .map_err(|source| ContentError::Read { after: 0, source })?;
        match end {
            Some(length) if length > 0 && position >= length => {
                Err(ContentError::NotRewound { length })
            }
            end => Ok(end.map(|end| end.saturating_sub(position))),
        }
    }
}

/// Where a reader stands, and where it ends if that is known. It is left where it stood.
fn position_and_end(reader: &mut dyn ReadSeek) -> io::Result<(u64, Option<u64>)> {
    let position = reader.stream_position()?;
    let end = reader.seek(SeekFrom::End(0)).ok();
    reader.seek(SeekFrom::Start(position))?;
    Ok((position, end))
}

/// Content on its way: hashed, counted against the limit, reported to the caller.
pub(crate) struct Observed<'a> {
    source: Source<'a>,
    /// Where it began, once it was begun: a position to seek.
    start: Option<u64>,
    length: Option<u64>,
    max_size: Option<u64>,
    /// Of what was read since it was last begun.
    digest: Digest,
    /// What was sent; what is read from then on begins with it.
    sent: Option<Digest>,
    /// And is it.
    is_all_sent: bool,
    progress: Option<Progress<'a>>,
}

impl Outgoing for Observed<'_> {
    fn is_some(&self) -> bool {
        true
    }

    fn keep(&mut self) -> Result<bool, ContentError> {
        let limit = self.max_size.map(|max| max.saturating_add(1));
        match &mut self.source {
            Source::Bytes(_) | Source::Seekable(_) => Ok(true),
            Source::Reader(reader) => keep(reader, self.length, limit),
        }
    }

    fn begin(&mut self) -> Result<Body<'_>, ContentError> {
        let begun = match (&mut self.source, self.start) {
            (Source::Seekable(reader), None) => reader.stream_position(),
            (Source::Seekable(reader), Some(start)) => reader.seek(SeekFrom::Start(start)),
            (Source::Reader(reader), _) => reader.rewind().map(|()| 0),
            (Source::Bytes(_), _) => Ok(0),
        };
        let after = self.digest.len;
        self.start = Some(begun.map_err(|source| ContentError::Read { after, source })?);
        self.digest.restart();
        let length = self.length;
        Ok(Body::begun(self).len(length))
    }

    fn can_begin_again(&self) -> bool {
        match &self.source {
            Source::Bytes(_) | Source::Seekable(_) => true,
            Source::Reader(reader) => reader.can_rewind(),
        }
    }
}

impl<'a> Observed<'a> {
    pub(crate) fn new(
        source: Source<'a>,
        length: Option<u64>,
        max_size: Option<u64>,
        digest: Digest,
        progress: Option<Progress<'a>>,
    ) -> Self {
        Self {
            source,
            start: None,
            length,
            max_size,
            digest,
            sent: None,
            is_all_sent: false,
            progress,
        }
    }

    /// Whether it can be read more than once, however long it is.
    pub(crate) fn is_repeatable(&self) -> bool {
        !matches!(self.source, Source::Reader(_))
    }

    /// What is read from now on is not sent, so nobody is told of it; but it must begin with what was,
    /// and be that if it was sent to its end.
    pub(crate) fn has_been_sent(&mut self, to_its_end: bool) {
        self.progress = None;
        self.sent = Some(self.digest.clone());
        self.is_all_sent = to_its_end;
    }

    /// Whether `part` is the beginning of the content, of which not all need have been read. Where digests do
    /// not tell, what can be read again is; on the safe side it is the beginning, also if reading fails or
    /// takes too long, or gives other content now.
    pub(crate) fn begins_with(&mut self, part: &Digest, is_in_time: impl Fn() -> bool) -> bool {
        match part.agrees_with(&self.digest) {
            Beginning::No => return false,
            Beginning::Yes if part.len <= self.digest.len => return true,
            _ if !self.is_repeatable() => return true,
            _ => {}
        }
        let sent = self.digest.clone();
        let progress = self.progress.take();
        let again = self.read_again(part.len, is_in_time);
        let is_known = again.is_ok()
            && self.digest.len >= part.len.min(sent.len)
            && self.digest.agrees_with(&sent) != Beginning::No;
        let is_beginning = self.digest == *part;
        self.digest = sent;
        self.progress = progress;
        is_beginning || !is_known
    }

    /// Reads the first `len` bytes once more, or fewer if there are no more.
    fn read_again(&mut self, len: u64, is_in_time: impl Fn() -> bool) -> io::Result<()> {
        self.begin().map_err(io::Error::other)?;
        let mut buf = [0; 8 * 1024];
        while self.digest.len < len {
            if !is_in_time() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = usize::try_from(len - self.digest.len).unwrap_or(usize::MAX);
            let room = left.min(buf.len());
            match self.read(&mut buf[..room])? {
                0 => break,
                len if len > room => return Err(io::ErrorKind::InvalidData.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes up to the end of what was sent, if that is to be compared.
    fn left_to_compare(&self) -> Option<u64> {
        let left = self.sent.as_ref()?.len.checked_sub(self.digest.len)?;
        Some(left).filter(|&left| left > 0)
    }

    /// An error if other content was read than was sent, or less or more of it.
    fn compare(&self, has_ended: bool) -> io::Result<()> {
        let Some(sent) = &self.sent else {
            return Ok(());
        };
        let is_short = has_ended && self.digest.len < sent.len;
        let is_other = self.digest.len == sent.len && self.digest != *sent;
        let is_long = self.is_all_sent && self.digest.len > sent.len;
        if is_short || is_other || is_long {
            return Err(io::Error::other(
                "the content has changed since it was sent",
            ));
        }
        Ok(())
    }

    /// The size limit, if more bytes were read than it allows.
    pub(crate) fn exceeded_limit(&self) -> Option<u64> {
        self.max_size.filter(|&max| self.digest.len > max)
    }

    /// What was read since it was last begun.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl Read for Observed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.exceeded_limit().is_some() {
            return Err(too_large());
        }
        // What was read before has been sent by now.
        if let Some(progress) = &mut self.progress {
            progress(self.digest.len, self.length);
        }
        // One byte more than the limit shows that there is more, and is not passed on.
        let left = self
            .max_size
            .map(|max| (max - self.digest.len).saturating_add(1));
        let left = [left, self.left_to_compare()].into_iter().flatten();
        let left = left.min().and_then(|left| usize::try_from(left).ok());
        let room = left.unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..room];
        let len = match &mut self.source {
            Source::Bytes(bytes) => {
                // What was read of them is what the digest has seen.
                let read = usize::try_from(self.digest.len).unwrap_or(usize::MAX);
                bytes.get(read..).unwrap_or_default().read(buf)?
            }
            Source::Reader(reader) => reader.read(buf)?,
            Source::Seekable(reader) => read_once(reader, buf)?,
        };
        self.digest.update(&buf[..len]);
        if self.exceeded_limit().is_some() {
            return Err(too_large());
        }
        self.compare(len == 0)?;
        Ok(len)
    }
}

/// No one is told this: whoever sees the error asks `exceeded_limit`.
fn too_large() -> io::Error {
    io::Error::other("the content is larger than the size limit")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::scan::content::Content;

    #[test]
    fn seekable_content_is_what_lies_behind_its_position() {
        let mut cursor = io::Cursor::new(b"0123456789");
        cursor.set_position(4);
        let mut content = Content::seekable(cursor);
        assert_eq!(content.known_length().unwrap(), Some(6));
        let mut observed = content.observe(None, Digest::pair().0).1;
        observed.begin().unwrap();
        let mut read = String::new();
        observed.read_to_string(&mut read).unwrap();
        assert_eq!(read, "456789");
        assert!(observed.can_begin_again());
        observed.begin().unwrap();
        assert_eq!(io::read_to_string(&mut observed).unwrap(), "456789");
    }

    #[test]
    fn seekable_content_at_its_end_is_to_be_rewound() {
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
                let mut cursor = io::Cursor::new(vec![b'x'; len]);
                cursor.set_position(position);
                let mut content = Content::seekable(cursor);
                if let Some(declared) = declared {
                    content = content.len(declared);
                }
                let expected = expected.map(|left| declared.unwrap_or(left));
                let length = content.known_length().map_err(|error| match error {
                    Error::Content(error) => match error {
                        ContentError::NotRewound { length } => length,
                        other => panic!("{other:?}"),
                    },
                    other => panic!("{other:?}"),
                });
                assert_eq!(length, expected.map(Some), "{len} {position} {declared:?}");
            }
        }
    }

    #[test]
    fn content_begins_again_unless_it_was_read_past_its_first_buffer() {
        const FIRST_BUFFER: usize = 64 * 1024;
        for (len, is_kept, begins_again) in [
            (5, true, true),
            (FIRST_BUFFER - 1, true, true),
            (FIRST_BUFFER, false, true),
            (FIRST_BUFFER + 1, false, false),
        ] {
            let bytes = vec![b'x'; len];
            for (content, is_reader) in [
                (Content::bytes(&bytes), false),
                (Content::seekable(io::Cursor::new(&bytes)), false),
                (Content::reader(&bytes[..]), true),
            ] {
                let mut observed = content.observe(None, Digest::pair().0).1;
                assert_eq!(observed.keep().unwrap(), is_kept || !is_reader);
                assert!(observed.can_begin_again(), "nothing was sent yet");
                observed.begin().unwrap();
                assert_eq!(
                    io::copy(&mut observed, &mut io::sink()).unwrap(),
                    len as u64
                );
                let begins_again = begins_again || !is_reader;
                assert_eq!(observed.can_begin_again(), begins_again, "{len}");
                assert_eq!(observed.begin().is_ok(), begins_again, "{len}");
                if begins_again {
                    assert_eq!(io::read_to_string(&mut observed).unwrap().len(), len);
                    assert_eq!(observed.digest().len, len as u64);
                }
            }
        }
    }

    #[test]
    fn no_more_than_one_byte_over_max_size_is_read_ahead() {
        let mut left = &b"0123456789"[..];
        let mut observed = Content::reader(left.by_ref())
            .observe(Some(5), Digest::pair().0)
            .1;
        assert!(!observed.keep().unwrap());
        drop(observed);
        assert_eq!(left, b"6789");
    }

    #[test]
    fn content_may_be_as_large_as_the_limit() {
        for (size, too_large) in [(4usize, false), (5, false), (6, true)] {
            let content = vec![b'x'; size];
            let mut observed = Content::reader(&content[..])
                .observe(Some(5), Digest::pair().0)
                .1;
            let read = io::copy(&mut observed, &mut io::sink());
            assert_eq!(
                (observed.exceeded_limit().is_some(), read.is_err()),
                (too_large, too_large),
                "{size}"
            );
        }
    }

    /// Fills the buffer and claims to have read more.
    struct Claims {
        more: usize,
        at: u64,
    }

    impl Read for Claims {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(b'x');
            self.at += buf.len() as u64;
            Ok(buf.len() + self.more)
        }
    }

    impl Seek for Claims {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            if let SeekFrom::Start(at) = to {
                self.at = at;
            }
            Ok(self.at)
        }
    }

    #[test]
    fn reader_that_claims_more_is_refused_at_any_limit() {
        for more in [1, 2, 40_000, usize::MAX / 2] {
            for max_size in [Some(0), Some(1), Some(10), Some(100_000), None] {
                let lies = || Claims { more, at: 0 };
                for content in [Content::reader(lies()), Content::seekable(lies())] {
                    let mut observed = content.observe(max_size, Digest::pair().0).1;
                    observed.begin().unwrap();
                    let read = observed.read(&mut [0; 64]);
                    assert!(read.is_err(), "{more} {max_size:?}");
                    assert_eq!(observed.exceeded_limit(), None);
                    assert_eq!(observed.digest().len, 0);
                }
                // Shortened to what is compared.
                let mut observed = Content::seekable(io::Cursor::new(b"hello"))
                    .observe(max_size.filter(|&max| max > 4), Digest::pair().0)
                    .1;
                io::copy(&mut observed, &mut io::sink()).unwrap();
                observed.has_been_sent(false);
                observed.source = Source::Seekable(Box::new(lies()));
                observed.begin().unwrap();
                assert!(observed.read(&mut [0; 64]).is_err(), "{more} {max_size:?}");
                assert_eq!(observed.digest().len, 0);
            }
        }
    }

    #[test]
    fn progress_goes_from_nothing_to_everything() {
        let mut seen = Vec::new();
        let content = Content::bytes(b"hello").progress(|sent, total| seen.push((sent, total)));
        let mut observed = content.observe(None, Digest::pair().0).1;
        io::copy(&mut observed, &mut io::sink()).unwrap();
        drop(observed);
        assert_eq!(
            (seen.first(), seen.last()),
            (Some(&(0, Some(5))), Some(&(5, Some(5))))
        );
    }
}
