//! Content to scan, and what is known about it.

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
use crate::client::monitor::{Monitor, Progress};
use crate::error::{Error, InputError, InvalidInput};
use crate::net::cancel::Cancel;

/// Content to scan: its bytes, and what is known about it.
///
/// Bytes in memory become content by themselves: `&[u8]`, `&[u8; N]`, `&str` and `Vec<u8>`.
///
/// The length is known for bytes and files. For a [`seekable`](Content::seekable) reader it is found by seeking,
/// for a [`reader`](Content::reader) it can be declared. A known length is enforced: if the content turns out
/// longer or shorter, the scan is an [`Error::Content`].
///
/// Users, groups, the id and HTTP heads are checked when the content is scanned.
///
/// ```
/// use icap_client::{Content, Scanner};
///
/// # let server = icap_client::testing::Server::start()?;
/// # let scanner = Scanner::new(server.uri())?;
/// let upload = Content::reader(std::io::Cursor::new("hello"))
///     .len(5)
///     .name("greeting.txt")
///     .content_type("text/plain");
/// assert!(scanner.scan(upload)?.verdict().is_clean());
/// assert!(scanner.scan("hello")?.verdict().is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Content<'a> {
    pub(super) body: Body<'a>,
    pub(crate) about: About,
    progress: Option<Progress<'a>>,
    deadline: Option<Duration>,
    cancel: Option<Cancel>,
}

