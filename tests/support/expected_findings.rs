//! The findings of a self-test that are expected of each service: `tests/data/self_test.txt`.

use icap_client::self_test::ServiceTest;

const EXPECTED: &str = include_str!("../data/self_test.txt");

/// Compares the findings with the section `name`.
pub(crate) fn assert_expected(name: &str, test: &ServiceTest) {
    let lines: Vec<_> = section(name).collect();
    assert_eq!(lines.len(), test.findings().len(), "{name}: {lines:?}");
    for (line, finding) in lines.iter().zip(test.findings()) {
        let (probe, outcomes) = line.split_once(' ').expect("a probe and its outcome");
        assert_eq!(finding.probe().code(), probe, "{name}");
        let mut outcomes = outcomes.trim().split(" or ");
        let found = finding.outcome().code();
        assert!(
            outcomes.any(|outcome| outcome == found),
            "{name}: {line}\n{test}"
        );
    }
}

fn section(name: &str) -> impl Iterator<Item = &'static str> {
    let title = format!("[{name}]");
    let lines = EXPECTED.lines().skip_while(move |line| *line != title);
    lines.skip(1).take_while(|line| !line.is_empty())
}
