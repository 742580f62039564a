//! Pages of a run that may be cut off, kept so that the next run does not ask for them again.
//!
//! Saves requests and proves nothing: the ledger alone is the truth. A page that cannot be read
//! back is asked for. Each run appends to files of its own and reads those that dead runs with the
//! same [`Question`] left. What is in them is personal data: they are their owner's alone, go when
//! their meetings are settled, and are neither believed nor kept for long. Blocking code.

mod arrow_codec;
mod files;
mod frame;
mod recovered;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use self::frame::{Head, PageHead, SPOOL_VERSION};
use self::recovered::Found;
use crate::api::Fetched;
use crate::durable_fs;
use crate::durable_fs::Origin;
use crate::error::{Error, Result};
use crate::failpoint::{Point, point};
use crate::record::decode::Page;
use crate::record::{DatasetSalt, SCHEMA_VERSION};
use crate::values::ConfUuid;

/// Pages older than this are asked for again, and files older than this are removed.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Where the spools lie in the state directory.
const FOLDER: &str = "spool";

/// A new file is begun at this size, so that the one before can go when its meetings are settled.
const SEGMENT: u64 = 16 << 20;

/// Times that a new file may be taken for left behind before its lock is had.
const ATTEMPTS: u32 = 3;

/// Most surrogates of a page that is kept: nearly all have none.
const MOST_REPLACED: usize = 4096;

/// What all pages of a spool answer, as a digest: another destination, site, language, search key
/// or user is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question(String);

impl Question {
    /// The digest of all that makes answers differ, keyed: a user or a search key can be guessed.
    pub(crate) fn new(salt: &DatasetSalt, of: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_vec(of).map_err(|error| Error::Encode {
            format: "a question",
            source: error.into(),
        })?;
        Ok(Self(salt.digest("spool question", &text)))
    }

