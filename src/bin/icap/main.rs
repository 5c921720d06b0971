//! `icap`: scans files with an ICAP service, and shows what a service offers.
//!
//! This file reads the command line, with the settings of [`config`], and runs a command: each has a file of its own.
//! [`report`] has the exit status.

#![forbid(unsafe_code)]
#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod about;
mod batch;
mod bench;
mod check;
mod config;
mod demo;
mod documents;
mod entry;
mod failover;
mod failure;
mod files;
mod globs;
mod heads;
mod interrupt;
mod json_help;
mod left_out;
mod list;
mod mask;
mod message;
mod name;
mod once;
mod options;
mod output;
mod patience;
mod progress;
mod pump;
mod quantity;
mod quick;
mod report;
mod scan;
mod scanning;
mod session;
mod settings;
mod table;
mod text;
mod trace;
mod wait;
mod worker;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

use config::Config;
use report::Status;
use settings::Settings;

const SHORT: &str =
    "Run 'icap COMMAND -h' for the options of a command, and 'icap --help' for examples.";

const EXAMPLES: &str = "\
Examples:
  icap demo README.md
      scan a file with a built-in test server
  icap options icap://av.example:1344/virus_scan
      show what a service offers
  icap check 'icap://av/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple'
      test whether the service really scans
  icap scan 'icap://av/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple' invoice.pdf
      scan a file with c-icap and ClamAV

Settings:
  An option of the command line takes precedence over the environment,
  and that over the configuration file, ~/.config/icap/config.toml.
  ICAP_URI (or ICAP_SERVICE) and the key 'service' set the service;
  then 'icap scan FILE' is enough. Other options have their own names:
  --read-timeout is ICAP_READ_TIMEOUT and the key 'read-timeout'.
  The password is ICAP_PASSWORD or the key 'password'.
  Options that may improve a verdict, as --no-options, are for the
  command line only.

Configuration file:
  service = \"icap://av/virus_scan?allow204=on&force=on&sizelimit=off&mode=simple\"
  user = \"scanner\"
  password = \"secret\"
  # With a password, the file must have mode 600, else it is refused:
  # chmod 600 ~/.config/icap/config.toml";

fn more() -> String {
    let end =
        "Run 'icap COMMAND --help' or 'icap man COMMAND | man -l -' for more about a command.";
    format!("{EXAMPLES}\n\n{}\n\n{end}", config::keys_help())
}

/// Scans files for malware with an ICAP service (RFC 3507).
#[derive(Debug, Parser)]
#[command(name = "icap", version, after_help = SHORT, after_long_help = more())]
struct CommandLine {
    #[command(subcommand)]
    command: Command,

    /// Log what is done; with -vv also the heads of requests and responses
    ///
    /// Log lines go to standard error, without credentials and content. RUST_LOG sets other
    /// levels.
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    #[arg(verbatim_doc_comment)]
    verbose: u8,

    /// When to use colours: auto, always or never
    ///
    /// With auto they are used on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(value_parser = color, display_order = 101)]
    color: ColorChoice,

    /// Read settings from this file, not from ~/.config/icap/config.toml
    #[arg(long, global = true, value_name = "FILE", display_order = 102)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Scan(scan::Arguments),
    Check(check::Arguments),
    Options(options::Arguments),
    Bench(bench::Arguments),
    Respmod(message::Respmod),
    Reqmod(message::Reqmod),
    Demo(demo::Arguments),
    Completions(documents::Completions),
    Man(documents::Man),
}

fn main() -> ExitCode {
    let (mut command_line, config) = command_line();
    let json = command_line.command.prints_json();
    let result = config.map_err(Into::into).and_then(|config| {
        if let Some(settings) = command_line.command.settings() {
            settings.set_password(config.password);
        }
        run(&command_line)
    });
    let status = result.unwrap_or_else(|error: Box<dyn Error>| {
        failure::print(&*error, json);
        Status::Unsure
    });
    status.into()
}

/// The command line. Commands that share options have their own words for some of them.
fn definition() -> clap::Command {
    CommandLine::command()
        .mut_subcommand("check", check::with_own_help)
        .mut_subcommand("options", options::with_own_help)
        .mut_subcommand("bench", bench::with_own_help)
}

