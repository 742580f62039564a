//! How a run connects: how often, by which protocol, and what it says it can read.

use std::time::Duration;

use rollbook::simulator::{Handshakes, Options};
use rollbook::{Outcome, Rate};
use rstest::rstest;

use crate::run::Scene;

#[tokio::test]
async fn a_server_that_prefers_http_2_is_asked_by_http_1() {
    let scene = Scene::with(Options {
        tls: true,
        ..Options::sizes(&[2_000])
    })
    .await;
    let run = scene.run().await;
    assert_eq!(run.report.outcome, Outcome::Complete);
    let seen = scene.simulator.requests();
    assert!(seen.iter().all(|request| !request.http2), "{seen:?}");
}

#[tokio::test]
async fn the_second_connection_resumes_the_tls_session_of_the_first() {
    // A server that hangs up on the idle, and a rate that makes everybody idle for longer.
    let scene = Scene::with(Options {
        tls: true,
        keep_alive: Some(Duration::from_millis(20)),
        ..Options::sizes(&[10; 5])
    })
    .await
    .set(|config| config.rate = "1/200ms".parse::<Rate>().unwrap());
    let run = scene.run().await;
    assert_eq!(run.report.outcome, Outcome::Complete);
    let Handshakes { full, resumed } = scene.simulator.handshakes();
    assert_eq!(full, 1);
    assert!(resumed >= 3, "{resumed} resumed");
}

#[rstest]
#[case::bare(false, None)]
#[case::over_tls(true, Some("gzip"))]
#[tokio::test]
async fn gzip_is_asked_for_but_on_a_bare_link_within_the_machine(
    #[case] tls: bool,
    #[case] asked: Option<&str>,
) {
    let scene = Scene::with(Options {
        tls,
        ..Options::sizes(&[1_200])
    })
    .await;
    let run = scene.run().await;
    assert_eq!(run.report.outcome, Outcome::Complete);
    for request in scene.simulator.requests() {
        assert_eq!(request.accept_encoding.as_deref(), asked);
    }
}
