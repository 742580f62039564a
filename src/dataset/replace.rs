//! Commits that put other records of meetings in the place of those that the dataset holds.
//!
//! 1. The records of the other meetings that share commits with them are written again.
//! 2. One entry holds those and the new records, and takes the place of the former commits.
//! 3. The former parts leave the readers' sight, then the new ones enter it: as with a merger, a
//!    reader sees the old records, the new ones or, for a moment, none.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::ledger::{CommittedMeeting, Entry, Rechecked, Rewrite};
use super::writer::StagedPart;
use crate::api::TOLERANCE;
use crate::error::Result;
use crate::failpoint::{Point, point};
use crate::record::table::Table;
use crate::values::ConfUuid;

use super::rewrite::is_last;
use super::{Dataset, Form};

/// Former parts are kept this long, where readers do not look.
const KEPT: TimeDelta = TimeDelta::days(7);

/// Staged files of the first rewrite are in this series; each rewrite has the next one.
const FIRST_SERIES: u32 = 1 << 31;

/// Outcome of committing a batch of meetings that were read again.
#[derive(Debug)]
pub(crate) enum Replacement {
    /// The dataset holds the meetings with their new records.
    Done {
        /// Number of the ledger entry.
        sequence: u64,
        /// Parts that hold what shared a commit with them.
        kept: Vec<StagedPart>,
    },
    /// Nothing of the batch is in the dataset, and its parts are removed: other runs changed some of
    /// its meetings meanwhile.
    Conflict,
}

impl Dataset {
    /// Commits meetings that were read again in the place of what was held `before`. What shared a
    /// commit with them is written in the `form`.
    ///
    /// # Errors
    ///
    /// The errors of [`Dataset::commit`]; a part of what is held that is not what was committed.
    pub(crate) async fn replace(
        &mut self,
        parts: Vec<StagedPart>,
        meetings: Vec<CommittedMeeting>,
        before: &HashMap<ConfUuid, CommittedMeeting>,
        form: Form,
    ) -> Result<Replacement> {
        self.check(&parts, &meetings)?;
        self.room_for_parts(&parts).await?;
        let replaced: Vec<_> = meetings.iter().map(|one| one.conf_uuid.clone()).collect();
        let wanted: HashSet<_> = replaced.iter().collect();
        let new: HashMap<_, _> = meetings.iter().map(|one| (&one.conf_uuid, one)).collect();
        let (mut is_staged, mut kept) = (!self.store.is_remote(), None);
        loop {
            let held = self.committed(&wanted);
            if replaced.iter().any(|one| held.get(one) != before.get(one)) {
                let rest = kept.map_or_else(Vec::new, |rest: Rest| rest.parts);
                self.give_up(&rest, true).await?;
                self.give_up(&parts, is_staged).await?;
                return Ok(Replacement::Conflict);
            }
            let holders = self.holders(&wanted);
            let Some(rest) = self
                .keep(&holders, &replaced, &parts, form, kept.take())
                .await?
            else {
                continue;
            };
            self.bring(&parts, &mut is_staged).await?;
            let all: Vec<_> = rest.parts.iter().chain(&parts).cloned().collect();
            let of_all = holders.iter().flat_map(|entry| &entry.meetings);
            let of_all = of_all.map(|one| (*new.get(&one.conf_uuid).unwrap_or(&one)).clone());
            let mut entry = self.entry(&all, &of_all.collect::<Vec<_>>())?;
            entry.asked = holders.first().and_then(|entry| entry.asked.clone());
            entry.retracts = holders.iter().map(|entry| entry.sequence).collect();
            let now = Utc::now();
            entry.rewrite = Some(Rewrite {
                keep_until: now.checked_add_signed(KEPT).unwrap_or(now),
                purged: Vec::new(),
                replaced: replaced.clone(),
            });
            let entry = entry.versioned();
            point(Point::EntryReady);
            if self.put(&entry).await? {
                self.take_place(&entry).await?;
                return Ok(Replacement::Done {
                    sequence: entry.sequence,
                    kept: rest.parts,
                });
            }
            self.ledger.catch_up(&self.store).await?;
            kept = Some(rest);
        }
    }

