//! What a dataset holds, told by its ledger without reading a part.
//!
//! Only looks: nothing is locked for longer than a glance, nothing is repaired.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::delta::DeltaLog;
use super::ledger::{Ledger, Part};
use super::store::Store;
use crate::config::location::Place;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::record::partition::Partitioning;
use crate::record::table::Table;
use crate::values::began;

use super::last_run::{Left, Times};
use super::layout::{HOME, REPLACED, RUNS, report_path, run_of};
use super::visible_parts::visible;
use super::{last_run, lease, staging_lock};

/// Version of the status' form.
pub const STATUS_VERSION: u32 = 1;

/// What a dataset holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// [`STATUS_VERSION`].
    pub version: u32,
    /// Ledger entries.
    pub entries: u64,
    /// Of them, commits that a later entry retracts, since parts of them were lost.
    pub retracted: u64,
    /// Of them, commits that a later entry took the place of, with all that they held.
    pub rewritten: u64,
    /// Meetings that were erased for good.
    pub purged: u64,
    /// Parts that others replaced, or whose commits were dropped, and that are kept for a while.
    pub replaced: u64,
    /// Whole meetings.
    pub meetings: u64,
    /// Of them, without any record.
    pub empty_meetings: u64,
    /// Records.
    pub records: u64,
    /// Parts.
    pub parts: u64,
    /// Bytes of the parts.
    pub bytes: u64,
    /// How the parts of records are told apart, where they are.
    pub partitioning: Option<Partitioning>,
    /// So many partitions they are in.
    pub partitions: u64,
    /// Meetings that have a row in the meetings table; nothing where there is no such table.
    pub described: Option<u64>,
    /// The Delta table, where the dataset is one.
    pub table: Option<TableStatus>,
    /// Requests that were spent on the meetings.
    pub requests: u64,
    /// When the dataset changed last.
    pub last_commit: Option<DateTime<Utc>>,
    /// The runs that committed or reported, as they began.
    pub runs: Vec<RunStatus>,
    /// Staging folders of runs that go on or were cut off.
    pub unfinished: Vec<Unfinished>,
    /// What the last run that ended could not bring, where the dataset still lacks it.
    pub left: Option<Left>,
    /// Committed parts that are not in their place. The next export repairs them.
    pub damaged: Vec<Damage>,
}

/// The dataset as a Delta table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableStatus {
    /// Its newest version, where it could be read.
    pub version: Option<u64>,
    /// The last ledger entry that is in it.
    pub sequence: Option<u64>,
    /// Why it could not be read.
    pub fault: Option<String>,
}

/// One run as the ledger knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunStatus {
    /// Its name.
    pub run_id: String,
    /// Its commits that stand.
    pub commits: u64,
    /// Their meetings.
    pub meetings: u64,
    /// Their records.
    pub records: u64,
    /// Its last commit.
    pub last_commit: Option<DateTime<Utc>>,
    /// Whether its report was written.
    pub is_finished: bool,
}

/// A staging folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// The run that it belongs to.
    pub run_id: String,
    /// Whether that run goes on right now; unknown where the file system has no locks.
    pub is_live: Option<bool>,
    /// Files in it.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

/// A committed part that is not in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Number of the ledger entry.
    pub sequence: u64,
    /// The part.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// Tells what the dataset at a destination holds.
///
/// # Errors
///
/// No dataset there, or a ledger that cannot be read.
pub async fn status(dest: impl Into<Place>) -> Result<Status> {
    let place = dest.into();
    let store = Store::look_at(&place).await?;
    let dest = &place.dest;
    // Before the ledger: what a live run commits in between is then not taken for lost.
    let visible = visible(&store).await?;
    must_be_dataset(&store, dest).await?;
    let ledger = Ledger::read(&store).await?;
    let unfinished = unfinished(&store).await?;

    let mut runs: BTreeMap<String, RunStatus> = BTreeMap::new();
    let mut reports = Vec::new();
    for object in store.list(RUNS).await? {
        if let Some(run_id) = run_of(&object.path) {
            runs.entry(run_id.to_owned()).or_default().is_finished = true;
            reports.push(object.path);
        }
    }
    let reports = last_run::times(&store, reports).await?;
    let mut status = Status {
        version: STATUS_VERSION,
        entries: ledger.entries().len() as u64,
        retracted: 0,
        rewritten: 0,
        purged: ledger.purged(),
        replaced: store.list(REPLACED).await?.len() as u64,
        meetings: ledger.meetings(),
        empty_meetings: 0,
        records: 0,
        parts: 0,
        bytes: 0,
        partitioning: ledger.partitioning(),
        partitions: 0,
        described: None,
        table: table(&store, &ledger).await?,
        requests: 0,
        last_commit: ledger.entries().last().map(|entry| entry.committed_at),
        runs: Vec::new(),
        unfinished: Vec::new(),
        left: last_run::by_last_report(&store, &ledger, &reports).await?,
        damaged: Vec::new(),
    };
    for entry in ledger.void() {
        match ledger.rewrite_of(entry.sequence) {
            Some(_) => status.rewritten += 1,
            None => status.retracted += 1,
        }
    }
    count_runs(&ledger, &mut runs);
    for entry in ledger.standing() {
        for meeting in &entry.meetings {
            status.records += meeting.rows;
            status.requests += meeting.requests;
            status.empty_meetings += u64::from(meeting.rows == 0);
        }
        for part in &entry.parts {
            status.parts += 1;
            status.bytes += part.bytes;
            if part.table() == Table::Meetings {
                *status.described.get_or_insert(0) += part.rows;
            }
            let found = match visible.get(&part.path) {
                Some(found) => Some(found.bytes),
                None => store.size(&part.path).await?,
            };
            let reason = match found {
                Some(bytes) if bytes == part.bytes => continue,
                Some(bytes) => format!("{bytes} bytes instead of {}", part.bytes),
                None if store.size(&part.staged).await?.is_some() => {
                    "committed, not published yet".to_owned()
                }
                None => "missing".to_owned(),
            };
            status.damaged.push(Damage {
                sequence: entry.sequence,
                path: part.path.clone(),
                reason,
            });
        }
    }
    if status.partitioning.is_some() {
        let standing = ledger.standing();
        let parts = standing.flat_map(|entry| entry.parts_of(Table::Records));
        let folders: BTreeSet<_> = parts.map(Part::folder).collect();
        status.partitions = folders.len() as u64;
    }
    status.runs = runs
        .into_iter()
        .map(|(run_id, run)| RunStatus { run_id, ..run })
        .collect();
    status
        .runs
        .sort_by_cached_key(|run| order(run, reports.get(&report_path(&run.run_id))));
    status.unfinished = unfinished;
    Ok(status)
}

