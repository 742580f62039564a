//! What the events of a run add up to: done, to do, how fast, how long.
//!
//! Work is measured in pages, since requests are what is scarce. Where a meeting's `count` is not
//! known yet, it is taken to be like those that are.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rollbook::{ConfUuid, Event, PageSize, Rate};
use tokio::time::Instant;

/// How far back a rate looks.
const WINDOW: Duration = Duration::from_secs(30);

/// The sums so far.
#[derive(Debug)]
pub(super) struct Tally {
    page_size: u64,
    asked: u64,
    complete: u64,
    incomplete: u64,
    /// Meetings whose `count` is known, ever.
    counted: u64,
    /// Pages that these need.
    expected: u64,
    /// Counts of the meetings that are under way.
    open: HashMap<ConfUuid, u64>,
    pages: u64,
    rows: u64,
    retries: u64,
    pause: Option<(Instant, String)>,
    quota: Option<Rate>,
    /// When, pages and rows so far, the oldest first.
    samples: VecDeque<(Instant, u64, u64)>,
    pages_ever: u64,
    rows_ever: u64,
}

/// The state of a run at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Status {
    pub(super) asked: u64,
    pub(super) done: u64,
    pub(super) incomplete: u64,
    pub(super) rows: u64,
    pub(super) rows_per_second: u64,
    pub(super) pages_per_minute: u64,
    pub(super) retries: u64,
    /// Pages fetched, and pages that the whole run is thought to need.
    pub(super) pages: (u64, u64),
    pub(super) remaining: Option<Duration>,
    pub(super) pause: Option<(Duration, String)>,
    pub(super) quota: Option<Rate>,
}

impl Status {
    /// How far the run is, in `steps`.
    pub(super) fn steps(&self, steps: u64) -> u64 {
        let (pages, expected) = self.pages;
        let steps = u128::from(pages) * u128::from(steps) / u128::from(expected.max(1));
        u64::try_from(steps).unwrap_or(u64::MAX)
    }
}

impl Tally {
    pub(super) fn new(page_size: PageSize, now: Instant) -> Self {
        Self {
            page_size: page_size.get().into(),
            asked: 0,
            complete: 0,
            incomplete: 0,
            counted: 0,
            expected: 0,
            open: HashMap::new(),
            pages: 0,
            rows: 0,
            retries: 0,
            pause: None,
            quota: None,
            samples: VecDeque::from([(now, 0, 0)]),
            pages_ever: 0,
            rows_ever: 0,
        }
    }