    /// Writes what these commits hold beside the replaced meetings; nothing where another run took
    /// the place of one meanwhile. What was written `before` serves as long as they stand.
    async fn keep(
        &mut self,
        holders: &[Entry],
        replaced: &[ConfUuid],
        new: &[StagedPart],
        form: Form,
        before: Option<Rest>,
    ) -> Result<Option<Rest>> {
        let of: Vec<_> = holders.iter().map(|entry| entry.sequence).collect();
        if let Some(rest) = before {
            let parts: Vec<_> = rest.parts.iter().chain(new).cloned().collect();
            if rest.of == of && (!is_last(&parts, holders) || self.has_parts_beside(holders)) {
                return Ok(Some(rest));
            }
            self.give_up(&rest.parts, true).await?;
        }
        self.show_all(holders).await?;
        let has_new = new.iter().any(|part| part.table == Table::Records);
        let form = Form {
            series: FIRST_SERIES + self.rewritten,
            is_readable_without: has_new || self.has_parts_beside(holders),
            ..form
        };
        self.rewritten += 1;
        let written = self.write_kept(holders, replaced, form).await;
        // Where another run was quicker, it took the parts away.
        if written.is_err() && !self.still_stand(holders).await? {
            return Ok(None);
        }
        let parts = written?;
        self.bring(&parts, &mut !self.store.is_remote()).await?;
        Ok(Some(Rest { of, parts }))
    }

    /// Records that these meetings were asked for again and have not changed.
    ///
    /// # Errors
    ///
    /// Errors of the store.
    pub(crate) async fn recheck(&mut self, rechecked: Vec<Rechecked>) -> Result<()> {
        if rechecked.is_empty() {
            return Ok(());
        }
        loop {
            let mut entry = self.entry(&[], &[])?;
            entry.asked = None;
            entry.rechecked.clone_from(&rechecked);
            point(Point::EntryReady);
            if self.put(&entry.versioned()).await? {
                point(Point::EntryPut);
                return self.project().await;
            }
            self.ledger.catch_up(&self.store).await?;
        }
    }

    /// These meetings as the dataset holds them, those that it holds.
    pub(crate) fn committed(
        &self,
        wanted: &HashSet<&ConfUuid>,
    ) -> HashMap<ConfUuid, CommittedMeeting> {
        let meetings = self.ledger.standing().flat_map(|entry| &entry.meetings);
        let held = meetings.filter(|meeting| wanted.contains(&meeting.conf_uuid));
        held.map(|meeting| (meeting.conf_uuid.clone(), meeting.clone()))
            .collect()
    }

    /// The meetings that the dataset holds and that have no record.
    pub(crate) fn without_records(&self) -> HashSet<&ConfUuid> {
        let mut empty = HashSet::new();
        for meeting in self.ledger.standing().flat_map(|entry| &entry.meetings) {
            if meeting.rows == 0 {
                empty.insert(&meeting.conf_uuid);
            } else {
                empty.remove(&meeting.conf_uuid);
            }
        }
        empty
    }

    /// The commits that hold any of these meetings.
    pub(super) fn holders(&self, wanted: &HashSet<&ConfUuid>) -> Vec<Entry> {
        let has_any = |entry: &&Entry| {
            let mut meetings = entry.meetings.iter();
            meetings.any(|meeting| wanted.contains(&meeting.conf_uuid))
        };
        self.ledger.standing().filter(has_any).cloned().collect()
    }

    /// Groups meetings that the dataset holds so that those of a group may share a commit.
    pub(crate) fn alike(&self, meetings: &[ConfUuid]) -> Vec<Vec<ConfUuid>> {
        let mut kinds = Vec::new();
        let mut groups: Vec<Vec<ConfUuid>> = Vec::new();
        for meeting in meetings {
            let holder = self.ledger.holder(meeting.as_str());
            let Some(entry) = holder.and_then(|holder| self.ledger.entry(holder)) else {
                continue;
            };
            let kind = entry.kind();
            let at = kinds.iter().position(|known| *known == kind);
            let at = at.unwrap_or_else(|| {
                kinds.push(kind);
                groups.push(Vec::new());
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(at) {
                group.push(meeting.clone());
            }
        }
        groups
    }

    /// When a meeting was last seen as the dataset holds it, as far as that is not after `now`. Two
    /// readings of the server's clock may differ: a `Date` is cut to a second.
    pub(crate) fn last_look(
        &self,
        meeting: &CommittedMeeting,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let latest = now.checked_add_signed(TOLERANCE).unwrap_or(now);
        self.ledger.last_look(meeting, latest)
    }
}

/// Records that shared commits with the replaced meetings, staged again.
struct Rest {
    /// Numbers of these commits.
    of: Vec<u64>,
    parts: Vec<StagedPart>,
}
