//! The dataset's commit log: what is in it, and in which parts.
//!
//! One entry is one commit, created under the next number if nobody else took that number; from
//! that instant its meetings are in the dataset. Entries are never changed: what turns out to be
//! lost is retracted by a later one. Checkpoints sum them up, so that a long ledger is read at once;
//! they decide nothing. The ledger does not touch parts.

mod chain;
pub(crate) mod checkpoint;
mod checkpoint_columns;
mod entry;
mod replay;
mod rewrite_entry;
mod timestamp;
mod validate;

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::record::partition::Partitioning;
use crate::record::table::{SchemaVersions, Table};
use crate::values::ConfUuid;

pub(crate) use self::chain::sha256;
pub(crate) use self::entry::Rechecked;
#[cfg(test)]
pub(crate) use self::entry::part_path;
pub use self::entry::{Asked, CommittedMeeting, KeyedSearchKey};
pub(crate) use self::entry::{
    Entry, FOLDER, LEDGER_VERSION, Part, entry_path, part_path_in, sequence_of,
};
use self::entry::{RECORDS_ALONE, WITH_MEETINGS};
use self::replay::objects;
pub(crate) use self::rewrite_entry::Rewrite;

impl Default for Ledger {
    fn default() -> Self {
        Self::knowing(SchemaVersions::KNOWN)
    }
}

/// The entries read so far and what they add up to.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The newest schema versions that an entry may have.
    known: SchemaVersions,
    entries: Vec<Entry>,
    /// Meetings in the dataset, by the number of their entry.
    held: HashMap<ConfUuid, u64>,
    /// Entries that do not stand any more, with those that retract them.
    retracted: BTreeMap<u64, u64>,
    purged: HashSet<ConfUuid>,
    /// When meetings were asked for again that had not changed.
    rechecked: HashMap<ConfUuid, Vec<DateTime<Utc>>>,
    /// The object of each entry.
    seen: Vec<Seen>,
    /// SHA-256 of the bytes of the last entry.
    head: Option<String>,
    /// How many of the entries were read from a checkpoint, or are in one since.
    summed: usize,
    /// Why the store did not give the checkpoints, where it did not.
    pub(crate) checkpoint_fault: Option<Error>,
}

/// The object of an entry, as it was when the entry was read or put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    /// Unknown where it was not listed.
    modified: Option<DateTime<Utc>>,
}

impl Ledger {
    pub(crate) fn next_sequence(&self) -> u64 {
        self.entries.len() as u64 + 1
    }

    /// The entry that holds a meeting.
    pub(crate) fn holder(&self, meeting: &str) -> Option<u64> {
        self.held.get(meeting).copied()
    }

