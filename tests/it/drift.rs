//! The drift laboratory: every way in which a paged API was seen to mislead its reader, against
//! meetings of every critical size. What comes out is exactly one state of the server's list, or
//! it does not come out and the report says why; never anything else.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rollbook::simulator::{ClampLimit, Drift, Echo, Effect, Fault, RecordEdit};
use rollbook::{DuplicatePolicy, Error, Event, MeetingStatus};
use tokio_util::sync::CancellationToken;

use crate::run::{Row, Run, Scene};

const SIZES: [u64; 7] = [1, 499, 500, 501, 999, 1_000, 1_700];

/// The name of a misbehaviour, and the faults that make a meeting of so many records show it.
type Misbehaviour = (&'static str, fn(u64) -> Vec<Fault>);

const MISBEHAVIOURS: [Misbehaviour; 30] = [
    ("limit clamped, echoed", |_| clamped(true)),
    ("limit clamped, not echoed", |_| clamped(false)),
    ("page short once", |_| {
        vec![Fault::new(Effect::Short(3)).nth(2)]
    }),
    ("first page short once", |_| {
        vec![Fault::new(Effect::Short(1)).nth(1)]
    }),
    ("pages short always", |_| always(Effect::Short(1))),
    ("page empty in the middle", |_| {
        vec![Fault::new(Effect::Empty).offset(499)]
    }),
    ("page empty once", |_| {
        vec![Fault::new(Effect::Empty).nth(2)]
    }),
    ("offset ignored", |_| {
        always(Effect::IgnoreOffset(Echo::Asked))
    }),
    ("offset ignored, true one echoed", |_| {
        always(Effect::IgnoreOffset(Echo::True))
    }),
    ("last page past the end", |_| always(Effect::LastPage)),
    ("last page past the end, count too high", |_| {
        vec![Effect::LastPage.into(), Effect::CountOff(3).into()]
    }),
    ("more records than asked for", |_| always(Effect::Longer(1))),
    ("insert in front", |_| once(drift(1, 0, 0, 0))),
    ("delete in front", |_| once(drift(0, 1, 0, 0))),
    ("insert in front, delete at the end", |_| {
        once(drift(1, 0, 1, 0))
    }),
    ("delete in front, late row", |_| once(drift(0, 1, 0, 1))),
    ("both, before every answer", |_| {
        always(Effect::Drift(drift(1, 0, 1, 0)))
    }),
    ("late rows", |_| once(drift(0, 0, 0, 2))),
    ("count too high", |_| always(Effect::CountOff(3))),
    ("count too low", |_| always(Effect::CountOff(-3))),
    ("count too low by a page", |_| {
        always(Effect::CountOff(-500))
    }),
    ("count frozen while rows come", |size| {
        let told = Effect::Count(i64::try_from(size).unwrap());
        [once(drift(0, 0, 0, 2)), always(told)].concat()
    }),
    ("count zero", |_| always(Effect::Count(0))),
    ("count missing", |_| always(Effect::NoCount)),
    ("random order", |_| always(Effect::Shuffle)),
    ("two replicas, records swapped far apart", |size| {
        let far = size.saturating_sub(3);
        vec![Fault::new(Effect::Swap(10.min(far), far)).offset(499..)]
    }),
    ("two replicas, neighbours swapped", |_| {
        vec![Fault::new(Effect::Swap(498, 499)).offset(499..)]
    }),
    ("limit echoed is the number of rows", |_| {
        always(Effect::EchoRows)
    }),
    ("list ends at a window before count", |size| {
        always(Effect::Window(size - size / 20))
    }),
    ("the same, limit echoed", |size| {
        [
            always(Effect::Window(size - size / 20)),
            always(Effect::EchoRows),
        ]
        .concat()
    }),
];

fn always(effect: Effect) -> Vec<Fault> {
    vec![effect.into()]
}

fn clamped(echoed: bool) -> Vec<Fault> {
    always(Effect::ClampLimit(ClampLimit { to: 100, echoed }))
}

/// Before the second answer, when the first page has gone.
fn once(drift: Drift) -> Vec<Fault> {
    vec![Fault::new(Effect::Drift(drift)).nth(2)]
}

const fn drift(insert_front: u64, remove_front: u64, remove_end: u64, append: u64) -> Drift {
    Drift {
        remove_front,
        insert_front,
        remove_end,
        append,
    }
}

/// What became of one meeting.
fn verdict(
    run: &Run,
    scene: &Scene,
    position: usize,
    states: &[Vec<Row>],
    is_ordered: bool,
) -> &'static str {
    let report = run.meeting(scene, position);
    let rows = run.rows.get(scene.meetings[position].as_str());
    match (report.status, rows) {
        (MeetingStatus::Complete, rows) => {
            let rows = rows.cloned().unwrap_or_default();
            if states.contains(&rows)
                || !is_ordered && states.iter().any(|state| is_some_order(&rows, state))
            {
                "exact"
            } else {
                "SILENT"
            }
        }
        (_, None) if report.cause.is_some() => "loud",
        _ => "SILENT",
    }
}

/// Whether rows are the records of a state, each once, numbered without a gap in whatever order.
fn is_some_order(rows: &[Row], state: &[Row]) -> bool {
    let sorted = |rows: &[Row]| {
        let mut rows = rows.to_vec();
        for row in &mut rows {
            row.index = 0;
        }
        rows.sort();
        rows
    };
    (0..).zip(rows).all(|(index, row)| row.index == index) && sorted(rows) == sorted(state)
}

