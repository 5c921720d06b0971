//! Previews: how much of the content is sent before the service decides whether it needs the rest.

use crate::proto::limits::MAX_PREVIEW;
use crate::proto::options::{ServiceOptions, Transfer};

/// Whether content is sent with a preview (RFC 3507 §4.5).
///
/// A preview saves the upload of content that the service does not look at. But a service that responds with
/// 204 to a preview has seen only a part. A server may decide by the first bytes or
/// the length of a file that it does not want the rest, and send such a 204 for an infected file too.
///
/// So a 204 to a preview of a part of the content is [`NotScanned::PreviewOnly`](crate::NotScanned::PreviewOnly), and
/// [`Clean`](crate::Verdict::Clean) only with [`trust_preview`](crate::ScannerBuilder::trust_preview). A 204 to a preview
/// that was all of the content is `Clean`.
///
/// ```
/// use icap_client::{Preview, Scanner};
///
/// # let server = icap_client::testing::Server::with_preview(4)?;
/// # let uri = server.uri();
/// // The service offers a preview of 4 bytes.
/// let scanner = Scanner::builder(uri).preview(Preview::Limit(1024)).build()?;
/// assert!(scanner.scan("1234")?.verdict().is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preview {
    /// No preview: all of the content is sent at once.
    #[default]
    Off,
    /// A preview as the service asks for it in its `OPTIONS` response: for the file extensions in
    /// `Transfer-Preview`, of the size in `Preview`, at most 64 KiB
    /// ([`MAX_PREVIEW`](crate::limits::MAX_PREVIEW)). If one of the two fields is missing, or if `OPTIONS` was
    /// not sent, there is no preview.
    Negotiated,
    /// A preview of at most this many bytes, at most the size that the service names, and at most 64 KiB
    /// ([`MAX_PREVIEW`](crate::limits::MAX_PREVIEW)). There is no preview if the service has no `Preview` field, or if its
    /// `Transfer-…` fields say that content with the extension of this [name](crate::Content::name) gets none.
    Limit(usize),
}

impl Preview {
    /// The size of the preview for content with this name and a service with these options; `None` for no
    /// preview.
    pub(crate) fn size(
        self,
        name: Option<&str>,
        options: Option<&ServiceOptions>,
    ) -> Option<usize> {
        self.offered(options, |options| options.transfer(extension(name)))
    }

    /// The size of the preview for content of a type that gets one; `None` if no content gets one.
    ///
    /// A sample that shows what a service does with previews is sent like this, whatever its own name is.
    pub(crate) fn size_if_any(self, options: Option<&ServiceOptions>) -> Option<usize> {
        self.offered(options, ServiceOptions::transfer_of_previewed)
    }

    fn offered(
        self,
        options: Option<&ServiceOptions>,
        transfer: impl Fn(&ServiceOptions) -> Option<Transfer>,
    ) -> Option<usize> {
        // Without a preview the lists of the service are not searched.
        let Some(options) = options.filter(|_| self != Self::Off) else {
            return match self {
                Self::Limit(limit) => Some(limit.min(MAX_PREVIEW)),
                Self::Off | Self::Negotiated => None,
            };
        };
        let offered = usize::try_from(options.preview()?).unwrap_or(usize::MAX);
        let size = match (self, transfer(options)) {
            (Self::Negotiated, Some(Transfer::Preview)) => offered,
            (Self::Limit(limit), None | Some(Transfer::Preview)) => limit.min(offered),
            _ => return None,
        };
        Some(size.min(MAX_PREVIEW))
    }
}

/// The text after the last dot; empty without a dot.
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
    fn preview_size_is_what_both_sides_want() {
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

    #[test]
    fn preview_of_samples_is_the_largest_that_any_name_gets() {
        use Preview::{Limit, Negotiated, Off};
        for (lists, negotiated, limited) in [
            ("", None, Some(4)),
            ("Transfer-Preview: *", Some(1024), Some(4)),
            (
                "Transfer-Preview: *\r\nTransfer-Complete: zip",
                Some(1024),
                Some(4),
            ),
            (
                "Transfer-Preview: txt\r\nTransfer-Complete: *",
                Some(1024),
                Some(4),
            ),
            (
                "Transfer-Preview: zip, txt\r\nTransfer-Complete: ZIP",
                Some(1024),
                Some(4),
            ),
            (
                "Transfer-Preview: txt\r\nTransfer-Ignore: *",
                Some(1024),
                Some(4),
            ),
            ("Transfer-Preview: TXT", Some(1024), Some(4)),
            ("Transfer-Complete: *", None, None),
            (
                "Transfer-Preview: zip\r\nTransfer-Complete: ZIP, *",
                None,
                None,
            ),
            ("Transfer-Preview: *\r\nTransfer-Complete: *", None, None),
            ("Transfer-Complete: zip", None, None),
            ("Transfer-Ignore: *", None, None),
        ] {
            let options =
                options(&format!("Preview: 1024\r\n{lists}\r\n").replace("\r\n\r\n", "\r\n"));
            for (preview, expected) in [(Off, None), (Negotiated, negotiated), (Limit(4), limited)]
            {
                assert_eq!(preview.size_if_any(Some(&options)), expected, "{lists}");
                let names = ["a", "a.txt", "a.zip", "a.pdf"];
                let sizes = names.map(|name| preview.size(Some(name), Some(&options)));
                assert_eq!(sizes.into_iter().flatten().max(), expected, "{lists}");
            }
        }
        assert_eq!(Limit(4).size_if_any(None), Some(4));
        assert_eq!(Negotiated.size_if_any(None), None);
        let without = options("Transfer-Preview: *\r\n");
        assert_eq!(Limit(4).size_if_any(Some(&without)), None);
    }
}
