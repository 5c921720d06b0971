//! The probe that measures how long content of growing size takes.

use std::time::Duration;

use super::Run;
use super::finding::{Outcome, Probe};
use super::result::Latency;
use crate::scan::sample::Sample;

/// What is measured: 64 KiB, 1 MiB and 8 MiB.
const SIZES: [u64; 3] = [64 << 10, 1 << 20, 8 << 20];

/// What it is extrapolated to: 100 MiB, the usual size limit.
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
        let Some(estimate) = estimate(&self.latencies) else {
            return self.unknown(Probe::Latency, "too few sizes were scanned");
        };
        self.latencies.push(estimate);
        let shown: Vec<_> = self.latencies.iter().map(Latency::to_string).collect();
        let outcome = match self.fits(estimate) {
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

    fn fits(&self, estimate: Latency) -> bool {
        let settings = &self.shared.recipe.settings;
        let is_in_time = settings
            .deadline
            .is_none_or(|deadline| estimate.elapsed <= deadline);
        is_in_time && estimate.wait <= settings.timeouts.response()
    }
}

/// A straight line through the two largest sizes.
fn estimate(measured: &[Latency]) -> Option<Latency> {
    let [.., small, large] = measured else {
        return None;
    };
    let factor = (LARGE - large.size) as f64 / (large.size - small.size) as f64;
    let extended = |from: Duration, to: Duration| {
        let more = to.saturating_sub(from).as_secs_f64() * factor;
        to.saturating_add(Duration::try_from_secs_f64(more).unwrap_or(Duration::MAX))
    };
    Some(Latency {
        size: LARGE,
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
    fn estimate_is_on_the_line_of_the_two_largest_sizes() {
        let [small, middle, large] = SIZES;
        let list = [
            measured(small, 500),
            measured(middle, 10),
            measured(large, 80),
        ];
        let estimated = estimate(&list).unwrap();
        // 10 ms for each further MiB.
        assert_eq!(estimated.wait, Duration::from_millis(80 + 92 * 10));
        assert_eq!(estimated.elapsed, 2 * estimated.wait);
        assert!(estimated.is_estimate);
        assert_eq!(estimate(&list[..1]), None);
        let faster = [measured(middle, 80), measured(large, 10)];
        assert_eq!(estimate(&faster).unwrap().wait, Duration::from_millis(10));
    }
}
