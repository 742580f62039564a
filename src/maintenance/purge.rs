//! Erases meetings from a dataset, for good.
//!
//! Who has a right to be forgotten is not served by a deleted row in a view: the parts that held
//! the meeting are written again without it, and removed. Of the meeting the ledger keeps its UUID, how
//! many records it had and when they were fetched, and reports name it: nothing of anybody who took
//! part. So no later export fetches it again.

use std::collections::BTreeSet;

use chrono::Utc;
use serde::Serialize;

use super::rewriter::Rewriter;
use crate::config::location::Place;
use crate::dataset::ledger::{Entry, Rewrite};
use crate::error::{Error, Result};
use crate::values::{ConfUuid, new_run_id};

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
    /// What lies in the dataset's folder, was not looked into, and may hold rows of the meetings:
    /// what repairs set aside, and the staging folders of other runs.
    pub out_of_reach: Vec<String>,
    /// What went wrong with checkpoints of the ledger, on which nothing depends: without them a
    /// dataset takes longer to open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checkpoint_faults: Vec<String>,
}

/// Erases meetings from the dataset at a destination: from its parts, and from parts that a
/// compaction replaced and keeps. Exports may go on meanwhile.
///
/// All are erased in one step, by one entry of the ledger. Commits with the meetings table and those
/// without cannot become one, nor those that were asked for otherwise: then there is a step for each
/// kind, and who was cut off between two of them asks again.
///
/// What lies in the dataset's folder and was not looked into is told in [`Purge::out_of_reach`]. What
/// was copied from the dataset before, and what the spool of another run holds, is not even known
/// here.
///
/// # Errors
///
/// A meeting that the dataset never held: nothing is changed then. A part that is not what was
/// committed, or a store that fails: the meetings that were erased before stay erased.
pub async fn purge(dest: impl Into<Place>, meetings: &[ConfUuid]) -> Result<Purge> {
    let place = dest.into();
    let run_id = format!("purge-{}", new_run_id());
    let mut rewriter = Rewriter::open(&place, &run_id).await?;
    let mut done = Purge {
        version: PURGE_VERSION,
        run_id,
        purged: Vec::new(),
        already: Vec::new(),
        records: 0,
        rewritten: 0,
        out_of_reach: Vec::new(),
        checkpoint_faults: Vec::new(),
    };
    let dataset = &mut rewriter.dataset;
    let unknown = meetings.iter().find(|meeting| {
        // Of what is dropped as lost, rows may be kept.
        !dataset.holds(meeting) && !dataset.is_left(meeting)
    });
    if let Some(meeting) = unknown {
        dataset.leave().await?;
        return Err(Error::Dataset {
            path: place.dest,
            reason: format!(
                "does not hold meeting {meeting}, and nothing was changed; is the UUID right?"
            ),
        });
    }
    let went = erase(&mut rewriter, meetings, &mut done).await;
    rewriter.dataset.end(went).await?;
    done.checkpoint_faults = rewriter.dataset.checkpoint_faults();
    Ok(done)
}

async fn erase(rewriter: &mut Rewriter, meetings: &[ConfUuid], done: &mut Purge) -> Result<()> {
    let mut wanted: BTreeSet<_> = meetings.iter().cloned().collect();
    loop {
        let dataset = &mut rewriter.dataset;
        // Others may erase at the same time.
        let (already, rest) = wanted
            .into_iter()
            .partition(|meeting| dataset.is_purged(meeting));
        wanted = rest;
        done.already.extend::<BTreeSet<_>>(already);
        if wanted.is_empty() {
            break;
        }
        // Dropped as lost: nobody is to fetch them again, and what is kept of them is to go.
        let left = wanted.iter().filter(|meeting| !dataset.holds(meeting));
        let mut purged: Vec<_> = left.cloned().collect();
        // Another run may merge one of them at the same time; then it is in another commit.
        let holding = || dataset.standing().filter(|entry| has_any(entry, &wanted));
        let kind = holding().next().map(Entry::kind);
        let alike = holding().filter(|entry| Some(entry.kind()) == kind);
        let commits: Vec<_> = alike.cloned().collect();
        if commits.is_empty() {
            if dataset.purge_left(&purged).await? {
                done.purged.extend(purged);
                break;
            }
            continue;
        }
        let held = commits.iter().flat_map(|entry| &entry.meetings);
        let leaving = held.filter(|meeting| wanted.contains(&meeting.conf_uuid));
        let records: u64 = leaving.clone().map(|meeting| meeting.rows).sum();
        purged.extend(leaving.map(|meeting| meeting.conf_uuid.clone()));
        purged.sort_unstable();
        let rewrite = Rewrite {
            keep_until: Utc::now(),
            purged: purged.clone(),
            replaced: Vec::new(),
        };
        if rewriter.rewrite(&commits, rewrite).await?.is_some() {
            for meeting in &purged {
                wanted.remove(meeting);
            }
            done.purged.extend(purged);
            done.records += records;
            done.rewritten += commits.len() as u64;
        }
    }
    done.out_of_reach = rewriter.dataset.out_of_reach().await?;
    Ok(())
}

fn has_any(entry: &Entry, wanted: &BTreeSet<ConfUuid>) -> bool {
    let mut meetings = entry.meetings.iter();
    meetings.any(|meeting| wanted.contains(&meeting.conf_uuid))
}
