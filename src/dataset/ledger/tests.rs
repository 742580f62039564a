//! What entries and ledgers of them must be like; laws of them are beside this.

mod chain;
mod replay;
mod rewrites;
mod validate;

use super::*;
use crate::report::{MeetingStatus, Proof};

fn uuid(text: &str) -> ConfUuid {
    text.parse().unwrap()
}

pub(crate) fn meeting(name: &str, rows: u64) -> CommittedMeeting {
    let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
    CommittedMeeting {
        conf_uuid: uuid(name),
        count: rows,
        rows,
        requests: 1,
        first_fetch: at,
        last_fetch: at,
        status: MeetingStatus::Complete,
        proof: Proof::SinglePage,
        pages: None,
        seams: None,
    }
}

pub(crate) fn entry(sequence: u64, meetings: &[&str]) -> Entry {
    Entry {
        version: 1,
        sequence,
        run_id: "run".to_owned(),
        committed_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        previous_sha256: None,
        parts: vec![Part {
            path: part_path(sequence, 0, "parquet"),
            rows: 3 * meetings.len() as u64,
            bytes: 100,
            sha256: "00".repeat(32),
            staged: "_rollbook/staging/run/00000000.parquet".to_owned(),
        }],
        meetings: meetings.iter().map(|name| meeting(name, 3)).collect(),
        retracts: Vec::new(),
        rewrite: None,
        rechecked: Vec::new(),
        asked: None,
        schema_versions: SchemaVersions::FIRST,
        partitioning: None,
    }
}

/// Reads an entry.
pub(super) fn parse(sequence: u64, bytes: &[u8]) -> Result<Entry> {
    Entry::parse(&entry_path(sequence), bytes)
}

type Damage = fn(&mut Entry);

fn apply(ledger: &mut Ledger, entry: Entry) -> Result<()> {
    let seen = Seen::unlisted(&entry.to_bytes()?);
    ledger.accept(entry, seen)
}
