//! `icap demo`: shows a scan on a server inside this program.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use icap_client::{Content, Scanner, limits, testing};

use crate::about::About;
use crate::entry::Subject;
use crate::files::Files;
use crate::interrupt::Interrupt;
use crate::name::Name;
use crate::patience::Patience;
use crate::progress::Progress;
use crate::report::{Format, Status};
use crate::session::Session;
use crate::worker::Worker;

/// The name under which EICAR is shown.
const EICAR: &str = "EICAR test file";

const MORE: &str = "\
Exit status:
  0  EICAR is found, and all FILEs are clean
  1  EICAR is found, and one of the FILEs is infected
  2  EICAR is not found, a FILE is not scanned, or an error occurred
  If both 1 and 2 apply, it is 1.

Example:
  icap demo README.md";

const HOW_TO_SCAN: &str = "\
This built-in server finds nothing but EICAR: a file that it calls clean may
contain any malware. To scan files, use a service that has a virus scanner:
    icap scan icap://HOST:1344/SERVICE FILE...
SERVICE is the path of the service on the server HOST.";

/// Show a scan on a built-in server that finds only EICAR
///
/// Starts an ICAP server inside this program and scans EICAR, the harmless file that
/// every virus scanner reports, and then the files. Nothing leaves this machine.
#[derive(Debug, Args)]
#[command(after_long_help = MORE, verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Files to scan after EICAR; - is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    let files = Files::of(&arguments.files, false)?;
    let server = testing::Server::start()?;
    let scanner = Scanner::new(server.uri())?;
    let worker = Worker {
        scanner,
        service: server.uri(),
        patience: Patience::new(None),
        failovers: None,
        progress: Arc::new(Progress::hidden()),
        about: About::default(),
        output: None,
        full_wait: None,
        deadline: Some(limits::DEFAULT_DEADLINE),
    };
    let eicar = testing::eicar();
    let (name, size) = (Name::from(EICAR), Some(eicar.len() as u64));
    let content = || Ok(Content::bytes(&eicar).name("eicar.com"));
    let entry = worker.scan_content(Subject { name, size }, content, || true);
    let mut session = Session::new(worker, Format::default());
    let printed = session.take(entry);
    let is_found = session.take_tally().status() == Status::Found;
    let printed = printed
        .and_then(|()| session.scan_all(files, 1, Interrupt::default()))
        .and_then(|()| session.aside(|| explain(is_found)));
    let status = session.status(printed);
    Ok(if is_found {
        status
    } else {
        status.max(Status::Unsure)
    })
}

fn explain(is_found: bool) -> io::Result<()> {
    let result = if is_found {
        "was found"
    } else {
        "was NOT found"
    };
    writeln!(
        io::stdout(),
        "\nEICAR, the harmless file that every virus scanner reports, {result}.\n{HOW_TO_SCAN}"
    )
}
