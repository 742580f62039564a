//! `--with-meetings`: the table of the meetings beside the records, committed with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollbook::simulator::{Effect, Endpoint, Fault, MeetingSpec, Options};
use rstest::rstest;
use serde_json::{Value, json};

use crate::described::{described, uuids};
use crate::stage::{Ended, Stage, ended};
use crate::venv;

/// The first meetings of the simulator begin in this month.
const WINDOW: [&str; 4] = ["--since", "2026-01-01", "--until", "2026-01-31"];

const SIZES: [u64; 5] = [3, 0, 1_200, 40, 0];

/// An export of the window into `out`, with these arguments on top.
fn command(stage: &Stage, args: &[&str]) -> Command {
    let export = ["export", "--out", "out", "--with-meetings"];
    stage.command(&[&export[..], &WINDOW, args].concat())
}

/// The same without the table.
#[track_caller]
fn export_records_alone(stage: &Stage) {
    let export = ["export", "--out", "out"];
    stage.run(&[&export[..], &WINDOW].concat()).with(0);
}

#[track_caller]
fn export(stage: &Stage, args: &[&str]) -> Ended {
    let ended = ended(&mut command(stage, args));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

fn all(stage: &Stage) -> Vec<String> {
    let mut all: Vec<_> = stage
        .simulator
        .meetings()
        .iter()
        .map(ToString::to_string)
        .collect();
    all.sort();
    all
}

/// Every meeting has its row, and no second one; the dataset is sound.
#[track_caller]
fn assert_each_once(stage: &Stage) {
    assert_eq!(uuids(&stage.path("out")), all(stage));
    stage.verified().with(0);
    let status: Value =
        serde_json::from_slice(&stage.run(&["status", "--json", "out"]).stdout).unwrap();
    assert_eq!(status["described"], status["meetings"]);
    assert_eq!(status["damaged"], json!([]));
}

/// What lies in a folder of the dataset, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| (crate::stage::name(&path), fs::read(&path).unwrap()))
        .collect()
}

fn parts(stage: &Stage) -> Vec<PathBuf> {
    let folder = stage.path("out/meetings");
    files(&folder)
        .into_keys()
        .map(|name| folder.join(name))
        .collect()
}

#[rstest]
#[case::parquet(&["--format", "parquet"])]
#[case::arrow(&["--format", "arrow"])]
#[case::ndjson(&["--format", "ndjson"])]
#[case::zstd(&["--format", "ndjson", "--compress", "zstd"])]
#[case::gzip(&["--format", "ndjson", "--compress", "gzip"])]
fn each_meeting_has_a_row_that_tells_what_the_list_does(#[case] format: &[&str]) {
    let stage = Stage::of(&SIZES);
    let listed = stage.run(&[&["meetings", "--format", "ndjson"], &WINDOW[..]].concat());
    let listed: BTreeMap<String, Value> = listed
        .answer()
        .lines()
        .map(|line| {
            let meeting: Value = serde_json::from_str(line).unwrap();
            (meeting["confUUID"].as_str().unwrap().to_owned(), meeting)
        })
        .collect();
    export(&stage, &[format, &["--commit-every", "1ms"]].concat());
    assert_each_once(&stage);
    let time = |value: &Value| {
        let time: Option<&str> = value.as_str();
        time.map(|time| time.parse::<chrono::DateTime<chrono::Utc>>().unwrap())
    };
    for row in described(&stage.path("out")) {
        let told = &listed[row["conf_uuid"].as_str().unwrap()];
        for (column, member) in [
            ("conference_id", "conference_id"),
            ("subject", "subject"),
            ("scheduler", "scheduler"),
            ("dept_name", "dept_name"),
            ("size", "size"),
            ("conf_type", "type"),
            ("media_types", "media_types"),
            ("webinar", "webinar"),
        ] {
            assert_eq!(row[column], told[member], "{column}");
        }
        assert!(
            row["subject"].is_string() && row["size"].is_number(),
            "{row:?}"
        );
        assert_eq!(time(&row["start_time"]), time(&told["start"]));
        assert_eq!(time(&row["end_time"]), time(&told["end"]));
        assert!(time(&row["start_time"]).is_some());
    }
    // Whoever looks for records alone sees nothing else.
    let records = files(&stage.path("out"));
    assert!(records.keys().all(|name| name.starts_with("part-")));
}

