//! Objections against content that is being scanned.
//!
//! A store has no operation that compares and replaces, and is not called under a lock. So a clean verdict and an objection
//! of two scans at once could reach it in either order. Therefore an objection is noted here first, and every scan looks
//! here: before it stores a clean verdict, again after that, and before it takes one from another scan or from the store.
//!
//! An objection speaks against the clean verdicts of all scans that began before it. A scan that began later may find the
//! content clean: otherwise one objection would keep content out of the cache for as long as its scans overlap.

use std::collections::HashMap;
use std::time::Instant;

use super::keyed_hash::Hash;
use crate::seam::sync::Mutex;

/// The scans and look-ups under way, by their key.
#[derive(Default)]
pub(super) struct Objections(Mutex<HashMap<Hash, Watched>>);

#[derive(Default)]
struct Watched {
    watches: usize,
    /// The time of the last objection.
    objected: Option<Instant>,
}

/// A scan or a look-up under way. Objections against its content are remembered until all that overlap have ended.
pub(super) struct Watch<'o> {
    objections: &'o Objections,
    key: Hash,
}

impl Objections {
    pub(super) fn watch(&self, key: Hash) -> Watch<'_> {
        self.0.lock().entry(key).or_default().watches += 1;
        Watch {
            objections: self,
            key,
        }
    }
}

impl Watch<'_> {
    pub(super) fn key(&self) -> &Hash {
        &self.key
    }

    /// Notes an objection. It holds against all scans that began until `now`.
    pub(super) fn object(&self, now: Instant) {
        let mut watched = self.objections.0.lock();
        let objected = &mut watched.entry(self.key).or_default().objected;
        *objected = (*objected).max(Some(now));
    }

    /// Whether there was an objection against a scan that began at this time. Two equal times count: which of the two
    /// came first is not known.
    pub(super) fn is_objected(&self, began: Instant) -> bool {
        let watched = self.objections.0.lock();
        let objected = watched.get(&self.key).and_then(|watched| watched.objected);
        objected.is_some_and(|objected| began <= objected)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut all = self.objections.0.lock();
        if let Some(watched) = all.get_mut(&self.key) {
            watched.watches -= 1;
            if watched.watches == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn objection_counts_until_the_last_scan_has_ended() {
        let objections = Objections::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (first, second) = (objections.watch([1; 16]), objections.watch([1; 16]));
        let other = objections.watch([2; 16]);
        assert!(!first.is_objected(at(0)));
        second.object(at(1));
        // The time of an objection never goes back.
        second.object(at(0));
        drop(second);
        let third = objections.watch([1; 16]);
        for watch in [&first, &third] {
            assert!(watch.is_objected(at(0)) && watch.is_objected(at(1)));
            assert!(!watch.is_objected(at(2)));
        }
        drop(first);
        // It began after the objection.
        assert!(third.is_objected(at(1)) && !third.is_objected(at(2)));
        assert!(!other.is_objected(at(0)));
        drop(third);
        assert!(!objections.watch([1; 16]).is_objected(at(0)));
        drop(other);
        assert!(objections.0.lock().is_empty());
    }
}
