//! What is to be scanned.

use std::fmt;
#[cfg(doc)]
use std::fs::File;
use std::io::{self, Read, Seek};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::metadata::About;
use super::regular_file;
use crate::client::body::Body;
use crate::client::digest::Digest;
use crate::client::monitor::{Monitor, Progress};
use crate::error::{Error, InputError, InvalidInput};

/// What is to be scanned: its bytes, and what is known about them.
///
/// The length is known for bytes and files, found by seeking for [`seekable`](Content::seekable), and
/// can be declared for a [`reader`](Content::reader). A known length is enforced while the content is
/// sent: a file that grows or shrinks meanwhile is an error and no verdict.
///
/// ```
/// use icap_client::Content;
///
/// let upload = Content::reader(std::io::Cursor::new("hello"))
///     .len(5)
///     .name("greeting.txt")
///     .content_type("text/plain");
/// ```
#[must_use]
pub struct Content<'a> {
    body: Body<'a>,
    about: About,
    progress: Option<Progress<'a>>,
    deadline: Option<Duration>,
}

impl<'a> Content<'a> {
    /// Content in memory.
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self::new(bytes.into())
    }

    /// A regular file. Its name goes to the service with the content, its path does not.
    ///
    /// That it is regular is checked on the open handle, and opening does not wait: a pipe without a writer
    /// would hang past every deadline. Pipes and devices can be scanned with [`reader`](Self::reader).
    ///
    /// # Errors
    ///
    /// If it cannot be opened, is a directory ([`IsADirectory`](io::ErrorKind::IsADirectory)), or is not a
    /// regular file ([`InvalidInput`](io::ErrorKind::InvalidInput)).
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut content = Self::seekable(regular_file::open(path)?);
        content.about.name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Ok(content)
    }

    /// Whatever a reader gives, until it ends.
    ///
    /// It is read once. Its first 64 KiB are kept: if that is all of it, it can be sent again, also to another
    /// server. Larger content is sent on a new connection, because it would be lost with one that the server
    /// has closed; and to another server only if a failure came before more than that was read.
    ///
    /// Some of it may have been read whatever a scan comes to, also if no server could be reached. Do not scan
    /// what is left of a reader as if it were all: the rest may be clean where the whole is not.
    pub fn reader(reader: impl Read + Send + 'a) -> Self {
        Self::new(Body::reader(reader))
    }

    /// What a reader gives from its present position to its end. It can be sent again.
    ///
    /// A reader that stands at the end of something that is not empty, such as a temporary file that was
    /// written and not rewound, is an [`Error::Content`] when it is scanned. A [`reader`](Self::reader) does not
    /// say where it stands, so hand over a [`File`] here and not there.
    pub fn seekable(reader: impl Read + Seek + Send + 'a) -> Self {
        Self::new(Body::seekable(reader))
    }

    fn new(body: Body<'a>) -> Self {
        Self {
            body,
            about: About::default(),
            progress: None,
            deadline: None,
        }
    }

    /// Declares the length in bytes.
    pub fn len(mut self, length: u64) -> Self {
        self.body = self.body.len(length);
        self
    }

    /// The name of the file, for services that look at its extension. Any text will do: it is
    /// percent-encoded. A name of more than [`MAX_NAME`](crate::limits::MAX_NAME) bytes (4 KiB in UTF-8) is cut
    /// and keeps its extension, if that has no more than 255 bytes with its dot.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.about.name = Some(name.into());
        self
    }

    /// The media type, for example `application/pdf`. Default: `application/octet-stream`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.about.content_type = Some(content_type.into());
        self
    }

    /// The head of the HTTP request that the content belongs to, with its blank line, instead of one
    /// made up from its [name](Self::name).
    ///
    /// Some of it is not for a scanner, and is left out unless
    /// [asked for](Self::include_sensitive); hop-by-hop fields always are (RFC 3507 §4.4.2). Among these are
    /// those that `Connection` names, unless they are for every recipient, such as `Content-Type` and `Host`:
    /// whoever sends a file cannot hide them from the service. Where it is the request that is scanned
    /// (REQMOD), its `Content-Length` becomes that of the content; it is left out where that would take
    /// the head above a limit.
    ///
    /// It is checked when the content is scanned: [`Error::Input`] unless it is one complete HTTP/1.x
    /// request head of at most 128 KiB ([`MAX_HTTP_HEAD`](crate::limits::MAX_HTTP_HEAD)) and 256 fields
    /// ([`MAX_FIELDS`](crate::limits::MAX_FIELDS)). For a REQMOD it is also an error if it has a
    /// `Content-Range`, as for [`http_response`](Self::http_response).
    pub fn http_request(mut self, head: &[u8]) -> Self {
        self.about.http_request = Some(head.to_vec());
        self
    }

    /// The head of the HTTP response that carries the content, with its blank line, instead of one
    /// made up from its [media type](Self::content_type). It is used with RESPMOD.
    ///
    /// What is [sensitive](Self::include_sensitive) and what is hop-by-hop is left out, and its
    /// `Content-Length` becomes that of the content. It is checked as
    /// [`http_request`](Self::http_request) is.
    ///
    /// A head that says that the content is a part of a file is [`Error::Input`]
    /// ([`PartialContent`](crate::error::InvalidInput::PartialContent)): status 206, `Content-Range`, or the media type
    /// `multipart/byteranges`. Malware that lies across two parts is in neither, so a clean part says
    /// nothing about the file.
    pub fn http_response(mut self, head: &[u8]) -> Self {
        self.about.http_response = Some(head.to_vec());
        self
    }

    /// Whether credentials and session data in the HTTP heads are forwarded. Default: false. That leaves
    /// out:
    ///
    /// - `Authorization`, `Cookie`, `Set-Cookie`, `X-Api-Key`, `X-Auth-Token`, `X-Query-String` and the like,
    /// - query, fragment, user information and path parameters with a value (`;jsessionid=…`) of the request's
    ///   target, also where its path holds another URI (`/proxy/http:/user:secret@host/`),
    /// - fields that hold a URI, if it has one of these: `Referer`, `Location`, `Content-Location`, `Link`,
    ///   `Refresh`, and others by the words in their name, such as `X-Original-URL`, `X-Forwarded-Uri` and
    ///   `X-Accel-Redirect`.
    ///
    /// Fields with other names are forwarded as they are; do not hand over those that are secret.
    pub fn include_sensitive(mut self, include: bool) -> Self {
        self.about.include_sensitive = include;
        self
    }

    /// The address of the user's machine, sent as `X-Client-IP` (draft-stecher-icap-subid §3.1).
    pub fn client_ip(mut self, address: IpAddr) -> Self {
        self.about.client_ip = Some(address);
        self
    }

    /// The address of the server the content came from, sent as `X-Server-IP`
    /// (draft-stecher-icap-subid §3.2).
    pub fn server_ip(mut self, address: IpAddr) -> Self {
        self.about.server_ip = Some(address);
        self
    }

    /// The user, sent in base64 as `X-Authenticated-User` (draft-stecher-icap-subid §3.4): what
    /// has a scheme, such as `LDAP://directory/cn=jane`, as it is, and a mere name after `Local://`.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.about.user = Some(user.into());
        self
    }

    /// The groups of the user, sent like the [user](Self::user) as `X-Authenticated-Groups`, in one
    /// list with commas between them (draft-stecher-icap-subid §3.5).
    ///
    /// It is checked when the content is scanned: [`Error::Input`] if a group has a comma, which the service
    /// would read as two groups (write `%2C` in a URI), or white space around it.
    pub fn groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.about.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a field to the ICAP request of this content. It is checked when the content is scanned:
    /// [`Error::Input`] as from [`Request::header`](crate::Request::header).
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        let field = (name.into(), value.as_ref().to_vec());
        self.about.headers.push(field);
        self
    }

    /// As [`header`](Self::header), for a field that is sent only to a service whose
    /// [`X-Include`](crate::ServiceOptions::x_include) names it.
    pub fn header_if_asked(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        let field = (name.into(), value.as_ref().to_vec());
        self.about.headers_if_asked.push(field);
        self
    }

    /// Calls `progress(sent, total)` now and then while the content is sent, in bytes; `total` is
    /// `None` while it is not known. It begins at 0 anew when the content is sent again.
    pub fn progress(mut self, progress: impl FnMut(u64, Option<u64>) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Bounds the scan of this content, in place of the scanner's
    /// [`deadline`](crate::ScannerBuilder::deadline): for a file that may take longer than others, or
    /// that a person waits for. A scan with a deadline of zero is [`Error::Input`].
    ///
    /// The timeouts stay. A service that is silent for long while it scans a large file needs a longer
    /// [`response_timeout`](crate::ScannerBuilder::response_timeout) as well.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// When the scan must be over, if that was set.
    pub(crate) fn own_deadline(&self) -> Result<Option<Duration>, Error> {
        if self.deadline == Some(Duration::ZERO) {
            return Err(InputError::new(InvalidInput::Zero, "deadline").into());
        }
        Ok(self.deadline)
    }

    /// The name, if there is one.
    pub(crate) fn own_name(&self) -> Option<String> {
        self.about.name.clone()
    }

    /// The length, where it is known or a seek can tell.
    pub(crate) fn known_length(&mut self) -> Result<Option<u64>, Error> {
        Ok(self.body.find_length()?)
    }

    /// Parts what is known about the content from its bytes, which are monitored while they are sent.
    pub(crate) fn monitored(self, max_size: Option<u64>, digest: Digest) -> (About, Body<'a>) {
        let monitor = Monitor::new(max_size, digest, self.progress);
        (self.about, self.body.monitored(monitor))
    }
}

