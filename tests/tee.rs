//! Content is scanned and copied in one pass. The copy is complete or says that it is not, whatever the scan comes to.

use std::io::{self, BufWriter, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use icap_client::error::{self, ContentFault};
use icap_client::policy::Reason;
use icap_client::testing::{
    CLEAN, OPTIONS_RESPONSE, Script, Server, eicar, infected, options_with_preview,
};
use icap_client::{
    Content, Decision, Error, IncompleteCopy, NotScanned, Policy, Preview, Scanner, ScannerBuilder,
    Teed, Verdict,
};

mod support;

use support::content::pattern;
use support::refusing_address;
use support::tap::Tap;

/// More than the buffers of a connection hold.
const LARGE: usize = 20_000_000;

/// What a reader keeps.
const BUFFER: usize = 64 * 1024;

fn unasked(server: &Server) -> ScannerBuilder {
    Scanner::builder(server.uri()).negotiate(false)
}

/// The content in each form.
fn forms(content: &[u8]) -> [Content<'_>; 3] {
    [
        Content::bytes(content),
        Content::reader(content),
        Content::seekable(Cursor::new(content)),
    ]
}

fn tee(scanner: &Scanner, content: Content<'_>) -> (Teed, Vec<u8>) {
    let mut copy = Vec::new();
    let teed = scanner.scan_tee(content, &mut copy).unwrap();
    assert_eq!(teed.copied, copy.len() as u64);
    assert_eq!(teed.is_complete(), teed.incomplete.is_none());
    let is_clean = teed
        .outcome
        .as_ref()
        .is_ok_and(|it| it.verdict().is_clean());
    assert!(teed.is_complete() || !is_clean, "{teed:?}");
    (teed, copy)
}

/// Asserts that the copy is the content, whatever the outcome is.
fn assert_copied(teed: &Teed, copy: &[u8], content: &[u8]) {
    assert!(teed.is_complete(), "{teed:?}");
    assert!(copy == content, "{} bytes, {teed:?}", copy.len());
}

fn verdict(teed: Teed) -> Verdict {
    teed.outcome.unwrap().verdict().clone()
}

#[track_caller]
fn assert_fault(teed: &Teed, expected: ContentFault) {
    match (&teed.outcome, &teed.incomplete) {
        (Err(Error::Content(error)), Some(IncompleteCopy::Content(why))) => {
            assert_eq!((error.fault(), why.fault()), (expected, expected));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn clean_content_of_any_size_is_copied() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    for len in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 7] {
        let content = pattern(len);
        for form in forms(&content) {
            let (teed, copy) = tee(&scanner, form);
            assert_copied(&teed, &copy, &content);
            assert!(verdict(teed).is_clean(), "{len}");
        }
    }
}

#[test]
fn infected_content_is_copied_too() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let mut copy = Vec::new();
    let writer: &mut dyn Write = &mut copy;
    let teed = scanner.scan_tee(&eicar()[..], writer).unwrap();
    assert_copied(&teed, &copy, &eicar());
    assert!(verdict(teed).is_infected());
}

#[test]
fn previewed_content_is_copied_once() {
    for (len, size) in [
        (5, 0),
        (5, 3),
        (5, 5),
        (5, 6),
        (200_000, 1024),
        (200_000, 0),
    ] {
        let server = Server::with_preview(size).unwrap();
        let builder = Scanner::builder(server.uri()).preview(Preview::Negotiated);
        let scanner = builder.build().unwrap();
        let content = pattern(len);
        for form in forms(&content) {
            let (teed, copy) = tee(&scanner, form);
            assert_copied(&teed, &copy, &content);
            assert!(verdict(teed).is_clean(), "{len} {size}");
        }
    }
}

#[test]
fn reader_is_read_once() {
    struct Counted<'c>(&'c [u8], &'c AtomicU64);
    impl Read for Counted<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.0.read(buf)?;
            self.1.fetch_add(len as u64, SeqCst);
            Ok(len)
        }
    }
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let content = pattern(300_000);
    let read = AtomicU64::new(0);
    let (teed, copy) = tee(&scanner, Content::reader(Counted(&content, &read)));
    assert_copied(&teed, &copy, &content);
    assert_eq!(read.load(SeqCst), 300_000);
}

