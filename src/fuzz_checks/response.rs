use super::input::{Input, assert_displayable, assert_part_of, each_split};
use super::said::said_by;
use crate::error::Violation;
use crate::evidence::Findings;
use crate::proto::header::{Field, Headers};
use crate::proto::method::Method;
use crate::proto::response::Response;
use crate::proto::response_reader::{Event, ResponseReader};

/// All that a response means, however it came.
#[derive(Debug, PartialEq)]
struct Outcome {
    interim: Vec<u16>,
    body: Vec<u8>,
    /// Bytes that belong to the response, if it ended.
    end: Result<Option<usize>, Violation>,
    /// All heads and trailers, as far as they came.
    heads: Vec<Vec<u8>>,
    said: Findings,
}

/// Whole responses: `data` is a byte that chooses method and limit, then what a server sends.
///
/// - Heads, body, end, error and evidence are the same at every split.
/// - A response does not end before its last byte, and takes nothing of what is after it.
/// - Body and lengths are what the response's own fields say.
pub fn response(data: &[u8]) {
    let mut input = Input::new(data);
    let (method, limit) = input.choose(&[
        (Method::Respmod, u64::MAX),
        (Method::Reqmod, u64::MAX),
        (Method::Options, u64::MAX),
        (Method::Respmod, 8),
    ]);
    let response = input.rest();
    let whole = read(method, limit, &[response]);
    each_split(response, |pieces| {
        assert_eq!(read(method, limit, pieces), whole, "{pieces:?}");
    });
    if let Ok(Some(used)) = whole.end {
        let exact = read(method, limit, &[&response[..used]]);
        assert_eq!(exact, whole, "what is after it matters");
        let cut = read(method, limit, &[&response[..used - 1]]);
        assert_eq!(cut.end, Ok(None), "an end before the end");
    }
    assert!(limit == u64::MAX || whole.body.len() <= 8);
}

fn read(method: Method, limit: u64, pieces: &[&[u8]]) -> Outcome {
    let mut reader = ResponseReader::new(method, limit);
    let mut outcome = Outcome {
        interim: Vec::new(),
        body: Vec::new(),
        end: Ok(None),
        heads: Vec::new(),
        said: Findings::default(),
    };
    let mut used = 0;
    for piece in pieces {
        used += match feed(&mut reader, piece, &mut outcome) {
            Ok(len) => len,
            Err(violation) => {
                outcome.end = Err(violation);
                break;
            }
        };
        if reader.has_ended() {
            outcome.end = Ok(Some(used));
            break;
        }
    }
    assert_eq!(
        reader.has_begun(),
        pieces.iter().any(|piece| !piece.is_empty())
    );
    if let Some(seen) = reader.seen() {
        assert!(outcome.end.is_err());
        assert_displayable(seen);
    }
    assert_response(&reader, &outcome);
    outcome.heads = reader.response().map(heads).unwrap_or_default();
    outcome.said = said_by(reader);
    outcome
}

/// Feeds one piece to its end or the response's; returns how much was used.
fn feed(
    reader: &mut ResponseReader,
    piece: &[u8],
    outcome: &mut Outcome,
) -> Result<usize, Violation> {
    let mut used = 0;
    loop {
        let rest = &piece[used..];
        let (len, event) = reader.feed(rest)?;
        used += len;
        match event {
            Event::NeedsMore => {
                assert_eq!(len, rest.len());
                return Ok(used);
            }
            Event::Interim(code) => outcome.interim.push(code),
            Event::Head => assert!(reader.response().is_some()),
            Event::Body(data) => {
                assert_part_of(data, rest);
                outcome.body.extend_from_slice(data);
            }
            Event::End => return Ok(used),
        }
    }
}

/// Every byte of a response but its body.
fn heads(response: &Response) -> Vec<Vec<u8>> {
    let parts = [
        Some(response.head()),
        response.http_request(),
        response.http_response(),
    ];
    let fields = |headers: Headers<'_>| {
        let field = |f: Field<'_>| [f.name().as_bytes(), b":", &f.value()].concat();
        headers.iter().map(field).collect::<Vec<_>>().join(&b'\n')
    };
    let mut heads: Vec<Vec<u8>> = parts.map(|part| part.unwrap_or_default().to_vec()).into();
    heads.push(fields(response.trailers()));
    heads.extend(response.interim_headers().map(fields));
    heads
}

fn assert_response(reader: &ResponseReader, outcome: &Outcome) {
    let Some(response) = reader.response() else {
        assert!(!reader.has_ended());
        return;
    };
    assert!((200..=599).contains(&response.status()));
    assert!(outcome.interim.iter().all(|code| (100..200).contains(code)));
    assert!(response.head().ends_with(b"\r\n\r\n"));
    for shown in [response.reason(), response.http_reason()] {
        assert_displayable(&shown);
    }
    if let Some(tag) = response.istag() {
        assert_displayable(&tag);
    }
    let http = response.http_response();
    assert_eq!(http.is_some(), response.http_status().is_some());
    for head in [http, response.http_request()].into_iter().flatten() {
        assert!(head.ends_with(b"\r\n\r\n"));
        let blank_lines = head.windows(4).filter(|end| end == b"\r\n\r\n").count();
        assert_eq!(blank_lines, 1, "a head ends once");
    }
    if reader.has_ended() {
        let len = response.body_len();
        assert_eq!(len.unwrap_or(0), outcome.body.len() as u64);
        assert!(response.status() != 204 || !response.encapsulates_something());
    }
}
