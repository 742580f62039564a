//! What a checkpoint keeps of the entries.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn entries_come_back_from_a_checkpoint_as_they_were(
        entries in (1..9_u64).prop_map(|last| (1..=last).map(committed_as).collect::<Vec<_>>())
            .prop_flat_map(|entries| entries),
        few in 1..9_usize,
    ) {
        block_on(async {
            let scene = Scene::of(&entries).await;
            let mut ledger = Ledger::read(&scene.store).await.unwrap();
            ledger.sum_up(&scene.store, few).await.unwrap();
            let is_summed = entries.len() >= few;
            let summed = if is_summed { entries.len() } else { 0 };
            assert_eq!(scene.read("as it was").await, Some(summed));
            if is_summed {
                assert_eq!(scene.fault().await, None);
                let bytes = fs::read(scene.path(&scene.names().await[0].path())).unwrap();
                let expected: Vec<_> = entries.iter().cloned().zip(ledger.seen).collect();
                assert_eq!(told(&bytes.into()), expected);
            }
        });
    }

    #[test]
    fn no_instant_is_written_that_would_come_back_as_another(
        seconds in prop_oneof![any::<i32>().prop_map(i64::from), -9_999_999_999..99_999_999_999_i64],
        nanos in 0..2_000_000_000_u32,
    ) {
        let Some(at) = chrono::DateTime::from_timestamp(seconds, nanos) else {
            return Ok(());
        };
        let first = crate::dataset::ledger::CommittedMeeting { first_fetch: at, ..meeting("m1", 3) };
        let entry = Entry { meetings: vec![first], ..entry(1, &["m1"]) };
        let seen = Seen { bytes: 1, modified: Some(chrono::DateTime::UNIX_EPOCH) };
        if let Some((batch, 1)) = checkpoint_columns::batch([(&entry, seen)].into_iter()) {
            prop_assert_eq!(checkpoint_columns::entries(&batch), Some(vec![(entry, seen)]));
        } else {
            prop_assert!(nanos >= 1_000_000_000 || at.timestamp_nanos_opt().is_none());
        }
    }
}

#[tokio::test]
async fn what_has_no_place_in_a_checkpoint_is_read_from_its_entry() {
    for at in ["2016-12-31T23:59:60Z", "2300-01-01T00:00:00Z"] {
        let mut entries = entries();
        entries[0].meetings[1].last_fetch = at.parse().unwrap();
        let scene = Scene::of(&entries).await;
        scene.sum_up().await;
        assert_eq!(scene.names().await, []);
        assert_eq!(scene.read(at).await, Some(0));
    }
}

#[tokio::test]
async fn many_entries_are_cut_into_batches_and_come_back_in_order() {
    let names: Vec<_> = (0..3 * BATCH_MEETINGS).map(|n| format!("m{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut cut = names.chunks(BATCH_MEETINGS * 2 / 3);
    let mut entries: Vec<_> = (1..=5)
        .map(|sequence| entry(sequence, cut.next().unwrap()))
        .collect();
    for meeting in entries.iter_mut().flat_map(|entry| &mut entry.meetings) {
        meeting.proof = Proof::Twice;
    }
    let (seen, bytes) = checkpoint_of(&entries).await;
    let bytes = bytes.unwrap();
    assert_eq!(open(bytes.clone()).unwrap().num_batches(), 3);
    assert!(told(&bytes) == entries.into_iter().zip(seen).collect::<Vec<_>>());
}