    /// Adds an event.
    pub(super) fn count(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Started { meetings, already } => self.asked = meetings.saturating_sub(*already),
            Event::Counted { meeting, count } => {
                let expected = self.pages_of(*count);
                match self.open.insert(meeting.clone(), *count) {
                    Some(before) => self.forget(before),
                    None => self.counted += 1,
                }
                self.expected += expected;
            }
            Event::Page { rows } => {
                self.pages += 1;
                self.rows += rows;
                self.pages_ever += 1;
                self.rows_ever += rows;
            }
            Event::Retrying { .. } => self.retries += 1,
            Event::Restarted { rows, .. } => self.drop_rows(*rows),
            Event::Paused { delay, cause } => {
                let end = now + *delay;
                if self.pause.as_ref().is_none_or(|(until, _)| *until < end) {
                    self.pause = Some((end, cause.clone()));
                }
            }
            Event::QuotaLearned { rate } | Event::RateHalved { rate } => self.quota = Some(*rate),
            Event::Complete { meeting, .. } => {
                self.complete += 1;
                if self.open.remove(meeting).is_none() {
                    self.counted += 1;
                    self.expected += 1;
                }
            }
            Event::Unchanged { .. } => {
                self.complete += 1;
                self.counted += 1;
                self.expected += 1;
                self.pages += 1;
                self.pages_ever += 1;
            }
            Event::Incomplete { meeting, rows, .. } => {
                self.incomplete += 1;
                self.drop_rows(*rows);
                match self.open.remove(meeting) {
                    Some(count) => self.forget(count),
                    None => self.counted += 1,
                }
            }
            _ => {}
        }
    }

    /// The state at this moment; called now and then, it keeps the rates.
    pub(super) fn status(&mut self, now: Instant) -> Status {
        while self.samples.len() > 1
            && self
                .samples
                .get(1)
                .is_some_and(|(at, ..)| now - *at >= WINDOW)
        {
            self.samples.pop_front();
        }
        let (since, pages, rows) = self.samples.front().copied().unwrap_or((now, 0, 0));
        self.samples
            .push_back((now, self.pages_ever, self.rows_ever));
        let elapsed = (now - since).as_millis();
        let rate = |ever: u64, then: u64, per: u128| {
            let done = u128::from(ever.saturating_sub(then));
            u64::try_from((done * per).checked_div(elapsed).unwrap_or(0)).unwrap_or(u64::MAX)
        };
        if self.pause.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.pause = None;
        }
        let pause = self.pause.as_ref();
        let pause = pause.map(|(until, cause)| (*until - now, super::plain(cause)));
        let expected = self.expected_pages();
        let left = u128::from(expected.saturating_sub(self.pages));
        let fetched = u128::from(self.pages_ever.saturating_sub(pages));
        let remaining = (left * elapsed)
            .checked_div(fetched)
            .and_then(|ms| u64::try_from(ms).ok())
            .map(Duration::from_millis)
            .map(|time| time + pause.as_ref().map_or(Duration::ZERO, |(time, _)| *time));
        Status {
            asked: self.asked,
            done: self.complete + self.incomplete,
            incomplete: self.incomplete,
            rows: self.rows,
            rows_per_second: rate(self.rows_ever, rows, 1_000),
            pages_per_minute: rate(self.pages_ever, pages, 60_000),
            retries: self.retries,
            pages: (self.pages, expected),
            remaining,
            pause,
            quota: self.quota,
        }
    }

    /// Pages of the whole run, as far as it can be known.
    fn expected_pages(&self) -> u64 {
        let unknown = self.asked.saturating_sub(self.counted);
        let alike = (unknown * self.expected).checked_div(self.counted);
        (self.expected + alike.unwrap_or(unknown).max(unknown)).max(self.pages)
    }

    fn pages_of(&self, count: u64) -> u64 {
        if count < self.page_size {
            1
        } else {
            count.div_ceil((self.page_size - 1).max(1))
        }
    }

    /// A meeting's count holds no longer.
    fn forget(&mut self, count: u64) {
        self.expected = self.expected.saturating_sub(self.pages_of(count));
    }

    /// Rows that were fetched in vain, and about as many pages as they took.
    fn drop_rows(&mut self, rows: u64) {
        self.rows = self.rows.saturating_sub(rows);
        if rows > 0 {
            self.pages = self.pages.saturating_sub(self.pages_of(rows));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meeting(name: &str) -> ConfUuid {
        name.parse().unwrap()
    }

    fn counted(name: &str, count: u64) -> Event {
        Event::Counted {
            meeting: meeting(name),
            count,
        }
    }

    fn tally(events: &[Event]) -> (Tally, Instant) {
        let start = Instant::now();
        let mut tally = Tally::new(PageSize::MAX, start);
        for event in events {
            tally.count(event, start);
        }
        (tally, start)
    }

    #[test]
    fn meetings_not_counted_yet_are_taken_to_be_like_the_others() {
        let started = Event::Started {
            meetings: 12,
            already: 2,
        };
        let (mut tally, now) = tally(&[started, counted("a", 1_497), counted("b", 10)]);
        assert_eq!(tally.status(now).asked, 10);
        assert_eq!(tally.status(now).pages, (0, 4 + 8 * 2));
    }

    #[test]
    fn a_restart_takes_back_what_it_drops() {
        let page = Event::Page { rows: 500 };
        let restart = Event::Restarted {
            meeting: meeting("a"),
            rows: 500,
            cause: String::new(),
            delay: Duration::ZERO,
        };
        let (mut tally, now) = tally(&[counted("a", 600), page, restart, counted("a", 601)]);
        let status = tally.status(now);
        assert_eq!((status.rows, status.pages.1), (0, 2));
    }

    #[test]
    fn the_time_left_follows_from_the_pace_and_the_pause() {
        let started = Event::Started {
            meetings: 4,
            already: 0,
        };
        let (mut tally, start) = tally(&[started]);
        assert_eq!(tally.status(start).remaining, None);
        for name in ["a", "b"] {
            tally.count(&counted(name, 3), start);
            tally.count(&Event::Page { rows: 3 }, start);
        }
        let later = start + Duration::from_secs(10);
        let status = tally.status(later);
        assert_eq!(status.remaining, Some(Duration::from_secs(10)));
        assert_eq!(status.pages_per_minute, 12);
        let pause = Event::Paused {
            delay: Duration::from_secs(7),
            cause: "quota\u{7}".into(),
        };
        tally.count(&pause, later);
        let status = tally.status(later);
        assert_eq!(status.remaining, Some(Duration::from_secs(17)));
        assert_eq!(status.pause.unwrap().1, "quota\\u{7}");
    }

    #[test]
    fn a_finished_run_fills_the_bar() {
        let started = Event::Started {
            meetings: 2,
            already: 0,
        };
        let incomplete = Event::Incomplete {
            meeting: meeting("b"),
            rows: 0,
            cause: String::new(),
        };
        let (mut tally, now) = tally(&[
            started,
            counted("a", 3),
            Event::Page { rows: 3 },
            incomplete,
        ]);
        assert_eq!(tally.status(now).steps(100), 100);
    }
}
