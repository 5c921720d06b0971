//! A preview stops the upload until the service has decided (RFC 3507 §4.5).

use std::io;
use std::time::Duration;

use icap_client::error::{TimeLimit, Violation};
use icap_client::testing::{
    self, CLEAN, CONTINUE, Received, Script, Server, echo, eicar, infected, options_with_preview,
};
use icap_client::{Content, Error, NotScanned, Preview, Report, Scanner, ScannerBuilder, Verdict};

/// A scanner that sends previews of 4 bytes, unasked.
fn previewing(server: &Server) -> ScannerBuilder {
    Scanner::builder(server.uri())
        .negotiate(false)
        .preview(Preview::Limit(4))
}

/// A server that offers a preview, also to clients that send no OPTIONS.
fn answering(response: impl Fn(&Received) -> Script + Send + Sync + 'static) -> Server {
    let server = Server::answering(response).unwrap();
    server.offering(options_with_preview(4096)).unwrap()
}

fn scan_with(script: Script, content: &[u8]) -> (Result<Report, Error>, Server) {
    let server = Server::scripted([script]).unwrap();
    let scanner = previewing(&server).build().unwrap();
    (scanner.scan(Content::bytes(content)), server)
}

fn verdict(result: Result<Report, Error>) -> Verdict {
    result.unwrap().verdict().clone()
}

fn violation(result: Result<Report, Error>) -> Violation {
    match result {
        Err(Error::Protocol(error)) => error.violation(),
        other => panic!("no protocol error but {other:?}"),
    }
}

