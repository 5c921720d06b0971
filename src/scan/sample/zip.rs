//! A writer of ZIP archives with stored members (PKWARE's APPNOTE.TXT 6.3.10, §4.3).

use super::Piece;

/// Signatures of a member, of its entry in the directory, and of the directory's end (§4.3.7, §4.3.12, §4.3.16).
const MEMBER: u32 = 0x0403_4b50;
const ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;

/// 1 January 1980, the first day of the format, at midnight.
const DATE: u16 = 0x21;

/// An archive of less than 4 GiB, with fewer than 65,536 members.
pub(super) struct Zip {
    pieces: Vec<Piece>,
    /// Where the archive begins in the file.
    start: u64,
    len: u64,
    directory: Vec<u8>,
    members: u16,
}

impl Zip {
    /// Bytes of the end of the directory.
    pub(super) const END: u64 = 22;

    /// An archive after `start` bytes of something else.
    pub(super) fn new(start: u64) -> Self {
        Self {
            pieces: Vec::new(),
            start,
            len: 0,
            directory: Vec::new(),
            members: 0,
        }
    }

    /// Bytes that a member takes besides its content.
    pub(super) fn overhead(name: &str) -> u64 {
        30 + 46 + 2 * name.len() as u64
    }

    /// Bytes of all members so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of their entries in the directory.
    pub(super) fn directory_len(&self) -> u64 {
        self.directory.len() as u64
    }

    pub(super) fn add(&mut self, name: &str, content: Piece) {
        let offset = size(self.start + self.len);
        let described = describe(name, &content);
        let mut head = MEMBER.to_le_bytes().to_vec();
        head.extend(&described);
        head.extend(name.as_bytes());
        // Version that made it; then what the head has; then comment, disk and attributes, all 0.
        self.directory.extend(ENTRY.to_le_bytes());
        self.directory.extend(10_u16.to_le_bytes());
        self.directory.extend(&described);
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.len += head.len() as u64 + content.len();
        self.members += 1;
        self.pieces.extend([Piece::Bytes(head), content]);
    }

    /// The archive's pieces.
    pub(super) fn finish(mut self) -> Vec<Piece> {
        let mut end = END.to_le_bytes().to_vec();
        for field in [0, 0, self.members, self.members] {
            end.extend(field.to_le_bytes());
        }
        end.extend(size(self.directory_len()).to_le_bytes());
        end.extend(size(self.start + self.len).to_le_bytes());
        end.extend([0; 2]);
        self.directory.extend(end);
        self.pieces.push(Piece::Bytes(self.directory));
        self.pieces
    }
}

/// What head and entry of a member have in common: from the version that can read it to the length of the extra field.
fn describe(name: &str, content: &Piece) -> Vec<u8> {
    let len = size(content.len());
    // All names are those in this crate, and short.
    let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let mut fields = Vec::new();
    // Version 1.0, no flags, stored, midnight.
    for field in [10, 0, 0, 0, DATE] {
        fields.extend(field.to_le_bytes());
    }
    for field in [crc32(content), len, len] {
        fields.extend(field.to_le_bytes());
    }
    for field in [name_len, 0] {
        fields.extend(field.to_le_bytes());
    }
    fields
}

/// A length or an offset. The largest archive is far below the limit.
fn size(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The checksum of ZIP (CRC-32 of ISO 3309).
fn crc32(content: &Piece) -> u32 {
    let mut crc = u32::MAX;
    let mut buffer = [0; 4096];
    let mut at = 0;
    while at < content.len() {
        let len = content.copy(at, &mut buffer);
        for byte in &buffer[..len] {
            let index = crc.to_le_bytes()[0] ^ byte;
            crc = (crc >> 8) ^ TABLE[usize::from(index)];
        }
        at += len as u64;
    }
    !crc
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (if crc & 1 == 1 { 0xedb8_8320 } else { 0 });
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
}
