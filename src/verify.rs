//! Proves a dataset again: every part against its hash, every record against the ledger.
//!
//! Reads all entries and all parts once, believes no checkpoint, and changes nothing. Whether the API would still answer the same is not
//! asked; this proves that the dataset is what was committed. Memory grows with the number of
//! meetings, not of records.

mod census;
mod columns;
mod described;
mod finding;
mod keys;
mod placed;
mod projected;
mod repair;
mod statement;
mod strangers;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Seek};
use std::path::Path;

use serde::Serialize;

use crate::dataset::{fingerprint, must_be_dataset};
use crate::error::{Error, Result};
use crate::folder;
use crate::ledger::{Entry, Ledger, Part, checkpoint};
use crate::place::Place;
use crate::store::Store;
use crate::table::Table;
use crate::table::versions::Schemas;

use census::{Census, PartRows};
use columns::PartSchema;
use described::Described;
use keys::Keys;
use placed::{Days, Placed};
use strangers::Names;

pub use finding::Finding;
pub use repair::{Repair, repair};
pub use statement::{MeetingStatement, Soundness};
pub use strangers::Note;

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
    let store = Store::open_at(&place).await?;
    let survey = survey(&store, &place.dest, &Schemas::known()).await?;
    Ok(survey.found)
}

/// A verification, and what a repair needs to know beyond it.
struct Survey {
    found: Verification,
    /// Nothing where it cannot be believed.
    ledger: Option<Ledger>,
    /// Commits whose records cannot be trusted.
    damaged: BTreeSet<u64>,
    /// What has the name of a part, or stands in the place of their folder, and no entry knows it.
    unreferenced: Vec<OsString>,
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
async fn survey(store: &Store, dest: &str, schemas: &Schemas) -> Result<Survey> {
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

    projected::compare(store, &ledger, &mut found).await?;

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

/// What lies under the name of a part.
enum Found {
    Nothing,
    NoFile,
    File {
        bytes: u64,
        sha256: String,
        rows: PartRows,
        /// What it tells of its columns, or why its records cannot be read.
        read: Result<PartSchema, String>,
    },
}

/// Reads one part; what it holds is given back even where the part is not as it should be.
async fn check_part(
    store: &Store,
    entry: &Entry,
    part: &Part,
    schemas: &Schemas,
    found: &mut Verification,
) -> Result<PartRows> {
    let sequence = entry.sequence;
    let path = part.path.clone();
    let mut is_published = true;
    let table = part.table();
    let days = || {
        let partitioning = entry.partitioning.filter(|_| table == Table::Records)?;
        Some(Days::of(partitioning, part.folder()))
    };
    let mut read = read_part(store, &part.path, table, days()).await?;
    if matches!(read, Found::Nothing) {
        // Committed, and on its way to its final name; there by now, if its run lives.
        read = read_part(store, &part.staged, table, days()).await?;
        is_published = !matches!(
            &read,
            Found::File { bytes, sha256, .. } if *bytes == part.bytes && *sha256 == part.sha256
        );
        if is_published {
            read = read_part(store, &part.path, table, days()).await?;
        }
    }
    if matches!(read, Found::Nothing) {
        found.findings.push(Finding::Missing { sequence, path });
        return Ok(PartRows::default());
    }
    let Found::File {
        bytes,
        sha256,
        rows,
        read,
    } = read
    else {
        let reason = "it is no file".to_owned();
        found.findings.push(Finding::Altered {
            sequence,
            path,
            reason,
        });
        return Ok(PartRows::default());
    };
    found.bytes += bytes;
    match part.table() {
        Table::Records => found.records += rows.total,
        Table::Meetings => *found.described.get_or_insert(0) += rows.total,
    }
    let altered = if bytes != part.bytes {
        Some(format!("{bytes} bytes instead of {}", part.bytes))
    } else if sha256 != part.sha256 {
        Some(format!("sha256 {sha256} instead of {}", part.sha256))
    } else {
        None
    };
    let expected = part.rows;
    let version = entry.schema_versions.table(table);
    let read = read.map(|found| found.fault(version, &schemas.schema(table, version)));
    found.findings.extend(match (altered, read) {
        (Some(reason), _) => Some(Finding::Altered {
            sequence,
            path,
            reason,
        }),
        (None, Err(reason)) => Some(Finding::Unreadable {
            sequence,
            path,
            reason,
        }),
        (None, Ok(Some(reason))) => Some(Finding::Schema {
            sequence,
            path,
            reason,
        }),
        (None, Ok(None)) if rows.total != expected => Some(Finding::PartRows {
            sequence,
            path,
            expected,
            found: rows.total,
        }),
        (None, Ok(None)) if !is_published => Some(Finding::Unpublished { sequence, path }),
        (None, Ok(None)) => {
            found.parts += 1;
            None
        }
    });
    Ok(rows)
}

async fn read_part(store: &Store, path: &str, table: Table, days: Option<Days>) -> Result<Found> {
    let local = store.local(path);
    if !store.is_remote() {
        let place = local.clone();
        let looked = folder::blocking("read", &local, move || Ok(look(&place)));
        if let Some(found) = looked.await? {
            return Ok(found);
        }
    }
    let Some(mut file) = store.fetch(path).await? else {
        return Ok(Found::Nothing);
    };
    let place = local.clone();
    folder::blocking("read", &local, move || {
        let (bytes, sha256) = fingerprint(&mut file, &place)?;
        file.rewind().map_err(Error::file("read", &place))?;
        let keys = Keys::of(table, days.is_some());
        let mut rows = PartRows::dated(days);
        let read = keys::read(file, &place, keys, |meeting, index, join| {
            rows.push(meeting, index, join);
        });
        // What the system does not let us read says nothing of the part.
        let read = match read {
            Ok(schema) => Ok(schema),
            Err(fault) => match fault.downcast::<io::Error>() {
                Ok(error) if !is_of_the_bytes(error.kind()) => {
                    return Err(Error::file("read", &place)(*error));
                }
                Ok(error) => Err(error.to_string()),
                Err(fault) => Err(fault.to_string()),
            },
        };
        Ok(Found::File {
            bytes,
            sha256,
            rows,
            read,
        })
    })
    .await
}

/// What needs no reading: nothing, or something that is no file.
fn look(file: &Path) -> Option<Found> {
    match fs::metadata(file) {
        Ok(metadata) if !metadata.is_file() => Some(Found::NoFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link that leads nowhere is something, too.
            let is_link = fs::symlink_metadata(file).is_ok();
            Some(if is_link {
                Found::NoFile
            } else {
                Found::Nothing
            })
        }
        // Something else stands in the place of its folder.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Some(Found::Nothing),
        // Whatever else is wrong is told by the reading.
        _ => None,
    }
}

/// Whether a reader fails so on bytes that are not what they should be.
fn is_of_the_bytes(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    ) || kind == io::ErrorKind::Other
}

#[cfg(test)]
mod evolution;
#[cfg(test)]
mod tests;
