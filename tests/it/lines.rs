//! NDJSON as its readers see it: a file never without a line, and a line for each record.

use std::fs;
use std::path::PathBuf;

use rollbook::{Format, ParquetEncodings};
use serde_json::{Value, json};

use crate::readers;
use crate::stage::Stage;
use crate::venv;

/// What pyarrow, Polars and the lines of Python find in the parts of a dataset.
fn read(parts: &[PathBuf]) -> Value {
    venv::ask("ndjson_files.py", &[], &json!(parts))
}

fn parts(stage: &Stage, folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(stage.path(folder)) else {
        return vec![];
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

#[test]
fn an_empty_night_leaves_no_empty_file_of_lines_to_the_readers_of_the_next_one() {
    let stage = Stage::of(&[0, 3]);
    let export = |meeting: usize| {
        stage.list("night.txt", [meeting]);
        let list = ["-q", "export", "--meetings", "night.txt", "--out", "out"];
        let mut command = stage.command(&[&list[..], &["--format", "ndjson"]].concat());
        let ended = command.env("ROLLBOOK_WITH_MEETINGS", "true").output();
        assert!(ended.unwrap().status.success());
    };
    export(0);
    assert!(parts(&stage, "out").is_empty());
    let status = stage.run(&["status", "out"]);
    let said = "none yet; in NDJSON there is no part without one";
    assert!(status.answer().contains(said), "{}", status.answer());
    stage.run(&["verify", "out"]).with(0);
    stage.run(&["compact", "out"]).with(0);
    export(1);
    let found = read(&parts(&stage, "out"));
    assert_eq!(found, json!({"pyarrow": 3, "polars": 3, "splitlines": 3}));
    // The meetings of both nights are there, the one without a record too.
    let found = read(&parts(&stage, "out/meetings"));
    assert_eq!(found, json!({"pyarrow": 2, "polars": 2, "splitlines": 2}));
    stage.run(&["verify", "out"]).with(0);
}

#[test]
fn a_dataset_of_lines_whose_last_meeting_is_purged_has_no_empty_file() {
    let stage = Stage::of(&[3, 5]);
    let list = ["-q", "export", "--meetings", "list.txt", "--out", "out"];
    let mut command = stage.command(&[&list[..], &["--format", "ndjson"]].concat());
    let ended = command.env("ROLLBOOK_WITH_MEETINGS", "true").output();
    assert!(ended.unwrap().status.success());
    let purge = ["purge", "out", "--meetings", "list.txt"];
    stage.run(&purge).with(0);
    assert!(parts(&stage, "out").is_empty());
    assert!(parts(&stage, "out/meetings").is_empty());
    stage.run(&["verify", "out"]).with(0);
    stage.run(&["compact", "out"]).with(0);
}

#[tokio::test]
async fn a_record_is_one_line_to_readers_whatever_is_in_a_name() {
    let home = tempfile::tempdir().unwrap();
    let truth = readers::encoded(home.path(), Format::Ndjson, ParquetEncodings::Modern).await;
    let entries = fs::read_dir(home.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = read(&paths.filter(|path| path.is_file()).collect::<Vec<_>>());
    let rows = truth.rows;
    assert_eq!(
        found,
        json!({"pyarrow": rows, "polars": rows, "splitlines": rows})
    );
}
