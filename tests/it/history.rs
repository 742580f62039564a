//! Runs that take their meetings from the history list.

use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use rollbook::simulator::{
    Effect, Endpoint, Fault, MeetingSpec, Options, RecordEdit, Seen, ServiceError, TOKEN,
};
use rollbook::{Credentials, History, Outcome, Report, silent};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::run::Scene;

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A meeting that begins then.
pub(crate) fn at(start: &str, records: u64) -> MeetingSpec {
    MeetingSpec {
        start: Some(time(start).timestamp_millis()),
        ..MeetingSpec::of(records)
    }
}

/// Meetings at the borders of two days in Shanghai; the second one is of another user.
fn options() -> Options {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![
        at("2026-10-30T15:59:59.999Z", 1),
        at("2026-10-30T16:00:00Z", 2),
        at("2026-10-31T15:59:59.999Z", 3),
        at("2026-10-31T16:00:00Z", 4),
        at("2026-11-01T15:00:00Z", 5),
    ];
    options.meetings[1].foreign = true;
    options
}

async fn scene(options: Options, since: &str) -> Scene {
    let scene = Scene::with(options).await;
    scene.set(|config| {
        config.since = Some(since.parse().unwrap());
        config.timezone = "Asia/Shanghai".parse().unwrap();
        config.query_all = true;
    })
}

async fn run_at(scene: &Scene, now: &str) -> Report {
    let finished = scene
        .export()
        .run_at(time(now), silent(), CancellationToken::new())
        .await
        .unwrap();
    assert!(finished.error.is_none(), "{:?}", finished.error);
    finished.report
}

pub(crate) fn lists(scene: &Scene) -> Vec<Seen> {
    let mut seen = scene.simulator.requests();
    seen.retain(|seen| seen.endpoint == Endpoint::History);
    seen
}

pub(crate) fn brought(scene: &Scene) -> Vec<usize> {
    let rows = scene.rows();
    let meetings = scene.meetings.iter().enumerate();
    meetings
        .filter(|(_, meeting)| rows.contains_key(meeting.as_str()))
        .map(|(position, _)| position)
        .collect()
}

