//! Replaces a file by what a service makes of it, for example a document without its macros.
//!
//! ```text
//! cargo run --example replace                                       a test server in this process
//! cargo run --example replace icap://127.0.0.1:1344/disarm FILE OUTPUT
//! ```

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use icap_client::testing::{OPTIONS_RESPONSE, Script, Server, echo};
use icap_client::{Content, Scanner, Verdict};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    if let [uri, file, output] = &*arguments {
        let uri = uri.to_str().ok_or("the URI is not text")?;
        return replace(uri, Path::new(file), Path::new(output));
    }
    // Without arguments: a test server that sends another document back.
    let disarmed = echo("HTTP/1.1 200 OK\r\n\r\n", b"the letter without its macros");
    let server = Server::answering(move |request| match request.method() {
        "OPTIONS" => Script::new().send(OPTIONS_RESPONSE),
        _ => Script::new().send(&disarmed),
    })?;
    let folder = tempfile::tempdir()?;
    let letter = folder.path().join("letter.doc");
    std::fs::write(&letter, "the letter and its macros")?;
    replace(&server.uri(), &letter, &folder.path().join("output.doc"))
}

fn replace(uri: &str, path: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    let scanner = Scanner::builder(uri).build()?;
    // The scanner writes what comes back while it arrives, and the verdict is known only afterwards. So it
    // goes to a temporary file in the same folder. That file is renamed if it may be delivered, and deleted
    // on drop if not.
    let folder = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut returned = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let report = scanner.scan_replace(Content::file(path)?, returned.as_file_mut())?;
    match report.verdict() {
        // The service changes nothing. It may have sent nothing back, so the original is copied.
        Verdict::Clean => {
            io::copy(&mut std::fs::File::open(path)?, returned.as_file_mut())?;
        }
        Verdict::Modified(_) => {}
        // Among these is `Truncated`: what was written is then a part of the original, which may be infected.
        verdict => return Err(format!("do not deliver it: {verdict}").into()),
    }
    returned.as_file_mut().flush()?;
    returned.persist(output)?;
    println!("{}: {}", output.display(), report.verdict());
    Ok(())
}
