//! Personal columns that are not to be kept are written nowhere: not in a part, not in the ledger
//! or the report, not in the spool.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::stage::{Ended, Stage, lines};

const KEY: &str = "0123456789abcdef0123456789abcdef";

const POLICY: &str = "display_name=hash,call_number=mask,dept_name=drop";

fn export(stage: &Stage, out: &str, policy: &str, key: &str) -> Command {
    let all = [
        "export",
        "--meetings",
        "list.txt",
        "--out",
        out,
        "--format",
        "ndjson",
    ];
    let mut command = stage.command(&all);
    command.env("ROLLBOOK_PII", policy);
    command.env("ROLLBOOK_PII_KEY", key);
    command
        .env("ROLLBOOK_RATE", "5000/s")
        .env("ROLLBOOK_BURST", "100");
    command.env("ROLLBOOK_PAGE_SIZE", "50");
    command
}

fn run(command: &mut Command) -> Ended {
    Ended::new(command.output().unwrap())
}

/// All bytes below a folder, those of compressed pages unpacked.
fn everything(folder: &Path, bytes: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            everything(&path, bytes);
            continue;
        }
        let file = fs::read(&path).unwrap();
        for (at, _) in file
            .windows(4)
            .enumerate()
            .filter(|(_, four)| **four == *b"\x28\xb5\x2f\xfd")
        {
            // What follows the page in its file is no part of it.
            let mut page = zstd::Decoder::new(&file[at..]).unwrap().single_frame();
            std::io::copy(&mut page, bytes).unwrap();
        }
        bytes.extend(file);
    }
}

/// Whether a text is anywhere in there.
fn tells(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn names_and_numbers(stage: &Stage) -> BTreeSet<String> {
    let meetings = stage.simulator.meetings();
    let records = meetings
        .iter()
        .flat_map(|meeting| stage.simulator.truth(meeting));
    records
        .flat_map(|record| [record.display_name, record.call_number])
        .collect()
}

#[test]
fn what_is_not_to_be_kept_is_written_nowhere() {
    let stage = Stage::of(&[30, 120, 7]);
    let mut cut_off = export(&stage, "out", POLICY, KEY);
    cut_off.env("ROLLBOOK_CRASH_AT", "EntryReady:1");
    assert_eq!(run(&mut cut_off).code, None);
    let mut spool = vec![];
    everything(&stage.path("state"), &mut spool);
    assert!(tells(&spool, "***"), "the spool was not read");

    let mut command = export(&stage, "out", POLICY, KEY);
    run(command.args(["--report", "report.json", "-vv"])).with(0);
    let mut written = spool;
    everything(&stage.path("out"), &mut written);
    written.extend(fs::read(stage.path("report.json")).unwrap());
    for text in names_and_numbers(&stage) {
        assert!(!tells(&written, &text), "{text}");
    }
    let policy = stage.report().pii.unwrap();
    assert!(
        policy.starts_with("display_name=hash,call_number=mask,dept_name=drop;key="),
        "{policy}"
    );
}

#[test]
fn the_same_key_gives_the_same_hashes_and_another_key_others() {
    let stage = Stage::of(&[30]);
    let names = |out: &str, key: &str| -> Vec<String> {
        run(&mut export(&stage, out, POLICY, key)).with(0);
        let parts = stage.parts(out);
        let rows = parts.values().flat_map(|part| lines(part));
        rows.map(|(_, _, name)| name).collect()
    };
    let one = names("one", KEY);
    assert_eq!(one, names("two", KEY));
    let other = names("three", "fedcba9876543210fedcba9876543210");
    assert!(
        one.iter()
            .zip(&other)
            .all(|(one, other)| one != other && one.len() == 64)
    );
}

#[test]
fn a_dataset_has_one_policy() {
    let stage = Stage::of(&[3]);
    run(&mut export(&stage, "out", POLICY, KEY)).with(0);
    for (policy, key) in [
        ("display_name=hash", KEY),
        (POLICY, "another-key-of-some-length"),
    ] {
        let said = run(&mut export(&stage, "out", policy, key)).with(3);
        assert!(said.contains("another pii policy or key"), "{said}");
        assert!(!said.contains(key), "{said}");
    }
    let said = run(export(&stage, "new", POLICY, "").env_remove("ROLLBOOK_PII_KEY")).with(3);
    assert!(said.contains("pii_key_file"), "{said}");
}
