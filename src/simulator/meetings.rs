//! The meetings of the simulated enterprise, and which records each has at the moment.
//!
//! A meeting starts with the records numbered from 0; edits in front and at the end change which
//! numbers it has and in which order, without touching the records themselves. Pages that are
//! asked for again come from a cache of bounded size.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::drift::Drift;
use super::unpoisoned_mutex::Guarded;
use bytes::Bytes;

use super::options::{MeetingSpec, Options};
use super::record::{Origin, Record, mix, write_integer};
use crate::record::Language;
use crate::values::ConfUuid;

/// 2026-01-05T00:00:00Z: when the first meeting begins, unless its spec says otherwise.
pub(super) const FIRST_START: i64 = 1_767_571_200_000;
/// The starts of all meetings lie within this many milliseconds (180 days).
const SEASON: u64 = 180 * 24 * 3_600_000;
/// At most this long lies between the starts of two meetings (6 hours).
const LONGEST_GAP: u64 = 6 * 3_600_000;

/// One meeting.
#[derive(Debug)]
pub(super) struct Meeting {
    pub(super) uuid: ConfUuid,
    pub(super) origin: Origin,
    pub(super) foreign: bool,
    /// When the history list has it first.
    pub(super) listed_from: i64,
    /// Whether the history list has lost it.
    pub(super) is_unlisted: AtomicBool,
    roll: Guarded<Roll>,
}

/// Which records a meeting has now, in order, as runs of numbers.
#[derive(Clone, Debug)]
pub(super) struct Roll {
    runs: VecDeque<Range<u64>>,
    next: u64,
    version: u64,
}

impl Roll {
    fn new(records: u64) -> Self {
        Self {
            runs: std::iter::once(0..records).collect(),
            next: records,
            version: 0,
        }
    }

    /// How many records there are.
    pub(super) fn count(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// The number of the record at this index of the list.
    pub(super) fn at(&self, index: u64) -> Option<u64> {
        self.from(index).next()
    }

    /// The numbers from this index of the list on.
    pub(super) fn from(&self, index: u64) -> impl Iterator<Item = u64> {
        let mut skip = index;
        self.runs.iter().flat_map(move |run| {
            let start = run.start.saturating_add(skip).min(run.end);
            skip -= start - run.start;
            start..run.end
        })
    }

    fn apply(&mut self, drift: Drift) {
        self.version += 1;
        let mut left = drift.remove_front;
        while let Some(run) = self.runs.front_mut().filter(|_| left > 0) {
            let taken = left.min(run.end - run.start);
            run.start += taken;
            left -= taken;
            if run.is_empty() {
                self.runs.pop_front();
            }
        }
        let mut left = drift.remove_end;
        while let Some(run) = self.runs.back_mut().filter(|_| left > 0) {
            let taken = left.min(run.end - run.start);
            run.end -= taken;
            left -= taken;
            if run.is_empty() {
                self.runs.pop_back();
            }
        }
        let mut fresh = |n: u64| {
            let first = self.next;
            self.next += n;
            first..self.next
        };
        let (front, end) = (fresh(drift.insert_front), fresh(drift.append));
        self.runs.push_front(front);
        self.runs.push_back(end);
        self.runs.retain(|run| !run.is_empty());
    }
}

impl Meeting {
    fn new(seed: u64, position: u64, meetings: u64, spec: &MeetingSpec) -> Self {
        let seed = mix(seed, position);
        let gap = (SEASON / meetings.max(1)).clamp(1, LONGEST_GAP);
        let start = spec.start.unwrap_or_else(|| {
            FIRST_START.saturating_add_unsigned(gap * position + mix(seed, 1) % gap)
        });
        let length = 3_600_000 + mix(seed, 4) % 3_600_000;
        Self {
            uuid: spec.uuid.clone().unwrap_or_else(|| uuid(seed)),
            listed_from: spec
                .listed_from
                .unwrap_or_else(|| start.saturating_add_unsigned(length)),
            origin: Origin {
                seed,
                start,
                length,
                records: spec.records,
                odd_every: spec.odd_every,
            },
            foreign: spec.foreign,
            is_unlisted: AtomicBool::new(false),
            roll: Guarded::new(Roll::new(spec.records)),
        }
    }

    /// The list as it is now.
    pub(super) fn roll(&self) -> Roll {
        self.roll.lock().clone()
    }

    /// How many records there are now.
    pub(super) fn count(&self) -> u64 {
        self.roll.lock().count()
    }

    /// Changes the list from now on.
    pub(super) fn drift(&self, drift: Drift) {
        self.roll.lock().apply(drift);
    }

    /// Every record in the order of the API.
    pub(super) fn records(&self, language: Language) -> Vec<Record> {
        let roll = self.roll();
        roll.from(0)
            .map(|id| self.origin.row(id).record(language))
            .collect()
    }
}

/// The UUID that a meeting without one of its own gets.
#[expect(
    clippy::expect_used,
    reason = "32 hexadecimal digits always are a UUID"
)]
fn uuid(seed: u64) -> ConfUuid {
    format!("{:016x}{:016x}", mix(seed, 2), mix(seed, 3))
        .parse()
        .expect("32 hexadecimal digits")
}

/// A page as asked for and settled: the limit is within bounds, the offset not negative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) offset: u64,
    pub(super) limit: u64,
    pub(super) language: Language,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    meeting: usize,
    version: u64,
    ask: (u64, u64, bool),
}

