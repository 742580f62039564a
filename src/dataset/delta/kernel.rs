//! The Delta kernel on a dataset's store: one call, one look at the log or one commit.
//!
//! Blocking, as the kernel is; for threads that may be. After an error of a commit nobody knows
//! whether it is there: whoever called looks again, and the entry's number in the log tells.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::schema::StructField;
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{CommitResult, TransactionBuilder, UpdateTableOperation};
use delta_kernel::{Engine, KernelError, KernelResult, Snapshot, SnapshotRef};
use delta_kernel_default_engine::DefaultEngineBuilder;
use delta_kernel_default_engine::executor::tokio::{
    TokioBackgroundExecutor, TokioMultiThreadExecutor,
};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::dataset::store::Store;
use crate::failpoint::{Point, point};
use crate::record::partition::DateOf;

use super::actions::{Added, Removed, added, live, removed, schema};
use super::diff::Live;
use super::protocol::LowestProtocol;

/// Who commits, in the history of the table.
const ENGINE: &str = concat!("rollbook/", env!("CARGO_PKG_VERSION"));

/// Versions that others may take before this one gives up.
const CONFLICTS: usize = 100;

/// Files of one row set; the kernel writes them as one commit all the same.
const ROWS: usize = 10_000;

pub(super) struct Kernel {
    engine: Arc<dyn Engine>,
    /// The store begins at the table. What is local must say so, as the kernel sorts nothing else.
    url: &'static str,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

/// A ledger entry as the log is to have it.
#[derive(Debug)]
pub(super) struct Projection {
    /// Whose ledger.
    pub(super) app: String,
    /// The entry's number.
    pub(super) sequence: u64,
    /// The run that committed it.
    pub(super) run_id: String,
    pub(super) add: Vec<Added>,
    /// Files that leave, with their rows, where they are in the table.
    pub(super) leave: BTreeMap<String, (u64, u64)>,
    /// The same rows in other files, if as many enter as leave.
    pub(super) may_rearrange: bool,
    /// Every path that the ledger ever gave, where any file leaves.
    pub(super) known: HashSet<String>,
}

/// What became of an entry.
#[derive(Debug)]
pub(super) enum Projected {
    /// It is in the log, as of this version at the latest.
    Done(SnapshotRef),
    /// The log lacks entries before it: it knows this one as its last.
    Behind(u64),
    /// A file that is to leave did so already, and there is one that rollbook did not bring.
    Foreign(String),
}

impl Kernel {
    /// On the runtime of whoever calls.
    pub(super) fn new(store: &Store) -> Self {
        let builder = DefaultEngineBuilder::new(store.objects());
        let handle = Handle::current();
        let engine: Arc<dyn Engine> = if handle.runtime_flavor() == RuntimeFlavor::MultiThread {
            let executor = Arc::new(TokioMultiThreadExecutor::new(handle));
            Arc::new(builder.with_task_executor(executor).build())
        } else {
            let executor = Arc::new(TokioBackgroundExecutor::new());
            Arc::new(builder.with_task_executor(executor).build())
        };
        let url = if store.is_remote() {
            "s3://dataset/"
        } else {
            "file:///"
        };
        Self { engine, url }
    }

    fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// The newest version.
    pub(super) fn open(&self) -> KernelResult<SnapshotRef> {
        Snapshot::builder_for(self.url).build(self.engine())
    }

    /// The newest version, of which an older one is known.
    pub(super) fn refresh(&self, snapshot: SnapshotRef) -> KernelResult<SnapshotRef> {
        Snapshot::builder_from(snapshot).build(self.engine())
    }

    /// The last entry of a ledger that a version has; 0 is none.
    pub(super) fn sequence(&self, snapshot: &SnapshotRef, app: &str) -> KernelResult<u64> {
        let last = snapshot.get_app_id_version(app, self.engine())?;
        Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
    }

    pub(super) fn live(&self, snapshot: &SnapshotRef) -> KernelResult<BTreeMap<String, Live>> {
        live(self.engine(), snapshot)
    }

    /// The columns of this rollbook that a version has not got yet; nothing where it has others.
    pub(super) fn lacking(snapshot: &SnapshotRef) -> KernelResult<Option<Vec<StructField>>> {
        let (ours, theirs) = (schema(None)?, snapshot.schema());
        let mut lacking = ours.fields().cloned();
        let is_same = |ours: &StructField, theirs: &StructField| {
            ours.name() == theirs.name()
                && ours.data_type() == theirs.data_type()
                && ours.is_nullable() == theirs.is_nullable()
        };
        let partitions = Self::partition_columns(snapshot);
        // Wherever it is among the others.
        let mut known = theirs
            .fields()
            .filter(|field| !partitions.contains(field.name()));
        let is_known =
            known.all(|theirs| lacking.next().is_some_and(|ours| is_same(&ours, theirs)));
        Ok(is_known.then(|| lacking.collect()))
    }

    /// The columns whose values are in the files' paths.
    pub(super) fn partition_columns(snapshot: &SnapshotRef) -> &[String] {
        snapshot.table_configuration().logical_partition_columns()
    }

    /// Makes the table with these files, which are those of the entries up to the number. Where
    /// somebody else was quicker, theirs is opened.
    pub(super) fn create(
        &self,
        partitions: Option<DateOf>,
        files: &[Added],
        last: Option<(&str, u64)>,
    ) -> KernelResult<SnapshotRef> {
        let mut builder = create_table(self.url, schema(partitions)?, ENGINE, true);
        if let Some(date) = partitions {
            builder = builder.with_data_layout(DataLayout::partitioned([date.column()]));
        }
        if let Some((app, sequence)) = last {
            builder = builder.with_transaction_id(app, number(sequence)?);
        }
        let mut commit = match builder.build(self.engine(), Box::new(LowestProtocol)) {
            Ok(commit) => commit,
            Err(error) if is_there_already(&error) => return self.open(),
            Err(error) => return Err(error),
        };
        for files in files.chunks(ROWS) {
            let statistics = commit.stats_schema()?;
            commit.add_files(added(commit.add_files_schema(), &statistics, files)?);
        }
        point(Point::DeltaReady);
        match commit.commit(self.engine())? {
            CommitResult::Committed(_) | CommitResult::Conflicted(_) => {}
            CommitResult::Retryable(retryable) => return Err(retryable.error),
        }
        point(Point::DeltaPut);
        self.open()
    }

