//! Records that the service shows late: the meetings that a later run asks for again, and what it
//! puts in the place of what it held.

use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use rollbook::simulator::{Drift, Effect, Fault, MeetingSpec, Options, RecordEdit, ServiceError};
use rollbook::{Config, Format, MeetingStatus, Outcome, PartitionBy, Report, silent, verify};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::history::time;
use crate::run::Scene;

const DAY: u64 = 86_400;

fn days(days: u64) -> std::time::Duration {
    std::time::Duration::from_secs(days * DAY)
}

fn append(scene: &Scene, position: usize, records: u64) {
    let drift = Drift {
        append: records,
        ..Drift::default()
    };
    scene.simulator.drift(&scene.meetings[position], drift);
}

/// The requests for records of each meeting since the last time this was asked.
fn asked(scene: &Scene) -> Vec<usize> {
    let asked = (0..scene.meetings.len()).map(|position| scene.seen_of(position).len());
    let asked = asked.collect();
    scene.simulator.clear_requests();
    asked
}

#[tokio::test]
async fn records_that_come_late_are_found_by_the_first_page_and_their_meetings_replaced() {
    let mut scene = Scene::of(&[10, 3, 0, 700, 499]).await;
    scene.run().await.is_complete(&scene);
    for (position, records) in [(0, 2), (2, 4), (3, 1), (4, 1)] {
        append(&scene, position, records);
    }
    // Without being told to, a run asks for nothing that is there.
    assert_eq!(asked(&scene), [1, 1, 1, 2, 1]);
    let finished = scene.export().run(silent(), CancellationToken::new()).await;
    let report = finished.unwrap().report;
    assert_eq!((report.requests.sent, report.meetings.already), (0, 5));

    scene.config.recheck = Some(days(1));
    let run = scene.run().await;
    run.is_complete(&scene);
    let counts = run.report.meetings;
    assert_eq!(
        (counts.already, counts.rechecked, counts.replaced),
        (1, 1, 4)
    );
    assert_eq!((counts.complete, counts.empty), (0, 0));
    // The page that showed the change is the first one of the new reading.
    assert_eq!(asked(&scene), [1, 1, 1, 2, 2]);
    assert_eq!(run.report.requests.sent, run.report.requests.minimum);
    let replaced: Vec<_> = run
        .report
        .per_meeting
        .iter()
        .map(|meeting| (meeting.replaced.unwrap().records, meeting.records))
        .collect();
    assert_eq!(replaced, [(10, 12), (0, 4), (700, 701), (499, 500)]);

    // Nothing has changed since: one request each.
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!((run.report.meetings.rechecked, run.report.parts), (5, 0));
    assert_eq!(asked(&scene), [1; 5]);
    scene.config.recheck = None;
    assert_eq!(scene.run().await.report.requests.sent, 0);
}

#[tokio::test]
async fn what_is_filled_in_later_is_found_though_the_count_is_the_same() {
    let edits = [
        RecordEdit::set(2, "leftTime", "0"),
        RecordEdit::unset(2, "leftTime"),
        RecordEdit::set(2, "displayName", "\"\""),
        RecordEdit::set(2, "added", "true"),
    ];
    for edit in edits {
        let mut scene = Scene::of(&[5, 5]).await;
        scene
            .simulator
            .add_fault(Fault::new(Effect::Record(edit)).meeting(0));
        scene.run_unchecked().await;
        scene.simulator.clear_faults();
        scene.config.recheck = Some(days(1));
        let run = scene.run().await;
        run.is_complete(&scene);
        let counts = run.report.meetings;
        assert_eq!((counts.rechecked, counts.replaced), (1, 1));
    }
}

fn small_parts(config: &mut Config) {
    config.part_rows = 100;
    config.buffer_rows = 1_000;
    config.page_size = 100.try_into().unwrap();
}

