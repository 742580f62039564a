//! How far the windows of earlier runs got, told by their reports.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::Dataset;
use super::layout::{RUNS, run_of};
use crate::error::{Error, Result};
use crate::report::{Owed, Window};
use crate::uuid::ConfUuid;

/// Reports read at once.
const READS: usize = 8;

/// Reports that are looked at together, from the latest on.
const TOGETHER: usize = 24;

/// What became of a meeting that is whole, as reports spell it.
const COMPLETE: &str = "complete";

/// What a report tells of it. One without a window, or of another form, tells nothing.
#[derive(Deserialize)]
struct Told {
    #[serde(skip)]
    path: String,
    started: DateTime<Utc>,
    finished: DateTime<Utc>,
    base_url: String,
    window: Window,
    #[serde(default)]
    beside: Vec<String>,
}

/// The meetings that a run asked for: up to 100,000, so that only the reports that count are read
/// for them.
#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    per_meeting: Vec<Met>,
}

#[derive(Deserialize)]
struct Met {
    conf_uuid: ConfUuid,
    /// One that this version does not know is of a meeting that is not whole.
    status: String,
    #[serde(default)]
    day: Option<DateTime<Utc>>,
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
        let objects = self.store.list(RUNS).await?.into_iter();
        let paths = objects.map(|object| object.path);
        let reports: Vec<_> = paths.filter(|path| run_of(path).is_some()).collect();
        let is_the_same = |told: &Told| {
            let window = &told.window;
            let is_same_site = told.base_url == base_url;
            is_same_site && window.query_all == query_all && window.who.as_deref() == who
        };
        // Their names begin with the time that the runs began.
        for together in reports.rchunks(TOGETHER) {
            let mut told = self.told(together.iter().collect()).await?;
            told.retain(is_the_same);
            let Some(latest) = told.iter().max_by_key(|told| told.started) else {
                continue;
            };
            let last = latest.started;
            // Those at work when it began, which may have begun long before.
            let is_beside = |path: &&String| {
                let run = run_of(path).unwrap_or_default();
                latest.beside.iter().any(|beside| beside == run) && !together.contains(path)
            };
            let mut beside = self
                .told(reports.iter().filter(is_beside).collect())
                .await?;
            beside.retain(is_the_same);
            told.retain(|told| told.finished >= last || told.started == last);
            told.extend(beside);
            let mut all: Option<Window> = None;
            for told in told {
                let mut one = told.window;
                one.owed_meetings.extend(self.absent(&told.path).await?);
                all = Some(match all {
                    Some(all) => join(all, one),
                    None => one,
                });
            }
            return Ok(all);
        }
        Ok(None)
    }

    /// What these reports tell, where they are there.
    async fn told(&self, paths: Vec<&String>) -> Result<Vec<Told>> {
        let reads = paths.into_iter().map(async |path| {
            let bytes = self.store.read(path).await?;
            let told = bytes.and_then(|bytes| serde_json::from_slice::<Told>(&bytes).ok());
            let path = path.clone();
            Ok::<_, Error>(told.map(|told| Told { path, ..told }))
        });
        let reads: Vec<_> = reads.collect();
        let told = stream::iter(reads).buffered(READS);
        told.try_filter_map(async |told| Ok(told))
            .try_collect()
            .await
    }

    /// The meetings that a run found and asked for in vain.
    async fn absent(&self, path: &str) -> Result<Vec<(ConfUuid, Owed)>> {
        let bytes = self.store.read(path).await?;
        let asked = bytes.and_then(|bytes| serde_json::from_slice::<Asked>(&bytes).ok());
        let met = asked.unwrap_or_default().per_meeting.into_iter();
        let absent = met.filter(|met| met.status != COMPLETE);
        // Who asked for it took it for over.
        let owed = absent.filter_map(|met| {
            let day = met.day?;
            Some((met.conf_uuid, Owed { day, over: day }))
        });
        Ok(owed.collect())
    }
}

/// What both leave to be done.
fn join(mut one: Window, other: Window) -> Window {
    one.earliest = one.earliest.min(other.earliest);
    one.covered_until = one.covered_until.min(other.covered_until);
    one.seen_until = one.seen_until.max(other.seen_until);
    one.owed.extend(other.owed);
    one.owed_meetings.extend(other.owed_meetings);
    one.unlisted.extend(other.unlisted);
    one
}
