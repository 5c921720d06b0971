use super::*;
use crate::client::monitor::Monitor;
use crate::net::cancel::Cancel;
use std::io::Read;
use std::time::{Duration, Instant};

/// Encodes all of the body. Returns what was encoded, also before an error.
fn encode(body: Body<'_>) -> (Vec<u8>, Result<u64, ContentError>) {
    encode_with(body, None)
}

fn encode_with(mut body: Body<'_>, preview: Option<usize>) -> (Vec<u8>, Result<u64, ContentError>) {
    let deadline = Deadline::by_system(None);
    let mut encoder = BodyEncoder::new(&mut body, preview, &deadline);
    let mut out = Vec::new();
    let mut buffer = SendBuffer::take();
    let mut len = 0;
    loop {
        buffer.clear();
        let next = encoder.encode_next(&mut buffer, None);
        out.extend_from_slice(buffer.bytes());
        out.extend_from_slice(encoder.direct());
        match next {
            Ok(next) if next.then == Then::Done => return (out, Ok(len + next.len)),
            Ok(next) => len += next.len,
            Err(error) => return (out, Err(error)),
        }
    }
}

#[test]
fn small_body_is_one_chunk_with_its_end() {
    assert_eq!(
        encode(Body::from(&b"hello"[..])).0,
        b"5\r\nhello\r\n0\r\n\r\n"
    );
    for body in [
        Body::from(b"hello"),
        Body::from("hello"),
        Body::from(b"hello".to_vec()),
    ] {
        assert_eq!(encode(body).0, b"5\r\nhello\r\n0\r\n\r\n");
    }
    assert_eq!(encode(Body::from(&b""[..])).0, b"0\r\n\r\n");
    assert_eq!(encode(Body::none()).0, b"");
}

/// The preview and what comes after it, of content of `len` bytes.
fn encode_previewed(len: usize, size: usize) -> (String, Option<String>) {
    let content = "x".repeat(len);
    let mut body = Body::from(content.as_bytes());
    let deadline = Deadline::by_system(None);
    let mut encoder = BodyEncoder::new(&mut body, Some(size), &deadline);
    let mut parts = Vec::new();
    let mut out = Vec::new();
    let mut buffer = SendBuffer::take();
    loop {
        let then = encoder.encode_next(&mut buffer, None).unwrap().then;
        out.extend_from_slice(buffer.bytes());
        out.extend_from_slice(encoder.direct());
        if then != Then::Continues {
            parts.push(String::from_utf8(std::mem::take(&mut out)).unwrap());
        }
        if then == Then::Done {
            let rest = (parts.len() > 1).then(|| parts.remove(1));
            return (parts.remove(0), rest);
        }
    }
}

#[test]
fn preview_has_ieof_only_if_it_is_all() {
    let rest = |rest: &str| Some(rest.to_owned());
    for (len, size, preview, after) in [
        (0, 0, "0; ieof\r\n\r\n", None),
        (0, 4, "0; ieof\r\n\r\n", None),
        (3, 0, "0\r\n\r\n", rest("3\r\nxxx\r\n0\r\n\r\n")),
        (3, 2, "2\r\nxx\r\n0\r\n\r\n", rest("1\r\nx\r\n0\r\n\r\n")),
        (3, 3, "3\r\nxxx\r\n0; ieof\r\n\r\n", None),
        (3, 4, "3\r\nxxx\r\n0; ieof\r\n\r\n", None),
    ] {
        let expected = (preview.to_owned(), after);
        assert_eq!(encode_previewed(len, size), expected, "{len} {size}");
    }
}

#[test]
fn preview_may_be_longer_than_a_chunk() {
    for (len, size) in [
        (CHUNK - 1, CHUNK - 1),
        (CHUNK, CHUNK),
        (CHUNK + 1, CHUNK + 1),
        (2 * CHUNK, CHUNK - 1),
        (2 * CHUNK, CHUNK),
        (2 * CHUNK, CHUNK + 1),
        (3 * CHUNK, 2 * CHUNK),
    ] {
        let (preview, rest) = encode_previewed(len, size);
        let content = |part: &str| part.bytes().filter(|&b| b == b'x').count();
        assert_eq!(content(&preview), size.min(len), "{len} {size}");
        assert_eq!(rest.as_deref().map_or(0, content), len - size.min(len));
        assert_eq!(preview.ends_with("0; ieof\r\n\r\n"), len <= size);
        assert_eq!(rest.is_none(), len <= size);
    }
}