#[test]
fn the_same_answers_give_the_same_bytes() {
    for format in ["parquet", "arrow", "ndjson"] {
        let stage = Stage::of(&SIZES);
        export(&stage, &["--format", format]);
        let first = files(&stage.path("out/meetings"));
        fs::rename(stage.path("out"), stage.path("first")).unwrap();
        export(&stage, &["--format", format]);
        assert_eq!(files(&stage.path("out/meetings")), first);
    }
}

#[rstest]
#[case("parquet")]
#[case("arrow")]
#[case("ndjson")]
fn a_warehouse_joins_records_to_their_meetings(#[case] format: &str) {
    let stage = Stage::of(&SIZES);
    export(&stage, &["--format", format]);
    let out = stage.path("out");
    let rows = described(&out);
    let size_of = |at: usize| {
        let uuid = stage.meeting(at);
        let row = rows.iter().find(|row| row["conf_uuid"] == uuid.as_str());
        row.unwrap()["size"].as_u64().unwrap()
    };
    let sizes: u64 = (0..SIZES.len()).map(|at| SIZES[at] * size_of(at)).sum();
    let starts = rows.iter().map(|row| row["start_time"].as_str().unwrap());
    let start: chrono::DateTime<chrono::Utc> = starts.min().unwrap().parse().unwrap();
    let expected = json!([5, 1_243, 2, sizes, start.timestamp_millis()]);
    let found = venv::run("join.py", &[out.to_str().unwrap(), format]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found, json!({"duckdb": expected, "pyarrow": expected}));
}

#[test]
fn a_rerun_and_a_meeting_with_parts_of_its_own_leave_one_row_for_each() {
    let stage = Stage::of(&SIZES);
    let small = ["--buffer-rows", "500", "--part-rows", "10"];
    export(&stage, &small);
    let first = files(&stage.path("out/meetings"));
    assert!(first.len() > 1, "{:?}", first.keys());
    export(&stage, &small);
    assert_eq!(files(&stage.path("out/meetings")), first);
    assert_each_once(&stage);
}

#[test]
fn an_empty_night_leaves_a_table_that_can_be_read_and_so_does_the_flag_when_it_comes_later() {
    let stage = Stage::of(&[]);
    export(&stage, &[]);
    assert_eq!(uuids(&stage.path("out")), [""; 0]);
    assert_eq!(parts(&stage).len(), 1);
    let before = files(&stage.path("out"));
    assert_eq!(before.len(), 1);
    export(&stage, &[]);
    assert_eq!(
        (parts(&stage).len(), files(&stage.path("out"))),
        (1, before)
    );

    let stage = Stage::of(&[3]);
    export_records_alone(&stage);
    assert!(!stage.path("out/meetings").exists());
    export(&stage, &[]);
    // No meeting is new, and what was held before has no row.
    assert_eq!(
        (parts(&stage).len(), uuids(&stage.path("out"))),
        (1, vec![])
    );
    assert_eq!(files(&stage.path("out")).len(), 1);
    stage.verified().with(0);
}

