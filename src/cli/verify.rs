//! `rollbook verify`: a dataset recounted and rehashed against its ledger.

use anyhow::Result;
use clap::Args;

use super::exit::Exit;

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 sound, 1 damaged (each finding is named)")]
pub(crate) struct VerifyArgs {
    /// The dataset: what --out named
    dataset: String,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

impl VerifyArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        drop((self.dataset, self.json));
        anyhow::bail!("not built yet")
    }
}
