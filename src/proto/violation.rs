//! Faults in a peer's bytes, to match on and to count by.

use super::limits;

/// How a response breaks the protocol.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// The first line is not `ICAP/1.0`, a space, and a code from 100 to 599 (RFC 3507 §4.3.3). A reason phrase may
    /// follow.
    #[error("it does not begin with an ICAP/1.0 status line")]
    BadStatusLine,
    /// A line ended in LF without CR.
    #[error("a line ends in a bare line feed")]
    BareLf,
    /// The response exceeds a limit of [`limits`](crate::limits).
    #[error("{0}")]
    LimitExceeded(Limit),
    /// A line of the ICAP head is no header field (RFC 9110 §5). Or a field that frames the message, such as
    /// `Encapsulated`, goes on in a second line (is folded).
    #[error("its ICAP head has a malformed field")]
    BadHeader,
    /// The ICAP head has `Transfer-Encoding`, which RFC 3507 §4.3.1 does not allow.
    #[error("its ICAP head has a Transfer-Encoding")]
    TransferEncoding,
    /// The response ended before it was complete.
    #[error("it ends before it is complete")]
    Truncated,
    /// There is no `Encapsulated` field, although the status requires one (RFC 3507 §4.4.1).
    #[error("its Encapsulated field is missing")]
    MissingEncapsulated,
    /// There is more than one `Encapsulated` field.
    #[error("it has more than one Encapsulated field")]
    DuplicateEncapsulated,
    /// The `Encapsulated` list has none of the forms of RFC 3507 §4.4.1 for this response.
    #[error("its Encapsulated field is malformed")]
    BadEncapsulated,
    /// The first encapsulated part does not begin at 0.
    #[error("its first encapsulated part does not begin at 0")]
    EncapsulatedGap,
    /// An encapsulated HTTP head has no bytes.
    #[error("its encapsulated HTTP head is empty")]
    EmptyHttpHead,
    /// An encapsulated HTTP head has no blank line at the offset where, by `Encapsulated`, the next part begins.
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
    /// A 204 has a body or an HTTP head.
    #[error("a 204 encapsulates something")]
    BodyOn204,
    /// An interim (1xx) response has a body or an HTTP head.
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
    /// A line of the trailer section is no header field (RFC 9112 §7.1.2).
    #[error("its trailer section has a malformed field")]
    BadTrailer,
    /// `use-original-body` is the part of a 206 that names the byte from which the original follows
    /// (draft-icap-ext-partial-content §5.2). It is malformed, it names a byte after the end of the original, or the
    /// response is not a 206.
    #[error("its use-original-body extension is malformed, or belongs to another status")]
    BadUseOriginalBody,
    /// Bytes follow the end of the response, so it is not certain that it ends there.
    #[error("bytes follow its end")]
    TrailingBytes,
    /// A 204 or a 100 came before the present request, or its preview, was written completely, and it is not certain that it
    /// belongs to this request. On a used connection it may be the response to the previous request. While the rest is sent after a preview,
    /// it may be a second response to the preview.
    ///
    /// If it is certain and the connection stays open, an early 204 is no error but the verdict
    /// [`NotScanned::EarlyResponse`](crate::NotScanned::EarlyResponse).
    #[error(
        "it came on a used connection before all of the content was sent, so it may be the response to the previous request"
    )]
    EarlyResponse,
    /// Bytes came before the first byte of the request was sent.
    #[error("it was sent before the request")]
    Unsolicited,
    /// A 200 has no HTTP message, so it says nothing about the content.
    #[error("it is a 200 without an HTTP message")]
    EmptyResponse,
    /// A second `100 Continue` came (RFC 3507 §4.5 allows one).
    #[error("a second 100 Continue came before it")]
    Unexpected100,
    /// A 204 came although the request did not allow it (RFC 3507 §4.6).
    #[error("it is a 204, which the request did not allow")]
    Unexpected204,
    /// A 206 came although the request did not allow it.
    #[error("it is a 206, which the request did not allow")]
    Unexpected206,
    /// A 204 came, but the server may not have read all of the content. Either the server reset the connection, or it
    /// had begun to respond before all of the content was sent and then closed the connection.
    ///
    /// If the connection stays open, and the early 204 certainly belongs to this request, it is the verdict
    /// [`NotScanned::EarlyResponse`](crate::NotScanned::EarlyResponse).
    #[error(
        "it is a 204, and the server may have ended the connection before it had read all of the content, so it \
         does not count"
    )]
    IncompleteUpload,
}

/// A limit of [`limits`](crate::limits) that a response exceeds.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Limit {
    /// Bytes of the ICAP head: [`MAX_HEAD`](crate::limits::MAX_HEAD).
    #[error("its ICAP head is longer than {} KiB", limits::MAX_HEAD / 1024)]
    Head,
    /// Fields of a head: [`MAX_FIELDS`](crate::limits::MAX_FIELDS).
    #[error("a head has more than {} fields", limits::MAX_FIELDS)]
    Fields,
    /// Bytes of an encapsulated HTTP head: [`MAX_HTTP_HEAD`](crate::limits::MAX_HTTP_HEAD).
    #[error("its encapsulated HTTP head is longer than {} KiB", limits::MAX_HTTP_HEAD / 1024)]
    HttpHead,
    /// Bytes after the size on the line of a chunk: [`MAX_CHUNK_LINE`](crate::limits::MAX_CHUNK_LINE).
    #[error("the line of a chunk size is longer than {} KiB", limits::MAX_CHUNK_LINE / 1024)]
    ChunkLine,
    /// Bytes of all chunk extensions: [`MAX_CHUNK_EXTENSIONS`](crate::limits::MAX_CHUNK_EXTENSIONS).
    #[error("its chunk extensions are longer than {} KiB", limits::MAX_CHUNK_EXTENSIONS / 1024)]
    ChunkExtensions,
    /// Bytes of the trailer section: [`MAX_TRAILERS`](crate::limits::MAX_TRAILERS).
    #[error("its trailer section is longer than {} KiB", limits::MAX_TRAILERS / 1024)]
    Trailers,
    /// Interim responses: [`MAX_INTERIM_RESPONSES`](crate::limits::MAX_INTERIM_RESPONSES).
    #[error(
        "more than {} interim responses came before it",
        limits::MAX_INTERIM_RESPONSES
    )]
    InterimResponses,
    /// Bytes of the response body. For a scanner the limit is `max_size` plus
    /// [`RESPONSE_BODY_ALLOWANCE`](crate::limits::RESPONSE_BODY_ALLOWANCE), and for a client it is `max_response`. For
    /// the response to `OPTIONS` it is [`MAX_OPTIONS_BODY`](crate::limits::MAX_OPTIONS_BODY).
    #[error("its body is longer than the limit")]
    ResponseBody,
}
