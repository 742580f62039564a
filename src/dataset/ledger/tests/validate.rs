//! What an entry must be like by itself.

use super::*;
use crate::record::partition::Partitioning;
use crate::record::table::MEETINGS;
use crate::values::{PartitionBy, Zone};

#[test]
fn an_entry_is_written_as_documented() {
    let text = String::from_utf8(entry(42, &["m1"]).to_bytes().unwrap().to_vec()).unwrap();
    let expected = concat!(
        r#"{"version":1,"sequence":42,"run_id":"run","committed_at":"2026-01-02T03:04:05.678Z","#,
        r#""parts":[{"path":"part-00000000000000000042-00000.parquet","rows":3,"bytes":100,"#,
        r#""sha256":"0000000000000000000000000000000000000000000000000000000000000000","#,
        r#""staged":"_rollbook/staging/run/00000000.parquet"}],"#,
        r#""meetings":[{"conf_uuid":"m1","count":3,"rows":3,"requests":1,"#,
        r#""first_fetch":"2026-01-02T03:04:05.678Z","last_fetch":"2026-01-02T03:04:05.678Z","#,
        r#""status":"complete","proof":"single-page"}],"retracts":[]}"#,
        "\n"
    );
    assert_eq!(text, expected);
    assert_eq!(entry_path(42), "_rollbook/ledger/00000000000000000042.json");
}

#[test]
fn pages_and_seams_are_kept_and_entries_without_them_are_read() {
    let known = CommittedMeeting {
        pages: Some(4),
        seams: Some(3),
        ..meeting("m1", 3)
    };
    for meeting in [known, meeting("m1", 3)] {
        let entry = Entry {
            meetings: vec![meeting],
            ..entry(1, &["m1"])
        };
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(parse(1, &bytes).unwrap(), entry);
    }
}

#[test]
fn an_entry_that_names_what_is_not_its_own_is_not_believed() {
    let sound = String::from_utf8(entry(2, &["m1"]).to_bytes().unwrap().to_vec()).unwrap();
    let parse = |text: &str| parse(2, text.as_bytes());
    parse(&sound).unwrap();
    for (from, to, reason) in [
        (
            "\"version\":1",
            "\"version\":0",
            "there is no ledger version 0",
        ),
        (
            "part-00000000000000000002",
            "part-00000000000000000001",
            "its part 0",
        ),
        ("00002-00000.parquet", "00002-00001.parquet", "its part 0"),
        ("00000.parquet", "00000./../../other", "its part 0"),
        ("part-", "/part-", "its part 0"),
        (
            "_rollbook/staging/run/",
            "_rollbook/staging/other/",
            "its part 0",
        ),
        (
            "_rollbook/staging/run/",
            "_rollbook/staging/run/../",
            "its part 0",
        ),
        ("_rollbook/staging/run/", "/", "its part 0"),
        ("\"sha256\":\"00", "\"sha256\":\"0G", "its part 0"),
        ("\"sha256\":\"00", "\"sha256\":\"0", "its part 0"),
        ("\"complete\"", "\"failed\"", "holds m1, which is not whole"),
        (
            "\"rows\":3,\"bytes\"",
            "\"rows\":7,\"bytes\"",
            "its parts hold 7 records, its meetings 3",
        ),
    ] {
        let text = sound.replacen(from, to, 1);
        assert_ne!(text, sound, "{from}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains(&entry_path(2)) && error.contains(reason),
            "{to}: {error}"
        );
    }
}

/// An entry that brings the meetings table, too.
fn with_meetings(sequence: u64, meetings: &[&str]) -> Entry {
    let mut entry = entry(sequence, meetings);
    let part = Part {
        path: part_path_in(MEETINGS, sequence, 0, "parquet"),
        rows: meetings.len() as u64,
        staged: "_rollbook/staging/run/00000001.parquet".to_owned(),
        ..entry.parts[0].clone()
    };
    entry.parts.insert(0, part);
    entry.versioned()
}

