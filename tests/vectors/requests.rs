//! Requests as they are sent.

use std::io::{self, Read};

use icap_client::testing::{CLEAN, CONTINUE, OPTIONS_RESPONSE};
use icap_client::{Content, Preview, Scanner};

use crate::alone::{clean, send, unasked};
use crate::memory::{Conditions, Network, Step};
use crate::words::{describe, describe_error};

/// Tests by the ids of their cases.
pub(crate) const REQUESTS: &[(&str, fn())] = &[
    ("K08", empty_read_sends_no_last_chunk),
    ("K09", content_that_fails_is_not_completed),
    ("K10", content_of_another_length_is_not_completed),
    ("K11", empty_file_is_sent_without_a_preview),
    ("K12", file_of_preview_size_ends_with_ieof),
    ("K13", one_byte_over_the_preview_waits_for_100),
    ("K14", chunk_extension_only_on_the_last_chunk),
    ("K15", host_of_every_kind_is_sent_as_given),
    ("K16", user_information_is_refused_and_not_repeated),
    ("K17", preview_never_exceeds_the_offer),
    ("K18", hop_by_hop_fields_are_not_encapsulated),
];

/// The bytes that a server receives that responds to everything with 204, and the outcome of the scan.
fn sent(content: Content<'_>, preview: Preview) -> (String, String) {
    sent_to(content, preview, clean(1))
}

fn sent_to(content: Content<'_>, preview: Preview, steps: Vec<Step>) -> (String, String) {
    let network = Network::new(vec![steps], Conditions::default());
    let scanner = unasked(&network).preview(preview).build().unwrap();
    let outcome = describe(&scanner.scan(content));
    let received = match network.connections() {
        0 => Vec::new(),
        _ => network.received(0),
    };
    (String::from_utf8(received).unwrap(), outcome)
}

/// The steps of a server that requests the rest after a preview.
fn continues() -> Vec<Step> {
    vec![Step::Request, send(CONTINUE), Step::Rest, send(CLEAN)]
}

pub(crate) fn plain(content: Content<'_>) -> (String, String) {
    sent(content, Preview::Off)
}

fn body(received: &str) -> &str {
    received.splitn(4, "\r\n\r\n").nth(3).unwrap_or_default()
}

/// Content in these pieces, one a read. An empty piece is an empty read.
struct Pieces(Vec<&'static [u8]>);

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let piece = self.0.remove(0);
        let (now, later) = piece.split_at(piece.len().min(buf.len()));
        buf[..now.len()].copy_from_slice(now);
        if !later.is_empty() {
            self.0.insert(0, later);
        }
        Ok(now.len())
    }
}

fn empty_read_sends_no_last_chunk() {
    for preview in [
        Preview::Off,
        Preview::Limit(0),
        Preview::Limit(3),
        Preview::Limit(4),
        Preview::Limit(1024),
    ] {
        let content = Content::reader(Pieces(vec![b"hel", b"", b"lo"]));
        let (received, outcome) = sent_to(content, preview, continues());
        // Without a preview, and with a longer one, nothing was sent.
        assert_eq!(outcome, "error: content", "{preview:?}: {received}");
        let after_preview = body(&received).split_once("0\r\n\r\n");
        let after_preview = after_preview.unwrap_or_default().1;
        assert!(
            !received.contains("ieof") && !after_preview.contains("0\r\n\r\n"),
            "{received}"
        );
        if preview == Preview::Off {
            assert_eq!(body(&received), "");
        }
    }
}

