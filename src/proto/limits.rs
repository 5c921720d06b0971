//! Every number a peer controls, and how far it may go; and what a caller may hand over.
//!
//! A limit is checked before memory is taken for what it bounds. What is *at* the limit passes, one
//! more is refused: of a peer with [`Violation::LimitExceeded`](crate::error::Violation::LimitExceeded), of a caller
//! with [`Error::Input`](crate::Error::Input). Nothing that this crate adds to a caller's head takes it
//! above a limit.

/// Bytes of an ICAP head: status line, fields and blank line.
pub const MAX_HEAD: usize = 64 * 1024;

/// Fields in one head (ICAP, HTTP or trailer section).
pub const MAX_FIELDS: usize = 256;

/// Bytes of one encapsulated HTTP head.
pub const MAX_HTTP_HEAD: usize = 128 * 1024;

/// Digits of a chunk size; sixteen hexadecimal digits are all that fits in 64 bits.
pub const MAX_CHUNK_SIZE_DIGITS: usize = 16;

/// Bytes of what follows the size on a chunk's line, its line end included.
pub const MAX_CHUNK_LINE: usize = 4 * 1024;

/// Bytes of chunk extensions in one body, all chunks together. White space after a size costs nothing.
pub const MAX_CHUNK_EXTENSIONS: usize = 16 * 1024;

/// Bytes of the trailer section of one body.
pub const MAX_TRAILERS: usize = 16 * 1024;

/// Interim (1xx) answers before the final one.
pub const MAX_INTERIM_RESPONSES: usize = 4;

/// Bytes by which a response's body may be larger than the scanner's size limit: a service may send
/// back a block page, or a rewritten file that has grown.
pub const RESPONSE_BODY_ALLOWANCE: u64 = 16 * 1024 * 1024;

/// Bytes of a preview, whatever a service asks for. RFC 3507 §4.5 wants clients to manage 4,096.
pub const MAX_PREVIEW: usize = 64 * 1024;

/// Bytes of an `OPTIONS` answer's body, which is read and dropped.
pub const MAX_OPTIONS_BODY: u64 = 1024 * 1024;

/// Bytes of a content's [name](crate::Content::name), in UTF-8. A longer name is cut before its extension.
pub const MAX_NAME: usize = 4 * 1024;

/// Characters of a text sent by a peer that are kept for display.
pub const MAX_DISPLAY: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    /// They are part of what is promised: who raises one must mean to.
    #[test]
    fn the_limits_are_what_is_written_about_them() {
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
        assert_eq!(MAX_NAME, 4_096);
    }
}
