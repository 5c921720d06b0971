//! All forms of requests to c-icap's services: both methods, previews of all kinds of lengths, with and without
//! 204 and 206.

use std::io::{self, Read, Write};

use icap_client::{
    Body, Client, Content, Method, NotScanned, Preview, Request, Response, Scanner, Verdict,
};

use super::{ALL_OF_IT, archive_with_eicar_at_its_end, base, eicar};

/// Long enough that every preview below can be a part of it.
const LEN: usize = 3000;

/// The form of a request, without its content.
#[derive(Debug, Clone, Copy)]
struct Asking {
    method: Method,
    preview: Option<usize>,
    allow_204: bool,
    allow_206: bool,
}

/// Each combination.
fn every_asking() -> Vec<Asking> {
    let previews = [0, 1, LEN - 1, LEN, LEN + 1, 1024, 4096];
    let previews = std::iter::once(None).chain(previews.map(Some));
    let mut all = Vec::new();
    for preview in previews {
        for method in [Method::Respmod, Method::Reqmod] {
            for (allow_204, allow_206) in [(false, false), (true, false), (true, true)] {
                all.push(Asking {
                    method,
                    preview,
                    allow_204,
                    allow_206,
                });
            }
        }
    }
    all
}

impl Asking {
    fn request(self, content_type: &str, len: u64) -> Request {
        let describe = |line: &str| {
            format!("{line}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\r\n")
        };
        let request = match self.method {
            Method::Reqmod => Request::reqmod()
                .http_request(describe("POST /up HTTP/1.1\r\nHost: content.invalid").as_bytes()),
            _ => Request::respmod()
                .http_request(b"GET /a HTTP/1.1\r\nHost: content.invalid\r\n\r\n")
                .and_then(|request| request.http_response(describe("HTTP/1.1 200 OK").as_bytes())),
        };
        request
            .unwrap()
            .preview(self.preview)
            .allow_204(self.allow_204)
            .allow_206(self.allow_206)
    }

    /// Whether a 204 may come at all.
    fn may_be_204(self) -> bool {
        self.allow_204 || self.preview.is_some()
    }
}

/// With a new connection for each exchange: ex206 responds twice if it does not read all of the content, and only
/// on a new connection is it certain which response is which.
fn client(service: &str) -> Client {
    let builder = Client::builder(format!("{}/{service}", base()));
    builder.max_idle(0).build().unwrap()
}

fn ask(client: &Client, asking: Asking, content_type: &str, content: &[u8]) -> (Response, Vec<u8>) {
    let mut output = Vec::new();
    let request = asking.request(content_type, content.len() as u64);
    match client.send(&request, Body::from(content), &mut output) {
        Ok(response) => (response, output),
        Err(error) => panic!("{asking:?}: {error}: {error:?}"),
    }
}

fn html() -> Vec<u8> {
    let mut page = b"<html><body>".to_vec();
    page.resize(LEN, b'x');
    page
}

/// `echo` returns everything, or responds with 204 to every other preview.
pub(super) fn echo_returns_what_was_sent() {
    let client = client("echo");
    let content = html();
    let (mut unmodified, mut returned) = (0, 0);
    for asking in every_asking() {
        for _ in 0..2 {
            let (response, output) = ask(&client, asking, "text/html", &content);
            match response.status() {
                204 => {
                    assert!(asking.may_be_204() && output.is_empty(), "{asking:?}");
                    unmodified += 1;
                }
                200 => {
                    assert!(output == content, "{asking:?}: {} bytes", output.len());
                    returned += 1;
                }
                status => panic!("{asking:?}: {status}"),
            }
        }
    }
    println!("\necho: {returned} times all of it back, {unmodified} times 204");
    assert!(unmodified > 0 && returned > 0);
}

/// `avscan` finds EICAR in every form of request, and returns clean content if 204 is not allowed.
pub(super) fn avscan_decides_the_same_however_it_is_asked() {
    let client = client("avscan");
    let mut clean = b"nothing to see here. ".repeat(LEN / 20);
    clean.truncate(LEN);
    // A part of the zeros at the end of the archive is missing.
    let mut infected = archive_with_eicar_at_its_end(1000);
    assert!(infected.len() < LEN + 1024);
    infected.resize(LEN, 0);
    let mut seen = [0; 2];
    for asking in every_asking() {
        let (response, output) = ask(&client, asking, "text/plain", &clean);
        match response.status() {
            204 => assert!(asking.may_be_204() && output.is_empty(), "{asking:?}"),
            200 => assert!(!asking.allow_204 && output == clean, "{asking:?}"),
            status => panic!("{asking:?}: {status}"),
        }
        seen[0] += 1;
        let (response, output) = ask(&client, asking, "text/plain", &infected);
        let found = response.headers().get("X-Infection-Found");
        let found = found.map(|field| field.text()).unwrap_or_default();
        assert!(found.contains("Eicar"), "{asking:?}: {response:?}");
        assert_eq!(response.http_status(), Some(403), "{asking:?}");
        assert!(!output.is_empty(), "{asking:?}");
        seen[1] += 1;
    }
    println!(
        "\navscan: {} clean and {} infected, each as it is",
        seen[0], seen[1]
    );
}