    fn head(&self) -> Head {
        Head::Spool {
            version: SPOOL_VERSION,
            schema_version: SCHEMA_VERSION,
            question: self.0.clone(),
        }
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

/// The spool of one run, and what it found of runs before it.
#[derive(Debug)]
pub(crate) struct Spool {
    question: Question,
    folder: PathBuf,
    run_id: String,
    keeps: bool,
    own: Mutex<Own>,
    found: Mutex<Found>,
}

/// The files of this run.
#[derive(Debug, Default)]
struct Own {
    /// The last one grows.
    segments: Vec<Segment>,
    made: u32,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    /// Locked.
    file: File,
    bytes: u64,
    /// Those of its meetings that are not settled.
    meetings: HashSet<ConfUuid>,
}

impl Spool {
    /// Opens the spool of a run and looks for pages of dead runs; `keeps` is whether it adds its
    /// own. Beside it, what could not be read or removed, so that it can be told.
    ///
    /// # Errors
    ///
    /// The folder of these pages cannot be read.
    pub(crate) fn open(
        state_dir: &Path,
        question: Question,
        run_id: &str,
        keeps: bool,
    ) -> Result<(Self, Vec<Error>)> {
        let all = state_dir.join(FOLDER);
        let folder = all.join(&question.0[..32]);
        let mut left = files::sweep(&all, LIFE);
        let (mut spools, mut begun) = (files::list(&folder)?, Vec::new());
        spools.retain(|path| {
            if files::ends(path, files::NEW) {
                begun.push(path.clone());
            }
            files::ends(path, files::ENDING)
        });
        // Their runs died before there was a page in them.
        left.extend(
            begun
                .iter()
                .filter_map(|path| files::remove_left(path).err()),
        );
        let (found, unread) = Found::adopt(spools, &question.head());
        left.extend(unread);
        let spool = Self {
            question,
            folder,
            run_id: run_id.to_owned(),
            keeps,
            own: Mutex::default(),
            found: Mutex::new(found),
        };
        Ok((spool, left))
    }

    /// Whether it adds pages, or only gives what it found.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    /// Forgets the pages of all other meetings; says how many are left.
    pub(crate) fn only<'a>(&self, meetings: impl IntoIterator<Item = &'a ConfUuid>) -> u64 {
        locked(&self.found).only(meetings)
    }

    /// Forgets pages of these meetings that are not newer than this: they are in the dataset.
    pub(crate) fn outdate(&self, until: &HashMap<ConfUuid, DateTime<Utc>>) {
        locked(&self.found).outdate(until);
    }

    /// Whether a page may be there.
    pub(crate) fn has(&self, key: &PageKey) -> bool {
        let found = locked(&self.found);
        found.has(&counted(&found, key.clone()))
    }

    /// Takes a page out. None is given twice: who asks again wants to know what the server says
    /// now.
    ///
    /// # Errors
    ///
    /// The file cannot be read. A page that is not as it was written is nothing.
    pub(crate) fn take(&self, key: PageKey) -> Result<Option<Fetched>> {
        let mut found = locked(&self.found);
        let key = counted(&found, key);
        found.take(&key)
    }

    /// Keeps a page for a run after this one, should there be one.
    ///
    /// # Errors
    ///
    /// The file cannot be written; then it is removed.
    pub(crate) fn keep(&self, key: PageKey, fetched: &Fetched) -> Result<()> {
        let page = &fetched.page;
        if !self.keeps || page.replaced.len() > MOST_REPLACED {
            return Ok(());
        }
        let head = PageHead {
            key: counted(&locked(&self.found), key),
            fetched_at: fetched.at,
            request_id: fetched.request_id.clone(),
            offset: page.offset,
            limit: page.limit,
            count: page.count,
            replaced: page.replaced.clone(),
        };
        let body =
            arrow_codec::pack(&page.records, &page.digests).map_err(|source| Error::Encode {
                format: "a page of the spool",
                source,
            })?;
        let meeting = head.key.meeting.clone();
        self.append(&Head::Page(head), &body, Some(meeting))
    }

    /// Voids the pages of a meeting up to this walk: what came of them is not worth keeping.
    ///
    /// # Errors
    ///
    /// The file cannot be written; then it is removed.
    pub(crate) fn void(&self, meeting: ConfUuid, walk: u32) -> Result<()> {
        let before = {
            let mut found = locked(&self.found);
            found.forget(&meeting);
            found.first(&meeting).saturating_add(walk).saturating_add(1)
        };
        if !self.keeps {
            return Ok(());
        }
        self.append(&Head::Void { meeting, before }, &[], None)
    }

    /// These meetings are committed or given up: files that hold nothing else go.
    ///
    /// # Errors
    ///
    /// A file cannot be removed.
    pub(crate) fn settle(&self, meetings: &[ConfUuid]) -> Result<()> {
        let mut own = locked(&self.own);
        for segment in &mut own.segments {
            for meeting in meetings {
                segment.meetings.remove(meeting);
            }
        }
        let growing = own.segments.len().saturating_sub(1);
        let mut number = 0;
        let mut done = Ok(());
        own.segments.retain(|segment| {
            let stays = number == growing || !segment.meetings.is_empty();
            number += 1;
            if !stays && done.is_ok() {
                done = files::remove(&segment.path);
            }
            stays
        });
        done
    }

    /// Ends the run. Where there is more to do, the files are left to the next one.
    ///
    /// # Errors
    ///
    /// A file cannot be removed.
    pub(crate) fn close(&self, is_through: bool) -> Result<()> {
        let own = std::mem::take(&mut *locked(&self.own));
        let found = std::mem::take(&mut *locked(&self.found));
        if !is_through {
            return Ok(());
        }
        for segment in &own.segments {
            files::remove(&segment.path)?;
        }
        point(Point::SpoolRemoved);
        found.remove()?;
        // Where another run has files, the folder stays.
        drop(fs::remove_dir(&self.folder));
        Ok(())
    }

    fn append(&self, head: &Head, body: &[u8], meeting: Option<ConfUuid>) -> Result<()> {
        let mut own = locked(&self.own);
        let is_full = |segment: &Segment| segment.bytes >= SEGMENT;
        if own.segments.last().is_none_or(is_full) {
            let segment = self.create(own.made)?;
            own.made += 1;
            own.segments.push(segment);
        }
        let Some(segment) = own.segments.last_mut() else {
            return Ok(());
        };
        let written = frame::front(head, body).and_then(|front| {
            segment.file.write_all(&front)?;
            point(Point::FrameTorn);
            segment.file.write_all(body)?;
            Ok((front.len() + body.len()) as u64)
        });
        match written {
            Ok(bytes) => {
                segment.bytes += bytes;
                segment.meetings.extend(meeting);
                point(Point::FrameWritten);
                Ok(())
            }
            Err(error) => {
                let failed = Error::file("write", &segment.path)(error);
                // What takes room that is not there helps nobody.
                for segment in own.segments.drain(..) {
                    files::remove(&segment.path)?;
                }
                Err(failed)
            }
        }
    }

    /// Makes a file; it gets its name when it is locked, so that no other run takes it for left
    /// behind.
    fn create(&self, number: u32) -> Result<Segment> {
        let path = self.folder.join(format!("{}-{number:04}", self.run_id));
        let (new, path) = (
            path.with_extension(files::NEW),
            path.with_extension(files::ENDING),
        );
        let front = frame::front(&self.question.head(), &[]);
        let front = front.map_err(Error::file("write", &path))?;
        let mut attempt = 1;
        loop {
            match self.begin(&new, &path, &front) {
                Ok(file) => {
                    point(Point::SpoolMade);
                    return Ok(Segment {
                        path,
                        file,
                        bytes: front.len() as u64,
                        meetings: HashSet::new(),
                    });
                }
                // Another run was quicker than the lock, or took the empty folder away.
                Err(Error::File { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn begin(&self, new: &Path, path: &Path, front: &[u8]) -> Result<File> {
        durable_fs::create_private(&self.folder)?;
        let mut file = durable_fs::create_private_file(new)?;
        file.lock()
            .map_err(durable_fs::unlocked(new, Origin::StateDir))?;
        file.write_all(front).map_err(Error::file("write", new))?;
        fs::rename(new, path).map_err(Error::file("rename", new))?;
        Ok(file)
    }
}

/// The key with its walk counted from the first of all runs.
fn counted(found: &Found, mut key: PageKey) -> PageKey {
    key.walk = key.walk.saturating_add(found.first(&key.meeting));
    key
}

impl PageHead {
    fn fetched(&self, body: &[u8]) -> Result<Fetched, arrow_codec::Unreadable> {
        let (records, digests) = arrow_codec::unpack(body)?;
        let page = Page {
            offset: self.offset,
            limit: self.limit,
            count: self.count,
            records,
            digests,
            replaced: self.replaced.clone(),
        };
        Ok(Fetched {
            page,
            at: self.fetched_at,
            request_id: self.request_id.clone(),
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under this lock that a checksum would not find.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
