//! Records in a folder for each day: which, whatever the clocks do there; and that all else holds
//! as it does without partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::TimestampMillisecondType;
use bytes::Bytes;
use chrono::DateTime;
use chrono_tz::Tz;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollbook::Column;
use rollbook::simulator::{Effect, Fault, MeetingSpec, Options, RecordEdit};
use rstest::rstest;
use serde_json::{Value, json};

use crate::dying::{Saved, everywhere, first_and_last};
use crate::readme::README;
use crate::stage::{Stage, ended, name, rows};
use crate::venv;

const DATELESS: &str = "__HIVE_DEFAULT_PARTITION__";

/// One record as readers see it: its part, its meeting and index, and when it joined.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) part: String,
    pub(crate) meeting: String,
    index: i64,
    name: String,
    join: Option<i64>,
}

impl Seen {
    /// The value that the folder tells.
    fn value(&self) -> &str {
        let (folder, _) = self.part.split_once('/').unwrap();
        folder.split_once('=').unwrap().1
    }
}

/// The parts that a reader's glob finds, with their folders.
pub(crate) fn parts(out: &Path, column: &str) -> Vec<String> {
    let mut parts = vec![];
    for entry in fs::read_dir(out).unwrap() {
        let folder = entry.unwrap().path();
        if !name(&folder).starts_with(&format!("{column}=")) {
            continue;
        }
        for part in fs::read_dir(&folder).unwrap() {
            parts.push(format!("{}/{}", name(&folder), name(&part.unwrap().path())));
        }
    }
    parts.sort();
    parts
}

pub(crate) fn seen(out: &Path, column: &str) -> Vec<Seen> {
    let mut seen = vec![];
    for part in parts(out, column) {
        let bytes = Bytes::from(fs::read(out.join(&part)).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let joins = batch.column(Column::JoinTime.index());
            let joins = joins.as_primitive::<TimestampMillisecondType>();
            for (at, (meeting, index, name)) in rows(&batch).into_iter().enumerate() {
                let join = joins.is_valid(at).then(|| joins.value(at));
                let part = part.clone();
                seen.push(Seen {
                    part,
                    meeting,
                    index,
                    name,
                    join,
                });
            }
        }
    }
    seen
}

fn day(ms: Option<i64>, zone: Tz) -> String {
    let day = ms.map(|ms| {
        let instant = DateTime::from_timestamp_millis(ms).unwrap();
        instant.with_timezone(&zone).date_naive().to_string()
    });
    day.unwrap_or_else(|| DATELESS.to_owned())
}

/// Each record of the server is there once, and those of a meeting in a partition are in order.
#[track_caller]
pub(crate) fn assert_all(stage: &Stage, seen: &[Seen]) {
    let mut there: BTreeMap<&str, BTreeMap<i64, &str>> = BTreeMap::new();
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for row in seen {
        let twice = there
            .entry(&row.meeting)
            .or_default()
            .insert(row.index, &row.name);
        assert!(twice.is_none(), "{row:?}");
        let before = last.insert((row.value(), &row.meeting), row.index);
        assert!(before.is_none_or(|before| before < row.index), "{row:?}");
    }
    for meeting in stage.simulator.meetings() {
        let truth = stage.simulator.truth(&meeting);
        let names: Vec<_> = truth.iter().map(|record| &*record.display_name).collect();
        let rows = there.remove(meeting.as_str()).unwrap_or_default();
        assert!(rows.into_values().eq(names), "{meeting}");
    }
    assert!(there.is_empty());
}

fn at(time: &str) -> i64 {
    time.parse::<DateTime<chrono::Utc>>()
        .unwrap()
        .timestamp_millis()
}

