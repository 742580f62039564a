//! Personal columns that are not to be kept are written nowhere: not in a part, not in the ledger
//! or the report, not in the spool.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rollbook::simulator::{Answer, Effect, Fault, Record};

use crate::stage::{Ended, Stage, lines, sha256_hex};

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
        policy.starts_with("display_name=hash,call_number=mask,dept_name=drop;rule=1;key="),
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

/// Policies, and whether each hides the names and the numbers.
const POLICIES: [(&str, bool, bool); 6] = [
    (POLICY, true, true),
    (
        "display_name=drop,call_number=drop,dept_name=drop",
        true,
        true,
    ),
    ("display_name=mask,call_number=hash", true, true),
    ("call_number=hash", false, true),
    ("call_number=mask", false, true),
    ("display_name=keep,call_number=drop", false, true),
];

/// Every file that a run has written, and what it logged.
#[track_caller]
fn assert_hidden(stage: &Stage, log: &str, hidden: &BTreeSet<String>, when: &str) {
    let mut written = vec![];
    everything(stage.folder.path(), &mut written);
    written.extend(log.as_bytes());
    for text in hidden {
        assert!(!tells(&written, text), "{when}: {text}");
    }
}

/// An unnamed endpoint shows its number as its name: where the numbers are hidden and the names
/// are not, the number is not in the column of the names either.
#[test]
fn what_a_policy_hides_is_in_no_file_of_a_run_at_whatever_step_it_was_killed() {
    for (policy, names, numbers) in POLICIES {
        let stage = Stage::of(&[30, 70, 40]);
        let meetings = stage.simulator.meetings();
        let truth = meetings
            .iter()
            .flat_map(|meeting| stage.simulator.truth(meeting));
        let truth: Vec<_> = truth.collect();
        let unnamed = |record: &&Record| record.display_name == record.call_number;
        assert!(truth.iter().filter(unnamed).count() > 1);
        let mut hidden = BTreeSet::new();
        for record in &truth {
            if names {
                hidden.insert(record.display_name.clone());
            }
            if numbers {
                hidden.insert(record.call_number.trim_start_matches('+').to_owned());
            }
        }
        let command = || {
            let mut command = export(&stage, "out", policy, KEY);
            command.args([
                "-vv",
                "--report",
                "report.json",
                "--metrics-file",
                "metrics",
            ]);
            command
        };
        for point in [
            "FrameWritten:2",
            "PartStaged:1",
            "EntryReady:1",
            "EntryPut:1",
        ] {
            let killed = run(command().env("ROLLBOOK_CRASH_AT", point));
            assert_eq!(killed.code, None, "{}", killed.stderr);
            assert_hidden(
                &stage,
                &killed.stderr,
                &hidden,
                &format!("{policy} {point}"),
            );
        }
        let log = run(&mut command()).with(0);
        assert!(stage.path("metrics").exists() && stage.path("report.json").exists());
        assert_hidden(&stage, &log, &hidden, policy);
    }
}

#[test]
fn a_name_that_is_a_number_has_the_pseudonym_of_the_number() {
    let stage = Stage::of(&[200]);
    let policy = "call_number=hash,display_name=keep";
    run(&mut export(&stage, "out", policy, KEY)).with(0);
    let truth = stage.simulator.truth(&stage.simulator.meetings()[0]);
    let parts = stage.parts("out");
    let rows = parts
        .values()
        .flat_map(|part| part.split(|byte| *byte == b'\n'));
    let rows = rows.filter(|row| !row.is_empty());
    let mut unnamed = 0;
    for row in rows {
        let row: serde_json::Value = serde_json::from_slice(row).unwrap();
        let index = usize::try_from(row["record_index"].as_u64().unwrap()).unwrap();
        if truth[index].display_name == truth[index].call_number {
            assert_eq!(row["display_name"], row["call_number"]);
            unnamed += 1;
        } else {
            assert_eq!(row["display_name"], truth[index].display_name);
        }
        assert_eq!(row["call_number"].as_str().unwrap().len(), 64);
    }
    assert!(unnamed > 1, "{unnamed}");
}