/// The Delta table, if it is one, as far as it can be read.
async fn table(store: &Store, ledger: &Ledger) -> Result<Option<TableStatus>> {
    let log = match DeltaLog::open(store, ledger).await {
        Ok(Some(log)) => log,
        Ok(None) => return Ok(None),
        Err(Error::Dataset { reason, .. }) => {
            return Ok(Some(TableStatus {
                fault: Some(reason),
                ..TableStatus::default()
            }));
        }
        Err(error) => return Err(error),
    };
    Ok(Some(TableStatus {
        version: Some(log.version()),
        sequence: Some(log.sequence()),
        fault: None,
    }))
}

/// The staging folders, in a bucket told by what lies there, and by this machine's locks.
async fn unfinished(store: &Store) -> Result<Vec<Unfinished>> {
    let root = store.local("");
    let place = root.clone();
    let here = durable_fs::blocking("read", &root, move || staging_lock::look(&place)).await;
    // Of a bucket, a folder here that this user cannot read holds nothing of this user's runs.
    let here = match here {
        Err(Error::File { .. }) if store.is_remote() => Vec::new(),
        here => here?,
    };
    if !store.is_remote() {
        let unfinished = here.into_iter().map(|seen| Unfinished {
            run_id: seen.run_id,
            is_live: seen.is_live,
            files: seen.files,
            bytes: seen.bytes,
        });
        return Ok(unfinished.collect());
    }
    let traces = lease::traces(store).await?.into_iter();
    let unfinished = traces.map(|trace| {
        let here = here.iter().find(|seen| seen.run_id == trace.run_id);
        Unfinished {
            is_live: here
                .and_then(|seen| seen.is_live)
                .or_else(|| Some(trace.is_live())),
            files: trace.parts().count() as u64,
            bytes: trace.parts().map(|part| part.bytes).sum(),
            run_id: trace.run_id,
        }
    });
    Ok(unfinished.collect())
}

/// What of each run's commits is in the dataset, whoever wrote it last.
fn count_runs(ledger: &Ledger, runs: &mut BTreeMap<String, RunStatus>) {
    for entry in ledger.entries() {
        let heir = ledger.heir(entry.sequence);
        // Who repairs, merges or erases brings nothing and reports nowhere.
        if entry.rewrite.is_some()
            || (entry.parts.is_empty() && entry.meetings.is_empty())
            || ledger.is_retracted(heir)
        {
            continue;
        }
        let run = runs.entry(entry.run_id.clone()).or_default();
        run.commits += 1;
        run.last_commit = run.last_commit.max(Some(entry.committed_at));
        for meeting in &entry.meetings {
            // Another commit may have brought it after a repair, and another run.
            if ledger.holder(meeting.conf_uuid.as_str()) == Some(heir) {
                run.meetings += 1;
                run.records += meeting.rows;
            }
        }
    }
}

/// Where a run stands among the others: by when it began, then by when it ended. Without a report
/// the second is told by its name, and its end is yet to come.
fn order(run: &RunStatus, report: Option<&Times>) -> impl Ord + use<> {
    let started = report.map(|run| run.started);
    let started = started.or_else(|| began(&run.run_id)).or(run.last_commit);
    let finished = report.map(|run| run.finished);
    (started, finished.is_none(), finished, run.run_id.clone())
}

/// Refuses a place that no run made a dataset.
pub(crate) async fn must_be_dataset(store: &Store, dest: &str) -> Result<()> {
    let is_dataset = if store.is_remote() {
        // The ledger of one that nothing was committed to is not there.
        !store.folders(HOME).await?.is_empty()
    } else {
        store.local(super::ledger::FOLDER).is_dir()
    };
    if is_dataset {
        return Ok(());
    }
    Err(Error::Dataset {
        path: dest.to_owned(),
        reason: "not a dataset: it has no _rollbook/ledger".to_owned(),
    })
}
