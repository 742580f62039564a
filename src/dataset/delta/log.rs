//! The log of one dataset, kept level with its ledger.

use std::collections::HashSet;
use std::sync::Arc;

use delta_kernel::SnapshotRef;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::dataset::ledger;
use crate::dataset::ledger::{Entry, Ledger};
use crate::dataset::store::Store;
use crate::error::{Error, Result};
use crate::record::partition::Partitioning;
use crate::record::table::Table;
use crate::values::hex::hex;

use super::add_files::added;
use super::blocking::Calls;
use super::diff::{Change, standing};
use super::kernel::{Kernel, Projected, Projection};
use super::{Contents, FOLDER, is_table};

/// Commits until the log is summed up.
const SUM_UP: u64 = 100;

/// The Delta log of a dataset.
#[derive(Debug)]
pub(crate) struct DeltaLog {
    pub(super) calls: Calls,
    pub(super) snapshot: SnapshotRef,
    /// Whose ledger; unknown until there is an entry.
    app: Option<String>,
    /// The last entry that is in the log.
    sequence: u64,
    /// The version that the newest checkpoint sums up.
    summed: u64,
}

impl DeltaLog {
    /// Opens the log; nothing where the dataset is no Delta table.
    ///
    /// # Errors
    ///
    /// A log that cannot be read, or that is not this ledger's: [`Error::Dataset`]. A store that
    /// cannot keep it.
    pub(crate) async fn open(store: &Store, ledger: &Ledger) -> Result<Option<Self>> {
        if !is_table(store).await? {
            return Ok(None);
        }
        let calls = Calls::on(store)?;
        let snapshot = calls.ask(|kernel, _| kernel.open()).await?;
        Self::of(calls, snapshot, ledger).await.map(Some)
    }

    /// Makes the dataset a Delta table that holds what the ledger holds; opens it where it is one.
    ///
    /// # Errors
    ///
    /// Those of [`DeltaLog::open`].
    pub(crate) async fn create(
        store: &Store,
        ledger: &Ledger,
        partitioning: Option<Partitioning>,
    ) -> Result<Self> {
        if let Some(log) = Self::open(store, ledger).await? {
            return Ok(log);
        }
        let calls = Calls::on(store)?;
        let parts = standing(ledger);
        let files = Arc::new(added(store, parts.values().copied()).await?);
        let entries = ledger.entries().len() as u64;
        // What others put since, they or the next run bring in.
        let last = identity(store).await?.filter(|_| entries > 0);
        let by = partitioning.map(|of| of.by);
        let create = move |kernel: &Kernel, _| {
            kernel.create(by, &files, last.as_deref().map(|app| (app, entries)))
        };
        let snapshot = calls.ask(create).await?;
        Self::of(calls, snapshot, ledger).await
    }

    async fn of(calls: Calls, snapshot: SnapshotRef, ledger: &Ledger) -> Result<Self> {
        let mut log = Self {
            snapshot,
            app: identity(&calls.store).await?,
            sequence: 0,
            summed: summed(&calls.store).await?,
            calls,
        };
        log.look().await?;
        let entries = ledger.entries().len() as u64;
        // Another run may have put it since the ledger was read.
        let last = ledger::entry_path(log.sequence);
        if log.sequence > entries && log.calls.store.size(&last).await?.is_none() {
            let reason = format!(
                "knows ledger entry {}, and the ledger ends with {entries}",
                log.sequence
            );
            return Err(log.calls.unusable(&reason));
        }
        if log.sequence == 0
            && let Some(path) = log.contents().await?.files.into_keys().next()
        {
            let reason = format!("holds {path}, and no entry of this ledger");
            return Err(log.calls.unusable(&reason));
        }
        let snapshot = Arc::clone(&log.snapshot);
        let lacking = log
            .calls
            .ask(move |_, _| Kernel::lacking(&snapshot))
            .await?;
        if lacking.is_none() {
            return Err(log
                .calls
                .unusable("has columns that this rollbook does not write"));
        }
        Ok(log)
    }

    /// The last ledger entry that is in the log.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The newest version that was seen.
    pub(crate) fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// Makes sure that the table's records are told apart so, which it keeps for ever.
    ///
    /// # Errors
    ///
    /// They are told apart otherwise: [`Error::Config`].
    pub(crate) fn must_be_partitioned(&self, partitioning: Option<Partitioning>) -> Result<()> {
        let columns = Kernel::partition_columns(&self.snapshot);
        if columns
            .iter()
            .eq(partitioning.iter().map(|of| of.by.column()))
        {
            return Ok(());
        }
        let is = match columns {
            [] => "not partitioned".to_owned(),
            columns => format!("partitioned by {}", columns.join(", ")),
        };
        let wanted = partitioning.map_or("not partitioned".to_owned(), |of| {
            format!("partitioned by {}", of.by.column())
        });
        Err(Error::Config(format!(
            "the Delta table is {is}, and what this run writes is {wanted}: give --partition-by as \
             the table is, or choose another destination"
        )))
    }

