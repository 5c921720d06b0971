//! Where entries are stored: the trait for stores of the caller, and the store in memory.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::MAX_CACHE_ENTRY;
use crate::seam::sync::Mutex;

/// A store for the verdict cache: a map from keys of 16 bytes to entries of at most 4 KiB
/// ([`MAX_CACHE_ENTRY`](crate::limits::MAX_CACHE_ENTRY)). See [`Cache::shared`](crate::Cache::shared).
///
/// Entries are opaque: return the bytes as they were stored. The scanner checks them and their age. An entry that is
/// not usable is scanned again and replaced.
///
/// An error or a panic of `get` is as if there were no entry, and one of `put` as if nothing was to be stored. Both are
/// logged at debug. Neither method is called under a lock of the scanner. The time in them is the caller's: it counts
/// towards the [deadline](crate::ScannerBuilder::deadline), which cannot interrupt them. So give a remote store a short
/// timeout of its own.
pub trait VerdictCache: Send + Sync {
    /// The entry that was stored last under `key`, if there is one.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from looking.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Stores `entry` under `key`, in place of an earlier one. It is of no use any more after `max_age`.
    ///
    /// An empty entry withdraws the earlier one: store it, or remove what is there. If this fails for an entry that
    /// speaks against the content, this process gives no earlier verdict of that server again. Others may.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from storing.
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

/// A store in memory for a number of entries. The oldest key is dropped first.
pub(super) struct Memory {
    limit: usize,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    entries: HashMap<Vec<u8>, Vec<u8>>,
    /// Each key once, the oldest first.
    order: VecDeque<Vec<u8>>,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        let rows = Mutex::default();
        Self { limit, rows }
    }
}

impl VerdictCache for Memory {
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.rows.lock().entries.get(key).cloned())
    }

    fn put(&self, key: &[u8], entry: &[u8], _max_age: Duration) -> io::Result<()> {
        let mut rows = self.rows.lock();
        let replaced = rows.entries.insert(key.to_vec(), entry.to_vec());
        if replaced.is_none() {
            rows.order.push_back(key.to_vec());
        }
        if rows.order.len() > self.limit {
            let oldest = rows.order.pop_front();
            oldest.and_then(|oldest| rows.entries.remove(&oldest));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_into(memory: &Memory, key: u8, entry: u8) {
        memory.put(&[key], &[entry], Duration::MAX).unwrap();
    }

    #[test]
    fn memory_keeps_the_newest_keys_up_to_its_limit() {
        let memory = Memory::new(2);
        for (key, entry) in [(1, 1), (2, 2), (1, 3), (3, 4)] {
            put_into(&memory, key, entry);
        }
        let entries = [1, 2, 3].map(|key| memory.get(&[key]).unwrap());
        assert_eq!(entries, [None, Some(vec![2]), Some(vec![4])]);
        for key in 0..=255 {
            put_into(&memory, key, 0);
        }
        let rows = memory.rows.lock();
        assert_eq!((rows.entries.len(), rows.order.len()), (2, 2));
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
