//! `rollbook purge`: meetings erased from a dataset, for good.

use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args};
use rollbook::{ConfUuid, MeetingList, Purge};

use super::export::read_list;
use super::verify::{mode_of, number};
use crate::cli::args::Reach;
use crate::cli::exit_code::Exit;
use crate::cli::terminal::{checkpoints_lost, plain};
use crate::cli::{Voice, answer, answer_as, permit, runtime};

const AFTER_HELP: &str = "\
The parts that hold the meetings are written again without them and removed, those that a compaction
keeps as well; all meetings go in one step. The ledger keeps the UUIDs, how many records the
meetings had and when they were fetched, and reports name them: nothing of anybody who took part. So
no later export fetches the meetings again. What repairs set aside (_rollbook/set-aside) and the
staging folders of other runs are not looked into: where there are any, they are named, and the
command ends with 1; purge again when they are gone. Copies made elsewhere, snapshots of the disk or
bucket, and the state folder of an export that was cut off are beyond its reach.";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(group(ArgGroup::new("which").args(["meetings", "list"]).required(true).multiple(true)))]
pub(crate) struct PurgeArgs {
    /// The dataset: what --out named
    dataset: String,
    /// A meeting to erase; may be given again
    #[arg(
        long = "meeting",
        value_name = "UUID",
        required_unless_present = "list"
    )]
    meetings: Vec<ConfUuid>,
    /// A list of meetings to erase, as `export --meetings` reads it; `-` is standard input
    #[arg(long = "meetings", value_name = "FILE")]
    list: Option<PathBuf>,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl PurgeArgs {
    pub(crate) fn run(self, voice: &Voice) -> Result<Exit> {
        permit(mode_of(&self.dataset));
        let place = self.reach.place_to_write(&self.dataset, voice)?;
        let mut meetings = MeetingList::new();
        meetings.extend(self.meetings);
        if let Some(list) = &self.list {
            read_list(&mut meetings, list)?;
        }
        let meetings = meetings.into_meetings();
        if meetings.is_empty() && !self.json {
            answer("no meetings to purge\n")?;
            return Ok(Exit::Complete);
        }
        let done = runtime()?.block_on(rollbook::purge(place, &meetings))?;
        answer_as(self.json, &done, |done| describe(&self.dataset, done))?;
        Ok(if done.out_of_reach.is_empty() {
            Exit::Complete
        } else {
            Exit::Failed
        })
    }
}

fn describe(dataset: &str, done: &Purge) -> String {
    let mut lines = Vec::new();
    let dataset = plain(dataset);
    for meeting in &done.purged {
        lines.push(format!("purged meeting {meeting} from {dataset}"));
    }
    for meeting in &done.already {
        lines.push(format!("meeting {meeting} was purged before"));
    }
    if done.rewritten > 0 {
        lines.push(format!(
            "  {} gone; {} written again without them",
            number(done.records, "record"),
            number(done.rewritten, "commit")
        ));
    }
    for path in &done.out_of_reach {
        lines.push(format!(
            "  not looked into, and may hold rows of them: {}",
            plain(path)
        ));
    }
    if !done.out_of_reach.is_empty() {
        lines.push(
            "next: remove what a repair set aside, let the other runs end, and purge again"
                .to_owned(),
        );
    }
    for cause in &done.checkpoint_faults {
        lines.push(format!("  {}", checkpoints_lost(cause)));
    }
    lines.join("\n") + "\n"
}
