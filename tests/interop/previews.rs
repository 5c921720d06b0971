//! Previews (RFC 3507 §4.5), and both methods.

use std::io::Write;

use icap_client::testing::eicar;
use icap_client::{
    Body, Client, Content, Method, NotScanned, Preview, Request, Response, Scanner, ScannerBuilder,
    Verdict,
};

use crate::peer::Running;
use crate::scans::{THREAT, noise};

const METHODS: [Method; 2] = [Method::Respmod, Method::Reqmod];

fn request(method: Method) -> Request {
    let request = Request::reqmod();
    let post = b"POST http://files.example/a HTTP/1.1\r\nHost: files.example\r\n\r\n";
    match method {
        Method::Reqmod => request.http_request(post).unwrap(),
        _ => Request::respmod()
            .http_response(b"HTTP/1.1 200 OK\r\n\r\n")
            .unwrap(),
    }
}

fn builder(server: &Running, service: &str, method: Method) -> ScannerBuilder {
    Scanner::builder(server.uri(service)).method(method)
}

/// The request as the service saw it.
fn seen(response: &Response) -> String {
    let field = response.headers().get("X-Seen");
    field.map(|field| field.text()).unwrap_or_default()
}

/// Around the length of the content, and as far as the service's offer.
fn sizes(len: usize) -> [usize; 7] {
    [0, 1, len.saturating_sub(1), len, len + 1, 1024, 4096]
}

pub(crate) fn preview_of_any_size_is_continued_or_complete(server: &Running) {
    let client = Client::new(server.uri("scan")).unwrap();
    for len in [0, 1, 2, 100, 1024, 5000, 70_000] {
        let content = noise(len);
        for (method, size) in METHODS.iter().flat_map(|m| sizes(len).map(|s| (*m, s))) {
            let request = request(method).preview(size);
            let response = client.send(&request, Body::from(&content[..]), &mut Vec::new());
            let response = response.unwrap();
            let how = if size < len { "continued" } else { "preview" };
            let context = format!("{} of {len} with a preview of {size}", method.as_str());
            assert_eq!(seen(&response), format!("{how} {len}"), "{context}");
            assert_eq!(response.status(), 204, "{context}");
        }
    }
    let request = request(Method::Respmod);
    let whole = client.send(&request, Body::from(&b"hello"[..]), &mut Vec::new());
    assert_eq!(seen(&whole.unwrap()), "whole 5");
}

/// A reader has no length in advance.
pub(crate) fn preview_of_a_stream_is_continued_or_complete(server: &Running) {
    let client = Client::new(server.uri("scan")).unwrap();
    for len in [0, 1, 100, 5000] {
        let content = noise(len);
        for size in sizes(len) {
            let request = request(Method::Respmod).preview(size);
            let body = Body::reader(&content[..]);
            let response = client.send(&request, body, &mut Vec::new()).unwrap();
            let seen = seen(&response);
            let (how, seen_len) = seen.split_once(' ').unwrap();
            assert_eq!(seen_len, len.to_string(), "{size} of {len}");
            let expected = if size < len { "continued" } else { "preview" };
            // If the preview ends exactly with the content, requesting the rest is as good.
            assert!(how == expected || size == len, "{size} of {len}: {seen}");
        }
    }
}

pub(crate) fn virus_is_found_with_a_preview_of_any_size(server: &Running) {
    let client = Client::new(server.uri("scan")).unwrap();
    for before in [0, 1, 1000, 70_000] {
        let content = [noise(before), eicar()].concat();
        let len = content.len();
        for (method, size) in METHODS.iter().flat_map(|m| sizes(len).map(|s| (*m, s))) {
            let request = request(method).preview(size);
            let mut page = Vec::new();
            let response = client.send(&request, Body::from(&content[..]), &mut page);
            let response = response.unwrap();
            let how = if size < len { "continued" } else { "preview" };
            let context = format!("{} of {len} with a preview of {size}", method.as_str());
            assert_eq!(seen(&response), format!("{how} {len}"), "{context}");
            assert_eq!(response.http_status(), Some(403), "{context}");
            assert!(page.starts_with(b"<html>"), "{context}");
        }
    }
}

