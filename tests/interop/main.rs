//! Against ICAP servers that other people wrote: Python's pyicap and Rust's icap-rs.
//!
//! `tests/run` gets both and says where they are; without it these tests are ignored, and say so.
//! What goes over the wire, and how, is theirs; what the services decide is in `pyicap_server.py` and
//! `icap-rs/`. Where a server does what RFC 3507 does not have, the test says so and holds on to what
//! it really does.

mod peer;
mod quirks;
mod scans;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use peer::{ICAP_RS, PYICAP, Peer, Running};

type Test = (&'static str, fn(&Running));

/// With each server.
const BOTH: &[Test] = &[
    ("options_say_what_is_offered", scans::options),
    ("clean_content_is_clean", scans::clean),
    (
        "infected_content_is_infected_with_its_name",
        scans::infected,
    ),
    ("scans_share_one_connection", scans::keep_alive),
    ("many_threads_get_each_their_own_verdict", scans::threads),
    ("what_an_echo_returns_is_clean", scans::echo),
    ("five_megabytes_are_scanned_whole", scans::five_megabytes),
    ("an_unknown_service_is_a_404", scans::unknown_service),
];

const PYICAP_ONLY: &[Test] = &[(
    "tags_made_up_for_each_answer_cost_options_and_no_verdict",
    quirks::drifting_istag,
)];

const ICAP_RS_ONLY: &[Test] = &[
    (
        "content_is_returned_where_204_is_not_allowed",
        quirks::allow_204,
    ),
    (
        "an_empty_echo_lacks_its_null_body_and_is_not_clean",
        quirks::empty_echo,
    ),
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
        trials.extend(BOTH.iter().chain(own).map(|test| trial(peer, *test)));
    }
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
