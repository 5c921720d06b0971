//! An event that a test triggers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A gate that a test opens once, and for which a [`Script`](super::Script) can wait. Clones are handles of
/// the same gate.
///
/// ```
/// use icap_client::testing::{CLEAN, Gate, Script, Server};
/// use icap_client::{Content, Scanner};
///
/// let gate = Gate::new();
/// let script = Script::new().read_request().send(CLEAN).wait_for(&gate).close();
/// let server = Server::scripted([script])?;
/// let scanner = Scanner::builder(server.uri()).negotiate(false).build()?;
/// assert!(scanner.scan(Content::bytes(b"hello"))?.verdict().is_clean());
/// // The connection is idle now, and only now the server closes it.
/// gate.open();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Gate {
    is_open: Arc<AtomicBool>,
}

impl Gate {
    /// A gate that is closed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the gate. It stays open.
    pub fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }
}
