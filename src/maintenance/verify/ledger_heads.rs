//! Compares the ledger with the reports of earlier runs, which have the last entry that each run saw.
//!
//! The chain proves each entry but the last. The reports prove the last one too, and that none
//! behind it was removed.

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::Finding;
use crate::dataset::RUNS;
use crate::dataset::ledger::{Ledger, entry_path, sha256};
use crate::dataset::store::Store;
use crate::error::{Error, Result};
use crate::report::LedgerHead;

/// Reports read at once; one may name 100,000 meetings.
const READS: usize = 8;

/// The reports' paths. Listed before the ledger is read, no run among them has put an entry that is
/// not read.
pub(super) async fn listed(store: &Store) -> Result<Vec<String>> {
    let objects = store.list(RUNS).await?.into_iter();
    let paths = objects.map(|object| object.path);
    let is_report = |path: &String| Path::new(path).extension().is_some_and(|it| it == "json");
    Ok(paths.filter(is_report).collect())
}

/// Compares the ledger with these reports; each entry is named once.
pub(super) async fn compare(
    store: &Store,
    reports: Vec<String>,
    ledger: &Ledger,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let heads: Vec<_> = stream::iter(reports)
        .map(async |report| Ok::<_, Error>(head(store, &report).await?.map(|head| (head, report))))
        .buffered(READS)
        .try_filter_map(async |head| Ok(head))
        .try_collect()
        .await?;
    let mut named = None;
    let mut heads = heads;
    heads.sort_by_key(|(head, _)| head.sequence);
    for (head, report) in heads {
        if named == Some(head.sequence) {
            continue;
        }
        let found = found(store, ledger, head.sequence).await?;
        if found.as_ref() == Some(&head.sha256) {
            continue;
        }
        named = Some(head.sequence);
        findings.push(Finding::Head {
            path: entry_path(head.sequence),
            report,
            expected: head.sha256,
            found,
        });
    }
    Ok(())
}

/// The last entry that a run saw. A report of another form, or without a ledger, has none.
async fn head(store: &Store, report: &str) -> Result<Option<LedgerHead>> {
    #[derive(Deserialize)]
    struct Reported {
        ledger: Option<LedgerHead>,
    }
    let bytes = store.read(report).await?;
    let reported = bytes.and_then(|bytes| serde_json::from_slice::<Reported>(&bytes).ok());
    Ok(reported.and_then(|reported| reported.ledger))
}

/// SHA-256 of an entry; nothing where the ledger ends before it.
async fn found(store: &Store, ledger: &Ledger, sequence: u64) -> Result<Option<String>> {
    if ledger.entry(sequence).is_none() {
        return Ok(None);
    }
    if let Some(known) = ledger.sha256_of(sequence) {
        return Ok(Some(known.to_owned()));
    }
    // The entry behind it is of a ledger that is not chained.
    let bytes = store.read(&entry_path(sequence)).await?;
    Ok(bytes.as_ref().map(sha256))
}