/// Meetings around midnights in London's and in Berlin's time, around both changes of the clocks,
/// one of several pages among them, one without a record, and one of whose records no start is
/// known; a record of the first one has none either.
pub(crate) fn midnights() -> Stage {
    let meetings = [
        ("2026-10-24T21:45:00Z", 300),
        ("2026-10-24T23:45:00Z", 40),
        ("2026-10-25T00:45:00Z", 60),
        ("2026-10-25T22:40:00Z", 1_500),
        ("2026-10-25T23:50:00Z", 7),
        ("2026-03-28T22:55:00Z", 90),
        ("2026-03-29T21:50:00Z", 110),
        ("2026-03-29T12:00:00Z", 0),
        ("2026-03-30T12:00:00Z", 5),
    ];
    let meetings = meetings.map(|(start, records)| MeetingSpec {
        start: Some(at(start)),
        records,
        ..MeetingSpec::default()
    });
    let stage = Stage::with(Options {
        meetings: meetings.to_vec(),
        ..Options::default()
    });
    let no_start = RecordEdit {
        unset: vec!["joinTime".to_owned()],
        ..RecordEdit::default()
    };
    let last = stage.simulator.meetings().pop().unwrap();
    let first = stage.simulator.meetings().remove(0);
    stage
        .fault(Fault::new(Effect::Record(no_start)).meeting(last))
        .fault(Fault::new(Effect::Record(RecordEdit::unset(5, "joinTime"))).meeting(first))
}

/// Pages of 100 records; more than 1,000 are a large meeting.
const PACE: [&str; 4] = ["--page-size", "100", "--buffer-rows", "1000"];

#[rstest]
#[case::by_join_date("join-date", "UTC")]
#[case::by_join_date_in_berlin("join-date", "Europe/Berlin")]
#[case::by_meeting_date("meeting-date", "UTC")]
#[case::by_meeting_date_in_berlin("meeting-date", "Europe/Berlin")]
fn each_record_lies_in_the_folder_of_its_day(#[case] by: &str, #[case] zone: &str) {
    let stage = midnights();
    let tz: Tz = zone.parse().unwrap();
    let args = [
        "--partition-by",
        by,
        "--timezone",
        zone,
        "--report",
        "report.json",
    ];
    let told = stage.export(&[&PACE[..], &args].concat()).with(0);
    let column = by.replace('-', "_");
    let rows = seen(&stage.path("out"), &column);
    assert_all(&stage, &rows);
    let mut earliest: BTreeMap<&str, Option<i64>> = BTreeMap::new();
    for row in &rows {
        let earliest = earliest.entry(&row.meeting).or_default();
        *earliest = [*earliest, row.join].into_iter().flatten().min();
    }
    for row in &rows {
        let of = match by {
            "join-date" => row.join,
            _ => earliest[&*row.meeting],
        };
        assert_eq!(row.value(), day(of, tz), "{row:?}");
    }
    let values: BTreeSet<_> = rows.iter().map(Seen::value).collect();
    assert!(values.contains(DATELESS));
    // The large meeting is a commit of its own, all others are one.
    let parts = parts(&stage.path("out"), &column);
    let report = stage.report();
    assert_eq!(report.parts, parts.len() as u64);
    assert_eq!(report.partitions, values.len() as u64);
    assert!(parts.len() <= values.len() + 2, "{parts:?}");
    let numbers: BTreeSet<_> = parts
        .iter()
        .map(|part| part.rsplit_once('/').unwrap().1)
        .collect();
    assert_eq!(numbers.len(), parts.len(), "{parts:?}");
    let partitions = format!("in {} partitions by {by}", values.len());
    assert!(told.contains(&partitions), "{told}");
    assert!(stage.parts("out").is_empty());
    stage.verified().with(0);

    // As the dataset is: whoever says nothing adds to it as it is, whatever their days are.
    stage.requests();
    stage.export(&PACE).with(0);
    assert_eq!(stage.requests(), 0);
    assert_eq!(self::parts(&stage.path("out"), &column), parts);
}

