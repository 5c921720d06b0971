//! A scan of content that can be read once is repeated from its copy.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::sync::mpsc;

use icap_client::error::ContentFault;
use icap_client::testing::{CLEAN, Script, Server, eicar, infected};
use icap_client::{
    Content, Error, IncompleteCopy, NotScanned, Scanner, ScannerBuilder, Teed, Verdict,
};

mod support;

use support::content::pattern;
use support::refusing_address;

/// What is before the copy in a spool, and after it.
const BEFORE: &[u8] = b"before";
const AFTER: &[u8] = b"after";

/// More than a reader keeps.
const LEN: usize = 300_000;

fn unasked(server: &Server) -> ScannerBuilder {
    Scanner::builder(server.uri()).negotiate(false)
}

/// A spool with other bytes, which stands after the first ones.
fn spool(len: usize) -> Cursor<Vec<u8>> {
    let bytes = [BEFORE, &vec![0; len], AFTER].concat();
    let mut spool = Cursor::new(bytes);
    spool.set_position(BEFORE.len() as u64);
    spool
}

/// Scans a reader of `content`. The spool has the content, stands at its beginning, and is not changed around it.
fn scan(scanner: &Scanner, content: &[u8]) -> Teed {
    let mut spool = spool(content.len());
    let reader = Content::reader(content).name("letter.txt");
    let teed = scanner.scan_spooled(reader, &mut spool).unwrap();
    assert!(teed.is_complete(), "{teed:?}");
    assert_eq!(teed.copied, content.len() as u64);
    assert_eq!(spool.position(), BEFORE.len() as u64);
    assert!(spool.into_inner() == [BEFORE, content, AFTER].concat());
    teed
}

fn breaks() -> Script {
    Script::new().read_bytes(100_000).close()
}

#[test]
fn clean_content_is_scanned_once() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    for len in [0, 1, LEN] {
        let teed = scan(&scanner, &pattern(len));
        assert!(teed.outcome.unwrap().verdict().is_clean());
    }
    assert_eq!(scanner.stats().scans, 3);
    assert_eq!(server.requests(), 4);
}

#[test]
fn broken_connection_is_repeated_from_the_copy() {
    let clean = Script::new().read_request().send(CLEAN);
    let server = Server::scripted([breaks(), clean.read_to_end()]).unwrap();
    let scanner = unasked(&server).build().unwrap();
    let content = pattern(LEN);
    let report = scan(&scanner, &content).outcome.unwrap();
    assert!(report.verdict().is_clean());
    assert_eq!(report.bytes_sent(), LEN as u64);
    let stats = scanner.stats();
    assert_eq!((stats.scans, stats.retries, stats.failovers), (1, 1, 0));
    drop(scanner);
    let conversations: [_; 2] = server.finish().try_into().unwrap();
    // The request is the same in each attempt. So is the key by which its verdict is cached.
    let heads = conversations.map(|conversation| {
        let received = String::from_utf8_lossy(conversation.received()).into_owned();
        received
            .split("\r\n\r\n")
            .take(3)
            .collect::<Vec<_>>()
            .join("|")
    });
    assert!(heads[0].contains("/letter.txt "), "{heads:?}");
    assert_eq!(heads[0], heads[1]);
}

#[test]
fn copy_larger_than_max_size_is_not_sent_again() {
    const MAX_SIZE: u64 = 19_000_000;
    let server = Server::scripted([breaks()]).unwrap();
    let scanner = unasked(&server).max_size(MAX_SIZE).build().unwrap();
    let report = scan(&scanner, &pattern(20_000_000)).outcome.unwrap();
    let too_large = NotScanned::TooLarge { limit: MAX_SIZE };
    assert_eq!(*report.verdict(), Verdict::NotScanned(too_large));
    assert_eq!(server.connections(), 1);
}

#[test]
fn verdict_of_the_repeated_scan_counts() {
    let broken_response = Script::new().read_request().send("ICAP/1.0 204 No").close();
    for (script, content) in [(breaks(), pattern(LEN)), (broken_response, pattern(10))] {
        let found = Script::new().read_request().send(infected("Eicar"));
        let server = Server::scripted([script, found]).unwrap();
        let scanner = unasked(&server).build().unwrap();
        let teed = scan(&scanner, &content);
        assert!(teed.outcome.unwrap().verdict().is_infected());
    }
}

#[test]
fn broken_connection_is_repeated_once() {
    let server = Server::scripted([breaks()]).unwrap();
    let scanner = unasked(&server).build().unwrap();
    let teed = scan(&scanner, &pattern(LEN));
    assert!(
        matches!(teed.outcome, Err(Error::Disconnected(_))),
        "{teed:?}"
    );
    assert_eq!(server.connections(), 2);
}

#[test]
fn suspension_does_not_hide_the_broken_connection() {
    let server = Server::scripted([breaks()]).unwrap();
    let scanner = unasked(&server).suspend_after(1).build().unwrap();
    let teed = scan(&scanner, &pattern(LEN));
    assert!(
        matches!(teed.outcome, Err(Error::Disconnected(_))),
        "{teed:?}"
    );
    assert_eq!(scanner.stats().retries, 0);
    assert_eq!(server.connections(), 1);
}

