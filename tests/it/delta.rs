//! The dataset as a Delta table: what its readers see, and that the log is what the ledger says,
//! whoever dies or writes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rollbook::simulator::{Effect, Fault};
use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dying::{Saved, die, everywhere, first_and_last};
use crate::partitions;
use crate::stage::{Ended, Running, Stage, name, until};
use crate::venv;

/// Small and empty meetings, and some of several pages.
const SIZES: [u64; 7] = [3, 0, 250, 140, 99, 620, 40];

const DELTA: [&str; 2] = ["--table", "delta"];

/// An export of these meetings alone.
#[track_caller]
fn night(stage: &Stage, meetings: impl IntoIterator<Item = usize>, args: &[&str]) {
    stage.list("night.txt", meetings);
    let export = ["-q", "export", "--meetings", "night.txt", "--out", "out"];
    assert_eq!(stage.run(&[&export, args].concat()).with(0), "");
}

/// As many nights as meetings, each with a commit of its own.
fn nights(stage: &Stage) {
    for meeting in 0..SIZES.len() {
        night(stage, [meeting], &DELTA);
    }
}

#[test]
fn a_table_has_the_lowest_protocol_and_a_deltalake_of_2023_reads_it() {
    let stage = Stage::of(&SIZES);
    nights(&stage);
    stage.run(&["compact", "out"]).with(0);
    let log = fs::read_to_string(stage.path("out/_delta_log/00000000000000000000.json")).unwrap();
    let protocol = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#;
    assert!(log.lines().any(|action| action == protocol), "{log}");
    let python = venv::python_of("old-delta.txt");
    let found = venv::ask_by(&python, "old_delta.py", &[], &json!(stage.path("out")));
    assert_eq!(found["deltalake"], "0.10.0");
    assert_eq!(found["protocol"], json!([1, 2]));
    assert_eq!(found["rows"], SIZES.iter().sum::<u64>());
    assert_eq!(found["duration_ms"], seen(&stage).deltalake.duration_ms);
    stage.verified().with(0);
}

/// The log as its files say it: the actions of each version.
struct Log {
    out: PathBuf,
    versions: Vec<Vec<Value>>,
}

