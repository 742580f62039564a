//! The dataset's commit log: what is in it, and in which parts.
//!
//! One entry is one commit, created under the next number if nobody else took that number; from
//! that instant its meetings are in the dataset. Entries are never changed: what turns out to be
//! lost is retracted by a later one. Checkpoints sum them up, so that a long ledger is read at once;
//! they decide nothing. The ledger does not touch parts.

pub(crate) mod checkpoint;
mod columns;
mod form;
mod instant;
mod rewrite;

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, SearchKey};
use crate::error::{Error, Result};
use crate::hex::hex;
use crate::partition::Partitioning;
use crate::pii::{self, Pii};
use crate::record::Language;
use crate::report::{MeetingStatus, Proof};
use crate::store::{Object, Store};
use crate::table::Table;
use crate::table::versions::SchemaVersions;
use crate::uuid::ConfUuid;

pub(crate) use rewrite::Rewrite;

/// The newest version of the entries' form. It may rewrite earlier entries, or have parts in folders
/// of partitions, which a rollbook that knows the older ones alone would take for lost, and tell
/// schema versions beyond the first, which such a one would not know: it must refuse it.
pub(crate) const LEDGER_VERSION: u32 = 3;

/// The version of entries with parts of the meetings table, which a rollbook that knows the first
/// version alone would neither publish nor miss.
const WITH_MEETINGS: u32 = 2;

/// The version of entries whose parts are all of records.
const RECORDS_ALONE: u32 = 1;

/// Where the entries lie.
pub(crate) const FOLDER: &str = "_rollbook/ledger";

/// Entries read at once: a cold disk or a bucket answers many questions in the time of one. Each is
/// an open file, of which a process may have no more than 64.
const READS: usize = 32;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The oldest that has a place for what it says, see [`Entry::versioned`].
    pub(crate) version: u32,
    /// Its number, from 1 without gaps.
    pub(crate) sequence: u64,
    /// The run that committed.
    pub(crate) run_id: String,
    /// When.
    pub(crate) committed_at: DateTime<Utc>,
    /// The parts of all tables, in the order of their names: whoever publishes them in this order
    /// never shows a record before the row of its meeting.
    pub(crate) parts: Vec<Part>,
    /// The meetings whose records are in those parts, or that have none. Where there are parts of
    /// the meetings table, they have a row for each.
    pub(crate) meetings: Vec<CommittedMeeting>,
    /// Commits that are void from here on, since parts of them were lost.
    #[serde(default)]
    pub(crate) retracts: Vec<u64>,
    /// Where those commits were not lost: what they held is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rewrite: Option<Rewrite>,
    /// What was asked of each meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<Asked>,
    /// The schema versions of its parts.
    #[serde(default, skip_serializing_if = "SchemaVersions::are_first")]
    pub(crate) schema_versions: SchemaVersions,
    /// How its records are told apart, where they are: its parts of records lie in the folders of
    /// their partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partitioning: Option<Partitioning>,
}

/// What a run asks of each meeting. One dataset holds answers to one question: a meeting that
/// another question was asked of is not the same meeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The language of the labels.
    pub language: Language,
    /// SHA-256 of the search key, where only records that match it are asked for: the key itself
    /// may be a phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_key_sha256: Option<String>,
    /// What became of personal columns, and with which key, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pii: Option<String>,
}

impl Asked {
    /// The question that a run with these settings asks.
    pub(crate) fn of(config: &Config, pii: Option<&Pii>) -> Self {
        let search_key = config.search_key.as_ref().map(SearchKey::as_str);
        Self {
            pii: pii.map(Pii::note),
            ..Self::new(config.language, search_key)
        }
    }

    /// Whether it is the same question where records alone are there to tell.
    pub(crate) fn is_the_same_of_records(&self, other: &Self) -> bool {
        let of_records = |asked: &Self| Self {
            pii: asked.pii.as_deref().and_then(pii::note_of_records),
            ..asked.clone()
        };
        of_records(self) == of_records(other)
    }

    /// The question with this search key, or without one.
    pub fn new(language: Language, search_key: Option<&str>) -> Self {
        let digest = |key: &str| hex(&Sha256::digest(key));
        Self {
            language,
            search_key_sha256: search_key.map(digest),
            pii: None,
        }
    }
}

