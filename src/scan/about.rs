//! What is known about content, and the request that says it to a service.

use std::net::IpAddr;

use crate::error::{Error, InputError, InvalidInput};
use crate::proto::header::{Field, encode_field};
use crate::proto::options::ServiceOptions;
use crate::proto::request::{Method, Request, check_header};
use crate::proto::{base64, http_head};

/// The host of a request that is made up. A reserved name (RFC 2606), so that nothing is disclosed and
/// no server trips over an address.
const CONTENT_HOST: &str = "content.invalid";

/// What whoever reads it could act as the user with.
const SENSITIVE: &[&str] = &[
    "Authorization",
    "Cookie",
    "Cookie2",
    "Set-Cookie",
    "Set-Cookie2",
    "X-Api-Key",
    "X-Auth-Token",
];

/// Fields with a URI, which are as sensitive as a target if it has more than a path.
const URI_FIELDS: &[&str] = &["Content-Location", "Link", "Location", "Referer", "Refresh"];

/// What is known about content beside its bytes and their number.
#[derive(Default)]
pub(crate) struct About {
    pub(crate) name: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) http_request: Option<Vec<u8>>,
    pub(crate) http_response: Option<Vec<u8>>,
    pub(crate) include_sensitive: bool,
    pub(crate) client_ip: Option<IpAddr>,
    pub(crate) server_ip: Option<IpAddr>,
    pub(crate) user: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) headers_if_asked: Vec<(String, Vec<u8>)>,
}

impl About {
    /// The request that carries the content, of `length` bytes where that is known.
    pub(crate) fn request(&self, method: Method, length: Option<u64>) -> Result<Request, Error> {
        let mut request = match method {
            Method::Options => return Err(InputError::new(InvalidInput::Method, "OPTIONS").into()),
            Method::Respmod => Request::respmod()
                .http_request(&self.request_head()?)?
                .http_response(&self.response_head(length)?)?,
            Method::Reqmod => Request::reqmod().http_request(&self.upload_head(length)?)?,
        };
        for (name, value) in self.identity()?.iter().chain(&self.headers) {
            request = request.header(name, value)?;
        }
        for (name, value) in &self.headers_if_asked {
            check_header(name, value)?;
        }
        Ok(request)
    }

