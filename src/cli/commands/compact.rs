//! `rollbook compact`: the small parts of a dataset merged into large ones.

use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use rollbook::{CompactOptions, Compaction};

use super::verify::{mode_of, number};
use crate::cli::args::Reach;
use crate::cli::exit_code::Exit;
use crate::cli::terminal::{checkpoints_lost, plain};
use crate::cli::{Voice, answer_as, permit, runtime};

const AFTER_HELP: &str = "\
Readers that glob the parts miss the merged rows for the moment between the old parts' leaving and
the new part's coming, and never see a row twice. The old parts are kept in _rollbook/replaced, and
removed by the first export or compaction after their time.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CompactArgs {
    /// The dataset: what --out named
    dataset: String,
    /// Merge commits until their parts have this size
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    target_size: ByteSize,
    /// How long to keep the parts that were merged
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
    keep: Duration,
    /// Say what would be merged, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl CompactArgs {
    pub(crate) fn run(self, voice: &Voice) -> Result<Exit> {
        permit(mode_of(&self.dataset));
        let place = if self.dry_run {
            self.reach.place(&self.dataset)
        } else {
            self.reach.place_to_write(&self.dataset, voice)
        }?;
        let options = CompactOptions {
            target_bytes: self.target_size.as_u64(),
            keep: self.keep,
            is_dry_run: self.dry_run,
        };
        let done = runtime()?.block_on(rollbook::compact(place, &options))?;
        answer_as(self.json, &done, |done| describe(&self.dataset, done))?;
        Ok(Exit::Complete)
    }
}

fn describe(dataset: &str, done: &Compaction) -> String {
    let dataset = plain(dataset);
    let commits = number(done.commits, "commit");
    let first = if done.merged == 0 {
        format!("nothing to merge in {commits} of {dataset}: large enough, or too few")
    } else {
        let verb = match done.run_id {
            Some(_) => "merged",
            None => "would merge",
        };
        let after = number(done.parts_after, "part");
        let after = match done.bytes_after {
            Some(bytes) => format!("{after} of {}", HumanBytes(bytes)),
            None => format!("about {after}"),
        };
        format!(
            "{verb} {} of {commits} of {dataset} into {}: {} of {} into {after} ({})",
            HumanCount(done.merged),
            HumanCount(done.into),
            number(done.parts_before, "part"),
            HumanBytes(done.bytes_before),
            number(done.records, "record"),
        )
    };
    let mut lines = vec![first];
    if let Some(until) = done.kept_until {
        let until = until.format("%Y-%m-%d %H:%M:%SZ");
        lines.push(format!("  the merged parts are kept until {until}"));
    }
    if done.expired > 0 {
        let expired = number(done.expired, "part");
        lines.push(format!(
            "  removed {expired} that had been kept for long enough"
        ));
    }
    if done.conflicts > 0 {
        let conflicts = number(done.conflicts, "group");
        lines.push(format!(
            "  left {conflicts} alone, since another run was at work there; compact again"
        ));
    }
    for cause in &done.checkpoint_faults {
        lines.push(format!("  {}", checkpoints_lost(cause)));
    }
    lines.join("\n") + "\n"
}
