//! Pages of a run that may be cut off, kept so that the next run does not ask for them again.
//!
//! Saves requests and proves nothing: the ledger alone is the truth. A page that cannot be read
//! back is asked for. Each run appends to a file of its own and reads those that dead runs with
//! the same [`Question`] left; all of them are removed when the run is through. What is in them is
//! personal data, so they are their owner's alone and are not believed, nor kept, for long.
//! Blocking code.

mod frame;
mod records;

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::frame::{Head, PageHead, Place, SPOOL_VERSION};
use crate::crash::{Point, point};
use crate::decode::Page;
use crate::error::{Error, Result};
use crate::folder;
use crate::hex::hex;
use crate::record::SCHEMA_VERSION;
use crate::uuid::ConfUuid;

/// Pages older than this are asked for again, and files older than this are removed.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the spools lie in the state directory.
const FOLDER: &str = "spool";

/// The name of a spool file ends so.
const ENDING: &str = "spool";

/// The name of one that is being made ends so.
const NEW: &str = "new";

/// Times that a new file may be taken for left behind before its lock is had.
const ATTEMPTS: u32 = 3;

/// What all pages of a spool answer, as a digest: another destination, site, language or search
/// key is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question(String);

impl Question {
    /// The digest of whatever makes answers differ.
    pub(crate) fn new(of: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_vec(of).map_err(|error| Error::Encode {
            format: "a question",
            source: error.into(),
        })?;
        Ok(Self(hex(&Sha256::digest(text))))
    }
}

/// What one page was asked with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PageKey {
    /// The meeting.
    pub(crate) meeting: ConfUuid,
    /// How often the meeting had been begun again: pages of different walks never mix.
    pub(crate) walk: u32,
    /// The offset asked for.
    pub(crate) offset: u64,
    /// The limit asked for.
    pub(crate) limit: u64,
}

/// A page as it was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    /// The page.
    pub(crate) page: Page,
    /// When it was answered.
    pub(crate) at: DateTime<Utc>,
    /// The server's name for the request.
    pub(crate) request_id: Option<String>,
}

/// The spool of one run, and what it found of runs before it.
#[derive(Debug)]
pub(crate) struct Spool {
    question: Question,
    folder: PathBuf,
    path: PathBuf,
    own: Mutex<Option<File>>,
    found: Mutex<Found>,
}

/// What dead runs left.
#[derive(Debug, Default)]
struct Found {
    /// Locked, so that they are nobody else's.
    files: Vec<(PathBuf, File)>,
    pages: HashMap<ConfUuid, Vec<(PageHead, usize, Place)>>,
}

impl Spool {
    /// Opens the spool of a run and looks for pages of dead runs.
    ///
    /// # Errors
    ///
    /// The state directory cannot be used. What is wrong with a file in it is no error: that file
    /// is not believed.
    pub(crate) fn open(state_dir: &Path, question: Question, run_id: &str) -> Result<Self> {
        let all = state_dir.join(FOLDER);
        let folder = all.join(&question.0[..32]);
        folder::create_private(&folder)?;
        sweep(&all)?;
        let mut found = Found::default();
        for path in list(&folder)? {
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(ENDING) => found.adopt(path, &question)?,
                // Its run died before there was a page in it.
                Some(NEW) => {
                    if let Some(_lock) = lock(&path)? {
                        remove(&path)?;
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            question,
            path: folder.join(format!("{run_id}.{ENDING}")),
            folder,
            own: Mutex::default(),
            found: Mutex::new(found),
        })
    }

    /// Forgets the pages of all other meetings; says how many are left.
    pub(crate) fn only(&self, meetings: &[ConfUuid]) -> u64 {
        let mut found = locked(&self.found);
        let mut pages = std::mem::take(&mut found.pages);
        found.pages = meetings
            .iter()
            .filter_map(|meeting| pages.remove_entry(meeting))
            .collect();
        found.pages.values().map(|pages| pages.len() as u64).sum()
    }

    /// Whether a page may be there.
    pub(crate) fn has(&self, key: &PageKey) -> bool {
        let found = locked(&self.found);
        let pages = found.pages.get(&key.meeting);
        pages.is_some_and(|pages| pages.iter().any(|(head, ..)| head.key == *key))
    }

    /// Takes a page out. None is given twice: who asks again wants to know what the server says
    /// now.
    ///
    /// # Errors
    ///
    /// The file cannot be read. A page that is not as it was written is nothing.
    pub(crate) fn take(&self, key: &PageKey) -> Result<Option<Fetched>> {
        let mut found = locked(&self.found);
        let Some(pages) = found.pages.get_mut(&key.meeting) else {
            return Ok(None);
        };
        let Some(at) = pages.iter().position(|(head, ..)| head.key == *key) else {
            return Ok(None);
        };
        let (head, number, place) = pages.swap_remove(at);
        let (path, file) = &mut found.files[number];
        let frame = frame::read(file, place).map_err(Error::file("read", path))?;
        Ok(frame
            .filter(|(found, _)| *found == Head::Page(head.clone()))
            .and_then(|(_, body)| head.fetched(&body).ok()))
    }

    /// Keeps a page for a run after this one, should there be one.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn keep(&self, key: PageKey, fetched: &Fetched) -> Result<()> {
        let page = &fetched.page;
        let head = Head::Page(PageHead {
            key,
            fetched_at: fetched.at,
            request_id: fetched.request_id.clone(),
            offset: page.offset,
            limit: page.limit,
            count: page.count,
            replaced: page.replaced.clone(),
        });
        let body = records::pack(&page.records).map_err(|source| Error::Encode {
            format: "a page of the spool",
            source,
        })?;
        self.append(&head, &body)
    }