#[test]
fn early_response_that_broke_off_is_not_asked_again() {
    let begin = "ICAP/1.0 204 No Content\r\nISTag: \"a\"\r\n";
    let early = Script::new().read_bytes(100_000).send(begin).half_close();
    let late = Script::new().read_request().send(CLEAN).read_to_end();
    let first = Server::scripted([early.read_to_end(), late]).unwrap();
    let content = [pattern(20_000_000), eicar()].concat();
    let scanner = unasked(&first).build().unwrap();
    let teed = scan(&scanner, &content);
    assert!(matches!(teed.outcome, Err(Error::Protocol(_))), "{teed:?}");
    assert_eq!(first.connections(), 1);
}

#[test]
fn evidence_is_not_repeated() {
    let found = Script::new().read_bytes(100_000).send(infected("Eicar"));
    let server = Server::scripted([found.close()]).unwrap();
    let scanner = unasked(&server).build().unwrap();
    let teed = scan(&scanner, &pattern(20_000_000));
    assert!(teed.outcome.unwrap().verdict().is_infected());
    assert_eq!(server.connections(), 1);
}

#[test]
fn reader_fails_over_as_a_file_does() {
    let content = [pattern(20_000_000), eicar()].concat();
    for response in [
        CLEAN.as_bytes(),
        b"ICAP/1.0 500 Server Error\r\n\r\n",
        b"ICAP/1.0 404 Not Found\r\n\r\n",
    ] {
        let early = Script::new().read_bytes(100_000).send(response);
        let first = Server::scripted([early.read_to_end()]).unwrap();
        let second = Server::start().unwrap();
        let scanner = unasked(&first).endpoint(second.uri()).build().unwrap();
        let report = scan(&scanner, &content).outcome.unwrap();
        assert!(report.verdict().is_infected());
        assert_eq!(report.service(), second.uri());

        // Without another server there is nothing to gain.
        let scanner = unasked(&first).build().unwrap();
        let before = first.connections();
        let teed = scan(&scanner, &content);
        assert!(!teed.outcome.is_ok_and(|report| report.verdict().is_clean()));
        assert_eq!(first.connections(), before + 1);
    }
}

/// Does not scan: responds during the first upload, and after the second one, which it takes faster.
fn blind() -> Server {
    let early = Script::new().read_bytes(100_000).send(CLEAN).read_to_end();
    let late = Script::new().read_request().send(CLEAN).read_to_end();
    Server::scripted([early, late]).unwrap()
}

#[test]
fn blind_server_is_not_asked_about_the_copy() {
    let content = [pattern(20_000_000), eicar()].concat();
    let (first, second) = (blind(), Server::start().unwrap());
    let scanner = unasked(&first).endpoint(second.uri()).build().unwrap();
    let report = scan(&scanner, &content).outcome.unwrap();
    assert!(report.verdict().is_infected(), "{report:?}");
    assert_eq!(report.service(), second.uri());
    assert_eq!(first.connections(), 1);
    assert_eq!(scanner.stats().failovers, 1);
}

#[test]
fn blind_server_is_the_outcome_if_the_next_one_fails() {
    let first = blind();
    let refused = format!("icap://{}/scan", refusing_address());
    let scanner = unasked(&first).endpoint(refused).build().unwrap();
    let report = scan(&scanner, &pattern(20_000_000)).outcome.unwrap();
    let early = Verdict::NotScanned(NotScanned::EarlyResponse);
    assert_eq!(*report.verdict(), early);
    assert_eq!(first.connections(), 1);
}

#[test]
fn changed_copy_is_an_error_beside_an_early_response() {
    let (first, second) = (blind(), Server::start().unwrap());
    let scanner = unasked(&first).endpoint(second.uri()).build().unwrap();
    let content = pattern(20_000_000);
    let spool = Forgetful(spool(content.len()));
    let teed = scanner.scan_spooled(Content::reader(&content[..]), spool);
    let teed = teed.unwrap();
    assert!(matches!(teed.outcome, Err(Error::Content(_))), "{teed:?}");
    assert!(!teed.is_complete());
}

#[test]
fn incomplete_copy_is_not_scanned() {
    const MAX_COPY: usize = 19_000_000;
    let server = Server::scripted([breaks()]).unwrap();
    let scanner = unasked(&server).max_copy(MAX_COPY as u64).build().unwrap();
    let content = pattern(20_000_000);
    let mut spool = spool(MAX_COPY);
    let reader = Content::reader(&content[..]);
    let teed = scanner.scan_spooled(reader, &mut spool).unwrap();
    assert!(
        matches!(teed.outcome, Err(Error::Disconnected(_))),
        "{teed:?}"
    );
    assert!(matches!(
        teed.incomplete,
        Some(IncompleteCopy::TooLarge { .. })
    ));
    assert_eq!(server.connections(), 1);
    assert_eq!(spool.position(), BEFORE.len() as u64);
    assert!(spool.into_inner().ends_with(AFTER));
}

