mod response;

use super::*;
use crate::proto::header::legible_fields;
use crate::proto::splits::each_split;

/// A response that was read to its end: its status, its body, and the number of bytes after it.
type Outcome = Result<Option<(u16, Vec<u8>, usize)>, Violation>;

fn read_pieces(method: Method, pieces: &[&[u8]]) -> (Outcome, Option<u16>) {
    let mut reader = ResponseReader::new(method, 1 << 20);
    let mut body = Vec::new();
    let mut left: usize = pieces.iter().map(|p| p.len()).sum();
    for piece in pieces {
        let mut piece = *piece;
        loop {
            let (used, event) = match reader.feed(piece) {
                Ok(step) => step,
                Err(v) => return (Err(v), reader.response().map(Response::status)),
            };
            left -= used;
            piece = &piece[used..];
            match event {
                Event::NeedsMore => break,
                Event::Interim(_) | Event::Head => {}
                Event::Body(data) => body.extend_from_slice(data),
                Event::End => {
                    let status = reader.response().map_or(0, Response::status);
                    return (Ok(Some((status, body, left))), Some(status));
                }
            }
        }
    }
    (Ok(None), reader.response().map(Response::status))
}

/// Reads at every split. All must agree, also on the status.
fn read(method: Method, input: &[u8]) -> Outcome {
    let whole = read_pieces(method, &[input]);
    each_split(input, |pieces| {
        assert_eq!(read_pieces(method, pieces), whole, "{pieces:?}");
    });
    whole.0
}

#[test]
fn fields_before_a_fault_are_kept_at_every_split() {
    let kept = |pieces: &[&[u8]]| {
        let mut reader = ResponseReader::new(Method::Respmod, 0);
        'refused: for piece in pieces {
            let mut piece = *piece;
            while !piece.is_empty() {
                let Ok((used, _)) = reader.feed(piece) else {
                    break 'refused;
                };
                piece = &piece[used..];
            }
        }
        let Fragments {
            icap_head,
            trailers,
            ..
        } = reader.into_remains().fragments;
        let lines = [icap_head, trailers].concat();
        let names = legible_fields(&lines).map(|field| field.name().to_owned());
        names.collect::<Vec<_>>()
    };
    for (input, names) in [
        ("ICAP/1.0 204\r\nA: 1\r\nB\nC: 2\r\n\r\n", &["A"][..]),
        ("ICAP/1.0 204 x\ry\r\nA: 1\r\n\r\nC: 2\r\n", &["A"]),
        ("HTTP/1.1 200 OK\r\nA: 1\r\n\r\nB: 2\r\n", &["A"]),
        ("\r\nICAP/1.1 200 OK\r\nA: 1\r\n\r\nB: 2\r\n", &["A"]),
        ("x-b: 1\nA: 1\n\nB: 2\r\n", &["x-b", "A"]),
        ("220 mail\r\nA: 1\r\n\r\n", &[]),
        (
            "ICAP/1.0 200\r\nEncapsulated: res-body=0\r\n\r\n0\r\nA: 1\r\nB\nC: 2\r\n\r\n",
            &["A"],
        ),
    ] {
        each_split(input.as_bytes(), |pieces| {
            assert_eq!(kept(pieces), names, "{pieces:?}");
        });
    }
}

const HTTP: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";

fn response_bytes(status: &str, fields: &str, rest: &str) -> Vec<u8> {
    format!("ICAP/1.0 {status}\r\nISTag: \"T-1\"\r\n{fields}\r\n{rest}").into_bytes()
}

fn ok(status: u16, body: &str, left: usize) -> Outcome {
    Ok(Some((status, body.as_bytes().to_vec(), left)))
}

#[test]
fn valid_response_is_read_to_its_own_end() {
    let with_http = "Encapsulated: res-hdr=0, res-body=38\r\n";
    let http_body = format!("{HTTP}{BODY}");
    for (input, expected) in [
        (response_bytes("204 No Content", "", ""), ok(204, "", 0)),
        (response_bytes("204 No Content", "", "X"), ok(204, "", 1)),
        (
            response_bytes("204", "Encapsulated: null-body=0\r\n", ""),
            ok(204, "", 0),
        ),
        (
            response_bytes("200 OK", with_http, &http_body),
            ok(200, "hello", 0),
        ),
        (
            response_bytes("200 OK", with_http, &format!("{http_body}\r\n")),
            ok(200, "hello", 2),
        ),
        (
            response_bytes("201 Created", with_http, &http_body),
            ok(201, "hello", 0),
        ),
        (
            response_bytes("200 OK", "Encapsulated: res-hdr=0, null-body=38\r\n", HTTP),
            ok(200, "", 0),
        ),
        (
            response_bytes("200 OK", "Encapsulated: res-body=0\r\n", BODY),
            ok(200, "hello", 0),
        ),
        (
            response_bytes("200 OK", "Encapsulated: null-body=0\r\n", ""),
            ok(200, "", 0),
        ),
        (
            b"ICAP/1.0 404 Service not found\r\n\r\n".to_vec(),
            ok(404, "", 0),
        ),
        (b"ICAP/1.0 403 Forbidden\r\n\r\n".to_vec(), ok(403, "", 0)),
        (
            [
                b"ICAP/1.0 100 Continue\r\n\r\n",
                &*response_bytes("204 OK", "", ""),
            ]
            .concat(),
            ok(204, "", 0),
        ),
        (response_bytes("202 Accepted", "", ""), ok(202, "", 0)),
    ] {
        let shown = String::from_utf8_lossy(&input).into_owned();
        assert_eq!(read(Method::Respmod, &input), expected, "{shown}");
        for len in 0..input.len() - expected.as_ref().map_or(0, |o| o.as_ref().unwrap().2) {
            let cut = read_pieces(Method::Respmod, &[&input[..len]]).0;
            assert_eq!(cut, Ok(None), "cut at {len}: {shown}");
        }
    }
}

