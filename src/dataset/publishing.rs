//! Committed parts on their way to their final names.

use crate::crash::{Point, point};
use crate::error::{Error, Result};
use crate::ledger::{Entry, Part};

use super::Dataset;

impl Dataset {
    /// Gives the parts of a commit their final names.
    pub(super) async fn publish(&mut self, entry: &Entry) -> Result<()> {
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
