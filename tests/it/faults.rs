//! The table of faults, line by line: what goes wrong, and what must be true afterwards.
//!
//! "Complete" is checked row by row against the simulator's truth, "absent" as no row in any
//! part, a cause in the report and every other meeting complete; the dataset is verified after
//! each run.

use std::io::{self, Write};
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytesize::ByteSize;
use rollbook::simulator::{
    Answer, ClampLimit, Credentials as Known, Drift, Drip, Echo, Effect, Endpoint, Fault,
    MeetingSpec, Options, Pages, Quota, RecordEdit, Refusal, Seen, ServiceError, Simulator, TOKEN,
    Throttled,
};
use rollbook::{
    ConfUuid, Config, CountPolicy, Credentials, Error, Event, Export, Finished, Format,
    MeetingStatus, Outcome, Proof, Verify, silent,
};
use tokio_util::sync::CancellationToken;

use crate::run::{Run, Scene};

const SECOND: Duration = Duration::from_secs(1);

/// A refusal for a quota that is too large to matter, so that only the pause does.
fn throttled() -> Throttled {
    Throttled {
        limit: 1_000,
        per: "1 second".to_owned(),
        ..Throttled::default()
    }
}

fn one_at_a_time(config: &mut Config) {
    config.concurrency = NonZeroU32::MIN;
}

fn service_error(status: u16, code: &str) -> Effect {
    Effect::Error(ServiceError {
        status,
        code: code.to_owned(),
        message: "SOMETHING".to_owned(),
    })
}

fn html(status: u16) -> Effect {
    Effect::Answer(Answer {
        status,
        body: "<html><body>Welcome to the hotel</body></html>".to_owned(),
        content_type: "text/html".to_owned(),
        ..Answer::default()
    })
}

/// Two records come in front and one goes at the end.
const SHIFT: Drift = Drift {
    insert_front: 1,
    remove_end: 1,
    remove_front: 0,
    append: 0,
};

/// Runs a scene that began at `origin`; tells when its first pause did, from there.
async fn paused_run(scene: &Scene, origin: Instant) -> (Run, Duration) {
    let paused = Arc::new(Mutex::new(None));
    let first = Arc::clone(&paused);
    let observer = Arc::new(move |event: Event| {
        if matches!(event, Event::Paused { .. }) {
            first.lock().unwrap().get_or_insert(origin.elapsed());
        }
    });
    let run = scene.run_watched(observer, CancellationToken::new()).await;
    let paused = paused.lock().unwrap().unwrap();
    (run, paused)
}

/// When the quota was refused first.
fn refusal(seen: &[Seen]) -> Duration {
    let mut seen = seen.iter().filter(|seen| seen.status == Some(429));
    seen.next().unwrap().at
}

// Lines 1 to 3: the quota.

/// Line 1: `Retry-After` in seconds.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_until_a_retry_after_in_seconds_is_over() {
    let refused = Throttled {
        retry_after: Some(1),
        ..throttled()
    };
    let origin = Instant::now();
    let scene = Scene::of(&[10; 40])
        .await
        .fault(Fault::new(Effect::Throttled(refused)).nth(5))
        .set(|config| config.concurrency = const { NonZeroU32::new(4).unwrap() });
    let (run, paused) = paused_run(&scene, origin).await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.throttled, 1);
    assert_eq!(run.report.requests.sent, 41);
    assert!(run.report.quota.paused_ms >= 1_000);
    let seen = scene.seen();
    let end = refusal(&seen) + SECOND;
    let too_early = |seen: &&Seen| paused < seen.at && seen.at < end;
    // Only those that were on their way already.
    assert!(seen.iter().filter(too_early).count() <= 3);
}

/// Line 1: `Retry-After` as a date.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_before_the_date_of_a_retry_after() {
    let origin = Instant::now();
    let scene = Scene::of(&[10; 20]).await;
    let started = SystemTime::now();
    // A date has whole seconds: the first one that is a third of a second away.
    let since_epoch = started.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let date = Duration::from_secs((since_epoch + SECOND / 3).as_secs() + 1);
    let refused = Answer {
        status: 429,
        headers: [(
            "Retry-After".to_owned(),
            httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + date),
        )]
        .into(),
        ..Answer::default()
    };
    let scene = scene
        .fault(Fault::new(Effect::Answer(refused)).nth(3))
        .set(|config| config.concurrency = const { NonZeroU32::new(2).unwrap() });
    let (run, paused) = paused_run(&scene, origin).await;
    run.is_complete(&scene);
    let seen = scene.seen();
    let too_early = |seen: &&Seen| paused < seen.at && since_epoch + seen.at < date;
    assert!(seen.iter().filter(too_early).count() <= 1);
}

/// Line 2: the gateway tells its quota in words only.
#[tokio::test(flavor = "multi_thread")]
async fn the_quota_in_the_text_of_a_refusal_is_learned_and_kept() {
    let quota = Quota {
        sliding: true,
        ..Quota::per(10, SECOND)
    };
    let scene = Scene::with(Options::sizes(&[10; 16]).with_quota(quota)).await;
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.quota.rate.to_string(), "10/s");
    let seen = scene.seen();
    let refused = refusal(&seen);
    let later = |seen: &&Seen| seen.at >= refused + SECOND && seen.status == Some(429);
    assert_eq!(seen.iter().filter(later).count(), 0);
}

/// Line 2: the very words of the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn five_a_minute_are_five_a_minute_from_then_on() {
    let refused = Throttled {
        limit: 5,
        retry_after: Some(0),
        ..Throttled::default()
    };
    let scene = Scene::of(&[10])
        .await
        .fault(Fault::new(Effect::Throttled(refused)).first(1));
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.quota.rate.to_string(), "5/min");
}