/// pyicap omits it there. Bytes after the head are then no part of the response.
#[test]
fn only_response_to_options_may_lack_encapsulated() {
    let input = b"ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\n\r\n0\r\n\r\n";
    let read = |method| read_pieces(method, &[input]).0;
    assert_eq!(read(Method::Options), Ok(Some((200, Vec::new(), 5))));
    let missing = Err(Violation::MissingEncapsulated);
    assert_eq!(read(Method::Respmod), missing);
    assert_eq!(read(Method::Reqmod), missing);
}

fn assert_refused(cases: &[(&str, &str, &str, Violation)]) {
    for (status, fields, rest, violation) in cases {
        let input = response_bytes(status, fields, rest);
        let shown = String::from_utf8_lossy(&input).into_owned();
        assert_eq!(read(Method::Respmod, &input), Err(*violation), "{shown}");
    }
}

/// As [`assert_refused`], with the value of `Encapsulated` in place of the fields.
fn assert_list_refused(cases: &[(&str, &str, &str, Violation)]) {
    for (status, list, rest, violation) in cases {
        let fields = format!("Encapsulated: {list}\r\n");
        assert_refused(&[(*status, &*fields, *rest, *violation)]);
    }
}

const HTTP_BODY: &str = concat!(
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n"
);

#[test]
fn malformed_icap_head_is_refused_with_its_violation() {
    use Violation::*;
    let two_lists = "Encapsulated: null-body=0\r\nEncapsulated: null-body=0\r\n";
    assert_refused(&[
        ("+204 OK", "", "", BadStatusLine),
        ("204 OK", "NoColonHere\r\n", "", BadHeader),
        (
            "204",
            "Transfer-Encoding: chunked\r\n",
            "",
            TransferEncoding,
        ),
        ("204 OK", "Content-Length: 5\r\n", "hello", TrailingBytes),
        ("200 OK", "", HTTP_BODY, MissingEncapsulated),
        ("200 OK", two_lists, "", DuplicateEncapsulated),
    ]);
    for foreign in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "\r\nICAP/1.0 204 OK\r\n\r\n",
        "\x15\x03\x01",
    ] {
        let outcome = read(Method::Respmod, foreign.as_bytes());
        assert_eq!(outcome, Err(BadStatusLine));
    }
    assert_eq!(read(Method::Respmod, b"ICAP/1.0 204 OK\n\n"), Err(BareLf));
}

#[test]
fn list_that_does_not_fit_is_refused_with_its_violation() {
    use Violation::*;
    assert_list_refused(&[
        ("204 OK", "res-body=0", BODY, BodyOn204),
        ("100 Continue", "res-body=0", BODY, BodyOn100),
        ("200", "res-hdr=0,\r\n res-body=38", HTTP_BODY, BadHeader),
        ("200", "\r\n res-hdr=0, res-body=38", HTTP_BODY, BadHeader),
        ("200", "res-hdr=0, res-body=38\r\n ", HTTP_BODY, BadHeader),
        ("200", "res-hdr=0, opt-body=38", HTTP_BODY, BadEncapsulated),
        ("200", "res-hdr=0, null-body=0", "", EmptyHttpHead),
        ("206", "res-hdr=0, null-body=38", HTTP, BadEncapsulated),
    ]);
    let offset = "0; use-original-body=0\r\n\r\n";
    assert_list_refused(&[("200", "res-body=0", offset, BadUseOriginalBody)]);
}

