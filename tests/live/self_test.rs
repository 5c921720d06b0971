//! The self-test against c-icap as it is set up well, as it is shipped, and as it fails.

use std::time::Duration;

use icap_client::Scanner;
use icap_client::self_test::ServiceTest;

use super::{ALL_OF_IT, URI, variable};
use crate::support::expected_findings::assert_expected;

const MIB: u64 = 1 << 20;

/// The findings of a service, which must be those in the table.
fn test(name: &str, uri: String) -> ServiceTest {
    let builder = Scanner::builder(uri).max_size(32 * MIB);
    // However busy the machine is.
    let builder = builder.response_timeout(Duration::from_secs(3600));
    let test = builder.deadline(None).build().unwrap().self_test().unwrap();
    println!("\n{test}");
    let test = &test.services()[0];
    assert_expected(name, test);
    test.clone()
}

pub(crate) fn findings_are_as_expected() {
    let base = variable(URI);
    for (name, service) in [("forced", ALL_OF_IT), ("as shipped", "avscan")] {
        let test = test(&format!("c-icap, {name}"), format!("{base}/{service}"));
        let depth = test.depth().unwrap();
        // clamd's MaxFileSize is 25 MiB.
        assert_eq!(
            depth.largest_found.map(|size| size / MIB),
            Some(25),
            "{depth}"
        );
        assert_eq!(
            depth.smallest_missed.map(|size| size / MIB),
            Some(25),
            "{depth}"
        );
    }
    let limited = test("c-icap, small limits", format!("{base}/virus_scan"));
    let depth = limited.depth().unwrap();
    // Above 2 MiB, 5 % come back before the scan.
    assert!(depth.largest_found.unwrap() <= 2 * MIB, "{depth}");
    assert!(depth.smallest_not_scanned.unwrap() > 2 * MIB, "{depth}");
    assert_eq!(depth.smallest_missed, None, "{depth}");
    test("c-icap, echo", format!("{base}/echo"));
    let blind = format!("{}/{ALL_OF_IT}", variable("ICAP_LIVE_BLIND"));
    test("c-icap, started without clamd", blind);
}

/// For sizes that every one of them scans.
#[cfg(feature = "cli")]
pub(crate) fn check_exits_with_its_status() {
    use crate::support::check::assert_check;
    let base = variable(URI);
    let check = |service, statuses: &[i32], words| {
        assert_check(&format!("{base}/{service}"), statuses, words);
    };
    check(ALL_OF_IT, &[0], "passed in");
    // A small PDF is missed or not scanned, as the table says.
    check("avscan", &[1, 2], "FAILED");
    check("virus_scan", &[1, 2], "FAILED");
    check("echo", &[1], "FAILED");
    let blind = format!("{}/{ALL_OF_IT}", variable("ICAP_LIVE_BLIND"));
    assert_check(&blind, &[1], "FAILED");
}
