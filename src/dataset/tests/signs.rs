//! Runs in a bucket that fail: they must not look alive.

use super::beside::{bucket, machine, open_on};
use super::faults::{home, root};
use super::*;
use crate::store::{Call, Fault, Faulty};

fn pulse_of(home: &TempDir, run_id: &str) -> std::path::PathBuf {
    root(home).join(STAGING).join(run_id).join("pulse")
}

#[tokio::test]
async fn an_opening_that_fails_does_not_look_alive() {
    for number in 0.. {
        let home = home();
        let zero = open_on(bucket(&home, "zero"), "zero").await;
        commit(&mut zero.unwrap(), &[("m1", 3)]).await;
        let refused = move |call: &Call| (call.number == number).then_some(Fault::Denied);
        let faulty = Faulty::new(&root(&home), refused);
        let opened = open_on(faulty.bucket(&machine(&home, "one")), "one").await;
        if faulty.faults() == 0 {
            assert!(opened.is_ok() && number >= 10, "{number}");
            break;
        }
        let is_there = pulse_of(&home, "one").exists();
        assert_eq!(is_there, opened.is_ok(), "call {number}: {opened:?}");
    }
}

#[tokio::test]
async fn a_run_that_cannot_report_does_not_look_alive() {
    let home = home();
    let faulty = Faulty::new(&root(&home), |call| {
        call.path.starts_with(RUNS).then_some(Fault::Denied)
    });
    let one = faulty.bucket(&machine(&home, "one"));
    let mut one = open_on(one, "one").await.unwrap();
    commit(&mut one, &[("m1", 3)]).await;
    assert!(pulse_of(&home, "one").exists());
    one.finish(&report("one")).await.unwrap_err();
    assert!(!pulse_of(&home, "one").exists());
}
