//! Merges the small parts of a dataset into large ones.
//!
//! Whole commits are merged: one ledger entry takes the place of several, with all that they hold.
//! So a dataset of nightly parts stays quick to read, and its ledger quick to open. What is merged
//! is planned from the ledger alone, so that the plan can be shown without touching anything.

use std::collections::BTreeMap;
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
use crate::table::Table;

/// Version of the compaction's form.
pub const COMPACTION_VERSION: u32 = 1;

/// So many times the target is as much as one commit of many partitions may have.
const MOST_TARGETS: u64 = 16;

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

/// The commits that are to become one, group by group, each in the order of the ledger.
///
/// A group of which one member has more than two thirds of the bytes gains too little from being
/// written again: its first members wait until there is more to merge them with. So in a dataset
/// that grows night by night a row is written again only when its part grows by half.
///
/// Where records are told apart, merging commits merges the parts of each partition, and those of
/// different days gain nothing: a group must lose a third of its parts, and is cut where one commit
/// would become too large.
fn plan<'a>(standing: impl Iterator<Item = &'a Entry>, target: u64) -> Vec<Vec<Entry>> {
    let mut groups: Vec<Vec<Entry>> = Vec::new();
    let mut open: Vec<Vec<Entry>> = Vec::new();
    for entry in standing {
        if entry.parts.is_empty() || largest(std::slice::from_ref(entry)) > target / 2 {
            continue;
        }
        let is_alike = |group: &Vec<Entry>| group.first().is_some_and(|one| is_alike(one, entry));
        let place = open.iter().position(is_alike).unwrap_or_else(|| {
            open.push(Vec::new());
            open.len() - 1
        });
        open[place].push(entry.clone());
        let all: u64 = open[place].iter().map(bytes).sum();
        if largest(&open[place]) >= target || all >= target.saturating_mul(MOST_TARGETS) {
            groups.push(open.swap_remove(place));
        }
    }
    groups.extend(open.into_iter().map(worthwhile));
    groups.retain(|group| group.len() > 1 && thins(group));
    groups.sort_by_key(|group| group.first().map(|entry| entry.sequence));
    groups
}

/// The longest end of a group that is worth writing again.
fn worthwhile(mut group: Vec<Entry>) -> Vec<Entry> {
    while group.len() > 1 {
        let all: u64 = group.iter().map(bytes).sum();
        let largest = (0..group.len()).max_by_key(|&at| bytes(&group[at]));
        match largest {
            Some(at) if (all - bytes(&group[at])) * 2 < bytes(&group[at]) => {
                group.drain(..=at);
            }
            _ => break,
        }
    }
    group
}

/// Whether the rows of both may lie in one part, and their meetings in one commit.
fn is_alike(one: &Entry, other: &Entry) -> bool {
    let has_meetings = |entry: &Entry| entry.parts_of(Table::Meetings).next().is_some();
    one.asked == other.asked && has_meetings(one) == has_meetings(other)
}

/// Whether a group has two thirds of its parts, or fewer, when it is one commit.
fn thins(group: &[Entry]) -> bool {
    let parts: usize = group.iter().map(|entry| entry.parts.len()).sum();
    group.iter().all(|entry| entry.partitioning.is_none()) || 2 * parts >= 3 * folders(group).len()
}

/// The bytes of the commits by the folders that their parts lie in, each of which gets one part.
fn folders(group: &[Entry]) -> BTreeMap<&str, u64> {
    let mut folders = BTreeMap::new();
    for part in group.iter().flat_map(|entry| &entry.parts) {
        *folders.entry(part.folder()).or_default() += part.bytes;
    }
    folders
}

/// What counts against the target: of partitions the largest, else all of it.
fn largest(group: &[Entry]) -> u64 {
    match group.first().and_then(|entry| entry.partitioning) {
        Some(_) => folders(group).into_values().max().unwrap_or(0),
        None => group.iter().map(bytes).sum(),
    }
}

fn bytes(entry: &Entry) -> u64 {
    entry.parts.iter().map(|part| part.bytes).sum()
}

fn rows(group: &[Entry]) -> u64 {
    let meetings = group.iter().flat_map(|entry| &entry.meetings);
    meetings.map(|meeting| meeting.rows).sum()
}

#[cfg(test)]
mod tests {
    use chrono::{Days, NaiveDate};

    use super::*;
    use crate::config::PartitionBy;
    use crate::ledger::tests::entry;
    use crate::ledger::{Part, part_path_in};
    use crate::partition::{Partition, Partitioning};
    use crate::zone::Zone;

    /// A ledger whose commits have parts of these sizes.
    fn ledger(sizes: &[u64]) -> Vec<Entry> {
        let commits = (1..).zip(sizes).map(|(sequence, &bytes)| {
            let mut entry = entry(sequence, &[&format!("m{sequence}")]);
            entry.parts.truncate(1);
            entry.parts.iter_mut().for_each(|part| part.bytes = bytes);
            entry
        });
        commits.collect()
    }

