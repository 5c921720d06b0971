//! Content that shows whether a server scans: the EICAR test file in several forms, and noise without it.
//!
//! A sample is computed while it is read, so its size costs no memory. Each one is new: it has random bytes, so that no
//! server knows it by its hash.

mod eicar;
mod noise;
mod zip;

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

pub(crate) use eicar::eicar;
use noise::Noise;
use zip::Zip;

use super::content::Content;
use crate::seam::random;
use crate::seam::sync::sleep;

/// The pause of one read while the last byte is held back. The reader returns after it, so that what was read
/// before is sent meanwhile.
const HOLD_SLICE: Duration = Duration::from_millis(20);

/// Pauses before the last byte: 400 ms. The first 100 ms the encoder waits for more content, so the server has all but
/// the last byte for 300 ms.
const HOLD_SLICES: u32 = 20;

/// The longest member of noise in an archive. A longer archive has more of them.
const MEMBER: u64 = 1 << 20;

/// The largest archive, 1 GiB. A larger one might need the longer format of ZIP.
pub(super) const MAX_ARCHIVE: u64 = 1 << 30;

/// The smallest archive, in bytes.
pub(super) const MIN_ARCHIVE: u64 = 300;

/// Content that is computed while it is read.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    name: &'static str,
    media_type: &'static str,
    pieces: Vec<Piece>,
    len: u64,
    position: u64,
    gets_any_preview: bool,
    /// Pauses that are left before the last byte.
    hold: u32,
    /// The same at the beginning.
    whole_hold: u32,
}

/// A part of a sample.
#[derive(Debug, Clone)]
enum Piece {
    Bytes(Vec<u8>),
    Noise(Noise),
}

impl Sample {
    /// Random bytes, in which nothing is found.
    pub(crate) fn noise(len: u64) -> Self {
        let pieces = vec![Piece::Noise(Noise::new(len))];
        Self::new("noise.bin", "application/octet-stream", pieces)
    }

    /// The EICAR test file itself, the only sample that a server may have seen before.
    pub(crate) fn eicar() -> Self {
        let pieces = vec![Piece::Bytes(eicar())];
        Self::new("eicar.com", "application/octet-stream", pieces)
    }

    /// A ZIP of `len` bytes, from [`MIN_ARCHIVE`] to [`MAX_ARCHIVE`]: stored members of random bytes, and EICAR as the
    /// last one.
    ///
    /// Each member has bytes of its own. An engine that knows members by their hash would scan only the first of
    /// equal ones.
    pub(crate) fn archive(len: u64) -> Self {
        Self::archive_of(len, eicar())
    }

    /// The same with zeros in place of EICAR.
    pub(crate) fn harmless(len: u64) -> Self {
        Self::archive_of(len, vec![0; eicar().len()])
    }

    fn archive_of(len: u64, last: Vec<u8>) -> Self {
        let len = len.clamp(MIN_ARCHIVE, MAX_ARCHIVE);
        let mut zip = Zip::new(0);
        let end = Zip::overhead("eicar.com") + last.len() as u64 + Zip::END;
        for number in 0.. {
            let name = format!("noise-{number:04}");
            let left = len - zip.len() - zip.directory_len() - end;
            let room = left.saturating_sub(Zip::overhead(&name));
            if room == 0 {
                break;
            }
            // What is left after this member is nothing, or enough for another one.
            let next = Zip::overhead(&name) + 1;
            let member = match room.min(MEMBER) {
                member if room - member > 0 && room - member < next => member - next,
                member => member,
            };
            zip.add(&name, Piece::Noise(Noise::new(member)));
        }
        zip.add("eicar.com", Piece::Bytes(last));
        Self::new("archive.zip", "application/zip", zip.finish())
    }

    /// A PDF with EICAR as an embedded file, and a stream of `noise` random bytes before it.
    pub(crate) fn pdf(noise: u64) -> Self {
        let mut pieces = vec![text(format!("%PDF-1.4\n%{:016x}\n", random::number()))];
        if noise > 0 {
            pieces.push(text(format!("2 0 obj\n<</Length {noise}>>\nstream\n")));
            pieces.push(Piece::Noise(Noise::new(noise)));
            pieces.push(text("\nendstream\nendobj\n".to_owned()));
        }
        let eicar = eicar();
        let head = format!(
            "1 0 obj\n<</Type/EmbeddedFile/Length {}>>\nstream\n",
            eicar.len()
        );
        pieces.push(text(head));
        pieces.push(Piece::Bytes(eicar));
        pieces.push(text("\nendstream\nendobj\n%%EOF\n".to_owned()));
        Self::new("document.pdf", "application/pdf", pieces)
    }