impl Log {
    fn of(stage: &Stage, out: &str) -> Self {
        let out = stage.path(out);
        let mut paths: Vec<_> = fs::read_dir(out.join("_delta_log"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .collect();
        paths.sort();
        let actions = |path: PathBuf| -> Vec<Value> {
            let text = fs::read_to_string(path).unwrap();
            let lines = text.lines();
            lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        };
        let versions = paths.into_iter().map(actions).collect();
        Self { out, versions }
    }

    fn version(&self) -> usize {
        self.versions.len() - 1
    }

    fn actions<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let actions = self.versions.iter().flatten();
        actions.filter_map(move |action| action.get(kind))
    }

    fn sequences(&self) -> Vec<u64> {
        let sequences = self.actions("txn").map(|txn| txn["version"].as_u64());
        sequences.map(Option::unwrap).collect()
    }

    /// The files of the newest version, with their bytes and rows.
    fn live(&self) -> BTreeMap<String, (u64, u64)> {
        let mut live = BTreeMap::new();
        for action in self.versions.iter().flatten() {
            if let Some(add) = action.get("add") {
                let statistics: Value =
                    serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
                let size = add["size"].as_u64().unwrap();
                let rows = statistics["numRecords"].as_u64().unwrap();
                live.insert(add["path"].as_str().unwrap().to_owned(), (size, rows));
            } else if let Some(remove) = action.get("remove") {
                live.remove(remove["path"].as_str().unwrap());
            }
        }
        live
    }

    /// One commit for each entry of the ledger, in order; and the files of the newest version are
    /// the parts that a reader's glob finds.
    #[track_caller]
    fn assert_level(&self) {
        let entries = fs::read_dir(self.out.join("_rollbook/ledger")).unwrap();
        let entries: Vec<_> = (1..=entries.count() as u64).collect();
        assert_eq!(self.sequences(), entries);
        let parts = fs::read_dir(&self.out).unwrap();
        let mut paths: Vec<_> = parts
            .map(|part| part.unwrap().path())
            .filter(|part| part.is_file())
            .map(|part| name(&part))
            .collect();
        paths.extend(partitions::parts(&self.out, "join_date"));
        let size = |path: &str| fs::metadata(self.out.join(path)).unwrap().len();
        let parts: BTreeMap<_, _> = paths
            .into_iter()
            .map(|path| (path.clone(), size(&path)))
            .collect();
        let live = self.live().into_iter();
        assert_eq!(
            live.map(|(path, (size, _))| (path, size))
                .collect::<BTreeMap<_, _>>(),
            parts
        );
        let apps: BTreeSet<_> = self
            .actions("txn")
            .map(|txn| txn["appId"].as_str())
            .collect();
        assert!(apps.len() <= 1, "{apps:?}");
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) version: usize,
    history: Vec<String>,
    required: Vec<String>,
    comments: usize,
    types: BTreeMap<String, String>,
    pub(crate) deltalake: View,
    pub(crate) polars: View,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct View {
    pub(crate) rows: Vec<(String, i64, String)>,
    duration_ms: i64,
    first_join: i64,
}

pub(crate) fn read(uri: &str, options: &str) -> Seen {
    serde_json::from_str(&venv::run("delta_table.py", &["read", uri, options])).unwrap()
}

/// What readers of the table see, both the same.
#[track_caller]
fn seen(stage: &Stage) -> Seen {
    let mut seen = read(stage.path("out").to_str().unwrap(), "{}");
    for reader in [&mut seen.deltalake, &mut seen.polars] {
        in_order(stage, &mut reader.rows);
    }
    assert_eq!(seen.deltalake, seen.polars);
    seen
}

/// Sorts rows as the meetings stand in the list.
pub(crate) fn in_order(stage: &Stage, rows: &mut [(String, i64, String)]) {
    let meetings = stage.simulator.meetings();
    rows.sort_by_cached_key(|(meeting, index, _)| {
        let at = meetings.iter().position(|known| known.as_str() == meeting);
        (at, *index)
    });
}

/// The records by the dates that the readers of the table see.
#[track_caller]
fn assert_dated(stage: &Stage, column: &str) {
    let out = stage.path("out");
    let args = ["partitions", out.to_str().unwrap(), column];
    let told: Value = serde_json::from_str(&venv::run("delta_table.py", &args)).unwrap();
    let truth = json!(partitions::counted(&out, column));
    let expected = json!({
        "columns": [column],
        "last": column,
        "deltalake": truth,
        "polars": truth,
    });
    assert_eq!(told, expected);
}

#[rstest]
#[case::of_the_record("join-date")]
#[case::of_the_meeting("meeting-date")]
fn the_date_that_tells_partitions_apart_is_a_column_of_the_table(#[case] by: &str) {
    let stage = partitions::midnights();
    let column = by.replace('-', "_");
    night(
        &stage,
        0..2,
        &[&DELTA[..], &["--partition-by", by]].concat(),
    );
    assert_dated(&stage, &column);
    night(&stage, 2..5, &[]);
    night(&stage, 5..9, &[]);
    assert_dated(&stage, &column);
    stage.run(&["compact", "out"]).with(0);
    assert_dated(&stage, &column);
    stage.verified().with(0);
}

#[test]
fn a_table_of_partitions_follows_what_is_merged_purged_restored_and_lost() {
    let stage = partitions::midnights();
    for meeting in 0..9 {
        let by = ["--partition-by", "join-date"];
        night(&stage, [meeting], &[&DELTA[..], &by].concat());
    }
    let live = || {
        let log = Log::of(&stage, "out");
        log.assert_level();
        log.live()
    };
    let before = live().len();
    stage.run(&["compact", "out"]).with(0);
    assert!(live().len() < before);
    assert_dated(&stage, "join_date");
    let gone = stage.meeting(1);
    stage.run(&["purge", "out", "--meeting", &gone]).with(0);
    let purged = live();
    assert_dated(&stage, "join_date");

    let lose = || {
        let part = live().into_keys().next().unwrap();
        fs::remove_file(stage.path("out").join(part)).unwrap();
    };
    lose();
    let said = stage.run(&["verify", "out", "--repair"]);
    assert!(said.answer().contains("restored from"), "{said:?}");
    said.with(0);
    assert_eq!(rows_of(&live()), rows_of(&purged));
    assert_dated(&stage, "join_date");

    fs::remove_dir_all(stage.path("out/_rollbook/replaced")).unwrap();
    lose();
    let said = stage.run(&["verify", "out", "--repair"]);
    assert!(said.answer().contains("dropped meeting"), "{said:?}");
    said.with(0);
    assert_dated(&stage, "join_date");
    stage.export(&["-q"]).with(0);
    assert_eq!(rows_of(&live()), rows_of(&purged));
    assert_dated(&stage, "join_date");
    stage.verified().with(0);
}

fn rows_of(live: &BTreeMap<String, (u64, u64)>) -> u64 {
    live.values().map(|(_, rows)| rows).sum()
}

#[test]
fn a_run_that_began_before_the_table_was_made_is_in_it_when_it_ends() {
    let stage =
        Stage::of(&[3, 7]).fault(Fault::new(Effect::Delay(Duration::from_secs(3))).first(1));
    stage.list("slow.txt", [0]);
    let slow = ["export", "--meetings", "slow.txt", "--out", "out"];
    let slow = Running::start(&mut stage.command(&slow));
    until("the run that waits", || stage.simulator.request_count() > 0);
    night(&stage, [1], &DELTA);
    assert_eq!(Log::of(&stage, "out").sequences(), [1]);
    let (code, said) = slow.end();
    assert_eq!(code, Some(0), "{said}");
    let log = Log::of(&stage, "out");
    log.assert_level();
    assert_eq!(log.sequences(), [1, 2]);
    stage.assert_rows(&seen(&stage).polars.rows, &[0, 1]);
}

#[test]
fn a_table_without_a_record_is_told_apart_as_it_was_made() {
    let stage = Stage::of(&SIZES);
    stage.list("night.txt", [0]);
    let export = ["export", "--meetings", "night.txt", "--out", "out"];
    let dated = [&export[..], &DELTA, &["--partition-by", "join-date"]].concat();
    die(stage.command(&dated), "DeltaPut", 1);
    assert_eq!(Log::of(&stage, "out").version(), 0);
    let said = stage.run(&export).with(3);
    let line = "the Delta table is partitioned by join_date, and what this run writes is not";
    assert!(said.contains(line), "{said}");
    stage.run(&dated).with(0);
    assert_dated(&stage, "join_date");
}

#[test]
fn each_night_is_a_version_that_readers_read_whole() {
    let stage = Stage::of(&SIZES);
    night(&stage, [0, 1, 2], &DELTA);
    night(&stage, [3], &[]);
    night(&stage, [4, 5, 6], &[]);
    let log = Log::of(&stage, "out");
    log.assert_level();
    assert_eq!(log.version(), 3);
    let found = seen(&stage);
    let all: Vec<_> = (0..SIZES.len()).collect();
    stage.assert_rows(&found.polars.rows, &all);
    let truth = stage.simulator.meetings().into_iter();
    let truth: Vec<_> = truth
        .flat_map(|meeting| stage.simulator.truth(&meeting))
        .collect();
    let stays = truth
        .iter()
        .map(|record| rollbook::Stay::new(Some(record.join_time), record.left_time));
    let stays: Vec<_> = stays.collect();
    let durations = stays.iter().filter_map(|stay| stay.duration);
    assert_eq!(found.polars.duration_ms, durations.sum::<i64>());
    let first = stays.iter().filter_map(|stay| stay.join).min();
    assert_eq!(Some(found.polars.first_join), first);
    assert_eq!(found.required, ["conf_uuid", "record_index"]);
    assert_eq!(found.comments, 12);
    assert_eq!(
        found.types["join_time"],
        "Datetime(time_unit='us', time_zone='UTC')"
    );
    assert_eq!(found.history, ["CREATE TABLE", "WRITE", "WRITE", "WRITE"]);

    // What is there already is no commit.
    stage.requests();
    stage.export(&DELTA).silently(0);
    assert_eq!(stage.requests(), 0);
    assert_eq!(Log::of(&stage, "out").version(), 3);
    stage.verified().with(0);
    let status = stage.run(&["status", "out"]);
    let line = "table        v3  a Delta table, level with the ledger";
    assert!(status.answer().contains(line), "{}", status.answer());
}

#[test]
fn a_dataset_that_is_there_becomes_a_table_in_one_commit_and_stays_one() {
    let stage = Stage::of(&SIZES);
    for meeting in 0..4 {
        night(&stage, [meeting], &[]);
    }
    assert!(!stage.path("out/_delta_log").exists());
    night(&stage, [3], &DELTA);
    let log = Log::of(&stage, "out");
    assert_eq!((log.version(), log.sequences()), (0, vec![4]));
    assert_eq!(log.live().len(), 3);
    night(&stage, 4..7, &[]);
    assert_eq!(Log::of(&stage, "out").sequences(), [4, 5]);
    let found = seen(&stage);
    assert_eq!(found.version, 1);
    stage.assert_rows(&found.polars.rows, &[0, 1, 2, 3, 4, 5, 6]);
    stage.verified().with(0);
}

#[test]
fn merged_purged_and_lost_rows_leave_the_table_as_they_leave_the_dataset() {
    let stage = Stage::of(&SIZES);
    nights(&stage);
    stage.run(&["compact", "out"]).with(0);
    let found = seen(&stage);
    stage.assert_rows(&found.polars.rows, &[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(found.history.last().unwrap(), "OPTIMIZE");
    let log = Log::of(&stage, "out");
    log.assert_level();
    let merged: Vec<_> = log.versions.last().unwrap().iter().collect();
    let changes = merged
        .iter()
        .flat_map(|action| [action.get("add"), action.get("remove")]);
    assert!(
        changes.flatten().all(|file| file["dataChange"] == false),
        "{merged:?}"
    );

    let gone = stage.meeting(2);
    stage.run(&["purge", "out", "--meeting", &gone]).with(0);
    let found = seen(&stage);
    stage.assert_rows(&found.deltalake.rows, &[0, 1, 3, 4, 5, 6]);
    assert_eq!(found.history.last().unwrap(), "UPDATE");
    let log = Log::of(&stage, "out");
    log.assert_level();
    let removed = log.actions("remove").last().unwrap();
    assert_eq!(removed["dataChange"], true);

    // What is kept of the parts that were merged brings a lost one back.
    let lose = |log: &Log| {
        let part = log.live().into_keys().next().unwrap();
        fs::remove_file(stage.path("out").join(part)).unwrap();
    };
    lose(&log);
    stage.export(&["-q"]).with(0);
    let log = Log::of(&stage, "out");
    log.assert_level();
    let found = seen(&stage);
    stage.assert_rows(&found.polars.rows, &[0, 1, 3, 4, 5, 6]);
    assert_eq!(found.history.last().unwrap(), "OPTIMIZE");

    fs::remove_dir_all(stage.path("out/_rollbook/replaced")).unwrap();
    lose(&log);
    stage.export(&["-q"]).with(0);
    let log = Log::of(&stage, "out");
    log.assert_level();
    assert_eq!(log.version(), 7 + 1 + 1 + 1 + 2);
    let mut found = seen(&stage);
    assert_eq!(found.history.split_off(11), ["DELETE", "WRITE"]);
    stage.assert_rows(&found.polars.rows, &[0, 1, 3, 4, 5, 6]);
    stage.verified().with(0);
}

#[test]
fn a_meeting_that_is_read_again_is_replaced_by_one_commit_that_changes_data() {
    let stage = Stage::of(&SIZES);
    night(&stage, 0..SIZES.len(), &DELTA);
    let before = Log::of(&stage, "out").version();
    // As many rows as before: nothing but the word of the ledger tells that they are others.
    night(&stage, 0..SIZES.len(), &["--again"]);
    let log = Log::of(&stage, "out");
    log.assert_level();
    assert_eq!(log.version(), before + 1);
    let actions = log.versions.last().unwrap();
    let changes = actions.iter().filter_map(|action| {
        let change = action.get("add").or_else(|| action.get("remove"))?;
        change["dataChange"].as_bool()
    });
    let changes: Vec<_> = changes.collect();
    assert!(
        changes.len() >= 2 && changes.iter().all(|change| *change),
        "{actions:?}"
    );
    stage.verified().with(0);
}

/// A command that dies at each point of interest, each time from the same dataset; tells the points.
fn die_everywhere(
    stage: &Stage,
    command: impl Fn() -> Command,
    is_of_interest: impl Fn(&str) -> bool,
    check: impl Fn(),
) -> BTreeSet<String> {
    let saved = Saved::of(stage, &["out"]);
    let wanted = |point: &str, hits| {
        let mut wanted = first_and_last(point, hits);
        wanted.retain(|_| is_of_interest(point));
        wanted
    };
    everywhere(command, || saved.put_back(), wanted, |_, _| check())
}

/// From the first part on its way to its name to the end of the commit.
fn is_of_commits(point: &str) -> bool {
    point.starts_with("Delta")
        || [
            "EntryReady",
            "EntryPut",
            "PartPublished",
            "VoidRemoved",
            "Retracted",
        ]
        .contains(&point)
}

#[test]
fn an_export_that_dies_at_any_step_of_a_commit_is_in_the_table_once() {
    let stage = Stage::of(&SIZES);
    let export = || {
        let mut command = stage.command(&["-q", "export", "--meetings", "list.txt"]);
        command
            .args(["--out", "out", "--part-rows", "300"])
            .args(DELTA);
        command
    };
    let hit = die_everywhere(&stage, export, is_of_commits, || {
        export().status().unwrap();
        let log = Log::of(&stage, "out");
        log.assert_level();
        let rows: u64 = log.live().values().map(|(_, rows)| rows).sum();
        assert_eq!(rows, SIZES.iter().sum::<u64>());
        stage.verified().with(0);
    });
    for point in ["EntryPut", "PartPublished", "DeltaReady", "DeltaPut"] {
        assert!(hit.contains(point), "{hit:?}");
    }
    stage.assert_rows(&seen(&stage).polars.rows, &[0, 1, 2, 3, 4, 5, 6]);
}

#[rstest]
#[case::compaction(&["compact", "out"], &[0, 1, 2, 3, 4, 5, 6])]
#[case::purge(&["purge", "out", "--meeting", "THIRD"], &[0, 1, 3, 4, 5, 6])]
fn a_command_that_dies_while_it_writes_rows_again_is_in_the_table_once(
    #[case] args: &[&str],
    #[case] left: &[usize],
) {
    let stage = Stage::of(&SIZES);
    nights(&stage);
    let third = stage.meeting(2);
    let args: Vec<_> = args
        .iter()
        .map(|&arg| if arg == "THIRD" { third.as_str() } else { arg })
        .collect();
    let command = || stage.command(&args);
    let hit = die_everywhere(&stage, command, is_of_commits, || {
        stage.run(&args).with(0);
        Log::of(&stage, "out").assert_level();
        stage.verified().with(0);
    });
    for point in ["VoidRemoved", "DeltaReady", "DeltaPut"] {
        assert!(hit.contains(point), "{hit:?}");
    }
    stage.assert_rows(&seen(&stage).deltalake.rows, left);
}

#[test]
fn entries_that_were_replaced_before_they_came_into_the_table_never_do() {
    let stage = Stage::of(&SIZES);
    night(&stage, [0], &DELTA);
    // As if the runs after the first had not known of the table.
    fs::rename(stage.path("out/_delta_log"), stage.path("log")).unwrap();
    for meeting in 1..SIZES.len() {
        night(&stage, [meeting], &[]);
    }
    stage.run(&["compact", "out", "--keep", "0s"]).with(0);
    let gone = stage.meeting(2);
    stage.run(&["purge", "out", "--meeting", &gone]).with(0);
    fs::rename(stage.path("log"), stage.path("out/_delta_log")).unwrap();
    let found = stage.verified();
    assert!(
        found
            .answer()
            .contains("_delta_log: has 1 of the ledger's 9 entries"),
        "{found:?}"
    );
    assert_eq!(found.code, Some(1));
    stage.export(&["-q"]).with(0);
    let log = Log::of(&stage, "out");
    log.assert_level();
    let added: Vec<_> = log
        .actions("add")
        .map(|add| add["path"].as_str().unwrap())
        .collect();
    assert_eq!(added.len(), 2, "{added:?}");
    stage.assert_rows(&seen(&stage).polars.rows, &[0, 1, 3, 4, 5, 6]);
    stage.verified().with(0);
}

/// Puts as many entries without a meeting behind those that there are.
fn grow(stage: &Stage, entries: u64) {
    let ledger = stage.path("out/_rollbook/ledger");
    let there = fs::read_dir(&ledger).unwrap().count() as u64;
    for sequence in there + 1..=there + entries {
        let entry = format!(
            r#"{{"version":1,"sequence":{sequence},"run_id":"hourly","committed_at":"2026-01-02T03:04:05Z","parts":[],"meetings":[],"retracts":[]}}"#
        );
        fs::write(ledger.join(format!("{sequence:020}.json")), entry).unwrap();
    }
}

#[test]
fn a_long_log_is_summed_up_and_goes_on_wherever_a_run_dies() {
    let stage = Stage::of(&SIZES);
    night(&stage, [0, 1], &DELTA);
    grow(&stage, 120);
    let export = || {
        let mut command = stage.command(&["-q", "export", "--meetings", "list.txt"]);
        command.args(["--out", "out"]);
        command
    };
    let is_delta = |point: &str| point.starts_with("Delta");
    let hit = die_everywhere(&stage, export, is_delta, || {
        export().status().unwrap();
        Log::of(&stage, "out").assert_level();
        assert!(stage.path("out/_delta_log/_last_checkpoint").exists());
    });
    assert!(hit.contains("DeltaCheckpointPut"), "{hit:?}");
    stage.verified().with(0);
    stage.assert_rows(&seen(&stage).polars.rows, &[0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn two_runs_at_once_make_one_table() {
    const MEETINGS: usize = 40;
    let sizes: Vec<_> = (0..MEETINGS as u64).map(|at| at % 7 * 100).collect();
    let stage = Stage::of(&sizes).fault(Fault::new(Effect::Delay(Duration::from_millis(3))));
    stage.list("back.txt", (0..MEETINGS).rev());
    let start = |list: &str| {
        let args = [
            "export",
            "--out",
            "out",
            "--meetings",
            list,
            "--part-rows",
            "600",
        ];
        let mut command = stage.command(&args);
        command
            .args(DELTA)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for run in [start("list.txt"), start("back.txt")] {
        Ended::new(run.wait_with_output().unwrap()).silently(0);
    }
    let log = Log::of(&stage, "out");
    log.assert_level();
    assert!(
        log.version() > 4,
        "{} versions are no contest",
        log.version()
    );
    let all: Vec<_> = (0..MEETINGS).collect();
    stage.assert_rows(&seen(&stage).polars.rows, &all);
    stage.verified().with(0);
}

fn by_another_tool(stage: &Stage, what: &str) {
    let out = stage.path("out");
    venv::run("delta_table.py", &[what, out.to_str().unwrap()]);
}

#[test]
fn rows_of_others_stop_no_export_are_found_and_leave_by_a_repair() {
    let stage = Stage::of(&SIZES);
    night(&stage, [0, 2], &DELTA);
    by_another_tool(&stage, "append");
    night(&stage, 3..7, &[]);
    night(&stage, [1], &[]);
    let log = Log::of(&stage, "out");
    assert_eq!(log.sequences(), [1, 2, 3]);
    assert_eq!(log.version(), 4);
    let found = stage.verified();
    assert_eq!(found.code, Some(1));
    assert!(
        found
            .answer()
            .contains("in the Delta table: no ledger entry holds it"),
        "{found:?}"
    );
    stage.run(&["verify", "out", "--repair"]).with(0);
    Log::of(&stage, "out").assert_level();
    stage.assert_rows(&seen(&stage).polars.rows, &[0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_others_merged_is_never_doubled() {
    let stage = Stage::of(&SIZES);
    nights(&stage);
    by_another_tool(&stage, "optimize");
    let said = stage.run(&["compact", "out"]).with(1);
    assert!(
        said.contains("was changed by somebody else") && said.contains("--repair"),
        "{said}"
    );
    let said = stage.export(&[]).with(1);
    assert!(said.contains("was changed by somebody else"), "{said}");
    let mended = stage.run(&["verify", "out", "--repair"]);
    assert!(
        mended.answer().contains("moved _delta_log to"),
        "{mended:?}"
    );
    assert_eq!(mended.code, Some(0), "{mended:?}");
    stage.export(&[]).with(0);
    stage.assert_rows(&seen(&stage).polars.rows, &[0, 1, 2, 3, 4, 5, 6]);
}

#[rstest]
#[case::torn(|stage: &Stage| {
    let last = stage.path("out/_delta_log/00000000000000000007.json");
    let text = fs::read(&last).unwrap();
    fs::write(last, &text[..text.len() / 2]).unwrap();
})]
#[case::of_another_ledger(|stage: &Stage| {
    fs::rename(stage.path("out/_delta_log"), stage.path("log")).unwrap();
    fs::remove_dir_all(stage.path("out")).unwrap();
    nights(stage);
    fs::remove_dir_all(stage.path("out/_delta_log")).unwrap();
    fs::rename(stage.path("log"), stage.path("out/_delta_log")).unwrap();
})]
#[case::of_a_ledger_that_was_set_back(|stage: &Stage| {
    let log = stage.path("out/_rollbook/ledger/00000000000000000007.json");
    fs::remove_file(log).unwrap();
    fs::remove_file(stage.path("out/part-00000000000000000007-00000.parquet")).unwrap();
    // `verify` would name what the reports know of it.
    fs::remove_dir_all(stage.path("out/_rollbook/runs")).unwrap();
})]
fn a_log_that_cannot_be_used_is_refused_and_made_anew_by_a_repair(#[case] harm: fn(&Stage)) {
    let stage = Stage::of(&SIZES);
    nights(&stage);
    harm(&stage);
    let said = stage.export(&["-q"]).with(1);
    assert!(
        said.contains("_delta_log") && said.contains("verify --repair"),
        "{said}"
    );
    let found = stage.verified();
    assert_eq!(found.code, Some(1));
    assert!(
        found
            .answer()
            .contains("makes the Delta log what the ledger says"),
        "{found:?}"
    );
    let mended = stage.run(&["verify", "out", "--repair"]);
    assert!(
        mended
            .answer()
            .contains("moved _delta_log to _rollbook/set-aside"),
        "{mended:?}"
    );
    assert_eq!(mended.code, Some(0), "{mended:?}");
    stage.export(&["-q"]).with(0);
    stage.assert_rows(&seen(&stage).deltalake.rows, &[0, 1, 2, 3, 4, 5, 6]);
    stage.verified().with(0);
}

#[rstest]
#[case::lacks_a_part(|line: &str| (!line.contains("\"add\"")).then(|| line.to_owned()), "the table lacks it")]
#[case::has_another_size(|line: &str| Some(line.replace("\"size\":", "\"size\":1")), "bytes instead of")]
fn a_log_that_says_otherwise_is_mended_by_one_commit(
    #[case] harm: fn(&str) -> Option<String>,
    #[case] finding: &str,
) {
    let stage = Stage::of(&SIZES);
    nights(&stage);
    let fourth = stage.path("out/_delta_log/00000000000000000004.json");
    let text = fs::read_to_string(&fourth).unwrap();
    let lines: Vec<_> = text.lines().filter_map(harm).collect();
    fs::write(&fourth, lines.join("\n") + "\n").unwrap();
    let found = stage.verified();
    assert_eq!(found.code, Some(1));
    assert!(found.answer().contains(finding), "{found:?}");
    let mended = stage.run(&["verify", "out", "--repair"]);
    assert!(
        mended
            .answer()
            .contains("made the Delta log what the ledger says"),
        "{mended:?}"
    );
    assert_eq!(mended.code, Some(0), "{mended:?}");
    let log = Log::of(&stage, "out");
    log.assert_level();
    assert_eq!(log.version(), 8);
    stage.assert_rows(&seen(&stage).polars.rows, &[0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_table_of_fewer_columns_gets_those_that_it_lacks() {
    let stage = Stage::of(&SIZES);
    night(&stage, [0, 1, 2], &DELTA);
    // As if the first run had known all columns but the last.
    let first = stage.path("out/_delta_log/00000000000000000000.json");
    let text = fs::read_to_string(&first).unwrap();
    let lines = text.lines().map(|line| {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if let Some(text) = action.pointer_mut("/metaData/schemaString") {
            let mut schema: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
            schema["fields"].as_array_mut().unwrap().pop();
            *text = schema.to_string().into();
        }
        action.to_string() + "\n"
    });
    fs::write(&first, lines.collect::<String>()).unwrap();
    assert_eq!(seen(&stage).comments, 11);
    stage.verified().with(0);
    night(&stage, 3..7, &[]);
    let found = seen(&stage);
    assert_eq!(found.comments, 12);
    stage.assert_rows(&found.polars.rows, &[0, 1, 2, 3, 4, 5, 6]);
    stage.verified().with(0);
}

#[test]
fn a_table_of_other_files_than_parquet_is_refused() {
    let stage = Stage::of(&[3]);
    let said = stage
        .export(&["--table", "delta", "--format", "ndjson"])
        .with(2);
    assert!(
        said.contains("the files of a Delta table are Parquet"),
        "{said}"
    );
    assert_eq!(stage.requests(), 0);
}
