//! The buffer in which a request waits to be written.

use std::mem;
use std::ops::Range;

use crate::proto::chunk::{CHUNK_LINE, write_chunk_line};
use crate::seam::sync::Mutex;

/// Buffers that are kept for other exchanges of this process, and the bytes that each of them may have. A large one is
/// given back to the system: it costs little beside the content that it was for.
const SPARE_BUFFERS: usize = 16;
const SPARE_BYTES: usize = 96 * 1024;

/// What is kept. The scans of all scanners share it, because an idle scanner needs no buffer.
static SPARE: Mutex<Vec<Parts>> = Mutex::new(Vec::new());

/// The page of every common processor, in bytes.
const PAGE: usize = 4096;

/// From how many bytes on content is worth an aligned place.
const ALIGNED_FROM: usize = 16 * 1024;

/// Bytes for what follows a chunk, so that the buffer is large enough from the start: `\r\n0; ieof\r\n\r\n`.
const TAIL: usize = 16;

const LINE_END: &[u8] = b"\r\n";

/// The bytes of one write: the head of a request, a chunk of its body, and what ends the body.
///
/// Content is read to where it is sent from, and not copied again. So its place comes first. When its length is known,
/// the line of the chunk is written directly before it, and the head directly before that line.
pub(crate) struct SendBuffer {
    parts: Parts,
    /// Where content has its place in `parts.bytes`.
    content: usize,
    /// Bytes of the chunk there.
    len: usize,
    /// Bytes of the chunk that are written after the buffer.
    direct: usize,
    /// What is to be written.
    ready: Range<usize>,
    /// Bytes at the beginning of `parts.bytes` that may not be 0.
    used: usize,
}

#[derive(Default)]
struct Parts {
    head: Vec<u8>,
    /// It is as long as its largest use, because a reader is given only bytes that are initialised.
    bytes: Vec<u8>,
    /// How many of the first `bytes` may be content of other exchanges.
    foreign: usize,
}

/// Who writes to the place for content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// This crate or the system, which only write.
    Own,
    /// A caller's reader. It can look at the place that it is given, so that has nothing of other exchanges.
    Callers,
}

impl SendBuffer {
    /// An empty buffer, perhaps one that was used before.
    pub(crate) fn take() -> Self {
        let spare = SPARE.lock().pop();
        Self::with(spare.unwrap_or_default())
    }

    fn with(parts: Parts) -> Self {
        Self {
            parts,
            content: 0,
            len: 0,
            direct: 0,
            ready: 0..0,
            used: 0,
        }
    }

    /// Its first `len` bytes, as memory for something else than a request. It has nothing of other exchanges.
    pub(crate) fn memory(&mut self, len: usize) -> &mut [u8] {
        self.parts.forget_foreign();
        lengthen(&mut self.parts.bytes, len);
        self.used = self.used.max(len);
        &mut self.parts.bytes[..len]
    }

    /// Where the head of the request is put. It is written with the next chunk.
    pub(crate) fn head(&mut self) -> &mut Vec<u8> {
        &mut self.parts.head
    }