/// What a server sends after a part of the content, and what the scan must come to.
type EarlyEnd = (&'static str, Vec<u8>, fn(&Teed) -> bool);

fn early_ends() -> [EarlyEnd; 7] {
    fn has(teed: &Teed, is_expected: impl Fn(&Verdict) -> bool) -> bool {
        teed.outcome
            .as_ref()
            .is_ok_and(|it| is_expected(it.verdict()))
    }
    [
        ("403", b"ICAP/1.0 403 Forbidden\r\n\r\n".into(), |teed| {
            has(teed, |it| matches!(it, Verdict::Blocked(_)))
        }),
        ("infected", infected("Eicar"), |teed| {
            has(teed, Verdict::is_infected)
        }),
        ("204", CLEAN.into(), |teed| {
            has(teed, |it| {
                *it == Verdict::NotScanned(NotScanned::EarlyResponse)
            })
        }),
        (
            "503",
            b"ICAP/1.0 503 Overloaded\r\n\r\n".into(),
            |teed| matches!(&teed.outcome, Err(Error::Status(error)) if error.code() == 503),
        ),
        (
            "404",
            b"ICAP/1.0 404 Not Found\r\n\r\n".into(),
            |teed| matches!(&teed.outcome, Err(Error::Status(error)) if error.code() == 404),
        ),
        (
            "no ICAP",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".into(),
            |teed| matches!(&teed.outcome, Err(Error::Protocol(_))),
        ),
        ("nothing", Vec::new(), |teed| {
            matches!(&teed.outcome, Err(Error::Disconnected(_)))
        }),
    ]
}

#[test]
fn copy_completes_after_an_early_end() {
    let content = pattern(LARGE);
    for (end, response, is_expected) in early_ends() {
        for form in forms(&content) {
            let script = Script::new().read_bytes(100_000).send(&response);
            let script = match response.is_empty() {
                true => script.close(),
                false => script.read_to_end(),
            };
            let server = Server::scripted([script]).unwrap();
            let scanner = unasked(&server).build().unwrap();
            let (teed, copy) = tee(&scanner, form);
            assert_copied(&teed, &copy, &content);
            assert!(is_expected(&teed), "{end}: {:?}", teed.outcome);
            let sent = teed.outcome.as_ref().map_or(0, |it| it.bytes_sent());
            assert!(sent < LARGE as u64, "{end}");
        }
    }
}

#[test]
fn copy_completes_without_a_server() {
    let uri = format!("icap://{}/scan", refusing_address());
    let scanner = Scanner::builder(uri).suspend_after(2).build().unwrap();
    let content = pattern(300_000);
    let mut kinds = Vec::new();
    for form in forms(&content) {
        let (teed, copy) = tee(&scanner, form);
        assert_copied(&teed, &copy, &content);
        kinds.push(teed.outcome.unwrap_err().kind().as_str());
    }
    assert_eq!(kinds, ["connect", "connect", "suspended"]);
}

#[test]
fn copy_completes_if_the_content_cannot_be_asked_about() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let content = pattern(300_000);
    for form in forms(&content) {
        let (teed, copy) = tee(&scanner, form.http_response(b"no head"));
        assert_copied(&teed, &copy, &content);
        assert!(matches!(teed.outcome, Err(Error::Input(_))), "{teed:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn copy_completes_over_max_size() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri()).max_size(100_000);
    let scanner = scanner.build().unwrap();
    for (len, is_clean) in [(100_000, true), (100_001, false), (200_000, false)] {
        let content = pattern(len);
        for form in forms(&content) {
            let is_known = !format!("{form:?}").contains("length: None");
            let before = server.requests();
            let (teed, copy) = tee(&scanner, form);
            assert_copied(&teed, &copy, &content);
            match verdict(teed) {
                Verdict::Clean => assert!(is_clean, "{len}"),
                Verdict::NotScanned(NotScanned::TooLarge { limit: 100_000 }) => {
                    assert!(!is_clean, "{len}");
                    assert!(
                        !is_known || server.requests() == before,
                        "something was sent"
                    );
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn copy_ends_at_max_copy_and_says_so() {
    let server = Server::start().unwrap();
    let cases = [
        // By default, max_copy is twice max_size.
        (Scanner::builder(server.uri()).max_size(1000), 1000, 2000),
        (
            Scanner::builder(server.uri()).max_size(1000).max_copy(1500),
            1000,
            1500,
        ),
        // What cannot be kept is not scanned.
        (
            Scanner::builder(server.uri()).max_size(1000).max_copy(700),
            700,
            700,
        ),
        (
            Scanner::builder(server.uri()).max_size(None).max_copy(700),
            700,
            700,
        ),
        (
            Scanner::builder(server.uri()).max_size(1000).max_copy(0),
            0,
            0,
        ),
    ];
    for (builder, max_size, max_copy) in cases {
        let scanner = builder.build().unwrap();
        for len in [0, 700, 701, 1500, 1501, 2000, 2001, 300_000] {
            let content = pattern(len);
            for form in forms(&content) {
                let (teed, copy) = tee(&scanner, form);
                assert!(copy == content[..len.min(max_copy)], "{len} {max_copy}");
                match teed.incomplete {
                    None => assert!(len <= max_copy, "{len} {max_copy}"),
                    Some(IncompleteCopy::TooLarge { limit }) => {
                        assert!(len > max_copy, "{len} {max_copy}");
                        assert_eq!(limit, max_copy as u64);
                    }
                    ref other => panic!("{other:?}"),
                }
                match verdict(teed) {
                    Verdict::Clean => assert!(len <= max_size, "{len} {max_size}"),
                    Verdict::NotScanned(NotScanned::TooLarge { limit }) => {
                        assert!(len > max_size, "{len} {max_size}");
                        assert_eq!(limit, max_size as u64);
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }
}

#[test]
fn copy_without_limits_is_complete() {
    let server = Server::start().unwrap();
    for builder in [
        Scanner::builder(server.uri()).max_size(None),
        Scanner::builder(server.uri()).max_size(1000).max_copy(None),
    ] {
        let content = pattern(300_000);
        let (teed, copy) = tee(&builder.build().unwrap(), Content::bytes(&content));
        assert_copied(&teed, &copy, &content);
    }
}

#[test]
fn no_more_than_one_byte_over_max_copy_is_read() {
    let server = Server::start().unwrap();
    let builder = Scanner::builder(server.uri()).max_size(10).max_copy(20);
    let mut left = &b"0123456789012345678901234567890123456789"[..];
    let (teed, copy) = tee(&builder.build().unwrap(), Content::reader(left.by_ref()));
    assert!(!teed.is_complete());
    assert_eq!((copy.len(), left.len()), (20, 19));
}

/// Fails after its content.
struct Failing<'c>(&'c [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::other("the source is gone")),
            len => Ok(len),
        }
    }
}

#[test]
fn reader_that_fails_leaves_an_incomplete_copy() {
    let server = Server::start().unwrap();
    let content = pattern(300_000);
    let refused = format!("icap://{}/scan", refusing_address());
    for builder in [
        Scanner::builder(server.uri()),
        // It fails when nothing is sent any more.
        Scanner::builder(server.uri()).max_size(1000).max_copy(None),
        Scanner::builder(refused),
    ] {
        let scanner = builder.build().unwrap();
        let (teed, copy) = tee(&scanner, Content::reader(Failing(&content)));
        assert!(copy == content);
        assert_fault(&teed, ContentFault::Read { after: 300_000 });
        let text = "cannot read the content after 300000 bytes: the source is gone";
        assert_eq!(teed.incomplete.unwrap().to_string(), text);
        assert_eq!(teed.outcome.unwrap_err().to_string(), text);
    }
}

#[test]
fn wrong_length_leaves_an_incomplete_copy() {
    let server = Server::start().unwrap();
    let refused = format!("icap://{}/scan", refusing_address());
    let content = pattern(300_000);
    for uri in [server.uri(), refused] {
        let scanner = Scanner::new(uri).unwrap();
        for (declared, expected) in [
            (299_999, ContentFault::TooLong { declared: 299_999 }),
            (
                300_001,
                ContentFault::TooShort {
                    declared: 300_001,
                    actual: 300_000,
                },
            ),
        ] {
            let (teed, _) = tee(&scanner, Content::reader(&content[..]).len(declared));
            assert_fault(&teed, expected);
        }
    }
}

#[test]
fn content_that_is_not_rewound_is_not_copied() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let mut written = Cursor::new(b"hello".to_vec());
    written.seek(SeekFrom::End(0)).unwrap();
    let (teed, copy) = tee(&scanner, Content::seekable(written));
    assert_fault(&teed, ContentFault::NotRewound { length: 5 });
    assert!(copy.is_empty());
}

/// Finds previews clean, without the rest.
fn trusting() -> (Server, ScannerBuilder) {
    let server = Server::answering(|_| Script::new().send(CLEAN)).unwrap();
    let server = server.offering(options_with_preview(4096)).unwrap();
    let builder = unasked(&server).preview(Preview::Limit(10));
    (server, builder.trust_preview(true))
}

#[test]
fn trusted_preview_is_clean_only_with_a_complete_copy() {
    let content = pattern(200_000);
    let (_server, builder) = trusting();
    let scanner = builder.build().unwrap();
    for form in forms(&content) {
        let (teed, copy) = tee(&scanner, form);
        assert_copied(&teed, &copy, &content);
        assert!(verdict(teed).is_clean());
    }
    let (teed, copy) = tee(&scanner, Content::reader(Failing(&content)));
    assert!(copy == content);
    assert_fault(&teed, ContentFault::Read { after: 200_000 });

    let (_server, builder) = trusting();
    let scanner = builder.max_size(50_000).build().unwrap();
    let (teed, copy) = tee(&scanner, Content::reader(&content[..]));
    assert!(copy == content[..100_000]);
    let too_large = NotScanned::TooLarge { limit: 100_000 };
    assert_eq!(verdict(teed), Verdict::NotScanned(too_large));
}

/// Content that is other content once it was read and is read again.
struct Changing {
    now: Cursor<Vec<u8>>,
    then: Vec<u8>,
    was_read: bool,
}

fn changing<'c>(now: &[u8], then: impl Into<Vec<u8>>) -> Content<'c> {
    Content::seekable(Changing {
        now: Cursor::new(now.to_vec()),
        then: then.into(),
        was_read: false,
    })
}

impl Read for Changing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.was_read = true;
        self.now.read(buf)
    }
}

impl Seek for Changing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if self.was_read {
            self.now = Cursor::new(self.then.clone());
        }
        self.now.seek(to)
    }
}

fn altered(content: &[u8], at: usize) -> Vec<u8> {
    let mut content = content.to_vec();
    content[at] ^= 1;
    content
}

/// A server that breaks the first connection after `script`, and a scanner that fails over from it.
fn failing_over(script: Script) -> (Server, Server, Scanner) {
    let first = Server::scripted([script]).unwrap();
    let second = Server::start().unwrap();
    let scanner = unasked(&first).endpoint(second.uri()).build().unwrap();
    (first, second, scanner)
}

#[test]
fn repeated_content_is_written_once() {
    let content = pattern(LARGE);
    for script in [
        Script::new().read_bytes(100_000).close(),
        Script::new().read_request().close(),
        Script::new().read_bytes(100_000).send(CLEAN).read_to_end(),
    ] {
        let (_first, second, scanner) = failing_over(script);
        for form in [
            Content::bytes(&content),
            changing(&content, content.clone()),
        ] {
            let (teed, copy) = tee(&scanner, form);
            assert_copied(&teed, &copy, &content);
            let report = teed.outcome.unwrap();
            assert!(report.verdict().is_clean());
            assert_eq!(report.service(), second.uri());
        }
    }
}

#[test]
fn content_that_changes_between_attempts_is_an_error() {
    let content = pattern(300_000);
    for then in [
        altered(&content, 0),
        altered(&content, 299_999),
        content[..299_999].to_vec(),
        [&content[..], b"x"].concat(),
        Vec::new(),
    ] {
        let (_first, _second, scanner) = failing_over(Script::new().read_request().close());
        let (teed, copy) = tee(&scanner, changing(&content, then));
        assert_fault(&teed, ContentFault::Changed);
        assert!(copy == content);
        let text = "the content has changed since it was first read";
        assert_eq!(teed.outcome.unwrap_err().to_string(), text);
    }
}

#[test]
fn only_a_change_in_a_copied_part_is_an_error() {
    let content = pattern(LARGE);
    let breaks = || failing_over(Script::new().read_bytes(100_000).close());
    let (_first, _second, scanner) = breaks();
    let (teed, copy) = tee(&scanner, changing(&content, altered(&content, 0)));
    assert_fault(&teed, ContentFault::Changed);
    assert!(!copy.is_empty() && copy.len() < LARGE && content.starts_with(&copy));

    let (_first, _second, scanner) = breaks();
    let then = altered(&content, LARGE - 1);
    let (teed, copy) = tee(&scanner, changing(&content, then.clone()));
    // These are the bytes that were scanned.
    assert_copied(&teed, &copy, &then);
    assert!(verdict(teed).is_clean());
}

#[test]
fn trusted_preview_of_changed_content_is_not_clean() {
    let content = pattern(300_000);
    // The first server reads all of it and breaks. The second one reads a preview.
    let first = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().close(),
    });
    let second = Server::answering(|request| match request.method() {
        "OPTIONS" => Script::new().send(options_with_preview(10)),
        _ => Script::new().send(CLEAN),
    });
    let (first, second) = (first.unwrap(), second.unwrap());
    let builder = Scanner::builder(first.uri()).endpoint(second.uri());
    let builder = builder.preview(Preview::Negotiated).trust_preview(true);
    let scanner = builder.build().unwrap();
    let (teed, copy) = tee(&scanner, changing(&content, content.clone()));
    assert_copied(&teed, &copy, &content);
    assert!(verdict(teed).is_clean());
    let (teed, _) = tee(&scanner, changing(&content, altered(&content, 299_999)));
    assert_fault(&teed, ContentFault::Changed);
}

#[test]
fn request_on_a_closed_connection_is_copied_once() {
    let content = pattern(300_000);
    let serves_once = Script::new()
        .read_request()
        .send(CLEAN)
        .read_bytes(1)
        .reset();
    let server = Server::scripted([serves_once]).unwrap();
    let scanner = unasked(&server).build().unwrap();
    for _ in 0..2 {
        let (teed, copy) = tee(&scanner, Content::bytes(&content));
        assert_copied(&teed, &copy, &content);
        assert!(verdict(teed).is_clean());
    }
    assert_eq!((server.connections(), scanner.stats().retries), (2, 1));
}

#[test]
fn request_repeated_with_credentials_is_copied_once() {
    let asks = "ICAP/1.0 407 Proxy Authentication Required\r\n\
        Proxy-Authenticate: Basic realm=\"av\"\r\nEncapsulated: null-body=0\r\n\r\n";
    let server = Server::answering(move |request| {
        let is_known = request.headers().get("Proxy-Authorization").is_some();
        Script::new().send(if is_known { CLEAN } else { asks })
    });
    let server = server.unwrap();
    let content = pattern(300_000);
    for content_now in [content.clone(), altered(&content, 299_999)] {
        let is_the_same = content_now == content;
        let builder = unasked(&server).credentials("joe", "secret");
        let scanner = builder.build().unwrap();
        let (teed, copy) = tee(&scanner, changing(&content, content_now));
        assert!(copy == content);
        match is_the_same {
            true => assert!(teed.is_complete() && verdict(teed).is_clean()),
            false => assert_fault(&teed, ContentFault::Changed),
        }
    }
}

/// A writer with the result of a function for each call.
struct Writer<F>(F);

impl<F: FnMut(&[u8]) -> io::Result<usize>> Write for Writer<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes `room` bytes, and is full then.
fn disk(mut room: usize) -> Writer<impl FnMut(&[u8]) -> io::Result<usize>> {
    Writer(move |bytes: &[u8]| {
        let len = bytes.len().min(room);
        room -= len;
        match len {
            0 => Err(ErrorKind::StorageFull.into()),
            _ => Ok(len),
        }
    })
}

#[test]
fn writer_that_fails_without_evidence_is_the_only_error() {
    let content = pattern(LARGE);
    let refused = format!("icap://{}/scan", refusing_address());
    let healthy = Server::start().unwrap();
    for uri in [healthy.uri(), refused] {
        // It fails with the first byte, during the upload, and with the last byte.
        for room in [0, 100_000, LARGE - 1] {
            let scanner = Scanner::builder(&uri).suspend_after(1).build().unwrap();
            let content = Content::reader(&content[..]);
            let error = scanner.scan_tee(content, disk(room)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{room}");
            let stats = scanner.stats();
            assert_eq!((stats.clean, stats.infected), (0, 0));
            let is_suspended = !stats.suspended.is_empty();
            assert!(!is_suspended || uri != healthy.uri(), "it was the caller");
        }
    }
}

#[test]
fn writer_that_fails_beside_an_error_is_the_error() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri()).max_size(1000).build();
    let scanner = scanner.unwrap();
    let content = pattern(1500);
    // Too large to be scanned, and too large for the disk.
    let error = scanner.scan_tee(&content[..], disk(1200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let errors = scanner.stats().errors_by_kind;
    assert_eq!(
        errors.into_iter().collect::<Vec<_>>(),
        [(error::ErrorKind::Output, 1)]
    );
}

#[test]
fn flush_that_fails_is_an_error() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    // All of it is in the buffer until then.
    let buffered = BufWriter::new(disk(3));
    let error = scanner.scan_tee("hello", buffered).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let buffered = BufWriter::new(disk(5));
    assert!(scanner.scan_tee("hello", buffered).unwrap().is_complete());
}

#[test]
fn failed_flush_does_not_hide_why_a_copy_is_incomplete() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri()).max_copy(4).build().unwrap();
    let teed = scanner.scan_tee("hello", BufWriter::new(disk(3))).unwrap();
    let why = teed.incomplete;
    assert!(
        matches!(why, Some(IncompleteCopy::TooLarge { limit: 4 })),
        "{why:?}"
    );
}

