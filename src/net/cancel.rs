//! Ending a scan from another thread.

use std::sync::Arc;
use std::time::Duration;

use crate::seam::sync::{AtomicBool, Ordering};

/// A scan that waits checks its [`Cancel`] at least once in this time: 25 ms.
pub const CANCEL_INTERVAL: Duration = Duration::from_millis(25);

/// Ends scans from another thread. Clones are handles of the same token.
///
/// [`Content::cancel`](crate::Content::cancel) gives it to a scan. Its documentation says how the scan ends. One token can be
/// given to several scans: it ends all of them. It cannot be reset, so a new task needs a new token.
///
/// ```
/// use std::thread;
///
/// use icap_client::testing::{Script, Server};
/// use icap_client::{Cancel, Content, Scanner};
///
/// // A server that reads the request and never responds.
/// let server = Server::scripted([Script::new().answer_options().read_request().hold()])?;
/// let scanner = Scanner::new(server.uri())?;
/// let cancel = Cancel::new();
///
/// let result = thread::scope(|scope| {
///     let scan = scope.spawn(|| scanner.scan(Content::bytes(b"hello").cancel(&cancel)));
///     // For example when the browser that waits for the file is closed.
///     cancel.cancel();
///     scan.join().expect("the scan does not panic")
/// });
/// assert!(result.unwrap_err().is_cancelled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    is_cancelled: Arc<AtomicBool>,
}

impl Cancel {
    /// A token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the scans that have this token, and those that get it later. It does not wait for their end. More calls
    /// do nothing.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
    }

    /// Whether [`cancel`](Self::cancel) was called on this token or a clone of it.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::SeqCst)
    }
}
