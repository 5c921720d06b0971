//! What is known about content, and the request that carries it to a service.

use std::borrow::Cow;
use std::net::IpAddr;

use super::redact;
use crate::error::{Error, InputError, InvalidInput};
use crate::proto::header::{append, encode_field};
use crate::proto::limits::MAX_NAME;
use crate::proto::method::Method;
use crate::proto::number::encode_decimal;
use crate::proto::options::ServiceOptions;
use crate::proto::request::{Request, check_header};
use crate::proto::{base64, http_head};

/// A made-up request, before and after the name of the content. The host is a reserved name (RFC 2606): it discloses
/// nothing and no server resolves it.
const BEFORE_NAME: &[u8] = b" http://content.invalid/";
const AFTER_NAME: &[u8] = b" HTTP/1.1\r\nHost: content.invalid\r\n";

/// Bytes of the made-up heads without the name and the type, at most.
const MADE_UP_HEADS: usize = 256;

/// What is known about content besides its bytes and its length.
#[derive(Default)]
pub(crate) struct About {
    pub(crate) name: Option<String>,
    details: Option<Box<Details>>,
}

/// What is known of some content only. It is apart, because content is moved several times on its way to a scan.
#[derive(Default)]
pub(crate) struct Details {
    /// By which the verdict is cached. It is not sent.
    pub(crate) id: Option<Vec<u8>>,
    /// It is sent with a preview if any content is, whatever its name is.
    pub(crate) gets_any_preview: bool,
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

/// Whether a head carries the content.
#[derive(Clone, Copy)]
enum Carried {
    Nothing,
    /// Its length, if that is known.
    Content {
        length: Option<u64>,
    },
}

impl About {
    /// What is known besides the name; `None` if that is nothing.
    pub(crate) fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// The same, to be changed.
    pub(crate) fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// The ICAP request for the content, which has `length` bytes if that is known.
    pub(crate) fn request(&self, method: Method, length: Option<u64>) -> Result<Request, Error> {
        let details = self.details();
        if let Some(details) = details {
            details.refuse_part(method)?;
            details.refuse_empty_id()?;
        }
        if method == Method::Options {
            return Err(InputError::new(InvalidInput::Method, "OPTIONS").into());
        }
        let mut request = Request::new(method);
        self.add_http_request(&mut request, length)?;
        if method == Method::Respmod {
            self.add_http_response(&mut request, length)?;
        }
        if let Some(details) = details {
            details.add_fields(&mut request)?;
        }
        Ok(request)
    }

    /// Adds the HTTP request that uploads the content (REQMOD), or to which the content is the response (RESPMOD).
    fn add_http_request(
        &self,
        request: &mut Request,
        length: Option<u64>,
    ) -> Result<(), InputError> {
        let is_upload = request.method() == Method::Reqmod;
        let given = self
            .details()
            .map(|details| (details, &details.http_request));
        if let Some((details, Some(head))) = given {
            let carried = match is_upload {
                true => Carried::Content { length },
                false => Carried::Nothing,
            };
            return request.set_http_request(&details.given_request(head, carried)?);
        }
        let name = shortened(self.name.as_deref().unwrap_or_default());
        let mut head = Vec::with_capacity(MADE_UP_HEADS + name.len());
        append(
            &mut head,
            &[if is_upload { b"POST" } else { b"GET" }, BEFORE_NAME],
        );
        percent_encode(&mut head, &name);
        append(&mut head, &[AFTER_NAME]);
        if is_upload {
            self.describe(&mut head, 0, length, http_head::check_request)?;
        } else {
            append(&mut head, &[b"\r\n"]);
        }
        request.set_made_up_request(head);
        Ok(())
    }

    /// Adds the HTTP response that carries the content (RESPMOD).
    fn add_http_response(
        &self,
        request: &mut Request,
        length: Option<u64>,
    ) -> Result<(), InputError> {
        let given = self
            .details()
            .map(|details| (details, &details.http_response));
        if let Some((details, Some(head))) = given {
            http_head::check_response(head)?;
            let carried = Carried::Content { length };
            return request.set_http_response(&details.forwarded(head, carried));
        }
        let heads = request.heads_before_response();
        let begin = heads.len();
        append(heads, &[b"HTTP/1.1 200 OK\r\n"]);
        self.describe(heads, begin, length, http_head::check_response)
    }