/// Line 3: bounded by the retries.
#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_is_always_throttled_ends_with_its_retries() {
    let refused = Throttled {
        retry_after: Some(0),
        ..throttled()
    };
    let scene = Scene::of(&[10, 700, 10])
        .await
        .fault(
            Fault::new(Effect::Throttled(refused))
                .meeting(1)
                .offset(499),
        )
        .set(|config| config.retries = 3);
    let run = scene.run().await;
    run.is_complete_but(&scene, &[1]);
    assert_eq!(run.meeting(&scene, 1).requests, 5);
    assert_eq!(run.report.requests.throttled, 4);
    let cause = run.cause(&scene, 1);
    assert!(
        cause.contains("APIG.0308") && cause.contains("request id"),
        "{cause}"
    );
}

/// Line 3: bounded by the deadline, however long the server asks to wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_silence_and_keeps_what_is_whole() {
    let refused = Throttled {
        retry_after: Some(600),
        ..throttled()
    };
    let scene = Scene::of(&[10; 12])
        .await
        .fault(Fault::new(Effect::Throttled(refused)).since(5))
        .set(one_at_a_time)
        .set(|config| config.deadline = Some(SECOND));
    let begun = Instant::now();
    let run = scene.run().await;
    assert!(begun.elapsed() < 20 * SECOND);
    assert!(run.error.is_none(), "{:?}", run.error);
    assert_eq!(run.report.outcome, Outcome::Interrupted);
    assert_eq!(run.absent(&scene).len(), 8);
    assert_eq!(run.report.meetings.unfinished, 8);

    scene.simulator.clear_faults();
    scene.simulator.clear_requests();
    scene.run().await.is_complete(&scene);
    assert_eq!(scene.seen().len(), 8);
}

/// Line 3: a daily quota that is used up.
#[tokio::test(flavor = "multi_thread")]
async fn a_silence_longer_than_any_run_waits_ends_it_and_says_so() {
    let refused = Throttled {
        limit: 1_000,
        per: "1 day".to_owned(),
        ..Throttled::default()
    };
    let scene = Scene::of(&[10; 6])
        .await
        .fault(Fault::new(Effect::Throttled(refused)).since(4))
        .set(one_at_a_time);
    let run = scene.run().await;
    assert!(
        matches!(run.error, Some(Error::Quota { .. })),
        "{:?}",
        run.error
    );
    assert_eq!(run.report.outcome, Outcome::Incomplete);
    assert_eq!(run.absent(&scene).len(), 3);
}

// Lines 4 to 7: answers that are no pages.

/// Line 4: everything that means busy.
#[tokio::test(flavor = "multi_thread")]
async fn what_means_busy_is_asked_again_until_it_comes() {
    let mut busy: Vec<_> = [500, 502, 503, 504].map(Effect::Status).into();
    busy.extend([408, 500, 502, 503, 504].map(html));
    for code in [
        "MMC.000000001",
        "MMC.000000010",
        "MMC.200000001",
        "USG.200000002",
        "MMC.111070003",
        "MMC.111071001",
        "MMC.111071002",
        "MMC.111071008",
    ] {
        busy.extend([200, 400, 403].map(|status| service_error(status, code)));
    }
    let scene = Scene::of(&vec![600; busy.len()]).await;
    for (position, effect) in busy.iter().enumerate() {
        let fault = Fault::new(effect.clone()).meeting(position);
        let pages = [Pages::First, Pages::Later][position % 2];
        scene.simulator.add_fault(fault.pages(pages).first(2));
    }
    let run = scene.run().await;
    run.is_complete(&scene);
    let requests = run.report.requests;
    // Where many fail in a row, one request now and then shows that others are answered.
    let least = requests.minimum + 2 * busy.len() as u64;
    assert!(requests.retried >= 2 * busy.len() as u64, "{requests:?}");
    assert!((least..least + 10).contains(&requests.sent), "{requests:?}");
    assert_eq!(requests.sent, scene.simulator.request_count());
}

/// Line 5: held in memory, and handed out page by page before it fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_meeting_with_one_broken_page_leaves_nothing_behind() {
    // Of the second bound, the meeting is larger than half.
    for (buffer_rows, buffer_kib) in [(100_000, 32 << 10), (1_200, 32 << 10), (100_000, 600)] {
        let scene = Scene::of(&[20, 5_000, 700, 0])
            .await
            .fault(Fault::new(Effect::Status(500)).meeting(1).offset(3_992))
            .set(|config| {
                config.retries = 2;
                config.buffer_rows = buffer_rows;
                config.buffer_size = ByteSize::kib(buffer_kib);
                config.part_rows = 1_000;
            });
        let run = scene.run().await;
        run.is_complete_but(&scene, &[1]);
        assert_eq!(run.meeting(&scene, 1).status, MeetingStatus::Failed);
        let cause = run.cause(&scene, 1);
        assert!(
            cause.contains("3992") && cause.contains("request id"),
            "{cause}"
        );

        scene.simulator.clear_faults();
        scene.simulator.clear_requests();
        scene.run().await.is_complete(&scene);
        assert_eq!(scene.seen().len(), scene.seen_of(1).len());
    }
}

