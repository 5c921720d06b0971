//! A reader that can be read only once, and its first buffer.

use std::io::{self, Read};

use super::reading::{CHUNK, GATHERING, Interruptions, read_once};
use super::send_buffer::SendBuffer;
use crate::net::deadline::Deadline;

/// Bytes that are kept: as long as no more were passed on, all of them can be read again.
const KEPT: usize = CHUNK;

/// Bytes that are read before any is sent. One more than is kept shows whether content of that size has ended. No more,
/// because the next byte may take long.
const AHEAD: usize = KEPT + 1;

/// The reader is first asked for so much, so that little content costs little memory.
const FIRST: usize = 8 * 1024;

/// A caller's reader with its first buffer. As long as it gave no more than that, all of it can be read
/// from the beginning again.
pub(crate) struct OnceReader<R: ?Sized> {
    /// It has the first bytes.
    kept: Option<SendBuffer>,
    filled: usize,
    /// Where in the first buffer the next read begins.
    position: usize,
    /// More than is kept was passed on.
    is_past_buffer: bool,
    /// Reads in a row that gave nothing. The end is believed after two.
    empty_reads: u8,
    interruptions: Interruptions,
    reader: R,
}

impl<R: Read> OnceReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            kept: None,
            filled: 0,
            position: 0,
            is_past_buffer: false,
            empty_reads: 0,
            interruptions: Interruptions::default(),
            reader,
        }
    }
}

impl<R: Read + ?Sized> OnceReader<R> {
    /// Fills the first buffer, up to its end, the reader's end, or `limit` bytes. It stops earlier if that takes
    /// long, by the clock of `deadline`, or if the scan is cancelled.
    pub(crate) fn fill(&mut self, limit: Option<u64>, deadline: &Deadline) -> io::Result<()> {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(AHEAD).min(AHEAD);
        let began = deadline.now();
        while !self.is_past_buffer
            && self.filled < limit
            && !self.has_ended()
            && deadline.since(began) < GATHERING
            && !deadline.is_cancelled()
        {
            let end = if self.filled < FIRST { FIRST } else { AHEAD };
            let kept = self.kept.get_or_insert_with(SendBuffer::take);
            let place = &mut kept.memory(end.min(limit))[self.filled..];
            match read_once(&mut self.reader, place) {
                Ok(0) => self.empty_reads += 1,
                Ok(len) => {
                    self.refuse_after_end()?;
                    self.interruptions.end();
                    self.filled += len;
                }
                Err(error) => self.interruptions.retry(error)?,
            }
        }
        Ok(())
    }

    /// Whether everything that the reader gives is kept. That is known after its end, or when the `declared` length is
    /// there.
    pub(crate) fn fits(&self, declared: Option<u64>) -> bool {
        let is_all = self.has_ended() || declared == Some(self.filled as u64);
        is_all && self.filled <= KEPT && !self.is_past_buffer
    }

    /// Whether its end was read and passed on.
    pub(crate) fn is_at_end(&self) -> bool {
        self.has_ended() && self.position == self.filled
    }

    /// Bytes in the first buffer.
    pub(crate) fn kept_len(&self) -> u64 {
        self.filled as u64
    }

    /// Whether it can be read from its beginning.
    pub(crate) fn can_rewind(&self) -> bool {
        !self.is_past_buffer
    }

    /// Goes back to the beginning.
    pub(crate) fn rewind(&mut self) -> io::Result<()> {
        if self.is_past_buffer {
            return Err(io::Error::other("a reader is read only once"));
        }
        self.position = 0;
        Ok(())
    }

    /// Whether two reads in a row gave nothing.
    fn has_ended(&self) -> bool {
        self.empty_reads > 1
    }

    /// An error if bytes come after an empty read. That read was no end, and what would have been taken for all of
    /// the content is only a part.
    fn refuse_after_end(&self) -> io::Result<()> {
        match self.empty_reads {
            0 => Ok(()),
            _ => Err(goes_on()),
        }
    }

