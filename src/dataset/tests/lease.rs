//! What runs in a bucket see of each other, where one fails or was silent for long.

use super::concurrent_runs::{bucket, machine, open_on};
use super::faults::{home, root};
use super::*;
use crate::dataset::store::{Call, Fault, Faulty};

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

#[tokio::test]
async fn a_writer_that_was_silent_gives_way_to_one_that_came_meanwhile() {
    let home = home();
    let open = async |run_id| {
        let store = Faulty::new(&root(&home), |_| None).ignoring_create();
        open_on(store.bucket(&machine(&home, run_id)), run_id).await
    };
    let mut one = open("one").await.unwrap();
    assert!(one.is_single_writer());
    commit(&mut one, &[("m1", 3)]).await;
    let refused = open("zero").await.unwrap_err().to_string();
    assert!(refused.contains("run one goes on here"), "{refused}");

    one.pulse.as_ref().unwrap().was_silent();
    let sign = fs::File::options().write(true).open(pulse_of(&home, "one"));
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(17 * 60);
    sign.unwrap().set_modified(long_ago).unwrap();
    let mut two = open("two").await.unwrap();
    commit(&mut two, &[("m2", 2)]).await;
    for _ in 0..2 {
        let (parts, meetings) = stage(&one, &[("m3", 4)]);
        let refused = one.commit(parts, meetings).await.unwrap_err().to_string();
        assert!(refused.contains("run two goes on here"), "{refused}");
    }
    // Who was there all the time goes on.
    commit(&mut two, &[("m4", 4)]).await;
    two.leave().await.unwrap();
    commit(&mut one, &[("m5", 5)]).await;
    assert_eq!(
        seen(&home),
        rows(&[("m1", 3), ("m2", 2), ("m4", 4), ("m5", 5)])
    );
}