/// Line 6: the line breaks, in every way.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_is_asked_again_until_it_holds() {
    let breaks = [
        Effect::Reset,
        Effect::ResetAfter(0),
        Effect::ResetAfter(20_000),
        Effect::Truncate(0),
        Effect::Truncate(20_000),
        Effect::Hang,
        Effect::Drip(Drip {
            bytes: 10,
            pause: Duration::from_millis(5),
        }),
    ];
    let scene = Scene::of(&[600; 7])
        .await
        .set(|config| config.timeout = Duration::from_millis(700));
    for (position, effect) in breaks.into_iter().enumerate() {
        let fault = Fault::new(effect).meeting(position);
        scene
            .simulator
            .add_fault(fault.pages(Pages::Later).first(1));
    }
    let run = scene.run().await;
    run.is_complete(&scene);
    assert!(run.report.requests.retried >= 7);
}

/// Line 6: and where it never does, the meeting is absent.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_for_ever_costs_its_meeting_only() {
    let scene = Scene::of(&[600; 4])
        .await
        .fault(Fault::new(Effect::Reset).meeting(0))
        .fault(Fault::new(Effect::Truncate(100)).meeting(1).offset(499))
        .fault(Fault::new(Effect::Hang).meeting(2))
        .set(|config| {
            config.timeout = Duration::from_millis(500);
            config.retries = 2;
        });
    let run = scene.run().await;
    run.is_complete_but(&scene, &[0, 1, 2]);
    assert_eq!(scene.seen_of(0).len(), 3);
    assert!(run.cause(&scene, 2).contains("no answer in time"));
    for cause in run.causes() {
        assert!(!cause.contains("confUUID"), "{cause}");
    }
}

/// Line 6: nobody listens yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_tried_again_until_the_server_is_there() {
    // The system's own choice of a free port, given back for the server to come.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut scene = Scene::of(&[700, 3]).await;
    scene
        .config
        .base_url
        .set_port(Some(address.port()))
        .unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let observer = Arc::new(move |event: Event| {
        if matches!(event, Event::Retrying { .. }) {
            let _after_the_end = tell.send(());
        }
    });
    let start = async {
        told.recv().await.unwrap();
        let options = Options {
            listen: address,
            ..Options::sizes(&[700, 3])
        };
        Simulator::start(options).await.unwrap()
    };
    scene.config.retry_delay = Duration::from_millis(10);
    let (run, _later) = tokio::join!(scene.run_watched(observer, CancellationToken::new()), start);
    run.is_complete(&scene);
}

/// Line 7: in passing.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_that_claims_success_is_asked_again() {
    let nonsense = [
        html(200),
        service_error(200, "XYZ.123456789"),
        Effect::NoCount,
        Effect::Count(-1),
        Effect::Status(204),
        Effect::Bytes(b"{\"data\":[],\"offset\":0,\"limit\":500,\"count\":".to_vec()),
        Effect::Bytes(vec![0xff, 0xfe, 0x00]),
        Effect::Bytes(b"null".to_vec()),
        Effect::Bytes(b"[]".to_vec()),
        Effect::Bytes(b"{}".to_vec()),
        Effect::Bytes(b"{\"data\":{},\"offset\":0,\"limit\":500,\"count\":2}".to_vec()),
    ];
    // One more is answered: where none is, nobody is there. Patience with an outage follows from the
    // delay; a slow machine needs some.
    let scene = Scene::of(&vec![40; nonsense.len() + 1])
        .await
        .set(|config| config.retry_delay = Duration::from_millis(20));
    for (position, effect) in nonsense.iter().enumerate() {
        let fault = Fault::new(effect.clone()).meeting(position);
        scene.simulator.add_fault(fault.first(2));
    }
    let run = scene.run().await;
    run.is_complete(&scene);
    assert!(run.report.requests.retried >= 2 * nonsense.len() as u64);

    let all: Vec<_> = (0..nonsense.len()).collect();
    let scene = Scene::of(&vec![40; nonsense.len() + 1])
        .await
        .set(|config| config.retries = 1);
    for (position, effect) in nonsense.into_iter().enumerate() {
        scene
            .simulator
            .add_fault(Fault::new(effect).meeting(position));
    }
    let run = scene.run().await;
    run.is_complete_but(&scene, &all);
    assert!(run.causes().all(|cause| cause.contains("request id")));
}

/// Line 7: null is no record where there is none, and never a meeting that has some.
#[tokio::test(flavor = "multi_thread")]
async fn null_data_is_an_empty_meeting_only_where_count_says_so() {
    let scene = Scene::of(&[0, 40]).await.fault(Effect::NullData);
    let run = scene.run().await;
    run.is_complete_but(&scene, &[1]);
    assert_eq!(run.report.meetings.empty, 1);
}

/// Line 7: figures and times as texts.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_in_texts_are_numbers() {
    let scene = Scene::of(&[0, 40, 1_700])
        .await
        .fault(Effect::NumbersAsText);
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, run.report.requests.minimum);
}

// Line 8: hostile bytes.

/// Line 8: a body that does not end, and an error that does not end.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_cap_is_refused_at_the_cap() {
    let endless = Answer {
        status: 500,
        body: "x".repeat(8 << 20),
        ..Answer::default()
    };
    let scene = Scene::of(&[700, 700, 700])
        .await
        .fault(Fault::new(Effect::Pad(64 << 20)).meeting(1).offset(499))
        .fault(Fault::new(Effect::Answer(endless)).meeting(2).first(2))
        .set(|config| config.max_body = ByteSize::kib(200));
    let run = scene.run().await;
    run.is_complete_but(&scene, &[1]);
    assert_eq!(scene.seen_of(1).len(), 2);
    assert_eq!(scene.seen_of(2).len(), 4);
    let cause = run.cause(&scene, 1);
    assert!(
        cause.contains("larger than 200") && cause.contains("request id"),
        "{cause}"
    );
}

