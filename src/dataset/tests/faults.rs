//! Stores that fail: at every call of a little run, what was committed is whole, and what was not
//! is committed by the next run.

use std::cell::Cell;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::dataset::store::{Call, Fault, Faulty, Operation};
use crate::maintenance::verify::verify;

const BATCHES: [&[(&str, usize)]; 3] = [
    &[("m1", 3), ("large", 60)],
    &[("m2", 5), ("empty", 0)],
    &[("gone", 60)],
];

/// What is there when all is done.
const TRUTH: [(&str, usize); 5] = [("m0", 2), ("m1", 3), ("large", 60), ("m2", 5), ("gone", 60)];

pub(super) fn root(home: &TempDir) -> PathBuf {
    home.path().join("data")
}

/// Where nothing is lost with the power, syncing is only slow.
pub(super) fn home() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A store without faults.
pub(super) fn healthy(home: &TempDir) -> Store {
    Faulty::new(&root(home), |_| None).store(&root(home))
}

async fn open_on(store: Store, run_id: &str) -> Result<Dataset> {
    Dataset::open_on(store, run_id, Format::Ndjson, Compression::None).await
}

#[tokio::test]
async fn a_repair_finds_out_whether_an_entry_is_put_once() {
    let home = home();
    drop(open_on(healthy(&home), "one").await.unwrap());
    for ignores in [false, true] {
        let mut store = Faulty::new(&root(&home), |_| None);
        if ignores {
            store = store.ignoring_create();
        }
        let held = Held::open(store.store(&root(&home)), "data").await.unwrap();
        assert_eq!(held.store().is_single_writer(), ignores);
    }
}

/// A dataset that has lost one of two parts of its first commit, and whose only run was killed
/// between the entry and the publishing of its second; a checkpoint has both.
async fn cut_off() -> TempDir {
    let home = home();
    let mut dataset = open_on(healthy(&home), "zero").await.unwrap();
    commit(&mut dataset, &[("gone", 60)]).await;
    fs::remove_file(root(&home).join(ledger::part_path(1, 0, "ndjson"))).unwrap();
    let (parts, meetings) = stage(&dataset, &[("m0", 2)]);
    let entry = dataset.entry(&parts, &meetings).unwrap();
    assert!(dataset.ledger.put(&dataset.store, entry).await.unwrap());
    dataset.ledger.sum_up(&dataset.store, 1).await.unwrap();
    assert_eq!(checkpoints(&home).len(), 1);
    home
}

