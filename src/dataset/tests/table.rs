//! A dataset that is a Delta table, on stores that fail, and beside runs that die.

use std::io::ErrorKind;

use serde_json::Value;

use super::faults::{healthy, home, root};
use super::*;
use crate::dataset::store::{Call, Fault, Faulty};
use crate::maintenance::verify::verify;
use crate::values::TableFormat;

const BATCHES: [&[(&str, usize)]; 2] = [&[("m1", 3)], &[("m2", 5), ("empty", 0)]];

async fn open_on(store: Store, run_id: &str) -> Result<Dataset> {
    Dataset::open_on(store, run_id, Format::Ndjson, Compression::None).await
}

/// Commits what is not in the dataset yet.
async fn little_run(store: Store, run_id: &str) -> Result<()> {
    let mut dataset = open_on(store, run_id).await?;
    dataset.become_table(TableFormat::Delta).await?;
    for batch in BATCHES {
        if !dataset.holds(&uuid(batch[0].0)) {
            let (parts, meetings) = stage(&dataset, batch);
            dataset.commit(parts, meetings).await?;
        }
    }
    dataset.leave().await
}

/// Each entry is in the log once, in order, and the table is what the ledger says.
async fn is_level(home: &TempDir, entries: u64, what: &str) {
    let log = fs::read_dir(root(home).join("_delta_log")).unwrap();
    let mut paths: Vec<_> = log.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    let text: String = texts.collect();
    let actions = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let entries: Vec<_> = (1..=entries).collect();
    let sequences: Vec<_> = actions
        .filter_map(|action: Value| action["txn"]["version"].as_u64())
        .collect();
    assert_eq!(sequences, entries, "{what}");
    let found = verify(&dest(home)).await.unwrap();
    assert!(found.is_sound(), "{what}: {:?}", found.findings);
}

/// Runs on a store with a fault at each call in turn, until no call is left. Those that fail are
/// finished by the next.
async fn at_each_call(may_fail: bool, fault: Fault) {
    for number in 0.. {
        let home = home();
        let script = move |call: &Call| (call.number == number).then_some(fault);
        let faulty = Faulty::new(&root(&home), script);
        let ended = little_run(faulty.store(&root(&home)), "one").await;
        let what = format!("{fault:?} at call {number}");
        if faulty.faults() == 0 {
            assert!(number >= 30, "{what}");
            return;
        }
        if may_fail {
            little_run(healthy(&home), "two").await.unwrap();
        } else {
            ended.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        }
        is_level(&home, 2, &what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_once_is_made_again_wherever_it_is() {
    for fault in [Fault::Before, Fault::AnswerLost] {
        at_each_call(false, fault).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_costs_a_run_and_no_commit() {
    at_each_call(true, Fault::System(ErrorKind::StorageFull)).await;
}

#[tokio::test]
async fn a_commit_of_a_run_that_died_is_shown_before_it_is_in_the_table() {
    let home = home();
    let mut one = open_on(healthy(&home), "one").await.unwrap();
    one.become_table(TableFormat::Delta).await.unwrap();
    let mut other = open_on(healthy(&home), "other").await.unwrap();
    let (parts, meetings) = stage(&other, &[("m1", 3)]);
    let entry = other.entry(&parts, &meetings).unwrap();
    assert!(other.ledger.put(&other.store, entry).await.unwrap());
    drop(other);
    commit(&mut one, &[("m2", 5)]).await;
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 5)]));
    is_level(&home, 2, "").await;
}