#[test]
fn malformed_http_head_is_refused_with_its_violation() {
    use Violation::*;
    let two_heads = &*format!("{HTTP}HTTP/1.1 403 Forbidden\r\n\r\n{BODY}");
    let (bare, zero) = (
        "HTTP/1.1 200 OK\nA: b\n\n",
        "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
    );
    let no_line = "HTTP/2 200\r\n\r\n";
    let not_ended = "nocolon:\r\n\r\n ";
    for (end, heads, violation) in [
        (37, HTTP_BODY, HttpHeadNotTerminated),
        (39, HTTP_BODY, HttpHeadNotTerminated),
        (64, two_heads, HttpHeadTrailing),
        (14, no_line, BadHttpStartLine),
        (13, not_ended, HttpHeadNotTerminated),
        (22, bare, BareLf),
        (25, zero, BadHttpHeader),
    ] {
        let list = format!("res-hdr=0, res-body={end}");
        assert_list_refused(&[("200 OK", &*list, heads, violation)]);
    }
}

#[test]
fn response_to_reqmod_has_a_request_or_a_response() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = response_bytes("200 OK", "Encapsulated: req-hdr=0, null-body=27\r\n", get);
    assert_eq!(read(Method::Reqmod, &request), ok(200, "", 0));
    assert_eq!(
        read(Method::Respmod, &request),
        Err(Violation::BadEncapsulated)
    );
    let bad = request
        .iter()
        .map(|b| if *b == b'G' { b' ' } else { *b })
        .collect::<Vec<_>>();
    assert_eq!(read(Method::Reqmod, &bad), Err(Violation::BadHttpHeader));
}

#[test]
fn head_may_be_as_long_as_the_limit() {
    for (len, accepted) in [
        (MAX_HEAD - 1, true),
        (MAX_HEAD, true),
        (MAX_HEAD + 1, false),
    ] {
        let filler = "x".repeat(len - 32);
        let head = format!("ICAP/1.0 204 No Content\r\nX: {filler}\r\n\r\n");
        assert_eq!(head.len(), len);
        let expected = if accepted {
            ok(204, "", 0)
        } else {
            Err(Violation::LimitExceeded(Limit::Head))
        };
        for cut in [0, 32, MAX_HEAD / 2, MAX_HEAD - 2] {
            let (first, second) = head.as_bytes().split_at(cut);
            let outcome = read_pieces(Method::Respmod, &[first, second]).0;
            assert_eq!(outcome, expected, "{len} cut at {cut}");
        }
    }
}

#[test]
fn final_response_begins_after_interim_responses() {
    let mut reader = ResponseReader::new(Method::Respmod, 0);
    let mut after = |piece: &[u8]| {
        let mut used = 0;
        while used < piece.len() {
            used += reader.feed(&piece[used..]).unwrap().0;
        }
        (reader.has_begun(), reader.has_begun_final())
    };
    assert_eq!(after(b""), (false, false));
    assert_eq!(after(b"I"), (true, true));
    assert_eq!(after(b"CAP/1.0 100 Continue\r\n\r\n"), (true, false));
    assert_eq!(after(b"I"), (true, true));
    let head = "CAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=38\r\n\r\n";
    assert_eq!(after(head.as_bytes()), (true, true));
    assert_eq!(after(HTTP.as_bytes()), (true, true));
}

#[test]
fn interim_responses_are_limited() {
    for (count, accepted) in [
        (MAX_INTERIM_RESPONSES - 1, true),
        (MAX_INTERIM_RESPONSES, true),
        (MAX_INTERIM_RESPONSES + 1, false),
    ] {
        let input = "ICAP/1.0 102 Processing\r\n\r\n".repeat(count) + "ICAP/1.0 204 OK\r\n\r\n";
        let outcome = read_pieces(Method::Respmod, &[input.as_bytes()]).0;
        assert_eq!(outcome.is_ok(), accepted, "{count}");
    }
}

#[test]
fn line_at_fault_is_shown() {
    let mut reader = ResponseReader::new(Method::Respmod, 0);
    let input = b"ICAP/1.0 204 OK\r\nISTag: x\r\nbroken\x1b line\r\n\r\n";
    assert_eq!(reader.feed(input), Err(Violation::BadHeader));
    assert_eq!(reader.seen(), Some("broken\\u{1b} line"));
    let seen = |input: &[u8]| {
        let mut reader = ResponseReader::new(Method::Respmod, 0);
        let mut used = 0;
        while let Ok((more, _)) = reader.feed(&input[used..]) {
            used += more;
        }
        reader.seen().map(str::to_owned)
    };
    let foreign = b"HTTP/1.1 302 Found\nLocation: /somewhere/quite/else\r\n\r\n";
    let is = Some("HTTP/1.1 302 Found".to_owned());
    assert_eq!(seen(foreign), is, "only how it begins");
    let bad = format!("HTTP 200\r\n{}\r\n", "X: 1\r\n".repeat(4));
    let fields = format!("Encapsulated: res-hdr=0, null-body={}\r\n", bad.len());
    let is = Some("HTTP 200".to_owned());
    assert_eq!(seen(&response_bytes("200 OK", &fields, &bad)), is);
    let bad = "\r\n\r\n";
    let fields = "Encapsulated: res-hdr=0, null-body=4\r\n";
    assert_eq!(seen(&response_bytes("200 OK", fields, bad)), None);
}