impl<'a> From<&'a [u8]> for Content<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::new(bytes.into())
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Content<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::new(bytes.into())
    }
}

impl<'a> From<&'a str> for Content<'a> {
    fn from(text: &'a str) -> Self {
        Self::new(text.into())
    }
}

impl From<Vec<u8>> for Content<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes.into())
    }
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("name", &self.about.name)
            .field("length", &self.body.declared_len())
            .field("content_type", &self.about.content_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_body_can_be_sent_to_a_thread() {
        fn is_send<T: Send>() {}
        is_send::<Content<'_>>();
        is_send::<crate::Body<'_>>();
    }

    #[test]
    fn memory_of_each_kind_is_content_of_its_length() {
        for mut content in [
            Content::from(&b"hello"[..]),
            Content::from(b"hello"),
            Content::from("hello"),
            Content::from(b"hello".to_vec()),
        ] {
            assert_eq!(content.known_length().unwrap(), Some(5));
        }
    }

    #[test]
    fn file_has_its_name_and_length_and_a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x y.bin");
        std::fs::write(&path, b"hello").unwrap();
        let mut content = Content::file(&path).unwrap();
        assert_eq!(content.known_length().unwrap(), Some(5));
        assert_eq!(content.about.name.as_deref(), Some("x y.bin"));
        assert!(Content::file(dir.path()).is_err());
        assert!(Content::file(dir.path().join("none")).is_err());
    }
}