/// An infection in the preview gets its response before the rest is sent, and the connection is kept.
pub(crate) fn infected_preview_gets_an_immediate_response(server: &Running) {
    for method in METHODS {
        let preview = builder(server, "scan", method).preview(Preview::Limit(100));
        let scanner = preview.build().unwrap();
        let content = [eicar(), noise(1_000_000)].concat();
        for turn in 0..20 {
            let report = scanner.scan(Content::bytes(&content)).unwrap();
            let Verdict::Infected(threats) = report.verdict() else {
                panic!("{turn}: {}", report.verdict())
            };
            assert_eq!(threats.names().collect::<Vec<_>>(), [THREAT]);
            assert_eq!(report.bytes_sent(), 100, "{turn}");
            let report = scanner.scan(Content::bytes(&content[1..])).unwrap();
            assert_eq!(*report.verdict(), Verdict::Clean, "{turn}");
        }
        let stats = scanner.stats();
        assert_eq!(stats.connections_opened, 1, "{stats:?}");
    }
}

pub(crate) fn scanner_with_previews_scans_everything(server: &Running) {
    for (method, preview) in [
        (Method::Respmod, Preview::Negotiated),
        (Method::Reqmod, Preview::Negotiated),
        (Method::Respmod, Preview::Limit(0)),
        (Method::Reqmod, Preview::Limit(1)),
        (Method::Respmod, Preview::Limit(1_000_000)),
    ] {
        let scanner = builder(server, "scan", method).preview(preview);
        let scanner = scanner.build().unwrap();
        for len in [0, 1, 4096, 4097, 1_000_000] {
            let mut content = noise(len);
            let report = scanner.scan(Content::bytes(&content)).unwrap();
            assert_eq!(*report.verdict(), Verdict::Clean, "{preview:?} of {len}");
            content.extend_from_slice(&eicar());
            let report = scanner.scan(Content::bytes(&content)).unwrap();
            assert!(report.verdict().is_infected(), "{preview:?} of {len}");
        }
        let stats = scanner.stats();
        assert_eq!(stats.connections_opened, 1, "{stats:?}");
    }
}

pub(crate) fn preview_204_is_clean_only_with_trust_preview(server: &Running) {
    for method in METHODS {
        for (trust, preview_only) in [
            (false, Verdict::NotScanned(NotScanned::PreviewOnly)),
            (true, Verdict::Clean),
        ] {
            let scanner = builder(server, "hasty", method)
                .preview(Preview::Limit(4))
                .trust_preview(trust);
            let scanner = scanner.build().unwrap();
            for (len, verdict) in [
                (3, &Verdict::Clean),
                (4, &Verdict::Clean),
                (5, &preview_only),
                (1_000_000, &preview_only),
                (0, &Verdict::Clean),
            ] {
                let report = scanner.scan(Content::bytes(&noise(len))).unwrap();
                assert_eq!(report.verdict(), verdict, "{len}, trusted {trust}");
            }
            let stats = scanner.stats();
            assert_eq!(stats.connections_opened, 1, "{stats:?}");
        }
    }
}

pub(crate) fn uploads_are_scanned(server: &Running) {
    let scanner = builder(server, "scan", Method::Reqmod).build().unwrap();
    for len in [0, 1, 1024, 70_000] {
        let mut content = noise(len);
        let report = scanner.scan(Content::bytes(&content).name("noise.bin"));
        let report = report.unwrap();
        assert_eq!(*report.verdict(), Verdict::Clean, "{len}");
        content.extend_from_slice(&eicar());
        let report = scanner.scan(Content::bytes(&content)).unwrap();
        assert!(report.verdict().is_infected(), "{len}");
    }
    assert_eq!(scanner.stats().connections_opened, 1);
}

/// The body that a service returns is written, both content and pages.
pub(crate) fn returned_body_is_written(server: &Running) {
    let content = noise(100_000);
    for (service, content, back) in [
        ("echo", &content[..], &content[..]),
        (
            "scan",
            &eicar(),
            b"<html><body>This file was blocked.</body></html>",
        ),
    ] {
        let scanner = builder(server, service, Method::Respmod).build().unwrap();
        let mut written = Vec::new();
        let report = scanner
            .scan_replace(Content::bytes(content), &mut written)
            .unwrap();
        written.flush().unwrap();
        assert!(written == back, "{service}: {}", report.verdict());
    }
}