#[tokio::test]
async fn a_day_is_a_civil_day_of_the_time_zone() {
    let mut scene = scene(options(), "2026-10-31").await;
    scene.config.until = Some("2026-10-31".parse().unwrap());
    let report = run_at(&scene, "2026-11-05T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [1, 2]);
    let window = report.window.unwrap();
    assert_eq!(window.since, time("2026-10-30T16:00:00Z"));
    assert_eq!(window.until, time("2026-10-31T16:00:00Z"));
    assert_eq!((window.discovered, window.requests), (2, 1));
    assert_eq!(window.covered_until, window.until);
}

#[tokio::test]
async fn the_meetings_of_others_are_asked_for_on_request_only() {
    let mut scene = scene(options(), "2026-10-30").await;
    scene.config.query_all = false;
    run_at(&scene, "2026-11-05T00:00:00Z").await;
    assert_eq!(brought(&scene), [0, 2, 3, 4]);
    // Who saw less covered less: the same window is listed anew for all of them.
    scene.config.query_all = true;
    let report = run_at(&scene, "2026-11-05T01:00:00Z").await;
    assert_eq!(report.meetings.already, 4);
    assert_eq!(brought(&scene), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_meeting_that_ended_lately_is_left_to_the_next_run() {
    let mut scene = scene(options(), "2026-11-01").await;
    let end = scene.simulator.end_of(&scene.meetings[4]).unwrap();
    let end = DateTime::from_timestamp_millis(end).unwrap();
    scene.config.since = Some("yesterday".parse().unwrap());
    let soon = end + TimeDelta::minutes(29);
    let report = run_at(&scene, &soon.to_rfc3339()).await;
    let window = report.window.unwrap();
    assert_eq!((report.outcome, window.settling), (Outcome::Complete, 1));
    assert!(window.covered_until <= time("2026-11-01T15:00:00Z"));
    // Four missed nights later "yesterday" is far behind it.
    let report = run_at(&scene, "2026-11-06T02:00:00Z").await;
    assert_eq!(report.meetings.already, 1);
    // Nobody ever asked for those before.
    assert_eq!(brought(&scene), [3, 4]);
    assert_eq!(report.window.unwrap().settling, 0);
}

#[tokio::test]
async fn a_day_of_several_pages_is_listed_with_seams() {
    let mut options = Options::sizes(&[]);
    options.meetings = (0..1_100).map(|_| at("2026-10-30T17:00:00Z", 0)).collect();
    let mut scene = scene(options, "2026-10-31").await;
    scene.config.until = scene.config.since;
    let report = run_at(&scene, "2026-11-01T00:00:00Z").await;
    assert_eq!(report.meetings.empty, 1_100);
    let offsets: Vec<_> = lists(&scene)
        .iter()
        .map(|seen| seen.offset.unwrap())
        .collect();
    assert_eq!(offsets, [0, 499, 998]);
    assert!(lists(&scene).iter().all(|seen| seen.limit == Some(500)));
}

#[tokio::test]
async fn a_list_that_echoes_the_number_of_its_rows_as_its_limit_costs_one_request_more_a_day() {
    let mut options = Options::sizes(&[]);
    options.meetings = (0..3).map(|_| at("2026-10-30T17:00:00Z", 0)).collect();
    let mut scene = scene(options, "2026-10-31")
        .await
        .fault(Fault::new(Effect::EchoRows).on(Endpoint::History));
    scene.config.until = scene.config.since;
    let report = run_at(&scene, "2026-11-01T00:00:00Z").await;
    assert_eq!(report.meetings.empty, 3);
    let offsets: Vec<_> = lists(&scene)
        .iter()
        .map(|seen| seen.offset.unwrap())
        .collect();
    assert_eq!(offsets, [0, 2]);
}

#[rstest]
#[case::refused(Effect::Status(400))]
#[case::count(Effect::CountOff(1))]
#[case::too_low(Effect::CountOff(-1))]
#[case::elsewhere(Effect::EchoOffset(7))]
#[case::no_uuid(Effect::Record(RecordEdit::unset(0, "confUUID")))]
#[tokio::test]
async fn a_day_that_cannot_be_listed_is_named_and_the_others_are_exported(#[case] effect: Effect) {
    let scene = scene(options(), "2026-10-30")
        .await
        .set(|config| config.restarts = 2);
    // The days are asked for side by side: the fault is for the first that comes, and its walks.
    scene
        .simulator
        .add_fault(Fault::new(effect).on(Endpoint::History));
    scene.simulator.set_now(i64::MAX);
    let report = run_at(&scene, "2026-11-05T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Incomplete);
    let window = report.window.unwrap();
    assert!(!window.unlisted.is_empty());
    assert!(window.unlisted.iter().all(|day| !day.cause.is_empty()));
    assert_eq!(window.covered_until, window.unlisted[0].since);
    // The next run begins there, however late it comes.
    scene.simulator.clear_faults();
    let late = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    let report = run_at(&late, "2026-12-05T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&late), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn one_bad_answer_costs_a_walk_and_no_day() {
    let scene = scene(options(), "2026-10-30").await;
    for effect in [
        Effect::CountOff(1),
        Effect::Status(503),
        Effect::EchoOffset(7),
    ] {
        scene
            .simulator
            .add_fault(Fault::new(effect).on(Endpoint::History).first(1));
    }
    let report = run_at(&scene, "2026-11-05T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_day_without_meetings_may_be_answered_with_an_error() {
    let scene = scene(options(), "2026-11-01").await;
    let none = ServiceError {
        status: 400,
        code: "MMC.111071069".into(),
        message: "no meeting".into(),
    };
    scene
        .simulator
        .add_fault(Fault::new(Effect::Error(none)).on(Endpoint::History));
    let report = run_at(&scene, "2026-11-03T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.window.unwrap().discovered, 0);
}

#[tokio::test]
async fn refused_credentials_end_the_run_before_any_record() {
    let scene = scene(options(), "2026-10-30").await;
    scene
        .simulator
        .expire_tokens(rollbook::simulator::Refusal::Invalid);
    let finished = scene
        .export()
        .run_at(
            time("2026-11-05T00:00:00Z"),
            silent(),
            CancellationToken::new(),
        )
        .await
        .unwrap();
    assert!(matches!(
        finished.error,
        Some(rollbook::Error::Credentials { .. })
    ));
    let window = finished.report.window.unwrap();
    assert_eq!(window.covered_until, window.since);
    assert!(scene.seen().is_empty());
}

#[tokio::test]
async fn a_window_older_than_the_retention_is_said_to_be() {
    let scene = scene(options(), "2026-04-30").await;
    let report = run_at(&scene, "2026-11-05T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert!(report.window.unwrap().is_past_retention);
}

#[tokio::test]
async fn what_a_repair_dropped_is_asked_for_again_however_old_it_is() {
    let scene = scene(options(), "2026-10-30").await;
    run_at(&scene, "2026-11-03T00:00:00Z").await;
    let out = scene.config.out.clone().unwrap();
    for part in std::fs::read_dir(&out).unwrap() {
        let path = part.unwrap().path();
        if path.extension().is_some_and(|name| name == "parquet") {
            std::fs::write(path, "damage").unwrap();
        }
    }
    rollbook::repair(&out).await.unwrap();
    assert!(brought(&scene).is_empty());
    let late = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    let report = run_at(&late, "2026-12-05T00:00:00Z").await;
    assert_eq!(report.meetings.complete, 5);
    assert_eq!(brought(&late), [0, 1, 2, 3, 4]);
}

/// The service has removed them: what a repair dropped is bounded in time like any other debt.
#[tokio::test]
async fn what_a_repair_dropped_is_given_up_once_nobody_keeps_it() {
    let scene = scene(options(), "2026-10-30").await;
    run_at(&scene, "2026-11-03T00:00:00Z").await;
    let out = scene.config.out.clone().unwrap();
    for part in std::fs::read_dir(&out).unwrap() {
        let path = part.unwrap().path();
        if path.extension().is_some_and(|name| name == "parquet") {
            std::fs::write(path, "damage").unwrap();
        }
    }
    rollbook::repair(&out).await.unwrap();
    let scene = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    scene.simulator.add_fault(Fault::new(no_such_meeting()));
    // The ledger has the time of their first pages, which came then.
    let fetched = time("2026-11-03T00:00:00Z");
    for (day, requested, forgotten) in [(2, 5, 0), (364, 5, 0), (368, 0, 5), (369, 0, 0)] {
        let now = fetched + TimeDelta::days(day);
        let report = run_at(&scene, &now.to_rfc3339()).await;
        assert_eq!(report.meetings.requested, requested, "{day}");
        assert_eq!(report.outcome == Outcome::Complete, requested == 0);
        assert_eq!(report.window.unwrap().forgotten, forgotten, "{day}");
    }
}

fn no_such_meeting() -> Effect {
    Effect::Error(ServiceError {
        status: 400,
        code: "MMC.111070005".into(),
        message: "CONF_DATA_NOT_FOUND".into(),
    })
}

/// The service says so, and so does its list of the whole day.
#[tokio::test]
async fn a_meeting_that_was_deleted_is_named_once_and_not_asked_for_again() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-11-01T08:00:00Z", 2)];
    let scene = scene(options, "2026-10-30").await;
    let gone = scene.meetings[0].clone();
    let scene = scene.set(|config| config.retries = 0);
    let failing = |effect: Effect| scene.simulator.add_fault(Fault::new(effect).meeting(&gone));
    failing(no_such_meeting());
    // Listed, so that the answer may be wrong.
    for now in ["2026-11-03T00:00:00Z", "2026-11-03T01:00:00Z"] {
        let report = run_at(&scene, now).await;
        assert_eq!(
            (report.outcome, report.meetings.incomplete),
            (Outcome::Incomplete, 1)
        );
        assert!(report.per_meeting[0].day.is_some());
    }
    scene.simulator.unlist(&gone);
    // Not listed, since nothing was.
    let silent = Fault::new(Effect::Status(400)).on(Endpoint::History);
    scene.simulator.add_fault(silent);
    let report = run_at(&scene, "2026-11-03T02:00:00Z").await;
    assert_eq!(
        (report.outcome, report.meetings.incomplete),
        (Outcome::Incomplete, 1)
    );
    assert!(report.per_meeting[0].day.is_some());
    scene.simulator.clear_faults();
    // Not there, and refused for another reason.
    failing(Effect::Status(400));
    let report = run_at(&scene, "2026-11-03T03:00:00Z").await;
    assert!(report.per_meeting[0].day.is_some());
    scene.simulator.clear_faults();
    failing(no_such_meeting());
    let report = run_at(&scene, "2026-11-03T04:00:00Z").await;
    assert_eq!(
        (report.outcome, report.meetings.incomplete),
        (Outcome::Incomplete, 1)
    );
    let cause = report.per_meeting[0].cause.as_deref().unwrap();
    assert!(cause.contains("CONF_DATA_NOT_FOUND") && cause.contains("not asked for again"));
    let window = report.window.unwrap();
    assert_eq!((window.forgotten, window.owed.len()), (1, 0));
    let report = run_at(&scene, "2026-11-03T05:00:00Z").await;
    assert_eq!(
        (report.outcome, report.meetings.requested),
        (Outcome::Complete, 0)
    );
    assert_eq!(report.window.unwrap().forgotten, 0);
}

#[rstest]
#[case::backwards("2026-11-02", Some("2026-11-01"))]
#[case::to_come("2026-12-01", None)]
#[case::for_ever("1970-01-01", None)]
#[tokio::test]
async fn a_window_that_is_none_is_refused_before_any_request(
    #[case] since: &str,
    #[case] until: Option<&str>,
) {
    let mut scene = scene(options(), since).await;
    scene.config.until = until.map(|until| until.parse().unwrap());
    let outcome = scene
        .export()
        .run_at(
            time("2026-11-05T00:00:00Z"),
            silent(),
            CancellationToken::new(),
        )
        .await;
    assert!(matches!(outcome, Err(rollbook::Error::Config(_))));
    assert_eq!(scene.simulator.request_count(), 0);
}

#[tokio::test]
async fn a_meeting_that_cannot_be_had_costs_its_own_day_and_not_all_since() {
    let scene = scene(options(), "2026-10-30").await;
    let poisoned = scene.meetings[1].clone();
    let fault = Fault::new(Effect::Status(400)).meeting(&poisoned);
    scene.simulator.add_fault(fault);
    let report = run_at(&scene, "2026-11-03T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Incomplete);
    let scene = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    let mut days = vec![];
    for now in [
        "2026-11-20T00:00:00Z",
        "2026-11-30T00:00:00Z",
        "2026-12-10T00:00:00Z",
    ] {
        scene.simulator.clear_requests();
        let report = run_at(&scene, now).await;
        assert_eq!(report.meetings.incomplete, 1);
        let window = report.window.unwrap();
        // Cut to the minute, as the list has it.
        assert_eq!(window.covered_until, time("2026-10-30T16:00:00Z"));
        days.push(window.requests);
    }
    // Its day, and those from the lookback on: seven of lookback and ten missed.
    assert_eq!(days[1..], [19, 19]);
    scene.simulator.clear_faults();
    let report = run_at(&scene, "2026-12-11T00:00:00Z").await;
    assert_eq!(
        (report.meetings.complete, report.outcome),
        (1, Outcome::Complete)
    );
    assert!(report.window.unwrap().owed.is_empty());
    assert_eq!(brought(&scene), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn what_a_run_left_that_ended_after_the_next_began_is_not_forgotten() {
    let scene = scene(options(), "2026-10-30").await;
    run_at(&scene, "2026-11-03T00:00:00Z").await;
    // As if a long run beside the last one had left a meeting of its own.
    let runs = std::path::Path::new(scene.config.out.as_ref().unwrap()).join("_rollbook/runs");
    let report = std::fs::read_dir(&runs)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&report).unwrap();
    let mut beside: Report = serde_json::from_str(&text).unwrap();
    beside.started = time("2026-11-01T00:00:00Z");
    beside.finished = time("2026-11-04T00:00:00Z");
    let window = beside.window.as_mut().unwrap();
    window.covered_until = time("2026-10-01T12:00:00Z");
    let owed = window.covered_until;
    window.owed.insert(owed, owed + TimeDelta::hours(24));
    window.earliest = time("2026-09-01T00:00:00Z");
    let text = serde_json::to_string(&beside).unwrap();
    std::fs::write(runs.join("20261101T000000Z-aaaaaa.json"), text).unwrap();
    let scene = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    let window = run_at(&scene, "2026-11-10T00:00:00Z").await.window.unwrap();
    assert_eq!(window.since, time("2026-10-01T12:00:00Z"));
    // Nothing is owed any more, and nobody goes back there again.
    let window = run_at(&scene, "2026-11-11T00:00:00Z").await.window.unwrap();
    assert_eq!(window.since, time("2026-11-03T00:00:00Z"));
    assert_eq!(window.earliest, time("2026-09-01T00:00:00Z"));
}

/// Seven days are to be listed by each run, and five meetings to be brought.
#[tokio::test]
async fn requests_for_the_list_are_among_those_set_aside_and_leave_some_for_records() {
    let scene = scene(options(), "2026-10-30").await;
    let mut scene = scene.set(|config| config.max_requests = NonZeroU32::new(4));
    for run in 0..8 {
        scene.simulator.clear_requests();
        let report = run_at(&scene, &format!("2026-11-05T{run:02}:00:00Z")).await;
        let window = report.window.unwrap();
        let (listed, sent) = (window.requests, report.requests.sent);
        assert_eq!(scene.seen().len() as u64, sent);
        assert_eq!(lists(&scene).len() as u64, listed);
        assert!(listed <= 2 && listed + sent <= 4, "{listed} and {sent}");
        assert_eq!(report.outcome, Outcome::Incomplete);
        if run == 0 {
            assert_eq!((listed, sent, window.unlisted.len()), (2, 2, 5));
        }
    }
    assert_eq!(brought(&scene), [0, 1, 2, 3, 4]);
    scene.config.max_requests = NonZeroU32::new(14);
    let report = run_at(&scene, "2026-11-05T09:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
}

#[tokio::test]
async fn who_lists_and_exports_nothing_logs_out() {
    let scene = scene(options(), "7d").await.logging_in();
    let history = History {
        config: scene.config.clone(),
        credentials: scene.credentials.clone(),
    };
    let listed = history.list(silent(), CancellationToken::new()).await;
    assert!(listed.unwrap().unlisted.is_empty());
    assert_eq!(scene.simulator.most_live_tokens(), 1);
    assert_eq!(scene.simulator.live_tokens(), 0);
}

/// A day that could not be listed is owed whatever window the runs between ask for.
#[tokio::test]
async fn a_run_for_other_days_does_not_forget_what_is_owed() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-03-10T08:00:00Z", 2), at("2026-06-15T08:00:00Z", 3)];
    let scene = scene(options, "2026-06-15").await;
    let mut scene = scene.set(|config| {
        config.until = Some("2026-06-16".parse().unwrap());
        config.retries = 0;
    });
    let refused = Fault::new(Effect::Status(400)).on(Endpoint::History);
    scene.simulator.add_fault(refused);
    let report = run_at(&scene, "2026-06-20T00:00:00Z").await;
    assert_eq!(report.window.unwrap().unlisted.len(), 2);
    scene.simulator.clear_faults();
    scene.config.since = Some("2026-03-01".parse().unwrap());
    scene.config.until = Some("2026-03-31".parse().unwrap());
    let report = run_at(&scene, "2026-06-21T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [0]);
    scene.config.since = Some("yesterday".parse().unwrap());
    scene.config.until = None;
    let report = run_at(&scene, "2026-07-20T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [0, 1]);
}

/// Another user may see other meetings: what this one listed counts for listed by nobody else, but
/// nobody stops to look for what it would have looked for.
#[tokio::test]
async fn other_credentials_look_back_as_far_and_list_all_of_it() {
    let scene = scene(options(), "2026-10-30").await;
    let mut scene = scene.logging_in();
    scene.config.lookback = std::time::Duration::from_secs(2 * 86_400);
    let report = run_at(&scene, "2026-11-05T00:00:00Z").await;
    assert!(report.window.unwrap().who.is_some());
    scene.credentials = Credentials::Token(TOKEN.into());
    scene.config.since = Some("2026-11-04".parse().unwrap());
    scene.simulator.clear_requests();
    let window = run_at(&scene, "2026-11-06T00:00:00Z").await.window.unwrap();
    assert_eq!(window.since, time("2026-11-03T00:00:00Z"));
    assert_eq!(window.earliest, time("2026-10-29T16:00:00Z"));
    assert_eq!((lists(&scene).len(), window.owed.len()), (4, 0));
}

/// An App ID that was rotated, or another user.
#[tokio::test]
async fn what_is_owed_is_still_owed_with_other_credentials() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![
        at("2026-11-01T08:00:00Z", 2),
        at("2026-11-01T12:00:00Z", 3),
        at("2026-11-02T08:00:00Z", 4),
    ];
    let scene = scene(options, "2026-10-30").await.logging_in();
    let mut scene = scene.set(|config| config.until = Some("2026-11-01".parse().unwrap()));
    // One meeting fails, and then a day cannot be listed.
    let failed = scene.meetings[1].clone();
    let refused = Fault::new(Effect::Status(400));
    scene.simulator.add_fault(refused.clone().meeting(&failed));
    run_at(&scene, "2026-11-03T00:00:00Z").await;
    scene.simulator.add_fault(refused.on(Endpoint::History));
    scene.config.since = Some("2026-11-02".parse().unwrap());
    scene.config.until = Some("2026-11-02".parse().unwrap());
    let report = run_at(&scene, "2026-11-03T01:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Incomplete);
    assert_eq!(brought(&scene), [0]);

    scene.simulator.clear_faults();
    scene.simulator.unlist(&failed);
    scene.credentials = Credentials::Token(TOKEN.into());
    scene.config.since = Some("yesterday".parse().unwrap());
    scene.config.until = None;
    let report = run_at(&scene, "2026-11-20T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [0, 1, 2]);
    let window = run_at(&scene, "2026-11-21T00:00:00Z").await.window.unwrap();
    assert!(window.owed.is_empty() && window.taken_over.is_empty());
}

/// Others may not see it: their list without it, and their refusal, tell nothing of it.
#[tokio::test]
async fn a_meeting_that_other_credentials_found_is_not_given_up_for_a_list_without_it() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-11-01T08:00:00Z", 2), at("2026-11-18T08:00:00Z", 3)];
    let mut scene = scene(options, "2026-10-30").await.logging_in();
    let hidden = scene.meetings[0].clone();
    let refused = Fault::new(Effect::Status(400)).meeting(&hidden);
    scene.simulator.add_fault(refused);
    run_at(&scene, "2026-11-03T00:00:00Z").await;
    scene.simulator.clear_faults();
    let gone = Fault::new(no_such_meeting()).meeting(&hidden);
    scene.simulator.add_fault(gone);
    scene.simulator.unlist(&hidden);
    scene.credentials = Credentials::Token(TOKEN.into());
    scene.config.since = Some("yesterday".parse().unwrap());
    for now in ["2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z"] {
        let report = run_at(&scene, now).await;
        assert_eq!(report.outcome, Outcome::Incomplete);
        let absent = report.per_meeting.iter().find(|one| one.cause.is_some());
        assert_eq!(absent.unwrap().conf_uuid, hidden);
        assert_eq!(report.window.unwrap().forgotten, 0);
    }
    assert_eq!(brought(&scene), [1]);
    scene.simulator.clear_faults();
    assert_eq!(
        run_at(&scene, "2026-11-21T00:00:00Z").await.outcome,
        Outcome::Complete
    );
    assert_eq!(brought(&scene), [0, 1]);
}

#[rstest]
#[case::no_object(RecordEdit::replace(0, "5"))]
#[case::no_uuid(RecordEdit::unset(0, "confUUID"))]
#[case::bad_uuid(RecordEdit::set(0, "confUUID", r#""../x""#))]
#[tokio::test]
async fn a_row_of_the_list_that_cannot_be_read_costs_its_own_meeting_alone(
    #[case] edit: RecordEdit,
) {
    let scene = scene(options(), "2026-10-30").await;
    let unreadable = Fault::new(Effect::Record(edit)).on(Endpoint::History);
    scene.simulator.add_fault(unreadable);
    let report = run_at(&scene, "2026-11-02T08:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Incomplete);
    // The first one of each day is missing.
    assert_eq!(brought(&scene), [2, 4]);
    let unlisted = report.window.unwrap().unlisted;
    assert_eq!(unlisted.len(), 3);
    for day in &unlisted {
        assert_eq!(day.rows, [0]);
        let id = day.request_id.as_deref().unwrap();
        assert!(
            day.cause.contains("row at offset 0") && day.cause.contains(id),
            "{}",
            day.cause
        );
    }
    // They are looked for again, however late.
    scene.simulator.clear_faults();
    let scene = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    assert_eq!(
        run_at(&scene, "2026-11-28T00:00:00Z").await.outcome,
        Outcome::Complete
    );
    assert_eq!(brought(&scene), [0, 1, 2, 3, 4]);
}

/// What became of a meeting before the list lost it.
#[derive(Clone, Copy, Debug)]
enum Left {
    Settling,
    Failed,
    Unfinished,
}

#[rstest]
#[case::settling(Left::Settling)]
#[case::failed(Left::Failed)]
#[case::unfinished(Left::Unfinished)]
#[tokio::test]
async fn a_meeting_that_was_found_is_asked_for_though_the_list_has_lost_it(#[case] left: Left) {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-11-01T08:00:00Z", 2), at("2026-11-01T14:00:00Z", 3)];
    let scene = scene(options, "2026-10-30").await;
    let late = scene.meetings[1].clone();
    let end = DateTime::from_timestamp_millis(scene.simulator.end_of(&late).unwrap()).unwrap();
    let mut first = end + TimeDelta::hours(1);
    match left {
        Left::Settling => first = end + TimeDelta::minutes(10),
        Left::Failed => {
            let fault = Fault::new(Effect::Status(400)).meeting(&late);
            scene.simulator.add_fault(fault);
        }
        Left::Unfinished => scene
            .simulator
            .add_fault(Fault::new(Effect::Status(503)).meeting(&late)),
    }
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let observer = std::sync::Arc::new(move |event| {
        if matches!(event, rollbook::Event::Retrying { .. }) {
            stop.cancel();
        }
    });
    let run = scene.export().run_at(first, observer, cancel);
    let report = run.await.unwrap().report;
    let outcome = match left {
        Left::Settling => Outcome::Complete,
        Left::Failed => Outcome::Incomplete,
        Left::Unfinished => Outcome::Interrupted,
    };
    assert_eq!(report.outcome, outcome);
    assert_eq!(brought(&scene), [0]);

    scene.simulator.unlist(&late);
    let mut scene = scene.set(|config| config.retries = 0);
    // Not of this window, and not forgotten.
    scene.config.until = Some("2026-10-30".parse().unwrap());
    let report = run_at(&scene, "2026-11-02T00:00:00Z").await;
    assert_eq!(report.meetings.requested, 0);
    scene.config.since = Some("yesterday".parse().unwrap());
    scene.config.until = None;
    // It stays owed while it cannot be had, and the run says so.
    let refused = Fault::new(Effect::Status(400)).meeting(&late);
    scene.simulator.add_fault(refused);
    for now in ["2026-11-03T00:00:00Z", "2026-11-20T00:00:00Z"] {
        let report = run_at(&scene, now).await;
        assert_eq!(report.outcome, Outcome::Incomplete);
        assert_eq!(report.meetings.incomplete, 1);
        assert_eq!(report.per_meeting[0].conf_uuid, late);
    }
    scene.simulator.clear_faults();
    scene.simulator.clear_requests();
    let report = run_at(&scene, "2026-12-05T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!((report.meetings.complete, scene.seen().len()), (1, 1));
    assert_eq!(brought(&scene), [0, 1]);
    let report = run_at(&scene, "2026-12-06T00:00:00Z").await;
    assert_eq!(report.meetings.requested, 0);
    assert!(report.window.unwrap().owed.is_empty());
}

#[tokio::test]
async fn a_meeting_that_is_never_had_is_given_up_once_nobody_keeps_it() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-11-01T08:00:00Z", 2)];
    let scene = scene(options, "2026-10-30").await;
    let lost = scene.meetings[0].clone();
    scene.simulator.add_fault(Fault::new(Effect::Status(400)));
    run_at(&scene, "2026-11-03T00:00:00Z").await;
    scene.simulator.unlist(&lost);
    let scene = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    let report = run_at(&scene, "2027-10-31T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Incomplete);
    assert_eq!(report.window.unwrap().forgotten, 0);
    for (now, forgotten) in [("2027-11-05T00:00:00Z", 1), ("2027-11-06T00:00:00Z", 0)] {
        let report = run_at(&scene, now).await;
        let window = report.window.unwrap();
        assert_eq!(
            (report.outcome, window.forgotten),
            (Outcome::Complete, forgotten)
        );
        assert!(window.owed.is_empty() && window.owed_meetings.is_empty());
        assert_eq!(window.covered_until, time(now));
    }
}

/// Reports of before had the days of what was owed, and no names.
#[tokio::test]
async fn what_a_report_owes_by_its_day_alone_is_found_on_that_day() {
    let scene = scene(options(), "2026-10-30").await;
    scene.simulator.add_fault(Fault::new(Effect::Status(400)));
    run_at(&scene, "2026-11-03T00:00:00Z").await;
    scene.simulator.clear_faults();
    let runs = std::path::Path::new(scene.config.out.as_ref().unwrap()).join("_rollbook/runs");
    for report in std::fs::read_dir(&runs).unwrap() {
        let report = report.unwrap().path();
        let text = std::fs::read_to_string(&report).unwrap();
        let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
        for meeting in old["per_meeting"].as_array_mut().unwrap() {
            assert!(meeting.as_object_mut().unwrap().remove("day").is_some());
        }
        assert_eq!(old["window"]["owed"].as_object().unwrap().len(), 3);
        std::fs::write(&report, old.to_string()).unwrap();
    }
    let scene = scene.set(|config| config.since = Some("yesterday".parse().unwrap()));
    let report = run_at(&scene, "2026-12-05T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_meeting_that_a_newer_report_owes_in_its_own_words_is_asked_for() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-11-01T08:00:00Z", 2)];
    let scene = scene(options, "2026-10-30").await;
    scene.simulator.add_fault(Fault::new(Effect::Status(400)));
    run_at(&scene, "2026-11-03T00:00:00Z").await;
    scene.simulator.clear_faults();
    scene.simulator.unlist(&scene.meetings[0]);
    let runs = std::path::Path::new(scene.config.out.as_ref().unwrap()).join("_rollbook/runs");
    for report in std::fs::read_dir(&runs).unwrap() {
        let report = report.unwrap().path();
        let text = std::fs::read_to_string(&report).unwrap();
        assert!(text.contains(r#""status": "failed""#));
        let newer = text.replace(r#""status": "failed""#, r#""status": "postponed""#);
        std::fs::write(&report, newer).unwrap();
    }
    let report = run_at(&scene, "2026-11-04T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [0]);
}

/// The reports are many by the time that its own comes, and it began before all of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_left_that_many_others_overtook_is_not_forgotten() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-10-30T17:00:00Z", 2)];
    let mut scene = scene(options, "2026-10-30").await;
    let away = Fault::new(Effect::Status(503)).meeting(&scene.meetings[0]);
    scene.simulator.add_fault(away);
    scene.config.retry_delay = std::time::Duration::from_secs(20);
    let cancel = CancellationToken::new();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let observer = std::sync::Arc::new(move |event| {
        if matches!(event, rollbook::Event::Retrying { .. })
            && let Some(begun) = begun.lock().unwrap().take()
        {
            begun.send(()).unwrap();
        }
    });
    let export = scene.export();
    let (stop, now) = (cancel.clone(), time("2026-11-01T00:00:00Z"));
    let long = tokio::spawn(async move { export.run_at(now, observer, stop).await });
    has_begun.await.unwrap();
    scene.config.since = Some("yesterday".parse().unwrap());
    for hour in 0..26 {
        let now = time("2026-11-10T00:00:00Z") + TimeDelta::hours(hour);
        let report = run_at(&scene, &now.to_rfc3339()).await;
        assert_eq!(
            (report.outcome, report.beside.len()),
            (Outcome::Complete, 1)
        );
    }
    cancel.cancel();
    let report = long.await.unwrap().unwrap().report;
    assert_eq!(report.meetings.unfinished, 1);
    scene.simulator.clear_faults();
    let report = run_at(&scene, "2026-11-12T00:00:00Z").await;
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(brought(&scene), [0]);
}

/// It was found on its day, so that it began there, and no meeting takes longer than another one.
#[tokio::test]
async fn a_meeting_whose_times_are_far_to_come_is_over_a_day_after_its_own() {
    let mut options = Options::sizes(&[]);
    options.meetings = vec![at("2026-11-01T08:00:00Z", 2)];
    let scene = scene(options, "2026-11-01").await;
    for member in ["startTime", "endTime"] {
        let edit = RecordEdit::set(0, member, "\"2900-01-01 00:00\"");
        let fault = Fault::new(Effect::Record(edit)).on(Endpoint::History);
        scene.simulator.add_fault(fault);
    }
    let window = run_at(&scene, "2026-11-02T16:00:00Z").await.window.unwrap();
    let owed = window.owed_meetings[&scene.meetings[0]];
    assert_eq!(owed.over, time("2026-11-02T16:00:00Z"));
    run_at(&scene, "2026-11-02T16:30:00Z").await;
    assert_eq!(brought(&scene), [0]);
}