    /// How many meetings the dataset holds.
    pub(crate) fn meetings(&self) -> u64 {
        self.held.len() as u64
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries that stand: no other retracts them.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| !self.is_retracted(entry.sequence))
    }

    /// The last entry that stands and holds anything: the records of all are told apart as its are.
    pub(crate) fn last_standing(&self) -> Option<&Entry> {
        let mut last = self.entries.iter().rev();
        last.find(|entry| entry.has_any() && !self.is_retracted(entry.sequence))
    }

    /// How its records are told apart; where none stand any more, how they were.
    pub(crate) fn partitioning(&self) -> Option<Partitioning> {
        let mut all = self.entries.iter().rev();
        let last = self.last_standing();
        let last = last.or_else(|| all.find(|entry| entry.has_any()));
        last.and_then(|last| last.partitioning)
    }

    /// The entries that do not stand any more.
    pub(crate) fn void(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| self.is_retracted(entry.sequence))
    }

    pub(crate) fn is_retracted(&self, sequence: u64) -> bool {
        self.retracted.contains_key(&sequence)
    }

    /// The entry that rewrites this one, where it was not lost.
    pub(crate) fn rewrite_of(&self, sequence: u64) -> Option<&Rewrite> {
        let by = *self.retracted.get(&sequence)?;
        nth(&self.entries, by)?.rewrite.as_ref()
    }

    /// The first entry that retracts this one.
    pub(crate) fn retracted_by(&self, sequence: u64) -> Option<u64> {
        self.retracted.get(&sequence).copied()
    }

    /// The entry of this number.
    pub(crate) fn entry(&self, sequence: u64) -> Option<&Entry> {
        nth(&self.entries, sequence)
    }

    /// The last of the entries that took the place of this one and of each other; itself where none
    /// did.
    pub(crate) fn heir(&self, sequence: u64) -> u64 {
        let mut heir = sequence;
        // Each comes after the one before it.
        while self.rewrite_of(heir).is_some()
            && let Some(&by) = self.retracted.get(&heir)
        {
            heir = by;
        }
        heir
    }

    /// Whether a meeting was erased for good.
    pub(crate) fn is_purged(&self, meeting: &ConfUuid) -> bool {
        self.purged.contains(meeting)
    }

    /// Whether a commit that does not stand any more held a meeting, and none that stands does.
    pub(crate) fn is_left(&self, meeting: &ConfUuid) -> bool {
        let mut void = self.void().flat_map(|entry| &entry.meetings);
        self.holder(meeting.as_str()).is_none() && void.any(|held| held.conf_uuid == *meeting)
    }

    /// When a meeting was last seen as the dataset holds it, as far as that is not after `latest`: a
    /// stored time in the future is of a wrong clock, and not believed.
    pub(crate) fn last_look(
        &self,
        meeting: &CommittedMeeting,
        latest: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let again = self.rechecked.get(&meeting.conf_uuid);
        let again = again.into_iter().flatten().copied();
        let looks = again.chain([meeting.last_fetch]);
        looks.filter(|look| *look <= latest).max()
    }

    /// How many meetings were erased for good.
    pub(crate) fn purged(&self) -> u64 {
        self.purged.len() as u64
    }

    /// An empty one, for a rollbook that knows these schema versions.
    fn knowing(known: SchemaVersions) -> Self {
        Self {
            known,
            entries: Vec::new(),
            held: HashMap::new(),
            retracted: BTreeMap::new(),
            purged: HashSet::new(),
            rechecked: HashMap::new(),
            seen: Vec::new(),
            head: None,
            summed: 0,
            checkpoint_fault: None,
        }
    }

    /// Applies an entry that somebody else may have written.
    fn accept(&mut self, entry: Entry, seen: Seen) -> Result<()> {
        for table in [Table::Records, Table::Meetings] {
            let (version, known) = (entry.schema_versions.table(table), self.known.table(table));
            if version > known {
                return Err(Error::Newer {
                    path: entry_path(entry.sequence),
                    what: format!("version {version} of the schema of {}", table.as_str()),
                    known,
                });
            }
        }
        self.apply(entry, seen)
    }

    fn apply(&mut self, entry: Entry, seen: Seen) -> Result<()> {
        let path = entry_path(entry.sequence);
        let expected = self.next_sequence();
        if entry.sequence != expected {
            return Err(damaged(
                &entry_path(expected),
                "this ledger entry is missing; restore it, or start a new dataset".to_owned(),
            ));
        }
        let mut earlier = Vec::with_capacity(entry.retracts.len());
        for &sequence in &entry.retracts {
            let Some(retracted) = nth(&self.entries, sequence) else {
                let reason = format!("retracts entry {sequence}, which is not before it");
                return Err(damaged(&path, reason));
            };
            if entry.rewrite.is_some() && self.retracted.contains_key(&sequence) {
                let reason = format!("rewrites entry {sequence}, which does not stand any more");
                return Err(damaged(&path, reason));
            }
            earlier.push(retracted);
        }
        if let Some(rewrite) = &entry.rewrite {
            if let Some(reason) = rewrite.fault(&entry, &earlier, |meeting| self.is_left(meeting)) {
                return Err(damaged(&path, reason));
            }
            self.purged.extend(rewrite.purged.iter().cloned());
        }
        let is_alike = |before: &Entry| before.partitioning == entry.partitioning;
        if entry.has_any() && !self.last_standing().is_none_or(is_alike) {
            let reason = "is partitioned otherwise than the entries before it".to_owned();
            return Err(damaged(&path, reason));
        }
        for retracted in earlier {
            if let MapEntry::Vacant(vacant) = self.retracted.entry(retracted.sequence) {
                vacant.insert(entry.sequence);
                for meeting in &retracted.meetings {
                    self.held.remove(&meeting.conf_uuid);
                }
            }
        }
        let mut meetings = entry.meetings.iter();
        if let Some(meeting) = meetings.find(|meeting| self.is_purged(&meeting.conf_uuid)) {
            let reason = format!("holds {}, which was purged", meeting.conf_uuid);
            return Err(damaged(&path, reason));
        }
        for meeting in &entry.meetings {
            let uuid = meeting.conf_uuid.clone();
            if let Some(holder) = self.held.insert(uuid, entry.sequence) {
                let reason = format!("holds {}, and so does entry {holder}", meeting.conf_uuid);
                return Err(damaged(&path, reason));
            }
        }
        for rechecked in &entry.rechecked {
            let looks = self.rechecked.entry(rechecked.conf_uuid.clone());
            looks.or_default().push(rechecked.at);
        }
        self.entries.push(entry);
        self.seen.push(seen);
        Ok(())
    }
}

impl Seen {
    /// An object that was read or put without a look at its time.
    const fn unlisted(bytes: &Bytes) -> Self {
        Self {
            bytes: bytes.len() as u64,
            modified: None,
        }
    }
}

/// The entry of this number.
fn nth(entries: &[Entry], sequence: u64) -> Option<&Entry> {
    let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
    entries.get(index)
}

fn damaged(path: &str, reason: String) -> Error {
    Error::Dataset {
        path: path.to_owned(),
        reason,
    }
}

/// For the fuzzer, which sees nothing but what is public: an entry is refused, or written again as
/// it was read.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_entry(bytes: &[u8]) {
    let path = entry_path(1);
    let Ok(entry) = Entry::parse(&path, bytes) else {
        return;
    };
    let again = entry
        .to_bytes()
        .and_then(|bytes| Entry::parse(&path, &bytes));
    assert_eq!(again.ok().as_ref(), Some(&entry));
    let _outcome = Ledger::default().apply(entry, Seen::unlisted(&Bytes::new()));
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::checkpoint::CHECKPOINTS;
