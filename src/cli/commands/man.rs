//! `rollbook man`: the manual page of the command or of one of its commands.

use anyhow::{Context as _, Result};
use clap::Args;
use clap_mangen::Man;

use crate::cli::exit_code::Exit;
use crate::cli::{answer, command};

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command to describe; without it, rollbook itself
    #[arg(value_parser = known)]
    command: Option<String>,
}

impl ManArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        let mut command = command();
        command.build();
        let page = match &self.command {
            None => command,
            Some(name) => command
                .find_subcommand(name)
                .with_context(|| format!("no command {name}"))?
                .clone(),
        };
        let mut text = Vec::new();
        Man::new(page).render(&mut text)?;
        answer(&String::from_utf8_lossy(&text))?;
        Ok(Exit::Complete)
    }
}

fn known(name: &str) -> Result<String, String> {
    let command = command();
    let mut names = command.get_subcommands().map(clap::Command::get_name);
    if names.any(|known| known == name) {
        Ok(name.to_owned())
    } else {
        Err("no such command; see rollbook --help".to_owned())
    }
}
