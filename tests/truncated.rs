//! Responses with only the beginning of the content. c-icap in its default percent mode sends one for an infected
//! file: a 200 with a valid end and no infection field.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use icap_client::testing::{CONTINUE, Script, Server};
use icap_client::{Content, Method, NotScanned, Preview, Scanner, ScannerBuilder, Verdict};

const LEN: usize = 3_000_000;
const PART: usize = LEN / 20;

fn content() -> Vec<u8> {
    (0..LEN)
        .map(|at| u8::try_from((at + at / 65_536) % 251).unwrap())
        .collect()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let size = format!("{:x}\r\n", bytes.len());
    [size.as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
}

fn respmod(length: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{length}\r\n");
    let list = format!("Encapsulated: res-hdr=0, res-body={}\r\n\r\n", head.len());
    [
        b"ICAP/1.0 200 OK\r\n",
        list.as_bytes(),
        head.as_bytes(),
        &chunk(body),
    ]
    .concat()
}

fn reqmod(length: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST http://content.invalid/ HTTP/1.1\r\n{length}\r\n");
    let list = format!("Encapsulated: req-hdr=0, req-body={}\r\n\r\n", head.len());
    [
        b"ICAP/1.0 200 OK\r\n",
        list.as_bytes(),
        head.as_bytes(),
        &chunk(body),
    ]
    .concat()
}

/// The verdict, and the bytes in the writer.
fn replace(
    response: &[u8],
    preview: Option<usize>,
    settings: fn(ScannerBuilder) -> ScannerBuilder,
    content: Content<'_>,
) -> (Verdict, Vec<u8>) {
    let script = Script::new().read_request();
    let script = match preview {
        Some(_) => script.send(CONTINUE).read_rest(),
        None => script,
    };
    let server = Server::scripted([script.send(response).hold()]).unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let builder = builder.preview(preview.map_or(Preview::Off, Preview::Limit));
    let scanner = settings(builder).build().unwrap();
    let mut output = Vec::new();
    let report = scanner.scan_replace(content, &mut output).unwrap();
    (report.verdict().clone(), output)
}

const TRUNCATED: Verdict = Verdict::NotScanned(NotScanned::Truncated);

#[test]
fn beginning_of_any_content_is_truncated() {
    let all = content();
    let own = format!("Content-Length: {LEN}\r\n");
    let of_the_part = format!("Content-Length: {PART}\r\n");
    for preview in [None, Some(0), Some(1024)] {
        for length in ["", &own, &of_the_part] {
            let contents = [
                Content::bytes(&all),
                Content::seekable(Cursor::new(&all)),
                Content::reader(&all[..]).len(LEN as u64),
                Content::reader(&all[..]),
            ];
            for content in contents {
                let response = respmod(length, &all[..PART]);
                let (verdict, output) = replace(&response, preview, |b| b, content);
                assert_eq!(verdict, TRUNCATED, "{length}");
                // Written bytes cannot be taken back. They are in the writer, and must not be delivered.
                assert_eq!(output, &all[..PART]);
            }
        }
    }
    for length in ["", &own] {
        let response = reqmod(length, &all[..PART]);
        let (verdict, _) = replace(
            &response,
            None,
            |builder| builder.method(Method::Reqmod),
            Content::reader(&all[..]),
        );
        assert_eq!(verdict, TRUNCATED, "{length}");
    }
}

#[test]
fn preview_that_comes_back_is_truncated() {
    let all = content();
    for (size, back) in [(1024, 1024), (1024, 1000), (1024, 70_000)] {
        let response = respmod("", &all[..back]);
        for content in [Content::bytes(&all), Content::reader(&all[..])] {
            let script = Script::new().read_request().send(&response).hold();
            let server = Server::scripted([script]).unwrap();
            let scanner = Scanner::builder(server.uri()).negotiate(false);
            let scanner = scanner.preview(Preview::Limit(size)).build().unwrap();
            let report = scanner.scan(content).unwrap();
            assert_eq!(report.verdict(), &TRUNCATED, "{back} of {size}");
        }
    }
}

#[test]
fn other_content_is_modified_only_if_certain() {
    let all = content();
    let verdict =
        |back: &[u8], content: Content<'_>| replace(&respmod("", back), None, |b| b, content).0;
    // In the first block, in the first half, and in the second half, for which no digest is kept.
    for (at, is_told_of_a_reader) in [(0, true), (70_000, true), (PART - 1, false)] {
        let mut back = all[..PART].to_vec();
        back[at] ^= 1;
        for content in [Content::bytes(&all), Content::seekable(Cursor::new(&all))] {
            let verdict = verdict(&back, content);
            assert!(matches!(verdict, Verdict::Modified(_)), "{at}: {verdict}");
        }
        let verdict = verdict(&back, Content::reader(&all[..]));
        let is_modified = matches!(verdict, Verdict::Modified(_));
        assert_eq!(is_modified, is_told_of_a_reader, "{at}: {verdict}");
        assert!(is_modified || verdict == TRUNCATED);
    }
    let longer = [&all[..], b"x"].concat();
    for back in [&longer[..], b"page", b"\xff"] {
        let verdict = verdict(back, Content::bytes(&all));
        assert!(matches!(verdict, Verdict::Modified(_)), "{verdict}");
    }
}

/// Content with other bytes from the second reading on.
struct Replaced {
    content: Cursor<Vec<u8>>,
    replacement: Option<Vec<u8>>,
    was_read: bool,
}

impl Read for Replaced {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.content.read(buf)?;
        self.was_read |= len == 0;
        Ok(len)
    }
}

impl Seek for Replaced {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if self.was_read {
            if let Some(replacement) = self.replacement.take() {
                self.content = Cursor::new(replacement);
            }
        }
        self.content.seek(to)
    }
}

#[test]
fn content_that_was_replaced_since_is_no_proof() {
    let all = content();
    let other: Vec<u8> = all.iter().map(|byte| byte ^ 1).collect();
    for replacement in [other, Vec::from(&b"short"[..])] {
        let content = Content::seekable(Replaced {
            content: Cursor::new(all.clone()),
            replacement: Some(replacement),
            was_read: false,
        });
        let (verdict, _) = replace(&respmod("", &all[..PART]), None, |b| b, content);
        assert_eq!(verdict, TRUNCATED);
    }
}

#[test]
fn part_of_a_206_is_truncated_too() {
    let partial = |body: &str, from: u64, length: &str| {
        let head = format!("HTTP/1.1 200 OK\r\n{length}\r\n");
        let list = format!("res-hdr=0, res-body={}", head.len());
        let size = body.len();
        format!(
            "ICAP/1.0 206 Partial\r\nEncapsulated: {list}\r\n\r\n{head}{size:x}\r\n{body}\r\n0; use-original-body={from}\r\n\r\n"
        )
    };
    for (response, is_truncated) in [
        (partial("hel", 5, ""), true),
        (partial("hel", 4, ""), false),
        (partial("HEL", 5, ""), false),
        (partial("HEL", 5, "Content-Length: 4\r\n"), true),
        (partial("HEL", 4, "Content-Length: 4\r\n"), false),
    ] {
        let allow = |builder: ScannerBuilder| builder.allow_206(true);
        let content = Content::bytes(b"hello");
        let (verdict, _) = replace(response.as_bytes(), None, allow, content);
        assert_eq!(verdict == TRUNCATED, is_truncated, "{response}");
    }
}
