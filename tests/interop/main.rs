//! Against ICAP servers that other people wrote: Python's pyicap and Rust's icap-rs.
//!
//! `tests/run` gets both and says where they are; without it these tests are ignored, and say so.
//! What goes over the wire, and how, is theirs; what the services decide is in `pyicap_server.py` and
//! `icap-rs/`. Where a server does what RFC 3507 does not have, the test says so and holds on to what
//! it really does.

mod peer;
mod previews;
mod quirks;
mod scans;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use peer::{ICAP_RS, PYICAP, Peer, Running};

type Test = (&'static str, fn(&Running));

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), $module::$name)),*]
    };
}

const BOTH: &[Test] = tests![
    scans::options_say_what_is_offered,
    scans::clean_content_is_clean,
    scans::infected_content_is_infected_with_its_name,
    scans::scans_share_one_connection,
    scans::many_threads_get_each_their_own_verdict,
    scans::five_megabytes_are_scanned_whole,
    scans::an_unknown_service_is_a_404,
    previews::uploads_are_scanned,
    previews::a_preview_of_any_size_is_continued_or_is_all,
    previews::a_preview_of_a_stream_is_continued_or_is_all,
    previews::a_virus_is_found_with_a_preview_of_any_size,
    previews::an_infected_preview_is_answered_at_once,
    previews::a_scanner_with_previews_scans_everything,
    previews::a_204_to_a_preview_is_believed_only_where_it_is_trusted,
    previews::what_comes_back_can_be_had,
];

const PYICAP_ONLY: &[Test] = tests![
    scans::what_an_echo_returns_is_not_clean,
    quirks::tags_made_up_for_each_answer_cost_options_and_no_verdict,
    quirks::a_returned_upload_lacks_its_head_and_is_not_clean,
];

const ICAP_RS_ONLY: &[Test] = tests![
    scans::what_an_echo_returns_is_clean,
    quirks::content_is_returned_where_204_is_not_allowed,
    quirks::a_206_is_completed_from_the_original,
    quirks::trailers_arrive_with_and_without_a_preview,
    quirks::an_empty_echo_lacks_its_null_body_and_is_not_clean,
    quirks::a_returned_upload_is_clean,
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
