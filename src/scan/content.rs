//! What is to be scanned.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::client::body::{Body, Outgoing};
use crate::error::{ContentError, Error};
use crate::proto::request::Request;

/// The host of the encapsulated request. A reserved name (RFC 2606), so that nothing is disclosed and
/// no server trips over an address.
const CONTENT_HOST: &str = "content.invalid";

/// What is to be scanned: its bytes, and what is known about them.
///
/// The length is known for bytes and files, found by seeking for [`seekable`](Content::seekable), and
/// can be declared for a [`reader`](Content::reader). A known length is enforced while the content is
/// sent: a file that grows or shrinks meanwhile is an error and no verdict.
///
/// ```
/// use icap_client::Content;
///
/// let upload = Content::reader(std::io::Cursor::new("hello"))
///     .len(5)
///     .name("greeting.txt")
///     .content_type("text/plain");
/// ```
#[must_use]
pub struct Content<'a> {
    bytes: Source<'a>,
    length: Option<u64>,
    name: Option<String>,
    content_type: Option<String>,
    progress: Option<Progress<'a>>,
}

type Progress<'a> = Box<dyn FnMut(u64, Option<u64>) + 'a>;

enum Source<'a> {
    Bytes(&'a [u8]),
    Reader(Box<dyn Read + 'a>),
    Seekable(Box<dyn ReadSeek + 'a>),
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl<'a> Content<'a> {
    /// Content in memory.
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self::new(Source::Bytes(bytes), Some(bytes.len() as u64))
    }

    /// A file. Its name goes to the service with the content, its path does not.
    ///
    /// What is no regular file, such as a pipe, is read to its end without a known length.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is a directory.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut content = if metadata.is_file() {
            Self::seekable(file)
        } else {
            Self::reader(file)
        };
        content.name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Ok(content)
    }

    /// Whatever a reader gives, until it ends.
    pub fn reader(reader: impl Read + 'a) -> Self {
        Self::new(Source::Reader(Box::new(reader)), None)
    }

    /// What a reader gives from its present position to its end. It can be sent again.
    pub fn seekable(reader: impl Read + Seek + 'a) -> Self {
        Self::new(Source::Seekable(Box::new(reader)), None)
    }

    fn new(bytes: Source<'a>, length: Option<u64>) -> Self {
        Self {
            bytes,
            length,
            name: None,
            content_type: None,
            progress: None,
        }
    }

    /// Declares the length in bytes.
    pub fn len(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// The name of the file, for services that look at its extension. Any text will do: it is
    /// percent-encoded.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The media type, for example `application/pdf`. Default: `application/octet-stream`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Calls `progress(sent, total)` now and then while the content is sent, in bytes; `total` is
    /// `None` while it is not known. It begins at 0 anew when the content is sent again.
    pub fn progress(mut self, progress: impl FnMut(u64, Option<u64>) + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// The length, where it is known or a seek can tell.
    pub(crate) fn known_length(&mut self) -> Result<Option<u64>, Error> {
        if let (None, Source::Seekable(reader)) = (self.length, &mut self.bytes) {
            let length = length_by_seeking(reader);
            self.length = length.map_err(|source| ContentError::Read { after: 0, source })?;
        }
        Ok(self.length)
    }

    /// The request that carries this content.
    pub(crate) fn request(&self) -> Result<Request, Error> {
        let name = percent_encode(self.name.as_deref().unwrap_or_default());
        let content_type = self
            .content_type
            .as_deref()
            .unwrap_or("application/octet-stream");
        let length = self
            .length
            .map_or(String::new(), |len| format!("Content-Length: {len}\r\n"));
        let get =
            format!("GET http://{CONTENT_HOST}/{name} HTTP/1.1\r\nHost: {CONTENT_HOST}\r\n\r\n");
        crate::proto::request::check_header("Content-Type", content_type.as_bytes())?;
        let ok = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{length}\r\n");
        Request::respmod()
            .http_request(get.as_bytes())?
            .http_response(ok.as_bytes())
    }

    /// The content's bytes, observed while they are sent.
    pub(crate) fn observe(self, max_size: Option<u64>, digest: Digest) -> Observed<'a> {
        Observed {
            source: self.bytes,
            start: None,
            length: self.length,
            max_size,
            digest,
            progress: self.progress,
        }
    }
}

/// `None` for what has a position and no end, such as some files in `/proc`.
fn length_by_seeking(reader: &mut dyn ReadSeek) -> io::Result<Option<u64>> {
    let position = reader.stream_position()?;
    let end = reader.seek(SeekFrom::End(0));
    reader.seek(SeekFrom::Start(position))?;
    Ok(end.ok().map(|end| end.saturating_sub(position)))
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("name", &self.name)
            .field("length", &self.length)
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

/// Everything but the unreserved characters of RFC 3986 §2.3 is percent-encoded, so no name can end
/// the request line, begin a query or name another path.
fn percent_encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    // These two would be taken for a place in a hierarchy.
    match encoded.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => encoded,
    }
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
    progress: Option<Progress<'a>>,
}