    /// Reads from the reader, and keeps the bytes in the first buffer if all of them fit.
    fn read_on(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = read_once(&mut self.reader, buf)?;
        if len == 0 {
            self.empty_reads += 1;
            return Ok(0);
        }
        self.refuse_after_end()?;
        let end = self.filled + len;
        if !self.is_past_buffer && end <= KEPT {
            let kept = self.kept.get_or_insert_with(SendBuffer::take);
            let room = if end <= FIRST { FIRST } else { KEPT };
            kept.memory(room)[self.filled..end].copy_from_slice(&buf[..len]);
            self.filled = end;
            self.position = end;
        } else {
            self.pass_buffer();
        }
        Ok(len)
    }

    /// More was passed on than is kept, so the first buffer is of no use any more.
    fn pass_buffer(&mut self) {
        self.is_past_buffer = true;
        self.kept = None;
        (self.filled, self.position) = (0, 0);
    }

    /// Copies what is kept from the present position on.
    fn read_kept(&mut self, buf: &mut [u8]) -> usize {
        let Some(kept) = &mut self.kept else {
            return 0;
        };
        let left = &kept.memory(self.filled)[self.position..];
        let len = left.len().min(buf.len());
        buf[..len].copy_from_slice(&left[..len]);
        self.position += len;
        if self.position > KEPT {
            self.pass_buffer();
        }
        len
    }
}

impl<R: Read + ?Sized> Read for OnceReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.position < self.filled {
            return Ok(self.read_kept(buf));
        }
        if buf.is_empty() || self.has_ended() {
            return Ok(0);
        }
        self.read_on(buf)
    }
}

