//! What only one of the servers does.

use icap_client::{Body, Client, Content, Error, Request, Scanner, Verdict, Violation};

use crate::peer::Running;

/// pyicap makes up an ISTag for each answer that is given none. What was known of the service may then
/// have changed each time.
pub(crate) fn drifting_istag(server: &Running) {
    let scanner = Scanner::new(&server.uri("drifting")).unwrap();
    for turn in 0..20 {
        let report = scanner.scan(Content::bytes(b"hello")).unwrap();
        assert_eq!(*report.verdict(), Verdict::Clean, "{turn}");
    }
    let stats = scanner.stats();
    assert!(stats.options_sent <= 20, "{stats:?}");
    assert_eq!(stats.connections_opened, 1, "{stats:?}");
}

/// RFC 3507 §4.6; icap-rs does it by itself.
pub(crate) fn allow_204(server: &Running) {
    let client = Client::new(&server.uri("scan")).unwrap();
    let http = b"HTTP/1.1 200 OK\r\n\r\n";
    for (allow, status) in [(true, 204), (false, 200)] {
        let request = Request::respmod().http_response(http).unwrap();
        let request = request.allow_204(allow);
        let mut back = Vec::new();
        let response = client.send(&request, Body::from(&b"hello"[..]), &mut back);
        assert_eq!(response.unwrap().status(), status);
        assert_eq!(back, if allow { &b""[..] } else { b"hello" });
    }
}

/// An answer without a body ends in `null-body` (RFC 3507 §4.4.1). icap-rs writes `res-hdr=0` only, so
/// nobody knows where the head ends.
pub(crate) fn empty_echo(server: &Running) {
    let scanner = Scanner::new(&server.uri("echo")).unwrap();
    let error = scanner.scan(Content::bytes(b"")).unwrap_err();
    let Error::Protocol(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.violation(), Violation::BadEncapsulated);
    assert_eq!(error.seen(), "Encapsulated: res-hdr=0");
}
