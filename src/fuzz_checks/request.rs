use std::net::IpAddr;

use super::input::Input;
use super::sent::{Head, Sent, unfolded};
use crate::client::credentials::Credentials;
use crate::proto::http_head;
use crate::proto::method::Method;
use crate::proto::request::Request;
use crate::proto::response_reader::ResponseReader;
use crate::scan::content::Content;
use crate::scan::redact::is_sensitive;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Requests: `data` is what a caller passes in, names, values, heads, each a length and bytes.
///
/// - What is encoded has the lines that were meant and no other, in their order: whatever the caller
///   passed in, it is refused or it is in its place.
/// - The heads lie where `Encapsulated` says, and nothing hop-by-hop is in them.
/// - What is known about content, its name, type, user, cannot add a line or a word to the heads that
///   are made of it; nothing sensitive of given heads is passed on, and only the content's own length.
pub fn request(data: &[u8]) {
    of_parts(&mut Input::new(data));
    of_content(&mut Input::new(data));
}

fn of_parts(input: &mut Input<'_>) {
    let make = input.choose(&[
        Request::respmod as fn() -> Request,
        Request::options,
        Request::reqmod,
    ]);
    let allows = input.byte();
    let preview = (allows & 8 != 0).then(|| usize::from(input.byte()));
    let mut request = make()
        .allow_204(allows & 1 == 0)
        .allow_206(allows & 2 != 0)
        .allow_trailers(allows & 4 != 0)
        .preview(preview);
    let mut added = Fields::new();
    for _ in 0..input.byte() % 4 {
        let name = String::from_utf8_lossy(input.text());
        let value = input.text();
        if let Ok(with_header) = request.clone().header(&name, value) {
            request = with_header;
            added.push((name.into_owned().into_bytes(), value.to_vec()));
        }
    }
    if let Some(field) = credentials(input) {
        request.add_headers(std::iter::once(&field));
        added.push((field.0.into_bytes(), field.1));
    }
    let mut heads = Vec::new();
    let http_request = input.text();
    if let Ok(with_head) = request.clone().http_request(http_request) {
        request = with_head;
        heads.push(("req-hdr", http_request));
    }
    let http_response = input.text();
    if let Ok(with_head) = request.clone().http_response(http_response) {
        request = with_head;
        heads.push(("res-hdr", http_response));
    }
    let uri = String::from_utf8_lossy(input.text());
    let host = String::from_utf8_lossy(input.text());
    let Ok(encoded) = request.encode(&uri, &host, true) else {
        return;
    };
    let sent = Sent::parse(&encoded);
    let start_line = format!("{} {uri} ICAP/1.0", request.method());
    assert_eq!(sent.start_line, start_line.as_bytes());
    assert_eq!(start_line.split(' ').count(), 3);
    let allow = ["204", "206", "trailers"].into_iter().enumerate();
    let allow = allow.filter(|(bit, _)| (allows ^ 1) >> bit & 1 == 1);
    let allow: Vec<&str> = allow.map(|(_, token)| token).collect();
    assert_fields(&sent, &host, &allow.join(", "), preview, &added);
    assert_heads(&sent, request.method(), &heads);
}

fn credentials(input: &mut Input<'_>) -> Option<(String, Vec<u8>)> {
    let user = String::from_utf8_lossy(input.text());
    let password = String::from_utf8_lossy(input.text());
    let credentials = Credentials::new(&user, &password).ok()?;
    assert!(!format!("{credentials:?}").contains(&*password) || password.len() < 12);
    assert!(credentials.field().is_none(), "nobody asked");
    let mut reader = ResponseReader::new(Method::Respmod, 0);
    let asks = b"ICAP/1.0 407 x\r\nProxy-Authenticate: Basic\r\n\r\n";
    reader.feed(asks).expect("valid");
    assert!(credentials.note_challenge(reader.response().expect("complete")));
    let (name, value) = credentials.field().expect("they are wanted");
    let encoded = value.strip_prefix(b"Basic ").expect("the scheme");
    assert_eq!(
        base64_decode(encoded),
        format!("{user}:{password}").as_bytes()
    );
    Some((name, value))
}

