//! What is known about content, and the request that says it to a service.

use std::net::IpAddr;

use super::redact;
use crate::error::{Error, InputError, InvalidInput};
use crate::proto::limits::MAX_NAME;
use crate::proto::method::Method;
use crate::proto::options::ServiceOptions;
use crate::proto::request::{Request, check_header};
use crate::proto::{base64, http_head};

/// The host of a request that is made up. A reserved name (RFC 2606), so that nothing is disclosed and
/// no server trips over an address.
const CONTENT_HOST: &str = "content.invalid";

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
        self.refuse_part(method)?;
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

    /// A verdict on a part of a file is none on the file, and the heads say that this is a part.
    fn refuse_part(&self, method: Method) -> Result<(), InputError> {
        let refused = |why| Err(InputError::new(InvalidInput::PartialContent, why));
        let has_range = |head| http_head::fields(head).get("Content-Range").is_some();
        if let Some(head) = &self.http_response {
            http_head::check_response(head)?;
            let is_206 = http_head::start_line(head).get(9..12) == Some(b"206");
            if is_206 || has_range(head) || has_byte_ranges(head) {
                return refused("the HTTP response is a 206 or has ranges");
            }
        }
        match &self.http_request {
            Some(head) if method == Method::Reqmod && has_range(head) => {
                refused("the HTTP request has a Content-Range")
            }
            _ => Ok(()),
        }
    }

    /// The target, version and host of a request that is made up.
    fn made_up_target(&self) -> String {
        let name = percent_encode(&shortened(self.name.as_deref().unwrap_or_default()));
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
            redact::redact_target(&head)
        })
    }

    /// A caller's head without what is not for a service. If it carries the content, the length in it is
    /// that of the content or left out: whoever believed another one would scan another part.
    fn forwarded(&self, head: &[u8], length: Option<Option<u64>>) -> Vec<u8> {
        http_head::forwarded_with(head, length.flatten(), |field| {
            let is_replaced = length.is_some() && field.is("Content-Length");
            let is_sensitive = || redact::is_sensitive(field.name(), &field.value());
            is_replaced || (!self.include_sensitive && is_sensitive())
        })
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
            let groups = self.groups.iter().map(|group| member(group));
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
    let is_in_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let has_scheme = name
        .split_once("://")
        .is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.chars().all(is_in_scheme));
    Ok(if has_scheme {
        name.to_owned()
    } else {
        format!("Local://{name}")
    })
}

/// One group in a list: what would be read as two, or as another one, is refused.
fn member(group: &str) -> Result<String, InputError> {
    if group.contains(',') || group.trim() != group {
        let why = "a group with a comma, which separates groups (%2C in a URI), or with white space around it";
        return Err(InputError::new(InvalidInput::User, why));
    }
    with_scheme(group)
}

/// A response in several parts (RFC 9110 §14.6).
fn has_byte_ranges(head: &[u8]) -> bool {
    let fields = http_head::fields(head);
    fields.get_all("Content-Type").any(|field| {
        let value = field.value().to_ascii_lowercase();
        value.starts_with(b"multipart/byteranges")
    })
}

