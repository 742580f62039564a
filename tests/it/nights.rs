//! Sixty nights of an export that nobody watches: late meetings, outages, failures, reruns. At the
//! end the dataset has what there is, each meeting once, and no request was made in vain.

#![expect(clippy::print_stdout, reason = "the figures are told")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use rollbook::simulator::{Drift, Effect, Endpoint, Fault, MeetingSpec, Options};
use rollbook::{ConfUuid, Error, Event, Outcome, Zone};
use tokio_util::sync::CancellationToken;

use crate::history::time;
use crate::run::Scene;

const NIGHTS: i64 = 60;

/// Figures from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }
}

/// What happened, to be told.
#[derive(Debug, Default)]
struct Figures {
    runs: u64,
    missed_nights: u64,
    cancelled: u64,
    unlisted_days: u64,
    failed_meetings: u64,
    requests: u64,
    wasted: u64,
    list_requests: u64,
    /// Meetings that the list showed once and then no more.
    lost_by_the_list: u64,
    /// Runs on a machine whose clock was hours off.
    hours_off: u64,
    /// Runs that were refused, since it was weeks off.
    refused: u64,
    /// Runs whose clock was weeks off, and no answer told the time.
    untold: u64,
}

struct Nights {
    scene: Scene,
    dice: Dice,
    /// A record comes late to these: after the meeting ended, but before it settles.
    growing: Vec<(DateTime<Utc>, ConfUuid)>,
    /// The list has them no more.
    lost: HashSet<ConfUuid>,
    /// The machine's clock is wrong on some nights.
    has_wrong_clocks: bool,
    figures: Figures,
}

impl Nights {
    async fn new(seed: u64, zone: &str, first: DateTime<Utc>) -> Self {
        let mut dice = Dice(seed);
        let mut options = Options::sizes(&[]);
        options.seed = seed;
        let minutes = u64::try_from(NIGHTS).unwrap() * 24 * 60;
        for _ in 0..260 {
            let start = first.timestamp_millis()
                + i64::try_from(dice.roll(minutes)).unwrap() * 60_000
                + i64::try_from(dice.roll(60_000)).unwrap();
            // An hour or two of meeting, and up to two days and a half until it is listed.
            let late = dice
                .one_in(6)
                .then(|| start + 7_200_000 + i64::try_from(dice.roll(58 * 60)).unwrap() * 60_000);
            let records = match dice.roll(20) {
                0 => 0,
                1 => 500 + dice.roll(700),
                _ => 1 + dice.roll(30),
            };
            options.meetings.push(MeetingSpec {
                start: Some(start),
                listed_from: late,
                ..MeetingSpec::of(records)
            });
        }
        let scene = Scene::with(options).await.set(|config| {
            config.since = Some("yesterday".parse().unwrap());
            config.timezone = zone.parse().unwrap();
            config.retries = 1;
            config.restarts = 1;
        });
        let meetings = scene.simulator.meetings();
        let growing = meetings.into_iter().filter(|_| dice.one_in(5));
        let growing = growing.map(|meeting| {
            let end = scene.simulator.end_of(&meeting).unwrap();
            (
                DateTime::from_timestamp_millis(end).unwrap() + TimeDelta::minutes(20),
                meeting,
            )
        });
        Self {
            growing: growing.collect(),
            scene,
            dice,
            lost: HashSet::new(),
            has_wrong_clocks: false,
            figures: Figures::default(),
        }
    }

    /// The service's clock.
    fn pass_to(&mut self, now: DateTime<Utc>) {
        let simulator = &self.scene.simulator;
        simulator.set_now(now.timestamp_millis());
        simulator.set_clock(now.timestamp_millis());
        self.growing.retain(|(at, meeting)| {
            let has_come = *at <= now;
            if has_come {
                simulator.drift(
                    meeting,
                    Drift {
                        append: 1,
                        ..Drift::default()
                    },
                );
            }
            !has_come
        });
    }

