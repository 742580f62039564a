//! `rollbook completions`: a script for the shell, made from the command as it is.

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::cli::exit_code::Exit;
use crate::cli::{answer, command};

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that is to complete
    shell: Shell,
}

impl CompletionsArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        // Into memory first: the generator does not forgive a closed pipe.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "rollbook", &mut script);
        answer(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Complete)
    }
}
