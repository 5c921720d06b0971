//! An error that ends a command, as text and as JSON.

use std::error::Error;
use std::io::{self, Write};

use serde::Serialize;

use crate::text::{chain, safe, safe_json};

/// The keys of JSON.
#[derive(Serialize)]
struct Json {
    error: String,
    error_kind: Option<&'static str>,
    status: Option<u16>,
}

/// Prints an error to standard error, and with `json` an object to standard output too.
///
/// A closed pipe is no error: the reader wants no more.
pub(crate) fn print(error: &(dyn Error + 'static), json: bool) {
    let is_broken_pipe = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if is_broken_pipe {
        return;
    }
    if json {
        print_json(error);
    }
    // If standard error is closed, there is no place to print to.
    let _ = writeln!(io::stderr(), "error: {}", safe(&chain(error)));
}

fn print_json(error: &(dyn Error + 'static)) {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    let of_library = causes.find_map(|error| error.downcast_ref::<icap_client::Error>());
    let json = Json {
        error: chain(error),
        error_kind: of_library.map(|error| error.kind().as_str()),
        status: of_library.and_then(icap_client::Error::status),
    };
    if let Ok(json) = serde_json::to_string(&json) {
        // The line on standard error and the exit status tell it as well.
        let _ = writeln!(io::stdout(), "{}", safe_json(&json));
    }
}
