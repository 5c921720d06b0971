//! The self-test against services that scan, and against others.

use std::time::Duration;

use icap_client::Scanner;

use crate::peer::Running;
use crate::support::expected_findings::assert_expected;

/// Both servers take seconds for a large body.
const MAX_SIZE: u64 = 2 << 20;

pub(crate) fn self_test_tells_scanning_from_echoing(server: &Running) {
    for service in ["scan", "echo"] {
        let builder = Scanner::builder(server.uri(service)).max_size(MAX_SIZE);
        // However slow they are.
        let builder = builder.response_timeout(Duration::from_secs(3600));
        let scanner = builder.deadline(None).build().unwrap();
        let test = scanner.self_test().unwrap();
        println!("\n{test}");
        let name = server.name();
        assert_expected(&format!("{name}, {service}"), &test.services()[0]);
    }
}

#[cfg(feature = "cli")]
pub(crate) fn check_exits_with_0_if_it_scans_and_1_if_not(server: &Running) {
    use crate::support::check::assert_check;
    assert_check(&server.uri("scan"), &[0], "passed in");
    assert_check(&server.uri("echo"), &[1], "FAILED");
}
