//! How far an exchange has come: what decides how what arrives is read.

/// How far the exchange has come.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The first byte of the request was written.
    pub(super) begun: bool,
    /// Every byte of the request was written; where a final answer came to the preview, that is all.
    pub(super) request_written: bool,
    pub(super) stage: Stage,
    /// A `100 Continue` came that asks for what is behind the preview.
    pub(super) continued: bool,
    /// A byte of an answer came before the request was completely written.
    pub(super) answered_early: bool,
    /// And it was one of the final answer, or may have been.
    pub(super) final_early: bool,
    pub(super) content_sent: u64,
}

/// Which part of the request is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// All of it: there is no preview.
    Whole,
    /// The preview, which may turn out to be all.
    Preview,
    /// None: the service is to decide on the preview.
    Decision,
    /// What is behind the preview.
    Rest,
}

impl Progress {
    pub(crate) fn start(has_preview: bool) -> Self {
        Self {
            begun: false,
            request_written: false,
            stage: if has_preview {
                Stage::Preview
            } else {
                Stage::Whole
            },
            continued: false,
            answered_early: false,
            final_early: false,
            content_sent: 0,
        }
    }

    /// Whether a final answer is to be expected: the request is written, or the preview is.
    pub(super) fn is_due(&self) -> bool {
        let is_deciding = self.stage == Stage::Decision && !self.continued;
        self.request_written || is_deciding
    }
}
