//! `icap completions` and `icap man`: made from the definition of the command line.

use std::error::Error;
use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::report::Status;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(
    after_long_help = "Example:\n  icap completions bash >~/.local/share/bash-completion/completions/icap"
)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Print the manual page
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  icap man | man -l -\n  icap man scan | man -l -")]
pub(crate) struct Man {
    /// The command that the page is about [default: all of icap]
    command: Option<String>,
}

impl Completions {
    pub(crate) fn run(&self, mut command: Command) -> Result<Status, Box<dyn Error>> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "icap", &mut script);
        io::stdout().write_all(&script)?;
        Ok(Status::Clean)
    }
}

impl Man {
    pub(crate) fn run(&self, command: Command) -> Result<Status, Box<dyn Error>> {
        let command = match &self.command {
            None => command,
            Some(name) => Self::page_of(command, name)?,
        };
        let mut page = Vec::new();
        render(command, &mut page)?;
        io::stdout().write_all(&page)?;
        Ok(Status::Clean)
    }

    fn page_of(mut command: Command, name: &str) -> Result<Command, String> {
        // So that the command has the options of all commands.
        command.build();
        let found = command.find_subcommand(name).cloned();
        let mut found = found.ok_or_else(|| format!("there is no command {name:?}"))?;
        // Otherwise the synopsis lists every option.
        let usage = found.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").to_owned();
        let title = format!("icap-{name}");
        let version = command.get_version().unwrap_or_default().to_owned();
        Ok(found
            .override_usage(usage)
            .name(title.clone())
            .display_name(title)
            .version(version))
    }
}

/// Renders a page. What follows the options in the help becomes sections: clap_mangen would run its lines together.
fn render(command: Command, page: &mut Vec<u8>) -> io::Result<()> {
    let more = command.get_after_long_help().or(command.get_after_help());
    let more = more.map(ToString::to_string).unwrap_or_default();
    let (sections, description): (Vec<_>, Vec<_>) =
        more.split("\n\n").partition(|block| is_section(block));
    let has_commands = command.has_subcommands();
    let man = clap_mangen::Man::new(command);
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    for paragraph in description {
        writeln!(page, ".PP\n{}", escaped(paragraph))?;
    }
    man.render_options_section(page)?;
    if has_commands {
        man.render_subcommands_section(page)?;
    }
    for section in sections {
        let (heading, lines) = section.split_once(":\n").unwrap_or((section, ""));
        let (heading, lines) = (heading.to_uppercase(), escaped(lines));
        writeln!(page, ".SH \"{heading}\"\n.nf\n{lines}\n.fi")?;
    }
    man.render_version_section(page)
}

/// Whether it is a heading with a colon, and lines that are indented.
fn is_section(block: &str) -> bool {
    let mut lines = block.lines();
    lines.next().is_some_and(|heading| heading.ends_with(':'))
        && lines.all(|line| line.starts_with(' '))
}

/// Escapes what roff would interpret, and takes the indentation of the help away.
fn escaped(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.strip_prefix("  ").unwrap_or(line);
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        // A line that begins with a dot or an apostrophe would be a request.
        format!("\\&{}", line.replace('\'', "\\(aq"))
    });
    lines.collect::<Vec<_>>().join("\n")
}
