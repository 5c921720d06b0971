//! Limits that show only on the wire: one below, at the limit, one above. The limits of the parsers are tested
//! beside them.

use icap_client::error::{InvalidInput, Limit, Violation};
use icap_client::limits::{
    MAX_CHUNK_SIZE_DIGITS, MAX_FIELDS, MAX_HEAD, MAX_HTTP_HEAD, MAX_INTERIM_RESPONSES, MAX_NAME,
    MAX_OPTIONS_BODY, RESPONSE_BODY_ALLOWANCE,
};
use icap_client::testing::{CLEAN, OPTIONS_RESPONSE, Script, Server};
use icap_client::{Client, Content, Error, Method, Report, Scanner, Verdict};

fn scan(response: impl AsRef<[u8]>, max_size: u64) -> Result<Report, Error> {
    let script = Script::new().read_request().send(response);
    let server = Server::scripted([script]).unwrap();
    let scanner = Scanner::builder(server.uri())
        .negotiate(false)
        .max_size(max_size)
        .build()
        .unwrap();
    scanner.scan(Content::bytes(b"hello"))
}

/// `Ok`, or the limit that was exceeded.
fn over<T>(result: Result<T, Error>) -> Result<T, Violation> {
    result.map_err(|error| match error {
        Error::Protocol(error) => error.violation(),
        other => panic!("{other:?}"),
    })
}

#[test]
fn options_body_is_dropped_up_to_its_limit() {
    for (len, is_taken) in [
        (MAX_OPTIONS_BODY - 1, true),
        (MAX_OPTIONS_BODY, true),
        (MAX_OPTIONS_BODY + 1, false),
    ] {
        let head = OPTIONS_RESPONSE.replace("null-body", "opt-body");
        let body = "x".repeat(usize::try_from(len).unwrap());
        let options = format!("{head}{len:x}\r\n{body}\r\n0\r\n\r\n");
        let server = Server::answering(move |request| match request.method() {
            "OPTIONS" => Script::new().send(&options),
            _ => Script::new().send(CLEAN),
        })
        .unwrap();
        let client = Client::new(server.uri()).unwrap();
        match over(client.options()) {
            Ok(_) => assert!(is_taken, "{len}"),
            Err(why) => {
                assert!(!is_taken, "{len}");
                assert_eq!(why, Violation::LimitExceeded(Limit::ResponseBody));
            }
        }
        if is_taken {
            let scanner = Scanner::new(server.uri()).unwrap();
            let report = scanner.scan(Content::bytes(b"hello")).unwrap();
            assert!(report.verdict().is_clean(), "it is in step");
        }
    }
}

#[test]
fn returned_body_may_exceed_max_size_by_its_allowance() {
    const MAX_SIZE: u64 = 1000;
    for (len, is_taken) in [
        (MAX_SIZE + RESPONSE_BODY_ALLOWANCE - 1, true),
        (MAX_SIZE + RESPONSE_BODY_ALLOWANCE, true),
        (MAX_SIZE + RESPONSE_BODY_ALLOWANCE + 1, false),
    ] {
        let body = "x".repeat(usize::try_from(len).unwrap());
        let head = "HTTP/1.1 200 OK\r\n\r\n";
        let response = format!(
            "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body={}\r\n\r\n{head}{len:x}\r\n{body}\r\n0\r\n\r\n",
            head.len()
        );
        match over(scan(response, MAX_SIZE)) {
            Ok(report) => {
                assert!(
                    is_taken && matches!(report.verdict(), Verdict::Modified(_)),
                    "{len}"
                );
            }
            Err(why) => {
                assert!(!is_taken, "{len}");
                assert_eq!(why, Violation::LimitExceeded(Limit::ResponseBody));
            }
        }
    }
}