/// A spool that gives other bytes than it took.
struct Forgetful(Cursor<Vec<u8>>);

impl Read for Forgetful {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.0.read(buf)?;
        buf[..len].fill(b'x');
        Ok(len)
    }
}

impl Write for Forgetful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Forgetful {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn spool_that_gives_other_bytes_is_an_error() {
    let server = Server::scripted([breaks(), Script::new().read_request().send(CLEAN)]).unwrap();
    let scanner = unasked(&server).build().unwrap();
    let content = pattern(LEN);
    let spool = Forgetful(spool(LEN));
    let teed = scanner.scan_spooled(Content::reader(&content[..]), spool);
    let teed = teed.unwrap();
    match (teed.outcome, teed.incomplete) {
        (Err(Error::Content(error)), Some(IncompleteCopy::Content(why))) => {
            assert_eq!(error.fault(), ContentFault::Changed);
            assert_eq!(why.fault(), ContentFault::Changed);
        }
        other => panic!("{other:?}"),
    }
}

/// A spool that cannot go back.
struct Unseekable(Cursor<Vec<u8>>);

impl Read for Unseekable {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Unseekable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Unseekable {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(_) => Err(io::ErrorKind::Unsupported.into()),
            to => self.0.seek(to),
        }
    }
}

#[test]
fn spool_that_cannot_seek_is_an_error_without_evidence() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let spool = || Unseekable(Cursor::new(Vec::new()));
    let error = scanner.scan_spooled("hello", spool()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let teed = scanner.scan_spooled(eicar(), spool()).unwrap();
    assert!(matches!(teed.incomplete, Some(IncompleteCopy::Writer(_))));
    assert!(matches!(
        teed.outcome.unwrap().verdict(),
        Verdict::Infected(_)
    ));
}

#[test]
fn spool_that_cannot_say_where_it_stands_is_counted() {
    struct Pipe;
    impl Read for Pipe {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("it is not read")
        }
    }
    impl Write for Pipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            unreachable!("it is not written")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl Seek for Pipe {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Err(io::Error::new(io::ErrorKind::NotSeekable, "a pipe"))
        }
    }
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let error = scanner.scan_spooled("hello", Pipe).unwrap_err();
    assert_eq!(error.to_string(), "a pipe");
    assert_eq!(server.requests(), 0);
    let stats = scanner.stats();
    assert_eq!((stats.scans, stats.errors), (1, 1));
}

/// A file that has other bytes, and writes at its end.
fn appending() -> File {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"unscanned").unwrap();
    let mut options = File::options();
    options.read(true).append(true).open(file.path()).unwrap()
}

#[test]
fn spool_that_writes_elsewhere_is_an_error() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let error = scanner.scan_spooled("new", appending()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let teed = scanner.scan_spooled(eicar(), appending()).unwrap();
    assert!(!teed.is_complete());
    assert!(teed.outcome.unwrap().verdict().is_infected());

    // At its end it writes where it stands.
    let mut file = appending();
    file.seek(SeekFrom::End(0)).unwrap();
    let teed = scanner.scan_spooled("new", &mut file).unwrap();
    assert!(teed.is_complete());
    assert_eq!(io::read_to_string(file).unwrap(), "new");
}

#[test]
fn failed_seek_does_not_hide_why_a_copy_is_incomplete() {
    let server = Server::start().unwrap();
    let scanner = Scanner::builder(server.uri()).max_copy(3).build().unwrap();
    let spool = Unseekable(Cursor::new(Vec::new()));
    let teed = scanner.scan_spooled("hello", spool).unwrap();
    let why = teed.incomplete;
    assert!(
        matches!(why, Some(IncompleteCopy::TooLarge { limit: 3 })),
        "{why:?}"
    );
}

#[test]
fn file_is_a_spool_that_can_be_delivered() {
    let server = Server::start().unwrap();
    let scanner = Scanner::new(server.uri()).unwrap();
    let mut spool = tempfile::tempfile().unwrap();
    let content = pattern(LEN);
    let teed = scanner.scan_spooled(Content::reader(&content[..]), &mut spool);
    assert!(teed.unwrap().is_complete());
    let mut delivered = Vec::new();
    spool.read_to_end(&mut delivered).unwrap();
    assert!(delivered == content);
}

#[test]
fn progress_begins_again_with_the_repeated_scan() {
    let clean = Script::new().read_request().send(CLEAN);
    let server = Server::scripted([breaks(), clean]).unwrap();
    let scanner = unasked(&server).build().unwrap();
    let content = pattern(LEN);
    let (sender, seen) = mpsc::channel();
    let reader = Content::reader(&content[..]);
    let reader = reader.progress(move |sent, _| sender.send(sent).unwrap());
    let teed = scanner.scan_spooled(reader, spool(LEN)).unwrap();
    assert!(teed.outcome.unwrap().verdict().is_clean());
    let seen: Vec<u64> = seen.into_iter().collect();
    assert_eq!(
        seen.iter().filter(|&&sent| sent == 0).count(),
        2,
        "{seen:?}"
    );
    assert_eq!(seen.last(), Some(&(LEN as u64)));
}
