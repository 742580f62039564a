//! Folders that a command writes to, and whose file systems cannot sync folders.
//!
//! Nothing is made here: for a folder that does not exist yet, the nearest one above it is tried.

use std::path::Path;

use crate::config::location;
use crate::config::location::{Place, Target};
use crate::durable_fs;
use crate::error::Result;
use crate::report::Unsynced;

/// Returns the folders that a command writes to and whose file systems cannot sync folders, if there
/// are any. Blocking code.
///
/// # Errors
///
/// Fails where the destination names neither a folder nor a bucket.
pub fn unsynced(place: &Place) -> Result<Option<Unsynced>> {
    unsynced_by_run(place, false)
}

/// Returns the folders of [`unsynced`] for a run; `keeps_pages` is whether it keeps pages in the state
/// directory.
pub(crate) fn unsynced_by_run(place: &Place, keeps_pages: bool) -> Result<Option<Unsynced>> {
    let target = location::parse(&place.dest)?;
    let is_bucket = matches!(target, Target::Bucket(_));
    let state_dir = place.state_dir.as_deref();
    let state_dir = state_dir.filter(|_| is_bucket || keeps_pages);
    let found = Unsynced {
        dataset: match &target {
            Target::Folder(folder) => name_if_unsynced(folder),
            Target::Bucket(_) => None,
        },
        state_dir: state_dir.and_then(name_if_unsynced),
    };
    Ok((found != Unsynced::default()).then_some(found))
}

/// Returns the name of a folder whose file system cannot sync folders.
fn name_if_unsynced(folder: &Path) -> Option<String> {
    let there = folder.ancestors().find(|above| above.is_dir());
    if durable_fs::can_sync(there.unwrap_or(Path::new("."))) {
        return None;
    }
    let whole = folder.canonicalize();
    Some(whole.as_deref().unwrap_or(folder).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_syncs_folders_is_not_named_whether_the_folders_are_there_or_not() {
        let home = tempfile::tempdir().unwrap();
        for name in ["", "not/there"] {
            let folder = home.path().join(name);
            let place = Place {
                dest: folder.display().to_string(),
                state_dir: Some(folder),
                ..Place::default()
            };
            assert_eq!(unsynced_by_run(&place, true).unwrap(), None);
        }
        assert!(unsynced(&Place::from("ftp://lake")).is_err());
    }
}
