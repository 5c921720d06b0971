//! Content that fails, or differs from what was declared, is an error of the caller. The service never takes a
//! part for the whole.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use icap_client::error::{ContentError, ContentFault, TimeLimit};
use icap_client::testing::{Conversation, OPTIONS_RESPONSE, Script, Server, echo};
use icap_client::{Content, Error, NotScanned, Preview, Scanner, Verdict};

const MIB: u64 = 1024 * 1024;

/// Scans with a server that only reads. Returns the error, and what the server received, if anything.
fn failure(content: Content<'_>) -> (ContentError, Option<Conversation>) {
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    match scanner.scan(content) {
        Err(Error::Content(error)) => (error, server.finish().pop()),
        other => panic!("the content is to blame, but: {other:?}"),
    }
}

fn assert_abandoned(conversation: &Conversation) {
    assert!(conversation.closed_by_client(), "the connection is closed");
    assert!(
        !conversation.received().ends_with(b"0\r\n\r\n"),
        "no last-chunk"
    );
    let saw = conversation.received();
    assert!(
        !saw.windows(7).any(|w| w == b"\r\n0\r\n\r\n"),
        "no last-chunk anywhere"
    );
}

struct Fails;

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

#[test]
fn reader_that_fails_late_is_the_callers_error() {
    let reader = io::repeat(7).take(MIB).chain(Fails);
    let (error, conversation) = failure(Content::reader(reader).len(2 * MIB));
    assert!(
        matches!(error.fault(), ContentFault::Read { after: MIB, .. }),
        "{error:?}"
    );
    let source = error.io_error().unwrap().to_string();
    assert_eq!(source, "the disk is gone");
    let conversation = conversation.expect("what was read before was sent");
    assert_abandoned(&conversation);
    assert!(
        conversation.received_len() >= MIB,
        "what was read before was sent"
    );
}

#[test]
fn reader_longer_than_declared_is_the_callers_error() {
    for declared in [10, MIB, 2 * MIB - 1] {
        let (error, conversation) =
            failure(Content::reader(io::repeat(7).take(2 * MIB)).len(declared));
        assert!(
            matches!(error.fault(), ContentFault::TooLong { declared: d } if d == declared),
            "{error:?}"
        );
        // If the first read is already too long, nothing is sent.
        assert_eq!(conversation.is_some(), declared > 10);
        if let Some(conversation) = conversation {
            assert_abandoned(&conversation);
            assert!(conversation.received_len() < 2 * MIB);
        }
    }
}

#[test]
fn reader_shorter_than_declared_is_the_callers_error() {
    for actual in [0, 9, 2 * MIB - 1] {
        let (error, conversation) =
            failure(Content::reader(io::repeat(7).take(actual)).len(2 * MIB));
        let expected = (2 * MIB, actual);
        assert!(
            matches!(error.fault(), ContentFault::TooShort { declared, actual } if (declared, actual) == expected),
            "{error:?}"
        );
        // Content that is known to be too short before the request is not sent.
        assert_eq!(conversation.is_some(), actual > 9);
        conversation.iter().for_each(assert_abandoned);
    }
}

#[test]
fn bytes_and_files_can_be_declared_wrongly_too() {
    let (error, _) = failure(Content::bytes(b"hello").len(6));
    assert_eq!(
        error.to_string(),
        "the content ended after 5 bytes, 6 were declared"
    );
    let (error, _) = failure(Content::bytes(b"hello").len(4));
    assert_eq!(
        error.to_string(),
        "the content goes on after the 4 bytes that were declared"
    );
}

#[test]
fn file_that_grows_during_the_upload_has_no_verdict() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(MIB).unwrap();
    let mut grows = Some(file.reopen().unwrap());
    let content = Content::file(file.path()).unwrap().progress(|sent, _| {
        if let Some(mut file) = grows.take_if(|_| sent > 0) {
            file.seek(io::SeekFrom::End(0)).unwrap();
            file.write_all(b"more").unwrap();
        }
    });
    let (error, conversation) = failure(content);
    assert!(
        matches!(error.fault(), ContentFault::TooLong { declared: MIB }),
        "{error:?}"
    );
    assert_abandoned(&conversation.expect("it was not known to grow"));
}

