//! What exactly went wrong: small `Copy` enums, to match on and to count by.

use std::fmt;

/// The variants of [`Error`](crate::Error), to count by.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they are those of Error")]
pub enum ErrorKind {
    Connect,
    Timeout,
    Disconnected,
    Status,
    Protocol,
    Content,
    Output,
    Input,
    Suspended,
}

impl ErrorKind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Connect,
        Self::Timeout,
        Self::Disconnected,
        Self::Status,
        Self::Protocol,
        Self::Content,
        Self::Output,
        Self::Input,
        Self::Suspended,
    ];
}

/// One lower-case word, for example as a label.
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Status => "status",
            Self::Protocol => "protocol",
            Self::Content => "content",
            Self::Output => "output",
            Self::Input => "input",
            Self::Suspended => "suspended",
        })
    }
}

/// What was under way when time ran out.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting in line, because as many connections are in use as may be.
    Checkout,
    /// Resolving the name and connecting.
    Connect,
    /// Sending the request; the server took no more bytes, and sent none.
    Write,
    /// Waiting for the response, or for more of it.
    Read,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkout => "waiting for a free connection to",
            Self::Connect => "connecting to",
            Self::Write => "sending the request to",
            Self::Read => "waiting for the response of",
        })
    }
}

/// Which of the configured times ran out.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeLimit {
    /// `wait_timeout`: for a connection, while the server has as many as it may have.
    WaitTimeout,
    /// `connect_timeout`: all addresses together.
    ConnectTimeout,
    /// `write_timeout`: no progress in either direction while sending.
    WriteTimeout,
    /// `read_timeout`: nothing arrived while waiting for the response, or `OPTIONS` took as long as that.
    ReadTimeout,
    /// `response_timeout`: from the last byte sent to the end of the response's ICAP head.
    ResponseTimeout,
    /// Less than 1 KiB/s moved while the read timeout passed.
    MinimumRate,
    /// `deadline`: the whole exchange.
    Deadline,
    /// What one server may take of the deadline if another one can be asked after it.
    DeadlineShare,
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WaitTimeout => "wait timeout",
            Self::ConnectTimeout => "connect timeout",
            Self::WriteTimeout => "write timeout",
            Self::ReadTimeout => "read timeout",
            Self::ResponseTimeout => "response timeout",
            Self::MinimumRate => "less than 1 KiB/s over a read timeout",
            Self::Deadline => "deadline",
            Self::DeadlineShare => "share of the deadline",
        })
    }
}

/// How a peer's response broke the protocol.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// The first line is not `ICAP/1.0 CODE REASON` (RFC 3507 §4.3.3).
    #[error("it does not begin with an ICAP/1.0 status line")]
    BadStatusLine,
    /// A line ended in LF without CR.
    #[error("a line ends in a bare line feed")]
    BareLf,
    /// Something has more bytes, fields or members than this crate takes.
    #[error("{0}")]
    LimitExceeded(Limit),
    /// A line of the ICAP head is no header field (RFC 9110 §5).
    #[error("its ICAP head has a malformed field")]
    BadHeader,
    /// The ICAP head has `Transfer-Encoding`, which RFC 3507 §4.3.1 does not allow.
    #[error("its ICAP head has a Transfer-Encoding")]
    TransferEncoding,
    /// The response ended before it was complete.
    #[error("it ends before it is complete")]
    Truncated,
    /// A response that must say what it encapsulates does not.
    #[error("its Encapsulated field is missing")]
    MissingEncapsulated,
    /// There is more than one `Encapsulated` field.
    #[error("it has more than one Encapsulated field")]
    DuplicateEncapsulated,
    /// The `Encapsulated` list is none of the forms of RFC 3507 §4.4.1 for this response.
    #[error("its Encapsulated field is malformed")]
    BadEncapsulated,
    /// The first encapsulated part does not begin at 0.
    #[error("its first encapsulated part does not begin at 0")]
    EncapsulatedGap,
    /// An encapsulated HTTP head has no bytes.
    #[error("its encapsulated HTTP head is empty")]
    EmptyHttpHead,
    /// An encapsulated HTTP head does not end in a blank line at its offset.
    #[error("its encapsulated HTTP head does not end where Encapsulated says")]
    HttpHeadNotTerminated,
    /// An encapsulated HTTP head has a blank line before its end.
    #[error("its encapsulated HTTP head goes on after a blank line")]
    HttpHeadTrailing,
    /// An encapsulated HTTP head does not begin with an HTTP/1.x start line.
    #[error("its encapsulated HTTP head has no HTTP/1.x start line")]
    BadHttpStartLine,
    /// A line of an encapsulated HTTP head is no header field.
    #[error("its encapsulated HTTP head has a malformed field")]
    BadHttpHeader,
    /// A 204 came with a body or a head.
    #[error("a 204 encapsulates something")]
    BodyOn204,
    /// An interim (1xx) answer came with a body or a head.
    #[error("an interim response encapsulates something")]
    BodyOn100,
    /// A chunk does not begin with 1 to 16 hexadecimal digits.
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// The line of a chunk size does not end in CRLF.
    #[error("the line of a chunk size does not end in CRLF")]
    ChunkLine,
    /// A chunk extension is malformed (RFC 9112 §7.1.1).
    #[error("a chunk extension is malformed")]
    ChunkExtension,
    /// The data of a chunk is not followed by CRLF.
    #[error("a chunk does not end where its size says")]
    ChunkTerminator,
    /// A line of the trailer section is no header field.
    #[error("its trailer section has a malformed field")]
    BadTrailer,
    /// `use-original-body` is malformed, or on a response that cannot have it.
    #[error("its use-original-body extension is malformed or out of place")]
    BadUseOriginalBody,
    /// Bytes follow the end of the response.
    #[error("bytes follow its end")]
    TrailingBytes,
    /// A 204, or a 100, came before what it responds was completely written, and it may respond something
    /// else: on a connection that was used before, the request before; after a preview, the preview.
    #[error(
        "it came on a used connection before all of the content was sent, so it may be the response to the previous request"
    )]
    EarlyResponse,
    /// Bytes came before anything was asked.
    #[error("it was sent before anything was asked")]
    Unsolicited,
    /// A 200 encapsulates nothing, so it says nothing about the content.
    #[error("it is a 200 that holds no HTTP message")]
    EmptyResponse,
    /// A second `100 Continue` came (RFC 3507 §4.5 knows one).
    #[error("a second 100 Continue came before it")]
    Unexpected100,
    /// A 204 came although the request did not allow it (RFC 3507 §4.6).
    #[error("it is a 204, which this request did not allow")]
    Unexpected204,
    /// A 206 came although the request did not allow it.
    #[error("it is a 206, which this request did not allow")]
    Unexpected206,
    /// A 204 came, and the server closed or reset the connection so that it may not have read all of the
    /// content: it reset it, or had begun to respond before all of the content was sent.
    #[error(
        "the server may have ended the connection before it had read all of the content, so its 204 is not \
         believed"
    )]
    IncompleteUpload,
}