    /// Appends the fields that describe the content, and the blank line, to the head that begins at `begin`. If it has the
    /// caller's type, it may be too long.
    fn describe(
        &self,
        head: &mut Vec<u8>,
        begin: usize,
        length: Option<u64>,
        check: fn(&[u8]) -> Result<(), InputError>,
    ) -> Result<(), InputError> {
        let content_type = self
            .details()
            .and_then(|details| details.content_type.as_ref());
        match content_type {
            None => append(head, &[b"Content-Type: application/octet-stream\r\n"]),
            Some(content_type) => {
                check_header("Content-Type", content_type.as_bytes())?;
                encode_field(head, "Content-Type", content_type.as_bytes());
            }
        }
        if let Some(length) = length {
            append(head, &[b"Content-Length: "]);
            encode_decimal(head, length);
            append(head, &[b"\r\n"]);
        }
        append(head, &[b"\r\n"]);
        content_type.map_or(Ok(()), |_| check(&head[begin..]))
    }
}

impl Details {
    /// The fields of `headers_if_asked` that this service asks for.
    pub(crate) fn asked_for(
        &self,
        options: &ServiceOptions,
    ) -> impl Iterator<Item = &(String, Vec<u8>)> {
        let is_asked_for = |(name, _): &&(String, Vec<u8>)| {
            let mut asked = options.x_include().iter();
            asked.any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        self.headers_if_asked.iter().filter(is_asked_for)
    }

    fn refuse_empty_id(&self) -> Result<(), InputError> {
        let why = "each content without an id would have the verdict of the first one";
        match &self.id {
            Some(id) if id.is_empty() => Err(InputError::new(InvalidInput::Id, why)),
            _ => Ok(()),
        }
    }

    /// Refuses heads of a partial file: a verdict on a part is no verdict on the file.
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

    /// The caller's request head, without what is not forwarded.
    fn given_request(&self, head: &[u8], carried: Carried) -> Result<Vec<u8>, InputError> {
        http_head::check_request(head)?;
        let head = self.forwarded(head, carried);
        Ok(if self.include_sensitive {
            head
        } else {
            redact::redact_target(&head)
        })
    }

    /// A caller's head without what is not forwarded. If it carries the content, its length is that of the content
    /// or is left out: a service that believed another length would scan another part.
    fn forwarded(&self, head: &[u8], carried: Carried) -> Vec<u8> {
        let (has_content, length) = match carried {
            Carried::Nothing => (false, None),
            Carried::Content { length } => (true, length),
        };
        http_head::forwarded_with(head, length, |field| {
            let is_replaced = has_content && field.is("Content-Length");
            let is_sensitive = || redact::is_sensitive(field.name(), &field.value());
            is_replaced || (!self.include_sensitive && is_sensitive())
        })
    }

    /// Adds the fields for the user and the addresses, and those that the caller has given.
    fn add_fields(&self, request: &mut Request) -> Result<(), InputError> {
        self.add_identity(request)?;
        for (name, value) in &self.headers {
            request.add_header(name, value)?;
        }
        for (name, value) in &self.headers_if_asked {
            check_header(name, value)?;
        }
        Ok(())
    }

    /// Adds the fields for the user and the addresses (draft-stecher-icap-subid §3).
    fn add_identity(&self, request: &mut Request) -> Result<(), InputError> {
        let addresses = [
            ("X-Client-IP", self.client_ip),
            ("X-Server-IP", self.server_ip),
        ];
        for (name, address) in addresses {
            if let Some(address) = address {
                request.add_header(name, address.to_string().as_bytes())?;
            }
        }
        if let Some(user) = &self.user {
            let user = base64::encode(with_scheme(user)?.as_bytes());
            request.add_header("X-Authenticated-User", user.as_bytes())?;
        }
        if !self.groups.is_empty() {
            let groups = self.groups.iter().map(|group| member(group));
            let groups = groups.collect::<Result<Vec<_>, _>>()?.join(",");
            let groups = base64::encode(groups.as_bytes());
            request.add_header("X-Authenticated-Groups", groups.as_bytes())?;
        }
        Ok(())
    }
}

/// A user or group with its scheme; without one it gets `Local://`.
fn with_scheme(name: &str) -> Result<String, InputError> {
    // Base64 hides a line break from this request, but not from a reader of the decoded text.
    if name.is_empty() || name.chars().any(char::is_control) {
        let why = "a user or a group is empty or has a control character";
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

/// One group of the list. A group that a service would read as two, or as another one, is refused.
fn member(group: &str) -> Result<String, InputError> {
    if group.contains(',') || group.trim() != group {
        let why = "a group has a comma, which separates groups (write %2C in a URI), or white space around it";
        return Err(InputError::new(InvalidInput::User, why));
    }
    with_scheme(group)
}

/// Whether a response has several parts (RFC 9110 §14.6).
fn has_byte_ranges(head: &[u8]) -> bool {
    let fields = http_head::fields(head);
    fields.get_all("Content-Type").any(|field| {
        let value = field.value().to_ascii_lowercase();
        value.starts_with(b"multipart/byteranges")
    })
}

/// The name, cut to [`MAX_NAME`] bytes. The extension is kept, because services decide by it, unless it is longer
/// than 255 bytes.
fn shortened(name: &str) -> Cow<'_, str> {
    const MAX_EXTENSION: usize = 255;
    if name.len() <= MAX_NAME {
        return name.into();
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
    format!("{}{extension}", &name[..end]).into()
}

/// Appends the name. Everything but the unreserved characters of RFC 3986 §2.3 is encoded, so that no name can end the
/// request line, begin a query or lead to another path.
fn percent_encode(out: &mut Vec<u8>, name: &str) {
    // These two name a place in a hierarchy.
    let is_place = matches!(name, "." | "..");
    for byte in name.bytes() {
        if !is_place && (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            out.push(byte);
        } else {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests;
