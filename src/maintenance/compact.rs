//! Merges the small parts of a dataset into large ones.
//!
//! Whole commits are merged: one ledger entry takes the place of several, with all that they hold.
//! So a dataset of nightly parts stays quick to read, and its ledger quick to open. What is merged
//! is planned from the ledger alone, so that the plan can be shown without touching anything.

mod plan;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use self::plan::{Group, plan};
use super::rewriter::Rewriter;
use crate::config::location::Place;
use crate::dataset::ledger::{Ledger, Rewrite};
use crate::dataset::must_be_dataset;
use crate::dataset::store::Store;
use crate::error::Result;
use crate::values::new_run_id;

/// Version of the compaction's form.
pub const COMPACTION_VERSION: u32 = 1;

/// What is merged, and what becomes of what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactOptions {
    /// Commits are merged until their parts have this size, in bytes; one that has half of it is
    /// left alone. Of partitions, the largest counts.
    pub target_bytes: u64,
    /// For how long the merged parts are kept where readers do not look.
    pub keep: Duration,
    /// Plan, and change nothing.
    pub is_dry_run: bool,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            target_bytes: 128 << 20,
            keep: Duration::from_secs(7 * 24 * 60 * 60),
            is_dry_run: false,
        }
    }
}

/// What a compaction did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compaction {
    /// [`COMPACTION_VERSION`].
    pub version: u32,
    /// The name under which it wrote to the ledger; nothing if it only planned.
    pub run_id: Option<String>,
    /// Commits that stood before.
    pub commits: u64,
    /// Of them, those that were merged.
    pub merged: u64,
    /// Commits that took their place; where it only planned, those that would.
    pub into: u64,
    /// Parts of the merged commits.
    pub parts_before: u64,
    /// Parts that took their place; where it only planned, about.
    pub parts_after: u64,
    /// Bytes of the merged commits' parts.
    pub bytes_before: u64,
    /// Bytes of the parts that took their place; nothing if it only planned.
    pub bytes_after: Option<u64>,
    /// Records that were written again.
    pub records: u64,
    /// Groups of commits that were left as they are, since another run changed one meanwhile.
    pub conflicts: u64,
    /// Parts of earlier compactions whose time was over, and that were removed.
    pub expired: u64,
    /// When the parts that were replaced may be removed; nothing where none was.
    pub kept_until: Option<DateTime<Utc>>,
    /// What went wrong with checkpoints of the ledger, on which nothing depends: without them a
    /// dataset takes longer to open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checkpoint_faults: Vec<String>,
}

/// Merges the small parts of the dataset at a destination. Exports may go on meanwhile.
///
/// Readers of the parts by their names miss the merged rows for the moment between the old parts'
/// leaving and the new one's coming, and never see one twice.
///
/// # Errors
///
/// No dataset there, a part that is not what was committed, or a store that fails. What was merged
/// before that stays merged.
pub async fn compact(dest: impl Into<Place>, options: &CompactOptions) -> Result<Compaction> {
    let place = dest.into();
    if options.is_dry_run {
        let store = Store::look_at(&place).await?;
        must_be_dataset(&store, &place.dest).await?;
        return Ok(foresee(&Ledger::read(&store).await?, options.target_bytes));
    }
    let run_id = format!("compact-{}", new_run_id());
    let mut rewriter = Rewriter::open(&place, &run_id).await?;
    let mut done = Compaction {
        version: COMPACTION_VERSION,
        run_id: Some(run_id),
        commits: rewriter.dataset.standing().count() as u64,
        bytes_after: Some(0),
        ..Compaction::default()
    };
    let went = merge(&mut rewriter, options, &mut done).await;
    rewriter.dataset.end(went).await?;
    done.checkpoint_faults = rewriter.dataset.checkpoint_faults();
    done.expired = rewriter.dataset.recovery().expired;
    Ok(done)
}

/// What a compaction would do.
fn foresee(ledger: &Ledger, target_bytes: u64) -> Compaction {
    let mut done = Compaction {
        version: COMPACTION_VERSION,
        commits: ledger.standing().count() as u64,
        ..Compaction::default()
    };
    for group in plan(ledger.standing(), target_bytes) {
        done.count(&group, group.into, group.records);
    }
    done
}

/// Merges group by group, and counts.
async fn merge(
    rewriter: &mut Rewriter,
    options: &CompactOptions,
    done: &mut Compaction,
) -> Result<()> {
    let keep = TimeDelta::from_std(options.keep).unwrap_or(TimeDelta::MAX);
    for group in plan(rewriter.dataset.standing(), options.target_bytes) {
        let keep_until = Utc::now().checked_add_signed(keep);
        let rewrite = Rewrite {
            keep_until: keep_until.unwrap_or(DateTime::<Utc>::MAX_UTC),
            purged: Vec::new(),
            replaced: Vec::new(),
        };
        let commits = rewriter.dataset.commits(&group.commits);
        let kept_until = Some(rewrite.keep_until);
        match rewriter.rewrite(&commits, rewrite).await? {
            Some(written) => {
                done.count(&group, written.parts, written.records);
                done.bytes_after = done.bytes_after.map(|bytes| bytes + written.bytes);
                done.kept_until = kept_until;
            }
            None => done.conflicts += 1,
        }
    }
    Ok(())
}

impl Compaction {
    fn count(&mut self, group: &Group, parts_after: u64, records: u64) {
        self.merged += group.commits.len() as u64;
        self.into += 1;
        self.parts_before += group.parts;
        self.parts_after += parts_after;
        self.bytes_before += group.bytes;
        self.records += records;
    }
}
