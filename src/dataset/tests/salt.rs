//! One dataset has one salt, whatever happens while it is made.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::concurrent_runs::{bucket, machine, open_on};
use super::faults::{healthy, home, root};
use super::layout::SALT;
use super::*;
use crate::dataset::store::{Fault, Faulty, Operation};
use crate::maintenance::verify::verify;

/// A key that tells salts apart.
fn key(dataset: &Dataset) -> [u8; 32] {
    dataset.salt().derive("a test")
}

#[tokio::test]
async fn the_first_run_makes_the_salt_and_later_ones_read_it() {
    let home = home();
    let mut one = open(&home, "one").await;
    let of_one = key(&one);
    commit(&mut one, &[("m1", 3)]).await;
    one.finish(&report("one")).await.unwrap();
    let file = fs::read(root(&home).join(SALT)).unwrap();
    assert_eq!(key(&open(&home, "two").await), of_one);
    assert_eq!(fs::read(root(&home).join(SALT)).unwrap(), file);
    let found = verify(&dest(&home)).await.unwrap();
    assert!(found.is_sound() && found.notes.is_empty(), "{found:?}");
    let other = super::faults::home();
    assert_ne!(key(&open(&other, "one").await), of_one);
}

#[tokio::test]
async fn of_two_runs_that_make_a_salt_the_second_takes_that_of_the_first() {
    let home = home();
    let mut theirs = None;
    let other = healthy(&home);
    let faulty = Faulty::new(&root(&home), move |call| {
        if call.operation == Operation::Put && call.path == SALT {
            theirs.get_or_insert_with(|| {
                let salt = DatasetSalt::random().unwrap();
                fs::write(other.local(SALT), salt.to_bytes()).unwrap();
            });
        }
        None
    });
    let one = open_on(faulty.store(&root(&home)), "one").await.unwrap();
    let two = open_on(healthy(&home), "two").await.unwrap();
    assert_eq!(key(&one), key(&two));
}

#[tokio::test(start_paused = true)]
async fn a_salt_whose_answer_was_lost_is_read_back() {
    for fault in [Fault::Before, Fault::AnswerLost, Fault::Short] {
        let home = home();
        let mut seen = HashSet::new();
        let faulty = Faulty::new(&root(&home), move |call| {
            let is_first = call.path == SALT && seen.insert(format!("{:?}", call.operation));
            is_first.then_some(fault)
        });
        let store = faulty.bucket(&machine(&home, "one"));
        let one = open_on(store, "one").await.unwrap();
        let two = open_on(bucket(&home, "two"), "two").await.unwrap();
        assert_eq!(key(&one), key(&two), "{fault:?}");
        assert!(faulty.faults() > 0 || matches!(fault, Fault::Short));
    }
}

#[tokio::test]
async fn a_salt_costs_one_call_and_the_first_time_two() {
    let home = home();
    let mut costs = Vec::new();
    for run in ["one", "two"] {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let faulty = Faulty::new(&root(&home), move |call| {
            counted.fetch_add(u64::from(call.path == SALT), Ordering::Relaxed);
            None
        });
        let store = faulty.bucket(&machine(&home, run));
        let mut dataset = open_on(store, run).await.unwrap();
        dataset.leave().await.unwrap();
        costs.push(calls.load(Ordering::Relaxed));
    }
    assert_eq!(costs, [2, 1]);
}

#[tokio::test]
async fn a_damaged_salt_is_refused_by_name() {
    let home = home();
    let one = open(&home, "one").await;
    let of_one = key(&one);
    drop(one);
    let path = root(&home).join(SALT);
    let file = fs::read(&path).unwrap();
    fs::write(&path, &file[..file.len() / 2]).unwrap();
    let refused = try_open(&home, "two").await.unwrap_err().to_string();
    assert!(
        refused.contains(SALT) && refused.contains("backup"),
        "{refused}"
    );
    fs::write(&path, file).unwrap();
    assert_eq!(key(&open(&home, "three").await), of_one);
}