/// Bodies that know their end in advance must not take the byte after the preview for a part of it.
#[test]
fn file_preview_has_ieof_only_if_it_is_all() {
    for (len, size, expected) in [
        (2, 3, "2\r\nxx\r\n0; ieof\r\n\r\n"),
        (3, 3, "3\r\nxxx\r\n0; ieof\r\n\r\n"),
        (4, 3, "3\r\nxxx\r\n0\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
        (1, 0, "0\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
    ] {
        let content = vec![b'x'; len];
        for body in [file_of(&content, len), Body::from(&content[..])] {
            let (out, sent) = encode_with(body, Some(size));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{len} {size}");
            assert_eq!(sent.unwrap(), len as u64);
        }
    }
}

#[test]
fn file_as_long_as_a_chunk_is_written_with_its_end() {
    for (len, expected) in [
        (CHUNK - 1, vec![CHUNK - 1]),
        (CHUNK, vec![CHUNK]),
        (CHUNK + 1, vec![CHUNK, 1]),
        (2 * CHUNK, vec![CHUNK, CHUNK]),
    ] {
        let mut body = file_of(&vec![b'x'; len], len);
        let deadline = Deadline::by_system(None);
        let mut encoder = BodyEncoder::new(&mut body, None, &deadline);
        let mut buffer = SendBuffer::take();
        for (index, &chunk) in expected.iter().enumerate() {
            let next = encoder.encode_next(&mut buffer, None).unwrap();
            assert_eq!(next.len, chunk as u64, "{len}");
            let is_last = index + 1 == expected.len();
            assert_eq!(next.then == Then::Done, is_last, "{len}");
            assert_eq!(buffer.bytes().ends_with(LAST_CHUNK), is_last);
            buffer.clear();
        }
    }
}

/// Early responses are looked for between chunks, so they are short at first.
#[test]
fn chunks_grow_after_the_first_mebibyte() {
    const FIRST: usize = 1024 * 1024;
    for more in [0, 1, LONG_CHUNK, LONG_CHUNK + 1] {
        let content = vec![b'x'; FIRST + more];
        for body in [
            Body::from(&content[..]),
            Body::reader(&content[..]),
            file_of(&content, content.len()),
        ] {
            let mut body = body;
            let deadline = Deadline::by_system(None);
            let mut encoder = BodyEncoder::new(&mut body, None, &deadline);
            let mut buffer = SendBuffer::take();
            let mut lens = Vec::new();
            loop {
                let next = encoder.encode_next(&mut buffer, None).unwrap();
                lens.push(usize::try_from(next.len).unwrap());
                buffer.clear();
                if next.then == Then::Done {
                    break;
                }
            }
            let (first, rest) = lens.split_at(FIRST / CHUNK);
            assert!(first.iter().all(|&len| len == CHUNK), "{first:?}");
            let of_rest = [more.min(LONG_CHUNK), more.saturating_sub(LONG_CHUNK)];
            let of_rest = of_rest.into_iter().filter(|&len| len > 0);
            let rest = rest.iter().copied().filter(|&len| len > 0);
            assert!(rest.eq(of_rest), "{more}");
        }
    }
}

/// Most of a long chunk is written from where it is, and is framed all the same.
#[test]
fn long_content_in_memory_is_encoded_as_from_a_reader() {
    let content: Vec<u8> = (0..=250).cycle().take(3 * 1024 * 1024 + 5).collect();
    let (from_reader, _) = encode(Body::reader(&content[..]).len(content.len() as u64));
    let (from_memory, sent) = encode(Body::from(&content[..]));
    assert_eq!(sent.unwrap(), content.len() as u64);
    assert!(from_memory == from_reader);
    for declared in [
        content.len() as u64 - 1,
        content.len() as u64 + 1,
        2_000_000,
    ] {
        let (out, sent) = encode(Body::from(&content[..]).len(declared));
        assert!(sent.is_err(), "{declared}");
        assert!(!out.ends_with(LAST_CHUNK), "{declared}");
    }
}

#[test]
fn file_that_has_grown_or_shrunk_gets_no_last_chunk() {
    for (length, actual) in [(5, 6), (5, 4), (CHUNK, CHUNK + 1), (CHUNK + 1, CHUNK)] {
        let (out, sent) = encode(file_of(&vec![b'x'; actual], length));
        assert!(sent.is_err(), "{length} {actual}");
        assert!(!out.ends_with(b"0\r\n\r\n"), "{length} {actual}");
    }
}

/// A file with this content, which had another length when that was found.
fn file_of(content: &[u8], length: usize) -> Body<'static> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; length]).unwrap();
    let mut body = Body::file(file.reopen().unwrap());
    body.find_length().unwrap();
    std::fs::write(file.path(), content).unwrap();
    body
}

#[test]
fn trailer_follows_the_last_chunk_and_adds_no_line() {
    let body = Body::from(&b"x"[..]).trailer("X-Sum", "1").unwrap();
    assert_eq!(encode(body).0, b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n");
    for (name, value) in [("X\r\nA", "1"), ("X", "1\r\n"), ("Host", "h")] {
        assert!(Body::none().trailer(name, value).is_err(), "{name}");
    }
}

#[test]
fn body_as_long_as_a_chunk_ends_once() {
    for len in [CHUNK - 1, CHUNK, CHUNK + 1] {
        let content = vec![b'x'; len];
        let (out, sent) = encode(Body::from(&content[..]));
        assert_eq!(sent.unwrap(), len as u64);
        assert_eq!(
            out.windows(5).filter(|w| w == b"0\r\n\r\n").count(),
            1,
            "{len}"
        );
    }
}

#[test]
fn cancelled_scan_reads_no_more_of_a_slow_reader() {
    /// Gives nothing, and is cancelled in the third read.
    struct Slow(Cancel, usize);
    impl Read for Slow {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1 == 3 {
                self.0.cancel();
            }
            assert!(self.1 <= 3, "it is read after the cancel");
            Err(io::ErrorKind::Interrupted.into())
        }
    }
    let cancel = Cancel::new();
    let deadline = Deadline::by_system(None).or_cancelled(Some(cancel.clone()));
    let mut body = Body::reader(Slow(cancel, 0));
    let mut buffer = SendBuffer::take();
    let next = BodyEncoder::new(&mut body, None, &deadline).encode_next(&mut buffer, None);
    assert_eq!(next.unwrap().then, Then::Continues);
    assert!(buffer.bytes().is_empty());
}

#[test]
fn short_and_interrupted_reads_are_gathered() {
    struct Reluctant<'a>(&'a [u8], bool);
    impl Read for Reluctant<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.0.read(&mut buf[..1])
        }
    }
    let (out, _) = encode(Body::reader(Reluctant(b"hello", false)).len(5));
    assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn body_of_another_length_gets_no_last_chunk() {
    for (declared, actual) in [(10u64, 9usize), (10, 11), (0, 1), (1, 0)] {
        let (out, error) = encode(Body::reader(&vec![b'x'; actual][..]).len(declared));
        assert!(error.is_err(), "{declared} {actual}");
        assert_eq!(out, b"", "{declared} {actual}");
    }
}