#[test]
fn an_entry_with_the_meetings_table_is_of_the_second_version_and_describes_what_it_holds() {
    let sound = with_meetings(2, &["m1", "m2"]);
    assert_eq!((sound.version, entry(2, &["m1"]).oldest_version()), (2, 1));
    let parse = |entry: &Entry| parse(2, &entry.to_bytes().unwrap());
    assert_eq!(parse(&sound).unwrap(), sound);
    let cases: [(Damage, &str); 6] = [
        (
            |entry| entry.version = 1,
            "version 1 is not that of its parts",
        ),
        (
            |entry| entry.parts.remove(0).rows = 0,
            "version 2 is not that of its parts",
        ),
        (
            |entry| entry.parts[0].rows = 1,
            "its parts describe 1 meetings, and it holds 2",
        ),
        (
            |entry| entry.parts.swap(0, 1),
            "not in the order of their names",
        ),
        (
            |entry| entry.parts[0].path = part_path_in(MEETINGS, 2, 1, "parquet"),
            "its part 0 is not named",
        ),
        (
            |entry| entry.parts[0].path = entry.parts[0].path.replace("part", "../part"),
            "its part 0 is not named",
        ),
    ];
    for (damage, reason) in cases {
        let mut damaged = sound.clone();
        damage(&mut damaged);
        let error = parse(&damaged).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn an_entry_that_tells_schema_versions_is_of_the_third_version() {
    let sound = Entry {
        version: 3,
        schema_versions: SchemaVersions::of([(Table::Records, 2)]),
        ..entry(2, &["m1"])
    };
    let text = String::from_utf8(sound.to_bytes().unwrap().to_vec()).unwrap();
    let parse = |text: &str| {
        let mut ledger = Ledger::knowing(sound.schema_versions);
        apply(&mut ledger, entry(1, &[]))?;
        let entry = Entry::parse(&entry_path(2), text.as_bytes())?;
        apply(&mut ledger, entry.clone()).map(|()| entry)
    };
    assert_eq!(parse(&text).unwrap(), sound);
    for (from, to, reason) in [
        (
            r#"{"version":3"#,
            r#"{"version":2"#,
            "not that of its parts",
        ),
        (r#""records":2"#, r#""records":1"#, "not that of its parts"),
        (r#""records":2"#, r#""records":0"#, "no schema version 0"),
        (r#""records":2"#, r#""records":3"#, "knows 2; use a newer"),
        (r#""meetings":1}"#, r#""meetings":2}"#, "schema of meetings"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = parse(&text.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

fn partitioned(sequence: u64, folder: &str) -> Entry {
    let mut entry = entry(sequence, &["m1"]);
    entry.partitioning = Partitioning::new(PartitionBy::JoinDate, Zone::UTC);
    for (number, part) in entry.parts.iter_mut().enumerate() {
        part.path = part_path_in(folder, sequence, number, "parquet");
    }
    entry.versioned()
}

#[test]
fn an_entry_names_no_folder_but_those_of_its_partitions() {
    for folder in [
        "join_date=2026-11-01",
        "join_date=__HIVE_DEFAULT_PARTITION__",
    ] {
        let sound = partitioned(1, folder);
        assert_eq!((sound.version, sound.fault()), (LEDGER_VERSION, None));
        let bytes = sound.to_bytes().unwrap();
        assert_eq!(Entry::parse(&entry_path(1), &bytes).unwrap(), sound);
    }
    for folder in [
        "",
        "join_date=2026-11-1",
        "meeting_date=2026-11-01",
        "join_date=..",
        "../join_date=2026-11-01",
        "x/join_date=2026-11-01",
        "join_date=2026-11-01/x",
        "_rollbook",
    ] {
        assert!(partitioned(1, folder).fault().is_some(), "{folder}");
    }
    // One that knows no partitions must not believe it.
    let mut old = partitioned(1, "join_date=2026-11-01");
    old.version = RECORDS_ALONE;
    assert!(old.fault().is_some());
    // Without them nothing is said of them.
    let plain = entry(1, &["m1"]).to_bytes().unwrap();
    assert!(!String::from_utf8_lossy(&plain).contains("partition"));
}

#[test]
fn a_ledger_is_partitioned_in_one_way() {
    let seen = Seen::unlisted(&Bytes::new());
    let mut ledger = Ledger::default();
    ledger
        .apply(partitioned(1, "join_date=2026-11-01"), seen)
        .unwrap();
    let error = ledger.apply(entry(2, &["m2"]), seen).unwrap_err();
    assert!(
        error.to_string().contains("partitioned otherwise"),
        "{error}"
    );
    // Where nothing stands any more, another way may begin.
    let mut retraction = entry(2, &[]);
    retraction.parts = vec![];
    retraction.retracts = vec![1];
    ledger.apply(retraction, seen).unwrap();
    ledger.apply(entry(3, &["m2"]), seen).unwrap();
}
