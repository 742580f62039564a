//! The staging folder of one run, and the lock that tells whether its run is alive.
//!
//! The system releases a lock when its process ends, however it ends: so a folder whose lock can
//! be had was left behind. Taking part in the dataset (to make a folder, or to clear old ones) is
//! one run at a time, so that no folder is cleared between its making and its locking.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::durable_fs;
use crate::durable_fs::Origin;
use crate::error::{Error, Result};

use super::layout::{GATE, STAGING};

const LOCK: &str = "lock";

/// Who only looks at a lock holds it for less than this, that many times over.
const LOOK: Duration = Duration::from_millis(1);
const LOOKS: usize = 1_000;

/// The right to make and to clear staging folders; given back when dropped.
#[derive(Debug)]
pub(super) struct Gate {
    origin: Origin,
    _lock: File,
}

impl Gate {
    /// Waits until nobody else is in.
    pub(super) fn enter(root: &Path, origin: Origin) -> Result<Self> {
        let path = root.join(GATE);
        let lock = open_lock(&path)?;
        lock.lock().map_err(durable_fs::unlocked(&path, origin))?;
        Ok(Self {
            origin,
            _lock: lock,
        })
    }
}

/// The locked staging folder of one run.
#[derive(Debug)]
pub(super) struct Staging {
    folder: PathBuf,
    lock: File,
}

impl Staging {
    /// Makes the folder of a new run.
    pub(super) fn create(folder: PathBuf, gate: &Gate) -> Result<Self> {
        let taken = Error::Dataset {
            path: folder.display().to_string(),
            reason: "another run has this name".to_owned(),
        };
        if folder.exists() {
            return Err(taken);
        }
        durable_fs::create(&folder)?;
        let path = folder.join(LOCK);
        let lock = open_lock(&path)?;
        // Nobody but a passing glance can have it.
        lock.lock()
            .map_err(durable_fs::unlocked(&path, gate.origin))?;
        Ok(Self { folder, lock })
    }

    /// The folders of runs that ended without clearing them, locked; and the names of those that
    /// go on.
    pub(super) fn sort(root: &Path, gate: &Gate) -> Result<(Vec<Self>, Vec<String>)> {
        let (mut abandoned, mut live) = (Vec::new(), Vec::new());
        for folder in folders(root)? {
            let run_id = run_id(&folder);
            match Self::lock(folder, gate.origin)? {
                Some(staging) => abandoned.push(staging),
                None => live.push(run_id),
            }
        }
        Ok((abandoned, live))
    }

    /// The run that it belongs to.
    pub(super) fn run_id(&self) -> String {
        run_id(&self.folder)
    }

    /// Removes the folder and all that is in it.
    pub(super) fn remove(self, _gate: &Gate) -> Result<()> {
        let Self { folder, lock } = self;
        for entry in fs::read_dir(&folder).map_err(Error::file("read", &folder))? {
            let path = entry.map_err(Error::file("read", &folder))?.path();
            if path.file_name().is_some_and(|name| name != LOCK) {
                remove_any(&path)?;
            }
        }
        // Last, so that a folder is never both unlocked and worth something.
        drop(lock);
        remove_any(&folder)
    }

    fn lock(folder: PathBuf, origin: Origin) -> Result<Option<Self>> {
        let path = folder.join(LOCK);
        let lock = open_lock(&path)?;
        for _ in 0..LOOKS {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(Self { folder, lock })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(durable_fs::unlocked(&path, origin)(error));
                }
            }
            // A run does not share its lock; who only looks does, and is gone in a moment.
            match lock.try_lock_shared() {
                Ok(()) => lock.unlock().map_err(Error::file("unlock", &path))?,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(durable_fs::unlocked(&path, origin)(error));
                }
            }
            std::thread::sleep(LOOK);
        }
        Ok(None)
    }
}

/// A staging folder as somebody who only looks sees it.
pub(super) struct Seen {
    pub(super) run_id: String,
    /// Whether the run goes on; unknown where the file system has no locks.
    pub(super) is_live: Option<bool>,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Looks at all staging folders without changing anything.
pub(super) fn look(root: &Path) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for folder in folders(root)? {
        let (mut files, mut bytes) = (0, 0);
        let listing = match fs::read_dir(&folder) {
            Ok(listing) => listing,
            // Its run has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::file("read", &folder)(error)),
        };
        for entry in listing {
            let entry = entry.map_err(Error::file("read", &folder))?;
            if entry.file_name() != LOCK {
                files += 1;
                // It may be published between the listing and this look.
                bytes += entry.metadata().map_or(0, |metadata| metadata.len());
            }
        }
        seen.push(Seen {
            run_id: run_id(&folder),
            is_live: is_live(&folder)?,
            files,
            bytes,
        });
    }
    Ok(seen)
}

/// The run that a folder belongs to.
fn run_id(folder: &Path) -> String {
    folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Whether the run of a folder goes on; unknown where the file system has no locks.
fn is_live(folder: &Path) -> Result<Option<bool>> {
    let path = folder.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(false)),
        Err(error) => return Err(Error::file("open", &path)(error)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(false)),
        Err(TryLockError::WouldBlock) => Ok(Some(true)),
        Err(TryLockError::Error(error)) if durable_fs::lacks_locks(&error) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", &path)(error)),
    }
}

fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    let all = root.join(STAGING);
    let listing = match fs::read_dir(&all) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", &all)(error)),
    };
    let mut folders = Vec::new();
    for entry in listing {
        let entry = entry.map_err(Error::file("read", &all))?;
        let kind = entry.file_type().map_err(Error::file("read", &all))?;
        if kind.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

fn open_lock(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::file("open", path))
}

fn remove_any(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_folder_that_somebody_looks_at_is_not_taken_for_a_live_run() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        let left = root.join(STAGING).join("left-behind");
        fs::create_dir_all(&left).unwrap();
        let gate = Gate::enter(root, Origin::Destination).unwrap();
        drop(Staging::lock(left, Origin::Destination).unwrap());
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    look(root).unwrap();
                }
            });
            let live = (0..1_000).find_map(|_| {
                let (_, live) = Staging::sort(root, &gate).unwrap();
                (!live.is_empty()).then_some(live)
            });
            is_over.store(true, Ordering::Relaxed);
            assert_eq!(live, None);
        });
    }
}
