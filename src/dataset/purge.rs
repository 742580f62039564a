//! Erasing what no commit holds any more, and what an erasure cannot reach.
//!
//! A repair drops commits whose parts are lost; the parts that they were merged from may be kept
//! for a while, with rows that nobody counts.

use chrono::Utc;

use super::ledger::Rewrite;
use crate::error::Result;
use crate::failpoint::{Point, point};
use crate::values::ConfUuid;

use super::layout::{SET_ASIDE, STAGING};
use super::{Dataset, visible};

impl Dataset {
    /// Whether a commit that does not stand any more held a meeting, and none that stands does.
    pub(crate) fn is_left(&self, meeting: &ConfUuid) -> bool {
        self.ledger.is_left(meeting)
    }

    /// Erases meetings that void commits alone held, and their parts; says whether it did. If it did
    /// not, another run brought or erased one of them.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(crate) async fn purge_left(&mut self, meetings: &[ConfUuid]) -> Result<bool> {
        loop {
            if meetings.iter().any(|meeting| self.holds(meeting)) {
                return Ok(false);
            }
            let mut entry = self.entry(&[], &[])?;
            entry.asked = None;
            entry.rewrite = Some(Rewrite {
                keep_until: Utc::now(),
                purged: meetings.to_vec(),
                replaced: Vec::new(),
            });
            point(Point::EntryReady);
            if self.put(&entry.versioned()).await? {
                point(Point::EntryPut);
                let visible = visible(&self.store).await?;
                self.remove_void(&visible, &[]).await?;
                self.remove_emptied().await?;
                self.project().await?;
                return Ok(true);
            }
            self.ledger.catch_up(&self.store).await?;
        }
    }

    /// What may hold rows of any meeting and is nobody's to open: what repairs set aside, and what
    /// other runs stage.
    pub(crate) async fn out_of_reach(&self) -> Result<Vec<String>> {
        let objects = self.store.list(SET_ASIDE).await?.into_iter();
        let mut all: Vec<_> = objects.map(|object| object.path).collect();
        all.extend(self.store.folders(SET_ASIDE).await?);
        let own = format!("{STAGING}/{}", self.run_id);
        let staging = self.store.folders(STAGING).await?.into_iter();
        all.extend(staging.filter(|folder| *folder != own));
        Ok(all)
    }
}