/// One part of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Its name in the dataset.
    pub(crate) path: String,
    /// Its rows.
    pub(crate) rows: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// SHA-256 of its bytes, in lower-case hexadecimal digits.
    pub(crate) sha256: String,
    /// Where it was before it was published.
    pub(crate) staged: String,
}

/// One whole meeting of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedMeeting {
    /// The meeting.
    pub conf_uuid: ConfUuid,
    /// The API's `count`.
    pub count: u64,
    /// Its records in the dataset.
    pub rows: u64,
    /// Requests spent on it.
    pub requests: u64,
    /// When its first page arrived.
    #[serde(deserialize_with = "instant::deserialize")]
    pub first_fetch: DateTime<Utc>,
    /// When its last page arrived.
    #[serde(deserialize_with = "instant::deserialize")]
    pub last_fetch: DateTime<Utc>,
    /// What became of it.
    pub status: MeetingStatus,
    /// How it was proven whole.
    pub proof: Proof,
    /// Answers that its records came with; unknown to entries of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
    /// Seams between those answers, all of which held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seams: Option<u64>,
}

impl Part {
    /// What its rows are.
    pub(crate) fn table(&self) -> Table {
        Table::of(&self.path)
    }

    /// The folder that it lies in; the dataset's own has no name.
    pub(crate) fn folder(&self) -> &str {
        let folder = self.path.rsplit_once('/');
        folder.map_or("", |(folder, _)| folder)
    }
}

impl Entry {
    /// Its parts of one table.
    pub(crate) fn parts_of(&self, table: Table) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.table() == table)
    }

    /// Whether it holds what a partitioning is of.
    fn has_any(&self) -> bool {
        !self.parts.is_empty() || !self.meetings.is_empty()
    }

    fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let broken =
            |error: serde_json::Error| damaged(path, format!("not a ledger entry: {error}"));
        let parsed: serde_json::Result<Self> = match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => serde_json::from_str(text),
            // Tells where.
            Err(_) => serde_json::from_slice(bytes),
        };
        let version = if let Ok(entry) = &parsed {
            entry.version
        } else {
            // One of another form may still say which.
            let Versioned { version } = serde_json::from_slice(bytes).map_err(broken)?;
            version
        };
        if version > LEDGER_VERSION {
            return Err(Error::Newer {
                path: path.to_owned(),
                what: format!("ledger version {version}"),
                known: LEDGER_VERSION,
            });
        }
        let entry = parsed.map_err(broken)?;
        if entry_path(entry.sequence) != path {
            return Err(damaged(path, format!("holds entry {}", entry.sequence)));
        }
        if let Some(fault) = entry.fault() {
            return Err(damaged(path, fault));
        }
        Ok(entry)
    }

    fn to_bytes(&self) -> Result<Bytes> {
        let mut text = serde_json::to_vec(self).map_err(|error| Error::Encode {
            format: "a ledger entry",
            source: error.into(),
        })?;
        text.push(b'\n');
        Ok(text.into())
    }
}

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
    /// The object of each entry.
    seen: Vec<Seen>,
    /// How many of the entries were read from a checkpoint, or are in one since.
    summed: usize,
}

/// The object of an entry, as it was when the entry was read or put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    /// Unknown where it was not listed.
    modified: Option<DateTime<Utc>>,
}

impl Ledger {
    /// Reads every entry, those that a checkpoint sums up from there.
    ///
    /// # Errors
    ///
    /// A missing, unreadable or contradictory entry, or one of a newer rollbook: without all of
    /// them nothing is proven.
    pub(crate) async fn read(store: &Store) -> Result<Self> {
        // Before the entries, so that each that one of them sums up is in the listing.
        let checkpoints = checkpoint::listed(store).await.unwrap_or_default();
        let objects = objects(store).await?;
        let ledger = checkpoint::believed(store, checkpoints, &objects).await;
        ledger.read_on(store, objects).await
    }

    /// Reads every entry from its own object, as a rollbook that knows these schema versions does.
    ///
    /// # Errors
    ///
    /// Those of [`Ledger::read`].
    pub(crate) async fn read_entries(store: &Store, known: SchemaVersions) -> Result<Self> {
        let objects = objects(store).await?;
        Self::knowing(known).read_on(store, objects).await
    }