/// Line 8: four gibibytes out of four mebibytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_decompression_bomb_is_refused_with_memory_bounded() {
    let options = Options {
        tls: true,
        ..Options::sizes(&[700, 700])
    };
    let scene = Scene::with(options)
        .await
        .fault(Fault::new(Effect::GzipBomb(4 << 30)).meeting(0));
    let run = scene.run().await;
    run.is_complete_but(&scene, &[0]);
    assert_eq!(scene.seen_of(0).len(), 1);
    assert!(run.cause(&scene, 0).contains("larger than"));
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kib < 1 << 20, "{peak}");
    }
}

/// Line 8: a pit of brackets, in a record's place and inside a record.
#[tokio::test(flavor = "multi_thread")]
async fn nesting_without_end_is_refused_and_nothing_overflows() {
    let pit = ["[".repeat(200_000), "]".repeat(200_000)].concat();
    let scene = Scene::of(&[10, 10, 10, 10])
        .await
        .fault(Fault::new(Effect::Nested(200_000)).meeting(0))
        .fault(Fault::new(Effect::Record(RecordEdit::set(3, "new", &pit))).meeting(1))
        .fault(Fault::new(Effect::Record(RecordEdit::set(3, "joinTime", &pit))).meeting(2))
        .set(|config| config.retries = 1);
    scene.run().await.is_complete_but(&scene, &[0, 1, 2]);
}

// Lines 9 to 12: tokens, permissions, other hosts.

/// Line 9: one login serves everybody who waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_dies_mid_run_costs_one_login_and_no_page() {
    for refusal in [Refusal::TimedOut, Refusal::Invalid, Refusal::KickedOut] {
        let options = Options {
            latency: Duration::from_millis(2),
            ..Options::sizes(&[700; 30])
        };
        let scene = Scene::with(options)
            .await
            .logging_in()
            .fault(Fault::new(Effect::ExpireTokens(refusal)).nth(20));
        let run = scene.run().await;
        run.is_complete(&scene);
        assert_eq!(scene.simulator.logins(), 2);
        let seen = scene.seen();
        let refused = seen.iter().filter(|seen| seen.status == Some(401)).count() as u64;
        assert!((1..=16).contains(&refused), "{refused}");
        let requests = run.report.requests;
        assert_eq!(requests.sent, requests.minimum + refused);
        assert_eq!(requests.sent, seen.len() as u64);
    }
}

/// Line 9: the code counts, whatever the status.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_code_is_believed_under_any_status() {
    for status in [200, 400, 403, 500] {
        let scene = Scene::of(&[700; 3])
            .await
            .logging_in()
            .fault(Fault::new(service_error(status, "USG.206020001")).nth(2))
            .set(one_at_a_time);
        let run = scene.run().await;
        run.is_complete(&scene);
        assert_eq!(scene.simulator.logins(), 2, "{status}");
        assert_eq!(run.report.requests.sent, run.report.requests.minimum + 1);
    }
}

/// Line 9: a login that changes nothing is not made again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_always_refused_ends_the_run_after_one_new_login() {
    let scene = Scene::of(&[10; 30])
        .await
        .logging_in()
        .fault(Fault::new(Effect::Status(401)).since(5));
    let run = scene.run().await;
    assert!(matches!(run.error, Some(Error::Credentials { .. })));
    assert_eq!(run.report.outcome, Outcome::Failed);
    assert_eq!(scene.simulator.logins(), 2);
    run.absent(&scene);
}

/// Line 9: a wrong key is tried once; more would lock the account.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_ends_the_run_after_one_attempt() {
    for code in ["USG.206010025", "USG.206010000", "USG.206030015"] {
        let scene = Scene::of(&[10; 30])
            .await
            .logging_in()
            .fault(Fault::new(service_error(401, code)).on(Endpoint::Login));
        let run = scene.run().await;
        assert!(
            matches!(run.error, Some(Error::Credentials { .. })),
            "{code}"
        );
        assert_eq!(run.report.outcome, Outcome::Failed);
        assert_eq!(scene.simulator.request_count(), 1, "{code}");
        assert_eq!(run.report.meetings.unfinished, 30);
        run.absent(&scene);
    }
}

/// Line 9: a login that is busy is no refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_in_passing_is_made_again() {
    for effect in [Effect::Status(503), Effect::Reset, html(200)] {
        let scene = Scene::of(&[10; 30])
            .await
            .logging_in()
            .fault(Fault::new(effect).on(Endpoint::Login).first(1));
        let run = scene.run().await;
        run.is_complete(&scene);
        assert_eq!(scene.simulator.logins(), 1);
    }
}

/// Line 11: a site that does not know the API knows no meeting.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_site_ends_the_run_and_is_named() {
    let scene = Scene::of(&[10; 30])
        .await
        .fault(Effect::Status(404))
        .set(one_at_a_time);
    let run = scene.run().await;
    let error = run.error.as_ref().unwrap().to_string();
    assert!(error.contains("base_url"), "{error}");
    assert!(scene.simulator.request_count() <= 3);
}

