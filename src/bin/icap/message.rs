//! `icap respmod` and `icap reqmod`: one request as given, and what came back.

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use icap_client::{Body, Client, Method, Request, Response};

use crate::interrupt;
use crate::output::Place;
use crate::quantity::size;
use crate::report::Status;
use crate::settings::{Settings, URI_HELP};
use crate::text::safe;

const RESPMOD: &str = "\
The body of what came back goes to standard output or --output, and the heads to standard
error. It is no verdict: 'icap scan' makes one.

Exit status:
  0  the service responded with a status below 400
  2  the service responded with another status, or an error occurred

Example:
  icap respmod \"$SERVICE\" --http-response head.txt --body page.html --output new.html";

const REQMOD: &str = "\
The body of what came back goes to standard output or --output, and the heads to standard
error. It is no verdict: 'icap scan' makes one.

Exit status:
  0  the service responded with a status below 400
  2  the service responded with another status, or an error occurred

Example:
  icap reqmod \"$SERVICE\" --http-request head.txt --body form.bin";

/// Send an HTTP response, and write what comes back
#[derive(Debug, Args)]
#[command(after_long_help = RESPMOD)]
pub(crate) struct Respmod {
    #[command(flatten)]
    message: Message,

    /// Head of the HTTP response [default: HTTP/1.1 200 OK]
    #[arg(long, value_name = "FILE")]
    http_response: Option<PathBuf>,
}

/// Send an HTTP request, and write what comes back
#[derive(Debug, Args)]
#[command(after_long_help = REQMOD)]
pub(crate) struct Reqmod {
    #[command(flatten)]
    message: Message,
}

/// What both methods send.
#[derive(Debug, Args)]
struct Message {
    #[arg(help = URI_HELP)]
    uri: Option<String>,

    /// Head of the HTTP request
    #[arg(long, value_name = "FILE")]
    http_request: Option<PathBuf>,

    /// Body of the message; - is standard input [default: none]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// Write the body that comes back to this new file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Send a preview of this size
    #[arg(long = "preview", value_name = "SIZE", value_parser = size)]
    preview_size: Option<u64>,

    /// Do not allow the service to respond with 204
    #[arg(long)]
    no_204: bool,

    #[command(flatten)]
    settings: Settings,
}

impl Respmod {
    pub(crate) fn run(&self) -> Result<Status, Box<dyn Error>> {
        let head = match &self.http_response {
            Some(path) => read_head(path)?,
            None => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        };
        self.message.send(Request::respmod().http_response(&head)?)
    }

    pub(crate) fn settings(&mut self) -> &mut Settings {
        &mut self.message.settings
    }
}

impl Reqmod {
    pub(crate) fn run(&self) -> Result<Status, Box<dyn Error>> {
        if self.message.http_request.is_none() {
            return Err("reqmod needs the head of a request: --http-request".into());
        }
        self.message.send(Request::reqmod())
    }

    pub(crate) fn settings(&mut self) -> &mut Settings {
        &mut self.message.settings
    }
}

impl Message {
    fn send(&self, request: Request) -> Result<Status, Box<dyn Error>> {
        let preview = self
            .preview_size
            .map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        let mut request = request.allow_204(!self.no_204).preview(preview);
        if let Some(path) = &self.http_request {
            request = request.http_request(&read_head(path)?)?;
        }
        let service = self.settings.endpoint(self.uri.as_deref())?;
        let client = self.settings.of_client(Client::builder(service))?.build()?;
        let response = match &self.output {
            None => client.send(&request, self.body()?, io::stdout())?,
            Some(path) => {
                let place = Place::new(path.clone());
                let unfinished = place.clone();
                interrupt::end_on_signal(move || unfinished.close())?;
                let mut output = place.create()?;
                let response = client.send(&request, self.body()?, &mut output)?;
                output.keep()?;
                response
            }
        };
        print_heads(&response, request.method())?;
        Ok(if response.status() < 400 {
            Status::Clean
        } else {
            Status::Unsure
        })
    }

    fn body(&self) -> Result<Body<'static>, String> {
        match &self.body {
            None => Ok(Body::none()),
            Some(path) if path.as_os_str() == "-" => Ok(Body::reader(io::stdin())),
            Some(path) => {
                let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
                Ok(Body::reader(file))
            }
        }
    }
}

/// Reads a head. An editor ends lines with LF and leaves the blank line out; both are corrected.
fn read_head(path: &Path) -> Result<Vec<u8>, String> {
    const LONGEST: u64 = icap_client::limits::MAX_HTTP_HEAD as u64 + 1;
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut text))
        .map_err(|error| cannot_read(path, &error))?;
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.take_while(|line| !line.is_empty());
    let mut head: Vec<u8> = lines.flat_map(|line| [line, b"\r\n"].concat()).collect();
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

fn cannot_read(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

fn print_heads(response: &Response, method: Method) -> io::Result<()> {
    let mut err = io::stderr();
    let http = response.http_response().or(response.http_request());
    let heads = [Some(response.head()), http];
    for head in heads.into_iter().flatten() {
        if !err.is_terminal() {
            err.write_all(head)?;
            continue;
        }
        for line in String::from_utf8_lossy(head).lines() {
            writeln!(err, "{}", safe(line))?;
        }
    }
    log::debug!(
        "{} with {} bytes of a body",
        method.as_str(),
        response.body_len().unwrap_or(0)
    );
    Ok(())
}
