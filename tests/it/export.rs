//! A run as its user sees it: settings and a list in, a dataset and a report out.

use std::path::Path;

use rollbook::simulator::{APP_ID, APP_KEY, Options, Seen, Simulator, TOKEN};
use rollbook::{
    App, ConfUuid, Config, Credentials, Export, Finished, Language, Outcome, Rate, silent, verify,
};
use tokio_util::sync::CancellationToken;

fn config(simulator: &Simulator, out: &Path) -> Config {
    Config {
        base_url: simulator.base_url(),
        out: Some(out.to_str().unwrap().to_owned()),
        rate: Rate::Unlimited,
        ..Config::default()
    }
}

async fn export(config: Config, meetings: Vec<ConfUuid>) -> Finished {
    let credentials = Credentials::Token(TOKEN.into());
    let export = Export {
        config,
        credentials,
        meetings,
        pipe: None,
        pii_key: None,
    };
    export
        .run(silent(), CancellationToken::new())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_meetings_becomes_a_sound_dataset_with_the_least_requests() {
    let sizes = [0, 1, 499, 500, 501, 999, 1000, 1700, 3];
    let simulator = Simulator::start(Options::sizes(&sizes)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let finished = export(config(&simulator, folder.path()), simulator.meetings()).await;
    assert!(finished.error.is_none(), "{:?}", finished.error);
    let report = finished.report;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.records, sizes.iter().sum::<u64>());
    assert_eq!(report.requests.sent, report.requests.minimum);
    assert_eq!(report.requests.sent, simulator.request_count());
    assert_eq!(report.meetings.empty, 1);
    let pages = [1, 1, 1, 2, 2, 3, 3, 4, 1];
    for (meeting, pages) in report.per_meeting.iter().zip(pages) {
        assert_eq!(
            (meeting.pages, meeting.seams),
            (Some(pages), Some(pages - 1)),
            "{meeting:?}"
        );
    }
    let verification = verify(folder.path().to_str().unwrap()).await.unwrap();
    assert!(verification.is_sound(), "{verification:?}");

    let again = export(config(&simulator, folder.path()), simulator.meetings()).await;
    assert_eq!(again.report.outcome, Outcome::Complete);
    assert_eq!(again.report.requests.sent, 0);
    assert_eq!(again.report.meetings.already, sizes.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_holds_answers_to_one_question() {
    let simulator = Simulator::start(Options::sizes(&[700, 3])).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let first = config(&simulator, folder.path());
    export(first.clone(), simulator.meetings()).await;
    for other in [
        Config {
            search_key: Some("+861390000".to_owned().into()),
            ..first.clone()
        },
        Config {
            language: Language::ZhCn,
            ..first
        },
    ] {
        let export = Export {
            config: other,
            credentials: Credentials::Token(TOKEN.into()),
            meetings: simulator.meetings(),
            pipe: None,
            pii_key: None,
        };
        let refused = export
            .run(silent(), CancellationToken::new())
            .await
            .unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("another destination") && !text.contains("861390000"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_quota_the_oldest_meeting_is_finished_first() {
    let simulator = Simulator::start(Options::sizes(&[1_100; 12]))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let rate = "40/s".parse().unwrap();
    let config = Config {
        rate,
        ..config(&simulator, folder.path())
    };
    let finished = export(config, simulator.meetings()).await;
    assert_eq!(finished.report.outcome, Outcome::Complete);
    let seen = simulator.requests();
    let of = |meeting: &ConfUuid| {
        let is_its = |seen: &&Seen| seen.meeting.as_deref() == Some(meeting.as_str());
        let positions = seen
            .iter()
            .enumerate()
            .filter(move |(_, seen)| is_its(seen));
        positions.map(|(position, _)| position).collect::<Vec<_>>()
    };
    // Not: first the first page of all twelve.
    for meeting in simulator.meetings() {
        let positions = of(&meeting);
        let spread = positions[positions.len() - 1] - positions[0];
        assert!(positions.len() == 3 && spread < 12, "{positions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_id_logs_in_once_for_all() {
    let simulator = Simulator::start(Options::meetings_of(40, 1..=1200))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let app = App {
        id: APP_ID.into(),
        key: APP_KEY.into(),
        user_id: None,
        corp_id: None,
    };
    let export = Export {
        config: config(&simulator, folder.path()),
        credentials: Credentials::App(app),
        meetings: simulator.meetings(),
        pipe: None,
        pii_key: None,
    };
    let finished = export
        .run(silent(), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(
        finished.report.outcome,
        Outcome::Complete,
        "{:?}",
        finished.error
    );
    assert_eq!(simulator.logins(), 1);
}
