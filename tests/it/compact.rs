//! Small parts merged into large ones, and meetings erased: what readers see before, in between and
//! after, and what a crash at any step leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::reader::FileReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollbook::Table;
use rstest::rstest;
use serde_json::Value;

use crate::described::uuids;
use crate::dying::{Saved, die, everywhere, first_and_last};
use crate::stage::{Ended, Stage, ended, name};

/// Small and empty meetings, and some of several pages.
const SIZES: [u64; 9] = [3, 0, 250, 140, 99, 100, 7, 320, 40];

/// As many nights as meetings: each has a commit of its own.
fn nights(stage: &Stage, args: &[&str]) {
    for night in 0..stage.simulator.meetings().len() {
        stage.list("night.txt", [night]);
        let list = ["-q", "export", "--meetings", "night.txt", "--out", "out"];
        export(stage, &[&list, args].concat());
    }
}

/// An export that writes the meetings as well.
#[track_caller]
fn export(stage: &Stage, args: &[&str]) {
    let mut command = stage.command(args);
    ended(command.env("ROLLBOOK_WITH_MEETINGS", "true")).with(0);
}

/// The same for all of them.
#[track_caller]
fn export_all(stage: &Stage, args: &[&str]) {
    let list = ["-q", "export", "--meetings", "list.txt", "--out", "out"];
    export(stage, &[&list, args].concat());
}

fn compact(stage: &Stage, args: &[&str]) -> Ended {
    stage.run(&[&["compact", "out"], args].concat())
}

fn json(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(ended.answer()).unwrap()
}

/// The parts of a table that a reader's glob finds, in the order of their names.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return vec![];
    };
    let mut parts: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    parts.retain(|path| name(path).starts_with("part-"));
    parts.sort();
    parts
}

/// All that the parts of a table hold, in order: one batch, or lines.
fn contents(folder: &Path, table: Table) -> (Option<RecordBatch>, String) {
    let (mut batches, mut lines) = (Vec::new(), String::new());
    for part in parts(folder) {
        let file = fs::File::open(&part).unwrap();
        match name(&part).split_once('.').unwrap().1 {
            "parquet" => {
                let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
                batches.extend(reader.build().unwrap().map(Result::unwrap));
            }
            "arrow" => {
                let reader = FileReader::try_new_buffered(file, None).unwrap();
                batches.extend(reader.map(Result::unwrap));
            }
            "ndjson.zst" => {
                let mut file = zstd::Decoder::new(file).unwrap();
                file.read_to_string(&mut lines).unwrap();
            }
            "ndjson.gz" => {
                let mut file = flate2::read::MultiGzDecoder::new(file);
                file.read_to_string(&mut lines).unwrap();
            }
            _ => lines.push_str(&fs::read_to_string(&part).unwrap()),
        }
    }
    let schema = table.schema();
    let batches: Vec<_> = batches
        .into_iter()
        .map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).unwrap())
        .collect();
    let batch = (!batches.is_empty()).then(|| concat_batches(&schema, &batches).unwrap());
    (batch, lines)
}

