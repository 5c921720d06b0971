//! Readers that callers should not write, and that must not make content clean.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use crate::scan::content::Content;

/// How content is handed over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Bytes,
    Reader,
    /// Fails at its end.
    Failing,
    /// Is shorter than declared.
    Short,
    /// Claims more than there was room for, at once.
    Lying,
    /// Claims so at its end.
    LyingAtEnd,
    Seekable,
    /// Was written and never rewound.
    AtEnd,
}

impl Source {
    pub(super) const ALL: &[Self] = &[
        Self::Bytes,
        Self::Reader,
        Self::Failing,
        Self::Short,
        Self::Lying,
        Self::LyingAtEnd,
        Self::Seekable,
        Self::AtEnd,
    ];

    /// Whether an end of this content may never be sent.
    pub(super) fn fails(self) -> bool {
        matches!(
            self,
            Self::Failing | Self::Short | Self::Lying | Self::LyingAtEnd
        )
    }

    pub(super) fn can_be_read_again(self) -> bool {
        matches!(self, Self::Bytes | Self::Seekable | Self::AtEnd)
    }

    pub(super) fn wrap(self, content: &[u8]) -> Content<'_> {
        match self {
            Self::Bytes => Content::bytes(content),
            Self::Reader => Content::reader(content),
            Self::Failing => Content::reader(content.chain(Failing)),
            Self::Short => Content::reader(content).len(content.len() as u64 + 1),
            Self::Lying => Content::reader(Lying {
                content,
                before_lie: Some(0),
            }),
            Self::LyingAtEnd => Content::reader(Lying {
                content,
                before_lie: Some(content.len()),
            }),
            Self::Seekable => Content::seekable(Cursor::new(content)),
            Self::AtEnd => {
                let mut written = Cursor::new(content);
                let end = written.seek(SeekFrom::End(0));
                debug_assert_eq!(end.ok(), Some(content.len() as u64));
                Content::seekable(written)
            }
        }
    }
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the content fails"))
    }
}

/// Once claims more than there was room for, when `before_lie` bytes were given, and is honest otherwise.
struct Lying<'c> {
    content: &'c [u8],
    before_lie: Option<usize>,
}

impl Read for Lying<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let lies = self.before_lie == Some(0);
        let limit = self.before_lie.filter(|&left| left > 0);
        let limit = limit.unwrap_or(usize::MAX).min(buf.len());
        let len = self.content.read(&mut buf[..limit])?;
        self.before_lie = match self.before_lie {
            Some(left) if !lies => Some(left - len),
            _ => None,
        };
        Ok(if lies { buf.len() + 40_000 } else { len })
    }
}
