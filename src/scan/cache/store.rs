//! Where entries are stored: the trait for stores of the caller, and the store in memory.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::MAX_CACHE_ENTRY;
use crate::seam::sync::Mutex;
use crate::seam::time::Time;

/// A store for the verdict cache: a map from keys of 16 bytes to entries of at most 4 KiB
/// ([`MAX_CACHE_ENTRY`](crate::limits::MAX_CACHE_ENTRY)). See [`Cache::shared`](crate::Cache::shared).
///
/// Entries are opaque: return the bytes as they were stored. The scanner checks them and their age. If an entry is not
/// usable, the content is scanned.
///
/// If `get` fails or panics, the content is scanned. If `put` fails or panics, the verdict is not kept, and
/// [`put`](Self::put) says what happens to earlier verdicts. Each failure is logged at debug. Neither method is called
/// under a lock of the scanner.
///
/// The [deadline](crate::ScannerBuilder::deadline) cannot interrupt these methods. The calls that store or withdraw a
/// verdict are made when the verdict is known, even if the deadline has passed by then. So give a remote store a short
/// timeout of its own. [`manual::caching`](crate::manual::caching) says how many calls a scan makes.
pub trait VerdictCache: Send + Sync {
    /// The entry that was stored last under `key`, if there is one.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Stores `entry` under `key`, in place of an earlier one. It is of no use any more after `max_age`.
    ///
    /// An empty entry withdraws the earlier one: store it, or remove what is there. If an empty entry or an infected verdict
    /// cannot be stored, this process uses no older verdict of that server any more. Other processes that share the store
    /// may still use them.
    ///
    /// # Errors
    ///
    /// If the store cannot be written.
    fn put(&self, key: &[u8], entry: &[u8], max_age: Duration) -> io::Result<()>;
}

impl<S: VerdictCache + ?Sized> VerdictCache for Arc<S> {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        (**self).get(key)
    }

    fn put(&self, key: &[u8], entry: &[u8], max_age: Duration) -> io::Result<()> {
        (**self).put(key, entry, max_age)
    }
}

/// Calls `get`; whatever goes wrong there is a miss.
pub(super) fn get(store: &dyn VerdictCache, key: &[u8]) -> Option<Vec<u8>> {
    let entry = guarded("get", || store.get(key))?;
    entry.filter(|entry| entry.len() <= MAX_CACHE_ENTRY)
}

/// Calls `put`. Returns whether nothing went wrong there.
pub(super) fn put(store: &dyn VerdictCache, key: &[u8], entry: &[u8], max_age: Duration) -> bool {
    guarded("put", || store.put(key, entry, max_age)).is_some()
}

fn guarded<T>(what: &str, call: impl FnOnce() -> io::Result<T>) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => Some(result),
        Ok(Err(error)) => {
            log::debug!("verdict cache: {what} failed: {error}");
            None
        }
        Err(_) => {
            log::debug!("verdict cache: {what} panicked");
            None
        }
    }
}

/// A store in memory for a number of entries. The oldest entry is dropped first, and each one at its age.
pub(super) struct Memory {
    limit: usize,
    clock: Time,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    /// Each entry, and its place in the order.
    entries: HashMap<Vec<u8>, (u64, Vec<u8>)>,
    /// Each key once, the oldest entry first, and when that was stored.
    order: BTreeMap<u64, (Instant, Vec<u8>)>,
    stored: u64,
}

impl Memory {
    pub(super) fn new(limit: usize, clock: Time) -> Self {
        let rows = Mutex::default();
        Self { limit, clock, rows }
    }
}

impl Rows {
    fn put(&mut self, key: &[u8], entry: &[u8], now: Instant) {
        self.stored += 1;
        let entry = (self.stored, entry.to_vec());
        if let Some((place, _)) = self.entries.insert(key.to_vec(), entry) {
            self.order.remove(&place);
        }
        self.order.insert(self.stored, (now, key.to_vec()));
    }
}

impl VerdictCache for Memory {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let rows = self.rows.lock();
        Ok(rows.entries.get(key).map(|(_, entry)| entry.clone()))
    }

    fn put(&self, key: &[u8], entry: &[u8], max_age: Duration) -> io::Result<()> {
        // The clock may be the caller's, so it is asked outside of the lock.
        let now = self.clock.now();
        let mut rows = self.rows.lock();
        rows.put(key, entry, now);
        let is_old = |stored: Instant| now.saturating_duration_since(stored) >= max_age;
        while let Some((_, (stored, _))) = rows.order.first_key_value() {
            if rows.order.len() <= self.limit && !is_old(*stored) {
                break;
            }
            if let Some((_, (_, key))) = rows.order.pop_first() {
                rows.entries.remove(&key);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::time::Clock;

    fn put_into(memory: &Memory, key: u8, entry: u8) {
        let max_age = Duration::from_secs(10);
        memory.put(&[key], &[entry], max_age).unwrap();
    }

    fn entries<const N: usize>(memory: &Memory, keys: [u8; N]) -> [Option<u8>; N] {
        keys.map(|key| memory.get(&[key]).unwrap().map(|entry| entry[0]))
    }

    /// A clock that a test sets.
    struct SetClock(Mutex<Instant>);

    impl Clock for SetClock {
        fn now(&self) -> Instant {
            *self.0.lock()
        }
    }

    #[test]
    fn memory_keeps_the_newest_entries_up_to_its_limit() {
        let memory = Memory::new(2, Time::default());
        for (key, entry) in [(1, 1), (2, 2), (1, 3), (3, 4)] {
            put_into(&memory, key, entry);
        }
        assert_eq!(entries(&memory, [1, 2, 3]), [Some(3), None, Some(4)]);
        for key in 0..=255 {
            put_into(&memory, key, 0);
        }
        let rows = memory.rows.lock();
        assert_eq!((rows.entries.len(), rows.order.len()), (2, 2));
    }

    #[test]
    fn memory_drops_each_entry_at_its_age() {
        let clock = Arc::new(SetClock(Mutex::new(Instant::now())));
        let memory = Memory::new(100, Time::of(clock.clone()));
        let wait = |seconds| *clock.0.lock() += Duration::from_secs(seconds);
        put_into(&memory, 1, 1);
        put_into(&memory, 2, 2);
        wait(5);
        put_into(&memory, 1, 3);
        wait(5);
        put_into(&memory, 3, 4);
        assert_eq!(entries(&memory, [1, 2, 3]), [Some(3), None, Some(4)]);
        wait(10);
        put_into(&memory, 4, 5);
        assert_eq!(entries(&memory, [1, 3, 4]), [None, None, Some(5)]);
        assert_eq!(memory.rows.lock().order.len(), 1);
    }

    /// Panics, fails, or returns too much, by the key.
    struct Faulty;

    impl VerdictCache for Faulty {
        fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
            match key {
                b"panic" => panic!("as the test wants"),
                b"error" => Err(io::ErrorKind::TimedOut.into()),
                _ => Ok(Some(vec![0; MAX_CACHE_ENTRY + 1])),
            }
        }

        fn put(&self, key: &[u8], _: &[u8], _: Duration) -> io::Result<()> {
            self.get(key).map(drop)
        }
    }

    #[test]
    fn faulty_store_is_a_miss() {
        for key in ["panic", "error", "too long"] {
            assert_eq!(get(&Faulty, key.as_bytes()), None, "{key}");
            let is_put = put(&Faulty, key.as_bytes(), b"entry", Duration::MAX);
            assert_eq!(is_put, key == "too long");
        }
    }
}
