//! Proves a dataset again: every part against its hash, every record against the ledger.
//!
//! Reads all entries and all parts once, believes no checkpoint, and changes nothing. Whether the API
//! would still answer the same is not asked; this proves that the dataset is what was committed.
//! Memory grows with the number of meetings, not of records.

mod delta_check;
mod finding;
mod foreign_files;
mod key_reader;
mod ledger_heads;
mod meeting_statement;
mod meetings_check;
mod part_check;
mod partition_check;
mod record_index_set;
mod salt_check;
mod schema_check;

use std::collections::BTreeSet;
use std::ffi::OsString;

use serde::Serialize;

use crate::config::location::Place;
use crate::dataset::ledger::{Ledger, checkpoint};
use crate::dataset::must_be_dataset;
use crate::dataset::store::Store;
use crate::error::{Error, Result};
use crate::record::table::{Schemas, Table};

use self::foreign_files::Names;
use self::meetings_check::Described;
use self::part_check::check_part;
use self::partition_check::Placed;
use self::record_index_set::Census;

pub use self::finding::Finding;
pub use self::foreign_files::Note;
pub use self::meeting_statement::{MeetingStatement, Soundness};

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
    /// Rows of the meetings table that were read; nothing where there is no such table.
    pub described: Option<u64>,
    /// Bytes that were read.
    pub bytes: u64,
    /// Everything that is not as it should be: parts first, then meetings, then checkpoints.
    pub findings: Vec<Finding>,
    /// What is there besides, and does no harm.
    pub notes: Vec<Note>,
    /// Each meeting that the ledger holds, in the order of the commits.
    pub per_meeting: Vec<MeetingStatement>,
}

impl Verification {
    /// Whether the dataset is exactly what was committed.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Verifies the dataset at a destination.
///
/// # Errors
///
/// No dataset there, one that a newer rollbook extended, or files that the system does not let us
/// read. What is wrong with the dataset itself is a finding.
pub async fn verify(dest: impl Into<Place>) -> Result<Verification> {
    let place = dest.into();
    let store = Store::look_at(&place).await?;
    let survey = survey(&store, &place.dest, &Schemas::known()).await?;
    Ok(survey.found)
}

/// A verification, and what a repair needs to know beyond it.
pub(super) struct Survey {
    pub(super) found: Verification,
    /// Nothing where it cannot be believed.
    pub(super) ledger: Option<Ledger>,
    /// Commits whose records cannot be trusted.
    pub(super) damaged: BTreeSet<u64>,
    /// What has the name of a part, or stands in the place of their folder, and no entry knows it.
    pub(super) unreferenced: Vec<OsString>,
}

/// How often a dataset is looked at again that others changed meanwhile.
const AGAIN: usize = 4;

impl Survey {
    /// Whether others wrote again, dropped or published meanwhile what there is something to say of.
    async fn is_outdated(&self, store: &Store, schemas: &Schemas) -> Result<bool> {
        let Some(ledger) = self.ledger.as_ref().filter(|_| !self.found.is_sound()) else {
            return Ok(false);
        };
        let names = Names::of(store).await?;
        let now = Ledger::read_entries(store, schemas.versions()).await?;
        let mut standing = ledger.standing();
        Ok(standing.any(|entry| now.is_retracted(entry.sequence))
            || self.found.findings.iter().any(|finding| match finding {
                Finding::Retracted { path } => !names.shows(path),
                Finding::Unpublished { path, .. } => names.shows(path),
                _ => false,
            }))
    }
}

/// Looks at all of a dataset as a rollbook does that knows these schemas, until nobody changed what
/// it tells of while it looked.
pub(super) async fn survey(store: &Store, dest: &str, schemas: &Schemas) -> Result<Survey> {
    let mut seen = look_at_all(store, dest, schemas).await?;
    for _ in 0..AGAIN {
        if !seen.is_outdated(store, schemas).await? {
            break;
        }
        seen = look_at_all(store, dest, schemas).await?;
    }
    Ok(seen)
}

async fn look_at_all(store: &Store, dest: &str, schemas: &Schemas) -> Result<Survey> {
    let mut found = Verification {
        version: VERIFICATION_VERSION,
        entries: 0,
        meetings: 0,
        parts: 0,
        records: 0,
        described: None,
        bytes: 0,
        findings: Vec::new(),
        notes: Vec::new(),
        per_meeting: Vec::new(),
    };
    must_be_dataset(store, dest).await?;
    // Listed before the ledger is read: a part that a live run publishes in between is known then,
    // and so is each entry that a checkpoint sums up.
    let names = Names::of(store).await?;
    let checkpoints = checkpoint::listed(store).await?;
    let reports = ledger_heads::listed(store).await?;
    let ledger = match Ledger::read_entries(store, schemas.versions()).await {
        Ok(ledger) => ledger,
        Err(Error::Dataset { path, reason }) => {
            found.findings.push(Finding::Ledger { path, reason });
            return Ok(Survey {
                found,
                ledger: None,
                damaged: BTreeSet::new(),
                unreferenced: vec![],
            });
        }
        Err(error) => return Err(error),
    };
    found.entries = ledger.entries().len() as u64;
    found.meetings = ledger.meetings();

    let mut census = Census::default();
    let mut unpublished = BTreeSet::new();
    for entry in ledger.standing() {
        let mut described = Described::default();
        let mut placed = Placed::default();
        for (number, part) in entry.parts.iter().enumerate() {
            let mut rows = check_part(store, entry, part, schemas, &mut found).await?;
            if let Some(days) = rows.days.take() {
                placed.add(&part.path, *days);
            }
            let findings = &mut found.findings;
            match part.table() {
                Table::Records => {
                    census.add(&ledger, entry.sequence, number, &part.path, rows, findings);
                }
                Table::Meetings => described.add(entry, &part.path, rows, findings),
            }
        }
        described.compare(entry, &mut found.findings);
        placed.compare(&mut found.findings);
    }
    let strangers = names.judge(&ledger);
    found.findings.extend(strangers.findings);
    found.notes = strangers.notes;
    census.compare(&ledger, &mut found.findings);
    for name in checkpoints {
        if let Some(reason) = checkpoint::fault(store, &name, &ledger).await? {
            let path = name.path();
            found.findings.push(Finding::Checkpoint { path, reason });
        }
    }

    ledger_heads::compare(store, reports, &ledger, &mut found.findings).await?;

    found
        .findings
        .extend(salt_check::check(store, &ledger).await?);
    delta_check::compare(store, &ledger, &mut found).await?;

    let mut damaged = BTreeSet::new();
    for finding in &found.findings {
        damaged.extend(finding.damages(&ledger));
        if let Finding::Unpublished { sequence, .. } = finding {
            unpublished.insert(*sequence);
        }
    }
    for entry in ledger.standing() {
        let verdict = if damaged.contains(&entry.sequence) {
            Soundness::Damaged
        } else if unpublished.contains(&entry.sequence) {
            Soundness::Unpublished
        } else {
            Soundness::Sound
        };
        let meetings = entry.meetings.iter();
        let statements =
            meetings.map(|meeting| MeetingStatement::new(meeting, entry, &census, verdict));
        found.per_meeting.extend(statements);
    }
    Ok(Survey {
        found,
        ledger: Some(ledger),
        damaged,
        unreferenced: strangers.unreferenced,
    })
}

#[cfg(test)]
mod schema_evolution_tests;
#[cfg(test)]
mod tests;
