//! Redaction of a caller's HTTP heads: a service must not get what lets it act as the user.

use memchr::{memchr2, memmem, memrchr};

use crate::proto::http_head;

/// Fields with credentials or session data.
const SENSITIVE: &[&str] = &[
    "Authorization",
    "Cookie",
    "Cookie2",
    "Query-String",
    "Set-Cookie",
    "Set-Cookie2",
    "X-Api-Key",
    "X-Auth-Token",
    "X-Forwarded-Query",
    "X-Original-Query",
    "X-Query-String",
];

/// Ends of words in the names of fields that hold a URI or a part of one: `Referer`, `X-Original-URL`,
/// `X-Forwarded-Uri`, `X-Accel-Redirect`. Such a field is left out if its URI has more than a path.
const URI_WORDS: &[&str] = &[
    "alternates",
    "base",
    "destination",
    "link",
    "location",
    "path",
    "pingback",
    "prefix",
    "redirect",
    "referer",
    "referrer",
    "refresh",
    "request",
    "sourcemap",
    "target",
    "uri",
    "url",
];

/// Whether a field holds credentials or session data, also within a URI.
pub(crate) fn is_sensitive(name: &str, value: &[u8]) -> bool {
    let is_named = SENSITIVE
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name));
    is_named || (holds_uri(name) && has_more_than_a_path(name, value))
}

fn holds_uri(name: &str) -> bool {
    let is_uri_word = |word: &str| {
        let word = word.to_ascii_lowercase();
        URI_WORDS.iter().any(|end| word.ends_with(end))
    };
    name.split(['-', '_']).any(is_uri_word)
}

/// Whether the URI of a field has more than a host and a path.
fn has_more_than_a_path(name: &str, value: &[u8]) -> bool {
    if value.iter().any(|byte| b"?#@".contains(byte)) {
        return true;
    }
    // These two fields have semicolons outside of the URI, too.
    let uri = if name.eq_ignore_ascii_case("Link") {
        let targets = value.split(|&b| b == b'<').skip(1);
        let target = |rest: &[u8]| rest.split(|&b| b == b'>').next().map(<[u8]>::to_vec);
        targets.filter_map(target).collect::<Vec<_>>().join(&b'/')
    } else if name.eq_ignore_ascii_case("Refresh") {
        let at = memchr2(b';', b',', value).map_or(0, |at| at + 1);
        value[at..].to_vec()
    } else {
        value.to_vec()
    };
    without_secrets(&uri) != uri
}

/// Removes query, fragment, user information and session from the target of a checked request head.
pub(crate) fn redact_target(head: &[u8]) -> Vec<u8> {
    let line = http_head::start_line(head);
    let mut words = line.splitn(3, |&b| b == b' ');
    let mut word = || words.next().unwrap_or_default();
    let (method, target, version) = (word(), word(), word());
    let target = without_secrets(target);
    let target = if target.is_empty() { b"/" } else { &target[..] };
    let rest = &head[line.len()..];
    [method, b" ", target, b" ", version, rest].concat()
}

/// Removes query, fragment, user information and path parameters from a URI or a part of one.
///
/// A URI within the path of another one is treated the same, also if it is percent-encoded or has lost one of its
/// two slashes.
fn without_secrets(uri: &[u8]) -> Vec<u8> {
    let path = &uri[..memchr2(b'?', b'#', uri).unwrap_or(uri.len())];
    let plain = decode_delimiters(path);
    let kept = redact_path(&plain);
    if kept == plain {
        path.to_vec()
    } else {
        encode_query_delimiters(&kept)
    }
}

/// Decodes the delimiters between the parts of a URI, and nothing else.
fn decode_delimiters(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        let escape = rest.get(1..3).filter(|_| *byte == b'%');
        let delimiter = escape.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            let byte = u8::from_str_radix(digits, 16).ok()?;
            b":/@?#;=()".contains(&byte).then_some(byte)
        });
        decoded.push(delimiter.unwrap_or(*byte));
        rest = delimiter.map_or(after, |_| &rest[3..]);
    }
    decoded
}

fn encode_query_delimiters(path: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'?' => encoded.extend_from_slice(b"%3F"),
            b'#' => encoded.extend_from_slice(b"%23"),
            byte => encoded.push(byte),
        }
    }
    encoded
}

/// Redacts a path with decoded delimiters. A question mark in it was percent-encoded. It begins a query if a name
/// with a value follows.
fn redact_path(path: &[u8]) -> Vec<u8> {
    let path = until_value(path, b"?#");
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in path.split(|&b| b == b'/') {
        let begins_authority = match kept[..] {
            [] => true,
            // A path has nothing before its first slash.
            [first] => first.ends_with(b":"),
            [.., before] => before.is_empty() || before.ends_with(b":"),
        };
        let segment = without_user(segment, begins_authority);
        if !is_session(segment) {
            kept.push(until_value(segment, b";"));
        }
    }
    kept.join(&b'/')
}

/// Whether a segment is a session of ASP.NET: `/(S(x1y2))/`.
fn is_session(segment: &[u8]) -> bool {
    matches!(segment, [b'(', letter, b'(', .., b')', b')'] if letter.is_ascii_alphabetic())
}

