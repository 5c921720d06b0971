//! The verdict cache: content with an id that was scanned before is not scanned again.
//!
//! `verdicts/` has the rules by which a stored verdict is given again. `key.rs` says for which scans it is the same,
//! `entry.rs` how it is stored, `store.rs` where, `flights/` how scans of the same content wait for one of them, and
//! `objections.rs` how one of them withdraws what another one stores.

mod entry;
mod flights;
mod key;
mod keyed_hash;
mod objections;
mod store;
pub(super) mod verdicts;

use std::fmt;
use std::time::Duration;

pub use store::VerdictCache;

use crate::error::{InputError, InvalidInput};
use crate::seam::random;
use crate::seam::time::Time;
#[cfg(doc)]
use crate::{Content, Scanner, ScannerBuilder, limits};
use store::Memory;
use verdicts::{Ages, Verdicts};

/// The default of [`Cache::entries`]: 10,000 verdicts.
pub const DEFAULT_CACHE_ENTRIES: usize = 10_000;

/// The default of [`Cache::max_age`]: one hour.
pub const DEFAULT_CACHE_AGE: Duration = Duration::from_secs(3600);

/// The default of [`Cache::revalidate`]: 60 s.
pub const DEFAULT_REVALIDATE: Duration = Duration::from_secs(60);

/// The most bytes of an entry of the cache. A verdict with so many threats that it takes more is not kept.
pub const MAX_CACHE_ENTRY: usize = 4096;

/// Settings of the verdict cache, see [`ScannerBuilder::cache`].
///
/// Only content with an [id](Content::id) takes part. [`manual::caching`](crate::manual::caching) says what an id must
/// be, and which age to choose.
///
/// ```
/// use std::time::Duration;
/// use icap_client::{Cache, Content, Scanner};
///
/// # let server = icap_client::testing::Server::start()?;
/// # let uri = server.uri();
/// let cache = Cache::new().entries(50_000).max_age(Duration::from_secs(15 * 60));
/// let scanner = Scanner::builder(uri).cache(cache).build()?;
/// // The id is the SHA-256 of these bytes, computed by this program, in Base64.
/// let content = || Content::bytes(b"hello").id("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
/// assert!(!scanner.scan(content())?.is_cached());
/// let report = scanner.scan(content())?;
/// assert!(report.is_cached() && report.verdict().is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Cache {
    store: Option<Box<dyn VerdictCache>>,
    /// The key of all hashes.
    secret: [u8; 32],
    entries: usize,
    ages: Ages,
}

impl Cache {
    /// A cache in memory, for one scanner and its clones.
    pub fn new() -> Self {
        Self::with(None, random::key())
    }

    /// A cache in a store of your own, which several processes can share.
    ///
    /// Entries are found and checked by a keyed hash (SipHash-2-4, 128 bits) under `secret`. So the store learns no name,
    /// user, header or id. An entry that is damaged, or that was made under another secret or by another version of this
    /// crate, is not used. `secret` is 32 random bytes, the same in each process that shares the store. Keep it as you keep a password.
    ///
    /// Protect the store too: somebody who can write to it can put an older entry back, and so a clean verdict that the
    /// scanner has [withdrawn](VerdictCache::put) since.
    ///
    /// All processes must mean the same server by the same URI. The age of another process's entry is measured by the
    /// calendar clocks of both machines.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::io;
    /// use std::sync::{Mutex, PoisonError};
    /// use std::time::Duration;
    /// use icap_client::{Cache, Scanner, VerdictCache};
    ///
    /// #[derive(Default)]
    /// struct Database(Mutex<HashMap<Vec<u8>, Vec<u8>>>);
    ///
    /// impl VerdictCache for Database {
    ///     fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    ///         let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
    ///         Ok(rows.get(key).cloned())
    ///     }
    ///
    ///     fn put(&self, key: &[u8], entry: &[u8], _max_age: Duration) -> io::Result<()> {
    ///         let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
    ///         rows.insert(key.to_vec(), entry.to_vec());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # let server = icap_client::testing::Server::start()?;
    /// # let (uri, secret_from_settings) = (server.uri(), [7; 32]);
    /// let cache = Cache::shared(Database::default(), secret_from_settings);
    /// let scanner = Scanner::builder(uri).cache(cache).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shared(store: impl VerdictCache + 'static, secret: [u8; 32]) -> Self {
        Self::with(Some(Box::new(store)), secret)
    }

    fn with(store: Option<Box<dyn VerdictCache>>, secret: [u8; 32]) -> Self {
        Self {
            store,
            secret,
            entries: DEFAULT_CACHE_ENTRIES,
            ages: Ages {
                max_age: DEFAULT_CACHE_AGE,
                revalidate: DEFAULT_REVALIDATE,
            },
        }
    }

    /// Limits the verdicts that a cache in memory holds; the oldest is dropped first. At least 1. Default: 10,000
    /// ([`limits::DEFAULT_CACHE_ENTRIES`]).
    ///
    /// A verdict takes about 300 bytes, and at most 4 KiB ([`limits::MAX_CACHE_ENTRY`]). A [shared](Self::shared) store
    /// has limits of its own.
    pub fn entries(mut self, entries: usize) -> Self {
        self.entries = entries;
        self
    }

    /// Limits the age of a verdict, measured from the beginning of the scan. More than zero. Default: one hour
    /// ([`limits::DEFAULT_CACHE_AGE`]).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.ages.max_age = age;
        self
    }

    /// Sets for how long a state tag counts as current after the last response that had it. Default: 60 s
    /// ([`limits::DEFAULT_REVALIDATE`]).
    ///
    /// Each response of the service, to a scan or to `OPTIONS`, confirms the tag. If none has come for this time, the
    /// next look-up sends one `OPTIONS` request, and others wait for its result as for the first `OPTIONS` of a scanner.
    /// Without [`negotiate`](ScannerBuilder::negotiate) no such request is sent, and the content is scanned.
    ///
    /// So if new signatures change the tag, the cache gives no older verdict after this time. Zero asks before each look-up.
    pub fn revalidate(mut self, after: Duration) -> Self {
        self.ages.revalidate = after;
        self
    }

    /// The cache at work, from now on, for content of at most `max_size` bytes.
    pub(super) fn open(self, clock: &Time, max_size: Option<u64>) -> Result<Verdicts, InputError> {
        let zero = |name| Err(InputError::new(InvalidInput::Zero, name));
        if self.entries == 0 {
            return zero("entries of the cache");
        }
        if self.ages.max_age.is_zero() {
            return zero("max_age of the cache");
        }
        let memory = Memory::new(self.entries, clock.clone());
        let store = self.store.unwrap_or_else(|| Box::new(memory));
        let now = clock.now();
        Ok(Verdicts::new(store, self.secret, self.ages, max_size, now))
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new()
    }
}

/// Without the secret.
impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("is_shared", &self.store.is_some())
            .field("entries", &self.entries)
            .field("ages", &self.ages)
            .finish_non_exhaustive()
    }
}
