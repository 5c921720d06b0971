//! The probe that measures how long content of growing size takes.

use std::time::Duration;

use super::Run;
use super::finding::{Outcome, Probe};
use super::result::Latency;
use crate::scan::sample::Sample;

/// What is measured: 64 KiB, 1 MiB and 8 MiB.
const SIZES: [u64; 3] = [64 << 10, 1 << 20, 8 << 20];

/// What it is always extrapolated to: 100 MiB, the usual size limit.
const LARGE: u64 = 100 << 20;

/// How often each size is scanned. The fastest scan counts, because others on the machine only make it slower.
const TIMES: u32 = 3;

impl Run<'_> {
    pub(super) fn latency(&mut self) {
        if let Some(why) = self.pointless() {
            return self.unknown(Probe::Latency, why);
        }
        let began = self.scanner.now_for_waits();
        let max_size = self.shared.max_size.unwrap_or(u64::MAX);
        let sizes = SIZES.into_iter().filter(|size| *size <= max_size);
        if sizes.clone().count() < 2 {
            return self.not_applicable(Probe::Latency, "the size limit is too low to tell");
        }
        self.latencies = sizes.map_while(|size| self.measure(size)).collect();
        // Judged by the largest content that the scanner sends.
        let largest = self.shared.max_size.unwrap_or(LARGE);
        let estimates = estimate(&self.latencies, LARGE).zip(estimate(&self.latencies, largest));
        let Some((shown, judged)) = estimates else {
            return self.unknown(Probe::Latency, "too few sizes were scanned");
        };
        self.latencies.push(shown);
        let shown: Vec<_> = self.latencies.iter().map(Latency::to_string).collect();
        let settings = &self.shared.recipe.settings;
        let response = settings.timeouts.response();
        let outcome = match judged.fits(response, settings.deadline) {
            true => Outcome::Passed,
            false => Outcome::TooSlow,
        };
        self.note(Probe::Latency, outcome, shown.join(", "), began);
    }

    /// `None` if the content is not scanned: that takes no time.
    fn measure(&mut self, size: u64) -> Option<Latency> {
        let mut fastest: Option<Latency> = None;
        for _ in 0..TIMES {
            let scanned = self.scan(Sample::noise(size));
            if scanned.outcome != Outcome::Missed {
                return None;
            }
            let latency = Latency {
                size,
                elapsed: scanned.elapsed,
                wait: scanned.wait,
                is_estimate: false,
            };
            if fastest.is_none_or(|fastest| latency.elapsed < fastest.elapsed) {
                fastest = Some(latency);
            }
        }
        fastest
    }
}

impl Latency {
    /// Whether a scan that takes this long ends in time.
    fn fits(&self, response_timeout: Duration, deadline: Option<Duration>) -> bool {
        let is_in_time = deadline.is_none_or(|deadline| self.elapsed <= deadline);
        is_in_time && self.wait <= response_timeout
    }
}

/// Content of `size` bytes, by a straight line through the two largest sizes that were measured. Smaller content takes
/// no longer than the largest of them.
fn estimate(measured: &[Latency], size: u64) -> Option<Latency> {
    let [.., small, large] = measured else {
        return None;
    };
    let beyond = size.saturating_sub(large.size);
    let factor = beyond as f64 / (large.size - small.size) as f64;
    let extended = |from: Duration, to: Duration| {
        let more = to.saturating_sub(from).as_secs_f64() * factor;
        to.saturating_add(Duration::try_from_secs_f64(more).unwrap_or(Duration::MAX))
    };
    Some(Latency {
        size,
        elapsed: extended(small.elapsed, large.elapsed),
        wait: extended(small.wait, large.wait),
        is_estimate: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(size: u64, millis: u64) -> Latency {
        Latency {
            size,
            elapsed: Duration::from_millis(2 * millis),
            wait: Duration::from_millis(millis),
            is_estimate: false,
        }
    }

    #[test]
    fn slow_scan_fits_neither_shorter_limit() {
        let second = Duration::from_secs(1);
        let scan = measured(LARGE, 1000);
        assert!(scan.fits(second, None) && scan.fits(second, Some(2 * second)));
        assert!(!scan.fits(second / 2, None));
        assert!(!scan.fits(second, Some(second)));
    }

    #[test]
    fn estimate_is_on_the_line_of_the_two_largest_sizes() {
        let [small, middle, large] = SIZES;
        let list = [
            measured(small, 500),
            measured(middle, 10),
            measured(large, 80),
        ];
        let estimated = estimate(&list, LARGE).unwrap();
        // 10 ms for each further MiB.
        assert_eq!(estimated.wait, Duration::from_millis(80 + 92 * 10));
        assert_eq!(estimated.elapsed, 2 * estimated.wait);
        assert!(estimated.is_estimate);
        assert_eq!(estimate(&list[..1], LARGE), None);
        let faster = [measured(middle, 80), measured(large, 10)];
        let estimated = estimate(&faster, LARGE).unwrap();
        assert_eq!(estimated.wait, Duration::from_millis(10));
        // Nothing is extrapolated to what is not sent.
        for size in [middle, large] {
            let estimated = estimate(&list, size).unwrap();
            assert_eq!(estimated.wait, Duration::from_millis(80));
        }
    }
}
