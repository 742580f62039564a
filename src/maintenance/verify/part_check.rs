//! One part against what its ledger entry says of it.

use std::fs;
use std::io::{self, Seek};
use std::path::Path;

use crate::dataset::fingerprint;
use crate::dataset::ledger::{Entry, Part};
use crate::dataset::store::Store;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::record::table::{Schemas, Table};

use super::key_reader::Keys;
use super::partition_check::Days;
use super::record_index_set::PartRows;
use super::schema_check::PartSchema;
use super::{Finding, Verification, key_reader};

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
pub(super) async fn check_part(
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
        let looked = durable_fs::blocking("read", &local, move || Ok(look(&place)));
        if let Some(found) = looked.await? {
            return Ok(found);
        }
    }
    let Some(mut file) = store.fetch(path).await? else {
        return Ok(Found::Nothing);
    };
    let place = local.clone();
    durable_fs::blocking("read", &local, move || {
        let (bytes, sha256) = fingerprint(&mut file, &place)?;
        file.rewind().map_err(Error::file("read", &place))?;
        let keys = Keys::of(table, days.is_some());
        let mut rows = PartRows::dated(days);
        let read = key_reader::read(file, &place, keys, |meeting, index, join| {
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
