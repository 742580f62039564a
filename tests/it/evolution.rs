//! A dataset outlives the rollbook that began it: one of the first schema version is kept with the
//! tests for ever, and one that a newer rollbook extended is refused, and read by everybody else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::reading::{attended, counting, lines};
use crate::stage::Stage;
use crate::venv;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/fixtures/v1")
        .join(name)
}

/// The rows of a table of the dataset, as they were when it was made.
fn written(table: &str) -> Vec<Value> {
    let text = fs::read_to_string(fixture(&format!("{table}.ndjson"))).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Everything in a dataset that is data or says what is data, by its path.
fn files(dataset: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = ["", "meetings", "_rollbook/ledger"].map(|folder| dataset.join(folder));
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.is_file())
        .map(|path| {
            (
                path.strip_prefix(dataset).unwrap().to_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect()
}

/// A copy of the dataset of the first schema version.
fn copy(to: &Path) {
    let from = fixture("dataset");
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir(to.join(&folder)).unwrap();
        for entry in fs::read_dir(from.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                fs::copy(entry.path(), to.join(path)).unwrap();
            }
        }
    }
    assert_eq!(files(to).len(), 6);
}

/// Has a newer rollbook extend a copy of the dataset, `attendance`. Gives what the README's lines must
/// find where they count the new column.
pub(crate) fn grown(stage: &Stage) -> Value {
    let dataset = stage.path("attendance");
    copy(&dataset);
    let before = files(&dataset);
    venv::run("evolve.py", &[dataset.to_str().unwrap()]);
    let after = files(&dataset);
    assert_eq!(after.len(), before.len() + 3);
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));

    let (mut meetings, mut records) = (written("meetings"), written("records"));
    let newer = |row: &Value| {
        let mut row = row.clone();
        row["conf_uuid"] = json!("newer");
        row["join_source"] = json!("link");
        row
    };
    let first = meetings[0]["conf_uuid"].clone();
    let own = records.iter().filter(|record| record["conf_uuid"] == first);
    let own: Vec<_> = own.map(newer).collect();
    assert!(!own.is_empty());
    records.extend(own);
    meetings.push(newer(&meetings[0]));
    attended(&meetings, &records, |record| {
        i64::from(record["join_source"].is_string())
    })
}

#[test]
fn a_dataset_of_the_first_schema_version_is_sound_and_read_and_extended_without_rewriting() {
    let stage = Stage::of(&[3, 40]);
    let out = stage.path("out");
    copy(&out);
    let before = files(&out);
    let read = || venv::ask("rows.py", &[out.to_str().unwrap()], &json!(null));

    stage.verified().with(0);
    let found = read();
    for table in ["records", "meetings"] {
        assert_eq!(found[table], json!([written(table), written(table)]));
    }

    stage.export(&[]).with(0);
    stage.verified().with(0);
    let after = files(&out);
    assert_eq!(after.len(), before.len() + 3);
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));
    let found = read();
    for (table, more) in [("records", 43), ("meetings", 2)] {
        let written = written(table);
        for rows in found[table].as_array().unwrap() {
            let rows = rows.as_array().unwrap();
            assert_eq!(rows[..written.len()], written);
            assert_eq!(rows.len(), written.len() + more);
        }
    }
}

#[test]
fn a_dataset_that_a_newer_rollbook_extended_is_refused_and_read_by_the_lines_of_the_readme() {
    let stage = Stage::of(&[3]);
    let truth = grown(&stage);
    let before = files(&stage.path("attendance"));
    for command in [
        &["export", "--meetings", "list.txt", "--out", "attendance"][..],
        &["status", "attendance"],
        &["verify", "attendance"],
        &["verify", "--repair", "attendance"],
    ] {
        let said = stage.run(command).silently(1);
        let expected = "_rollbook/ledger/00000000000000000003.json: has version 2 of the schema of \
                        records, and this rollbook knows 1; use a newer rollbook";
        assert!(said.contains(expected), "{command:?}: {said}");
    }
    assert_eq!(stage.requests(), 0);
    assert!(files(&stage.path("attendance")) == before);

    let mut lines = lines();
    for text in lines.values_mut() {
        *text = counting(text);
    }
    let folder = stage.folder.path().to_str().unwrap();
    let found = venv::ask("reading.py", &[folder], &json!(lines));
    for name in lines.keys() {
        assert_eq!(found[name], truth, "{name}");
    }
}
