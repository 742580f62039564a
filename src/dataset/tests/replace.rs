//! Meetings that were read again take the place of what the dataset held of them.

use std::collections::{HashMap, HashSet};

use super::faults::{healthy, home, root};
use super::*;
use crate::dataset::store::{Fault, Faulty};
use crate::maintenance::compact::{CompactOptions, compact};
use crate::maintenance::purge::purge;
use crate::maintenance::verify::verify;

/// What a run knows of meetings before it reads them again.
fn held(dataset: &Dataset, names: &[&str]) -> HashMap<ConfUuid, CommittedMeeting> {
    let uuids: Vec<_> = names.iter().map(|name| uuid(name)).collect();
    dataset.committed(&uuids.iter().collect::<HashSet<_>>())
}

/// Commits meetings of so many records in the place of what was there before; returns whether it did.
async fn replace(
    dataset: &mut Dataset,
    meetings: &[(&str, usize)],
    before: &HashMap<ConfUuid, CommittedMeeting>,
) -> bool {
    let (parts, meetings) = stage(dataset, meetings);
    let replaced = dataset.replace(parts, meetings, before, Form::as_it_is(Format::Ndjson));
    matches!(replaced.await.unwrap(), Replacement::Done { .. })
}

async fn assert_sound(home: &TempDir, meetings: &[(&str, usize)]) {
    assert_eq!(seen(home), rows(meetings));
    let found = verify(dest(home).as_str()).await.unwrap();
    assert!(found.is_sound(), "{:?}", found.findings);
}

#[tokio::test]
async fn a_meeting_in_a_shared_part_is_replaced_by_one_entry_and_the_others_stay() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2), ("empty", 0)]).await;
    commit(&mut dataset, &[("m3", 4)]).await;
    let before = held(&dataset, &["m1", "empty"]);
    assert!(replace(&mut dataset, &[("m1", 5), ("empty", 1)], &before).await);
    let entry = dataset.ledger.last_standing().unwrap();
    assert_eq!((entry.sequence, &entry.retracts), (3, &vec![1]));
    let rewrite = entry.rewrite.as_ref().unwrap();
    assert_eq!(rewrite.replaced, ["m1", "empty"].map(uuid));
    let all = [("m1", 5), ("m2", 2), ("m3", 4), ("empty", 1)];
    assert_sound(&home, &all).await;
    dataset.leave().await.unwrap();
    let again = open(&home, "two").await;
    assert_eq!(again.recovery(), &Recovery::default());
    assert_eq!(again.ledger.holder("m1"), Some(3));
    // The former part is kept for a while, where readers do not look.
    let kept = fs::read_dir(home.path().join("data").join(REPLACED)).unwrap();
    assert_eq!(kept.count(), 1);
}

#[tokio::test]
async fn meetings_of_several_commits_and_one_of_many_parts_are_replaced_at_once() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("large", 120)]).await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let before = held(&dataset, &["large", "m2"]);
    assert!(replace(&mut dataset, &[("large", 170), ("m2", 1)], &before).await);
    assert_sound(&home, &[("large", 170), ("m1", 3), ("m2", 1)]).await;
    assert_eq!(dataset.ledger.standing().count(), 1);
}

#[tokio::test]
async fn no_part_of_lines_is_left_where_the_last_records_are_gone() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3)]).await;
    let before = held(&dataset, &["m1"]);
    let meetings = vec![meeting("m1", 0)];
    let replaced = dataset.replace(vec![], meetings, &before, Form::as_it_is(Format::Ndjson));
    assert!(matches!(replaced.await.unwrap(), Replacement::Done { .. }));
    assert!(!dataset.has_parts() && dataset.holds(&uuid("m1")));
    assert_sound(&home, &[]).await;
    // And none is in the way of the next records.
    commit(&mut dataset, &[("m2", 2)]).await;
    assert_sound(&home, &[("m2", 2)]).await;
}

