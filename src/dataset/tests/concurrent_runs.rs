//! Runs that come, work and go between two calls of another.

use std::future::Future;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;

use super::faults::{home, root};
use super::rewrite::merged_and_dropped;
use super::*;
use crate::dataset::ledger::Rewrite;
use crate::dataset::store::{Call, Faulty, Operation, Store};

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

/// A form whose parts have names that no part of a run has.
fn form(series: u32) -> Form {
    Form {
        series,
        ..Form::as_it_is(Format::Ndjson)
    }
}

/// The commits of two runs.
async fn two_commits(home: &TempDir) {
    for (run_id, batch) in [("one", ("m1", 3)), ("two", ("m2", 2))] {
        commit(&mut open(home, run_id).await, &[batch]).await;
    }
}

/// A store at a call of which another run erases a meeting, from its beginning to its end.
fn erasing_at(home: &TempDir, other: Dataset, is_then: fn(&Call) -> bool) -> Faulty {
    let mut other = Some(other);
    Faulty::new(&root(home), move |call| {
        if is_then(call)
            && let Some(mut other) = other.take()
        {
            meanwhile(|| async move {
                assert!(erase(&mut other, "m1").await);
            });
        }
        None
    })
}

/// Whether the part of the third commit is about to get its final name.
fn is_renaming(call: &Call) -> bool {
    call.operation == Operation::Rename && call.path.starts_with("part-00000000000000000003")
}

/// Puts one commit in the place of all; says whether it did.
async fn merge(dataset: &mut Dataset, keep: TimeDelta) -> bool {
    let entries: Vec<_> = dataset.standing().cloned().collect();
    let parts = dataset.write_again(&entries, &[], form(900)).await.unwrap();
    let rewrite = Rewrite {
        keep_until: Utc::now() + keep,
        purged: vec![],
        replaced: vec![],
    };
    dataset.rewrite(parts, &entries, rewrite).await.unwrap()
}

#[tokio::test]
async fn a_merge_that_another_run_published_and_merged_away_is_done() {
    let home = home();
    let week = TimeDelta::days(7);
    two_commits(&home).await;
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
        series: 900,
        is_readable_without: false,
        ..Form::as_it_is(Format::Ndjson)
    };
    let purged = ["m1", "m3"].map(uuid).to_vec();
    let parts = erasing.write_again(&entries, &purged, form).await.unwrap();
    let rewrite = Rewrite {
        keep_until: Utc::now(),
        purged,
        replaced: vec![],
    };
    assert!(!erasing.rewrite(parts, &entries, rewrite).await.unwrap());
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m3", 3)]));
}

/// Puts one commit in the place of all, without a meeting; says whether it did.
async fn erase(dataset: &mut Dataset, meeting: &str) -> bool {
    dataset.ledger.catch_up(&dataset.store).await.unwrap();
    let entries: Vec<_> = dataset.standing().cloned().collect();
    let purged = vec![uuid(meeting)];
    let parts = dataset
        .write_again(&entries, &purged, form(901))
        .await
        .unwrap();
    let keep_until = Utc::now();
    let rewrite = Rewrite {
        keep_until,
        purged,
        replaced: vec![],
    };
    dataset.rewrite(parts, &entries, rewrite).await.unwrap()
}

/// Files of readers and of what is kept that have a row of this meeting.
fn with_rows_of(home: &TempDir, meeting: &str) -> Vec<String> {
    let mut found = vec![];
    for folder in ["", REPLACED] {
        let Ok(files) = fs::read_dir(root(home).join(folder)) else {
            continue;
        };
        for file in files.map(|file| file.unwrap().path()) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if text.contains(&format!("\"{meeting}\"")) {
                found.push(file.display().to_string());
            }
        }
    }
    found
}

/// On a disk: a merger is about to rename its part, and a purge that came before reads that part
/// from staging, and erases.
#[tokio::test]
async fn a_rename_that_comes_after_its_part_was_erased_is_taken_back() {
    let home = home();
    two_commits(&home).await;
    let other = open(&home, "other").await;
    let faulty = erasing_at(&home, other, is_renaming);
    let mut three = open_on(faulty.store(&root(&home)), "three").await.unwrap();
    assert!(merge(&mut three, TimeDelta::days(7)).await);
    assert_eq!(with_rows_of(&home, "m1"), [""; 0]);
    assert_eq!(seen(&home), rows(&[("m2", 2)]));
}

