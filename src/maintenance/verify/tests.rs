use std::cmp::Ordering;
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::record_index_set::Indices;
use super::*;
use crate::dataset::ledger::tests::meeting;
use crate::dataset::ledger::{CommittedMeeting, entry_path, part_path, part_path_in};
use crate::dataset::store::{Fault, Faulty, Operation};
use crate::dataset::writer::BatchWriter;
use crate::dataset::writer::tests::{options, page};
use crate::dataset::{Dataset, fingerprint};
use crate::maintenance::compact::{CompactOptions, compact};
use crate::maintenance::repair::repair;
use crate::record::partition::Partition;
use crate::record::table::MEETINGS;
use crate::values::{Compression, ConfUuid, Format, PartitionBy};

const KINDS: [(Format, Compression); 6] = [
    (Format::Parquet, Compression::ZSTD),
    (Format::Arrow, Compression::None),
    (Format::Ndjson, Compression::None),
    (Format::Ndjson, Compression::ZSTD),
    (Format::Ndjson, Compression::Gzip),
    (Format::Arrow, Compression::ZSTD),
];

/// A dataset of two small meetings, an empty one and a large one in two parts.
pub(super) async fn dataset(kind: (Format, Compression)) -> (TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let dest = home.path().to_str().unwrap().to_owned();
    let mut dataset = Dataset::open(&dest, "one", kind.0, kind.1).await.unwrap();
    let options = options(kind.0, kind.1);
    let mut writer = BatchWriter::new(options, dataset.staging().to_owned());
    writer.whole(&[page("m1", 0, 7)]).unwrap();
    writer
        .whole(&[page("m2", 0, 500), page("m2", 500, 3)])
        .unwrap();
    let mut parts = writer.finish().unwrap();
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

/// A dataset by days, of which each part lies in the folder that `place` says instead of its own.
async fn dated(
    kind: (Format, Compression),
    by: PartitionBy,
    place: impl Fn(Option<Partition>) -> Option<Partition>,
) -> (TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let dest = home.path().to_str().unwrap().to_owned();
    let mut dataset = Dataset::open(&dest, "one", kind.0, kind.1).await.unwrap();
    // The records of a page are of less than an hour, around midnight in this zone.
    dataset
        .partition(by, "Etc/GMT-12".parse().unwrap())
        .unwrap();
    let staging = dataset.staging().to_owned();
    let mut writer = BatchWriter::new(options(kind.0, kind.1), staging);
    writer = writer.partitioned(dataset.partitioning());
    writer.whole(&[page("m1", 0, 7)]).unwrap();
    for page in [page("large", 0, 400), page("large", 400, 300)] {
        writer.slice(&page).unwrap();
    }
    let mut parts = writer.keep_slices().unwrap();
    parts.extend(writer.finish().unwrap());
    for part in &mut parts {
        part.partition = place(part.partition);
    }
    let meetings = [("m1", 7), ("large", 700)].map(|(name, rows)| meeting(name, rows));
    dataset.commit(parts, meetings.to_vec()).await.unwrap();
    (home, dest)
}

#[tokio::test]
async fn records_in_the_folder_of_another_day_are_found_in_every_format_and_never_dropped() {
    for (kind, by) in KINDS.into_iter().zip(
        [PartitionBy::JoinDate, PartitionBy::MeetingDate]
            .into_iter()
            .cycle(),
    ) {
        let (_home, dest) = dated(kind, by, |own| own).await;
        assert!(findings(&dest).await.is_empty(), "{kind:?}");

        let (_home, dest) = dated(kind, by, |_| Some(Partition::Dateless)).await;
        let found = findings(&dest).await;
        let mut rows = 0;
        for finding in &found {
            let Finding::Misplaced {
                path,
                rows: found,
                expected,
                ..
            } = finding
            else {
                panic!("{kind:?}: {finding:?}");
            };
            assert!(
                path.contains("_date=__HIVE_DEFAULT_PARTITION__/part-"),
                "{path}"
            );
            assert!(expected.contains("_date=2019-11-1"), "{expected}");
            rows += found;
        }
        assert_eq!(rows, 707, "{kind:?}: {found:?}");
        let repaired = repair(&dest).await.unwrap();
        assert!(repaired.dropped.is_empty());
        assert_eq!(repaired.verification().findings, found);
    }
}

#[tokio::test]
async fn rows_of_other_meetings_than_the_commit_has_are_found_in_every_format() {
    for kind in KINDS {
        let home = tempfile::tempdir().unwrap();
        let dest = home.path().to_str().unwrap().to_owned();
        let mut dataset = Dataset::open(&dest, "one", kind.0, kind.1).await.unwrap();
        let options = options(kind.0, kind.1);
        let mut writer = BatchWriter::new(options, dataset.staging().to_owned());
        let rows = crate::dataset::writer::tests::meetings(&["m1", "m1", "stray"]);
        let parts = vec![writer.meetings(&rows).unwrap()];
        let meetings = ["m1", "m2", "m3"].map(|name| meeting(name, 0)).to_vec();
        dataset.commit(parts, meetings).await.unwrap();
        let found = verify(&dest).await.unwrap();
        assert_eq!((found.records, found.described), (0, Some(3)));
        let not_described = |name: &str, rows| Finding::NotDescribed {
            conf_uuid: name.parse().unwrap(),
            rows,
        };
        let extension = crate::dataset::writer::extension(kind.0, kind.1);
        let expected = [
            Finding::Stray {
                path: part_path_in(MEETINGS, 1, 0, extension),
                conf_uuid: "stray".to_owned(),
                rows: 1,
            },
            not_described("m1", 2),
            not_described("m2", 0),
            not_described("m3", 0),
        ];
        assert_eq!(found.findings, expected, "{kind:?}");
        let verdicts = found.per_meeting.iter().map(|meeting| meeting.verdict);
        assert!(
            verdicts
                .into_iter()
                .all(|verdict| verdict == Soundness::Damaged)
        );
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_compaction_takes_away_meanwhile_is_not_told_as_lost() {
    // Before the last entry is read, and before the ledger is listed.
    let moments = [
        (Operation::Get, entry_path(2)),
        (Operation::List, crate::dataset::ledger::FOLDER.to_owned()),
    ];
    for (operation, path) in moments {
        let home = tempfile::tempdir().unwrap();
        let [now, then, old] = ["now", "then", "old"].map(|name| home.path().join(name));
        for (run, name) in [("one", "m1"), ("two", "m2")] {
            let mut dataset = Dataset::open(
                now.to_str().unwrap(),
                run,
                Format::Ndjson,
                Compression::None,
            )
            .await
            .unwrap();
            let options = options(Format::Ndjson, Compression::None);
            let mut writer = BatchWriter::new(options, dataset.staging().to_owned());
            writer.whole(&[page(name, 0, 7)]).unwrap();
            let parts = Vec::from_iter(writer.finish().unwrap());
            dataset.commit(parts, vec![meeting(name, 7)]).await.unwrap();
        }
        copy(&now, &then);
        let merged = compact(then.to_str().unwrap(), &CompactOptions::default()).await;
        assert_eq!(merged.unwrap().merged, 2);

        let (place, mut is_done) = (now.clone(), false);
        let faulty = Faulty::new(&now, move |call| {
            if !is_done && call.operation == operation && call.path == path {
                fs::rename(&place, &old).unwrap();
                fs::rename(&then, &place).unwrap();
                is_done = true;
            }
            None
        });
        let dest = now.to_str().unwrap();
        let seen = survey(&faulty.store(&now), dest, &Schemas::known()).await;
        let found = seen.unwrap().found;
        assert!(found.is_sound(), "{:?}", found.findings);
        assert_eq!((found.entries, found.meetings, found.parts), (3, 2, 1));
        assert!(!home.path().join("then").exists());
    }
}

/// Puts a checkpoint of the ledger; its path in the dataset, and its file.
async fn sum_up(dest: &str) -> (String, PathBuf) {
    let store = Store::open_at(&dest.into()).await.unwrap();
    let mut ledger = Ledger::read(&store).await.unwrap();
    ledger.sum_up(&store, 1).await.unwrap();
    let name = checkpoint::listed(&store).await.unwrap().remove(0);
    (name.path(), store.local(&name.path()))
}

#[tokio::test]
async fn a_checkpoint_is_not_believed_but_judged_and_a_repair_removes_it_alone() {
    let (home, dest) = dataset((Format::Ndjson, Compression::None)).await;
    let (path, file) = sum_up(&dest).await;
    let found = verify(&dest).await.unwrap();
    assert!(found.is_sound() && found.notes.is_empty(), "{found:?}");

    // Of the same size, and no younger than it was.
    let entry = home.path().join(entry_path(1));
    let text = fs::read_to_string(&entry).unwrap();
    let modified = fs::metadata(&entry).unwrap().modified().unwrap();
    fs::write(&entry, text.replace("\"m1\"", "\"mX\"")).unwrap();
    let of_entry = File::options().append(true).open(&entry).unwrap();
    of_entry.set_modified(modified).unwrap();
    let contradicts = Finding::Checkpoint {
        path: path.clone(),
        reason: "is not what entry 1 says".to_owned(),
    };
    let all = findings(&dest).await;
    assert!(all.contains(&contradicts) && all.len() > 1, "{all:?}");
    fs::write(&entry, text).unwrap();

    let mut bytes = fs::read(&file).unwrap();
    bytes[99] ^= 1;
    fs::write(&file, bytes).unwrap();
    let damaged = Finding::Checkpoint {
        path: path.clone(),
        reason: "is damaged".to_owned(),
    };
    let found = verify(&dest).await.unwrap();
    assert_eq!(found.findings, [damaged]);
    let verdicts = found.per_meeting.iter().map(|meeting| meeting.verdict);
    assert!(verdicts.into_iter().all(|it| it == Soundness::Sound));

    let repair = repair(&dest).await.unwrap();
    assert_eq!(repair.checkpoints, [path]);
    assert!(repair.dropped.is_empty() && repair.retracted.is_empty());
    assert!(repair.verification().is_sound() && !file.exists());
    assert_eq!(repair.verification().meetings, 4);
}

#[tokio::test]
async fn a_flipped_bit_is_found_in_every_format() {
    for kind in KINDS {
        let (home, dest) = dataset(kind).await;
        let path = home.path().join(part_path(
            1,
            2,
            crate::dataset::writer::extension(kind.0, kind.1),
        ));
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
    assert_eq!(findings(&dest).await, [Finding::Unreferenced { path }]);
}

#[tokio::test]
async fn what_readers_may_take_for_data_is_unsound_and_anything_else_is_noted() {
    let (home, dest) = dataset(KINDS[2]).await;
    let place = |name: &str| home.path().join(name);
    fs::write(place("notes.ndjson"), "{}").unwrap();
    fs::create_dir(place("old.ndjson")).unwrap();
    fs::create_dir(place("part-old")).unwrap();
    fs::write(place("other.parquet"), "").unwrap();
    fs::create_dir(place("folder")).unwrap();
    fs::write(place("_rollbook/mine.txt"), "").unwrap();
    fs::write(place("_rollbook/ledger/1.json"), "").unwrap();
    fs::write(place("_rollbook/staging/file"), "").unwrap();
    // Left by a process that was killed between two steps: ours.
    fs::write(place(&(entry_path(2) + "#1")), "").unwrap();
    fs::write(place("_rollbook/probe-one"), "").unwrap();
    let mut foreign = vec!["notes.ndjson", "old.ndjson"];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", place("link.ndjson")).unwrap();
        foreign.insert(0, "link.ndjson");
    }
    let found = verify(&dest).await.unwrap();
    let mut expected: Vec<_> = foreign
        .iter()
        .map(|&path| Finding::Foreign { path: path.into() })
        .collect();
    let path = "part-old".into();
    expected.push(Finding::Unreferenced { path });
    assert_eq!(found.findings, expected);
    let noted: Vec<_> = found.notes.iter().map(|note| note.path.as_str()).collect();
    assert_eq!(
        noted,
        [
            "folder",
            "other.parquet",
            "_rollbook/mine.txt",
            "_rollbook/ledger/1.json",
            "_rollbook/staging/file"
        ]
    );
}

#[tokio::test]
async fn each_meeting_is_stated_and_told_damaged_with_its_commit() {
    let (home, dest) = dataset(KINDS[2]).await;
    let mut again = Dataset::open(&dest, "two", KINDS[2].0, KINDS[2].1)
        .await
        .unwrap();
    let known = CommittedMeeting {
        pages: Some(2),
        seams: Some(1),
        ..meeting("later", 0)
    };
    again.commit(vec![], vec![known]).await.unwrap();
    let large: Vec<_> = verify(&dest).await.unwrap().per_meeting[3].parts.clone();
    assert_eq!(
        large,
        [part_path(1, 1, "ndjson"), part_path(1, 2, "ndjson")]
    );
    fs::remove_file(part(&home, 1)).unwrap();
    let stated: Vec<_> = verify(&dest)
        .await
        .unwrap()
        .per_meeting
        .into_iter()
        .map(|stated| (stated.conf_uuid.to_string(), stated.verdict, stated.found))
        .collect();
    let damaged = |name: &str, found| (name.to_owned(), Soundness::Damaged, found);
    assert_eq!(
        stated,
        [
            damaged("m1", 7),
            damaged("m2", 503),
            damaged("none", 0),
            damaged("large", 300),
            ("later".to_owned(), Soundness::Sound, 0)
        ]
    );
}

#[tokio::test]
async fn a_part_that_is_no_file_is_a_finding() {
    let (home, dest) = dataset(KINDS[2]).await;
    fs::remove_file(part(&home, 0)).unwrap();
    fs::create_dir(part(&home, 0)).unwrap();
    let found = findings(&dest).await;
    assert!(matches!(&found[0], Finding::Altered { .. }), "{found:?}");
    let repaired = repair(&dest).await.unwrap();
    assert!(repaired.verification().is_sound(), "{repaired:?}");
    assert_eq!(repaired.set_aside.len(), 1);
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
    let (bytes, sha256) = fingerprint(&mut fs::File::open(&path).unwrap(), &path).unwrap();
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
    // The hash is right; the rows are not, and go.
    let repaired = repair(&dest).await.unwrap();
    assert_eq!((repaired.dropped.len(), repaired.kept.len()), (4, 3));
    assert!(repaired.verification().is_sound(), "{repaired:?}");
}

/// The ledger's entries as they lie there.
fn history(home: &TempDir) -> Vec<(PathBuf, Vec<u8>)> {
    let listing = fs::read_dir(home.path().join("_rollbook/ledger")).unwrap();
    let mut entries: Vec<_> = listing
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    entries.sort();
    entries
}

#[tokio::test]
async fn a_part_altered_behind_its_own_date_is_dropped_by_a_new_entry_alone() {
    let (home, dest) = dataset(KINDS[2]).await;
    let before = history(&home);
    let path = part(&home, 1);
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("large", "lArge", 1)).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(written).unwrap();
    drop(file);
    // An export trusts the date.
    let opened = Dataset::open(&dest, "two", KINDS[2].0, KINDS[2].1).await;
    assert!(opened.unwrap().holds(&"large".parse().unwrap()));

    let repaired = repair(&dest).await.unwrap();
    assert_eq!(repaired.retracted, [1]);
    let dropped: Vec<_> = repaired.dropped.iter().map(ConfUuid::as_str).collect();
    assert_eq!(dropped, ["m1", "m2", "none", "large"]);
    assert!(repaired.verification().is_sound(), "{repaired:?}");
    let after = history(&home);
    assert_eq!(after[..1], before);
    assert_eq!(after.len(), 2);
    let status = crate::dataset::status(&dest).await.unwrap();
    assert!(status.runs.is_empty(), "a repair is no run: {status:?}");
    // Nothing is left to do, and nothing is done.
    let again = repair(&dest).await.unwrap();
    assert!(again.after.is_none() && again.retracted.is_empty());
    assert_eq!(history(&home), after);
}

#[tokio::test]
async fn what_nobody_knows_is_moved_and_never_deleted_or_overwritten() {
    let (home, dest) = dataset(KINDS[2]).await;
    let unknown = part_path(7, 0, "ndjson");
    for text in ["one", "two", "three"] {
        fs::write(home.path().join(&unknown), text).unwrap();
        assert!(
            Dataset::open(&dest, "two", KINDS[2].0, KINDS[2].1)
                .await
                .is_err()
        );
        let repaired = repair(&dest).await.unwrap();
        assert!(repaired.verification().is_sound() && repaired.dropped.is_empty());
    }
    let aside = home.path().join("_rollbook/set-aside");
    for (name, text) in [("", "one"), (".1", "two"), (".2", "three")] {
        let kept = aside.join(format!("{unknown}{name}"));
        assert_eq!(fs::read_to_string(kept).unwrap(), text);
    }
    Dataset::open(&dest, "two", KINDS[2].0, KINDS[2].1)
        .await
        .unwrap();
    let noted = verify(&dest).await.unwrap().notes;
    assert!(noted[0].what.contains("holds 3"), "{noted:?}");
}

#[tokio::test]
async fn a_repair_waits_for_no_run_and_says_which_goes_on() {
    let (home, dest) = dataset(KINDS[2]).await;
    fs::remove_file(part(&home, 0)).unwrap();
    let live = Dataset::open(&dest, "live", KINDS[0].0, KINDS[0].1).await;
    assert!(live.is_err(), "another format");
    let live = Dataset::open(&dest, "live", KINDS[2].0, KINDS[2].1).await;
    fs::write(home.path().join(part_path(9, 0, "ndjson")), "unknown").unwrap();
    let before = history(&home);
    let error = repair(&dest).await.unwrap_err().to_string();
    assert!(error.contains("run live goes on"), "{error}");
    assert_eq!(history(&home), before);
    drop(live);
    repair(&dest).await.unwrap();
}

#[tokio::test]
async fn a_repair_that_was_cut_off_is_finished_by_the_next() {
    // After how many steps it was cut off: nothing, moved, retracted, removed in part.
    for steps in 0..4 {
        let (home, dest) = dataset(KINDS[2]).await;
        let before = history(&home);
        fs::write(part(&home, 0), "").unwrap();
        let unknown = part_path(2, 0, "ndjson");
        let aside = home.path().join("_rollbook/set-aside");
        fs::write(home.path().join(&unknown), "unknown").unwrap();
        if steps > 0 {
            fs::create_dir(&aside).unwrap();
            fs::rename(home.path().join(&unknown), aside.join(&unknown)).unwrap();
        }
        if steps > 1 {
            let text = fs::read_to_string(home.path().join(entry_path(1))).unwrap();
            let mut entry: serde_json::Value = serde_json::from_str(&text).unwrap();
            entry["sequence"] = 2.into();
            entry["parts"] = serde_json::json!([]);
            entry["meetings"] = serde_json::json!([]);
            entry["retracts"] = serde_json::json!([1]);
            fs::write(home.path().join(entry_path(2)), entry.to_string()).unwrap();
        }
        if steps > 2 {
            fs::remove_file(part(&home, 0)).unwrap();
        }
        let found = verify(&dest).await.unwrap();
        assert!(!found.is_sound(), "{steps}");
        let repaired = repair(&dest).await.unwrap();
        assert!(repaired.verification().is_sound(), "{steps}: {repaired:?}");
        assert_eq!(history(&home)[..1], before);
        assert_eq!(history(&home).len(), 2, "{steps}");
        assert_eq!(fs::read_to_string(aside.join(&unknown)).unwrap(), "unknown");
        let (format, compression) = KINDS[2];
        let next = Dataset::open(&dest, "two", format, compression)
            .await
            .unwrap();
        assert!(!next.has_parts() && !next.holds(&"m1".parse().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_repair_whose_store_is_gone_at_any_call_is_finished_by_the_next() {
    for number in 0.. {
        let (home, dest) = dataset(KINDS[2]).await;
        let before = history(&home);
        fs::write(part(&home, 0), "").unwrap();
        let unknown = part_path(2, 0, "ndjson");
        fs::write(home.path().join(&unknown), "unknown").unwrap();
        let faulty = Faulty::new(home.path(), move |call| match call.number.cmp(&number) {
            Ordering::Less => None,
            Ordering::Equal => Some(Fault::AnswerLost),
            Ordering::Greater => Some(Fault::Before),
        });
        let ended = crate::maintenance::repair::repair_on(faulty.store(home.path()), &dest).await;
        assert_eq!(
            ended.is_err(),
            faulty.faults() > 0,
            "call {number}: {ended:?}"
        );
        let repaired = repair(&dest).await.unwrap();
        assert!(
            repaired.verification().is_sound(),
            "call {number}: {repaired:?}"
        );
        assert_eq!(history(&home)[..1], before);
        assert_eq!(history(&home).len(), 2, "call {number}");
        let aside = home.path().join("_rollbook/set-aside").join(unknown);
        assert_eq!(fs::read_to_string(aside).unwrap(), "unknown");
        assert!(!part(&home, 1).exists());
        if faulty.faults() == 0 {
            assert!(number > 5, "{number}");
            return;
        }
    }
}

#[tokio::test]
async fn a_staged_part_is_published_by_a_repair_and_counted_before() {
    let (home, dest) = dataset(KINDS[2]).await;
    let text = fs::read_to_string(home.path().join(entry_path(1))).unwrap();
    let entry: serde_json::Value = serde_json::from_str(&text).unwrap();
    let staged = home
        .path()
        .join(entry["parts"][0]["staged"].as_str().unwrap());
    fs::rename(part(&home, 0), staged).unwrap();
    let found = verify(&dest).await.unwrap();
    assert_eq!(found.records, 1_510);
    assert!(
        matches!(&found.findings[..], [Finding::Unpublished { .. }]),
        "{found:?}"
    );
    assert_eq!(found.per_meeting[0].verdict, Soundness::Unpublished);
    let repaired = repair(&dest).await.unwrap();
    assert!(repaired.verification().is_sound() && repaired.dropped.is_empty());
    assert_eq!(repaired.published, [part_path(1, 0, "ndjson")]);
    assert_eq!(history(&home).len(), 1);
}

#[tokio::test]
async fn a_broken_ledger_is_a_finding() {
    let (home, dest) = dataset(KINDS[2]).await;
    fs::write(home.path().join(entry_path(1)), "{}").unwrap();
    let found = findings(&dest).await;
    assert!(matches!(&found[..], [Finding::Ledger { .. }]), "{found:?}");
    // Without all of the history nothing is dropped from it.
    let repaired = repair(&dest).await.unwrap();
    assert!(!repaired.verification().is_sound() && repaired.after.is_none());
    assert_eq!(history(&home).len(), 1);
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