#[test]
fn a_dataset_has_one_partitioning_from_its_first_commit_on() {
    let stage = midnights();
    stage.list("one.txt", [0]);
    let first = ["export", "--meetings", "one.txt", "--out", "out", "-q"];
    let by = ["--partition-by", "join-date", "--timezone", "Europe/Berlin"];
    stage.run(&[&first[..], &by].concat()).with(0);
    let before = parts(&stage.path("out"), "join_date");
    for (args, told) in [
        (
            &["--partition-by", "none"][..],
            "the dataset is partitioned by join-date: give --partition-by join-date",
        ),
        (
            &["--partition-by", "meeting-date"],
            "partitioned by join-date",
        ),
        (
            &["--partition-by", "join-date"],
            "days of Europe/Berlin, not of UTC: give --timezone Europe/Berlin",
        ),
    ] {
        let said = stage.export(args).with(3);
        assert!(said.contains(told), "{said}");
    }
    assert_eq!(stage.requests(), 1);
    assert_eq!(parts(&stage.path("out"), "join_date"), before);
    // As it is, or as it was told.
    stage.export(&[]).with(0);
    stage.export(&by).with(0);
    assert_all(&stage, &seen(&stage.path("out"), "join_date"));

    let plain = ["export", "--meetings", "one.txt", "--out", "plain"];
    stage.run(&plain).with(0);
    let said = stage.run(&[&plain[..], &by].concat()).with(3);
    assert!(
        said.contains("is not partitioned: leave --partition-by out"),
        "{said}"
    );
    stage
        .run(&[&plain[..], &["--partition-by", "none"]].concat())
        .with(0);
}

#[test]
fn without_a_record_there_is_a_part_to_read_and_no_date() {
    let stage = Stage::of(&[0, 0]);
    stage.export(&["--partition-by", "join-date"]).with(0);
    let part = parts(&stage.path("out"), "join_date");
    assert_eq!(part.len(), 1);
    assert!(
        part[0].starts_with(&format!("join_date={DATELESS}/part-")),
        "{part:?}"
    );
    stage.verified().with(0);
}

#[test]
fn the_partition_of_a_tenant_is_the_folder_of_its_dataset() {
    let stage = Stage::of(&[3]);
    let meeting = stage.meeting(0);
    let said = stage.export(&["--partition-by", "tenant"]).with(3);
    assert!(said.contains("partition_by = tenant"), "{said}");
    let text = "partition_by = \"tenant\"\nmeetings = \"list.txt\"\n\
                access_token_env = \"TENANT_TOKEN\"\n[[tenant]]\nname = \"acme\"\n";
    fs::write(stage.path("my.toml"), text).unwrap();
    let mut command = stage.bare(&["export", "--config", "my.toml", "--out", "lake"]);
    command.env("TENANT_TOKEN", rollbook::simulator::TOKEN);
    command.env_remove("ROLLBOOK_BASE_URL");
    let site = format!("base_url = \"{}\"\n{text}", stage.simulator.base_url());
    fs::write(stage.path("my.toml"), site).unwrap();
    ended(&mut command).with(0);
    let rows = stage.rows("lake/tenant=acme");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|(uuid, ..)| *uuid == meeting));
}

/// A year of meetings, three a day.
fn year() -> Stage {
    let meetings = (0..365 * 3).map(|number| MeetingSpec {
        records: 2,
        start: Some(at("2025-01-01T08:00:00Z") + number * 8 * 3_600_000),
        ..MeetingSpec::default()
    });
    Stage::with(Options {
        meetings: meetings.collect(),
        ..Options::default()
    })
}

#[test]
fn a_year_has_a_part_for_each_day_and_a_night_no_more_than_it_has_days() {
    let stage = year();
    stage
        .export(&["--partition-by", "join-date", "--report", "report.json"])
        .with(0);
    assert_eq!(parts(&stage.path("out"), "join_date").len(), 366);
    let report = stage.report();
    assert_eq!((report.parts, report.partitions), (366, 366));
    assert_all(&stage, &seen(&stage.path("out"), "join_date"));
}

/// Dies at the first and the last hit of each of these points.
fn die_at(stage: &Stage, args: &[&str], points: &[&str], check: impl Fn()) {
    let saved = Saved::of(stage, &["out"]);
    let wanted = |point: &str, hits| {
        let mut wanted = first_and_last(point, hits);
        wanted.retain(|_| points.contains(&point));
        wanted
    };
    let command = || stage.command(args);
    let check = |point: &str, hit| {
        if stage.path("out").exists() {
            let mut keys = BTreeSet::new();
            for row in seen(&stage.path("out"), "join_date") {
                assert!(keys.insert((row.meeting, row.index)), "{point}:{hit}");
            }
        }
        check();
    };
    let passed = everywhere(command, || saved.put_back(), wanted, check);
    assert!(points.iter().all(|point| passed.contains(*point)));
}