    /// Voids the pages of a meeting: what came of them is not worth keeping.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn forget(&self, meeting: ConfUuid) -> Result<()> {
        locked(&self.found).pages.remove(&meeting);
        self.append(&Head::Forget { meeting }, &[])
    }

    /// Ends the run. Where there is more to do, the files are left to the next one.
    ///
    /// # Errors
    ///
    /// A file cannot be removed.
    pub(crate) fn close(&self, is_through: bool) -> Result<()> {
        let own = locked(&self.own).take();
        let found = std::mem::take(&mut *locked(&self.found));
        if !is_through {
            return Ok(());
        }
        if own.is_some() {
            remove(&self.path)?;
        }
        point(Point::SpoolRemoved);
        for (path, _lock) in found.files {
            remove(&path)?;
        }
        // Where another run has files, the folder stays.
        drop(fs::remove_dir(&self.folder));
        Ok(())
    }

    fn append(&self, head: &Head, body: &[u8]) -> Result<()> {
        let mut own = locked(&self.own);
        let file = match own.take() {
            Some(file) => file,
            None => self.create()?,
        };
        let file = own.insert(file);
        let written = frame::front(head, body).and_then(|front| {
            file.write_all(&front)?;
            point(Point::FrameTorn);
            file.write_all(body)
        });
        written.map_err(Error::file("write", &self.path))?;
        point(Point::FrameWritten);
        Ok(())
    }

    /// Makes the run's file; it gets its name when it is locked, so that no other run takes it for
    /// left behind.
    fn create(&self) -> Result<File> {
        let head = Head::Spool {
            version: SPOOL_VERSION,
            schema_version: SCHEMA_VERSION,
            question: self.question.0.clone(),
        };
        let front = frame::front(&head, &[]).map_err(Error::file("write", &self.path))?;
        let new = self.path.with_extension(NEW);
        let mut attempt = 1;
        loop {
            folder::create_private(&self.folder)?;
            let mut file = folder::create_private_file(&new)?;
            file.lock().map_err(Error::file("lock", &new))?;
            file.write_all(&front).map_err(Error::file("write", &new))?;
            match fs::rename(&new, &self.path) {
                Ok(()) => {
                    point(Point::SpoolMade);
                    return Ok(file);
                }
                // Another run was quicker than the lock.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(error) => return Err(Error::file("rename", &new)(error)),
            }
        }
    }
}

impl Found {
    /// Takes what a dead run left; believes nothing that answers another question.
    fn adopt(&mut self, path: PathBuf, question: &Question) -> Result<()> {
        let Some(mut file) = lock(&path)? else {
            return Ok(());
        };
        let mut frames = frame::heads(&mut file)
            .map_err(Error::file("read", &path))?
            .into_iter();
        let expected = Head::Spool {
            version: SPOOL_VERSION,
            schema_version: SCHEMA_VERSION,
            question: question.0.clone(),
        };
        // Whatever it holds, it goes with the others at the end.
        let number = self.files.len();
        self.files.push((path, file));
        if frames.next().is_none_or(|(head, _)| head != expected) {
            return Ok(());
        }
        let now = Utc::now();
        for (head, place) in frames {
            match head {
                Head::Page(head) => {
                    let age = (now - head.fetched_at).to_std().unwrap_or_default();
                    if age <= LIFE {
                        let pages = self.pages.entry(head.key.meeting.clone()).or_default();
                        pages.retain(|(other, ..)| other.key != head.key);
                        pages.push((head, number, place));
                    }
                }
                Head::Forget { meeting } => {
                    self.pages.remove(&meeting);
                }
                Head::Spool { .. } => break,
            }
        }
        Ok(())
    }
}

impl PageHead {
    fn fetched(&self, body: &[u8]) -> Result<Fetched, records::Unreadable> {
        let page = Page {
            offset: self.offset,
            limit: self.limit,
            count: self.count,
            records: records::unpack(body)?,
            replaced: self.replaced.clone(),
        };
        Ok(Fetched {
            page,
            at: self.fetched_at,
            request_id: self.request_id.clone(),
        })
    }
}

/// What is in a folder, oldest run first.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        // Its last file was removed, and it with that.
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

/// Removes files of dead runs whose time is over, whatever they asked.
fn sweep(all: &Path) -> Result<()> {
    for folder in list(all)?.into_iter().filter(|path| path.is_dir()) {
        for path in list(&folder)? {
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            if age.is_ok_and(|age| age > LIFE)
                && let Some(_lock) = lock(&path)?
            {
                remove(&path)?;
            }
        }
        // Where a run has files, the folder stays.
        drop(fs::remove_dir(&folder));
    }
    Ok(())
}

/// A file, if no run that lives has it.
fn lock(path: &Path) -> Result<Option<File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("open", path)(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", path)(error)),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under this lock that a checksum would not find.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