/// Line 10.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_static_token_ends_the_run_and_a_new_one_finishes_it() {
    let mut scene = Scene::of(&[700; 20])
        .await
        .fault(Fault::new(Effect::ExpireTokens(Refusal::TimedOut)).nth(15))
        .set(|config| config.concurrency = const { NonZeroU32::new(2).unwrap() });
    let run = scene.run().await;
    let Some(Error::Credentials { reason }) = &run.error else {
        panic!("{:?}", run.error);
    };
    assert!(reason.contains("get a new token"), "{reason}");
    assert!(
        reason.contains("request id") && !reason.contains(TOKEN),
        "{reason}"
    );
    assert_eq!(run.report.outcome, Outcome::Failed);
    // Those on their way, and one that shows that it is the token.
    assert!(scene.seen().len() <= 15 + 3);
    let absent = run.absent(&scene);
    assert!(absent.len() < 20, "what was whole is kept");
    assert_eq!(run.report.meetings.unfinished, absent.len() as u64);

    scene.simulator.accept_token("fresh");
    scene.simulator.clear_requests();
    scene.credentials = Credentials::Token("fresh".into());
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.meetings.already, 20 - absent.len() as u64);
    assert_eq!(scene.seen().len(), 2 * absent.len());
}

/// Line 11: one request for what cannot be had, in each of the forms in which that is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_or_unknown_meeting_costs_one_request_and_the_others_go_on() {
    let mut scene = Scene::of(&[700; 8])
        .await
        .fault(Fault::new(Effect::Status(403)).meeting(0))
        .fault(Fault::new(service_error(400, "MMC.111070005")).meeting(2))
        .fault(Fault::new(service_error(200, "MMC.111070010")).meeting(3))
        .fault(Fault::new(html(404)).meeting(4))
        .fault(Fault::new(Effect::Status(403)).meeting(6).offset(499));
    scene
        .meetings
        .push("0000000000000000000000000000dead".parse().unwrap());
    let run = scene.run().await;
    run.is_complete_but(&scene, &[0, 2, 3, 4, 6, 8]);
    for position in [0, 2, 3, 4, 8] {
        assert_eq!(run.meeting(&scene, position).requests, 1, "{position}");
        assert_eq!(scene.seen_of(position).len(), 1, "{position}");
        let cause = run.cause(&scene, position);
        assert!(cause.contains("request id"), "{cause}");
    }
    assert_eq!(run.meeting(&scene, 6).requests, 2);
    assert!(run.cause(&scene, 8).contains("CONF_DATA_NOT_FOUND"));
    assert_eq!(run.report.requests.retried, 0);
}

/// Line 12.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_the_token_stays() {
    let other = Simulator::start(Options::sizes(&[700])).await.unwrap();
    let elsewhere = other.base_url().join("v1/mmc").unwrap().to_string();
    let scene = Scene::of(&[700, 700, 700])
        .await
        .fault(Fault::new(Effect::Redirect(elsewhere.clone())).meeting(0));
    let permanent = Answer {
        status: 308,
        headers: [("Location".to_owned(), elsewhere)].into(),
        ..Answer::default()
    };
    let scene = scene.fault(Fault::new(Effect::Answer(permanent)).meeting(1));
    let run = scene.run().await;
    run.is_complete_but(&scene, &[0, 1]);
    assert_eq!(other.connections(), 0);
    for position in [0, 1] {
        assert_eq!(run.meeting(&scene, position).requests, 1);
        assert!(run.cause(&scene, position).contains("redirect"));
    }
}

// Lines 13 to 18: pages that lie. The laboratory in `drift` has the whole table; here is what
// it costs, and what is said of it.

/// Line 13.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_size_follows_a_clamp() {
    for echoed in [true, false] {
        let scene = Scene::of(&[1_700])
            .await
            .fault(Effect::ClampLimit(ClampLimit { to: 100, echoed }));
        let run = scene.run().await;
        run.is_complete(&scene);
        // 18 pages of 100, and one or two until the clamp is known.
        assert!(
            run.report.requests.sent <= 20,
            "{}",
            run.report.requests.sent
        );
        assert_eq!(run.report.requests.restarts, 0);
    }
}

/// Line 14.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_page_is_filled_from_where_it_ended() {
    for offset in [0, 499, 998, 1_497] {
        let scene = Scene::of(&[1_700])
            .await
            .fault(Fault::new(Effect::Short(7)).offset(offset).first(1));
        let run = scene.run().await;
        run.is_complete(&scene);
        let requests = run.report.requests;
        assert_eq!(requests.sent, requests.minimum + 1, "{offset}");
        assert_eq!(requests.restarts, 0, "{offset}");
    }
    let always = Fault::new(Effect::Short(7)).offset(499);
    let scene = Scene::of(&[1_700]).await.fault(always);
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, run.report.requests.minimum + 1);
}

/// Line 15.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_moves_and_settles_is_read_again_as_it_settled() {
    let grows = Drift {
        append: 600,
        ..Drift::default()
    };
    let shrinks = Drift {
        remove_end: 600,
        ..Drift::default()
    };
    for (drift, settled) in [(grows, 2_300), (shrinks, 1_100)] {
        let scene = Scene::of(&[1_700, 30])
            .await
            .fault(Fault::new(Effect::Drift(drift)).meeting(0).nth(2));
        let run = scene.run().await;
        run.is_complete(&scene);
        assert_eq!(run.report.requests.restarts, 1);
        let report = run.meeting(&scene, 0);
        assert_eq!((report.count, report.records), (Some(settled), settled));
    }
}

/// Lines 16 and 17: what never settles.
#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_never_settles_is_absent_after_bounded_restarts() {
    let grows = Drift {
        append: 1,
        ..Drift::default()
    };
    for effect in [Effect::Drift(grows), Effect::Drift(SHIFT), Effect::Shuffle] {
        let scene = Scene::of(&[1_700, 30])
            .await
            .fault(Fault::new(effect.clone()).meeting(0))
            .set(|config| config.restarts = 3);
        let run = scene.run().await;
        run.is_complete_but(&scene, &[0]);
        let report = run.meeting(&scene, 0);
        assert_eq!(report.status, MeetingStatus::Unstable, "{effect:?}");
        assert_eq!(run.report.requests.restarts, 3, "{effect:?}");
        assert!(report.requests <= 4 * 4 + 10, "{report:?}");
    }
}

