//! What the engine of a healthy service does, and how engines fail in silence.

use std::time::Duration;

use super::received::Received;

/// What a [service](super::Server::with_engine) does with content. The default finds the EICAR test file.
///
/// All others respond to `OPTIONS` as a healthy service does, so only content shows what they are.
///
/// ```
/// use icap_client::testing::{self, Engine, Server};
/// use icap_client::{Content, NotScanned, Scanner, Verdict};
///
/// let server = Server::start()?;
/// let scanner = Scanner::new(server.uri())?;
/// assert!(scanner.scan(testing::eicar())?.verdict().is_infected());
///
/// // The engine loses its signatures while the server runs. The scan of an ordinary file does not show that.
/// server.set_engine(Engine::Blind);
/// assert!(scanner.scan(testing::eicar())?.verdict().is_clean());
///
/// // A service that skips the file sends it back, although it offers 204.
/// server.set_engine(Engine::Echo);
/// let report = scanner.scan(testing::eicar())?;
/// assert_eq!(*report.verdict(), Verdict::NotScanned(NotScanned::Echoed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// Finds the EICAR test file anywhere in the body.
    #[default]
    Working,
    /// Reads all of the content and finds nothing, as clamd without signatures.
    Blind,
    /// Sends the response for clean content when it has read the heads, and does not wait for the content. c-icap that was started
    /// without its engine does this.
    Early,
    /// Reads all of the content and sends it back, although the service offers 204. c-icap does this with types
    /// and sizes that it skips. A body above 1 MiB gets 500.
    Echo,
    /// Finds the EICAR test file in bodies of at most this many bytes, and nothing in larger ones. clamd does this
    /// above its `MaxFileSize`.
    UpTo(u64),
    /// Finds the EICAR test file. It waits before each response: for the given time, multiplied by the size of the body in
    /// MiB (1,048,576 bytes).
    Slow(Duration),
}

impl Engine {
    /// Whether it finds something in what was received of a body so far.
    pub(super) fn finds(self, request: &Received) -> bool {
        let looks = match self {
            Self::Working | Self::Slow(_) => true,
            Self::Blind | Self::Early | Self::Echo => false,
            Self::UpTo(size) => request.body_len() <= size,
        };
        looks && request.has_eicar()
    }

    /// The wait before the response.
    pub(super) fn pause(self, request: &Received) -> Duration {
        match self {
            Self::Slow(of_a_mebibyte) => {
                let mebibytes = request.body_len() as f64 / f64::from(1 << 20);
                let pause = of_a_mebibyte.as_secs_f64() * mebibytes;
                Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX)
            }
            _ => Duration::ZERO,
        }
    }
}
