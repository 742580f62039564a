//! The dataset: whole meetings in, all or nothing.
//!
//! A commit is three steps: the parts lie durable in staging, the ledger entry is put (from here
//! on the meetings are in), the parts move to their final names. Opening a dataset repairs what an
//! earlier run left between two steps, so there is no other kind of recovery. Which meetings to
//! ask for, and whether they are whole, is decided above.

mod commit;
mod compatibility;
pub(crate) mod delta;
mod delta_sync;
mod exclusive;
mod finish;
pub(super) mod first_page;
mod first_pages;
mod last_run;
mod layout;
mod lease;
pub(crate) mod ledger;
mod open;
mod part_folders;
mod part_reader;
mod part_rewriter;
mod publish;
mod purge;
mod recover;
mod replace;
mod rewrite;
mod salt;
mod staging_lock;
mod status;
pub(crate) mod store;
mod visible_parts;
pub(crate) mod writer;

use std::collections::HashSet;
use std::mem;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use self::delta::DeltaLog;
use self::ledger::{Asked, Ledger};
use self::store::Store;
use crate::error::Error;
use crate::record::DatasetSalt;
use crate::record::partition::Partitioning;
use crate::record::table::Table;
use crate::report::LedgerHead;
use crate::values::ConfUuid;

use self::lease::Pulse;
use self::staging_lock::Staging;

pub use self::commit::Commit;
pub(crate) use self::exclusive::Held;
pub use self::exclusive::SetAside;
pub use self::last_run::Left;
pub(crate) use self::layout::{REPLACED, RUNS, SALT, SET_ASIDE, STAGING, is_ours};
pub(crate) use self::part_rewriter::Form;
pub use self::recover::Recovery;
pub(crate) use self::recover::fingerprint;
pub(crate) use self::replace::Replacement;
pub(crate) use self::status::must_be_dataset;
pub use self::status::{
    Damage, RunStatus, STATUS_VERSION, Status, TableStatus, Unfinished, status,
};
pub(crate) use self::visible_parts::visible;

/// A dataset, opened by one run.
#[derive(Debug)]
pub struct Dataset {
    pub(super) store: Store,
    ledger: Ledger,
    run_id: String,
    staging: Option<Staging>,
    staging_path: PathBuf,
    /// What a run in a bucket has instead of a lock that others see.
    pulse: Option<Pulse>,
    recovery: Recovery,
    /// What went wrong with checkpoints of the ledger, and is not yet told.
    checkpoint_faults: Vec<Error>,
    beside: Vec<String>,
    asked: Option<Asked>,
    /// The dataset's own from the opening on.
    salt: DatasetSalt,
    /// Where the dataset is a Delta table.
    delta: Option<DeltaLog>,
    /// How its records are told apart, or will be from the first commit on.
    partitioning: Option<Partitioning>,
    /// Whether every part that this run committed has its final name.
    is_published: bool,
    /// So many entries are read one by one without harm.
    few_entries: usize,
    /// Commits that this run wrote again for the sake of meetings that it replaced.
    rewritten: u32,
}

impl Dataset {
    /// Whether a meeting is in the dataset, or was and is erased: there is nothing to fetch.
    pub fn holds(&self, meeting: &ConfUuid) -> bool {
        self.ledger.holder(meeting.as_str()).is_some() || self.is_purged(meeting)
    }

    /// The meetings that a repair dropped, and that nobody brought since; and when their first page
    /// came, which was after they began.
    pub(crate) fn lost(&self) -> Vec<(ConfUuid, DateTime<Utc>)> {
        let void = self.ledger.void().flat_map(|entry| &entry.meetings);
        let mut seen = HashSet::new();
        void.filter(|meeting| !self.holds(&meeting.conf_uuid) && seen.insert(&meeting.conf_uuid))
            .map(|meeting| (meeting.conf_uuid.clone(), meeting.first_fetch))
            .collect()
    }

    /// Whether there is a part of records to read. The first commit must bring one, empty if need
    /// be.
    pub fn has_parts(&self) -> bool {
        self.has_parts_of(Table::Records)
    }

    /// Whether there is a part of a table to read.
    pub(crate) fn has_parts_of(&self, table: Table) -> bool {
        let mut standing = self.ledger.standing();
        standing.any(|entry| entry.parts_of(table).next().is_some())
    }

    /// The local folder where this run's parts are written before they are committed.
    pub fn staging(&self) -> &Path {
        &self.staging_path
    }

    /// The dataset's one name, however the destination was spelt.
    pub(crate) fn place(&self) -> String {
        self.store.shown("")
    }

    /// Whether the store lets two runs at once take the same number in the ledger.
    pub fn is_single_writer(&self) -> bool {
        self.store.is_single_writer()
    }

    /// The last entry of the ledger that this run has seen.
    pub(crate) fn head(&self) -> Option<LedgerHead> {
        self.ledger.head()
    }

    /// What was repaired when the dataset was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// What went wrong with checkpoints of the ledger since this was asked last. They decide
    /// nothing: the entries are the truth, and without checkpoints they take longer to read.
    pub(crate) fn checkpoint_faults(&mut self) -> Vec<String> {
        let faults = mem::take(&mut self.checkpoint_faults);
        faults.iter().map(Error::chain).collect()
    }

    /// The runs that were at work on the dataset when it was opened.
    pub fn beside(&self) -> &[String] {
        &self.beside
    }
}

#[cfg(test)]
mod tests;

pub(crate) use self::first_page::FirstPage;
pub(crate) use self::layout::{report_path, run_of};