/// Line 17: one in, one out, and `count` as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_shift_behind_an_unchanged_count_is_seen_and_read_again() {
    for hit in 2..=4 {
        let scene = Scene::of(&[1_700])
            .await
            .fault(Fault::new(Effect::Drift(SHIFT)).nth(hit))
            .set(one_at_a_time);
        let run = scene.run().await;
        run.is_complete(&scene);
        assert!(run.report.requests.restarts >= 1, "{hit}");
        assert_eq!(run.meeting(&scene, 0).proof, Some(Proof::Twice));
    }
}

/// Line 17: an order that is random for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_random_order_that_settles_is_read_in_the_settled_order() {
    let scene = Scene::of(&[1_700])
        .await
        .fault(Fault::new(Effect::Shuffle).first(4));
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.meeting(&scene, 0).proof, Some(Proof::Twice));
}

/// Line 18.
#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_offset_and_rows_not_asked_for_are_detected() {
    for effect in [
        Effect::IgnoreOffset(Echo::Asked),
        Effect::IgnoreOffset(Echo::True),
        Effect::EchoOffset(7),
        Effect::Longer(1),
        Effect::Longer(500),
    ] {
        let scene = Scene::of(&[1_700, 30])
            .await
            .fault(Fault::new(effect.clone()).meeting(0).pages(Pages::Later));
        let run = scene.run().await;
        run.is_complete_but(&scene, &[0]);
        let report = run.meeting(&scene, 0);
        assert!(report.requests <= 4 * 4 + 10, "{effect:?}: {report:?}");
    }
}

/// Line 18: the last page instead of none is never seen.
#[tokio::test(flavor = "multi_thread")]
async fn no_offset_at_or_beyond_the_count_is_ever_asked_for() {
    let sizes = [
        0, 1, 498, 499, 500, 501, 998, 999, 1_000, 1_497, 1_498, 1_700,
    ];
    let scene = Scene::of(&sizes).await.fault(Effect::LastPage);
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, run.report.requests.minimum);
    for (position, size) in sizes.into_iter().enumerate() {
        for seen in scene.seen_of(position) {
            let offset = seen.offset.unwrap();
            assert!(offset == 0 || offset < size, "{offset} of {size}");
        }
    }
}

// Lines 19 to 21: records.

/// Line 19.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_is_named_and_never_skipped() {
    let cases = [
        (RecordEdit::replace(503, "7"), "not an object"),
        (RecordEdit::replace(503, "null"), "not an object"),
        (RecordEdit::replace(503, "[]"), "not an object"),
        (RecordEdit::set(503, "joinTime", "\"soon\""), "joinTime"),
        (RecordEdit::set(503, "leftTime", "1.5"), "leftTime"),
        (RecordEdit::set(503, "leftTime", "true"), "leftTime"),
        (RecordEdit::set(503, "displayName", "{}"), "displayName"),
    ];
    let scene = Scene::of(&vec![700; cases.len() + 1]).await;
    for (position, (edit, _)) in cases.iter().enumerate() {
        let fault = Fault::new(Effect::Record(edit.clone()));
        scene.simulator.add_fault(fault.meeting(position));
    }
    let all: Vec<_> = (0..cases.len()).collect();
    let run = scene.run().await;
    run.is_complete_but(&scene, &all);
    for (position, (_, what)) in cases.iter().enumerate() {
        let cause = run.cause(&scene, position);
        let says = ["503", what, "request id"];
        assert!(says.iter().all(|text| cause.contains(text)), "{cause}");
        assert!(!cause.contains("soon"), "no personal data: {cause}");
        assert_eq!(scene.seen_of(position).len(), 2);
    }
}

