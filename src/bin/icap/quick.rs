//! `icap check --quick`: whether a service finds EICAR itself, and nothing in a harmless text.

use std::error::Error as StdError;
use std::io::{self, Write};

use icap_client::{Content, Error, NotScanned, Report, Scanner, Verdict, testing};

use crate::report::Status;
use crate::text::{chain, safe};

const HARMLESS: &[u8] = b"icap check: a harmless text";

/// Prints a line for each service.
pub(crate) fn run(scanners: &[(String, Scanner)]) -> Result<Status, Box<dyn StdError>> {
    let mut status = Status::Clean;
    for (service, scanner) in scanners {
        let (result, why) = test(scanner);
        let word = if result == Status::Clean {
            "passed"
        } else {
            "FAILED"
        };
        writeln!(io::stdout(), "{service}: {word}: {}", safe(&why))?;
        status = status.max(result);
    }
    Ok(status)
}

/// The status of one service, and why.
fn test(scanner: &Scanner) -> (Status, String) {
    let eicar = testing::eicar();
    let found = scanner.scan(Content::bytes(&eicar).name("eicar.com"));
    match of_eicar(&found) {
        (Status::Clean, why) => {
            let harmless = scanner.scan(Content::bytes(HARMLESS).name("harmless.txt"));
            match harmless.as_ref().map(Report::verdict) {
                Ok(Verdict::Clean) => (Status::Clean, why),
                Ok(other) => (
                    Status::Unsure,
                    format!("of a harmless text it says: {other}"),
                ),
                Err(error) => (Status::Unsure, chain(error)),
            }
        }
        failed => failed,
    }
}

fn of_eicar(result: &Result<Report, Error>) -> (Status, String) {
    use NotScanned::{EarlyResponse, NoEngine};
    match result.as_ref().map(Report::verdict) {
        Ok(Verdict::Infected(_) | Verdict::Blocked(_)) => {
            (Status::Clean, "EICAR was found".to_owned())
        }
        Ok(Verdict::Clean) => (Status::Found, "EICAR was called clean".to_owned()),
        Ok(verdict @ Verdict::NotScanned(EarlyResponse | NoEngine)) => {
            (Status::Found, format!("EICAR: {verdict}"))
        }
        Ok(verdict) => (Status::Unsure, format!("EICAR: {verdict}")),
        Err(error) => (Status::Unsure, chain(error)),
    }
}
