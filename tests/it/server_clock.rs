//! Runs on a machine whose clock is wrong: the server's time decides what is asked.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use rollbook::simulator::{Effect, Endpoint, Fault, Options};
use rollbook::{ClockSource, Error, Event, Finished, History, Observer, Outcome, Report, silent};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::history::{at, brought, lists, time};
use crate::run::Scene;

/// When it is night by the server's clock.
const NIGHT: &str = "2026-11-05T02:00:00Z";

/// One meeting a day; the last one ends about then.
fn options() -> Options {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![
        at("2026-11-02T08:00:00Z", 1),
        at("2026-11-03T08:00:00Z", 2),
        at("2026-11-04T08:00:00Z", 3),
        at("2026-11-05T00:30:00Z", 4),
    ];
    options
}

async fn scene(since: &str) -> Scene {
    let scene = Scene::with(options()).await;
    scene.set(|config| config.since = Some(since.parse().unwrap()))
}

/// A run at `night` by the server's clock, on a machine that is so far ahead.
async fn run_off(scene: &Scene, night: DateTime<Utc>, ahead: TimeDelta) -> Finished {
    let simulator = &scene.simulator;
    simulator.set_now(night.timestamp_millis());
    simulator.set_clock(night.timestamp_millis());
    simulator.clear_requests();
    let cancel = CancellationToken::new();
    let run = scene.export().run_beside(night + ahead, silent(), cancel);
    run.await.unwrap()
}

async fn right(scene: &Scene, night: &str) -> Report {
    let finished = run_off(scene, time(night), TimeDelta::zero()).await;
    assert!(finished.error.is_none(), "{:?}", finished.error);
    finished.report
}

/// The list's answers have this as their date.
fn dated(scene: &Scene, date: &str) {
    let headers = Effect::Headers([("Date".to_owned(), date.to_owned())].into());
    scene
        .simulator
        .add_fault(Fault::new(headers).on(Endpoint::Any));
}

/// The list's requests are as many as with a right clock, and what ended lately is left alone.
#[rstest]
#[case::ahead(8)]
#[case::behind(-8)]
#[tokio::test]
async fn hours_off_the_servers_time_decides_and_both_are_told(#[case] hours: i64) {
    let other = scene("2026-11-02").await;
    let end = other.simulator.end_of(&other.meetings[3]).unwrap();
    let night = DateTime::from_timestamp_millis(end).unwrap() + TimeDelta::minutes(10);
    right(&other, &night.to_rfc3339()).await;
    let scene = scene("2026-11-02").await;
    let ahead = TimeDelta::hours(hours);
    let finished = run_off(&scene, night, ahead).await;
    let report = finished.report;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), brought(&other));
    assert_eq!(brought(&scene), [0, 1, 2]);
    assert_eq!(lists(&scene).len(), lists(&other).len());
    let window = report.window.unwrap();
    assert_eq!(window.settling, 1);
    assert!(window.seen_until <= night + TimeDelta::minutes(1));
    assert!(window.covered_until <= time("2026-11-05T00:00:00Z"));
    let clock = report.clock.unwrap();
    assert_eq!(clock.source, ClockSource::Server);
    let off = TimeDelta::milliseconds(clock.offset_ms.unwrap()) + ahead;
    assert!(off.abs() < TimeDelta::minutes(1), "{off}");
    let warning = clock.warning.unwrap();
    for time in [clock.machine, clock.server.unwrap()] {
        let time = time.format("%Y-%m-%d %H:%M:%SZ").to_string();
        assert!(warning.contains(&time), "{warning}");
    }
}

#[tokio::test]
async fn a_right_clock_is_in_the_report_and_no_warning() {
    let scene = scene("yesterday").await;
    let clock = right(&scene, NIGHT).await.clock.unwrap();
    assert_eq!((clock.source, clock.warning), (ClockSource::Server, None));
    assert!(clock.offset_ms.unwrap().abs() < 60_000);
}