/// Reads the command line, with the defaults that the environment and the configuration file set.
///
/// Help and what needs no settings work without the file: then its error is left out.
fn command_line() -> (CommandLine, Result<Config, String>) {
    let loaded = Config::load(named_config().as_deref());
    let command = match &loaded {
        Ok(config) => config.apply(definition()),
        Err(_) => definition(),
    };
    let matches = command.try_get_matches().unwrap_or_else(|mut error| {
        remove_misleading_tips(&mut error);
        if let (true, Ok(Some(note))) = (error.use_stderr(), loaded.as_ref().map(Config::note)) {
            let _ = writeln!(io::stderr(), "{note}");
        }
        error.exit()
    });
    let mut command_line =
        CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let needs_settings = command_line.command.settings().is_some();
    let loaded = loaded.or_else(|error| {
        if needs_settings {
            Err(error)
        } else {
            Ok(Config::default())
        }
    });
    (command_line, loaded)
}

/// An option that is hidden is no advice, and a mistyped option is rarely meant as a file name.
fn remove_misleading_tips(error: &mut clap::Error) {
    if let Some(ContextValue::String(tip)) = error.get(ContextKind::SuggestedArg) {
        let name = tip.trim_start_matches('-').to_owned();
        let definition = definition();
        let commands = definition.get_subcommands();
        let command = commands.filter(|it| std::env::args().any(|arg| arg == it.get_name()));
        let mut options = command.flat_map(clap::Command::get_arguments);
        if options.any(|it| it.get_long() == Some(&name) && it.is_hide_set()) {
            error.remove(ContextKind::SuggestedArg);
        }
    }
    if error.kind() == ErrorKind::UnknownArgument {
        error.remove(ContextKind::Suggested);
    }
}

/// The file that `--config` names. What else is wrong with the command line is found later.
fn named_config() -> Option<PathBuf> {
    let matches = definition().ignore_errors(true).try_get_matches().ok()?;
    let of_command = matches
        .subcommand()
        .map_or(&matches, |(_, matches)| matches);
    of_command.get_one(config::OPTION).cloned()
}

fn run(command_line: &CommandLine) -> Result<Status, Box<dyn Error>> {
    let command = &command_line.command;
    command_line.color.write_global();
    start_log(command_line.verbose, matches!(command, Command::Check(_)));
    match command {
        Command::Scan(arguments) => scan::run(arguments),
        Command::Options(arguments) => options::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Respmod(arguments) => arguments.run(),
        Command::Reqmod(arguments) => arguments.run(),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Completions(arguments) => arguments.run(definition()),
        Command::Man(arguments) => arguments.run(definition()),
    }
}

impl Command {
    fn prints_json(&self) -> bool {
        match self {
            Self::Scan(arguments) => arguments.json,
            Self::Check(arguments) => arguments.json,
            Self::Options(arguments) => arguments.json,
            Self::Bench(arguments) => arguments.json,
            _ => false,
        }
    }

    fn settings(&mut self) -> Option<&mut Settings> {
        match self {
            Self::Scan(arguments) => Some(&mut arguments.scanning.settings),
            Self::Check(arguments) => Some(&mut arguments.scanning.settings),
            Self::Options(arguments) => Some(&mut arguments.settings),
            Self::Bench(arguments) => Some(&mut arguments.scanning.settings),
            Self::Respmod(arguments) => Some(arguments.settings()),
            Self::Reqmod(arguments) => Some(arguments.settings()),
            Self::Demo(_) | Self::Completions(_) | Self::Man(_) => None,
        }
    }
}

fn color(when: &str) -> Result<ColorChoice, String> {
    match when {
        "auto" => Ok(ColorChoice::Auto),
        "always" => Ok(ColorChoice::Always),
        "never" => Ok(ColorChoice::Never),
        _ => Err("neither auto, always nor never".to_owned()),
    }
}

fn start_log(verbose: u8, is_check: bool) {
    let filter = match verbose {
        // The table of a check says the same, and more.
        0 if is_check => "error",
        // The program itself reports a service that is away.
        0 => "warn,icap_client::client::call=error",
        1 => "warn,icap=debug,icap_client=debug",
        _ => "warn,icap=trace,icap_client=trace",
    };
    let env = env_logger::Env::default().default_filter_or(filter);
    let mut builder = env_logger::Builder::from_env(env);
    builder.format_timestamp_millis();
    if verbose == 0 && std::env::var_os("RUST_LOG").is_none() {
        builder.format(|out, record| writeln!(out, "warning: {}", record.args()));
    }
    builder.init();
}
