//! The dataset: whole meetings in, all or nothing.
//!
//! A commit is three steps: the parts lie durable in staging, the ledger entry is put (from here
//! on the meetings are in), the parts move to their final names. Opening a dataset repairs what an
//! earlier run left between two steps, so there is no other kind of recovery. Which meetings to
//! ask for, and whether they are whole, is decided above.

mod covered;
mod held;
mod layout;
mod left;
mod projected;
mod pulse;
mod purging;
mod recovery;
mod rewriting;
mod room;
mod rows;
mod shown;
mod staging;
mod status;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::compression::Compression;
use crate::config::{Format, PartitionBy};
use crate::crash::{Point, point};
use crate::delta::DeltaLog;
use crate::error::{Error, Result};
use crate::folder;
use crate::ledger::checkpoint;
use crate::ledger::{self, Asked, CommittedMeeting, Entry, Ledger, Part};
use crate::partition::Partitioning;
use crate::place::Place;
use crate::report::Report;
use crate::store::Store;
use crate::table::versions::SchemaVersions;
use crate::table::{MEETINGS, Table};
use crate::uuid::ConfUuid;
use crate::writer::{StagedPart, extension};
use crate::zone::Zone;

use layout::{HOME, PROBE, report_path};
use pulse::Pulse;
use staging::{Gate, Staging};

pub(crate) use held::Held;
pub use held::SetAside;
pub(crate) use layout::{REPLACED, RUNS, SET_ASIDE, STAGING, is_ours};
pub use left::Left;
pub use recovery::Recovery;
pub(crate) use recovery::fingerprint;
pub(crate) use rows::Form;
pub(crate) use shown::visible;
pub(crate) use status::must_be_dataset;
pub use status::{Damage, RunStatus, STATUS_VERSION, Status, TableStatus, Unfinished, status};

/// A dataset, opened by one run.
#[derive(Debug)]
pub struct Dataset {
    store: Store,
    ledger: Ledger,
    run_id: String,
    staging: Option<Staging>,
    staging_path: PathBuf,
    /// What a run in a bucket has instead of a lock that others see.
    pulse: Option<Pulse>,
    recovery: Recovery,
    beside: Vec<String>,
    asked: Option<Asked>,
    /// Where the dataset is a Delta table.
    delta: Option<DeltaLog>,
    /// How its records are told apart, or will be from the first commit on.
    partitioning: Option<Partitioning>,
    /// Whether every part that this run committed has its final name.
    is_published: bool,
    /// So many entries are read one by one without harm.
    few_entries: usize,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Its meetings are in the dataset.
    Done {
        /// Number of the ledger entry.
        sequence: u64,
        /// Parts.
        parts: u64,
        /// Meetings.
        meetings: u64,
        /// Records.
        records: u64,
        /// Bytes of the parts.
        bytes: u64,
    },
    /// Nothing of it is, and its parts are removed, since somebody else was quicker with some of
    /// its meetings.
    Conflict {
        /// Those that are in the dataset already.
        already: Vec<ConfUuid>,
    },
}

impl Dataset {
    /// Opens a dataset for a run, makes it if it does not exist, and repairs it where an earlier
    /// run was cut off.
    ///
    /// # Errors
    ///
    /// A dataset of another format or of a newer rollbook, a ledger with holes, parts that no
    /// ledger knows, a run of the same name.
    pub async fn open(
        dest: impl Into<Place>,
        run_id: &str,
        format: Format,
        compression: Compression,
    ) -> Result<Self> {
        plain_run_id(run_id)?;
        let store = Store::create_at(&dest.into()).await?;
        Self::open_on(store, run_id, format, compression).await
    }

    /// Opens a dataset as [`Dataset::open`] does, unless another run is at work on it. Of two that
    /// do so at the same moment, one gets it; of two on different machines, in a bucket, one or
    /// none.
    ///
    /// # Errors
    ///
    /// Those of [`Dataset::open`]; [`Error::Busy`] names the runs.
    pub async fn open_alone(
        dest: impl Into<Place>,
        run_id: &str,
        format: Format,
        compression: Compression,
    ) -> Result<Self> {
        plain_run_id(run_id)?;
        let store = Store::create_at(&dest.into()).await?;
        Self::enter(store, run_id, format, compression, true).await
    }

    /// Opens the dataset on a store, as [`Dataset::open`] does at a destination.
    pub(crate) async fn open_on(
        store: Store,
        run_id: &str,
        format: Format,
        compression: Compression,
    ) -> Result<Self> {
        Self::enter(store, run_id, format, compression, false).await
    }