#[test]
fn a_commit_that_dies_at_any_step_shows_no_row_twice_and_the_next_run_finishes() {
    let stage = midnights();
    let args = [
        &["-q", "export", "--meetings", "list.txt", "--out", "out"][..],
        &["--partition-by", "join-date"],
        &PACE,
    ]
    .concat();
    let points = [
        "PartMade",
        "PartGrown",
        "PartStaged",
        "EntryReady",
        "EntryPut",
        "PartPublished",
    ];
    die_at(&stage, &args, &points, || {
        stage.run(&args).with(0);
        assert_all(&stage, &seen(&stage.path("out"), "join_date"));
        stage.verified().with(0);
        assert_eq!(
            fs::read_dir(stage.path("out/_rollbook/staging"))
                .unwrap()
                .count(),
            0
        );
    });
}

/// As many commits as meetings.
fn nights(stage: &Stage) {
    for night in 0..stage.simulator.meetings().len() {
        stage.list("night.txt", [night]);
        let list = ["-q", "export", "--meetings", "night.txt", "--out", "out"];
        stage
            .run(&[&list[..], &["--partition-by", "join-date"]].concat())
            .with(0);
    }
}

/// Ten nights, each of which ends after midnight.
fn ten_nights() -> Stage {
    let meetings = (0..10).map(|night| MeetingSpec {
        records: 20,
        start: Some(at("2026-11-01T23:45:00Z") + night * 86_400_000),
        ..MeetingSpec::default()
    });
    let stage = Stage::with(Options {
        meetings: meetings.collect(),
        ..Options::default()
    });
    nights(&stage);
    stage
}

#[test]
fn a_compaction_leaves_each_day_one_part_whatever_it_dies_of() {
    let stage = ten_nights();
    assert_eq!(parts(&stage.path("out"), "join_date").len(), 20);
    let saved = Saved::of(&stage, &["out"]);
    let planned = stage.run(&["compact", "out", "--dry-run", "--json"]);
    let done = stage.run(&["compact", "out", "--json"]);
    let [planned, done] =
        [planned, done].map(|ended| -> Value { serde_json::from_str(ended.answer()).unwrap() });
    assert_eq!(done["parts_after"], 11);
    assert_eq!(planned["parts_after"], 11);
    assert_eq!(parts(&stage.path("out"), "join_date").len(), 11);
    let check = || {
        stage.requests();
        let list = ["-q", "export", "--meetings", "list.txt", "--out", "out"];
        stage.run(&list).with(0);
        assert_eq!(stage.requests(), 0);
        let rows = seen(&stage.path("out"), "join_date");
        assert_all(&stage, &rows);
        assert!(rows.iter().all(|row| row.value() == day(row.join, Tz::UTC)));
        stage.verified().with(0);
    };
    check();
    let points = ["PartStaged", "EntryPut", "VoidRemoved", "PartPublished"];
    saved.put_back();
    die_at(&stage, &["compact", "out"], &points, check);
}

#[test]
fn a_meeting_that_is_purged_leaves_no_folder_without_a_part() {
    let stage = ten_nights();
    let gone = stage.meeting(9);
    stage.run(&["purge", "out", "--meeting", &gone]).with(0);
    let rows = seen(&stage.path("out"), "join_date");
    assert!(rows.iter().all(|row| row.meeting != gone));
    assert_eq!(rows.len(), 9 * 20);
    assert!(!stage.path("out/join_date=2026-11-11").exists());
    stage.verified().with(0);
}

#[test]
fn purges_at_the_same_time_erase_all_that_they_were_given() {
    let stage = ten_nights();
    stage.run(&["compact", "out"]).with(0);
    let gone = [1, 4, 7].map(|meeting| stage.meeting(meeting));
    let begun = gone.each_ref().map(|meeting| {
        let mut purge = stage.command(&["purge", "out", "--meeting", meeting]);
        purge.stdout(Stdio::null()).spawn().unwrap()
    });
    for mut purge in begun {
        // 1: the staging folder of another one is out of its reach.
        let code = purge.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 1)), "{code:?}");
    }
    let rows = seen(&stage.path("out"), "join_date");
    assert!(rows.iter().all(|row| !gone.contains(&row.meeting)));
    assert_eq!(rows.len(), 7 * 20);
    stage.verified().with(0);
}

