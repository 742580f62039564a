//! From staged parts and their meetings to one entry of the ledger, and to parts that readers see.

use std::collections::HashSet;
use std::fs;

use chrono::Utc;

use super::ledger;
use super::ledger::{CommittedMeeting, Entry, Part};
use super::writer::StagedPart;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};
use crate::record::table::{MEETINGS, SchemaVersions, Table};
use crate::values::ConfUuid;

use super::Dataset;
use super::layout::STAGING;

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
        self.room_for_parts(&parts).await?;
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
            if self.put(&entry).await? {
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

    /// Puts an entry; says whether it stands there now.
    ///
    /// In a store that notices no second writer, a run that is stopped between its look at the
    /// others and its put, for so long that they take it for gone, may still write over the entry of
    /// one that came meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the store. Where nobody would notice a second writer, another run that came while
    /// this one was silent.
    pub(super) async fn put(&mut self, entry: &Entry) -> Result<bool> {
        if self.store.is_single_writer()
            && let Some(pulse) = &self.pulse
            && let Some(other) = pulse.rival(&self.store).await?
        {
            return Err(self.is_not_alone(&other));
        }
        self.ledger.put(&self.store, entry.clone()).await
    }

    /// The batch must add up before it may be believed.
    pub(super) fn check(&self, parts: &[StagedPart], meetings: &[CommittedMeeting]) -> Result<()> {
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
    pub(super) fn entry(
        &self,
        parts: &[StagedPart],
        meetings: &[CommittedMeeting],
    ) -> Result<Entry> {
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
            previous_sha256: None,
            parts,
            meetings: meetings.to_vec(),
            retracts: Vec::new(),
            rewrite: None,
            rechecked: Vec::new(),
            asked: self.asked.clone(),
            schema_versions,
            partitioning: self.partitioning,
        };
        Ok(entry.versioned())
    }

    /// Makes sure that parts in partitions can have their names.
    pub(super) async fn room_for_parts(&self, parts: &[StagedPart]) -> Result<()> {
        if self.partitioning.is_some() {
            let folders = parts.iter().map(|part| self.folder_of(part));
            self.room_for(folders.collect()).await?;
        }
        Ok(())
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
    pub(super) async fn bring(&self, parts: &[StagedPart], is_staged: &mut bool) -> Result<()> {
        if !std::mem::replace(is_staged, true) {
            for part in parts {
                self.upload(part).await?;
            }
        }
        Ok(())
    }

    /// Removes parts that are not to be committed.
    pub(super) async fn give_up(&self, parts: &[StagedPart], is_staged: bool) -> Result<()> {
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
        durable_fs::blocking("remove", &part.path, remove).await
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
}