#[test]
fn content_declared_too_large_is_not_sent() {
    let server = Server::start().unwrap();
    let limit = 1000;
    let scanner = Scanner::builder(server.uri())
        .max_size(limit)
        .build()
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(limit + 1).unwrap();
    let bytes = vec![0; 1001];
    for content in [
        Content::bytes(&bytes),
        Content::file(file.path()).unwrap(),
        Content::reader(io::empty()).len(limit + 1),
        Content::seekable(io::Cursor::new(bytes.clone())),
    ] {
        let report = scanner.scan(content).unwrap();
        assert_eq!(
            *report.verdict(),
            Verdict::NotScanned(NotScanned::TooLarge { limit })
        );
        assert_eq!((report.status(), report.bytes_sent()), (None, 0));
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn content_may_be_exactly_as_large_as_the_limit() {
    let server = Server::start().unwrap();
    for (limit, size, scanned) in [
        (1000, 999, true),
        (1000, 1000, true),
        (1000, 1001, false),
        (0, 0, true),
    ] {
        let scanner = Scanner::builder(server.uri())
            .max_size(limit)
            .build()
            .unwrap();
        let bytes = vec![0; size];
        for content in [Content::bytes(&bytes), Content::reader(&bytes[..])] {
            let report = scanner.scan(content).unwrap();
            assert_eq!(report.verdict().is_clean(), scanned, "{size} of {limit}");
        }
    }
}

#[test]
fn default_max_size_is_100_mebibytes() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let sized = |size| {
        scanner
            .scan(Content::reader(io::repeat(0).take(size)).len(size))
            .unwrap()
    };
    assert!(sized(104_857_600).verdict().is_clean());
    assert_eq!(
        sized(104_857_601).verdict().to_string(),
        "not scanned: larger than 100 MiB"
    );
    let unlimited = Scanner::builder(server.uri())
        .max_size(None)
        .build()
        .unwrap();
    let content = Content::reader(io::repeat(0).take(104_857_601));
    assert!(unlimited.scan(content).unwrap().verdict().is_clean());
}

#[test]
fn panicking_reader_sends_no_last_chunk() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("the reader's own fault")
        }
    }
    let server = Server::scripted([Script::new().read_to_end()]).unwrap();
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .build()
        .unwrap();
    let scan = || scanner.scan(Content::reader(io::repeat(7).take(MIB).chain(Panics)));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(scan)).is_err());
    assert_abandoned(&server.finish()[0]);
}

/// Fills the buffer and returns a larger length.
struct Claims;

impl Read for Claims {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.fill(b'x');
        Ok(buf.len() + 40_000)
    }
}

