//! The response body goes to the caller's writer: other content, a page, or the original with a new beginning.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use icap_client::error::{Limit, TimeLimit, Violation};
use icap_client::testing::{
    CLEAN, OPTIONS_RESPONSE, Script, Server, echo, infected, options_with_preview,
};
use icap_client::{
    Body, Client, Content, Error, NotScanned, Preview, Report, Request, Scanner, ScannerBuilder,
    Verdict,
};

const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";

fn unasked(server: &Server) -> ScannerBuilder {
    Scanner::builder(server.uri()).negotiate(false)
}

fn answering(response: impl AsRef<[u8]>) -> Server {
    let response = response.as_ref().to_vec();
    let server = Server::answering(move |_| Script::new().send(&response)).unwrap();
    server.offering(options_with_preview(4096)).unwrap()
}

/// A request with the HTTP head that real servers need.
fn respmod() -> Request {
    Request::respmod().http_response(OK.as_bytes()).unwrap()
}

/// A 206 whose own body is `body` and whose last chunk has `extension`.
fn partial(body: &str, extension: &str) -> String {
    let chunk = match body.len() {
        0 => String::new(),
        len => format!("{len:x}\r\n{body}\r\n"),
    };
    format!(
        "ICAP/1.0 206 Partial Content\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n{OK}{chunk}0{extension}\r\n\r\n",
        OK.len()
    )
}

fn replace(scanner: &Scanner, content: Content<'_>) -> (Result<Report, Error>, String) {
    let mut output = Vec::new();
    let result = scanner.scan_replace(content, &mut output);
    (result, String::from_utf8(output).unwrap())
}

fn violation(result: Result<Report, Error>) -> Violation {
    match result {
        Err(Error::Protocol(error)) => error.violation(),
        other => panic!("no protocol error but {other:?}"),
    }
}

#[test]
fn response_body_is_written_whatever_the_verdict() {
    for (response, written) in [
        (echo(OK, b"disarmed"), "disarmed"),
        (echo(OK, b"hello"), "hello"),
        (echo("HTTP/1.1 403 Forbidden\r\n\r\n", b"no"), "no"),
        (CLEAN.as_bytes().to_vec(), ""),
    ] {
        let server = answering(response);
        let scanner = unasked(&server).build().unwrap();
        let (result, output) = replace(&scanner, Content::bytes(b"hello"));
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(output, written);
    }
    let server = answering(infected("Eicar"));
    let scanner = unasked(&server).build().unwrap();
    let (result, output) = replace(&scanner, Content::bytes(b"hello"));
    assert!(result.unwrap().verdict().is_infected() && output.contains("blocked"));
}

/// A 200 with this body in chunks of `size` bytes, and with `end` in place of the last chunk.
fn in_chunks(body: &[u8], size: usize, end: &str) -> Vec<u8> {
    let list = format!("res-hdr=0, res-body={}", OK.len());
    let mut out = format!("ICAP/1.0 200 OK\r\nEncapsulated: {list}\r\n\r\n{OK}").into_bytes();
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(end.as_bytes());
    out
}

#[test]
fn body_in_small_chunks_is_written_whole() {
    let body: Vec<u8> = (b'0'..=b'z').cycle().take(10_000).collect();
    for size in [1, 2, 255, 256, 10_000] {
        let server = answering(in_chunks(&body, size, "0\r\n\r\n"));
        let scanner = unasked(&server).build().unwrap();
        let (result, output) = replace(&scanner, Content::bytes(b"hello"));
        let report = result.unwrap();
        assert!(
            matches!(report.verdict(), Verdict::Modified(_)),
            "{report:?}"
        );
        assert_eq!(output.as_bytes(), body, "{size}");
        // The same content is recognised, in whatever chunks it comes back.
        let (result, _) = replace(&scanner, Content::bytes(&body));
        let verdict = result.unwrap().verdict().clone();
        assert_eq!(verdict, Verdict::NotScanned(NotScanned::Echoed), "{size}");
    }
}

