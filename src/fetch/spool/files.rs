//! The files that spools lie in: whose they are, and when they go.
//!
//! The system releases a lock when its process ends, however it ends: a file whose lock can be had
//! was left behind.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::durable_fs;
use crate::durable_fs::Origin;
use crate::error::{Error, Result};

/// The name of a spool file ends so.
pub(super) const ENDING: &str = "spool";

/// The name of one that is being made ends so.
pub(super) const NEW: &str = "new";

/// Whether a file was made under this ending.
pub(super) fn ends(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

/// What is in a folder, oldest run first; nothing where there is no such folder.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", folder)(error)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(Error::file("read", folder))?.path());
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Removes what dead runs left longer ago than this, whatever they asked; tells of each file that
/// could not be removed.
pub(super) fn sweep(all: &Path, life: Duration) -> Vec<Error> {
    let mut left = Vec::new();
    let mut note = |outcome: Result<()>| left.extend(outcome.err());
    let folders = list(all).unwrap_or_else(|error| {
        note(Err(error));
        Vec::new()
    });
    for folder in folders {
        match list(&folder) {
            Ok(files) => files
                .iter()
                .filter(|path| is_older(path, life))
                .for_each(|path| note(remove_left(path))),
            Err(error) => note(Err(error)),
        }
        // Where a run has files, the folder stays.
        drop(fs::remove_dir(&folder));
    }
    left
}

/// Removes a file unless a run that lives has it.
pub(super) fn remove_left(path: &Path) -> Result<()> {
    match lock(path)? {
        Some(_lock) => remove(path),
        None => Ok(()),
    }
}

/// A file, if no run that lives has it. Opened for writing as well: over NFS an exclusive lock
/// wants that.
pub(super) fn lock(path: &Path) -> Result<Option<File>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("open", path)(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(durable_fs::unlocked(path, Origin::StateDir)(error)),
    }
}

pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// A time in the future is as good as none: a clock was set.
fn is_older(path: &Path, life: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(
        |modified| match SystemTime::now().duration_since(modified) {
            Ok(age) => age > life,
            Err(ahead) => ahead.duration() > life,
        },
    )
}
