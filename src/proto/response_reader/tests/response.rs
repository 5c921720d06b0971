//! What a response says about itself.

use super::{HTTP, response_bytes};
use crate::proto::limits::MAX_DISPLAY;
use crate::proto::method::Method;
use crate::proto::response::Response;
use crate::proto::response_reader::ResponseReader;

fn response(input: &[u8]) -> Response {
    let mut reader = ResponseReader::new(Method::Respmod, u64::MAX);
    let mut used = 0;
    while !reader.has_ended() {
        used += reader.feed(&input[used..]).unwrap().0;
    }
    reader.into_remains().response.unwrap()
}

#[test]
fn istag_may_be_missing_unquoted_or_long() {
    for (field, expected) in [
        ("ISTag: \"T-1\"\r\n", Some("T-1".to_owned())),
        (
            "ISTag: 5BDEEEA9-12E4-2\r\n",
            Some("5BDEEEA9-12E4-2".to_owned()),
        ),
        ("istag: \"\"\r\n", Some(String::new())),
        ("ISTag: \"a\r\n", None),
        ("ISTag:\r\n", None),
        ("", None),
    ] {
        let input = format!("ICAP/1.0 204 OK\r\n{field}\r\n");
        assert_eq!(response(input.as_bytes()).istag(), expected, "{field}");
    }
    for (len, kept) in [
        (MAX_DISPLAY - 1, true),
        (MAX_DISPLAY, true),
        (MAX_DISPLAY + 1, false),
    ] {
        let input = format!("ICAP/1.0 204 OK\r\nISTag: \"{}\"\r\n\r\n", "A".repeat(len));
        assert_eq!(response(input.as_bytes()).istag().is_some(), kept, "{len}");
    }
}

#[test]
fn oddity_and_wish_to_close_are_known() {
    let of = |fields: &str| response(&response_bytes("204 OK", fields, ""));
    assert!(of("connection: Foo ,  CLOSE\r\n").asks_to_close());
    assert!(!of("Connection: closed, x-close\r\n").asks_to_close());
    assert!(of("Content-Length: 0\r\n").oddity(0).is_some());
    assert!(of("").oddity(0).is_none());
    let interim = [
        b"ICAP/1.0 100 Continue\r\n\r\n",
        &*response_bytes("204 OK", "", ""),
    ]
    .concat();
    assert!(response(&interim).oddity(0).is_some());
}

#[test]
fn state_tag_is_that_of_the_final_head_alone() {
    for (fields, first, sole) in [
        ("ISTag: \"a\"\r\n", Some("a"), Some("a")),
        ("X-A: b\r\nistag:  a \r\nX-B: c\r\n", Some("a"), Some("a")),
        ("ISTag: \"a\r\n\tb\"\r\n", Some("a b"), Some("a b")),
        ("ISTag: \"\"\r\n", Some(""), Some("")),
        ("ISTag: a\r\nISTag: b\r\n", Some("a"), None),
        ("ISTag: \"a\r\nISTag: b\r\n", None, None),
        ("", None, None),
    ] {
        let http = HTTP.replace("Content-Length: 5", "ISTag: content");
        let len = http.len();
        let input = format!(
            "ICAP/1.0 100 Continue\r\nISTag: interim\r\n\r\n\
             ICAP/1.0 200 OK\r\n{fields}Encapsulated: res-hdr=0, null-body={len}\r\n\r\n{http}"
        );
        let response = response(input.as_bytes()).clone();
        assert_eq!(response.istag().as_deref(), first, "{fields}");
        assert_eq!(response.state_tag(), sole.map(str::as_bytes), "{fields}");
    }
}

#[test]
fn interim_head_counts_for_engine_and_wish_to_close() {
    let no_engine = "ISTag: CI0001-1B2M2Y8AsgTpgAmY7PhCfgAA\r\n";
    let of = |interim: &str, last: &str| {
        let input = format!("ICAP/1.0 100 Go on\r\n{interim}\r\nICAP/1.0 204 OK\r\n{last}\r\n");
        response(input.as_bytes())
    };
    for (interim, last, lacks_engine) in [
        ("", "", None),
        ("ISTag: a\r\n", "", Some(false)),
        (no_engine, "", Some(true)),
        (no_engine, "ISTag: a\r\n", Some(true)),
        ("ISTag: a\r\n", no_engine, Some(true)),
        (
            "",
            "ISTag: a\r\nISTag: 1B2M2Y8AsgTp\r\n gAmY7PhCfg\r\n",
            Some(true),
        ),
        (
            "",
            "ISTag: 1B2M2Y8AsgTpgAmY7PhCfg\r\nISTag: a\r\n",
            Some(true),
        ),
    ] {
        let response = of(interim, last);
        assert_eq!(response.lacks_engine(), lacks_engine, "{interim}{last}");
        assert!(!response.asks_to_close());
    }
    assert!(of("Connection: close\r\n", "").asks_to_close());
    assert!(of("", "Connection: a\r\nConnection: b, close\r\n").asks_to_close());
}

#[test]
fn heads_body_and_trailers_are_kept_apart() {
    let input = response_bytes(
        "200 O\tK",
        "Encapsulated: res-hdr=0, res-body=38\r\n",
        &format!("{HTTP}5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
    );
    let response = response(&input);
    assert_eq!(response.reason(), "O\\tK");
    assert_eq!(response.http_status(), Some(200));
    assert_eq!(response.http_response(), Some(HTTP.as_bytes()));
    assert_eq!(response.http_headers().unwrap().iter().count(), 1);
    assert_eq!(response.trailers().get("x-t").unwrap().text(), "1");
    assert!(response.headers().get("x-t").is_none());
    assert_eq!(response.body_len(), Some(5));
}

#[test]
fn debug_shows_no_value_of_an_http_head() {
    let http = "HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\n\r\n";
    let fields = format!(
        "X-A: \x1b[2J\r\nEncapsulated: res-hdr=0, null-body={}\r\n",
        http.len()
    );
    let shown = format!("{:?}", response(&response_bytes("200 OK", &fields, http)));
    for part in [
        "200 OK",
        "T-1",
        "[2J",
        "Set-Cookie",
        "http_status: Some(200)",
    ] {
        assert!(
            shown.contains(&part.escape_debug().to_string()) || shown.contains(part),
            "{shown}"
        );
    }
    assert!(
        !shown.contains("secret") && !shown.contains('\x1b'),
        "{shown}"
    );
}
