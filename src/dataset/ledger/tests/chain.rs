//! Entries that are linked to those before them, and chains that do not hold.

use super::replay::{reason, store};
use super::*;
use crate::dataset::store::Store;

/// A ledger of four entries, put one after the other.
async fn chained() -> (tempfile::TempDir, Store, Ledger) {
    let (home, store) = store().await;
    let mut ledger = Ledger::read(&store).await.unwrap();
    for sequence in 1..=4 {
        let name = format!("m{sequence}");
        assert!(ledger.put(&store, entry(sequence, &[&name])).await.unwrap());
    }
    (home, store, ledger)
}

async fn bytes(store: &Store, sequence: u64) -> Bytes {
    store.read(&entry_path(sequence)).await.unwrap().unwrap()
}

#[tokio::test]
async fn each_entry_has_the_digest_of_the_bytes_of_the_one_before() {
    let (_home, store, ledger) = chained().await;
    let read = Ledger::read(&store).await.unwrap();
    assert_eq!(read.entry(1).unwrap().previous_sha256, None);
    for sequence in 2..=4 {
        let before = sha256(&bytes(&store, sequence - 1).await);
        let entry = read.entry(sequence).unwrap();
        assert_eq!(entry.previous_sha256.as_ref(), Some(&before));
        assert_eq!(read.sha256_of(sequence - 1), Some(&*before));
    }
    let head = read.head().unwrap();
    assert_eq!(head.sequence, 4);
    assert_eq!(head.sha256, sha256(&bytes(&store, 4).await));
    assert_eq!(ledger.head(), Some(head));
    assert_eq!(Ledger::default().head(), None);
}

#[tokio::test]
async fn a_writer_that_lost_the_number_links_its_entry_to_the_one_that_won() {
    let (_home, store, mut first) = chained().await;
    let mut second = Ledger::read(&store).await.unwrap();
    assert!(first.put(&store, entry(5, &["m5"])).await.unwrap());
    assert!(!second.put(&store, entry(5, &["m6"])).await.unwrap());
    second.catch_up(&store).await.unwrap();
    assert!(second.put(&store, entry(6, &["m6"])).await.unwrap());
    let winner = sha256(&bytes(&store, 5).await);
    assert_eq!(second.entry(6).unwrap().previous_sha256, Some(winner));
    first.catch_up(&store).await.unwrap();
    assert_eq!(first.head(), second.head());
    assert_eq!(Ledger::read(&store).await.unwrap().head(), second.head());
}

#[tokio::test]
async fn an_entry_that_was_changed_after_another_was_put_behind_it_is_named() {
    for sequence in 1..=3 {
        let (home, store, mut behind) = chained().await;
        let text = String::from_utf8(bytes(&store, sequence).await.to_vec()).unwrap();
        let forged = text.replacen("\"requests\":1", "\"requests\":2", 1);
        assert_ne!(text, forged);
        std::fs::write(home.path().join(entry_path(sequence)), &forged).unwrap();
        let reason = reason(&store).await;
        let (old, new) = (sha256(&text.into()), sha256(&forged.into()));
        for expected in [&entry_path(sequence), "was changed", &old, &new] {
            assert!(reason.contains(expected), "{expected}: {reason}");
        }
        // What a run has read before is not read again.
        behind.catch_up(&store).await.unwrap();
    }
}

#[tokio::test]
async fn an_entry_that_another_writer_put_behind_other_bytes_is_not_caught_up_with() {
    let (home, store, mut ledger) = chained().await;
    let mut other = Ledger::read(&store).await.unwrap();
    other.head = Some("00".repeat(32));
    assert!(other.put(&store, entry(5, &["m5"])).await.unwrap());
    let error = ledger.catch_up(&store).await.unwrap_err().to_string();
    assert!(error.contains(&entry_path(4)), "{error}");
    assert_eq!(ledger.next_sequence(), 5);
    drop(home);
}

#[tokio::test]
async fn a_chain_does_not_stop_once_it_has_begun() {
    let (home, store, _) = chained().await;
    for sequence in [3, 4, 5] {
        let name = format!("m{sequence}");
        let unlinked = entry(sequence, &[&name]).to_bytes().unwrap();
        let path = home.path().join(entry_path(sequence));
        let before = std::fs::read(&path);
        std::fs::write(&path, unlinked).unwrap();
        let reason = reason(&store).await;
        assert!(
            reason.contains(&entry_path(sequence)) && reason.contains("has no SHA-256"),
            "{reason}"
        );
        if let Ok(before) = before {
            std::fs::write(path, before).unwrap();
        }
    }
}

#[tokio::test]
async fn a_ledger_that_began_without_a_chain_is_continued_with_one() {
    let (home, store) = store().await;
    std::fs::create_dir_all(home.path().join(FOLDER)).unwrap();
    for (sequence, name) in [(1, "m1"), (2, "m2")] {
        let bytes = entry(sequence, &[name]).to_bytes().unwrap();
        std::fs::write(home.path().join(entry_path(sequence)), bytes).unwrap();
    }
    let mut ledger = Ledger::read(&store).await.unwrap();
    assert_eq!(ledger.sha256_of(1), None);
    assert!(ledger.put(&store, entry(3, &["m3"])).await.unwrap());
    let second = sha256(&bytes(&store, 2).await);
    assert_eq!(ledger.entry(3).unwrap().previous_sha256, Some(second));
    assert_eq!(Ledger::read(&store).await.unwrap().head(), ledger.head());
}

#[test]
fn the_digest_of_the_entry_before_has_a_form_and_the_first_entry_has_none() {
    for (sequence, digest, is_sound) in [
        (2, "ab".repeat(32), true),
        (1, "ab".repeat(32), false),
        (2, "AB".repeat(32), false),
        (2, "ab".repeat(31), false),
        (2, String::new(), false),
    ] {
        let entry = Entry {
            previous_sha256: Some(digest.clone()),
            ..entry(sequence, &["m1"])
        };
        assert_eq!(entry.fault().is_none(), is_sound, "{sequence} {digest}");
    }
}
