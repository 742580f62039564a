//! Whether the Delta log says what the ledger says, where the dataset is a Delta table.

use crate::dataset::delta::{DeltaLog, Difference, FOLDER, differences, is_table};
use crate::dataset::ledger::Ledger;
use crate::dataset::store::Store;
use crate::error::{Error, Result};
use crate::record::table::SchemaVersions;

use super::{Finding, Note, Verification};

/// Looks again where runs at work commit between a look at the ledger and one at the log.
const LOOKS: usize = 3;

pub(super) async fn compare(
    store: &Store,
    ledger: &Ledger,
    found: &mut Verification,
) -> Result<()> {
    if !is_table(store).await? {
        return Ok(());
    }
    let path = FOLDER.to_owned();
    if !cfg!(feature = "delta") {
        let what = "was not compared: this rollbook was built without Delta Lake".to_owned();
        found.notes.push(Note { path, what });
        return Ok(());
    }
    let mut newer = None;
    for look in 1..=LOOKS {
        let ledger = newer.as_ref().unwrap_or(ledger);
        let contents = match DeltaLog::open(store, ledger).await {
            Ok(Some(log)) => log.contents().await,
            Ok(None) => return Ok(()),
            Err(error) => Err(error),
        };
        let contents = match contents {
            Err(Error::Dataset { reason, .. }) => {
                found.findings.push(Finding::DeltaLog { path, reason });
                return Ok(());
            }
            contents => contents?,
        };
        let entries = ledger.entries().len() as u64;
        if contents.sequence == entries {
            let differences = differences(ledger, &contents);
            found.findings.extend(differences.iter().map(finding));
            return Ok(());
        }
        if look == LOOKS {
            let sequence = contents.sequence;
            let finding = Finding::DeltaBehind { sequence, entries };
            found.findings.push(finding);
        } else {
            newer = Some(Ledger::read_entries(store, SchemaVersions::KNOWN).await?);
        }
    }
    Ok(())
}

fn finding(difference: &Difference<'_>) -> Finding {
    let (path, reason) = match difference {
        Difference::Absent(part, _) => (part.path.as_str(), "the table lacks it".to_owned()),
        Difference::Beyond(path, _) => (*path, "no ledger entry holds it".to_owned()),
        Difference::Other(part, _, live) => {
            let reason = if live.has_deletions {
                "rows of it are marked as deleted".to_owned()
            } else {
                let rows = live
                    .rows
                    .map_or("unknown".to_owned(), |rows| rows.to_string());
                format!(
                    "{rows} rows in {} bytes instead of {} in {}",
                    live.bytes, part.rows, part.bytes
                )
            };
            (part.path.as_str(), reason)
        }
    };
    Finding::DeltaFile {
        path: path.to_owned(),
        reason,
    }
}
