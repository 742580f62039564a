//! One entry of the ledger: a commit, and the names of what it consists of.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::record::partition::Partitioning;
use crate::record::pii::Pii;
use crate::record::table::{SchemaVersions, Table};
use crate::record::{DatasetSalt, Language, pii};
use crate::report::{MeetingStatus, Proof};
use crate::values::{ConfUuid, SearchKey};

use super::{Rewrite, damaged, timestamp};

/// The newest version of the entries' form. It may rewrite earlier entries, or have parts in folders
/// of partitions, which a rollbook that knows the older ones alone would take for lost, and tell
/// schema versions beyond the first, which such a one would not know: it must refuse it.
pub(crate) const LEDGER_VERSION: u32 = 3;

/// The version of entries with parts of the meetings table, which a rollbook that knows the first
/// version alone would neither publish nor miss.
pub(super) const WITH_MEETINGS: u32 = 2;

/// The version of entries whose parts are all of records.
pub(super) const RECORDS_ALONE: u32 = 1;

/// Where the entries lie.
pub(crate) const FOLDER: &str = "_rollbook/ledger";

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
    /// SHA-256 of the bytes of the entry before it, see [`crate::dataset::ledger::chain`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous_sha256: Option<String>,
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
    /// Meetings that were asked for again and had not changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rechecked: Vec<Rechecked>,
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// The language of the labels.
    pub language: Language,
    /// The search key, where only records that match it are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_key: Option<KeyedSearchKey>,
    /// What became of personal columns, and with which key, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pii: Option<String>,
}

/// A search key as the ledger has it: it may be a phone number, which a plain hash does not hide.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyedSearchKey {
    /// Name of the salt that the digest's key is derived from.
    pub salt: String,
    /// HMAC-SHA256 of the search key, in lower-case hexadecimal digits.
    pub hmac_sha256: String,
}

impl KeyedSearchKey {
    /// The search key, keyed for the dataset with this salt.
    pub(crate) fn new(salt: &DatasetSalt, search_key: &str) -> Self {
        Self {
            salt: salt.id(),
            hmac_sha256: salt.digest("search key", search_key.as_bytes()),
        }
    }
}

impl Asked {
    /// The question that a run with these settings asks of a dataset with this salt.
    pub(crate) fn of(config: &Config, pii: Option<&Pii>, salt: &DatasetSalt) -> Self {
        let search_key = config.search_key.as_ref().map(SearchKey::as_str);
        Self {
            language: config.language,
            search_key: search_key.map(|key| KeyedSearchKey::new(salt, key)),
            pii: pii.map(Pii::note),
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
}

/// A meeting that the service still shows as the dataset holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rechecked {
    /// The meeting.
    pub(crate) conf_uuid: ConfUuid,
    /// When its first page was fetched again.
    #[serde(deserialize_with = "timestamp::deserialize")]
    pub(crate) at: DateTime<Utc>,
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
    #[serde(deserialize_with = "timestamp::deserialize")]
    pub first_fetch: DateTime<Utc>,
    /// When its last page arrived.
    #[serde(deserialize_with = "timestamp::deserialize")]
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

    /// Whether there are records of it to read, or a part where there might be.
    pub(crate) fn has_records(&self) -> bool {
        self.parts_of(Table::Records).next().is_some()
    }

    /// What commits have in common whose rows may lie in one part and whose meetings in one commit:
    /// what was asked, and whether there are parts of the meetings table.
    pub(crate) fn kind(&self) -> (Option<&Asked>, bool) {
        let has_meetings = self.parts_of(Table::Meetings).next().is_some();
        (self.asked.as_ref(), has_meetings)
    }

    /// Whether it holds what a partitioning is of.
    pub(super) fn has_any(&self) -> bool {
        !self.parts.is_empty() || !self.meetings.is_empty()
    }

    pub(super) fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
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

    pub(super) fn to_bytes(&self) -> Result<Bytes> {
        let mut text = serde_json::to_vec(self).map_err(|error| Error::Encode {
            format: "a ledger entry",
            source: error.into(),
        })?;
        text.push(b'\n');
        Ok(text.into())
    }
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
