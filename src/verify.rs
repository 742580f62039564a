//! Proves a dataset again: every part against its hash, every record against the ledger.
//!
//! Reads all parts once and changes nothing. Whether the API would still answer the same is not
//! asked; this proves that the dataset is what was committed. Memory grows with the number of
//! meetings, not of records.

mod census;
mod keys;

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::dataset::{fingerprint, read_ledger};
use crate::error::{Error, Result};
use crate::folder;
use crate::ledger::{Ledger, Part};
use crate::store::Store;
use crate::uuid::ConfUuid;

use census::{Census, PartRows};

/// Version of the verification's form.
pub const VERIFICATION_VERSION: u32 = 1;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// [`VERIFICATION_VERSION`].
    pub version: u32,
    /// Ledger entries.
    pub entries: u64,
    /// Meetings that the ledger holds.
    pub meetings: u64,
    /// Parts that were read and are what the ledger says.
    pub parts: u64,
    /// Records that were read.
    pub records: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Everything that is not as it should be, parts first, then meetings.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether the dataset is exactly what was committed.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

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
    /// A part has another number of records than it was committed with.
    PartRows {
        /// Number of the ledger entry.
        sequence: u64,
        /// The part.
        path: String,
        /// Records by the ledger.
        expected: u64,
        /// Records in the part.
        found: u64,
    },
    /// A part that belongs to a retracted commit; its records may be in the dataset again. The
    /// next export removes it.
    Retracted {
        /// The part.
        path: String,
    },
    /// A file that readers take for a part, but no ledger entry names it.
    Foreign {
        /// The file.
        path: String,
    },
    /// Records of a meeting in a part of a commit that does not hold the meeting.
    Stray {
        /// The part.
        path: String,
        /// The meeting.
        conf_uuid: String,
        /// Its records there.
        rows: u64,
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
    /// Records of a meeting are there more than once.
    RowsTwice {
        /// The meeting.
        conf_uuid: ConfUuid,
        /// How many too many.
        rows: u64,
    },
}

/// Verifies the dataset at a destination.
///
/// # Errors
///
/// No dataset there, or files that the system does not let us read. What is wrong with the
/// dataset itself is a finding.
pub async fn verify(dest: &str) -> Result<Verification> {
    let store = Store::open_at(dest).await?;
    let mut found = Verification {
        version: VERIFICATION_VERSION,
        entries: 0,
        meetings: 0,
        parts: 0,
        records: 0,
        bytes: 0,
        findings: Vec::new(),
    };
    // Listed before the ledger is read: a part that a live run publishes in between is not foreign.
    let visible = store.sizes("").await?;
    let ledger = match read_ledger(&store, dest).await {
        Ok(ledger) => ledger,
        Err(Error::Dataset { path, reason }) if path != dest => {
            found.findings.push(Finding::Ledger { path, reason });
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    found.entries = ledger.entries().len() as u64;
    found.meetings = ledger.meetings();

    let mut census = Census::default();
    for entry in ledger.standing() {
        for part in &entry.parts {
            let rows = check_part(&store, entry.sequence, part, &mut found).await?;
            census.add(
                &ledger,
                entry.sequence,
                &part.path,
                rows,
                &mut found.findings,
            );
        }
    }
    found.findings.extend(unnamed(&ledger, &visible));
    census.compare(&ledger, &mut found.findings);
    Ok(found)
}

/// Reads one part; what it holds is given back even where the part is not as it should be.
async fn check_part(
    store: &Store,
    sequence: u64,
    part: &Part,
    found: &mut Verification,
) -> Result<PartRows> {
    let local = store.local(&part.path);
    let file = local.clone();
    let read = folder::blocking("read", &local, move || {
        let Some(fingerprint) = fingerprint(&file)? else {
            return Ok(None);
        };
        let mut rows = PartRows::default();
        let readable = keys::read(&file, |meeting, index| rows.push(meeting, index));
        Ok(Some((fingerprint, rows, readable)))
    })
    .await?;
    let path = part.path.clone();
    let Some(((bytes, sha256), rows, readable)) = read else {
        let is_staged = store.size(&part.staged).await? == Some(part.bytes);
        found.findings.push(if is_staged {
            Finding::Unpublished { sequence, path }
        } else {
            Finding::Missing { sequence, path }
        });
        return Ok(PartRows::default());
    };
    found.bytes += bytes;
    found.records += rows.total;
    let altered = if bytes != part.bytes {
        Some(format!("{bytes} bytes instead of {}", part.bytes))
    } else if sha256 != part.sha256 {
        Some(format!("sha256 {sha256} instead of {}", part.sha256))
    } else {
        None
    };
    let expected = part.rows;
    found.findings.extend(match (altered, readable) {
        (Some(reason), _) => Some(Finding::Altered {
            sequence,
            path,
            reason,
        }),
        (None, Err(error)) => Some(Finding::Unreadable {
            sequence,
            path,
            reason: error.to_string(),
        }),
        (None, Ok(())) if rows.total != expected => Some(Finding::PartRows {
            sequence,
            path,
            expected,
            found: rows.total,
        }),
        (None, Ok(())) => {
            found.parts += 1;
            None
        }
    });
    Ok(rows)
}

/// Files that a reader takes for parts though no standing entry names them.
fn unnamed(ledger: &Ledger, visible: &HashMap<String, u64>) -> Vec<Finding> {
    let named: HashSet<&str> = ledger
        .standing()
        .flat_map(|entry| &entry.parts)
        .map(|part| part.path.as_str())
        .collect();
    let void: HashSet<&str> = ledger
        .void()
        .flat_map(|entry| &entry.parts)
        .map(|part| part.path.as_str())
        .collect();
    let mut unnamed: Vec<_> = visible
        .keys()
        .filter(|path| path.starts_with("part-") && !named.contains(path.as_str()))
        .cloned()
        .collect();
    unnamed.sort_unstable();
    unnamed
        .into_iter()
        .map(|path| {
            if void.contains(path.as_str()) {
                Finding::Retracted { path }
            } else {
                Finding::Foreign { path }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
