//! Parts as files that enter the table.

use futures::{StreamExt, TryStreamExt, stream};

use crate::dataset::ledger::{Entry, Part};
use crate::dataset::store::Store;
use crate::error::Result;

use super::actions::Added;
use super::file_stats;

/// Footers read at once.
const READS: usize = 16;

/// These parts, each with what its footer tells.
pub(super) async fn added<'a>(
    store: &Store,
    parts: impl Iterator<Item = (&'a Part, &'a Entry)>,
) -> Result<Vec<Added>> {
    let parts: Vec<_> = parts
        .map(|(part, entry)| (part.clone(), entry.committed_at.timestamp_millis()))
        .collect();
    stream::iter(parts)
        .map(|(part, committed_ms)| {
            let store = store.clone();
            async move {
                let statistics = file_stats::of(&store, &part).await?;
                let (path, bytes, rows) = (part.path, part.bytes, part.rows);
                Ok(Added {
                    path,
                    bytes,
                    rows,
                    committed_ms,
                    statistics,
                })
            }
        })
        .buffered(READS)
        .try_collect()
        .await
}
