//! `icap demo`: what a scan looks like, on a server inside this program.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use icap_client::{Content, Scanner, testing};

use crate::files::Files;
use crate::patience::Patience;
use crate::report::{Format, Status};
use crate::scan::Session;

/// As what EICAR is shown.
const EICAR: &str = "EICAR test file";

const MORE: &str = "\
Exit status:
  0  EICAR was caught and all else is clean
  1  something else is infected
  2  EICAR was not caught, or something could not be scanned

Example:
  icap demo README.md";

const HOW_TO_SCAN: &str = "\
This server is built into the program and knows nothing but EICAR: what it calls
clean may be anything. To scan for real, name a service that has a virus scanner:
    icap scan icap://HOST:1344/SERVICE FILE...";

/// Show what a scan looks like, on a built-in server that knows only EICAR
///
/// Starts an ICAP server inside this program, and has it scan EICAR, the harmless
/// file that every virus scanner reports, and the files. Nothing leaves this machine.
#[derive(Debug, Args)]
#[command(after_help = MORE, verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Files to scan after EICAR; - is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    let files = Files::of(&arguments.files, false)?;
    let server = testing::Server::start()?;
    let scanner = Scanner::new(server.uri())?;
    let mut session = Session::new(
        scanner,
        server.uri(),
        Format::default(),
        Patience::new(None),
    );
    let eicar = testing::eicar();
    let printed = session.scan(EICAR, || Ok(Content::bytes(&eicar).name("eicar.com")));
    let is_caught = session.take_tally().status() == Status::Found;
    let printed = printed
        .and_then(|()| session.scan_all(files))
        .and_then(|()| session.aside(|| explain(is_caught)));
    let status = session.status(printed);
    Ok(if is_caught {
        status
    } else {
        status.max(Status::Unsure)
    })
}

fn explain(is_caught: bool) -> io::Result<()> {
    let caught = if is_caught {
        "was caught"
    } else {
        "was NOT caught"
    };
    writeln!(
        io::stdout(),
        "\nEICAR, the harmless file that every virus scanner reports, {caught}.\n{HOW_TO_SCAN}"
    )
}