    async fn run(&mut self, now: DateTime<Utc>, is_quiet: bool) {
        self.pass_to(now);
        let simulator = &self.scene.simulator;
        simulator.clear_faults();
        simulator.clear_requests();
        let cancel = CancellationToken::new();
        let mut stop_after = u64::MAX;
        if !is_quiet {
            match self.dice.roll(8) {
                // The list of a day fails, then and there.
                0 => {
                    let nth = 1 + self.dice.roll(4);
                    let fault = Fault::new(Effect::Status(400)).on(Endpoint::History);
                    simulator.add_fault(fault.nth(nth));
                }
                // Its count is wrong through all walks.
                1 => {
                    let fault = Fault::new(Effect::CountOff(1)).on(Endpoint::History);
                    simulator.add_fault(fault.since(2));
                }
                // Meetings fail.
                2 | 3 => {
                    let every = 2 + self.dice.roll(3);
                    simulator.add_fault(Fault::new(Effect::Status(400)).every(every));
                }
                4 => stop_after = self.dice.roll(6),
                // The service is away.
                5 if self.dice.one_in(3) => {
                    simulator.add_fault(Fault::new(Effect::Status(503)).on(Endpoint::Any));
                }
                _ => {}
            }
        }
        let (events, stop) = (Arc::new(AtomicU64::new(0)), cancel.clone());
        let observer = Arc::new(move |event| {
            if matches!(event, Event::Listed { .. } | Event::Page { .. })
                && events.fetch_add(1, Ordering::Relaxed) >= stop_after
            {
                stop.cancel();
            }
        });
        let export = self.scene.export();
        let finished = if self.has_wrong_clocks {
            let off = if is_quiet {
                TimeDelta::zero()
            } else {
                self.clock()
            };
            export.run_beside(now + off, observer, cancel).await
        } else {
            export.run_at(now, observer, cancel).await
        };
        let finished = finished.unwrap();
        if let Some(Error::Clock { .. }) = finished.error {
            assert!(finished.report.window.is_none() && finished.report.records == 0);
            self.figures.refused += 1;
            return;
        }
        // Where the service is away, the run ends with that.
        let error = finished.error.as_ref();
        let is_away = error.is_none_or(|error| matches!(error, Error::Outage { .. }));
        assert!(is_away, "{now}: {error:?}");
        let report = finished.report;
        let window = report.window.unwrap();
        let absent = report.meetings.incomplete + report.meetings.unfinished;
        let is_whole = absent == 0 && window.unlisted.is_empty();
        assert_eq!(report.outcome == Outcome::Complete, is_whole, "{now}");
        // The list loses some of those that it has shown and that are not held.
        let absent = report.per_meeting.iter();
        let absent = absent.filter(|met| met.status != rollbook::MeetingStatus::Complete);
        let absent = absent.map(|met| &met.conf_uuid);
        for meeting in absent.chain(window.owed_meetings.keys()) {
            if self.dice.one_in(3) && self.lost.insert(meeting.clone()) {
                self.scene.simulator.unlist(meeting);
                self.figures.lost_by_the_list += 1;
            }
        }
        let figures = &mut self.figures;
        figures.runs += 1;
        figures.cancelled += u64::from(report.outcome == Outcome::Interrupted);
        figures.unlisted_days += window.unlisted.len() as u64;
        figures.failed_meetings += report.meetings.incomplete;
        figures.requests += report.requests.sent;
        figures.list_requests += window.requests;
        // What was asked for and is not held is what failed or was cut off.
        let whole: u64 = report
            .per_meeting
            .iter()
            .filter(|meeting| meeting.status == rollbook::MeetingStatus::Complete)
            .map(|meeting| meeting.requests)
            .sum();
        figures.wasted += report.requests.sent - whole;
        if is_quiet {
            assert!(is_whole, "{now}: {window:?}");
            assert_eq!(report.requests.sent, report.requests.minimum, "{now}");
        }
    }

    /// How far this machine's clock is ahead.
    fn clock(&mut self) -> TimeDelta {
        match self.dice.roll(10) {
            0 => TimeDelta::days(40),
            1 => TimeDelta::days(-40),
            2 => {
                self.figures.untold += 1;
                let headers = Effect::Headers([("Date".to_owned(), String::new())].into());
                let fault = Fault::new(headers).on(Endpoint::Any);
                self.scene.simulator.add_fault(fault);
                TimeDelta::days(40)
            }
            3 | 4 => {
                self.figures.hours_off += 1;
                TimeDelta::hours(8)
            }
            5 => {
                self.figures.hours_off += 1;
                TimeDelta::hours(-8)
            }
            _ => TimeDelta::zero(),
        }
    }