/// A limit of [`limits`](crate::limits) that a peer's response went over.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Limit {
    /// [`MAX_HEAD`](crate::limits::MAX_HEAD)
    #[error("its ICAP head is longer than 64 KiB")]
    Head,
    /// [`MAX_FIELDS`](crate::limits::MAX_FIELDS)
    #[error("a head has more than 256 fields")]
    Fields,
    /// [`MAX_HTTP_HEAD`](crate::limits::MAX_HTTP_HEAD)
    #[error("its encapsulated HTTP head is longer than 128 KiB")]
    HttpHead,
    /// [`MAX_CHUNK_LINE`](crate::limits::MAX_CHUNK_LINE)
    #[error("the line of a chunk size is longer than 4 KiB")]
    ChunkLine,
    /// [`MAX_CHUNK_EXTENSIONS`](crate::limits::MAX_CHUNK_EXTENSIONS)
    #[error("its chunk extensions are longer than 16 KiB")]
    ChunkExtensions,
    /// [`MAX_TRAILERS`](crate::limits::MAX_TRAILERS)
    #[error("its trailer section is longer than 16 KiB")]
    Trailers,
    /// [`MAX_INTERIM_RESPONSES`](crate::limits::MAX_INTERIM_RESPONSES)
    #[error("more than 4 interim responses came before it")]
    InterimResponses,
    /// What the caller lets a response's body have.
    #[error("its body is longer than is taken")]
    ResponseBody,
}

/// What kind of input was refused.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidInput {
    /// Not an ICAP URI this crate can use.
    Uri,
    /// A header name that is no token.
    HeaderName,
    /// A header value with control characters, or with white space around it.
    HeaderValue,
    /// A header that frames the message.
    ReservedHeader,
    /// An HTTP head that is not one complete HTTP/1.x head.
    HttpHead,
    /// An HTTP head that says that the content is a part of a file: status 206 or `Content-Range`.
    PartialContent,
    /// A method that scans nothing.
    Method,
    /// A user or group without a name, a group that would be read as two, or credentials that cannot be
    /// sent.
    User,
    /// A timeout, or another limit, of zero.
    Zero,
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uri => "not a usable ICAP URI",
            Self::HeaderName => "not a header name",
            Self::HeaderValue => {
                "a control character, or white space around it, in the value of header"
            }
            Self::ReservedHeader => "this crate alone writes the header",
            Self::HttpHead => "not a complete HTTP/1.x head",
            Self::PartialContent => "a verdict on a part of a file is none on the file",
            Self::Method => "this method scans nothing",
            Self::User => "not a usable user, group or password",
            Self::Zero => "this setting must be more than zero",
        })
    }
}
