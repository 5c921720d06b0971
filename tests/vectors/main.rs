//! Responses of hostile and broken servers, each with the safe outcome, replayed from `tests/data/vectors`.
//!
//! Each case is one test. It is replayed in memory, whole, byte by byte and at every two-way split of
//! the server's bytes, and through a real socket, whole and byte by byte; every time the outcome and
//! what becomes of the connection must be the same.

mod alone;
mod case;
#[allow(dead_code, reason = "tests/torture has more uses")]
mod memory;
mod refusals;
mod replay;
mod requests;
mod words;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use alone::ALONE;
use case::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use refusals::REFUSALS;
use replay::{Counts, replay};
use requests::REQUESTS;

const GIVEN: &str = include_str!("../data/vectors/vectors.json");
const MORE: &str = include_str!("../data/vectors/more.json");

/// The runs of all tests.
#[derive(Default)]
struct Totals {
    replayed: usize,
    counts: Counts,
    elsewhere: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let totals = Arc::new(Mutex::new(Totals::default()));
    let cases = [GIVEN, MORE].into_iter().flat_map(Case::all);
    let trial = |case: Case| {
        let totals = Arc::clone(&totals);
        let name = format!("{:?}::{}", case.context, case.id);
        Trial::test(name, move || run(&case, &totals))
    };
    let trials = cases.map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let totals = totals.lock().unwrap();
    println!(
        "{} vectors replayed: {} runs in memory, {} splits, {} runs through sockets; {} shown by tests of their own\n",
        totals.replayed,
        totals.counts.in_memory,
        totals.counts.splits,
        totals.counts.sockets,
        totals.elsewhere
    );
    conclusion.exit_code()
}

fn run(case: &Case, totals: &Mutex<Totals>) -> Result<(), Failed> {
    let alone = ALONE
        .iter()
        .chain(REFUSALS)
        .chain(REQUESTS)
        .find(|(id, _)| *id == case.id);
    let counts = match (alone, &case.covered_by, &case.play) {
        (Some((_, test)), _, _) => {
            test();
            Counts::default()
        }
        (None, Some(test), _) => is_there(test).map(|()| Counts::default())?,
        (None, None, Some(steps)) => replay(case, steps)?,
        (None, None, None) => return Err("it is neither replayed nor shown elsewhere".into()),
    };
    let mut totals = totals.lock().unwrap();
    match alone.is_some() || case.covered_by.is_some() {
        true => totals.elsewhere += 1,
        false => totals.replayed += 1,
    }
    totals.counts.splits += counts.splits;
    totals.counts.in_memory += counts.in_memory;
    totals.counts.sockets += counts.sockets;
    Ok(())
}

/// Whether the test that shows a case, `file::function`, still exists.
fn is_there(test: &str) -> Result<(), Failed> {
    let (file, function) = test.split_once("::").ok_or("no `file::function`")?;
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))?;
    let is_found = source.contains(&format!("#[test]\nfn {function}("));
    is_found
        .then_some(())
        .ok_or_else(|| format!("no test {test}").into())
}
