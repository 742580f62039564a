//! Merges the small parts of a dataset into large ones.
//!
//! Whole commits are merged: one ledger entry takes the place of several, with all that they hold.
//! So a dataset of nightly parts stays quick to read, and its ledger quick to open. What is merged
//! is planned from the ledger alone, so that the plan can be shown without touching anything.

mod plan;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::dataset::must_be_dataset;
use crate::error::Result;
use crate::ledger::{Entry, Ledger};
use crate::place::Place;
use crate::rewrite::Rewriter;
use crate::run_id::new_run_id;
use crate::store::Store;
use plan::{folders, plan, rows};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    let mut done = Compaction {
        version: COMPACTION_VERSION,
        run_id: None,
        commits: 0,
        merged: 0,
        into: 0,
        parts_before: 0,
        parts_after: 0,
        bytes_before: 0,
        bytes_after: None,
        records: 0,
        conflicts: 0,
        expired: 0,
        kept_until: None,
    };
    if options.is_dry_run {
        let store = Store::open_at(&place).await?;
        must_be_dataset(&store, &place.dest).await?;
        let ledger = Ledger::read(&store).await?;
        done.commits = ledger.standing().count() as u64;
        for group in plan(ledger.standing(), options.target_bytes) {
            done.into += 1;
            done.count(&group);
            done.parts_after += folders(&group).len() as u64;
            done.records += rows(&group);
        }
        return Ok(done);
    }
    let run_id = format!("compact-{}", new_run_id());
    let mut rewriter = Rewriter::open(&place, &run_id).await?;
    done.run_id = Some(run_id);
    done.commits = rewriter.dataset.standing().count() as u64;
    done.bytes_after = Some(0);
    let went = merge(&mut rewriter, options, &mut done).await;
    rewriter.dataset.end(went).await?;
    done.expired = rewriter.dataset.recovery().expired;
    Ok(done)
}

/// Merges group by group, and counts.
async fn merge(
    rewriter: &mut Rewriter,
    options: &CompactOptions,
    done: &mut Compaction,
) -> Result<()> {
    for group in plan(rewriter.dataset.standing(), options.target_bytes) {
        let keep = TimeDelta::from_std(options.keep).unwrap_or(TimeDelta::MAX);
        let keep_until = Utc::now().checked_add_signed(keep);
        let keep_until = keep_until.unwrap_or(DateTime::<Utc>::MAX_UTC);
        match rewriter.rewrite(&group, &[], keep_until).await? {
            Some(written) => {
                done.into += 1;
                done.count(&group);
                done.parts_after += written.parts;
                done.bytes_after = done.bytes_after.map(|bytes| bytes + written.bytes);
                done.records += written.records;
                done.kept_until = Some(keep_until);
            }
            None => done.conflicts += 1,
        }
    }
    Ok(())
}

impl Compaction {
    fn count(&mut self, group: &[Entry]) {
        let parts = || group.iter().flat_map(|entry| &entry.parts);
        self.merged += group.len() as u64;
        self.parts_before += parts().count() as u64;
        self.bytes_before += parts().map(|part| part.bytes).sum::<u64>();
    }
}
