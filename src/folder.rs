//! Folders and files that outlive a power loss: made for their owner alone, synced by name.
//!
//! A file's own sync keeps its bytes; only a sync of its folder keeps its name. Knows nothing of
//! datasets.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// Makes a folder and what is missing above it, readable by the owner alone, and syncs the names.
pub(crate) fn create(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    create(parent)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(path) {
        Ok(()) => sync(parent),
        // Another run was quicker; a file in the way is still an error.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(Error::file("create", path)(error)),
    }
}

/// Makes a file that did not exist, readable by the owner alone.
pub(crate) fn create_file(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path).map_err(Error::file("create", path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync(path: &Path) -> Result<()> {
    // Elsewhere a folder cannot be opened as a file; the system journals names itself.
    if cfg!(unix) {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::file("sync", path))?;
    }
    Ok(())
}

/// Does file work on a thread that may block. A `path` and what is done with it name a failure to
/// get that far.
pub(crate) async fn blocking<T: Send + 'static>(
    action: &'static str,
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::file(action, path)(error.into())),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_down_to_the_last_and_a_second_time_is_fine() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("a/b/c");
        create(&deep).unwrap();
        create(&deep).unwrap();
        assert!(deep.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_look() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        create(&home.path().join("folder")).unwrap();
        assert_eq!(mode(&home.path().join("folder")), 0o700);
        create_file(&home.path().join("file")).unwrap();
        assert_eq!(mode(&home.path().join("file")), 0o600);
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("taken");
        create_file(&path).unwrap();
        assert!(create(&path).is_err());
        assert!(create_file(&path).is_err());
    }
}
