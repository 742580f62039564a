//! How far the windows of earlier runs got, told by their reports.

use std::cmp::Reverse;

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
#[derive(Clone, Deserialize)]
struct Told {
    #[serde(skip)]
    path: String,
    /// The run was at work when the latest one began, which could not know what it would leave.
    #[serde(skip)]
    is_beside: bool,
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

impl Told {
    /// Whether a run that began at `since` could not know what this one left.
    fn is_unknown_to(&self, since: DateTime<Utc>) -> bool {
        self.is_beside || self.finished >= since || self.started == since
    }

    /// The asker of the window: others may see other meetings.
    fn asker(&self) -> (bool, Option<&str>) {
        (self.window.query_all, self.window.who.as_deref())
    }
}

impl Dataset {
    /// How far earlier runs of the same question got: as the latest one says, and with what runs
    /// left that it could not know of, since they ended after it began. All that is owed is in
    /// the window by name, as far as the reports have names.
    ///
    /// Work that runs with other credentials left since then is owed as well; their windows have what
    /// they took over themselves. If no run had these credentials, the window is the latest one of
    /// others.
    pub(crate) async fn covered(
        &self,
        base_url: &str,
        query_all: bool,
        who: Option<&str>,
    ) -> Result<Option<Window>> {
        let objects = self.store.list(RUNS).await?.into_iter();
        let paths = objects.map(|object| object.path);
        let reports: Vec<_> = paths.filter(|path| run_of(path).is_some()).collect();
        let asker = (query_all, who);
        let (mut own, mut others): (Vec<Told>, Vec<Told>) = (vec![], vec![]);
        // Their names begin with the time that the runs began.
        for together in reports.rchunks(TOGETHER) {
            let mut told = self.told(together.iter().collect()).await?;
            told.retain(|told| told.base_url == base_url);
            let (same, other) = told.into_iter().partition(|told| told.asker() == asker);
            (own, others) = (same, [other, others].concat());
            let Some(latest) = own.iter().max_by_key(|told| told.started) else {
                continue;
            };
            // Those at work when it began, which may have begun long before.
            let is_beside = |path: &&String| {
                let run = run_of(path).unwrap_or_default();
                latest.beside.iter().any(|beside| beside == run) && !together.contains(path)
            };
            let mut beside = self
                .told(reports.iter().filter(is_beside).collect())
                .await?;
            beside.retain(|told| told.base_url == base_url);
            beside.iter_mut().for_each(|told| told.is_beside = true);
            let (same, other): (Vec<_>, Vec<_>) =
                beside.into_iter().partition(|told| told.asker() == asker);
            own.extend(same);
            others.extend(other);
            break;
        }
        let last = |told: &[Told]| told.iter().map(|told| told.started).max();
        let Some(since) = last(&own).or_else(|| last(&others)) else {
            return Ok(None);
        };
        let mut all = self.left_by(own).await?;
        others.retain(|told| told.is_unknown_to(since));
        // Where there is no window of these credentials, it is the latest one of others.
        others.sort_by_key(|told| Reverse(told.started));
        while let Some(first) = others.first() {
            let (query_all, who) = (first.window.query_all, first.window.who.clone());
            let asker = (query_all, who.as_deref());
            let (same, rest) = others.into_iter().partition(|told| told.asker() == asker);
            others = rest;
            let other = self.left_by(same).await?;
            all = match (all, other) {
                (Some(mut all), Some(other)) => {
                    all.take_over(other);
                    Some(all)
                }
                (None, Some(mut other)) => {
                    other.taken_over = other.owed_meetings.keys().cloned().collect();
                    Some(other)
                }
                (all, None) => all,
            };
        }
        Ok(all)
    }

    /// Joins what runs of one asker left undone: the latest one, and those that ended after it began.
    async fn left_by(&self, mut told: Vec<Told>) -> Result<Option<Window>> {
        let Some(last) = told.iter().map(|told| told.started).max() else {
            return Ok(None);
        };
        told.retain(|told| told.is_unknown_to(last));
        let mut all: Option<Window> = None;
        for told in told {
            let mut one = told.window;
            one.owed_meetings.extend(self.absent(&told.path).await?);
            all = Some(match all {
                Some(all) => join(all, one),
                None => one,
            });
        }
        Ok(all)
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
    one.taken_over.extend(other.taken_over);
    one.unlisted.extend(other.unlisted);
    one
}
