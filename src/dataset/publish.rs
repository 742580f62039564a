//! Committed parts on their way to their final names.

use chrono::Utc;

use super::ledger::{Entry, Part};
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};

use super::Dataset;

impl Dataset {
    /// Gives the parts of a commit their final names.
    pub(super) async fn publish(&mut self, entry: &Entry) -> Result<()> {
        self.is_published = false;
        for part in &entry.parts {
            // Another run may have found the entry and been quicker.
            if !self.publish_part(part).await? && !self.is_shown(part).await? {
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
        self.withdraw_void(entry).await?;
        self.is_published = true;
        Ok(())
    }

    /// Takes the parts of a commit away again where it was made void while they were published:
    /// whoever did that has looked for them already, and may have read them where they were staged.
    pub(super) async fn withdraw_void(&mut self, entry: &Entry) -> Result<()> {
        self.ledger.catch_up(&self.store).await?;
        if !self.ledger.is_retracted(entry.sequence) {
            return Ok(());
        }
        let mut heir = self.ledger.heir(entry.sequence);
        while let Some(successor) = self.ledger.entry(heir)
            && self.lacks(successor).await?.is_some()
        {
            self.ledger.catch_up(&self.store).await?;
            let next = self.ledger.heir(entry.sequence);
            if next == heir {
                // What replaces them is lost: they are all that is left of their rows.
                return Ok(());
            }
            heir = next;
        }
        let is_kept = self.is_kept(entry, Utc::now());
        for part in entry.parts.iter().rev() {
            if let Some(bytes) = self.store.size(&part.path).await? {
                self.hide(&part.path, bytes, is_kept).await?;
            }
        }
        Ok(())
    }

    /// A part of a commit that is neither where it was staged nor where readers see it.
    pub(super) async fn lacks<'a>(&self, entry: &'a Entry) -> Result<Option<&'a Part>> {
        for part in &entry.parts {
            let is_staged = self.store.size(&part.staged).await? == Some(part.bytes);
            if !is_staged && !self.is_shown(part).await? {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// Whether a part is where readers see it.
    pub(super) async fn is_shown(&self, part: &Part) -> Result<bool> {
        Ok(self.store.size(&part.path).await? == Some(part.bytes))
    }

    /// Gives one part its final name; says whether it had its former one.
    pub(super) async fn publish_part(&self, part: &Part) -> Result<bool> {
        let Part {
            staged,
            path,
            bytes,
            ..
        } = part;
        self.store.publish(staged, path, *bytes).await
    }

    /// Whether another run wrote a commit again: what it held is in other parts, or erased.
    pub(super) fn is_taken_over(&self, entry: &Entry) -> bool {
        let mut meetings = entry.meetings.iter();
        self.ledger.rewrite_of(entry.sequence).is_some()
            && meetings.all(|meeting| self.holds(&meeting.conf_uuid))
    }
}
