//! Refusals that mean one meeting, one day or one moment, and not the credentials.

#![expect(clippy::panic, reason = "an error of another kind ends the test")]

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollbook::simulator::{
    APP_ID, APP_KEY, Answer, Credentials as Known, Effect, Endpoint, Fault, MeetingSpec, Options,
    Refusal, ServiceError, TOKEN,
};
use rollbook::{App, Credentials, Error, Event, History, Outcome, silent};
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::run::{Run, Scene};
use crate::stage::{Stage, ended};

fn service_error(status: u16, code: &str) -> Effect {
    Effect::Error(ServiceError {
        status,
        code: code.to_owned(),
        message: "REFUSED".to_owned(),
    })
}

async fn one_at_a_time(sizes: &[u64]) -> Scene {
    let scene = Scene::of(sizes).await;
    scene.set(|config| config.concurrency = NonZeroU32::MIN)
}

fn reason(run: &Run) -> &str {
    let Some(Error::Credentials { reason }) = &run.error else {
        panic!("{:?}", run.error);
    };
    reason
}

// One meeting.

#[rstest]
#[case::bare(Effect::Status(401))]
#[case::timed_out(service_error(401, "USG.000000004"))]
#[case::no_token(service_error(401, "USG.206020000"))]
#[case::gateway(service_error(401, "APIG.0301"))]
#[case::unknown_api(Effect::Status(404))]
#[case::no_user(service_error(400, "USG.206030000"))]
#[case::app_refused(service_error(401, "USG.206010025"))]
#[tokio::test(flavor = "multi_thread")]
async fn one_meeting_refused_like_the_token_is_absent_and_the_others_go_on(
    #[case] effect: Effect,
    #[values(false, true)] is_logging_in: bool,
    #[values(0, 4)] position: usize,
) {
    let mut scene = one_at_a_time(&[10, 20, 700, 30, 40, 50])
        .await
        .fault(Fault::new(effect).meeting(position));
    if is_logging_in {
        scene = scene.logging_in();
    }
    let run = scene.run().await;
    run.is_complete_but(&scene, &[position]);
    assert!(run.cause(&scene, position).contains("request id"));
    assert!(scene.simulator.logins() <= 2);
    assert_eq!(run.report.failures.values().sum::<u64>(), 1);
    assert!(
        !run.report
            .failures
            .contains_key(&rollbook::FailureKind::Token)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_the_middle_that_is_refused_costs_its_meeting_alone() {
    let scene = Scene::of(&[10, 2_000, 10])
        .await
        .fault(Fault::new(Effect::Status(401)).meeting(1).offset(998));
    scene.run().await.is_complete_but(&scene, &[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_refused_meetings_cost_one_login() {
    for concurrency in [1, 16] {
        let scene = Scene::of(&[10; 60]).await.logging_in();
        let scene = scene.set(|config| config.concurrency = NonZeroU32::new(concurrency).unwrap());
        let refused: Vec<_> = (1..60).step_by(5).collect();
        for &position in &refused {
            let fault = Fault::new(Effect::Status(401)).meeting(position);
            scene.simulator.add_fault(fault);
        }
        let run = scene.run().await;
        run.is_complete_but(&scene, &refused);
        assert_eq!(scene.simulator.logins(), 2);
        assert_eq!(scene.simulator.live_tokens(), 0);
        // Each is asked for a few times, and something else once.
        let most = run.report.requests.minimum + 5 * refused.len() as u64;
        assert!(
            run.report.requests.sent <= most,
            "{:?}",
            run.report.requests
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_passing_of_a_good_token_costs_no_meeting() {
    let scene = one_at_a_time(&[10; 12])
        .await
        .fault(Fault::new(Effect::Status(401)).nth(7));
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, 12 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_dies_after_a_refused_meeting_ends_the_run_all_the_same() {
    let scene = one_at_a_time(&[10; 20])
        .await
        .fault(Fault::new(Effect::Status(401)).meeting(3))
        .fault(Fault::new(Effect::ExpireTokens(Refusal::TimedOut)).nth(12));
    let run = scene.run().await;
    assert!(reason(&run).contains("get a new token"));
    assert_eq!(run.report.outcome, Outcome::Failed);
    let absent = run.absent(&scene);
    assert!(absent.contains(&3) && absent.len() > 10, "{absent:?}");
    assert!(absent.len() < 15, "what was whole is kept: {absent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_meeting_is_refused_and_nobody_tells_why_the_run_ends_soon() {
    for (effect, words) in [
        (Effect::Status(401), "get a new token"),
        (Effect::Status(404), "base_url"),
    ] {
        for meetings in [1, 30] {
            let scene = one_at_a_time(&vec![10; meetings])
                .await
                .fault(effect.clone())
                .fault(Fault::new(Effect::Status(500)).on(Endpoint::Validate));
            let run = scene.run().await;
            assert!(reason(&run).contains(words));
            assert_eq!(run.report.outcome, Outcome::Failed);
            assert!(scene.seen().len() <= 6, "{}", scene.seen().len());
        }
    }
}

// One moment.

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_is_tried_again_after_a_second() {
    for is_logging_in in [false, true] {
        let mut scene = one_at_a_time(&[10; 3])
            .await
            .fault(Fault::new(service_error(401, "USG.206020000")).first(1));
        if is_logging_in {
            scene = scene.logging_in();
        }
        let run = scene.run().await;
        run.is_complete(&scene);
        let seen = scene.seen();
        assert!(seen[1].at.saturating_sub(seen[0].at) >= Duration::from_secs(1));
        assert_eq!((seen.len(), run.report.requests.retried), (4, 1));
        assert_eq!(scene.simulator.logins(), u64::from(is_logging_in));
    }
}

// The list of all users' meetings.

fn meetings_of_two_users() -> Options {
    let at = |hour: u32, foreign| MeetingSpec {
        start: Some(
            crate::history::time(&format!("2026-11-01T{hour:02}:00:00Z")).timestamp_millis(),
        ),
        foreign,
        ..MeetingSpec::of(5)
    };
    Options {
        meetings: vec![at(8, false), at(10, true)],
        ..Options::sizes(&[])
    }
}

async fn listing(options: Options) -> Scene {
    Scene::with(options).await.set(|config| {
        config.since = Some("2026-11-01".parse().unwrap());
        config.until = Some("2026-11-02".parse().unwrap());
        config.query_all = true;
    })
}

fn with_admin_type(admin_type: Option<i64>) -> Options {
    Options {
        credentials: Known {
            admin_type,
            ..Known::default()
        },
        ..meetings_of_two_users()
    }
}

#[rstest]
#[case::logged_in(true)]
#[case::token(false)]
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_all_is_refused_to_who_is_no_administrator(#[case] is_logging_in: bool) {
    let mut scene = listing(with_admin_type(Some(2))).await;
    if is_logging_in {
        scene.credentials = Credentials::App(App {
            id: APP_ID.into(),
            key: APP_KEY.into(),
            user_id: Some("alice".into()),
            corp_id: None,
        });
    }
    let run = scene.run().await;
    let reason = reason(&run);
    assert!(reason.contains("not an administrator"), "{reason}");
    assert_eq!(run.report.outcome, Outcome::Failed);
    let seen = scene.simulator.requests();
    let lists = seen
        .iter()
        .filter(|seen| seen.endpoint == Endpoint::History);
    assert_eq!((lists.count(), scene.seen().len()), (0, 0));
    // Nothing of it is taken for listed.
    let window = run.report.window.unwrap();
    assert_eq!(window.covered_until, window.since);

    let history = History {
        config: scene.config.clone(),
        credentials: scene.credentials.clone(),
    };
    let listed = history.list(silent(), CancellationToken::new()).await;
    assert!(matches!(listed, Err(Error::Credentials { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_gets_the_list_of_all_with_a_token_too() {
    for admin_type in [0, 1] {
        let scene = listing(with_admin_type(Some(admin_type))).await;
        scene.run().await.is_complete(&scene);
    }
}

/// Runs; returns the causes of the doubt about the user.
async fn doubts(scene: &Scene) -> (Run, Vec<String>) {
    let causes = Arc::new(Mutex::new(vec![]));
    let told = Arc::clone(&causes);
    let observer = Arc::new(move |event| {
        if let Event::AdministratorUnknown { cause } = event {
            told.lock().unwrap().push(cause);
        }
    });
    let run = scene.run_watched(observer, CancellationToken::new()).await;
    let causes = causes.lock().unwrap().clone();
    (run, causes)
}

#[rstest]
#[case::not_there(Effect::Status(404))]
#[case::broken(Effect::Status(500))]
#[case::untold(Effect::Answer(Answer { body: format!(r#"{{"accessToken":"{TOKEN}"}}"#), ..Answer::default() }))]
#[tokio::test(flavor = "multi_thread")]
async fn where_the_site_does_not_tell_who_asks_the_list_decides(#[case] effect: Effect) {
    let scene = listing(with_admin_type(None))
        .await
        .fault(Fault::new(effect).on(Endpoint::Validate));
    let (run, doubts) = doubts(&scene).await;
    run.is_complete(&scene);
    assert_eq!(doubts.len(), 1, "{doubts:?}");

    let closed = Fault::new(service_error(403, "MMC.111070002")).on(Endpoint::History);
    let scene = scene
        .fault(closed)
        .set(|config| config.out = Some(config.out.take().unwrap() + "2"));
    let finished = scene
        .export()
        .run(silent(), CancellationToken::new())
        .await
        .unwrap();
    let Some(Error::Credentials { reason }) = finished.error else {
        panic!("{:?}", finished.error);
    };
    assert!(reason.contains("query_all is refused"), "{reason}");
    assert_eq!(finished.report.outcome, Outcome::Failed);
}

#[test]
fn an_export_of_all_by_who_is_no_administrator_exits_with_3_and_the_reason() {
    let stage = Stage::of(&[5]);
    let args = [
        "export",
        "--since",
        "2026-01-05",
        "--until",
        "2026-01-06",
        "--query-all",
        "--out",
        "out",
    ];
    let mut command = stage.bare(&args);
    command.envs([
        ("ROLLBOOK_APP_ID", APP_ID),
        ("ROLLBOOK_APP_KEY", APP_KEY),
        ("ROLLBOOK_USER_ID", "alice"),
    ]);
    let said = ended(&mut command).silently(3);
    assert!(
        said.contains("query_all is refused: this user is not an administrator"),
        "{said}"
    );
    assert_eq!(stage.simulator.live_tokens(), 0);
}