    async fn enter(
        mut store: Store,
        run_id: &str,
        format: Format,
        compression: Compression,
        is_alone: bool,
    ) -> Result<Self> {
        let root = store.local("");
        let (place, own, is_remote) = (root.clone(), run_id.to_owned(), store.is_remote());
        let (gate, (abandoned, mut beside), mut staging) =
            folder::blocking("open", &root, move || {
                let folders = [STAGING, ledger::FOLDER, RUNS];
                // Of a bucket, this machine has what is not uploaded yet, and the locks.
                for folder in folders.iter().take(if is_remote { 1 } else { 3 }) {
                    folder::create(&place.join(folder))?;
                }
                point(Point::DatasetMade);
                let gate = Gate::enter(&place)?;
                let found = Staging::sort(&place, &gate)?;
                // Whoever finds this run's sign of life in the bucket knows then whether it lives.
                let staging = is_remote
                    .then(|| Staging::create(place.join(STAGING).join(own), &gate))
                    .transpose()?;
                Ok((gate, found, staging))
            })
            .await?;
        let (mut pulse, mut left) = (None, Vec::new());
        if is_remote {
            let dead: Vec<_> = abandoned.iter().map(Staging::run_id).collect();
            let (begun, others) = Pulse::begin(&store, run_id, &dead).await?;
            pulse = Some(begun);
            left = others.abandoned;
            beside.extend(others.live);
            beside.sort_unstable();
            beside.dedup();
        }
        // Nobody joins them before this one gives the gate back.
        if is_alone && !beside.is_empty() {
            if let Some(pulse) = pulse {
                pulse.end(&store).await?;
            }
            if let Some(staging) = staging {
                staging.remove(&gate)?;
            }
            return Err(Error::Busy { runs: beside });
        }
        store.probe(&format!("{PROBE}{run_id}")).await?;
        if let Some(other) = beside.first().filter(|_| store.is_single_writer()) {
            return Err(Error::Dataset {
                path: store.shown(""),
                reason: format!(
                    "run {other} goes on here, and this store would not notice if both wrote the \
                     same ledger entry; wait until it has ended"
                ),
            });
        }
        let dead = abandoned.iter().map(Staging::run_id);
        let dead = dead.chain(left.iter().map(|trace| trace.run_id.clone()));
        clear_probes(&store, &beside, &dead.collect()).await?;
        let visible = visible(&store).await?;
        // Read after the locks of the dead were had: nothing they committed can be missed.
        let ledger = Ledger::read(&store).await?;
        let mut dataset = Self {
            partitioning: ledger.last_standing().and_then(|last| last.partitioning),
            store,
            ledger,
            run_id: run_id.to_owned(),
            staging: None,
            staging_path: root.join(STAGING).join(run_id),
            pulse,
            recovery: Recovery::default(),
            beside,
            asked: None,
            delta: None,
            is_published: true,
            few_entries: checkpoint::FEW,
        };
        dataset.refuse_other_formats(extension(format, compression))?;
        dataset.room_for_tables().await?;
        let restorable = dataset.recover(&visible).await?;
        let path = dataset.staging_path.clone();
        let mut cleared: HashSet<_> = abandoned.iter().map(Staging::run_id).collect();
        for trace in left {
            cleared.insert(trace.run_id.clone());
            trace.clear(&dataset.store).await?;
            point(Point::Cleared);
        }
        dataset.recovery.cleared = cleared.len() as u64;
        let staging = folder::blocking("create", &root, move || {
            let mut abandoned = abandoned.into_iter();
            abandoned.try_for_each(|staging| {
                staging.remove(&gate)?;
                point(Point::Cleared);
                Ok(())
            })?;
            let staging = match staging.take() {
                Some(staging) => staging,
                None => Staging::create(path, &gate)?,
            };
            point(Point::StagingMade);
            Ok(staging)
        })
        .await?;
        dataset.staging = Some(staging);
        dataset.restore(&restorable, format).await?;
        // Last, so that no version of the table names a part that is lost.
        dataset.open_table().await?;
        Ok(dataset)
    }

