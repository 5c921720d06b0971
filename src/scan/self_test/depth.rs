//! The probe that looks for the size from which on a service does not scan.

use super::finding::{Outcome, Probe};
use super::result::Depth;
use super::{Run, Scanned};
use crate::scan::builder::DEFAULT_MAX_SIZE;
use crate::scan::sample::{MAX_ARCHIVE, MIN_ARCHIVE, Sample};

/// The smallest archive.
const FIRST: u64 = 64 * 1024;

/// How often the gap between what is scanned and what is not is halved: to a hundredth of the larger size.
const HALVINGS: u32 = 6;

impl Run<'_> {
    pub(super) fn depth(&mut self) {
        let finds_archives = self
            .findings
            .iter()
            .any(|finding| finding.probe == Probe::NeverSeen && finding.outcome == Outcome::Found);
        if let Some(why) = self.pointless() {
            return self.unknown(Probe::Depth, why);
        }
        if !finds_archives {
            return self.unknown(
                Probe::Depth,
                "nothing shows that EICAR is found in archives",
            );
        }
        let began = self.scanner.now_for_waits();
        let largest = largest(self.shared.max_size);
        let mut search = Search::default();
        for size in sizes(largest) {
            if !search.take(size, self.scan(Sample::archive(size))) {
                break;
            }
        }
        for _ in 0..HALVINGS {
            let Some(size) = search.gap().filter(|_| search.failure.is_none()) else {
                break;
            };
            search.take(size, self.scan(Sample::archive(size)));
        }
        let Search {
            depth,
            worst,
            failure,
        } = search;
        self.depth = Some(depth);
        match (failure, worst) {
            (Some(failed), None) => self.note_scan(Probe::Depth, failed, began),
            (Some(_), Some(mut worst)) | (None, Some(mut worst)) => {
                worst.detail = format!("{depth}: {}", worst.detail);
                self.note_scan(Probe::Depth, worst, began);
            }
            (None, None) if self.shared.max_size.is_none_or(|max| largest < max) => {
                let detail = format!("{depth}; larger content was not tried");
                self.note(Probe::Depth, Outcome::Improvable, detail, began);
            }
            (None, None) => self.note(Probe::Depth, Outcome::Passed, depth.to_string(), began),
        }
    }
}

#[derive(Default)]
struct Search {
    depth: Depth,
    /// The worst result that is none of EICAR found: missed, else not scanned.
    worst: Option<Scanned>,
    failure: Option<Scanned>,
}

impl Search {
    /// Takes the result at one size. Returns whether larger sizes are of interest.
    fn take(&mut self, size: u64, scanned: Scanned) -> bool {
        let depth = &mut self.depth;
        match scanned.outcome {
            Outcome::Found => {
                if self.first_not_found().is_none_or(|other| size < other) {
                    self.depth.largest_found = self.depth.largest_found.max(Some(size));
                }
                return true;
            }
            Outcome::Missed => lower(&mut depth.smallest_missed, size),
            Outcome::NotScanned | Outcome::Blind => lower(&mut depth.smallest_not_scanned, size),
            _ => {
                self.failure = Some(scanned);
                return false;
            }
        }
        let is_worse = |worst: &Scanned| {
            worst.outcome != Outcome::Missed && scanned.outcome == Outcome::Missed
        };
        if self.worst.as_ref().is_none_or(is_worse) {
            self.worst = Some(scanned);
        }
        true
    }

    fn first_not_found(&self) -> Option<u64> {
        let Depth {
            smallest_missed,
            smallest_not_scanned,
            ..
        } = self.depth;
        smallest_missed
            .into_iter()
            .chain(smallest_not_scanned)
            .min()
    }

    /// The middle between the largest size found and the next one; `None` if there is nothing to look for.
    fn gap(&self) -> Option<u64> {
        let below = self.depth.largest_found?;
        let above = self.first_not_found()?;
        (above > below + 1).then(|| below + (above - below) / 2)
    }
}

fn lower(smallest: &mut Option<u64>, size: u64) {
    *smallest = Some(smallest.map_or(size, |known| known.min(size)));
}

/// The largest size to try.
fn largest(max_size: Option<u64>) -> u64 {
    max_size.unwrap_or(DEFAULT_MAX_SIZE).min(MAX_ARCHIVE)
}

/// The sizes to try, up to `max`.
fn sizes(max: u64) -> impl Iterator<Item = u64> {
    let growing = std::iter::successors(Some(FIRST), |size| size.checked_mul(4));
    growing
        .take_while(move |size| *size < max)
        .chain(Some(max.max(MIN_ARCHIVE)))
}