#[test]
fn only_a_commit_with_the_table_has_the_ledger_version_that_older_ones_refuse() {
    let stage = Stage::of(&SIZES);
    stage.list("one.txt", [0]);
    stage
        .run(&["export", "--meetings", "one.txt", "--out", "out"])
        .with(0);
    export(&stage, &[]);
    let entries = files(&stage.path("out/_rollbook/ledger"));
    let versions: Vec<u64> = entries
        .values()
        .map(|entry| {
            serde_json::from_slice::<Value>(entry).unwrap()["version"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(uuids(&stage.path("out")).len(), SIZES.len() - 1);
    let said = stage.run(&["status", "out"]);
    assert!(
        said.answer().contains("with a row in the meetings table"),
        "{}",
        said.answer()
    );
}

#[test]
fn a_meeting_that_was_not_listed_has_its_uuid_alone() {
    let stage = Stage::of(&[3, 4]);
    let mut command = stage.command(&["export", "--meetings", "list.txt", "--out", "out"]);
    ended(command.env("ROLLBOOK_WITH_MEETINGS", "true")).with(0);
    assert_each_once(&stage);
    for row in described(&stage.path("out")) {
        assert_eq!(
            row.values().filter(|value| !value.is_null()).count(),
            1,
            "{row:?}"
        );
    }
}

#[test]
fn what_cannot_bring_the_table_is_refused_before_anything_is_asked() {
    let stage = Stage::of(&[3]);
    for (args, because, instead) in [
        (
            &["--meetings", "list.txt", "--out", "out", "--with-meetings"][..],
            "only the history list tells",
            "give --since TIME",
        ),
        (
            &[
                "--since",
                "7d",
                "--out",
                "-",
                "--format",
                "ndjson",
                "--with-meetings",
            ],
            "a pipe carries records alone",
            "give --out a folder",
        ),
    ] {
        let said = stage.run(&[&["export"], args].concat()).silently(2);
        assert!(said.contains(because) && said.contains(instead), "{said}");
    }
    let mut piped = stage.command(&["export", "--since", "7d", "--out", "-", "-f", "ndjson"]);
    let said = ended(piped.env("ROLLBOOK_WITH_MEETINGS", "true")).silently(2);
    assert!(said.contains("--with-meetings=false"), "{said}");
    assert_eq!(stage.requests(), 0);
}

fn flip_a_bit(part: &Path) {
    let mut bytes = fs::read(part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(part, bytes).unwrap();
}

fn cut(part: &Path) {
    let bytes = fs::read(part).unwrap();
    fs::write(part, &bytes[..bytes.len() / 2]).unwrap();
}

fn remove(part: &Path) {
    fs::remove_file(part).unwrap();
}

fn make_a_folder(part: &Path) {
    fs::remove_file(part).unwrap();
    fs::create_dir(part).unwrap();
}

fn copy_another(part: &Path) {
    let mut others = fs::read_dir(part.parent().unwrap()).unwrap();
    let other = others.find_map(|other| Some(other.unwrap().path()).filter(|other| other != part));
    fs::copy(other.unwrap(), part).unwrap();
}

fn put_a_file_in_the_place_of_the_folder(part: &Path) {
    let folder = part.parent().unwrap();
    fs::remove_dir_all(folder).unwrap();
    fs::write(folder, "mine").unwrap();
}

#[rstest]
#[case::flipped(flip_a_bit, true)]
#[case::cut(cut, true)]
#[case::removed(remove, true)]
#[case::a_folder(make_a_folder, true)]
#[case::another(copy_another, true)]
#[case::no_folder(put_a_file_in_the_place_of_the_folder, false)]
fn damage_to_the_table_is_found_and_mended(#[case] damage: fn(&Path), #[case] is_one: bool) {
    let stage = Stage::of(&SIZES);
    export(&stage, &["--part-rows", "10"]);
    let part = parts(&stage).pop().unwrap();
    let name = format!("meetings/{}", crate::stage::name(&part));
    damage(&part);
    let found = stage.verified();
    assert_eq!(found.code, Some(1), "{}", found.answer());
    assert!(found.answer().contains(&name), "{}", found.answer());
    stage.requests();
    let repaired = stage.run(&["verify", "--repair", "out"]);
    assert_eq!(
        repaired.code,
        Some(0),
        "{}{}",
        repaired.answer(),
        repaired.stderr
    );
    // Neither table has anything of what was dropped, and both have the rest.
    let left = uuids(&stage.path("out"));
    assert!(left.len() < SIZES.len() && (is_one || left.is_empty()));
    let rows = stage.rows("out");
    assert!(rows.iter().all(|(meeting, ..)| left.contains(meeting)));
    stage.verified().with(0);
    assert_eq!(stage.requests(), 0);
    export(&stage, &["--part-rows", "10"]);
    assert_each_once(&stage);
    assert_eq!(stage.assert_no_halves("out"), 3);
}

fn a_file(place: &Path) {
    fs::write(place, "mine").unwrap();
}

fn a_link_that_leads_nowhere(place: &Path) {
    std::os::unix::fs::symlink("nowhere", place).unwrap();
}

#[rstest]
#[case(a_file)]
#[case(a_link_that_leads_nowhere)]
fn what_stands_in_the_place_of_the_folder_is_told_before_anything_is_committed(
    #[case] put: fn(&Path),
) {
    let stage = Stage::of(&SIZES);
    fs::create_dir(stage.path("out")).unwrap();
    let place = stage.path("out/meetings");
    put(&place);
    let said = ended(&mut command(&stage, &[])).silently(1);
    assert!(
        said.contains("out/meetings: is no folder") && said.contains("move it away"),
        "{said}"
    );
    assert_eq!(stage.requests(), 0);
    assert!(files(&stage.path("out/_rollbook/ledger")).is_empty());
    // Whoever writes no table needs no folder.
    export_records_alone(&stage);
    fs::remove_file(&place).unwrap();
    fs::remove_dir_all(stage.path("out")).unwrap();
    export(&stage, &[]);
    assert_each_once(&stage);
}

#[rstest]
#[case(a_file)]
#[case(a_link_that_leads_nowhere)]
fn what_stands_in_the_place_of_the_folder_of_staged_parts_is_set_aside_by_a_repair(
    #[case] put: fn(&Path),
) {
    let stage = Stage::of(&SIZES);
    export(&stage, &[]);
    // As a run leaves it that is cut off after its commit.
    let entries = files(&stage.path("out/_rollbook/ledger"));
    let entry: Value = serde_json::from_slice(entries.values().next().unwrap()).unwrap();
    for part in entry["parts"].as_array().unwrap() {
        let place = |name: &str| stage.path("out").join(part[name].as_str().unwrap());
        fs::create_dir_all(place("staged").parent().unwrap()).unwrap();
        fs::rename(place("path"), place("staged")).unwrap();
    }
    let place = stage.path("out/meetings");
    fs::remove_dir(&place).unwrap();
    put(&place);
    stage.requests();
    let said = ended(&mut command(&stage, &[])).silently(1);
    assert!(said.contains("rollbook verify --repair"), "{said}");
    assert_eq!(stage.verified().code, Some(1));
    let repaired = stage.run(&["verify", "--repair", "out"]);
    assert_eq!(repaired.code, Some(0), "{}", repaired.stderr);
    let aside = stage.path("out/_rollbook/set-aside/meetings");
    assert!(fs::symlink_metadata(aside).is_ok());
    assert_each_once(&stage);
    export(&stage, &[]);
    assert_each_once(&stage);
    // Nothing was lost: no page is asked for again.
    let asked = stage.simulator.requests().into_iter();
    assert_eq!(asked.filter(|asked| asked.meeting.is_some()).count(), 0);
}

#[test]
fn an_export_mends_what_it_finds_damaged_by_itself() {
    for damage in [cut, remove] {
        let stage = Stage::of(&SIZES);
        export(&stage, &["--part-rows", "10"]);
        damage(&parts(&stage)[0]);
        let status: Value =
            serde_json::from_slice(&stage.run(&["status", "--json", "out"]).stdout).unwrap();
        assert_eq!(status["damaged"].as_array().unwrap().len(), 1);
        export(&stage, &["--part-rows", "10"]);
        assert_each_once(&stage);
        assert_eq!(stage.assert_no_halves("out"), 3);
    }
}

#[test]
fn strangers_in_the_folder_of_the_table_are_found_and_set_aside() {
    let stage = Stage::of(&SIZES);
    export(&stage, &[]);
    let folder = stage.path("out/meetings");
    let unknown = "part-00000000000000000001-00007.parquet";
    fs::copy(&parts(&stage)[0], folder.join(unknown)).unwrap();
    fs::write(folder.join("mine.parquet"), "mine").unwrap();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let found = stage.verified();
    assert_eq!(found.code, Some(1));
    for told in [
        format!("meetings/{unknown}: a part that no ledger entry names"),
        "meetings/mine.parquet: not rollbook's, and readers may take it for data".to_owned(),
        "note: meetings/notes.txt is not rollbook's".to_owned(),
    ] {
        assert!(found.answer().contains(&told), "{}", found.answer());
    }
    fs::remove_file(folder.join("mine.parquet")).unwrap();
    let repaired = stage.run(&["verify", "--repair", "out"]);
    assert_eq!(repaired.code, Some(0), "{}", repaired.answer());
    assert!(!folder.join(unknown).exists());
    let aside = stage
        .path("out/_rollbook/set-aside")
        .join(format!("meetings-{unknown}"));
    assert!(aside.exists());
    assert_each_once(&stage);
}

#[test]
fn a_folder_of_that_name_is_nobodys_business_without_the_table() {
    let stage = Stage::of(&[3]);
    export_records_alone(&stage);
    fs::create_dir(stage.path("out/meetings")).unwrap();
    fs::write(stage.path("out/meetings/part-00009-x.parquet"), "mine").unwrap();
    let verified = stage.verified();
    assert!(
        verified
            .answer()
            .contains("note: meetings is not rollbook's")
    );
    verified.with(0);
    export_records_alone(&stage);
}

#[test]
fn parts_of_a_ledger_that_is_gone_are_not_written_over() {
    let stage = Stage::of(&[3]);
    export(&stage, &[]);
    for part in stage.parts("out").keys() {
        fs::remove_file(stage.path("out").join(part)).unwrap();
    }
    fs::remove_dir_all(stage.path("out/_rollbook")).unwrap();
    let said = ended(&mut command(&stage, &[])).with(1);
    assert!(
        said.contains("the ledger does not know this part"),
        "{said}"
    );
}

#[test]
fn personal_columns_of_meetings_obey_the_policy() {
    let stage = Stage::of(&[3, 4]);
    export(&stage, &["--format", "ndjson"]);
    let plain = described(&stage.path("out"));
    for (policy, scheduler, subject) in [
        ("display_name=hash,subject=drop", 64, None),
        ("scheduler=mask,subject=mask", 4, Some("M***")),
    ] {
        fs::remove_dir_all(stage.path("out")).unwrap();
        let mut command = command(&stage, &["--format", "ndjson", "--pii", policy]);
        ended(command.env("ROLLBOOK_PII_KEY", "0123456789abcdef0123456789abcdef")).with(0);
        let written = described(&stage.path("out"));
        assert_eq!(written.len(), plain.len());
        for (row, plain) in written.iter().zip(&plain) {
            assert_eq!(row["subject"].as_str(), subject);
            assert_eq!(row["scheduler"].as_str().unwrap().len(), scheduler);
            assert_ne!(row["scheduler"], plain["scheduler"]);
            assert_eq!(row["start_time"], plain["start_time"]);
        }
    }
}

#[test]
fn a_department_is_treated_in_both_tables() {
    let stage = Stage::of(&[30]);
    export(&stage, &["--format", "ndjson", "--pii", "dept_name=drop"]);
    let records = stage.parts("out").into_values().next().unwrap();
    let records = String::from_utf8(records).unwrap();
    assert_eq!(records.matches("\"dept_name\":null").count(), 30);
    assert_eq!(described(&stage.path("out"))[0]["dept_name"], Value::Null);
}

#[test]
fn each_tenant_has_a_table_of_its_own() {
    let stage = Stage::of(&SIZES);
    let section = |name: &str, more: &str| {
        let url = stage.simulator.base_url();
        format!(
            "[[tenant]]\nname = \"{name}\"\nbase_url = \"{url}\"\n\
             access_token_env = \"TOKEN\"\n{more}\n"
        )
    };
    let shared = "since = \"2026-01-01\"\nuntil = \"2026-01-31\"\nwith_meetings = true\n";
    let sections = section("a", "") + &section("b", "with_meetings = false");
    fs::write(stage.path("tenants.toml"), shared.to_owned() + &sections).unwrap();
    let mut command = stage.bare(&["export", "--config", "tenants.toml", "--out", "lake"]);
    command.env_remove("ROLLBOOK_BASE_URL");
    ended(command.env("TOKEN", rollbook::simulator::TOKEN)).with(0);
    assert_eq!(uuids(&stage.path("lake/tenant=a")), all(&stage));
    assert!(!stage.path("lake/tenant=b/meetings").exists());
}

#[test]
fn a_list_that_moves_while_it_is_read_and_a_day_that_fails_leave_one_row_for_each() {
    let mut options = Options::sizes(&[]);
    options.meetings = (0..40).map(MeetingSpec::of).collect();
    let stage = Stage::with(options);
    let drift = rollbook::simulator::Drift {
        insert_front: 1,
        ..rollbook::simulator::Drift::default()
    };
    stage
        .simulator
        .add_fault(Fault::new(Effect::Drift(drift)).every(7));
    stage
        .simulator
        .add_fault(Fault::new(Effect::CountOff(1)).on(Endpoint::History).nth(2));
    stage
        .simulator
        .add_fault(Fault::new(Effect::Status(400)).on(Endpoint::History).nth(9));
    let window = ["--since", "2026-01-01", "--until", "2026-08-31"];
    let export = ["export", "--out", "out", "--with-meetings"];
    let mut command = stage.command(&[&export[..], &window].concat());
    assert_eq!(ended(&mut command).code, Some(4));
    let held = uuids(&stage.path("out"));
    assert!(held.is_sorted_by(|one, other| one < other), "{held:?}");
    stage.verified().with(0);
    stage.simulator.clear_faults();
    assert_eq!(ended(&mut command).code, Some(0));
    assert_each_once(&stage);
}

/// Every meeting has its row, and each row tells what its meeting was about.
#[track_caller]
fn assert_each_told(stage: &Stage) {
    assert_each_once(stage);
    for row in described(&stage.path("out")) {
        assert!(row["subject"].is_string(), "{row:?}");
    }
}

#[test]
fn a_meeting_whose_day_cannot_be_listed_waits_for_what_the_list_tells() {
    let stage = Stage::of(&[3, 4]);
    let late: rollbook::ConfUuid = stage.meeting(0).parse().unwrap();
    let failing = |fault: Fault| stage.simulator.add_fault(fault);
    failing(Fault::new(Effect::Status(400)).meeting(&late));
    assert_eq!(ended(&mut command(&stage, &[])).code, Some(4));
    stage.simulator.clear_faults();
    stage.requests();
    failing(Fault::new(Effect::Status(400)).on(Endpoint::History));
    let mut report = command(&stage, &["--report", "report.json"]);
    assert_eq!(ended(&mut report).code, Some(4));
    let window = stage.report().window.unwrap();
    assert!(window.owed_meetings.contains_key(&late), "{window:?}");
    stage.simulator.clear_faults();
    export(&stage, &[]);
    assert_each_told(&stage);
}

#[test]
fn a_meeting_whose_day_waits_for_requests_waits_with_it() {
    let mut options = Options::sizes(&[3, 4, 5]);
    for (meeting, day) in options.meetings.iter_mut().zip(18..) {
        let start = format!("2026-01-{day}T08:00:00Z").parse();
        let start: chrono::DateTime<chrono::Utc> = start.unwrap();
        meeting.start = Some(start.timestamp_millis());
    }
    let stage = Stage::with(options);
    let failing = Fault::new(Effect::Status(400)).on(Endpoint::Records);
    stage.simulator.add_fault(failing);
    assert_eq!(ended(&mut command(&stage, &[])).code, Some(4));
    stage.simulator.clear_faults();
    // Somebody brings two of them, so that of four requests the lists of their days take half.
    stage.list("two.txt", [0, 1]);
    let two = ["export", "--meetings", "two.txt", "--out", "out"];
    stage.run(&two).with(0);
    let few = ended(&mut command(&stage, &["--max-requests", "4"]));
    assert_eq!(few.code, Some(4), "{}", few.stderr);
    export(&stage, &[]);
    let late = stage.meeting(2);
    let rows = described(&stage.path("out")).into_iter();
    let rows: Vec<_> = rows
        .filter(|row| row["conf_uuid"] == late.as_str())
        .collect();
    assert_eq!(rows.len(), 1);
    assert!(rows[0]["subject"].is_string(), "{rows:?}");
}

/// The window of most tests, and nothing said of the table.
fn without_the_flag(stage: &Stage, args: &[&str]) -> Command {
    stage.command(&[&["export", "--out", "out"], &WINDOW[..], args].concat())
}

#[test]
fn a_dataset_that_has_the_table_goes_on_with_it() {
    let stage = Stage::of(&SIZES);
    let late: rollbook::ConfUuid = stage.meeting(0).parse().unwrap();
    let failing = Fault::new(Effect::Status(400)).meeting(&late);
    stage.simulator.add_fault(failing);
    assert_eq!(ended(&mut command(&stage, &[])).code, Some(4));
    stage.simulator.clear_faults();
    ended(&mut without_the_flag(&stage, &[])).with(0);
    assert_each_told(&stage);
    // By a list of meetings, of which nothing is told.
    let part = parts(&stage).remove(0);
    remove(&part);
    stage.run(&["verify", "--repair", "out"]);
    stage.export(&[]).with(0);
    assert_each_once(&stage);
}

#[test]
fn a_policy_is_compared_for_the_tables_that_are_there() {
    let stage = Stage::of(&[3, 4]);
    stage.list("one.txt", [0]);
    let list = ["export", "--meetings", "one.txt", "--out", "out"];
    let key = "0123456789abcdef0123456789abcdef";
    stage
        .run(&[&list[..], &["--pii", "display_name=mask"]].concat())
        .with(0);
    let run = |policy: &str, code: i32| {
        let mut command = command(&stage, &["--pii", policy]);
        ended(command.env("ROLLBOOK_PII_KEY", key)).with(code)
    };
    // Those of records are those that are there.
    for other in ["display_name=hash,subject=hash", "subject=hash"] {
        let said = run(other, 3);
        assert!(said.contains("another pii policy"), "{said}");
    }
    let policy = "display_name=mask,subject=hash,conference_id=mask";
    run(policy, 0);
    let rows = described(&stage.path("out"));
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["subject"].as_str().unwrap().len(), 64);
    let number = rows[0]["conference_id"].as_str().unwrap();
    assert!(number.starts_with("***") && number.len() == 5, "{number}");
    run(policy, 0);
    for other in ["display_name=mask", "display_name=mask,subject=drop"] {
        let said = run(other, 3);
        assert!(said.contains("another pii policy"), "{said}");
    }
}