#[rstest]
#[case::parquet(&["--format", "parquet"])]
#[case::arrow(&["--format", "arrow"])]
#[case::ndjson(&["--format", "ndjson", "--compression", "none"])]
#[case::ndjson_zst(&["--format", "ndjson", "--compression", "zstd"])]
#[case::ndjson_gz(&["--format", "ndjson", "--compression", "gzip"])]
fn merged_parts_hold_every_row_as_it_was_and_nothing_is_fetched_again(#[case] form: &[&str]) {
    let stage = Stage::of(&SIZES);
    nights(&stage, form);
    let (out, meetings) = (stage.path("out"), stage.path("out/meetings"));
    let before = [
        contents(&out, Table::Records),
        contents(&meetings, Table::Meetings),
    ];
    let old: BTreeMap<_, _> = parts(&out)
        .into_iter()
        .map(|part| (name(&part), fs::read(part).unwrap()))
        .collect();

    let done = json(&compact(&stage, &["--json"]));
    assert_eq!(done["merged"], 9);
    assert_eq!(done["into"], 1);
    assert_eq!(done["records"], SIZES.iter().sum::<u64>());
    assert_eq!((parts(&out).len(), parts(&meetings).len()), (1, 1));
    let after = [
        contents(&out, Table::Records),
        contents(&meetings, Table::Meetings),
    ];
    assert!(before == after);
    stage.verified().with(0);

    let kept = parts(&stage.path("out/_rollbook/replaced"));
    let kept: BTreeMap<_, _> = kept
        .into_iter()
        .map(|part| (name(&part), fs::read(part).unwrap()))
        .filter(|(name, _)| !name.starts_with("meetings-"))
        .collect();
    assert!(kept == old);

    stage.requests();
    export_all(&stage, form);
    assert_eq!(stage.requests(), 0);
    let again = json(&compact(&stage, &["--json"]));
    assert_eq!(
        (&again["merged"], &again["expired"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn a_plan_changes_nothing_and_says_what_would_be_merged() {
    let stage = Stage::of(&SIZES);
    nights(&stage, &[]);
    let before = stage.parts("out");
    let said = compact(&stage, &["--dry-run"]);
    assert!(
        said.answer()
            .starts_with("would merge 9 of 9 commits of out into 1: "),
        "{}",
        said.answer()
    );
    assert!(before == stage.parts("out"));
    assert_eq!(json(&stage.run(&["status", "out", "--json"]))["entries"], 9);
}

#[test]
fn parts_that_were_replaced_go_when_their_time_is_over() {
    let stage = Stage::of(&SIZES);
    nights(&stage, &[]);
    compact(&stage, &["--keep", "0s"]).with(0);
    let replaced = stage.path("out/_rollbook/replaced");
    assert!(parts(&replaced).is_empty());
    stage.assert_rows(&stage.rows("out"), &(0..9).collect::<Vec<_>>());

    let stage = Stage::of(&SIZES);
    nights(&stage, &[]);
    compact(&stage, &[]).with(0);
    let replaced = stage.path("out/_rollbook/replaced");
    assert_eq!(files(&replaced).len(), 8 + 9);
    let status = stage.run(&["status", "out"]);
    for line in ["10  9 written again", "17  parts, kept for a while"] {
        assert!(status.answer().contains(line), "{}", status.answer());
    }
    let verified = stage.verified();
    assert!(verified.answer().contains("holds 17 that others replaced"));
    // As if the week that the ledger grants them were over.
    let entry = stage.path("out/_rollbook/ledger/00000000000000000010.json");
    let mut text: Value = serde_json::from_slice(&fs::read(&entry).unwrap()).unwrap();
    text["rewrite"]["keep_until"] = "2026-01-01T00:00:00Z".into();
    fs::write(&entry, text.to_string()).unwrap();
    export_all(&stage, &[]);
    assert!(files(&replaced).is_empty());
    stage.verified().with(0);
}

#[test]
fn a_part_that_is_not_what_was_committed_is_not_blessed_by_being_written_again() {
    let stage = Stage::of(&SIZES);
    nights(&stage, &["--format", "ndjson", "--compression", "none"]);
    let part = &parts(&stage.path("out"))[2];
    let text = fs::read_to_string(part).unwrap();
    let since = fs::metadata(part).unwrap().modified().unwrap();
    // Decay leaves no date, so that the opening has no reason to look.
    fs::write(
        part,
        text.replacen("\"duration_ms\":", "\"duration_mz\":", 1),
    )
    .unwrap();
    fs::File::options()
        .write(true)
        .open(part)
        .unwrap()
        .set_modified(since)
        .unwrap();
    let before = stage.parts("out");
    let said = compact(&stage, &[]).with(1);
    assert!(
        said.contains("is not what was committed") && said.contains("--repair"),
        "{said}"
    );
    assert!(before == stage.parts("out"));
    assert!(parts(&stage.path("out/_rollbook/staging")).is_empty());
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The files that hold a text, outside of the ledger and the reports, which name meetings alone.
fn holding(stage: &Stage, text: &str) -> Vec<String> {
    let mut files = files(&stage.path("out"));
    files.retain(|path| {
        let is_told = path.to_string_lossy().contains("_rollbook/ledger/")
            || path.to_string_lossy().contains("_rollbook/runs/");
        let bytes = fs::read(path).unwrap();
        !is_told
            && bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
    });
    files.iter().map(|path| name(path)).collect()
}

const PLAIN: [&str; 4] = ["--format", "ndjson", "--compression", "none"];

#[rstest]
#[case::from_the_parts_of_its_night(false)]
#[case::from_merged_parts_and_those_that_are_kept(true)]
fn a_meeting_that_is_purged_is_in_no_file_and_never_comes_back(#[case] is_compacted: bool) {
    let stage = Stage::of(&SIZES);
    nights(&stage, &PLAIN);
    if is_compacted {
        compact(&stage, &[]).with(0);
    }
    let (gone, empty) = (stage.meeting(2), stage.meeting(1));
    assert!(!holding(&stage, &gone).is_empty());
    let done = stage.run(&["purge", "out", "--meeting", &gone, "--meeting", &empty]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(
        done.answer().contains("250 records gone"),
        "{}",
        done.answer()
    );
    for meeting in [&gone, &empty] {
        assert_eq!(holding(&stage, meeting), [""; 0]);
    }
    stage.verified().with(0);
    let left: BTreeSet<_> = uuids(&stage.path("out")).into_iter().collect();
    assert_eq!(left.len(), SIZES.len() - 2);

    stage.requests();
    export_all(&stage, &PLAIN);
    assert_eq!(stage.requests(), 0);
    assert_eq!(holding(&stage, &gone), [""; 0]);
    export_all(&stage, &[&PLAIN[..], &["--report", "report.json"]].concat());
    let report = stage.report().meetings;
    assert_eq!((report.requested, report.already, report.purged), (9, 7, 2));
    let status = json(&stage.run(&["status", "out", "--json"]));
    assert_eq!(
        (&status["purged"], &status["meetings"]),
        (&2.into(), &7.into())
    );
    assert_eq!(status["records"], SIZES.iter().sum::<u64>() - 250);
    let again = stage.run(&["purge", "out", "--meeting", &gone]);
    assert!(again.answer().contains("was purged before"), "{again:?}");
}

#[test]
fn a_list_of_meetings_is_purged_in_one_step() {
    let stage = Stage::of(&SIZES);
    nights(&stage, &PLAIN);
    let entries = || {
        fs::read_dir(stage.path("out/_rollbook/ledger"))
            .unwrap()
            .count()
    };
    let before = entries();
    let refused = |list: &str| stage.run(&["purge", "out", "--meetings", list]);
    fs::write(stage.path("bad.txt"), "# one\n../x\n").unwrap();
    let said = refused("bad.txt").with(2);
    assert!(
        said.contains("bad.txt") && said.contains("line 2"),
        "{said}"
    );
    assert_eq!(entries(), before);

    let [one, other, third] = [0, 2, 4].map(|at| stage.meeting(at));
    let list = format!("{{\"confUUID\": \"{one}\"}}\n{{\"confUUID\": \"{other}\"}}\n");
    fs::write(stage.path("list.ndjson"), list).unwrap();
    let args = [
        "purge",
        "out",
        "--meetings",
        "list.ndjson",
        "--meeting",
        &third,
    ];
    let done = stage.run(&args);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(entries(), before + 1, "{}", done.answer());
    for meeting in [&one, &other, &third] {
        assert_eq!(holding(&stage, meeting), [""; 0]);
    }
    stage.verified().with(0);
}

#[test]
fn the_last_meeting_leaves_a_part_that_readers_can_read() {
    let stage = Stage::of(&[3]);
    nights(&stage, &[]);
    let only = stage.meeting(0);
    stage.run(&["purge", "out", "--meeting", &only]).with(0);
    assert_eq!(parts(&stage.path("out")).len(), 1);
    assert!(stage.rows("out").is_empty());
    stage.verified().with(0);
}

#[test]
fn a_meeting_that_is_not_there_is_not_purged_and_nothing_changes() {
    let stage = Stage::of(&SIZES);
    nights(&stage, &[]);
    let before = stage.parts("out");
    let there = stage.meeting(0);
    let said = stage.run(&["purge", "out", "--meeting", &there, "--meeting", "nobody"]);
    let said = said.with(1);
    assert!(said.contains("does not hold meeting nobody"), "{said}");
    assert!(before == stage.parts("out"));
}

#[test]
fn an_erasure_that_did_not_look_into_everything_says_so_and_ends_with_1() {
    let stage = Stage::of(&SIZES);
    nights(&stage, &[]);
    let aside = stage.path("out/_rollbook/set-aside");
    fs::create_dir(&aside).unwrap();
    fs::copy(&parts(&stage.path("out"))[0], aside.join("part-unknown")).unwrap();
    let gone = stage.meeting(2);
    let purge = || stage.run(&["purge", "out", "--meeting", &gone]);
    let done = purge();
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    for words in [
        "250 records gone",
        "_rollbook/set-aside/part-unknown",
        "next: ",
    ] {
        assert!(done.answer().contains(words), "{}", done.answer());
    }
    fs::remove_dir_all(aside).unwrap();
    assert_eq!(purge().code, Some(0));
}

/// Has a command die at every point; tells which.
fn die_everywhere(stage: &Stage, args: &[&str], check: impl Fn()) -> BTreeSet<String> {
    let saved = Saved::of(stage, &["out"]);
    let command = || stage.command(args);
    everywhere(
        command,
        || saved.put_back(),
        first_and_last,
        |_, _| {
            // Rows may be missing for the moment, whole meetings of them; none is there twice.
            stage.assert_no_halves("out");
            check();
        },
    )
}

#[test]
fn a_compaction_that_dies_at_any_step_shows_no_row_twice_and_the_next_run_has_them_all() {
    let stage = Stage::of(&SIZES);
    nights(&stage, &[]);
    stage.requests();
    let all: Vec<_> = (0..SIZES.len()).collect();
    let hit = die_everywhere(&stage, &["compact", "out"], || {
        export_all(&stage, &[]);
        assert_eq!(stage.requests(), 0);
        stage.assert_rows(&stage.rows("out"), &all);
        assert_eq!(uuids(&stage.path("out")).len(), SIZES.len());
        stage.verified().with(0);
    });
    for point in ["EntryPut", "VoidRemoved", "PartPublished"] {
        assert!(hit.contains(point), "{hit:?}");
    }
}

#[test]
fn an_erasure_that_dies_at_any_step_is_finished_by_the_next_one() {
    let stage = Stage::of(&SIZES);
    nights(&stage, &[]);
    compact(&stage, &[]).with(0);
    stage.requests();
    let gone = stage.meeting(2);
    let rest: Vec<_> = (0..SIZES.len()).filter(|&at| at != 2).collect();
    let purge = ["purge", "out", "--meeting", &gone];
    let hit = die_everywhere(&stage, &purge, || {
        stage.run(&purge).with(0);
        export_all(&stage, &[]);
        assert_eq!(stage.requests(), 0);
        stage.assert_rows(&stage.rows("out"), &rest);
        stage.verified().with(0);
        // Nothing that held it is kept.
        assert_eq!(parts(&stage.path("out/_rollbook/replaced")).len(), 7);
    });
    for point in [
        "EntryPut",
        "VoidRemoved",
        "ReplacedRemoved",
        "PartPublished",
    ] {
        assert!(hit.contains(point), "{hit:?}");
    }
}

#[test]
fn two_compactions_and_an_export_at_once_leave_each_row_once() {
    for round in 0..3 {
        let stage = Stage::of(&[SIZES, SIZES].concat());
        for night in 0..SIZES.len() {
            stage.list("night.txt", [night]);
            let list = ["-q", "export", "--meetings", "night.txt", "--out", "out"];
            stage.run(&list).with(0);
        }
        thread::scope(|scope| {
            let compactions = [(); 2].map(|()| scope.spawn(|| compact(&stage, &[])));
            let export = scope.spawn(|| {
                let mut export = stage.command(&["-q", "export", "--meetings", "list.txt"]);
                ended(export.args(["--out", "out", "--commit-every", "1ms"]))
            });
            for ended in compactions {
                ended.join().unwrap().with(0);
            }
            export.join().unwrap().with(0);
        });
        stage.run(&["verify", "out"]).with(0);
        let mut rows = stage.rows("out");
        rows.sort();
        let before = rows.len();
        rows.dedup();
        assert_eq!((rows.len(), before), (2 * 959, 2 * 959), "round {round}");
    }
}

/// The one part of records that there is.
fn only_part(stage: &Stage) -> PathBuf {
    let parts = parts(&stage.path("out"));
    assert_eq!(parts.len(), 1);
    parts[0].clone()
}

#[rstest]
#[case::gone(|part: &Path| fs::remove_file(part).unwrap(), false)]
#[case::torn(|part: &Path| fs::write(part, "torn").unwrap(), false)]
#[case::gone_and_repaired(|part: &Path| fs::remove_file(part).unwrap(), true)]
fn a_merged_part_that_is_lost_is_made_anew_from_those_that_are_kept(
    #[case] damage: fn(&Path),
    #[case] is_repaired: bool,
) {
    for is_purged in [false, true] {
        let stage = Stage::of(&SIZES);
        nights(&stage, &[]);
        compact(&stage, &[]).with(0);
        let mut there: Vec<_> = (0..SIZES.len()).collect();
        if is_purged {
            let gone = stage.meeting(there.remove(3));
            stage.run(&["purge", "out", "--meeting", &gone]).with(0);
        }
        stage.requests();
        damage(&only_part(&stage));
        if is_repaired {
            let said = stage.run(&["verify", "out", "--repair"]);
            assert_eq!(said.code, Some(0), "{}", said.answer());
            assert!(
                said.answer().contains("1 commit restored from"),
                "{}",
                said.answer()
            );
        }
        export_all(&stage, &[]);
        assert_eq!(stage.requests(), 0);
        stage.assert_rows(&stage.rows("out"), &there);
        assert_eq!(uuids(&stage.path("out")).len(), there.len());
        stage.verified().with(0);
    }
}

/// FAULTS.md, line 23: what was staged may be torn by a power loss after the commit.
#[rstest]
#[case::compaction(&["compact", "out"])]
#[case::compaction_that_keeps_nothing(&["compact", "out", "--keep", "0s"])]
#[case::erasure(&["purge", "out", "--meeting"])]
fn staged_parts_that_are_gone_before_they_are_published_cost_no_row(#[case] args: &[&str]) {
    let stage = Stage::of(&SIZES);
    stage.list("list.txt", 0..SIZES.len());
    export_all(&stage, &[]);
    nights(&stage, &[]);
    let mut there: Vec<_> = (0..SIZES.len()).collect();
    let gone = stage.meeting(3);
    let mut args = args.to_vec();
    if args[0] == "purge" {
        args.push(&gone);
        there.remove(3);
    } else {
        // Two commits at least.
        fs::remove_dir_all(stage.path("out")).unwrap();
        nights(&stage, &[]);
    }
    stage.requests();
    die(stage.command(&args), "EntryPut", 1);
    for part in files(&stage.path("out/_rollbook/staging")) {
        if name(&part).contains(".parquet") {
            fs::write(part, "torn").unwrap();
        }
    }
    export_all(&stage, &[]);
    assert_eq!(stage.requests(), 0);
    stage.assert_rows(&stage.rows("out"), &there);
    stage.verified().with(0);
}

#[rstest]
#[case::arrow(&["--format", "arrow", "--compression", "zstd"])]
#[case::snappy(&["--format", "parquet", "--compression", "snappy"])]
fn merged_parts_are_compressed_as_those_that_they_replace_and_tell_each_site_once(
    #[case] form: &[&str],
) {
    let stage = Stage::of(&SIZES);
    for half in [0..4, 4..9] {
        for night in half {
            stage.list("night.txt", [night]);
            let list = ["-q", "export", "--meetings", "night.txt", "--out", "out"];
            stage.run(&[&list, form].concat()).with(0);
        }
        compact(&stage, &[]).with(0);
    }
    let merged = only_part(&stage);
    let bytes = fs::read(&merged).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains(", http://"));
    let replaced = parts(&stage.path("out/_rollbook/replaced")).into_iter();
    let before = replaced.filter(|part| !name(part).contains("part-00000000000000000005"));
    let before: u64 = before.map(|part| fs::metadata(part).unwrap().len()).sum();
    assert!((bytes.len() as u64) < before, "{} of {before}", bytes.len());
    if form.contains(&"snappy") {
        let file = fs::File::open(merged).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let column = reader.metadata().row_group(0).column(0);
        assert_eq!(column.compression(), parquet::basic::Compression::SNAPPY);
    }
}

/// How the parts of a dataset say that they are encoded.
fn encodings(stage: &Stage) -> Vec<String> {
    let told = |part: &PathBuf| {
        let file = fs::File::open(part).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        reader.schema().metadata()["rollbook.parquet_encodings"].clone()
    };
    parts(&stage.path("out")).iter().map(told).collect()
}

#[test]
fn merged_parts_are_classic_where_one_of_those_that_they_replace_is() {
    let stage = Stage::of(&[3, 30, 40, 50]);
    let export = |meeting: usize, encodings: &str| {
        stage.list("night.txt", [meeting]);
        let list = ["-q", "export", "--meetings", "night.txt", "--out", "out"];
        let which = ["--parquet-encodings", encodings];
        stage.run(&[&list[..], &which].concat()).with(0);
    };
    export(0, "modern");
    export(1, "modern");
    compact(&stage, &[]).with(0);
    assert_eq!(encodings(&stage), ["modern"]);
    export(2, "classic");
    assert_eq!(encodings(&stage), ["modern", "classic"]);
    compact(&stage, &[]).with(0);
    assert_eq!(encodings(&stage), ["classic"]);
    export(3, "modern");
    compact(&stage, &[]).with(0);
    assert_eq!(encodings(&stage), ["classic"]);
    stage.run(&["verify", "out"]).with(0);
    // A meeting that is read again is written as its run says, and what shared its part with it too.
    stage.list("night.txt", [0]);
    let again = [
        "-q",
        "export",
        "--meetings",
        "night.txt",
        "--out",
        "out",
        "--again",
    ];
    stage.run(&again).with(0);
    assert_eq!(encodings(&stage), ["modern"; 2]);
    stage.run(&["verify", "out"]).with(0);
}