impl Outgoing for Observed<'_> {
    fn is_some(&self) -> bool {
        true
    }

    fn begin(&mut self) -> Result<Body<'_>, ContentError> {
        let begun = match (&mut self.source, self.start) {
            (Source::Seekable(reader), None) => reader.stream_position(),
            (Source::Seekable(reader), Some(start)) => reader.seek(SeekFrom::Start(start)),
            (Source::Reader(_), Some(_)) => Err(io::Error::other("a reader is read only once")),
            (Source::Bytes(_) | Source::Reader(_), _) => Ok(0),
        };
        let after = self.digest.len;
        self.start = Some(begun.map_err(|source| ContentError::Read { after, source })?);
        self.digest.restart();
        let length = self.length;
        Ok(Body::reader(self).len(length))
    }

    fn can_begin_again(&self) -> bool {
        self.start.is_none() || !matches!(self.source, Source::Reader(_))
    }
}

impl Observed<'_> {
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
        let left = left.and_then(|left| usize::try_from(left).ok());
        let room = left.unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..room];
        let len = match &mut self.source {
            Source::Bytes(bytes) => {
                // What was read of them is what the digest has seen.
                let read = usize::try_from(self.digest.len).unwrap_or(usize::MAX);
                bytes.get(read..).unwrap_or_default().read(buf)?
            }
            Source::Reader(reader) => reader.read(buf)?,
            Source::Seekable(reader) => reader.read(buf)?,
        };
        // A reader that claims more than fits is refused by whoever gave the buffer.
        self.digest.update(buf.get(..len).unwrap_or_default());
        if self.exceeded_limit().is_some() {
            return Err(too_large());
        }
        Ok(len)
    }
}

/// No one is told this: whoever sees the error asks `exceeded_limit`.
fn too_large() -> io::Error {
    io::Error::other("the content is larger than the size limit")
}

/// Length and keyed hash of a byte sequence, to tell whether what came back is what was sent.
///
/// The hash is std's SipHash under a random key that never leaves this process, so no peer can aim at
/// a collision. A `Hasher` need not give the same for the same bytes in other pieces, so it is fed
/// blocks of one size.
pub(crate) struct Digest {
    len: u64,
    /// With the key, and nothing hashed.
    empty: std::hash::DefaultHasher,
    hasher: std::hash::DefaultHasher,
    block: [u8; Digest::BLOCK],
    filled: usize,
}

impl Digest {
    const BLOCK: usize = 1024;

    /// Two empty digests under one key.
    pub(crate) fn pair() -> (Self, Self) {
        let keys = std::hash::RandomState::new();
        let digest = || Self {
            len: 0,
            empty: keys.build_hasher(),
            hasher: keys.build_hasher(),
            block: [0; Self::BLOCK],
            filled: 0,
        };
        (digest(), digest())
    }

    /// Forgets everything but the key.
    pub(crate) fn restart(&mut self) {
        self.len = 0;
        self.filled = 0;
        self.hasher = self.empty.clone();
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let len = bytes.len().min(Self::BLOCK - self.filled);
            let (now, later) = bytes.split_at(len);
            self.block[self.filled..self.filled + len].copy_from_slice(now);
            self.filled += len;
            bytes = later;
            if self.filled == Self::BLOCK {
                self.hasher.write(&self.block);
                self.filled = 0;
            }
        }
    }

    fn value(&self) -> (u64, u64) {
        let mut hasher = self.hasher.clone();
        hasher.write(&self.block[..self.filled]);
        (self.len, hasher.finish())
    }
}

/// Meaningful only between the digests of one [`pair`](Digest::pair).
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