    /// Says what this run asks of each meeting.
    ///
    /// # Errors
    ///
    /// The dataset holds answers to another question.
    pub fn ask(&mut self, asked: Asked) -> Result<()> {
        // Each table has its own columns: those that no row is there of may be treated in any way.
        let mut standing = self.ledger.standing();
        let of_records = standing.find_map(|entry| entry.asked.as_ref());
        let of_records = of_records.filter(|before| !before.is_the_same_of_records(&asked));
        let mut described = self.ledger.standing().filter(|entry| {
            let mut parts = entry.parts_of(Table::Meetings);
            parts.any(|part| part.rows > 0)
        });
        let of_meetings = described.find_map(|entry| entry.asked.as_ref());
        let of_meetings = of_meetings.filter(|before| **before != asked);
        if let Some(before) = of_records.or(of_meetings) {
            let what = if before.language != asked.language {
                format!("labels in {}", before.language)
            } else if before.search_key_sha256 != asked.search_key_sha256 {
                "another search key, or none".to_owned()
            } else {
                let pii = before.pii.as_deref().unwrap_or("all columns kept");
                format!("another pii policy or key ({pii})")
            };
            return Err(Error::Config(format!(
                "the dataset holds records that were asked for with {what}: \
                 ask for the same, or give another destination"
            )));
        }
        self.asked = Some(asked);
        Ok(())
    }

    /// Says how this run wants the records told apart: by what, and whose days dates are.
    ///
    /// # Errors
    ///
    /// The dataset's records are told apart otherwise.
    pub fn partition(&mut self, by: PartitionBy, timezone: Zone) -> Result<()> {
        let wanted = Partitioning::new(by, timezone);
        self.refuse_other_partitions(wanted)?;
        self.partitioning = wanted;
        Ok(())
    }

    /// How the records are told apart.
    pub fn partitioning(&self) -> Option<Partitioning> {
        self.partitioning
    }

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

    /// What was repaired when the dataset was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The runs that were at work on the dataset when it was opened.
    pub fn beside(&self) -> &[String] {
        &self.beside
    }

    /// Commits whole meetings and the parts that hold their records; where there are parts of the
    /// meetings table, they have a row for each.
    ///
    /// # Errors
    ///
    /// After an error the batch may be in the ledger or not; the next opening finds out and
    /// finishes it. The parts must be left alone.
    pub async fn commit(
        &mut self,
        parts: Vec<StagedPart>,
        meetings: Vec<CommittedMeeting>,
    ) -> Result<Commit> {
        self.check(&parts, &meetings)?;
        if self.partitioning.is_some() {
            let folders = parts.iter().map(|part| self.folder_of(part));
            self.room_for(folders.collect()).await?;
        }
        let mut is_staged = !self.store.is_remote();
        loop {
            let already: Vec<_> = meetings
                .iter()
                .map(|meeting| &meeting.conf_uuid)
                .filter(|meeting| self.holds(meeting))
                .cloned()
                .collect();
            if !already.is_empty() {
                self.give_up(&parts, is_staged).await?;
                return Ok(Commit::Conflict { already });
            }
            // Another run may have begun the dataset otherwise since it was opened.
            self.refuse_other_partitions(self.partitioning)?;
            self.bring(&parts, &mut is_staged).await?;
            let entry = self.entry(&parts, &meetings)?;
            point(Point::EntryReady);
            if self.ledger.put(&self.store, entry.clone()).await? {
                point(Point::EntryPut);
                self.publish(&entry).await?;
                self.project().await?;
                return Ok(Commit::Done {
                    sequence: entry.sequence,
                    parts: parts.len() as u64,
                    meetings: meetings.len() as u64,
                    records: meetings.iter().map(|meeting| meeting.rows).sum(),
                    bytes: parts.iter().map(|part| part.bytes).sum(),
                });
            }
            self.ledger.catch_up(&self.store).await?;
        }
    }

    /// Ends the run: sums up the ledger where it has grown, writes the report and removes the
    /// staging folder.
    pub async fn finish(&mut self, report: &Report) -> Result<()> {
        if !self.is_published {
            let ours = |entry: &&Entry| entry.run_id == self.run_id;
            let entries: Vec<_> = self.ledger.standing().filter(ours).cloned().collect();
            for entry in &entries {
                self.publish(entry).await?;
            }
        }
        self.project().await?;
        // One that cannot be written is not missed: the entries are the truth.
        drop(self.ledger.sum_up(&self.store, self.few_entries).await);
        let path = report_path(&self.run_id);
        let mut text = serde_json::to_vec_pretty(report).map_err(|error| Error::Encode {
            format: "a report",
            source: error.into(),
        })?;
        text.push(b'\n');
        let text = Bytes::from(text);
        point(Point::ReportReady);
        if !self.store.create(&path, text.clone()).await?
            && self.store.read(&path).await? != Some(text)
        {
            return Err(Error::Dataset {
                path,
                reason: "another run of this name has reported".to_owned(),
            });
        }
        point(Point::ReportPut);
        self.leave().await?;
        point(Point::StagingRemoved);
        Ok(())
    }

