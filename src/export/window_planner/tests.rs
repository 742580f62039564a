//! Laws of the window: whatever the time zones, the settings, the failures and the nights between,
//! no meeting is lost, and nothing counts as covered that was not listed.

use std::collections::{BTreeMap, HashSet};

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::fetch::Found;
use crate::report::Owed;
use crate::values::Moment;

const ZONES: [&str; 6] = [
    "UTC",
    "Asia/Shanghai",
    "America/Los_Angeles",
    "Europe/Berlin",
    "Pacific/Apia",
    "Asia/Kathmandu",
];

/// No meeting is listed later than this after its start: the least lookback.
const LATEST: i64 = 3 * 24 * 60;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn first_night() -> DateTime<Utc> {
    time("2026-10-20T02:00:00Z")
}

/// A meeting of the service, in minutes from the first night.
#[derive(Clone, Debug)]
struct Held {
    start: i64,
    length: i64,
    /// From its end until the list has it.
    late: i64,
    /// The list loses it once it was shown.
    is_lost: bool,
}

impl Held {
    fn start(&self) -> DateTime<Utc> {
        first_night() + TimeDelta::minutes(self.start) + TimeDelta::seconds(self.start % 60)
    }

    fn end(&self) -> DateTime<Utc> {
        self.start() + TimeDelta::minutes(self.length)
    }

    fn listed(&self) -> DateTime<Utc> {
        self.end() + TimeDelta::minutes(self.late)
    }

    fn told(&self, number: usize) -> Meeting {
        let cut = |time: DateTime<Utc>| time - TimeDelta::seconds(time.timestamp() % 60);
        Meeting {
            conf_uuid: uuid(number),
            conference_id: None,
            subject: None,
            scheduler: None,
            dept_name: None,
            start: Some(cut(self.start())),
            end: Some(cut(self.end())),
            size: None,
            kind: None,
            media_types: None,
            webinar: None,
        }
    }
}

/// A run, and what befalls it.
#[derive(Clone, Debug)]
struct Night {
    /// Minutes since the run before.
    after: i64,
    zone: &'static str,
    settle: u64,
    lookback: u64,
    since: Moment,
    /// Of so many days one cannot be listed.
    loses_day: usize,
    /// Of so many meetings one cannot be had.
    loses_meeting: usize,
    /// It leaves no report.
    is_killed: bool,
}

fn uuid(number: usize) -> ConfUuid {
    format!("m{number}").parse().unwrap()
}

fn meetings() -> impl Strategy<Value = Vec<Held>> {
    let meeting = (
        -1_440_i64..40_320,
        1_i64..2_000,
        0_i64..2_000,
        any::<bool>(),
    );
    let meeting = meeting.prop_map(|(start, length, late, is_lost)| Held {
        start,
        length,
        late: late.min(LATEST - length),
        is_lost,
    });
    prop::collection::vec(meeting, 1..40)
}

fn nights() -> impl Strategy<Value = Vec<Night>> {
    let since = prop_oneof![
        Just(Moment::Yesterday),
        Just(Moment::Today),
        (1_u64..100).prop_map(|hours| Moment::Ago(Duration::from_secs(hours * 3_600))),
    ];
    let after = prop_oneof![1_i64..120, Just(1_440), 1_440_i64..12_000];
    let night = (
        after,
        prop::sample::select(&ZONES[..]),
        0_u64..72,
        72_u64..240,
        since,
        1_usize..6,
        1_usize..6,
        prop::bool::weighted(0.15),
    );
    let night = night.prop_map(
        |(after, zone, settle, lookback, since, loses_day, loses_meeting, is_killed)| Night {
            after,
            zone,
            settle,
            lookback,
            since,
            loses_day,
            loses_meeting,
            is_killed,
        },
    );
    prop::collection::vec(night, 1..14)
}

/// The service, the dataset, and the last report.
struct World {
    meetings: Vec<Held>,
    is_told: bool,
    shown: HashSet<usize>,
    dataset: HashSet<ConfUuid>,
    earlier: Option<Window>,
}

impl World {
    fn is_listed(&self, number: usize, now: DateTime<Utc>) -> bool {
        let meeting = &self.meetings[number];
        meeting.listed() <= now && !(meeting.is_lost && self.shown.contains(&number))
    }

    fn run(&mut self, night: &Night, now: DateTime<Utc>) {
        let config = Config {
            since: Some(night.since),
            timezone: night.zone.parse().unwrap(),
            lookback: Duration::from_secs(night.lookback * 3_600),
            ..Config::default()
        };
        let mut past = Past {
            earlier: self.earlier.clone(),
            settle: Duration::from_secs(night.settle * 3_600),
            is_told: self.is_told,
            ..Past::default()
        };
        if let Some(earlier) = &mut past.earlier {
            let owed = &mut earlier.owed_meetings;
            owed.retain(|meeting, _| !self.dataset.contains(meeting));
        }
        let bounds = Bounds::at(&config, now).unwrap();
        if bounds.since >= bounds.until {
            return;
        }
        let mut plan = Plan::new(&config, &past, bounds).unwrap();
        let asked = std::mem::take(&mut plan.days);
        let (mut found, mut unlisted) = (vec![], vec![]);
        for (position, day) in asked.iter().enumerate() {
            if (position + 1).is_multiple_of(night.loses_day) {
                unlisted.push(super::unlisted(*day, "refused"));
                continue;
            }
            for number in 0..self.meetings.len() {
                let meeting = &self.meetings[number];
                let is_on_it = day.since <= meeting.start() && meeting.start() < day.until;
                if is_on_it && self.is_listed(number, now) {
                    let meeting = meeting.told(number);
                    found.push((number, Found { day: *day, meeting }));
                }
            }
        }
        let listed: HashSet<_> = found.iter().map(|(number, _)| *number).collect();
        let listings = Listings {
            found: found.into_iter().map(|(_, found)| found).collect(),
            unlisted,
            outcome: Ok(()),
        };
        let Work {
            meetings, window, ..
        } = plan.sort(listings, &asked, now);
        let Discovered {
            mut window,
            days,
            delisted,
            ..
        } = window.unwrap();
        for number in 0..self.meetings.len() {
            if delisted.contains(&uuid(number)) {
                assert!(!self.is_listed(number, now), "{number} is on the list");
            }
        }
        let wanted = meetings.into_iter().enumerate();
        let mut absent = BTreeMap::new();
        for (position, meeting) in wanted {
            if self.dataset.contains(&meeting) {
                continue;
            }
            if (position + 1).is_multiple_of(night.loses_meeting) {
                let day = days[&meeting];
                window.owe(day);
                let day = day.since;
                absent.insert(meeting, Owed { day, over: day });
            } else {
                self.dataset.insert(meeting);
            }
        }
        if night.is_killed {
            return;
        }
        self.shown.extend(listed);
        window.owed_meetings.extend(absent);
        self.earlier = Some(window);
        self.check_covered(now);
    }