fn checkpoints(home: &TempDir) -> Vec<String> {
    let names = fs::read_dir(root(home).join(checkpoint::CHECKPOINTS)).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Commits what is not in the dataset yet, sums up the ledger, and reports.
async fn little_run(store: Store, run_id: &str) -> Result<()> {
    let mut dataset = open_on(store, run_id).await?;
    dataset.few_entries = 1;
    assert!(!dataset.is_single_writer());
    for batch in BATCHES {
        if !dataset.holds(&uuid(batch[0].0)) {
            let (parts, meetings) = stage(&dataset, batch);
            dataset.commit(parts, meetings).await?;
        }
    }
    dataset.finish(&report(run_id)).await
}

/// Every row is there once, every file is known, and nothing is left to do.
async fn is_whole(home: &TempDir, what: &str) {
    assert_eq!(seen(home), rows(&TRUTH), "{what}");
    let found = verify(&dest(home)).await.unwrap();
    assert!(found.is_sound(), "{what}: {:?}", found.findings);
    assert!(found.notes.is_empty(), "{what}: {:?}", found.notes);
    assert_eq!(found.meetings, 6, "{what}");
    assert!(staging_folders(home).is_empty(), "{what}");
    // The new one, the old one where the new one could not be put, or both.
    assert!((1..=2).contains(&checkpoints(home).len()), "{what}");
}

/// Runs against a store with a fault at each call in turn, until no call is left; hands what came
/// of each run to `judge`.
async fn at_each_call(
    moves_by_copy: bool,
    script: impl Fn(u64, &Call) -> Option<Fault> + Clone + Send + 'static,
    judge: impl Fn(Result<()>) -> bool,
) {
    for number in 0.. {
        let home = cut_off().await;
        let script = script.clone();
        let mut faulty = Faulty::new(&root(&home), move |call| script(number, call));
        if moves_by_copy {
            faulty = faulty.moving_by_copy();
        }
        let what = format!("call {number}, by copy: {moves_by_copy}");
        let ended = little_run(faulty.store(&root(&home)), "one").await;
        if faulty.faults() == 0 {
            assert!(ended.is_ok() && number >= 20, "{what}: {ended:?}");
            return;
        }
        if !judge(ended) {
            little_run(healthy(&home), "two").await.unwrap();
        }
        is_whole(&home, &what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_once_is_made_again_wherever_it_is() {
    for fault in [Fault::Before, Fault::AnswerLost] {
        for moves_by_copy in [false, true] {
            let script = move |number, call: &Call| (call.number == number).then_some(fault);
            at_each_call(moves_by_copy, script, |ended| {
                ended.unwrap();
                true
            })
            .await;
        }
    }
}

/// The run fails, and says of which object; the next one is to finish it.
#[track_caller]
fn failed_by_name(ended: Result<()>) -> bool {
    let error = ended.unwrap_err().to_string();
    assert!(error.ends_with("of the dataset"), "{error}");
    false
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_from_some_call_on_leaves_what_the_next_run_finishes() {
    for first in [Fault::Before, Fault::AnswerLost] {
        for moves_by_copy in [false, true] {
            let script = move |number, call: &Call| match call.number {
                at if at < number => None,
                at if at == number => Some(first),
                _ => Some(Fault::Before),
            };
            at_each_call(moves_by_copy, script, failed_by_name).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_for_good_is_not_made_again_and_the_next_run_finishes() {
    for fault in [Fault::Denied, Fault::System(ErrorKind::StorageFull)] {
        let begun = tokio::time::Instant::now();
        let script = move |number, call: &Call| (call.number == number).then_some(fault);
        let needless = Cell::new(0);
        at_each_call(true, script, |ended| {
            if ended.is_ok() {
                needless.set(needless.get() + 1);
                return true;
            }
            failed_by_name(ended)
        })
        .await;
        // Of a checkpoint: list and read; then look at the entries, put, list and remove.
        assert_eq!(needless.get(), 6);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_is_waited_for() {
    let home = cut_off().await;
    let slow = Fault::Slow(Duration::from_secs(30));
    let faulty = Faulty::new(&root(&home), move |_| Some(slow));
    little_run(faulty.store(&root(&home)), "one").await.unwrap();
    is_whole(&home, "slow").await;
}

#[tokio::test(start_paused = true)]
async fn half_of_an_entry_is_not_taken_for_the_whole() {
    let home = cut_off().await;
    // Which would be read in their place.
    fs::remove_dir_all(root(&home).join(checkpoint::CHECKPOINTS)).unwrap();
    let mut seen = HashSet::new();
    // Every read comes in half the first time.
    let faulty = Faulty::new(&root(&home), move |call| {
        let is_read = call.operation == Operation::Get;
        (is_read && seen.insert(call.path.clone())).then_some(Fault::Short)
    });
    little_run(faulty.store(&root(&home)), "one").await.unwrap();
    assert!(faulty.faults() > 2);
    is_whole(&home, "short").await;
}

#[tokio::test]
async fn a_store_that_creates_a_name_twice_is_found_out_and_used_with_care() {
    let home = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(&root(&home), |_| None).ignoring_create();
    let mut one = open_on(faulty.store(&root(&home)), "one").await.unwrap();
    assert!(one.is_single_writer());
    commit(&mut one, &[("m1", 3)]).await;
    drop(one);
    let two = open_on(faulty.store(&root(&home)), "two").await;
    commit(&mut two.unwrap(), &[("m2", 4)]).await;
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 4)]));
    assert!(verify(&dest(&home)).await.unwrap().is_sound());

    let probes = fs::read_dir(root(&home).join("_rollbook")).unwrap();
    let probes = probes.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("probe")
    });
    assert_eq!(probes.count(), 0);
    let exclusive = open_on(healthy(&home), "three").await.unwrap();
    assert!(!exclusive.is_single_writer());
}

#[tokio::test]
async fn an_entry_that_somebody_wrote_over_is_not_taken_for_ours() {
    let home = tempfile::tempdir().unwrap();
    let path = root(&home).join(ledger::entry_path(1));
    let mut two = None;
    for run_id in ["one", "two"] {
        let dataset = open_on(healthy(&home), run_id).await.unwrap();
        two = Some(dataset.entry(&[], &[meeting(run_id, 0)]).unwrap());
    }
    let theirs = serde_json::to_vec(&two.unwrap()).unwrap();
    // Between our put and our look, the other's put comes in.
    let mut was_put = false;
    let place = path.clone();
    let faulty = Faulty::new(&root(&home), move |call| {
        if was_put && call.operation == Operation::Get {
            fs::write(&place, &theirs).unwrap();
        }
        let is_entry = call.path.starts_with(ledger::FOLDER);
        was_put |= is_entry && call.operation == Operation::Put;
        None
    })
    .ignoring_create();
    let mut dataset = open_on(faulty.store(&root(&home)), "three").await.unwrap();
    let done = commit(&mut dataset, &[("m3", 3)]).await;
    assert!(matches!(done, Commit::Done { sequence: 2, .. }), "{done:?}");
    assert!(dataset.holds(&uuid("two")));
}

#[tokio::test]
async fn a_store_that_refuses_no_second_writer_is_not_given_one() {
    let home = tempfile::tempdir().unwrap();
    let store = Faulty::new(home.path(), |_| None).ignoring_create();
    let open = |run: &'static str| {
        let store = store.store(home.path());
        Dataset::open_on(store, run, Format::Ndjson, Compression::None)
    };
    let first = open("one").await.unwrap();
    let refused = open("two").await.unwrap_err().to_string();
    assert!(refused.contains("run one goes on here"), "{refused}");
    drop(first);
    open("three").await.unwrap();
}

#[tokio::test]
async fn what_a_dead_run_left_of_trying_out_the_store_is_removed() {
    let home = tempfile::tempdir().unwrap();
    drop(open(&home, "one").await);
    let left = home.path().join("data/_rollbook/probe-dead");
    fs::write(&left, "").unwrap();
    drop(open(&home, "two").await);
    assert!(!left.exists());
}
