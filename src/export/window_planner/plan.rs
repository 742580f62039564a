//! Which days a window lists, which meetings it brings, and what it leaves to later runs.
//!
//! Pure: the time, what earlier runs left, and what the list answered come from the caller. Days are
//! spans of time, so that a time zone that changed between two runs changes nothing: a later run
//! lists every day that touches what is owed, and only what was listed whole counts as listed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Discovered, Work};
use crate::config::Config;
use crate::error::Result;
use crate::fetch::{Bounds, Found, Listings, history, history_bounds};
use crate::report::{Owed, Unlisted, Window};
use crate::values::{ConfUuid, Span, before};

/// How far back a run goes for what earlier ones left: the service keeps nothing longer.
const LONGEST_RETENTION: Duration = Duration::from_secs(366 * 86_400);

/// After this a meeting is over, whatever its end is said to be.
const LONGEST_MEETING: TimeDelta = TimeDelta::days(1);

/// A day on which the clocks go back.
const LONGEST_DAY: TimeDelta = TimeDelta::hours(25);

/// The end of a meeting is cut to the minute.
const CUT: TimeDelta = TimeDelta::seconds(59);

/// What earlier runs left, and what a run does with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// How far they got, and what they owe.
    pub(super) earlier: Option<Window>,
    /// Meetings that a repair dropped, and when they were fetched: no window needs to show them again.
    pub(super) lost: Vec<(ConfUuid, DateTime<Utc>)>,
    pub(super) settle: Duration,
    /// What the list tells of a meeting is written as well.
    pub(super) is_told: bool,
    pub(super) who: Option<String>,
}

/// The window of a run, before it is asked for.
#[derive(Debug)]
pub(super) struct Plan {
    now: DateTime<Utc>,
    settle: Duration,
    is_told: bool,
    pub(super) days: Vec<Span>,
    pub(super) window: Window,
    /// Meetings that earlier runs found and nobody holds, with the days that they were found on: the
    /// list may have lost them since.
    owed: BTreeMap<ConfUuid, (Owed, Span)>,
    lost: Vec<ConfUuid>,
}