#[test]
fn small_chunks_before_a_fault_or_a_limit_are_written() {
    let server = answering(in_chunks(b"hello", 1, "x\r\n"));
    let (result, output) = replace(&unasked(&server).build().unwrap(), Content::bytes(b"hi"));
    assert_eq!(violation(result), Violation::ChunkSize);
    assert_eq!(output, "hello");
    let server = answering(in_chunks(b"hello", 1, "0\r\n\r\n"));
    let client = Client::builder(server.uri()).max_response(3);
    let mut output = Vec::new();
    let request = respmod();
    let result = client
        .build()
        .unwrap()
        .send(&request, Body::from(b"hi"), &mut output);
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
    assert_eq!(output, b"hel");
}

#[test]
fn small_chunks_after_a_failed_write_are_still_read() {
    let infected = "0\r\nX-Virus-ID: Eicar\r\n\r\n";
    let server = answering(in_chunks(b"xxxxxxxx", 1, infected));
    let scanner = unasked(&server).build().unwrap();
    let mut room = [0; 5];
    let report = scanner
        .scan_replace(Content::bytes(b"hello"), &mut room[..])
        .unwrap();
    assert!(report.verdict().is_infected(), "{report:?}");
    assert_eq!(room, [b'x'; 5]);
}

#[test]
fn echoed_content_streams_through_the_scan() {
    // No buffer holds 50 MB, and the service does not wait for the end of the content before it sends.
    const LEN: u64 = 50_000_000;
    let options = OPTIONS_RESPONSE;
    let chunk = [b"10000\r\n".as_slice(), &[b'y'; 0x10000], b"\r\n"].concat();
    let head = String::from_utf8(echo(OK, b"")).unwrap();
    let mut script = Script::new()
        .read_bytes(1000)
        .send(head.trim_end_matches("0\r\n\r\n"));
    for _ in 0..LEN / 0x10000 {
        script = script.read_bytes(0x10000).send(&chunk);
    }
    let server = Server::scripted([script.send("0\r\n\r\n").read_to_end()]).unwrap();
    let scanner = unasked(&server).build().unwrap();
    struct Count(u64);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(bytes.iter().all(|&byte| byte == b'y'));
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    let content = Content::reader(io::repeat(b'x').take(LEN)).len(LEN);
    let report = scanner.scan_replace(content, &mut count).unwrap();
    assert!(
        matches!(report.verdict(), Verdict::Modified(_)),
        "{options}"
    );
    assert_eq!(count.0, LEN / 0x10000 * 0x10000);
}

#[test]
fn response_206_is_assembled_without_connection_reuse() {
    for (body, extension, expected) in [
        ("HE", "; use-original-body=2", "HEllo"),
        ("", "; use-original-body=0", "hello"),
        ("bye", "; use-original-body=5", "bye"),
        ("bye", "", "bye"),
    ] {
        let server = answering(partial(body, extension));
        let scanner = unasked(&server).allow_206(true).build().unwrap();
        for content in [
            Content::bytes(b"hello"),
            Content::seekable(Cursor::new(b"hello")),
        ] {
            let (result, output) = replace(&scanner, content);
            let verdict = result.unwrap().verdict().clone();
            assert!(
                matches!(verdict, Verdict::Modified(_)),
                "{extension}: {verdict}"
            );
            assert_eq!(output, expected, "{extension}");
        }
        // The server may not have read the whole request, and would take the rest for the next request.
        let stats = scanner.stats();
        assert_eq!((stats.connections_opened, stats.connections_idle), (2, 0));
        let mut output = Vec::new();
        let client = Client::new(server.uri()).unwrap();
        let request = respmod().allow_206(true);
        let response = client.send(&request, Body::from(&b"hello"[..]), &mut output);
        assert_eq!(response.unwrap().body_len(), Some(body.len() as u64));
        assert_eq!(output, expected.as_bytes(), "{extension}");
    }
}

#[test]
fn preview_206_is_assembled_from_unsent_content() {
    let server = answering(partial("HE", "; use-original-body=2"));
    let scanner = unasked(&server).allow_206(true).preview(Preview::Limit(3));
    let scanner = scanner.build().unwrap();
    let (result, output) = replace(&scanner, Content::bytes(b"hello"));
    assert_eq!(result.unwrap().bytes_sent(), 3);
    assert_eq!(output, "HEllo");
}