/// An entry that merges all, put and not published.
async fn put_merger(three: &mut Dataset) -> ledger::Entry {
    let entries: Vec<_> = three.standing().cloned().collect();
    let parts = three.write_again(&entries, &[], form(900)).await.unwrap();
    three
        .bring(&parts, &mut !three.store.is_remote())
        .await
        .unwrap();
    let meetings: Vec<_> = entries
        .iter()
        .flat_map(|entry| entry.meetings.clone())
        .collect();
    let mut entry = three.entry(&parts, &meetings).unwrap();
    entry.retracts = entries.iter().map(|entry| entry.sequence).collect();
    entry.rewrite = Some(Rewrite {
        keep_until: Utc::now() + TimeDelta::days(7),
        purged: vec![],
        replaced: vec![],
    });
    let entry = entry.versioned();
    assert!(three.put(&entry).await.unwrap());
    entry
}

/// On a disk: a merger moves what it replaced to where it is kept, after a purge has listed it.
#[tokio::test]
async fn what_a_merger_keeps_after_the_look_of_a_purge_is_removed() {
    let home = home();
    two_commits(&home).await;
    let mut three = open(&home, "three").await;
    let slot = Arc::new(Mutex::new(None));
    let inner = Arc::clone(&slot);
    let faulty = Faulty::new(&root(&home), move |call| {
        let is_removing = call.operation == Operation::Delete
            && call.path.starts_with("part-00000000000000000001");
        let merger: Option<(Dataset, ledger::Entry)> = if is_removing {
            inner.lock().unwrap().take()
        } else {
            None
        };
        if let Some((mut three, entry)) = merger {
            meanwhile(|| async move {
                let there = visible(&three.store).await.unwrap();
                three.remove_void(&there, &[]).await.unwrap();
                three.publish(&entry).await.unwrap();
            });
        }
        None
    });
    let mut other = open_on(faulty.store(&root(&home)), "other").await.unwrap();
    let entry = put_merger(&mut three).await;
    *slot.lock().unwrap() = Some((three, entry));
    assert!(erase(&mut other, "m1").await);
    assert!(slot.lock().unwrap().is_none());
    assert_eq!(with_rows_of(&home, "m1"), [""; 0]);
}

/// In a bucket: the same, where the copy ends after all of the purge.
#[tokio::test]
async fn what_a_merger_copies_aside_during_a_purge_is_removed() {
    let home = home();
    for (run_id, batch) in [("one", ("m1", 3)), ("two", ("m2", 2))] {
        let mut run = open_on(bucket(&home, run_id), run_id).await.unwrap();
        commit(&mut run, &[batch]).await;
        run.leave().await.unwrap();
    }
    let other = open_on(bucket(&home, "other"), "other").await.unwrap();
    let faulty = erasing_at(&home, other, |call| {
        call.operation == Operation::Copy && call.path.starts_with(REPLACED)
    });
    let three = faulty.bucket(&machine(&home, "three"));
    let mut three = open_on(three, "three").await.unwrap();
    assert!(merge(&mut three, TimeDelta::days(7)).await);
    assert_eq!(seen(&home), rows(&[("m2", 2)]));
    assert_eq!(with_rows_of(&home, "m1"), [""; 0]);
}

/// On a disk: the same, where it is a third run's opening that renames.
#[tokio::test]
async fn an_opening_that_publishes_what_was_erased_meanwhile_takes_it_back() {
    let home = home();
    two_commits(&home).await;
    let other = open(&home, "other").await;
    let mut three = open(&home, "three").await;
    put_merger(&mut three).await;
    let faulty = erasing_at(&home, other, is_renaming);
    let four = open_on(faulty.store(&root(&home)), "four").await.unwrap();
    drop(four);
    assert_eq!(with_rows_of(&home, "m1"), [""; 0]);
    assert_eq!(seen(&home), rows(&[("m2", 2)]));
}
