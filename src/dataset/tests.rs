mod faults;
#[cfg(feature = "delta")]
mod table;

use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::compact::{CompactOptions, compact};
use crate::ledger::tests::meeting;
use crate::purge::purge;
use crate::report::{MeetingReport, MeetingStatus, Outcome};
use crate::writer::BatchWriter;
use crate::writer::tests::{options, page};

fn dest(home: &TempDir) -> String {
    home.path().join("data").to_str().unwrap().to_owned()
}

async fn open(home: &TempDir, run: &str) -> Dataset {
    try_open(home, run).await.unwrap()
}

async fn try_open(home: &TempDir, run: &str) -> Result<Dataset> {
    Dataset::open(&dest(home), run, Format::Ndjson, Compression::None).await
}

fn uuid(text: &str) -> ConfUuid {
    text.parse().unwrap()
}

/// Stages meetings of so many records; one of more than 50 is split into parts of 50, as no
/// run does: whatever a ledger entry names must be all there or not at all.
fn stage(
    dataset: &Dataset,
    meetings: &[(&str, usize)],
) -> (Vec<StagedPart>, Vec<CommittedMeeting>) {
    let options = options(Format::Ndjson, Compression::None);
    // A run has one writer; a fresh one here must not meet the names of the last.
    let folder = dataset.staging().to_owned();
    let before = fs::read_dir(&folder).unwrap().count();
    let inner = folder.join(format!("w{before}"));
    fs::create_dir(&inner).unwrap();
    let mut writer = BatchWriter::new(options, inner);
    let mut slices = Vec::new();
    for &(name, rows) in meetings {
        if rows > 50 {
            for from in (0..rows).step_by(50) {
                writer
                    .slice(&page(name, from, (rows - from).min(50)))
                    .unwrap();
                slices.extend(writer.keep_slices().unwrap());
            }
        } else {
            writer.whole(&[page(name, 0, rows)]).unwrap();
        }
    }
    let mut parts = writer.finish().unwrap();
    parts.extend(slices);
    for (number, part) in parts.iter_mut().enumerate() {
        let path = folder.join(format!("{before}-{number}.ndjson"));
        fs::rename(&part.path, &path).unwrap();
        part.path = path;
    }
    let meetings = meetings
        .iter()
        .map(|&(name, rows)| meeting(name, rows as u64))
        .collect();
    (parts, meetings)
}

async fn commit(dataset: &mut Dataset, meetings: &[(&str, usize)]) -> Commit {
    let (parts, meetings) = stage(dataset, meetings);
    dataset.commit(parts, meetings).await.unwrap()
}

/// What a reader that globs `part-*` sees: rows by meeting. No row may be there twice.
fn seen(home: &TempDir) -> BTreeMap<String, usize> {
    let mut keys = std::collections::BTreeSet::new();
    let mut rows = BTreeMap::new();
    for entry in fs::read_dir(dest(home)).unwrap() {
        let path = entry.unwrap().path();
        if !path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("part-")
        {
            continue;
        }
        for line in fs::read_to_string(path).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let meeting = row["conf_uuid"].as_str().unwrap().to_owned();
            assert!(
                keys.insert((meeting.clone(), row["record_index"].as_u64())),
                "twice: {row}"
            );
            *rows.entry(meeting).or_default() += 1;
        }
    }
    rows
}

fn rows(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected
        .iter()
        .map(|&(name, rows)| (name.to_owned(), rows))
        .collect()
}

