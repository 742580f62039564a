//! The dataset as a Delta table: a log in `_delta_log` that says of the records what the ledger says.
//!
//! The ledger is the truth, and this is its projection: each entry becomes one Delta commit that
//! carries the entry's number, so that none is made twice, whoever makes it and wherever it dies.
//! Only what is below knows the Delta kernel. A build without it still knows that there is a log,
//! and refuses to let it fall behind.

#[cfg(feature = "delta")]
mod actions;
#[cfg(feature = "delta")]
mod add_files;
#[cfg(feature = "delta")]
mod blocking;
mod diff;
#[cfg(feature = "delta")]
mod file_stats;
#[cfg(feature = "delta")]
mod kernel;
#[cfg(feature = "delta")]
mod log;
#[cfg(not(feature = "delta"))]
#[path = "delta/disabled.rs"]
mod log;
#[cfg(feature = "delta")]
mod partition_column;
#[cfg(feature = "delta")]
mod protocol;
#[cfg(feature = "delta")]
mod repair;

use std::collections::BTreeMap;

use super::store::Store;
use crate::error::{Error, Result};

pub(crate) use self::diff::{Difference, Live, differences};
pub(crate) use self::log::DeltaLog;

/// Where the log lies; it makes the folder above it a table.
pub(crate) const FOLDER: &str = "_delta_log";

/// What a version of the table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The last ledger entry that is in it.
    pub(crate) sequence: u64,
    /// Its files, by path.
    pub(crate) files: BTreeMap<String, Live>,
}

/// Refuses a table that this build would let fall behind.
///
/// # Errors
///
/// It is one, and the build knows no Delta Lake.
pub(crate) async fn must_be_known(store: &Store) -> Result<()> {
    if cfg!(feature = "delta") || !is_table(store).await? {
        return Ok(());
    }
    Err(Error::Dataset {
        path: store.shown(FOLDER),
        reason: "this rollbook was built without Delta Lake; use one with the feature `delta`"
            .to_owned(),
    })
}

/// Whether the dataset is a Delta table.
pub(crate) async fn is_table(store: &Store) -> Result<bool> {
    Ok(!store.list(FOLDER).await?.is_empty())
}