/// What `ex206` puts after `<html>`, if it sees that in the preview.
const COMMENT: &[u8] = b"\n<!--A simple comment added by the  ex206 C-ICAP service-->\n\n";

/// `ex206` refers to the original where it may, and modifies nothing where it may not.
pub(super) fn ex206_is_put_together() {
    let client = client("ex206");
    let content = html();
    let with_comment = [&content[..6], COMMENT, &content[6..]].concat();
    let mut seen = [0; 3];
    for asking in every_asking() {
        let (response, output) = ask(&client, asking, "text/html", &content);
        let sees_html = asking.preview.is_some_and(|size| size >= 6);
        let (kind, expected) = match response.status() {
            204 if asking.may_be_204() => (0, &b""[..]),
            200 if !asking.may_be_204() => (0, &content[..]),
            206 if asking.allow_206 && sees_html => (1, &with_comment[..]),
            206 if asking.allow_206 => (2, &content[..]),
            status => panic!("{asking:?}: {status}"),
        };
        assert!(output == expected, "{asking:?}: {} bytes", output.len());
        seen[kind] += 1;
    }
    let [unmodified, modified, referred] = seen;
    println!(
        "\nex206: {unmodified} unmodified, {modified} with a comment, {referred} all original"
    );
    assert_eq!(seen, [32, 10, 6]);

    let scanner = Scanner::builder(format!("{}/ex206", base()))
        .preview(Preview::Negotiated)
        .allow_206(true)
        .build()
        .unwrap();
    for _ in 0..3 {
        let mut output = Vec::new();
        let report = scanner.scan_replace(Content::bytes(&content), &mut output);
        let report = report.unwrap();
        let Verdict::Modified(modified) = report.verdict() else {
            panic!("{report:?}");
        };
        assert_eq!(modified.original_from(), Some(6));
        assert!(output == with_comment);
    }
}

/// Counts and hashes (FNV-1a) the bytes that pass.
struct Hashed<T> {
    inner: T,
    hash: u64,
    len: u64,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            hash: 0xcbf2_9ce4_8422_2325,
            len: 0,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.len += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.update(&buf[..len]);
        Ok(len)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(buf)?;
        self.update(&buf[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buf {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = self.0.to_be_bytes()[0];
        }
        Ok(buf.len())
    }
}

/// The echo comes back during the upload. A client that does not read meanwhile deadlocks here.
pub(super) fn large_echo_loses_nothing() {
    const LARGE: u64 = 200 * 1024 * 1024;
    let client = client("echo");
    for method in [Method::Respmod, Method::Reqmod] {
        let asking = Asking {
            method,
            preview: None,
            allow_204: false,
            allow_206: false,
        };
        let mut sent = Hashed::new(Noise(7).take(LARGE));
        let mut returned = Hashed::new(io::sink());
        let request = asking.request("application/octet-stream", LARGE);
        let body = Body::reader(&mut sent).len(LARGE);
        let response = client.send(&request, body, &mut returned).unwrap();
        assert_eq!(response.body_len(), Some(LARGE));
        assert_eq!((sent.len, sent.hash), (returned.len, returned.hash));
        println!(
            "\n{method}: {} bytes there and back, hash {:x}",
            sent.len, sent.hash
        );
    }
}

/// c-icap says 204 to the preview of a type it does not scan, whatever is after it.
pub(super) fn preview_of_a_pdf_is_no_verdict() {
    let mut content = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    content.resize(2000, b' ');
    content.extend_from_slice(b"\n1 0 obj\n<</Type/EmbeddedFile/Length 68>>\nstream\n");
    content.extend_from_slice(&eicar());
    content.extend_from_slice(b"\nendstream\nendobj\n%%EOF\n");
    let scanner = Scanner::new(format!("{}/{ALL_OF_IT}", base())).unwrap();
    let report = scanner.scan(Content::bytes(&content)).unwrap();
    assert!(report.verdict().is_infected(), "{}", report.verdict());
    let service = format!("{}/virus_scan", base());
    for preview in [Preview::Negotiated, Preview::Limit(64)] {
        let scanner = Scanner::builder(&service).preview(preview).build().unwrap();
        let report = scanner
            .scan(Content::bytes(&content).name("a.pdf"))
            .unwrap();
        println!(
            "\n{preview:?}: {}, {} bytes sent",
            report.verdict(),
            report.bytes_sent()
        );
        let preview_only = Verdict::NotScanned(NotScanned::PreviewOnly);
        assert_eq!(report.verdict(), &preview_only);
    }
}
