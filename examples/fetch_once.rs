//! Fetches a file once: it is scanned while it is copied, and the copy is delivered.
//!
//! ```text
//! cargo run --example fetch_once                                    test servers in this process
//! cargo run --example fetch_once icap://127.0.0.1:1344/avscan OUTPUT < FILE
//! ```

use std::env;
use std::error::Error;
use std::io::{self, Read};
use std::path::Path;

use icap_client::testing::{self, CLEAN, Script, Server};
use icap_client::{Content, Decision, Policy, Scanner};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    if let [uri, output] = &*arguments {
        let uri = uri.to_str().ok_or("the URI is not text")?;
        return fetch(uri, io::stdin(), Path::new(output));
    }
    // Without arguments: a clean file, an infected file, and a server that breaks off a first scan.
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("output");
    let healthy = Server::start()?;
    let breaking = Server::scripted([
        Script::new().answer_options().read_bytes(100_000).close(),
        Script::new().read_request().send(CLEAN),
    ])?;
    let large = io::repeat(b'x').take(1_000_000);
    fetch(&healthy.uri(), &b"a letter"[..], &output)?;
    fetch(&healthy.uri(), &testing::eicar()[..], &output)?;
    fetch(&breaking.uri(), large, &output)
}

fn fetch(uri: &str, source: impl Read + Send, output: &Path) -> Result<(), Box<dyn Error>> {
    let scanner = Scanner::new(uri)?;
    // A temporary file in the same folder. It is renamed if it may be delivered, and deleted on drop if not.
    let folder = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut spool = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let teed = scanner.scan_spooled(Content::reader(source), spool.as_file_mut())?;
    // It refuses a copy that is not complete.
    match teed.decide(&Policy::default()) {
        Decision::Deliver => {
            spool.persist(output)?;
            println!("delivered {} bytes", teed.copied);
        }
        // A program would keep the copy until the person has decided.
        Decision::Ask(notice) => println!("{notice} Download it anyway?"),
        Decision::Refuse(notice) => println!("{notice}"),
        _ => println!("not delivered"),
    }
    Ok(())
}
