//! Objections against content that is being scanned.
//!
//! A store has no operation that compares and replaces, and is not called under a lock. So a clean verdict and an objection
//! of two scans at once could reach it in either order. Therefore an objection is noted here first, and the other scan looks
//! here before it stores a clean verdict and again after that.

use std::collections::HashMap;

use super::keyed_hash::Hash;
use crate::seam::sync::Mutex;

/// The scans under way, by their key.
#[derive(Default)]
pub(super) struct Objections(Mutex<HashMap<Hash, Watched>>);

#[derive(Default)]
struct Watched {
    scans: usize,
    is_objected: bool,
}

/// A scan under way. Objections against its content count until all scans that overlap have ended.
pub(super) struct Watch<'o> {
    objections: &'o Objections,
    key: Hash,
}

impl Objections {
    pub(super) fn watch(&self, key: Hash) -> Watch<'_> {
        self.0.lock().entry(key).or_default().scans += 1;
        Watch {
            objections: self,
            key,
        }
    }

    /// Whether there was an objection, by a scan that has not ended or that overlapped one that has not.
    pub(super) fn has(&self, key: &Hash) -> bool {
        let scans = self.0.lock();
        scans.get(key).is_some_and(|watched| watched.is_objected)
    }
}

impl Watch<'_> {
    pub(super) fn object(&self) {
        let mut scans = self.objections.0.lock();
        scans.entry(self.key).or_default().is_objected = true;
    }

    pub(super) fn is_objected(&self) -> bool {
        self.objections.has(&self.key)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut scans = self.objections.0.lock();
        if let Some(watched) = scans.get_mut(&self.key) {
            watched.scans -= 1;
            if watched.scans == 0 {
                scans.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objection_counts_until_the_last_scan_has_ended() {
        let objections = Objections::default();
        let (first, second) = (objections.watch([1; 16]), objections.watch([1; 16]));
        let other = objections.watch([2; 16]);
        assert!(!first.is_objected());
        second.object();
        drop(second);
        let third = objections.watch([1; 16]);
        drop(first);
        assert!(third.is_objected() && !other.is_objected());
        drop(third);
        assert!(!objections.watch([1; 16]).is_objected());
        drop(other);
        assert!(objections.0.lock().is_empty());
    }
}