/// Takes an answer's body and keeps only its digest.
impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::splits::each_split;

    #[test]
    fn a_digest_is_of_the_bytes_and_not_of_their_pieces() {
        let content: Vec<u8> = (0..=250).cycle().take(2 * Digest::BLOCK + 100).collect();
        for sample in [&content[..], &content[..Digest::BLOCK], b"hello", b""] {
            each_split(sample, |pieces| {
                let (mut whole, mut split) = Digest::pair();
                whole.update(sample);
                pieces.iter().for_each(|piece| split.update(piece));
                assert!(whole == split);
            });
        }
    }

    #[test]
    fn one_other_byte_or_one_more_is_another_digest() {
        for other in [&b"hellO"[..], b"hello\0", b"hell", b"", b"olleh"] {
            let (mut left, mut right) = Digest::pair();
            left.update(b"hello");
            right.update(other);
            assert!(left != right, "{other:?}");
        }
    }

    #[test]
    fn a_name_becomes_one_path_segment_whatever_is_in_it() {
        for (name, encoded) in [
            ("invoice.pdf", "invoice.pdf"),
            ("a b/c?d#e%f", "a%20b%2Fc%3Fd%23e%25f"),
            ("a\r\nX-Infection: no", "a%0D%0AX-Infection%3A%20no"),
            ("Gr\u{fc}n\u{1f600}", "Gr%C3%BCn%F0%9F%98%80"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("", ""),
        ] {
            assert_eq!(percent_encode(name), encoded);
        }
    }

    #[test]
    fn the_request_says_what_is_known_and_no_more() {
        let encode = |content: Content<'_>| {
            let request = content.request().unwrap();
            let bytes = request.encode("icap://av/s", "av", true).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let known = encode(
            Content::bytes(b"hello")
                .name("a b")
                .content_type("text/plain"),
        );
        assert!(
            known.contains("GET http://content.invalid/a%20b HTTP/1.1\r\n"),
            "{known}"
        );
        assert!(known.contains("\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"));
        let unknown = encode(Content::reader(io::empty()));
        assert!(!unknown.contains("Content-Length"), "{unknown}");
        let injected = Content::bytes(b"")
            .content_type("text/plain\r\nX: y")
            .request();
        assert!(matches!(injected, Err(Error::Input(_))));
    }

    #[test]
    fn seekable_content_is_what_lies_behind_its_position() {
        let mut cursor = io::Cursor::new(b"0123456789");
        cursor.set_position(4);
        let mut content = Content::seekable(cursor);
        assert_eq!(content.known_length().unwrap(), Some(6));
        let mut observed = content.observe(None, Digest::pair().0);
        observed.begin().unwrap();
        let mut read = String::new();
        observed.read_to_string(&mut read).unwrap();
        assert_eq!(read, "456789");
        assert!(observed.can_begin_again());
        observed.begin().unwrap();
        assert_eq!(io::read_to_string(&mut observed).unwrap(), "456789");
    }

    #[test]
    fn bytes_begin_again_and_a_reader_does_not_once_it_has_begun() {
        let mut bytes = Content::bytes(b"hello").observe(None, Digest::pair().0);
        let mut reader = Content::reader(&b"hello"[..]).observe(None, Digest::pair().0);
        assert!(reader.can_begin_again(), "nothing was read yet");
        for observed in [&mut bytes, &mut reader] {
            observed.begin().unwrap();
            assert_eq!(io::read_to_string(observed).unwrap(), "hello");
        }
        assert!(!reader.can_begin_again() && reader.begin().is_err());
        bytes.begin().unwrap();
        assert_eq!(io::read_to_string(&mut bytes).unwrap(), "hello");
        assert_eq!(bytes.digest().len, 5);
    }

    #[test]
    fn a_file_has_its_name_and_length_and_a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x y.bin");
        std::fs::write(&path, b"hello").unwrap();
        let mut content = Content::file(&path).unwrap();
        assert_eq!(content.known_length().unwrap(), Some(5));
        assert_eq!(content.name.as_deref(), Some("x y.bin"));
        assert!(Content::file(dir.path()).is_err());
        assert!(Content::file(dir.path().join("none")).is_err());
    }

    #[test]
    fn content_may_be_as_large_as_the_limit() {
        for (size, too_large) in [(4usize, false), (5, false), (6, true)] {
            let content = vec![b'x'; size];
            let mut observed = Content::reader(&content[..]).observe(Some(5), Digest::pair().0);
            let read = io::copy(&mut observed, &mut io::sink());
            assert_eq!(
                (observed.exceeded_limit().is_some(), read.is_err()),
                (too_large, too_large),
                "{size}"
            );
        }
    }

    #[test]
    fn progress_goes_from_nothing_to_everything() {
        let mut seen = Vec::new();
        let content = Content::bytes(b"hello").progress(|sent, total| seen.push((sent, total)));
        let mut observed = content.observe(None, Digest::pair().0);
        io::copy(&mut observed, &mut io::sink()).unwrap();
        drop(observed);
        assert_eq!(
            (seen.first(), seen.last()),
            (Some(&(0, Some(5))), Some(&(5, Some(5))))
        );
    }
}