#[test]
fn reader_that_goes_on_after_its_end_gets_no_last_chunk() {
    let mut pieces = [&b"hel"[..], b"", b"lo"].into_iter();
    let reader = FromFn(|buf: &mut [u8]| {
        let piece = pieces.next().unwrap_or_default();
        buf[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    });
    let (out, error) = encode(Body::reader(reader));
    let fault = error.unwrap_err().fault();
    assert_eq!(fault, ContentFault::Read { after: 3 });
    assert_eq!(out, b"");
}

#[test]
fn reader_that_claims_more_than_fits_is_refused() {
    let (out, error) = encode(Body::reader(FromFn(|buf: &mut [u8]| Ok(buf.len() + 1))));
    assert!(error.is_err());
    assert_eq!(out, b"");
}

#[test]
fn reader_interrupted_for_ever_fails_and_lets_go() {
    let mut body = Body::reader(FromFn(
        |_: &mut [u8]| Err(io::ErrorKind::Interrupted.into()),
    ));
    let deadline = Deadline::by_system(None);
    let mut encoder = BodyEncoder::new(&mut body, None, &deadline);
    let began = Instant::now();
    let mut out = SendBuffer::take();
    // Between the calls the deadline is looked at.
    let mut calls = 0;
    let error = loop {
        calls += 1;
        match encoder.encode_next(&mut out, None) {
            Ok(next) => assert_eq!((next.len, next.then), (0, Then::Continues)),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error.fault(), ContentFault::Read { after: 0 }),
        "{error:?}"
    );
    assert!(calls > 5, "{calls}");
    assert!(
        began.elapsed() > Duration::from_millis(500),
        "it did not spin"
    );
    assert_eq!(out.bytes(), b"");
}

#[test]
fn slow_reader_is_sent_in_parts() {
    let mut left = 3;
    let reader = FromFn(|buf: &mut [u8]| {
        // The delay is the injected fault.
        std::thread::sleep(2 * GATHERING);
        left -= 1;
        buf[0] = b'x';
        Ok(usize::from(left > 0))
    });
    let (out, _) = encode(Body::reader(reader).len(2));
    assert_eq!(out, b"1\r\nx\r\n1\r\nx\r\n0\r\n\r\n");
}

struct FromFn<F>(F);

impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for FromFn<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0(buf)
    }
}

