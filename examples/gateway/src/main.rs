//! A file gateway: a small web program that shows how an application uses `icap_client`.
//!
//! People upload files to a shared drive and download them. Every file is scanned on both ways. A clean file is
//! delivered, an infected one is refused, and about a file that could not be scanned the person is asked.
//!
//! Run it with the URI of your ICAP service:
//!
//! ```sh
//! cargo run --manifest-path examples/gateway/Cargo.toml -- --icap icap://127.0.0.1:1344/avscan --data /tmp/gateway
//! ```
//!
//! It prints the address of its page, and that of the operator's status page. `--help` lists the settings. Without an ICAP service at hand, run it through
//! `tests/run --servers`, which starts c-icap with ClamAV.
//!
//! | file | its job |
//! | --- | --- |
//! | `check.rs` | **the use of `icap_client`**: scanner, policy, override tickets |
//! | `gateway.rs` | which request does what |
//! | `storage.rs`, `copies.rs` | the drive; copies of its files that were fetched for a download |
//! | `delivery.rs`, `names.rs` | how a file is delivered: headers, ranges, file names |
//! | `sessions.rs`, `pages.rs`, `http.rs` | who it is, what is shown, what a request may cost |
//! | `settings.rs` | the command line |
//!
//! The page `gateway` of the crate's manual explains how the parts work together.
//!
//! What a real program adds: a login with passwords, TLS (with `Secure` cookies), rights on files, and a web server
//! before it that limits how long a client may take for the head of a request, and that refuses malformed ones: oxhttp
//! 0.3.3 panics at a request target without a path (`GET a HTTP/1.1`), which ends the thread of that connection alone.

mod check;
mod copies;
mod delivery;
mod gateway;
mod http;
mod names;
mod pages;
mod sessions;
mod settings;
mod storage;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use gateway::Gateway;
use settings::{Settings, USAGE};

/// Connections of the operator and of the monitoring system at the same time.
const OPERATOR_THREADS: usize = 4;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("gateway: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<(), Box<dyn Error>> {
    let settings = Settings::parse(arguments)?;
    let gateway = Arc::new(Gateway::new(&settings)?);
    let for_operator = Arc::clone(&gateway);
    let (_, operator) = http::serve(settings.operator, OPERATOR_THREADS, move |request| {
        for_operator.handle_operator(request)
    })?;
    let (server, address) = http::serve(settings.listen, settings.threads, move |request| {
        gateway.handle(request)
    })?;
    println!("status on http://{operator}/");
    println!("listening on http://{address}/");
    Ok(server.join()?)
}
