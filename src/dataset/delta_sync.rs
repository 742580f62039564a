//! Keeps the Delta log level with the ledger, where the dataset is a Delta table.
//!
//! The log is told what the ledger already says: a run that is cut off between the two leaves a log
//! that is behind, and whoever opens the dataset next rolls it forward, entry by entry.

use super::delta::DeltaLog;
use super::ledger::Entry;
use crate::error::{Error, Result};
use crate::record::table::Table;
use crate::values::TableFormat;

use super::Dataset;

impl Dataset {
    /// Makes the dataset a table of this kind, if it is not; what it is, it stays.
    ///
    /// # Errors
    ///
    /// A store that cannot keep it, or a log that is not this ledger's; a table whose records are
    /// told apart otherwise than those of this run are to be.
    pub(crate) async fn become_table(&mut self, table: TableFormat) -> Result<()> {
        if table == TableFormat::Delta && self.delta.is_none() {
            let log = DeltaLog::create(&self.store, &self.ledger, self.partitioning).await?;
            self.delta = Some(log);
        }
        if let Some(log) = &self.delta {
            log.must_be_partitioned(self.partitioning)?;
        }
        self.project().await
    }

    /// Opens the log, where there is one, and rolls it forward.
    pub(super) async fn open_table(&mut self) -> Result<()> {
        self.delta = DeltaLog::open(&self.store, &self.ledger).await?;
        self.project().await
    }

    /// As [`Dataset::project`], also where another run made the table meanwhile: what this one
    /// committed since is not in it yet.
    pub(super) async fn project_at_last(&mut self) -> Result<()> {
        match self.delta {
            Some(_) => self.project().await,
            None => self.open_table().await,
        }
    }

    /// Brings every entry that the log lacks into it.
    pub(super) async fn project(&mut self) -> Result<()> {
        let Some(mut log) = self.delta.take() else {
            return Ok(());
        };
        let done = self.roll_forward(&mut log).await;
        self.delta = Some(log);
        done
    }

    async fn roll_forward(&mut self, log: &mut DeltaLog) -> Result<()> {
        loop {
            let at = usize::try_from(log.sequence()).unwrap_or(usize::MAX);
            let Some(entry) = self.ledger.entries().get(at).cloned() else {
                return Ok(());
            };
            self.show(&entry).await?;
            log.project(&self.ledger, &entry).await?;
        }
    }

    /// Gives the records of another run's commit their final names, if it was not that quick: no
    /// version of the table names a part that is not there.
    async fn show(&mut self, entry: &Entry) -> Result<()> {
        let is_ours = entry.run_id == self.run_id && self.is_published;
        if is_ours || self.ledger.is_retracted(entry.sequence) {
            return Ok(());
        }
        let mut is_published = false;
        for part in entry.parts_of(Table::Records) {
            if self.is_shown(part).await? {
                continue;
            }
            if self.publish_part(part).await? {
                is_published = true;
                continue;
            }
            // Gone since: others published it, or it does not stand any more.
            if self.is_shown(part).await? {
                continue;
            }
            self.ledger.catch_up(&self.store).await?;
            if self.ledger.is_retracted(entry.sequence) {
                return Ok(());
            }
            return Err(Error::Dataset {
                path: self.store.shown(&part.path),
                reason: "is gone; `rollbook verify --repair` drops it, and the same export \
                         fetches it again"
                    .to_owned(),
            });
        }
        if is_published {
            self.withdraw_void(entry).await?;
        }
        Ok(())
    }
}
