//! Meetings of one run that have the same several records, in any order: a server, a balancer or a
//! cache may have answered one of them with the records of another.

use std::collections::{BTreeMap, HashMap};

use crate::fetch::Multiset;
use crate::values::ConfUuid;

/// Records from which on two meetings are not alike by chance.
const SEVERAL: u64 = 2;

/// The records of the run's meetings by their digests: 16 bytes a meeting, and its name.
#[derive(Debug, Default)]
pub(super) struct SameRecords {
    first: HashMap<u128, ConfUuid>,
    others: BTreeMap<u128, Vec<ConfUuid>>,
}

impl SameRecords {
    /// Adds a whole meeting.
    pub(super) fn add(&mut self, meeting: &ConfUuid, records: Multiset) {
        if records.len() < SEVERAL {
            return;
        }
        let digest = records.digest();
        match self.first.get(&digest) {
            None => {
                self.first.insert(digest, meeting.clone());
            }
            // Read again, since another run got in the way.
            Some(first) if first == meeting => {}
            Some(_) => {
                let others = self.others.entry(digest).or_default();
                if !others.contains(meeting) {
                    others.push(meeting.clone());
                }
            }
        }
    }

    /// Returns the meetings that have the same records, group by group.
    pub(super) fn groups(&mut self) -> Vec<Vec<ConfUuid>> {
        let others = std::mem::take(&mut self.others);
        let groups = others.into_iter().map(|(digest, others)| {
            let first = self.first.get(&digest).cloned();
            let mut group: Vec<_> = first.into_iter().chain(others).collect();
            group.sort_unstable();
            group
        });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_unstable();
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meetings_with_the_same_several_records_are_grouped() {
        let mut same = SameRecords::default();
        for (meeting, digests) in [
            ("a", &[1, 2, 3][..]),
            ("b", &[9]),
            ("c", &[9]),
            ("d", &[]),
            ("e", &[]),
            ("f", &[3, 1, 2]),
            ("g", &[1, 2, 2]),
            ("h", &[2, 2, 1]),
            ("i", &[2, 3, 1]),
            ("i", &[2, 3, 1]),
            ("a", &[1, 2, 3]),
            ("k", &[6, 0]),
        ] {
            let records = digests.iter().copied().collect();
            same.add(&meeting.parse().unwrap(), records);
        }
        let groups: Vec<Vec<_>> = same
            .groups()
            .into_iter()
            .map(|group| group.iter().map(ToString::to_string).collect())
            .collect();
        assert_eq!(groups, [vec!["a", "f", "i"], vec!["g", "h"]]);
    }
}
