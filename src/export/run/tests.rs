//! Runs into stores that a destination cannot name.

use std::sync::Mutex;

use super::*;
use crate::dataset::Dataset;
use crate::dataset::ledger::CHECKPOINTS;
use crate::dataset::store::{Call, Fault, Faulty, Operation};
use crate::report::Outcome;
use crate::simulator::{Options, Simulator, TOKEN};

/// A run of two small meetings into this store; tells what became of it and what it said.
async fn run_into(root: &std::path::Path, store: &Faulty) -> (Finished, Vec<Event>) {
    let api = Simulator::start(Options::sizes(&[3, 5])).await.unwrap();
    let config = Config {
        base_url: api.base_url(),
        rate: crate::values::Rate::Unlimited,
        ..Config::default()
    };
    let (format, compression) = (config.format, config.compression());
    let dataset = Dataset::open_on(store.store(root), "one", format, compression).await;
    let export = Export {
        config,
        credentials: Credentials::Token(TOKEN.into()),
        meetings: vec![],
        pipe: None,
        pii_key: None,
    };
    let said = Arc::new(Mutex::new(vec![]));
    let hearing = Arc::clone(&said);
    let observer: Observer = Arc::new(move |event| hearing.lock().unwrap().push(event));
    let mut destination = Destination::Dataset(Box::new(dataset.unwrap()));
    let run = Run::new("one".to_owned(), Utc::now(), ServerClock::default());
    let stop = (CancellationToken::new(), CancellationToken::new());
    let meetings = api.meetings().into();
    let run = export.run_into(&mut destination, meetings, run, observer, stop);
    let finished = Box::pin(run).await;
    let finished = finished.unwrap();
    let said = said.lock().unwrap().clone();
    (finished, said)
}

#[tokio::test]
async fn a_store_that_refuses_no_second_writer_is_named_aloud_and_in_the_report() {
    for is_exclusive in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let mut store = Faulty::new(home.path(), |_| None);
        if !is_exclusive {
            store = store.ignoring_create();
        }
        let (finished, said) = run_into(home.path(), &store).await;
        assert_eq!(finished.report.outcome, Outcome::Complete);
        assert_eq!(said.contains(&Event::SingleWriter), !is_exclusive);
        assert_eq!(finished.report.single_writer, !is_exclusive);
        let written = std::fs::read_to_string(home.path().join("_rollbook/runs/one.json"));
        assert_eq!(
            written.unwrap().contains("\"single_writer\": true"),
            !is_exclusive
        );
    }
}

#[tokio::test]
async fn checkpoints_that_the_store_does_not_give_fail_no_run_and_are_told() {
    let home = tempfile::tempdir().unwrap();
    let is_of_one = |call: &Call| call.path.starts_with(CHECKPOINTS);
    let store = Faulty::new(home.path(), move |call| {
        is_of_one(call).then_some(Fault::Denied)
    });
    let (finished, said) = run_into(home.path(), &store).await;
    assert_eq!(finished.report.outcome, Outcome::Complete);
    let is_told = |event: &&Event| match event {
        Event::CheckpointsLost { cause } => cause.contains("403 Forbidden"),
        _ => false,
    };
    assert_eq!(said.iter().filter(is_told).count(), 1);
}

/// What the system says of this call's object is in the error; the dataset is valid, and the next
/// run completes it.
async fn is_survived(fault: Fault, meets: fn(&Call) -> bool, path: &str, committed: u64) {
    let home = tempfile::tempdir().unwrap();
    let store = Faulty::new(home.path(), move |call| meets(call).then_some(fault));
    let (finished, _) = run_into(home.path(), &store).await;
    let error = finished.error.unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains(path), "{error}: {cause}");

    let dest = home.path().to_str().unwrap();
    let found = crate::maintenance::verify::verify(dest).await.unwrap();
    let is_sound = |finding: &_| {
        matches!(
            finding,
            crate::maintenance::verify::Finding::Unpublished { .. }
        )
    };
    assert!(found.findings.iter().all(is_sound), "{found:?}");
    assert_eq!(found.meetings, committed);

    let healthy = Faulty::new(home.path(), |_| None);
    std::fs::remove_file(home.path().join("_rollbook/runs/one.json")).ok();
    let (finished, _) = run_into(home.path(), &healthy).await;
    assert!(finished.error.is_none(), "{:?}", finished.error);
    let found = crate::maintenance::verify::verify(dest).await.unwrap();
    assert!(found.is_sound() && found.records == 8, "{found:?}");
}

#[tokio::test]
async fn a_full_or_read_only_store_is_named_by_its_object_and_survived() {
    for kind in [
        std::io::ErrorKind::StorageFull,
        std::io::ErrorKind::ReadOnlyFilesystem,
    ] {
        let fault = Fault::System(kind);
        let is_part = |call: &Call| call.operation == Operation::Rename;
        is_survived(fault, is_part, "part-0", 2).await;
        let is_entry = |call: &Call| {
            call.operation == Operation::Put && call.path.starts_with("_rollbook/ledger")
        };
        is_survived(fault, is_entry, "_rollbook/ledger/0000", 0).await;
        let is_report = |call: &Call| {
            call.operation == Operation::Put && call.path.starts_with("_rollbook/runs")
        };
        is_survived(fault, is_report, "_rollbook/runs/one.json", 2).await;
    }
}
