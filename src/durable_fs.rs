//! Folders and files that outlive a power loss: made exclusively, synced by name.
//!
//! Who may read them is the umask's to say, which the command sets and a library leaves alone.
//! A file's own sync keeps its bytes; only a sync of its folder keeps its name. Knows nothing of
//! datasets.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// Makes a folder and what is missing above it, as the umask permits, and syncs the names.
pub(crate) fn create(path: &Path) -> Result<()> {
    create_with(path, 0o777)
}

/// The same for what is nobody else's business, whatever the umask.
pub(crate) fn create_private(path: &Path) -> Result<()> {
    create_with(path, 0o700)
}

/// Makes a file that did not exist, as the umask permits.
pub(crate) fn create_file(path: &Path) -> Result<File> {
    create_file_with(path, 0o666)
}

/// The same for what is nobody else's business, whatever the umask.
pub(crate) fn create_private_file(path: &Path) -> Result<File> {
    create_file_with(path, 0o600)
}

/// Makes the names in a folder durable, where its file system can do that.
pub(crate) fn sync(path: &Path) -> Result<()> {
    match sync_names(path) {
        Err(error) if !lacks(&error) => Err(Error::file("sync", path)(error)),
        _ => Ok(()),
    }
}

/// Whether a folder's file system makes names durable when asked.
pub(crate) fn can_sync(path: &Path) -> bool {
    !sync_names(path).is_err_and(|error| lacks(&error))
}

fn sync_names(path: &Path) -> io::Result<()> {
    // Elsewhere a folder cannot be opened as a file; the system journals names itself.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Setting that names a folder with locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Destination: the folder of a dataset.
    Destination,
    /// State directory: pages, and what this machine holds of buckets.
    StateDir,
}

/// Makes the error of a lock that was not taken.
///
/// A file system without locks is named as such.
pub(crate) fn unlocked(path: &Path, origin: Origin) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |error| {
        if !lacks_locks(&error) {
            return Error::file("lock", &path)(error);
        }
        let folder = parent_of(&path).display();
        let next = match origin {
            Origin::Destination => "use a folder on another file system, or a bucket",
            Origin::StateDir => "name a folder on another file system as state_dir (--state-dir)",
        };
        Error::Config(format!(
            "the file system of {folder} has no file locks (flock: {error}), without which two runs \
             could take each other's files: {next}"
        ))
    }
}

/// Whether a file system says that it does not know a call.
#[cfg(unix)]
pub(crate) fn lacks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)
    )
}

/// Whether a file system says that it has no hard links, or no more of them.
#[cfg(unix)]
pub(crate) fn lacks_links(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK)
    )
}

/// Whether a file system says that it has no locks.
#[cfg(unix)]
pub(crate) fn lacks_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS)
    )
}

#[cfg(not(unix))]
pub(crate) fn lacks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

#[cfg(not(unix))]
pub(crate) fn lacks_links(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

#[cfg(not(unix))]
pub(crate) fn lacks_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Does file work on a thread that may block.
///
/// A `path` and what is done with it name a failure to get that far.
pub(crate) async fn blocking<T: Send + 'static>(
    action: &'static str,
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(died) if died.is_panic() => Err(Error::task("work on a file")(died)),
        Err(error) => Err(Error::file(action, path)(error.into())),
    }
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "no such permissions"))]
fn create_with(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    create_with(parent, mode)?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(mode);
    }
    match builder.create(path) {
        Ok(()) => sync(parent),
        // Another run was quicker; a file in the way is still an error.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(Error::file("create", path)(error)),
    }
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "no such permissions"))]
fn create_file_with(path: &Path, mode: u32) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(mode);
    }
    options.open(path).map_err(Error::file("create", path))
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
        create_private(&home.path().join("folder")).unwrap();
        assert_eq!(mode(&home.path().join("folder")), 0o700);
        create_private_file(&home.path().join("file")).unwrap();
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

    #[cfg(unix)]
    #[test]
    fn a_file_is_not_made_through_a_link() {
        let home = tempfile::tempdir().unwrap();
        let (link, target) = (home.path().join("link"), home.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(create_file(&link).is_err());
        assert!(create_private_file(&link).is_err());
        assert!(!target.exists());
    }
}
