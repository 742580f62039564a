//! Which meetings a run with a window has to bring.
//!
//! Earlier runs left in their reports how far they got. A run looks where it was asked to; on the
//! days of meetings that are not held yet and on those that could not be listed; and by the lookback
//! behind the last instant that was listed, for meetings that come late. It never looks before the
//! earliest instant that any run was asked for. What was found once and is not held is asked for by
//! its name, whether the list shows it still or not. So missed nights, failed meetings and late ones
//! are caught up by any later run. What the dataset holds is skipped by its ledger, not by any clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::client::Client;
use crate::config::Config;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::event::{Event, Observer};
use crate::history::{self, Found, Listings, Meeting};
use crate::moment::before;
use crate::report::{Owed, Unlisted, Window};
use crate::uuid::ConfUuid;
use crate::zone::Span;

/// How far back a run goes for what earlier ones left: the service keeps nothing longer.
const LONGEST_RETENTION: Duration = Duration::from_secs(366 * 86_400);

/// After this a meeting is over, whatever its end is said to be.
const LONGEST_MEETING: TimeDelta = TimeDelta::days(1);

/// A day on which the clocks go back.
const LONGEST_DAY: TimeDelta = TimeDelta::hours(25);

/// The end of a meeting is cut to the minute.
const CUT: TimeDelta = TimeDelta::seconds(59);

/// The window of a run, before it is asked for.
#[derive(Debug)]
pub(super) struct Discovery {
    now: DateTime<Utc>,
    settle: Duration,
    /// What the list tells of a meeting is written as well.
    is_told: bool,
    days: Vec<Span>,
    window: Window,
    /// Meetings that earlier runs found and nobody holds: the list may have lost them since.
    owed: BTreeMap<ConfUuid, Owed>,
    /// Meetings that a repair dropped: no window needs to show them again.
    lost: Vec<ConfUuid>,
}

/// What came of it.
pub(super) struct Work {
    /// The meetings to bring, those that are held included.
    pub(super) meetings: Vec<ConfUuid>,
    /// What the list told of them.
    pub(super) told: Vec<Meeting>,
    pub(super) window: Discovered,
    /// What concerns every request, where something does.
    pub(super) listed: Result<()>,
}

/// The window after its days were listed.
#[derive(Debug)]
pub(super) struct Discovered {
    /// As it would be if every meeting to bring was held.
    pub(super) window: Window,
    /// When the days began on which they were found.
    pub(super) days: HashMap<ConfUuid, DateTime<Utc>>,
    /// When those ended that the list shows, as it tells.
    pub(super) ends: HashMap<ConfUuid, DateTime<Utc>>,
    /// Of them, those without which their whole day was listed now.
    pub(super) delisted: HashSet<ConfUuid>,
}

impl Discovered {
    /// Whether all of it was listed.
    pub(super) fn is_listed(&self) -> bool {
        self.window.unlisted.is_empty()
    }
}