/// Line 20.
#[tokio::test(flavor = "multi_thread")]
async fn odd_texts_and_unknown_members_never_lose_a_row() {
    let names = [
        (r#""\u0000\u001b[2J""#, "\0\u{1b}[2J"),
        (r#""👩‍👩‍👧 \ud83d\ude00""#, "👩‍👩‍👧 😀"),
        (r#""\u202eقاعة שלום""#, "\u{202e}قاعة שלום"),
        (r#""a\ud800b\udc00""#, "a\u{fffd}b\u{fffd}"),
        (r#""""#, ""),
    ];
    let unknown = r#"{"deep":[1,"\ud800",null,1e400]}"#;
    let scene = Scene::of(&[700])
        .await
        .fault(Effect::Record(RecordEdit::set(100, "newMember", unknown)));
    for (at, (json, _)) in (498..).zip(names) {
        let edit = RecordEdit::set(at, "displayName", json);
        scene.simulator.add_fault(Effect::Record(edit));
    }
    let run = scene.run().await;
    assert!(run.error.is_none());
    assert_eq!(run.report.outcome, Outcome::Complete);
    let mut truth = scene.truth(&scene.meetings[0]);
    for (at, (_, name)) in (498..).zip(names) {
        truth[at].texts[0] = Some(name.to_owned());
    }
    truth[100].extra = Some(format!(r#"{{"newMember":{unknown}}}"#));
    assert_eq!(run.rows[scene.meetings[0].as_str()], truth);
    assert_eq!(run.report.replaced_surrogates, 2);
}

/// Line 21: seconds instead of milliseconds, and floats.
#[tokio::test(flavor = "multi_thread")]
async fn times_in_seconds_are_no_days_of_1970_and_floats_are_numbers() {
    let scene = Scene::of(&[700]).await;
    let mut truth = scene.truth(&scene.meetings[0]);
    for at in [3, 600] {
        let seconds = truth[at].join.unwrap() / 1_000;
        let edit = RecordEdit::set(at as u64, "joinTime", &seconds.to_string());
        scene.simulator.add_fault(Effect::Record(edit));
        (truth[at].join, truth[at].duration) = (None, None);
        truth[at].anomaly = Some("out_of_range_time".to_owned());
        truth[at].extra = Some(format!(r#"{{"joinTime":{seconds}}}"#));
    }
    for (at, quote) in [(10, ""), (11, "\"")] {
        let time = truth[at].join.unwrap();
        let float = format!("{quote}{}.{:03}e3{quote}", time / 1_000, time % 1_000);
        let edit = RecordEdit::set(at as u64, "joinTime", &float);
        scene.simulator.add_fault(Effect::Record(edit));
    }
    let run = scene.run().await;
    assert!(run.error.is_none());
    assert_eq!(run.report.outcome, Outcome::Complete);
    assert_eq!(run.rows[scene.meetings[0].as_str()], truth);
    assert_eq!(run.report.anomalies["out_of_range_time"], 2);
}

/// Line 21: whether a time is yet to come is told by the clock of the answer, not by ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_long_after_its_answer_is_out_of_range() {
    for (days, is_odd) in [(-400, true), (0, false), (400, false)] {
        let options = Options {
            credentials: Known {
                clock_offset: days * 86_400,
                ..Known::default()
            },
            ..Options::sizes(&[3])
        };
        let scene = Scene::with(options).await;
        let run = scene.run().await;
        assert_eq!(run.report.outcome, Outcome::Complete);
        let rows = &run.rows[scene.meetings[0].as_str()];
        assert!(
            rows.iter().all(|row| row.join.is_none() == is_odd),
            "{rows:?}"
        );
        let odd = run.report.anomalies.get("out_of_range_time");
        assert_eq!(odd.copied(), is_odd.then_some(3));
    }
}

/// Line 21.
#[tokio::test(flavor = "multi_thread")]
async fn odd_times_are_kept_named_and_counted() {
    let mut options = Options::sizes(&[]);
    options.meetings.push(MeetingSpec {
        odd_every: Some(5),
        ..MeetingSpec::of(1_000)
    });
    let scene = Scene::with(options)
        .await
        .fault(Effect::Record(RecordEdit::unset(1, "joinTime")))
        .fault(Effect::Record(RecordEdit::set(2, "joinTime", "null")))
        .fault(Effect::Record(RecordEdit::set(3, "joinTime", "0")))
        .fault(Effect::Record(RecordEdit::set(4, "leftTime", "-5")));
    let run = scene.run().await;
    let mut truth = scene.truth(&scene.meetings[0]);
    for row in &mut truth[1..=3] {
        (row.join, row.duration) = (None, None);
        row.anomaly = Some("missing_join".to_owned());
    }
    (truth[4].left, truth[4].duration) = (None, None);
    truth[4].anomaly = Some("out_of_range_time".to_owned());
    truth[4].extra = Some(r#"{"leftTime":-5}"#.to_owned());
    assert_eq!(run.rows[scene.meetings[0].as_str()], truth);
    assert_eq!(run.report.outcome, Outcome::Complete);
    let expected = [
        ("missing_join", 3),
        ("missing_left", 150),
        ("negative_duration", 50),
        ("out_of_range_time", 1),
    ];
    let expected = expected.map(|(name, records)| (name.to_owned(), records));
    assert_eq!(run.report.anomalies, expected.into());
}

// Lines 26, 27, 29 and 30: the run as a whole.

/// Line 26.
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_on_one_dataset_commit_no_meeting_twice() {
    let scene = Scene::of(&[30; 60])
        .await
        .set(|config| config.part_rows = 300);
    let (one, other) = tokio::join!(scene.run(), scene.run());
    for run in [&one, &other] {
        assert!(run.error.is_none(), "{:?}", run.error);
        assert_eq!(run.report.outcome, Outcome::Complete);
    }
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, 0);
    let rows: usize = run.rows.values().map(Vec::len).sum();
    assert_eq!(rows, 1_800);
    assert_eq!(one.report.records + other.report.records, 1_800);
}

/// Line 27: asked to stop once, after some meetings and before others.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_keeps_whole_meetings_and_is_resumed() {
    let options = Options {
        latency: Duration::from_millis(1),
        ..Options::sizes(&[700; 40])
    };
    let scene = Scene::with(options)
        .await
        .set(|config| config.concurrency = const { NonZeroU32::new(4).unwrap() });
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let complete = AtomicU32::new(0);
    let observer = Arc::new(move |event: Event| {
        if matches!(event, Event::Complete { .. }) && complete.fetch_add(1, Ordering::Relaxed) == 7
        {
            stop.cancel();
        }
    });
    let run = scene.run_watched(observer, cancel).await;
    assert!(run.error.is_none(), "{:?}", run.error);
    assert_eq!(run.report.outcome, Outcome::Interrupted);
    let absent = run.absent(&scene);
    assert!(absent.len() <= 32, "what was whole is kept: {absent:?}");
    assert!(!absent.is_empty(), "a stop stops");
    assert_eq!(run.report.meetings.unfinished, absent.len() as u64);

    scene.simulator.clear_requests();
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, 2 * absent.len() as u64);
    assert_eq!(run.report.meetings.already, 40 - absent.len() as u64);
}

/// Line 29: the server's clock is what counts, and an hour is too much for a signature.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_late_is_named_after_one_login() {
    let of = |clock_offset| Options {
        credentials: Known {
            clock_offset,
            ..Known::default()
        },
        ..Options::sizes(&[700, 3])
    };
    let scene = Scene::with(of(3_600)).await.logging_in();
    let run = scene.run().await;
    let Some(Error::Credentials { reason }) = &run.error else {
        panic!("{:?}", run.error);
    };
    assert!(reason.contains("check the clock"), "{reason}");
    assert_eq!(run.report.outcome, Outcome::Failed);
    let requests = scene.simulator.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].endpoint, Endpoint::Login);

    // Tokens are aged by the figures of the server, whatever its clock shows.
    for offset in [60, -3_600] {
        let scene = Scene::with(of(offset)).await.logging_in();
        scene.run().await.is_complete(&scene);
        assert_eq!(scene.simulator.logins(), 1);
    }
}

/// A pipe: what it was given, and how much it takes before its reader leaves.
#[derive(Clone, Default)]
struct Pipe {
    taken: Arc<Mutex<Vec<u8>>>,
    room: Option<usize>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.taken.lock().unwrap();
        if self
            .room
            .is_some_and(|room| taken.len() + bytes.len() > room)
        {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn piped(scene: &Scene, pipe: &Pipe) -> Finished {
    let export = Export {
        config: Config {
            out: Some("-".to_owned()),
            format: Format::Ndjson,
            ..scene.config.clone()
        },
        credentials: scene.credentials.clone(),
        meetings: scene.meetings.clone(),
        pipe: Some(Box::new(pipe.clone())),
        pii_key: None,
    };
    export
        .run(silent(), CancellationToken::new())
        .await
        .unwrap()
}

/// Line 30: the reader has enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_the_run_quietly() {
    for room in [0, 100_000] {
        let scene = Scene::of(&[400; 60]).await.set(one_at_a_time);
        let pipe = Pipe {
            room: Some(room),
            ..Pipe::default()
        };
        let finished = piped(&scene, &pipe).await;
        let error = finished.error.unwrap();
        assert!(is_broken_pipe(&error), "{error:?}");
    }
}

/// Whether the reader's leaving is what an error goes back to.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        || error.source().is_some_and(is_broken_pipe)
}

/// Line 30 and the promise of the pipe: whole meetings only, also of those too large to hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_carries_whole_meetings_only() {
    let scene = Scene::of(&[30, 3_000, 2_000, 40])
        .await
        .fault(Fault::new(Effect::Status(403)).meeting(1).offset(2_495))
        .fault(Fault::new(Effect::Drift(SHIFT)).meeting(2).nth(4))
        .set(one_at_a_time)
        .set(|config| config.buffer_rows = 1_000);
    let pipe = Pipe::default();
    let finished = piped(&scene, &pipe).await;
    assert!(finished.error.is_none(), "{:?}", finished.error);
    assert_eq!(finished.report.outcome, Outcome::Incomplete);
    let taken = pipe.taken.lock().unwrap().clone();
    let keys: Vec<_> = String::from_utf8(taken)
        .unwrap()
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (text("conf_uuid"), text("call_number"))
        })
        .collect();
    let mut expected = vec![];
    for position in [0, 2, 3] {
        let meeting: &ConfUuid = &scene.meetings[position];
        for record in scene.simulator.truth(meeting) {
            expected.push((meeting.to_string(), record.call_number));
        }
    }
    assert!(keys == expected, "{} rows", keys.len());
}

