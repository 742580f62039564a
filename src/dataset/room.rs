//! The place of the meetings table's folder, which something else may have.
//!
//! Looked at before a commit is made whose parts could not be published there.

use std::fs;
use std::path::Path;

use super::Dataset;
use crate::error::{Error, Result};
use crate::folder;
use crate::table::{MEETINGS, Table};

impl Dataset {
    /// Makes sure that parts of the meetings table can have their names here.
    ///
    /// # Errors
    ///
    /// Something that is no folder has the name of theirs.
    pub(crate) async fn room_for_meetings(&self) -> Result<()> {
        // In a bucket there are no folders, and none that something could stand in the way of.
        if self.store.is_remote() {
            return Ok(());
        }
        let root = self.store.local("");
        let place = root.clone();
        let is_taken = folder::blocking("read", &root, move || Ok(is_taken(&place))).await?;
        if !is_taken {
            return Ok(());
        }
        let way_out = if self.had_meetings() {
            "move it away (`rollbook verify --repair` sets it aside)"
        } else {
            "move it away, export without the table, or choose another destination"
        };
        Err(Error::Dataset {
            path: root.join(MEETINGS).display().to_string(),
            reason: format!(
                "is no folder, and the meetings table's must have this name; {way_out}"
            ),
        })
    }

    /// The same, where the dataset has the table or had it.
    pub(super) async fn room_for_tables(&self) -> Result<()> {
        if self.had_meetings() {
            self.room_for_meetings().await?;
        }
        Ok(())
    }

    fn had_meetings(&self) -> bool {
        let mut entries = self.ledger.entries().iter();
        entries.any(|entry| entry.parts_of(Table::Meetings).next().is_some())
    }
}

/// Whether something that is no folder has the name of the meetings table's. A link that leads
/// nowhere is something, too.
pub(crate) fn is_taken(root: &Path) -> bool {
    let place = root.join(MEETINGS);
    fs::symlink_metadata(&place).is_ok() && !place.is_dir()
}
