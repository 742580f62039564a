//! `rollbook status`: what a dataset's ledger holds.

use anyhow::Result;
use clap::Args;

use super::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The dataset: what --out named
    dataset: String,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        drop((self.dataset, self.json));
        anyhow::bail!("not built yet")
    }
}