fn staging_folders(home: &TempDir) -> Vec<String> {
    let folder = home.path().join("data").join(STAGING);
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The same batch with a row of the meetings table for each of these.
fn stage_described(
    dataset: &Dataset,
    meetings: &[(&str, usize)],
    described: &[&str],
) -> (Vec<StagedPart>, Vec<CommittedMeeting>) {
    let (mut parts, batch) = stage(dataset, meetings);
    let options = options(Format::Ndjson, Compression::None);
    let series = u32::try_from(fs::read_dir(dataset.staging()).unwrap().count()).unwrap();
    let mut writer =
        BatchWriter::new(options, dataset.staging().to_owned()).in_series(100 + series);
    let rows = crate::writer::tests::meetings(described);
    parts.push(writer.meetings(&rows).unwrap());
    (parts, batch)
}

#[tokio::test]
async fn records_and_the_rows_of_their_meetings_come_and_go_together() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data/meetings");
    let mut one = open(&home, "one").await;
    let mut two = open(&home, "two").await;
    let batch = [("m1", 3), ("empty", 0)];
    let (parts, meetings) = stage_described(&one, &batch, &["m1", "empty"]);
    let done = one.commit(parts, meetings).await.unwrap();
    let is_whole = matches!(
        done,
        Commit::Done {
            parts: 2,
            meetings: 2,
            records: 3,
            ..
        }
    );
    assert!(is_whole, "{done:?}");
    let names = |folder: &Path| -> Vec<_> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&folder), ["part-00000000000000000001-00000.ndjson"]);
    assert!(one.has_parts() && one.has_parts_of(Table::Meetings));

    // Who comes second leaves neither.
    let (parts, meetings) = stage_described(&two, &[("m1", 3)], &["m1"]);
    let staged: Vec<_> = parts.iter().map(|part| part.path.clone()).collect();
    let lost = two.commit(parts, meetings).await.unwrap();
    assert!(matches!(lost, Commit::Conflict { .. }), "{lost:?}");
    assert!(staged.iter().all(|path| !path.exists()));
    assert_eq!(names(&folder).len(), 1);
    drop((one, two));

    // A part of either that is lost takes the other with it.
    fs::remove_file(folder.join("part-00000000000000000001-00000.ndjson")).unwrap();
    let three = open(&home, "three").await;
    assert_eq!(three.recovery().retracted, [1]);
    assert!(seen(&home).is_empty() && names(&folder).is_empty());
    assert!(!three.has_parts() && !three.holds(&uuid("m1")));
}

#[tokio::test]
async fn a_batch_that_describes_other_meetings_than_it_has_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    let (parts, meetings) = stage_described(&dataset, &[("m1", 3), ("m2", 2)], &["m1"]);
    let refused = dataset.commit(parts, meetings).await.unwrap_err();
    let told = "describe 1 meetings, and it has 2";
    assert!(refused.to_string().contains(told), "{refused}");
    assert!(!dataset.holds(&uuid("m1")));
}

#[tokio::test]
async fn committed_meetings_are_seen_and_held() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    assert!(!dataset.has_parts());
    let done = commit(&mut dataset, &[("m1", 3), ("large", 120), ("empty", 0)]).await;
    let Commit::Done {
        sequence,
        parts,
        meetings,
        records,
        ..
    } = done
    else {
        panic!("{done:?}");
    };
    assert_eq!((sequence, parts, meetings, records), (1, 4, 3, 123));
    assert!(dataset.has_parts());
    assert_eq!(seen(&home), rows(&[("m1", 3), ("large", 120)]));
    drop(dataset);
    let again = open(&home, "two").await;
    assert!(again.holds(&uuid("empty")) && again.holds(&uuid("large")));
    assert!(!again.holds(&uuid("m2")));
    assert_eq!(again.recovery().published.len(), 0);
}

#[tokio::test]
async fn a_crash_before_the_entry_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3)]).await;
    stage(&dataset, &[("m2", 3), ("large", 120)]);
    drop(dataset);
    assert_eq!(seen(&home), rows(&[("m1", 3)]));
    let again = open(&home, "two").await;
    assert_eq!(again.recovery().cleared, 1);
    assert!(!again.holds(&uuid("m2")));
    assert_eq!(seen(&home), rows(&[("m1", 3)]));
    assert_eq!(staging_folders(&home), ["two"]);
}