    /// Every meeting there is, record by record, and each once.
    fn check(&self) -> u64 {
        let rows = self.scene.rows();
        let mut truth = BTreeMap::new();
        for meeting in &self.scene.meetings {
            let records = self.scene.truth(meeting);
            if !records.is_empty() {
                truth.insert(meeting.to_string(), records);
            }
        }
        let differing = truth
            .keys()
            .chain(rows.keys())
            .filter(|meeting| truth.contains_key(*meeting) != rows.contains_key(*meeting));
        assert_eq!(differing.collect::<Vec<_>>(), Vec::<&String>::new());
        for (meeting, truth) in &truth {
            assert_eq!(rows[meeting].len(), truth.len(), "{meeting}");
            assert_eq!(rows[meeting], *truth, "{meeting}");
        }
        let mut held: Vec<_> = self
            .scene
            .meetings
            .iter()
            .map(ToString::to_string)
            .collect();
        held.retain(|_| self.scene.config.with_meetings);
        held.sort();
        assert_eq!(self.scene.described(), held);
        // What the list told once is kept, unless it has told it of nobody else since.
        for row in self.scene.told_of_meetings() {
            let meeting: ConfUuid = row["conf_uuid"].as_str().unwrap().parse().unwrap();
            let is_told = row["subject"].is_string();
            assert!(is_told || self.lost.contains(&meeting), "{row:?}");
        }
        truth.values().map(|rows| rows.len() as u64).sum()
    }
}

async fn sixty_nights(seed: u64, zone: &str, first: &str, has_wrong_clocks: bool) {
    let first = time(first);
    let mut nights = Nights::new(seed, zone, first).await;
    nights.scene.config.with_meetings = zone == "America/Santiago";
    nights.has_wrong_clocks = has_wrong_clocks;
    let has_clocks: Zone = zone.parse().unwrap();
    let mut now = first;
    let mut is_begun = false;
    for night in 1..=NIGHTS {
        // At two in the morning, as the clocks there say, a little late.
        let day = has_clocks.date(first + TimeDelta::days(night));
        let late = i64::try_from(nights.dice.roll(90)).unwrap();
        let at = has_clocks.start_of(day) + TimeDelta::minutes(120 + late);
        assert!(at > now);
        now = at;
        // A night or several on which nothing runs.
        if is_begun && nights.dice.one_in(6) {
            nights.figures.missed_nights += 1;
            continue;
        }
        nights.run(now, !is_begun).await;
        is_begun = true;
        if nights.dice.one_in(5) {
            nights.run(now, false).await;
        }
        if nights.dice.one_in(10) {
            for hour in 1..=12 {
                now = at + TimeDelta::hours(hour);
                nights.run(now, false).await;
            }
        }
    }
    // The last ones are listed by then.
    now = first + TimeDelta::days(NIGHTS + 4);
    nights.run(now, true).await;
    let records = nights.check();
    let listed = nights.figures.list_requests;
    nights.run(now + TimeDelta::hours(1), true).await;
    // Nothing is asked for twice.
    let held: HashMap<_, _> = nights.scene.rows().into_iter().collect();
    assert_eq!(nights.check(), records);
    assert_eq!(
        nights.figures.requests - nights.figures.wasted,
        minimum(&nights.scene)
    );
    let days = nights.figures.list_requests - listed;
    println!(
        "seed {seed}, {zone}: {} meetings with {records} records, {} with any; {:?}; {days} list \
         requests for a quiet run",
        nights.scene.meetings.len(),
        held.len(),
        nights.figures,
    );
}

/// The least requests that bring every meeting.
fn minimum(scene: &Scene) -> u64 {
    let counts = scene
        .meetings
        .iter()
        .map(|meeting| scene.simulator.count(meeting));
    counts
        .map(|count| if count < 500 { 1 } else { count.div_ceil(499) })
        .sum()
}

#[tokio::test]
async fn sixty_nights_over_a_change_of_the_clocks_cost_no_duplicate_and_no_hole() {
    sixty_nights(1, "Europe/Berlin", "2026-09-10T00:00:00Z", false).await;
}

#[tokio::test]
async fn sixty_other_nights_where_midnight_is_skipped() {
    sixty_nights(2, "America/Santiago", "2026-08-20T00:00:00Z", false).await;
}

#[tokio::test]
async fn sixty_nights_with_wrong_clocks_lose_nothing_either() {
    sixty_nights(3, "Asia/Shanghai", "2026-09-10T00:00:00Z", true).await;
}
