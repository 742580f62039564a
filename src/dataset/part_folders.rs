//! The places of the folders that parts get, which something else may have.
//!
//! Looked at before a commit is made whose parts could not be published there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Dataset;
use super::ledger::Part;
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::record::table::MEETINGS;

impl Dataset {
    /// Makes sure that parts of the meetings table can have their names here.
    ///
    /// # Errors
    ///
    /// Something that is no folder has the name of theirs.
    pub(crate) async fn room_for_meetings(&self) -> Result<()> {
        self.room_for([MEETINGS.to_owned()].into()).await
    }

    /// The same for parts in these folders.
    pub(super) async fn room_for(&self, mut folders: BTreeSet<String>) -> Result<()> {
        folders.remove("");
        // In a bucket there are no folders, and none that something could stand in the way of.
        if self.store.is_remote() || folders.is_empty() {
            return Ok(());
        }
        let root = self.store.local("");
        let place = root.clone();
        let taken = durable_fs::blocking("read", &root, move || {
            let mut folders = folders.into_iter();
            Ok(folders.find(|folder| is_taken(&place, folder)))
        });
        let Some(taken) = taken.await? else {
            return Ok(());
        };
        let had_any = self.folders().contains(taken.as_str());
        let way_out = if had_any {
            "move it away (`rollbook verify --repair` sets it aside)"
        } else if taken == MEETINGS {
            "move it away, export without the table, or choose another destination"
        } else {
            "move it away, or choose another destination"
        };
        let whose = if taken == MEETINGS {
            "the meetings table's"
        } else {
            "that of a partition"
        };
        Err(Error::Dataset {
            path: root.join(&taken).display().to_string(),
            reason: format!("is no folder, and {whose} must have this name; {way_out}"),
        })
    }

    /// The same, where the dataset has such parts or had them.
    pub(super) async fn room_for_tables(&self) -> Result<()> {
        let folders = self.folders().into_iter().map(str::to_owned).collect();
        self.room_for(folders).await
    }

    /// The folders of its parts, those of former ones as well.
    fn folders(&self) -> BTreeSet<&str> {
        let entries = self.ledger.entries().iter();
        let parts = entries.flat_map(|entry| &entry.parts);
        parts.map(Part::folder).collect()
    }
}

/// Whether something that is no folder has the name of one. A link that leads nowhere is something,
/// too.
fn is_taken(root: &Path, folder: &str) -> bool {
    let place = root.join(folder);
    fs::symlink_metadata(&place).is_ok() && !place.is_dir()
}