#[tokio::test]
async fn a_crash_after_the_entry_is_rolled_forward_from_any_part() {
    for published in 0..4 {
        let home = tempfile::tempdir().unwrap();
        let mut dataset = open(&home, "one").await;
        let (parts, meetings) = stage(&dataset, &[("m1", 3), ("large", 120)]);
        let mut entry = dataset.entry(&parts, &meetings).unwrap();
        assert!(
            dataset
                .ledger
                .put(&dataset.store, entry.clone())
                .await
                .unwrap()
        );
        let all = entry.parts.len() - published;
        entry.parts.truncate(published);
        dataset.publish(&entry).await.unwrap();
        drop(dataset);

        let again = open(&home, "two").await;
        assert!(again.holds(&uuid("m1")) && again.holds(&uuid("large")));
        assert_eq!(again.recovery().published.len(), all);
        assert_eq!(seen(&home), rows(&[("m1", 3), ("large", 120)]));
        assert_eq!(staging_folders(&home), ["two"]);
    }
}

#[tokio::test]
async fn a_commit_that_another_run_published_and_merged_away_is_done() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m0", 5)]).await;
    let (parts, meetings) = stage(&dataset, &[("m1", 3)]);
    let entry = dataset.entry(&parts, &meetings).unwrap();
    let put = dataset.ledger.put(&dataset.store, entry.clone()).await;
    assert!(put.unwrap());
    let merged = compact(dest(&home).as_str(), &CompactOptions::default()).await;
    assert_eq!(merged.unwrap().merged, 2);

    dataset.publish(&entry).await.unwrap();
    assert_eq!(seen(&home), rows(&[("m0", 5), ("m1", 3)]));
    commit(&mut dataset, &[("m2", 2)]).await;

    // The same where the end of the run is to make up for it.
    let (parts, meetings) = stage(&dataset, &[("m3", 4)]);
    let entry = dataset.entry(&parts, &meetings).unwrap();
    let put = dataset.ledger.put(&dataset.store, entry).await;
    assert!(put.unwrap());
    dataset.is_published = false;
    let merged = compact(dest(&home).as_str(), &CompactOptions::default()).await;
    assert!(merged.unwrap().merged > 1);
    dataset.finish(&report("one")).await.unwrap();
    let all = rows(&[("m0", 5), ("m1", 3), ("m2", 2), ("m3", 4)]);
    assert_eq!(seen(&home), all);
}

/// Two runs' commits, merged into a third that a repair dropped.
async fn merged_and_dropped(home: &TempDir) -> Dataset {
    for (run, batch) in [("one", ("m1", 3)), ("two", ("m2", 2))] {
        commit(&mut open(home, run).await, &[batch]).await;
    }
    let merged = compact(dest(home).as_str(), &CompactOptions::default()).await;
    assert_eq!(merged.unwrap().merged, 2);
    let mut dataset = open(home, "three").await;
    dataset.retract(vec![3]).await.unwrap();
    dataset
}

#[tokio::test]
async fn a_meeting_that_was_dropped_is_purged_from_the_parts_that_are_kept() {
    let home = tempfile::tempdir().unwrap();
    drop(merged_and_dropped(&home).await);
    let replaced = home.path().join("data").join(REPLACED);
    assert_eq!(fs::read_dir(&replaced).unwrap().count(), 2);
    let never = purge(dest(&home).as_str(), &[uuid("m1"), uuid("m9")]).await;
    let said = never.unwrap_err().to_string();
    assert!(said.contains("does not hold meeting m9"), "{said}");
    assert_eq!(fs::read_dir(&replaced).unwrap().count(), 2);

    let done = purge(dest(&home).as_str(), &[uuid("m1")]).await.unwrap();
    assert_eq!(done.purged, [uuid("m1")]);
    assert_eq!(done.out_of_reach, [""; 0]);
    let left: Vec<_> = fs::read_dir(&replaced).unwrap().collect();
    assert_eq!(left.len(), 1);
    let again = open(&home, "four").await;
    assert!(again.holds(&uuid("m1")) && !again.holds(&uuid("m2")));
    assert_eq!(again.lost().len(), 1);

    // What it cannot reach is named, also where all was purged before.
    let aside = home.path().join("data").join(SET_ASIDE);
    fs::create_dir_all(&aside).unwrap();
    fs::write(aside.join("part-unknown.ndjson"), "{}").unwrap();
    let done = purge(dest(&home).as_str(), &[uuid("m1")]).await.unwrap();
    assert_eq!((done.purged.len(), done.already), (0, vec![uuid("m1")]));
    assert_eq!(
        done.out_of_reach,
        [
            "_rollbook/set-aside/part-unknown.ndjson",
            "_rollbook/staging/four"
        ]
    );
}