    /// What is to be written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.parts.bytes[self.ready.clone()]
    }

    /// Bytes of content among the first `written` of these and of what is written after the buffer.
    pub(crate) fn content_in(&self, written: u64) -> u64 {
        let before = self.content.saturating_sub(self.ready.start);
        let most = self.len + self.direct;
        written.saturating_sub(before as u64).min(most as u64)
    }

    /// It was written. The place for content may be given to a caller's reader, and the head and the trailers can have
    /// credentials, so what is around the content is overwritten.
    pub(crate) fn clear(&mut self) {
        if !self.ready.is_empty() {
            self.parts.bytes[self.ready.start..self.content].fill(0);
            self.parts.bytes[self.content + self.len..self.ready.end].fill(0);
        }
        self.ready = 0..0;
    }

    /// The place for `len` bytes of content from `writer`. They are copied to it from an address with this `offset` in its
    /// page.
    ///
    /// The place has the same offset. A copy between two addresses that differ by a few bytes in their pages is slow,
    /// because the processor takes each read for one of bytes that were just written.
    pub(crate) fn room(&mut self, len: usize, offset: usize, writer: Writer) -> &mut [u8] {
        self.clear();
        if writer == Writer::Callers {
            self.parts.forget_foreign();
        }
        let Parts { head, bytes, .. } = &mut self.parts;
        let before = head.len() + CHUNK_LINE;
        let is_aligned = len >= ALIGNED_FROM;
        let needed = before + len + TAIL + if is_aligned { PAGE } else { 0 };
        lengthen(bytes, needed);
        let shift = match is_aligned {
            true => offset.wrapping_sub(bytes.as_ptr().addr().wrapping_add(before)) % PAGE,
            false => 0,
        };
        self.content = before + shift;
        self.used = self.used.max(self.content + len);
        &mut bytes[self.content..self.content + len]
    }

    /// The first `len` bytes of the place for content are a chunk, together with `direct` bytes that are written after
    /// this buffer. Without content there is no chunk, because an empty one would end the body. The head goes before it.
    pub(crate) fn end_chunk(&mut self, len: usize, direct: usize) {
        let Parts { head, bytes, .. } = &mut self.parts;
        (self.len, self.direct) = (len, direct);
        let mut begin = self.content;
        if len + direct > 0 {
            begin = write_chunk_line(&mut bytes[..begin], len + direct);
        }
        begin -= head.len();
        bytes[begin..begin + head.len()].copy_from_slice(head);
        forget(head);
        self.ready = begin..self.content + len;
        match direct {
            0 if len > 0 => self.append(LINE_END),
            0 => {}
            // It ends the chunk, and goes before the next one.
            _ => head.extend_from_slice(LINE_END),
        }
    }

    /// Puts `more` after what is to be written.
    pub(crate) fn append(&mut self, more: &[u8]) {
        let end = self.ready.end + more.len();
        let bytes = &mut self.parts.bytes;
        lengthen(bytes, end);
        bytes[self.ready.end..end].copy_from_slice(more);
        self.ready.end = end;
        self.used = self.used.max(end);
    }

    /// The memory, if it is small enough to be kept. It has no credentials. Content stays in it until it is given to a
    /// caller's reader: most content has none, and to overwrite it would be a large part of what a scan costs.
    fn take_spare(&mut self) -> Option<Parts> {
        self.clear();
        let mut parts = mem::take(&mut self.parts);
        forget(&mut parts.head);
        parts.foreign = parts.foreign.max(mem::take(&mut self.used));
        let is_small = parts.head.capacity() + parts.bytes.capacity() <= SPARE_BYTES;
        is_small.then_some(parts)
    }
}

impl Parts {
    fn forget_foreign(&mut self) {
        self.bytes[..self.foreign].fill(0);
        self.foreign = 0;
    }
}

/// Makes it at least `len` bytes long. It gets no memory beyond that, so that it does not become too large to be kept.
fn lengthen(bytes: &mut Vec<u8>, len: usize) {
    if let Some(more) = len.checked_sub(bytes.len()) {
        bytes.reserve_exact(more);
        bytes.resize(len, 0);
    }
}

/// Nothing is left of the head, also not after its end.
fn forget(head: &mut Vec<u8>) {
    head.fill(0);
    head.clear();
}

