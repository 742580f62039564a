use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::census::Indices;
use super::*;
use crate::config::{Compress, Format};
use crate::dataset::Dataset;
use crate::ledger::tests::meeting;
use crate::ledger::{entry_path, part_path};
use crate::writer::BatchWriter;
use crate::writer::tests::{options, page};

const KINDS: [(Format, Compress); 5] = [
    (Format::Parquet, Compress::None),
    (Format::Arrow, Compress::None),
    (Format::Ndjson, Compress::None),
    (Format::Ndjson, Compress::Zstd),
    (Format::Ndjson, Compress::Gzip),
];

/// A dataset of two small meetings, an empty one and a large one in two parts.
async fn dataset(kind: (Format, Compress)) -> (TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let dest = home.path().to_str().unwrap().to_owned();
    let mut dataset = Dataset::open(&dest, "one", kind.0, kind.1).await.unwrap();
    let options = options(kind.0, kind.1);
    let mut writer = BatchWriter::new(options, dataset.staging().to_owned());
    writer.whole(&[page("m1", 0, 7)]).unwrap();
    writer
        .whole(&[page("m2", 0, 500), page("m2", 500, 3)])
        .unwrap();
    let mut parts = Vec::from_iter(writer.finish().unwrap());
    for page in [page("large", 0, 700), page("large", 700, 300)] {
        writer.slice(&page).unwrap();
        parts.extend(writer.keep_slices().unwrap());
    }
    let meetings = [("m1", 7), ("m2", 503), ("none", 0), ("large", 1_000)]
        .map(|(name, rows)| meeting(name, rows))
        .to_vec();
    dataset.commit(parts, meetings).await.unwrap();
    (home, dest)
}

fn part(home: &TempDir, number: usize) -> PathBuf {
    home.path().join(part_path(1, number, "ndjson"))
}

async fn findings(dest: &str) -> Vec<Finding> {
    verify(dest).await.unwrap().findings
}

#[tokio::test]
async fn a_dataset_as_it_was_committed_is_sound_in_every_format() {
    for kind in KINDS {
        let (_home, dest) = dataset(kind).await;
        let found = verify(&dest).await.unwrap();
        assert!(found.is_sound(), "{kind:?}: {:?}", found.findings);
        assert_eq!((found.meetings, found.parts, found.records), (4, 3, 1_510));
    }
}

#[tokio::test]
async fn a_flipped_bit_is_found_in_every_format() {
    for kind in KINDS {
        let (home, dest) = dataset(kind).await;
        let path = home
            .path()
            .join(part_path(1, 2, crate::writer::extension(kind.0, kind.1)));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let found = findings(&dest).await;
        assert!(
            matches!(&found[0], Finding::Altered { sequence: 1, reason, .. } if reason.contains("sha256")),
            "{kind:?}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_part_is_named_with_its_meetings() {
    let (home, dest) = dataset(KINDS[2]).await;
    fs::remove_file(part(&home, 1)).unwrap();
    let large = "large".parse().unwrap();
    assert_eq!(
        findings(&dest).await,
        [
            Finding::Missing {
                sequence: 1,
                path: part_path(1, 1, "ndjson")
            },
            Finding::RowsMissing {
                conf_uuid: large,
                expected: 1_000,
                missing: 700
            },
        ]
    );
}

#[tokio::test]
async fn a_part_that_is_still_staged_is_told_from_a_lost_one() {
    let (home, dest) = dataset(KINDS[2]).await;
    let staged = home.path().join("_rollbook/staging/one");
    // The shared part is opened after the large meeting's parts only if it comes later; its
    // staged name is in the entry.
    let text = fs::read_to_string(home.path().join(entry_path(1))).unwrap();
    let entry: serde_json::Value = serde_json::from_str(&text).unwrap();
    let name = entry["parts"][0]["staged"].as_str().unwrap();
    assert!(home.path().join(name).starts_with(&staged));
    fs::create_dir_all(&staged).unwrap();
    fs::rename(part(&home, 0), home.path().join(name)).unwrap();
    let found = findings(&dest).await;
    assert!(
        matches!(found[0], Finding::Unpublished { sequence: 1, .. }),
        "{found:?}"
    );
}

#[tokio::test]
async fn files_that_readers_would_take_for_parts_are_named() {
    let (home, dest) = dataset(KINDS[2]).await;
    fs::copy(part(&home, 0), home.path().join("part-copy.ndjson")).unwrap();
    fs::write(home.path().join("README.txt"), "fine").unwrap();
    let path = "part-copy.ndjson".to_owned();
    assert_eq!(findings(&dest).await, [Finding::Foreign { path }]);
}

#[tokio::test]
async fn records_of_another_commit_and_twice_are_found_even_with_the_right_hash() {
    let (home, dest) = dataset(KINDS[2]).await;
    let path = part(&home, 0);
    let text = fs::read_to_string(&path).unwrap();
    let first = text.lines().next().unwrap();
    let stray = first.replace("\"m1\"", "\"m9\"");
    let text = format!(
        "{}{stray}\n",
        text.replacen(text.lines().nth(1).unwrap(), first, 1)
    );
    fs::write(&path, text).unwrap();
    let (bytes, sha256) = fingerprint(&path).unwrap().unwrap();
    let ledger = home.path().join(entry_path(1));
    let mut entry: serde_json::Value = serde_json::from_slice(&fs::read(&ledger).unwrap()).unwrap();
    entry["parts"][0]["bytes"] = bytes.into();
    entry["parts"][0]["sha256"] = sha256.into();
    fs::write(&ledger, entry.to_string()).unwrap();
    let m1: ConfUuid = "m1".parse().unwrap();
    let path = part_path(1, 0, "ndjson");
    assert_eq!(
        findings(&dest).await,
        [
            Finding::PartRows {
                sequence: 1,
                path: path.clone(),
                expected: 510,
                found: 511
            },
            Finding::Stray {
                path,
                conf_uuid: "m9".to_owned(),
                rows: 1
            },
            Finding::RowsMissing {
                conf_uuid: m1.clone(),
                expected: 7,
                missing: 1
            },
            Finding::RowsTwice {
                conf_uuid: m1,
                rows: 1
            },
        ]
    );
}

#[tokio::test]
async fn a_broken_ledger_is_a_finding() {
    let (home, dest) = dataset(KINDS[2]).await;
    fs::write(home.path().join(entry_path(1)), "{}").unwrap();
    let found = findings(&dest).await;
    assert!(matches!(&found[..], [Finding::Ledger { .. }]), "{found:?}");
}

#[test]
fn findings_are_told_by_kind() {
    let finding = Finding::Foreign {
        path: "part-x".to_owned(),
    };
    let text = serde_json::to_string(&finding).unwrap();
    assert_eq!(text, r#"{"kind":"foreign","path":"part-x"}"#);
}

proptest! {
    #[test]
    fn indices_count_like_a_plain_set(all in prop::collection::vec(-5_i64..40, 0..80), split in 0_usize..80) {
        let split = split.min(all.len());
        let mut indices = Indices::default();
        all[..split].iter().for_each(|&index| indices.insert(index));
        let mut rest = Indices::default();
        all[split..].iter().for_each(|&index| rest.insert(index));
        indices.merge(&rest);
        let set: HashSet<i64> = all.iter().copied().collect();
        prop_assert_eq!(indices.distinct(), set.len() as u64);
        prop_assert_eq!(indices.rows(), all.len() as u64);
        let within = set.iter().filter(|&&index| (0..20).contains(&index)).count();
        prop_assert_eq!(indices.within(20), within as u64);
    }
}
