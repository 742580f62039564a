mod commit;
mod concurrent_runs;
mod faults;
mod finish;
mod lease;
mod open;
mod recover;
mod replace;
mod rewrite;
mod salt;
#[cfg(feature = "delta")]
mod table;

use std::collections::BTreeMap;
use std::fs;

use chrono::Utc;
use tempfile::TempDir;

use super::ledger::tests::meeting;
use super::ledger::{CommittedMeeting, checkpoint};
use super::writer::tests::{options, page};
use super::writer::{BatchWriter, StagedPart};
use super::{ledger, *};
use crate::error::{Error, Result};
use crate::report::{Outcome, Report};
use crate::values::{Compression, Format};

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
    let rows = crate::dataset::writer::tests::meetings(described);
    parts.push(writer.meetings(&rows).unwrap());
    (parts, batch)
}

fn report(run_id: &str) -> Report {
    use crate::report::{MeetingCounts, Quota, REPORT_VERSION, Requests};
    let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
    let rate = crate::values::Rate::per_minute(60);
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
        clock: None,
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
        ledger: None,
        without_records: vec![],
        same_records: vec![],
        per_meeting: Vec::new(),
        unfinished_left_out: 0,
    }
}
