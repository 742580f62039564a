//! What an entry changes of the table, and what a table should hold, told by the ledger alone.

use std::collections::BTreeMap;

use crate::dataset::ledger::{Entry, Ledger, Part};
use crate::record::table::Table;

use super::Contents;

/// A file as a version of the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// Its size.
    pub(crate) bytes: u64,
    /// Its rows, where the log tells.
    pub(crate) rows: Option<u64>,
    /// Rows of it are marked as deleted, which rollbook never does.
    pub(crate) has_deletions: bool,
}

/// One file that a version of the table has otherwise than the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference<'a> {
    /// A part of the ledger's that the table lacks.
    Absent(&'a Part, &'a Entry),
    /// A part that the table has, but not as it was committed.
    Other(&'a Part, &'a Entry, Live),
    /// A file that the ledger does not hold.
    Beyond(&'a str, Live),
}

/// What one entry changes.
#[cfg(feature = "delta")]
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    /// Parts that enter.
    pub(super) add: Vec<&'a Part>,
    /// Parts that leave, where they are in the table.
    pub(super) leave: Vec<&'a Part>,
    /// The same rows in other files, if as many enter as leave.
    pub(super) may_rearrange: bool,
}

#[cfg(feature = "delta")]
impl<'a> Change<'a> {
    /// What an entry changes, in the light of all that came after it.
    ///
    /// One that does not stand any more changes nothing: its parts may be gone, and what it was to
    /// replace stays until what replaced it enters, so that no version lacks a row.
    pub(super) fn of(ledger: &'a Ledger, entry: &'a Entry) -> Self {
        if ledger.is_retracted(entry.sequence) {
            return Self::default();
        }
        let is_gone = |void: &&Entry| {
            let by = ledger.retracted_by(void.sequence);
            by.is_some_and(|by| by <= entry.sequence)
        };
        let mut leave = Vec::new();
        if !entry.retracts.is_empty() {
            let gone = ledger.void().filter(is_gone);
            leave.extend(gone.flat_map(|void| void.parts_of(Table::Records)));
        }
        Self {
            add: entry.parts_of(Table::Records).collect(),
            leave,
            may_rearrange: entry.rewrite.is_some() && !has_replaced(ledger, entry),
        }
    }
}

/// Whether an entry, or one whose place it took, has other records than the one before it.
#[cfg(feature = "delta")]
fn has_replaced(ledger: &Ledger, entry: &Entry) -> bool {
    let mut left = vec![entry];
    while let Some(entry) = left.pop() {
        let Some(rewrite) = &entry.rewrite else {
            continue;
        };
        if !rewrite.replaced.is_empty() {
            return true;
        }
        let before = entry.retracts.iter();
        left.extend(before.filter_map(|&sequence| ledger.entry(sequence)));
    }
    false
}

/// The parts that the table is to hold, by path.
pub(super) fn standing(ledger: &Ledger) -> BTreeMap<&str, (&Part, &Entry)> {
    let parts = ledger.standing().flat_map(|entry| {
        let parts = entry.parts_of(Table::Records);
        parts.map(move |part| (part.path.as_str(), (part, entry)))
    });
    parts.collect()
}

/// Where a version of the table is not what the ledger says, by path.
pub(crate) fn differences<'a>(ledger: &'a Ledger, contents: &'a Contents) -> Vec<Difference<'a>> {
    let standing = standing(ledger);
    let mut differences = Vec::new();
    for (path, (part, entry)) in &standing {
        match contents.files.get(*path) {
            None => differences.push(Difference::Absent(part, entry)),
            Some(live)
                if live.bytes != part.bytes
                    || live.rows != Some(part.rows)
                    || live.has_deletions =>
            {
                differences.push(Difference::Other(part, entry, *live));
            }
            Some(_) => {}
        }
    }
    let beyond = contents.files.iter();
    let beyond = beyond.filter(|(path, _)| !standing.contains_key(path.as_str()));
    differences.extend(beyond.map(|(path, live)| Difference::Beyond(path, *live)));
    differences
}
