//! Commits that others merged, dropped or erased.

use super::*;
use crate::maintenance::compact::{CompactOptions, compact};
use crate::maintenance::purge::purge;

#[tokio::test]
async fn a_commit_that_another_run_published_and_merged_away_is_done() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m0", 5)]).await;
    let (parts, meetings) = stage(&dataset, &[("m1", 3)]);
    let entry = dataset.entry(&parts, &meetings).unwrap();
    let put = dataset.ledger.put(&dataset.store, entry.clone()).await;
    assert!(put.unwrap());
    let merged = compact(dest(&home).as_str(), &CompactOptions::default()).await;
    assert_eq!(merged.unwrap().merged, 2);

    dataset.publish(&entry).await.unwrap();
    assert_eq!(seen(&home), rows(&[("m0", 5), ("m1", 3)]));
    commit(&mut dataset, &[("m2", 2)]).await;

    // The same where the end of the run is to make up for it.
    let (parts, meetings) = stage(&dataset, &[("m3", 4)]);
    let entry = dataset.entry(&parts, &meetings).unwrap();
    let put = dataset.ledger.put(&dataset.store, entry).await;
    assert!(put.unwrap());
    dataset.is_published = false;
    let merged = compact(dest(&home).as_str(), &CompactOptions::default()).await;
    assert!(merged.unwrap().merged > 1);
    dataset.finish(&report("one")).await.unwrap();
    let all = rows(&[("m0", 5), ("m1", 3), ("m2", 2), ("m3", 4)]);
    assert_eq!(seen(&home), all);
}

/// Two runs' commits, merged into a third that a repair dropped.
pub(super) async fn merged_and_dropped(home: &TempDir) -> Dataset {
    for (run, batch) in [("one", ("m1", 3)), ("two", ("m2", 2))] {
        commit(&mut open(home, run).await, &[batch]).await;
    }
    let merged = compact(dest(home).as_str(), &CompactOptions::default()).await;
    assert_eq!(merged.unwrap().merged, 2);
    let mut dataset = open(home, "three").await;
    dataset.retract(vec![3]).await.unwrap();
    dataset
}

#[tokio::test]
async fn a_meeting_that_was_dropped_is_purged_from_the_parts_that_are_kept() {
    let home = tempfile::tempdir().unwrap();
    drop(merged_and_dropped(&home).await);
    let replaced = home.path().join("data").join(REPLACED);
    assert_eq!(fs::read_dir(&replaced).unwrap().count(), 2);
    let never = purge(dest(&home).as_str(), &[uuid("m1"), uuid("m9")]).await;
    let said = never.unwrap_err().to_string();
    assert!(said.contains("does not hold meeting m9"), "{said}");
    // With the one of the merger, which the opening took out of sight.
    assert_eq!(fs::read_dir(&replaced).unwrap().count(), 3);

    let done = purge(dest(&home).as_str(), &[uuid("m1")]).await.unwrap();
    assert_eq!(done.purged, [uuid("m1")]);
    assert_eq!(done.out_of_reach, [""; 0]);
    let left: Vec<_> = fs::read_dir(&replaced).unwrap().collect();
    assert_eq!(left.len(), 1);
    let again = open(&home, "four").await;
    assert!(again.holds(&uuid("m1")) && !again.holds(&uuid("m2")));
    assert_eq!(again.lost().len(), 1);

    // What it cannot reach is named, also where all was purged before.
    let aside = home.path().join("data").join(SET_ASIDE);
    fs::create_dir_all(&aside).unwrap();
    fs::write(aside.join("part-unknown.ndjson"), "{}").unwrap();
    let done = purge(dest(&home).as_str(), &[uuid("m1")]).await.unwrap();
    assert_eq!((done.purged.len(), done.already), (0, vec![uuid("m1")]));
    assert_eq!(
        done.out_of_reach,
        [
            "_rollbook/set-aside/part-unknown.ndjson",
            "_rollbook/staging/four"
        ]
    );
}

#[tokio::test]
async fn what_was_dropped_after_it_was_merged_counts_for_who_brings_it_again() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = merged_and_dropped(&home).await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let status = status(dest(&home).as_str()).await.unwrap();
    let meetings: Vec<_> = status
        .runs
        .iter()
        .map(|run| (run.run_id.as_str(), run.meetings))
        .collect();
    assert_eq!(meetings, [("three", 2)]);
}

#[tokio::test]
async fn meetings_of_many_commits_and_those_that_were_dropped_are_purged_in_one_step() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = merged_and_dropped(&home).await;
    commit(&mut dataset, &[("m3", 3)]).await;
    commit(&mut dataset, &[("m4", 4), ("m5", 5)]).await;
    commit(&mut dataset, &[("m6", 6), ("empty", 0)]).await;
    drop(dataset);
    let erase = async |meetings: &[&str]| {
        let meetings: Vec<_> = meetings.iter().map(|name| uuid(name)).collect();
        purge(dest(&home).as_str(), &meetings).await.unwrap()
    };
    let done = erase(&["m6", "m1", "m3", "m4"]).await;
    assert_eq!(done.purged, ["m1", "m3", "m4", "m6"].map(uuid));
    assert_eq!((done.rewritten, done.records), (3, 13));
    assert_eq!(seen(&home), rows(&[("m5", 5)]));
    let again = open(&home, "four").await;
    assert_eq!(again.ledger.entries().len(), 8);
    assert_eq!(again.ledger.purged(), 4);
    assert!(again.holds(&uuid("empty")) && again.is_left(&uuid("m2")));
    // Parts are not merged, and none is there for a commit of which nothing is left.
    let parts = |dataset: &Dataset| dataset.ledger.last_standing().unwrap().parts.len();
    assert_eq!(parts(&again), 1);
    drop(again);

    erase(&["m5", "empty", "m2"]).await;
    let again = open(&home, "five").await;
    assert_eq!(again.ledger.entries().len(), 9);
    // Of lines there is no part without one.
    assert!(!again.has_parts() && seen(&home).is_empty());
}

#[tokio::test]
async fn commits_that_cannot_become_one_are_purged_in_a_step_each() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let (parts, meetings) = stage_described(&dataset, &[("m3", 3), ("m4", 2)], &["m3", "m4"]);
    dataset.commit(parts, meetings).await.unwrap();
    drop(dataset);
    let gone = ["m1", "m3"].map(uuid);
    let done = purge(dest(&home).as_str(), &gone).await.unwrap();
    assert_eq!((done.purged, done.rewritten), (gone.to_vec(), 2));
    assert_eq!(seen(&home), rows(&[("m2", 2), ("m4", 2)]));
}
