//! The limits of everything that a peer may send and a caller may pass in.

/// Bytes of an ICAP head: status line, fields and blank line.
///
/// A head is kept in memory, and the client must find its end before it can read anything in it. Real heads have less than
/// 2 KiB.
pub const MAX_HEAD: usize = 64 * 1024;

/// Fields in one head: an ICAP head, an HTTP head or a trailer section.
///
/// To find one field, the client looks through all of them. Real heads have less than 50.
pub const MAX_FIELDS: usize = 256;

/// Bytes of one encapsulated HTTP head, of a caller or of a peer.
///
/// It is twice [`MAX_HEAD`], because cookies and query strings of real requests grow to tens of KiB.
pub const MAX_HTTP_HEAD: usize = 128 * 1024;

/// Hexadecimal digits of a chunk size: as many as 64 bits have. A longer one is
/// [`Violation::ChunkSize`](crate::error::Violation::ChunkSize).
pub const MAX_CHUNK_SIZE_DIGITS: usize = 16;

/// Bytes after the size on the line of a chunk, with its line end.
///
/// The line is kept in memory until it ends. No extension of ICAP is longer than 40 bytes.
pub const MAX_CHUNK_LINE: usize = 4 * 1024;

/// Bytes of the chunk extensions of one body, all chunks together. White space after a size does not count.
///
/// Without this limit, a peer could send endless extensions and hardly any data.
pub const MAX_CHUNK_EXTENSIONS: usize = 16 * 1024;

/// Bytes of the trailer section of one body. It is kept in memory.
pub const MAX_TRAILERS: usize = 16 * 1024;

/// Interim (1xx) responses before the final one.
///
/// RFC 3507 §4.5 has one, `100 Continue`. Some servers send `102 Processing` while they scan.
pub const MAX_INTERIM_RESPONSES: usize = 4;

/// Bytes by which a response body may be larger than the scanner's
/// [`max_size`](crate::ScannerBuilder::max_size).
///
/// A service may send back a block page, or a changed file that has grown.
pub const RESPONSE_BODY_ALLOWANCE: u64 = 16 * 1024 * 1024;

/// Bytes of a preview. A longer one, of a caller or of a service that asks for it, is lowered to this.
///
/// The preview is kept in memory. RFC 3507 §4.5 wants clients to support 4,096 bytes.
pub const MAX_PREVIEW: usize = 64 * 1024;

/// Bytes of the body of an `OPTIONS` response. The body is read and dropped.
pub const MAX_OPTIONS_BODY: u64 = 1024 * 1024;

/// Threats of one response that are kept. The others are left out of [`Threats::iter`](crate::Threats::iter), and the
/// verdict is infected all the same.
///
/// Each is compared with all others, so that one threat in several fields is one threat.
pub const MAX_THREATS: usize = 100;

/// Bytes of white space before a status line that refuses.
///
/// A response that begins with white space is an error. The only exception is a refusal (403) after at most this many
/// bytes: it is [`Blocked`](crate::Verdict::Blocked).
pub const MAX_LEADING_WHITE_SPACE: usize = 64;

/// Bytes of a [name](crate::Content::name) of content, in UTF-8. A longer name is cut. Its extension is kept.
///
/// The name is a part of the request's heads, which have limits as a whole.
pub const MAX_NAME: usize = 4 * 1024;

/// Characters of a peer's text that are kept for display. The rest is cut, and `…` stands for it.
///
/// Threat names, reason phrases and header values go to logs and pages. The longest known name of a virus has
/// about 80.
pub const MAX_DISPLAY: usize = 200;

/// Bytes at fault that [`ProtocolError::seen`](crate::error::ProtocolError::seen) shows, counted before they are
/// escaped. The rest is cut.
///
/// They are enough to recognise the protocol, and too few to disclose content.
pub const MAX_EXCERPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// The limits are a part of the public interface. A change must be intended.
    #[test]
    fn limits_have_their_documented_values() {
        let sizes = [MAX_HEAD, MAX_HTTP_HEAD, MAX_TRAILERS, MAX_PREVIEW];
        assert_eq!(sizes, [65_536, 131_072, 16_384, 65_536]);
        assert_eq!(MAX_FIELDS, 256);
        assert_eq!([MAX_CHUNK_LINE, MAX_CHUNK_EXTENSIONS], [4_096, 16_384]);
        assert_eq!(MAX_CHUNK_SIZE_DIGITS, format!("{:x}", u64::MAX).len());
        assert_eq!(
            [RESPONSE_BODY_ALLOWANCE, MAX_OPTIONS_BODY],
            [16_777_216, 1_048_576]
        );
        assert_eq!((MAX_INTERIM_RESPONSES, MAX_DISPLAY), (4, 200));
        assert_eq!((MAX_NAME, MAX_THREATS), (4_096, 100));
        assert_eq!((MAX_LEADING_WHITE_SPACE, MAX_EXCERPT), (64, 32));
    }
}