#[tokio::test]
async fn what_was_dropped_after_it_was_merged_counts_for_who_brings_it_again() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = merged_and_dropped(&home).await;
    commit(&mut dataset, &[("m1", 3), ("m2", 2)]).await;
    let status = status(dest(&home).as_str()).await.unwrap();
    let meetings: Vec<_> = status
        .runs
        .iter()
        .map(|run| (run.run_id.as_str(), run.meetings))
        .collect();
    assert_eq!(meetings, [("three", 2)]);
}

#[tokio::test]
async fn a_run_that_reports_nothing_sums_up_the_ledger_or_leaves_what_it_staged() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3)]).await;
    dataset.few_entries = 1;
    dataset.end(Ok(())).await.unwrap();
    let checkpoints = home.path().join("data").join(checkpoint::CHECKPOINTS);
    assert_eq!(fs::read_dir(checkpoints).unwrap().count(), 1);
    assert_eq!(staging_folders(&home), [""; 0]);

    // As in a bucket.
    let mut dataset = open(&home, "two").await;
    let (pulse, _) = Pulse::begin(&dataset.store, "two", &[]).await.unwrap();
    dataset.pulse = Some(pulse);
    let (parts, _) = stage(&dataset, &[("m2", 3)]);
    let sign = dataset.staging().join("pulse");
    assert!(sign.exists());
    let failed = Err::<(), _>(Error::Config("no".to_owned()));
    assert!(dataset.end(failed).await.is_err());
    assert!(!sign.exists() && parts.iter().all(|part| part.path.exists()));
    let (_, others) = Pulse::begin(&dataset.store, "three", &[]).await.unwrap();
    assert_eq!((others.live.len(), others.abandoned.len()), (0, 0));
}

#[tokio::test]
async fn a_staged_part_torn_by_a_power_loss_takes_its_commit_with_it() {
    for torn in ["", "{}\n"] {
        let home = tempfile::tempdir().unwrap();
        let mut dataset = open(&home, "one").await;
        commit(&mut dataset, &[("m0", 5)]).await;
        let (parts, meetings) = stage(&dataset, &[("m1", 3), ("large", 120)]);
        let mut entry = dataset.entry(&parts, &meetings).unwrap();
        dataset
            .ledger
            .put(&dataset.store, entry.clone())
            .await
            .unwrap();
        entry.parts.truncate(1);
        dataset.publish(&entry).await.unwrap();
        fs::write(&parts[2].path, torn).unwrap();
        drop(dataset);

        let mut again = open(&home, "two").await;
        assert_eq!(again.recovery().retracted, [2]);
        assert_eq!(again.recovery().lost_meetings, 2);
        assert!(!again.holds(&uuid("m1")) && !again.holds(&uuid("large")));
        assert_eq!(seen(&home), rows(&[("m0", 5)]));
        commit(&mut again, &[("m1", 3), ("large", 120)]).await;
        assert_eq!(seen(&home), rows(&[("m0", 5), ("m1", 3), ("large", 120)]));
    }
}

