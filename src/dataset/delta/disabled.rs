//! What a build without the Delta kernel makes of a log: it refuses to let it fall behind.

#![expect(
    clippy::unused_async,
    reason = "the calls are those of the log that knows the kernel"
)]

use crate::dataset::ledger::{Entry, Ledger};
use crate::dataset::store::Store;
use crate::error::{Error, Result};
use crate::record::partition::Partitioning;

use super::{Contents, FOLDER, must_be_known};

/// The Delta log of a dataset, which this build cannot open.
#[derive(Debug)]
pub(crate) enum DeltaLog {}

impl DeltaLog {
    /// Nothing where the dataset is no Delta table.
    ///
    /// # Errors
    ///
    /// It is one.
    pub(crate) async fn open(store: &Store, _ledger: &Ledger) -> Result<Option<Self>> {
        must_be_known(store).await?;
        Ok(None)
    }

    /// # Errors
    ///
    /// Always; the settings say no before.
    pub(crate) async fn create(
        store: &Store,
        _ledger: &Ledger,
        _partitioning: Option<Partitioning>,
    ) -> Result<Self> {
        Err(Error::Dataset {
            path: store.shown(FOLDER),
            reason: "this rollbook was built without Delta Lake".to_owned(),
        })
    }

    pub(crate) fn sequence(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn version(&self) -> u64 {
        match *self {}
    }

    pub(crate) fn must_be_partitioned(&self, _partitioning: Option<Partitioning>) -> Result<()> {
        match *self {}
    }

    pub(crate) async fn contents(&self) -> Result<Contents> {
        match *self {}
    }

    pub(crate) async fn project(&mut self, _ledger: &Ledger, _entry: &Entry) -> Result<()> {
        match *self {}
    }

    pub(crate) async fn mend(&mut self, _ledger: &Ledger) -> Result<bool> {
        match *self {}
    }
}