async fn verdicts((name, faults): Misbehaviour, concurrency: u32) -> Vec<&'static str> {
    let is_ordered = name != "random order" && !name.starts_with("two replicas");
    let scene = Scene::of(&SIZES).await.set(|config| {
        config.concurrency = NonZeroU32::new(concurrency).unwrap();
        config.restarts = 3;
        config.retries = 1;
    });
    for (position, &size) in SIZES.iter().enumerate() {
        for fault in faults(size) {
            scene.simulator.add_fault(fault.meeting(position));
        }
    }
    let before: Vec<_> = scene.meetings.iter().map(|m| scene.truth(m)).collect();
    let run = scene.run().await;
    // Where no meeting has an answer that can be used, the run ends with that.
    let is_told = |error: &Error| matches!(error, Error::Outage { .. });
    assert!(run.error.as_ref().is_none_or(is_told), "{:?}", run.error);
    let states = scene.meetings.iter().map(|m| scene.truth(m)).zip(before);
    states
        .enumerate()
        .map(|(position, (after, before))| {
            verdict(&run, &scene, position, &[before, after], is_ordered)
        })
        .collect()
}

/// Lines 13 to 18, at every critical size, one request at a time and sixteen.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_server_does_to_its_pages_nothing_comes_out_silently_wrong() {
    let mut table = format!("{:40}", "records");
    for size in SIZES {
        write!(table, "{size:>8}").unwrap();
    }
    let mut silent = 0;
    for misbehaviour in MISBEHAVIOURS {
        let (one, sixteen) = tokio::join!(verdicts(misbehaviour, 1), verdicts(misbehaviour, 16));
        write!(table, "\n{:40}", misbehaviour.0).unwrap();
        for (one, sixteen) in one.into_iter().zip(sixteen) {
            silent += [one, sixteen]
                .iter()
                .filter(|&&cell| cell == "SILENT")
                .count();
            if one == sixteen {
                write!(table, "{one:>8}").unwrap();
            } else {
                write!(table, " {one}|{sixteen}").unwrap();
            }
        }
    }
    assert_eq!(silent, 0, "\n{table}");
    insta::assert_snapshot!(table);
}

/// Line 17: in a meeting of two pages, one seam in so many fits by chance; then the records that
/// stand in both pages tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_seam_that_fits_by_chance_does_not_make_a_random_order_one() {
    let scene = Scene::of(&[21; 400])
        .await
        .fault(Effect::Shuffle)
        .set(|config| {
            config.page_size = 20.try_into().unwrap();
            config.restarts = 0;
        });
    let run = scene.run().await;
    let wrong = scene.meetings.iter().filter(|meeting| {
        let rows = run.rows.get(meeting.as_str());
        rows.is_some_and(|rows| !is_some_order(rows, &scene.truth(meeting)))
    });
    assert_eq!(wrong.count(), 0);
}

/// Line 31: two records that change places more than a page apart shift nothing at any seam.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_in_turn_that_differ_far_apart_give_the_right_set_or_none() {
    let mut doubted = 0;
    for concurrency in [1, 2, 4, 16] {
        let scene = Scene::of(&[2_000])
            .await
            .set(|config| config.concurrency = NonZeroU32::new(concurrency).unwrap())
            .fault(Fault::new(Effect::Swap(10, 1_500)).every(2));
        let run = scene.run().await;
        let truth = [scene.truth(&scene.meetings[0])];
        let verdict = verdict(&run, &scene, 0, &truth, false);
        assert_ne!(verdict, "SILENT", "{concurrency}");
        doubted += run.report.requests.restarts;
    }
    assert!(doubted > 0, "the replicas were never seen to differ");
}

/// Line 31: a doubt costs one request where one answer can settle it.
#[tokio::test(flavor = "multi_thread")]
async fn equal_records_around_a_seam_are_settled_by_one_request_and_counted_in_the_report() {
    let twin = |at: u64| {
        let edit = RecordEdit {
            at: Some(at),
            replace: Some(r#"{"displayName":"twin","joinTime":1574119917872}"#.to_owned()),
            ..RecordEdit::default()
        };
        Fault::new(Effect::Record(edit))
    };
    let scene = Scene::of(&[1_200]).await.fault(twin(498)).fault(twin(501));
    let run = scene.run().await;
    let meeting = run.meeting(&scene, 0);
    assert_eq!(meeting.status, MeetingStatus::Complete, "{meeting:?}");
    assert_eq!((meeting.records, meeting.requests), (1_200, 4));
    assert_eq!((meeting.equal_records, meeting.doubtful), (Some(1), 0));

    let scene = Scene::of(&[1_200]).await.fault(twin(5)).fault(twin(1_100));
    let run = scene.run().await;
    let meeting = run.meeting(&scene, 0);
    assert_eq!(meeting.status, MeetingStatus::Duplicates, "{meeting:?}");
    assert!(
        meeting
            .cause
            .as_ref()
            .unwrap()
            .contains("offsets 5 and 1100")
    );
    let kept = scene.set(|config| config.duplicates = DuplicatePolicy::Keep);
    let run = kept.run().await;
    let meeting = run.meeting(&kept, 0);
    assert_eq!(meeting.status, MeetingStatus::Complete, "{meeting:?}");
    assert_eq!((meeting.equal_records, meeting.doubtful), (Some(1), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_the_digests_of_a_very_large_meeting_is_reported() {
    let scene = Scene::of(&[3]).await.fault(Effect::Count(20_000_000));
    let bytes = Arc::new(AtomicU64::new(0));
    let reported = Arc::clone(&bytes);
    let observer = Arc::new(move |event| {
        if let Event::LargeMeeting { bytes, .. } = event {
            reported.store(bytes, Ordering::Relaxed);
        }
    });
    scene.run_watched(observer, CancellationToken::new()).await;
    assert_eq!(bytes.load(Ordering::Relaxed), 160_000_000);
}