/// All meetings, in the order of the history list.
pub(super) struct World {
    meetings: Vec<Meeting>,
    by_uuid: HashMap<ConfUuid, usize>,
    pages: Guarded<HashMap<Key, Bytes>>,
    cached: AtomicU64,
    cache_bytes: u64,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let all = options.meetings.len() as u64;
        let mut meetings: Vec<_> = (0..)
            .zip(&options.meetings)
            .map(|(position, spec)| Meeting::new(options.seed, position, all, spec))
            .collect();
        meetings.sort_by_key(|meeting| meeting.origin.start);
        let by_uuid = meetings
            .iter()
            .enumerate()
            .map(|(index, meeting)| (meeting.uuid.clone(), index))
            .collect();
        Self {
            meetings,
            by_uuid,
            pages: Guarded::new(HashMap::new()),
            cached: AtomicU64::new(0),
            cache_bytes: options.page_cache_bytes,
        }
    }

    pub(super) fn meetings(&self) -> &[Meeting] {
        &self.meetings
    }

    /// Position in the list and the meeting itself.
    pub(super) fn find(&self, uuid: &str) -> Option<(usize, &Meeting)> {
        let index = *self.by_uuid.get(uuid)?;
        Some((index, &self.meetings[index]))
    }

    /// One page as compact JSON, true in all its parts.
    pub(super) fn page(&self, meeting: usize, ask: Ask) -> Bytes {
        let Some(source) = self.meetings.get(meeting) else {
            return Bytes::new();
        };
        let (key, roll) = {
            let roll = source.roll.lock();
            let key = Key {
                meeting,
                version: roll.version,
                ask: (ask.offset, ask.limit, ask.language == Language::ZhCn),
            };
            if self.cache_bytes > 0
                && let Some(page) = self.pages.lock().get(&key)
            {
                return page.clone();
            }
            (key, roll.clone())
        };
        let page = Bytes::from(render(&source.origin, &roll, ask));
        let size = page.len() as u64;
        // Room is taken before the page goes in, so that two at once cannot both take the last.
        let before = self.cached.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) <= self.cache_bytes {
            self.pages.lock().insert(key, page.clone());
        } else {
            self.cached.fetch_sub(size, Ordering::Relaxed);
        }
        page
    }
}

/// Writes one page.
fn render(origin: &Origin, roll: &Roll, ask: Ask) -> Vec<u8> {
    let count = roll.count();
    let rows = ask.limit.min(count.saturating_sub(ask.offset));
    let mut out = Vec::with_capacity(usize::try_from(rows).unwrap_or(0) * 200 + 64);
    out.extend_from_slice(b"{\"data\":[");
    let ids = roll.from(ask.offset);
    for (position, id) in ids
        .take(usize::try_from(ask.limit).unwrap_or(0))
        .enumerate()
    {
        if position > 0 {
            out.push(b',');
        }
        origin.row(id).write(ask.language, &mut out);
    }
    for (name, value) in [
        (&b"],\"offset\":"[..], ask.offset),
        (b",\"limit\":", ask.limit),
        (b",\"count\":", count),
    ] {
        out.extend_from_slice(name);
        write_integer(i64::try_from(value).unwrap_or(i64::MAX), &mut out);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(cache: u64) -> World {
        World::new(&Options {
            page_cache_bytes: cache,
            ..Options::sizes(&[1_100, 3])
        })
    }

    fn drifted(drifts: &[Drift]) -> Vec<u64> {
        let mut roll = Roll::new(4);
        for &drift in drifts {
            roll.apply(drift);
        }
        assert_eq!(roll.count(), roll.from(0).count() as u64);
        roll.from(0).collect()
    }

    #[test]
    fn drift_edits_both_ends_and_never_brings_a_record_back() {
        let front = Drift {
            insert_front: 1,
            ..Drift::default()
        };
        let end = Drift {
            remove_end: 2,
            append: 1,
            ..Drift::default()
        };
        assert_eq!(drifted(&[front]), [4, 0, 1, 2, 3]);
        assert_eq!(drifted(&[front, end]), [4, 0, 1, 5]);
        let all = Drift {
            remove_front: 9,
            ..Drift::default()
        };
        assert_eq!(drifted(&[all, front]), [4]);
    }

    #[test]
    fn the_same_seed_gives_the_same_world_and_another_seed_another() {
        let ask = Ask {
            offset: 499,
            limit: 500,
            language: Language::EnUs,
        };
        let options = |seed| Options {
            seed,
            ..Options::sizes(&[1_100])
        };
        let pages = [1, 1, 2].map(|seed| World::new(&options(seed)).page(0, ask));
        assert_eq!(pages[0], pages[1]);
        assert_ne!(pages[0], pages[2]);
    }

    #[test]
    fn a_cached_page_is_the_page_and_drift_makes_it_stale() {
        let ask = Ask {
            offset: 0,
            limit: 500,
            language: Language::ZhCn,
        };
        let (cached, fresh) = (world(1 << 20), world(0));
        assert_eq!(cached.page(0, ask), fresh.page(0, ask));
        assert_eq!(cached.page(0, ask), fresh.page(0, ask));
        let drift = Drift {
            remove_front: 1,
            ..Drift::default()
        };
        cached.meetings()[0].drift(drift);
        assert_ne!(cached.page(0, ask), fresh.page(0, ask));
    }

    #[test]
    fn a_meeting_of_ten_million_records_costs_no_more_than_a_small_one() {
        let world = World::new(&Options::sizes(&[10_000_000]));
        let ask = Ask {
            offset: 9_999_990,
            limit: 500,
            language: Language::EnUs,
        };
        let page: serde_json::Value = serde_json::from_slice(&world.page(0, ask)).unwrap();
        assert_eq!(page["data"].as_array().unwrap().len(), 10);
        assert_eq!(page["count"], 10_000_000);
    }
}