/// The bytes after the heads: the body as it was sent.
fn body(received: &[u8]) -> String {
    let text = String::from_utf8_lossy(received);
    let at = text.rfind("Content-Length").expect(&text);
    text[at..].split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn rest_of_the_content_is_sent_only_after_100() {
    for (content, expected) in [
        ("abc", "3\r\nabc\r\n0; ieof\r\n\r\n"),
        ("abcd", "4\r\nabcd\r\n0; ieof\r\n\r\n"),
        ("abcde", "4\r\nabcd\r\n0\r\n\r\n1\r\ne\r\n0\r\n\r\n"),
    ] {
        let server = answering(|request| match request.is_whole() {
            true => Script::new().send(CLEAN),
            false => Script::new().send(CONTINUE).read_rest().send(CLEAN),
        });
        let scanner = previewing(&server).build().unwrap();
        let report = scanner.scan(Content::bytes(content.as_bytes())).unwrap();
        assert!(report.verdict().is_clean(), "{content}: {report:?}");
        assert_eq!(report.bytes_sent(), content.len() as u64);
        assert_eq!(scanner.stats().connections_idle, 1, "it is in step");
        drop(scanner);
        let received = server.finish().remove(0);
        assert_eq!(body(received.received()), expected);
        let head = String::from_utf8_lossy(received.received()).into_owned();
        assert!(head.contains("\r\nPreview: 4\r\n"), "{head}");
    }
}

#[test]
fn empty_content_has_a_preview_only_without_a_length() {
    for (content, has_preview, expected) in [
        (Content::bytes(b""), false, "0\r\n\r\n"),
        (Content::seekable(io::empty()), false, "0\r\n\r\n"),
        (Content::reader(io::empty()).len(0), false, "0\r\n\r\n"),
        (Content::reader(io::empty()), true, "0; ieof\r\n\r\n"),
    ] {
        let server = answering(|_| Script::new().send(CLEAN));
        let scanner = previewing(&server).build().unwrap();
        assert!(verdict(scanner.scan(content)).is_clean());
        drop(scanner);
        let received = server.finish().remove(0);
        let text = String::from_utf8_lossy(received.received()).into_owned();
        assert_eq!(text.contains("\r\nPreview: 4\r\n"), has_preview);
        assert!(received.received().ends_with(expected.as_bytes()));
    }
}

#[test]
fn preview_of_0_bytes_asks_before_sending_content() {
    let script = Script::new().read_request().send(CONTINUE);
    let server = Server::scripted([script.read_rest().send(CLEAN).hold()]).unwrap();
    let scanner = previewing(&server).preview(Preview::Limit(0));
    let scanner = scanner.build().unwrap();
    assert!(
        scanner
            .scan(Content::bytes(b"abc"))
            .unwrap()
            .verdict()
            .is_clean()
    );
    drop(scanner);
    let received = server.finish().remove(0);
    assert_eq!(body(received.received()), "0\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
}

#[test]
fn preview_204_is_clean_only_if_complete() {
    let server = answering(|_| Script::new().send(CLEAN));
    let scanner = previewing(&server).build().unwrap();
    for _ in 0..2 {
        let report = scanner.scan(Content::bytes(b"abcde")).unwrap();
        let why = Verdict::NotScanned(NotScanned::PreviewOnly);
        assert_eq!(report.verdict(), &why);
        assert_eq!((report.bytes_sent(), report.status()), (4, Some(204)));
    }
    assert_eq!(
        server.connections(),
        1,
        "what was sent is a complete request"
    );
    assert!(
        scanner
            .scan(Content::bytes(b"abcd"))
            .unwrap()
            .verdict()
            .is_clean()
    );
    let trusting = previewing(&server).trust_preview(true).build().unwrap();
    assert!(
        trusting
            .scan(Content::bytes(b"abcde"))
            .unwrap()
            .verdict()
            .is_clean()
    );
}

#[test]
fn trust_in_a_preview_needs_content_in_it() {
    let server = answering(|_| Script::new().send(CLEAN));
    let builder = previewing(&server).preview(Preview::Limit(0));
    let scanner = builder.trust_preview(true).build().unwrap();
    let only = Verdict::NotScanned(NotScanned::PreviewOnly);
    assert_eq!(verdict(scanner.scan(Content::bytes(b"abcde"))), only);
}

#[test]
fn preview_is_never_longer_than_the_content() {
    use icap_client::{Body, Client, Request};
    let server = Server::with_preview(usize::MAX - 1).unwrap();
    let client = Client::new(server.uri()).unwrap();
    let respmod = || {
        Request::respmod()
            .http_response(b"HTTP/1.1 200 OK\r\n\r\n")
            .unwrap()
    };
    for size in [0, 1, usize::MAX - 1] {
        let request = respmod().preview(size);
        let body = Body::from(&b"hello"[..]);
        let response = client.send(&request, body, &mut io::sink()).unwrap();
        assert_eq!(response.status(), 204, "{size}");
        assert!(!response.responds_to_preview_only(), "{size}");
    }
    let server = answering(|_| Script::new().send(CLEAN));
    let client = Client::new(server.uri()).unwrap();
    let body = Body::from(&b"hello"[..]);
    let response = client.send(&respmod().preview(2), body, &mut io::sink());
    assert!(response.unwrap().responds_to_preview_only());
}

#[test]
fn preview_204_needs_no_allow_but_a_later_204_does() {
    use icap_client::{Body, Client, Request};
    let continued = Script::new().read_request().send(CONTINUE).read_rest();
    let server = Server::scripted([
        Script::new().read_request().send(CLEAN),
        continued.send(CLEAN),
    ])
    .unwrap();
    let client = Client::new(server.uri()).unwrap();
    let request = Request::respmod().allow_204(false).preview(4);
    let send = || client.send(&request, Body::from(&b"abcde"[..]), &mut io::sink());
    assert_eq!(send().unwrap().status(), 204);
    assert_eq!(violation_of(send().unwrap_err()), Violation::Unexpected204);
}

fn violation_of(error: Error) -> Violation {
    violation(Err(error))
}

#[test]
fn final_response_to_a_preview_ends_the_upload() {
    let blocked = echo("HTTP/1.1 403 Forbidden\r\n\r\n", b"no");
    let server = answering(move |request| match request.has_eicar() {
        true => Script::new().send(infected("Eicar")),
        false => Script::new().send(&blocked),
    });
    let scanner = previewing(&server).preview(Preview::Limit(68)).build();
    let scanner = scanner.unwrap();
    let content = [eicar(), vec![b'x'; 200_000]].concat();
    let report = scanner.scan(Content::bytes(&content)).unwrap();
    assert!(
        report.verdict().is_infected() && report.bytes_sent() == 68,
        "{report:?}"
    );
    let report = scanner.scan(Content::bytes(&content[68..])).unwrap();
    assert!(
        matches!(report.verdict(), Verdict::Blocked(_)),
        "{report:?}"
    );
    assert_eq!(server.connections(), 1);
}

#[test]
fn error_status_to_a_preview_is_reported() {
    let not_found = "ICAP/1.0 404 Service not found\r\n\r\n";
    let (result, _server) = scan_with(Script::new().read_request().send(not_found), b"abcde");
    assert_eq!(result.unwrap_err().status(), Some(404));
}

#[test]
fn infection_field_in_a_100_head_counts() {
    let with = |fields: &str| {
        let head = format!("ICAP/1.0 100 Continue\r\n{fields}\r\n");
        Script::new()
            .read_request()
            .send(head)
            .read_rest()
            .send(CLEAN)
    };
    let fields = "ISTag: \"T\"\r\nEncapsulated: null-body=0\r\n";
    assert!(verdict(scan_with(with(fields), b"abcde").0).is_clean());
    let infected = verdict(scan_with(with("X-Virus-ID: Early\r\n"), b"abcde").0);
    assert!(infected.is_infected(), "{infected}");
    let body = "Encapsulated: res-body=0\r\n\r\n5\r\nhello\r\n0\r\n";
    let result = scan_with(with(body), b"abcde").0;
    assert_eq!(violation(result), Violation::BodyOn100);
}

#[test]
fn second_100_is_an_error() {
    let script = Script::new().read_request().send(CONTINUE).read_rest();
    let (result, _server) = scan_with(script.send(CONTINUE).send(CLEAN), b"abcde");
    assert_eq!(violation(result), Violation::Unexpected100);
}

#[test]
fn only_100_releases_the_rest() {
    let script = Script::new()
        .read_request()
        .send("ICAP/1.0 102 Processing\r\n\r\n");
    let server = Server::scripted([script.send(CLEAN).hold()]).unwrap();
    let scanner = previewing(&server).build().unwrap();
    let report = scanner.scan(Content::bytes(b"abcde")).unwrap();
    assert_eq!(report.bytes_sent(), 4);
    assert_eq!(scanner.stats().connections_idle, 0, "it was odd");
    drop(scanner);
    assert_eq!(
        body(server.finish()[0].received()),
        "4\r\nabcd\r\n0\r\n\r\n"
    );
}

#[test]
fn continue_after_ieof_is_ignored_without_reuse() {
    for content in [&b"a"[..], b"abcd"] {
        let script = Script::new().read_request().send(CONTINUE).send(CLEAN);
        let server = Server::scripted([script.hold()]).unwrap();
        let scanner = previewing(&server).build().unwrap();
        assert!(
            scanner
                .scan(Content::bytes(content))
                .unwrap()
                .verdict()
                .is_clean()
        );
        assert_eq!(scanner.stats().connections_idle, 0);
        drop(scanner);
        assert!(body(server.finish()[0].received()).ends_with("0; ieof\r\n\r\n"));
    }
}

#[test]
fn early_100_is_held_until_the_preview_is_sent() {
    // The reader returns its last byte only after the server has sent its 100.
    let server = Server::scripted([Script::new()
        .read_bytes(1)
        .send(CONTINUE)
        .read_request()
        .read_rest()
        .send(CLEAN)
        .hold()])
    .unwrap();
    let scanner = previewing(&server).preview(Preview::Limit(300_000));
    let scanner = scanner.build().unwrap();
    let content = vec![b'x'; 400_000];
    let report = scanner.scan(Content::bytes(&content)).unwrap();
    assert!(report.verdict().is_clean(), "{report:?}");
    assert_eq!(report.bytes_sent(), 400_000);
}

#[test]
fn preview_204_before_the_rest_is_sent_is_early() {
    let together = [CONTINUE, CLEAN].concat();
    let script = Script::new().read_request().send(together).read_rest();
    let (result, server) = scan_with(script.hold(), b"abcde");
    let early = Verdict::NotScanned(NotScanned::EarlyResponse);
    assert_eq!(verdict(result), early);
    assert!(server.finish()[0].closed_by_client());
}

#[test]
fn infection_in_the_rest_stops_the_upload() {
    let content = vec![b'x'; 50_000_000];
    let script = Script::new()
        .read_request()
        .send(CONTINUE)
        .read_bytes(100_000);
    let (result, _server) = scan_with(script.send(infected("Late")).hold(), &content);
    let report = result.unwrap();
    assert!(report.verdict().is_infected());
    assert!(report.bytes_sent() < 50_000_000);
}

#[test]
fn continue_after_the_response_is_not_for_the_next_scan() {
    let together = [CLEAN, CONTINUE].concat();
    let server = Server::scripted([
        Script::new().read_request().send(together).hold(),
        Script::new().read_request().send(infected("Second")).hold(),
    ])
    .unwrap();
    let scanner = previewing(&server).build().unwrap();
    let first = scanner.scan(Content::bytes(b"abcde"));
    assert_eq!(violation(first), Violation::TrailingBytes);
    assert!(verdict(scanner.scan(Content::bytes(b"abcde"))).is_infected());
    assert_eq!(server.connections(), 2);
}

#[test]
fn undecided_preview_ends_at_the_read_timeout() {
    let server = Server::scripted([Script::new().read_request().hold()]).unwrap();
    let timeout = Duration::from_millis(50);
    let scanner = previewing(&server).read_timeout(timeout).build().unwrap();
    match scanner.scan(Content::bytes(b"abcde")) {
        Err(Error::Timeout(error)) => assert_eq!(error.limit(), TimeLimit::ReadTimeout),
        other => panic!("{other:?}"),
    }
    drop(scanner);
    assert_eq!(
        body(server.finish()[0].received()),
        "4\r\nabcd\r\n0\r\n\r\n"
    );
}

#[test]
fn close_after_a_100_is_no_verdict() {
    let script = Script::new().read_request().send(CONTINUE);
    for script in [script.clone().close(), script.read_rest().close()] {
        let (result, _server) = scan_with(script, b"abcde");
        assert!(result.is_err(), "{result:?}");
    }
}

#[test]
fn negotiated_preview_size_is_sent() {
    let lists = "Transfer-Preview: *\r\nTransfer-Complete: exe\r\nTransfer-Ignore: jpg\r\n";
    let options = testing::OPTIONS_RESPONSE;
    let options = options.replace(
        "Allow: 204\r\n",
        &format!("Preview: 6\r\n{lists}Allow: 204\r\n"),
    );
    let server = Server::answering(move |request| match (request.method(), request.preview()) {
        ("OPTIONS", _) => Script::new().send(&options),
        (_, Some(_)) if !request.is_whole() => Script::new().send(CONTINUE).read_rest().send(CLEAN),
        _ => Script::new().send(CLEAN),
    })
    .unwrap();
    let cases = [
        (Preview::Off, "a.txt", None),
        (Preview::Negotiated, "a.txt", Some(6)),
        (Preview::Negotiated, "a.EXE", None),
        // A `Transfer-Ignore` is no verdict: such a file is sent like every other.
        (Preview::Negotiated, "a.jpg", None),
        (Preview::Limit(4096), "a.txt", Some(6)),
        (Preview::Limit(2), "a.txt", Some(2)),
    ];
    for (preview, name, _) in cases {
        let scanner = Scanner::builder(server.uri()).max_idle(0).preview(preview);
        let content = Content::bytes(b"0123456789").name(name);
        let report = scanner.build().unwrap().scan(content).unwrap();
        assert!(report.verdict().is_clean(), "{preview:?} {name}");
        assert_eq!(report.bytes_sent(), 10, "{preview:?} {name}");
    }
    let conversations = server.finish();
    let previews = conversations.iter().filter_map(|conversation| {
        let text = String::from_utf8_lossy(conversation.received());
        text.starts_with("RESPMOD").then(|| {
            let (_, behind) = text.split_once("\r\nPreview: ")?;
            behind.split_once("\r\n")?.0.parse::<usize>().ok()
        })
    });
    assert_eq!(
        previews.collect::<Vec<_>>(),
        cases.map(|(_, _, sent)| sent),
        "{cases:?}"
    );
}

#[test]
fn negotiated_preview_is_used_by_the_scanner() {
    let server = Server::with_preview(1024).unwrap();
    let expects_rest = vec![b'x'; 5000];
    let late = [vec![b'x'; 2000], eicar()].concat();
    let scanner = Scanner::builder(server.uri()).preview(Preview::Negotiated);
    let scanner = scanner.build().unwrap();
    assert_eq!(
        options_with_preview(1024).contains("Preview: 1024"),
        scanner.options().unwrap().preview() == Some(1024)
    );
    for (content, is_clean) in [
        (&b""[..], true),
        (&expects_rest, true),
        (&late, false),
        (&eicar(), false),
        (&expects_rest[..1024], true),
        (&expects_rest[..1025], true),
    ] {
        let verdict = verdict(scanner.scan(Content::bytes(content)));
        assert_eq!(verdict.is_clean(), is_clean, "{verdict}");
        assert_eq!(verdict.is_infected(), !is_clean, "{verdict}");
    }
    assert_eq!(scanner.stats().connections_opened, 1);
}
