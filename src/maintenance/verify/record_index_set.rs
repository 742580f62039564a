//! Which records were seen, by meeting: kept as ranges of indices, so that it stays small.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::dataset::ledger::Ledger;
use crate::values::ConfUuid;

use super::Finding;
use super::partition_check::Days;

/// The record indices of one part, by meeting.
#[derive(Debug, Default)]
pub(super) struct PartRows {
    meetings: HashMap<String, Indices>,
    /// The meeting of the last record and its indices so far: neighbours share it.
    current: Option<(String, Indices)>,
    pub(super) total: u64,
    /// Where they tell its partition.
    pub(super) days: Option<Box<Days>>,
}

impl PartRows {
    /// None yet, of a part whose days are looked at, or not.
    pub(super) fn dated(days: Option<Days>) -> Self {
        Self {
            days: days.map(Box::new),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, meeting: &str, index: i64, join: Option<i64>) {
        self.total += 1;
        if let Some(days) = &mut self.days {
            days.push(meeting, join);
        }
        match &mut self.current {
            Some((current, indices)) if current == meeting => indices.insert(index),
            _ => {
                self.settle();
                let mut indices = self.meetings.remove(meeting).unwrap_or_default();
                indices.insert(index);
                self.current = Some((meeting.to_owned(), indices));
            }
        }
    }

    /// How many rows there are of each meeting, by its name.
    pub(super) fn by_meeting(mut self) -> BTreeMap<String, u64> {
        self.settle();
        let meetings = self.meetings.into_iter();
        meetings
            .map(|(meeting, indices)| (meeting, indices.rows()))
            .collect()
    }

    fn settle(&mut self) {
        if let Some((meeting, indices)) = self.current.take() {
            self.meetings.insert(meeting, indices);
        }
    }
}

/// The record indices of all meetings.
#[derive(Debug, Default)]
pub(super) struct Census {
    meetings: HashMap<String, Seen>,
}

/// What was seen of one meeting.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) indices: Indices,
    /// The parts of its commit that hold records of it, by number.
    pub(super) parts: Vec<usize>,
}

impl Census {
    pub(super) fn add(
        &mut self,
        ledger: &Ledger,
        sequence: u64,
        number: usize,
        path: &str,
        mut rows: PartRows,
        findings: &mut Vec<Finding>,
    ) {
        rows.settle();
        let mut strays = BTreeMap::new();
        for (meeting, indices) in rows.meetings {
            if ledger.holder(&meeting) == Some(sequence) {
                let seen = self.meetings.entry(meeting).or_default();
                seen.indices.merge(&indices);
                seen.parts.push(number);
            } else {
                strays.insert(meeting, indices.rows());
            }
        }
        findings.extend(strays.into_iter().map(|(conf_uuid, rows)| Finding::Stray {
            path: path.to_owned(),
            conf_uuid,
            rows,
        }));
    }

    pub(super) fn seen(&self, meeting: &ConfUuid) -> Option<&Seen> {
        self.meetings.get(meeting.as_str())
    }

    pub(super) fn compare(&self, ledger: &Ledger, findings: &mut Vec<Finding>) {
        let none = Indices::default();
        for meeting in ledger.standing().flat_map(|entry| &entry.meetings) {
            let conf_uuid = &meeting.conf_uuid;
            let indices = self.seen(conf_uuid).map_or(&none, |seen| &seen.indices);
            let expected = meeting.rows;
            let within = indices.within(expected);
            if within < expected {
                findings.push(Finding::RowsMissing {
                    conf_uuid: conf_uuid.clone(),
                    expected,
                    missing: expected - within,
                });
            }
            if indices.distinct() > within {
                findings.push(Finding::RowsBeyond {
                    conf_uuid: conf_uuid.clone(),
                    expected,
                    beyond: indices.distinct() - within,
                });
            }
            if indices.twice > 0 {
                findings.push(Finding::RowsTwice {
                    conf_uuid: conf_uuid.clone(),
                    rows: indices.twice,
                });
            }
        }
    }
}

/// A set of record indices that is small where they are neighbours, as they nearly always are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indices {
    /// First index to the one after the last; never touching each other.
    ranges: BTreeMap<i64, i64>,
    /// Indices that were in already when they came.
    twice: u64,
}

impl Indices {
    pub(super) fn insert(&mut self, index: i64) {
        // No record has the last index that a number can have; it would have no end.
        self.insert_range(index..index.saturating_add(1));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.twice += other.twice;
        for (&start, &end) in &other.ranges {
            self.insert_range(start..end);
        }
    }

    fn insert_range(&mut self, new: Range<i64>) {
        let Range { mut start, mut end } = new;
        // Those that overlap or touch become one with the new one.
        while let Some((&first, &last)) = self.ranges.range(..=end).next_back() {
            if last < start {
                break;
            }
            self.twice += length(start.max(first)..end.min(last));
            self.ranges.remove(&first);
            start = start.min(first);
            end = end.max(last);
        }
        self.ranges.insert(start, end);
    }

    pub(super) fn distinct(&self) -> u64 {
        self.ranges
            .iter()
            .map(|(&start, &end)| length(start..end))
            .sum()
    }

    pub(super) fn rows(&self) -> u64 {
        self.distinct() + self.twice
    }

    /// How many of the indices `0..rows` are in.
    pub(super) fn within(&self, rows: u64) -> u64 {
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        let ranges = self.ranges.iter();
        ranges
            .map(|(&start, &end)| length(start.max(0)..end.min(limit)))
            .sum()
    }
}

fn length(range: Range<i64>) -> u64 {
    if range.end > range.start {
        range.end.abs_diff(range.start)
    } else {
        0
    }
}
