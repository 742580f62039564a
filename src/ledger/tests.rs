use super::*;
use crate::config::PartitionBy;
use crate::table::MEETINGS;
use crate::zone::Zone;

fn uuid(text: &str) -> ConfUuid {
    text.parse().unwrap()
}

pub(crate) fn meeting(name: &str, rows: u64) -> CommittedMeeting {
    let at = "2026-01-02T03:04:05.678Z".parse().unwrap();
    CommittedMeeting {
        conf_uuid: uuid(name),
        count: rows,
        rows,
        requests: 1,
        first_fetch: at,
        last_fetch: at,
        status: MeetingStatus::Complete,
        proof: Proof::SinglePage,
        pages: None,
        seams: None,
    }
}

pub(crate) fn entry(sequence: u64, meetings: &[&str]) -> Entry {
    Entry {
        version: 1,
        sequence,
        run_id: "run".to_owned(),
        committed_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        parts: vec![Part {
            path: part_path(sequence, 0, "parquet"),
            rows: 3 * meetings.len() as u64,
            bytes: 100,
            sha256: "00".repeat(32),
            staged: "_rollbook/staging/run/00000000.parquet".to_owned(),
        }],
        meetings: meetings.iter().map(|name| meeting(name, 3)).collect(),
        retracts: Vec::new(),
        rewrite: None,
        asked: None,
        schema_versions: SchemaVersions::FIRST,
        partitioning: None,
    }
}

/// Reads an entry.
pub(super) fn parse(sequence: u64, bytes: &[u8]) -> Result<Entry> {
    Entry::parse(&entry_path(sequence), bytes)
}

async fn store() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create_at(&home.path().to_str().unwrap().into())
        .await
        .unwrap();
    (home, store)
}

async fn reason(store: &Store) -> String {
    Ledger::read(store).await.unwrap_err().to_string()
}

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

#[tokio::test]
async fn what_was_put_is_read_again() {
    let (_home, store) = store().await;
    let mut ledger = Ledger::read(&store).await.unwrap();
    assert!(ledger.put(&store, entry(1, &["m1", "m2"])).await.unwrap());
    assert!(ledger.put(&store, entry(2, &["m3"])).await.unwrap());
    let read = Ledger::read(&store).await.unwrap();
    assert_eq!(read.entries(), ledger.entries());
    assert_eq!(
        (read.holder("m2"), read.holder("m3"), read.holder("m4")),
        (Some(1), Some(2), None)
    );
}

