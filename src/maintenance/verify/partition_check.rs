//! Whether the records of a commit lie in the folders of their days.
//!
//! One in another folder is there for whoever reads everything, and is missed by whoever asks for
//! its day. Memory grows with the meetings of one commit: the day of a meeting is known when all of
//! its records were seen.

use std::collections::{BTreeMap, HashMap};

use crate::record::partition::{Calendar, DateOf, Partition, Partitioning};

use super::Finding;

/// The days of the records of one part.
#[derive(Debug)]
pub(super) struct Days {
    partitioning: Partitioning,
    calendar: Calendar,
    /// That of its folder.
    own: Option<Partition>,
    /// Records of other days than that, by meeting.
    others: BTreeMap<(String, Partition), u64>,
    /// All records by meeting, and the earliest time of them.
    meetings: HashMap<String, (u64, Option<i64>)>,
}

impl Days {
    pub(super) fn of(partitioning: Partitioning, folder: &str) -> Self {
        Self {
            partitioning,
            calendar: Calendar::new(partitioning.timezone),
            own: partitioning.partition(folder),
            others: BTreeMap::new(),
            meetings: HashMap::new(),
        }
    }

    /// The next record.
    pub(super) fn push(&mut self, meeting: &str, join: Option<i64>) {
        match self.partitioning.by {
            DateOf::Join => {
                let day = self.calendar.partition(join);
                if self.own != Some(day) {
                    *self.others.entry((meeting.to_owned(), day)).or_default() += 1;
                }
            }
            DateOf::Meeting => match self.meetings.get_mut(meeting) {
                Some((rows, earliest)) => {
                    *rows += 1;
                    *earliest = earlier(*earliest, join);
                }
                None => {
                    self.meetings.insert(meeting.to_owned(), (1, join));
                }
            },
        }
    }
}

/// The days of the records of one commit.
#[derive(Debug, Default)]
pub(super) struct Placed {
    parts: Vec<(String, Days)>,
    /// By meeting, in whatever parts.
    earliest: HashMap<String, Option<i64>>,
}

impl Placed {
    pub(super) fn add(&mut self, path: &str, days: Days) {
        for (meeting, (_, join)) in &days.meetings {
            match self.earliest.get_mut(meeting) {
                Some(earliest) => *earliest = earlier(*earliest, *join),
                None => {
                    self.earliest.insert(meeting.clone(), *join);
                }
            }
        }
        self.parts.push((path.to_owned(), days));
    }

    /// Records in another folder than that of their day.
    pub(super) fn compare(self, findings: &mut Vec<Finding>) {
        for (path, mut days) in self.parts {
            let mut others = days.others;
            for (meeting, (rows, _)) in days.meetings {
                let earliest = self.earliest.get(&meeting).copied().flatten();
                let day = days.calendar.partition(earliest);
                if days.own != Some(day) {
                    others.insert((meeting, day), rows);
                }
            }
            let others = others.into_iter();
            findings.extend(others.map(|((conf_uuid, day), rows)| Finding::Misplaced {
                path: path.clone(),
                conf_uuid,
                rows,
                expected: days.partitioning.folder(day),
            }));
        }
    }
}

/// The earlier of two times, where either is known.
fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    [one, other].into_iter().flatten().min()
}