/// The folders of partitions in which there is no part.
#[track_caller]
fn assert_none_is_emptied(stage: &Stage) {
    for entry in fs::read_dir(stage.path("out")).unwrap() {
        let path = entry.unwrap().path();
        let is_empty = path.is_dir() && fs::read_dir(&path).unwrap().next().is_none();
        let is_partition = name(&path).starts_with("join_date=");
        assert!(!is_partition || !is_empty, "{}", path.display());
    }
}

#[test]
fn no_folder_without_a_part_outlives_the_next_run_wherever_a_purge_or_a_merger_dies() {
    let stage = ten_nights();
    let gone = stage.meeting(9);
    let check = || {
        let list = ["-q", "export", "--meetings", "list.txt", "--out", "out"];
        stage.run(&list).with(0);
        assert_none_is_emptied(&stage);
        stage.verified().with(0);
    };
    let saved = Saved::of(&stage, &["out"]);
    for (args, points) in [
        // It has nothing to publish: all of the commit's records go.
        (
            &["purge", "out", "--meeting", &gone][..],
            &["VoidRemoved"][..],
        ),
        (&["compact", "out"], &["VoidRemoved", "PartPublished"]),
    ] {
        saved.put_back();
        die_at(&stage, args, points, check);
    }
}

#[test]
fn a_repair_of_a_lost_part_leaves_no_folder_without_one_and_the_next_run_brings_it_again() {
    let stage = ten_nights();
    let lost = parts(&stage.path("out"), "join_date").pop().unwrap();
    fs::remove_file(stage.path("out").join(&lost)).unwrap();
    let said = stage.run(&["verify", "out", "--repair"]).with(0);
    assert!(!said.contains("panicked"), "{said}");
    assert_none_is_emptied(&stage);
    assert_eq!(seen(&stage.path("out"), "join_date").len(), 9 * 20);
    stage.requests();
    stage.export(&[]).with(0);
    assert_eq!(stage.requests(), 1);
    assert_all(&stage, &seen(&stage.path("out"), "join_date"));
    stage.verified().with(0);
}

#[test]
fn a_dataset_that_lost_all_its_parts_goes_on_with_the_partitions_that_it_had() {
    let stage = midnights();
    let by = ["--partition-by", "join-date", "--timezone", "Europe/Berlin"];
    stage.export(&by).with(0);
    let told = stage.run(&["status", "out"]);
    let line = "by join-date, days of Europe/Berlin";
    assert!(told.answer().contains(line), "{}", told.answer());
    let told = stage.run(&["status", "out", "--json"]);
    let told: Value = serde_json::from_str(told.answer()).unwrap();
    let partitioning = json!({"by": "join-date", "timezone": "Europe/Berlin"});
    assert_eq!(told["partitioning"], partitioning);
    let before = parts(&stage.path("out"), "join_date");
    let folders: BTreeSet<_> = before.iter().map(|part| part.split_once('/')).collect();
    let folders: BTreeSet<_> = folders.iter().map(|part| part.unwrap().0).collect();
    assert_eq!(told["partitions"], folders.len());
    for part in &before {
        fs::remove_file(stage.path("out").join(part)).unwrap();
    }
    stage.run(&["verify", "out", "--repair"]).with(0);
    stage.export(&[]).with(0);
    assert!(stage.parts("out").is_empty());
    let rows = seen(&stage.path("out"), "join_date");
    assert_all(&stage, &rows);
    let berlin: Tz = "Europe/Berlin".parse().unwrap();
    assert!(rows.iter().all(|row| row.value() == day(row.join, berlin)));
}

