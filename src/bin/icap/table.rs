//! The table of `icap check`: what each probe found, and what to change.

use std::fmt;
use std::time::Duration;

use icap_client::self_test::{Finding, Outcome, Probe, SelfTest, ServiceTest};

use crate::quantity::rounded_down;
use crate::text::of_program;

/// The whole result.
pub(crate) struct Table<'t>(pub(crate) &'t SelfTest);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, service) in self.0.services().iter().enumerate() {
            let separator = if number > 0 { "\n\n" } else { "" };
            write!(f, "{separator}{}", Service(service))?;
        }
        Ok(())
    }
}

/// The result of one service.
struct Service<'t>(&'t ServiceTest);

impl fmt::Display for Service<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let test = self.0;
        let result = if test.passed() { "passed" } else { "FAILED" };
        let elapsed = time(test.elapsed());
        write!(f, "{}: {result} in {elapsed}", test.service())?;
        if let Some(error) = only_error(test) {
            return write!(f, ": {}", of_program(error.detail()));
        }
        let findings = test.findings();
        for (number, finding) in findings.iter().enumerate() {
            let is_same = |it: &&Finding| is_untried_for_the_same(it, finding);
            if findings[..number].iter().any(|it| is_same(&it)) {
                continue;
            }
            let same = findings[number..].iter().filter(is_same);
            let probes: Vec<_> = same.map(|it| it.probe().code()).collect();
            row(f, test, finding, &probes)?;
        }
        Ok(())
    }
}

/// A row for the finding, or for several of which the other probes have the same outcome.
fn row(
    f: &mut fmt::Formatter<'_>,
    test: &ServiceTest,
    finding: &Finding,
    probes: &[&str],
) -> fmt::Result {
    let outcome = outcome(finding.outcome());
    let mut detail = of_program(finding.detail());
    let probe = if probes.len() > 1 {
        detail = format!("{detail}: {}", probes.join(", "));
        format!("{} probes", probes.len())
    } else {
        finding.probe().code().to_owned()
    };
    let line = format!("  {probe:<13} {outcome:<15} {detail}");
    write!(f, "\n{}", line.trim_end())?;
    match advice(test, finding) {
        Some(advice) => write!(f, "\n  {:<29} change: {advice}", ""),
        None => Ok(()),
    }
}

/// The error of a service that never responded: then all probes have failed, or were not tried.
fn only_error(test: &ServiceTest) -> Option<&Finding> {
    use Outcome::{Failed, NotApplicable, Unknown};
    let findings = test.findings();
    let is_untried = |it: &Finding| matches!(it.outcome(), Failed | NotApplicable | Unknown);
    let mut failed = findings.iter().filter(|it| it.outcome() == Failed);
    failed.next().filter(|_| findings.iter().all(is_untried))
}

fn is_untried_for_the_same(one: &Finding, other: &Finding) -> bool {
    let is_unknown = |it: &Finding| it.outcome() == Outcome::Unknown;
    is_unknown(one) && is_unknown(other) && one.detail() == other.detail()
}

/// In capitals if it is bad.
fn outcome(outcome: Outcome) -> String {
    match outcome.is_good() {
        true => outcome.code().to_owned(),
        false => outcome.code().to_uppercase(),
    }
}

/// What to change, with the options of this program.
pub(crate) fn advice(test: &ServiceTest, finding: &Finding) -> Option<String> {
    let advice = of_program(finding.advice()?);
    let largest = test.depth().and_then(|depth| depth.largest_found);
    let is_limit = finding.probe() == Probe::Depth
        && !matches!(finding.outcome(), Outcome::Improvable | Outcome::Failed);
    Some(match largest.filter(|_| is_limit) {
        Some(size) => {
            let advice = advice.trim_end_matches(", or lower --max-size");
            format!("{advice}, or use --max-size {}", rounded_down(size))
        }
        None => advice,
    })
}

/// Milliseconds, or seconds from 10 on.
fn time(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{} ms", time.as_millis()),
        seconds => format!("{seconds} s"),
    }
}