    /// What that version holds.
    pub(crate) async fn contents(&self) -> Result<Contents> {
        let snapshot = Arc::clone(&self.snapshot);
        let files = self
            .calls
            .ask(move |kernel, _| kernel.live(&snapshot))
            .await?;
        Ok(Contents {
            sequence: self.sequence,
            files,
        })
    }

    /// Commits an entry, unless it is in the log; those before it must be. Its parts must have
    /// their final names.
    ///
    /// # Errors
    ///
    /// A store that fails, a log that others changed. The entry may be in the log or not; the next
    /// opening finds out.
    pub(crate) async fn project(&mut self, ledger: &Ledger, entry: &Entry) -> Result<()> {
        let app = match &self.app {
            Some(app) => app.clone(),
            None => self.app.insert(self.named().await?).clone(),
        };
        let change = Change::of(ledger, entry);
        let add = change.add.iter().map(|part| (*part, entry));
        let leave = change.leave.iter();
        let leave = leave.map(|part| (part.path.clone(), (part.bytes, part.rows)));
        let mut known = HashSet::new();
        if !change.leave.is_empty() {
            let entries = ledger.entries().iter();
            let parts = entries.flat_map(|entry| entry.parts_of(Table::Records));
            known.extend(parts.map(|part| part.path.clone()));
        }
        let projection = Arc::new(Projection {
            app,
            sequence: entry.sequence,
            run_id: entry.run_id.clone(),
            add: added(&self.calls.store, add).await?,
            leave: leave.collect(),
            may_rearrange: change.may_rearrange,
            known,
        });
        let snapshot = Arc::clone(&self.snapshot);
        let project = move |kernel: &Kernel, failures| {
            // Whether what failed is there is seen in the newest version.
            let snapshot = match failures {
                0 => Arc::clone(&snapshot),
                _ => kernel.refresh(Arc::clone(&snapshot))?,
            };
            kernel.project(snapshot, &projection)
        };
        let reason = match self.calls.ask(project).await? {
            Projected::Done(snapshot) => {
                self.snapshot = snapshot;
                self.sequence = entry.sequence;
                return self.sum_up().await;
            }
            Projected::Behind(last) => {
                format!(
                    "lacks the ledger's entries between {last} and {}",
                    entry.sequence
                )
            }
            Projected::Foreign(path) => format!(
                "was changed by somebody else, who brought {path}, so that rows of entry {} \
                 could stay that are to leave",
                entry.sequence
            ),
        };
        Err(self.calls.unusable(&reason))
    }

    /// Looks at the newest version.
    pub(super) async fn look(&mut self) -> Result<()> {
        let (snapshot, app) = (Arc::clone(&self.snapshot), self.app.clone());
        let look = move |kernel: &Kernel, _| {
            let snapshot = kernel.refresh(Arc::clone(&snapshot))?;
            let app = app.as_deref();
            let sequence = app.map_or(Ok(0), |app| kernel.sequence(&snapshot, app))?;
            Ok((snapshot, sequence))
        };
        (self.snapshot, self.sequence) = self.calls.ask(look).await?;
        Ok(())
    }

    /// Sums the log up where it has grown. One that cannot be summed up is read commit by commit.
    async fn sum_up(&mut self) -> Result<()> {
        let version = self.snapshot.version();
        if version < self.summed + SUM_UP {
            return Ok(());
        }
        self.summed = version;
        let snapshot = Arc::clone(&self.snapshot);
        let sum_up = move |kernel: &Kernel, _| kernel.checkpoint(&snapshot);
        if let Ok(snapshot) = self.calls.ask(sum_up).await {
            self.snapshot = snapshot;
        }
        Ok(())
    }

    async fn named(&self) -> Result<String> {
        let identity = identity(&self.calls.store).await?;
        identity.ok_or_else(|| Error::Dataset {
            path: self.calls.store.shown(&ledger::entry_path(1)),
            reason: "was there and is gone".to_owned(),
        })
    }
}

/// The dataset's name in the log: it lives as long as its first entry does.
async fn identity(store: &Store) -> Result<Option<String>> {
    let first = store.read(&ledger::entry_path(1)).await?;
    Ok(first.map(|entry| {
        let mut name = hex(&Sha256::digest(&entry));
        name.truncate(32);
        name
    }))
}

/// The version that the newest checkpoint sums up; 0 where there is none.
async fn summed(store: &Store) -> Result<u64> {
    #[derive(Deserialize)]
    struct Hint {
        version: u64,
    }
    let hint = store.read(&format!("{FOLDER}/_last_checkpoint")).await?;
    let hint = hint.and_then(|hint| serde_json::from_slice(&hint).ok());
    Ok(hint.map_or(0, |Hint { version }| version))
}