#[test]
fn incomplete_copy_is_refused_by_every_policy() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri()).max_copy(70).build().unwrap();
    let lenient = Reason::ALL.into_iter().fold(Policy::default(), Policy::ask);
    let lenient = lenient.deliver(Reason::TooLarge).unwrap();
    let decide = |content: Vec<u8>| {
        let (teed, _) = tee(&scanner, Content::from(content).name("letter.txt"));
        (teed.is_complete(), teed.decide(&lenient))
    };
    assert_eq!(decide(pattern(70)), (true, Decision::Deliver));
    let (is_complete, decision) = decide(pattern(71));
    let Decision::Refuse(notice) = decision else {
        panic!("{decision:?}");
    };
    assert!(!is_complete);
    assert_eq!(notice.code(), "incomplete_copy");
    assert_eq!(notice.name(), Some("letter.txt"));
    assert!(notice.detail().contains("70 bytes"), "{notice:?}");

    // Evidence says more.
    let teed = scanner
        .scan_tee(&eicar()[..], BufWriter::new(disk(3)))
        .unwrap();
    assert!(!teed.is_complete());
    let Decision::Refuse(notice) = teed.decide(&lenient) else {
        panic!("{teed:?}");
    };
    assert_eq!(notice.code(), "infected");
}

#[test]
fn writer_that_lies_is_an_error() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    for claimed in [1, 1000, usize::MAX] {
        let lies = Writer(|bytes: &[u8]| Ok(bytes.len().saturating_add(claimed)));
        assert!(scanner.scan_tee("hello", lies).is_err(), "{claimed}");
    }
    for result in [|| Ok(0), || Err(ErrorKind::Interrupted.into())] {
        assert!(
            scanner
                .scan_tee("hello", Writer(|_: &[u8]| result()))
                .is_err()
        );
    }
}

