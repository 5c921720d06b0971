//! `icap bench`: what it measures, and when the numbers mean nothing.
#![cfg(feature = "cli")]

use icap_client::testing::{Engine, Server};

mod support;

use support::program::Icap;

#[test]
fn bench_of_a_service_that_does_not_scan_is_no_success() {
    let icap = Icap::new();
    for (engine, status) in [(Engine::Working, 0), (Engine::Echo, 2)] {
        let server = Server::with_engine(engine).unwrap();
        let run = icap.run(&["bench", "-n", "20", &server.uri()]);
        assert_eq!(run.status, Some(status), "{run:?}");
        let warning = "warning: 20 of 20 were not scanned, so this is not the rate of a scanner";
        assert_eq!(run.err.starts_with(warning), status == 2, "{run:?}");
        let run = icap.run(&["bench", "-n", "20", "--json", &server.uri()]);
        assert_eq!(run.status, Some(status), "{run:?}");
        let not_scanned = if status == 2 { 20 } else { 0 };
        assert_eq!(run.objects()[0]["not_scanned"], not_scanned);
    }
}
