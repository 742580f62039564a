//! Commits that put the rows of earlier ones into other parts.
//!
//! What they replace leaves the readers' sight before the new parts enter it: for a moment a reader
//! may miss rows, but none ever sees a row twice. A crash in between is rolled forward by the next
//! opening, in the same order.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::compression::Compression;
use crate::config::Format;
use crate::crash::{Point, point};
use crate::error::{Error, Result};
use crate::folder;
use crate::ledger::{CommittedMeeting, Entry, Ledger, Rewrite};
use crate::place::Place;
use crate::store::{Object, Store};
use crate::table::Table;
use crate::uuid::ConfUuid;
use crate::writer::{StagedPart, form_of};

use super::layout::{REPLACED, replaced_path};
use super::staging::Gate;
use super::{Dataset, must_be_dataset, plain_run_id, visible};

impl Dataset {
    /// Opens a dataset that is there, in the form that it has.
    ///
    /// # Errors
    ///
    /// Those of [`Dataset::open`]; no dataset there, or one without a part.
    pub(crate) async fn open_as_it_is(
        place: &Place,
        run_id: &str,
    ) -> Result<(Self, Format, Compression)> {
        plain_run_id(run_id)?;
        let store = Store::open_at(place).await?;
        must_be_dataset(&store, &place.dest).await?;
        let ledger = Ledger::read(&store).await?;
        let Some((format, compression)) = form(&ledger) else {
            return Err(Error::Dataset {
                path: place.dest.clone(),
                reason: "has no part yet; export into it first".to_owned(),
            });
        };
        let dataset = Self::enter(store, run_id, format, compression, false).await?;
        Ok((dataset, format, compression))
    }

    /// Commits parts that hold what these commits hold, but for what is purged; says whether it
    /// did. If it did not, one of them does not stand any more, and the parts are removed.
    ///
    /// # Errors
    ///
    /// As for [`Dataset::commit`].
    pub(crate) async fn rewrite(
        &mut self,
        parts: Vec<StagedPart>,
        rewritten: &[Entry],
        rewrite: Rewrite,
    ) -> Result<Option<Entry>> {
        let kept = rewritten.iter().flat_map(|entry| &entry.meetings);
        let kept = kept.filter(|meeting| !rewrite.purged.contains(&meeting.conf_uuid));
        let meetings: Vec<CommittedMeeting> = kept.cloned().collect();
        self.check(&parts, &meetings)?;
        self.asked = rewritten.iter().find_map(|entry| entry.asked.clone());
        let mut is_staged = !self.store.is_remote();
        loop {
            let sequences = rewritten.iter().map(|entry| entry.sequence);
            if sequences
                .clone()
                .any(|sequence| self.ledger.is_retracted(sequence))
            {
                self.give_up(&parts, is_staged).await?;
                return Ok(None);
            }
            self.bring(&parts, &mut is_staged).await?;
            let mut entry = self.entry(&parts, &meetings)?;
            entry.retracts = sequences.collect();
            entry.rewrite = Some(rewrite.clone());
            let entry = entry.versioned();
            point(Point::EntryReady);
            if self.ledger.put(&self.store, entry.clone()).await? {
                point(Point::EntryPut);
                let visible = visible(&self.store).await?;
                self.remove_void(&visible).await?;
                self.publish(&entry).await?;
                return Ok(Some(entry));
            }
            self.ledger.catch_up(&self.store).await?;
        }
    }

    /// Takes the parts of commits that do not stand any more out of the readers' sight, and removes
    /// those that need not be kept. `visible` is what readers see.
    pub(super) async fn remove_void(&mut self, visible: &HashMap<String, Object>) -> Result<()> {
        let now = Utc::now();
        let replaced = self.store.sizes(REPLACED).await?;
        let void: Vec<_> = self
            .ledger
            .void()
            .flat_map(|entry| {
                let is_kept = self.is_kept(entry, now);
                // Records before their meetings, as nobody sees them appear.
                let paths = entry.parts.iter().rev().map(|part| part.path.clone());
                paths.map(move |path| (path, is_kept))
            })
            .filter(|(path, _)| {
                visible.contains_key(path) || replaced.contains_key(&replaced_path(path))
            })
            .collect();
        for (path, is_kept) in void {
            let aside = replaced_path(&path);
            if let Some(object) = visible.get(&path) {
                if is_kept {
                    self.store.publish(&path, &aside, object.bytes).await?;
                } else {
                    self.store.remove(&path).await?;
                    self.recovery.removed.push(path);
                }
                point(Point::VoidRemoved);
            }
            if !is_kept && replaced.contains_key(&aside) {
                self.store.remove(&aside).await?;
                self.recovery.expired += 1;
                point(Point::ReplacedRemoved);
            }
        }
        Ok(())
    }

    /// Whether the parts of a void commit are to be kept where readers do not look.
    fn is_kept(&self, entry: &Entry, now: DateTime<Utc>) -> bool {
        let rewrite = self.ledger.rewrite_of(entry.sequence);
        // Whatever held a meeting that was erased since goes at once.
        let mut meetings = entry.meetings.iter();
        rewrite.is_some_and(|rewrite| rewrite.keep_until > now)
            && !meetings.any(|meeting| self.ledger.is_purged(&meeting.conf_uuid))
    }

    /// The commits that stand, as they were committed.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Entry> {
        self.ledger.standing()
    }

    /// Whether these commits stand, whatever others did meanwhile.
    pub(crate) async fn still_stand(&mut self, entries: &[Entry]) -> Result<bool> {
        self.ledger.catch_up(&self.store).await?;
        let mut entries = entries.iter();
        Ok(entries.all(|entry| !self.ledger.is_retracted(entry.sequence)))
    }

    /// Whether a meeting was erased for good.
    pub(crate) fn is_purged(&self, meeting: &ConfUuid) -> bool {
        self.ledger.is_purged(meeting)
    }

    /// Whether there are records to read beside those of these commits.
    pub(crate) fn has_parts_beside(&self, entries: &[Entry]) -> bool {
        let is_beside = |entry: &&Entry| entries.iter().all(|one| one.sequence != entry.sequence);
        let mut beside = self.ledger.standing().filter(is_beside);
        beside.any(|entry| entry.parts_of(Table::Records).next().is_some())
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Ends a run that has nothing to report.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        if let Some(pulse) = self.pulse.take() {
            pulse.end(&self.store).await?;
        }
        if let Some(staging) = self.staging.take() {
            let root = self.store.local("");
            folder::blocking("remove", &self.staging_path, move || {
                staging.remove(&Gate::enter(&root)?)
            })
            .await?;
        }
        Ok(())
    }
}

/// What the parts of a dataset look like; nothing where there is none.
fn form(ledger: &Ledger) -> Option<(Format, Compression)> {
    let mut parts = ledger.standing().flat_map(|entry| &entry.parts);
    let (_, extension) = parts.next()?.path.split_once('.')?;
    form_of(extension)
}