#[tokio::test]
async fn of_two_runs_that_replace_a_meeting_the_second_one_learns_that_it_was_changed() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    commit(&mut one, &[("m1", 3), ("m2", 2)]).await;
    let mut two = open(&home, "two").await;
    let before = held(&one, &["m1", "m2"]);
    assert!(replace(&mut one, &[("m1", 4)], &before).await);
    assert!(!replace(&mut two, &[("m1", 5), ("m2", 5)], &before).await);
    assert_sound(&home, &[("m1", 4), ("m2", 2)]).await;
    let staged = fs::read_dir(two.staging()).unwrap();
    let mut staged = staged.map(|entry| entry.unwrap().path());
    assert!(!staged.any(|path| path.extension().is_some_and(|ending| ending == "ndjson")));
    // Of what the other one did not touch, nothing keeps it.
    assert!(replace(&mut two, &[("m2", 6)], &before).await);
    assert_sound(&home, &[("m1", 4), ("m2", 6)]).await;
}

#[tokio::test]
async fn a_meeting_that_was_merged_meanwhile_is_replaced_where_it_is_now() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3)]).await;
    commit(&mut dataset, &[("m2", 2)]).await;
    let before = held(&dataset, &["m1"]);
    let merged = compact(dest(&home).as_str(), &CompactOptions::default()).await;
    assert_eq!(merged.unwrap().merged, 2);
    assert!(replace(&mut dataset, &[("m1", 7)], &before).await);
    assert_sound(&home, &[("m1", 7), ("m2", 2)]).await;
    // And what was replaced is merged in its turn.
    commit(&mut dataset, &[("m3", 9)]).await;
    let merged = compact(dest(&home).as_str(), &CompactOptions::default()).await;
    assert_eq!(merged.unwrap().merged, 2);
    assert_sound(&home, &[("m1", 7), ("m2", 2), ("m3", 9)]).await;
}

#[tokio::test]
async fn a_meeting_that_was_purged_meanwhile_does_not_come_back() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let before = held(&dataset, &["m1"]);
    purge(dest(&home).as_str(), &[uuid("m1")]).await.unwrap();
    assert!(!replace(&mut dataset, &[("m1", 5)], &before).await);
    assert_sound(&home, &[("m2", 2)]).await;
}

#[tokio::test]
async fn what_is_kept_of_a_replaced_meeting_is_erased_with_it() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let before = held(&dataset, &["m1"]);
    assert!(replace(&mut dataset, &[("m1", 5)], &before).await);
    drop(dataset);
    purge(dest(&home).as_str(), &[uuid("m1")]).await.unwrap();
    let kept = fs::read_dir(home.path().join("data").join(REPLACED)).unwrap();
    assert_eq!(kept.count(), 0);
    assert_sound(&home, &[("m2", 2)]).await;
}

#[tokio::test]
async fn new_records_that_are_lost_are_not_restored_from_the_old_ones() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let before = held(&dataset, &["m1"]);
    assert!(replace(&mut dataset, &[("m1", 5)], &before).await);
    let entry = dataset.ledger.last_standing().unwrap().clone();
    drop(dataset);
    for part in &entry.parts {
        fs::remove_file(home.path().join("data").join(&part.path)).unwrap();
    }
    let again = open(&home, "two").await;
    assert_eq!(again.recovery().retracted, [2]);
    assert!(!again.holds(&uuid("m1")) && !again.holds(&uuid("m2")));
    assert_eq!(seen(&home), rows(&[]));
}

#[tokio::test]
async fn the_meetings_table_keeps_the_row_of_a_meeting_whose_records_are_replaced() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    let batch = [("m1", 3), ("m2", 2)];
    let (parts, meetings) = stage_described(&dataset, &batch, &["m1", "m2"]);
    dataset.commit(parts, meetings).await.unwrap();
    let part = |dataset: &Dataset| {
        let entry = dataset.ledger.last_standing().unwrap();
        let path = &entry.parts_of(Table::Meetings).next().unwrap().path;
        fs::read_to_string(home.path().join("data").join(path)).unwrap()
    };
    let table = part(&dataset);
    let before = held(&dataset, &["m1", "m2"]);
    assert!(replace(&mut dataset, &[("m1", 4), ("m2", 1)], &before).await);
    assert_eq!(part(&dataset), table);
    assert_sound(&home, &[("m1", 4), ("m2", 1)]).await;
}

