//! What happens behind rollbook's back: found by `verify`, dropped by `verify --repair`, and
//! fetched again by the same export, which asks for nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use rollbook::Column;
use rstest::rstest;
use serde_json::Value;

use crate::run::Scene;
use crate::stage::sha256_hex;

const SIZES: [u64; 6] = [10, 1_200, 3, 700, 0, 20];

fn command(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROLLBOOK_")) {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

#[track_caller]
fn answer(code: i32, args: &[&str]) -> String {
    let output = command(args);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    said
}

/// A dataset of several commits.
async fn scene() -> Scene {
    let scene = Scene::of(&SIZES).await.set(|config| config.part_rows = 100);
    scene.run().await.is_complete(&scene);
    scene.simulator.clear_requests();
    scene
}

fn out(scene: &Scene) -> &str {
    scene.config.out.as_deref().unwrap()
}

fn parts(scene: &Scene) -> Vec<PathBuf> {
    let listing = fs::read_dir(out(scene)).unwrap();
    let mut parts: Vec<_> = listing
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|name| name == "parquet"))
        .collect();
    parts.sort();
    parts
}

/// The ledger's entries as they lie there.
fn history(scene: &Scene) -> BTreeMap<PathBuf, Vec<u8>> {
    let listing = fs::read_dir(Path::new(out(scene)).join("_rollbook/ledger")).unwrap();
    listing
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// The meetings of the commit that a part belongs to.
fn meetings_of(scene: &Scene, part: &Path) -> BTreeSet<String> {
    let name = part.file_name().unwrap().to_str().unwrap();
    let entry = history(scene)
        .into_values()
        .map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap())
        .find(|entry| entry["parts"].to_string().contains(name))
        .unwrap();
    let meetings = entry["meetings"].as_array().unwrap().iter();
    meetings
        .map(|meeting| meeting["conf_uuid"].as_str().unwrap().to_owned())
        .collect()
}

fn flip_a_bit(part: &Path) {
    let mut bytes = fs::read(part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(part, bytes).unwrap();
}

fn keep_the_date(part: &Path) {
    let written = fs::metadata(part).unwrap().modified().unwrap();
    flip_a_bit(part);
    let file = File::options().write(true).open(part).unwrap();
    file.set_modified(written).unwrap();
}

fn cut(part: &Path) {
    let bytes = fs::read(part).unwrap();
    fs::write(part, &bytes[..bytes.len() / 2]).unwrap();
}

fn remove(part: &Path) {
    fs::remove_file(part).unwrap();
}

fn empty(part: &Path) {
    fs::write(part, "").unwrap();
}

fn make_a_folder(part: &Path) {
    fs::remove_file(part).unwrap();
    fs::create_dir(part).unwrap();
}

fn copy_another(part: &Path) {
    let folder = part.parent().unwrap();
    let others = fs::read_dir(folder).unwrap();
    let other = others
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_file() && path != part)
        .unwrap();
    fs::copy(other, part).unwrap();
}

