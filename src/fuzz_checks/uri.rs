use crate::proto::request::Request;
use crate::proto::uri::ServiceUri;

const PASSWORD: &str = "pa55-w0rd";

/// ICAP URIs: `data` is the URI, in UTF-8.
///
/// - What the request line and the `Host` field get of it is one word of visible ASCII each.
/// - The request's URI names the same service.
/// - Arguments are never shown. User information is an error that does not repeat it.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = text.parse::<ServiceUri>();
    if let Ok(uri) = &parsed {
        let scheme = text.split("://").next().expect("a scheme");
        assert_eq!(uri.is_tls(), scheme.eq_ignore_ascii_case("icaps"));
        assert_sendable(uri);
        assert_shown(text, uri);
        let authority = text.split(['/', '?', '#']).nth(2).unwrap_or_default();
        assert!(!authority.contains('@'), "{text}");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return;
    };
    // Fuzzers find out what they are compared with.
    if text.contains(PASSWORD) {
        return;
    }
    let with_user = format!("{scheme}://joe:{PASSWORD}@{rest}").parse::<ServiceUri>();
    let Err(error) = with_user else {
        panic!("user information is refused: {text}");
    };
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    let is_icap = ["icap", "icaps"].map(|known| scheme.eq_ignore_ascii_case(known));
    assert_eq!(shown.contains("`credentials`"), is_icap != [false; 2]);
}

fn assert_sendable(uri: &ServiceUri) {
    let (request_uri, authority) = (uri.request_uri(), uri.authority());
    for part in [&request_uri, &authority] {
        assert!(!part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic()));
    }
    assert!(
        !authority.contains(['@', '/', '?', '#', '%']),
        "{authority}"
    );
    let (scheme, behind) = request_uri.split_once("://").expect("the scheme");
    assert_eq!(scheme, if uri.is_tls() { "icaps" } else { "icap" });
    let path = behind.strip_prefix(&authority).expect("the authority");
    assert!(path.starts_with('/') && !path.contains('#'), "{path}");
    assert_ne!(uri.port(), 0);

    let again: ServiceUri = request_uri.parse().expect("the request's URI is one");
    // A zone means something on this machine only and is not sent (RFC 6874 §4).
    let host = uri.host().split('%').next().expect("a host");
    assert_eq!((again.host(), again.port()), (host, uri.port()));
    assert_eq!(again.is_tls(), uri.is_tls());
    assert_eq!(again.request_uri(), request_uri);

    let encoded = Request::options().encode(&request_uri, &authority, false);
    let encoded = String::from_utf8(encoded.expect("it can be sent")).expect("ASCII");
    let mut lines = encoded.split("\r\n");
    let request_line = format!("OPTIONS {request_uri} ICAP/1.0");
    assert_eq!(lines.next(), Some(request_line.as_str()));
    assert_eq!(lines.next(), Some(format!("Host: {authority}").as_str()));
    assert_eq!(
        lines.count(),
        4,
        "User-Agent, Encapsulated and the blank line"
    );
}

/// What is displayed is the same service when read again, and its name has no arguments.
fn assert_shown(text: &str, uri: &ServiceUri) {
    let shown = uri.to_string();
    assert_eq!(shown.parse::<ServiceUri>().expect("a URI"), *uri, "{text}");
    let name = uri.name();
    assert_eq!(name, format!("{uri:?}"));
    assert_eq!(shown.split('?').next(), Some(&*name), "{text}");
}
