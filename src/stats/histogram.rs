//! How long scans took, by their outcome.

use std::fmt;
use std::time::Duration;

use crate::seam::sync::{AtomicU64, Ordering::Relaxed};

/// The upper bounds of the buckets of a [`Histogram`], from 1 ms to 300 s, which is the default deadline. One more bucket
/// has no bound.
pub const DURATION_BOUNDS: [Duration; 16] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// What one scan adds to a sum at most. A clock that jumps must not make the sum of all others overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const BUCKETS: usize = DURATION_BOUNDS.len() + 1;

/// How a scan ended. [`Stats::durations`](crate::Stats::durations) has one histogram for each of these that has
/// occurred.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// With the verdict [`Clean`](crate::Verdict::Clean).
    Clean,
    /// With the verdict [`Infected`](crate::Verdict::Infected).
    Infected,
    /// With the verdict [`Blocked`](crate::Verdict::Blocked).
    Blocked,
    /// With the verdict [`Modified`](crate::Verdict::Modified).
    Modified,
    /// With the verdict [`NotScanned`](crate::Verdict::NotScanned).
    NotScanned,
    /// With an [`Error`](crate::Error).
    Error,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] = [
        Self::Clean,
        Self::Infected,
        Self::Blocked,
        Self::Modified,
        Self::NotScanned,
        Self::Error,
    ];

    /// A lower-case key that does not change between versions, for example as a label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Infected => "infected",
            Self::Blocked => "blocked",
            Self::Modified => "modified",
            Self::NotScanned => "not_scanned",
            Self::Error => "error",
        }
    }
}

/// Writes [`as_str`](Outcome::as_str).
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long the scans with one [`Outcome`] took: how many took at most as long as each of 16 bounds, how many there are,
/// and the sum.
///
/// The bounds are [`DURATION_BOUNDS`](crate::limits::DURATION_BOUNDS).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Not cumulative. The last bucket has no bound.
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl Histogram {
    /// The number of scans.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the times of all scans. Each time is cut to whole microseconds, and to one year, before it is added.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Each bucket: its upper bound, and the number of scans that took as long or less. The bound of the last bucket is
    /// `None`, and its number is that of all scans.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = DURATION_BOUNDS.into_iter().map(Some).chain([None]);
        let mut scans = 0;
        bounds.zip(self.counts).map(move |(bound, count)| {
            scans += count;
            (bound, scans)
        })
    }
}

/// A histogram that many threads count in.
#[derive(Debug, Default)]
pub(super) struct AtomicHistogram {
    counts: [AtomicU64; BUCKETS],
    /// In microseconds: as nanoseconds, ten thousand threads would exceed the range within weeks.
    sum: AtomicU64,
}

impl AtomicHistogram {
    pub(super) fn record(&self, took: Duration) {
        let bucket = DURATION_BOUNDS.partition_point(|&bound| bound < took);
        self.counts[bucket].fetch_add(1, Relaxed);
        let micros = u64::try_from(took.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        self.sum.fetch_add(micros, Relaxed);
    }

    pub(super) fn snapshot(&self) -> Histogram {
        Histogram {
            counts: std::array::from_fn(|bucket| self.counts[bucket].load(Relaxed)),
            sum: Duration::from_micros(self.sum.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_at_a_bound_is_in_its_bucket() {
        for (place, bound) in DURATION_BOUNDS.into_iter().enumerate() {
            let recorded = AtomicHistogram::default();
            let nanosecond = Duration::from_nanos(1);
            for took in [bound - nanosecond, bound, bound + nanosecond] {
                recorded.record(took);
            }
            let histogram = recorded.snapshot();
            assert_eq!(
                (histogram.counts[place], histogram.counts[place + 1]),
                (2, 1)
            );
            let at_bound = histogram.buckets().find(|(of, _)| *of == Some(bound));
            assert_eq!(at_bound, Some((Some(bound), 2)));
            assert_eq!(histogram.buckets().last(), Some((None, 3)));
            assert_eq!(histogram.count(), 3);
        }
    }

    #[test]
    fn longest_duration_is_counted_without_a_bound() {
        let recorded = AtomicHistogram::default();
        recorded.record(Duration::ZERO);
        recorded.record(Duration::MAX);
        let counts = recorded.snapshot().counts;
        assert_eq!((counts[0], counts[BUCKETS - 1]), (1, 1));
    }

    #[test]
    fn sum_counts_a_scan_as_a_year_at_most() {
        let recorded = AtomicHistogram::default();
        for took in [LONGEST, Duration::MAX, Duration::from_secs(1)] {
            recorded.record(took);
        }
        let sum = recorded.snapshot().sum();
        assert_eq!(sum, LONGEST * 2 + Duration::from_secs(1));
    }

    #[test]
    fn outcomes_are_in_order_and_have_keys_of_their_own() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
        assert!(DURATION_BOUNDS.is_sorted());
    }
}
