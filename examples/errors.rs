//! What to do about each verdict and each error.
//!
//! ```text
//! cargo run --example errors                                        test servers in this process
//! cargo run --example errors 'icap://127.0.0.1/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple' FILE
//! ```

use std::env;
use std::error::Error;

use icap_client::testing::{self, CLEAN, Script, Server};
use icap_client::{Content, Report, Scanner, Verdict};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    if let (Some(uri), Some(path)) = (arguments.next(), arguments.next()) {
        let uri = uri.to_str().ok_or("the URI is not text")?;
        let result = Scanner::new(uri)?.scan(Content::file(path)?);
        println!("{}", what_to_do(&result));
        return Ok(());
    }
    // Without arguments: a test server for each kind of outcome.
    let refusing = |status: &str| {
        let response = format!("ICAP/1.0 {status}\r\n\r\n");
        Server::answering(move |_| Script::new().send(&response))
    };
    let truncated = Server::answering(|_| Script::new().send(&CLEAN[..20]).close())?;
    for (server, content) in [
        (Server::start()?, b"hello".to_vec()),
        (Server::start()?, testing::eicar()),
        (Server::start()?, vec![0; 2000]),
        (refusing("404 Service not found")?, b"hello".to_vec()),
        (refusing("503 Service overloaded")?, b"hello".to_vec()),
        (truncated, b"hello".to_vec()),
    ] {
        let builder = Scanner::builder(server.uri().as_str()).negotiate(false);
        let scanner = builder.max_size(1000).build()?;
        println!("{}", what_to_do(&scanner.scan(Content::bytes(&content))));
    }
    Ok(())
}

fn what_to_do(result: &Result<Report, icap_client::Error>) -> String {
    match result {
        Ok(report) => match report.verdict() {
            Verdict::Clean => "deliver it".to_owned(),
            Verdict::Infected(threats) => format!("refuse it and keep it in quarantine: {threats}"),
            Verdict::Blocked(blocked) => format!("refuse it: {blocked}"),
            // The service has not scanned all of it. Another scan changes nothing, so a person or a rule
            // of yours decides.
            Verdict::NotScanned(why) => format!("ask: {why}"),
            // `Modified`, and what later versions add.
            other => format!("do not deliver it: {other}"),
        },
        // An error is no verdict. The scanner has already repeated what it could repeat safely.
        Err(error) if error.is_timeout() => format!("no verdict in time, try later: {error}"),
        Err(error) if error.is_retryable() => format!("no verdict, try later: {error}"),
        Err(error) if error.is_unavailable() || error.is_protocol() => {
            format!("no verdict, tell the operator of the scanner: {error}")
        }
        // The content could not be read, or a setting is wrong. Another scan fails too.
        Err(error) => format!("no verdict, correct this first: {error}"),
    }
}
