//! `icap bench`: what it measures, and when the numbers mean nothing.
#![cfg(feature = "cli")]

use icap_client::testing::{Engine, Server};

mod support;

use support::program::Icap;
use support::refusing_address;

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

#[test]
fn bench_tells_which_service_has_served() {
    let icap = Icap::new();
    let server = Server::start().unwrap();
    let (uri, away) = (server.uri(), format!("icap://{}/scan", refusing_address()));
    let run = icap.run(&["bench", "-n", "20", &away, "--endpoint", &uri]);
    assert_eq!((run.status, run.errors().len()), (Some(0), 1), "{run:?}");
    let warning = format!("warning: another service was asked: cannot connect to {away}: ");
    assert!(run.err.starts_with(&warning), "{run:?}");
    let served = format!("Served:   20 by {uri}\n");
    assert!(run.out.contains(&served), "{run:?}");
    assert!(run.out.contains(&format!("{away}, {uri}\n")), "{run:?}");
}

#[test]
fn bench_with_nothing_but_errors_tells_the_first() {
    let icap = Icap::new();
    let away = format!("icap://{}/scan", refusing_address());
    let run = icap.run(&["bench", "-n", "20", &away]);
    assert_eq!(run.status, Some(2), "{run:?}");
    let error = format!("First error: cannot connect to {away}: connection refused\n");
    assert!(run.out.ends_with(&error), "{run:?}");
    assert!(
        !run.out.contains("Latency") && !run.out.contains("Rate"),
        "{run:?}"
    );
    let run = icap.run(&["bench", "-n", "20", "--json", &away]);
    assert!(run.objects()[0]["latency_ms"].is_null(), "{run:?}");
}
