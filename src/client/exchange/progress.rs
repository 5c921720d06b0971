//! How far an exchange has come. That decides how arriving bytes are read.

/// How far the exchange has come.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The first byte of the request was written.
    pub(super) begun: bool,
    /// Every byte of the request was written. If a final response came to the preview, the preview is all of it.
    pub(super) request_written: bool,
    pub(super) stage: Stage,
    /// A `100 Continue` came that asks for what is after the preview.
    pub(super) continued: bool,
    /// Bytes that had been written to the connection before this exchange.
    pub(super) start: u64,
    /// Bytes that had been written to it when a final response became due: the request was written, or the
    /// preview was. `None` while one is not due.
    pub(super) due_at: Option<u64>,
    /// A byte of a response came before the request was completely written.
    pub(super) answered_early: bool,
    /// That byte was one of the final response, or may have been.
    pub(super) final_early: bool,
    pub(super) content_sent: u64,
}

/// Which part of the request is being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// All of it: there is no preview.
    Whole,
    /// The preview, which may turn out to be all.
    Preview,
    /// Nothing: the client waits until the service has decided on the preview.
    Decision,
    /// What is after the preview.
    Rest,
}

impl Progress {
    /// `sent` bytes were written to the connection before.
    pub(crate) fn start(has_preview: bool, sent: u64) -> Self {
        Self {
            start: sent,
            due_at: None,
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

    /// Whether bytes came before a final response was due, if they began to arrive when so many bytes had been
    /// written to the connection.
    pub(super) fn is_early(&self, arrived: u64) -> bool {
        self.due_at.is_none_or(|due_at| arrived < due_at)
    }
}
