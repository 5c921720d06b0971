use super::*;

const GET: &[u8] = b"GET http://content.invalid/a HTTP/1.1\r\nHost: content.invalid\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

fn encoded(request: &Request, has_body: bool) -> String {
    let bytes = request.encode("icap://av.example/scan", "av.example", has_body);
    String::from_utf8(bytes.unwrap()).unwrap()
}

#[test]
fn respmod_head_has_offsets_in_bytes() {
    let request = Request::respmod().http_request(GET).unwrap();
    let request = request.http_response(OK).unwrap();
    let request = request.header("X-Client-IP", "192.0.2.7").unwrap();
    let expected = format!(
        "RESPMOD icap://av.example/scan ICAP/1.0\r\n\
         Host: av.example\r\n\
         {USER_AGENT}\
         Allow: 204\r\n\
         X-Client-IP: 192.0.2.7\r\n\
         Encapsulated: req-hdr=0, res-hdr={}, res-body={}\r\n\
         \r\n{}{}",
        GET.len(),
        GET.len() + OK.len(),
        std::str::from_utf8(GET).unwrap(),
        std::str::from_utf8(OK).unwrap(),
    );
    assert_eq!(encoded(&request, true), expected);
}

#[test]
fn options_head_has_no_body_and_allows_nothing() {
    let request = Request::options().header("user-agent", "mine").unwrap();
    assert_eq!(
        encoded(&request, false),
        "OPTIONS icap://av.example/scan ICAP/1.0\r\nHost: av.example\r\n\
         user-agent: mine\r\nEncapsulated: null-body=0\r\n\r\n"
    );
}

#[test]
fn field_that_changes_the_framing_is_refused() {
    for (name, value, why) in [
        ("", "x", InvalidInput::HeaderName),
        ("A:b", "x", InvalidInput::HeaderName),
        ("A b", "x", InvalidInput::HeaderName),
        ("A\r\nB", "x", InvalidInput::HeaderName),
        ("Gr\u{fc}n", "x", InvalidInput::HeaderName),
        ("X-A", "a\r\nAllow: 204", InvalidInput::HeaderValue),
        ("X-A", "a\nb", InvalidInput::HeaderValue),
        ("X-A", "a\0b", InvalidInput::HeaderValue),
        ("X-A", " a", InvalidInput::HeaderValue),
        ("X-A", "a\t", InvalidInput::HeaderValue),
        ("encapsulated", "null-body=0", InvalidInput::ReservedHeader),
        ("PREVIEW", "0", InvalidInput::ReservedHeader),
        ("Allow", "204", InvalidInput::ReservedHeader),
        ("Host", "x", InvalidInput::ReservedHeader),
        ("Connection", "close", InvalidInput::ReservedHeader),
        ("Transfer-Encoding", "chunked", InvalidInput::ReservedHeader),
        ("Upgrade", "TLS/1.3", InvalidInput::ReservedHeader),
    ] {
        let error = check_header(name, value.as_bytes()).expect_err(name);
        assert_eq!(error.kind(), why, "{name:?}: {value:?}");
    }
    assert!(check_header("X-User", "J\u{fc}rgen, \tm\u{fc}de".as_bytes()).is_ok());
    assert!(check_header("X-Empty", b"").is_ok());
}

#[test]
fn only_text_is_accepted_in_a_value() {
    for byte in 0..=255u8 {
        let accepted = check_header("X", &[b'a', byte, b'b']).is_ok();
        assert_eq!(
            accepted,
            byte == b'\t' || (byte >= 32 && byte != 127),
            "{byte}"
        );
    }
}

#[test]
fn uri_that_could_split_the_request_line_is_refused() {
    for bad in ["", "a b", "a\r\nb", "a\tb", "a\0", "\u{e9}"] {
        assert!(
            Request::options().encode(bad, "h", false).is_err(),
            "{bad:?}"
        );
        assert!(
            Request::options().encode("u", bad, false).is_err(),
            "{bad:?}"
        );
        assert!(Recipient::new(bad, "h").is_err() && Recipient::new("u", bad).is_err());
    }
}

#[test]
fn method_encapsulates_only_its_own_heads() {
    assert!(Request::reqmod().http_response(OK).is_err());
    assert!(Request::options().http_request(GET).is_err());
    assert!(Request::respmod().http_response(GET).is_err());
    let head = b"POST /up HTTP/1.1\r\nConnection: close\r\nHost: h\r\n\r\n";
    let request = Request::reqmod().http_request(head).unwrap();
    let kept = "POST /up HTTP/1.1\r\nHost: h\r\n\r\n";
    let expected = format!(
        "REQMOD icap://av.example/scan ICAP/1.0\r\nHost: av.example\r\n\
         {USER_AGENT}Allow: 204\r\n\
         Encapsulated: req-hdr=0, req-body={len}\r\n\r\n{kept}",
        len = kept.len()
    );
    assert_eq!(encoded(&request, true), expected);
    assert!(encoded(&request, false).contains("req-hdr=0, null-body="));
}

#[test]
fn heads_keep_their_order_when_they_are_set_anew() {
    let short = b"GET / HTTP/1.1\r\n\r\n";
    let no = b"HTTP/1.1 404 Not Found\r\n\r\n";
    let request = Request::respmod().http_response(OK).unwrap();
    let alone = encoded(&request, true);
    assert!(alone.contains(&format!(
        "Encapsulated: res-hdr=0, res-body={}\r\n",
        OK.len()
    )));
    let request = request.http_request(GET).unwrap();
    for (http_request, http_response) in [(GET, OK), (short, OK), (GET, no), (short, no)] {
        let request = request.clone().http_request(http_request).unwrap();
        let request = request.http_response(http_response).unwrap();
        assert_eq!(request.http_request_head(), Some(http_request));
        assert_eq!(request.http_response_head(), Some(http_response));
        let len = http_request.len();
        let offsets = format!(
            "req-hdr=0, res-hdr={len}, res-body={}",
            len + http_response.len()
        );
        let heads = [http_request, http_response].concat();
        let heads = String::from_utf8(heads).unwrap();
        assert!(encoded(&request, true).ends_with(&format!("{offsets}\r\n\r\n{heads}")));
    }
}

#[test]
fn allowed_statuses_stand_in_one_field() {
    let request = Request::respmod().preview(1024);
    assert!(encoded(&request, true).contains("\r\nAllow: 204\r\nPreview: 1024\r\n"));
    assert!(!encoded(&request, false).contains("Preview"));
    let request = request.allow_206(true).allow_trailers(true).preview(None);
    let shown = encoded(&request, true);
    assert!(shown.contains("\r\nAllow: 204, 206, trailers\r\n") && !shown.contains("Preview"));
    let request = Request::reqmod().allow_204(false);
    assert!(!encoded(&request, true).contains("Allow"));
}

#[test]
fn debug_shows_no_value() {
    let request = Request::respmod().header("X-Secret", "hunter2").unwrap();
    let shown = format!("{request:?}");
    assert!(
        shown.contains("X-Secret") && !shown.contains("hunter2"),
        "{shown}"
    );
}
