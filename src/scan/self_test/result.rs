//! The result of a self-test, for programs and for people.

use std::fmt;
use std::time::Duration;

use super::finding::{Finding, Outcome, Probe};

/// What a [self-test](crate::Scanner::self_test) found out about the services of a scanner.
///
/// `Display` is a table of several lines, for an operator: each probe with its outcome, and what to change. Text of a
/// server is shown safely.
///
/// ```
/// use icap_client::Scanner;
/// use icap_client::self_test::{Outcome, Probe};
/// use icap_client::testing::{Engine, Server};
///
/// let server = Server::with_engine(Engine::UpTo(300_000))?;
/// let scanner = Scanner::builder(server.uri()).max_size(1 << 20).build()?;
/// let test = scanner.self_test()?;
/// assert!(!test.passed());
///
/// let service = &test.services()[0];
/// assert_eq!(service.outcome(Probe::Eicar), Some(Outcome::Found));
/// assert_eq!(service.outcome(Probe::Depth), Some(Outcome::Missed));
/// let depth = service.depth().expect("EICAR was found");
/// assert!(depth.largest_found <= Some(300_000) && depth.smallest_missed > Some(300_000));
/// println!("{test}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a service that does not scan is found only by looking at the result"]
pub struct SelfTest {
    pub(super) services: Vec<ServiceTest>,
    pub(super) elapsed: Duration,
}

impl SelfTest {
    /// The results, one for each service in the order of the [endpoints](crate::ScannerBuilder::endpoint).
    #[must_use]
    pub fn services(&self) -> &[ServiceTest] {
        &self.services
    }

    /// Whether every service passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.services.iter().all(ServiceTest::passed)
    }

    /// How long all of it took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// What a self-test found out about one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTest {
    pub(super) service: String,
    pub(super) software: Option<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) depth: Option<Depth>,
    pub(super) latencies: Vec<Latency>,
    pub(super) elapsed: Duration,
}

impl ServiceTest {
    /// The service, as a URI without its arguments.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The service's description of itself (`Service` in its options), safe to show.
    #[must_use]
    pub fn software(&self) -> Option<&str> {
        self.software.as_deref()
    }

    /// Whether every outcome [is good](Outcome::is_good).
    #[must_use]
    pub fn passed(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.outcome.is_good())
    }

    /// What the probes found, in the order in which they were tried.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The outcome of one probe; `None` if it is not among the [findings](Self::findings).
    #[must_use]
    pub fn outcome(&self, probe: Probe) -> Option<Outcome> {
        let mut findings = self.findings.iter();
        findings
            .find(|finding| finding.probe == probe)
            .map(Finding::outcome)
    }

    /// Up to which size EICAR was found; `None` if that was not tried.
    #[must_use]
    pub fn depth(&self) -> Option<&Depth> {
        self.depth.as_ref()
    }

    /// How long clean content of growing size took. The last one is an estimate for 100 MiB, whatever
    /// the size limit is. The outcome of `latency` is an estimate for content of the size limit.
    #[must_use]
    pub fn latencies(&self) -> &[Latency] {
        &self.latencies
    }

    /// How long the test of this service took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// Up to which size a service finds EICAR at the end of an archive.
///
/// The sizes grow by a factor of 4 from 64 KiB up to the size limit, 1 GiB at most. If
/// EICAR is not found at one of them, a size halfway between that size and the largest one at which it was found is tried
/// next. This is repeated a few times.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// EICAR was found at this size in bytes, and at each smaller size that was tried.
    pub largest_found: Option<u64>,
    /// The smallest size in bytes at which the content was called clean.
    pub smallest_missed: Option<u64>,
    /// The smallest size in bytes at which the verdict was [`NotScanned`](crate::Verdict::NotScanned).
    pub smallest_not_scanned: Option<u64>,
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            self.largest_found,
            self.smallest_missed,
            self.smallest_not_scanned,
        ];
        let is_distinct = |unit: u64| {
            let shown = all.map(|size| size.map(|size| Size(size, unit).to_string()));
            let pairs = [(0, 1), (0, 2), (1, 2)];
            pairs
                .into_iter()
                .all(|(i, j)| shown[i] != shown[j] || all[i] == all[j])
        };
        let unit = [u64::MAX, 1 << 20, 1 << 10]
            .into_iter()
            .find(|unit| is_distinct(*unit));
        let size = |size| Size(size, unit.unwrap_or(1));
        match self.largest_found {
            Some(found) => write!(f, "found up to {}", size(found))?,
            None => f.write_str("found at no size")?,
        }
        if let Some(missed) = self.smallest_missed {
            write!(f, ", called clean from {} on", size(missed))?;
        }
        if let Some(other) = self.smallest_not_scanned {
            write!(f, ", not scanned at {}", size(other))?;
        }
        Ok(())
    }
}

/// How long clean content of one size takes.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Bytes of content.
    pub size: u64,
    /// The whole scan. Content of this size is scanned only if the deadline is longer.
    pub elapsed: Duration,
    /// From the last byte sent to the end of the response. Content of this size is scanned only if the
    /// response timeout is longer.
    pub wait: Duration,
    /// It was not measured, but computed from smaller sizes.
    pub is_estimate: bool,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.is_estimate {
            "would take "
        } else {
            "in "
        };
        write!(
            f,
            "{} {would}{}",
            Size(self.size, u64::MAX),
            Time(self.elapsed)
        )
    }
}

/// Milliseconds, or seconds from 10 on.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0..10 => write!(f, "{} ms", self.0.as_millis()),
            seconds => write!(f, "{seconds} s"),
        }
    }
}

impl fmt::Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, service) in self.services.iter().enumerate() {
            let separator = if number > 0 { "\n\n" } else { "" };
            write!(f, "{separator}{service}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ServiceTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.passed() { "passed" } else { "FAILED" };
        write!(f, "{}: {result} in {}", self.service, Time(self.elapsed))?;
        for finding in &self.findings {
            let (probe, outcome) = (finding.probe.code(), finding.outcome.code());
            let outcome = match finding.outcome.is_good() {
                true => outcome.to_owned(),
                false => outcome.to_uppercase(),
            };
            let line = format!("  {probe:<13} {outcome:<15} {}", finding.detail);
            write!(f, "\n{}", line.trim_end())?;
            if let Some(advice) = finding.advice {
                write!(f, "\n  {:<29} change: {advice}", "")?;
            }
        }
        Ok(())
    }
}

/// A size with one decimal of its unit, and the largest unit.
struct Size(u64, u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units
            .iter()
            .find(|(size, _)| self.0 >= *size && self.1 >= *size)
        {
            Some((size, unit)) if self.0 % size == 0 => write!(f, "{} {unit}", self.0 / size),
            Some((size, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / *size as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_differ_are_shown_differently() {
        for (found, missed, shown) in [
            (
                25 << 20,
                26 << 20,
                "found up to 25 MiB, called clean from 26 MiB on",
            ),
            (
                (11 << 27) + 1,
                (11 << 27) + (1 << 20),
                "found up to 1408.0 MiB, called clean from 1409 MiB on",
            ),
            (
                26_214_401,
                26_214_500,
                "found up to 25600.0 KiB, called clean from 25600.1 KiB on",
            ),
            (
                65_537,
                65_538,
                "found up to 65537 bytes, called clean from 65538 bytes on",
            ),
        ] {
            let depth = Depth {
                largest_found: Some(found),
                smallest_missed: Some(missed),
                smallest_not_scanned: None,
            };
            assert_eq!(depth.to_string(), shown);
        }
    }
}