#[tokio::test]
async fn meetings_of_a_part_that_was_removed_or_cut_are_asked_for_again() {
    for cut in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let mut dataset = open(&home, "one").await;
        commit(&mut dataset, &[("m0", 5)]).await;
        commit(&mut dataset, &[("m1", 3), ("large", 120)]).await;
        drop(dataset);
        let path = home
            .path()
            .join("data")
            .join(ledger::part_path(2, 1, "ndjson"));
        if cut {
            fs::write(path, "").unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        let status = status(&dest(&home)).await.unwrap();
        assert_eq!(status.damaged.len(), 1);
        let again = open(&home, "two").await;
        assert!(again.holds(&uuid("m0")) && !again.holds(&uuid("m1")));
        assert_eq!(seen(&home), rows(&[("m0", 5)]));
    }
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_repair_is_repaired() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("large", 120)]).await;
    let first = home
        .path()
        .join("data")
        .join(ledger::part_path(1, 0, "ndjson"));
    fs::remove_file(first).unwrap();
    let mut retraction = dataset.entry(&[], &[]).unwrap();
    retraction.retracts = vec![1];
    dataset
        .ledger
        .put(&dataset.store, retraction)
        .await
        .unwrap();
    drop(dataset);
    let again = open(&home, "two").await;
    assert_eq!(again.recovery().removed.len(), 3);
    assert!(!again.has_parts());
    assert_eq!(seen(&home), rows(&[]));
}

#[tokio::test]
async fn a_run_without_the_others_meetings_takes_the_next_number() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    let mut two = open(&home, "two").await;
    commit(&mut one, &[("m1", 3)]).await;
    commit(&mut one, &[("m2", 3)]).await;
    let done = commit(&mut two, &[("m3", 4)]).await;
    assert!(matches!(done, Commit::Done { sequence: 3, .. }), "{done:?}");
    assert!(two.holds(&uuid("m1")));
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 3), ("m3", 4)]));
}

#[tokio::test]
async fn a_meeting_that_another_run_committed_is_not_committed_again() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    let mut two = open(&home, "two").await;
    commit(&mut one, &[("m1", 3), ("m2", 3)]).await;
    let conflict = commit(&mut two, &[("m2", 3), ("m3", 4)]).await;
    assert_eq!(
        conflict,
        Commit::Conflict {
            already: vec![uuid("m2")]
        }
    );
    assert!(!two.holds(&uuid("m3")));
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 3)]));
    commit(&mut two, &[("m3", 4)]).await;
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 3), ("m3", 4)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_that_race_commit_each_meeting_once() {
    let home = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
    let run = |id: usize| {
        let (dest, names) = (dest(&home), names.clone());
        async move {
            let id = format!("run{id}");
            let mut dataset = Dataset::open(&dest, &id, Format::Ndjson, Compression::None).await?;
            let mut done = 0;
            for name in &names {
                if dataset.holds(&uuid(name)) {
                    continue;
                }
                if let Commit::Done { .. } = commit(&mut dataset, &[(name, 3)]).await {
                    done += 1;
                }
            }
            Ok::<_, Error>(done)
        }
    };
    let tasks: Vec<_> = (0..4).map(|id| tokio::spawn(run(id))).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap().unwrap();
    }
    assert_eq!(done, 12);
    let expected: Vec<_> = names.iter().map(|name| (name.as_str(), 3)).collect();
    assert_eq!(seen(&home), rows(&expected));
}

#[tokio::test]
async fn a_live_run_keeps_its_staging_folder() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    let (parts, meetings) = stage(&one, &[("m1", 3)]);
    let two = open(&home, "two").await;
    assert_eq!(two.recovery().cleared, 0);
    let status = status(&dest(&home)).await.unwrap();
    assert!(status.unfinished.iter().all(|folder| folder.is_live));
    one.commit(parts, meetings).await.unwrap();
    assert_eq!(seen(&home), rows(&[("m1", 3)]));
}

