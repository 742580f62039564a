//! Which commits are to become one.
//!
//! Told by what the ledger says of them and by the target alone: whoever plans touches nothing.

use std::collections::HashMap;
use std::mem;

use crate::dataset::ledger::Entry;

/// So many times the target is as much as one commit of many partitions may have.
const MOST_TARGETS: u64 = 16;

/// Commits that are to become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Their numbers, in the order of the ledger.
    pub(super) commits: Vec<u64>,
    /// Their parts.
    pub(super) parts: u64,
    /// Parts that take the place of those, about: one for each folder.
    pub(super) into: u64,
    /// Bytes of their parts.
    pub(super) bytes: u64,
    /// Records of their meetings.
    pub(super) records: u64,
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
pub(super) fn plan<'a>(standing: impl Iterator<Item = &'a Entry>, target: u64) -> Vec<Group> {
    let mut closed: Vec<Heap> = Vec::new();
    let mut open: HashMap<_, Heap> = HashMap::new();
    for entry in standing {
        if entry.parts.is_empty() || Heap::of(&[entry]).largest > target / 2 {
            continue;
        }
        let heap = open.entry(entry.kind()).or_default();
        heap.add(entry);
        if heap.largest >= target || heap.bytes >= target.saturating_mul(MOST_TARGETS) {
            closed.push(mem::take(heap));
        }
    }
    closed.extend(open.into_values().map(Heap::worthwhile));
    closed.retain(|heap| heap.commits.len() > 1 && heap.thins());
    let mut groups: Vec<_> = closed.iter().map(Heap::group).collect();
    groups.sort_unstable_by_key(|group| group.commits.first().copied());
    groups
}

/// Commits whose rows may lie in the same parts, and what they add up to.
#[derive(Debug, Default)]
struct Heap<'a> {
    commits: Vec<&'a Entry>,
    bytes: u64,
    parts: u64,
    /// The bytes by the folders that the parts lie in.
    folders: HashMap<&'a str, u64>,
    /// What counts against the target: of partitions the largest, else all of it.
    largest: u64,
}

impl<'a> Heap<'a> {
    fn of(commits: &[&'a Entry]) -> Self {
        let mut heap = Self::default();
        for entry in commits {
            heap.add(entry);
        }
        heap
    }

    fn add(&mut self, entry: &'a Entry) {
        self.commits.push(entry);
        self.parts += entry.parts.len() as u64;
        for part in &entry.parts {
            let folder = self.folders.entry(part.folder()).or_default();
            *folder += part.bytes;
            self.bytes += part.bytes;
            self.largest = match entry.partitioning {
                Some(_) => self.largest.max(*folder),
                None => self.bytes,
            };
        }
    }

    /// The longest end of it that is worth writing again.
    fn worthwhile(self) -> Self {
        let (mut all, mut largest, mut from) = (0, 0, self.commits.len());
        for (at, entry) in self.commits.iter().enumerate().rev() {
            let bytes = entry.parts.iter().map(|part| part.bytes).sum();
            all += bytes;
            largest = largest.max(bytes);
            if (all - largest) * 2 >= largest {
                from = at;
            }
        }
        Self::of(self.commits.get(from..).unwrap_or_default())
    }

    /// Whether it has two thirds of its parts, or fewer, when it is one commit.
    fn thins(&self) -> bool {
        let mut commits = self.commits.iter();
        commits.all(|entry| entry.partitioning.is_none())
            || 2 * self.parts >= 3 * self.folders.len() as u64
    }

    fn group(&self) -> Group {
        let meetings = self.commits.iter().flat_map(|entry| &entry.meetings);
        Group {
            commits: self.commits.iter().map(|entry| entry.sequence).collect(),
            parts: self.parts,
            into: self.folders.len() as u64,
            bytes: self.bytes,
            records: meetings.map(|meeting| meeting.rows).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Days, NaiveDate};

    use super::*;
    use crate::dataset::ledger::tests::entry;
    use crate::dataset::ledger::{Part, part_path_in};
    use crate::record::partition::{Partition, Partitioning};
    use crate::values::{PartitionBy, Zone};

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
        groups.map(|group| group.commits).collect()
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
        use crate::dataset::ledger::Asked;
        use crate::record::Language;
        let mut entries = ledger(&[10, 10, 10, 10]);
        for at in [1, 3] {
            entries[at].asked = Some(Asked {
                language: Language::ZhCn,
                search_key: None,
                pii: None,
            });
        }
        let groups = plan(entries.iter(), 100).into_iter();
        let groups: Vec<_> = groups.map(|group| group.commits).collect();
        assert_eq!(groups, [[1, 3], [2, 4]]);
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
            groups.map(|group| group.commits.len()).collect()
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
        let most = groups.map(|group| group.bytes).max();
        assert!(most.unwrap() <= MOST_TARGETS * 100 + 32);
        // A partition that reaches the target ends its group.
        let mut entries = by_date(40);
        for entry in &mut entries {
            entry.parts[2].bytes = 20;
        }
        assert_eq!(plan(entries.iter(), 100)[0].commits.len(), 5);
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