    /// The fields that this service wants to see, of those that are only for who asks.
    pub(crate) fn asked_for(&self, options: &ServiceOptions) -> Vec<(String, Vec<u8>)> {
        let is_asked_for = |(name, _): &&(String, Vec<u8>)| {
            let mut asked = options.x_include().iter();
            asked.any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let asked = self.headers_if_asked.iter().filter(is_asked_for);
        asked.cloned().collect()
    }

    /// The request that was answered with the content (RESPMOD).
    fn request_head(&self) -> Result<Vec<u8>, InputError> {
        match &self.http_request {
            Some(head) => self.given_request(head, None),
            None => Ok(format!("GET {}\r\n", self.made_up_target()).into_bytes()),
        }
    }

    /// The request that uploads the content (REQMOD).
    fn upload_head(&self, length: Option<u64>) -> Result<Vec<u8>, InputError> {
        match &self.http_request {
            Some(head) => self.given_request(head, Some(length)),
            None => {
                let fields = self.describe(length)?;
                Ok(format!("POST {}{fields}\r\n", self.made_up_target()).into_bytes())
            }
        }
    }

    /// The response that carries the content (RESPMOD).
    fn response_head(&self, length: Option<u64>) -> Result<Vec<u8>, InputError> {
        let Some(head) = &self.http_response else {
            let fields = self.describe(length)?;
            return Ok(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes());
        };
        http_head::check_response(head)?;
        Ok(self.forwarded(head, Some(length)))
    }

    /// The target, version and host of a request that is made up.
    fn made_up_target(&self) -> String {
        let name = percent_encode(self.name.as_deref().unwrap_or_default());
        format!("http://{CONTENT_HOST}/{name} HTTP/1.1\r\nHost: {CONTENT_HOST}\r\n")
    }

    /// The fields that describe the content.
    fn describe(&self, length: Option<u64>) -> Result<String, InputError> {
        let content_type = self.content_type.as_deref();
        let content_type = content_type.unwrap_or("application/octet-stream");
        check_header("Content-Type", content_type.as_bytes())?;
        let length = length.map_or(String::new(), |len| format!("Content-Length: {len}\r\n"));
        Ok(format!("Content-Type: {content_type}\r\n{length}"))
    }

    /// A caller's request head; with `length` if it carries the content.
    fn given_request(
        &self,
        head: &[u8],
        length: Option<Option<u64>>,
    ) -> Result<Vec<u8>, InputError> {
        http_head::check_request(head)?;
        let head = self.forwarded(head, length);
        Ok(if self.include_sensitive {
            head
        } else {
            without_query(&head)
        })
    }

    /// A caller's head without what is not for a service. If it carries the content, its length is
    /// said, and nothing else: whoever believed another one would scan another part.
    fn forwarded(&self, head: &[u8], length: Option<Option<u64>>) -> Vec<u8> {
        let mut out = http_head::forwarded(head, |field| {
            let is_replaced = length.is_some() && field.is("Content-Length");
            is_replaced || (!self.include_sensitive && is_sensitive(field))
        });
        if let Some(Some(length)) = length {
            out.truncate(out.len() - 2);
            encode_field(&mut out, "Content-Length", length.to_string().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// Who is concerned (draft-stecher-icap-subid §3).
    fn identity(&self) -> Result<Vec<(String, Vec<u8>)>, InputError> {
        let addresses = [
            ("X-Client-IP", self.client_ip),
            ("X-Server-IP", self.server_ip),
        ];
        let mut fields = Vec::new();
        for (name, address) in addresses {
            let address = address.map(|address| address.to_string());
            fields.extend(address.map(|address| (name.to_owned(), address.into_bytes())));
        }
        if let Some(user) = &self.user {
            let user = base64::encode(with_scheme(user)?.as_bytes());
            fields.push(("X-Authenticated-User".to_owned(), user.into_bytes()));
        }
        if !self.groups.is_empty() {
            let groups = self.groups.iter().map(|group| with_scheme(group));
            let groups = groups.collect::<Result<Vec<_>, _>>()?.join(",");
            let groups = base64::encode(groups.as_bytes());
            fields.push(("X-Authenticated-Groups".to_owned(), groups.into_bytes()));
        }
        Ok(fields)
    }
}

/// A user or group as it is, if it has a scheme, or as one of this machine's.
fn with_scheme(name: &str) -> Result<String, InputError> {
    // In base64 nothing can break a line, but whoever decodes it may take it for text.
    if name.is_empty() || name.chars().any(char::is_control) {
        let why = "empty, or with a control character";
        return Err(InputError::new(InvalidInput::User, why));
    }
    Ok(match name.contains("://") {
        true => name.to_owned(),
        false => format!("Local://{name}"),
    })
}

fn is_sensitive(field: &Field<'_>) -> bool {
    let is_one_of = |names: &[&str]| names.iter().any(|name| field.is(name));
    let says_more = || field.value().iter().any(|byte| b"?#@".contains(byte));
    is_one_of(SENSITIVE) || (is_one_of(URI_FIELDS) && says_more())
}

/// A checked request head whose target has neither a query nor user information.
fn without_query(head: &[u8]) -> Vec<u8> {
    let line = http_head::start_line(head);
    let (rest, version) = line.split_at(line.iter().rposition(|&b| b == b' ').unwrap_or(0));
    let (method, target) = rest.split_at(rest.iter().position(|&b| b == b' ').unwrap_or(0));
    let path = target
        .split(|&b| matches!(b, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    [
        method,
        &without_userinfo(path),
        version,
        &head[line.len()..],
    ]
    .concat()
}

/// ` http://user:secret@host/path` without `user:secret@`; also where such a URI stands in a path, as
/// `//user:secret@host`, and, for CONNECT, as `user:secret@host:port`. The space in front is that of the
/// request line.
fn without_userinfo(target: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = target.split(|&b| b == b'/').collect();
    for at in 0..segments.len() {
        let begins_authority = at == 0 || segments[at - 1].is_empty();
        if let (true, Some(end)) = (begins_authority, memchr::memrchr(b'@', segments[at])) {
            segments[at] = &segments[at][end + 1..];
        }
    }
    let space: &[u8] = if segments[0].starts_with(b" ") {
        b""
    } else {
        b" "
    };
    [space, &segments.join(&b'/')].concat()
}

/// Everything but the unreserved characters of RFC 3986 §2.3 is percent-encoded, so no name can end
/// the request line, begin a query or name another path.
fn percent_encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    // These two would be taken for a place in a hierarchy.
    match encoded.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => encoded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_one_path_segment_whatever_is_in_it() {
        for (name, encoded) in [
            ("invoice.pdf", "invoice.pdf"),
            ("a b/c?d#e%f", "a%20b%2Fc%3Fd%23e%25f"),
            ("a\r\nX-Infection: no", "a%0D%0AX-Infection%3A%20no"),
            ("Gr\u{fc}n\u{1f600}", "Gr%C3%BCn%F0%9F%98%80"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("", ""),
        ] {
            assert_eq!(percent_encode(name), encoded);
        }
    }

    fn encode(about: &About, method: Method, length: Option<u64>) -> String {
        let request = about.request(method, length).unwrap();
        let bytes = request.encode("icap://av/s", "av", true).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_request_says_what_is_known_and_no_more() {
        let about = About {
            name: Some("a b".to_owned()),
            content_type: Some("text/plain".to_owned()),
            ..About::default()
        };
        let target = "http://content.invalid/a%20b HTTP/1.1\r\nHost: content.invalid\r\n";
        let fields = "Content-Type: text/plain\r\nContent-Length: 5\r\n";
        let known = encode(&about, Method::Respmod, Some(5));
        let heads = format!("GET {target}\r\nHTTP/1.1 200 OK\r\n{fields}\r\n");
        assert!(known.ends_with(&heads), "{known}");
        let upload = encode(&about, Method::Reqmod, Some(5));
        assert!(
            upload.ends_with(&format!("POST {target}{fields}\r\n")),
            "{upload}"
        );
        let unknown = encode(&About::default(), Method::Respmod, None);
        assert!(!unknown.contains("Content-Length"), "{unknown}");
        let injected = About {
            content_type: Some("text/plain\r\nX: y".to_owned()),
            ..About::default()
        };
        let refused = injected.request(Method::Respmod, None);
        assert!(matches!(refused, Err(Error::Input(_))));
    }

    #[test]
    fn a_callers_heads_go_out_without_what_is_not_for_a_scanner() {
        let mut about = About {
            http_request: Some(
                b"GET http://joe:pw@h/a/b?session=1 HTTP/1.1\r\nHost: h\r\nCookie: c\r\n\
                  Authorization: Basic x\r\nTE: trailers\r\n\r\n"
                    .to_vec(),
            ),
            http_response: Some(
                b"HTTP/1.1 200 Fine\r\nSet-Cookie: c\r\nContent-Length: 999\r\nETag: e\r\n\
                  Connection: close\r\nLocation: /b\r\nContent-Location: /c?s=1\r\n\r\n"
                    .to_vec(),
            ),
            ..About::default()
        };
        let sent = encode(&about, Method::Respmod, Some(5));
        let response = "HTTP/1.1 200 Fine\r\nETag: e\r\nLocation: /b\r\nContent-Length: 5\r\n\r\n";
        let request = "GET http://h/a/b HTTP/1.1\r\nHost: h\r\n\r\n";
        assert!(sent.ends_with(&[request, response].concat()), "{sent}");
        let unknown = encode(&about, Method::Respmod, None);
        assert!(!unknown.contains("Content-Length"), "{unknown}");
        about.include_sensitive = true;
        let sent = encode(&about, Method::Respmod, Some(5));
        let request = "GET http://joe:pw@h/a/b?session=1 HTTP/1.1\r\nHost: h\r\nCookie: c\r\n\
                       Authorization: Basic x\r\n\r\n";
        let response = "HTTP/1.1 200 Fine\r\nSet-Cookie: c\r\nETag: e\r\nLocation: /b\r\n\
                        Content-Location: /c?s=1\r\nContent-Length: 5\r\n\r\n";
        assert!(sent.ends_with(&[request, response].concat()), "{sent}");
    }

    #[test]
    fn a_query_is_left_out_of_every_form_of_target() {
        for (target, kept) in [
            ("/a?b", "/a"),
            ("/a?b?c/d@e", "/a"),
            ("/a@b", "/a@b"),
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
            ("?", ""),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            let expected = format!("GET {kept} HTTP/1.1\r\nHost: h\r\n\r\n");
            let out = without_query(head.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{target}");
        }
    }

    #[test]
    fn who_is_concerned_is_said_in_fields_that_cannot_be_split() {
        let mut about = About {
            client_ip: Some("192.0.2.7".parse().unwrap()),
            server_ip: Some("2001:db8::1".parse().unwrap()),
            user: Some("bob".to_owned()),
            groups: vec!["staff".to_owned(), "LDAP://h/cn=x".to_owned()],
            headers: vec![("X-Mine".to_owned(), b"1".to_vec())],
            headers_if_asked: vec![("X-Theirs".to_owned(), b"2".to_vec())],
            ..About::default()
        };
        let sent = encode(&about, Method::Respmod, None);
        let fields = "X-Client-IP: 192.0.2.7\r\nX-Server-IP: 2001:db8::1\r\n\
                      X-Authenticated-User: TG9jYWw6Ly9ib2I=\r\n\
                      X-Authenticated-Groups: TG9jYWw6Ly9zdGFmZixMREFQOi8vaC9jbj14\r\nX-Mine: 1\r\n";
        assert!(
            sent.contains(fields) && !sent.contains("X-Theirs"),
            "{sent}"
        );
        let options = crate::proto::options::tests::options("X-Include: X-Foo, x-theirs\r\n");
        assert_eq!(about.asked_for(&options), about.headers_if_asked);
        for bad in ["", "bob\r\nAllow: 204", "bob\0"] {
            about.user = Some(bad.to_owned());
            let refused = about.request(Method::Respmod, None);
            assert!(matches!(refused, Err(Error::Input(_))), "{bad:?}");
        }
    }
}