#[tokio::test]
async fn a_half_published_commit_of_a_live_run_may_be_finished_by_another() {
    let home = tempfile::tempdir().unwrap();
    let mut one = open(&home, "one").await;
    let (parts, meetings) = stage(&one, &[("m1", 3), ("large", 120)]);
    let entry = one.entry(&parts, &meetings).unwrap();
    one.ledger.put(&one.store, entry.clone()).await.unwrap();
    let two = open(&home, "two").await;
    assert_eq!(two.recovery().published.len(), 4);
    one.publish(&entry).await.unwrap();
    assert_eq!(seen(&home), rows(&[("m1", 3), ("large", 120)]));
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
async fn a_batch_that_does_not_add_up_is_not_committed() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    let (parts, _) = stage(&dataset, &[("m1", 3)]);
    let wrong = vec![meeting("m1", 4)];
    let error = dataset
        .commit(parts.clone(), wrong)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("3 records, its meetings 4"), "{error}");
    let twice = vec![meeting("m1", 3), meeting("m1", 0)];
    let error = dataset.commit(parts, twice).await.unwrap_err().to_string();
    assert!(error.contains("m1 is twice"), "{error}");
    assert_eq!(seen(&home), rows(&[]));
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_fails_the_commit_and_keeps_the_dataset() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3)]).await;
    let ledger = home.path().join("data").join(ledger::FOLDER);
    let aside = home.path().join("aside");
    fs::rename(&ledger, &aside).unwrap();
    fs::write(&ledger, "in the way").unwrap();
    let (parts, meetings) = stage(&dataset, &[("m2", 3)]);
    let error = dataset
        .commit(parts, meetings)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("00000000000000000002.json"), "{error}");
    drop(dataset);
    fs::remove_file(&ledger).unwrap();
    fs::rename(&aside, &ledger).unwrap();
    let mut again = open(&home, "two").await;
    assert!(!again.holds(&uuid("m2")));
    commit(&mut again, &[("m2", 3)]).await;
    assert_eq!(seen(&home), rows(&[("m1", 3), ("m2", 3)]));
}