impl Discovery {
    /// Settles where the window begins, where there is one.
    pub(super) async fn plan(
        config: &Config,
        now: DateTime<Utc>,
        window: Option<(DateTime<Utc>, DateTime<Utc>)>,
        dataset: Option<&Dataset>,
        who: Option<String>,
    ) -> Result<Option<Self>> {
        let Some((since, until)) = window else {
            return Ok(None);
        };
        let (mut earlier, mut lost) = match dataset {
            Some(dataset) => {
                let site = config.base_url.origin().ascii_serialization();
                let earlier = dataset
                    .covered(&site, config.query_all, who.as_deref())
                    .await?;
                (earlier, dataset.lost())
            }
            None => (None, vec![]),
        };
        let (mut owed, mut forgotten) = (BTreeMap::new(), 0);
        if let (Some(earlier), Some(dataset)) = (&mut earlier, dataset) {
            let meetings = &mut earlier.owed_meetings;
            let oldest = before(now, LONGEST_RETENTION);
            meetings.retain(|meeting, owed| {
                // What the ledger owes as well is given up once, by the ledger's time.
                let is_lost = || lost.iter().any(|(lost, _)| lost == meeting);
                !dataset.holds(meeting) && (owed.day >= oldest || !is_lost())
            });
            forgotten = earlier.forget(oldest);
            owed = std::mem::take(&mut earlier.owed_meetings);
        }
        // The ledger names them for ever: those that an earlier run gave up are not told again.
        let is_kept = |at: DateTime<Utc>, (_, fetched): &(ConfUuid, DateTime<Utc>)| {
            *fetched >= before(at, LONGEST_RETENTION)
        };
        if let Some(earlier) = &earlier {
            lost.retain(|lost| is_kept(earlier.seen_until, lost));
        }
        let all = lost.len();
        lost.retain(|lost| is_kept(now, lost));
        forgotten += (all - lost.len()) as u64;
        let lost = lost.into_iter().map(|(meeting, _)| meeting).collect();
        let mut begin = since;
        let mut days = history::days(config, since, until)?;
        if let Some(earlier) = &earlier {
            let look = since.min(resume(
                before(earlier.seen_until, config.looks_back()),
                earlier,
                now,
            ));
            begin = look.min(resume(earlier.covered_until, earlier, now));
            days = history::days(config, begin, until)?;
            // Between what was left undone and the lookback nothing is to be found.
            days.retain(|day| day.until > look || earlier.owes(*day));
            // Where not all can be listed, those come first that never were.
            let is_known = |day: &Span| day.until <= earlier.seen_until && !earlier.owes(*day);
            days.sort_by_key(is_known);
        }
        let earliest = |earlier: &Window| earlier.earliest.min(since);
        let covered = |earlier: &Window| earlier.covered_until.max(until);
        let seen = |earlier: &Window| earlier.seen_until.max(until);
        let mut window = Window {
            since: begin,
            until,
            timezone: config.timezone,
            query_all: config.query_all,
            earliest: earlier.as_ref().map_or(since, earliest),
            covered_until: earlier.as_ref().map_or(until, covered),
            seen_until: earlier.as_ref().map_or(until, seen),
            owed: BTreeSet::new(),
            owed_meetings: BTreeMap::new(),
            taken_over: BTreeSet::new(),
            discovered: 0,
            settling: 0,
            requests: 0,
            forgotten,
            is_past_retention: history::is_past_retention(begin, now),
            unlisted: vec![],
            who,
        };
        if let Some(earlier) = &earlier {
            carry_over(earlier, &days, &mut window);
            let taken_over = earlier.taken_over.iter();
            let is_owed = |meeting: &&ConfUuid| owed.contains_key(*meeting);
            window.taken_over = taken_over.filter(is_owed).cloned().collect();
        }
        Ok(Some(Self {
            now,
            // Through a pipe, what is left to the next run is lost: it remembers nothing.
            settle: dataset.map_or(Duration::ZERO, |_| config.settle),
            is_told: super::is_told(config, dataset),
            days,
            window,
            owed,
            lost,
        }))
    }

    /// Lists the window.
    pub(super) async fn run(
        mut self,
        config: &Config,
        client: &Arc<Client>,
        observer: &Observer,
    ) -> Work {
        (observer)(Event::Listing {
            since: self.window.since,
            until: self.window.until,
            is_past_retention: self.window.is_past_retention,
        });
        if self.window.forgotten > 0 {
            let meetings = self.window.forgotten;
            (observer)(Event::Forgotten { meetings });
        }
        let mut days = std::mem::take(&mut self.days);
        // Half of what is set aside is for records: lists alone would bring nothing, run after run.
        let share = config
            .max_requests
            .map(|requests| requests.get().div_ceil(2));
        let share = share.and_then(|share| usize::try_from(share).ok());
        let asked = days.clone();
        let later = days.split_off(share.unwrap_or(days.len()).min(days.len()));
        let mut listings = history::list(config, client, observer, days).await;
        listings
            .unlisted
            .extend(later.into_iter().map(|day| Unlisted {
                since: day.since,
                until: day.until,
                cause: "the requests set aside for this run are for other days".to_owned(),
                request_id: None,
                rows: vec![],
            }));
        let work = self.sort(listings, &asked);
        let settling = work.window.window.settling;
        if settling > 0 {
            (observer)(Event::Settling { meetings: settling });
        }
        work
    }

