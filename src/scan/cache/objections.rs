//! Objections against content that is being scanned.
//!
//! A store has no operation that compares and replaces, and is not called under a lock. So a clean verdict and an objection
//! of two scans at once could reach it in either order. Therefore an objection is noted here first, and every scan looks
//! here: before it stores a clean verdict, again after that, and before it gives one of another scan or of the store.
//!
//! An objection speaks against the clean verdicts of all scans that began before it was stored. A scan that began later
//! may find the content clean: otherwise one objection would keep content out of the cache for as long as its scans overlap.

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
    /// The objections that are on their way into the store.
    open: usize,
    /// When the last one ended.
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

    /// Notes an objection. Until it [ends](Self::end_objection), it holds against all scans: one that begins meanwhile may
    /// not find it in the store. A panic leaves it open while scans overlap, which is on the safe side.
    pub(super) fn begin_objection(&self) {
        let mut all = self.objections.0.lock();
        all.entry(self.key).or_default().open += 1;
    }

    /// The objection has reached the store. It still holds against all scans that began until `now`.
    pub(super) fn end_objection(&self, now: Instant) {
        let mut all = self.objections.0.lock();
        let watched = all.entry(self.key).or_default();
        watched.open = watched.open.saturating_sub(1);
        watched.objected = watched.objected.max(Some(now));
    }

    /// Whether there is an objection against a scan that began at this time. Two equal times count: which of the two
    /// came first is not known.
    pub(super) fn is_objected(&self, began: Instant) -> bool {
        let all = self.objections.0.lock();
        all.get(&self.key).is_some_and(|watched| {
            watched.open > 0 || watched.objected.is_some_and(|objected| began <= objected)
        })
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
        second.begin_objection();
        second.end_objection(at(1));
        // The time of an objection never goes back.
        second.begin_objection();
        second.end_objection(at(0));
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

    #[test]
    fn open_objection_counts_against_later_scans_too() {
        let objections = Objections::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (first, second) = (objections.watch([1; 16]), objections.watch([1; 16]));
        first.begin_objection();
        second.begin_objection();
        assert!(second.is_objected(at(100)));
        first.end_objection(at(1));
        assert!(second.is_objected(at(100)));
        second.end_objection(at(2));
        assert!(second.is_objected(at(2)) && !second.is_objected(at(3)));
    }
}