    /// Ends a run that has nothing to report, as it went.
    pub(crate) async fn end<T>(&mut self, went: Result<T>) -> Result<T> {
        if went.is_ok() {
            // As at the end of an export.
            drop(self.ledger.sum_up(&self.store, self.few_entries).await);
            self.leave().await?;
        } else if let Some(pulse) = self.pulse.take() {
            // What it staged may be committed, and stays for the next opening.
            drop(pulse.stop(&self.store).await);
        }
        went
    }

    /// The batch must add up before it may be believed.
    fn check(&self, parts: &[StagedPart], meetings: &[CommittedMeeting]) -> Result<()> {
        let refuse = |reason: String| {
            Err(Error::Dataset {
                path: self.staging_path.display().to_string(),
                reason,
            })
        };
        let of = |table| parts.iter().filter(move |part| part.table == table);
        let is_told_apart = |part: &StagedPart| part.partition.is_some();
        if of(Table::Records).any(|part| is_told_apart(part) != self.partitioning.is_some()) {
            return refuse("the parts of a batch are partitioned as the dataset is not".to_owned());
        }
        let in_parts: u64 = of(Table::Records).map(|part| part.rows).sum();
        let in_meetings: u64 = meetings.iter().map(|meeting| meeting.rows).sum();
        if in_parts != in_meetings {
            return refuse(format!(
                "the parts of a batch hold {in_parts} records, its meetings {in_meetings}"
            ));
        }
        let described: u64 = of(Table::Meetings).map(|part| part.rows).sum();
        let held = meetings.len() as u64;
        if of(Table::Meetings).next().is_some() && described != held {
            return refuse(format!(
                "the parts of a batch describe {described} meetings, and it has {held}"
            ));
        }
        let mut seen = HashSet::new();
        match meetings
            .iter()
            .find(|meeting| !seen.insert(&meeting.conf_uuid))
        {
            Some(twice) => refuse(format!("{} is twice in a batch", twice.conf_uuid)),
            None => Ok(()),
        }
    }

    /// The next entry for a batch.
    fn entry(&self, parts: &[StagedPart], meetings: &[CommittedMeeting]) -> Result<Entry> {
        let sequence = self.ledger.next_sequence();
        let mut named = Vec::with_capacity(parts.len());
        for table in [Table::Meetings, Table::Records] {
            let parts = parts.iter().filter(|part| part.table == table);
            for (number, part) in parts.enumerate() {
                let folder = self.folder_of(part);
                named.push(Part {
                    path: ledger::part_path_in(&folder, sequence, number, part.extension),
                    rows: part.rows,
                    bytes: part.bytes,
                    sha256: part.sha256.clone(),
                    staged: self.staged_path(part)?,
                });
            }
        }
        let schema_versions =
            SchemaVersions::of(parts.iter().map(|part| (part.table, part.schema_version)));
        let parts = named;
        let entry = Entry {
            version: 0,
            sequence,
            run_id: self.run_id.clone(),
            committed_at: Utc::now(),
            parts,
            meetings: meetings.to_vec(),
            retracts: Vec::new(),
            rewrite: None,
            asked: self.asked.clone(),
            schema_versions,
            partitioning: self.partitioning,
        };
        Ok(entry.versioned())
    }

    /// Where a part is to lie.
    fn folder_of(&self, part: &StagedPart) -> String {
        match (part.table, self.partitioning, part.partition) {
            (Table::Meetings, ..) => MEETINGS.to_owned(),
            (Table::Records, Some(of), Some(partition)) => of.folder(partition),
            (Table::Records, ..) => String::new(),
        }
    }

    /// Brings parts into the store's staging folder, if they are not there.
    async fn bring(&self, parts: &[StagedPart], is_staged: &mut bool) -> Result<()> {
        if !std::mem::replace(is_staged, true) {
            for part in parts {
                self.upload(part).await?;
            }
        }
        Ok(())
    }

    /// Removes parts that are not to be committed.
    async fn give_up(&self, parts: &[StagedPart], is_staged: bool) -> Result<()> {
        for part in parts {
            self.store.remove(&self.staged_path(part)?).await?;
            if !is_staged {
                self.remove_local(part).await?;
            }
        }
        Ok(())
    }

    /// Brings a part from this machine into the bucket's staging folder.
    async fn upload(&self, part: &StagedPart) -> Result<()> {
        let staged = self.staged_path(part)?;
        self.store.upload(&part.path, part.bytes, &staged).await?;
        point(Point::PartUploaded);
        self.remove_local(part).await
    }