#[tokio::test]
async fn a_number_is_given_once() {
    let (_home, store) = store().await;
    let mut first = Ledger::read(&store).await.unwrap();
    let mut second = Ledger::read(&store).await.unwrap();
    assert!(first.put(&store, entry(1, &["m1"])).await.unwrap());
    assert!(!second.put(&store, entry(1, &["m2"])).await.unwrap());
    assert_eq!(second.next_sequence(), 1);
    second.catch_up(&store).await.unwrap();
    assert_eq!((second.next_sequence(), second.holder("m1")), (2, Some(1)));
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_settled_by_what_stands_there() {
    let (_home, store) = store().await;
    let ours = entry(1, &["m1"]);
    store
        .create(&entry_path(1), ours.to_bytes().unwrap())
        .await
        .unwrap();
    let mut ledger = Ledger::default();
    assert!(ledger.put(&store, ours).await.unwrap());
    assert_eq!(ledger.holder("m1"), Some(1));
}

#[tokio::test]
async fn a_retracted_commit_holds_nothing() {
    let (_home, store) = store().await;
    let mut ledger = Ledger::default();
    ledger.put(&store, entry(1, &["m1"])).await.unwrap();
    let retraction = Entry {
        parts: Vec::new(),
        retracts: vec![1],
        ..entry(2, &[])
    };
    ledger.put(&store, retraction).await.unwrap();
    ledger.put(&store, entry(3, &["m1"])).await.unwrap();
    let read = Ledger::read(&store).await.unwrap();
    assert_eq!(read.holder("m1"), Some(3));
    assert_eq!(read.void().count(), 1);
    assert_eq!(read.standing().count(), 2);
}

#[tokio::test]
async fn a_gap_is_named() {
    let (home, store) = store().await;
    let mut ledger = Ledger::default();
    for sequence in 1..=3 {
        ledger.put(&store, entry(sequence, &[])).await.unwrap();
    }
    std::fs::remove_file(home.path().join(entry_path(2))).unwrap();
    let reason = reason(&store).await;
    assert!(
        reason.contains("00000000000000000002.json: this ledger entry is missing"),
        "{reason}"
    );
}

#[tokio::test]
async fn entries_that_cannot_be_believed_are_named() {
    let cases = [
        (r#"{"version":4,"sequence":1}"#, "knows 3"),
        (r#"{"version":1}"#, "not a ledger entry: missing field"),
        ("", "not a ledger entry: EOF"),
    ];
    for (text, expected) in cases {
        let (_home, store) = store().await;
        store.create(&entry_path(1), text.into()).await.unwrap();
        let reason = reason(&store).await;
        assert!(
            reason.contains("00000000000000000001.json") && reason.contains(expected),
            "{reason}"
        );
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

type Damage = fn(&mut Entry);

/// The third entry, which takes the place of the first two.
fn rewriting() -> Entry {
    let mut entry = entry(3, &["m1", "m2"]);
    entry.retracts = vec![1, 2];
    entry.rewrite = Some(Rewrite {
        keep_until: DateTime::UNIX_EPOCH,
        purged: vec![],
    });
    entry.versioned()
}

fn apply(ledger: &mut Ledger, entry: Entry) -> Result<()> {
    let seen = Seen::unlisted(&entry.to_bytes()?);
    ledger.accept(entry, seen)
}

/// What two commits of a meeting each make of a third entry.
fn third(entry: &Entry) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    for (sequence, meeting) in [(1, "m1"), (2, "m2")] {
        apply(&mut ledger, self::entry(sequence, &[meeting]))?;
    }
    let path = entry_path(entry.sequence);
    apply(&mut ledger, Entry::parse(&path, &entry.to_bytes()?)?)?;
    Ok(ledger)
}

#[test]
fn an_entry_that_rewrites_others_holds_what_they_held_and_nothing_of_them_is_lost() {
    let ledger = third(&rewriting()).unwrap();
    assert_eq!(ledger.holder("m1"), Some(3));
    assert_eq!((ledger.meetings(), ledger.void().count()), (2, 2));
    assert!([1, 2].iter().all(|&old| ledger.rewrite_of(old).is_some()));

    let mut purging = rewriting();
    let purged = purging.meetings.pop().unwrap();
    purging.parts[0].rows = 3;
    purging
        .rewrite
        .as_mut()
        .unwrap()
        .purged
        .push(purged.conf_uuid.clone());
    let ledger = third(&purging).unwrap();
    assert!(ledger.is_purged(&purged.conf_uuid) && ledger.holder("m2").is_none());
}

#[test]
fn an_entry_that_rewrites_others_and_holds_something_else_is_not_believed() {
    let damages: [(Damage, &str); 7] = [
        (|entry| entry.retracts = vec![], "rewrites no entry"),
        (|entry| entry.version = 1, "ledger version 1 is not that of"),
        (|entry| entry.retracts = vec![1], "holds m2 otherwise than"),
        (
            |entry| entry.meetings[0].requests += 1,
            "holds m1 otherwise than",
        ),
        (
            |entry| entry.retracts = vec![1, 2, 3],
            "retracts entry 3, which is not before",
        ),
        (
            |entry| {
                entry.meetings.pop();
                entry.parts[0].rows = 3;
            },
            "rewrites m2 and does not hold it",
        ),
        (
            |entry| {
                let stranger = "m9".parse().unwrap();
                entry.rewrite.as_mut().unwrap().purged.push(stranger);
            },
            "purges m9, which it does not rewrite",
        ),
    ];
    for (damage, expected) in damages {
        let mut entry = rewriting();
        damage(&mut entry);
        let error = third(&entry).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let mut ledger = third(&rewriting()).unwrap();
    let again = Entry {
        sequence: 4,
        ..rewriting()
    };
    let error = apply(&mut ledger, again).unwrap_err().to_string();
    assert!(
        error.contains("rewrites entry 1, which does not stand any more"),
        "{error}"
    );
}

/// The fifth entry, which purges this meeting alone; of the first two commits one was merged into
/// the third, which is lost, the second stands.
fn purging_alone(meeting: &str, damage: Damage) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    for (sequence, meeting) in [(1, "m1"), (2, "m2")] {
        apply(&mut ledger, entry(sequence, &[meeting]))?;
    }
    let mut merged = Entry {
        retracts: vec![1],
        ..rewriting()
    };
    merged.meetings.truncate(1);
    merged.parts[0].rows = 3;
    apply(&mut ledger, merged)?;
    let retraction = Entry {
        parts: vec![],
        retracts: vec![3],
        ..entry(4, &[])
    };
    apply(&mut ledger, retraction)?;
    let mut purge = Entry {
        parts: vec![],
        rewrite: Some(Rewrite {
            keep_until: DateTime::UNIX_EPOCH,
            purged: vec![uuid(meeting)],
        }),
        ..entry(5, &[])
    };
    damage(&mut purge);
    let purge = purge.versioned();
    apply(
        &mut ledger,
        Entry::parse(&entry_path(5), &purge.to_bytes()?)?,
    )?;
    Ok(ledger)
}

#[test]
fn an_entry_may_purge_alone_what_void_entries_held_and_nothing_else() {
    let ledger = purging_alone("m1", |_| {}).unwrap();
    assert!(ledger.is_purged(&uuid("m1")) && !ledger.is_purged(&uuid("m2")));
    assert_eq!((ledger.holder("m1"), ledger.holder("m2")), (None, Some(2)));
    let cases: [(&str, Damage, &str); 6] = [
        ("m2", |_| {}, "purges m2, which it does not rewrite"),
        ("m9", |_| {}, "purges m9, which it does not rewrite"),
        (
            "m1",
            |entry| entry.rewrite.as_mut().unwrap().purged.clear(),
            "rewrites no entry",
        ),
        (
            "m1",
            |entry| entry.parts = self::entry(5, &[]).parts,
            "rewrites no entry",
        ),
        (
            "m1",
            |entry| entry.meetings.push(meeting("m1", 0)),
            "holds m1 otherwise",
        ),
        (
            "m1",
            |entry| entry.retracts = vec![1],
            "rewrites entry 1, which does not stand",
        ),
    ];
    for (meeting, damage, expected) in cases {
        let error = purging_alone(meeting, damage).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
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

#[tokio::test]
async fn an_entry_under_another_number_is_not_believed() {
    let (_home, store) = store().await;
    store
        .create(&entry_path(1), entry(2, &[]).to_bytes().unwrap())
        .await
        .unwrap();
    assert!(reason(&store).await.contains("holds entry 2"));
}

#[tokio::test]
async fn a_meeting_committed_twice_is_named() {
    let (_home, store) = store().await;
    for sequence in 1..=2 {
        let bytes = entry(sequence, &["m1"]).to_bytes().unwrap();
        store.create(&entry_path(sequence), bytes).await.unwrap();
    }
    assert!(
        reason(&store)
            .await
            .contains("holds m1, and so does entry 1")
    );
}

#[tokio::test]
async fn other_files_beside_the_entries_are_left_alone() {
    let (_home, store) = store().await;
    for name in ["notes.txt", "1.json", "00000000000000000001.json.bak"] {
        store
            .create(&format!("{FOLDER}/{name}"), "x".into())
            .await
            .unwrap();
    }
    assert!(Ledger::read(&store).await.unwrap().entries().is_empty());
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