    /// Sorts what was found into what is to be brought and what is left to the next run.
    fn sort(self, listings: Listings, asked: &[Span]) -> Work {
        let Self {
            now,
            settle,
            is_told,
            mut window,
            mut owed,
            lost,
            ..
        } = self;
        let settled_by = before(now, settle);
        let (mut meetings, mut told) = (vec![], vec![]);
        let (mut days, mut delisted) = (HashMap::new(), HashSet::new());
        let mut ends = HashMap::new();
        window.discovered = listings.found.len() as u64;
        for found in listings.found {
            // The list finds a meeting by when it began in truth, and may tell another time.
            let (day, over) = (found.day.since, over(&found, now));
            let meeting = found.meeting.conf_uuid.clone();
            owed.remove(&meeting);
            window.taken_over.remove(&meeting);
            if over <= settled_by {
                days.insert(meeting.clone(), day);
                ends.insert(meeting.clone(), over);
                meetings.push(meeting);
                told.push(found.meeting);
            } else {
                window.settling += 1;
                window.leave(meeting, Owed { day, over });
            }
        }
        for (meeting, owed) in owed {
            // What only the list tells of it would be lost for good: it waits for its day.
            let is_day_listed = is_listed(owed.day, asked, &listings.unlisted);
            let is_delisted = is_day_listed && !window.taken_over.contains(&meeting);
            if owed.day >= window.until || is_told && !is_day_listed {
                window.leave(meeting, owed);
            } else if owed.over <= settled_by {
                days.insert(meeting.clone(), owed.day);
                if is_delisted {
                    delisted.insert(meeting.clone());
                }
                meetings.push(meeting);
            } else {
                window.settling += 1;
                window.leave(meeting, owed);
            }
        }
        for day in &listings.unlisted {
            window.covered_until = window.covered_until.min(day.since);
        }
        window.unlisted = listings.unlisted;
        meetings.extend(lost.into_iter().filter(|lost| !days.contains_key(lost)));
        Work {
            meetings,
            told,
            window: Discovered {
                window,
                days,
                ends,
                delisted,
            },
            listed: listings.outcome,
        }
    }
}

/// What earlier runs owe and this one does not look for is owed by this one.
fn carry_over(earlier: &Window, days: &[Span], window: &mut Window) {
    let is_looked_for = |instant: DateTime<Utc>| {
        let mut days = days.iter();
        days.any(|day| day.since <= instant && instant < day.until)
    };
    let unlisted = earlier.unlisted.iter();
    let ends = unlisted.flat_map(|day| [day.since, day.until - TimeDelta::milliseconds(1)]);
    for instant in ends.chain(earlier.owed.iter().copied()) {
        if !is_looked_for(instant) {
            window.owe(instant);
        }
    }
}

/// Whether all of the day that begins then was listed, in whichever time zone it was one.
fn is_listed(day: DateTime<Utc>, asked: &[Span], unlisted: &[Unlisted]) -> bool {
    let end = day.checked_add_signed(LONGEST_DAY).unwrap_or(day);
    let is_missing = |unlisted: &Unlisted| unlisted.since < end && day < unlisted.until;
    let is_of = |span: &Span| span.since <= day && day < span.until;
    asked.iter().any(is_of) && !unlisted.iter().any(is_missing)
}

/// Where a run begins that has to go back to `instant` for the sake of those before it.
fn resume(instant: DateTime<Utc>, earlier: &Window, now: DateTime<Utc>) -> DateTime<Utc> {
    instant
        .max(earlier.earliest)
        .max(before(now, LONGEST_RETENTION))
}

/// When a meeting is over. One whose end is not told, or is yet to come, is after a day.
fn over(found: &Found, now: DateTime<Utc>) -> DateTime<Utc> {
    match found.meeting.end {
        Some(end) if end <= now => end + CUT,
        _ => {
            // It began on its day, whatever is told.
            let latest = found.day.until;
            let start = found
                .meeting
                .start
                .map_or(latest, |start| start.min(latest));
            start.checked_add_signed(LONGEST_MEETING).unwrap_or(latest)
        }
    }
}
