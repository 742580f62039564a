//! A checkpoint keeps what the entry behind it is compared with.

use super::*;
use crate::dataset::ledger::sha256;

/// A ledger of six chained entries with a checkpoint of all of them.
async fn chained() -> (Scene, Ledger) {
    let scene = Scene::of(&[]).await;
    let mut ledger = Ledger::read(&scene.store).await.unwrap();
    for entry in entries() {
        assert!(ledger.put(&scene.store, entry).await.unwrap());
    }
    ledger.sum_up(&scene.store, 1).await.unwrap();
    (scene, ledger)
}

#[tokio::test]
async fn an_entry_behind_a_checkpoint_is_linked_to_the_last_one_in_it() {
    let (scene, ledger) = chained().await;
    let mut read = Ledger::read(&scene.store).await.unwrap();
    assert_eq!((read.summed, read.head()), (ENTRIES, ledger.head()));
    assert!(read.put(&scene.store, entry(7, &["m6"])).await.unwrap());
    let last = fs::read(scene.path(&entry_path(6))).unwrap();
    assert_eq!(
        read.entry(7).unwrap().previous_sha256,
        Some(sha256(&last.into()))
    );
    assert_eq!(scene.read("one behind it").await, Some(ENTRIES));
    assert_eq!(scene.fault().await, None);
}

#[tokio::test]
async fn the_entries_decide_where_a_checkpoint_has_another_digest_of_the_last() {
    let (scene, mut ledger) = chained().await;
    assert!(ledger.put(&scene.store, entry(7, &["m6"])).await.unwrap());
    let name = scene.names().await.remove(0);
    let sound = fs::read(scene.path(&name.path())).unwrap();
    fs::remove_file(scene.path(&name.path())).unwrap();
    let forged = "00".repeat(32);
    let mut writer = FileWriter::try_new(Vec::new(), &checkpoint_columns::schema()).unwrap();
    writer.write_metadata(HEAD_KEY, forged);
    for batch in open(sound.into()).unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    scene.forge(ENTRIES, &writer.into_inner().unwrap());
    assert_eq!(scene.read("another digest").await, Some(0));
    assert_eq!(
        scene.fault().await.unwrap(),
        "has not the SHA-256 of entry 6"
    );
}

#[tokio::test]
async fn a_file_without_the_digest_of_the_last_entry_is_no_checkpoint() {
    let (scene, _) = chained().await;
    let name = scene.names().await.remove(0);
    let sound = fs::read(scene.path(&name.path())).unwrap();
    fs::remove_file(scene.path(&name.path())).unwrap();
    let mut writer = FileWriter::try_new(Vec::new(), &checkpoint_columns::schema()).unwrap();
    for batch in open(sound.into()).unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    scene.forge(ENTRIES, &writer.into_inner().unwrap());
    assert_eq!(scene.read("no digest").await, Some(0));
    assert_eq!(scene.fault().await.unwrap(), "is damaged");
}