    /// A GIF with a ZIP appended that has EICAR, and a comment of `noise` random bytes between them.
    pub(crate) fn image(noise: u64) -> Self {
        // One pixel. No reader of ZIP looks at the rest.
        let head =
            b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
        let mut pieces = vec![Piece::Bytes(head.to_vec())];
        pieces.push(Piece::Noise(Noise::new(noise)));
        let mut zip = Zip::new(head.len() as u64 + noise);
        zip.add("noise", Piece::Noise(Noise::new(16)));
        zip.add("eicar.com", Piece::Bytes(eicar()));
        pieces.extend(zip.finish());
        Self::new("image.gif", "image/gif", pieces)
    }

    /// A word processor's document with EICAR as an embedded object, and a picture of `noise` random bytes.
    pub(crate) fn office(noise: u64) -> Self {
        let types = "<?xml version=\"1.0\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/\
            content-types\"><Default Extension=\"xml\" ContentType=\"application/vnd.openxmlformats-officedocument.\
            wordprocessingml.document.main+xml\"/></Types>";
        let body = "<?xml version=\"1.0\"?><w:document xmlns:w=\"http://schemas.openxmlformats.org/\
            wordprocessingml/2006/main\"><w:body/></w:document>";
        let mut zip = Zip::new(0);
        zip.add("[Content_Types].xml", text(types.to_owned()));
        zip.add("word/document.xml", text(body.to_owned()));
        zip.add(
            "word/media/image1.png",
            Piece::Noise(Noise::new(16 + noise)),
        );
        zip.add("word/embeddings/oleObject1.bin", Piece::Bytes(eicar()));
        let media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        Self::new("document.docx", media_type, zip.finish())
    }

    fn new(name: &'static str, media_type: &'static str, pieces: Vec<Piece>) -> Self {
        Self {
            name,
            media_type,
            len: pieces.iter().map(Piece::len).sum(),
            pieces,
            position: 0,
            gets_any_preview: false,
            hold: 0,
            whole_hold: 0,
        }
    }

    /// Holds back the last byte, and so the last chunk, until the server has had all of the rest for 300 ms.
    pub(crate) fn held_back(mut self) -> Self {
        self.whole_hold = HOLD_SLICES;
        self.hold = HOLD_SLICES;
        self
    }

    /// Has it sent with a preview if any content is, also if the service wants archives whole.
    pub(crate) fn with_any_preview(mut self) -> Self {
        self.gets_any_preview = true;
        self
    }

    /// Its length in bytes.
    #[cfg(test)]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The content to scan, with a name and a type.
    pub(crate) fn content<'a>(self) -> Content<'a> {
        let (name, media_type) = (self.name, self.media_type);
        let gets_any_preview = self.gets_any_preview;
        let content = Content::seekable(self).name(name).content_type(media_type);
        content.gets_any_preview(gets_any_preview)
    }

    /// Copies bytes of the piece at the present position.
    fn copy(&self, buf: &mut [u8]) -> usize {
        let mut start = 0;
        for piece in &self.pieces {
            let end = start + piece.len();
            if self.position < end {
                return piece.copy(self.position - start, buf);
            }
            start = end;
        }
        0
    }
}

fn text(text: String) -> Piece {
    Piece::Bytes(text.into_bytes())
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Noise(noise) => noise.len(),
        }
    }

    /// Copies bytes from `offset` on, which is within the piece.
    fn copy(&self, offset: u64, buf: &mut [u8]) -> usize {
        match self {
            Self::Bytes(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..));
                let rest = rest.unwrap_or_default();
                let len = rest.len().min(buf.len());
                buf[..len].copy_from_slice(&rest[..len]);
                len
            }
            Self::Noise(noise) => noise.copy(offset, buf),
        }
    }
}

impl Read for Sample {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut room = buf.len();
        if self.hold > 0 {
            let before_last = self.len.saturating_sub(1 + self.position);
            room = room.min(usize::try_from(before_last).unwrap_or(usize::MAX));
            if room == 0 {
                self.hold -= 1;
                sleep(HOLD_SLICE);
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        let len = self.copy(&mut buf[..room]);
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for Sample {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        self.hold = self.whole_hold;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
