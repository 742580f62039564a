//! How far the windows of earlier runs got, by their reports.
//!
//! 1. No clock orders the reports. Each names the runs that it goes on from, so the latest ones of an
//!    asker are those that no other of the same asker names.
//! 2. A report whose window reaches into the future was written by a wrong clock: how far it got is
//!    not believed, and the runs that it went on from count in its place. What it owes is kept.
//! 3. What the latest runs with other credentials owe is owed as well, unless a run with these
//!    credentials has taken it over already.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet, VecDeque};

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use crate::api::TOLERANCE;
use crate::dataset::store::Object;
use crate::dataset::{Dataset, RUNS, report_path, run_of};
use crate::error::{Error, Result};
use crate::report::{Owed, Window};
use crate::values::ConfUuid;

/// Reports read at once.
const READS: usize = 8;

/// Reports that are looked at together, from the latest on.
const TOGETHER: usize = 24;

/// Reports that are read for what a wrong clock went on from.
const MOST_BEFORE: usize = 96;

/// What became of a meeting that is whole, as reports spell it.
const COMPLETE: &str = "complete";

/// Whose windows: the site, whether of all users, and the digest of who asked.
pub(crate) type Asker<'a> = (&'a str, bool, Option<&'a str>);

/// What a report tells of it. One without a window, or of another form, tells nothing.
#[derive(Clone, Deserialize)]
struct Told {
    #[serde(skip)]
    path: String,
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

/// The reports that there are, and the time.
struct Reports {
    all: HashSet<String>,
    now: DateTime<Utc>,
}

impl Told {
    fn run_id(&self) -> &str {
        run_of(&self.path).unwrap_or_default()
    }

    /// The asker of the window: others may see other meetings.
    fn asker(&self) -> Asker<'_> {
        let window = &self.window;
        (&self.base_url, window.query_all, window.who.as_deref())
    }

    /// Whether its window ends in the past.
    fn is_believed(&self, now: DateTime<Utc>) -> bool {
        self.window.seen_until <= now.checked_add_signed(TOLERANCE).unwrap_or(now)
    }
}