#[rstest]
#[case::parquet(|_: &mut Config| {})]
#[case::arrow(|config: &mut Config| config.format = Format::Arrow)]
#[case::ndjson(|config: &mut Config| config.format = Format::Ndjson)]
#[case::many_parts(small_parts)]
#[case::join_dates(|config: &mut Config| config.partition_by = Some(PartitionBy::JoinDate))]
#[case::meeting_dates(|config: &mut Config| config.partition_by = Some(PartitionBy::MeetingDate))]
#[case::masked(|config: &mut Config| config.pii = "display_name=drop".parse().unwrap())]
#[tokio::test]
async fn each_form_of_a_dataset_is_rechecked_and_replaced_in(#[case] form: fn(&mut Config)) {
    let mut scene = Scene::of(&[30, 2_500, 0, 7]).await.set(form);
    let dataset = scene.config.out.clone().unwrap();
    let run = async |scene: &Scene| {
        let finished = scene.export().run(silent(), CancellationToken::new()).await;
        let finished = finished.unwrap();
        assert!(finished.error.is_none(), "{:?}", finished.error);
        let found = verify(dataset.as_str()).await.unwrap();
        assert!(found.is_sound(), "{:?}", found.findings);
        let rows: Vec<_> = scene
            .meetings
            .iter()
            .map(|meeting| {
                let mut stated = found.per_meeting.iter();
                stated
                    .find(|stated| stated.conf_uuid == *meeting)
                    .unwrap()
                    .found
            })
            .collect();
        (finished.report, rows)
    };
    assert_eq!(run(&scene).await.1, [30, 2_500, 0, 7]);
    scene.config.recheck = Some(days(1));
    let (report, _) = run(&scene).await;
    assert_eq!(
        (report.meetings.rechecked, report.meetings.replaced),
        (4, 0)
    );
    for (position, records) in [(0, 1), (1, 20), (2, 2)] {
        append(&scene, position, records);
    }
    let (report, rows) = run(&scene).await;
    assert_eq!(
        (report.meetings.rechecked, report.meetings.replaced),
        (1, 3)
    );
    assert_eq!(rows, [31, 2_520, 2, 7]);
    let (report, _) = run(&scene).await;
    assert_eq!(
        (report.meetings.rechecked, report.meetings.replaced),
        (4, 0)
    );
}

#[tokio::test]
async fn a_record_that_is_gone_is_dropped_and_both_counts_are_in_the_report() {
    let mut scene = Scene::of(&[3, 1]).await;
    scene.run().await.is_complete(&scene);
    for (position, records) in [(0, 1), (1, 1)] {
        let drift = Drift {
            remove_end: records,
            ..Drift::default()
        };
        scene.simulator.drift(&scene.meetings[position], drift);
    }
    scene.config.recheck = Some(days(1));
    let run = scene.run().await;
    run.is_complete(&scene);
    let counts: Vec<_> = run
        .report
        .per_meeting
        .iter()
        .map(|meeting| {
            let before = meeting.replaced.unwrap();
            (before.count, before.records, meeting.count, meeting.records)
        })
        .collect();
    assert_eq!(counts, [(3, 3, Some(2), 2), (1, 1, Some(0), 0)]);
}

