//! Who asks: logins, renewals, logouts and refusals, as the server sees them.

#![expect(clippy::panic, reason = "an error of another kind ends the test")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rollbook::simulator::{
    ACCOUNT, Credentials as Known, Effect, Endpoint, Fault, Options, PASSWORD, Refusal,
    ServiceError,
};
use rollbook::{Account, Credentials, Error, Event, History, Outcome, Rate, Result, TokenSource};
use rstest::rstest;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::run::Scene;

/// The endpoints that were asked for anything but records, in order.
fn desk(scene: &Scene) -> Vec<Endpoint> {
    let seen = scene.simulator.requests();
    let endpoints = seen.iter().map(|seen| seen.endpoint);
    endpoints.filter(|&is| is != Endpoint::Records).collect()
}

fn with_account(password: &str) -> Credentials {
    Credentials::Account(Account {
        name: ACCOUNT.into(),
        password: password.into(),
    })
}

fn refused(code: &str) -> Effect {
    Effect::Error(ServiceError {
        status: 401,
        code: code.into(),
        message: "REFUSED".into(),
    })
}

fn reason(error: Option<&Error>) -> String {
    let Some(Error::Credentials { reason }) = error else {
        panic!("{error:?}");
    };
    reason.clone()
}

// Logout.

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_run_is_logged_out_at_its_end() {
    let scene = Scene::of(&[700; 5]).await.logging_in();
    scene.run().await.is_complete(&scene);
    assert_eq!(desk(&scene), [Endpoint::Login, Endpoint::Logout]);
    let last = scene.simulator.requests().pop().unwrap();
    assert_eq!((last.endpoint, last.status), (Endpoint::Logout, Some(200)));
    assert_eq!(scene.simulator.live_tokens(), 0);
    assert_eq!(scene.simulator.most_live_tokens(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_logged_out_after_a_failure_an_interrupt_and_a_deadline() {
    // A failure: the second token is refused as well.
    let scene = Scene::of(&[10; 30])
        .await
        .logging_in()
        .fault(Fault::new(Effect::Status(401)).since(5));
    let run = scene.run().await;
    assert_eq!(run.report.outcome, Outcome::Failed);
    assert_eq!(scene.simulator.logins(), 2);
    assert_eq!(scene.simulator.live_tokens(), 0);

    // An interrupt, at the third page.
    let scene = Scene::of(&[10; 30])
        .await
        .logging_in()
        .set(|config| config.concurrency = NonZeroU32::MIN);
    let cancel = CancellationToken::new();
    let (stop, pages) = (cancel.clone(), AtomicUsize::new(0));
    let observer = Arc::new(move |event| {
        if matches!(event, Event::Page { .. }) && pages.fetch_add(1, Ordering::Relaxed) == 2 {
            stop.cancel();
        }
    });
    let run = scene.run_watched(observer, cancel).await;
    assert_eq!(run.report.outcome, Outcome::Interrupted);
    assert_eq!(scene.simulator.logins(), 1);
    assert_eq!(scene.simulator.live_tokens(), 0);

    // A deadline.
    let scene = Scene::of(&[10; 30]).await.logging_in().set(|config| {
        config.rate = Rate::per_minute(60);
        config.deadline = Some(Duration::from_millis(300));
    });
    let run = scene.run().await;
    assert_eq!(run.report.outcome, Outcome::Interrupted);
    assert_eq!(scene.simulator.logins(), 1);
    assert_eq!(scene.simulator.live_tokens(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_while_it_logs_in_leaves_no_token() {
    let delay = Effect::Delay(Duration::from_millis(300));
    let scene = Scene::of(&[10; 30])
        .await
        .logging_in()
        .fault(Fault::new(delay).on(Endpoint::Login));
    let cancel = CancellationToken::new();
    let stop_it = async {
        while scene.simulator.logins() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cancel.cancel();
    };
    let run = scene.run_watched(rollbook::silent(), cancel.clone());
    let (run, ()) = tokio::join!(run, stop_it);
    assert_eq!(run.report.outcome, Outcome::Interrupted);
    assert_eq!(desk(&scene), [Endpoint::Login, Endpoint::Logout]);
    assert_eq!(scene.seen().len(), 0);
    assert_eq!(scene.simulator.live_tokens(), 0);
}

/// What takes the connection and says nothing is waited for by the courtesy of the end alone.
#[tokio::test(start_paused = true)]
async fn a_deadline_holds_while_a_login_hangs() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let site = format!("http://{}", held.local_addr().unwrap());
    let scene = Scene::of(&[10]).await.logging_in().set(|config| {
        config.base_url = site.parse().unwrap();
        config.since = Some("yesterday".parse().unwrap());
        config.deadline = Some(Duration::from_secs(2));
        config.timeout = Duration::from_secs(25);
    });
    let most = Duration::from_secs(8);
    let begun = tokio::time::Instant::now();
    let run = scene.run().await;
    assert_eq!(run.report.outcome, Outcome::Interrupted);
    assert!(begun.elapsed() < most, "{:?}", begun.elapsed());

    let history = History {
        config: scene.config.clone(),
        credentials: scene.credentials.clone(),
    };
    let begun = tokio::time::Instant::now();
    let listed = history.list(rollbook::silent(), CancellationToken::new());
    assert!(!listed.await.unwrap().unlisted.is_empty());
    assert!(begun.elapsed() < most, "{:?}", begun.elapsed());
}

/// A reader that leaves as soon as a second login is under way.
struct Leaving(Arc<Scene>);

impl std::io::Write for Leaving {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        for _ in 0..10_000 {
            if self.0.simulator.logins() == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_nobody_waits_for_any_more_leaves_no_token() {
    let delay = Effect::Delay(Duration::from_millis(300));
    let scene = Scene::of(&[499; 60])
        .await
        .logging_in()
        .fault(Fault::new(Effect::Status(401)).nth(50))
        .fault(Fault::new(delay).on(Endpoint::Login).nth(2))
        .set(|config| {
            config.out = Some("-".to_owned());
            config.format = rollbook::Format::Ndjson;
        });
    let scene = Arc::new(scene);
    let mut export = scene.export();
    export.pipe = Some(Box::new(Leaving(Arc::clone(&scene))));
    let finished = export.run(rollbook::silent(), CancellationToken::new());
    let report = finished.await.unwrap().report;
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert_eq!(scene.simulator.logins(), 2);
    assert_eq!(scene.simulator.live_tokens(), 0);
}

/// The old token is being logged out when the run ends for another reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_the_end_of_the_run_cuts_short_is_made_up_for() {
    let options = Options {
        latency: Duration::from_millis(2),
        ..Options::sizes(&[10; 500])
    };
    let scene = Scene::with(options)
        .await
        .logging_in()
        .fault(Fault::new(Effect::Status(401)).nth(4))
        .fault(Fault::new(Effect::Hang).on(Endpoint::Logout).first(1))
        .set(|config| config.concurrency = const { NonZeroU32::new(4).unwrap() });
    let end_it = async {
        while !desk(&scene).contains(&Endpoint::Logout) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        scene.simulator.add_fault(refused("USG.206010025"));
    };
    let (run, ()) = tokio::join!(scene.run(), end_it);
    assert_eq!(run.report.outcome, Outcome::Failed);
    assert_eq!(scene.simulator.logins(), 2);
    assert_eq!(scene.simulator.live_tokens(), 0);
}

#[rstest]
#[case::refused(Effect::Status(500))]
#[case::reset(Effect::Reset)]
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_that_fails_is_tried_once_and_changes_nothing(#[case] effect: Effect) {
    let scene = Scene::of(&[700; 3])
        .await
        .logging_in()
        .fault(Fault::new(effect).on(Endpoint::Logout));
    let causes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&causes);
    let observer = Arc::new(move |event| {
        if let Event::NotLoggedOut { cause } = event {
            told.lock().unwrap().push(cause);
        }
    });
    let run = scene.run_watched(observer, CancellationToken::new()).await;
    run.is_complete(&scene);
    assert_eq!(desk(&scene), [Endpoint::Login, Endpoint::Logout]);
    assert_eq!(causes.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_waits_for_no_quota() {
    let scene = Scene::of(&[700]).await.logging_in().set(|config| {
        config.rate = Rate::per_minute(60);
        config.burst = const { NonZeroU32::new(10).unwrap() };
    });
    let begun = std::time::Instant::now();
    scene.run().await.is_complete(&scene);
    assert_eq!(scene.simulator.live_tokens(), 0);
    assert!(begun.elapsed() < Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_somebody_gave_is_never_logged_out() {
    let mut scene = Scene::of(&[700; 3]).await;
    scene.run().await.is_complete(&scene);
    assert_eq!(desk(&scene), []);

    scene = Scene::of(&[700; 3]).await;
    scene.simulator.accept_token("given");
    scene.credentials = Credentials::Source(Given::of(&["given"]));
    scene.run().await.is_complete(&scene);
    assert_eq!(desk(&scene), []);
}

// Renewal.

#[tokio::test(flavor = "multi_thread")]
async fn many_renewals_take_no_more_than_two_places_at_a_time() {
    let scene = Scene::with(Options {
        credentials: Known {
            token_life: Duration::from_secs(1),
            tokens_per_user: 2,
            ..Known::default()
        },
        ..Options::sizes(&[10; 60])
    })
    .await
    .logging_in()
    .set(|config| {
        config.rate = Rate::Limited {
            requests: const { NonZeroU32::new(20).unwrap() },
            window: Duration::from_secs(1),
        }
    });
    let run = scene.run().await;
    run.is_complete(&scene);
    // Renewed before their end: no page was refused.
    assert_eq!(run.report.requests.sent, run.report.requests.minimum);
    let logins = scene.simulator.logins();
    assert!(logins >= 3, "{logins}");
    let of = |endpoint| desk(&scene).iter().filter(|&&is| is == endpoint).count() as u64;
    assert_eq!(of(Endpoint::Login), logins);
    assert_eq!(of(Endpoint::Logout), logins);
    assert!(scene.simulator.most_live_tokens() <= 2);
    assert_eq!(scene.simulator.live_tokens(), 0);
}

// Account and password.

#[tokio::test(flavor = "multi_thread")]
async fn an_account_logs_in_with_its_password_and_renews_as_an_app_does() {
    let mut scene = Scene::of(&[700; 10])
        .await
        .fault(Fault::new(Effect::ExpireTokens(Refusal::TimedOut)).nth(6));
    scene.credentials = with_account(PASSWORD);
    scene.run().await.is_complete(&scene);
    assert_eq!(scene.simulator.logins(), 2);
    let ways = desk(&scene);
    assert!(
        ways.iter()
            .all(|is| matches!(is, Endpoint::Account | Endpoint::Logout))
    );
    assert_eq!(scene.simulator.live_tokens(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_sent_once() {
    let mut scene = Scene::of(&[10; 30]).await;
    scene.credentials = with_account("hunter2-hunter2");
    let run = scene.run().await;
    let reason = reason(run.error.as_ref());
    assert!(
        reason.contains("password is wrong") && !reason.contains("hunter2"),
        "{reason}"
    );
    assert_eq!(desk(&scene), [Endpoint::Account]);
    assert_eq!(scene.seen().len(), 0);
}

#[rstest]
#[case::unknown_to_us(Effect::Status(500), 0)]
#[case::busy(Effect::Status(503), 1)]
#[case::unreachable(Effect::Reset, 1)]
#[case::late(Effect::Hang, 0)]
#[case::late_behind_a_gateway(Effect::Status(504), 0)]
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_sent_again_only_where_it_was_not_looked_at(
    #[case] effect: Effect,
    #[case] again: usize,
) {
    // 500 with a code that nobody knows.
    let effect = match effect {
        Effect::Status(500) => Effect::Error(ServiceError {
            status: 500,
            code: "USG.206099999".into(),
            message: "WHO_KNOWS".into(),
        }),
        effect => effect,
    };
    let mut scene = Scene::of(&[10; 3])
        .await
        .fault(Fault::new(effect).on(Endpoint::Account).first(1))
        .set(|config| config.timeout = Duration::from_millis(300));
    scene.credentials = with_account(PASSWORD);
    let run = scene.run().await;
    let logins = desk(&scene)
        .into_iter()
        .filter(|&is| is == Endpoint::Account);
    assert_eq!(logins.count(), 1 + again);
    assert_eq!(run.error.is_none(), again > 0, "{:?}", run.error);
}

// A source of tokens.

/// Gives these tokens one after the other, the last one again and again.
#[derive(Debug)]
struct Given {
    tokens: Vec<&'static str>,
    asked: AtomicUsize,
}

impl Given {
    fn of(tokens: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            tokens: tokens.to_vec(),
            asked: AtomicUsize::new(0),
        })
    }
}

impl TokenSource for Given {
    fn token(&self) -> BoxFuture<'_, Result<SecretString>> {
        let at = self.asked.fetch_add(1, Ordering::Relaxed);
        let token = self.tokens[at.min(self.tokens.len() - 1)];
        std::future::ready(Ok(token.into())).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_asked_again_once_when_its_token_is_refused() {
    let mut scene = Scene::of(&[700; 10]).await;
    scene.simulator.accept_token("second");
    let source = Given::of(&["first", "second"]);
    scene.credentials = Credentials::Source(Arc::clone(&source) as Arc<dyn TokenSource>);
    scene.run().await.is_complete(&scene);
    assert_eq!(source.asked.load(Ordering::Relaxed), 2);

    let mut scene = Scene::of(&[10; 30]).await;
    let source = Given::of(&["dead"]);
    scene.credentials = Credentials::Source(Arc::clone(&source) as Arc<dyn TokenSource>);
    let run = scene.run().await;
    let reason = reason(run.error.as_ref());
    assert!(reason.contains("token_command"), "{reason}");
    assert_eq!(source.asked.load(Ordering::Relaxed), 2);
}

// Refusals.

#[rstest]
#[case::key("USG.206010025", "the App ID or its key is wrong")]
#[case::site("USG.206010064", "another site")]
#[case::moved("USG.206010074", "another site")]
#[case::not_activated("USG.206010007", "not activated")]
#[case::not_bound("USG.206010058", "not bound")]
#[case::locked("USG.206030015", "locked")]
#[case::unknown_user("USG.206030000", "check user_id")]
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_explained(#[case] code: &str, #[case] words: &str) {
    let scene = Scene::of(&[10; 3])
        .await
        .logging_in()
        .fault(Fault::new(refused(code)).on(Endpoint::Login));
    let run = scene.run().await;
    let reason = reason(run.error.as_ref());
    assert!(reason.contains(words) && reason.contains(code), "{reason}");
    assert_eq!(desk(&scene), [Endpoint::Login]);
}