/// Keeps the memory for another exchange, within limits.
impl Drop for SendBuffer {
    fn drop(&mut self) {
        if let Some(parts) = self.take_spare() {
            let mut spare = SPARE.lock();
            if spare.len() < SPARE_BUFFERS {
                spare.push(parts);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_chunk_and_end_are_one_piece() {
        let mut buffer = SendBuffer::take();
        for (head, content, expected) in [
            ("head", "hello", "head5\r\nhello\r\n0\r\n\r\n"),
            ("", "hello", "5\r\nhello\r\n0\r\n\r\n"),
            ("head", "", "head0\r\n\r\n"),
            ("", "", "0\r\n\r\n"),
        ] {
            buffer.clear();
            buffer.head().extend_from_slice(head.as_bytes());
            // Less than there is room for.
            let room = buffer.room(20_000, 7, Writer::Own);
            room[..content.len()].copy_from_slice(content.as_bytes());
            buffer.end_chunk(content.len(), 0);
            buffer.append(b"0\r\n\r\n");
            assert_eq!(buffer.bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn content_is_counted_as_far_as_it_was_written() {
        let mut buffer = SendBuffer::take();
        buffer.head().extend_from_slice(b"head");
        buffer.room(5, 0, Writer::Own).copy_from_slice(b"hello");
        buffer.end_chunk(5, 0);
        buffer.append(b"0\r\n\r\n");
        assert_eq!(buffer.bytes(), b"head5\r\nhello\r\n0\r\n\r\n");
        for (written, content) in [(0, 0), (7, 0), (8, 1), (12, 5), (13, 5), (99, 5)] {
            assert_eq!(buffer.content_in(written), content, "{written}");
        }
    }

    #[test]
    fn chunk_longer_than_the_buffer_ends_in_the_next() {
        let mut buffer = SendBuffer::take();
        buffer.room(3, 0, Writer::Own).copy_from_slice(b"hel");
        buffer.end_chunk(3, 2);
        assert_eq!(buffer.bytes(), b"5\r\nhel");
        assert_eq!(buffer.content_in(buffer.bytes().len() as u64 + 1), 4);
        buffer.clear();
        buffer.room(1, 0, Writer::Own).copy_from_slice(b"x");
        buffer.end_chunk(1, 0);
        assert_eq!(buffer.bytes(), b"\r\n1\r\nx\r\n");
    }

    #[test]
    fn line_of_a_chunk_fits_at_every_length() {
        let mut buffer = SendBuffer::take();
        for len in [1, 0xf, 0x10, 0xfff, 0x1000, 0xffff, 0x10000, 0x7_ffff] {
            buffer.clear();
            buffer.room(len, 0, Writer::Own).fill(b'x');
            buffer.end_chunk(len, 0);
            let line = format!("{len:x}\r\nx");
            assert!(buffer.bytes().starts_with(line.as_bytes()), "{len}");
            assert!(buffer.bytes().ends_with(b"x\r\n"), "{len}");
        }
    }

    #[test]
    fn large_content_has_the_offset_of_its_source() {
        let mut buffer = SendBuffer::take();
        for offset in [0, 1, 63, PAGE - 1] {
            for head in [0, 1, 400, 5000] {
                buffer.head().resize(head, b'h');
                let at = buffer
                    .room(ALIGNED_FROM, offset, Writer::Own)
                    .as_ptr()
                    .addr();
                assert_eq!(at % PAGE, offset, "{head}");
                buffer.end_chunk(0, 0);
            }
        }
    }

    fn is_zero(bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| byte == 0)
    }

    #[test]
    fn room_has_nothing_of_the_head() {
        let mut buffer = SendBuffer::take();
        buffer.head().resize(500, b'h');
        buffer.room(10, 0, Writer::Own);
        // A slow reader gave nothing yet.
        for len in [0, 1, 0, 0] {
            buffer.end_chunk(len, 0);
            buffer.clear();
            let room = buffer.room(1000, 0, Writer::Own);
            assert!(!room.contains(&b'h'), "{len}");
        }
    }

    /// A spare buffer that was used for content and credentials.
    fn used_before(len: usize) -> Parts {
        let mut buffer = SendBuffer::take();
        buffer.head().resize(500, b'h');
        buffer.room(len, 7, Writer::Own).fill(b's');
        // The reader has written to all of its place.
        buffer.end_chunk(len / 2, 0);
        buffer.append(b"0\r\nX-Sum: hhh\r\n\r\n");
        buffer.head().resize(600, b'h');
        buffer.take_spare().unwrap()
    }

    #[test]
    fn spare_buffer_has_no_credentials() {
        for len in [0, 1, 1000, 2 * ALIGNED_FROM] {
            let parts = used_before(len);
            assert!(!parts.bytes.contains(&b'h'), "{len}");
            assert!(parts.head.is_empty());
        }
    }

    #[test]
    fn callers_reader_gets_nothing_of_an_earlier_exchange() {
        for len in [1, 1000, 2 * ALIGNED_FROM] {
            let again = || SendBuffer::with(used_before(len));
            assert!(is_zero(again().memory(len + PAGE)), "{len}");
            // Own content that is shorter comes between them.
            let mut buffer = again();
            buffer.room(len / 2, 0, Writer::Own).fill(b's');
            let mut buffer = SendBuffer::with(buffer.take_spare().unwrap());
            for _ in 0..2 {
                let room = buffer.room(len + PAGE, 3, Writer::Callers);
                assert!(is_zero(room), "{len}");
                buffer.end_chunk(0, 0);
            }
        }
    }

    #[test]
    fn only_few_and_small_buffers_are_kept() {
        let buffers: Vec<_> = std::iter::repeat_with(SendBuffer::take).take(40).collect();
        drop(buffers);
        let mut large = SendBuffer::take();
        large.room(SPARE_BYTES, 0, Writer::Own);
        drop(large);
        let spare = SPARE.lock();
        assert!(spare.len() <= SPARE_BUFFERS);
        let is_small = |parts: &Parts| parts.bytes.capacity() <= SPARE_BYTES;
        assert!(spare.iter().all(is_small));
    }
}