#[tokio::test]
async fn a_finished_run_leaves_its_report_and_no_staging() {
    let home = tempfile::tempdir().unwrap();
    let mut dataset = open(&home, "one").await;
    commit(&mut dataset, &[("m1", 3), ("empty", 0)]).await;
    let report = report("one");
    dataset.finish(&report).await.unwrap();
    assert!(staging_folders(&home).is_empty());
    let text = fs::read(home.path().join("data/_rollbook/runs/one.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&text).unwrap(), report);

    let status = status(&dest(&home)).await.unwrap();
    assert_eq!(
        (status.meetings, status.empty_meetings, status.records),
        (2, 1, 3)
    );
    assert_eq!(
        (status.entries, status.parts, status.damaged.len()),
        (1, 1, 0)
    );
    assert_eq!(status.runs.len(), 1);
    assert!(status.runs[0].is_finished && status.runs[0].records == 3);
    assert!(status.unfinished.is_empty());
}

#[tokio::test]
async fn the_last_report_tells_what_is_left_unless_the_dataset_has_it_by_now() {
    let home = tempfile::tempdir().unwrap();
    let left = |name: &str, status, cause: &str| MeetingReport {
        conf_uuid: uuid(name),
        status,
        count: None,
        records: 0,
        requests: 2,
        proof: None,
        pages: None,
        seams: None,
        day: None,
        cause: Some(cause.to_owned()),
        request_id: None,
    };
    // The run that ended last has not the last name.
    for (run_id, day, names) in [("b", 2, ["m1", "m2"]), ("c", 1, ["m3", "m4"])] {
        let mut dataset = open(&home, run_id).await;
        let mut report = report(run_id);
        report.finished += chrono::TimeDelta::days(day);
        report.outcome = Outcome::Incomplete;
        report.per_meeting = vec![
            left(names[0], MeetingStatus::Failed, "answered 500"),
            left(names[1], MeetingStatus::Unfinished, "the run stopped first"),
        ];
        dataset.finish(&report).await.unwrap();
    }
    let runs = home.path().join("data").join(RUNS);
    fs::write(runs.join("newer.json"), "{}").unwrap();
    let told = status(&dest(&home)).await.unwrap().left.unwrap();
    assert_eq!(
        (&*told.run_id, told.incomplete, told.unfinished),
        ("b", 1, 1)
    );
    assert_eq!(told.meetings[0].cause.as_deref(), Some("answered 500"));

    let mut next = open(&home, "d").await;
    commit(&mut next, &[("m1", 3)]).await;
    let told = status(&dest(&home)).await.unwrap().left.unwrap();
    assert_eq!((told.incomplete, told.unfinished), (0, 1));
    commit(&mut next, &[("m2", 3)]).await;
    let told = status(&dest(&home)).await.unwrap();
    assert_eq!(told.left, None);
    let cut_off = told.runs.iter().find(|run| run.run_id == "d").unwrap();
    assert!(!cut_off.is_finished);
}

#[tokio::test]
async fn runs_are_told_as_they_began_and_ended_whatever_their_names() {
    let home = tempfile::tempdir().unwrap();
    let second: chrono::DateTime<Utc> = "2026-01-05T00:00:01Z".parse().unwrap();
    let at = |ms| second + chrono::TimeDelta::milliseconds(ms);
    // Begun later, begun first and ended later, begun and ended first, cut off in that second.
    for (run_id, times) in [
        ("20260105T000001Z-aaaaaa", Some((at(500), at(900)))),
        ("20260105T000001Z-bbbbbb", Some((at(100), at(900)))),
        ("20260105T000001Z-cccccc", Some((at(100), at(800)))),
        ("20260105T000002Z-aaaaaa", None),
        ("20260105T000000Z-zzzzzz", None),
    ] {
        let mut dataset = open(&home, run_id).await;
        commit(&mut dataset, &[(&run_id[13..], 1)]).await;
        if let Some((started, finished)) = times {
            let mut report = report(run_id);
            (report.started, report.finished) = (started, finished);
            dataset.finish(&report).await.unwrap();
        }
    }
    let told = status(&dest(&home)).await.unwrap().runs;
    let order: Vec<_> = told.iter().map(|run| &run.run_id[13..]).collect();
    assert_eq!(
        order,
        [
            "00Z-zzzzzz",
            "01Z-cccccc",
            "01Z-bbbbbb",
            "01Z-aaaaaa",
            "02Z-aaaaaa"
        ]
    );
}

#[tokio::test]
async fn a_folder_that_is_no_dataset_has_no_status() {
    let home = tempfile::tempdir().unwrap();
    let error = status(home.path().to_str().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("not a dataset"), "{error}");
    assert!(status(&dest(&home)).await.is_err());
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

fn report(run_id: &str) -> Report {
    use crate::report::{MeetingCounts, Quota, REPORT_VERSION, Requests};
    let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
    let rate = crate::rate::Rate::per_minute(60);
    Report {
        version: REPORT_VERSION,
        rollbook: "0.1.0".to_owned(),
        run_id: run_id.to_owned(),
        started: at,
        finished: at,
        outcome: Outcome::Complete,
        error: None,
        out: "data".to_owned(),
        format: Format::Ndjson,
        base_url: "https://meeting.example.com".to_owned(),
        language: crate::record::Language::EnUs,
        pii: None,
        beside: vec![],
        single_writer: false,
        window: None,
        meetings: MeetingCounts::default(),
        records: 3,
        parts: 1,
        bytes: 1,
        partitioning: None,
        partitions: 0,
        requests: Requests::default(),
        quota: Quota {
            asked: rate,
            rate,
            bound_ms: 0,
            elapsed_ms: 0,
            paused_ms: 0,
        },
        anomalies: BTreeMap::new(),
        failures: [].into(),
        replaced_surrogates: 0,
        per_meeting: Vec::new(),
    }
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