#[test]
fn response_206_beyond_the_content_is_an_error() {
    for (offset, is_there) in [(4, true), (5, true), (6, false), (u64::MAX, false)] {
        let server = answering(partial("x", &format!("; use-original-body={offset}")));
        let scanner = unasked(&server).allow_206(true).build().unwrap();
        for result in [
            scanner.scan(Content::bytes(b"hello")),
            scanner.scan(Content::reader(&b"hello"[..])),
            replace(&scanner, Content::bytes(b"hello")).0,
        ] {
            match result {
                Ok(report) => {
                    assert!(is_there && matches!(report.verdict(), Verdict::Modified(_)));
                }
                result => {
                    assert!(!is_there, "{offset}");
                    assert_eq!(violation(result), Violation::BadUseOriginalBody);
                }
            }
        }
    }
}

#[test]
fn response_206_without_changes_is_not_clean() {
    let options = OPTIONS_RESPONSE.replace("Allow: 204", "Allow: 206");
    let partial = partial("", "; use-original-body=0").replace(
        "Encapsulated",
        "ISTag: \"icap-client-testing\"\r\nEncapsulated",
    );
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(&options),
        _ => Script::new().send(&partial),
    })
    .unwrap();
    let scanner = Scanner::builder(server.uri())
        .allow_206(true)
        .build()
        .unwrap();
    for content in [&b""[..], b"hello"] {
        let report = scanner.scan(Content::bytes(content)).unwrap();
        assert!(
            matches!(report.verdict(), Verdict::Modified(_)),
            "{report:?}"
        );
    }
}

#[test]
fn allow_206_is_sent_only_if_offered_and_possible() {
    let asked = |allow: &str, is_set: bool, content: Content<'_>, output: bool| {
        let options = OPTIONS_RESPONSE.replace("Allow: 204", &format!("Allow: {allow}"));
        let server = Server::answering(move |request| match request.method() {
            "OPTIONS" => Script::new().send(&options),
            _ => Script::new().send(CLEAN),
        })
        .unwrap();
        let scanner = Scanner::builder(server.uri()).allow_206(is_set);
        let scanner = scanner.build().unwrap();
        let result = match output {
            true => replace(&scanner, content).0,
            false => scanner.scan(content),
        };
        assert!(result.unwrap().verdict().is_clean());
        drop(scanner);
        let received = server.finish().remove(0);
        let text = String::from_utf8_lossy(received.received()).into_owned();
        let (_, scan) = text.split_once("RESPMOD").unwrap();
        let (_, allow) = scan.split_once("\r\nAllow: ").unwrap();
        allow.split_once("\r\n").unwrap().0.to_owned()
    };
    let bytes = || Content::bytes(b"hello");
    let reader = || Content::reader(&b"hello"[..]);
    assert_eq!(asked("204, 206", false, bytes(), true), "204");
    assert_eq!(asked("204", true, bytes(), true), "204");
    assert_eq!(asked("204, 206", true, bytes(), true), "204, 206");
    assert_eq!(asked("204, 206", true, reader(), true), "204");
    assert_eq!(asked("204, 206", true, reader(), false), "204, 206");
    assert_eq!(asked("204, trailers", true, bytes(), true), "204, trailers");
}

#[test]
fn bytes_after_a_206_are_an_error() {
    let twice = partial("HE", "; use-original-body=2") + "ICAP/1.0 400 Bad request\r\n\r\n";
    let once = |response: &str| Script::new().read_request().send(response);
    let server = Server::scripted([
        once(&twice).hold(),
        once(CLEAN).read_request().send(&twice).hold(),
    ])
    .unwrap();
    let scanner = unasked(&server).allow_206(true).build().unwrap();
    let (result, output) = replace(&scanner, Content::bytes(b"hello"));
    assert!(matches!(result.unwrap().verdict(), Verdict::Modified(_)));
    assert_eq!(output, "HEllo");
    let clean = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(clean.verdict().is_clean() && server.connections() == 2);
    let result = scanner.scan(Content::bytes(b"hello"));
    assert_eq!(violation(result), Violation::TrailingBytes);
}

