//! Runs that come, work and go between two calls of another.

use std::future::Future;
use std::mem;
use std::path::PathBuf;

use chrono::TimeDelta;

use super::faults::{home, root};
use super::rewriting::merged_and_dropped;
use super::*;
use crate::ledger::Rewrite;
use crate::store::{Call, Faulty, Operation, Store};

pub(super) async fn open_on(store: Store, run_id: &str) -> Result<Dataset> {
    Dataset::open_on(store, run_id, Format::Ndjson, Compression::None).await
}

/// What one machine of many has of the bucket.
pub(super) fn machine(home: &TempDir, name: &str) -> PathBuf {
    home.path().join(name)
}

/// The bucket as another machine sees it, without faults.
pub(super) fn bucket(home: &TempDir, run_id: &str) -> Store {
    Faulty::new(&root(home), |_| None).bucket(&machine(home, run_id))
}

/// Does what others do, from its beginning to its end, while a call is on its way.
fn meanwhile<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send) {
    let work = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(work());
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap());
}

/// Puts one commit in the place of all; says whether it did.
async fn merge(dataset: &mut Dataset, keep: TimeDelta) -> bool {
    let entries: Vec<_> = dataset.standing().cloned().collect();
    let form = Form {
        format: Format::Ndjson,
        compression: None,
        series: 900,
        is_readable_without: true,
    };
    let parts = dataset.write_again(&entries, &[], form).await.unwrap();
    let rewrite = Rewrite {
        keep_until: Utc::now() + keep,
        purged: vec![],
    };
    dataset.rewrite(parts, &entries, rewrite).await.unwrap()
}

#[tokio::test]
async fn a_merge_that_another_run_published_and_merged_away_is_done() {
    let home = home();
    let week = TimeDelta::days(7);
    for (run_id, batch) in [("one", ("m1", 3)), ("two", ("m2", 2))] {
        commit(&mut open(&home, run_id).await, &[batch]).await;
    }
    let place = dest(&home);
    let (mut is_put, mut has_come) = (false, false);
    let faulty = Faulty::new(&root(&home), move |call| {
        if is_put && !mem::replace(&mut has_come, true) {
            meanwhile(|| async {
                let opened = Dataset::open(&*place, "four", Format::Ndjson, Compression::None);
                let mut other = opened.await.unwrap();
                assert_eq!(other.recovery().published.len(), 1);
                commit(&mut other, &[("m3", 4)]).await;
                assert!(merge(&mut other, week).await);
            });
        }
        is_put |= call.operation == Operation::Put && call.path == ledger::entry_path(3);
        None
    });
    let three = open_on(faulty.store(&root(&home)), "three").await;
    assert!(merge(&mut three.unwrap(), week).await);
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 2), ("m3", 4)]));
}

/// Copies of a part into its place, by this run's own publishing or by another's opening.
fn is_publishing(call: &Call) -> bool {
    call.operation == Operation::Copy && call.path.starts_with("part-")
}

#[tokio::test]
async fn a_copy_that_ends_after_its_part_was_replaced_is_taken_away_again() {
    for (keep, kept) in [(TimeDelta::days(7), 2), (TimeDelta::zero(), 0)] {
        for is_opening in [false, true] {
            let home = home();
            let (place, there) = (root(&home), machine(&home, "other"));
            if is_opening {
                // Died between its entry and its parts.
                let mut dead = open_on(bucket(&home, "dead"), "dead").await.unwrap();
                let (parts, meetings) = stage(&dead, &[("m1", 3)]);
                dead.bring(&parts, &mut false).await.unwrap();
                let entry = dead.entry(&parts, &meetings).unwrap();
                assert!(dead.ledger.put(&dead.store, entry).await.unwrap());
            }
            let mut has_come = false;
            let faulty = Faulty::new(&root(&home), move |call| {
                if is_publishing(call) && !mem::replace(&mut has_come, true) {
                    meanwhile(|| async {
                        let store = Faulty::new(&place, |_| None).bucket(&there);
                        let mut other = open_on(store, "other").await.unwrap();
                        commit(&mut other, &[("m2", 2)]).await;
                        assert!(merge(&mut other, keep).await);
                    });
                }
                None
            });
            let one = faulty.bucket(&machine(&home, "one"));
            let mut one = open_on(one, "one").await.unwrap();
            if !is_opening {
                commit(&mut one, &[("m1", 3)]).await;
            }
            assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 2)]));
            let replaced = fs::read_dir(root(&home).join(REPLACED));
            assert_eq!(replaced.map_or(0, Iterator::count), kept);
        }
    }
}

#[tokio::test]
async fn a_dropped_meeting_that_another_run_brings_again_is_not_purged_unseen() {
    let home = home();
    let mut dataset = merged_and_dropped(&home).await;
    commit(&mut dataset, &[("m3", 3)]).await;
    drop(dataset);
    let place = dest(&home);
    let mut has_come = false;
    let faulty = Faulty::new(&root(&home), move |call| {
        if call.operation == Operation::Put
            && call.path == ledger::entry_path(6)
            && !mem::replace(&mut has_come, true)
        {
            meanwhile(|| async {
                let opened = Dataset::open(&*place, "other", Format::Ndjson, Compression::None);
                commit(&mut opened.await.unwrap(), &[("m1", 3)]).await;
            });
        }
        None
    });
    let mut erasing = open_on(faulty.store(&root(&home)), "five").await.unwrap();
    let entries = erasing.commits(&[5]);
    let form = Form {
        format: Format::Ndjson,
        compression: None,
        series: 900,
        is_readable_without: false,
    };
    let purged = ["m1", "m3"].map(uuid).to_vec();
    let parts = erasing.write_again(&entries, &purged, form).await.unwrap();
    let rewrite = Rewrite {
        keep_until: Utc::now(),
        purged,
    };
    assert!(!erasing.rewrite(parts, &entries, rewrite).await.unwrap());
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m3", 3)]));
}