/// The error of a reader that gave nothing and then something.
pub(crate) fn goes_on() -> io::Error {
    io::Error::other("the reader goes on after its end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::cancel::Cancel;

    /// Gives its pieces, one a read and as much of it as fits, and then nothing.
    struct Pieces<'p>(Vec<&'p [u8]>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.first_mut() else {
                return Ok(0);
            };
            let len = piece.read(buf)?;
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(len)
        }
    }

    #[test]
    fn content_is_read_again_if_it_fits_the_first_buffer() {
        for (len, fits, can_rewind) in [
            (0, true, true),
            (3, true, true),
            (FIRST, true, true),
            (KEPT - 1, true, true),
            (KEPT, true, true),
            // What was read ahead is more than is kept.
            (AHEAD, false, false),
            (AHEAD + 1, false, false),
        ] {
            let content: Vec<u8> = (0..=250).cycle().take(len).collect();
            let mut reader = OnceReader::new(&content[..]);
            reader.fill(None, &Deadline::by_system(None)).unwrap();
            assert_eq!(
                (reader.fits(None), reader.can_rewind()),
                (fits, true),
                "{len}"
            );
            assert_eq!(reader.fits(Some(len as u64)), can_rewind, "{len}");
            for _ in 0..2 {
                let mut read = Vec::new();
                reader.read_to_end(&mut read).unwrap();
                assert!(read == content, "{len}");
                assert_eq!(reader.rewind().is_ok(), can_rewind, "{len}");
                if !can_rewind {
                    break;
                }
            }
        }
    }

    #[test]
    fn content_is_read_again_if_only_its_beginning_was_read() {
        let content = vec![b'x'; 3 * KEPT];
        let mut reader = OnceReader::new(&content[..]);
        for len in [0, 1, KEPT - 1, KEPT] {
            reader.read_exact(&mut vec![0; len]).unwrap();
            reader.rewind().unwrap();
        }
        reader.fill(None, &Deadline::by_system(None)).unwrap();
        reader.read_exact(&mut vec![0; KEPT]).unwrap();
        reader.rewind().unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == content);
        assert!(reader.rewind().is_err());
    }

    #[test]
    fn no_more_than_the_first_buffer_is_read_ahead() {
        let content = vec![b'x'; AHEAD + 1];
        let mut left = &content[..];
        let mut reader = OnceReader::new(left.by_ref());
        (0..2).for_each(|_| reader.fill(None, &Deadline::by_system(None)).unwrap());
        drop(reader);
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn little_content_is_asked_for_little() {
        struct Notes<'n>(&'n [u8], &'n mut Vec<usize>);
        impl Read for Notes<'_> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.1.push(buf.len());
                self.0.read(buf)
            }
        }
        for (len, expected) in [
            (FIRST - 1, &[FIRST, 1, 1][..]),
            (FIRST, &[FIRST, AHEAD - FIRST, AHEAD - FIRST]),
        ] {
            let (content, mut asked) = (vec![b'x'; len], Vec::new());
            let mut reader = OnceReader::new(Notes(&content, &mut asked));
            reader.fill(None, &Deadline::by_system(None)).unwrap();
            assert!(reader.fits(None));
            assert_eq!(asked, expected);
        }
    }

    #[test]
    fn no_more_is_read_ahead_than_the_limit() {
        let mut content = &b"hello"[..];
        let mut reader = OnceReader::new(content.by_ref());
        for _ in 0..2 {
            reader.fill(Some(3), &Deadline::by_system(None)).unwrap();
        }
        assert!(!reader.fits(None));
        let mut read = [0; 5];
        assert_eq!(
            (reader.read(&mut read).unwrap(), &read[..3]),
            (3, &b"hel"[..])
        );
        drop(reader);
        assert_eq!(content, b"lo");
    }

    #[test]
    fn cancelled_scan_reads_no_more_ahead() {
        let cancel = Cancel::new();
        let deadline = Deadline::by_system(None).or_cancelled(Some(cancel.clone()));
        let mut content = &[b'x'; 10][..];
        let cancels = CancelsWhenRead(cancel, content.by_ref());
        OnceReader::new(cancels).fill(None, &deadline).unwrap();
        assert_eq!(content.len(), 9);
    }

    /// Gives one byte, and is then cancelled.
    struct CancelsWhenRead<'r>(Cancel, &'r mut &'static [u8]);

    impl Read for CancelsWhenRead<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.cancel();
            self.1.read(&mut buf[..1])
        }
    }

    #[test]
    fn reader_that_goes_on_after_its_end_is_refused() {
        let mut reader = OnceReader::new(Pieces(vec![b"hel", b"", b"lo"]));
        assert!(reader.fill(None, &Deadline::by_system(None)).is_err());
        let mut reader = OnceReader::new(Pieces(vec![b"hel", b"", b"lo"]));
        assert_eq!([3, 0].map(|_| reader.read(&mut [0; 8]).unwrap()), [3, 0]);
        assert!(reader.read(&mut [0; 8]).is_err());
    }

    #[test]
    fn buffer_is_not_filled_after_what_was_passed_on() {
        let content: Vec<u8> = (0..=250).cycle().take(3 * KEPT).collect();
        let mut reader = OnceReader::new(&content[..]);
        // More than fits at once, so that the buffer stays empty.
        reader.read_exact(&mut vec![0; KEPT + 1]).unwrap();
        reader.fill(None, &Deadline::by_system(None)).unwrap();
        assert!(!reader.fits(None) && !reader.can_rewind());
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert!(rest == content[KEPT + 1..]);
    }

    #[test]
    fn end_is_final_also_when_it_is_read_again() {
        let mut reader = OnceReader::new(Pieces(vec![b"a", b"", b"", b"b"]));
        reader.fill(None, &Deadline::by_system(None)).unwrap();
        for _ in 0..2 {
            assert_eq!(io::read_to_string(&mut reader).unwrap(), "a");
            reader.rewind().unwrap();
        }
    }

    #[test]
    fn slow_reader_does_not_get_to_fill_the_buffer() {
        struct Slow;
        impl Read for Slow {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                // The time is the fault that is injected here.
                std::thread::sleep(2 * GATHERING);
                buf[0] = b'x';
                Ok(1)
            }
        }
        let mut reader = OnceReader::new(Slow);
        reader.fill(None, &Deadline::by_system(None)).unwrap();
        assert_eq!((reader.filled, reader.fits(None)), (1, false));
    }

    #[test]
    fn lies_and_interruptions_are_limited_while_it_is_filled() {
        struct Lies(usize);
        impl Read for Lies {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                match self.0 {
                    0 => Err(io::ErrorKind::Interrupted.into()),
                    more => Ok(buf.len() + more),
                }
            }
        }
        assert!(
            OnceReader::new(Lies(1))
                .fill(Some(11), &Deadline::by_system(None))
                .is_err()
        );
        let mut interrupted = OnceReader::new(Lies(0));
        interrupted.fill(None, &Deadline::by_system(None)).unwrap();
        assert!(interrupted.read(&mut [0]).is_err());
    }
}
