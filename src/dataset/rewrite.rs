//! Commits that put the rows of earlier ones into other parts.
//!
//! What they replace leaves the readers' sight before the new parts enter it: for a moment a reader
//! may miss rows, but none ever sees a row twice. A crash in between is rolled forward by the next
//! opening, in the same order.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::ledger::{Entry, Ledger, Part, Rewrite};
use super::store::{Object, Store};
use super::writer;
use super::writer::StagedPart;
use crate::config::location::Place;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};
use crate::record::table::Table;
use crate::values::{Compression, ConfUuid, Format};

use super::layout::{REPLACED, replaced_path};
use super::open::plain_run_id;
use super::{Dataset, Form, SetAside, must_be_dataset, visible};

impl Dataset {
    /// Opens a dataset that is there, in the form that it has.
    ///
    /// # Errors
    ///
    /// Fails as [`Dataset::open`] does, and where there is no dataset.
    pub(crate) async fn open_as_it_is(place: &Place, run_id: &str) -> Result<(Self, Format)> {
        plain_run_id(run_id)?;
        let store = Store::open_at(place).await?;
        must_be_dataset(&store, &place.dest).await?;
        let ledger = Ledger::read(&store).await?;
        // Where there is no part, nothing is written either.
        let (format, compression) = form_of(&ledger).unwrap_or((Format::Ndjson, Compression::None));
        let dataset = Self::enter(store, run_id, format, compression, false).await?;
        Ok((dataset, format))
    }

    /// Commits parts that hold what these commits hold, but for what is purged; says whether it
    /// did. If it did not, others changed what it goes by, and the parts are removed.
    ///
    /// # Errors
    ///
    /// As for [`Dataset::commit`].
    pub(crate) async fn rewrite(
        &mut self,
        parts: Vec<StagedPart>,
        rewritten: &[Entry],
        rewrite: Rewrite,
    ) -> Result<bool> {
        let purged: HashSet<_> = rewrite.purged.iter().collect();
        let (before, meetings): (Vec<_>, Vec<_>) = rewritten
            .iter()
            .flat_map(|entry| entry.meetings.iter().cloned())
            .partition(|meeting| purged.contains(&meeting.conf_uuid));
        // Of what is purged beside them, nothing may be there.
        let here: HashSet<_> = before.iter().map(|meeting| &meeting.conf_uuid).collect();
        let left: Vec<_> = purged.difference(&here).copied().collect();
        self.check(&parts, &meetings)?;
        self.asked = rewritten.iter().find_map(|entry| entry.asked.clone());
        let mut is_staged = !self.store.is_remote();
        loop {
            let sequences = rewritten.iter().map(|entry| entry.sequence);
            if sequences
                .clone()
                .any(|sequence| self.ledger.is_retracted(sequence))
                || left.iter().any(|meeting| self.holds(meeting))
                || is_last(&parts, rewritten) && !self.has_parts_beside(rewritten)
            {
                self.give_up(&parts, is_staged).await?;
                return Ok(false);
            }
            self.bring(&parts, &mut is_staged).await?;
            let mut entry = self.entry(&parts, &meetings)?;
            entry.retracts = sequences.collect();
            entry.rewrite = Some(rewrite.clone());
            let entry = entry.versioned();
            point(Point::EntryReady);
            if self.put(&entry).await? {
                self.take_place(&entry).await?;
                return Ok(true);
            }
            self.ledger.catch_up(&self.store).await?;
        }
    }

    /// Takes what an entry replaces out of the readers' sight and publishes the entry, which is in
    /// the ledger.
    pub(super) async fn take_place(&mut self, entry: &Entry) -> Result<()> {
        point(Point::EntryPut);
        self.must_be_ready(entry).await?;
        let visible = visible(&self.store).await?;
        self.remove_void(&visible, &[]).await?;
        self.publish(entry).await?;
        self.remove_emptied().await?;
        self.project().await
    }

    /// What is replaced must not leave before what replaces it is known to be there; or to have been
    /// there, where another run published it and replaced it in its turn.
    async fn must_be_ready(&mut self, entry: &Entry) -> Result<()> {
        let Some(part) = self.lacks(entry).await? else {
            return Ok(());
        };
        self.ledger.catch_up(&self.store).await?;
        if self.is_taken_over(entry) {
            return Ok(());
        }
        Err(Error::Dataset {
            path: self.store.shown(&part.path),
            reason: "was taken away before it could be published; nothing is lost: the next run \
                     makes it anew from the parts that it was to replace"
                .to_owned(),
        })
    }

    /// Publishes what is not shown yet of commits that are to be read: their parts move no more then.
    pub(crate) async fn show_all(&mut self, entries: &[Entry]) -> Result<()> {
        let (mut hidden, mut unready) = (Vec::new(), Vec::new());
        for entry in entries {
            if self.is_all_shown(entry).await? {
                continue;
            }
            match self.lacks(entry).await? {
                None => hidden.push(entry),
                Some(_) => unready.push(entry.sequence),
            }
        }
        if hidden.is_empty() {
            return Ok(());
        }
        // What replaces a part enters when that one has left.
        let visible = visible(&self.store).await?;
        self.remove_void(&visible, &unready).await?;
        for entry in hidden {
            for part in &entry.parts {
                self.publish_part(part).await?;
            }
            self.withdraw_void(entry).await?;
        }
        Ok(())
    }

