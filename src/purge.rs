//! Erases meetings from a dataset, for good.
//!
//! Who has a right to be forgotten is not served by a deleted row in a view: the parts that held
//! the meeting are written again without it, and removed. The ledger keeps the meeting's UUID alone
//! (no name, no time of anybody), so that no later export fetches it again.

use std::collections::HashSet;

use chrono::Utc;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::ledger::Entry;
use crate::place::Place;
use crate::rewrite::Rewriter;
use crate::run_id::new_run_id;
use crate::uuid::ConfUuid;

/// Version of the erasure's form.
pub const PURGE_VERSION: u32 = 1;

/// What an erasure did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Purge {
    /// [`PURGE_VERSION`].
    pub version: u32,
    /// The name under which it wrote to the ledger.
    pub run_id: String,
    /// Meetings that were erased now.
    pub purged: Vec<ConfUuid>,
    /// Meetings that had been erased before.
    pub already: Vec<ConfUuid>,
    /// Records that were erased.
    pub records: u64,
    /// Commits whose parts were written again.
    pub rewritten: u64,
}

/// Erases meetings from the dataset at a destination: from its parts, and from parts that a
/// compaction replaced and keeps. Exports may go on meanwhile.
///
/// What was copied from the dataset before, and what the spool of another run holds, is beyond its
/// reach.
///
/// # Errors
///
/// A meeting that the dataset does not hold: nothing is changed then. A part that is not what was
/// committed, or a store that fails: the meetings that were erased before stay erased.
pub async fn purge(dest: impl Into<Place>, meetings: &[ConfUuid]) -> Result<Purge> {
    let place = dest.into();
    let dest = place.dest.clone();
    let run_id = format!("purge-{}", new_run_id());
    let mut rewriter = Rewriter::open(&place, &run_id).await?;
    let mut done = Purge {
        version: PURGE_VERSION,
        run_id,
        purged: Vec::new(),
        already: Vec::new(),
        records: 0,
        rewritten: 0,
    };
    let mut wanted = HashSet::new();
    for meeting in meetings {
        if rewriter.dataset.is_purged(meeting) {
            done.already.push(meeting.clone());
        } else if rewriter.dataset.holds(meeting) {
            wanted.insert(meeting.clone());
        } else {
            rewriter.dataset.leave().await?;
            return Err(Error::Dataset {
                path: dest,
                reason: format!(
                    "does not hold meeting {meeting}, and nothing was changed; is the UUID right?"
                ),
            });
        }
    }
    // Another run may merge one of them at the same time; then it is in another commit.
    while !wanted.is_empty() {
        let holds = |entry: &&Entry| has_any(entry, &wanted);
        let Some(entry) = rewriter.dataset.standing().find(holds).cloned() else {
            // Dropped as lost meanwhile: there is no row of it, but it would be fetched again.
            return Err(Error::Dataset {
                path: dest,
                reason: format!(
                    "another run dropped {} of the meetings; purge them again when it has ended",
                    wanted.len()
                ),
            });
        };
        let leaving = entry.meetings.iter();
        let leaving = leaving.filter(|meeting| wanted.contains(&meeting.conf_uuid));
        let records: u64 = leaving.clone().map(|meeting| meeting.rows).sum();
        let purged: Vec<_> = leaving.map(|meeting| meeting.conf_uuid.clone()).collect();
        let entries = [entry];
        if rewriter
            .rewrite(&entries, &purged, Utc::now())
            .await?
            .is_some()
        {
            wanted.retain(|meeting| !purged.contains(meeting));
            done.purged.extend(purged);
            done.records += records;
            done.rewritten += 1;
        }
    }
    rewriter.dataset.leave().await?;
    Ok(done)
}

fn has_any(entry: &Entry, wanted: &HashSet<ConfUuid>) -> bool {
    let mut meetings = entry.meetings.iter();
    meetings.any(|meeting| wanted.contains(&meeting.conf_uuid))
}