#[test]
fn reader_that_fails_gets_no_last_chunk() {
    let content = vec![b'x'; CHUNK];
    let fails = content.chain(Failing);
    let mut body = Body::reader(fails);
    let deadline = Deadline::by_system(None);
    let mut encoder = BodyEncoder::new(&mut body, None, &deadline);
    let mut out = SendBuffer::take();
    encoder.encode_next(&mut out, None).unwrap();
    out.clear();
    let error = encoder.encode_next(&mut out, None).unwrap_err();
    let after = CHUNK as u64;
    assert_eq!(error.fault(), ContentFault::Read { after });
    assert_eq!(out.bytes(), b"");
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

#[test]
fn progress_counts_only_chunks_that_were_written() {
    let content = vec![b'x'; 3 * LONG_CHUNK];
    for (preview, body) in [
        (None, Body::from(&content[..5])),
        (None, Body::from(&content[..])),
        (Some(0), Body::from(&content[..])),
        (Some(7), Body::reader(&content[..])),
        (None, file_of(&content, content.len())),
    ] {
        let (sender, reports) = std::sync::mpsc::channel();
        let progress = move |sent, _| sender.send(sent).unwrap();
        let mut body = body.monitored(Monitor::new(None, Some(Box::new(progress))));
        let deadline = Deadline::by_system(None);
        let mut encoder = BodyEncoder::new(&mut body, preview, &deadline);
        let (mut written, mut is_done) = (0, false);
        while !is_done {
            let next = encoder.encode_next(&mut SendBuffer::take(), None).unwrap();
            // It was called before the chunk was read.
            assert_eq!(reports.try_iter().last(), Some(written));
            written += next.len;
            is_done = next.then == Then::Done;
        }
        assert!(encoder.report_progress());
        assert_eq!(reports.try_iter().last(), Some(written));
    }
}

#[test]
fn long_chunk_is_read_with_looks_at_the_cancel() {
    let cancel = Cancel::new();
    let deadline = Deadline::by_system(None).or_cancelled(Some(cancel.clone()));
    let mut read = 0;
    let reader = FromFn(|buf: &mut [u8]| {
        assert!(buf.len() <= CHUNK + 1);
        // In the first part of the first long chunk.
        if read == MANY {
            cancel.cancel();
        }
        read += buf.len() as u64;
        Ok(buf.len())
    });
    let mut body = Body::reader(reader);
    let mut encoder = BodyEncoder::new(&mut body, None, &deadline);
    let mut buffer = SendBuffer::take();
    let mut sent = 0;
    while sent <= MANY {
        let next = encoder.encode_next(&mut buffer, None).unwrap();
        assert_eq!(next.len, CHUNK as u64);
        sent += next.len;
    }
}