#[test]
fn writer_of_single_bytes_gets_all() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let content = pattern(100_000);
    let mut copy = Vec::new();
    let mut is_interrupted = false;
    let writer = Writer(|bytes: &[u8]| {
        is_interrupted = !is_interrupted;
        if is_interrupted {
            return Err(ErrorKind::Interrupted.into());
        }
        copy.push(bytes[0]);
        Ok(1)
    });
    let teed = scanner.scan_tee(&content[..], writer).unwrap();
    assert!(teed.is_complete() && teed.copied == 100_000);
    assert!(copy == content);
}

#[test]
fn evidence_is_returned_beside_the_error_of_the_writer() {
    let content = pattern(LARGE);
    for (response, is_infected) in [
        (infected("Eicar"), true),
        (b"ICAP/1.0 403 Forbidden\r\n\r\n".to_vec(), false),
    ] {
        let script = Script::new().read_bytes(100_000).send(response);
        let server = Server::scripted([script.read_to_end()]).unwrap();
        let scanner = unasked(&server).build().unwrap();
        // It fails when the verdict is there and the rest is copied.
        let writer = disk(LARGE - 1);
        let teed = scanner
            .scan_tee(Content::reader(&content[..]), writer)
            .unwrap();
        assert_eq!((teed.is_complete(), teed.copied), (false, LARGE as u64 - 1));
        match teed.incomplete {
            Some(IncompleteCopy::Writer(ref error)) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull);
            }
            ref other => panic!("{other:?}"),
        }
        assert_eq!(verdict(teed).is_infected(), is_infected);
        assert_eq!(scanner.stats().infected, u64::from(is_infected));
    }
}