#[tokio::test]
async fn commits_with_and_without_the_meetings_table_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let (parts, meetings) = stage_described(&dataset, &[("m3", 3)], &["m3"]);
    dataset.commit(parts, meetings).await.unwrap();
    let groups = dataset.alike(&["m3", "m1", "m9", "m2"].map(uuid));
    assert_eq!(groups, [vec![uuid("m3")], vec![uuid("m1"), uuid("m2")]]);
}

#[tokio::test]
async fn a_look_at_a_meeting_is_kept_and_one_in_the_future_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let time = |text: &str| text.parse().unwrap();
    let look = |dataset: &Dataset, now: &str| {
        let meeting = held(dataset, &["m1"]).remove("m1").unwrap();
        dataset.last_look(&meeting, time(now))
    };
    dataset.recheck(vec![]).await.unwrap();
    assert_eq!(dataset.ledger.entries().len(), 1);
    for at in ["2026-02-01T00:00:00Z", "2027-01-01T00:00:00Z"] {
        let conf_uuid = uuid("m1");
        let at = time(at);
        let rechecked = vec![ledger::Rechecked { conf_uuid, at }];
        dataset.recheck(rechecked).await.unwrap();
    }
    drop(dataset);
    let again = open(&home, "two").await;
    assert_eq!(again.ledger.entries().len(), 3);
    let fetched = Some(time("2026-01-02T03:04:05.678Z"));
    assert_eq!(look(&again, "2026-01-15T00:00:00Z"), fetched);
    let first = Some(time("2026-02-01T00:00:00Z"));
    assert_eq!(look(&again, "2026-03-01T00:00:00Z"), first);
    let second = Some(time("2027-01-01T00:00:00Z"));
    assert_eq!(look(&again, "2027-03-01T00:00:00Z"), second);
    assert_eq!(look(&again, "2026-01-01T00:00:00Z"), None);
    // The clock of a run that follows at once may read a little earlier.
    assert_eq!(look(&again, "2026-01-02T03:04:05Z"), fetched);
    assert_sound(&home, &[("m1", 3), ("m2", 2)]).await;
}

/// Opens the dataset and replaces a meeting, unless that is done.
async fn replacing_run(store: Store, run_id: &str) -> Result<()> {
    let mut dataset = Dataset::open_on(store, run_id, Format::Ndjson, Compression::None).await?;
    let before = held(&dataset, &["m1"]);
    if before[&uuid("m1")].rows == 3 {
        let (parts, meetings) = stage(&dataset, &[("m1", 60)]);
        let replaced = dataset.replace(parts, meetings, &before, Form::as_it_is(Format::Ndjson));
        assert!(matches!(replaced.await?, Replacement::Done { .. }));
    }
    dataset.leave().await
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_from_any_call_on_leaves_the_old_or_the_new_and_the_next_run_finishes()
{
    for moves_by_copy in [false, true] {
        let (mut old, mut new) = (0, 0);
        for number in 0.. {
            let home = home();
            let opened =
                Dataset::open_on(healthy(&home), "zero", Format::Ndjson, Compression::None);
            let mut dataset = opened.await.unwrap();
            commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
            dataset.leave().await.unwrap();
            let mut faulty = Faulty::new(&root(&home), move |call| {
                (call.number >= number).then_some(Fault::Before)
            });
            if moves_by_copy {
                faulty = faulty.moving_by_copy();
            }
            let went = replacing_run(faulty.store(&root(&home)), "one").await;
            if faulty.faults() == 0 {
                went.unwrap();
                break;
            }
            went.unwrap_err();
            let opened = Dataset::open_on(healthy(&home), "two", Format::Ndjson, Compression::None);
            opened.await.unwrap().leave().await.unwrap();
            let left = seen(&home);
            if left == rows(&[("m1", 3), ("m2", 2)]) {
                old += 1;
            } else {
                assert_eq!(left, rows(&[("m1", 60), ("m2", 2)]), "{number}");
                new += 1;
            }
            replacing_run(healthy(&home), "three").await.unwrap();
            assert_sound(&home, &[("m1", 60), ("m2", 2)]).await;
        }
        assert!(old > 5 && new > 2, "{old} {new}");
    }
}