    async fn remove_local(&self, part: &StagedPart) -> Result<()> {
        let path = part.path.clone();
        let remove = move || fs::remove_file(&path).map_err(Error::file("remove", &path));
        folder::blocking("remove", &part.path, remove).await
    }

    /// Gives the parts of a commit their final names.
    async fn publish(&mut self, entry: &Entry) -> Result<()> {
        self.is_published = false;
        for part in &entry.parts {
            // Another run may have found the entry and been quicker.
            if !self.publish_part(part).await?
                && self.store.size(&part.path).await? != Some(part.bytes)
            {
                self.ledger.catch_up(&self.store).await?;
                if self.is_taken_over(entry) {
                    break;
                }
                return Err(Error::Dataset {
                    path: part.path.clone(),
                    reason: format!("{} is gone before it could be published", part.staged),
                });
            }
            point(Point::PartPublished);
        }
        self.is_published = true;
        Ok(())
    }

    /// Whether another run wrote a commit again: what it held is in other parts, or erased.
    fn is_taken_over(&self, entry: &Entry) -> bool {
        let mut meetings = entry.meetings.iter();
        self.ledger.rewrite_of(entry.sequence).is_some()
            && meetings.all(|meeting| self.holds(&meeting.conf_uuid))
    }

    /// Gives one part its final name; says whether it had its former one.
    async fn publish_part(&self, part: &Part) -> Result<bool> {
        let Part {
            staged,
            path,
            bytes,
            ..
        } = part;
        self.store.publish(staged, path, *bytes).await
    }

    /// A staged part's path inside the dataset.
    fn staged_path(&self, part: &StagedPart) -> Result<String> {
        match part.path.file_name().and_then(|name| name.to_str()) {
            Some(name) if part.path.parent() == Some(self.staging()) => {
                Ok(format!("{}/{}/{name}", STAGING, self.run_id))
            }
            _ => Err(Error::Dataset {
                path: part.path.display().to_string(),
                reason: "not in the staging folder of this run".to_owned(),
            }),
        }
    }

    fn refuse_other_partitions(&self, wanted: Option<Partitioning>) -> Result<()> {
        let Some(last) = self.ledger.last_standing() else {
            return Ok(());
        };
        if last.partitioning == wanted {
            return Ok(());
        }
        let (is, give) = match (last.partitioning, wanted) {
            (Some(before), Some(wanted)) if before.by == wanted.by => {
                let zone = before.timezone;
                let is = format!("partitioned by days of {zone}, not of {}", wanted.timezone);
                (is, format!("give --timezone {zone}"))
            }
            (Some(before), _) => {
                let by = before.by.setting();
                let give = format!("give --partition-by {by} or leave it out");
                (format!("partitioned by {by}"), give)
            }
            (None, _) => {
                let give = "leave --partition-by out".to_owned();
                ("not partitioned".to_owned(), give)
            }
        };
        Err(Error::Config(format!(
            "the dataset is {is}: {give}, or choose another destination"
        )))
    }

    fn refuse_other_formats(&self, extension: &str) -> Result<()> {
        let other = self
            .ledger
            .standing()
            .flat_map(|entry| &entry.parts)
            .find(|part| part.path.split_once('.').map(|(_, found)| found) != Some(extension));
        match other {
            Some(part) => Err(Error::Dataset {
                path: self.store.shown(&part.path),
                reason: format!(
                    "the dataset's parts are not .{extension}; keep its format, or choose another \
                     destination"
                ),
            }),
            None => Ok(()),
        }
    }
}

/// Removes what runs that were cut off while they tried out the store left. In a bucket one that
/// is not known may have begun just now: without its probe it would take the store for one that
/// puts an entry twice.
async fn clear_probes(store: &Store, live: &[String], dead: &HashSet<String>) -> Result<()> {
    for object in store.list(HOME).await? {
        let Some(run) = object.path.strip_prefix(PROBE) else {
            continue;
        };
        let is_over = if store.is_remote() {
            dead.contains(run)
        } else {
            !live.iter().any(|live| live == run)
        };
        if is_over {
            store.remove(&object.path).await?;
        }
    }
    Ok(())
}

/// A run's name is a folder's.
fn plain_run_id(run_id: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if run_id.is_empty() || run_id.len() > 128 || !run_id.bytes().all(plain) {
        return Err(Error::Config(format!(
            "run id {run_id:?}: expected letters, digits, dashes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
