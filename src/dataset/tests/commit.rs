//! Batches that become commits, beside those of other runs.

use super::*;

#[tokio::test]
async fn records_and_the_rows_of_their_meetings_come_and_go_together() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data/meetings");
    let mut one = open(&home, "one").await;
    let mut two = open(&home, "two").await;
    let batch = [("m1", 3), ("empty", 0)];
    let (parts, meetings) = stage_described(&one, &batch, &["m1", "empty"]);
    let done = one.commit(parts, meetings).await.unwrap();
    let is_whole = matches!(
        done,
        Commit::Done {
            parts: 2,
            meetings: 2,
            records: 3,
            ..
        }
    );
    assert!(is_whole, "{done:?}");
    let names = |folder: &Path| -> Vec<_> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&folder), ["part-00000000000000000001-00000.ndjson"]);
    assert!(one.has_parts() && one.has_parts_of(Table::Meetings));

    // Who comes second leaves neither.
    let (parts, meetings) = stage_described(&two, &[("m1", 3)], &["m1"]);
    let staged: Vec<_> = parts.iter().map(|part| part.path.clone()).collect();
    let lost = two.commit(parts, meetings).await.unwrap();
    assert!(matches!(lost, Commit::Conflict { .. }), "{lost:?}");
    assert!(staged.iter().all(|path| !path.exists()));
    assert_eq!(names(&folder).len(), 1);
    drop((one, two));

    // A part of either that is lost takes the other with it.
    fs::remove_file(folder.join("part-00000000000000000001-00000.ndjson")).unwrap();
    let three = open(&home, "three").await;
    assert_eq!(three.recovery().retracted, [1]);
    assert!(seen(&home).is_empty() && names(&folder).is_empty());
    assert!(!three.has_parts() && !three.holds(&uuid("m1")));
}

#[tokio::test]
async fn a_batch_that_describes_other_meetings_than_it_has_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    let (parts, meetings) = stage_described(&dataset, &[("m1", 3), ("m2", 2)], &["m1"]);
    let refused = dataset.commit(parts, meetings).await.unwrap_err();
    let told = "describe 1 meetings, and it has 2";
    assert!(refused.to_string().contains(told), "{refused}");
    assert!(!dataset.holds(&uuid("m1")));
}

#[tokio::test]
async fn committed_meetings_are_seen_and_held() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    assert!(!dataset.has_parts());
    let done = commit(&mut dataset, &[("m1", 3), ("large", 120), ("empty", 0)]).await;
    let Commit::Done {
        sequence,
        parts,
        meetings,
        records,
        ..
    } = done
    else {
        panic!("{done:?}");
    };
    assert_eq!((sequence, parts, meetings, records), (1, 4, 3, 123));
    assert!(dataset.has_parts());
    assert_eq!(seen(&home), rows(&[("m1", 3), ("large", 120)]));
    drop(dataset);
    let again = open(&home, "two").await;
    assert!(again.holds(&uuid("empty")) && again.holds(&uuid("large")));
    assert!(!again.holds(&uuid("m2")));
    assert_eq!(again.recovery().published.len(), 0);
}

#[tokio::test]
async fn a_run_without_the_others_meetings_takes_the_next_number() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    let mut two = open(&home, "two").await;
    commit(&mut one, &[("m1", 3)]).await;
    commit(&mut one, &[("m2", 3)]).await;
    let done = commit(&mut two, &[("m3", 4)]).await;
    assert!(matches!(done, Commit::Done { sequence: 3, .. }), "{done:?}");
    assert!(two.holds(&uuid("m1")));
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 3), ("m3", 4)]));
}

#[tokio::test]
async fn a_meeting_that_another_run_committed_is_not_committed_again() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    let mut two = open(&home, "two").await;
    commit(&mut one, &[("m1", 3), ("m2", 3)]).await;
    let conflict = commit(&mut two, &[("m2", 3), ("m3", 4)]).await;
    assert_eq!(
        conflict,
        Commit::Conflict {
            already: vec![uuid("m2")]
        }
    );
    assert!(!two.holds(&uuid("m3")));
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 3)]));
    commit(&mut two, &[("m3", 4)]).await;
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 3), ("m3", 4)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_that_race_commit_each_meeting_once() {
    let home = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
    let run = |id: usize| {
        let (dest, names) = (dest(&home), names.clone());
        async move {
            let id = format!("run{id}");
            let mut dataset = Dataset::open(&dest, &id, Format::Ndjson, Compression::None).await?;
            let mut done = 0;
            for name in &names {
                if dataset.holds(&uuid(name)) {
                    continue;
                }
                if let Commit::Done { .. } = commit(&mut dataset, &[(name, 3)]).await {
                    done += 1;
                }
            }
            Ok::<_, Error>(done)
        }
    };
    let tasks: Vec<_> = (0..4).map(|id| tokio::spawn(run(id))).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap().unwrap();
    }
    assert_eq!(done, 12);
    let expected: Vec<_> = names.iter().map(|name| (name.as_str(), 3)).collect();
    assert_eq!(seen(&home), rows(&expected));
}

#[tokio::test]
async fn a_half_published_commit_of_a_live_run_may_be_finished_by_another() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    let (parts, meetings) = stage(&one, &[("m1", 3), ("large", 120)]);
    let entry = one.entry(&parts, &meetings).unwrap();
    one.ledger.put(&one.store, entry.clone()).await.unwrap();
    let two = open(&home, "two").await;
    assert_eq!(two.recovery().published.len(), 4);
    one.publish(&entry).await.unwrap();
    assert_eq!(seen(&home), rows(&[("m1", 3), ("large", 120)]));
}

#[tokio::test]
async fn a_batch_that_does_not_add_up_is_not_committed() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    let (parts, _) = stage(&dataset, &[("m1", 3)]);
    let wrong = vec![meeting("m1", 4)];
    let error = dataset
        .commit(parts.clone(), wrong)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("3 records, its meetings 4"), "{error}");
    let twice = vec![meeting("m1", 3), meeting("m1", 0)];
    let error = dataset.commit(parts, twice).await.unwrap_err().to_string();
    assert!(error.contains("m1 is twice"), "{error}");
    assert_eq!(seen(&home), rows(&[]));
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_fails_the_commit_and_keeps_the_dataset() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3)]).await;
    let ledger = home.path().join("data").join(ledger::FOLDER);
    let aside = home.path().join("aside");
    fs::rename(&ledger, &aside).unwrap();
    fs::write(&ledger, "in the way").unwrap();
    let (parts, meetings) = stage(&dataset, &[("m2", 3)]);
    let error = dataset
        .commit(parts, meetings)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("00000000000000000002.json"), "{error}");
    drop(dataset);
    fs::remove_file(&ledger).unwrap();
    fs::rename(&aside, &ledger).unwrap();
    let mut again = open(&home, "two").await;
    assert!(!again.holds(&uuid("m2")));
    commit(&mut again, &[("m2", 3)]).await;
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 3)]));
}