    fn planned(sizes: &[u64], target: u64) -> Vec<Vec<u64>> {
        let groups = plan(ledger(sizes).iter(), target).into_iter();
        let sequences = |group: Vec<Entry>| group.iter().map(|entry| entry.sequence).collect();
        groups.map(sequences).collect()
    }

    #[test]
    fn small_commits_are_merged_until_they_have_the_target() {
        assert_eq!(
            planned(&[40, 40, 40, 40, 40, 40], 100),
            [vec![1, 2, 3], vec![4, 5, 6]]
        );
    }

    #[test]
    fn a_large_commit_is_left_alone_and_parts_no_group() {
        assert_eq!(planned(&[10, 90, 10], 100), [vec![1, 3]]);
        assert!(planned(&[90, 10, 90], 100).is_empty());
    }

    #[test]
    fn what_has_most_of_a_groups_bytes_waits() {
        assert!(planned(&[41, 10], 100).is_empty());
        assert_eq!(planned(&[41, 10, 10], 100), [vec![2, 3]]);
        assert_eq!(planned(&[40, 10, 10], 100), [vec![1, 2, 3]]);
    }

    #[test]
    fn commits_that_were_asked_for_otherwise_do_not_meet() {
        use crate::ledger::Asked;
        use crate::record::Language;
        let mut entries = ledger(&[10, 10, 10, 10]);
        for at in [1, 3] {
            entries[at].asked = Some(Asked::new(Language::ZhCn, None));
        }
        let groups = plan(entries.iter(), 100);
        let asked = |group: &Vec<Entry>| group.iter().all(|one| one.asked == group[0].asked);
        assert_eq!(groups.len(), 2);
        assert!(groups.iter().all(asked));
    }

    /// Nights whose records are of two days each, and of none.
    fn by_date(nights: u64) -> Vec<Entry> {
        let partitioning = Partitioning::new(PartitionBy::JoinDate, Zone::UTC).unwrap();
        let day = |days: u64| {
            let date = NaiveDate::default().checked_add_days(Days::new(days));
            Partition::of(date.unwrap())
        };
        let mut entries = ledger(&vec![0; usize::try_from(nights).unwrap()]);
        for entry in &mut entries {
            let night = entry.sequence;
            entry.partitioning = Some(partitioning);
            let parts = [
                (day(night), 30),
                (day(night + 1), 1),
                (Partition::Dateless, 1),
            ];
            let template = entry.parts[0].clone();
            let parts = (0..).zip(parts).map(|(number, (partition, bytes))| Part {
                path: part_path_in(&partitioning.folder(partition), night, number, "parquet"),
                bytes,
                ..template.clone()
            });
            entry.parts = parts.collect();
        }
        entries
    }

    #[test]
    fn of_partitions_the_largest_counts_and_parts_must_become_fewer() {
        let sizes = |nights| -> Vec<_> {
            let groups = plan(by_date(nights).iter(), 100).into_iter();
            groups.map(|group| group.len()).collect()
        };
        // Two nights have 6 parts, and 4 as one commit.
        assert_eq!(sizes(1), [0; 0]);
        assert_eq!(sizes(2), [2]);
        // What is one commit for each day is left, however small its parts are.
        let mut entries = by_date(40);
        for entry in &mut entries {
            entry.parts.truncate(1);
        }
        assert!(plan(entries.iter(), 100).is_empty());
        // However many days: no commit has much more than so many targets.
        let groups = plan(by_date(200).iter(), 100).into_iter();
        let most = groups
            .map(|group| group.iter().map(bytes).sum::<u64>())
            .max();
        assert!(most.unwrap() <= MOST_TARGETS * 100 + 32);
        // A partition that reaches the target ends its group.
        let mut entries = by_date(40);
        for entry in &mut entries {
            entry.parts[2].bytes = 20;
        }
        assert_eq!(plan(entries.iter(), 100)[0].len(), 5);
    }

    /// Night by night, a row is written again when its part grows by half; and there are never more
    /// parts than steps of that kind to the target, beside those that have it.
    #[test]
    fn a_dataset_that_grows_stays_small_at_a_small_price() {
        let (target, nights) = (64, 1_000);
        let (mut sizes, mut written): (Vec<u64>, u64) = (Vec::new(), 0);
        for _ in 0..nights {
            sizes.push(1);
            for group in planned(&sizes, target) {
                let merged = |at: &usize| group.contains(&(*at as u64 + 1));
                let sum: u64 = (0..sizes.len()).filter(merged).map(|at| sizes[at]).sum();
                written += sum;
                let rest = (0..sizes.len()).filter(|at| !merged(at));
                sizes = rest.map(|at| sizes[at]).chain([sum]).collect();
            }
            let small = sizes.iter().filter(|&&size| size <= target / 2).count();
            assert!(small <= 7, "{sizes:?}");
        }
        assert_eq!(sizes.iter().sum::<u64>(), nights);
        assert!(written <= nights * 7, "{written}");
    }
}
