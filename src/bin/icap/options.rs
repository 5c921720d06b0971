//! `icap options`: shows what a service offers.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, Command};
use icap_client::{Body, Client, Method, Request, ServiceOptions};
use serde::Serialize;

use crate::failure;
use crate::json_help;
use crate::quantity::time;
use crate::report::Status;
use crate::scanning::reword;
use crate::settings::{Settings, URI_HELP};
use crate::text::{safe, safe_json};
use crate::wait;

const MORE: &str = "\
A TIME is for example 500ms, 10s or 5m.

Exit status:
  0  each service responded with 200
  2  a service responded with another status, or an error occurred";

const EXAMPLES: &str = "\
Examples:
  icap options icap://av.example:1344/virus_scan
  icap options --raw icap://av.example/virus_scan
  icap options --wait 2m icap://av.example/virus_scan && start-my-application";

fn more() -> String {
    format!("{MORE}\n\n{}\n\n{EXAMPLES}", json_help::options())
}

/// Show what a service offers
#[derive(Debug, Args)]
#[command(after_long_help = more())]
pub(crate) struct Arguments {
    #[arg(help = URI_HELP)]
    uri: Option<String>,

    /// Print the head of the response as the service sent it, also of an error
    #[arg(long)]
    raw: bool,

    /// Print one JSON object, one per line for each service
    #[arg(long, conflicts_with = "raw")]
    pub(crate) json: bool,

    /// Wait this long until the service responds, for example while it starts
    ///
    /// With several services it ends as soon as one of them responds. It does not wait for a
    /// service that asks for a user and a password that are not set, or refuses them. A response
    /// does not show that the service scans: for that there is icap check.
    #[arg(long, value_name = "TIME", value_parser = time, verbatim_doc_comment)]
    wait: Option<Duration>,

    /// Show this service too; can be repeated
    #[arg(long, value_name = "URI", help_heading = "Connection")]
    endpoint: Vec<String>,

    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Options that have another meaning here.
pub(crate) fn with_own_help(command: Command) -> Command {
    reword(command, &[("deadline", "Total time limit, or 'none'")])
}

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Box<dyn Error>> {
    let settings = &arguments.settings;
    let service = settings.endpoint(arguments.uri.as_deref())?;
    let clients = settings.clients(service, &arguments.endpoint)?;
    if let Some(longest) = arguments.wait {
        wait::until_one_responds(&clients, longest)?;
    }
    let mut status = Status::Clean;
    for (number, client) in clients.iter().enumerate() {
        if number > 0 && !arguments.json {
            writeln!(io::stdout())?;
        }
        let shown = show(arguments, client).unwrap_or_else(|error| {
            failure::print(&*error, arguments.json);
            Status::Unsure
        });
        status = status.max(shown);
    }
    Ok(status)
}

/// Shows what one service offers.
fn show(arguments: &Arguments, client: &Client) -> Result<Status, Box<dyn Error>> {
    if arguments.raw {
        let response = client.send(&Request::options(), Body::none(), &mut io::sink())?;
        print_raw(response.head())?;
        return Ok(if response.status() == 200 {
            Status::Clean
        } else {
            Status::Unsure
        });
    }
    let (service, options) = (client.uri().name(), client.options()?);
    if arguments.json {
        let json = serde_json::to_string(&Json::of(&service, &options))?;
        writeln!(io::stdout(), "{}", safe_json(&json))?;
    } else {
        print_rows(&rows(&service, &options))?;
    }
    Ok(Status::Clean)
}

/// Prints a head byte for byte. For a terminal it is escaped, so that a server cannot control the terminal.
fn print_raw(head: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    if !out.is_terminal() {
        out.write_all(head)?;
        return out.flush();
    }
    let head = String::from_utf8_lossy(head);
    head.lines()
        .try_for_each(|line| writeln!(out, "{}", safe(line)))
}

/// The keys of `--json`. What the service does not give is null or empty.
#[derive(Serialize)]
struct Json<'o> {
    uri: &'o str,
    service: Option<&'o str>,
    service_id: Option<&'o str>,
    istag: Option<&'o str>,
    methods: Vec<&'static str>,
    allows_204: bool,
    allow: &'o [String],
    preview: Option<u64>,
    transfer_preview: &'o [String],
    transfer_ignore: &'o [String],
    transfer_complete: &'o [String],
    max_connections: Option<u64>,
    options_ttl_s: Option<u64>,
    x_include: &'o [String],
    warnings: &'o [String],
}

impl<'o> Json<'o> {
    fn of(uri: &'o str, options: &'o ServiceOptions) -> Self {
        Self {
            uri,
            service: options.service(),
            service_id: options.service_id(),
            istag: options.istag(),
            methods: options
                .methods()
                .iter()
                .map(|method| method.as_str())
                .collect(),
            allows_204: options.allows_204(),
            allow: options.allow(),
            preview: options.preview(),
            transfer_preview: options.transfer_preview(),
            transfer_ignore: options.transfer_ignore(),
            transfer_complete: options.transfer_complete(),
            max_connections: options.max_connections(),
            options_ttl_s: options.options_ttl().map(|ttl| ttl.as_secs()),
            x_include: options.x_include(),
            warnings: options.warnings(),
        }
    }
}

type Row = (&'static str, String);

fn rows(service: &str, options: &ServiceOptions) -> Vec<Row> {
    let text = |text: Option<&str>| or_else(text, "not given");
    let connections = or_else(options.max_connections(), "not given");
    let ttl = options.options_ttl().map(|ttl| seconds(ttl.as_secs()));
    let rows = [
        ("URI", service.to_owned()),
        ("Service", text(options.service())),
        ("Service-ID", text(options.service_id())),
        ("ISTag", text(options.istag())),
        ("Methods", methods(options.methods())),
        ("204", allows_204(options)),
        ("Allow", list(options.allow())),
        ("Preview", or_else(options.preview().map(bytes), "none")),
        ("Transfer-Preview", list(options.transfer_preview())),
        ("Transfer-Ignore", list(options.transfer_ignore())),
        ("Transfer-Complete", list(options.transfer_complete())),
        ("Max-Connections", connections),
        ("Options-TTL", or_else(ttl, "for ever")),
        ("X-Include", list(options.x_include())),
    ];
    let warnings = options.warnings().iter();
    let warnings = warnings.map(|warning| ("Warning", warning.clone()));
    rows.into_iter().chain(warnings).collect()
}

fn list(words: &[String]) -> String {
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

fn methods(methods: &[Method]) -> String {
    match methods {
        [] => "not given".to_owned(),
        methods => methods
            .iter()
            .map(|method| method.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn allows_204(options: &ServiceOptions) -> String {
    let text = if options.allows_204() {
        "yes"
    } else {
        "no (clean content is sent back)"
    };
    text.to_owned()
}

fn bytes(count: u64) -> String {
    format!("{count} bytes")
}

fn seconds(count: u64) -> String {
    format!("{count} s")
}

fn or_else(value: Option<impl Display>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), |value| value.to_string())
}

fn print_rows(rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout();
    let width = rows
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    rows.iter().try_for_each(|(name, value)| {
        writeln!(
            out,
            "{name}:{:pad$} {}",
            "",
            safe(value),
            pad = width - name.len()
        )
    })
}