#[rstest]
#[case::missing(remove, "missing")]
#[case::altered(flip_a_bit, "altered: sha256")]
#[case::altered_behind_its_date(keep_the_date, "altered: sha256")]
#[case::cut(cut, "altered")]
#[case::empty(empty, "altered: 0 bytes")]
#[case::no_file(make_a_folder, "altered: it is no file")]
#[case::another(copy_another, "which it does not hold")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_dropped_and_exactly_that_is_fetched_again(
    #[case] damage: fn(&Path),
    #[case] word: &str,
    #[values(0, 1)] position: usize,
) {
    let scene = scene().await;
    let part = parts(&scene)[position].clone();
    let lost = meetings_of(&scene, &part);
    let before = history(&scene);
    damage(&part);

    let said = answer(1, &["verify", out(&scene)]);
    let name = part.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(name) && said.contains(word), "{said}");
    let next = format!("next: rollbook verify --repair {} ", out(&scene));
    assert!(said.contains(&next), "{said}");

    let said = answer(0, &["verify", "--repair", out(&scene)]);
    for meeting in &lost {
        assert!(
            said.contains(&format!("dropped meeting {meeting}")),
            "{said}"
        );
    }
    assert!(said.contains("run the same export again"), "{said}");
    assert!(answer(0, &["verify", out(&scene)]).starts_with("sound: "));
    let after = history(&scene);
    assert_eq!(after.len(), before.len() + 1);
    for (path, bytes) in &before {
        assert_eq!(after.get(path), Some(bytes), "{}", path.display());
    }

    let run = scene.run().await;
    run.is_complete(&scene);
    let asked: BTreeSet<_> = scene
        .seen()
        .into_iter()
        .filter_map(|seen| seen.meeting)
        .collect();
    assert_eq!(asked, lost);
    assert_eq!(run.report.requests.sent, run.report.requests.minimum);
    answer(0, &["verify", out(&scene)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_ledger_that_is_gone_is_set_aside_and_nothing_is_fetched() {
    let scene = scene().await;
    let unknown = Path::new(out(&scene)).join("part-00000000000000000099-00000.parquet");
    fs::copy(&parts(&scene)[0], &unknown).unwrap();
    let said = answer(1, &["verify", out(&scene)]);
    assert!(said.contains("no ledger entry names"), "{said}");
    let said = answer(0, &["verify", "--repair", out(&scene)]);
    assert!(said.contains("_rollbook/set-aside/part-"), "{said}");
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.requests.sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_rollbooks_is_named_and_left_where_it_is() {
    let scene = scene().await;
    let foreign = Path::new(out(&scene)).join("mine.parquet");
    fs::write(&foreign, "mine").unwrap();
    for args in [
        &["verify", out(&scene)][..],
        &["verify", "--repair", out(&scene)],
    ] {
        let said = answer(1, args);
        assert!(said.contains("mine.parquet: not rollbook's"), "{said}");
        assert!(said.contains("next: move what is not rollbook's"), "{said}");
        assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_with_a_hole_is_not_repaired() {
    let scene = scene().await;
    let first = history(&scene).into_keys().next().unwrap();
    fs::remove_file(first).unwrap();
    let before = history(&scene);
    let said = answer(1, &["verify", "--repair", out(&scene)]);
    assert!(said.contains("next: restore the ledger"), "{said}");
    assert_eq!(history(&scene), before);
}

/// The entries of the ledger and the parts of each.
fn commits(scene: &Scene) -> Vec<(PathBuf, Value)> {
    let entries = history(scene).into_iter();
    entries
        .map(|(path, bytes)| (path, serde_json::from_slice(&bytes).unwrap()))
        .collect()
}

fn parts_of(scene: &Scene, entry: &Value) -> Vec<PathBuf> {
    let parts = entry["parts"].as_array().unwrap().iter();
    parts
        .map(|part| Path::new(out(scene)).join(part["path"].as_str().unwrap()))
        .collect()
}

/// Writes a part again with other values, and its entry so that both agree.
fn forge(scene: &Scene, path: &Path, entry: &Value) {
    let part = parts_of(scene, entry).remove(0);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&part).unwrap()).unwrap();
    let told = reader.metadata().file_metadata().key_value_metadata();
    let options = WriterProperties::builder()
        .set_key_value_metadata(told.cloned())
        .build();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(options)).unwrap();
    for batch in &batches {
        let mut columns = batch.columns().to_vec();
        let names = columns[Column::DisplayName.index()].len();
        columns[Column::DisplayName.index()] = Arc::new(StringArray::from(vec!["Mallory"; names]));
        writer
            .write(&RecordBatch::try_new(batch.schema(), columns).unwrap())
            .unwrap();
    }
    let bytes = writer.into_inner().unwrap();
    let mut forged = entry.clone();
    forged["parts"][0]["bytes"] = bytes.len().into();
    forged["parts"][0]["sha256"] = sha256_hex(&bytes).into();
    fs::write(&part, bytes).unwrap();
    fs::write(path, format!("{forged}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_entry_that_is_removed_with_its_part_is_named_and_no_repair_forgets_it() {
    let scene = scene().await;
    let (last, entry) = commits(&scene).pop().unwrap();
    for part in parts_of(&scene, &entry) {
        fs::remove_file(part).unwrap();
    }
    fs::remove_file(&last).unwrap();
    let name = last.file_name().unwrap().to_str().unwrap();
    for args in [
        &["verify", out(&scene)][..],
        &["verify", "--repair", out(&scene)],
        &["verify", out(&scene)],
    ] {
        let said = answer(1, args);
        assert!(said.contains(&format!("{name}: gone; ")), "{said}");
        assert!(
            said.contains("next: restore the named entries of the ledger"),
            "{said}"
        );
    }
    // The way out that the message names.
    let runs = Path::new(out(&scene)).join("_rollbook/runs");
    fs::remove_dir_all(&runs).unwrap();
    let meetings = entry["meetings"].as_array().unwrap().len();
    let run = scene.run().await;
    run.is_complete(&scene);
    assert_eq!(run.report.per_meeting.len(), meetings);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_forged_with_its_part_is_named_and_not_repaired(
    #[values(true, false)] is_last: bool,
) {
    let scene = scene().await;
    let mut commits = commits(&scene);
    assert!(commits.len() > 1);
    let (path, entry) = if is_last {
        commits.pop().unwrap()
    } else {
        commits.remove(0)
    };
    forge(&scene, &path, &entry);
    let before = history(&scene);
    let name = path.file_name().unwrap().to_str().unwrap();
    let (word, next) = if is_last {
        ("changed since", "next: restore the named entries")
    } else {
        ("was changed after entry 2", "next: restore the ledger")
    };
    for args in [
        &["verify", out(&scene)][..],
        &["verify", "--repair", out(&scene)],
    ] {
        let said = answer(1, args);
        assert!(said.contains(&format!("{name}: {word}")), "{said}");
        assert!(said.contains(next), "{said}");
    }
    assert_eq!(history(&scene), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_meeting_is_stated_with_its_pages_and_the_seams_that_held() {
    let scene = scene().await;
    let said = answer(0, &["verify", "--meetings", out(&scene)]);
    assert!(
        said.contains("proof: 3 single-page, 2 seams, 1 without any record"),
        "{said}"
    );
    let large = format!(
        "{} 1,200 records in 3 pages, 2 seams held, in part-",
        scene.meetings[1]
    );
    let small = format!("{} 3 records in 1 page, in part-", scene.meetings[2]);
    let empty = format!("{} 0 records in 1 page\n", scene.meetings[4]);
    for statement in [large, small, empty] {
        assert!(said.contains(&statement), "{statement}: {said}");
    }
    let json: Value = serde_json::from_str(&answer(0, &["verify", "--json", out(&scene)])).unwrap();
    let stated = json["per_meeting"].as_array().unwrap();
    for (position, meeting) in scene.meetings.iter().enumerate() {
        let stated = stated
            .iter()
            .find(|stated| stated["conf_uuid"] == meeting.as_str())
            .unwrap();
        assert_eq!(stated["verdict"], "sound");
        assert_eq!(stated["found"], SIZES[position]);
    }
    let repaired = answer(0, &["verify", "--repair", "--json", out(&scene)]);
    let repaired: Value = serde_json::from_str(&repaired).unwrap();
    assert_eq!(repaired["after"], Value::Null);
}