/// Content with other bytes when it is read again.
struct Changing {
    passes: [&'static [u8]; 2],
    pass: usize,
    rest: &'static [u8],
    pause: Duration,
    has_end: bool,
}

impl Changing {
    fn new(first: &'static [u8], second: &'static [u8]) -> Self {
        Self {
            passes: [first, second],
            pass: 0,
            rest: first,
            pause: Duration::ZERO,
            has_end: true,
        }
    }
}

impl Read for Changing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.pass > 0 {
            // The slow caller.
            std::thread::sleep(self.pause);
        }
        self.rest.read(&mut buf[..1])
    }
}

impl Seek for Changing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let len = self.passes[0].len() as u64;
        let at = |rest: &[u8]| len - rest.len() as u64;
        match to {
            SeekFrom::Current(0) => Ok(at(self.rest)),
            SeekFrom::End(0) if self.has_end => Ok(len),
            SeekFrom::Start(0) => {
                self.pass += usize::from(self.rest.is_empty());
                self.rest = self.passes[self.pass.min(1)];
                Ok(0)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

#[test]
fn response_206_is_completed_with_the_sent_bytes() {
    let server = answering(partial("HE", "; use-original-body=2"));
    let scanner = unasked(&server).allow_206(true).build().unwrap();
    for (second, is_the_same) in [(b"hello", true), (b"hellO", false), (b"EVIL!", false)] {
        let content = Content::seekable(Changing::new(b"hello", second));
        let (result, output) = replace(&scanner, content);
        match result {
            Ok(_) => assert!(is_the_same && output == "HEllo", "{output}"),
            Err(Error::Content(error)) => {
                assert!(!is_the_same && !output.ends_with(['O', '!']), "{output}");
                assert!(
                    error.to_string().contains("cannot read the content"),
                    "{error}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn response_206_is_not_completed_with_grown_content() {
    let server = answering(partial("HE", "; use-original-body=2"));
    let scanner = unasked(&server).allow_206(true).build().unwrap();
    let mut content = Changing::new(b"hello", b"helloEVIL");
    content.has_end = false;
    let (result, output) = replace(&scanner, Content::seekable(content));
    assert!(matches!(result, Err(Error::Content(_))), "{result:?}");
    assert!(
        !output.contains("EVIL"),
        "nothing that was not scanned: {output}"
    );
}

#[test]
fn deadline_bounds_the_completion_of_a_206() {
    let server = answering(partial("HE", "; use-original-body=2"));
    let deadline = Duration::from_millis(300);
    let scanner = unasked(&server).allow_206(true).deadline(deadline).build();
    let mut content = Changing::new(&[b'x'; 100], &[b'x'; 100]);
    content.pause = Duration::from_millis(60);
    let (result, _) = replace(&scanner.unwrap(), Content::seekable(content));
    match result {
        Err(Error::Timeout(error)) => assert_eq!(error.limit(), TimeLimit::Deadline),
        other => panic!("{other:?}"),
    }
}

#[test]
fn evidence_outweighs_an_invalid_206() {
    for (extension, is_allowed) in [
        ("; use-original-body=0", true),
        ("; use-original-body=99", true),
        ("; use-original-body=0", false),
    ] {
        let found = partial("page", extension);
        let found = found.replace("Encapsulated", "X-Virus-ID: Eicar\r\nEncapsulated");
        let server = answering(found);
        let scanner = unasked(&server).allow_206(is_allowed).build().unwrap();
        for content in [Content::bytes(b"hello"), Content::reader(&b"hello"[..])] {
            let (result, output) = replace(&scanner, content);
            assert!(result.unwrap().verdict().is_infected(), "{extension}");
            assert_eq!(output, "page", "nothing of the infected content");
        }
    }
}

#[test]
fn slow_writer_is_not_blamed_on_the_server() {
    struct Slow;
    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The time is the injected fault.
            std::thread::sleep(Duration::from_millis(1500));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let response = echo(OK, b"other");
    let (start, end) = response.split_at(response.len() - 5);
    let script = Script::new().read_request().send(start);
    let script = script.wait(Duration::from_millis(500)).send(end).hold();
    let server = Server::scripted([script]).unwrap();
    let timeout = Duration::from_millis(1000);
    let scanner = unasked(&server).read_timeout(timeout).suspend_after(1);
    let scanner = scanner.build().unwrap();
    let report = scanner.scan_replace(Content::bytes(b"hello"), &mut Slow);
    assert!(report.is_ok(), "{report:?}");
    assert!(scanner.stats().suspended.is_empty());
}

#[test]
fn late_response_to_another_request_is_not_written() {
    const LEN: usize = 20_000_000;
    let file = b"THE FILE OF SOMEBODY ELSE";
    let late = echo(OK, file);
    let late_304 = echo("HTTP/1.1 304 Not Modified\r\n\r\n", file);
    let asked = || Script::new().read_request().send(CLEAN).read_bytes(2000);
    for late in [
        asked().send(&late),
        // It began early, which is enough.
        asked()
            .send(&late[..30])
            .read_bytes(LEN as u64 - 2000)
            .send(&late[30..]),
        asked().send(late_304),
    ] {
        let own = Script::new().read_request().send(echo(OK, b"other"));
        let server = Server::scripted([late.hold(), own.hold()]).unwrap();
        let scanner = unasked(&server).build().unwrap();
        assert!(
            scanner
                .scan(Content::bytes(b"first"))
                .unwrap()
                .verdict()
                .is_clean()
        );
        let large = vec![b'x'; LEN];
        let (result, output) = replace(&scanner, Content::bytes(&large));
        assert!(matches!(result.unwrap().verdict(), Verdict::Modified(_)));
        assert_eq!(output, "other");
    }
}

#[test]
fn early_refusal_page_is_not_written_for_another_file() {
    let page = |icap: &str, http: &str| {
        let head = format!("HTTP/1.1 {http}\r\n\r\n");
        let len = head.len();
        format!(
            "ICAP/1.0 {icap}\r\nEncapsulated: res-hdr=0, res-body={len}\r\n\r\n{head}4\r\npage\r\n0\r\n\r\n"
        )
    };
    for (response, outcome) in [
        (
            page("200 OK", "403 Forbidden"),
            "blocked: the service responded with 403 Forbidden",
        ),
        (
            page("403 Forbidden", "200 OK"),
            "blocked: the service responded with 403 Forbidden",
        ),
    ] {
        let first = Script::new().read_request().send(CLEAN).read_to_end();
        let script = Script::new().read_bytes(2000).send(response).read_to_end();
        let server = Server::scripted([first, script]).unwrap();
        let scanner = unasked(&server).build().unwrap();
        let first = scanner.scan(Content::bytes(b"first")).unwrap();
        assert!(first.verdict().is_clean());
        // It cannot be sent again, so it goes over a new connection.
        let large = std::io::repeat(b'x').take(20_000_000);
        let (result, output) = replace(&scanner, Content::reader(large));
        assert_eq!(result.unwrap().verdict().to_string(), outcome);
        assert_eq!(output, "page");
    }
}

#[test]
fn evidence_counts_if_the_writer_fails() {
    let response = String::from_utf8(echo(OK, b"page")).unwrap();
    let response = response.replace("0\r\n\r\n", "0\r\nX-Virus-ID: Late\r\n\r\n");
    let server = answering(response);
    let scanner = unasked(&server).build().unwrap();
    let report = scanner.scan_replace(Content::bytes(b"hello"), &mut Full);
    assert!(report.unwrap().verdict().is_infected());
}

#[test]
fn sent_error_page_status_is_not_the_services() {
    let page = |status: &str| format!("HTTP/1.1 {status}\r\n\r\n");
    for (sent, back, is_echo) in [
        ("404 Not Found", "404 Not Found", true),
        ("200 OK", "404 Not Found", false),
        ("404 Not Found", "403 Forbidden", false),
    ] {
        let server = answering(echo(&page(back), b"hello"));
        let scanner = unasked(&server).build().unwrap();
        let head = page(sent);
        let content = Content::bytes(b"hello").http_response(head.as_bytes());
        let report = scanner.scan(content).unwrap();
        match report.verdict() {
            Verdict::NotScanned(NotScanned::Echoed) => assert!(is_echo, "{sent} {back}"),
            Verdict::Blocked(_) => assert!(!is_echo, "{sent} {back}"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn response_206_that_was_not_allowed_is_an_error() {
    let server = answering(partial("x", "; use-original-body=1"));
    let scanner = unasked(&server).build().unwrap();
    let result = scanner.scan(Content::bytes(b"hello"));
    assert_eq!(violation(result), Violation::Unexpected206);
}

#[test]
fn response_206_to_a_plain_reader_is_the_callers_error() {
    let server = answering(partial("HE", "; use-original-body=2"));
    let client = Client::new(server.uri()).unwrap();
    let request = respmod().allow_206(true);
    let long = vec![b'x'; 70_000];
    let result = client.send(&request, Body::reader(&long[..]), &mut io::sink());
    assert!(matches!(result, Err(Error::Content(_))), "{result:?}");
    // Content that fits into the first buffer is kept.
    let mut output = Vec::new();
    let result = client.send(&request, Body::reader(&b"hello"[..]), &mut output);
    assert_eq!(
        (result.unwrap().status(), &output[..]),
        (206, &b"HEllo"[..])
    );
}

/// A disk without room.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn failing_writer_is_blamed_on_the_caller_alone() {
    let first = answering(echo(OK, b"other"));
    let second = answering(CLEAN);
    let scanner = unasked(&first).endpoint(second.uri()).build().unwrap();
    let result = scanner.scan_replace(Content::bytes(b"hello"), &mut Full);
    assert!(matches!(result, Err(Error::Output(_))), "{result:?}");
    assert_eq!(
        (second.connections(), scanner.stats().connections_idle),
        (0, 0)
    );
}

#[test]
fn partly_written_output_does_not_fail_over() {
    let broken = "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\n5\r\nhel";
    let first = Server::scripted([Script::new().read_request().send(broken).close()]).unwrap();
    let second = answering(echo(OK, b"other"));
    let scanner = unasked(&first).endpoint(second.uri()).build().unwrap();
    let (result, output) = replace(&scanner, Content::bytes(b"hello"));
    assert_eq!(
        (violation(result), output.as_str()),
        (Violation::Truncated, "hel")
    );
    assert_eq!(second.connections(), 0);
    // Without a writer, nothing was written, so the scan fails over.
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(matches!(report.verdict(), Verdict::Modified(_)));
}

#[test]
fn returned_body_may_reach_its_limit() {
    for (limit, is_taken) in [(4, false), (5, true), (6, true)] {
        let server = answering(echo(OK, b"other"));
        let client = Client::builder(server.uri()).max_response(limit).build();
        let result = client
            .unwrap()
            .send(&respmod(), Body::from(&b"hello"[..]), &mut io::sink());
        match result {
            Ok(_) => assert!(is_taken, "{limit}"),
            Err(Error::Protocol(error)) => {
                assert!(!is_taken, "{limit}");
                let expected = Violation::LimitExceeded(Limit::ResponseBody);
                assert_eq!(error.violation(), expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn trailers_go_both_ways_and_only_worsen() {
    let clean_but = |trailer: &str| {
        let echoed = String::from_utf8(echo(OK, b"hello")).unwrap();
        let (start, _) = echoed.rsplit_once("0\r\n\r\n").unwrap();
        format!("{start}0\r\n{trailer}\r\n\r\n")
    };
    let server = answering(clean_but("X-Virus-ID: Late"));
    let scanner = unasked(&server).build().unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(report.verdict().is_infected(), "{report:?}");
    let server = answering(clean_but("X-Verdict: clean"));
    let scanner = unasked(&server).build().unwrap();
    let report = scanner.scan(Content::bytes(b"hello")).unwrap();
    assert!(!report.verdict().is_clean(), "{report:?}");

    let script = Script::new().read_request().send(CLEAN).hold();
    let server = Server::scripted([script]).unwrap();
    let client = Client::new(server.uri()).unwrap();
    let body = Body::from(&b"hello"[..]).trailer("X-Sum", "42").unwrap();
    let request = Request::respmod().allow_trailers(true);
    client.send(&request, body, &mut io::sink()).unwrap();
    drop(client);
    let received = server.finish().remove(0);
    let text = String::from_utf8_lossy(received.received()).into_owned();
    assert!(
        text.contains("\r\nAllow: 204, trailers\r\nTrailer: X-Sum\r\n"),
        "{text}"
    );
    assert!(
        text.ends_with("\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"),
        "{text}"
    );
}
