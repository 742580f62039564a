//! What a verification can find, and whose commit it damages.

use serde::Serialize;

use crate::dataset::ledger::Ledger;
use crate::values::ConfUuid;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// The ledger cannot be believed; nothing else was checked.
    Ledger {
        /// The offending entry.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A committed part has not got its final name yet; the next export gives it.
    Unpublished {
        /// Number of the ledger entry.
        sequence: u64,
        /// The part.
        path: String,
    },
    /// A committed part is gone; the next export fetches its meetings again.
    Missing {
        /// Number of the ledger entry.
        sequence: u64,
        /// The part.
        path: String,
    },
    /// A part has another length or hash than it was committed with.
    Altered {
        /// Number of the ledger entry.
        sequence: u64,
        /// The part.
        path: String,
        /// The difference.
        reason: String,
    },
    /// A part with the right hash cannot be read.
    Unreadable {
        /// Number of the ledger entry.
        sequence: u64,
        /// The part.
        path: String,
        /// Why.
        reason: String,
    },
    /// A part with the right hash has not the columns of the schema version that its commit tells,
    /// or tells another one itself.
    Schema {
        /// Number of the ledger entry.
        sequence: u64,
        /// The part.
        path: String,
        /// The difference.
        reason: String,
    },
    /// A part has another number of rows than it was committed with.
    PartRows {
        /// Number of the ledger entry.
        sequence: u64,
        /// The part.
        path: String,
        /// Rows by the ledger.
        expected: u64,
        /// Rows in the part.
        found: u64,
    },
    /// A part that belongs to a retracted commit; its records may be in the dataset again. The
    /// next export removes it.
    Retracted {
        /// The part.
        path: String,
    },
    /// Something with the name of a part that no ledger entry names.
    Unreferenced {
        /// What it is called.
        path: String,
    },
    /// Something in the dataset's folder, or in that of the meetings table, that readers may take
    /// for data: its name ends like a part's.
    Foreign {
        /// What it is called.
        path: String,
    },
    /// Rows of a meeting in a part of a commit that does not hold the meeting.
    Stray {
        /// The part.
        path: String,
        /// The meeting.
        conf_uuid: String,
        /// Its rows there.
        rows: u64,
    },
    /// Rows of a meeting in the folder of another partition than theirs, by the rules for clocks
    /// that this rollbook knows: readers that choose folders by their dates miss them. Nothing else
    /// is wrong with them, and no repair drops them.
    Misplaced {
        /// The part.
        path: String,
        /// The meeting.
        conf_uuid: String,
        /// Its rows there that belong elsewhere.
        rows: u64,
        /// The folder where they belong.
        expected: String,
    },
    /// A meeting lacks records that were committed.
    RowsMissing {
        /// The meeting.
        conf_uuid: ConfUuid,
        /// Records by the ledger.
        expected: u64,
        /// How many of them are missing.
        missing: u64,
    },
    /// A meeting has records beyond those that were committed.
    RowsBeyond {
        /// The meeting.
        conf_uuid: ConfUuid,
        /// Records by the ledger.
        expected: u64,
        /// How many records have a greater index.
        beyond: u64,
    },
    /// A meeting has another number of rows in the meetings table than one, though its commit
    /// brought them.
    NotDescribed {
        /// The meeting.
        conf_uuid: ConfUuid,
        /// Its rows there.
        rows: u64,
    },
    /// A checkpoint is damaged or contradicts the ledger's entries, which stand: no record is touched
    /// by it, and it may be removed.
    Checkpoint {
        /// The checkpoint.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A run's report names a last entry of the ledger that is gone, or that was changed since. No
    /// repair accepts what is there in its place.
    Head {
        /// The entry.
        path: String,
        /// The report.
        report: String,
        /// SHA-256 of the entry, as the run saw it.
        expected: String,
        /// SHA-256 of what is there; nothing where the ledger ends before it.
        found: Option<String>,
    },
    /// The salt of the dataset is damaged, or is not the one that its ledger was written with. No
    /// record is touched by it, but exports with a search key are refused.
    Salt {
        /// The salt.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The Delta log lacks the last entries of the ledger; the next run brings them.
    DeltaBehind {
        /// The last entry that is in the log; 0 is none.
        sequence: u64,
        /// Entries of the ledger.
        entries: u64,
    },
    /// A file that the Delta table has otherwise than the ledger.
    DeltaFile {
        /// The file.
        path: String,
        /// How.
        reason: String,
    },
    /// The Delta log cannot be read, or is not this ledger's.
    DeltaLog {
        /// The log.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Records of a meeting are there more than once.
    RowsTwice {
        /// The meeting.
        conf_uuid: ConfUuid,
        /// How many too many.
        rows: u64,
    },
}

impl Finding {
    /// The commit whose records cannot be trusted for this, where there is one.
    pub(super) fn damages(&self, ledger: &Ledger) -> Option<u64> {
        match self {
            Self::Missing { sequence, .. }
            | Self::Altered { sequence, .. }
            | Self::Unreadable { sequence, .. }
            | Self::Schema { sequence, .. }
            | Self::PartRows { sequence, .. } => Some(*sequence),
            Self::Stray { path, .. } => ledger
                .standing()
                .find(|entry| entry.parts.iter().any(|part| part.path == *path))
                .map(|entry| entry.sequence),
            Self::RowsMissing { conf_uuid, .. }
            | Self::RowsBeyond { conf_uuid, .. }
            | Self::NotDescribed { conf_uuid, .. }
            | Self::RowsTwice { conf_uuid, .. } => ledger.holder(conf_uuid.as_str()),
            Self::Ledger { .. }
            | Self::Checkpoint { .. }
            | Self::Head { .. }
            | Self::Salt { .. }
            | Self::DeltaBehind { .. }
            | Self::DeltaFile { .. }
            | Self::DeltaLog { .. }
            | Self::Unpublished { .. }
            | Self::Retracted { .. }
            | Self::Misplaced { .. }
            | Self::Unreferenced { .. }
            | Self::Foreign { .. } => None,
        }
    }
}