fn assert_fields(sent: &Sent<'_>, host: &str, allow: &str, preview: Option<usize>, added: &Fields) {
    let mut fields = sent.fields.iter();
    assert_eq!(fields.next(), Some(&(&b"Host"[..], host.as_bytes())));
    let is_user_agent = |(name, _): &(Vec<u8>, Vec<u8>)| name.eq_ignore_ascii_case(b"User-Agent");
    if !added.iter().any(is_user_agent) {
        assert_eq!(fields.next().map(|field| field.0), Some(&b"User-Agent"[..]));
    }
    if !allow.is_empty() {
        assert_eq!(fields.next(), Some(&(&b"Allow"[..], allow.as_bytes())));
    }
    if let Some(size) = preview {
        let size = size.to_string();
        assert_eq!(fields.next(), Some(&(&b"Preview"[..], size.as_bytes())));
    }
    for (name, value) in added {
        assert_eq!(fields.next(), Some(&(&name[..], &value[..])));
    }
    let last = fields.next().map(|field| field.0);
    assert_eq!((last, fields.next()), (Some(&b"Encapsulated"[..]), None));
}

fn assert_heads(sent: &Sent<'_>, method: Method, given: &[(&str, &[u8])]) {
    let cut = sent.cut();
    let names: Vec<&str> = cut.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        given.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    );
    let (allowed, body): (&[&str], _) = match method {
        Method::Options => (&[], "opt-body"),
        Method::Reqmod => (&["req-hdr"], "req-body"),
        Method::Respmod => (&["req-hdr", "res-hdr"], "res-body"),
    };
    assert!(names.iter().all(|name| allowed.contains(name)));
    assert_eq!(sent.body(), body);
    for ((_, head), (_, given)) in cut.iter().zip(given) {
        assert_eq!(given[..head.start_line.len()], *head.start_line);
        let expected = without_hop_by_hop(unfolded(given));
        assert_eq!(owned(head), expected);
    }
}

fn owned(head: &Head<'_>) -> Fields {
    let owned = |(name, value): &(&[u8], &[u8])| (name.to_vec(), value.to_vec());
    head.fields.iter().map(owned).collect()
}

/// RFC 3507 §4.4.2.
fn without_hop_by_hop(mut fields: Fields) -> Fields {
    let lower = |name: &[u8]| name.to_ascii_lowercase();
    let mut named: Vec<Vec<u8>> = Vec::new();
    for (name, value) in &fields {
        if lower(name) == b"connection" {
            named.extend(value.split(|&b| b == b',').map(|t| lower(t.trim_ascii())));
        }
    }
    let hops = [
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    fields.retain(|(name, _)| {
        let name = lower(name);
        let is_hop = hops.iter().any(|hop| hop.as_bytes() == name);
        let text = String::from_utf8_lossy(&name);
        let is_named = named.contains(&name) && !http_head::is_end_to_end(&text);
        !is_hop && !name.starts_with(b"proxy-") && !is_named
    });
    fields
}

/// What a caller says about content.
#[derive(Clone, Copy)]
struct Known<'d> {
    name: &'d str,
    media_type: &'d str,
    user: &'d str,
    length: u64,
    http_request: &'d [u8],
    http_response: &'d [u8],
}

fn of_content(input: &mut Input<'_>) {
    let method = input.choose(&[Method::Respmod, Method::Reqmod]);
    let flags = input.byte();
    let length = u64::from(input.byte());
    let texts = [(); 3].map(|()| String::from_utf8_lossy(input.text()).into_owned());
    let known = Known {
        name: &texts[0],
        media_type: &texts[1],
        user: &texts[2],
        length,
        http_request: if flags & 1 != 0 { input.text() } else { b"" },
        http_response: if flags & 2 != 0 { input.text() } else { b"" },
    };
    let mut content = Content::bytes(b"").len(length);
    content = content.name(known.name).content_type(known.media_type);
    content = content.client_ip(IpAddr::from([192, 0, 2, 1]));
    if flags & 4 != 0 {
        content = content.user(known.user);
    }
    if !known.http_request.is_empty() {
        content = content.http_request(known.http_request);
    }
    if !known.http_response.is_empty() {
        content = content.http_response(known.http_response);
    }
    let about = content.about;
    let Ok(request) = about.request(method, Some(length)) else {
        return;
    };
    let encoded = request.encode("icap://av/s", "av", true);
    let encoded = encoded.expect("what is not refused can be sent");
    let sent = Sent::parse(&encoded);
    let names: Vec<&[u8]> = sent.fields.iter().map(|field| field.0).collect();
    let expected = [
        "Host",
        "User-Agent",
        "Allow",
        "X-Client-IP",
        "X-Authenticated-User",
        "Encapsulated",
    ];
    let has_user = |name: &&str| flags & 4 != 0 || *name != "X-Authenticated-User";
    let expected = expected
        .iter()
        .filter(|name| has_user(name))
        .map(|name| name.as_bytes());
    assert_eq!(names, expected.collect::<Vec<_>>());
    if let Some(user) = sent.field("X-Authenticated-User") {
        let sent = String::from_utf8(base64_decode(user)).expect("UTF-8");
        assert!(sent == known.user || sent == format!("Local://{}", known.user));
        assert!(!sent.contains(char::is_control));
    }
    assert_content_heads(&sent, method, known);
}

