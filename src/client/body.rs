//! What is sent with a request: where its bytes come from, and whether it can be sent again.
//!
//! How it is written, in chunks and with a preview, is the business of the
//! [encoder](super::body_encoder::BodyEncoder).

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::monitor::Monitor;
use super::once_reader::OnceReader;
use super::reading::read_once;
use super::regular::RegularFile;
pub(crate) use super::regular::check_kind;
use super::send_buffer::Writer;
use super::tee::Tee;
use crate::error::{ContentError, ContentFault};
use crate::net::deadline::Deadline;
use crate::proto::request::check_header;

/// The body of a request.
///
/// It is never held in memory as a whole. If a length is declared and the reader gives more or fewer bytes, the
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
    /// Bytes that were read since it was last rewound.
    read: u64,
    /// Fields after the last chunk.
    trailers: Vec<(String, Vec<u8>)>,
    /// What a scan has to know about the bytes that were sent.
    pub(super) monitor: Option<Monitor<'a>>,
}

#[derive(Default)]
enum Source<'a> {
    #[default]
    None,
    Bytes(Cow<'a, [u8]>),
    File(RegularFile),
    Once(Box<OnceReader<dyn Read + Send + 'a>>),
    Seekable {
        reader: Box<dyn ReadSeek + 'a>,
        /// Where the body begins; not known before it is first rewound.
        start: Option<u64>,
    },
}

/// A reader that can be read again.
trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

impl<'a> Body<'a> {
    /// No body at all (`null-body`), which is not the same as an empty one.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A body that is read until the reader's end.
    ///
    /// Its first 64 KiB are kept. A body of at most this size can be sent again if an idle connection turns out to be
    /// closed. A longer body cannot be sent again, so it gets a new connection. To know which it is, the client reads
    /// these bytes and one more before it chooses a connection.
    pub fn reader(reader: impl Read + Send + 'a) -> Self {
        Self::new(Source::Once(Box::new(OnceReader::new(reader))))
    }

    /// A body that is read from the reader's position to its end, and can be sent again.
    pub(crate) fn seekable(reader: impl Read + Seek + Send + 'a) -> Self {
        Self::new(Source::Seekable {
            reader: Box::new(reader),
            start: None,
        })
    }

    /// The content of a regular file that was just opened. It can be sent again. Its kind is checked before it is read.
    pub(crate) fn file(file: File) -> Self {
        Self::new(Source::File(RegularFile::new(file)))
    }

    fn bytes(bytes: Cow<'a, [u8]>) -> Self {
        let declared = bytes.len() as u64;
        Self::new(Source::Bytes(bytes)).len(declared)
    }

    fn new(source: Source<'a>) -> Self {
        Self {
            source,
            ..Self::default()
        }
    }

    /// Declares the length in bytes, which is then enforced.
    #[must_use]
    pub fn len(mut self, length: impl Into<Option<u64>>) -> Self {
        self.declared = length.into();
        self
    }

    /// Adds a field that is sent after the body (RFC 9112 §7.1.2); a request without a body does not send it. Use it only if
    /// the service sent `Allow: trailers`. The client announces
    /// the name of the field in the ICAP head of the request.
    ///
    /// # Errors
    ///
    /// [`Error::Input`](crate::Error::Input) for the same faults as [`Request::header`](crate::Request::header).
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, crate::Error> {
        check_header(name, value.as_ref())?;
        let field = (name.to_owned(), value.as_ref().to_vec());
        self.trailers.push(field);
        Ok(self)
    }

    /// Observes what is sent.
    pub(crate) fn monitor(&mut self, monitor: Monitor<'a>) {
        self.monitor = Some(monitor);
    }

    #[cfg(test)]
    pub(super) fn monitored(mut self, monitor: Monitor<'a>) -> Self {
        self.monitor(monitor);
        self
    }

    /// Reads from now on from `reader`, which has the same content. That has `length` bytes.
    pub(crate) fn read_from(&mut self, reader: impl Read + Seek + Send + 'a, length: u64) {
        self.declared = Some(length);
        self.source = Source::Seekable {
            reader: Box::new(reader),
            start: None,
        };
    }

    /// The declared length in bytes, if there is one.
    pub(crate) fn declared_len(&self) -> Option<u64> {
        self.declared
    }

    /// The length in bytes, if it was declared or all of it is in memory.
    pub(super) fn known_len(&self) -> Option<u64> {
        let kept = match &self.source {
            Source::Once(reader) if reader.fits(None) => Some(reader.kept_len()),
            _ => None,
        };
        self.declared.or(kept)
    }

    /// The length in bytes, if it was declared or a seek can find it. From now on it counts as declared.
    ///
    /// # Errors
    ///
    /// [`ContentFault::NotRewound`] for a reader that stands at the end of something: it was written and never
    /// rewound, and would be sent as empty content, which every service calls clean.
    pub(crate) fn find_length(&mut self) -> Result<Option<u64>, ContentError> {
        let found = self.source.find_length()?;
        self.declared = self.declared.or(found);
        Ok(self.declared)
    }

    /// Whether there is a body; an empty one is one.
    pub(super) fn is_some(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// The fields that follow it.
    pub(super) fn trailers(&self) -> &[(String, Vec<u8>)] {
        &self.trailers
    }

    /// Bytes that were read since it was last rewound.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Whether it can be read more than once, however long it is.
    pub(crate) fn is_repeatable(&self) -> bool {
        !matches!(self.source, Source::Once(_))
    }

    /// Whether it can be read from its beginning, after what was read of it so far.
    pub(crate) fn can_rewind(&self) -> bool {
        match &self.source {
            Source::Once(reader) => reader.can_rewind(),
            _ => true,
        }
    }

    /// Whether it is read without a caller's code: from memory, or from a file of this crate.
    pub(super) fn is_own(&self) -> bool {
        match &self.source {
            Source::Once(reader) => reader.fits(None),
            Source::Seekable { .. } => false,
            _ => true,
        }
    }

    /// Who writes to memory that it is read to.
    pub(super) fn writer(&self) -> Writer {
        match self.is_own() {
            true => Writer::Own,
            false => Writer::Callers,
        }
    }

    /// Whether it is sure to be the same as when it was read before, if it is [own](Self::is_own).
    pub(super) fn is_unchanged(&self) -> bool {
        match &self.source {
            Source::File(file) => file.is_unchanged(),
            _ => true,
        }
    }

    /// Whether all of it was read, if that is known without another read.
    pub(super) fn is_at_end(&self) -> bool {
        self.source.ends_at(self.read)
    }

    /// The distance from the beginning of a page of memory to the next byte, as far as that is known.
    pub(super) fn offset_in_page(&self) -> usize {
        let read = usize::try_from(self.read % (1 << 16)).unwrap_or(0);
        match &self.source {
            Source::Bytes(bytes) => bytes.as_ptr().addr().wrapping_add(read),
            // The system's own copy of a file begins with a page.
            Source::File(_) => read,
            _ => 0,
        }
    }

    /// Keeps the first buffer of what can be read only once; at most one byte more than the size limit.
    /// Returns whether the body can be sent again however much of it is sent.
    ///
    /// What is monitored is hashed from now on, unless it is [own](Self::is_own): it cannot be read again to compare it,
    /// or may then be other content without a sign of it.
    pub(super) fn keep(&mut self, deadline: &Deadline) -> Result<bool, ContentError> {
        let mut is_kept = true;
        if let Source::Once(reader) = &mut self.source {
            let max_size = self.monitor.as_ref().and_then(|monitor| monitor.max_size());
            let limit = max_size.map(|max| max.saturating_add(1));
            let filled = reader.fill(limit, deadline);
            filled.map_err(|source| ContentError::read(reader.kept_len(), source))?;
            is_kept = reader.fits(self.declared);
        }
        if !self.is_own() {
            self.hash();
        }
        Ok(is_kept)
    }

    /// Goes back to the beginning.
    pub(super) fn rewind(&mut self) -> Result<(), ContentError> {
        let after = std::mem::take(&mut self.read);
        let rewound = self.source.rewind();
        rewound.map_err(|source| ContentError::read(after, source))?;
        if let Some(monitor) = &mut self.monitor {
            monitor.restart();
        }
        Ok(())
    }

    /// Reads once. A count that does not fit `buf` is an error. What is read goes to `tee` as well, also if
    /// it is over the size limit.
    pub(super) fn read(&mut self, buf: &mut [u8], tee: Option<&mut Tee<'_>>) -> io::Result<usize> {
        let room = match &self.monitor {
            Some(monitor) => monitor.before_read()?.min(buf.len()),
            None => buf.len(),
        };
        let buf = &mut buf[..room];
        let position = self.read;
        let len = self.source.read(position, buf)?;
        self.read += len as u64;
        let is_at_end = self.is_at_end();
        let checked = match &mut self.monitor {
            Some(monitor) if is_at_end => monitor.after_last_read(&buf[..len]),
            Some(monitor) => monitor.after_read(&buf[..len]),
            None => Ok(()),
        };
        if let Some(tee) = tee.filter(|_| !self.has_changed()) {
            tee.take(position, &buf[..len])?;
        }
        checked.map(|()| len)
    }

    /// Passes over at most `most` bytes in memory as if they were read, and returns how many. They are sent from where
    /// they are.
    pub(super) fn pass(&mut self, most: usize) -> io::Result<usize> {
        let room = match &self.monitor {
            Some(monitor) => monitor.before_read()?.min(most),
            None => most,
        };
        let left = self.source.in_memory(self.read);
        let passed = &left[..left.len().min(room)];
        self.read += passed.len() as u64;
        if let Some(monitor) = &mut self.monitor {
            monitor.after_read(passed)?;
        }
        Ok(passed.len())
    }

    /// The bytes from `position` on, if they are in memory. They are the same at each call.
    pub(super) fn in_memory(&self, position: u64) -> &[u8] {
        self.source.in_memory(position)
    }
}

impl Source<'_> {
    fn in_memory(&self, position: u64) -> &[u8] {
        let Self::Bytes(bytes) = self else {
            return &[];
        };
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        bytes.get(position..).unwrap_or_default()
    }

    /// Reads once; `position` bytes were read before.
    fn read(&mut self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None => Ok(0),
            Self::Bytes(_) => self.in_memory(position).read(buf),
            Self::File(file) => file.read(position, buf),
            Self::Once(reader) => reader.read(buf),
            Self::Seekable { reader, .. } => read_once(reader, buf),
        }
    }

    fn rewind(&mut self) -> io::Result<()> {
        match self {
            Self::None | Self::Bytes(_) => Ok(()),
            Self::File(file) => file.rewind(),
            Self::Once(reader) => reader.rewind(),
            Self::Seekable {
                reader,
                start: Some(start),
            } => reader.seek(SeekFrom::Start(*start)).map(|_| ()),
            Self::Seekable { reader, start } => {
                *start = Some(reader.stream_position()?);
                Ok(())
            }
        }
    }

    /// Whether it is known to end after this many bytes.
    fn ends_at(&self, position: u64) -> bool {
        match self {
            Self::Bytes(bytes) => position == bytes.len() as u64,
            Self::File(file) => file.has_ended(),
            Self::Once(reader) => reader.is_at_end(),
            _ => false,
        }
    }

    /// Bytes from the present position to the end, if that is known or a seek can find it. `None` for what has a
    /// position and no end, such as some files in `/proc`.
    fn find_length(&mut self) -> Result<Option<u64>, ContentError> {
        let reader = match self {
            Self::Seekable { reader, .. } => reader,
            Self::File(file) => {
                let length = file.find_length();
                return length
                    .map(Some)
                    .map_err(|source| ContentError::read(0, source));
            }
            _ => return Ok(None),
        };
        let (position, end) =
            position_and_end(&mut **reader).map_err(|source| ContentError::read(0, source))?;
        match end {
            Some(length) if length > 0 && position >= length => {
                Err(ContentError::new(ContentFault::NotRewound { length }))
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

impl<'a> From<&'a [u8]> for Body<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::bytes(bytes.into())
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Body<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::bytes(bytes[..].into())
    }
}

impl<'a> From<&'a str> for Body<'a> {
    fn from(text: &'a str) -> Self {
        Self::bytes(text.as_bytes().into())
    }
}

impl From<Vec<u8>> for Body<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes.into())
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
