//! Which commits are to become one.

use std::collections::BTreeMap;

use crate::ledger::Entry;
use crate::table::Table;

/// So many times the target is as much as one commit of many partitions may have.
const MOST_TARGETS: u64 = 16;

/// The commits that are to become one, group by group, each in the order of the ledger.
///
/// A group of which one member has more than two thirds of the bytes gains too little from being
/// written again: its first members wait until there is more to merge them with. So in a dataset
/// that grows night by night a row is written again only when its part grows by half.
///
/// Where records are told apart, merging commits merges the parts of each partition, and those of
/// different days gain nothing: a group must lose a third of its parts, and is cut where one commit
/// would become too large.
pub(super) fn plan<'a>(standing: impl Iterator<Item = &'a Entry>, target: u64) -> Vec<Vec<Entry>> {
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
pub(super) fn folders(group: &[Entry]) -> BTreeMap<&str, u64> {
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

pub(super) fn rows(group: &[Entry]) -> u64 {
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
