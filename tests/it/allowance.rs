//! `--max-requests`: never more than were set aside, and runs that go on from each other.

use std::num::NonZeroU32;

use proptest::prelude::*;
use rollbook::simulator::{Effect, Fault, Options, Throttled};
use rollbook::{MeetingStatus, Outcome, Rate};

use crate::run::Scene;
use crate::stage::Stage;

const USED_UP: &str = "the requests set aside for this run are used up";

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_more_is_sent_than_were_set_aside(
        max_requests in 1..40_u32,
        sizes in proptest::collection::vec(0..60_u64, 1..12),
        concurrency in prop_oneof![Just(1_u32), Just(16)],
        refused in 0..12_u64,
        broken in 0..12_u64,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let state = tempfile::tempdir().unwrap();
            let throttled = Throttled {
                limit: 1_000_000,
                per: "1 second".to_owned(),
                retry_after: Some(0),
                ..Throttled::default()
            };
            let scene = Scene::with(Options::sizes(&sizes)).await
                .fault(Fault::new(Effect::Throttled(throttled)).first(refused))
                .fault(Fault::new(Effect::Status(503)).first(broken))
                .set(|config| {
                    config.max_requests = NonZeroU32::new(max_requests);
                    config.concurrency = NonZeroU32::new(concurrency).unwrap();
                    config.page_size = 7.try_into().unwrap();
                    config.retries = 40;
                    config.state_dir = Some(state.path().to_owned());
                });
            let mut before = 0;
            for _ in 0..1_000 {
                let run = scene.run().await;
                let seen = scene.simulator.request_count() - before;
                before += seen;
                assert!(seen <= max_requests.into(), "{seen} of {max_requests}");
                assert_eq!(run.report.requests.sent, seen);
                if run.report.outcome == Outcome::Complete {
                    run.is_complete(&scene);
                    return;
                }
                assert_eq!(run.report.outcome, Outcome::Incomplete);
                assert_eq!(seen, u64::from(max_requests), "stopped early");
                assert!(run.causes().all(|cause| cause == USED_UP));
                assert!(run.report.requests.remaining >= run.report.meetings.unfinished);
            }
            panic!("the runs do not go on from each other");
        });
    }
}

// By processes of their own: where others are begun in this one, they hold its locks for a moment.
#[test]
fn what_an_earlier_run_fetched_costs_nothing() {
    let sizes = [5, 0, 8, 50, 27, 52, 14, 32, 58, 2];
    // Three failures in a row may be an outage, which costs a probe.
    let failures = 2;
    let fault = Fault::new(Effect::Status(503)).first(failures);
    let stage = Stage::of(&sizes).fault(fault);
    let args = [
        "--max-requests",
        "9",
        "--page-size",
        "7",
        "--report",
        "report.json",
    ];
    let (mut runs, mut sent, mut minimum, mut spooled) = (0, 0, 0, 0);
    loop {
        let ended = stage.export(&args);
        let requests = stage.report().requests;
        runs += 1;
        sent += requests.sent;
        minimum += requests.minimum;
        spooled += requests.spooled;
        assert!(requests.sent <= 9, "{requests:?}");
        if ended.code == Some(0) {
            break;
        }
        assert_eq!(
            (ended.code, requests.sent),
            (Some(4), 9),
            "{}",
            ended.stderr
        );
    }
    // Each page is paid for once, by whichever run; and each failure.
    assert_eq!((sent, stage.requests() as u64), (minimum + failures, sent));
    assert_eq!(runs, sent.div_ceil(9));
    assert!(spooled > 0);
    assert_eq!(stage.verified().code, Some(0));
}

#[test]
fn what_a_meeting_still_needs_is_estimated_from_its_count() {
    let stage = Stage::of(&[1_400]);
    let args = ["--max-requests", "2", "--report", "report.json"];
    stage.export(&args).silently(4);
    let report = stage.report();
    let meeting = &report.per_meeting[0];
    assert_eq!(meeting.status, MeetingStatus::Unfinished);
    assert_eq!((meeting.count, meeting.requests), (Some(1_400), 2));
    assert_eq!(report.requests.remaining, 1);
    stage.export(&args).silently(0);
    assert_eq!(stage.requests(), 3);
}

#[tokio::test]
async fn what_waits_for_its_turn_when_the_last_request_is_taken_waits_no_longer() {
    // At one an hour, a second permit would take an hour.
    let scene = Scene::of(&[10; 20]).await.set(|config| {
        config.max_requests = NonZeroU32::new(1);
        config.rate = "1/h".parse::<Rate>().unwrap();
    });
    let run = scene.run().await;
    assert_eq!(run.report.meetings.complete, 1);
    assert_eq!(run.report.meetings.unfinished, 19);
    assert_eq!(run.report.requests.remaining, 19);
}

#[test]
fn a_run_whose_requests_are_used_up_exits_with_4_and_says_what_remains() {
    let stage = Stage::of(&[10, 20, 30, 40, 1_200]);
    let args = [
        "--max-requests",
        "3",
        "--concurrency",
        "1",
        "--report",
        "report.json",
    ];
    let said = stage.export(&args).silently(4);
    assert!(
        said.contains("incomplete: 3 of 5 meetings are in out"),
        "{said}"
    );
    assert!(
        said.contains(USED_UP) && said.contains("at least 2 requests to go"),
        "{said}"
    );
    assert_eq!(stage.requests(), 3);
    assert_eq!(stage.report().requests.remaining, 2);
    assert_eq!(stage.verified().code, Some(0));
    stage.export(&["--report", "report.json"]).silently(0);
    assert_eq!(stage.requests(), 4);
}