impl<'a> Content<'a> {
    /// Content in memory.
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self::new(bytes.into())
    }

    /// A regular file. Its name is sent with the content, its path is not.
    ///
    /// Opening does not wait. Pipes and devices are refused, because a read of one may wait past every deadline. To scan
    /// one all the same, open it yourself and pass it to [`reader`](Self::reader). The scan checks the open handle before
    /// it reads: if the file was exchanged for a pipe while it was opened, the scan is an [`Error::Content`], and until then the pipe
    /// stays open.
    ///
    /// Its length is that of its metadata when the scan begins. A file that is longer or shorter when it is read is an
    /// [`Error::Content`] in the scan.
    ///
    /// If a service that offers 204 sends content back, the file is read once more to compare them. If the file has
    /// changed meanwhile, the scan is an [`Error::Content`] with
    /// [`ContentFault::Changed`](crate::error::ContentFault::Changed), unless the verdict does not depend on that. A
    /// rename, a removal or new permissions count as a change as well, because they change the same time stamp (ctime). If the
    /// service does not offer 204, or [`allow_204`](crate::ScannerBuilder::allow_204) is false, the file is hashed while
    /// it is sent, and none of this applies.
    ///
    /// # Errors
    ///
    /// An error of the system if the file cannot be opened;
    /// [`IsADirectory`](io::ErrorKind::IsADirectory) for a directory;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for anything else that is no regular file.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let mut content = Self::new(regular_file::open(path)?);
        content.about.name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Ok(content)
    }

    /// The bytes of a reader, up to its end.
    ///
    /// The reader is read once, and its first 64 KiB are kept. Content up to that size can be sent again, also to
    /// another server. Larger content is sent on a new connection: the server may have closed an idle one, and what was sent on it could
    /// not be read again. It is sent to another server only if the failure came before more than
    /// 64 KiB were read. [`scan_spooled`](crate::Scanner::scan_spooled) keeps a copy from which it can be sent again.
    ///
    /// After an error some of the content may have been read, even if no server could be reached. Do not scan
    /// the rest of the reader as if it were the whole: the rest may be clean where the whole is not.
    pub fn reader(reader: impl Read + Send + 'a) -> Self {
        Self::new(Body::reader(reader))
    }

    /// The bytes of a reader from its present position to its end. It can be sent again.
    ///
    /// A reader at the end of content that is not empty is an [`Error::Content`] in the scan: for example a
    /// temporary file that was written and not rewound. [`reader`](Self::reader) cannot detect this, so pass a
    /// [`File`] to this function.
    pub fn seekable(reader: impl Read + Seek + Send + 'a) -> Self {
        Self::new(Body::seekable(reader))
    }

    fn new(body: Body<'a>) -> Self {
        Self {
            body,
            about: About::default(),
            progress: None,
            deadline: None,
            cancel: None,
        }
    }

    /// Declares the length in bytes. The scan fails if the content has another length.
    pub fn len(mut self, length: u64) -> Self {
        self.body = self.body.len(length);
        self
    }

    /// Sets the name of the file, for services that look at its extension.
    ///
    /// Any text is allowed: it is percent-encoded. A name of more than 4 KiB in UTF-8
    /// ([`MAX_NAME`](crate::limits::MAX_NAME)) is cut. It keeps its extension if that has at most 255 bytes with
    /// its dot.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.about.name = Some(name.into());
        self
    }

    /// Sets the media type, for example `application/pdf`. Default: `application/octet-stream`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.about.details_mut().content_type = Some(content_type.into());
        self
    }

    /// Sets the head of the HTTP request that the content belongs to, with its blank line. Default: a head made
    /// from the [name](Self::name).
    ///
    /// It must be one complete HTTP/1.x request head of at most 128 KiB
    /// ([`MAX_HTTP_HEAD`](crate::limits::MAX_HTTP_HEAD)) and 256 fields
    /// ([`MAX_FIELDS`](crate::limits::MAX_FIELDS)); otherwise the scan is an [`Error::Input`]. For a REQMOD a
    /// `Content-Range` is an error too, as in [`http_response`](Self::http_response).
    ///
    /// These parts are not forwarded:
    ///
    /// - Credentials, cookies, query strings and similar data, unless [`include_sensitive`](Self::include_sensitive) is
    ///   set.
    /// - Hop-by-hop fields (RFC 3507 §4.4.2), and the fields that `Connection` names. If it names a field that
    ///   every recipient needs, such as `Content-Type` or `Host`, that field is forwarded: otherwise a sender could hide
    ///   it from the service.
    ///
    /// In a REQMOD the `Content-Length` becomes the length of the content. It is left out if it would take the
    /// head above a limit.
    pub fn http_request(mut self, head: &[u8]) -> Self {
        self.about.details_mut().http_request = Some(head.to_vec());
        self
    }

    /// Sets the head of the HTTP response that carries the content, with its blank line, for RESPMOD. Default: a
    /// head made from the [media type](Self::content_type).
    ///
    /// It is checked as in [`http_request`](Self::http_request), and the same parts are not forwarded. The
    /// `Content-Length` becomes the length of the content, and is left out if that is not known.
    /// [`content_type`](Self::content_type) has no effect on it. In REQMOD the head is checked and not sent.
    ///
    /// A head of a partial file is an [`Error::Input`]
    /// ([`PartialContent`](crate::error::InvalidInput::PartialContent)): status 206, a `Content-Range`, or the
    /// media type `multipart/byteranges`. Malware that lies across two parts is found in neither of them, so a
    /// clean part says nothing about the file.
    pub fn http_response(mut self, head: &[u8]) -> Self {
        self.about.details_mut().http_response = Some(head.to_vec());
        self
    }

    /// Whether credentials and session data in the HTTP heads are forwarded. Default: false.
    ///
    /// With `false` these are left out:
    ///
    /// - `Authorization`, `Cookie`, `Set-Cookie`, `X-Api-Key`, `X-Auth-Token`, `X-Query-String` and similar fields.
    /// - In the target of the request: query, fragment, user information, and path parameters with a value
    ///   (`;jsessionid=…`). A URI within the path is treated the same (`/proxy/http:/user:secret@host/`).
    /// - Fields with a URI that has one of these parts: `Referer`, `Location`, `Content-Location`, `Link`,
    ///   `Refresh`, and others by the words of their name, such as `X-Original-URL`, `X-Forwarded-Uri` and
    ///   `X-Accel-Redirect`.
    ///
    /// This setting changes no other field. Remove what else is secret before you pass the head.
    pub fn include_sensitive(mut self, include: bool) -> Self {
        self.about.details_mut().include_sensitive = include;
        self
    }

    /// Sets the address of the machine of the person who gets or sends the content, sent as `X-Client-IP`
    /// (draft-stecher-icap-subid §3.1). Default: the field is not sent.
    pub fn client_ip(mut self, address: IpAddr) -> Self {
        self.about.details_mut().client_ip = Some(address);
        self
    }

    /// Sets the address of the server that the content came from, sent as `X-Server-IP`
    /// (draft-stecher-icap-subid §3.2). Default: the field is not sent.
    pub fn server_ip(mut self, address: IpAddr) -> Self {
        self.about.details_mut().server_ip = Some(address);
        self
    }

    /// Sets the user, sent in base64 as `X-Authenticated-User` (draft-stecher-icap-subid §3.4).
    ///
    /// A name with a scheme is sent as it is, for example `LDAP://directory/cn=jane`. A name without a scheme is
    /// sent as `Local://NAME`. An empty name or a control character is an [`Error::Input`] in the scan.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.about.details_mut().user = Some(user.into());
        self
    }

    /// Sets the groups of the user, sent as `X-Authenticated-Groups` (draft-stecher-icap-subid §3.5). Each group gets a
    /// scheme as a [user](Self::user) does. They are joined with commas, and the base64 of that list is sent.
    ///
    /// A group with a comma or with white space around it is an [`Error::Input`] in the scan, because a service
    /// would read it as another list. If you pass a group as a URI (`LDAP://…`), write `%2C` for a comma in
    /// it. Another name of a group cannot have a comma.
    pub fn groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.about.details_mut().groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a field to the ICAP request of this content.
    ///
    /// The scan is an [`Error::Input`] for the same faults as in [`Request::header`](crate::Request::header).
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        let field = (name.into(), value.as_ref().to_vec());
        self.about.details_mut().headers.push(field);
        self
    }

    /// Adds a field as [`header`](Self::header) does, but only for a service that asks for it with
    /// [`X-Include`](crate::ServiceOptions::x_include).
    pub fn header_if_asked(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        let field = (name.into(), value.as_ref().to_vec());
        self.about.details_mut().headers_if_asked.push(field);
        self
    }

    /// Sets what identifies the bytes of this content, for the [cache](crate::ScannerBuilder::cache) of verdicts.
    /// Without a cache it has no effect. An empty id is an [`Error::Input`] in the scan.
    ///
    /// Two contents with the same id must have the same bytes, always. So an id is a cryptographic digest of the bytes
    /// that *this program* has computed, or the version of an immutable object in its own store. It is never a name, a
    /// path, a time of change, an `ETag` or a digest that the uploader sent, or anything else that the uploader could
    /// choose: a second file under the id of a clean one would be called clean without a scan.
    ///
    /// If a stored verdict holds, no byte is read and [`progress`](Self::progress) is not called. To open nothing either, pass a [`reader`](Self::reader) that opens the
    /// content at its first read, and its [`len`](Self::len).
    ///
    /// The id is not sent, and stores get it only as part of a hash.
    pub fn id(mut self, id: impl AsRef<[u8]>) -> Self {
        self.about.details_mut().id = Some(id.as_ref().to_vec());
        self
    }

    /// Sets a function that is called with the bytes sent and the length: before each chunk, and after the last one. Bytes
    /// are sent when the system has taken them. The length is `None` if it is not known. When the content is sent again, the bytes start at 0 again.
    pub fn progress(mut self, progress: impl FnMut(u64, Option<u64>) + Send + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Sets the deadline of this scan. Default: the scanner's
    /// [`deadline`](crate::ScannerBuilder::deadline).
    ///
    /// Use it for a file that takes longer than others, or for a person who waits. A deadline of zero is an
    /// [`Error::Input`] in the scan.
    ///
    /// It does not change the timeouts. If a service needs long for a large file, set a longer
    /// [`response_timeout`](crate::ScannerBuilder::response_timeout) as well.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Lets another thread end this scan: with [`Cancel::cancel`].
    ///
    /// The scan then ends within 200 ms with [`Error::Cancelled`], whatever it waits for: the look-up of the host, the
    /// connection, the TLS handshake, a free connection to a full server, the `OPTIONS` response,
    /// the canary or the scan of the same content that another thread has begun, the
    /// upload or the response. A cancel cannot interrupt your own code, for example a `Read` or a cache store; the scan ends when that returns. If the
    /// cancel came before the scan began, the scan ends at once. On a machine that is overloaded, the time until the
    /// system runs the scanning thread is added.
    ///
    /// A cancelled scan is never [`Clean`](crate::Verdict::Clean). If evidence against the content has been read before
    /// the scan ends, the verdict is [`Infected`](crate::Verdict::Infected) or [`Blocked`](crate::Verdict::Blocked) all
    /// the same: a cancel must not hide what is known. A connection whose exchange is not complete is closed, no other
    /// server is asked, and the cancel counts against no server. What [`scan_replace`](crate::Scanner::scan_replace) has written is incomplete.
    ///
    /// A scan without a `Cancel` costs no system call more. A scan with one wakes up every 25 ms
    /// ([`CANCEL_INTERVAL`](crate::limits::CANCEL_INTERVAL)) while it waits. A new connection is then made in a helper
    /// thread, because the system's resolver and a [`Connect`](crate::Connect) cannot be interrupted; in the whole
    /// process there are at most 16 of these threads, 12 for one server
    /// ([`MAX_CONNECT_THREADS`](crate::limits::MAX_CONNECT_THREADS)). After a cancel, such a thread goes on until the
    /// connector returns, and closes what it has connected.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Content that shows what the service does with previews. It gets one if any content does.
    pub(crate) fn gets_any_preview(mut self, gets_it: bool) -> Self {
        self.about.details_mut().gets_any_preview = gets_it;
        self
    }

    /// What can end the scan early, if there is anything.
    pub(crate) fn own_cancel(&self) -> Option<Cancel> {
        self.cancel.clone()
    }

    /// The content's own deadline, if it has one.
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

    /// The length, if it is known or can be found by seeking.
    pub(crate) fn known_length(&mut self) -> Result<Option<u64>, Error> {
        Ok(self.body.find_length()?)
    }

    /// Has the bytes monitored while they are sent.
    pub(super) fn monitor(&mut self, max_size: Option<u64>) {
        let monitor = Monitor::new(max_size, self.progress.take());
        self.body.monitor(monitor);
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
        let details = self.about.details();
        let content_type = details.and_then(|details| details.content_type.as_ref());
        f.debug_struct("Content")
            .field("name", &self.about.name)
            .field("length", &self.body.declared_len())
            .field("content_type", &content_type)
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