fn content_that_fails_is_not_completed() {
    let content = io::repeat(b'x').take(1_000_000).chain(Failing);
    let (received, outcome) = plain(Content::reader(content));
    assert_eq!(outcome, "error: content");
    assert!(received.len() > 900_000 && !received.contains("0\r\n\r\n"));
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

fn content_of_another_length_is_not_completed() {
    for len in [9, 11, 0, 70_000] {
        let bytes = vec![b'x'; len];
        for preview in [Preview::Off, Preview::Limit(4), Preview::Limit(1024)] {
            let content = Content::reader(&bytes[..]).len(10);
            let (received, outcome) = sent_to(content, preview, continues());
            assert_eq!(outcome, "error: content", "{len} {preview:?}");
            let after_preview = body(&received).split_once("\r\n0\r\n\r\n");
            let after_preview = after_preview.unwrap_or_default().1;
            assert!(
                !received.contains("ieof") && !after_preview.contains("0\r\n\r\n"),
                "{received}"
            );
        }
    }
}

fn empty_file_is_sent_without_a_preview() {
    for preview in [Preview::Limit(0), Preview::Limit(1024)] {
        for (content, expected) in [
            (Content::bytes(b""), "0\r\n\r\n"),
            (Content::reader(std::io::empty()), "0; ieof\r\n\r\n"),
        ] {
            let (received, outcome) = sent(content, preview);
            assert_eq!((body(&received), outcome.as_str()), (expected, "clean"));
        }
    }
}

fn file_of_preview_size_ends_with_ieof() {
    for content in [Content::bytes(b"hello"), Content::reader(&b"hello"[..])] {
        let (received, outcome) = sent(content, Preview::Limit(5));
        assert_eq!(
            (body(&received), outcome.as_str()),
            ("5\r\nhello\r\n0; ieof\r\n\r\n", "clean")
        );
    }
}

fn one_byte_over_the_preview_waits_for_100() {
    for content in [Content::bytes(b"hello."), Content::reader(&b"hello."[..])] {
        let (received, outcome) = sent(content, Preview::Limit(5));
        assert_eq!(
            (body(&received), outcome.as_str()),
            ("5\r\nhello\r\n0\r\n\r\n", "not scanned: PreviewOnly")
        );
    }
    for content in [Content::bytes(b"hello."), Content::reader(&b"hello."[..])] {
        let (received, outcome) = sent_to(content, Preview::Limit(5), continues());
        let expected = "5\r\nhello\r\n0\r\n\r\n1\r\n.\r\n0\r\n\r\n";
        assert_eq!((body(&received), outcome.as_str()), (expected, "clean"));
    }
}

fn chunk_extension_only_on_the_last_chunk() {
    let content = "x".repeat(200_000);
    for len in [0, 1, 1023, 1024, 1025, 65_536, 65_537, 200_000] {
        for preview in [Preview::Off, Preview::Limit(0), Preview::Limit(1024)] {
            let content = Content::bytes(&content.as_bytes()[..len]);
            let has_rest = matches!(preview, Preview::Limit(size) if size < len);
            let steps = if has_rest { continues() } else { clean(1) };
            let (received, outcome) = sent_to(content, preview, steps);
            assert_eq!(outcome, "clean");
            let lines = body(&received)
                .split("\r\n")
                .filter(|line| line.contains(';'));
            assert!(lines.clone().count() <= 1);
            assert!(
                lines.clone().all(|line| line == "0; ieof"),
                "{len} {preview:?}"
            );
        }
    }
}

fn host_of(uri: &str) -> (String, String) {
    let network = Network::new(vec![clean(1)], Conditions::default());
    let scanner = Scanner::builder(uri)
        .negotiate(false)
        .connector(network.clone());
    let outcome = match scanner.build() {
        Ok(scanner) => describe(&scanner.scan(Content::bytes(b"hello"))),
        Err(error) => return (describe_error(&error), String::new()),
    };
    assert_eq!(outcome, "clean");
    let received = String::from_utf8(network.received(0)).unwrap();
    let host = received
        .lines()
        .find_map(|line| line.strip_prefix("Host: "))
        .unwrap();
    (host.to_owned(), received.lines().next().unwrap().to_owned())
}

fn host_of_every_kind_is_sent_as_given() {
    for (uri, host) in [
        ("icap://[::1]:1344/x", "[::1]"),
        ("icap://[::1]:1345/x", "[::1]:1345"),
        ("icap://[fe80::1%eth0]/x", "[fe80::1]"),
        ("icap://127.1/x", "127.1"),
        ("icap://0x7f000001/x", "0x7f000001"),
    ] {
        let (found, _) = host_of(uri);
        let without_port = |host: &str| host.strip_suffix(":1344").unwrap_or(host).to_owned();
        assert_eq!(without_port(&found), host, "{uri}");
    }
}

fn user_information_is_refused_and_not_repeated() {
    let uri = "icap://jane:hunter2@127.0.0.1:1/x";
    let fallback = Scanner::builder("icap://127.0.0.1:1/x").endpoint(uri);
    for refused in [
        Scanner::new(uri).map(drop),
        fallback.build().map(drop),
        icap_client::Client::new(uri).map(drop),
        uri.parse::<icap_client::ServiceUri>()
            .map(drop)
            .map_err(Into::into),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(describe_error(&error), "error: input");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("credentials"), "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("jane"),
            "{shown}"
        );
    }
    let shown = format!(
        "{:?} {:?}",
        Scanner::builder(uri),
        icap_client::Client::builder(uri)
    );
    assert!(
        !shown.contains("hunter2") && !shown.contains("jane"),
        "{shown}"
    );
}

fn preview_never_exceeds_the_offer() {
    let options = OPTIONS_RESPONSE.replace("Allow", "Preview: 4\r\nAllow");
    for (asked, used) in [(1024, 4), (5, 4), (4, 4), (3, 3)] {
        let steps = vec![Step::Request, send(&options), Step::Request, send(CLEAN)];
        let network = Network::new(vec![steps], Conditions::default());
        let builder = unasked(&network)
            .negotiate(true)
            .preview(Preview::Limit(asked));
        let report = builder.build().unwrap().scan(Content::bytes(b"hello"));
        assert_eq!(describe(&report), "not scanned: PreviewOnly");
        let received = String::from_utf8(network.received(0)).unwrap();
        assert!(
            received.contains(&format!("\r\nPreview: {used}\r\n")),
            "{received}"
        );
        assert!(
            received.ends_with(&format!("\r\n{used}\r\n{}\r\n0\r\n\r\n", &"hello"[..used])),
            "{received}"
        );
    }
}

fn hop_by_hop_fields_are_not_encapsulated() {
    let fields = "Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
                  Trailer: X\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\nProxy-Connection: close\r\n\
                  Proxy-Authorization: Basic eDp5\r\nX-Kept: yes\r\n";
    let get =
        format!("GET http://origin.invalid/a HTTP/1.1\r\nHost: origin.invalid\r\n{fields}\r\n");
    let ok = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let content = Content::bytes(b"hello")
        .http_request(get.as_bytes())
        .http_response(ok.as_bytes());
    let (received, outcome) = plain(content);
    assert_eq!(outcome, "clean");
    let encapsulated = received.split_once("\r\n\r\n").unwrap().1;
    for name in [
        "Connection",
        "X-Mine",
        "Keep-Alive",
        "TE:",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-",
    ] {
        assert!(!encapsulated.contains(name), "{name}: {received}");
    }
    assert_eq!(encapsulated.matches("X-Kept: yes").count(), 2, "{received}");
}
