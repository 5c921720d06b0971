use crate::proto::encapsulated::{BodyKind, Encapsulated};
use crate::proto::limits::MAX_HTTP_HEAD;
use crate::proto::method::Method;

/// The forms of RFC 3507 §4.4.1: names in their order, and the methods whose responses may have them.
const FORMS: &[(&[&str], &[Method])] = {
    use Method::{Options, Reqmod, Respmod};
    &[
        (&["null-body"], &[Options, Reqmod, Respmod]),
        (&["opt-body"], &[Options]),
        (&["req-body"], &[Reqmod]),
        (&["res-body"], &[Reqmod, Respmod]),
        (&["req-hdr", "null-body"], &[Reqmod]),
        (&["req-hdr", "req-body"], &[Reqmod]),
        (&["req-hdr", "res-body"], &[]),
        (&["req-hdr", "opt-body"], &[]),
        (&["res-hdr", "null-body"], &[Reqmod, Respmod]),
        (&["res-hdr", "res-body"], &[Reqmod, Respmod]),
        (&["res-hdr", "req-body"], &[]),
        (&["res-hdr", "opt-body"], &[]),
        (&["req-hdr", "res-hdr", "null-body"], &[]),
        (&["req-hdr", "res-hdr", "res-body"], &[]),
        (&["req-hdr", "res-hdr", "req-body"], &[]),
        (&["req-hdr", "res-hdr", "opt-body"], &[]),
    ]
};

/// `Encapsulated` lists: `data` is the value.
///
/// - It is taken exactly if it has one of the RFC's forms, offsets that begin at 0 and no head that
///   is empty or over the limit.
/// - What is written from it is read again the same.
/// - The response to a method is only what that method allows.
pub fn encapsulated(data: &[u8]) {
    let parsed = Encapsulated::parse(data);
    let expected = reference(data);
    let found = parsed.ok().map(lengths);
    let lengths = expected.as_ref().map(|(_, lengths)| lengths.clone());
    assert_eq!(found, lengths, "{:?}", data.escape_ascii().to_string());

    for method in [Method::Options, Method::Reqmod, Method::Respmod] {
        let fits = parsed.is_ok_and(|list| list.fits(method));
        let is_allowed = expected.as_ref().is_some_and(|(m, _)| m.contains(&method));
        assert_eq!(fits, is_allowed, "{method}");
    }
    if let Ok(list) = parsed {
        let written = list.to_string();
        assert_eq!(
            Encapsulated::parse(written.as_bytes()),
            Ok(list),
            "{written}"
        );
    }
}

/// The lengths of the heads, and the kind of the body.
type Lengths = (Vec<(&'static str, usize)>, BodyKind);

fn lengths(list: Encapsulated) -> Lengths {
    let heads = [
        ("req-hdr", list.request_head),
        ("res-hdr", list.response_head),
    ];
    let there = heads
        .into_iter()
        .filter_map(|(name, len)| Some((name, len?)));
    (there.collect(), list.body)
}

fn reference(value: &[u8]) -> Option<(&'static [Method], Lengths)> {
    let value = std::str::from_utf8(value).ok()?;
    let members: Vec<(String, usize)> = value.split(',').map(member).collect::<Option<_>>()?;
    let fits =
        |form: &&(&[&str], &[Method])| form.0.iter().eq(members.iter().map(|(name, _)| name));
    let (names, methods) = FORMS.iter().find(fits)?;
    if members[0].1 != 0 {
        return None;
    }
    let mut heads = Vec::new();
    for (pair, name) in members.windows(2).zip(*names) {
        let len = pair[1].1.checked_sub(pair[0].1)?;
        heads.push((*name, len));
        if !(1..=MAX_HTTP_HEAD).contains(&len) {
            return None;
        }
    }
    let body = match *names.last()? {
        "req-body" => BodyKind::Request,
        "res-body" => BodyKind::Response,
        "opt-body" => BodyKind::Options,
        _ => BodyKind::Null,
    };
    Some((methods, (heads, body)))
}

/// Name and offset.
fn member(member: &str) -> Option<(String, usize)> {
    let (name, offset) = member
        .trim_matches([' ', '\t', '\r', '\n'])
        .split_once('=')?;
    let is_number = !offset.is_empty() && offset.bytes().all(|b| b.is_ascii_digit());
    let offset = offset.parse().ok().filter(|_| is_number)?;
    Some((name.to_ascii_lowercase(), offset))
}
