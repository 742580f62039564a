//! `rollbook man`: the manual page of the command or of one of its commands.

use anyhow::{Context as _, Result};
use clap::Args;
use clap_mangen::Man;

use super::answer;
use super::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command to describe; without it, rollbook itself
    command: Option<String>,
}

impl ManArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        let mut command = super::command();
        command.build();
        let page = match &self.command {
            None => command,
            Some(name) => command
                .find_subcommand(name)
                .with_context(|| format!("rollbook has no command {name}; see rollbook --help"))?
                .clone(),
        };
        let mut text = Vec::new();
        Man::new(page).render(&mut text)?;
        answer(&String::from_utf8_lossy(&text))?;
        Ok(Exit::Complete)
    }
}