impl Plan {
    /// Settles where the window begins and which of its days are listed.
    ///
    /// # Errors
    ///
    /// A window that is longer than any that the service has.
    pub(super) fn new(config: &Config, past: &Past, bounds: Bounds) -> Result<Self> {
        let Bounds { since, until, now } = bounds;
        let oldest = before(now, LONGEST_RETENTION);
        let (mut earlier, mut lost) = (past.earlier.clone(), past.lost.clone());
        let (mut owed, mut forgotten) = (BTreeMap::new(), 0);
        if let Some(earlier) = &mut earlier {
            earlier.owed_meetings.retain(|meeting, owed| {
                // What the ledger owes as well is given up once, by the ledger's time.
                let is_lost = || past.lost.iter().any(|(lost, _)| lost == meeting);
                owed.day >= oldest || !is_lost()
            });
            forgotten = earlier.forget(oldest);
            let meetings = std::mem::take(&mut earlier.owed_meetings).into_iter();
            owed = meetings
                .map(|(meeting, owed)| (meeting, (owed, day_of(owed, earlier))))
                .collect();
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
        let follows = |earlier: &Window| earlier.follows.clone();
        let mut window = Window {
            since: begin,
            until,
            timezone: config.timezone,
            query_all: config.query_all,
            earliest: earlier.as_ref().map_or(since, earliest),
            covered_until: earlier.as_ref().map_or(until, covered),
            seen_until: earlier.as_ref().map_or(until, seen),
            follows: earlier.as_ref().map_or_else(BTreeSet::new, follows),
            owed: BTreeMap::new(),
            owed_meetings: BTreeMap::new(),
            taken_over: BTreeSet::new(),
            discovered: 0,
            settling: 0,
            requests: 0,
            forgotten,
            is_past_retention: history_bounds::is_past_retention(begin, now),
            unlisted: vec![],
            who: past.who.clone(),
        };
        if let Some(earlier) = &earlier {
            carry_over(earlier, &days, &mut window);
            let taken_over = earlier.taken_over.iter();
            let is_owed = |meeting: &&ConfUuid| owed.contains_key(*meeting);
            window.taken_over = taken_over.filter(is_owed).cloned().collect();
        }
        Ok(Self {
            now,
            settle: past.settle,
            is_told: past.is_told,
            days,
            window,
            owed,
            lost,
        })
    }

    /// What is to be done about what the list of the `asked` days has. Later than `now` nothing was
    /// seen, whatever the window was meant to be.
    pub(super) fn sort(self, listings: Listings, asked: &[Span], now: DateTime<Utc>) -> Work {
        let Self {
            settle,
            is_told,
            mut window,
            mut owed,
            lost,
            ..
        } = self;
        let now = self.now.min(now);
        window.cut(now);
        let settled_by = before(now, settle);
        let (mut meetings, mut told) = (vec![], vec![]);
        let (mut days, mut delisted) = (HashMap::new(), HashSet::new());
        let mut ends = HashMap::new();
        window.discovered = listings.found.len() as u64;
        for found in listings.found {
            // The list finds a meeting by when it began in truth, and may tell another time.
            let (day, over) = (found.day, over(&found, now));
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
                window.leave(meeting, day, over);
            }
        }
        for (meeting, (owed, day)) in owed {
            // What only the list tells of it would be lost for good: it waits for its day.
            let is_day_listed = is_listed(day, asked, &listings.unlisted);
            let is_delisted = is_day_listed && !window.taken_over.contains(&meeting);
            if owed.day >= window.until || is_told && !is_day_listed {
                window.leave(meeting, day, owed.over);
            } else if owed.over <= settled_by {
                days.insert(meeting.clone(), day);
                if is_delisted {
                    delisted.insert(meeting.clone());
                }
                meetings.push(meeting);
            } else {
                window.settling += 1;
                window.leave(meeting, day, owed.over);
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
            window: Some(Discovered {
                window,
                days,
                ends,
                delisted,
            }),
            listed: listings.outcome,
        }
    }
}

/// The day that an owed meeting was found on, whole.
fn day_of(owed: Owed, earlier: &Window) -> Span {
    let longest = || owed.day.checked_add_signed(LONGEST_DAY);
    let until = earlier.owed.get(&owed.day).copied().or_else(longest);
    Span {
        since: owed.day,
        until: until.unwrap_or(owed.day),
    }
}

/// What earlier runs owe and this one does not look for is owed by this one.
fn carry_over(earlier: &Window, days: &[Span], window: &mut Window) {
    let unlisted = earlier.unlisted.iter();
    let unlisted = unlisted.map(|day| (day.since, day.until));
    let owed = earlier.owed.iter().map(|(since, until)| (*since, *until));
    for (since, until) in unlisted.chain(owed) {
        for piece in missing(Span { since, until }, days) {
            window.owe(piece);
        }
    }
}

/// What of a span none of these has.
fn missing(span: Span, of: &[Span]) -> Vec<Span> {
    let mut left = vec![span];
    for had in of {
        let pieces = left.into_iter().flat_map(|piece| {
            let before = Span {
                since: piece.since,
                until: piece.until.min(had.since),
            };
            let after = Span {
                since: piece.since.max(had.until),
                until: piece.until,
            };
            [before, after]
        });
        left = pieces.filter(|piece| piece.since < piece.until).collect();
    }
    left
}

/// Whether all of a day was listed, by the days of whichever time zone.
fn is_listed(day: Span, asked: &[Span], unlisted: &[Unlisted]) -> bool {
    let is_missing = |other: &Unlisted| other.since < day.until && day.since < other.until;
    !unlisted.iter().any(is_missing) && missing(day, asked).is_empty()
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