    async fn is_all_shown(&self, entry: &Entry) -> Result<bool> {
        for part in &entry.parts {
            if !self.is_shown(part).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts commits whose parts are lost anew in their places, from the parts that they replaced.
    pub(super) async fn restore(&mut self, lost: &[u64], format: Format) -> Result<()> {
        for (number, &sequence) in (0..).zip(lost) {
            let entries = self.commits(&[sequence]);
            let form = Form {
                // From the other end than those of the run.
                series: u32::MAX - number,
                is_readable_without: self.has_parts_beside(&entries),
                ..Form::as_it_is(format)
            };
            let parts = self.write_again(&entries, &[], form).await?;
            let rewrite = Rewrite {
                keep_until: Utc::now(),
                purged: Vec::new(),
                replaced: Vec::new(),
            };
            if self.rewrite(parts, &entries, rewrite).await? {
                self.recovery.restored.push(sequence);
            }
        }
        Ok(())
    }

    /// Takes the parts of commits that do not stand any more out of the readers' sight, and removes
    /// those that need not be kept; but not those that one of these `unready` commits replaces.
    /// `visible` is what readers see.
    pub(super) async fn remove_void(
        &mut self,
        visible: &HashMap<String, Object>,
        unready: &[u64],
    ) -> Result<()> {
        let (now, kept) = (Utc::now(), self.recovery.kept.len());
        for (path, is_kept) in self.void_parts(unready, now) {
            if let Some(object) = visible.get(&path) {
                self.hide(&path, object.bytes, is_kept).await?;
            }
        }
        if self.recovery.kept.len() > kept {
            // What was moved just now may have been erased meanwhile, by one who did not see it there.
            self.ledger.catch_up(&self.store).await?;
        }
        let replaced = self.store.sizes(REPLACED).await?;
        for (path, is_kept) in self.void_parts(unready, now) {
            let aside = replaced_path(&path);
            if !is_kept && replaced.contains_key(&aside) {
                self.store.remove(&aside).await?;
                self.recovery.expired += 1;
                point(Point::ReplacedRemoved);
            }
        }
        Ok(())
    }

    /// The parts of commits that do not stand any more, and whether they are to be kept; but not of
    /// those that one of these commits replaces.
    fn void_parts(&self, unready: &[u64], now: DateTime<Utc>) -> Vec<(String, bool)> {
        self.ledger
            .void()
            .filter(|entry| !self.is_replaced_by_any(entry.sequence, unready))
            .flat_map(|entry| {
                let is_kept = self.is_kept(entry, now);
                // Records before their meetings, as nobody sees them appear.
                let paths = entry.parts.iter().rev().map(|part| part.path.clone());
                paths.map(move |path| (path, is_kept))
            })
            .collect()
    }

    /// Takes a part out of the readers' sight.
    pub(super) async fn hide(&mut self, path: &str, bytes: u64, is_kept: bool) -> Result<()> {
        if is_kept {
            let to = replaced_path(path);
            self.store.publish(path, &to, bytes).await?;
            let path = path.to_owned();
            self.recovery.kept.push(SetAside { path, to });
        } else {
            self.store.remove(path).await?;
            self.recovery.removed.push(path.to_owned());
        }
        point(Point::VoidRemoved);
        Ok(())
    }

    /// Whether one of these took the place of a commit, or of one that took its place.
    fn is_replaced_by_any(&self, sequence: u64, any: &[u64]) -> bool {
        let mut by = std::iter::successors(Some(sequence), |&one| self.ledger.retracted_by(one));
        by.any(|one| any.contains(&one))
    }

    /// Whether the parts of a void commit are to be kept where readers do not look: those that
    /// others replaced for their time, those of a commit that was dropped until all its meetings are
    /// there again. The service may have them no more.
    pub(super) fn is_kept(&self, entry: &Entry, now: DateTime<Utc>) -> bool {
        let mut meetings = entry.meetings.iter().map(|meeting| &meeting.conf_uuid);
        let is_wanted = match self.ledger.rewrite_of(entry.sequence) {
            Some(rewrite) => rewrite.keep_until > now,
            None => meetings.clone().any(|meeting| !self.holds(meeting)),
        };
        // Whatever held a meeting that was erased since goes at once.
        is_wanted && !meetings.any(|meeting| self.is_purged(meeting))
    }

    /// The commits that stand, as they were committed.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &Entry> {
        self.ledger.standing()
    }

    /// The commits of these numbers.
    pub(crate) fn commits(&self, sequences: &[u64]) -> Vec<Entry> {
        let sequences = sequences.iter();
        let commits = sequences.filter_map(|&sequence| self.ledger.entry(sequence));
        commits.cloned().collect()
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
        beside.any(Entry::has_records)
    }
}

/// Whether there were records to read in these commits, and there are none in these parts, though an
/// empty one could be.
pub(super) fn is_last(parts: &[StagedPart], rewritten: &[Entry]) -> bool {
    let could_be_empty = |part: &Part| {
        let form = form_of_part(&part.path);
        form.is_none_or(|(format, _)| format.has_empty_parts())
    };
    let entries = rewritten.iter();
    let mut had = entries.flat_map(|entry| entry.parts_of(Table::Records));
    had.any(could_be_empty) && parts.iter().all(|part| part.table != Table::Records)
}

/// What the parts of a dataset look like, by their names; nothing where there never was one.
pub(super) fn form_of(ledger: &Ledger) -> Option<(Format, Compression)> {
    let entries = ledger.standing().chain(ledger.void());
    let mut parts = entries.flat_map(|entry| &entry.parts);
    form_of_part(&parts.next()?.path)
}

fn form_of_part(path: &str) -> Option<(Format, Compression)> {
    let (_, extension) = path.split_once('.')?;
    writer::form_of(extension)
}