#[test]
fn evidence_that_arrives_before_the_writer_fails_counts() {
    let script = Script::new().read_bytes(100_000).send(infected("Eicar"));
    let server = Server::scripted([script.read_to_end()]).unwrap();
    let tap = Tap::default();
    let scanner = unasked(&server).connector(tap.clone()).build().unwrap();
    let mut room = 3 * BUFFER;
    let writer = Writer(|bytes: &[u8]| {
        if bytes.len() <= room {
            room -= bytes.len();
            return Ok(bytes.len());
        }
        // The response is there, and not yet read.
        tap.await_bytes(0);
        Err(ErrorKind::StorageFull.into())
    });
    let content = pattern(300_000);
    let teed = scanner
        .scan_tee(Content::reader(&content[..]), writer)
        .unwrap();
    assert!(matches!(teed.incomplete, Some(IncompleteCopy::Writer(_))));
    assert!(verdict(teed).is_infected());
}

#[test]
fn progress_is_of_what_is_sent() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri()).max_size(100_000);
    let scanner = scanner.build().unwrap();
    let content = pattern(200_000);
    let mut seen = Vec::new();
    let counted = Content::reader(&content[..]).progress(|sent, _| seen.push(sent));
    let (teed, copy) = tee(&scanner, counted);
    assert_copied(&teed, &copy, &content);
    assert!(seen.iter().all(|&sent| sent <= 100_000), "{seen:?}");
}

#[test]
fn two_hundred_tees_at_a_time_are_not_mixed_up() {
    const SCANS: usize = 200;
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let together = Barrier::new(SCANS);
    thread::scope(|scope| {
        for number in 0..SCANS {
            let (scanner, together) = (&scanner, &together);
            scope.spawn(move || {
                let mut content = pattern(50_000 + 997 * number);
                content[..8].copy_from_slice(&number.to_le_bytes());
                let is_infected = number % 7 == 0;
                if is_infected {
                    content.extend(eicar());
                }
                together.wait();
                let [_, reader, _] = forms(&content);
                let (teed, copy) = tee(scanner, reader);
                assert_copied(&teed, &copy, &content);
                let verdict = verdict(teed);
                assert_eq!(verdict.is_infected(), is_infected, "{number}: {verdict}");
                assert_eq!(verdict.is_clean(), !is_infected, "{number}: {verdict}");
            });
        }
    });
}
