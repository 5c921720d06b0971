//! How much of the content a service gets to see before it decides whether it wants the rest.

use crate::proto::limits::MAX_PREVIEW;
use crate::proto::options::{ServiceOptions, Transfer};

/// Whether content is sent with a preview (RFC 3507 §4.5).
///
/// A preview saves sending what the service does not look at. But a service that responds with 204 to a
/// preview has seen a part, and servers do so with infected files: because of the magic number in front
/// of them, or because of their length. That is [`NotScanned::PreviewOnly`](crate::NotScanned::PreviewOnly)
/// unless the scanner is told to [trust it](crate::ScannerBuilder::trust_preview), or the preview was
/// all of the content.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preview {
    /// All of the content is sent at once.
    #[default]
    Off,
    /// As the service says in its response to `OPTIONS`: for the file extensions it wants previews of
    /// (`Transfer-Preview`), of the size it names, at most
    /// [`MAX_PREVIEW`](crate::limits::MAX_PREVIEW). Where it says nothing, or was not asked, there is
    /// none.
    Negotiated,
    /// So many bytes, but never more than the service names or than
    /// [`MAX_PREVIEW`](crate::limits::MAX_PREVIEW). None where the service offers no previews, or lists
    /// extensions and wants no preview of this one.
    Limit(usize),
}

impl Preview {
    /// The size for content with that name, sent to a service with those options, if it was asked.
    pub(crate) fn size(
        self,
        name: Option<&str>,
        options: Option<&ServiceOptions>,
    ) -> Option<usize> {
        let offered = options.and_then(|options| {
            let size = usize::try_from(options.preview()?).unwrap_or(usize::MAX);
            Some((size, options.transfer(extension(name))))
        });
        let size = match (self, options, offered) {
            (Self::Negotiated, _, Some((size, Some(Transfer::Preview)))) => size,
            (Self::Limit(limit), _, Some((size, None | Some(Transfer::Preview)))) => {
                limit.min(size)
            }
            (Self::Limit(limit), None, _) => limit,
            _ => return None,
        };
        Some(size.min(MAX_PREVIEW))
    }
}

/// What is after the last dot; empty where there is none.
fn extension(name: Option<&str>) -> &str {
    let name = name.unwrap_or_default();
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(fields: &str) -> ServiceOptions {
        crate::proto::options::tests::options(&format!("Methods: RESPMOD\r\n{fields}"))
    }

    #[test]
    fn a_preview_is_what_both_sides_want() {
        let lists =
            "Transfer-Preview: *\r\nTransfer-Complete: exe, ZIP\r\nTransfer-Ignore: jpg\r\n";
        let listed = options(&format!("Preview: 1024\r\n{lists}"));
        let unlisted = options("Preview: 1024\r\n");
        let none = options("Transfer-Preview: *\r\n");
        let huge = options("Preview: 99999999\r\nTransfer-Preview: *\r\n");
        let complete =
            options("Preview: 1024\r\nTransfer-Preview: txt\r\nTransfer-Complete: *\r\n");
        let partly = options("Preview: 1024\r\nTransfer-Preview: txt\r\n");
        use Preview::{Limit, Negotiated, Off};
        for (preview, name, options, size) in [
            (Off, "a.txt", Some(&listed), None),
            (Negotiated, "a.txt", Some(&listed), Some(1024)),
            (Negotiated, "a", Some(&listed), Some(1024)),
            (Negotiated, "a.EXE", Some(&listed), None),
            (Negotiated, "a.tar.zip", Some(&listed), None),
            (Negotiated, "a.jpg", Some(&listed), None),
            (Negotiated, "a.txt", Some(&unlisted), None),
            (Negotiated, "a.txt", Some(&none), None),
            (Negotiated, "a.txt", Some(&huge), Some(MAX_PREVIEW)),
            (Negotiated, "a.txt", None, None),
            (Negotiated, "a.txt", Some(&complete), Some(1024)),
            (Negotiated, "a.doc", Some(&complete), None),
            (Limit(4096), "a.txt", Some(&listed), Some(1024)),
            (Limit(4), "a.txt", Some(&listed), Some(4)),
            (Limit(0), "a.txt", Some(&listed), Some(0)),
            (Limit(4), "a.exe", Some(&listed), None),
            (Limit(4), "a.jpg", Some(&listed), None),
            (Limit(4), "a.txt", Some(&unlisted), Some(4)),
            (Limit(4), "a.txt", Some(&none), None),
            (Limit(4), "a.doc", Some(&complete), None),
            (Negotiated, "a.txt", Some(&partly), Some(1024)),
            (Negotiated, "a.doc", Some(&partly), None),
            (Limit(4), "a.doc", Some(&partly), None),
            (Limit(usize::MAX), "a.txt", Some(&huge), Some(MAX_PREVIEW)),
            (Limit(MAX_PREVIEW - 1), "", None, Some(MAX_PREVIEW - 1)),
            (Limit(MAX_PREVIEW), "", None, Some(MAX_PREVIEW)),
            (Limit(MAX_PREVIEW + 1), "", None, Some(MAX_PREVIEW)),
        ] {
            assert_eq!(
                preview.size(Some(name), options),
                size,
                "{preview:?} {name} {options:?}"
            );
        }
    }
}
