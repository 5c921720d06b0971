//! The program's `icap check` against a service that a test has.

use super::program::Icap;

/// Prints the screen of the check, and compares its exit status and a part of the screen.
pub(crate) fn assert_check(uri: &str, statuses: &[i32], words: &str) {
    let arguments = ["check", "--max-size=2MiB", uri];
    // However busy the machine is.
    let patient = ["--response-timeout=60m", "--deadline=none"];
    let run = Icap::new().run(&[&arguments[..], &patient].concat());
    println!(
        "\n{uri}: exit status {:?}\n{}{}",
        run.status, run.out, run.err
    );
    let status = run.status.expect("it ends by itself");
    assert!(statuses.contains(&status), "{run:?}");
    assert!(run.out.contains(words), "{run:?}");
}
