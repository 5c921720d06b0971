use super::*;
use crate::proto::header::legible_fields;
use crate::proto::limits::MAX_DISPLAY;
use crate::proto::splits::each_split;

/// A response read to its end: what it says, its body, and how many bytes were left over.
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

/// Reads at every split; all must agree, also on how much was understood.
fn read(method: Method, input: &[u8]) -> Outcome {
    let whole = read_pieces(method, &[input]);
    each_split(input, |pieces| {
        assert_eq!(read_pieces(method, pieces), whole, "{pieces:?}");
    });
    whole.0
}

#[test]
fn of_a_refused_answer_what_stood_before_the_fault_is_kept_at_every_split() {
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

fn answer(status: &str, fields: &str, rest: &str) -> Vec<u8> {
    format!("ICAP/1.0 {status}\r\nISTag: \"T-1\"\r\n{fields}\r\n{rest}").into_bytes()
}

fn ok(status: u16, body: &str, left: usize) -> Outcome {
    Ok(Some((status, body.as_bytes().to_vec(), left)))
}

#[test]
fn valid_answers_are_read_to_their_own_end() {
    let with_http = "Encapsulated: res-hdr=0, res-body=38\r\n";
    let http_body = format!("{HTTP}{BODY}");
    for (input, expected) in [
        (answer("204 No Content", "", ""), ok(204, "", 0)),
        (answer("204 No Content", "", "X"), ok(204, "", 1)),
        (
            answer("204", "Encapsulated: null-body=0\r\n", ""),
            ok(204, "", 0),
        ),
        (answer("200 OK", with_http, &http_body), ok(200, "hello", 0)),
        (
            answer("200 OK", with_http, &format!("{http_body}\r\n")),
            ok(200, "hello", 2),
        ),
        (
            answer("201 Created", with_http, &http_body),
            ok(201, "hello", 0),
        ),
        (
            answer("200 OK", "Encapsulated: res-hdr=0, null-body=38\r\n", HTTP),
            ok(200, "", 0),
        ),
        (
            answer("200 OK", "Encapsulated: res-body=0\r\n", BODY),
            ok(200, "hello", 0),
        ),
        (
            answer("200 OK", "Encapsulated: null-body=0\r\n", ""),
            ok(200, "", 0),
        ),
        (
            b"ICAP/1.0 404 Service not found\r\n\r\n".to_vec(),
            ok(404, "", 0),
        ),
        (b"ICAP/1.0 403 Forbidden\r\n\r\n".to_vec(), ok(403, "", 0)),
        (
            [b"ICAP/1.0 100 Continue\r\n\r\n", &*answer("204 OK", "", "")].concat(),
            ok(204, "", 0),
        ),
        (answer("202 Accepted", "", ""), ok(202, "", 0)),
    ] {
        let shown = String::from_utf8_lossy(&input).into_owned();
        assert_eq!(read(Method::Respmod, &input), expected, "{shown}");
        for len in 0..input.len() - expected.as_ref().map_or(0, |o| o.as_ref().unwrap().2) {
            let cut = read_pieces(Method::Respmod, &[&input[..len]]).0;
            assert_eq!(cut, Ok(None), "cut at {len}: {shown}");
        }
    }
}

/// pyicap leaves it out there, and whatever follows is then no part of the response.
#[test]
fn the_answer_to_options_may_lack_encapsulated_and_other_answers_may_not() {
    let input = b"ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\n\r\n0\r\n\r\n";
    let read = |method| read_pieces(method, &[input]).0;
    assert_eq!(read(Method::Options), Ok(Some((200, Vec::new(), 5))));
    let missing = Err(Violation::MissingEncapsulated);
    assert_eq!(read(Method::Respmod), missing);
    assert_eq!(read(Method::Reqmod), missing);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn malformed_answers_are_refused_for_what_is_wrong_with_them() {
    use Violation::*;
    let http_body = format!("{HTTP}{BODY}");
    let two_heads = format!("{HTTP}HTTP/1.1 403 Forbidden\r\n\r\n{BODY}");
    let list = |list: &str| format!("Encapsulated: {list}\r\n");
    for (status, fields, rest, violation) in [
        ("+204 OK", String::new(), "", BadStatusLine),
        ("204 OK", "NoColonHere\r\n".into(), "", BadHeader),
        (
            "204 OK",
            "Transfer-Encoding: chunked\r\n".into(),
            "",
            TransferEncoding,
        ),
        ("204 OK", list("res-body=0"), BODY, BodyOn204),
        ("100 Continue", list("res-body=0"), BODY, BodyOn100),
        (
            "204 OK",
            "Content-Length: 5\r\n".into(),
            "hello",
            TrailingBytes,
        ),
        ("200 OK", String::new(), &*http_body, MissingEncapsulated),
        (
            "200 OK",
            list("null-body=0") + &list("null-body=0"),
            "",
            DuplicateEncapsulated,
        ),
        (
            "200 OK",
            list("res-hdr=0,\r\n res-body=38"),
            &http_body,
            BadHeader,
        ),
        (
            "200 OK",
            list("\r\n res-hdr=0, res-body=38"),
            &http_body,
            BadHeader,
        ),
        (
            "200 OK",
            list("res-hdr=0, res-body=38\r\n "),
            &http_body,
            BadHeader,
        ),
        (
            "200 OK",
            list("res-hdr=0, opt-body=38"),
            &http_body,
            BadEncapsulated,
        ),
        ("200 OK", list("res-hdr=0, null-body=0"), "", EmptyHttpHead),
        (
            "200 OK",
            list("res-hdr=0, res-body=37"),
            &http_body,
            HttpHeadNotTerminated,
        ),
        (
            "200 OK",
            list("res-hdr=0, res-body=39"),
            &http_body,
            HttpHeadNotTerminated,
        ),
        (
            "200 OK",
            list("res-hdr=0, res-body=64"),
            &two_heads,
            HttpHeadTrailing,
        ),
        (
            "200 OK",
            list("res-hdr=0, res-body=14"),
            "HTTP/2 200\r\n\r\n",
            BadHttpStartLine,
        ),
        (
            "200 OK",
            list("res-hdr=0, res-body=13"),
            "nocolon:\r\n\r\n ",
            HttpHeadNotTerminated,
        ),
        (
            "200 OK",
            list("res-hdr=0, res-body=22"),
            "HTTP/1.1 200 OK\nA: b\n\n",
            BareLf,
        ),
        (
            "200 OK",
            list("res-hdr=0, res-body=25"),
            "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
            BadHttpHeader,
        ),
        (
            "206 Partial",
            list("res-hdr=0, null-body=38"),
            HTTP,
            BadEncapsulated,
        ),
        (
            "200 OK",
            list("res-body=0"),
            "0; use-original-body=0\r\n\r\n",
            BadUseOriginalBody,
        ),
    ] {
        let input = answer(status, &fields, rest);
        let shown = String::from_utf8_lossy(&input).into_owned();
        assert_eq!(read(Method::Respmod, &input), Err(violation), "{shown}");
    }
    for foreign in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "\r\nICAP/1.0 204 OK\r\n\r\n",
        "\x15\x03\x01",
    ] {
        assert_eq!(
            read(Method::Respmod, foreign.as_bytes()),
            Err(BadStatusLine)
        );
    }
    assert_eq!(read(Method::Respmod, b"ICAP/1.0 204 OK\n\n"), Err(BareLf));
}

#[test]
fn an_answer_to_reqmod_may_be_a_request_or_a_response() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = answer("200 OK", "Encapsulated: req-hdr=0, null-body=27\r\n", get);
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
fn a_head_may_be_as_long_as_the_limit() {
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
fn an_answer_begins_with_its_first_byte_and_the_final_one_behind_what_is_interim() {
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
fn interim_answers_are_limited() {
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

fn response(input: &[u8]) -> Response {
    let mut reader = ResponseReader::new(Method::Respmod, u64::MAX);
    let mut used = 0;
    while !reader.has_ended() {
        used += reader.feed(&input[used..]).unwrap().0;
    }
    reader.into_remains().response.unwrap()
}

#[test]
fn an_istag_may_be_missing_unquoted_or_long() {
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
fn what_is_odd_or_wants_to_close_is_known() {
    let of = |fields: &str| response(&answer("204 OK", fields, ""));
    assert!(of("connection: Foo ,  CLOSE\r\n").asks_to_close());
    assert!(!of("Connection: closed, x-close\r\n").asks_to_close());
    assert!(of("Content-Length: 0\r\n").oddity(0).is_some());
    assert!(of("").oddity(0).is_none());
    let interim = [b"ICAP/1.0 100 Continue\r\n\r\n", &*answer("204 OK", "", "")].concat();
    assert!(response(&interim).oddity(0).is_some());
}

#[test]
fn heads_body_and_trailers_are_kept_apart() {
    let input = answer(
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
fn a_response_shows_what_the_service_said_and_of_the_content_only_names() {
    let http = "HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\n\r\n";
    let fields = format!(
        "X-A: \x1b[2J\r\nEncapsulated: res-hdr=0, null-body={}\r\n",
        http.len()
    );
    let shown = format!("{:?}", response(&answer("200 OK", &fields, http)));
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

#[test]
fn the_line_at_fault_is_shown() {
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
    assert_eq!(seen(&answer("200 OK", &fields, &bad)), is);
    let bad = "\r\n\r\n";
    let fields = "Encapsulated: res-hdr=0, null-body=4\r\n";
    assert_eq!(seen(&answer("200 OK", fields, bad)), None);
}