fn assert_content_heads(sent: &Sent<'_>, method: Method, known: Known<'_>) {
    let heads = sent.cut();
    let is_upload = method == Method::Reqmod;
    let request = &heads[0].1;
    assert_target(request.start_line, is_upload, known);
    let carrier = if is_upload { request } else { &heads[1].1 };
    let given = if is_upload {
        known.http_request
    } else {
        known.http_response
    };
    assert_carrier(carrier, given, known);
    if !is_upload {
        let status_line = given.split(|&b| b == b'\r').next().expect("a line");
        let is_made_up = given.is_empty() && carrier.start_line == b"HTTP/1.1 200 OK";
        assert!(is_made_up || carrier.start_line == status_line);
        assert_forwarded(request, known.http_request, &[("Host", "content.invalid")]);
    }
    assert_eq!(heads.len(), if is_upload { 1 } else { 2 });
}

/// Three words; what the caller gave without its query and user information, or made of the name.
fn assert_target(line: &[u8], is_upload: bool, known: Known<'_>) {
    let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    let [method, target, version] = words[..] else {
        panic!("{}", line.escape_ascii());
    };
    assert!(version.starts_with(b"HTTP/1.") && !target.contains(&b'?'));
    if known.http_request.is_empty() {
        let expected: &[u8] = if is_upload { b"POST" } else { b"GET" };
        assert_eq!(method, expected);
        let path = target
            .strip_prefix(b"http://content.invalid/")
            .expect("the host");
        assert_eq!(percent_decode(path), known.name.as_bytes());
        assert!(path != b".." && path != b".");
        return;
    }
    assert!(known.http_request.starts_with(method));
    if let Some(at) = super::sent::find(target, b"://") {
        let authority = target[at + 3..].split(|&b| b == b'/').next();
        assert!(!authority.expect("an authority").contains(&b'@'));
    }
}

/// The head that carries the content says its length, once.
fn assert_carrier(head: &Head<'_>, given: &[u8], known: Known<'_>) {
    let length = known.length.to_string();
    let mut made_up = vec![
        ("Content-Type", known.media_type),
        ("Content-Length", &length),
    ];
    if head.start_line.starts_with(b"POST http://content.invalid/") {
        made_up.insert(0, ("Host", "content.invalid"));
    }
    if given.is_empty() {
        assert_forwarded(head, given, &made_up);
        return;
    }
    let is_length = |(name, _): &&(&[u8], &[u8])| name.eq_ignore_ascii_case(b"Content-Length");
    let lengths: Vec<_> = head.fields.iter().filter(is_length).collect();
    assert_eq!(lengths, [&(&b"Content-Length"[..], length.as_bytes())]);
    let rest = head
        .fields
        .iter()
        .filter(|field| !is_length(field))
        .copied();
    let start_line = head.start_line;
    let mut given_rest = unfolded(given);
    given_rest.retain(|(name, _)| !name.eq_ignore_ascii_case(b"Content-Length"));
    assert_insensitive(
        &Head {
            start_line,
            fields: rest.collect(),
        },
        given_rest,
    );
}

fn assert_forwarded(head: &Head<'_>, given: &[u8], made_up: &[(&str, &str)]) {
    if given.is_empty() {
        let bytes =
            |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        assert_eq!(owned(head), made_up.iter().map(bytes).collect::<Fields>());
    } else {
        assert_insensitive(head, unfolded(given));
    }
}

fn assert_insensitive(head: &Head<'_>, given: Fields) {
    let mut expected = without_hop_by_hop(given);
    expected.retain(|(name, value)| !is_sensitive(&String::from_utf8_lossy(name), value));
    assert_eq!(owned(head), expected);
}

fn percent_decode(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let digits = std::str::from_utf8(&rest[..2]).expect("ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal digits"));
            rest = &rest[2..];
        } else {
            assert!(byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
            bytes.push(*byte);
        }
    }
    bytes
}

fn base64_decode(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| -> u32 {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let at = digits.iter().position(|&d| d == byte);
        u32::try_from(at.expect("a digit")).expect("small")
    };
    let mut bytes = Vec::new();
    assert_eq!(text.len() % 4, 0);
    for group in text.chunks(4) {
        let len = group.iter().take_while(|&&b| b != b'=').count();
        let bits = group[..len].iter().fold(0, |bits, &b| bits << 6 | digit(b)) << (6 * (4 - len));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..len]);
    }
    bytes
}
