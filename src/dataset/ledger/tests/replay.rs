//! Entries put and read, and what is read and not believed.

use super::*;
use crate::dataset::store::Store;

pub(super) async fn store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create_at(&home.path().to_str().unwrap().into())
        .await
        .unwrap();
    (home, store)
}

pub(super) async fn reason(store: &Store) -> String {
    Ledger::read(store).await.unwrap_err().to_string()
}

#[tokio::test]
async fn what_was_put_is_read_again() {
    let (_home, store) = store().await;
    let mut ledger = Ledger::read(&store).await.unwrap();
    assert!(ledger.put(&store, entry(1, &["m1", "m2"])).await.unwrap());
    assert!(ledger.put(&store, entry(2, &["m3"])).await.unwrap());
    let read = Ledger::read(&store).await.unwrap();
    assert_eq!(read.entries(), ledger.entries());
    assert_eq!(
        (read.holder("m2"), read.holder("m3"), read.holder("m4")),
        (Some(1), Some(2), None)
    );
}

#[tokio::test]
async fn a_number_is_given_once() {
    let (_home, store) = store().await;
    let mut first = Ledger::read(&store).await.unwrap();
    let mut second = Ledger::read(&store).await.unwrap();
    assert!(first.put(&store, entry(1, &["m1"])).await.unwrap());
    assert!(!second.put(&store, entry(1, &["m2"])).await.unwrap());
    assert_eq!(second.next_sequence(), 1);
    second.catch_up(&store).await.unwrap();
    assert_eq!((second.next_sequence(), second.holder("m1")), (2, Some(1)));
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_settled_by_what_stands_there() {
    let (_home, store) = store().await;
    let ours = entry(1, &["m1"]);
    store
        .create(&entry_path(1), ours.to_bytes().unwrap())
        .await
        .unwrap();
    let mut ledger = Ledger::default();
    assert!(ledger.put(&store, ours).await.unwrap());
    assert_eq!(ledger.holder("m1"), Some(1));
}

#[tokio::test]
async fn a_retracted_commit_holds_nothing() {
    let (_home, store) = store().await;
    let mut ledger = Ledger::default();
    ledger.put(&store, entry(1, &["m1"])).await.unwrap();
    let retraction = Entry {
        parts: Vec::new(),
        retracts: vec![1],
        ..entry(2, &[])
    };
    ledger.put(&store, retraction).await.unwrap();
    ledger.put(&store, entry(3, &["m1"])).await.unwrap();
    let read = Ledger::read(&store).await.unwrap();
    assert_eq!(read.holder("m1"), Some(3));
    assert_eq!(read.void().count(), 1);
    assert_eq!(read.standing().count(), 2);
}

#[tokio::test]
async fn a_gap_is_named() {
    let (home, store) = store().await;
    let mut ledger = Ledger::default();
    for sequence in 1..=3 {
        ledger.put(&store, entry(sequence, &[])).await.unwrap();
    }
    std::fs::remove_file(home.path().join(entry_path(2))).unwrap();
    let reason = reason(&store).await;
    assert!(
        reason.contains("00000000000000000002.json: this ledger entry is missing"),
        "{reason}"
    );
}

#[tokio::test]
async fn entries_that_cannot_be_believed_are_named() {
    let cases = [
        (r#"{"version":4,"sequence":1}"#, "knows 3"),
        (r#"{"version":1}"#, "not a ledger entry: missing field"),
        ("", "not a ledger entry: EOF"),
    ];
    for (text, expected) in cases {
        let (_home, store) = store().await;
        store.create(&entry_path(1), text.into()).await.unwrap();
        let reason = reason(&store).await;
        assert!(
            reason.contains("00000000000000000001.json") && reason.contains(expected),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn an_entry_under_another_number_is_not_believed() {
    let (_home, store) = store().await;
    store
        .create(&entry_path(1), entry(2, &[]).to_bytes().unwrap())
        .await
        .unwrap();
    assert!(reason(&store).await.contains("holds entry 2"));
}

#[tokio::test]
async fn a_meeting_committed_twice_is_named() {
    let (_home, store) = store().await;
    for sequence in 1..=2 {
        let bytes = entry(sequence, &["m1"]).to_bytes().unwrap();
        store.create(&entry_path(sequence), bytes).await.unwrap();
    }
    assert!(
        reason(&store)
            .await
            .contains("holds m1, and so does entry 1")
    );
}

#[tokio::test]
async fn other_files_beside_the_entries_are_left_alone() {
    let (_home, store) = store().await;
    for name in ["notes.txt", "1.json", "00000000000000000001.json.bak"] {
        store
            .create(&format!("{FOLDER}/{name}"), "x".into())
            .await
            .unwrap();
    }
    assert!(Ledger::read(&store).await.unwrap().entries().is_empty());
}