#[test]
fn what_nobody_knows_is_found_in_the_folders_of_partitions_as_well() {
    let stage = midnights();
    stage.export(&["--partition-by", "join-date"]).with(0);
    let folder = stage.path("out/join_date=2026-10-25");
    let stranger = "part-00000000000000000077-00000.parquet";
    fs::write(folder.join(stranger), "x").unwrap();
    fs::create_dir(stage.path("out/join_date=2020-01-01")).unwrap();
    fs::write(stage.path("out/join_date=2020-01-01/mine.parquet"), "x").unwrap();
    fs::write(stage.path("out/join_date=2020-01-02"), "x").unwrap();
    let said = stage.verified();
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    for path in [
        &*format!("join_date=2026-10-25/{stranger}"),
        "join_date=2020-01-01/mine.parquet",
        "join_date=2020-01-02",
    ] {
        assert!(said.answer().contains(path), "{}", said.answer());
    }
    let said = stage.export(&[]).with(1);
    assert!(
        said.contains("the ledger does not know this part"),
        "{said}"
    );
    fs::remove_file(stage.path("out/join_date=2020-01-01/mine.parquet")).unwrap();
    stage.run(&["verify", "out", "--repair"]).with(0);
    stage.export(&[]).with(0);
    let aside = stage.path(&format!(
        "out/_rollbook/set-aside/join_date=2026-10-25-{stranger}"
    ));
    assert!(aside.exists());

    // A ledger that is gone is told, whatever folders there are.
    fs::remove_dir_all(stage.path("out/_rollbook")).unwrap();
    let said = stage.export(&["--partition-by", "join-date"]).with(1);
    assert!(
        said.contains("the ledger does not know this part"),
        "{said}"
    );
}

#[test]
fn a_folder_whose_name_is_taken_is_told_before_anything_is_committed() {
    let stage = Stage::of(&[3]);
    let first = DateTime::from_timestamp_millis(
        stage.simulator.truth(&stage.simulator.meetings()[0])[0].join_time,
    );
    let folder = format!("out/join_date={}", first.unwrap().date_naive());
    fs::create_dir(stage.path("out")).unwrap();
    fs::write(stage.path(&folder), "x").unwrap();
    let said = stage.export(&["--partition-by", "join-date"]).with(1);
    assert!(
        said.contains("is no folder, and that of a partition must have this name"),
        "{said}"
    );
    assert_eq!(
        fs::read_dir(stage.path("out/_rollbook/ledger"))
            .unwrap()
            .count(),
        0
    );
    fs::remove_file(stage.path(&folder)).unwrap();
    stage.export(&["--partition-by", "join-date"]).with(0);
    stage.verified().with(0);
}

/// The records of each partition, by its value as readers tell it.
pub(crate) fn counted(out: &Path, column: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in seen(out, column) {
        let value = Some(row.value()).filter(|value| *value != DATELESS);
        *counts
            .entry(value.unwrap_or("null").to_owned())
            .or_default() += 1;
    }
    counts
}

/// What the README has for a reader in place of the parts of records, by this column.
pub(crate) fn records_for(reader: &str, column: &str) -> String {
    let row = format!("\n| {reader} | `");
    let (_, rest) = README.split_once(&row).unwrap();
    let (records, _) = rest.split_once("` |\n").unwrap();
    records.replace("join_date", column)
}

#[rstest]
#[case::records("join-date")]
#[case::meetings("meeting-date")]
fn the_lines_of_the_readme_read_partitions_with_their_dates_and_days_alone(#[case] by: &str) {
    let stage = midnights();
    let export = ["export", "--meetings", "list.txt", "--out", "attendance"];
    stage
        .run(&[&export[..], &["--partition-by", by]].concat())
        .with(0);
    let column = by.replace('-', "_");
    let truth = counted(&stage.path("attendance"), &column);
    let readers = ["DuckDB", "Polars", "pyarrow", "ClickHouse"];
    let jobs: BTreeMap<_, _> = readers
        .iter()
        .map(|reader| (reader.to_lowercase(), records_for(reader, &column)))
        .collect();
    let folder = stage.folder.path().to_str().unwrap();
    let told = venv::ask("partitions.py", &[folder, &column], &json!(jobs));
    for reader in jobs.keys() {
        assert_eq!(told[reader], json!(truth), "{reader}");
    }
}