impl Seek for Claims {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

#[test]
fn reader_that_overstates_a_read_is_refused() {
    let server = Server::start().unwrap();
    for max_size in [Some(0), Some(10), Some(65_536), Some(104_857_600), None] {
        let scanner = Scanner::builder(server.uri()).max_size(max_size);
        let scanner = scanner.preview(Preview::Limit(1024)).build().unwrap();
        for content in [Content::reader(Claims), Content::seekable(Claims)] {
            match scanner.scan(content) {
                Err(Error::Content(error)) => {
                    let cause = error.io_error().unwrap().to_string();
                    assert_eq!(cause, "the reader claims more bytes than it was asked for");
                }
                other => panic!("{max_size:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn file_that_was_written_and_not_rewound_is_an_error() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let empty = scanner.scan(Content::seekable(&mut file)).unwrap();
    assert_eq!((empty.verdict(), empty.bytes_sent()), (&Verdict::Clean, 0));
    file.write_all(b"hello").unwrap();
    match scanner.scan(Content::seekable(&mut file)) {
        Err(Error::Content(error)) => {
            assert!(matches!(
                error.fault(),
                ContentFault::NotRewound { length: 5 }
            ));
            assert!(error.to_string().contains("rewind it"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    file.rewind().unwrap();
    let report = scanner.scan(Content::seekable(&mut file)).unwrap();
    assert_eq!(
        (report.verdict(), report.bytes_sent()),
        (&Verdict::Clean, 5)
    );
}

#[test]
fn reader_interrupted_for_ever_meets_the_deadline() {
    struct Interrupted<'a>(&'a AtomicU32);
    impl Read for Interrupted<'_> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::Interrupted.into())
        }
    }
    let server = Server::start().unwrap();
    for (deadline, is_in_time) in [(300, false), (60_000, true)] {
        let scanner = Scanner::builder(server.uri())
            .deadline(Duration::from_millis(deadline))
            .build()
            .unwrap();
        let calls = AtomicU32::new(0);
        match scanner.scan(Content::reader(Interrupted(&calls))) {
            Err(Error::Timeout(error)) => assert_eq!(error.limit(), TimeLimit::Deadline),
            Err(Error::Content(_)) => assert!(is_in_time),
            other => panic!("{other:?}"),
        }
        // A busy loop would call it millions of times.
        let calls = calls.into_inner();
        assert!(calls <= 2_000 && (calls >= 1_000 || !is_in_time), "{calls}");
    }
}

#[test]
fn echo_is_compared_with_what_was_sent_of_a_file() {
    let excludes_204 = OPTIONS_RESPONSE.replace("Allow: 204\r\n", "");
    for (options, allows_204) in [(&*excludes_204, true), (OPTIONS_RESPONSE, false)] {
        let server = Server::scripted([Script::new()
            .read_request()
            .send(options)
            .read_request()
            .send(echo("HTTP/1.1 200 OK\r\n\r\n", b"hello"))])
        .unwrap();
        let scanner = Scanner::builder(server.uri()).allow_204(allows_204);
        let scanner = scanner.build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "hello").unwrap();
        let content = Content::file(&path).unwrap().progress(|sent, _| {
            if sent == 5 {
                let file = std::fs::File::options().write(true).open(&path).unwrap();
                file.set_len(0).unwrap();
                // Times are not exact. The fault is injected with a time that differs.
                file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                    .unwrap();
                std::fs::remove_file(&path).unwrap();
            }
        });
        let report = scanner.scan(content).unwrap();
        assert_eq!(*report.verdict(), Verdict::Clean, "{allows_204}");
        assert!(!path.exists());
    }
}

/// Notes what is in the buffers that it is given.
struct Peeks<'s> {
    left: usize,
    seen: &'s mut Vec<u8>,
}

impl Read for Peeks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.seen.extend_from_slice(buf);
        let len = buf.len().min(self.left);
        buf[..len].fill(b'x');
        self.left -= len;
        Ok(len)
    }
}

#[test]
fn reader_is_given_buffers_without_credentials() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri()).header("X-Key", "secret");
    let scanner = scanner.build().unwrap();
    let left = 200_000;
    for is_declared in [false, true] {
        let mut seen = Vec::new();
        let reader = Peeks {
            left,
            seen: &mut seen,
        };
        let content = match is_declared {
            true => Content::reader(reader).len(left as u64),
            false => Content::reader(reader),
        };
        assert!(scanner.scan(content).unwrap().verdict().is_clean());
        assert!(seen.len() > left);
        assert!(!seen.windows(6).any(|bytes| bytes == b"secret"));
    }
}

#[test]
fn reader_is_given_nothing_of_the_content_before() {
    /// Writes to all of its buffer, and is shorter.
    struct Scribbles(usize);
    impl Read for Scribbles {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            buf.fill(b's');
            let len = buf.len().min(self.0);
            self.0 -= len;
            Ok(len)
        }
    }
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    for len in [5, 10_000, 64 * 1024, 64 * 1024 + 1, 200_000] {
        let content = Content::reader(Scribbles(len));
        assert!(scanner.scan(content).unwrap().verdict().is_clean());
        for left in [0, 200_000] {
            let mut seen = Vec::new();
            let reader = Peeks {
                left,
                seen: &mut seen,
            };
            let report = scanner.scan(Content::reader(reader)).unwrap();
            assert!(report.verdict().is_clean());
            assert!(!seen.is_empty() && !seen.contains(&b's'), "{len} {left}");
        }
    }
}

#[test]
fn file_that_changes_before_its_scan_is_scanned_as_it_is() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    for now in ["hello and more", "hell", ""] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello").unwrap();
        let content = Content::file(file.path()).unwrap();
        std::fs::write(file.path(), now).unwrap();
        let report = scanner.scan(content).unwrap();
        assert_eq!(*report.verdict(), Verdict::Clean, "{now}");
        assert_eq!(report.bytes_sent(), now.len() as u64);
    }
}

#[test]
fn progress_goes_from_nothing_to_everything() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    for (content, total) in [
        (Content::bytes(b"hello"), Some(5)),
        (Content::reader(&b"hello"[..]), None),
    ] {
        let mut seen = Vec::new();
        let content = content.progress(|sent, total| seen.push((sent, total)));
        assert!(scanner.scan(content).unwrap().verdict().is_clean());
        assert_eq!(seen, [(0, total), (5, total)]);
    }
}