/// Nothing is exported, nothing counts as covered, and the next run has it all.
#[rstest]
#[case::ahead(40, false)]
#[case::behind(-40, false)]
#[case::ahead_logging_in(40, true)]
#[tokio::test]
async fn weeks_off_the_window_is_refused_and_the_next_run_misses_nothing(
    #[case] days: i64,
    #[case] logs_in: bool,
) {
    let mut scene = scene("yesterday").await;
    if logs_in {
        scene = scene.logging_in();
    }
    let ahead = TimeDelta::days(days);
    let finished = run_off(&scene, time(NIGHT), ahead).await;
    let Some(error @ Error::Clock { machine, server }) = &finished.error else {
        panic!("{:?}", finished.error);
    };
    assert!((*machine - *server - ahead).abs() < TimeDelta::minutes(1));
    let text = error.to_string();
    assert!(text.contains("2026-11-05 02:0") && text.contains("set this machine's clock"));
    let report = finished.report;
    assert_eq!((report.outcome, &report.window), (Outcome::Failed, &None));
    assert!(report.clock.unwrap().warning.is_some());
    assert!(scene.seen().is_empty());
    // A login tells the time by itself.
    assert_eq!(lists(&scene).len(), usize::from(!logs_in));
    // What a right run left is what is left, though it ended before by the other's clock.
    let poisoned = Fault::new(Effect::Status(400)).meeting(&scene.meetings[2]);
    scene.simulator.add_fault(poisoned);
    let report = right(&scene, "2026-11-05T04:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Incomplete);
    let status = rollbook::status(scene.config.out.as_deref().unwrap());
    let left = status.await.unwrap().left.map(|left| left.run_id);
    assert_eq!(left, Some(report.run_id));
    scene.simulator.clear_faults();
    let report = right(&scene, "2026-11-05T05:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [2, 3]);
}

#[tokio::test]
async fn weeks_off_a_window_whose_end_is_a_date_is_listed_as_it_is() {
    let mut scene = scene("2026-11-02").await;
    scene.config.until = Some("2026-11-03".parse().unwrap());
    for days in [40, -40] {
        let finished = run_off(&scene, time(NIGHT), TimeDelta::days(days)).await;
        assert!(finished.error.is_none(), "{:?}", finished.error);
        let report = finished.report;
        assert!(report.clock.unwrap().warning.is_some());
        assert_eq!(report.window.unwrap().until, time("2026-11-04T00:00:00Z"));
    }
    assert_eq!(brought(&scene), [0, 1]);
    scene.config.until = Some("yesterday".parse().unwrap());
    let finished = run_off(&scene, time(NIGHT), TimeDelta::days(40)).await;
    assert!(matches!(finished.error, Some(Error::Clock { .. })));
}

#[rstest]
#[case::none("")]
#[case::no_date("yesterday at noon")]
#[case::no_clock("Thu, 01 Jan 1970 00:00:12 GMT")]
#[tokio::test]
async fn without_a_date_to_believe_this_machines_clock_serves_with_a_warning(#[case] date: &str) {
    let scene = scene("2026-11-02").await;
    dated(&scene, date);
    let said = Arc::new(Mutex::new(vec![]));
    let hearing = Arc::clone(&said);
    let observer: Observer = Arc::new(move |event| hearing.lock().unwrap().push(event));
    scene.simulator.set_now(time(NIGHT).timestamp_millis());
    let cancel = CancellationToken::new();
    let run = scene.export().run_beside(time(NIGHT), observer, cancel);
    let report = run.await.unwrap().report;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [0, 1, 2]);
    let clock = report.clock.unwrap();
    assert_eq!((clock.source, clock.server), (ClockSource::Machine, None));
    let warning = clock.warning.unwrap();
    assert!(warning.contains("2026-11-05 02:00:00Z"), "{warning}");
    let said = said.lock().unwrap();
    let warned = said
        .iter()
        .filter(|event| matches!(event, Event::Clock { .. }));
    assert_eq!(warned.count(), 1);
}

#[tokio::test]
async fn an_answer_from_a_cache_tells_no_time() {
    let scene = scene("2026-11-02").await;
    let headers = [("Date", "Mon, 02 Nov 2026 02:00:00 GMT"), ("Age", "259200")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    scene
        .simulator
        .add_fault(Fault::new(Effect::Headers(headers.into())).on(Endpoint::History));
    let report = right(&scene, NIGHT).await;
    // The records are not from it.
    let clock = report.clock.unwrap();
    assert_eq!((clock.source, clock.warning), (ClockSource::Server, None));
    assert_eq!(brought(&scene), [0, 1, 2]);
}

/// Without any date a wrong clock decides, for that one run: no later one believes it.
#[tokio::test]
async fn how_far_a_run_got_in_the_future_is_not_believed() {
    let scene = scene("yesterday").await;
    right(&scene, "2026-11-02T02:00:00Z").await;
    dated(&scene, "");
    let finished = run_off(&scene, time("2026-11-02T03:00:00Z"), TimeDelta::days(40)).await;
    assert!(finished.error.is_none(), "{:?}", finished.error);
    let wrong = finished.report.window.unwrap();
    assert_eq!(wrong.seen_until, time("2026-12-12T03:00:00Z"));
    scene.simulator.clear_faults();
    // Two nights are missed.
    let window = right(&scene, NIGHT).await.window.unwrap();
    assert!(window.since <= time("2026-11-02T02:00:00Z"), "{window:?}");
    assert!(
        window.seen_until <= time("2026-11-05T02:01:00Z"),
        "{window:?}"
    );
    assert_eq!(brought(&scene), [0, 1, 2]);
    // Nor once its future has come: the run that did not believe it stands for it.
    let window = right(&scene, "2026-12-20T02:00:00Z").await.window.unwrap();
    assert!(window.since <= time("2026-11-05T02:00:00Z"), "{window:?}");
    assert_eq!(brought(&scene), [0, 1, 2, 3]);
}

#[tokio::test]
async fn the_first_run_of_all_with_a_wrong_clock_is_not_believed_either() {
    let scene = scene("2026-11-02").await;
    dated(&scene, "");
    run_off(&scene, time("2026-11-02T03:00:00Z"), TimeDelta::days(40)).await;
    scene.simulator.clear_faults();
    let scene = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    right(&scene, "2026-11-05T12:00:00Z").await;
    assert_eq!(brought(&scene), [0, 1, 2, 3]);
}

/// `rollbook meetings` lists by the same clock.
#[tokio::test]
async fn a_list_alone_follows_the_servers_clock_too() {
    let scene = scene("yesterday").await;
    let night = time(NIGHT);
    scene.simulator.set_clock(night.timestamp_millis());
    let list = |machine| {
        let history = History {
            config: scene.config.clone(),
            credentials: scene.credentials.clone(),
        };
        history.list_beside(machine, silent(), CancellationToken::new())
    };
    let listed = list(night + TimeDelta::hours(20)).await.unwrap();
    assert_eq!(listed.meetings.len(), 2);
    let refused = list(night + TimeDelta::days(2)).await;
    assert!(matches!(refused, Err(Error::Clock { .. })));
    scene.simulator.clear_requests();
    let listed = list(night).await.unwrap();
    assert_eq!((listed.meetings.len(), lists(&scene).len()), (2, 2));
}

/// The list of a meeting's day is asked for by the days of another time zone.
#[tokio::test]
async fn a_time_zone_changed_between_runs_loses_and_delists_nothing() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-11-01T20:00:00Z", 2), at("2026-11-03T20:00:00Z", 3)];
    let scene = Scene::with(options).await;
    let mut scene = scene.set(|config| {
        config.since = Some("2026-11-01".parse().unwrap());
        config.retries = 0;
        config.lookback = std::time::Duration::ZERO;
    });
    let late = scene.meetings[0].clone();
    // It cannot be had, and the service says that it is not there.
    let gone = Effect::Error(rollbook::simulator::ServiceError {
        status: 400,
        code: "MMC.111070005".into(),
        message: "CONF_DATA_NOT_FOUND".into(),
    });
    scene.simulator.add_fault(Fault::new(gone).meeting(&late));
    right(&scene, "2026-11-04T02:00:00Z").await;
    scene.config.since = Some("yesterday".parse().unwrap());
    for (night, zone) in [
        ("2026-11-05T02:00:00Z", "Asia/Shanghai"),
        ("2026-11-06T02:00:00Z", "America/Los_Angeles"),
        ("2026-11-07T02:00:00Z", "Pacific/Kiritimati"),
        ("2026-11-08T02:00:00Z", "UTC"),
    ] {
        scene.config.timezone = zone.parse().unwrap();
        let report = right(&scene, night).await;
        // The list has it still: it stays owed.
        let window = report.window.unwrap();
        assert_eq!((window.forgotten, window.owed.len()), (0, 1), "{zone}");
        assert_eq!(report.per_meeting[0].conf_uuid, late);
    }
    scene.simulator.clear_faults();
    scene.config.timezone = "Asia/Kathmandu".parse().unwrap();
    right(&scene, "2026-11-09T02:00:00Z").await;
    assert_eq!(brought(&scene), [0, 1]);
}