// Settings that decide what a proof is.

/// `--verify twice`: the same records twice, at twice the requests.
#[tokio::test(flavor = "multi_thread")]
async fn verified_twice_is_read_twice_and_compared() {
    let scene = Scene::of(&[0, 499, 1_700])
        .await
        .set(|config| config.verify = Verify::Twice);
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, 2 * run.report.requests.minimum);
    for report in &run.report.per_meeting {
        assert_eq!(report.proof, Some(Proof::Twice));
    }

    // One page, and a list that changes between the two walks: only they can tell.
    let scene = Scene::of(&[300])
        .await
        .fault(Fault::new(Effect::Drift(SHIFT)).nth(2))
        .set(|config| config.verify = Verify::Twice);
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, 3);
}

/// `--count-policy end`: a steadily wrong count is accepted where the end was seen, and both
/// figures are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_steadily_wrong_count_is_accepted_only_when_asked_to() {
    for off in [-2, 3, 600] {
        for (policy, absent) in [
            (CountPolicy::Fail, [0, 1].as_slice()),
            (CountPolicy::End, &[]),
        ] {
            let scene = Scene::of(&[300, 1_700])
                .await
                .fault(Effect::CountOff(off))
                .set(|config| config.count_policy = policy);
            let run = scene.run().await;
            run.is_complete_but(&scene, absent);
            let report = run.meeting(&scene, 1);
            assert_eq!(report.count, 1_700u64.checked_add_signed(off));
            if policy == CountPolicy::Fail {
                let cause = report.cause.as_deref().unwrap();
                assert!(cause.contains("count is"), "{cause}");
            }
        }
    }
}

/// `--count-policy end` forgives a wrong figure, never a moving list.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgiven_count_does_not_forgive_a_shift() {
    let scene = Scene::of(&[1_700])
        .await
        .fault(Effect::CountOff(3))
        .fault(Effect::Drift(SHIFT))
        .set(|config| config.count_policy = CountPolicy::End);
    scene.run().await.is_complete_but(&scene, &[0]);
}
