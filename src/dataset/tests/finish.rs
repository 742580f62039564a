//! What a run leaves behind, and what is told of it.

use super::*;
use crate::report::{MeetingReport, MeetingStatus};

#[tokio::test]
async fn a_run_that_reports_nothing_sums_up_the_ledger_or_leaves_what_it_staged() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3)]).await;
    dataset.few_entries = 1;
    dataset.end(Ok(())).await.unwrap();
    let checkpoints = home.path().join("data").join(checkpoint::CHECKPOINTS);
    assert_eq!(fs::read_dir(&checkpoints).unwrap().count(), 1);
    assert_eq!(staging_folders(&home), [""; 0]);

    // One that cannot be written fails nothing, and is told.
    let mut dataset = open(&home, "unsummed").await;
    commit(&mut dataset, &[("m9", 3)]).await;
    dataset.few_entries = 1;
    fs::remove_dir_all(&checkpoints).unwrap();
    fs::write(&checkpoints, "in the way").unwrap();
    dataset.end(Ok(())).await.unwrap();
    assert_eq!(dataset.checkpoint_faults().len(), 1);
    assert_eq!(dataset.checkpoint_faults(), [""; 0]);

    // As in a bucket.
    let mut dataset = open(&home, "two").await;
    let (pulse, _) = Pulse::begin(&dataset.store, "two", &[]).await.unwrap();
    dataset.pulse = Some(pulse);
    let (parts, _) = stage(&dataset, &[("m2", 3)]);
    let sign = dataset.staging().join("pulse");
    assert!(sign.exists());
    let failed = Err::<(), _>(Error::Config("no".to_owned()));
    assert!(dataset.end(failed).await.is_err());
    assert!(!sign.exists() && parts.iter().all(|part| part.path.exists()));
    let (_, others) = Pulse::begin(&dataset.store, "three", &[]).await.unwrap();
    assert_eq!((others.live.len(), others.abandoned.len()), (0, 0));
}

#[tokio::test]
async fn a_finished_run_leaves_its_report_and_no_staging() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("empty", 0)]).await;
    let report = report("one");
    dataset.finish(&report).await.unwrap();
    assert!(staging_folders(&home).is_empty());
    let text = fs::read(home.path().join("data/_rollbook/runs/one.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&text).unwrap(), report);

    let status = status(&dest(&home)).await.unwrap();
    assert_eq!(
        (status.meetings, status.empty_meetings, status.records),
        (2, 1, 3)
    );
    assert_eq!(
        (status.entries, status.parts, status.damaged.len()),
        (1, 1, 0)
    );
    assert_eq!(status.runs.len(), 1);
    assert!(status.runs[0].is_finished && status.runs[0].records == 3);
    assert!(status.unfinished.is_empty());
}

#[tokio::test]
async fn the_last_report_tells_what_is_left_unless_the_dataset_has_it_by_now() {
    let home = tempfile::tempdir().unwrap();
    let left = |name: &str, status, cause: &str| MeetingReport {
        conf_uuid: uuid(name),
        status,
        count: None,
        records: 0,
        requests: 2,
        proof: None,
        pages: None,
        seams: None,
        equal_records: None,
        doubtful: 0,
        replaced: None,
        is_kept: false,
        day: None,
        cause: Some(cause.to_owned()),
        request_id: None,
    };
    // The run that ended last has not the last name.
    for (run_id, day, names) in [("b", 2, ["m1", "m2"]), ("c", 1, ["m3", "m4"])] {
        let mut dataset = open(&home, run_id).await;
        let mut report = report(run_id);
        report.finished += chrono::TimeDelta::days(day);
        report.outcome = Outcome::Incomplete;
        report.per_meeting = vec![
            left(names[0], MeetingStatus::Failed, "answered 500"),
            left(names[1], MeetingStatus::Unfinished, "the run stopped first"),
        ];
        dataset.finish(&report).await.unwrap();
    }
    let runs = home.path().join("data").join(RUNS);
    fs::write(runs.join("newer.json"), "{}").unwrap();
    let told = status(&dest(&home)).await.unwrap().left.unwrap();
    assert_eq!(
        (&*told.run_id, told.incomplete, told.unfinished),
        ("b", 1, 1)
    );
    assert_eq!(told.meetings[0].cause.as_deref(), Some("answered 500"));

    let mut next = open(&home, "d").await;
    commit(&mut next, &[("m1", 3)]).await;
    let told = status(&dest(&home)).await.unwrap().left.unwrap();
    assert_eq!((told.incomplete, told.unfinished), (0, 1));
    commit(&mut next, &[("m2", 3)]).await;
    let told = status(&dest(&home)).await.unwrap();
    assert_eq!(told.left, None);
    let cut_off = told.runs.iter().find(|run| run.run_id == "d").unwrap();
    assert!(!cut_off.is_finished);
}

#[tokio::test]
async fn runs_are_told_as_they_began_and_ended_whatever_their_names() {
    let home = tempfile::tempdir().unwrap();
    let second: chrono::DateTime<Utc> = "2026-01-05T00:00:01Z".parse().unwrap();
    let at = |ms| second + chrono::TimeDelta::milliseconds(ms);
    // Begun later, begun first and ended later, begun and ended first, cut off in that second.
    for (run_id, times) in [
        ("20260105T000001Z-aaaaaa", Some((at(500), at(900)))),
        ("20260105T000001Z-bbbbbb", Some((at(100), at(900)))),
        ("20260105T000001Z-cccccc", Some((at(100), at(800)))),
        ("20260105T000002Z-aaaaaa", None),
        ("20260105T000000Z-zzzzzz", None),
    ] {
        let mut dataset = open(&home, run_id).await;
        commit(&mut dataset, &[(&run_id[13..], 1)]).await;
        if let Some((started, finished)) = times {
            let mut report = report(run_id);
            (report.started, report.finished) = (started, finished);
            dataset.finish(&report).await.unwrap();
        }
    }
    let told = status(&dest(&home)).await.unwrap().runs;
    let order: Vec<_> = told.iter().map(|run| &run.run_id[13..]).collect();
    assert_eq!(
        order,
        [
            "00Z-zzzzzz",
            "01Z-cccccc",
            "01Z-bbbbbb",
            "01Z-aaaaaa",
            "02Z-aaaaaa"
        ]
    );
}

#[tokio::test]
async fn a_folder_that_is_no_dataset_has_no_status() {
    let home = tempfile::tempdir().unwrap();
    let error = status(home.path().to_str().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("not a dataset"), "{error}");
    assert!(status(&dest(&home)).await.is_err());
}