impl Dataset {
    /// How far earlier runs of the same asker got by this time: what the latest ones tell, joined, and
    /// what runs with other credentials owe. All that is owed is in the window by name, as far as the
    /// reports have names. If no run had these credentials, the window is the latest one of others.
    pub(crate) async fn covered(
        &self,
        asker: Asker<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Window>> {
        let objects = self.store.list(RUNS).await?.into_iter();
        let by_name: Vec<_> = objects
            .filter(|object| run_of(&object.path).is_some())
            .collect();
        let mut by_age: Vec<&Object> = by_name.iter().collect();
        by_age.sort_by_key(|object| object.modified);
        let reports = Reports {
            all: by_name.iter().map(|object| object.path.clone()).collect(),
            now,
        };
        let (mut read, mut told): (HashSet<String>, Vec<Told>) = (HashSet::new(), vec![]);
        let is_own = |told: &Told| told.asker() == asker;
        // Names begin with the time that the runs began by the clocks of their machines.
        for (names, ages) in by_name.rchunks(TOGETHER).zip(by_age.rchunks(TOGETHER)) {
            let ages = ages.iter().map(|object| &object.path);
            let paths: BTreeSet<_> = names
                .iter()
                .map(|object| &object.path)
                .chain(ages)
                .collect();
            let paths = paths.into_iter().cloned();
            let paths = paths.filter(|path| read.insert(path.clone())).collect();
            told.extend(self.told(paths).await?);
            told.retain(|told| told.base_url == asker.0);
            if !told.iter().any(is_own) {
                continue;
            }
            // Those at work when the latest began, which may have begun long before.
            let own = latest(told.iter().filter(|told| is_own(told)).collect());
            let beside = own.iter().flat_map(|told| told.beside.iter());
            let beside: BTreeSet<_> = beside.map(|run| report_path(run)).collect();
            let beside = beside.into_iter().filter(|path| reports.all.contains(path));
            let beside = beside.filter(|path| read.insert(path.clone())).collect();
            told.extend(self.told(beside).await?);
            told.retain(|told| told.base_url == asker.0);
            break;
        }
        self.joined(told, asker, &reports).await
    }

    /// What these leave to be done by this asker.
    async fn joined(
        &self,
        told: Vec<Told>,
        asker: Asker<'_>,
        reports: &Reports,
    ) -> Result<Option<Window>> {
        let (own, others): (Vec<&Told>, Vec<&Told>) =
            told.iter().partition(|told| told.asker() == asker);
        let taken_over: HashSet<_> = own.iter().flat_map(|told| &told.window.follows).collect();
        let followed: HashSet<_> = told.iter().flat_map(|told| &told.window.follows).collect();
        let own = latest(own);
        let mut follows: BTreeSet<_> = own.iter().map(|told| told.run_id().to_owned()).collect();
        let mut all = self.left_by(own, reports).await?;
        let is_known = |told: &&Told| taken_over.contains(&told.run_id().to_owned());
        let mut others: Vec<_> = others.into_iter().filter(|told| !is_known(told)).collect();
        // Where there is no window of these credentials, it is one that nobody went on from.
        others.sort_by_key(|told| {
            let is_followed = followed.contains(&told.run_id().to_owned());
            (is_followed, Reverse(told.path.clone()))
        });
        while let Some(first) = others.first() {
            let asker = first.asker();
            let (same, rest) = others.into_iter().partition(|told| told.asker() == asker);
            others = rest;
            let same = latest(same);
            follows.extend(same.iter().map(|told| told.run_id().to_owned()));
            let other = self.left_by(same, reports).await?;
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
        Ok(all.map(|all| Window { follows, ..all }))
    }

    /// Joins what the latest runs of one asker left undone.
    async fn left_by(&self, latest: Vec<&Told>, reports: &Reports) -> Result<Option<Window>> {
        let mut all: Option<Window> = None;
        for told in latest {
            let mut one = self.believed(told, reports).await?;
            one.owed_meetings.extend(self.absent(&told.path).await?);
            all = Some(match all {
                Some(all) => join(all, one),
                None => one,
            });
        }
        Ok(all)
    }

    /// The window of a report, which got no further than is believed.
    async fn believed(&self, told: &Told, reports: &Reports) -> Result<Window> {
        let mut window = told.window.clone();
        if told.is_believed(reports.now) {
            return Ok(window);
        }
        let mut before: VecDeque<_> = window.follows.iter().cloned().collect();
        let mut read: BTreeSet<String> = window.follows.clone();
        let mut reached: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
        while let Some(run) = before.pop_front() {
            let path = Some(report_path(&run)).filter(|path| reports.all.contains(path));
            for earlier in self.told(path.into_iter().collect()).await? {
                if earlier.asker() != told.asker() {
                    continue;
                }
                let one = &earlier.window;
                if earlier.is_believed(reports.now) {
                    let (covered, seen) = reached.unwrap_or((one.covered_until, one.seen_until));
                    reached = Some((one.covered_until.min(covered), one.seen_until.max(seen)));
                } else if read.len() < MOST_BEFORE {
                    let fresh = one.follows.iter().cloned();
                    before.extend(fresh.filter(|run| read.insert(run.clone())));
                }
            }
        }
        // One that went on from none is held to have got nowhere.
        let nowhere = window.earliest.min(reports.now);
        (window.covered_until, window.seen_until) = reached.unwrap_or((nowhere, nowhere));
        Ok(window)
    }

    /// What these reports tell, where they are there.
    async fn told(&self, paths: Vec<String>) -> Result<Vec<Told>> {
        let reads = paths.into_iter().map(async |path| {
            let bytes = self.store.read(&path).await?;
            let told = bytes.and_then(|bytes| serde_json::from_slice::<Told>(&bytes).ok());
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

/// Those that no other of these goes on from; all, where each names another.
fn latest(told: Vec<&Told>) -> Vec<&Told> {
    let followed: HashSet<_> = told.iter().flat_map(|told| &told.window.follows).collect();
    let is_followed = |told: &&&Told| followed.iter().any(|run| *run == told.run_id());
    let latest: Vec<_> = told
        .iter()
        .filter(|told| !is_followed(told))
        .copied()
        .collect();
    if latest.is_empty() { told } else { latest }
}

/// What both leave to be done.
fn join(mut one: Window, other: Window) -> Window {
    one.earliest = one.earliest.min(other.earliest);
    one.covered_until = one.covered_until.min(other.covered_until);
    one.seen_until = one.seen_until.max(other.seen_until);
    one.add_owed(other.owed);
    one.owed_meetings.extend(other.owed_meetings);
    one.taken_over.extend(other.taken_over);
    one.unlisted.extend(other.unlisted);
    one
}