/// A search key may be somebody's number, and a plain hash of a number is found by trying all.
#[test]
fn a_search_key_is_in_no_file_and_neither_is_its_plain_hash() {
    let stage = Stage::of(&[30, 20]);
    let key = stage.simulator.truth(&stage.simulator.meetings()[0])[3]
        .call_number
        .clone();
    let searching = |key: &str| {
        let mut command = export(&stage, "out", POLICY, KEY);
        command.env("ROLLBOOK_SEARCH_KEY", key);
        command.args([
            "-vv",
            "--report",
            "report.json",
            "--metrics-file",
            "metrics",
        ]);
        command
    };
    let plain_hash = sha256_hex(&key);
    let hidden = BTreeSet::from([key.trim_start_matches('+').to_owned(), plain_hash]);
    for point in ["FrameWritten:1", "EntryPut:1"] {
        let killed = run(searching(&key).env("ROLLBOOK_CRASH_AT", point));
        assert_eq!(killed.code, None, "{}", killed.stderr);
        assert_hidden(&stage, &killed.stderr, &hidden, point);
    }
    let log = run(&mut searching(&key)).with(0);
    assert_hidden(&stage, &log, &hidden, "at the end");
    let ledger = fs::read_to_string(stage.path("out/_rollbook/ledger/00000000000000000001.json"));
    assert!(ledger.unwrap().contains(r#""search_key":{"salt":""#));
    run(&mut searching(&key)).with(0);
    let refused = run(&mut searching("+86139")).with(3);
    assert!(refused.contains("another search key"), "{refused}");
}

#[test]
fn a_lost_salt_is_named_and_no_search_key_is_taken_for_another() {
    let stage = Stage::of(&[3]);
    let searching = || {
        let mut command = export(&stage, "out", POLICY, KEY);
        command.env("ROLLBOOK_SEARCH_KEY", "99");
        command
    };
    run(&mut searching()).with(0);
    let salt = stage.path("out/_rollbook/salt");
    let kept = fs::read(&salt).unwrap();
    fs::remove_file(&salt).unwrap();
    let found = stage.run(&["verify", "out"]);
    assert!(
        found.answer().contains("_rollbook/salt: is missing"),
        "{found:?}"
    );
    found.with(1);
    let refused = run(&mut searching()).with(1);
    assert!(
        refused.contains("_rollbook/salt: is not the salt"),
        "{refused}"
    );
    let found = stage.run(&["verify", "out"]);
    assert!(
        found.answer().contains("_rollbook/salt: is another"),
        "{found:?}"
    );
    found.with(1);
    fs::write(&salt, kept).unwrap();
    stage.run(&["verify", "out"]).with(0);
    run(&mut searching()).with(0);
    // Without a search key nothing is kept with it, and a new one is made.
    run(&mut export(&stage, "other", POLICY, KEY)).with(0);
    fs::remove_file(stage.path("other/_rollbook/salt")).unwrap();
    stage.run(&["verify", "other"]).with(0);
    run(&mut export(&stage, "other", POLICY, KEY)).with(0);
    assert!(stage.path("other/_rollbook/salt").exists());
}

/// Records of the same times, which differ in their names and numbers alone, are compared as the
/// API gives them, whatever is written of them.
#[test]
fn a_policy_changes_neither_the_requests_nor_the_proof() {
    let answer = |offset: u64| {
        let rows = (offset..(offset + 50).min(420)).map(|row| {
            format!(
                r#"{{"displayName":"Person {row}","callNumber":"+99{row:010}",
                "joinTime":1574119917872,"leftTime":1574119956881}}"#
            )
        });
        let rows = rows.collect::<Vec<_>>().join(",");
        Answer {
            body: format!(r#"{{"data":[{rows}],"offset":{offset},"limit":50,"count":420}}"#),
            ..Answer::default()
        }
    };
    let cost = |policy: &str| {
        let mut stage = Stage::of(&[420]);
        for offset in (0..420).step_by(49) {
            stage = stage.fault(Fault::new(Effect::Answer(answer(offset))).offset(offset));
        }
        let mut command = export(&stage, "out", policy, KEY);
        run(command.args(["--report", "report.json"])).with(0);
        let report = stage.report();
        let proofs: Vec<_> = report.per_meeting.iter().map(|met| met.proof).collect();
        (report.requests.sent, report.records, proofs)
    };
    let kept = cost("");
    assert_eq!((kept.0, kept.1), (9, 420));
    for policy in [
        "display_name=drop,call_number=drop",
        "display_name=mask,call_number=drop,extra=drop",
        "display_name=hash,call_number=hash",
    ] {
        assert_eq!(cost(policy), kept, "{policy}");
    }
}