#[test]
fn heads_fields_and_interim_responses_are_bounded() {
    let head = |len: usize| {
        let frame = "ICAP/1.0 204 OK\r\nX: \r\n\r\n".len();
        format!("ICAP/1.0 204 OK\r\nX: {}\r\n\r\n", "x".repeat(len - frame))
    };
    let fields = |count: usize| format!("ICAP/1.0 204 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
    let interim = |count: usize| {
        let interim = "ICAP/1.0 102 Processing\r\n\r\n".repeat(count);
        format!("{interim}ICAP/1.0 204 OK\r\n\r\n")
    };
    for (make, max, limit) in [
        (&head as &dyn Fn(usize) -> String, MAX_HEAD, Limit::Head),
        (&fields, MAX_FIELDS, Limit::Fields),
        (&interim, MAX_INTERIM_RESPONSES, Limit::InterimResponses),
    ] {
        for number in [max - 1, max] {
            let report = scan(make(number), 1000).unwrap();
            assert!(report.verdict().is_clean(), "{limit:?} {number}");
        }
        let why = over(scan(make(max + 1), 1000)).unwrap_err();
        assert_eq!(why, Violation::LimitExceeded(limit));
    }
}

#[test]
fn http_heads_and_chunk_sizes_are_bounded() {
    for (len, is_taken) in [
        (MAX_HTTP_HEAD - 1, true),
        (MAX_HTTP_HEAD, true),
        (MAX_HTTP_HEAD + 1, false),
    ] {
        let frame = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(len - frame));
        let list = format!("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body={len}\r\n\r\n");
        let result = over(scan(list + &head, 1000));
        let expected = (!is_taken).then_some(Violation::LimitExceeded(Limit::HttpHead));
        assert_eq!(result.err(), expected, "{len}");
    }
    for (digits, is_taken) in [
        (MAX_CHUNK_SIZE_DIGITS - 1, true),
        (MAX_CHUNK_SIZE_DIGITS, true),
        (MAX_CHUNK_SIZE_DIGITS + 1, false),
    ] {
        let size = format!("{:0>digits$}", "5");
        let response = format!(
            "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\n{size}\r\nhello\r\n0\r\n\r\n"
        );
        let expected = (!is_taken).then_some(Violation::ChunkSize);
        assert_eq!(over(scan(response, 1000)).err(), expected, "{digits}");
    }
}

/// Scans with a server that responds with 204 to each valid request. Returns the HTTP heads that it received.
fn scan_with(content: Content<'_>, method: Method) -> Result<Vec<u8>, InvalidInput> {
    let (sender, heads) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let server = Server::answering(move |request| {
        let heads = request.http_heads().to_vec();
        sender.lock().unwrap().send(heads).unwrap();
        Script::new().send(CLEAN)
    })
    .unwrap();
    let builder = Scanner::builder(server.uri()).negotiate(false);
    let scanner = builder.method(method).build().unwrap();
    match scanner.scan(content) {
        Ok(report) => assert!(report.verdict().is_clean(), "{report:?}"),
        Err(Error::Input(error)) => return Err(error.kind()),
        Err(other) => panic!("{other:?}"),
    }
    Ok(heads.recv().unwrap())
}

#[test]
fn http_head_of_a_caller_may_be_as_long_as_the_limit() {
    for (line, method) in [
        ("POST /a HTTP/1.1", Method::Reqmod),
        ("HTTP/1.1 200 OK", Method::Respmod),
    ] {
        for (len, is_taken) in [
            (MAX_HTTP_HEAD - 1, true),
            (MAX_HTTP_HEAD, true),
            (MAX_HTTP_HEAD + 1, false),
        ] {
            let frame = format!("{line}\r\nX:\r\n\r\n");
            let filler = "x".repeat(len - frame.len());
            let head = format!("{line}\r\nX:{filler}\r\n\r\n");
            assert_eq!(is_taken_as_given(&head, method), is_taken, "{line} {len}");
        }
        for (count, is_taken) in [
            (MAX_FIELDS - 1, true),
            (MAX_FIELDS, true),
            (MAX_FIELDS + 1, false),
        ] {
            let head = format!("{line}\r\n{}\r\n", "A: b\r\n".repeat(count));
            assert_eq!(is_taken_as_given(&head, method), is_taken, "{line} {count}");
        }
    }
}

/// Whether the server received all fields of the head.
fn is_taken_as_given(head: &str, method: Method) -> bool {
    let content = Content::bytes(b"hello");
    let content = match method {
        Method::Reqmod => content.http_request(head.as_bytes()),
        _ => content.http_response(head.as_bytes()),
    };
    match scan_with(content, method) {
        Ok(heads) => {
            let heads = String::from_utf8(heads).unwrap().replace(": ", ":");
            assert!(heads.contains(head.trim_end().replace(": ", ":").as_str()));
            true
        }
        Err(kind) => {
            assert_eq!(kind, InvalidInput::HttpHead);
            false
        }
    }
}

#[test]
fn name_of_any_length_is_scanned_with_its_extension() {
    let x = |count: usize| "x".repeat(count);
    for (name, sent) in [
        (x(MAX_NAME - 1), x(MAX_NAME - 1)),
        (x(MAX_NAME), x(MAX_NAME)),
        (x(MAX_NAME + 1), x(MAX_NAME)),
        (x(131_100) + ".exe", x(MAX_NAME - 4) + ".exe"),
        (
            "\u{1f600}".repeat(14_000),
            "%F0%9F%98%80".repeat(MAX_NAME / 4),
        ),
    ] {
        for method in [Method::Respmod, Method::Reqmod] {
            let heads = scan_with(Content::bytes(b"hello").name(&name), method).unwrap();
            let heads = String::from_utf8(heads).unwrap();
            let target = format!(" http://content.invalid/{sent} HTTP/1.1\r\n");
            assert!(heads.contains(&target), "{} {method}", name.len());
        }
    }
}
