//! What readers of a dataset see: its own folder, that of the meetings, and those of partitions.

use std::collections::HashMap;
use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};

use super::Dataset;
use crate::error::Result;
use crate::folder;
use crate::partition;
use crate::store::{Object, Store};
use crate::table::MEETINGS;

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
    /// Removes the folders of these parts where nothing is left in them: readers take each for a
    /// day of which there is something to read.
    pub(super) async fn remove_emptied(&self, parts: &[String]) -> Result<()> {
        if self.store.is_remote() {
            return Ok(());
        }
        let folders = parts.iter().filter_map(|part| part.rsplit_once('/'));
        let folders = folders.map(|(folder, _)| folder);
        let mut folders: Vec<_> = folders
            .filter(|folder| partition::is_folder(folder))
            .map(|folder| self.store.local(folder))
            .collect();
        folders.sort_unstable();
        folders.dedup();
        let root = self.store.local("");
        let place = root.clone();
        folder::blocking("remove", &place, move || {
            let removed = folders.iter().filter(|folder| is_removed(folder)).count();
            if removed > 0 {
                folder::sync(&root)?;
            }
            Ok(())
        })
        .await
    }
}

/// Removes a folder that is empty. One that is not, or that another run needs again, stays.
fn is_removed(folder: &Path) -> bool {
    std::fs::remove_dir(folder).is_ok()
}
