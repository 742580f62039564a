//! What a verification says of each meeting: how it was proven whole, and whether it still is.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::dataset::ledger::{CommittedMeeting, Entry};
use crate::record::table::Table;
use crate::report::Proof;
use crate::values::ConfUuid;

use super::record_index_set::Census;

/// One meeting of the ledger, and what was found of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeetingStatement {
    /// The meeting.
    pub conf_uuid: ConfUuid,
    /// Whether its records are what was committed.
    pub verdict: Soundness,
    /// The API's `count`.
    pub count: u64,
    /// Records by the ledger.
    pub rows: u64,
    /// Records that were found.
    pub found: u64,
    /// Answers that the records came with, where the ledger knows.
    pub pages: Option<u64>,
    /// Seams between those answers, all of which held.
    pub seams: Option<u64>,
    /// How it was proven whole.
    pub proof: Proof,
    /// Requests spent on it.
    pub requests: u64,
    /// When its first page arrived.
    pub first_fetch: DateTime<Utc>,
    /// When its last page arrived.
    pub last_fetch: DateTime<Utc>,
    /// The parts that hold its records; where none was found, those that should.
    pub parts: Vec<String>,
}

/// Whether the records of a meeting are what was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Soundness {
    /// They are, and readers see them.
    Sound,
    /// They are, but a part of their commit has not got its final name yet.
    Unpublished,
    /// Something in their commit is not as it was written: all of it is fetched again.
    Damaged,
}

impl MeetingStatement {
    pub(super) fn new(
        meeting: &CommittedMeeting,
        entry: &Entry,
        census: &Census,
        verdict: Soundness,
    ) -> Self {
        let seen = census.seen(&meeting.conf_uuid);
        let numbers = seen.map(|seen| seen.parts.as_slice()).unwrap_or_default();
        let mut parts: Vec<_> = numbers
            .iter()
            .filter_map(|&number| entry.parts.get(number))
            .map(|part| part.path.clone())
            .collect();
        if parts.is_empty() && meeting.rows > 0 {
            let of_records = entry.parts_of(Table::Records);
            parts = of_records.map(|part| part.path.clone()).collect();
        }
        Self {
            conf_uuid: meeting.conf_uuid.clone(),
            verdict,
            count: meeting.count,
            rows: meeting.rows,
            found: seen.map_or(0, |seen| seen.indices.rows()),
            pages: meeting.pages,
            seams: meeting.seams,
            proof: meeting.proof,
            requests: meeting.requests,
            first_fetch: meeting.first_fetch,
            last_fetch: meeting.last_fetch,
            parts,
        }
    }
}