    /// Commits an entry, unless it is in the log.
    pub(super) fn project(
        &self,
        mut snapshot: SnapshotRef,
        entry: &Projection,
    ) -> KernelResult<Projected> {
        for _ in 0..CONFLICTS {
            let last = self.sequence(&snapshot, &entry.app)?;
            if last >= entry.sequence {
                return Ok(Projected::Done(snapshot));
            }
            if last + 1 != entry.sequence {
                return Ok(Projected::Behind(last));
            }
            let mut leaving = Vec::new();
            let (mut rows, mut is_short) = (0, false);
            if !entry.leave.is_empty() {
                let live = self.live(&snapshot)?;
                for (path, (bytes, part_rows)) in &entry.leave {
                    if live.contains_key(path) {
                        rows += part_rows;
                        let (path, bytes) = (path.clone(), *bytes);
                        leaving.push(Removed { path, bytes });
                    } else {
                        is_short = true;
                    }
                }
                // Else rows that are to leave may be in a file that somebody else wrote.
                let foreign = live.into_keys().find(|path| !entry.known.contains(path));
                if let Some(path) = foreign.filter(|_| is_short) {
                    return Ok(Projected::Foreign(path));
                }
            }
            let entering: u64 = entry.add.iter().map(|file| file.rows).sum();
            let is_same = entry.may_rearrange && !leaving.is_empty() && rows == entering;
            let operation = match (is_same, entry.add.is_empty(), leaving.is_empty()) {
                (true, ..) => UpdateTableOperation::Optimize,
                (_, true, false) => UpdateTableOperation::Delete,
                (_, false, false) => UpdateTableOperation::Update,
                _ => UpdateTableOperation::Write,
            };
            let parameters = [
                ("ledgerEntry", Some(entry.sequence.to_string())),
                ("run", Some(entry.run_id.clone())),
            ];
            let builder = Arc::clone(&snapshot)
                .update_table(operation, ENGINE, !is_same)
                .with_transaction_id(entry.app.as_str(), number(entry.sequence)?)
                .with_operation_parameters(parameters);
            // A newer rollbook has more columns; a commit that changes no data brings none.
            let lacking = Self::lacking(&snapshot)?.filter(|_| !is_same);
            let lacking = lacking.unwrap_or_default().into_iter();
            let builder = lacking.fold(builder, TransactionBuilder::add_column);
            let mut commit = builder.build(self.engine(), Box::new(FileSystemCommitter::new()))?;
            if !entry.add.is_empty() {
                let statistics = commit.stats_schema()?;
                commit.add_files(added(commit.add_files_schema(), &statistics, &entry.add)?);
            }
            if !leaving.is_empty() {
                commit.remove_files(removed(&leaving)?);
            }
            point(Point::DeltaReady);
            match commit.commit(self.engine())? {
                CommitResult::Committed(done) => {
                    point(Point::DeltaPut);
                    return match done.post_commit_snapshot() {
                        Some(snapshot) => Ok(Projected::Done(Arc::clone(snapshot))),
                        None => Ok(Projected::Done(self.refresh(snapshot)?)),
                    };
                }
                // Somebody has this version: perhaps this very entry, by an answer that was lost.
                CommitResult::Conflicted(_) => snapshot = self.refresh(snapshot)?,
                CommitResult::Retryable(retryable) => return Err(retryable.error),
            }
        }
        Err(KernelError::generic(
            "others commit to the table without end",
        ))
    }

    /// Commits files that a repair found missing or too many. False where somebody else committed
    /// in between.
    pub(super) fn mend(
        &self,
        snapshot: &SnapshotRef,
        add: &[Added],
        remove: &[Removed],
    ) -> KernelResult<bool> {
        let builder = Arc::clone(snapshot)
            .update_table(UpdateTableOperation::Update, ENGINE, true)
            .with_operation_parameters([("repair", Some("as the ledger says"))]);
        let mut commit = builder.build(self.engine(), Box::new(FileSystemCommitter::new()))?;
        for files in add.chunks(ROWS) {
            let statistics = commit.stats_schema()?;
            commit.add_files(added(commit.add_files_schema(), &statistics, files)?);
        }
        if !remove.is_empty() {
            commit.remove_files(removed(remove)?);
        }
        match commit.commit(self.engine())? {
            CommitResult::Committed(_) => Ok(true),
            CommitResult::Conflicted(_) => Ok(false),
            CommitResult::Retryable(retryable) => Err(retryable.error),
        }
    }

    /// Sums up the log as of this version.
    pub(super) fn checkpoint(&self, snapshot: &SnapshotRef) -> KernelResult<SnapshotRef> {
        let (_, snapshot) = snapshot.checkpoint(self.engine(), None)?;
        point(Point::DeltaCheckpointPut);
        Ok(snapshot)
    }
}

/// An entry's number as the log has it.
fn number(sequence: u64) -> KernelResult<i64> {
    i64::try_from(sequence).map_err(KernelError::generic_err)
}

fn is_there_already(error: &KernelError) -> bool {
    matches!(
        error.without_backtrace(),
        KernelError::TableAlreadyExistsAtPath(_)
    )
}
