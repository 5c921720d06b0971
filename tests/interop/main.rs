//! The crate against ICAP servers of other projects, Python's pyicap and Rust's icap-rs, and against Python's parser of
//! OpenMetrics text.
//!
//! `tests/run` gets both and says where they are; without it these tests are ignored, and say so.
//! What goes over the wire, and how, is theirs; what the services decide is in `pyicap_server.py` and
//! `icap-rs/`. Where a server does what RFC 3507 does not have, the test says so and holds on to what
//! it really does.

mod openmetrics;
mod peer;
mod previews;
mod quirks;
mod scans;
mod self_test;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use peer::{ICAP_RS, PYICAP, Peer, Running};

type Test = (&'static str, fn(&Running));

macro_rules! tests {
    ($($(#[$attribute:meta])* $module:ident::$name:ident),* $(,)?) => {
        &[$($(#[$attribute])* (stringify!($name), $module::$name)),*]
    };
}

const BOTH: &[Test] = tests![
    scans::options_show_the_offer,
    scans::clean_content_is_clean,
    scans::infected_content_is_infected_with_its_name,
    scans::scans_share_one_connection,
    scans::threads_get_their_own_verdicts,
    scans::five_megabytes_are_scanned_whole,
    scans::unknown_service_is_a_404,
    previews::uploads_are_scanned,
    previews::preview_of_any_size_is_continued_or_complete,
    previews::preview_of_a_stream_is_continued_or_complete,
    previews::virus_is_found_with_a_preview_of_any_size,
    previews::infected_preview_gets_an_immediate_response,
    previews::scanner_with_previews_scans_everything,
    previews::preview_204_is_clean_only_with_trust_preview,
    previews::returned_body_is_written,
    self_test::self_test_tells_scanning_from_echoing,
];

/// Both, with the program `icap`.
const PROGRAM: &[Test] = tests![
    #[cfg(feature = "cli")]
    self_test::check_exits_with_0_if_it_scans_and_1_if_not,
];

const PYICAP_ONLY: &[Test] = tests![
    scans::echo_is_not_clean,
    quirks::changing_tags_cost_options_and_no_verdict,
    quirks::returned_upload_without_its_head_is_not_clean,
];

const ICAP_RS_ONLY: &[Test] = tests![
    scans::echo_is_clean,
    quirks::content_is_returned_where_204_is_not_allowed,
    quirks::response_206_is_completed_from_the_original,
    quirks::trailers_arrive_with_and_without_a_preview,
    quirks::empty_echo_without_null_body_is_not_clean,
    quirks::returned_upload_is_clean,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (peer, own) in [(PYICAP, PYICAP_ONLY), (ICAP_RS, ICAP_RS_ONLY)] {
        if !peer.is_there() && !arguments.list {
            println!(
                "\nno {} here: `tests/run` gets it and runs everything",
                peer.name
            );
        }
        let tests = BOTH.iter().chain(PROGRAM).chain(own);
        trials.extend(tests.map(|test| trial(peer, *test)));
    }
    let python = std::env::var("ICAP_INTEROP_PYTHON").ok();
    let is_there = python.is_some();
    let run = move || {
        openmetrics::all_outcomes_are_accepted(&python.unwrap_or_default());
        Ok::<(), Failed>(())
    };
    let name = "prometheus_client::all_outcomes_are_accepted";
    trials.push(Trial::test(name, run).with_ignored_flag(!is_there));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(peer: Peer, (name, test): Test) -> Trial {
    let is_there = peer.is_there();
    let name = format!("{}::{name}", peer.name);
    let run = move || {
        test(&peer.start());
        Ok::<(), Failed>(())
    };
    Trial::test(name, run).with_ignored_flag(!is_there)
}
