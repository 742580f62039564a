//! How far the windows of earlier runs got, told by their reports.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::Dataset;
use super::layout::{RUNS, run_of};
use crate::error::Result;
use crate::report::{MeetingStatus, Owed, Window};
use crate::uuid::ConfUuid;

/// Reports read at once.
const READS: usize = 8;

/// Reports that are looked at together, from the latest on.
const TOGETHER: usize = 24;

/// What a report tells of it. One without a window, or of another form, tells nothing.
#[derive(Deserialize)]
struct Told {
    started: DateTime<Utc>,
    finished: DateTime<Utc>,
    base_url: String,
    window: Window,
    #[serde(default)]
    beside: Vec<String>,
    #[serde(default)]
    per_meeting: Vec<Met>,
}

/// A meeting that a run asked for.
#[derive(Deserialize)]
struct Met {
    conf_uuid: ConfUuid,
    status: MeetingStatus,
    #[serde(default)]
    day: Option<DateTime<Utc>>,
}

impl Told {
    /// The window, in which every meeting is named that the run found and the dataset lacked.
    fn into_window(self) -> Window {
        let mut window = self.window;
        let absent = self.per_meeting.into_iter();
        let absent = absent.filter(|met| met.status != MeetingStatus::Complete);
        window.owed_meetings.extend(absent.filter_map(|met| {
            let day = met.day?;
            // Who asked for it took it for over.
            Some((met.conf_uuid, Owed { day, over: day }))
        }));
        window
    }
}

impl Dataset {
    /// How far earlier runs of the same question got: as the latest one says, and with what runs
    /// left that it could not know of, since they ended after it began. All that is owed is in
    /// the window by name, as far as the reports have names.
    pub(crate) async fn covered(
        &self,
        base_url: &str,
        query_all: bool,
        who: Option<&str>,
    ) -> Result<Option<Window>> {
        let mut reports = self.store.list(RUNS).await?;
        reports.retain(|object| run_of(&object.path).is_some());
        let is_the_same = |told: &Told| {
            let window = &told.window;
            let is_same_site = told.base_url == base_url;
            is_same_site && window.query_all == query_all && window.who.as_deref() == who
        };
        // Their names begin with the time that the runs began.
        for together in reports.rchunks(TOGETHER) {
            let paths: Vec<_> = together.iter().map(|object| object.path.clone()).collect();
            let mut told = self.told(paths.clone()).await?;
            told.retain(is_the_same);
            let Some(latest) = told.iter().max_by_key(|told| told.started) else {
                continue;
            };
            let last = latest.started;
            // Those at work when it began, which may have begun long before.
            let is_beside = |path: &String| {
                let run = run_of(path).unwrap_or_default();
                latest.beside.iter().any(|beside| beside == run) && !paths.contains(path)
            };
            let beside = reports.iter().map(|object| &object.path);
            let beside = beside.filter(|path| is_beside(path)).cloned().collect();
            told.retain(|told| told.finished >= last || told.started == last);
            let beside = self.told(beside).await?.into_iter().filter(is_the_same);
            return Ok(told
                .into_iter()
                .chain(beside)
                .map(Told::into_window)
                .reduce(|mut one, other| {
                    one.earliest = one.earliest.min(other.earliest);
                    one.covered_until = one.covered_until.min(other.covered_until);
                    one.seen_until = one.seen_until.max(other.seen_until);
                    one.owed.extend(other.owed);
                    one.owed_meetings.extend(other.owed_meetings);
                    one.unlisted.extend(other.unlisted);
                    one
                }));
        }
        Ok(None)
    }

    /// What these reports tell, where they are there.
    async fn told(&self, paths: Vec<String>) -> Result<Vec<Told>> {
        let reads = paths.iter().map(|path| self.store.read(path));
        let reads: Vec<_> = reads.collect();
        let read: Vec<_> = stream::iter(reads).buffered(READS).try_collect().await?;
        let told = read.into_iter().flatten();
        Ok(told
            .filter_map(|bytes| serde_json::from_slice(&bytes).ok())
            .collect())
    }
}
