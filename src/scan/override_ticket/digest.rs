//! The digest by which a ticket knows the content.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use super::hex;

/// The SHA-256 of content: what a ticket is bound to. Make it from the bytes that are delivered, not from a name or
/// a path.
///
/// A digest that the program has already is converted with `From<[u8; 32]>`. `Display` is in lower-case hexadecimal
/// digits, for a log or as the key of a look-up.
///
/// ```
/// use icap_client::override_ticket::ContentDigest;
///
/// let digest = ContentDigest::of(b"hello");
/// assert!(digest.to_string().starts_with("2cf24dba5fb0a30e26e83b2ac5b9e29e"));
/// assert_eq!(ContentDigest::of_reader(&b"hello"[..])?, digest);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// The digest of content in memory.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The digest of what a reader gives from its present position to its end.
    ///
    /// # Errors
    ///
    /// If the reader fails.
    pub fn of_reader(mut content: impl Read) -> io::Result<Self> {
        let mut writer = DigestWriter::new(io::sink());
        io::copy(&mut content, &mut writer)?;
        Ok(writer.finish().1)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for ContentDigest {
    fn from(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(&self.0))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentDigest({self})")
    }
}

/// Computes the digest of content while the content is stored.
///
/// So the content need not be read again, and there is a digest also of content that was not sent to a scanner.
///
/// ```
/// use std::io::Write;
///
/// use icap_client::override_ticket::{ContentDigest, DigestWriter};
///
/// let mut spool = DigestWriter::new(Vec::new()); // or a temporary file
/// spool.write_all(b"hello")?;
/// let (stored, digest) = spool.finish();
/// assert_eq!(digest, ContentDigest::of(&stored));
///
/// // Content that is scanned while it is stored.
/// # let server = icap_client::testing::Server::start()?;
/// # let scanner = icap_client::Scanner::new(server.uri()).unwrap();
/// # let content = icap_client::Content::reader(&b"hello"[..]);
/// let mut spool = DigestWriter::new(tempfile::tempfile()?);
/// let teed = scanner.scan_spooled(content, &mut spool)?;
/// assert!(teed.is_complete());
/// assert_eq!(spool.finish().1, digest);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DigestWriter<W> {
    writer: W,
    hash: Sha256,
}

impl<W: Write> DigestWriter<W> {
    /// Digests what is written to `writer` from now on.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            hash: Sha256::new(),
        }
    }

    /// The writer, and the digest of the bytes that it took. It is not flushed.
    pub fn finish(self) -> (W, ContentDigest) {
        (self.writer, ContentDigest(self.hash.finalize().into()))
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(buffer)?;
        let Some(taken) = buffer.get(..written) else {
            let what = "the writer took more bytes than it was given";
            return Err(io::Error::other(what));
        };
        self.hash.update(taken);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W: Read> Read for DigestWriter<W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.writer.read(buffer)
    }
}

impl<W: Seek> Seek for DigestWriter<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.writer.seek(to)
    }
}
