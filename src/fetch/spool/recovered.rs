//! What dead runs left: which pages, and where they lie.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use super::frame::{Head, PageHead, Place};
use super::{LIFE, PageKey, files, frame};
use crate::api::Fetched;
use crate::error::{Error, Result};
use crate::values::ConfUuid;

/// Most files that are kept open; what older runs left is removed.
const MOST_FILES: usize = 64;

/// A page by walk, offset and limit.
type Asked = (u32, u64, u64);

/// What dead runs left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Locked, so that they are nobody else's.
    files: Vec<(PathBuf, File)>,
    meetings: HashMap<ConfUuid, Meeting>,
}

/// The pages of one meeting.
#[derive(Debug, Default)]
struct Meeting {
    pages: HashMap<Asked, (PageHead, usize, Place)>,
    /// The first walk whose pages are not void.
    first: u32,
}

impl Found {
    /// Takes the files that no live run has; tells of each that could not be used.
    pub(super) fn adopt(paths: Vec<PathBuf>, expected: &Head) -> (Self, Vec<Error>) {
        let (mut found, mut left) = (Self::default(), Vec::new());
        let excess = paths.len().saturating_sub(MOST_FILES);
        for (number, path) in paths.into_iter().enumerate() {
            let done = if number < excess {
                files::remove_left(&path)
            } else {
                found.read(path, expected)
            };
            left.extend(done.err());
        }
        for meeting in found.meetings.values_mut() {
            meeting.pages.retain(|(walk, ..), _| *walk >= meeting.first);
        }
        (found, left)
    }

    fn read(&mut self, path: PathBuf, expected: &Head) -> Result<()> {
        let Some(mut file) = files::lock(&path)? else {
            return Ok(());
        };
        let heads = frame::heads(&mut file).map_err(Error::file("read", &path))?;
        // Whatever it holds, it goes with the others at the end.
        let number = self.files.len();
        self.files.push((path, file));
        let mut heads = heads.into_iter();
        if heads.next().is_none_or(|(head, _)| head != *expected) {
            return Ok(());
        }
        let now = Utc::now();
        for (head, place) in heads {
            match head {
                Head::Page(head) if is_fresh(head.fetched_at, now) => {
                    let asked = (head.key.walk, head.key.offset, head.key.limit);
                    let pages = &mut self.of(&head.key.meeting).pages;
                    let is_newer =
                        |known: &(PageHead, usize, Place)| known.0.fetched_at <= head.fetched_at;
                    if pages.get(&asked).is_none_or(is_newer) {
                        pages.insert(asked, (head, number, place));
                    }
                }
                Head::Page(_) => {}
                Head::Void { meeting, before } => {
                    let meeting = self.of(&meeting);
                    meeting.first = meeting.first.max(before);
                }
                Head::Spool { .. } => break,
            }
        }
        Ok(())
    }

    fn of(&mut self, meeting: &ConfUuid) -> &mut Meeting {
        self.meetings.entry(meeting.clone()).or_default()
    }

    /// Forgets the pages of all other meetings; says how many are left.
    pub(super) fn only<'a>(&mut self, meetings: impl IntoIterator<Item = &'a ConfUuid>) -> u64 {
        let mut all = std::mem::take(&mut self.meetings);
        self.meetings = meetings
            .into_iter()
            .filter_map(|meeting| all.remove_entry(meeting))
            .collect();
        let pages = self.meetings.values().map(|meeting| meeting.pages.len());
        pages.sum::<usize>() as u64
    }

    /// Forgets pages of these meetings that are not newer than this.
    pub(super) fn outdate(&mut self, until: &HashMap<ConfUuid, DateTime<Utc>>) {
        for (meeting, until) in until {
            if let Some(known) = self.meetings.get_mut(meeting) {
                known.pages.retain(|_, (head, ..)| head.fetched_at > *until);
            }
        }
    }

    /// The walks of dead runs that came to nothing count as walks before this run's first.
    pub(super) fn first(&self, meeting: &ConfUuid) -> u32 {
        self.meetings.get(meeting).map_or(0, |known| known.first)
    }

    /// Whether a page is there, with its walk counted from the first of all.
    pub(super) fn has(&self, key: &PageKey) -> bool {
        let meeting = self.meetings.get(&key.meeting);
        meeting.is_some_and(|known| known.pages.contains_key(&(key.walk, key.offset, key.limit)))
    }

    /// Takes a page out, if it is as it was written.
    pub(super) fn take(&mut self, key: &PageKey) -> Result<Option<Fetched>> {
        let asked = (key.walk, key.offset, key.limit);
        let known = self.meetings.get_mut(&key.meeting);
        let Some((head, number, place)) = known.and_then(|known| known.pages.remove(&asked)) else {
            return Ok(None);
        };
        let (path, file) = &mut self.files[number];
        let frame = frame::read(file, place).map_err(Error::file("read", path))?;
        Ok(frame
            .filter(|(found, _)| *found == Head::Page(head.clone()))
            .and_then(|(_, body)| head.fetched(&body).ok()))
    }

    /// Forgets the pages of a meeting.
    pub(super) fn forget(&mut self, meeting: &ConfUuid) {
        if let Some(known) = self.meetings.get_mut(meeting) {
            known.pages.clear();
        }
    }

    /// Removes the files.
    pub(super) fn remove(self) -> Result<()> {
        self.files
            .into_iter()
            .try_for_each(|(path, _lock)| files::remove(&path))
    }
}

/// A time in the future is no time: a clock was set.
fn is_fresh(fetched_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    const SKEW: TimeDelta = TimeDelta::minutes(5);
    let age = now - fetched_at;
    age > -SKEW && age.to_std().unwrap_or_default() <= LIFE
}