    /// What counts as covered is held, but for what the list does not have yet.
    fn check_covered(&self, now: DateTime<Utc>) {
        let window = self.earlier.as_ref().unwrap();
        assert!(window.covered_until <= window.seen_until && window.seen_until <= now);
        for (number, meeting) in self.meetings.iter().enumerate() {
            let start = meeting.start();
            let is_covered = window.earliest <= start && start < window.covered_until;
            if is_covered && meeting.listed() <= now {
                assert!(self.dataset.contains(&uuid(number)), "{number} is not held");
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_zones_and_the_nights_no_meeting_is_lost(
        meetings in meetings(),
        nights in nights(),
        is_told in any::<bool>(),
    ) {
        let mut world = World {
            meetings,
            is_told,
            shown: HashSet::new(),
            dataset: HashSet::new(),
            earlier: None,
        };
        let mut now = first_night();
        for night in &nights {
            now += TimeDelta::minutes(night.after);
            world.run(night, now);
        }
        // All have ended and are listed by then, and nothing fails.
        now = now.max(first_night() + TimeDelta::days(28)) + TimeDelta::days(6);
        let quiet = Night {
            after: 0,
            zone: nights[0].zone,
            settle: 0,
            lookback: 72,
            since: Moment::Yesterday,
            loses_day: usize::MAX,
            loses_meeting: usize::MAX,
            is_killed: false,
        };
        world.run(&quiet, now);
        let window = world.earlier.clone().unwrap();
        prop_assert!(window.owed.is_empty() && window.owed_meetings.is_empty(), "{window:?}");
        prop_assert_eq!(window.covered_until, now);
        for (number, meeting) in world.meetings.iter().enumerate() {
            let is_asked_for = window.earliest <= meeting.start() && meeting.start() < now;
            prop_assert!(!is_asked_for || world.dataset.contains(&uuid(number)), "{number}");
        }
    }
}

/// A day of one time zone is listed by the days of another.
#[test]
fn a_time_zone_that_changed_delists_nothing() {
    let at = |zone: &str, earlier: Option<Window>, is_told: bool, now: &str| {
        let config = Config {
            since: Some(Moment::Today),
            timezone: zone.parse().unwrap(),
            lookback: Duration::ZERO,
            ..Config::default()
        };
        let past = Past {
            earlier,
            is_told,
            ..Past::default()
        };
        let bounds = Bounds::at(&config, time(now)).unwrap();
        Plan::new(&config, &past, bounds).unwrap()
    };
    let nothing = || Listings {
        found: vec![],
        unlisted: vec![],
        outcome: Ok(()),
    };
    let found = time("2026-11-02T00:00:00Z");
    for is_told in [false, true] {
        // It failed on the second, by the days of UTC.
        let first = at("UTC", None, is_told, "2026-11-02T23:00:00Z");
        let asked = first.days.clone();
        let work = first.sort(nothing(), &asked, time("2026-11-02T23:00:00Z"));
        let mut window = work.window.unwrap().window;
        let day = Span {
            since: found,
            until: time("2026-11-03T00:00:00Z"),
        };
        window.leave(uuid(1), day, found);
        window.seen_until = time("2026-11-09T00:00:00Z");
        // Two days of Shanghai have a part in it, and both are asked for.
        let now = "2026-11-10T00:00:00Z";
        let second = at("Asia/Shanghai", Some(window.clone()), is_told, now);
        let days: Vec<_> = second.days.iter().map(|day| day.since).collect();
        let of_it = ["2026-11-02T00:00:00Z", "2026-11-02T16:00:00Z"].map(time);
        assert!(of_it.iter().all(|day| days.contains(day)), "{days:?}");
        let asked = second.days.clone();
        let work = second.sort(nothing(), &asked, time(now)).window.unwrap();
        assert!(work.delisted.contains(&uuid(1)));
        // Where one of them was not listed, the meeting may have begun on it.
        let third = at("Asia/Shanghai", Some(window), is_told, now);
        let asked = third.days.clone();
        let lost = *asked.iter().find(|day| day.since == of_it[1]).unwrap();
        let listings = Listings {
            unlisted: vec![unlisted(lost, "refused")],
            ..nothing()
        };
        let work = third.sort(listings, &asked, time(now)).window.unwrap();
        assert!(work.delisted.is_empty());
        assert_eq!(work.window.owed_meetings.contains_key(&uuid(1)), is_told);
    }
}
