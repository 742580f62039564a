//! What an opening finds of a run that died, or of parts that are lost.

use super::*;

#[tokio::test]
async fn a_crash_before_the_entry_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3)]).await;
    stage(&dataset, &[("m2", 3), ("large", 120)]);
    drop(dataset);
    assert_eq!(seen(&home), rows(&[("m1", 3)]));
    let again = open(&home, "two").await;
    assert_eq!(again.recovery().cleared, 1);
    assert!(!again.holds(&uuid("m2")));
    assert_eq!(seen(&home), rows(&[("m1", 3)]));
    assert_eq!(staging_folders(&home), ["two"]);
}

#[tokio::test]
async fn a_crash_after_the_entry_is_rolled_forward_from_any_part() {
    for published in 0..4 {
        let home = tempfile::tempdir().unwrap();
        let mut dataset = open(&home, "one").await;
        let (parts, meetings) = stage(&dataset, &[("m1", 3), ("large", 120)]);
        let mut entry = dataset.entry(&parts, &meetings).unwrap();
        assert!(
            dataset
                .ledger
                .put(&dataset.store, entry.clone())
                .await
                .unwrap()
        );
        let all = entry.parts.len() - published;
        entry.parts.truncate(published);
        dataset.publish(&entry).await.unwrap();
        drop(dataset);

        let again = open(&home, "two").await;
        assert!(again.holds(&uuid("m1")) && again.holds(&uuid("large")));
        assert_eq!(again.recovery().published.len(), all);
        assert_eq!(seen(&home), rows(&[("m1", 3), ("large", 120)]));
        assert_eq!(staging_folders(&home), ["two"]);
    }
}

#[tokio::test]
async fn a_staged_part_torn_by_a_power_loss_takes_its_commit_with_it() {
    for torn in ["", "{}\n"] {
        let home = tempfile::tempdir().unwrap();
        let mut dataset = open(&home, "one").await;
        commit(&mut dataset, &[("m0", 5)]).await;
        let (parts, meetings) = stage(&dataset, &[("m1", 3), ("large", 120)]);
        let mut entry = dataset.entry(&parts, &meetings).unwrap();
        dataset
            .ledger
            .put(&dataset.store, entry.clone())
            .await
            .unwrap();
        entry.parts.truncate(1);
        dataset.publish(&entry).await.unwrap();
        fs::write(&parts[2].path, torn).unwrap();
        drop(dataset);

        let mut again = open(&home, "two").await;
        assert_eq!(again.recovery().retracted, [2]);
        assert_eq!(again.recovery().lost_meetings, 2);
        assert!(!again.holds(&uuid("m1")) && !again.holds(&uuid("large")));
        assert_eq!(seen(&home), rows(&[("m0", 5)]));
        commit(&mut again, &[("m1", 3), ("large", 120)]).await;
        assert_eq!(seen(&home), rows(&[("m0", 5), ("m1", 3), ("large", 120)]));
    }
}

#[tokio::test]
async fn meetings_of_a_part_that_was_removed_or_cut_are_asked_for_again() {
    for cut in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let mut dataset = open(&home, "one").await;
        commit(&mut dataset, &[("m0", 5)]).await;
        commit(&mut dataset, &[("m1", 3), ("large", 120)]).await;
        drop(dataset);
        let path = home
            .path()
            .join("data")
            .join(ledger::part_path(2, 1, "ndjson"));
        if cut {
            fs::write(path, "").unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        let status = status(&dest(&home)).await.unwrap();
        assert_eq!(status.damaged.len(), 1);
        let again = open(&home, "two").await;
        assert!(again.holds(&uuid("m0")) && !again.holds(&uuid("m1")));
        assert_eq!(seen(&home), rows(&[("m0", 5)]));
    }
}

#[tokio::test]
async fn what_is_left_of_a_commit_that_is_dropped_is_kept_until_its_meetings_are_there_again() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("large", 120), ("m2", 4)]).await;
    drop(dataset);
    let lost = ledger::part_path(1, 0, "ndjson");
    let all = |kept: &[SetAside]| -> Vec<_> { kept.iter().map(|part| part.path.clone()).collect() };
    let left = |home: &TempDir| {
        let folder = home.path().join("data").join(REPLACED);
        fs::read_dir(folder).map_or(0, Iterator::count)
    };
    let parts = status(&dest(&home)).await.unwrap().parts;
    fs::remove_file(home.path().join("data").join(&lost)).unwrap();

    let mut again = open(&home, "two").await;
    assert!(again.recovery().removed.is_empty());
    let kept = all(&again.recovery().kept);
    assert_eq!(kept.len() as u64, parts - 1);
    assert!(!kept.contains(&lost));
    commit(&mut again, &[("m1", 3), ("m2", 4)]).await;
    drop(again);
    // The service may not have the third any more.
    let mut again = open(&home, "three").await;
    assert_eq!(left(&home), kept.len());
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 4)]));
    commit(&mut again, &[("large", 120)]).await;
    drop(again);
    let again = open(&home, "four").await;
    assert_eq!(again.recovery().expired, parts - 1);
    assert_eq!(left(&home), 0);
    assert_eq!(seen(&home), rows(&[("m1", 3), ("large", 120), ("m2", 4)]));
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_repair_is_repaired() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("large", 120)]).await;
    let first = home
        .path()
        .join("data")
        .join(ledger::part_path(1, 0, "ndjson"));
    fs::remove_file(first).unwrap();
    let mut retraction = dataset.entry(&[], &[]).unwrap();
    retraction.retracts = vec![1];
    dataset
        .ledger
        .put(&dataset.store, retraction)
        .await
        .unwrap();
    drop(dataset);
    let again = open(&home, "two").await;
    assert_eq!(again.recovery().kept.len(), 3);
    assert!(!again.has_parts());
    assert_eq!(seen(&home), rows(&[]));
}
