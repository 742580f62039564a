//! When a checkpoint is written, and what becomes of those before it.

use super::*;

#[tokio::test]
async fn a_checkpoint_is_written_as_the_ledger_has_grown_by_a_share_and_replaces_those_before() {
    let scene = Scene::of(&[]).await;
    let mut ledger = Ledger::read(&scene.store).await.unwrap();
    let mut written = Vec::new();
    for sequence in 1..=60 {
        assert!(
            ledger
                .put(&scene.store, entry(sequence, &[]))
                .await
                .unwrap()
        );
        ledger.sum_up(&scene.store, 4).await.unwrap();
        let names = scene.names().await;
        assert!(names.len() <= 1);
        written.extend(names.first().map(|name| name.entries));
        assert_eq!(
            scene.read("grown").await,
            names.first().map_or(Some(0), |name| Some(name.entries))
        );
    }
    written.dedup();
    assert_eq!(written, [4, 8, 12, 16, 20, 24, 28, 32, 36, 41, 46, 52, 59]);
}

#[tokio::test]
async fn of_two_that_sum_up_at_once_both_are_right() {
    let scene = Scene::of(&entries()).await;
    let mut one = Ledger::read(&scene.store).await.unwrap();
    let mut two = Ledger::read(&scene.store).await.unwrap();
    let (first, second) = tokio::join!(one.sum_up(&scene.store, 1), two.sum_up(&scene.store, 1));
    first.unwrap();
    second.unwrap();
    assert_eq!(scene.read("the same").await, Some(6));

    assert!(two.put(&scene.store, entry(7, &["m6"])).await.unwrap());
    (one.summed, two.summed) = (0, 0);
    let (first, second) = tokio::join!(two.sum_up(&scene.store, 1), one.sum_up(&scene.store, 1));
    first.unwrap();
    second.unwrap();
    assert_eq!(scene.read("one is further").await, Some(7));
    // Who comes later with less leaves what is ahead of it alone.
    one.summed = 0;
    one.sum_up(&scene.store, 1).await.unwrap();
    assert_eq!(scene.read("one is behind").await, Some(7));
}

#[tokio::test]
async fn entries_that_changed_under_a_run_are_not_summed_up() {
    for remove in [false, true] {
        let scene = Scene::of(&entries()).await;
        let mut ledger = Ledger::read(&scene.store).await.unwrap();
        let path = scene.path(&entry_path(2));
        if remove {
            fs::remove_file(&path).unwrap();
        } else {
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        ledger.sum_up(&scene.store, 1).await.unwrap();
        assert_eq!(scene.names().await, []);
    }
}
