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
        clap_mangen::Man::new(command).render(&mut page)?;
        io::stdout().write_all(&page)?;
        Ok(Status::Clean)
    }

    fn page_of(command: Command, name: &str) -> Result<Command, String> {
        let found = command.find_subcommand(name).cloned();
        let found = found.ok_or_else(|| format!("there is no command {name:?}"))?;
        let title = format!("icap-{name}");
        let version = command.get_version().unwrap_or_default().to_owned();
        Ok(found
            .name(title.clone())
            .display_name(title)
            .version(version))
    }
}