#[tokio::test]
async fn meetings_that_are_named_are_read_again_whatever_their_first_page_shows() {
    let mut scene = Scene::of(&[3, 1_200, 0]).await;
    scene.run().await.is_complete(&scene);
    scene.simulator.clear_requests();
    scene.config.again = true;
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.meetings.replaced, 3);
    assert_eq!(asked(&scene), [1, 3, 1]);
    // Those that are not there are read as ever.
    let finished = Scene::of(&[3, 4]).await.set(|config| config.again = true);
    let run = finished.run().await;
    run.is_complete(&finished);
    assert_eq!(
        (run.report.meetings.complete, run.report.meetings.replaced),
        (2, 0)
    );

    scene.config.since = Some("2026-01-01".parse().unwrap());
    let refused = scene.export().run(silent(), CancellationToken::new()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("again: it is for meetings that are named"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_meeting_that_cannot_be_read_again_stays_as_it_was_and_is_told() {
    let mut scene = Scene::of(&[3, 700]).await;
    scene.run().await.is_complete(&scene);
    append(&scene, 1, 5);
    let gone = Effect::Error(ServiceError {
        status: 404,
        code: "MMC.111072074".to_owned(),
        message: "no such conference".to_owned(),
    });
    // The first page shows the change, the second one cannot be had.
    scene
        .simulator
        .add_fault(Fault::new(gone).meeting(1).offset(499));
    scene.config.recheck = Some(days(1));
    let finished = scene.export().run(silent(), CancellationToken::new()).await;
    let report = finished.unwrap().report;
    assert_eq!(report.outcome, Outcome::Incomplete);
    assert_eq!(
        (report.meetings.incomplete, report.meetings.rechecked),
        (1, 1)
    );
    let [told] = &report.per_meeting[..] else {
        panic!("{:?}", report.per_meeting);
    };
    assert_eq!((told.status, told.records), (MeetingStatus::Failed, 700));
    assert!(told.is_kept && told.replaced.is_none());
    assert_eq!(scene.rows()[scene.meetings[1].as_str()].len(), 700);
    scene.simulator.clear_faults();
    scene.run().await.is_complete(&scene);
}

#[tokio::test]
async fn a_run_that_may_send_no_more_leaves_the_others_as_they_were() {
    let mut scene = Scene::of(&[3, 4, 5, 6]).await;
    scene.run().await.is_complete(&scene);
    append(&scene, 0, 1);
    append(&scene, 3, 1);
    scene.config.recheck = Some(days(1));
    scene.config.max_requests = NonZeroU32::new(2);
    scene.config.concurrency = NonZeroU32::MIN;
    let finished = scene.export().run(silent(), CancellationToken::new()).await;
    let report = finished.unwrap().report;
    let counts = report.meetings;
    assert_eq!(
        (counts.replaced, counts.rechecked, counts.unfinished),
        (1, 1, 2)
    );
    scene.config.max_requests = None;
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.meetings.replaced, 1);
}

#[tokio::test]
async fn empty_meetings_of_a_list_are_named_and_not_asked_for_again() {
    let scene = Scene::of(&[0, 3, 0]).await;
    let first = scene.run().await.report;
    let empty = [scene.meetings[0].clone(), scene.meetings[2].clone()];
    assert_eq!(
        (first.outcome, &first.without_records[..]),
        (Outcome::Complete, &empty[..])
    );
    append(&scene, 2, 1);
    let second = scene.export().run(silent(), CancellationToken::new()).await;
    let second = second.unwrap().report;
    assert_eq!(
        (second.requests.sent, &second.without_records[..]),
        (0, &empty[..])
    );
}

/// Meetings of one day: two without a record, one with some.
fn of_a_day() -> Options {
    let mut options = Options::sizes(&[]);
    for (minute, records) in [(0, 0), (10, 0), (20, 4)] {
        let start = time("2026-11-02T09:00:00Z") + TimeDelta::minutes(minute);
        options.meetings.push(MeetingSpec {
            start: Some(start.timestamp_millis()),
            ..MeetingSpec::of(records)
        });
    }
    options
}

async fn window() -> Scene {
    Scene::with(of_a_day()).await.set(|config| {
        config.since = Some("2026-11-02".parse().unwrap());
    })
}

async fn run_at(scene: &Scene, now: DateTime<Utc>) -> Report {
    let finished = scene
        .export()
        .run_at(now, silent(), CancellationToken::new())
        .await
        .unwrap();
    assert!(finished.error.is_none(), "{:?}", finished.error);
    let found = verify(scene.config.out.as_deref().unwrap()).await.unwrap();
    assert!(found.is_sound(), "{:?}", found.findings);
    finished.report
}

#[tokio::test]
async fn empty_meetings_that_the_list_shows_are_asked_for_again_for_three_days() {
    let scene = window().await;
    let first = time("2026-11-02T12:00:00Z");
    let report = run_at(&scene, first).await;
    assert_eq!((report.meetings.empty, report.meetings.complete), (2, 1));
    assert!(report.without_records.is_empty());
    assert_eq!(asked(&scene), [1, 1, 1]);
    let report = run_at(&scene, first + TimeDelta::days(1)).await;
    assert_eq!((report.meetings.rechecked, report.meetings.already), (2, 3));
    assert_eq!(asked(&scene), [1, 1, 0]);

    append(&scene, 1, 600);
    let report = run_at(&scene, first + TimeDelta::days(2)).await;
    assert_eq!(
        (report.meetings.rechecked, report.meetings.replaced),
        (1, 1)
    );
    assert_eq!(asked(&scene), [1, 2, 0]);
    assert_eq!(
        scene.rows()[scene.meetings[1].as_str()],
        scene.truth(&scene.meetings[1])
    );
    // The last look comes after the three days, and there is none behind it.
    run_at(&scene, first + TimeDelta::days(4)).await;
    assert_eq!(asked(&scene), [1, 0, 0]);
    run_at(&scene, first + TimeDelta::days(5)).await;
    assert_eq!(asked(&scene), [0, 0, 0]);
}

#[tokio::test]
async fn no_empty_meeting_is_asked_for_again_where_that_is_off() {
    let scene = window().await.set(|config| config.recheck_empty = days(0));
    let first = time("2026-11-02T12:00:00Z");
    run_at(&scene, first).await;
    asked(&scene);
    run_at(&scene, first + TimeDelta::days(1)).await;
    assert_eq!(asked(&scene), [0, 0, 0]);
}

#[tokio::test]
async fn meetings_of_a_window_are_rechecked_until_long_enough_after_their_end() {
    let scene = window().await.set(|config| {
        config.recheck = Some(days(2));
        config.lookback = days(0);
    });
    let first = time("2026-11-02T12:00:00Z");
    run_at(&scene, first).await;
    asked(&scene);
    append(&scene, 2, 1);
    let report = run_at(&scene, first + TimeDelta::days(1)).await;
    assert_eq!(
        (report.meetings.replaced, report.meetings.rechecked),
        (1, 2)
    );
    assert_eq!(asked(&scene), [1, 1, 1]);
    let report = run_at(&scene, first + TimeDelta::hours(47)).await;
    assert_eq!(report.meetings.rechecked, 3);
    let report = run_at(&scene, first + TimeDelta::hours(49)).await;
    assert_eq!(report.meetings.rechecked, 3);
    asked(&scene);
    // Two days after the end were seen; of the empty ones, three were not.
    run_at(&scene, first + TimeDelta::hours(50)).await;
    assert_eq!(asked(&scene), [1, 1, 0]);
}

#[cfg(unix)]
mod dying {
    //! A replacement that is cut off, and runs that replace at once.

    use std::collections::{BTreeMap, BTreeSet};
    use std::process::Command;
    use std::thread;

    use rollbook::simulator::Drift;

    use crate::dying::{Saved, die, everywhere, first_and_last, slowly};
    use crate::stage::{Stage, ended};

    const SIZES: [u64; 5] = [30, 1_100, 0, 250, 7];

    /// The records of each meeting before and after they come late; the last ones are steady.
    const LATE: [u64; 5] = [31, 1_350, 2, 250, 7];

    /// A dataset that was exported before records came late.
    fn stage(args: &[&str]) -> Stage {
        let stage = Stage::of(&SIZES);
        ended(&mut export(&stage, args)).with(0);
        grow(&stage);
        stage
    }

    /// The late records come.
    fn grow(stage: &Stage) {
        let meetings = stage.simulator.meetings().into_iter();
        for (meeting, (before, now)) in meetings.zip(SIZES.into_iter().zip(LATE)) {
            let drift = Drift {
                append: now - before,
                ..Drift::default()
            };
            stage.simulator.drift(&meeting, drift);
        }
    }

    fn export(stage: &Stage, args: &[&str]) -> Command {
        let export = ["-q", "export", "--meetings", "list.txt", "--out", "out"];
        slowly(stage.command(&[&export, args].concat()))
    }

    /// How many rows readers see of each meeting; each of them once.
    fn seen(stage: &Stage) -> Vec<u64> {
        let mut rows = BTreeMap::<_, BTreeSet<_>>::new();
        for (meeting, index, _) in stage.rows("out") {
            assert!(
                rows.entry(meeting).or_default().insert(index),
                "a row is there twice"
            );
        }
        let meetings = stage.simulator.meetings();
        let of = |meeting: &rollbook::ConfUuid| rows.get(meeting.as_str()).map_or(0, BTreeSet::len);
        meetings.iter().map(|meeting| of(meeting) as u64).collect()
    }

    fn dies_everywhere(args: &[&str], recheck: &[&str]) {
        let stage = stage(args);
        let saved = Saved::of(&stage, &["out", "state"]);
        let again = [args, recheck].concat();
        let points = everywhere(
            || export(&stage, &again),
            || saved.put_back(),
            first_and_last,
            |point, hit| {
                for ((seen, old), new) in seen(&stage).into_iter().zip(SIZES).zip(LATE) {
                    // None between the leaving of the old and the coming of the new.
                    assert!(
                        [0, old, new].contains(&seen),
                        "{point}:{hit}: {seen} rows of {old}"
                    );
                }
                ended(&mut export(&stage, &again)).with(0);
                assert_eq!(seen(&stage), LATE, "{point}:{hit}");
                stage.verified().with(0);
            },
        );
        for point in ["EntryPut", "VoidRemoved", "PartPublished", "ReportPut"] {
            assert!(points.contains(point), "{points:?}");
        }
    }

    #[test]
    fn a_replacement_that_dies_at_any_step_leaves_the_old_or_the_new_and_the_rerun_finishes() {
        dies_everywhere(&[], &["--recheck", "1d"]);
    }

    #[test]
    #[cfg(feature = "delta")]
    fn a_replacement_in_a_delta_table_that_dies_at_any_step_is_finished_by_the_rerun() {
        dies_everywhere(&["--table", "delta"], &["--recheck", "1d"]);
    }

    #[test]
    fn pages_that_a_dead_run_left_do_not_pass_for_a_second_look() {
        let stage = Stage::of(&SIZES);
        die(export(&stage, &[]), "ReportReady", 1);
        grow(&stage);
        ended(&mut export(&stage, &["--recheck", "1d"])).with(0);
        assert_eq!(seen(&stage), LATE);
        stage.verified().with(0);
    }

    #[test]
    fn runs_that_replace_the_same_meetings_at_once_leave_each_row_once() {
        for again in [&["--recheck", "1d"][..], &["--again"]] {
            let stage = stage(&[]);
            let args = [again, &["--commit-every", "1ms"]].concat();
            thread::scope(|scope| {
                let runs = [(); 3].map(|()| scope.spawn(|| ended(&mut export(&stage, &args))));
                for run in runs {
                    run.join().unwrap().with(0);
                }
            });
            assert_eq!(seen(&stage), LATE);
            stage.verified().with(0);
        }
    }

    #[test]
    fn the_summary_names_what_was_replaced_and_what_has_no_record() {
        let stage = stage(&[]);
        let args = ["export", "--meetings", "list.txt", "--out", "out"];
        let said = stage.run(&args).with(0);
        let empty = stage.meeting(2);
        let warning = "warning: without any record, and not asked for again without --again";
        assert!(said.contains(warning) && said.contains(&empty), "{said}");
        let said = stage
            .run(&[&args[..], &["--recheck", "1d"]].concat())
            .with(0);
        for words in [
            "replaced",
            "2 asked again, and unchanged",
            &format!("{}  1,100  -> 1,350", stage.meeting(1)),
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(!said.contains(warning), "{said}");
    }
}
