//! Behaviour of only one of the servers.

use icap_client::error::Violation;
use icap_client::{Body, Client, Content, Error, Method, Request, Scanner, Verdict};

use crate::peer::Running;

fn respmod() -> Request {
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    Request::respmod().http_response(head).unwrap()
}

/// pyicap invents an ISTag for each response without one. The options of the service may have changed each time.
pub(crate) fn changing_tags_cost_options_and_no_verdict(server: &Running) {
    let scanner = Scanner::new(server.uri("drifting")).unwrap();
    for turn in 0..20 {
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        assert_eq!(*report.verdict(), Verdict::Clean, "{turn}");
    }
    let stats = scanner.stats();
    assert!(stats.options_sent <= 20, "{stats:?}");
    assert_eq!(stats.connections_opened, 1, "{stats:?}");
}

/// RFC 3507 §4.6; icap-rs does it by itself.
pub(crate) fn content_is_returned_where_204_is_not_allowed(server: &Running) {
    let client = Client::new(server.uri("scan")).unwrap();
    for (allow, status) in [(true, 204), (false, 200)] {
        let request = respmod().allow_204(allow);
        let mut back = Vec::new();
        let response = client.send(&request, &b"hello"[..], &mut back);
        assert_eq!(response.unwrap().status(), status);
        assert_eq!(back, if allow { &b""[..] } else { b"hello" });
    }
}

/// The response of icap-rs if 206 is allowed and 204 is not: no byte of the body, and the offset at which the
/// original goes on (draft-icap-ext-partial-content).
pub(crate) fn response_206_is_completed_from_the_original(server: &Running) {
    let client = Client::new(server.uri("scan")).unwrap();
    let content = vec![b'x'; 100_000];
    let request = respmod().allow_204(false).allow_206(true);
    for _ in 0..3 {
        let mut back = Vec::new();
        let response = client.send(&request, &content[..], &mut back).unwrap();
        assert_eq!(response.status(), 206);
        assert_eq!(response.use_original_body(), Some(0));
        assert!(back == content, "{}", back.len());
    }
}

/// icap-rs reads trailers, and does not offer them in `Allow`.
pub(crate) fn trailers_arrive_with_and_without_a_preview(server: &Running) {
    let client = Client::new(server.uri("scan")).unwrap();
    for preview in [None, Some(0), Some(2)] {
        let request = respmod().preview(preview);
        let body = Body::from(&b"hello"[..]).trailer("X-Sum", "42").unwrap();
        let response = client.send(&request, body, &mut Vec::new()).unwrap();
        assert_eq!(response.status(), 204);
        let sum = response.headers().get("X-Sum").map(|field| field.text());
        assert_eq!(sum.as_deref(), Some("42"), "{preview:?}");
    }
}

/// A response without a body ends in `null-body` (RFC 3507 §4.4.1). icap-rs writes `res-hdr=0` only, so
/// nobody knows where the head ends.
pub(crate) fn empty_echo_without_null_body_is_not_clean(server: &Running) {
    let scanner = Scanner::new(server.uri("echo")).unwrap();
    let error = scanner.scan(Content::bytes(b"")).unwrap_err();
    let Error::Protocol(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.violation(), Violation::BadEncapsulated);
    assert_eq!(error.seen(), "Encapsulated: res-hdr=0");
}

/// pyicap returns a request's body without the head, and without `Encapsulated` to say so.
pub(crate) fn returned_upload_without_its_head_is_not_clean(server: &Running) {
    let scanner = Scanner::builder(server.uri("echo")).method(Method::Reqmod);
    let scanner = scanner.build().unwrap();
    for _ in 0..3 {
        let error = scanner.scan(Content::bytes(b"hello")).unwrap_err();
        let Error::Protocol(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.violation(), Violation::MissingEncapsulated);
    }
    // Bytes after it are no response to the next request.
    assert_eq!(scanner.stats().connections_opened, 3);
}

pub(crate) fn returned_upload_is_clean(server: &Running) {
    let scanner = Scanner::builder(server.uri("echo")).method(Method::Reqmod);
    let scanner = scanner.build().unwrap();
    for len in [1, 100, 70_000] {
        let report = scanner.scan(Content::bytes(&vec![b'x'; len])).unwrap();
        assert_eq!(*report.verdict(), Verdict::Clean, "{len}");
    }
}
