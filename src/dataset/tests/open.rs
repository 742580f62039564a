//! Who gets into a dataset.

use super::*;
use crate::dataset::ledger::{Entry, Part};
use crate::record::table::SchemaVersions;

#[tokio::test]
async fn a_live_run_keeps_its_staging_folder() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    let (parts, meetings) = stage(&one, &[("m1", 3)]);
    let two = open(&home, "two").await;
    assert_eq!(two.recovery().cleared, 0);
    let status = status(&dest(&home)).await.unwrap();
    assert!(
        status
            .unfinished
            .iter()
            .all(|folder| folder.is_live == Some(true))
    );
    one.commit(parts, meetings).await.unwrap();
    assert_eq!(seen(&home), rows(&[("m1", 3)]));
}

#[tokio::test]
async fn two_runs_of_one_name_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let _one = open(&home, "one").await;
    assert!(
        try_open(&home, "one")
            .await
            .unwrap_err()
            .to_string()
            .contains("another run")
    );
    for name in ["", "../x", "a/b"] {
        assert!(try_open(&home, name).await.is_err());
    }
}

#[tokio::test]
async fn another_format_is_refused() {
    let home = tempfile::tempdir().unwrap();
    commit(&mut open(&home, "one").await, &[("m1", 3)]).await;
    for (format, compression) in [
        (Format::Parquet, Compression::None),
        (Format::Ndjson, Compression::ZSTD),
    ] {
        let error = Dataset::open(&dest(&home), "two", format, compression)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("keep its format"), "{error}");
    }
}

#[tokio::test]
async fn parts_of_a_ledger_that_is_gone_are_refused() {
    let home = tempfile::tempdir().unwrap();
    commit(&mut open(&home, "one").await, &[("m1", 3)]).await;
    fs::remove_dir_all(home.path().join("data/_rollbook")).unwrap();
    let error = try_open(&home, "two").await.unwrap_err().to_string();
    assert!(error.contains("was _rollbook removed?"), "{error}");
    assert_eq!(seen(&home), rows(&[("m1", 3)]));
}

#[tokio::test]
async fn ten_thousand_entries_are_read_and_told() {
    let home = tempfile::tempdir().unwrap();
    drop(open(&home, "one").await);
    let folder = home.path().join("data");
    for sequence in 1..=10_000_u64 {
        // As a run does it: first the part, then its commit.
        let part = ledger::part_path(sequence, 0, "ndjson");
        fs::write(folder.join(&part), "").unwrap();
        let entry = Entry {
            version: 1,
            sequence,
            run_id: "one".to_owned(),
            committed_at: Utc::now(),
            previous_sha256: None,
            parts: vec![Part {
                path: part,
                rows: 30,
                bytes: 0,
                sha256: "00".repeat(32),
                staged: "_rollbook/staging/one/0.ndjson".to_owned(),
            }],
            meetings: (0..10)
                .map(|n| meeting(&format!("9a0fa6d10a5b11eaae5e{sequence:06}{n:06}"), 3))
                .collect(),
            retracts: Vec::new(),
            rewrite: None,
            rechecked: Vec::new(),
            asked: None,
            schema_versions: SchemaVersions::FIRST,
            partitioning: None,
        };
        let text = serde_json::to_vec(&entry).unwrap();
        fs::write(folder.join(ledger::entry_path(sequence)), text).unwrap();
    }
    let start = std::time::Instant::now();
    let dataset = open(&home, "two").await;
    println!("opened 10,000 entries in {:?}", start.elapsed());
    assert_eq!(dataset.ledger.meetings(), 100_000);
    let status = status(&dest(&home)).await.unwrap();
    assert_eq!((status.records, status.parts), (300_000, 10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_want_the_dataset_alone_at_the_same_moment_one_gets_it() {
    for round in 0..5 {
        let home = tempfile::tempdir().unwrap();
        let gate = std::sync::Arc::new(tokio::sync::Barrier::new(8));
        let mut runs = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (dest, gate) = (dest(&home), std::sync::Arc::clone(&gate));
            runs.spawn(async move {
                gate.wait().await;
                let run = format!("run-{number}");
                Dataset::open_alone(&dest, &run, Format::Ndjson, Compression::None).await
            });
        }
        // Kept until all have tried.
        let opened = runs.join_all().await;
        let (got, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        assert_eq!((got.len(), refused.len()), (1, 7), "round {round}");
        let winner = got[0].as_ref().unwrap().run_id.clone();
        for refused in refused {
            let error = refused.unwrap_err();
            assert!(
                matches!(&error, Error::Busy { runs } if *runs == [winner.clone()]),
                "{error}"
            );
        }
        drop(got);
        Dataset::open_alone(&dest(&home), "later", Format::Ndjson, Compression::None)
            .await
            .unwrap();
    }
}
