//! What readers of a dataset see: its own folder, that of the meetings, and those of partitions.

use std::collections::HashMap;
use std::fs;

use futures::{StreamExt, TryStreamExt, stream};

use super::Dataset;
use super::store::{Object, Store};
use crate::durable_fs;
use crate::error::{Error, Result};
use crate::record::partition;
use crate::record::table::MEETINGS;

/// Folders listed at once: a dataset of years has hundreds.
const LISTINGS: usize = 16;

/// The objects that readers see, by path.
pub(crate) async fn visible(store: &Store) -> Result<HashMap<String, Object>> {
    let (objects, mut folders) = store.look("").await?;
    folders.retain(|folder| folder == MEETINGS || partition::is_folder(folder));
    let mut listings = stream::iter(folders)
        .map(async |folder| store.list(&folder).await)
        .buffer_unordered(LISTINGS);
    let by_path = |object: Object| (object.path.clone(), object);
    let mut visible: HashMap<_, _> = objects.into_iter().map(by_path).collect();
    while let Some(objects) = listings.try_next().await? {
        visible.extend(objects.into_iter().map(by_path));
    }
    Ok(visible)
}

impl Dataset {
    /// Removes the folders of partitions in which nothing is left: readers take each for a day of
    /// which there is something to read.
    pub(super) async fn remove_emptied(&self) -> Result<()> {
        let Some(of) = self.partitioning.filter(|_| !self.store.is_remote()) else {
            return Ok(());
        };
        let root = self.store.local("");
        let place = root.clone();
        durable_fs::blocking("remove", &place, move || {
            let mut is_any_removed = false;
            for entry in fs::read_dir(&root).map_err(Error::file("read", &root))? {
                let entry = entry.map_err(Error::file("read", &root))?;
                let name = entry.file_name();
                let is_ours = name
                    .to_str()
                    .is_some_and(|name| of.partition(name).is_some());
                // One that is not empty stays; one that another run needs again is made again.
                is_any_removed |= is_ours && fs::remove_dir(entry.path()).is_ok();
            }
            if is_any_removed {
                durable_fs::sync(&root)?;
            }
            Ok(())
        })
        .await
    }
}