    /// Reads the entries behind those that it has.
    async fn read_on(mut self, store: &Store, objects: Vec<Object>) -> Result<Self> {
        let rest = objects.into_iter().skip(self.entries.len());
        let mut entries = stream::iter(rest)
            .map(|object| {
                let store = store.clone();
                // Tasks, so that they are parsed on all cores.
                let read = async move {
                    let read = read_entry(&store, &object.path).await?;
                    Ok(read.map(|(entry, seen)| {
                        // As it was before it was read.
                        let modified = Some(object.modified);
                        (entry, Seen { modified, ..seen })
                    }))
                };
                AbortOnDropHandle::new(tokio::spawn(read))
            })
            .buffered(READS)
            .map(|read| {
                let what = "the reading of a ledger entry";
                read.unwrap_or_else(|source| Err(Error::Task { what, source }))
            });
        while let Some(read) = entries.try_next().await? {
            // Where it is gone since, the next one tells.
            if let Some((entry, seen)) = read {
                self.accept(entry, seen)?;
            }
        }
        Ok(self)
    }

    /// Reads the entries that others put since.
    pub(crate) async fn catch_up(&mut self, store: &Store) -> Result<()> {
        while let Some((entry, seen)) = read_entry(store, &entry_path(self.next_sequence())).await?
        {
            self.accept(entry, seen)?;
        }
        Ok(())
    }

    /// Puts an entry under its number; says whether it stands there now. If it does not, somebody
    /// else's does.
    pub(crate) async fn put(&mut self, store: &Store, entry: Entry) -> Result<bool> {
        let path = entry_path(entry.sequence);
        let bytes = entry.to_bytes()?;
        let put = store.create(&path, bytes.clone()).await;
        if !matches!(put, Ok(true)) || store.is_single_writer() {
            // The answer may have been lost on the way, here or inside the store, or somebody may
            // have written over it: what stands there decides.
            match (store.read(&path).await?, put) {
                (Some(found), _) if found == bytes => {}
                (Some(_), _) => return Ok(false),
                (None, Err(error)) => return Err(error),
                (None, Ok(_)) => return Err(damaged(&path, "was there and is gone".to_owned())),
            }
        }
        self.apply(entry, Seen::unlisted(&bytes))?;
        Ok(true)
    }

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
            seen: Vec::new(),
            summed: 0,
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
        for meeting in &entry.meetings {
            let uuid = meeting.conf_uuid.clone();
            if let Some(holder) = self.held.insert(uuid, entry.sequence) {
                let reason = format!("holds {}, and so does entry {holder}", meeting.conf_uuid);
                return Err(damaged(&path, reason));
            }
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

/// Where an entry lies.
pub(crate) fn entry_path(sequence: u64) -> String {
    format!("{FOLDER}/{sequence:020}.json")
}

/// The name of a commit's part of records that lies in no partition.
#[cfg(test)]
pub(crate) fn part_path(sequence: u64, number: usize, extension: &str) -> String {
    part_path_in("", sequence, number, extension)
}

/// The name of a commit's part in a folder; each table numbers its own, whatever their folders.
pub(crate) fn part_path_in(folder: &str, sequence: u64, number: usize, extension: &str) -> String {
    let slash = if folder.is_empty() { "" } else { "/" };
    format!("{folder}{slash}part-{sequence:020}-{number:05}.{extension}")
}

/// The number of the entry that lies at a path.
pub(crate) fn sequence_of(path: &str) -> Option<u64> {
    let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let sequence = name.strip_suffix(".json")?.parse().ok()?;
    (entry_path(sequence) == path).then_some(sequence)
}

/// The objects of the entries, in their order.
async fn objects(store: &Store) -> Result<Vec<Object>> {
    let mut objects = store.list(FOLDER).await?;
    objects.retain(|object| sequence_of(&object.path).is_some());
    Ok(objects)
}

async fn read_entry(store: &Store, path: &str) -> Result<Option<(Entry, Seen)>> {
    match store.read(path).await? {
        Some(bytes) => Ok(Some((Entry::parse(path, &bytes)?, Seen::unlisted(&bytes)))),
        None => Ok(None),
    }
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
mod laws;
#[cfg(test)]
pub(crate) mod tests;
