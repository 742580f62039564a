//! The window of a run: how far it and those before it got, and what they owe.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::values::{ConfUuid, Span, Zone};

/// The window of a run, and how far it and those before it got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its first instant: earlier than asked for where runs before left something to do, and by
    /// the lookback.
    pub since: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
    /// Whose days it was cut into.
    pub timezone: Zone,
    /// Whether the meetings of all users were asked for.
    pub query_all: bool,
    /// The earliest instant that this run or one before it was asked for: none looks behind it.
    pub earliest: DateTime<Utc>,
    /// Where the first begins of what is owed or could not be listed; else as far as any run got.
    pub covered_until: DateTime<Utc>,
    /// The latest instant that this run or one before it asked the list for.
    pub seen_until: DateTime<Utc>,
    /// The runs whose windows this one goes on from, by their names. A run that no other follows is
    /// one of the latest, whatever the clocks showed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub follows: BTreeSet<String>,
    /// The days on which meetings were found that are not held, each from its first instant to the
    /// first one after it: the next run looks there again, and on the days that could not be listed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owed: BTreeMap<DateTime<Utc>, DateTime<Utc>>,
    /// The meetings that were found, are not held and were not asked for by this run: the next one
    /// does so, whether the list shows them then or not. Those that were asked for in vain are in
    /// `per_meeting`, with the `day` that they were found on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owed_meetings: BTreeMap<ConfUuid, Owed>,
    /// Of the meetings that are owed, those that were found with other credentials: that these do not
    /// list them tells nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub taken_over: BTreeSet<ConfUuid>,
    /// Who asked, as a digest: others may see other meetings. A token does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Meetings found.
    pub discovered: u64,
    /// Left to the next run, since they ended too recently.
    pub settling: u64,
    /// Attempts sent for the list; they are not among the requests for pages.
    pub requests: u64,
    /// Of what runs before left, the meetings that are given up: the service keeps none so long, or
    /// says that there is no such meeting, which its list of that day confirms.
    #[serde(default, skip_serializing_if = "super::run_report::is_zero")]
    pub forgotten: u64,
    /// The window begins before what the service keeps by default (6 months): what it has removed
    /// is not listed any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_past_retention: bool,
    /// Days whose list could not be had whole; none of their meetings were exported, but where single
    /// rows could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<Unlisted>,
}

impl Window {
    /// Whether the next run has to look again at some of this time.
    pub(crate) fn owes(&self, span: Span) -> bool {
        let touches = |since, until| since < span.until && span.since < until;
        let is_owed = |(since, until): (&DateTime<Utc>, &DateTime<Utc>)| touches(*since, *until);
        let is_unlisted = |day: &Unlisted| touches(day.since, day.until);
        self.owed.iter().any(is_owed) || self.unlisted.iter().any(is_unlisted)
    }

    /// Takes over what a run with other credentials left undone. They may have seen other meetings:
    /// what they listed is not taken for listed.
    pub(crate) fn take_over(&mut self, other: Self) {
        let days = other.unlisted.iter().map(|day| day.since);
        let named = other.owed_meetings.values().map(|owed| owed.day);
        let left = days.chain(other.owed.keys().copied()).chain(named);
        if let Some(first) = left.min() {
            self.earliest = self.earliest.min(first);
            self.covered_until = self.covered_until.min(first);
        }
        self.add_owed(other.owed);
        self.unlisted.extend(other.unlisted);
        for (meeting, owed) in other.owed_meetings {
            if let Entry::Vacant(vacant) = self.owed_meetings.entry(meeting) {
                self.taken_over.insert(vacant.key().clone());
                vacant.insert(owed);
            }
        }
    }

    /// Gives up what is older than this; counts the meetings.
    pub(crate) fn forget(&mut self, oldest: DateTime<Utc>) -> u64 {
        let before = self.owed_meetings.len();
        self.owed_meetings.retain(|_, owed| owed.day >= oldest);
        self.owed = self.owed.split_off(&oldest);
        self.unlisted.retain(|day| day.until > oldest);
        (before - self.owed_meetings.len()) as u64
    }

    /// One more meeting that is not held and not asked for.
    pub(crate) fn leave(&mut self, meeting: ConfUuid, day: Span, over: DateTime<Utc>) {
        self.owe(day);
        let day = day.since;
        self.owed_meetings.insert(meeting, Owed { day, over });
    }

    /// One more day with a meeting that is not held.
    pub(crate) fn owe(&mut self, day: Span) {
        let until = self.owed.entry(day.since).or_insert(day.until);
        *until = day.until.max(*until);
        self.covered_until = self.covered_until.min(day.since);
    }

    /// Adds days that are owed.
    pub(crate) fn add_owed(&mut self, owed: BTreeMap<DateTime<Utc>, DateTime<Utc>>) {
        for (since, until) in owed {
            let known = self.owed.entry(since).or_insert(until);
            *known = until.max(*known);
        }
    }

    /// Nothing was seen later than this.
    pub(crate) fn cut(&mut self, now: DateTime<Utc>) {
        self.until = self.until.min(now);
        self.covered_until = self.covered_until.min(now);
        self.seen_until = self.seen_until.min(now);
    }
}

/// A meeting that is not held, and was not asked for yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// When the day began that it was found on.
    pub day: DateTime<Utc>,
    /// When it is over, as the list last told.
    pub over: DateTime<Utc>,
}

/// A day, or what of it is in the window, whose list could not be had whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// Its first instant.
    pub since: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
    /// Why.
    pub cause: String,
    /// The server's id of the request that showed it, where an answer had one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// Offsets of the rows that cannot be read, where that is all that is wrong: the other meetings
    /// of the day are exported.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rows: Vec<u64>,
}