/// A name of at most [`MAX_NAME`] bytes. A longer one is cut before its extension, by which services
/// decide; without an extension, or with one of more than 255 bytes, at its end.
fn shortened(name: &str) -> String {
    const MAX_EXTENSION: usize = 255;
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
    let extension = if extension.len() > MAX_EXTENSION {
        ""
    } else {
        extension
    };
    let mut end = MAX_NAME - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &name[..end])
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
    use crate::proto::limits::{MAX_FIELDS, MAX_HTTP_HEAD};

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

    #[test]
    fn long_name_is_cut_and_keeps_its_extension() {
        let x = |count: usize| "x".repeat(count);
        for (name, expected) in [
            (x(MAX_NAME - 1), x(MAX_NAME - 1)),
            (x(MAX_NAME), x(MAX_NAME)),
            (x(MAX_NAME + 1), x(MAX_NAME)),
            (x(MAX_NAME - 4) + ".exe", x(MAX_NAME - 4) + ".exe"),
            (x(MAX_NAME - 3) + ".exe", x(MAX_NAME - 4) + ".exe"),
            (x(131_100) + ".exe", x(MAX_NAME - 4) + ".exe"),
            ("\u{1f600}".repeat(14_000), "\u{1f600}".repeat(MAX_NAME / 4)),
            (
                "\u{20ac}".repeat(9_000) + ".x",
                "\u{20ac}".repeat((MAX_NAME - 2) / 3) + ".x",
            ),
            (
                "a.".to_owned() + &x(9_000),
                "a.".to_owned() + &x(MAX_NAME - 2),
            ),
        ] {
            let short = shortened(&name);
            assert_eq!(short, expected);
            let about = About {
                name: Some(name),
                ..About::default()
            };
            for method in [Method::Respmod, Method::Reqmod] {
                let sent = encode(&about, method, Some(5));
                let target = format!("/{} HTTP/1.1\r\n", percent_encode(&short));
                assert!(sent.contains(&target));
            }
        }
    }

    #[test]
    fn head_at_the_limits_is_sent_within_them() {
        let longest = |frame: &str| {
            let filler = "x".repeat(MAX_HTTP_HEAD - frame.len());
            frame.replace("X:", &format!("X:{filler}"))
        };
        let most = |line: &str| format!("{line}\r\n{}\r\n", "A:b\r\n".repeat(MAX_FIELDS));
        for (line, method) in [
            ("GET /a HTTP/1.1", Method::Reqmod),
            ("HTTP/1.1 200 OK", Method::Respmod),
        ] {
            for (head, says_length) in [
                (longest(&format!("{line}\r\nX:\r\n\r\n")), false),
                (
                    longest(&format!("{line}\r\nX:\r\nContent-Length: 10000\r\n\r\n")),
                    true,
                ),
                (
                    longest(&format!("{line}\r\nX:\r\nContent-Length:0\r\n\r\n")),
                    false,
                ),
                (
                    longest(&format!("{line}\r\nX:\r\n{}\r\n", "A:b\r\n".repeat(255))),
                    false,
                ),
                (most(line), false),
            ] {
                let mut about = About::default();
                let given = match method {
                    Method::Reqmod => &mut about.http_request,
                    _ => &mut about.http_response,
                };
                *given = Some(head.clone().into_bytes());
                let sent = encode(&about, method, Some(70_000));
                let (_, heads) = sent.split_once("\r\n\r\n").unwrap();
                let own = &heads[heads.rfind(line).unwrap()..];
                assert!(own.len() <= MAX_HTTP_HEAD, "{}", own.len());
                let fields = own.trim_end().split("\r\n").count() - 1;
                assert!(fields <= MAX_FIELDS, "{fields}");
                let is_said =
                    own.contains("Content-Length:70000") || own.contains("Content-Length: 70000");
                assert_eq!(is_said, says_length, "{}", &head[head.len() - 30..]);
                assert!(!own.contains("Content-Length: 1") && !own.contains("Content-Length:0"));
            }
        }
    }

    #[test]
    fn part_of_a_file_is_refused_by_its_head() {
        let part = |head: &str, method| {
            let mut about = About::default();
            let given = match head.starts_with("HTTP") {
                true => &mut about.http_response,
                false => &mut about.http_request,
            };
            *given = Some(head.as_bytes().to_vec());
            match about.request(method, None) {
                Err(Error::Input(error)) => Some(error.kind()),
                Err(other) => panic!("{other:?}"),
                Ok(_) => None,
            }
        };
        for (head, is_part) in [
            ("HTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.1 206 Partial Content\r\n\r\n", true),
            ("HTTP/1.0 206\r\n\r\n", true),
            (
                "HTTP/1.1 200 OK\r\ncontent-range: bytes 0-4/9\r\n\r\n",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Type: Multipart/ByteRanges; boundary=x\r\n\r\n",
                true,
            ),
            ("HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\n\r\n", false),
        ] {
            for method in [Method::Respmod, Method::Reqmod] {
                let expected = is_part.then_some(InvalidInput::PartialContent);
                assert_eq!(part(head, method), expected, "{head}");
            }
        }
        let upload = "PUT /a HTTP/1.1\r\nContent-Range: bytes 0-4/9\r\n\r\n";
        assert_eq!(
            part(upload, Method::Reqmod),
            Some(InvalidInput::PartialContent)
        );
        assert_eq!(part(upload, Method::Respmod), None);
        let download = "GET /a HTTP/1.1\r\nRange: bytes=0-4\r\n\r\n";
        assert_eq!(part(download, Method::Respmod), None);
    }

    #[test]
    fn group_stays_one_group() {
        for (group, is_taken) in [
            ("staff", true),
            ("LDAP://h/cn=x%2Cdc=y", true),
            ("guests,Local://domain-admins", false),
            ("LDAP://h/cn=x,dc=y", false),
            (",", false),
            (" staff", false),
            ("staff\u{a0}", false),
        ] {
            let about = About {
                groups: vec![group.to_owned()],
                ..About::default()
            };
            let request = about.request(Method::Respmod, None);
            assert_eq!(request.is_ok(), is_taken, "{group}");
        }
        for (user, sent) in [
            ("bob", "Local://bob"),
            ("WinNT://d/bob", "WinNT://d/bob"),
            ("bob,Local://root", "Local://bob,Local://root"),
            ("://x", "Local://://x"),
        ] {
            assert_eq!(with_scheme(user).unwrap(), sent);
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