/// The part before the first of these delimiters, if a name with a value follows it.
fn until_value<'p>(path: &'p [u8], delimiters: &[u8]) -> &'p [u8] {
    let at = path.iter().position(|byte| delimiters.contains(byte));
    let at = at.filter(|&at| path[at..].contains(&b'='));
    &path[..at.unwrap_or(path.len())]
}

/// A segment without user information, which ends at the last `@`. A segment has it if an authority begins there
/// or a colon stands before the `@`.
fn without_user(segment: &[u8], begins_authority: bool) -> &[u8] {
    match memrchr(b'@', segment) {
        Some(at) if begins_authority || memmem::find(&segment[..at], b":").is_some() => {
            &segment[at + 1..]
        }
        _ => segment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_loses_its_secrets() {
        for (target, kept) in [
            ("/a?b", "/a"),
            ("/a?b?c/d@e", "/a"),
            ("/a@b", "/a@b"),
            ("/@scope/pkg@1.0", "/@scope/pkg@1.0"),
            ("http://u:p@h:1/a@b?c", "http://h:1/a@b"),
            ("http://h?u:p@x", "http://h"),
            ("http://u@v@h", "http://h"),
            ("*", "*"),
            ("h:443", "h:443"),
            ("u:p@h:443", "h:443"),
            ("//u:p@h/a@b", "//h/a@b"),
            ("/a#token=1", "/a"),
            ("/proxy/http://u:p@h/a", "/proxy/http://h/a"),
            ("///u:p@h/a", "///h/a"),
            ("?", "/"),
            ("#a", "/"),
            // One slash of two is lost on the way through many proxies.
            ("/proxy/http:/u:p@h/a", "/proxy/http:/h/a"),
            ("/proxy/http:/u@h/a", "/proxy/http:/h/a"),
            ("/proxy/http:u:p@h/a", "/proxy/h/a"),
            ("http:/u:p@h/a", "http:/h/a"),
            ("/a/u:p@h/b", "/a/h/b"),
            // Percent-encoded.
            ("/proxy/http%3A%2F%2Fu%3Ap%40h%2Fa", "/proxy/http://h/a"),
            ("/proxy/http%3a%2f%2fu@h", "/proxy/http://h"),
            ("/proxy/http%3A%2F%2Fh%2Fa%3Ft%3D1", "/proxy/http://h/a"),
            ("/proxy/http%3A%2F%2Fh%2Fa", "/proxy/http%3A%2F%2Fh%2Fa"),
            ("/a%3Fb/u:p@h", "/a%3Fb/h"),
            ("/why%3F.pdf", "/why%3F.pdf"),
            ("/100%", "/100%"),
            ("/%zz%4", "/%zz%4"),
            // Path parameters.
            ("/a.exe;jsessionid=1?b", "/a.exe"),
            ("/a;jsessionid=1/b;v=2/c", "/a/b/c"),
            ("/a%3Bjsessionid%3D1/b", "/a/b"),
            ("/a;b.exe", "/a;b.exe"),
            ("/;jsessionid=1", "/"),
            ("/a/(S(x1y2))/b.aspx", "/a/b.aspx"),
            ("http://(S(x))/u:p@h/a", "http://h/a"),
            ("/a/(1(2))/b", "/a/(1(2))/b"),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            let expected = format!("GET {kept} HTTP/1.1\r\nHost: h\r\n\r\n");
            let out = redact_target(head.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{target}");
        }
    }

    #[test]
    fn field_with_more_than_a_path_is_left_out() {
        for name in [
            "Content-Location",
            "Destination",
            "Location",
            "Referer",
            "X-Accel-Redirect",
            "X-Envoy-Original-Path",
            "X-Forwarded-Uri",
            "X-Original-URL",
            "X-OriginalUrl",
            "X-Rewrite-URL",
            "X_REQUEST_URI",
            "SourceMap",
        ] {
            for (value, expected) in [
                ("/a/b", false),
                ("https://h/a", false),
                ("/a?s=1", true),
                ("/a#s", true),
                ("http://u:p@h/", true),
                ("/a;jsessionid=1", true),
                ("/a%3Fs%3D1", true),
                ("http%3A%2F%2Fu%3Ap%40h", true),
            ] {
                let is_left_out = is_sensitive(name, value.as_bytes());
                assert_eq!(is_left_out, expected, "{name}: {value}");
            }
        }
    }

    #[test]
    fn semicolon_outside_the_uri_is_kept() {
        for (name, value, expected) in [
            ("Link", "</a>;rel=next, </b>; rel=\"prev\"", false),
            ("Link", "</a;jsessionid=1>;rel=next", true),
            ("Refresh", "5;url=/a", false),
            ("Refresh", "5; url=/a;jsessionid=1", true),
            ("Content-Type", "text/plain;charset=a?b@c", false),
            (
                "Content-Disposition",
                "attachment;filename=\"a?b.exe\"",
                false,
            ),
            ("Strict-Transport-Security", "max-age=1;x=?", false),
            ("Host", "h", false),
            ("X-Query-String", "s=1", true),
            ("cookie", "", true),
        ] {
            let is_left_out = is_sensitive(name, value.as_bytes());
            assert_eq!(is_left_out, expected, "{name}: {value}");
        }
    }
}
